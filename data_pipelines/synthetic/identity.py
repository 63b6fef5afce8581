"""Who is seen: the numbers that make one person, and the textures drawn from them.

A head is measured in half head heights: v runs from -1 (crown) to 1 (chin), u is the way around the head
(longitude x `U_SCALE`, so that near the nose u is a length), 0 at the nose. Textures cover |u| < `U_MAX`.
"""

import dataclasses

import cv2
import numpy as np

from data_pipelines.synthetic.noise import field, fractal, generator, smoothstep

U_SCALE = 0.70
U_MAX, V_MAX = 1.50, 1.06
TEXTURE_HEIGHT, TEXTURE_WIDTH = 352, 480

SKIN = np.array(
  [
    [243, 210, 190], [236, 196, 172], [226, 182, 155], [214, 166, 136], [198, 148, 117],
    [178, 126, 96], [152, 104, 78], [126, 84, 62], [100, 68, 52],
  ],
  np.float32,
)  # fmt: skip
HAIR = np.array(
  [[28, 24, 24], [48, 34, 28], [78, 52, 36], [112, 76, 48], [158, 118, 74], [196, 164, 112], [132, 66, 40],
   [150, 148, 146], [206, 204, 200]],
  np.float32,
)  # fmt: skip
IRIS = np.array([[70, 44, 28], [96, 66, 40], [104, 112, 72], [84, 118, 142], [110, 130, 140], [58, 38, 30]], np.float32)


@dataclasses.dataclass(frozen=True)
class Identity:
  """One person as numbers; lengths in half head heights, colours in 0-255 RGB."""

  name: str
  # The head: shape, hair, what is worn. A face swap leaves these alone.
  width: float
  depth: float
  jaw: float
  chin: float
  nose: np.ndarray  # height, tip width, bridge width
  cheek: float
  skin: np.ndarray
  oil: float
  hair: np.ndarray
  hair_style: str  # bald, short, bob, long
  hairline: np.ndarray  # height of the forehead, how far the temples recede, parting, raggedness
  beard: float
  glasses: float
  ears: float
  shirt: np.ndarray
  collar: str  # crew, v, shirt
  # The face: what a face swap carries over.
  eye: np.ndarray  # u, v, half width, half height, tilt
  iris: np.ndarray
  brow: np.ndarray  # v, thickness, arch, tilt, darkness
  nose_mark: np.ndarray  # v of the base, half width
  mouth: np.ndarray  # v, half width, upper thickness, lower thickness, cupid's bow
  lip: np.ndarray
  age: float
  freckles: float
  blush: float


