"""GenD: a foundation model's ViT of which only the LayerNorms are trained, on real and forged frames of one pair.

Yermakov, Cech, Matas and Fritz, Deepfake Detection that Generalizes Across Benchmarks, WACV 2026. Which parameters are
trained is a matter of `optimizer.rules`.
"""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from dfdetect_jax.methods.method import Batch, LossOutput, Method, Variables, accuracy, binary_cross_entropy


@dataclasses.dataclass(frozen=True)
class GenD(Method):
  """L = L_CE + α L_align + β L_unif over the frames of a batch.

  The cross-entropy is of one logit; the paper's two logits differ from it by a parametrisation only (decision).

  Attributes:
    alignment, uniformity: α and β.
  """

  alignment: float = 0.1
  uniformity: float = 0.5

  def loss(
    self, params: Variables, model_state: Variables, teacher: Variables | None, batch: Batch, rng: Key[Array, ""]
  ) -> LossOutput:
    """See `Method.loss`; the batch holds `clip` uint8 `[B, T, H, W, 3]` and `label`, a pair's two side by side."""
    del teacher
    clips = self.augment(rng, batch["clip"])
    outputs = self.outputs({"params": params, **model_state}, clips, train=True)
    frames = clips.shape[1]
    label = jnp.repeat(batch["label"], frames)
    features = outputs["features"].reshape(-1, outputs["features"].shape[-1])
    squared = squared_distances(features)
    metrics = {
      "cross_entropy": binary_cross_entropy(outputs["frame_logits"].reshape(-1), label),
      "alignment": alignment_loss(squared, label),
      "uniformity": uniformity_loss(squared),
      "accuracy": accuracy(outputs["logit"], batch["label"]),
    }
    loss = metrics["cross_entropy"] + self.alignment * metrics["alignment"] + self.uniformity * metrics["uniformity"]
    return loss, (metrics, model_state)


def squared_distances(features: Float[Array, "N E"]) -> Float[Array, "N N"]:
  """‖f_i - f_j‖² = 2 - 2 f_i·f_j of features `[N, E]` of length one; float32 `[N, N]`."""
  return jnp.maximum(2 - 2 * (features @ features.T), 0.0)


def alignment_loss(squared: Float[Array, "N N"], label: Int[Array, " N"]) -> Float[Array, ""]:
  """Mean squared distance of two different frames of one class.

      L_align = mean over i < j, y_i = y_j of ‖f_i - f_j‖²

  Args:
    squared: `[N, N]`.
    label: int `[N]`.

  Reference: Wang and Isola, ICML 2020, with classes as positives.
  """
  same = (label[:, None] == label[None]) & ~jnp.eye(len(label), dtype=bool)
  return jnp.sum(squared, where=same) / jnp.maximum(jnp.sum(same, dtype=jnp.float32), 1.0)


def uniformity_loss(squared: Float[Array, "N N"], t: float = 2.0) -> Float[Array, ""]:
  """L_unif = log mean over i < j of exp(-t ‖f_i - f_j‖²): how far all features are spread over the sphere."""
  pairs = ~jnp.eye(squared.shape[0], dtype=bool)
  return jnp.log(jnp.mean(jnp.exp(-t * squared), where=pairs))
