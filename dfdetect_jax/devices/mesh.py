"""The device mesh, and which device holds which part of the state."""

from collections.abc import Sequence

import jax
import ml_collections
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from dfdetect_jax.errors import UserError

# A parameter below this many elements is kept whole on every device: cutting it would save nothing and cost a gather.
# DIL's many small kernels are together 6.6 % over an eighth on eight devices with 2^14, 3.3 % with 2^12.
FSDP_MIN_SIZE = 2**12


def make_mesh(config: ml_collections.ConfigDict, devices: Sequence[jax.Device] | None = None) -> jax.sharding.Mesh:
  """The mesh with axes `data` and `fsdp`.

  Args:
    config: `data` and `fsdp`, devices along each axis; -1 for `data` means all that `fsdp` leaves.
    devices: all devices of all processes if None.

  Raises:
    UserError: the sizes do not multiply to the number of devices.
  """
  count = jax.device_count() if devices is None else len(devices)
  data = count // config.fsdp if config.data == -1 else config.data
  if data * config.fsdp != count:
    raise UserError(
      f"mesh.data={config.data} x mesh.fsdp={config.fsdp} does not fit {count} devices: their product must be {count}."
    )
  # Linen's layers need Auto axes; jax.make_mesh defaults to Explicit ones.
  return jax.make_mesh(
    (data, config.fsdp), ("data", "fsdp"), axis_types=(AxisType.Auto, AxisType.Auto), devices=devices
  )


def batch_sharding(mesh: jax.sharding.Mesh, batch_size: int, what: str = "batch_size") -> NamedSharding:
  """Cuts the leading axis over all devices.

  Raises:
    UserError: the devices do not divide the batch.
  """
  if batch_size % mesh.size:
    raise UserError(f"{what}={batch_size} cannot be cut into equal parts for {mesh.size} devices.")
  return NamedSharding(mesh, PartitionSpec(("data", "fsdp")))


def replicated(mesh: jax.sharding.Mesh) -> NamedSharding:
  """The whole array on every device."""
  return NamedSharding(mesh, PartitionSpec())


def state_sharding(mesh: jax.sharding.Mesh, shapes):
  """Sharding of a pytree of parameters, optimizer state or teacher: the same rule for all of them.

  A leaf of at least `FSDP_MIN_SIZE` elements is cut along its largest dimension that the `fsdp` axis divides; the
  others are replicated.

  Args:
    mesh: with an axis `fsdp`.
    shapes: pytree of arrays or ShapeDtypeStructs.

  Returns:
    Pytree of NamedSharding, like `shapes`.
  """
  parts = mesh.shape["fsdp"]

  def shard(leaf) -> NamedSharding:
    if parts == 1 or np.prod(leaf.shape) < FSDP_MIN_SIZE:
      return replicated(mesh)
    divisible = [d for d in range(leaf.ndim) if leaf.shape[d] % parts == 0]
    if not divisible:
      return replicated(mesh)
    largest = max(divisible, key=lambda d: leaf.shape[d])
    return NamedSharding(mesh, PartitionSpec(*("fsdp" if d == largest else None for d in range(leaf.ndim))))

  return jax.tree.map(shard, shapes)
