"""ST-ILIF's figures of what phases show (§3): they need no network, only face crops."""

import functools

import cv2
import numpy as np

from data_pipelines.video.distortions import distort
from dfdetect_jax.figures.figure import Drawn, Figure, Material, grid, look, to_png
from dfdetect_jax.methods.st_ilif import phase

T = 5  # frames of a clip (§4.1)
BINARISED = 0.05  # decision: residuals above this share of their range are drawn white (the paper names no threshold)


def _grey(frames: np.ndarray) -> np.ndarray:
  """Mean over the colours, float32 `[..., H, W]`."""
  return frames.astype(np.float32).mean(axis=-1)


@functools.cache
def _jitted(name: str):
  import jax

  return jax.jit(phase.RECONSTRUCTIONS[name])


def reconstructed(frames: np.ndarray, name: str = "phase") -> np.ndarray:
  """ST-ILIF's reconstruction of the grey mean over all T frames, `[H, W]` (§4.2; "phase" or "amplitude")."""
  return np.asarray(_jitted(name)(_grey(frames).mean(axis=0)))


def _show(axes, image: np.ndarray, low: float | None = None, high: float | None = None) -> None:
  """A grey picture between two values; where none are given, between its own 1st and 99th percentile."""
  low, high = (np.percentile(image, q) if v is None else v for v, q in ((low, 1), (high, 99)))
  axes.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), interpolation="nearest")


@look()
def figure1(material: Material) -> Drawn:
  """Frame differences and phase images of a real and a forged sequence (Fig. 1)."""
  both = material.both()
  shown = np.arange(T)
  rows = [f"{kind}\n{what}" for kind in (s.kind for s in both) for what in ("frames", "differences", "phase")]
  canvas, axes = grid(rows, [f"frame {i}" for i in shown])
  energy = {}
  differences = [np.diff(_grey(s.frames[: T + 1]), axis=0) for s in both]
  reach = max(np.abs(d).max() for d in differences)
  for n, (sample, difference) in enumerate(zip(both, differences)):
    energy[sample.kind] = float(np.abs(difference).mean())
    for i in shown:
      axes[3 * n, i].imshow(sample.frames[i])
      if i < len(difference):
        _show(axes[3 * n + 1, i], np.abs(difference[i]), 0, reach)
      _show(axes[3 * n + 2, i], reconstructed(sample.frames[i : i + 1]))
  caption = (
    f"Consecutive frames of {both[0].name} and {both[1].name}, the absolute differences of each to the next (0 to "
    f"{reach:.0f} grey levels) and the phase images. Mean difference: "
    + ", ".join(f"{kind} {value:.2f}" for kind, value in energy.items())
    + " grey levels."
  )
  return Drawn(to_png(canvas), caption, {"mean_difference": energy})


def up_sampled(image: np.ndarray) -> np.ndarray:
  """A picture that went through half its size and back, as a generator's last layers leave it."""
  height, width = image.shape
  half = cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
  return cv2.resize(half, (width, height), interpolation=cv2.INTER_LINEAR)


def spectra(image: np.ndarray) -> dict[str, np.ndarray]:
  """Amplitude, log(1 + |F|) in shares of its greatest, and phase over π, in [-1, 1]; zero frequency in the middle."""
  spectrum = np.fft.fftshift(np.fft.fft2(image.astype(np.float64)))
  amplitude = np.log1p(np.abs(spectrum))
  return {"amplitude": amplitude / amplitude.max(), "phase": np.angle(spectrum) / np.pi}


def residuals(image: np.ndarray) -> dict[str, np.ndarray]:
  """|spectrum − spectrum after up-sampling|, in shares of each one's range: amplitude 1, phase half a turn."""
  before, after = spectra(image), spectra(up_sampled(image))
  turned = np.angle(np.exp(1j * np.pi * (before["phase"] - after["phase"]))) / np.pi  # the short way round
  return {"amplitude": np.abs(before["amplitude"] - after["amplitude"]), "phase": np.abs(turned)}


