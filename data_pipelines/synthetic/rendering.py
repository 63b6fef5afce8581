"""A real video and the forgeries made of it, frame by frame, before any encoding."""

import dataclasses
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from data_pipelines.synthetic.face import draw_person, paint
from data_pipelines.synthetic.forgeries import FAULTS, expression_at, forge, forged_part
from data_pipelines.synthetic.head import Light, rotation, see
from data_pipelines.synthetic.motion import draw_camera, draw_motion
from data_pipelines.synthetic.noise import generator
from data_pipelines.synthetic.scene import (
  MARGIN,
  Sensor,
  draw_back_hair,
  draw_background,
  draw_body,
  draw_ears,
  lay_over,
  moved,
)
from data_pipelines.synthetic.variation import draw_variation

HEAD = 0.315  # half head height over frame height


@dataclasses.dataclass(frozen=True)
class Frame:
  """One frame of a real video and of its forgeries.

  Attributes:
    real: uint8 RGB `[H, W, 3]`.
    fakes: manipulation -> uint8 RGB; equal to `real` wherever the mask is False.
    masks: manipulation -> bool `[H, W]`, where the forgery was put in.
  """

  real: np.ndarray
  fakes: dict[str, np.ndarray]
  masks: dict[str, np.ndarray]


def frame_size(size: int) -> tuple[int, int]:
  """(height, width) of frames for `--size`, the height: 5:4, both even."""
  return size // 2 * 2, int(size * 1.25) // 2 * 2


def render(
  seed: int, target: int, source: int, frames: int, size: int, manipulations: Sequence[str]
) -> Iterator[Frame]:
  """Renders the real video of identity `target` and its forgeries with identity `source`.

  Everything is drawn from streams of random numbers named after what they are for, so the frames do not depend on which
  manipulations are asked for.

  Args:
    seed: the dataset's seed.
    target, source: identity numbers.
    frames: number of frames.
    size: height of the frames in pixels.
    manipulations: which forgeries to make, names of `FAULTS`; () for the real video alone.

  Yields:
    The frames in order.
  """
  height, width = frame_size(size)
  person = draw_person(seed, target)
  other = draw_person(seed, source) if any(FAULTS[m].swaps for m in manipulations) else person
  motion, driver = draw_motion(seed, target, frames), draw_motion(seed, source, frames)
  camera = draw_camera(seed, target, frames)
  own = draw_variation(generator(seed, target, "variation"))
  # A swap is another picture of a face, softer or sharper than the real one by another draw of the same distribution.
  kept = {m: draw_variation(generator(seed, target, source, m)) if FAULTS[m].swaps else own for m in manipulations}
  streams = {m: generator(seed, target, source, m, "frames") for m in manipulations}

  unit = height / 256
  scale = HEAD * height * camera.scale
  centre = np.array([width * 0.5 + camera.place[0] * height, height * (0.455 + camera.place[1])])
  background = draw_background(seed, target, height, width)
  body = draw_body(seed, person, height, width, centre, scale)
  back_hair = draw_back_hair(seed, person, scale)
  sensor = Sensor(seed, target, camera, height, width)

  for t in range(frames):
    shake, tilt = camera.shake[t] * unit, camera.tilt[t]
    sway = motion.sway[t] * scale
    frame = moved(
      background, _around((width / 2 + MARGIN, height / 2 + MARGIN), tilt, 1.0, shake - MARGIN), height, width
    )
    pivot = (centre[0] + MARGIN, height + MARGIN)
    still = _around(pivot, tilt + 0.1 * motion.roll[t], 1.0, shake + 0.7 * sway - MARGIN)

    turn = rotation(motion.yaw[t], motion.pitch[t], motion.roll[t] + tilt)
    neck = np.array([0, 0.95, -0.15])  # what the head turns about
    place = centre + shake + sway + scale * (neck - turn @ neck)[:2]
    expression = expression_at(motion, t)
    light = Light(camera.light[t], camera.key, camera.ambient)
    view = see(person.head, turn, place, scale, expression.jaw, light).within(height, width)
    if back_hair is not None:
      middle = (back_hair.shape[1] / 2, back_hair.shape[0] / 2)
      behind = place - (0.25 * scale * turn[0, 2], 0)
      lay_over(frame, moved(back_hair, _around(middle, motion.roll[t] + tilt, 1.0, behind - middle), height, width))
    lay_over(frame, moved(body, still, height, width))
    draw_ears(frame, view, person)

    head = paint(view, person, person, expression, expression.jaw, own)
    part = frame[view.window]
    part += view.opacity[..., None] * (head - part)
    real = sensor.expose(frame, t)

    fakes, masks = {}, {}
    for name in manipulations:
      near = forged_part(name, view, person, margin=2 * sensor.reach(t))
      image, opacity = forge(name, near, person, other, expression, expression_at(driver, t), kept[name], streams[name])
      own_head = head[near.y0 - view.y0 :, near.x0 - view.x0 :][: image.shape[0], : image.shape[1]]
      forged = frame[near.window] + opacity[..., None] * (image - own_head)
      reach = 2 * sensor.reach(t) + 1
      mask = np.zeros((height, width), bool)
      mask[near.window] = cv2.dilate((opacity > 1e-3).astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
      fake = real.copy()
      shown = sensor.expose(forged, t, near.x0, near.y0)
      fake[near.window] = np.where(mask[near.window][..., None], shown, real[near.window])
      fakes[name], masks[name] = fake, mask
    yield Frame(real, fakes, masks)


def _around(pivot: tuple[float, float], angle: float, scale: float, shift: np.ndarray) -> np.ndarray:
  """Turns by `angle` (radians) about `pivot`, then shifts; `[2, 3]`."""
  c, s = scale * np.cos(angle), scale * np.sin(angle)
  x, y = pivot
  return np.array([[c, -s, x - c * x + s * y + shift[0]], [s, c, y - s * x - c * y + shift[1]]])
