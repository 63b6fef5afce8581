"""ST-ILIF, whole and in parts, against a PyTorch formulation written from §4, with the same weights."""

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dfdetect_jax.methods.st_ilif import fusion, model, phase, tdm


class Reference:
  """The paper's operations in float64 PyTorch, channels first, on the Linen tree's weights by name."""

  def __init__(self, variables, train):
    self.train = train
    self.weights = {}
    for tree in variables.values():
      for path, value in flax.traverse_util.flatten_dict(tree).items():
        value = np.asarray(value, np.float64)
        # Convolution kernels are [*window, in, out] here and [out, in, *window] there; the head's kernel follows suit.
        if path[-1] == "kernel":
          value = np.moveaxis(value, (-1, -2), (0, 1))
        self.weights["/".join(path)] = torch.from_numpy(value.copy())

  def conv(self, x, name, stride=1, groups=1):
    kernel = self.weights[f"{name}/kernel"]
    bias = self.weights.get(f"{name}/bias")
    convolve = F.conv1d if kernel.ndim == 3 else F.conv2d
    return convolve(x, kernel, bias, stride, kernel.shape[-1] // 2, groups=groups)

  def bn(self, x, name):
    mean, var, scale, bias = (self.weights[f"{name}/{leaf}"] for leaf in ("mean", "var", "scale", "bias"))
    return F.batch_norm(x, mean.clone(), var.clone(), scale, bias, self.train, 0.1, 1e-5)

  def cafim(self, p, s, name=""):
    def attend(x, arm):
      weight = self.conv(x.mean((2, 3))[:, None], f"{name}{arm}_conv1d")[:, 0]
      return x * torch.sigmoid(weight)[:, :, None, None]

    a = self.conv(attend(p, "phase") + attend(s, "sequence"), f"{name}depthwise", groups=p.shape[1])
    a = self.conv(F.relu(self.bn(a, f"{name}bn1")), f"{name}pointwise")
    a = torch.sigmoid(self.bn(a, f"{name}bn2"))
    return p + p * a, s + s * a

  def affm(self, p, s, single_sigmoid=False, name=""):
    x = self.conv(p, f"{name}phase_conv") + self.conv(s, f"{name}sequence_conv")
    local = F.relu(self.bn(self.conv(x, f"{name}local_conv1"), f"{name}local_bn1"))
    local = self.bn(self.conv(local, f"{name}local_conv2"), f"{name}local_bn2")
    whole = x.mean((2, 3))[:, None]
    whole = F.relu(self.bn(self.conv(whole, f"{name}global_conv1"), f"{name}global_bn1"))
    whole = self.bn(self.conv(whole, f"{name}global_conv2"), f"{name}global_bn2")[:, 0, :, None, None]
    if not single_sigmoid:
      local, whole = torch.sigmoid(local), torch.sigmoid(whole)
    w = torch.sigmoid(local + whole)
    return torch.cat([p + p * w, s + s * w], 1)

  def gru(self, steps, name):
    half = steps[0].shape[1] // 2
    h = torch.zeros_like(steps[0][:, :half])
    for x in steps:
      new = x[:, :half]
      gates = torch.sigmoid(self.conv(torch.cat([new, h], 1), f"{name}/cell/gates"))
      z, r = gates[:, :half], gates[:, half:]
      h = (1 - z) * h + z * torch.tanh(self.conv(torch.cat([new, r * h], 1), f"{name}/cell/candidate"))
    return torch.cat([h, steps[-1][:, half:]], 1)

  def layer(self, x, name):
    for i in range(2):
      block = f"{name}_{i}"
      stride = 2 if f"{block}/downsample_conv/kernel" in self.weights else 1
      y = F.relu(self.bn(self.conv(x, f"{block}/conv1", stride), f"{block}/bn1"))
      y = self.bn(self.conv(y, f"{block}/conv2"), f"{block}/bn2")
      if stride == 2:
        x = self.bn(self.conv(x, f"{block}/downsample_conv", 2), f"{block}/downsample_bn")
      x = F.relu(x + y)
    return x

  def all_steps(self, f, steps):
    """Applies f to all steps in one batch: BatchNorm sees them together."""
    return list(f(torch.cat(steps)).chunk(len(steps)))

  def tdm(self, frames, recurrence, name=""):
    """Frames [B, T, 3, H, W]."""

    def stem(x, kind):
      return F.max_pool2d(F.relu(self.bn(self.conv(x, f"{name}{kind}conv1", 2), f"{name}{kind}bn1")), 3, 2, 1)

    x = stem(frames[:, frames.shape[1] // 2], "")
    steps = [frames[:, t + 1] - frames[:, t] for t in range(frames.shape[1] - 1)]
    if recurrence == "single":
      steps = [torch.cat(steps, 1)]
    steps = self.all_steps(lambda d: stem(F.avg_pool2d(d, 2), "difference_"), steps)
    x = x + F.interpolate(self.gru(steps, f"{name}gru1"), scale_factor=2)
    steps = self.all_steps(lambda d: self.layer(d, f"{name}difference_layer1"), steps)
    x = self.layer(x, f"{name}layer1") + F.interpolate(self.gru(steps, f"{name}gru2"), scale_factor=2)
    return self.gru([x], f"{name}gru3")

  def phase_image(self, grey):
    spectrum = torch.fft.fft2(grey)
    amplitude = 25000 * (grey.shape[-2] * grey.shape[-1]) ** 0.5 / 224
    return torch.fft.ifft2(amplitude * torch.exp(1j * spectrum.angle())).abs()

  def st_ilif(self, clips, recurrence="single", unit_input=False):
    """Clips [B, T, 3, H, W] on the 0-255 scale; the logit."""

    def block(x, name, stride=1):
      return F.relu(self.bn(self.conv(x, f"phase/{name}/conv", stride), f"phase/{name}/bn"))

    grey = clips.mean((1, 2))
    p = torch.stack([self.phase_image(grey), grey], 1).detach()
    p = p / 127.5 - 1 if unit_input else p
    p = block(block(block(p, "stem_0"), "stem_1"), "stem_2", 2)
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], dtype=torch.float64)[..., None, None]
    s = self.tdm((clips / 255 - mean) / std, recurrence, "sequence/first/")
    for k in range(4):
      p = block(block(F.max_pool2d(p, 3, 2, 1), f"stages_{k}_0"), f"stages_{k}_1")
      if k:
        s = self.layer(s, f"sequence/layer{k + 1}")
      p, s = self.cafim(p, s, f"cafim{k + 1}/")
    features = self.affm(p, s, name="affm/").mean((2, 3))
    return F.linear(features, self.weights["head/kernel"], self.weights["head/bias"])[:, 0]


def channels_first(x):
  """[..., H, W, C] float32 to a float64 tensor [..., C, H, W] that wants a gradient."""
  return torch.from_numpy(np.moveaxis(np.asarray(x, np.float64), -1, -3).copy()).requires_grad_()


def check(module, reference, inputs, train=False):
  """Compares the first output's value and its gradients by all inputs, at random weights and statistics."""
  rng = np.random.default_rng(1)
  variables = jax.jit(module.init)(jax.random.key(0), *inputs)
  variables = jax.tree.map(
    lambda v: v if v.ndim > 1 else jnp.asarray(rng.uniform(0.5, 1.5, v.shape), jnp.float32), variables
  )

  def forward(*inputs):
    out = module.apply(variables, *inputs, train=train, mutable=["batch_stats"])[0]
    if isinstance(out, dict):
      return out["logit"]
    return out[:-1] if isinstance(out, tuple) else (out,)

  @jax.jit
  def value_and_gradient(*inputs):
    out, vjp = jax.vjp(forward, *inputs)
    probe = jax.tree.map(lambda o: jnp.cos(jnp.arange(o.size, dtype=jnp.float32)).reshape(o.shape), out)
    return out, probe, vjp(probe)

  out, probe, gradients = value_and_gradient(*inputs)
  tensors = [channels_first(x) for x in inputs]
  want = reference(Reference(variables, train), *tensors)
  outs, probes = jax.tree.leaves(out), jax.tree.leaves(probe)
  wants = want if isinstance(want, tuple) else (want,)
  total = sum((w * (channels_first(p) if p.ndim > 1 else torch.from_numpy(np.asarray(p, np.float64)))).sum()
              for w, p in zip(wants, probes))  # fmt: skip
  total.backward()
  for got, w in zip(outs, wants, strict=True):
    w = w.detach().numpy()
    close(got, np.moveaxis(w, -3, -1) if w.ndim > 1 else w, 1e-4)
  for got, tensor in zip(gradients, tensors, strict=True):
    close(got, np.moveaxis(tensor.grad.numpy(), -3, -1), 1e-3)


def close(got, want, tolerance):
  """Relative distance in the Euclidean norm."""
  assert got.shape == want.shape
  assert np.linalg.norm(got - want) < tolerance * np.linalg.norm(want)


def normal(*shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("train", [False, True])
def test_cafim_equals_pytorch(train):
  """Guards Eq. 4-6: which stream weighs what, the order of convolution, BatchNorm and activations."""
  check(fusion.CAFIM(), lambda r, p, s: r.cafim(p, s), [normal(2, 5, 6, 8), normal(2, 5, 6, 8, seed=1)], train)


@pytest.mark.parametrize(("train", "single_sigmoid"), [(False, False), (True, False), (False, True)])
def test_affm_equals_pytorch(train, single_sigmoid):
  """Guards Eq. 7-11: the local and the global path, the sigmoids as printed and single, the order of streams."""
  check(
    fusion.AFFM(single_sigmoid),
    lambda r, p, s: r.affm(p, s, single_sigmoid),
    [normal(2, 5, 6, 8), normal(2, 5, 6, 8, seed=1)],
    train,
  )


@pytest.mark.slow
@pytest.mark.parametrize(("train", "recurrence"), [(False, "scan"), (True, "scan"), (False, "single")])
def test_tdm_equals_pytorch(train, recurrence):
  """Guards Fig. 7: order and sign of the differences, both upsampled sums, both recurrences."""
  module = tdm.TDM(8, recurrence=recurrence)
  check(module, lambda r, frames: r.tdm(frames, recurrence), [normal(2, 5, 32, 40, 3)], train)


@pytest.mark.slow
@pytest.mark.parametrize(("recurrence", "unit_input"), [("single", True), ("scan", False)])
def test_whole_model_equals_pytorch(recurrence, unit_input):
  """Guards the assembly: stages in step, CAFIM after each, AFFM, mean over places, head, no gradient into the phase."""
  clips = np.random.default_rng(0).uniform(0, 255, (2, 3, 64, 64, 3)).astype(np.float32)
  net = model.STILIF(8, recurrence=recurrence, unit_input=unit_input)
  check(net, lambda r, clips: r.st_ilif(clips, recurrence, unit_input), [clips])


@pytest.mark.parametrize("shape", [(16, 16), (15, 12), (7, 9)])
def test_phase_and_amplitude_images_equal_the_full_transform(shape):
  """Guards rfft2/irfft2 at odd sizes, the sign of the phase and A's growth with the size."""
  grey = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
  spectrum = np.fft.fft2(grey.astype(np.float64))
  amplitude = 25000 * np.sqrt(grey.size) / 224
  close(phase.phase_image(grey), np.abs(np.fft.ifft2(amplitude * np.exp(1j * np.angle(spectrum)))), 1e-4)
  close(phase.amplitude_image(grey), np.abs(np.fft.ifft2(np.abs(spectrum))), 1e-4)
