"""SDR's training: perturbed views, three losses (§II-A, §II-C, Eq. 6)."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, Key, Real

from dfdetect_jax.augment.tpa import SPATIAL, perturbed_views
from dfdetect_jax.methods.method import Batch, LossOutput, Method, Variables, accuracy, binary_cross_entropy
from dfdetect_jax.methods.sdr.contrastive import contrastive_loss
from dfdetect_jax.methods.sdr.trfi import mutual_information_loss


@dataclasses.dataclass(frozen=True)
class SdrMethod(Method):
  """SDR with the objective of Eq. 6, L = α·L_CE + β·(L_MI + L_heads) + γ·L_con.

  L_heads is the mean cross-entropy of TRFI's predictive heads. Without it nothing would tie their distributions to the
  label, and agreeing would be trivial; that it goes with L_MI is our decision.

  Attributes:
    alpha, beta, gamma: weights (lost in the paper's text; 1, 1, 0.1 are our decisions); γ = 0 takes the contrastive
      loss away (Table III).
    temperature: of L_MI's distributions (decision).
    tau: temperature of the contrastive loss (decision).
    tpa: temporally-preserved augmentation; False draws parameters per frame (Table III) …
    redrawn: … of these augmentations. §III-C draws flip and crop anew, of colour and holes §II-A says that they break
      no motion cue; all of `augment.tpa.VIEWS` is the harsher reading.
  """

  alpha: float = 1.0
  beta: float = 1.0
  gamma: float = 0.1
  temperature: float = 1.5
  tau: float = 0.1
  tpa: bool = True
  redrawn: tuple[str, ...] = SPATIAL

  def augment(self, rng: Key[Array, ""], clips: Real[Array, "B T H W 3"]) -> Float32[Array, "B N T H W 3"]:
    """Makes of clips `[B, T, H, W, 3]` the branches' views `[B, N, T, H, W, 3]`."""
    clips = super().augment(rng, clips)
    return perturbed_views(rng, clips, self.model.branches, () if self.tpa else self.redrawn)

  def loss(
    self, params: Variables, model_state: Variables, teacher: Variables | None, batch: Batch, rng: Key[Array, ""]
  ) -> LossOutput:
    """See `Method.loss`; the batch holds `clip` uint8 `[B, T, H, W, 3]` and `label`."""
    del teacher
    augment_rng, dropout_rng = jax.random.split(rng)
    views, label = self.augment(augment_rng, batch["clip"]), batch["label"]
    outputs, new_state = self.model.apply(
      {"params": params, **model_state}, views, train=True, mutable=list(model_state), rngs={"dropout": dropout_rng}
    )
    heads = jnp.concatenate([outputs["joint_logit"][:, None], outputs["left_out_logits"]], axis=1)
    metrics = {
      "cross_entropy": binary_cross_entropy(outputs["logit"], label),
      "mutual_information": mutual_information_loss(
        outputs["joint_logit"], outputs["left_out_logits"], self.temperature
      ),
      "heads": binary_cross_entropy(heads, jnp.broadcast_to(label[:, None], heads.shape)),
      "accuracy": accuracy(outputs["logit"], label),
    }
    loss = self.alpha * metrics["cross_entropy"] + self.beta * (metrics["mutual_information"] + metrics["heads"])
    if self.gamma:
      metrics["contrastive"] = contrastive_loss(jnp.mean(outputs["features"], axis=2), label, self.tau)
      loss = loss + self.gamma * metrics["contrastive"]
    return loss, (metrics, new_state)
