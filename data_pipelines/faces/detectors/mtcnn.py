"""MTCNN: proposals from a pyramid (P-Net), refined (R-Net), judged and given five landmarks (O-Net), in JAX.

The weights are those of the installed `mtcnn` package, which itself would need TensorFlow and is therefore never
imported. All array shapes are fixed (one canvas per aspect ratio, batches of one size), so that nothing is compiled
twice, whatever the videos.

Reference: Zhang et al., Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks, 2016.
"""

import functools
import importlib.metadata
import importlib.util
import io
import pathlib

import cv2
import jax
import jax.numpy as jnp
import joblib
import lz4.frame
import numpy as np

from data_pipelines.faces.detectors import nms
from data_pipelines.faces.detectors.detector import Face
from dfdetect_jax.errors import UserError

CELL = 12  # P-Net's receptive field in pixels
STRIDE = 2  # and the distance between its cells
SMALLEST_FACE = 0.08  # of the image's short side
SCALE_FACTOR = 0.709  # between the levels of the pyramid: halves the area
THRESHOLDS = (0.6, 0.7, 0.8)  # of P-, R- and O-Net, for a sure face
FAINT = (0.6, 0.5, 0.5)  # for one that may bridge between sure ones: blurred, turned away, hard compressed
# Overlap above which the weaker of two proposals is dropped: within a level, across levels, after R-Net, after O-Net.
OVERLAPS = (0.5, 0.7, 0.7, 0.7)
SHORT_SIDE = round(CELL / SMALLEST_FACE)  # of the largest level, where the smallest face fills one cell
LONG_SIDES = (150, 200, 268, 360)  # canvases for aspect ratios up to 1, 4:3, 16:9, 2.4; longer images are shrunk
P_BATCH, R_BATCH, O_BATCH = 4, 64, 16
MOST_PER_LEVEL = 400  # proposals kept: bounds the work on an image full of texture


def _conv(x: jax.Array, kernel: np.ndarray, bias: np.ndarray) -> jax.Array:
  dims = ("NHWC", "HWIO", "NHWC")
  y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=dims)  # type: ignore[arg-type]  # lax takes NumPy's too
  return y + bias.reshape(1, 1, 1, -1)


def _prelu(x: jax.Array, slope: np.ndarray) -> jax.Array:
  return jnp.maximum(x, 0) + slope.reshape((1,) * (x.ndim - 1) + (-1,)) * jnp.minimum(x, 0)


def _max_pool(x: jax.Array, size: int, padding: str) -> jax.Array:
  return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, size, size, 1), (1, 2, 2, 1), padding)


def _dense(x: jax.Array, kernel: np.ndarray, bias: np.ndarray) -> jax.Array:
  return x @ kernel + bias.reshape(1, -1)


def _face_probability(logits: jax.Array) -> jax.Array:
  """Softmax over (no face, face), second entry."""
  return jax.nn.sigmoid(logits[..., 1] - logits[..., 0])


def _normalise(images: jax.Array) -> jax.Array:
  return (images.astype(jnp.float32) - 127.5) / 128


def _flatten(x: jax.Array) -> jax.Array:
  """Rows for the dense layers; the weights come from column-major code, hence width before height."""
  return x.transpose(0, 2, 1, 3).reshape(x.shape[0], -1)


