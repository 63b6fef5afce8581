"""DIP's training: triplets, spatiotemporal augmentation, an EMA teacher, three losses (§III-D, §III-E, Fig. 5)."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from dfdetect_jax.methods.dip import losses
from dfdetect_jax.methods.method import Batch, LossOutput, Method, Variables, accuracy


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
    student_augmented: the student also gets the cross-entropy of the teacher's augmented clips (mean of both pairs').
      Otherwise no gradient ever sees an augmented clip, and Table VIII has hardly a mechanism.
  """

  lambda_h: float = 0.5
  lambda_v: float = 0.5
  margin: float = 1.0
  sti_weight: float = 1.0
  da_weight: float = 1.0
  student_augmented: bool = False

  def loss(
    self, params: Variables, model_state: Variables, teacher: Variables | None, batch: Batch, rng: Key[Array, ""]
  ) -> LossOutput:
    """See `Method.loss`; the batch holds `anchor`, `positive`, `negative`, `forged`, each uint8 `[B, T, H, W, 3]`."""
    count = batch["anchor"].shape[0]

    # Real and forged clips alternate, so that however a batch is cut into shards, each holds as many of both.
    clips = _interleave(batch["anchor"], batch["forged"])
    outputs = self.outputs({"params": params, **model_state}, clips, train=True)
    label = jnp.tile(jnp.array([0, 1]), count)
    cce = losses.collaborative_cross_entropy(outputs, label, self.lambda_h, self.lambda_v)
    metrics = {"accuracy": accuracy(outputs["logit"], label), **self._diffusion_metrics(params, outputs)}
    augmented = self.augment(rng, _interleave(batch["positive"], batch["negative"]))
    if self.student_augmented:
      others = self.outputs({"params": params, **model_state}, augmented, train=True)
      cce = 0.5 * (cce + losses.collaborative_cross_entropy(others, label, self.lambda_h, self.lambda_v))
    metrics["cce"] = loss = cce

    if self.sti_weight:
      targets = self.outputs({"params": teacher, **model_state}, augmented)["features"]
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

  def _diffusion_metrics(self, params, outputs) -> dict[str, Array]:
    """Whether IDM is alive: μ, τ₁, τ₂, the median of D between different nodes, the spread of DiCA's bias.

    The bias exp(−τ₁ D) steers nothing where its standard deviation over a clip's entries is zero: D saturated, so that
    all are 0, or a graph so well mixed that all are 1.
    """
    if "diffusion" not in outputs:
      return {}
    d = jax.lax.stop_gradient(outputs["diffusion"])
    mu, tau_1, tau_2 = (jnp.abs(jax.lax.stop_gradient(params[name])) for name in ("mu", "tau_1", "tau_2"))
    length = d.shape[-1] // 2
    between = d[:, ~np.eye(2 * length, dtype=bool)]
    cross = d[:, :length, length:] if self.model.dica else d[:, :length, :length]
    spread = jnp.mean(jnp.std(jnp.exp(-tau_1 * cross), axis=(1, 2)))
    return {"mu": mu, "tau_1": tau_1, "tau_2": tau_2, "diffusion_median": jnp.median(between), "bias_spread": spread}


def _interleave(a: Array, b: Array) -> Array:
  """a₀, b₀, a₁, b₁, … along the leading axis."""
  return jnp.stack([a, b], axis=1).reshape(-1, *a.shape[1:])
