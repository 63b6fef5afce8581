"""Where a detector looks, on the frames of a verdict page: Grad-CAM of a clip, drawn on the video."""

import numpy as np

from dfdetect_jax.figures import overlay
from dfdetect_jax.figures.explain import GRAD_CAM, SALIENCY, make_explainer
from dfdetect_jax.prediction.judge import Judge


class HeatMaps:
  """Explains single clips of a judge's detector; one compilation serves all videos.

  Args:
    setup: the judge.
  """

  def __init__(self, setup: Judge):
    self._method, self._variables = setup.run.method, setup.run.variables
    self._explainer = make_explainer(self._method)

  def __call__(self, picture: np.ndarray, clip: np.ndarray, transform: np.ndarray, crop_size: int) -> np.ndarray:
    """Draws on a clip's middle frame what speaks for a forgery in it.

    Args:
      picture: the frame, uint8 RGB `[H, W, 3]`.
      clip: uint8 `[T, S, S, 3]`, with snippets `[U, T, S, S, 3]`.
      transform: `[2, 3]` from the crop's plane to the picture (`data_pipelines.faces.crop`).
      crop_size: side of the crop's plane in pixels.

    Returns:
      uint8 RGB `[H, W, 3]`; as bright where the clip's own greatest heat is, on whichever of its frames.
    """
    spec = self._method.clip_spec
    found = self._explainer(self._variables, clip[None]).maps
    drawn = np.asarray(found[GRAD_CAM] if GRAD_CAM in found else found[SALIENCY])[0]
    if spec.snippets:
      drawn = drawn[len(drawn) // 2]
    heat = overlay.heat(drawn, spec.frames, spec.size)
    middle = heat[spec.frames // 2]
    return overlay.blend(picture, overlay.in_video(middle, transform, crop_size, picture.shape[:2]), float(heat.max()))
