"""The shared transformer blocks against PyTorch's own layers, with the same weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from dfdetect_jax.layers import transformer

WIDTH, HEADS, HIDDEN = 24, 3, 40


def randomised(variables, seed=0):
  """Parameters moved off their initial zeros and ones, so that no bias or scale can be forgotten unseen."""
  rng = np.random.default_rng(seed)
  return jax.tree.map(lambda p: p + 0.3 * rng.normal(size=p.shape).astype(np.float32), variables)


def torch_block(params, epsilon):
  """PyTorch's pre-norm encoder layer with the Linen block's weights."""
  layer = torch.nn.TransformerEncoderLayer(
    WIDTH, HEADS, HIDDEN, dropout=0.0, activation="gelu", layer_norm_eps=epsilon, batch_first=True, norm_first=True
  )
  p = jax.tree.map(lambda x: torch.from_numpy(np.array(x)), params)
  qkv = p["attention"]["qkv"]
  bias = qkv.get("bias", torch.zeros(3, HEADS, WIDTH // HEADS))
  layer.load_state_dict(
    {
      "self_attn.in_proj_weight": qkv["kernel"].reshape(WIDTH, 3 * WIDTH).T,
      "self_attn.in_proj_bias": bias.reshape(3 * WIDTH),
      "self_attn.out_proj.weight": p["attention"]["out"]["kernel"].reshape(WIDTH, WIDTH).T,
      "self_attn.out_proj.bias": p["attention"]["out"]["bias"],
      "linear1.weight": p["mlp"]["fc1"]["kernel"].T,
      "linear1.bias": p["mlp"]["fc1"]["bias"],
      "linear2.weight": p["mlp"]["fc2"]["kernel"].T,
      "linear2.bias": p["mlp"]["fc2"]["bias"],
      "norm1.weight": p["norm1"]["scale"],
      "norm1.bias": p["norm1"]["bias"],
      "norm2.weight": p["norm2"]["scale"],
      "norm2.bias": p["norm2"]["bias"],
    }
  )
  return layer.train()  # In evaluation PyTorch takes a fused path of its own; dropout is 0.


@pytest.mark.slow
@pytest.mark.parametrize(("qkv_bias", "epsilon"), [(True, 1e-6), (False, 1e-5)])
def test_block_equals_pytorch(qkv_bias, epsilon):
  """Guards a ViT block (ViT's and FTCN's settings): forward, input gradient and parameter gradients."""
  rng = np.random.default_rng(1)
  x, g = rng.normal(size=(2, 2, 5, WIDTH)).astype(np.float32)
  block = transformer.Block(HEADS, HIDDEN, qkv_bias=qkv_bias, epsilon=epsilon)
  params = randomised(block.init(jax.random.key(0), jnp.asarray(x)))["params"]
  out, vjp = jax.jit(lambda p, x: jax.vjp(lambda p, x: block.apply({"params": p}, x), p, x))(params, jnp.asarray(x))
  by_params, by_x = jax.jit(vjp)(jnp.asarray(g))

  layer = torch_block(params, epsilon)
  tx = torch.from_numpy(x).requires_grad_()
  expected = layer(tx)
  expected.backward(torch.from_numpy(g))
  np.testing.assert_allclose(out, expected.detach(), atol=1e-5, rtol=1e-5)
  np.testing.assert_allclose(by_x, tx.grad, atol=5e-5, rtol=1e-4)
  np.testing.assert_allclose(
    np.asarray(by_params["attention"]["qkv"]["kernel"]).reshape(WIDTH, -1).T,
    layer.self_attn.in_proj_weight.grad,
    atol=1e-4,
    rtol=1e-4,
  )
  np.testing.assert_allclose(by_params["mlp"]["fc1"]["kernel"].T, layer.linear1.weight.grad, atol=1e-4, rtol=1e-4)
  np.testing.assert_allclose(by_params["norm1"]["scale"], layer.norm1.weight.grad, atol=1e-4, rtol=1e-4)


def test_attention_with_bias_equals_pytorch():
  """Guards the bias: added to the scaled logits, not before the scaling, not after the softmax."""
  rng = np.random.default_rng(2)
  q = rng.normal(size=(2, 4, HEADS, 8)).astype(np.float32)
  k, v = rng.normal(size=(2, 2, 6, HEADS, 8)).astype(np.float32)
  bias = rng.normal(size=(2, 1, 4, 6)).astype(np.float32)
  out = transformer.attend(transformer.attention_weights(*map(jnp.asarray, (q, k, bias))), jnp.asarray(v))
  tq, tk, tv = (torch.from_numpy(x).transpose(1, 2) for x in (q, k, v))
  expected = torch.nn.functional.scaled_dot_product_attention(tq, tk, tv, torch.from_numpy(bias)).transpose(1, 2)
  np.testing.assert_allclose(out, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.slow
def test_leading_axes_are_batch_axes():
  """Guards spatial and temporal attention of video tokens, led by [B, T] or [B, L²]: nothing mixes across those."""
  block = transformer.Block(HEADS, HIDDEN)
  x = jax.random.normal(jax.random.key(0), (2, 3, 4, WIDTH))
  variables = randomised(block.init(jax.random.key(1), x))
  whole = block.apply(variables, x)
  np.testing.assert_allclose(whole[1, 2], block.apply(variables, x[1:, 2:])[0, 0], atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_bfloat16_keeps_parameters_and_softmax_in_float32():
  """Guards mixed precision: float32 parameters, bfloat16 output close to float32's."""
  x = jax.random.normal(jax.random.key(0), (2, 5, WIDTH))
  block = transformer.Block(HEADS, HIDDEN, dtype=jnp.bfloat16)
  variables = block.init(jax.random.key(1), x.astype(jnp.bfloat16))
  assert {p.dtype for p in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
  out = block.apply(variables, x.astype(jnp.bfloat16))
  assert out.dtype == jnp.bfloat16
  full = transformer.Block(HEADS, HIDDEN).apply(variables, x)
  np.testing.assert_allclose(out.astype(jnp.float32), full, atol=0.1)


def test_dropout_only_in_training():
  """Guards evaluation from dropout, and training from its absence."""
  x = jax.random.normal(jax.random.key(0), (1, 4, WIDTH))
  block = transformer.Block(HEADS, HIDDEN, dropout=0.5)
  variables = block.init(jax.random.key(1), x)
  plain = transformer.Block(HEADS, HIDDEN).apply(variables, x)
  np.testing.assert_array_equal(block.apply(variables, x), plain)
  dropped = block.apply(variables, x, True, rngs={"dropout": jax.random.key(2)})
  assert not np.allclose(dropped, plain, atol=1e-3)
