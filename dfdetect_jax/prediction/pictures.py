"""Small pictures inside of JSON and HTML."""

import base64

import cv2
import numpy as np

QUALITY = 72


def data_uri(image: np.ndarray, longest: int = 0, quality: int = QUALITY) -> str:
  """A picture as `data:image/webp;base64,…`.

  Args:
    image: `[H, W, 3]` uint8 RGB.
    longest: reduce it to this longest side in pixels (never enlarged), 0 = as it is.
    quality: of WebP, 1 to 100.
  """
  scale = longest / max(image.shape[:2]) if longest else 1.0
  if scale < 1:
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
  _, encoded = cv2.imencode(".webp", image[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, quality])
  return "data:image/webp;base64," + base64.b64encode(encoded.tobytes()).decode()


def picture_of(uri: str) -> bytes:
  """The WebP file that `data_uri` wrote into a URI."""
  return base64.b64decode(uri.partition(",")[2])
