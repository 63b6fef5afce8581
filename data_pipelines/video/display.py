"""What a viewer sees of a stored picture: its display matrix and the shape of its pixels obeyed, drawn in RGB."""

import dataclasses
import fractions
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

# Pixels of another shape are drawn square by enlarging, so that nothing is lost; beyond this ratio a header errs.
WIDEST_PIXEL = 8


@dataclasses.dataclass(frozen=True)
class Turn:
  """One of the eight ways to lay a picture on its sides: transposed first, then mirrored.

  Attributes:
    transposed: rows become columns.
    mirrored: left and right are exchanged.
    upside_down: above and below are exchanged.
    exact: whether the display matrix says just that; it may also turn by other angles, which nothing here does.
  """

  transposed: bool = False
  mirrored: bool = False
  upside_down: bool = False
  exact: bool = True

  def of(self, image: np.ndarray) -> np.ndarray:
    """The picture `[H, W, …]` turned; a view."""
    if self.transposed:
      image = image.swapaxes(0, 1)
    return image[:: -1 if self.upside_down else 1, :: -1 if self.mirrored else 1]


def turn_of(frame: av.VideoFrame) -> Turn:
  """What the frame's display matrix says, to the nearest quarter turn.

  The matrix (ISO/IEC 14496-12, 6.2.2) holds a, b, u, c, d, v, x, y, w in fixed point and takes the stored point (p, q)
  to the shown one (a·p + c·q + x, b·p + d·q + y). Where it lies and how large it is drawn is the player's affair.
  """
  data: Any = frame.side_data.get("DISPLAYMATRIX")
  if data is None:
    return Turn()
  a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
  return turn_of_matrix(a, b, c, d)


def turn_of_matrix(a: float, b: float, c: float, d: float) -> Turn:
  """See `turn_of`."""
  along, across = min(abs(a), abs(d)), min(abs(b), abs(c))
  if not along and not across:  # degenerate: nothing would be left of the picture
    return Turn(exact=not (a or b or c or d))
  if across > along:
    return Turn(True, c < 0, b < 0, max(abs(a), abs(d)) < 0.02 * across)
  return Turn(False, a < 0, d < 0, max(abs(b), abs(c)) < 0.02 * along)


def shown_size(width: int, height: int, pixel: fractions.Fraction | None, turn: Turn) -> tuple[int, int]:
  """Width and height of a stored picture as shown, in square pixels: the side that the pixels' shape stretches grows.

  Args:
    width, height: of the stored picture.
    pixel: width of a pixel over its height, None if unknown.
    turn: how it is turned.
  """
  if pixel is not None and 1 / WIDEST_PIXEL <= pixel <= WIDEST_PIXEL:
    width, height = (round(width * pixel), height) if pixel > 1 else (width, round(height / pixel))
  return (height, width) if turn.transposed else (width, height)


def fitted(width: int, height: int, canvas: tuple[int, int]) -> tuple[int, int]:
  """The largest size of this shape that the canvas holds; all of the canvas where rounding alone is between them."""
  factor = min(canvas[0] / width, canvas[1] / height)
  size = max(1, round(width * factor)), max(1, round(height * factor))
  return canvas if abs(size[0] - canvas[0]) <= 1 and abs(size[1] - canvas[1]) <= 1 else size


def draw(
  scaler: VideoReformatter, frame: av.VideoFrame, turn: Turn, size: tuple[int, int], canvas: tuple[int, int]
) -> np.ndarray:
  """Draws a frame.

  Args:
    scaler: one for all frames of a video: its tables are made once.
    frame: as decoded.
    turn: how it is turned.
    size: its width and height on the canvas, turned.
    canvas: width and height of the result; what the frame leaves free is black.

  Returns:
    `[H, W, 3]` uint8 RGB, contiguous.
  """
  width, height = size[::-1] if turn.transposed else size
  smaller, larger = width < frame.width or height < frame.height, width > frame.width or height > frame.height
  way = "BICUBIC" if larger else "AREA" if smaller else "BILINEAR"
  image = turn.of(scaler.reformat(frame, width, height, "rgb24", interpolation=way).to_ndarray())
  if size == canvas:
    return np.ascontiguousarray(image)
  out = np.zeros((canvas[1], canvas[0], 3), np.uint8)
  left, top = (canvas[0] - size[0]) // 2, (canvas[1] - size[1]) // 2
  out[top : top + size[1], left : left + size[0]] = image
  return out
