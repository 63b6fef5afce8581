"""ST-ILIF, whole and in parts, against a PyTorch formulation written from §4, with the same weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from benchmarks.twins.st_ilif import STILIF
from dfdetect_jax.methods.st_ilif import fusion, model, phase, tdm


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
  want = reference(STILIF(variables, torch.float64).train(train), *tensors)
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
  close(phase.phase_image(jnp.asarray(grey)), np.abs(np.fft.ifft2(amplitude * np.exp(1j * np.angle(spectrum)))), 1e-4)
  close(phase.amplitude_image(jnp.asarray(grey)), np.abs(np.fft.ifft2(np.abs(spectrum))), 1e-4)
