"""How a crop is stored: PNG, lossless WebP or JPEG bytes."""

import dataclasses
import io

import cv2
import numpy as np
from PIL import Image

from dfdetect_jax.errors import UserError

PNG_LEVEL = 1  # zlib's quickest; higher levels save 10 % of the bytes for three times the time
DEFAULT_JPEG_QUALITY = 95  # below it, the codec's blocks weigh on the traces that detectors look for


@dataclasses.dataclass(frozen=True)
class Encoding:
  """One way to store pictures.

  Attributes:
    format: png, webp (lossless) or jpeg.
    quality: of JPEG, 1 … 100; 0 for the lossless ones.
  """

  format: str = "png"
  quality: int = 0

  def __str__(self) -> str:
    return f"{self.format}:{self.quality}" if self.quality else self.format

  def encode(self, image: np.ndarray) -> bytes:
    """The bytes of an image `[S, S, 3]` uint8 RGB."""
    if self.format == "webp":
      buffer = io.BytesIO()
      Image.fromarray(image).save(buffer, "WEBP", lossless=True, quality=20, method=0)
      return buffer.getvalue()
    if self.format == "png":
      suffix, options = ".png", [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL]
    else:
      colour = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
      suffix, options = ".jpg", [cv2.IMWRITE_JPEG_QUALITY, self.quality, *colour]
    return cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def parse(text: str) -> Encoding:
  """Reads `png`, `webp`, `jpeg` or `jpeg:QUALITY`.

  Raises:
    UserError: anything else.
  """
  name, _, quality = text.partition(":")
  if name in ("png", "webp") and not quality:
    return Encoding(name)
  if name == "jpeg" and (not quality or (quality.isdecimal() and 1 <= int(quality) <= 100)):
    return Encoding(name, int(quality or DEFAULT_JPEG_QUALITY))
  raise UserError(f"--encoding={text}: it is png, webp (lossless) or jpeg:QUALITY with a quality of 1 to 100.")


def decode(data: bytes) -> np.ndarray:
  """The image `[H, W, 3]` uint8 RGB in encoded bytes of any of the formats.

  Raises:
    ValueError: the bytes are no picture.
  """
  image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
  if image is None:
    raise ValueError("not a picture")
  return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
