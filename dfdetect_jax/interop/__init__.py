"""Weights from elsewhere, and back: torchvision's ResNets, ViTs of timm and augreg, FTCN's own, and safetensors.

python -m dfdetect_jax.interop.convert --method=dil --from=resnet50.pth --to=weights/dil     # then --config.init=…
python -m dfdetect_jax.interop.export --from=runs/dil --to=dil.safetensors

`initial_variables` and `load` are imported when they are first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from dfdetect_jax.interop.checkpoint import load
  from dfdetect_jax.interop.start import initial_variables

__all__ = ["initial_variables", "load"]


def __getattr__(name: str) -> Any:
  if name == "load":
    from dfdetect_jax.interop.checkpoint import load

    return load
  if name == "initial_variables":
    from dfdetect_jax.interop.start import initial_variables

    return initial_variables
  raise AttributeError(f"module 'dfdetect_jax.interop' has no attribute '{name}'")
