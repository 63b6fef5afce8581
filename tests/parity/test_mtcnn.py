"""MTCNN's three networks against their PyTorch formulation with the same weights."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from data_pipelines.faces.detectors import mtcnn


@pytest.fixture(scope="module")
def weights():
  return mtcnn.load_weights()


def conv(x, w, kernel, slope=None):
  """Convolution with the package's channels-last kernel `w[kernel]`, and PReLU where a slope is named."""
  t = [torch.from_numpy(np.array(w[i])) for i in (kernel, kernel + 1)]
  x = F.conv2d(x, t[0].permute(3, 2, 0, 1), t[1])
  return x if slope is None else F.prelu(x, torch.from_numpy(np.array(w[slope])).reshape(-1))


def dense(x, w, kernel, slope=None):
  x = x @ torch.from_numpy(np.array(w[kernel])) + torch.from_numpy(np.array(w[kernel + 1]))
  return x if slope is None else F.prelu(x, torch.from_numpy(np.array(w[slope])))


def pool(x, size, ceil=True):
  # TensorFlow's SAME with stride 2 on sides where it pads at the end only is ceil mode.
  return F.max_pool2d(x, size, 2, ceil_mode=ceil)


def images(count, height, width):
  return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)


def normalised(batch):
  return (torch.from_numpy(batch).permute(0, 3, 1, 2).float() - 127.5) / 128


def column_major(x):
  """Rows in the order of (width, height, channel)."""
  return x.permute(0, 3, 2, 1).reshape(x.shape[0], -1)


def check(ours, theirs):
  for a, b in zip(ours, theirs, strict=True):
    np.testing.assert_allclose(np.asarray(a), b.numpy(), atol=2e-5)


@pytest.mark.parametrize("size", [(40, 62), (41, 63)])
def test_p_net(weights, size):
  """Guards P-Net's layers, the order of its two outputs, and the padding at odd sides."""
  w, batch = weights["pnet"], images(2, *size)
  x = pool(conv(normalised(batch), w, 0, 2), 2)
  x = conv(conv(x, w, 3, 5), w, 6, 8)
  probability = torch.softmax(conv(x, w, 11), 1)[:, 1]
  check(mtcnn.p_net(w, jnp.asarray(batch)), (probability, conv(x, w, 9).permute(0, 2, 3, 1)))


@pytest.mark.slow
def test_r_net(weights):
  """Guards R-Net's pooling and the order in which its maps are flattened."""
  w, batch = weights["rnet"], images(5, 24, 24)
  x = pool(conv(normalised(batch), w, 0, 2), 3)
  x = pool(conv(x, w, 3, 5), 3, ceil=False)
  x = dense(column_major(conv(x, w, 6, 8)), w, 9, 11)
  check(mtcnn.r_net(w, jnp.asarray(batch)), (torch.softmax(dense(x, w, 14), 1)[:, 1], dense(x, w, 12)))


@pytest.mark.slow
def test_o_net(weights):
  """Guards O-Net's pooling, flattening and the order of its three outputs."""
  w, batch = weights["onet"], images(5, 48, 48)
  x = pool(conv(normalised(batch), w, 0, 2), 3)
  x = pool(conv(x, w, 3, 5), 3, ceil=False)
  x = conv(pool(conv(x, w, 6, 8), 2), w, 9, 11)
  x = dense(column_major(x), w, 12, 14)
  expected = (torch.softmax(dense(x, w, 19), 1)[:, 1], dense(x, w, 15), dense(x, w, 17))
  check(mtcnn.o_net(w, jnp.asarray(batch)), expected)
