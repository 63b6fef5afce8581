"""The networks that the papers compare with: ResNet-18, ResNet-50, Xception, I3D on ResNet-50; MobileNetV2 and GenD.

Their objective but for GenD's is the plain one, binary cross-entropy on randomly flipped clips.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import ml_collections

from dfdetect_jax.errors import UserError, check_one_of, unknown
from dfdetect_jax.layers import resnet
from dfdetect_jax.methods.baselines import frame_vit, mobilenet_v2
from dfdetect_jax.methods.baselines.frame import FrameResNet
from dfdetect_jax.methods.baselines.gend import GenD
from dfdetect_jax.methods.baselines.i3d import I3D
from dfdetect_jax.methods.baselines.weights import weight_tables
from dfdetect_jax.methods.baselines.xception import Xception
from dfdetect_jax.methods.method import ClipSpec, Method

__all__ = ["build", "weight_tables"]

NETWORKS = ("resnet18", "resnet50", "xception", "i3d_r50", "mobilenet_v2", "gend")


def build(config: ml_collections.ConfigDict) -> Method:
  """Builds the network `config.model.network` of width `config.model.width`, for the clips in `config.clips`.

  Raises:
    UserError: there is no such network, or the clips do not fit it.
  """
  network, width = config.model.network, config.model.width
  settings: dict[str, Any] = {"width": width, "remat": config.remat, "dtype": jnp.dtype(config.dtype)}
  spec = ClipSpec(**config.clips)
  if spec.snippets or spec.test_snippets:
    raise UserError(f"{network} has no snippets: clips.snippets is {spec.snippets or spec.test_snippets}, make it 0.")
  model: nn.Module
  if network in resnet.SIZES:
    model = FrameResNet(**resnet.SIZES[network], **settings)
  elif network == "xception":
    model = Xception(middle=config.model.get("middle", 8), **settings)
  elif network == "i3d_r50":
    if spec.frames < 2:
      raise UserError(f"I3D halves the time axis: clips.frames is {spec.frames}, it must be at least 2.")
    model = I3D(**settings)
  elif network == "mobilenet_v2":
    check_one_of("model.head", config.model.head, mobilenet_v2.HEADS)
    frozen = config.model.get("frozen_statistics", False)
    model = mobilenet_v2.FrameMobileNetV2(head=config.model.head, frozen_statistics=frozen, **settings)
  elif network == "gend":
    return _gend(config, spec)
  else:
    raise unknown("baseline", network, NETWORKS, "model.network: ")
  return Method(model=model, clip_spec=spec)


def _gend(config: ml_collections.ConfigDict, spec: ClipSpec) -> GenD:
  size, tower = config.model.vit, config.model.tower
  check_one_of("model.vit", size, frame_vit.SIZES, "GenD: ")
  check_one_of("model.tower", tower, frame_vit.TOWERS, "GenD: ")
  settings = frame_vit.SIZES[size]
  if spec.size % settings["patch"]:
    raise UserError(f"GenD: clips of {spec.size} px cannot be cut into patches of {settings['patch']} px.")
  model = frame_vit.FrameViT(**settings, tower=tower, remat=config.remat, dtype=jnp.dtype(config.dtype))
  return GenD(model=model, clip_spec=spec, **config.objective)
