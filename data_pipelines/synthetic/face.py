"""A face on a head: skin, eyes and mouth, painted for one frame from the numbers of an expression.

Real videos and forgeries are painted by the same code. They differ in who `face` is, and in whether the `Variation`
stays as it is through the video.
"""

import dataclasses
import functools

import cv2
import numpy as np

from data_pipelines.synthetic.head import Head, View, jaw_drop
from data_pipelines.synthetic.identity import Identity, Textures, draw_identity, draw_textures, texels
from data_pipelines.synthetic.noise import smoothstep
from data_pipelines.synthetic.variation import Variation


class Person:
  """An identity with its textures and head."""

  def __init__(self, seed: int, number: int):
    self.identity: Identity = draw_identity(seed, number)
    self.textures: Textures = draw_textures(self.identity, seed)
    self.head = Head(self.identity, self.textures)


@functools.lru_cache(maxsize=2)
def draw_person(seed: int, number: int) -> Person:
  """The person with this number; the two of a pair are remembered, for each is the other's source."""
  return Person(seed, number)


@dataclasses.dataclass(frozen=True)
class Expression:
  """One frame of `Motion`, as far as the face is concerned."""

  open: float
  wide: float
  smile: float
  brow: float
  blink: float
  gaze: np.ndarray

  @property
  def jaw(self) -> float:
    return 0.8 * self.open


def face_radius(u: np.ndarray, v: np.ndarray) -> np.ndarray:
  """Squared distance from the middle of the face, 1 on the oval from above the brows to above the chin's end."""
  return (u / 0.54) ** 2 + ((v - 0.29) / 0.64) ** 2


def mouth_radius(u: np.ndarray, v: np.ndarray, mouth_v: float) -> np.ndarray:
  """Squared distance from the mouth, 1 on an oval that an open mouth does not leave."""
  return (u / 0.40) ** 2 + ((v - mouth_v - 0.03) / 0.24) ** 2