def p_net(w: list[np.ndarray], images: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Proposals of every 12×12 cell.

  Args:
    w: weights in the package's order: kernel, bias and PReLU slope of each layer.
    images: `[N, H, W, 3]` uint8.

  Returns:
    Face probability `[N, h, w]` and box regression `[N, h, w, 4]` in fractions of the cell; cell (i, j) sees the 12×12
    pixels from (2i, 2j) on.
  """
  x = _max_pool(_prelu(_conv(_normalise(images), w[0], w[1]), w[2]), 2, "SAME")
  x = _prelu(_conv(x, w[3], w[4]), w[5])
  x = _prelu(_conv(x, w[6], w[7]), w[8])
  return _face_probability(_conv(x, w[11], w[12])), _conv(x, w[9], w[10])


def r_net(w: list[np.ndarray], images: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Face probability `[N]` and box regression `[N, 4]` of crops `[N, 24, 24, 3]` uint8."""
  x = _max_pool(_prelu(_conv(_normalise(images), w[0], w[1]), w[2]), 3, "SAME")
  x = _max_pool(_prelu(_conv(x, w[3], w[4]), w[5]), 3, "VALID")
  x = _prelu(_conv(x, w[6], w[7]), w[8])
  x = _prelu(_dense(_flatten(x), w[9], w[10]), w[11])
  return _face_probability(_dense(x, w[14], w[15])), _dense(x, w[12], w[13])


def o_net(w: list[np.ndarray], images: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Face probability `[N]`, box regression `[N, 4]` and landmarks `[N, 10]` (five x, five y, in fractions of the crop)
  of crops `[N, 48, 48, 3]` uint8."""
  x = _max_pool(_prelu(_conv(_normalise(images), w[0], w[1]), w[2]), 3, "SAME")
  x = _max_pool(_prelu(_conv(x, w[3], w[4]), w[5]), 3, "VALID")
  x = _max_pool(_prelu(_conv(x, w[6], w[7]), w[8]), 2, "SAME")
  x = _prelu(_conv(x, w[9], w[10]), w[11])
  x = _prelu(_dense(_flatten(x), w[12], w[13]), w[14])
  return _face_probability(_dense(x, w[19], w[20])), _dense(x, w[15], w[16]), _dense(x, w[17], w[18])


def load_weights() -> dict[str, list[np.ndarray]]:
  """The three networks' weights out of the installed `mtcnn` package, keys pnet, rnet, onet.

  Raises:
    UserError: the package is not installed.
  """
  found = importlib.util.find_spec("mtcnn")  # finds the package without running it
  if found is None or found.origin is None:
    raise UserError("the face detector 'mtcnn' needs the package of that name for its weights: pip install mtcnn.")
  folder = pathlib.Path(found.origin).parent / "assets" / "weights"
  # Bytes, not a file: given the file, joblib drops lz4's reader unclosed, which Python 3.13 prints as an exception.
  packed = {name: (folder / f"{name}.lz4").read_bytes() for name in ("pnet", "rnet", "onet")}
  return {name: joblib.load(io.BytesIO(lz4.frame.decompress(content))) for name, content in packed.items()}


@functools.cache
def pyramid_layout(long_side: int) -> tuple[tuple[int, int], list[tuple[int, int]]]:
  """Places every level of the pyramid on one canvas, so that P-Net runs once per image.

  Below the largest level stand the second one and, in the corner right of it, the fifth and smaller ones; below these
  the third and the fourth. Origins are even, because P-Net's cells are two pixels apart.

  Args:
    long_side: width of the largest level, whose height is `SHORT_SIDE`.

  Returns:
    Height and width of the canvas, and (y, x) of each level.
  """
  count = int(np.log(CELL / SHORT_SIDE) / np.log(SCALE_FACTOR)) + 1
  even = lambda v: 2 * int(np.ceil(v / 2))  # noqa: E731
  sizes = [(even(SHORT_SIDE * SCALE_FACTOR**k), even(long_side * SCALE_FACTOR**k)) for k in range(count)]
  row1, row2 = sizes[0][0], sizes[0][0] + sizes[1][0]
  places = [(0, 0), (row1, 0), (row2, 0), (row2, sizes[2][1])]
  y = row1
  for height, _ in sizes[4:]:
    places.append((y, sizes[1][1]))
    y += height
  assert y <= row2, "the small levels fit beside the second one"
  corners = [(y + h, x + w) for (y, x), (h, w) in zip(places, sizes, strict=True)]
  return (max(y for y, _ in corners), max(x for _, x in corners)), places


class Mtcnn:
  """The whole cascade; see `Detector`."""

  def __init__(self):
    weights = load_weights()
    self.version = f"mtcnn {importlib.metadata.version('mtcnn')} (weights), networks in JAX"
    self._p, self._r, self._o = (
      jax.jit(functools.partial(net, weights[name]))
      for net, name in ((p_net, "pnet"), (r_net, "rnet"), (o_net, "onet"))
    )

  def detect(self, images: np.ndarray) -> list[list[Face]]:
    """See `Detector.detect`."""
    results = []
    for start in range(0, len(images), P_BATCH):
      results += self._detect(images[start : start + P_BATCH])
    return results

  def _detect(self, images: np.ndarray) -> list[list[Face]]:
    proposed = self._propose(images)
    which: np.ndarray = np.repeat(np.arange(len(images)), [len(b) for b in proposed])
    boxes = np.concatenate(proposed)
    scores, regression = _in_batches(self._r, _patches(images, which, boxes, 24), R_BATCH)
    keep = scores > FAINT[1]
    which, boxes, scores = which[keep], _refine(boxes[keep], regression[keep]), scores[keep]
    keep = _suppress(which, boxes, scores, OVERLAPS[2])
    which, boxes, sure = which[keep], _square(boxes[keep]), scores[keep] > THRESHOLDS[1]
    scores, regression, points = _in_batches(self._o, _patches(images, which, boxes, 48), O_BATCH)
    sure &= scores > THRESHOLDS[2]
    keep = scores > FAINT[2]
    which, boxes, sure, scores, regression, points = (a[keep] for a in (which, boxes, sure, scores, regression, points))
    sides = (boxes[:, 2:] - boxes[:, :2])[:, None]
    points = boxes[:, None, :2] + points.reshape(-1, 2, 5).transpose(0, 2, 1) * sides
    boxes = _refine(boxes, regression)
    # A sure face goes before any faint one, whatever their scores: the faint may add to the sure, never replace them.
    keep = _suppress(which, boxes, scores + sure, OVERLAPS[3], of_smaller=True)
    faces: list[list[Face]] = [[] for _ in images]
    for i in keep:
      faces[which[i]].append(Face(boxes[i], float(scores[i]), points[i], bool(sure[i])))
    return faces

  def _propose(self, images: np.ndarray) -> list[np.ndarray]:
    """P-Net's square proposals `[n, 4]` per image, in the image's pixels."""
    height, width = images.shape[1:3]
    upright = height <= width  # canvases lie; a standing image is proposed for on a canvas turned likewise
    short, long = sorted((height, width))
    long_side = next((s for s in LONG_SIDES if long * SHORT_SIDE <= s * short), LONG_SIDES[-1])
    largest = min(SHORT_SIDE / short, long_side / long)
    (canvas_h, canvas_w), places = pyramid_layout(long_side)
    if not upright:
      canvas_h, canvas_w, places = canvas_w, canvas_h, [(x, y) for y, x in places]
    canvas = np.full((P_BATCH, canvas_h, canvas_w, 3), 128, np.uint8)
    sizes = []
    for k, (y, x) in enumerate(places):
      h, w = (max(1, int(side * largest * SCALE_FACTOR**k)) for side in (height, width))
      sizes.append((h, w))
      for n, image in enumerate(images):
        canvas[n, y : y + h, x : x + w] = _resize(image, w, h)
    scores, regression = (np.asarray(a) for a in self._p(canvas))
    return [self._boxes_of(scores[n], regression[n], places, sizes, (height, width)) for n in range(len(images))]

  @staticmethod
  def _boxes_of(
    scores: np.ndarray,
    regression: np.ndarray,
    places: list[tuple[int, int]],
    sizes: list[tuple[int, int]],
    image_size: tuple[int, int],
  ) -> np.ndarray:
    """Proposals `[n, 4]` of one image from its maps `[h, w]` and `[h, w, 4]`."""
    found_boxes, found_scores = [np.zeros((0, 4))], [np.zeros(0)]
    for (y, x), (h, w) in zip(places, sizes, strict=True):
      if min(h, w) < CELL:
        continue
      # Only the cells that see this level and nothing of its neighbours on the canvas.
      cells = (slice(y // STRIDE, (y + h - CELL) // STRIDE + 1), slice(x // STRIDE, (x + w - CELL) // STRIDE + 1))
      level = scores[cells]
      i, j = np.nonzero(level > FAINT[0])
      if len(i) > MOST_PER_LEVEL:
        best = np.argsort(-level[i, j], kind="stable")[:MOST_PER_LEVEL]
        i, j = i[best], j[best]
      corner = np.stack([j, i, j, i], 1) * float(STRIDE) + np.array([0.0, 0.0, CELL, CELL])
      boxes = corner + regression[cells][i, j].astype(np.float64) * CELL
      boxes *= np.array([image_size[1] / w, image_size[0] / h] * 2)
      keep = nms.suppress(boxes, level[i, j], OVERLAPS[0])
      found_boxes.append(boxes[keep])
      found_scores.append(level[i, j][keep])
    boxes, scores = np.concatenate(found_boxes), np.concatenate(found_scores)
    return _square(boxes[nms.suppress(boxes, scores, OVERLAPS[1])])


def _in_batches(net, patches: np.ndarray, size: int) -> list[np.ndarray]:
  """Applies a network to any number of patches in padded batches of one size."""
  outputs = []
  for start in range(0, max(1, len(patches)), size):
    part = patches[start : start + size]
    padded = np.zeros((size, *patches.shape[1:]), np.uint8)
    padded[: len(part)] = part
    outputs.append([np.asarray(a)[: len(part)] for a in net(padded)])
  return [np.concatenate(a) for a in zip(*outputs, strict=True)]


def _patches(images: np.ndarray, which: np.ndarray, boxes: np.ndarray, size: int) -> np.ndarray:
  """Cuts boxes out of their images: `[n, size, size, 3]` uint8, grey where a box leaves its image."""
  patches = np.full((len(boxes), size, size, 3), 128, np.uint8)
  height, width = images.shape[1:3]
  corners = np.round(boxes).astype(np.int64)
  for n, (x1, y1, x2, y2) in enumerate(corners):
    left, top, right, bottom = max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)
    if right <= left or bottom <= top:
      continue
    part = images[which[n], top:bottom, left:right]
    if (right - left, bottom - top) != (x2 - x1, y2 - y1):
      over, under, before, after = map(int, (top - y1, y2 - bottom, left - x1, x2 - right))
      part = cv2.copyMakeBorder(part, over, under, before, after, cv2.BORDER_CONSTANT, value=(128, 128, 128))
    patches[n] = _resize(part, size, size)
  return patches


def _resize(image: np.ndarray, width: int, height: int) -> np.ndarray:
  shrinks = width < image.shape[1]
  return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _refine(boxes: np.ndarray, regression: np.ndarray) -> np.ndarray:
  """Moves each edge by its regression, in fractions of the box's side."""
  return boxes + regression.astype(np.float64) * np.tile(boxes[:, 2:] - boxes[:, :2], (1, 2))


def _square(boxes: np.ndarray) -> np.ndarray:
  """The squares around the same centres with the longer side."""
  centre = (boxes[:, :2] + boxes[:, 2:]) / 2
  half = np.max(boxes[:, 2:] - boxes[:, :2], axis=1, keepdims=True, initial=1.0) / 2
  return np.concatenate([centre - half, centre + half], axis=1)


def _suppress(
  which: np.ndarray, boxes: np.ndarray, scores: np.ndarray, overlap: float, of_smaller: bool = False
) -> np.ndarray:
  """Non-maximum suppression within each image; indices of what stays, image by image, the surest first."""
  kept = [np.zeros(0, np.int64)]
  for n in np.unique(which):
    own = np.nonzero(which == n)[0]
    kept.append(own[nms.suppress(boxes[own], scores[own], overlap, of_smaller)])
  return np.concatenate(kept)


def create(model: str = "") -> Mtcnn:
  """The detector, with the weights of the installed package."""
  if model:
    raise UserError("the detector 'mtcnn' takes no --detector-model: its weights come with the package 'mtcnn'.")
  return Mtcnn()
