"""Video deepfake detection in JAX: ST-ILIF, SDR on FTCN, DIP and DIL.

  import dfdetect_jax

  detector = dfdetect_jax.load("runs/dip")
  print(detector.predict("video.mp4").verdict)

`load`, `load_config` and `train_and_evaluate` are imported when they are first used.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from dfdetect_jax import signals

if TYPE_CHECKING:
  from dfdetect_jax.prediction.detector import Detector, load
  from dfdetect_jax.runs.config_files import load_config
  from dfdetect_jax.training.loop import train_and_evaluate

__version__ = "0.1.0"
__all__ = ["Detector", "load", "load_config", "train_and_evaluate"]

_HOMES = {
  "Detector": "dfdetect_jax.prediction.detector",
  "load": "dfdetect_jax.prediction.detector",
  "load_config": "dfdetect_jax.runs.config_files",
  "train_and_evaluate": "dfdetect_jax.training.loop",
}

if sys.argv[:1] == ["-m"]:  # `python -m` imports the package of a program first, and then what the program needs
  signals.until_main()
signals.end_with_starter()


def __getattr__(name: str) -> Any:
  if name not in _HOMES:
    raise AttributeError(f"module 'dfdetect_jax' has no attribute '{name}'")
  return getattr(importlib.import_module(_HOMES[name]), name)
