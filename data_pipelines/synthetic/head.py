"""Where the head is seen: rays through the pixels meet a head-shaped surface, and light falls on it.

The plain head is a stack of ellipses along the vertical axis, x^2/a^2 + z^2/c^2 = g(v)^2, and the person's features
stand out of it radially by the texture `height`. The camera is orthographic; x points right, y down, z to the viewer.
"""

import dataclasses

import cv2
import numpy as np

from data_pipelines.synthetic.identity import U_SCALE, Identity, Textures, texels, texture_grid
from data_pipelines.synthetic.noise import smoothstep

COARSE = 2  # the surface is smooth: it is met at every second pixel and interpolated between


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
  """Head to camera `[3, 3]`; angles in radians, positive yaw looks to the image's right, positive pitch down."""
  cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
  turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
  nod = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
  lean = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
  return (lean @ nod @ turn).astype(np.float32)


class Head:
  """A person's head as a surface with a normal everywhere."""

  def __init__(self, person: Identity, textures: Textures):
    self.person = person
    self.height = textures.height
    self.normals = self._normals()

  def radius(self, v: np.ndarray | np.floating) -> np.ndarray:
    """g(v): the cross-section at height v relative to the greatest one; 0 at crown and chin, negative beyond."""
    p = self.person
    power = np.where(v < 0, 2.3, p.chin)
    jaw = 1 - (1 - p.jaw) * smoothstep(v, 0.05, 0.9)
    room = 1 - np.abs(v) ** power
    return np.sign(room) * np.sqrt(np.abs(room)) * jaw

  def point(self, u: float, v: float) -> np.ndarray:
    """Position `[3]` of a surface point, head coordinates, features left out."""
    longitude, g = u / U_SCALE, float(self.radius(np.float32(v)))
    return np.array([self.person.width * g * np.sin(longitude), v, self.person.depth * g * np.cos(longitude)])

  def _normals(self) -> np.ndarray:
    u, v = texture_grid()
    r = np.maximum(self.radius(v), 1e-2) * (1 + self.height)
    p = np.stack([self.person.width * r * np.sin(u / U_SCALE), v, self.person.depth * r * np.cos(u / U_SCALE)], -1)
    n = np.cross(np.gradient(p, axis=0), np.gradient(p, axis=1))
    n = cv2.GaussianBlur(n / np.maximum(np.linalg.norm(n, axis=-1, keepdims=True), 1e-9), (0, 0), 1.2)
    return (-n / np.maximum(np.linalg.norm(n, axis=-1, keepdims=True), 1e-9)).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class View:
  """The head as one frame sees it, over a window of the frame of h x w pixels.

  Attributes:
    x0, y0: the window's corner in the frame.
    u, y: the surface point seen, `[h, w]` float32; y is the height before the jaw moves the skin.
    opacity: how much of the pixel the head covers, 0-1, `[h, w]`.
    light: light on the surface, RGB factor, `[h, w, 3]`.
    gloss: light mirrored to the viewer, 0-1, `[h, w]`.
    turn: head to camera, `[3, 3]`; centre: pixel (x, y) of the head's centre; scale: pixels per half head height.
  """

  x0: int
  y0: int
  u: np.ndarray
  y: np.ndarray
  opacity: np.ndarray
  light: np.ndarray
  gloss: np.ndarray
  turn: np.ndarray
  centre: np.ndarray
  scale: float

  def part(self, rows: slice, columns: slice) -> "View":
    """The view through a part of the window."""
    cut = {name: getattr(self, name)[rows, columns] for name in ("u", "y", "opacity", "light", "gloss")}
    return dataclasses.replace(self, x0=self.x0 + columns.start, y0=self.y0 + rows.start, **cut)

  def within(self, height: int, width: int) -> "View":
    """The part of the window that a frame of height x width has; heads may reach over the frame's edge."""
    h, w = self.u.shape
    rows = slice(max(0, -self.y0), max(0, min(h, height - self.y0)))
    return self.part(rows, slice(max(0, -self.x0), max(0, min(w, width - self.x0))))

  @property
  def window(self) -> tuple[slice, slice]:
    """Rows and columns of the frame that the window covers."""
    h, w = self.u.shape
    return slice(self.y0, self.y0 + h), slice(self.x0, self.x0 + w)

  def pixel(self, point: np.ndarray) -> np.ndarray:
    """Where a point `[3]` of the head lies in the window, (x, y)."""
    return self.centre + self.scale * (self.turn @ point)[:2] - (self.x0, self.y0)


