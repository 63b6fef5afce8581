"""Four forgeries, made frame by frame on the frames of a real video; they stand for those of FaceForensics++.

Deepfakes
  stands for the autoencoder swap: the source's face, through a low-resolution bottleneck, with the target's expression;
  its colour, place and boundary err anew in every frame.
Face2Face
  stands for reenactment: the target's own face with the source's expression, fitted with fresh noise in every frame.
FaceSwap
  stands for texture transfer: the source's face, warped onto landmarks that jitter.
NeuralTextures
  stands for neural rendering: the target's mouth region, synthesised anew in every frame, so that it flickers.

Each draws per frame, in part, what a real video draws once (see `variation`), so a single frame tells little. They are
caricatures of the real methods' temporal faults, not models of them.
"""

import dataclasses

import numpy as np

from data_pipelines.synthetic.face import Expression, Person, face_radius, mouth_radius, paint
from data_pipelines.synthetic.head import View, jaw_drop
from data_pipelines.synthetic.motion import Motion
from data_pipelines.synthetic.noise import smoothstep
from data_pipelines.synthetic.variation import Variation, redraw

MANIPULATIONS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")


@dataclasses.dataclass(frozen=True)
class Fault:
  """What a manipulation does to one frame.

  Attributes:
    swaps: the face is the source's; otherwise the target's own.
    reenacts: the expression is the source's; otherwise the target's.
    mouth_only: only the mouth region is forged.
    warp, tint, mouth: shares of the displacement, the tint and the mouth's tint drawn anew in every frame (variance).
    opening, lips: standard deviation of the error of the mouth's opening (half head heights), and of the pose of lips
      and brows.
    boundary: standard deviation of the blending mask's place and size, half head heights.
  """

  swaps: bool = False
  reenacts: bool = False
  mouth_only: bool = False
  warp: float = 0.0
  tint: float = 0.0
  mouth: float = 0.0
  opening: float = 0.0
  lips: float = 0.0
  boundary: float = 0.0


FAULTS = {
  "Deepfakes": Fault(swaps=True, warp=0.4, tint=0.9, mouth=0.5, boundary=0.04),
  "Face2Face": Fault(reenacts=True, warp=0.8, tint=0.4, mouth=0.3, opening=0.022, lips=0.45),
  "FaceSwap": Fault(swaps=True, warp=0.85, tint=0.6, mouth=0.3, boundary=0.02),
  "NeuralTextures": Fault(mouth_only=True, warp=0.8, mouth=1.0, opening=0.035, lips=0.6),
}


REACH = 1.6  # squared distance from the face's middle beyond which no mask reaches, however it errs


def expression_at(motion: Motion, t: int) -> Expression:
  """The face's part of frame t of a motion."""
  opened, wide, smile, brow, blink = (
    float(x[t]) for x in (motion.open, motion.wide, motion.smile, motion.brow, motion.blink)
  )
  return Expression(opened, wide, smile, brow, blink, motion.gaze[t].astype(np.float32))


def forged_part(manipulation: str, view: View, target: Person, margin: int) -> View:
  """The part of the view that the manipulation may change, and `margin` pixels around it."""
  u, v = view.u, view.y - jaw_drop(view.y, 0.1)
  distance = mouth_radius(u, v, target.identity.mouth[0]) if FAULTS[manipulation].mouth_only else face_radius(u, v)
  changed = (distance < REACH) & (view.opacity > 0)
  span = lambda axis: np.flatnonzero(changed.any(axis=axis))  # noqa: E731
  cut = []
  for where, size in ((span(1), u.shape[0]), (span(0), u.shape[1])):
    cut.append(slice(max(0, where[0] - margin), min(size, where[-1] + 1 + margin)) if len(where) else slice(0, size))
  return view.part(*cut)


def forge(
  manipulation: str,
  view: View,
  target: Person,
  source: Person,
  expression: Expression,
  driver: Expression,
  kept: Variation,
  rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
  """Forges one frame.

  Args:
    manipulation: one of `MANIPULATIONS`.
    view: where the target's head is in this frame.
    target, source: whose video it is; whose face or motion is put in.
    expression, driver: the target's expression in this frame, and the source's.
    kept: the real video's variation (reenactments), or the swap's own.
    rng: random numbers of this frame.

  Returns:
    The forged head, lit RGB `[h, w, 3]` float32, and its opacity over the real frame, 0-1, `[h, w]`.
  """
  fault = FAULTS[manipulation]
  jaw = expression.jaw
  face = source if fault.swaps else target
  shown = driver if fault.reenacts else expression
  error = rng.standard_normal(4)
  shown = dataclasses.replace(
    shown,
    open=float(np.clip(shown.open + fault.opening * error[0], 0, 0.19)),
    wide=float(np.clip(shown.wide + fault.lips * error[1], -1.2, 1.2)),
    smile=float(np.clip(shown.smile + fault.lips * error[2], -0.4, 1.1)),
    brow=shown.brow if fault.mouth_only else float(np.clip(shown.brow + fault.lips * error[3], -0.6, 1.0)),
    blink=expression.blink,
    gaze=expression.gaze,
  )
  vary = redraw(kept, rng, fault.warp, fault.tint, fault.mouth)
  image = paint(view, target, face, shown, jaw, vary)
  u, v = view.u, view.y - jaw_drop(view.y, jaw)
  du, dv, grow = fault.boundary * np.clip(rng.standard_normal(3), -2, 2)
  if fault.mouth_only:
    distance = mouth_radius(u, v, target.identity.mouth[0])
  else:
    distance = face_radius((u - du) / (1 + grow), (v - dv) / (1 + grow))
  return image, smoothstep(distance, 1.0, 0.8) * view.opacity