def draw_identity(seed: int, number: int) -> Identity:
  """The person with this number; identities of one seed are independent draws."""
  rng = generator(seed, number, "identity")
  tone = rng.uniform(0, len(SKIN) - 1.001)
  low = int(tone)
  skin = SKIN[low] + (tone - low) * (SKIN[low + 1] - SKIN[low]) + rng.normal(0, 3, 3)
  dark = tone > 4.5
  hair = HAIR[rng.integers(0, 3 if dark else len(HAIR))] * rng.uniform(0.8, 1.15)
  style = str(rng.choice(["bald", "short", "short", "short", "bob", "long", "long"]))
  masculine = style in ("bald", "short")
  lip = skin * np.array([0.80, 0.52, 0.54]) + rng.normal(0, 5, 3)
  if not masculine and rng.random() < 0.5:
    lip = lip * [0.95, 0.75, 0.78] + [18, 0, 4]
  return Identity(
    name=f"{number:03d}",
    width=rng.uniform(0.66, 0.76),
    depth=rng.uniform(0.80, 0.92),
    jaw=rng.uniform(0.72, 0.90) + 0.04 * masculine,
    chin=rng.uniform(2.2, 3.2),
    nose=np.array([rng.uniform(0.10, 0.16), rng.uniform(0.065, 0.095), rng.uniform(0.042, 0.06)]),
    cheek=rng.uniform(0.0, 0.035),
    skin=skin.astype(np.float32),
    oil=rng.uniform(0.04, 0.22),
    hair=np.clip(hair, 12, 230).astype(np.float32),
    hair_style=style,
    hairline=np.array(
      [rng.uniform(-0.68, -0.52), rng.uniform(0.0, 0.16), rng.uniform(-0.25, 0.25), rng.uniform(0.01, 0.05)]
    ),
    beard=float(rng.choice([0.0, 0.0, 0.25, 0.6])) * masculine,
    glasses=float(rng.random() < 0.22),
    ears=rng.uniform(0.78, 1.0),
    shirt=(0.45 * rng.uniform(30, 220, 3) + 0.55 * rng.uniform(30, 215)).astype(np.float32),
    collar=str(rng.choice(["crew", "v", "shirt"])),
    eye=np.array(
      [
        rng.uniform(0.265, 0.31),
        rng.uniform(-0.05, 0.02),
        rng.uniform(0.122, 0.147),
        rng.uniform(0.050, 0.072),
        rng.normal(0, 0.08),
      ]
    ),
    iris=(IRIS[rng.integers(0, 2)] if dark else IRIS[rng.integers(0, len(IRIS))]) * rng.uniform(0.85, 1.15),
    brow=np.array(
      [
        rng.uniform(-0.215, -0.165),
        rng.uniform(0.022, 0.040),
        rng.uniform(0.02, 0.055),
        rng.normal(0.1, 0.12),
        rng.uniform(0.7, 1.0),
      ]
    ),
    nose_mark=np.array([rng.uniform(0.33, 0.40), rng.uniform(0.10, 0.135)]),
    mouth=np.array(
      [
        rng.uniform(0.56, 0.62),
        rng.uniform(0.20, 0.255),
        rng.uniform(0.030, 0.052),
        rng.uniform(0.045, 0.072),
        rng.uniform(0.004, 0.014),
      ]
    ),
    lip=np.clip(lip, 30, 235).astype(np.float32),
    age=rng.uniform(0, 1),
    freckles=float(rng.random() < 0.3) * rng.uniform(0.3, 1.0) * (not dark),
    blush=rng.uniform(0.2, 1.0),
  )


@dataclasses.dataclass(frozen=True)
class Textures:
  """What is drawn once per person, `[TEXTURE_HEIGHT, TEXTURE_WIDTH, ...]` float32 over (v, u).

  Attributes:
    face: skin with everything a face swap carries over (brows, wrinkles, freckles, shadows of the nose), 0-255 RGB.
    overlay: hair and glasses, RGB and opacity (0-1), of the head.
    beard: opacity of the beard (0-1), of the head.
    height: how far the surface stands out of the plain head, as a fraction of its radius.
  """

  face: np.ndarray
  overlay: np.ndarray
  beard: np.ndarray
  height: np.ndarray


def texture_grid() -> tuple[np.ndarray, np.ndarray]:
  """(u, v) at the texels, both `[TEXTURE_HEIGHT, TEXTURE_WIDTH]` float32."""
  u = np.linspace(-U_MAX, U_MAX, TEXTURE_WIDTH, dtype=np.float32)
  v = np.linspace(-V_MAX, V_MAX, TEXTURE_HEIGHT, dtype=np.float32)
  return np.meshgrid(u, v)


