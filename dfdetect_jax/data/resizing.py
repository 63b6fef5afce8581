"""Crops of one side brought to another, alike for training and for judging."""

import cv2
import numpy as np


def resize(frame: np.ndarray, size: int) -> np.ndarray:
  """Resizes a square crop `[S, S, 3]` to `[size, size, 3]`: area when shrinking, bicubic when growing."""
  if frame.shape[0] == size:
    return frame
  return cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA if frame.shape[0] > size else cv2.INTER_CUBIC)
