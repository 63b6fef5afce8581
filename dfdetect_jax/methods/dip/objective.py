"""DIP's training: triplets, spatiotemporal augmentation, an EMA teacher, three losses (§III-D, §III-E, Fig. 5)."""

import dataclasses

import jax
import jax.numpy as jnp

from dfdetect_jax.augment import photometric
from dfdetect_jax.augment.temporal import drop_and_repeat
from dfdetect_jax.methods.dip import losses
from dfdetect_jax.methods.method import Method, accuracy


@dataclasses.dataclass(frozen=True)
class DipMethod(Method):
  """DIP with the objective of Eq. 12, L = L_cce + L_sti + L_da.

  The student encodes the anchor, an un-augmented clip of a real video, and an un-augmented clip of a forgery of it; the
  teacher encodes augmented clips of both. Read to the letter the paper's student sees no fakes, which would leave its
  cross-entropy nothing to tell apart: that the forged clip goes to the student is our decision.

  Attributes:
    lambda_h, lambda_v: weights of the directional cross-entropies (Eq. 11; unstated, 0.5 is our decision).
    margin: d_sti of Eq. 9.
    sti_weight, da_weight: 1 as printed; 0 takes a loss away (DA: Table VII).
    blur, color, noise, temporal: the augmentations (Table VIII); strengths are unstated, these are our decisions.
    blur_sigma, color_factor, noise_sigma: ranges of the strength drawn per clip (σ in pixels, factor, σ on 0-255).
    temporal_rate: share of frames dropped or repeated.
    probability: of each augmentation, per clip.
  """

  lambda_h: float = 0.5
  lambda_v: float = 0.5
  margin: float = 1.0
  sti_weight: float = 1.0
  da_weight: float = 1.0
  blur: bool = True
  color: bool = True
  noise: bool = True
  temporal: bool = True
  blur_sigma: tuple[float, float] = (0.5, 2.0)
  color_factor: tuple[float, float] = (0.4, 1.6)
  noise_sigma: tuple[float, float] = (2.0, 15.0)
  temporal_rate: float = 0.25
  probability: float = 0.5

  def augment(self, rng, clips):
    """Spatiotemporal augmentation of clips `[B, T, H, W, 3]`; float32 on the 0-255 scale."""
    clips = clips.astype(jnp.float32)
    keys = iter(jax.random.split(rng, 8))
    if self.blur:
      blurred = photometric.gaussian_blur(next(keys), clips, self.blur_sigma)
      clips = photometric.sometimes(next(keys), self.probability, blurred, clips)
    if self.color:
      colored = photometric.saturation(next(keys), clips, self.color_factor)
      clips = photometric.sometimes(next(keys), self.probability, colored, clips)
    if self.noise:
      noisy = photometric.gaussian_noise(next(keys), clips, self.noise_sigma)
      clips = photometric.sometimes(next(keys), self.probability, noisy, clips)
    if self.temporal:
      moved = drop_and_repeat(next(keys), clips, self.temporal_rate)
      clips = photometric.sometimes(next(keys), self.probability, moved, clips)
    return clips

  def loss(self, params, model_state, teacher, batch, rng):
    """See `Method.loss`; the batch holds `anchor`, `positive`, `negative`, `forged`, each uint8 `[B, T, H, W, 3]`."""
    count = batch["anchor"].shape[0]

    # Real and forged clips alternate, so that however a batch is cut into shards, each holds as many of both.
    clips = _interleave(batch["anchor"], batch["forged"])
    outputs = self.model.apply({"params": params, **model_state}, clips, train=True)
    label = jnp.tile(jnp.array([0, 1]), count)
    cce = losses.collaborative_cross_entropy(outputs, label, self.lambda_h, self.lambda_v)
    metrics = {"cce": cce, "accuracy": accuracy(outputs["logit"], label)}
    loss = cce

    if self.sti_weight:
      augmented = self.augment(rng, _interleave(batch["positive"], batch["negative"]))
      targets = self.model.apply({"params": teacher, **model_state}, augmented, train=False)["features"]
      targets = jax.lax.stop_gradient(targets)
      sti = losses.spatiotemporal_invariant_loss(
        outputs["features"][0::2], targets[0::2], targets[1::2], self.margin
      )  # fmt: skip
      metrics["sti"] = sti
      loss = loss + self.sti_weight * sti
    if self.da_weight and "diffusion" in outputs:
      da = losses.diffusion_aware_loss(outputs["cosine"], outputs["diffusion_similarity"])
      metrics["da"] = da
      loss = loss + self.da_weight * da
    return loss, (metrics, model_state)


def _interleave(a: jax.Array, b: jax.Array) -> jax.Array:
  """a₀, b₀, a₁, b₁, … along the leading axis."""
  return jnp.stack([a, b], axis=1).reshape(-1, *a.shape[1:])