def paint(view: View, wearer: Person, face: Person, expression: Expression, jaw: float, vary: Variation) -> np.ndarray:
  """Paints the head of one frame.

  Args:
    view: where the wearer's head is.
    wearer: whose head, hair, beard, glasses and skin tone it is.
    face: whose face it wears; the same person in a real video.
    expression: what the face does.
    jaw: how far the head's own jaw has dropped (a forged mouth may open otherwise than the chin moves).
    vary: tint and displacement of the face.

  Returns:
    RGB on the 0-255 scale, lit, `[h, w, 3]` float32.
  """
  u, v = view.u, view.y - jaw_drop(view.y, jaw)
  inside = smoothstep(face_radius(u, v), 1.0, 0.55)
  shift_u, shift_v = vary.displacement(u, v)
  fu, fy = u + inside * shift_u, view.y + inside * shift_v
  skin_v = fy - jaw_drop(fy, expression.jaw)
  brow_v = face.identity.brow[0]
  skin_v = skin_v + 0.05 * expression.brow * smoothstep(np.abs(skin_v - brow_v + 0.03), 0.2, 0.0)
  cheek = smoothstep(np.abs(skin_v - 0.42), 0.3, 0.0) * smoothstep(np.abs(np.abs(fu) - 0.3), 0.2, 0.0)
  skin_v = skin_v + 0.035 * expression.smile * cheek
  image: np.ndarray = cv2.remap(
    face.textures.face, *texels(fu, skin_v), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
  )
  if face is not wearer:
    image *= wearer.identity.skin / face.identity.skin

  if wearer.identity.beard:
    beard = cv2.remap(wearer.textures.beard, *texels(u, v), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[
      ..., None
    ]
    image += beard * (0.6 * wearer.identity.hair - image)
  for side in (-1, 1):
    _paint_eye(image, view, face, expression, fu, skin_v, side)
  _paint_mouth(image, view, face, wearer, expression, fu, fy)

  around = smoothstep(mouth_radius(u, v, face.identity.mouth[0]), 1.0, 0.4)
  image += inside[..., None] * vary.tint + around[..., None] * vary.mouth_tint
  rows = max(8, round(vary.detail * image.shape[0] / 2.48))
  columns = max(8, round(rows * image.shape[1] / image.shape[0]))
  coarse = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)
  coarse = cv2.resize(coarse, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
  image += inside[..., None] * (coarse - image)

  overlay = cv2.remap(wearer.textures.overlay, *texels(u, v), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
  cover = overlay[..., 3:]
  image += cover * (overlay[..., :3] - image)
  shine = view.gloss[..., None] * (wearer.identity.oil * (1 - 0.7 * cover))
  return image * view.light + 190 * shine


def _window(view: View, point: np.ndarray, radius: float) -> tuple[slice, slice]:
  x, y = view.pixel(point)
  r = radius * view.scale
  h, w = view.u.shape
  return slice(max(0, int(y - r)), min(h, int(y + r) + 1)), slice(max(0, int(x - r)), min(w, int(x + r) + 1))


def _blend(image: np.ndarray, colour: np.ndarray | np.floating, opacity: np.ndarray) -> None:
  image += opacity[..., None] * (colour - image)


def _paint_eye(image, view, face, expression, u, v, side):
  p = face.identity
  eye_u, eye_v, half_w, half_h, tilt = p.eye
  window = _window(view, face.head.point(side * eye_u, eye_v), 0.26)
  part = image[window]
  if not part.size:
    return
  e = side * u[window] - eye_u
  f = v[window] - eye_v + tilt * e
  soft = 0.9 / view.scale
  s = e / half_w
  arc = np.maximum(1 - s * s, 0)
  lower = 0.55 * half_h * arc
  wide_open = -half_h * (1 + 0.15 * expression.brow) * np.sqrt(arc) * (1 + 0.15 * s)
  closing = np.clip(expression.blink + 0.12 * max(expression.smile, 0), 0, 1)
  upper = wide_open + closing * (lower - wide_open)
  opening = smoothstep(np.minimum(f - upper, lower - f), -soft * 0.5, soft) * (arc > 0)

  shadow = (0.66 + 0.34 * smoothstep(f - upper, 0.0, 0.04))[..., None]
  white = np.array([244, 236, 231], np.float32) * (1 - 0.10 * s[..., None] ** 2 * np.array([0, 1, 1], np.float32))
  ball = white * shadow
  gx, gy = side * expression.gaze[0], expression.gaze[1] - 0.005
  r = np.hypot(e - gx, f - gy)
  iris = p.iris.astype(np.float32) * (0.55 + 0.6 * smoothstep(r, 0.02, 0.045))[..., None]
  iris = iris * (1 - 0.6 * smoothstep(r, 0.046, 0.057))[..., None]
  _blend(ball, iris * (0.75 + 0.25 * shadow), smoothstep(r, 0.057 + soft, 0.057 - soft * 0.5))
  _blend(ball, np.float32(12), smoothstep(r, 0.023 + soft, 0.020))
  glint = np.hypot(e - gx - side * 0.017, f - gy + 0.02)
  _blend(ball, np.float32(265), smoothstep(glint, 0.016 + soft, 0.006))
  crease = np.exp(-(((f - wide_open + 0.030) / 0.011) ** 2)) * np.sqrt(arc)
  _blend(part, part * 0.66, crease * (1 - 0.4 * expression.blink))
  _blend(part, ball, opening)
  edge = smoothstep(np.abs(s), 1.12, 0.85)
  lash = np.exp(-(((f - upper + 0.004) / (0.011 + 0.3 * soft)) ** 2)) * edge
  _blend(part, np.float32(24) + 0.12 * part, 0.88 * lash)
  lash = np.exp(-(((f - lower) / 0.009) ** 2)) * edge
  _blend(part, part * 0.6, 0.45 * lash)


def _paint_mouth(image, view, face, wearer, expression, u, y):
  p = face.identity
  mouth_v, half_w, upper_lip, lower_lip, bow = p.mouth
  window = _window(view, face.head.point(0, mouth_v + 0.06), 0.38)
  part = image[window]
  if not part.size:
    return
  m = u[window]
  f = y[window] - mouth_v
  soft = 0.9 / view.scale
  opened = expression.open
  half_w = half_w * (1 + 0.13 * expression.wide + 0.10 * expression.smile)
  plump = 1 - 0.22 * expression.wide
  s = m / half_w
  arc = np.maximum(1 - s * s, 0)
  bend = -0.045 * expression.smile * s * s
  lens = arc**0.75
  upper_in = bend - 0.2 * opened * lens
  lower_in = bend + 0.8 * opened * lens
  peaks = np.exp(-(((np.abs(m) - 0.05) / 0.035) ** 2)) - 0.8 * np.exp(-((m / 0.022) ** 2))
  upper_out = upper_in - (upper_lip * arc**0.65 + bow * peaks * np.sqrt(arc)) * plump
  lower_out = lower_in + lower_lip * arc**0.7 * plump
  within = arc > 0

  tone = wearer.identity.skin / p.skin if face is not wearer else 1.0
  ridge = smoothstep(f, upper_in - 0.02, lower_in + 0.02)
  light = 0.86 + 0.12 * ridge + 0.10 * np.exp(-(((f - lower_in - 0.45 * lower_lip) / 0.017) ** 2)) * arc
  grooves = 1 + 0.03 * np.sin(m * 190)
  lips = p.lip * tone * (light * grooves)[..., None]
  cover = smoothstep(np.minimum(f - upper_out, lower_out - f), -soft, soft * 1.2) * within
  _blend(part, lips.astype(np.float32), 0.92 * cover)

  gap = smoothstep(np.minimum(f - upper_in, lower_in - f), -soft * 0.4, soft) * within
  depth = np.clip(opened / 0.05, 0, 1)
  inner = np.broadcast_to(np.array([58, 20, 20], np.float32), part.shape) * (1 - 0.4 * (1 - s[..., None] ** 2))
  tongue = smoothstep(f, lower_in - 0.45 * opened - 0.01, lower_in - 0.1 * opened) * smoothstep(np.abs(s), 0.8, 0.4)
  _blend(inner, np.array([150, 72, 70], np.float32), 0.8 * tongue * smoothstep(opened, 0.05, 0.10))
  tooth = np.array([222, 214, 200], np.float32) * (1 - 0.35 * s[..., None] ** 2)
  tooth = tooth * (1 - 0.10 * (np.abs(np.sin(m * 62)) < 0.16))[..., None]
  row = smoothstep(f, upper_in + min(0.055, 0.6 * opened + 0.01), upper_in + min(0.045, 0.5 * opened)) * smoothstep(
    np.abs(s), 0.92, 0.7
  )
  _blend(inner, tooth.astype(np.float32), row * smoothstep(opened, 0.012, 0.035))
  _blend(part, inner, gap * depth)
  line = np.exp(-(((f - 0.5 * (upper_in + lower_in)) / (0.009 + 0.25 * soft)) ** 2)) * smoothstep(np.abs(s), 1.06, 0.9)
  _blend(part, part * 0.30, line * (1 - depth) * 0.9)
