"""How a person moves and how they are filmed: one number per frame for everything that changes in a video."""

import dataclasses

import numpy as np

from data_pipelines.synthetic.noise import generator, log_uniform, track


@dataclasses.dataclass(frozen=True)
class Motion:
  """What the person does, `[frames]` each unless noted; angles in radians, lengths in half head heights."""

  yaw: np.ndarray
  pitch: np.ndarray
  roll: np.ndarray
  sway: np.ndarray  # [frames, 2], of the whole person
  open: np.ndarray  # mouth
  wide: np.ndarray  # lips spread (+) or rounded (-), about -1..1
  smile: np.ndarray
  brow: np.ndarray  # raised (+)
  blink: np.ndarray  # 0 open .. 1 closed
  gaze: np.ndarray  # [frames, 2]


@dataclasses.dataclass(frozen=True)
class Camera:
  """How the video is filmed; everything here strikes the whole frame alike, face and background together.

  Attributes:
    shake: pixels of a frame 256 high, `[frames, 2]`; tilt: radians, `[frames]`.
    gain: brightness factor per channel, `[frames, 3]`.
    blur: standard deviation in pixels, `[frames]`.
    noise: standard deviation in grey levels.
    light: direction `[frames, 3]`, camera coordinates; key, ambient: RGB factors, `[3]`.
    scale, place: head size relative to the default, and where it is in the frame, fractions of its height `[2]`.
  """

  shake: np.ndarray
  tilt: np.ndarray
  gain: np.ndarray
  blur: np.ndarray
  noise: float
  light: np.ndarray
  key: np.ndarray
  ambient: np.ndarray
  scale: float
  place: np.ndarray


def draw_motion(seed: int, number: int, frames: int) -> Motion:
  """The performance of identity `number`; the same person's motion drives those who are reenacted by them."""
  rng = generator(seed, number, "motion")
  lively = log_uniform(rng, 0.35, 1.5)
  talk = rng.uniform(0.5, 1.4)
  phrase = np.clip(1.2 + 2.0 * track(rng, frames, 0.35), 0, 1)  # speaking, or pausing
  syllables = np.clip(0.25 + 0.75 * track(rng, frames, 3.2), 0, None)
  opening = 0.062 * talk * phrase * syllables
  nod = 0.25 * phrase * track(rng, frames, 1.6)
  return Motion(
    yaw=rng.uniform(-0.22, 0.22) + 0.13 * lively * track(rng, frames, 0.45),
    pitch=rng.uniform(-0.06, 0.10) + 0.07 * lively * (track(rng, frames, 0.5) + nod),
    roll=rng.normal(0, 0.03) + 0.05 * lively * track(rng, frames, 0.4),
    sway=0.05 * lively * np.stack([track(rng, frames, 0.4), 0.5 * track(rng, frames, 0.4)], -1),
    open=np.clip(opening, 0, 0.19),
    wide=np.clip(0.55 * track(rng, frames, 2.5), -1.2, 1.2) * phrase,
    smile=np.clip(rng.uniform(-0.2, 0.7) + 0.3 * track(rng, frames, 0.5), -0.4, 1.1),
    brow=np.clip(0.35 * track(rng, frames, 0.8), -0.6, 1.0),
    blink=_blinks(rng, frames),
    gaze=0.017 * np.stack([track(rng, frames, 0.7), 0.5 * track(rng, frames, 0.7)], -1),
  )


def _blinks(rng: np.random.Generator, frames: int) -> np.ndarray:
  shape = np.array([0.35, 0.85, 1.0, 0.9, 0.55, 0.2])
  closed = np.zeros(frames + len(shape))
  start = int(rng.integers(0, 40))
  while start < frames:
    closed[start : start + len(shape)] = shape
    start += int(rng.integers(30, 100))
  return closed[:frames]


def draw_camera(seed: int, number: int, frames: int) -> Camera:
  """How the scene of identity `number` is filmed.

  The disturbances differ between videos by more than an order of magnitude, so that how much of a video changes from
  frame to frame tells little about whether it was forged.
  """
  rng = generator(seed, number, "camera")
  slow, fast, flicker = log_uniform(rng, 0.2, 3.0), log_uniform(rng, 0.08, 2.6), log_uniform(rng, 0.003, 0.05)
  shake = slow * np.stack([track(rng, frames, 0.8), track(rng, frames, 0.8)], -1) + fast * rng.standard_normal(
    (frames, 2)
  )
  level = flicker * rng.standard_normal(frames) + 0.02 * track(rng, frames, 0.5)
  white = log_uniform(rng, 0.001, 0.012) * rng.standard_normal((frames, 3)) + 0.01 * track(rng, frames, 0.4)[
    :, None
  ] * [1, 0, -1]
  azimuth = rng.uniform(-1.0, 1.0) + 0.25 * track(rng, frames, 0.3)
  elevation = rng.uniform(0.15, 0.8) + 0.12 * track(rng, frames, 0.3)
  light = np.stack([np.sin(azimuth) * np.cos(elevation), -np.sin(elevation), np.cos(azimuth) * np.cos(elevation)], -1)
  warmth = rng.normal(0, 0.06)
  key = rng.uniform(0.50, 0.70) * np.array([1 + warmth, 1, 1 - warmth])
  return Camera(
    shake=shake,
    tilt=0.002 * slow * track(rng, frames, 0.8) + 0.0008 * fast * rng.standard_normal(frames),
    gain=np.clip(1 + level[:, None] + white, 0.6, 1.4),
    blur=np.clip(rng.uniform(0.3, 1.0) + log_uniform(rng, 0.02, 0.35) * track(rng, frames, 1.2), 0, 1.8),
    noise=log_uniform(rng, 1.5, 6.5),
    light=light,
    key=key,
    ambient=rng.uniform(0.42, 0.54) * np.array([1 - 0.6 * warmth, 1, 1 + 0.6 * warmth]),
    scale=rng.uniform(0.92, 1.10),
    place=np.array([rng.uniform(-0.10, 0.10), rng.uniform(-0.02, 0.03)]),
  )