def texels(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Texel coordinates of (u, v), as `cv2.remap` wants them."""
  return (
    ((u + U_MAX) * ((TEXTURE_WIDTH - 1) / (2 * U_MAX))).astype(np.float32, copy=False),
    ((v + V_MAX) * ((TEXTURE_HEIGHT - 1) / (2 * V_MAX))).astype(np.float32, copy=False),
  )


def draw_textures(person: Identity, seed: int) -> Textures:
  """Draws a person's textures."""
  rng = generator(seed, int(person.name), "textures")
  u, v = texture_grid()
  hair = _hair_opacity(person, u, v, rng)
  return Textures(
    face=_draw_face(person, u, v, rng),
    overlay=_draw_overlay(person, u, v, hair, rng),
    beard=_draw_beard(person, u, v, rng),
    height=_draw_height(person, u, v, hair),
  )


def _bump(u, v, u0, v0, su, sv):
  return np.exp(-0.5 * (((u - u0) / su) ** 2 + ((v - v0) / sv) ** 2))


def _draw_height(person: Identity, u, v, hair):
  a = np.abs(u)
  height, tip, bridge = person.nose
  base = person.nose_mark[0]
  ridge = smoothstep(v, -0.22, base - 0.03) * smoothstep(v, base + 0.06, base - 0.03)
  sigma = bridge + (tip - bridge) * smoothstep(v, 0.05, base)
  nose = height * ridge * np.exp(-0.5 * (u / sigma) ** 2) + 0.35 * height * _bump(a, v, 0.09, base - 0.03, 0.035, 0.05)
  eye_u, eye_v = person.eye[:2]
  total = nose
  total = total - 0.050 * _bump(a, v, eye_u - 0.02, eye_v, 0.12, 0.075)
  total += 0.022 * _bump(a, v, 0.2, person.brow[0], 0.22, 0.06)
  total += (0.02 + person.cheek) * _bump(a, v, 0.40, 0.25, 0.14, 0.12)
  total += 0.035 * _bump(u, v, 0, person.mouth[0], 0.17, 0.10)
  total -= 0.022 * _bump(u, v, 0, person.mouth[0] + 0.15, 0.14, 0.035)
  total += 0.030 * _bump(u, v, 0, 0.88, 0.15, 0.09)
  total += {"bald": 0.0, "short": 0.055, "bob": 0.10, "long": 0.09}[person.hair_style] * cv2.GaussianBlur(
    hair, (0, 0), 5
  )
  return total.astype(np.float32)


def _hair_opacity(person: Identity, u, v, rng):
  if person.hair_style == "bald":
    return np.zeros_like(u)
  front, temples, _, ragged = person.hairline
  a = np.abs(u)
  # The hairline: level over the forehead, receding at the temples, then falling to the sideburns.
  edge = front - temples * _bump(a, 0 * v, 0.38, 0, 0.14, 1.0) + 0.9 * smoothstep(a, 0.50, 0.86)
  if person.hair_style == "short":
    low = 0.05 + 0.75 * smoothstep(a, 0.86, 1.1)
    edge = np.minimum(edge, low)
  else:
    edge = edge + 1.6 * smoothstep(a, 0.66, 0.92)
    if person.name[-1] in "02468":  # a fringe
      edge = edge + 0.20 * smoothstep(a, 0.5, 0.1)
  height, width = u.shape
  strands = field(rng, height, width, 3, 90) * ragged + 0.6 * ragged * field(rng, height, width, 2, 160)
  # Below the ears long hair hangs behind the face; on the head it would wrap the chin like a scarf.
  return (smoothstep(edge + strands - v, -0.02, 0.035) * smoothstep(v + 2 * strands, 0.56, 0.48)).astype(np.float32)


def _draw_face(person: Identity, u, v, rng):
  height, width = u.shape
  a = np.abs(u)
  skin = person.skin
  image = np.broadcast_to(skin, (height, width, 3)).astype(np.float32).copy()
  # Skin: blotches, blood under cheeks, nose and chin, pores.
  blotches = fractal(rng, height, width, 5, 4)
  image *= 1 + 0.022 * blotches[..., None] * np.array([0.7, 1.0, 1.0], np.float32)
  blood = (
    _bump(a, v, 0.34, 0.28, 0.15, 0.12)
    + 0.8 * _bump(u, v, 0, 0.30, 0.09, 0.09)
    + 0.4 * _bump(u, v, 0, 0.88, 0.15, 0.08)
  )
  image *= 1 - person.blush * blood[..., None] * np.array([0.0, 0.11, 0.09], np.float32)
  image *= 1 + 0.02 * rng.standard_normal((height, width, 1)).astype(np.float32)
  if person.freckles:
    dots = cv2.GaussianBlur(rng.standard_normal((height, width)).astype(np.float32), (0, 0), 1.1)
    dots = smoothstep(dots / dots.std(), 1.6, 2.6) * (_bump(a, v, 0.22, 0.22, 0.25, 0.14))
    image *= 1 - person.freckles * 0.35 * dots[..., None] * np.array([0.5, 0.9, 1.0], np.float32)
  for _ in range(rng.integers(0, 4)):  # moles
    spot = _bump(u, v, rng.uniform(-0.5, 0.5), rng.uniform(0.05, 0.9), 0.010, 0.010)
    image *= 1 - 0.5 * spot[..., None]

  shade = np.zeros((height, width), np.float32)
  eye_u, eye_v, eye_w, eye_h, _ = person.eye
  shade += 0.26 * _bump(a, v, eye_u - 0.05, eye_v - 0.065, 0.13, 0.038)  # under the brow
  shade += (0.08 + 0.16 * person.age) * _bump(a, v, eye_u - 0.01, eye_v + 0.105, 0.10, 0.026)  # under the eye
  shade += 0.22 * _bump(a, v, 0.10, eye_v + 0.01, 0.032, 0.06)  # inner corner
  base, wing = person.nose_mark
  shade += 0.20 * _bump(a, v, 0.085, 0.14, 0.028, 0.13)  # the nose's flank
  shade += 0.30 * _bump(a, v, wing, base - 0.01, 0.017, 0.048)  # around the wing
  shade += 0.45 * _bump(u, v, 0, base + 0.055, 0.10, 0.018)  # under the nose
  shade += 0.85 * _bump(a, v, 0.052, base + 0.028, 0.024, 0.0125)  # nostrils
  shade -= 0.10 * _bump(u, v, 0, base - 0.06, 0.03, 0.05)  # light on the tip
  shade += 0.10 * _bump(u, v, 0, (base + person.mouth[0]) / 2 + 0.02, 0.016, 0.05)  # philtrum
  fold = 0.10 + (v - base) * 0.55  # nasolabial
  shade += (
    (0.06 + 0.22 * person.age)
    * np.exp(-0.5 * ((a - wing + 0.08 - fold) / 0.017) ** 2)
    * (smoothstep(v, base - 0.05, base + 0.04) * smoothstep(v, person.mouth[0] + 0.10, person.mouth[0]))
  )
  shade += 0.26 * _bump(u, v, 0, person.mouth[0] + 0.135, 0.12, 0.024)  # under the lower lip
  shade += 0.12 * _bump(a, v, person.mouth[1] + 0.02, person.mouth[0] + 0.01, 0.03, 0.04)  # corners
  for k in range(3):  # forehead
    line = -0.32 - 0.075 * k + 0.012 * field(rng, height, width, 2, 7)
    shade += 0.16 * person.age**1.5 * np.exp(-0.5 * ((v - line) / 0.009) ** 2) * smoothstep(a, 0.42, 0.2)
  for k in (-1, 0, 1):  # crow's feet
    line = eye_v + k * 0.05 * (a - eye_u) / 0.12 + 0.01 * k
    shade += (
      0.15
      * person.age**2
      * np.exp(-0.5 * ((v - line) / 0.007) ** 2)
      * _bump(a, 0 * v, eye_u + eye_w + 0.07, 0, 0.03, 1)
    )
  image *= np.clip(1 - shade, 0.12, 1.2)[..., None] ** np.array([0.85, 1.0, 1.05], np.float32)

  # Brows: short strokes along an arch, thinning outwards.
  brow_v, thickness, arch, tilt, darkness = person.brow
  s = (a - (eye_u - 0.01)) / 0.17
  middle = brow_v - arch * (1 - (s - 0.25) ** 2) + tilt * 0.1 * s
  body = thickness * (1.15 - 0.45 * np.clip(s, -1, 1.2))
  strokes = 0.95 + 0.22 * field(rng, height, width, 45, 110)
  opacity = np.exp(-(((v - middle) / body) ** 2) * 1.4) * smoothstep(np.abs(s), 1.12, 0.80) * strokes * darkness
  opacity = np.clip(opacity, 0, 0.95)[..., None]
  colour = person.hair * 0.55 if person.hair_style != "bald" else skin * 0.3
  return (image * (1 - opacity) + colour * opacity).astype(np.float32)


def _draw_overlay(person: Identity, u, v, hair, rng):
  height, width = u.shape
  parting = person.hairline[2]
  flow = u + 0.25 * (u - parting) * (v + 1)
  strands = np.interp(flow.ravel(), np.linspace(-2.5, 2.5, 700), rng.standard_normal(700)).reshape(u.shape)
  strands = 0.7 * strands + 0.6 * field(rng, height, width, 6, 60)
  image = person.hair * (1 + 0.16 * strands[..., None])
  image = image * (1 - 0.25 * smoothstep(v, -0.6, 0.4)[..., None])
  opacity = hair.copy()
  if person.hair_style == "bald":  # shaved sides show as a shadow
    opacity = 0.18 * smoothstep(np.abs(u), 0.62, 0.95) * smoothstep(v, 0.25, 0.0)
    image = np.broadcast_to(person.skin * 0.45, image.shape)
  image = image.astype(np.float32)
  if person.glasses:
    eye_u, eye_v, eye_w, *_ = person.eye
    p = rng.uniform(2.2, 4.5)
    rim = (np.abs((np.abs(u) - eye_u - 0.01) / (eye_w + 0.075)) ** p + np.abs((v - eye_v - 0.02) / 0.135) ** p) ** (
      1 / p
    )
    thickness = rng.uniform(0.035, 0.075)
    line = smoothstep(np.abs(rim - 1), thickness + 0.06, thickness)
    bridge = smoothstep(np.abs(v - eye_v + 0.015), 0.022, 0.012) * (np.abs(u) < eye_u - eye_w - 0.05)
    temple = smoothstep(np.abs(v - eye_v + 0.02), 0.022, 0.012) * (np.abs(u) > eye_u + eye_w + 0.08)
    frame = np.maximum(np.maximum(line, bridge), temple).astype(np.float32)
    frame *= 1 - 0.9 * hair
    colour = np.array([[25, 24, 26], [70, 45, 32], [120, 118, 122], [40, 34, 70]], np.float32)[rng.integers(0, 4)]
    image = image * (1 - frame[..., None]) + colour * frame[..., None]
    opacity = np.maximum(opacity, frame)
  return np.dstack([image, opacity]).astype(np.float32)


def _draw_beard(person: Identity, u, v, rng):
  if not person.beard:
    return np.zeros_like(u)
  a = np.abs(u)
  mouth_v, mouth_w = person.mouth[:2]
  cheek = mouth_v - 0.12 - 0.45 * smoothstep(a, 0.32, 0.75)
  area = smoothstep(v, cheek, cheek + 0.10) * smoothstep(a, 0.98, 0.8)
  upper = _bump(u, v, 0, mouth_v - 0.085, mouth_w * 0.8, 0.032)
  area = np.maximum(area * (1 - 0.85 * _bump(u, v, 0, mouth_v, mouth_w * 0.8, 0.06)), upper)
  height, width = u.shape
  grain = 0.85 + 0.12 * field(rng, height, width, 70, 110) + 0.12 * field(rng, height, width, 150, 220)
  return np.clip(person.beard * area * grain, 0, 0.9).astype(np.float32)
