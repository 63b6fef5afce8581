"""Where a detector looks: Grad-CAM, input saliency and the maps that the papers draw.

Nothing is hooked into the networks. Flax lets a function stand between a module and its caller
(`nn.intercept_methods`); there zeros are added to the output that is asked about, and the derivative of the logit with
respect to those zeros is its derivative with respect to the output. One `jax.vjp` gives everything: a forward pass and,
down to the deepest layer that is asked about, a backward one.

Grad-CAM is signed here, Σ_c α_c A_c with α_c the mean of ∂logit/∂A_c over places and frames: what is positive speaks
for "fake", what is negative for "real". (The papers' ReLU is a matter of drawing, see `overlay.heat`.) Its unit is the
logit's: where the head is linear in the mean over places, as in DIL and the ResNets, the map's sum is logit − bias.

Reference: Selvaraju et al., "Grad-CAM", ICCV 2017; saliency: Simonyan et al., ICLR workshop 2014.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dfdetect_jax.methods.baselines.frame import FrameResNet
from dfdetect_jax.methods.baselines.frame_vit import FrameViT
from dfdetect_jax.methods.baselines.i3d import I3D
from dfdetect_jax.methods.baselines.xception import Xception
from dfdetect_jax.methods.dil.model import DIL
from dfdetect_jax.methods.dip.model import DIP
from dfdetect_jax.methods.ftcn import model as ftcn
from dfdetect_jax.methods.method import Method
from dfdetect_jax.methods.sdr.model import SDR
from dfdetect_jax.methods.st_ilif.model import STILIF

GRAD_CAM, SALIENCY = "grad_cam", "saliency"


@functools.partial(jax.tree_util.register_dataclass, data_fields=["probability", "maps", "tables"], meta_fields=[])
@dataclasses.dataclass(frozen=True)
class Explanation:
  """What a batch of clips was judged by.

  Attributes:
    probability: of "fake", float32 `[B]`, as `Method.predict` gives it.
    maps: places of the crop, by name: float32 `[B, T', h, w]`, with snippets `[B, U, T', h, w]`, rows from the top. T'
      is the clip's T, a divisor of it where the network merges frames, or 1 where one map stands for all frames.
      `grad_cam` (of several layers their sum, and each under `grad_cam_NAME`), `saliency` if asked for, and the
      method's own: `cafim_1` … `_4` and `affm` (ST-ILIF), `intra_k_i` (DIL), `dica` and `idm` (DIP).
    tables: what has no place in the crop, as the model's `__call__` documents it: `inter_attention_k_i` and
      `frame_logits` (DIL, ResNets), `attention_h`, `attention_v` averaged over heads and `diffusion` (DIP).
  """

  probability: jax.Array
  maps: dict[str, jax.Array]
  tables: dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Layer:
  """An output inside a network that Grad-CAM is taken of.

  Attributes:
    name: "" for the only layer, else what tells it from the method's others.
    path: of the module, as Flax names it.
    shaped: its output to `[B, …, h, w, C]`.
    method: of the module.
    first: the method's first argument where only that call counts (a stage's number).
    logit: the model's output that is explained.
  """

  name: str
  path: tuple[str, ...]
  shaped: Callable[[jax.Array], jax.Array] = lambda x: x
  method: str = "__call__"
  first: int | None = None
  logit: str = "logit"

  def stands_for(self, call: nn.module.InterceptorContext, args: tuple) -> bool:
    """Whether a call is the one whose output is meant."""
    here = (call.module.path, call.method_name) == (self.path, self.method)
    return here and (self.first is None or args[0] == self.first)


class _Unrolled(SDR):
  """SDR whose branches are modules of their own: what happens inside `nn.vmap` cannot be seen from outside."""

  def _spatial_perturbation_branches(self, views: jax.Array, train: bool) -> jax.Array:
    settings = (self.width, self.depths, self.form, self.remat, self.dtype)
    trunks = [ftcn.Trunk(*settings, name=f"branch{i}") for i in range(self.branches)]
    return jnp.stack([trunk(views[:, i], train) for i, trunk in enumerate(trunks)], axis=1)


def _unroll(model: SDR, variables: Any) -> tuple[nn.Module, Any]:
  """The same network with `branch0`, `branch1`, … in the place of the mapped (or shared) branches."""
  fields = {f.name: getattr(model, f.name) for f in dataclasses.fields(model) if f.name not in ("parent", "name")}

  def divided(collection):
    if "branches" not in collection and "branch" not in collection:
      return collection
    rest = {k: v for k, v in collection.items() if k not in ("branches", "branch")}
    each = {
      f"branch{i}": collection["branch"] if model.shared else jax.tree.map(lambda x, i=i: x[i], collection["branches"])
      for i in range(model.branches)
    }
    return {**rest, **each}

  return _Unrolled(**fields), {name: divided(collection) for name, collection in variables.items()}


def _patches(z: jax.Array) -> jax.Array:
  """DIP's tokens `[B, T, 1 + L², E]` without CLS, in their places `[B, T, L, L, E]`."""
  side = round((z.shape[-2] - 1) ** 0.5)
  return z[..., 1:, :].reshape(*z.shape[:-2], side, side, z.shape[-1])


