"""What a remat policy keeps."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfdetect_jax import methods
from dfdetect_jax.errors import UserError
from dfdetect_jax.layers.remat import POLICIES, recompute


class Block(nn.Module):
  """A convolution, a product with a weight, a product of two activations, each followed by something nonlinear."""

  @nn.compact
  def __call__(self, x, train):
    x = nn.Dropout(0.5, deterministic=not train)(jnp.tanh(nn.Conv(4, (3, 3))(x)))
    x = jnp.tanh(nn.Dense(4)(x))
    return jnp.tanh(jnp.einsum("bhwc,bvwc->bhv", x, x))[..., None] * jnp.sum(x)


def gradient(policy):
  """Gradient of a block's parameters and its jaxpr."""
  x = jax.random.normal(jax.random.key(0), (2, 8, 8, 4))
  params = Block().init(jax.random.key(1), x, False)
  block = recompute(Block, policy)()
  loss = lambda p: jnp.sum(block.apply(p, x, True, rngs={"dropout": jax.random.key(2)}) ** 2)  # noqa: E731
  return jax.grad(loss)(params), str(jax.make_jaxpr(jax.grad(loss))(params))


# Convolutions and matrix products of the backward pass that run again, beside those of the first forward and of the
# gradient itself: one convolution, one product with a weight, one of activations.
AGAIN = {
  "nothing_saveable": (1, 2),
  "dots_saveable": (0, 0),
  "dots_with_no_batch_dims_saveable": (1, 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_recomputes_what_it_says_and_changes_no_gradient(policy):
  """Guards the policies by the operations of the backward pass, and the dropout mask, which must be drawn alike."""
  plain, operations = gradient("")
  found, more = gradient(policy)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), plain, found)
  again = tuple(more.count(f"= {name}[") - operations.count(f"= {name}[") for name in
                ("conv_general_dilated", "dot_general"))  # fmt: skip
  assert again == AGAIN[policy]


def test_a_mistyped_policy():
  """Guards the message."""
  from configs import dip

  config = dip.get_config("test").unlock()
  config.remat = "dots_savable"
  with pytest.raises(UserError, match="no remat policy 'dots_savable'. Did you mean 'dots_saveable'"):
    methods.build(config)
