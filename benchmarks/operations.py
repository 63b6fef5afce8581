"""What `benchmarks.against_torch ops` does: the detectors' operations one by one, forward and with gradients.

Ours are the layers themselves, in the form that they have by default; PyTorch's have their arguments in the layout that
suits it (channels last). Gradients are those of all arguments, for one and the same gradient of the output.
"""

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.in_turn import Program, in_turn, markdown, ratios, spread, torch_device
from benchmarks.torch_comparison import Differs, as_array, waited_for
from dfdetect_jax.layers.batch_norm import BatchNorm
from dfdetect_jax.layers.convolution import Conv
from dfdetect_jax.layers.depthwise_conv import DepthwiseConv
from dfdetect_jax.layers.pooling import max_pool_2, max_pool_3
from dfdetect_jax.layers.temporal_conv import temporal_conv
from dfdetect_jax.layers.transformer import dot_product_attention
from dfdetect_jax.methods.dip.diffusion import PATHS, diffusion_distance, score_matrix
from dfdetect_jax.methods.st_ilif.phase import phase_image

# Relative, Euclidean norm, of values and gradients. In bfloat16 max-pools see many equal values, whose gradient either
# side gives to whichever it likes.
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.1}


@dataclasses.dataclass(frozen=True)
class Operation:
  """One operation on both sides.

  Attributes:
    name: what it is, and in which detectors.
    arrays: its arguments, float32; maps `[N, (T,) H, W, C]`, kernels `[*window, in, out]`.
    ours: variants by name, the default one first (``""``); from jax arrays to one.
    theirs: from tensors, as `to_torch` lays them out, to one.
    to_torch: of each argument, its axes in PyTorch's order (maps then lie channels last); () leaves it as it is.
    out: axes that bring PyTorch's output into our order.
    exact: computed in float32 whatever the dtype.
  """

  name: str
  arrays: Sequence[np.ndarray]
  ours: dict[str, Callable]
  theirs: Callable
  to_torch: Sequence[tuple[int, ...]]
  out: tuple[int, ...] = ()
  exact: bool = False


MAP, KERNEL, BACK = (0, 3, 1, 2), (3, 2, 0, 1), (0, 2, 3, 1)