def _one_frame(x: jax.Array) -> jax.Array:
  return x[:, None]


def layers_of(model: nn.Module) -> tuple[Layer, ...]:
  """The layers that Grad-CAM is taken of: the last maps of features that still have places; () for unknown networks.

  ST-ILIF has one in each stream (Fig. 12). DIP has one, the encoder's tokens, seen from its three logits: both
  directions together, and the horizontal and the vertical one alone (Fig. 7). A ViT on frames has the tokens before its
  last block: of that one's, the head sees the class token alone. Xception's stands before its last ReLU.
  """
  match model:
    case DIL():
      return (Layer("", (f"layer{len(model.depths)}_{model.depths[-1] - 1}",)),)
    case FrameResNet():
      return (Layer("", ("resnet",)),)
    case Xception():
      return (Layer("", ("bn4",)),)
    case FrameViT() if model.depth > 1:
      return (Layer("", (f"block{model.depth - 2}",), _patches),)
    case I3D():
      return (Layer("", (f"layer{len(model.temporal_kernels)}_{len(model.temporal_kernels[-1]) - 1}",)),)
    case ftcn.FTCN():
      return (Layer("", ("trunk", f"res4_{model.depths[-1] - 1}")),)
    case SDR():
      return tuple(Layer(f"{i}", (f"branch{i}", f"res4_{model.depths[-1] - 1}")) for i in range(model.branches))
    case STILIF():
      streams = ("phase", "sequence") if model.stream == "both" else (model.stream,)
      return tuple(Layer(name, (name,), _one_frame, "stage", 4) for name in streams)
    case DIP():
      logits = {"": "logit", "h": "logit_h", "v": "logit_v"}
      return tuple(Layer(name, ("ste",), _patches, logit=logit) for name, logit in logits.items())
  return ()


