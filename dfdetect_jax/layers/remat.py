"""Recomputing activations in the backward pass instead of keeping them: less memory, more time."""

import flax.linen as nn
import jax

# Of jax.checkpoint_policies. What is kept of a block: only its input; the results of matrix products and convolutions,
# so that norms and nonlinearities are recomputed; only those of matrix products with weights.
POLICIES = ("nothing_saveable", "dots_saveable", "dots_with_no_batch_dims_saveable")


def recompute(block: type[nn.Module], policy: str | bool) -> type[nn.Module]:
  """A block that is called as `block(…)(x, train)` and keeps for the backward pass what the policy says.

  Args:
    block: module class. Its parameters keep their names.
    policy: a name in `POLICIES`; "" or False keeps everything, True (in configs of older runs) nothing.
  """
  if not policy:
    return block
  name = "nothing_saveable" if policy is True else policy
  return nn.remat(block, static_argnums=(2,), policy=getattr(jax.checkpoint_policies, name))
