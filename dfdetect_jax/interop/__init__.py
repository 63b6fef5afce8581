"""Weights from elsewhere, and back: torchvision's ResNets, ViTs of timm and augreg, FTCN's own, and safetensors.

python -m dfdetect_jax.interop.convert --method=dil --from=resnet50.pth --to=weights/dil     # then --config.init=…
python -m dfdetect_jax.interop.export --from=runs/dil --to=dil.safetensors
"""

from dfdetect_jax.interop.checkpoint import load
from dfdetect_jax.interop.start import initial_variables

__all__ = ["initial_variables", "load"]
