"""What every detector provides to the one training loop and the one evaluator.

A method is a folder under `methods/` whose `__init__.py` has `build(config) -> Method`. The base class is the plain
detector: binary cross-entropy on the logit of one augmented clip. A paper that asks for more (triplets, a teacher,
several losses) overrides `loss`, and says in its `ClipSpec` which clips a training example holds. The loop and the
evaluator never ask which method they run.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Float32, Int, Key, Real, Shaped

from dfdetect_jax.augment import pipeline
from dfdetect_jax.augment.forged_batch import BOUNDARY
from dfdetect_jax.augment.pipeline import Augmentation
from dfdetect_jax.errors import UserError
from dfdetect_jax.methods import boundary

Batch = Mapping[str, Shaped[Array, " B *_"]]
Variables = Mapping[str, Any]
# Loss, (metrics by name, the model's other collections).
LossOutput = tuple[Float32[Array, ""], tuple[dict[str, Shaped[Array, ""]], Variables]]


@dataclasses.dataclass(frozen=True)
class ClipSpec:
  """Which frames of a video a method looks at.

  Attributes:
    frames: T, consecutive frames of a clip (of a snippet, where there are snippets).
    size: height and width in pixels.
    snippets: U in training, snippets spread evenly over the track; 0 means that clips have no U axis.
    test_snippets: U at test; 0 means the same as in training.
    train_clips: clips drawn from a track in an epoch of training.
    test_clips: clips spread evenly over a track at test; 0 means all windows that start `test_stride` frames apart.
    test_stride: distance of the windows in frames, where `test_clips` is 0.
    val_stride: the same while a run validates itself, which need not look at every window; 0 means as at test.
    shortest: a track of fewer than T frames, but at least so many, is judged at test all the same: its one clip goes
      back and forth in it; 0: none is. Not where there are snippets.
    example: what a training example holds. `clip`: `clip` and `label`. `pair`: the same, of a real video and a forgery
      of it side by side, so that a batch holds twice as many clips. `triplet`: `anchor` and `positive`, two clips of
      one real video, and `negative` and `forged`, two clips of one forgery of it.
  """

  frames: int
  size: int
  snippets: int = 0
  test_snippets: int = 0
  train_clips: int = 1
  test_clips: int = 8
  test_stride: int = 1
  val_stride: int = 0
  shortest: int = 0
  example: str = "clip"

  def __post_init__(self):
    for name, least in (("frames", 1), ("size", 1), ("snippets", 0), ("test_snippets", 0), ("train_clips", 1),
                        ("test_clips", 0), ("test_stride", 1), ("val_stride", 0), ("shortest", 0)):  # fmt: skip
      if getattr(self, name) < least:
        raise UserError(f"clip spec: {name} is {getattr(self, name)}, it must be at least {least}.")
    if self.example not in ("clip", "pair", "triplet"):
      raise UserError(f"clip spec: example is '{self.example}', it must be 'clip', 'pair' or 'triplet'.")

    if self.shortest and (self.snippets or self.shortest > self.frames):
      raise UserError(
        f"clip spec: shortest is {self.shortest}, it must be at most frames ({self.frames}), and 0 with snippets."
      )

  @property
  def least(self) -> int:
    """Frames of the shortest track that is judged."""
    return self.shortest or self.frames

  def places(self, start: int, frames: int) -> np.ndarray:
    """The frames that a clip (a snippet) holds.

    Decision: what a short track lacks is the track backwards, then forwards again, without doubling its ends, as FTCN's
    authors do at test; they score a second clip with the missing frames before the track and take the mean.

    Args:
      start: its first frame in the track.
      frames: length of the track.

    Returns:
      int64 `[T]`, each in [0, frames).
    """
    index = start + np.arange(self.frames)
    period = max(2 * (frames - 1), 1)
    return index if index[-1] < frames else np.minimum(index % period, period - index % period)

  def for_validation(self) -> "ClipSpec":
    """The clips by which a run validates itself."""
    return dataclasses.replace(self, test_stride=self.val_stride or self.test_stride)

  def shape(self, train: bool) -> tuple[int, ...]:
    """Shape of one clip: (T, H, W, 3), or (U, T, H, W, 3) where there are snippets."""
    clip = (self.frames, self.size, self.size, 3)
    snippets = self.snippets if train else self.test_snippets or self.snippets
    return (snippets, *clip) if snippets else clip


@dataclasses.dataclass(frozen=True)
class Method:
  """A detector: a Linen model, the clips it wants, its objective.

  The model maps clips (uint8 or float on the 0-255 scale, RGB, `[B, T, H, W, 3]` or `[B, U, T, H, W, 3]`, any
  normalisation inside) and `train: bool` to a dict of named float32 outputs with at least `logit` `[B]`, the logit of
  "fake".

  Attributes:
    model: the Linen module.
    clip_spec: the clips it looks at.
    ema_decay: decay of the teacher, an exponential moving average of the parameters in float32; None keeps none.
    evaluate_teacher: whether evaluation uses the teacher's weights (where there is one) or the student's.
    augmentations: what training clips go through, from `config.augment`.
    start: applied to the parameters after their initialisation: a start that the paper does not have, kept out of its
      modules.
    boundary_weight: λ of the second head's loss, from `config.boundary_weight` (see `methods.boundary`); 0 makes none.
  """

  model: nn.Module
  clip_spec: ClipSpec
  ema_decay: float | None = None
  evaluate_teacher: bool = False
  augmentations: tuple[Augmentation, ...] = ()
  start: Callable[[Any], Any] | None = None
  boundary_weight: float = 0.0

  def init(self, rng: Key[Array, ""]) -> Variables:
    """Initialises the model's variables (`params`, and `batch_stats` where the model has BatchNorm)."""
    clip = self.clip_spec.shape(train=True)
    clips = jnp.zeros((1, *clip), jnp.uint8)
    outputs, variables = self.model.init_with_output({"params": rng, "dropout": rng}, clips, train=False)
    if self.start is not None:
      variables = {**variables, "params": self.start(variables["params"])}
    if self.boundary_weight:
      head = boundary.init(pipeline.key_of(rng, boundary.NAME), outputs, clip, type(self.model).__name__)
      variables = {**variables, "params": {**variables["params"], boundary.NAME: head}}
    return variables

  def augment(self, rng: Key[Array, ""], clips: Real[Array, "B *U T H W 3"]) -> Real[Array, "B *U T H W 3"]:
    """Augments training clips on the device, all frames (and snippets) of a clip alike."""
    return pipeline.apply(self.augmentations, rng, clips)

  def outputs(
    self, variables: Variables, clips: Real[Array, "B *U T H W 3"], train: bool = False
  ) -> dict[str, Float32[Array, " B *_"]]:
    """The model's named outputs; for a model that draws and counts nothing while it does so."""
    outputs: Any = self.model.apply(variables, clips, train=train)  # Linen's own type leaves open what it is
    return outputs

  def loss(
    self, params: Variables, model_state: Variables, teacher: Variables | None, batch: Batch, rng: Key[Array, ""]
  ) -> LossOutput:
    """The training objective on one batch.

    Args:
      params: the trained parameters.
      model_state: the other collections (`{"batch_stats": …}` or `{}`).
      teacher: the moving average of the parameters, None if `ema_decay` is None; never differentiated.
      batch: what `clip_spec.example` says, each array with a leading batch axis, clips uint8, label int32 `[B]`; with
        a `boundary_weight` also `boundary` (see `augment.forged_batch`).
      rng: key of this step, the same on all devices.

    Returns:
      Scalar float32 loss, and (scalar metrics by name, new model_state).
    """
    del teacher
    augment_rng, dropout_rng = jax.random.split(rng)
    clips = self.augment(augment_rng, batch["clip"])
    outputs, new_state = self.model.apply(
      {"params": params, **model_state}, clips, train=True, mutable=list(model_state), rngs={"dropout": dropout_rng}
    )
    loss = binary_cross_entropy(outputs["logit"], batch["label"])
    metrics = {"accuracy": accuracy(outputs["logit"], batch["label"])}
    if self.boundary_weight:
      moves = pipeline.geometric(self.augmentations)
      maps = pipeline.apply(moves, augment_rng, batch[BOUNDARY][..., None])[..., 0]
      metrics["boundary_loss"] = boundary.loss(params[boundary.NAME], outputs["feature_map"], maps)
      loss = loss + self.boundary_weight * metrics["boundary_loss"]
    return loss, (metrics, new_state)

  def predict(self, variables: Variables, clips: Real[Array, "B *U T H W 3"]) -> Float32[Array, " B"]:
    """Probability of "fake" per clip, float32 `[B]` in [0, 1]."""
    return jax.nn.sigmoid(self.outputs(variables, clips)["logit"])


def binary_cross_entropy(logit: Float[Array, "*shape"], label: Int[Array, "*shape"]) -> Float32[Array, ""]:
  """Mean binary cross-entropy of logits `[B]` and labels `[B]` (1 = fake); float32 scalar."""
  return jnp.mean(optax.sigmoid_binary_cross_entropy(logit.astype(jnp.float32), label.astype(jnp.float32)))


def accuracy(logit: Float[Array, " B"], label: Int[Array, " B"]) -> Float32[Array, ""]:
  """Share of clips on the right side of probability 0.5; float32 scalar."""
  return jnp.mean((logit > 0) == (label > 0), dtype=jnp.float32)
