"""Phase-based reconstruction of the grey mean frame, and the images that Table 2 puts in its place (§4.2, Eq. 1-3)."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Real

AMPLITUDE = 25_000.0  # A in Eq. 2, at 224×224

# Fig. 6, the derivative along x; along y it is the transpose.
SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))
PREWITT = ((-1.0, 0.0, 1.0), (-1.0, 0.0, 1.0), (-1.0, 0.0, 1.0))


def grey_mean(clips: Real[Array, "B T H W 3"]) -> Float32[Array, "B H W"]:
  """Mean over frames and colours: `[B, T, H, W, 3]` on the 0-255 scale to float32 `[B, H, W]`.

  >>> grey_mean(jnp.array([[10, 20, 30], [40, 50, 60]]).reshape(1, 2, 1, 1, 3)).tolist()
  [[[35.0]]]
  """
  return jnp.mean(clips.astype(jnp.float32), axis=(1, 4))


def to_unit(images: Float[Array, "..."]) -> Float[Array, "..."]:
  """(x − 127.5) / 127.5: from the 0-255 scale to [-1, 1].

  >>> to_unit(jnp.array([0.0, 127.5, 255.0])).tolist()
  [-1.0, 0.0, 1.0]
  """
  return (images - 127.5) / 127.5


def phase_image(grey: Float32[Array, "*batch H W"]) -> Float32[Array, "*batch H W"]:
  """|F⁻¹(A · F / |F|)|, the image that has the grey image's phases and one amplitude at all frequencies.

  The paper prints e^{−jφ}, which is the image turned by 180°, and a two-quadrant arctan; F / |F| is e^{+jφ} of the
  four-quadrant one. Where F = 0 the phase counts as 0, as arctan2 has it. A = 25000 at 224×224 makes the root mean
  square A/√(HW) = 111.6, half of the grey scale; at other sizes A grows with √(HW), to keep that value (decision).

  Args:
    grey: `[..., H, W]` float32.

  Returns:
    `[..., H, W]` float32, at least 0, of root mean square 25000/224.

  >>> point = jnp.zeros((4, 4)).at[1, 2].set(7.0)  # all of its frequencies have one amplitude: it stays a point
  >>> [round(x, 1) for x in phase_image(point)[1].tolist()]  # 25000/224 · 4
  [0.0, 0.0, 446.4, 0.0]
  """
  height, width = grey.shape[-2:]
  amplitude = AMPLITUDE * (height * width) ** 0.5 / 224
  spectrum = jnp.fft.rfft2(grey)
  modulus = jnp.abs(spectrum).astype(spectrum.dtype)
  phase = jnp.where(modulus == 0, 1.0, spectrum / jnp.where(modulus == 0, 1.0, modulus))
  return jnp.abs(jnp.fft.irfft2(amplitude * phase, s=(height, width)))


def amplitude_image(grey: Float32[Array, "*batch H W"]) -> Float32[Array, "*batch H W"]:
  """|F⁻¹(|F|)|, the image that has the amplitudes and no phases; `[..., H, W]` float32 to the same (Table 2).

  >>> point = jnp.zeros((4, 4)).at[1, 2].set(7.0)  # where it stood is in its phases
  >>> [round(x, 4) for x in amplitude_image(point)[0].tolist()]
  [7.0, 0.0, 0.0, 0.0]
  """
  return jnp.abs(jnp.fft.irfft2(jnp.abs(jnp.fft.rfft2(grey)), s=grey.shape[-2:]))


def edge_image(grey: Float[Array, "*batch H W"], kernel: tuple[tuple[float, ...], ...]) -> Float[Array, "*batch H W"]:
  """√(Gx² + Gy²) by a 3×3 derivative kernel and its transpose, edges repeated; `[..., H, W]` to the same (Table 2).

  >>> step = jnp.array([[0.0, 0.0, 5.0, 5.0]] * 2)
  >>> edge_image(step, SOBEL)[0].tolist()  # (1 + 2 + 1) · 5 beside the step
  [0.0, 20.0, 20.0, 0.0]
  """
  height, width = grey.shape[-2:]
  padded = jnp.pad(grey, [(0, 0)] * (grey.ndim - 2) + [(1, 1), (1, 1)], mode="edge")
  gx, gy = jnp.zeros_like(grey), jnp.zeros_like(grey)
  for i in range(3):
    for j in range(3):
      shifted = padded[..., i : i + height, j : j + width]
      gx, gy = gx + kernel[i][j] * shifted, gy + kernel[j][i] * shifted
  return jnp.sqrt(gx**2 + gy**2)


RECONSTRUCTIONS = {
  "phase": phase_image,
  "amplitude": amplitude_image,
  "sobel": lambda grey: edge_image(grey, SOBEL),
  "prewitt": lambda grey: edge_image(grey, PREWITT),
}