@look()
def figure2(material: Material) -> Drawn:
  """What up-sampling changes: residuals of the amplitude and the phase spectrum, binarised (Fig. 2)."""
  samples = material.samples()
  canvas, axes = grid(["picture", "amplitude", "phase"], [s.kind for s in samples], 1.6)
  means: dict[str, list[float]] = {"amplitude": [], "phase": []}
  for n, sample in enumerate(samples):
    grey = _grey(sample.frames[len(sample.frames) // 2])
    _show(axes[0, n], grey, 0, 255)
    for row, (name, residual) in enumerate(residuals(grey).items(), start=1):
      means[name].append(float(residual.mean()))
      _show(axes[row, n], (residual > BINARISED).astype(float), 0, 1)
      axes[row, n].set_xlabel(f"mean {residual.mean():.3f}", fontsize=8)
  caption = (
    f"Where the spectra of a frame and of the same frame halved and up-sampled differ by more than {BINARISED:g} of "
    "their range (white), zero frequency in the middle, and the mean difference. Mean over the pictures: amplitude "
    f"{np.mean(means['amplitude']):.3f}, phase {np.mean(means['phase']):.3f}."
  )
  return Drawn(to_png(canvas), caption, {"mean_residual": means, "kinds": [s.kind for s in samples]})


@look()
def figure3(material: Material) -> Drawn:
  """Phase reconstruction under compression: as it is (c23) and at c40, real against forged (Fig. 3)."""
  both = material.both()
  columns, images, correlation = [], [], {}
  for name in ("as stored", "c40"):
    for sample in both:
      frames = sample.frames[:T]
      if name == "c40":  # level 5 is constant rate factor 40, as FF++'s authors made c40
        frames = np.stack(list(distort(frames, "compression", 5, sample.name)))
      columns.append(f"{name}\n{sample.kind}")
      images.append((frames[0], reconstructed(frames)))
  for n, sample in enumerate(both):
    one, other = (np.ravel(images[n + 2 * k][1]) for k in range(2))
    correlation[sample.kind] = float(np.corrcoef(one, other)[0, 1])
  canvas, axes = grid(["frame", "phase"], columns, 1.7)
  for n, (frame, image) in enumerate(images):
    axes[0, n].imshow(frame)
    _show(axes[1, n], image)
  caption = (
    f"Phase reconstruction of {T} frames as they are stored (c23 in FF++'s shards) and after H.264 at constant rate "
    "factor 40 (made here, as its authors made c40). Correlation of the two: "
    + ", ".join(f"{kind} {value:.2f}" for kind, value in correlation.items())
    + "."
  )
  return Drawn(to_png(canvas), caption, {"correlation_c40": correlation})


@look()
def figure5(material: Material) -> Drawn:
  """Phase against amplitude: the reconstructions, and the spectra themselves (Fig. 5)."""
  both = material.both()
  columns = ["frame", "phase\nreconstruction", "amplitude\nreconstruction", "phase\nspectrum", "amplitude\nspectrum"]
  canvas, axes = grid([s.kind for s in both], columns, 1.6)
  likeness: dict[str, dict] = {}
  for n, sample in enumerate(both):
    frames = sample.frames[:T]
    grey = _grey(frames).mean(axis=0)
    edges = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    axes[n, 0].imshow(frames[T // 2])
    likeness[sample.kind] = {}
    for k, name in enumerate(("phase", "amplitude"), start=1):
      image = reconstructed(frames, name)
      _show(axes[n, k], image)
      likeness[sample.kind][name] = float(np.corrcoef(image.ravel(), edges.ravel())[0, 1])
    for k, (name, values) in enumerate(reversed(spectra(grey).items()), start=3):
      _show(axes[n, k], values, *((-1, 1) if name == "phase" else (0, 1)))
  caption = (
    f"Reconstruction of the mean of {T} frames from its phases alone and from its amplitudes alone, and both spectra. "
    "Correlation with the picture's edges (Sobel): "
    + "; ".join(f"{k}: phase {v['phase']:.2f}, amplitude {v['amplitude']:.2f}" for k, v in likeness.items())
    + "."
  )
  return Drawn(to_png(canvas), caption, {"correlation_with_edges": likeness})


FIGURES = (
  Figure(
    "st_ilif_figure1", "frame differences and phase images", "ST-ILIF Fig. 1", "a real and a forged video", figure1
  ),
  Figure("st_ilif_figure2", "residuals of both spectra under up-sampling", "ST-ILIF Fig. 2", "any videos", figure2),
  Figure(
    "st_ilif_figure3", "phase reconstruction at c23 and c40", "ST-ILIF Fig. 3", "a real and a forged video", figure3
  ),
  Figure("st_ilif_figure5", "phase against amplitude", "ST-ILIF Fig. 5", "a real and a forged video", figure5),
)