def explain(
  method: Method, variables: Any, clips: jax.Array, saliency: bool = False, layers: Sequence[Layer] | None = None
) -> Explanation:
  """Explains a batch of clips.

  Args:
    method: the detector.
    variables: its weights, as `Run.variables`.
    clips: uint8 or float on the 0-255 scale, `[B, T, H, W, 3]`, with snippets `[B, U, T, H, W, 3]`.
    saliency: also give `saliency` at full resolution `[B, …, T, H, W]`, ‖∂logit/∂pixel‖ over the colours, in logits
      per grey level; the backward pass then goes down to the pixels. It is given for networks without a known layer
      whatever this says. (ST-ILIF's phase-aware stream lets no gradient through to the pixels.)
    layers: that Grad-CAM is taken of; None: those of `layers_of`.

  Returns:
    See `Explanation`. For networks that `layers_of` does not know `grad_cam` is absent.
  """
  model = method.model.clone(remat="") if getattr(method.model, "remat", "") else method.model
  layers = layers_of(model) if layers is None else layers
  if isinstance(model, SDR):
    model, variables = _unroll(model, variables)
  saliency = saliency or not layers
  pixels = clips.astype(jnp.float32)

  def forward(added: list[jax.Array] | None, pixels: jax.Array):
    """Logits; with them the layers' outputs and all of the model's."""
    values: dict[int, jax.Array] = {}

    def between(call, args, kwargs, context):
      out = call(*args, **kwargs)
      found = [n for n, layer in enumerate(layers) if layer.stands_for(context, args)]
      if found:
        first, *rest = out if isinstance(out, tuple) else (out,)
        for n in found:
          values[n] = first
        if added is not None:  # of several logits' layers at one place the first one's zeros serve all
          first = first + added[found[0]]
        out = (first, *rest) if rest else first
      return out

    with nn.intercept_methods(between):
      outputs: Any = model.apply(variables, pixels, train=False)
    asked = dict.fromkeys(["logit", *(layer.logit for layer in layers)])
    return {name: outputs[name] for name in asked}, ([values[n] for n in range(len(layers))], outputs)

  shapes = jax.eval_shape(lambda: forward(None, pixels)[1][0])
  zeros = [jnp.zeros(s.shape, s.dtype) for s in shapes]
  if saliency:
    logits, pull, (values, outputs) = jax.vjp(forward, zeros, pixels, has_aux=True)
  else:
    logits, pull, (values, outputs) = jax.vjp(lambda added: forward(added, pixels), zeros, has_aux=True)

  derivatives = {
    asked: pull({name: jnp.ones_like(x) if name == asked else jnp.zeros_like(x) for name, x in logits.items()})
    for asked in logits
  }
  first_at = [next(m for m, other in enumerate(layers) if other.path == layer.path) for layer in layers]
  maps = {}
  for n, layer in enumerate(layers):
    derivative = layer.shaped(derivatives[layer.logit][0][first_at[n]])
    drawn = _weighted(layer.shaped(values[n]), derivative)
    if len(drawn) != len(clips):  # a network on single frames has folded time into the batch
      drawn = drawn.reshape(len(clips), -1, *drawn.shape[-2:])
    maps[f"{GRAD_CAM}_{layer.name}" if layer.name else GRAD_CAM] = drawn
  if layers and GRAD_CAM not in maps:
    maps[GRAD_CAM] = cast(jax.Array, sum(maps.values()))
  if saliency:
    maps[SALIENCY] = jnp.linalg.norm(derivatives["logit"][1], axis=-1)
  own, tables = _own(outputs, crossed=getattr(model, "dica", True))
  return Explanation(jax.nn.sigmoid(outputs["logit"]), {**maps, **own}, tables)


def make_explainer(method: Method, saliency: bool = False) -> Callable[[Any, jax.Array | np.ndarray], Explanation]:
  """`explain` of one detector, compiled: a function of variables and clips. One shape of clips compiles once."""
  return jax.jit(functools.partial(explain, method, saliency=saliency))


def _weighted(values: jax.Array, derivative: jax.Array) -> jax.Array:
  """Grad-CAM from A and ∂logit/∂A, both `[B, …, h, w, C]`; `[B, …, h, w]`."""
  values, derivative = values.astype(jnp.float32), derivative.astype(jnp.float32)
  alpha = jnp.mean(derivative, axis=tuple(range(1, derivative.ndim - 1)), keepdims=True)
  return jnp.sum(alpha * values, axis=-1)


def _own(outputs: dict[str, jax.Array], crossed: bool) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
  """The maps and tables that a method draws of itself; `crossed`: DIP's directions read each other."""
  maps, tables = {}, {}
  for name, value in outputs.items():
    if name.startswith("cafim_attention_") or name == "affm_attention":
      maps[name.replace("_attention", "")] = jnp.mean(value, axis=-1)[:, None]  # [B, 1, h, w]
    elif name.startswith("intra_attention_"):
      maps[name.replace("_attention", "")] = value
    elif name.startswith("inter_attention_") or name == "frame_logits":
      tables[name] = value
  if "attention_h" in outputs:
    heads = {d: jnp.mean(outputs[f"attention_{d}"], axis=1) for d in "hv"}  # [B, 1 + L, 1 + L]
    tables |= {f"attention_{d}": weights for d, weights in heads.items()}
    # What the CLS tokens read: the horizontal one, of columns; the vertical one, of rows (without DiCA each its own
    # direction). Their product is a place's.
    columns, rows = (heads[d][:, 0, 1:] for d in ("hv" if crossed else "vh"))
    maps["dica"] = (rows[:, :, None] * columns[:, None, :])[:, None]
  if "diffusion" in outputs:
    length = outputs["diffusion"].shape[-1] // 2
    tables["diffusion"] = outputs["diffusion"]
    # Row i and column j cross at the place (i, j): D_hv is a map of places as it stands.
    maps["idm"] = outputs["diffusion"][:, None, :length, length:]
  return maps, tables