def operations(side: int, width: int, clips: int) -> list[Operation]:
  """The operations of the five detectors.

  Args:
    side: of the first stage's maps; the stem sees four times as many pixels.
    width: channels of the first stage.
    clips: images in a batch, or a quarter as many clips of 16 frames.
  """
  rng = np.random.default_rng(0)

  def draw(*shape):
    return rng.normal(size=shape).astype(np.float32)

  def kernel(*shape):
    return draw(*shape) / np.float32(np.prod(shape[:-1]) ** 0.5)

  def layer(module):
    return {"": lambda x, k: module(x.dtype).apply({"params": {"kernel": k}}, x)}

  def convolution(name, inputs, features, size, stride=1, side=side):
    return Operation(
      name,
      (draw(clips, side, side, inputs), kernel(size, size, inputs, features)),
      layer(lambda dtype: Conv(features, size, stride, dtype)),
      lambda x, k: F.conv2d(x, k, None, stride, size // 2),
      (MAP, KERNEL),
      BACK,
    )

  def temporal(name, taps, inputs, features):
    kernels = kernel(taps, inputs, features)
    return Operation(
      name,
      (draw(max(1, clips // 4), 16, side, side, inputs), kernels),
      {"": temporal_conv, "matmul": lambda x, k: temporal_conv(x, k, "matmul")},
      # k×1×1 as a k×1 convolution of T × (H·W), which is quicker in PyTorch too.
      lambda x, k: F.conv2d(x.flatten(3), k[..., None], None, 1, (taps // 2, 0)).unflatten(3, x.shape[3:]),
      ((0, 4, 1, 2, 3), (2, 1, 0)),
      (0, 2, 3, 4, 1),
    )

  def pool(name, ours, theirs):
    return Operation(name, (draw(clips, side, side, width),), {"": ours}, theirs, (MAP,), BACK)

  def normalise(x, scale, bias):
    state = {"params": {"scale": scale, "bias": bias}, "batch_stats": {"mean": 0 * bias, "var": 1 + 0 * bias}}
    y, _ = BatchNorm().apply(state, x, True, mutable=["batch_stats"])
    return jax.nn.relu(y)

  def heads(*shape):
    return tuple(draw(*shape) for _ in range(3))

  tokens, graph = (side // 4) ** 2 + 1, max(4, side // 4)
  k_n, t = (7, 20) if graph >= 14 else (3, 3)  # as in DIP's configs

  def diffuse(path):
    return lambda f: jnp.exp(-diffusion_distance(score_matrix(f, jnp.float32(0.05), k_n), t, path))

  def torch_diffusion(f):
    position = torch.arange(2 * graph, device=f.device) % graph
    near = (position[:, None] - position[None, :]).abs() <= k_n // 2
    w = torch.where(near, torch.exp(-0.05 * ((f[:, :, None] - f[:, None]) ** 2).sum(-1)), 0.0)
    degree = w.sum(-1)
    p = torch.linalg.matrix_power(w / degree[..., None], t)
    density = degree.sum(-1, keepdim=True) / degree
    return torch.exp(-((p[:, :, None] - p[:, None]) ** 2 * density[:, None, None]).sum(-1))

  def torch_phase(grey):
    spectrum = torch.fft.rfft2(grey)
    size = grey.shape[-1]
    return torch.fft.irfft2(25000 / 224 * size * torch.exp(1j * spectrum.angle()), s=grey.shape[-2:]).abs()

  def torch_attention(q, k, v):
    return F.scaled_dot_product_attention(q, k, v)

  one = np.ones(width, np.float32)
  attention_axes = ((0, 2, 1, 3),) * 3
  return [
    convolution("stem 7×7/2 (DIL, ST-ILIF)", 3, width, 7, 2, 4 * side),
    convolution("conv 3×3 (DIL, ST-ILIF)", width, width, 3),
    convolution("conv 3×3/2 (ST-ILIF)", width, 2 * width, 3, 2),
    convolution("conv 1×1 (DIL)", 4 * width, width, 1),
    temporal("conv 5×1×1 from 3 (FTCN, SDR)", 5, 3, width),
    temporal("conv 3×1×1 (FTCN, SDR)", 3, 4 * width, width),
    Operation(
      "depth-wise 3×3 (DIL)", (draw(clips, side, side, width), kernel(3, 3, 1, width)),
      layer(lambda _: DepthwiseConv()),
      lambda x, k: F.conv2d(x, k, None, 1, 1, groups=width), (MAP, KERNEL), BACK,
    ),
    Operation(
      "BatchNorm and ReLU in training (all but DIP)", (draw(clips, side, side, width), one, 0 * one), {"": normalise},
      lambda x, s, b: F.relu(F.batch_norm(x, None, None, s, b, True)), (MAP, (), ()), BACK,
    ),
    pool("max-pool 3×3/2 (all but DIP)", max_pool_3, lambda x: F.max_pool2d(x, 3, 2, 1)),
    pool("max-pool 2×2/2 (FTCN, SDR)", max_pool_2, lambda x: F.max_pool2d(x, 2, 2)),
    Operation(
      f"attention of {tokens} tokens (DIP)", heads(clips, tokens, max(1, width // 16), 64), {"": dot_product_attention},
      torch_attention, attention_axes, (0, 2, 1, 3),
    ),
    Operation(
      "attention over 16 frames (DIP, FTCN)", heads(16 * clips, 17, max(1, width // 16), 64),
      {"": dot_product_attention}, torch_attention, attention_axes, (0, 2, 1, 3),
    ),
    Operation(
      "phase image by FFT (ST-ILIF)", (draw(clips, 4 * side, 4 * side),), {"": phase_image}, torch_phase, ((),),
      exact=True,
    ),
    Operation(
      f"diffusion over {2 * graph} nodes (DIP)", (0.3 * draw(2 * clips, 2 * graph, 64),),
      {"": diffuse("auto")} | {path: diffuse(path) for path in PATHS},
      torch_diffusion, ((),), exact=True,
    ),
  ]  # fmt: skip


def measure(operation: Operation, dtype: str, rounds: int) -> dict[str, dict[str, Any]]:
  """Compares and times one operation.

  Returns:
    JSON-able, by `forward` and `gradient`: seconds of each variant, ratios of our default one.

  Raises:
    Differs: before anything is timed.
  """
  dtype = "float32" if operation.exact else dtype
  ours = [jnp.asarray(a, dtype) for a in operation.arrays]
  theirs = []
  for array, axes in zip(operation.arrays, operation.to_torch, strict=True):
    tensor = torch.from_numpy(array).to(torch_device(), getattr(torch, dtype))
    tensor = tensor.permute(axes) if axes else tensor
    if tensor.ndim == 4 and axes in (MAP, KERNEL):
      tensor = tensor.contiguous(memory_format=torch.channels_last)
    elif axes and tensor.ndim != 5:  # maps with frames stay views of channels-last memory
      tensor = tensor.contiguous()
    theirs.append(tensor.detach().requires_grad_())
  shape = jax.eval_shape(operation.ours[""], *ours).shape
  towards = np.random.default_rng(1).normal(size=shape).astype(np.float32)
  weight = jnp.asarray(towards, dtype)
  axes = operation.out
  order = [axes.index(axis) for axis in range(len(axes))] if axes else None
  torch_weight = torch.from_numpy(towards).to(torch_device(), getattr(torch, dtype))
  torch_weight = torch_weight.permute(order) if order else torch_weight

  def torch_forward():
    with torch.inference_mode():
      return waited_for(operation.theirs(*theirs))

  def torch_gradient():
    gradients = torch.autograd.grad(operation.theirs(*theirs), theirs, torch_weight)
    waited_for(gradients[0])
    return gradients

  def gradient_of(function):
    def gradients(*arguments):
      return jax.vjp(function, *arguments)[1](weight)

    return jax.jit(gradients)

  def bound(program) -> Program:
    return lambda: jax.block_until_ready(program(*ours))

  result = {}
  for what, make, torch_program in (("forward", jax.jit, torch_forward), ("gradient", gradient_of, torch_gradient)):
    programs: dict[str, Program] = {
      f"JAX {name}".strip(): bound(make(function)) for name, function in operation.ours.items()
    }
    if what == "forward":
      want = as_array(torch_program())
      expected = [want.transpose(axes) if axes else want]
    else:
      expected = [
        as_array(g).transpose([to.index(a) for a in range(len(to))]) if to else as_array(g)
        for g, to in zip(torch_program(), operation.to_torch)
      ]
    differs = {}
    for name, program in programs.items():
      found = program()
      found = [found] if what == "forward" else found
      have, want = (np.concatenate([np.ravel(np.asarray(x, np.float64)) for x in some]) for some in (found, expected))
      differs[name] = float(np.linalg.norm(have - want) / np.linalg.norm(want))
    if not max(differs.values()) <= TOLERANCE[dtype]:
      raise Differs(f"{what}: {differs} of relative difference from PyTorch, {TOLERANCE[dtype]} is allowed")
    programs["PyTorch"] = torch_program
    for program in programs.values():
      program()
    wall, cpu = in_turn(programs, rounds)
    result[what] = {"from_torch": differs, "wall_seconds": wall, "processor_seconds": cpu} | ratios(wall, cpu)
  return result


def table(results: dict[str, dict[str, dict[str, Any]]]) -> str:
  """Markdown, a row for each operation."""
  head = ("operation", "forward, ms", "ours : PyTorch (processor)", "gradients, ms", "ours : PyTorch (processor)")
  rows = []
  for name, result in results.items():
    cells = [name]
    for what in ("forward", "gradient"):
      r = result[what]
      ms = {of: 1e3 * statistics.median(seconds) for of, seconds in r["wall_seconds"].items()}
      cells.append(
        ", ".join(f"{of.removeprefix('JAX ').replace('JAX', 'ours')} {value:.2f}" for of, value in ms.items())
      )
      cells.append(f"{spread(r['ratio'])} ({r['processor_ratio']['median']:.2f})")
    rows.append(tuple(cells))
  return markdown(head, rows)
