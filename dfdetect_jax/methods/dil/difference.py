"""A start that the paper does not have (decision): the first block with Intra-SIM as a second difference over frames.

At the usual start motion reaches DIL through Intra-SMA's gate alone, which varies by less than a hundredth, and Eq. 4's
kernels, positive and of sum one, average over time. A network that has ImageNet's features learns from there; one that
starts from nothing does not. The equations leave room for a start that sees motion, with nothing added to them:

  conv1   makes each channel of I₂ equal to one of I₁
  K       starts as a mean of the neighbours in time, without the frame itself: its bias says (½, 0, ½), and φ₂ weighs
          the two by the input as it usually would (Eq. 4)
  conv2   takes O₂ away from I₁, divided by 1 + A_H · A_W where nothing moves (Eq. 5, 6)

The block's 3×3 convolution then sees F_t less that mean of F_{t−1} and F_{t+1}. Frames themselves go on through the
block's shortcut, and in part at a snippet's ends, beyond which Eq. 5 has zeros.
"""

from typing import Any

import jax.numpy as jnp

# The logit of the kernel's own frame below its neighbours', whose share is then 0.3 %: little, and it can still grow.
_BELOW = 5.0


def second_difference(params: dict[str, Any]) -> dict[str, Any]:
  """DIL's parameters with the first block that has Intra-SIM started as a second difference.

  Args:
    params: of a `model.DIL`, as initialised.

  Returns:
    The same tree; without a block that has Intra-SIM, the same parameters.
  """
  blocks = sorted(name for name, block in params.items() if "intra" in block)
  if not blocks:
    return params
  block = dict(params[blocks[0]])
  intra = block["intra"]
  # Intra-SMA multiplies a map for each kind of plane (CA: two); each of them is σ(0) = ½ where nothing moves.
  still = 1 + 0.5 ** sum(name.startswith("recover_") for name in intra["attention"])

  half = jnp.split(block["conv1"]["kernel"], 2, axis=-1)[0]
  block["conv1"] = {"kernel": jnp.concatenate([half, half], axis=-1)}
  half = jnp.split(block["conv2"]["kernel"], 2, axis=-2)[0]
  block["conv2"] = {"kernel": jnp.concatenate([half, -half / still], axis=-2)}
  if isinstance(kernel := intra["kernel"], dict):  # K depends on the input (LK)
    phi2 = {**kernel["phi2"], "bias": jnp.array([0.0, -_BELOW, 0.0])}
    kernel = {**kernel, "phi2": phi2}
  else:
    kernel = jnp.full_like(kernel, 0.5).at[1].set(0)
  return {**params, blocks[0]: {**block, "intra": {**intra, "kernel": kernel}}}