@dataclasses.dataclass(frozen=True)
class Light:
  """One light and what comes from everywhere; camera coordinates."""

  direction: np.ndarray
  key: np.ndarray
  ambient: np.ndarray


def jaw_drop(y: np.ndarray, jaw: float) -> np.ndarray:
  """How far the jaw carries the skin at height y downwards: nothing above the lips, `jaw` at the chin."""
  return jaw * smoothstep(y, 0.50, 0.95)


def see(head: Head, turn: np.ndarray, centre: np.ndarray, scale: float, jaw: float, light: Light) -> View:
  """Meets the head with a ray per pixel.

  Args:
    turn: head to camera, `[3, 3]`.
    centre: pixel (x, y) of the head's centre.
    scale: pixels per half head height.
    jaw: how far the chin has dropped.
    light: what it is lit by.
  """
  half_w, half_h = int(1.06 * scale) // COARSE * COARSE, int(1.24 * scale) // COARSE * COARSE
  x0, y0 = int(round(centre[0])) - half_w, int(round(centre[1])) - half_h
  h, w = 2 * half_h // COARSE, 2 * half_w // COARSE
  shift = (COARSE - 1) / 2
  centre = np.asarray(centre, np.float32)
  sx = ((np.arange(w) * COARSE + shift + x0 - centre[0]) / scale).astype(np.float32)[None, :]
  sy = ((np.arange(h) * COARSE + shift + y0 - centre[1]) / scale).astype(np.float32)[:, None]
  a, c = head.person.width, head.person.depth
  ox, oy, oz = (turn[0, k] * sx + turn[1, k] * sy for k in range(3))
  dx, dy, dz = (float(x) for x in turn[2])
  ox, oz, dx, dz = ox / a, oz / c, dx / a, dz / c
  norm = dx * dx + dz * dz
  along = ox * dx + oz * dz
  off = np.abs(ox * dz - oz * dx) / norm**0.5  # distance of the ray from the axis

  depth = np.full((h, w), 0.5, np.float32)
  raised: np.ndarray = np.zeros((h, w), np.float32)
  for step in range(4):
    y = oy + depth * dy
    v = y - jaw_drop(y, jaw)
    g = head.radius(v) * (1 + raised)
    room = np.maximum(g, 0) ** 2 - off * off
    depth = (-along + np.sqrt(np.maximum(room, 0) * norm)) / norm
    if step < 3:
      u = np.arctan2(ox + depth * dx, oz + depth * dz) * U_SCALE
      raised = cv2.remap(head.height, *texels(u, v), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
  # Where the ray grazes the crown the steps do not settle; both of the last two must lie inside.
  y = oy + depth * dy
  v = y - jaw_drop(y, jaw)
  gap = np.minimum(g, head.radius(v) * (1 + raised)) - off
  gy, gx = np.gradient(gap)
  edge = gap / np.maximum(np.hypot(gx, gy), 1e-4) * COARSE  # pixels inside the outline

  normal = cv2.remap(head.normals, *texels(u, v), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
  towards = turn.T @ light.direction.astype(np.float32)
  facing = normal @ towards
  diffuse = np.clip((facing + 0.35) / 1.35, 0, None)
  half = towards + turn[2]
  half /= np.linalg.norm(half)
  gloss = np.clip(normal @ half, 0, 1) ** 18 * (facing > 0)
  rim = 0.75 + 0.25 * np.clip(normal @ turn[2], 0, 1)  # less sky reaches the sides
  lit = (rim[..., None] * light.ambient + diffuse[..., None] * light.key).astype(np.float32)

  size = (w * COARSE, h * COARSE)
  up = lambda image: cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)  # noqa: E731
  opacity = np.clip(up(np.clip(edge, -4, 4)) + 0.5, 0, 1)
  return View(x0, y0, up(u), up(y), opacity, up(lit), up(gloss), turn, centre, scale)
