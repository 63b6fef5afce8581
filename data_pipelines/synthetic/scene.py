"""What is around the head: background, body, hair behind, ears, and the camera's sensor."""

import cv2
import numpy as np

from data_pipelines.synthetic.face import Person
from data_pipelines.synthetic.head import View
from data_pipelines.synthetic.motion import Camera
from data_pipelines.synthetic.noise import field, fractal, generator, smoothstep

MARGIN = 24  # pixels of background beyond the frame, so that a shaking camera never sees its end


def draw_background(seed: int, number: int, height: int, width: int) -> np.ndarray:
  """A room out of focus, `[height + 2 MARGIN, width + 2 MARGIN, 3]` float32 RGB."""
  rng = generator(seed, number, "background")
  h, w = height + 2 * MARGIN, width + 2 * MARGIN
  y, x = np.mgrid[0:h, 0:w].astype(np.float32)
  one, two = rng.uniform(40, 200, 3), rng.uniform(40, 200, 3)
  grey = rng.uniform(0.45, 0.95)
  one, two = (grey * c.mean() + (1 - grey) * c for c in (one, two))
  angle = rng.uniform(0, np.pi)
  ramp = ((np.cos(angle) * (x / w - 0.5) + np.sin(angle) * (y / h - 0.5)) + 0.7)[..., None] / 1.4
  image = (one * (1 - ramp) + two * ramp).astype(np.float32)
  kind = rng.choice(["plain", "shelf", "window", "lights", "panels"])
  if kind == "shelf":
    for top in np.arange(rng.integers(0, 30), h, rng.integers(50, 75)):
      left = 0
      while left < w:
        book = int(rng.integers(6, 20))
        colour = 0.45 * rng.uniform(20, 190, 3) + 0.55 * rng.uniform(25, 170)
        cv2.rectangle(image, (left, int(top + rng.integers(0, 14))), (left + book, int(top + 48)), colour.tolist(), -1)
        left += book + int(rng.choice([0, 0, 1, 8]))
      cv2.rectangle(image, (0, int(top + 48)), (w, int(top + 53)), (one * 0.5).tolist(), -1)
  elif kind == "window":
    left, upper = int(rng.integers(0, w // 2)), int(rng.integers(-10, 40))
    wide, high = int(rng.integers(70, 150)), int(rng.integers(110, 180))
    cv2.rectangle(image, (left, upper), (left + wide, upper + high), (226, 232, 238), -1)
    for k in (0, wide // 2, wide):
      cv2.line(image, (left + k, upper), (left + k, upper + high), (one * 0.6).tolist(), 5)
    cv2.line(image, (left, upper + high // 2), (left + wide, upper + high // 2), (one * 0.6).tolist(), 4)
  elif kind == "lights":
    image *= 0.5
    for _ in range(rng.integers(12, 40)):
      centre = (int(rng.integers(0, w)), int(rng.integers(0, int(0.8 * h))))
      cv2.circle(image, centre, int(rng.integers(4, 16)), (0.5 * rng.uniform(60, 250, 3) + [125, 105, 70]).tolist(), -1)
  elif kind == "panels":
    for left in range(int(rng.integers(-20, 0)), w, int(rng.integers(45, 90))):
      cv2.line(image, (left, 0), (left, h), (one * 0.55).tolist(), int(rng.integers(2, 5)))
    place = (int(rng.integers(0, w - 70)), int(rng.integers(10, 60)))
    cv2.rectangle(image, place, (place[0] + 60, place[1] + 45), (0.5 * rng.uniform(30, 220, 3) + 60).tolist(), -1)
  image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(1.0, 5.0)) * height / 256)
  return np.clip(image * (1 + 0.05 * fractal(rng, h, w, 3, 3)[..., None]), 0, 255).astype(np.float32)


def draw_body(seed: int, person: Person, height: int, width: int, centre: np.ndarray, scale: float) -> np.ndarray:
  """Neck, shoulders and clothes, RGB and opacity (0-1), the background's size; `centre` is the head's, in the frame."""
  p = person.identity
  rng = generator(seed, int(p.name), "body")
  h, w = height + 2 * MARGIN, width + 2 * MARGIN
  y, x = np.mgrid[0:h, 0:w].astype(np.float32)
  x = (x - MARGIN - centre[0]) / scale
  y = (y - MARGIN - centre[1]) / scale
  a = np.abs(x)
  soft = 1.0 / scale
  slope, wide = rng.uniform(0.22, 0.40), rng.uniform(1.35, 1.65)
  neck = p.width * rng.uniform(0.66, 0.78)
  top = (
    1.10
    + slope * np.clip((a - 0.45) / 0.8, 0, None) ** 1.3
    + 6 * np.clip(a - wide, 0, None) ** 2
    - 0.9 * np.clip(0.62 - a, 0, 0.3)
  )
  flare = neck + 0.55 * np.clip(y - 0.95, 0, None) ** 1.5

  tone = np.sqrt(np.clip(1 - (a / (flare + 0.12)) ** 2, 0.12, 1))
  shadow = 1 - 0.45 * smoothstep(y, 1.32, 0.90)
  image = p.skin * (0.95 * tone * shadow)[..., None]
  image -= 12 * np.exp(-(((a - 0.12 - 0.3 * (1.25 - y)) / 0.03) ** 2))[..., None] * (y > 0.9)[..., None]
  skin = smoothstep(flare - a, -soft, soft)

  folds = 1 + 0.10 * field(rng, h, w, 4, 9) + 0.05 * field(rng, h, w, 10, 16)
  fabric = p.shirt * (folds * (0.95 - 0.22 * (a / 1.5) ** 2))[..., None]
  if rng.random() < 0.25:
    fabric = fabric * (1 + 0.2 * np.sign(np.sin(rng.uniform(25, 45) * (y if rng.random() < 0.5 else x))))[..., None]
  if p.collar == "v":
    hem = 1.20 + 0.9 * np.clip(0.42 - a, 0, None)
  elif p.collar == "crew":
    hem = 1.14 + 0.18 * np.sqrt(np.clip(1 - (a / 0.55) ** 2, 0, 1))
  else:
    hem = 1.10 + 0.55 * np.clip(0.40 - a, 0, None)
    flap = smoothstep(0.34 * (1 - np.abs(a - 0.13) / 0.42) - (y - hem), -soft, soft)
    fabric = fabric + flap[..., None] * (np.minimum(p.shirt * 1.18 + 14, 250) - fabric)
    fabric = fabric * (1 - 0.25 * np.exp(-((x / 0.012) ** 2)))[..., None]
  fabric = fabric * (1 - 0.3 * np.exp(-(((y - hem) / 0.03) ** 2)))[..., None]
  cloth = smoothstep(y - np.maximum(top, hem), -soft, soft)
  image = image + cloth[..., None] * (fabric - image)
  shape = np.maximum(skin * smoothstep(y, 0.3, 0.4), smoothstep(y - top, -soft, soft))
  return np.dstack([np.clip(image, 0, 255), shape]).astype(np.float32)


def draw_back_hair(seed: int, person: Person, scale: float) -> np.ndarray | None:
  """Hair that hangs behind the face, RGB and opacity, square of 4.4 half head heights; None for short hair."""
  p = person.identity
  if p.hair_style not in ("bob", "long"):
    return None
  rng = generator(seed, int(p.name), "back hair")
  n = int(4.4 * scale)
  y, x = (np.mgrid[0:n, 0:n].astype(np.float32) - n / 2) / scale
  length = rng.uniform(0.75, 1.0) if p.hair_style == "bob" else rng.uniform(1.3, 1.7)
  wave = 0.03 * np.sin(6 * y + rng.uniform(0, 6)) * smoothstep(y, -0.6, 0.2)
  half = (
    (p.width + 0.13) * np.sqrt(np.clip(1 - np.minimum(y + 0.1, 0) ** 2 / 0.98, 0, 1))
    + 0.10 * smoothstep(y, 0.0, length)
    + wave
  )
  strands = np.interp((x / np.maximum(half, 0.1) * 1.4).ravel(), np.linspace(-3, 3, 420), rng.standard_normal(420))
  strands = strands.reshape(x.shape).astype(np.float32)
  edge = length + 0.05 * strands - 0.2 * (np.abs(x) / 0.9) ** 2
  soft = 1.5 / scale
  opacity = (y > -1.08) * smoothstep(half - np.abs(x), -soft, soft) * smoothstep(edge - y, -0.05, 0.05)
  shade = (0.72 + 0.14 * strands) * (0.6 + 0.4 * np.clip(np.abs(x) / 0.8, 0, 1))
  return np.dstack([np.clip(p.hair * shade[..., None], 0, 255), opacity]).astype(np.float32)


def lay_over(frame: np.ndarray, layer: np.ndarray, x0: int = 0, y0: int = 0) -> None:
  """Composites RGB and opacity onto the frame, in place, the layer's corner at pixel (x0, y0)."""
  h, w = layer.shape[:2]
  top, left = max(0, -y0), max(0, -x0)
  bottom, right = min(h, frame.shape[0] - y0), min(w, frame.shape[1] - x0)
  part = frame[y0 + top : y0 + bottom, x0 + left : x0 + right]
  layer = layer[top:bottom, left:right]
  rows = np.flatnonzero(layer[..., 3].any(axis=1))  # much of a layer is often empty
  if not len(rows):
    return
  layer, part = layer[rows[0] : rows[-1] + 1], part[rows[0] : rows[-1] + 1]
  part += layer[..., 3:] * (layer[..., :3] - part)


def moved(layer: np.ndarray, matrix: np.ndarray, height: int, width: int) -> np.ndarray:
  """The layer as a frame of height x width sees it; `matrix` `[2, 3]` takes layer pixels to frame pixels."""
  return cv2.warpAffine(
    layer, matrix.astype(np.float32), (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
  )


def draw_ears(frame: np.ndarray, view: View, person: Person) -> None:
  """Draws the ears onto the frame, in place; the head is laid over them."""
  p = person.identity
  if p.hair_style in ("bob", "long"):
    return
  if not view.light.size:
    return
  for side in (-1, 1):
    root = np.array([side * p.width * 0.97, 0.10, -0.02])
    x, y = view.pixel(root) + (view.x0, view.y0)
    facing = float((view.turn @ np.array([side, 0.0, 0.35]))[2])  # how much of the ear's face is turned to the viewer
    wide = view.scale * p.ears * (0.075 + 0.13 * max(facing - 0.2, 0.0))
    high = view.scale * p.ears * 0.185
    x += side * 0.45 * wide
    r = int(high * 1.3) + 2
    y0, y1, x0, x1 = (
      max(0, int(y) - r),
      min(frame.shape[0], int(y) + r),
      max(0, int(x) - r),
      min(frame.shape[1], int(x) + r),
    )
    if y1 <= y0 or x1 <= x0:
      continue
    gy, gx = np.mgrid[y0:y1, x0:x1].astype(np.float32)
    s, t = (gx - x) / wide * side, (gy - y) / high
    s = s + 0.25 * t
    r2 = np.sqrt(s * s * (1 + 0.35 * t) + t * t)
    opacity = smoothstep(r2, 1 + 1.0 / wide, 1 - 0.6 / wide)
    fold = 1 - 0.42 * np.exp(-(((r2 - 0.62) / 0.16) ** 2)) * (s > -0.4)
    middle = view.light[
      np.clip(gy.astype(int) - view.y0, 0, view.light.shape[0] - 1),
      np.clip(int(x - side * 0.4 * view.scale) - view.x0, 0, view.light.shape[1] - 1),
    ]
    colour = p.skin * np.array([0.98, 0.86, 0.84], np.float32) * fold[..., None] * 0.92 * middle
    part = frame[y0:y1, x0:x1]
    part += opacity[..., None] * (colour - part)


class Sensor:
  """Turns light into pixels: exposure and white balance, focus, noise; the same for a frame and for its forgeries."""

  def __init__(self, seed: int, number: int, camera: Camera, height: int, width: int):
    self.camera = camera
    rng = generator(seed, number, "sensor")
    grain = rng.standard_normal((2 * height, 2 * width, 1)) + 0.35 * rng.standard_normal((2 * height, 2 * width, 3))
    self._grain = (camera.noise * cv2.GaussianBlur(grain.astype(np.float32), (0, 0), 0.55) * 1.6).astype(np.float32)
    self._corners = rng.integers(0, min(height, width), (len(camera.blur), 2))

  def reach(self, t: int) -> int:
    """How many pixels away frame t's focus spreads light."""
    return int(np.ceil(3 * self.camera.blur[t])) + 1

  def expose(self, light: np.ndarray, t: int, x0: int = 0, y0: int = 0) -> np.ndarray:
    """uint8 RGB of frame t, or of the window of it whose corner is (x0, y0)."""
    sigma = float(self.camera.blur[t])
    if sigma > 0.25:
      size = 2 * self.reach(t) + 1
      light = cv2.GaussianBlur(light, (size, size), sigma)
    cy, cx = self._corners[t] + (y0, x0)
    h, w = light.shape[:2]
    image = light * self.camera.gain[t].astype(np.float32) + self._grain[cy : cy + h, cx : cx + w]
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
