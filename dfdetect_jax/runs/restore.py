"""A trained run, ready to score videos: what evaluation and prediction start from."""

import dataclasses
import pathlib
from typing import Any

import jax
import ml_collections
import numpy as np
import optax

from dfdetect_jax import methods
from dfdetect_jax.devices.mesh import make_mesh
from dfdetect_jax.errors import UserError
from dfdetect_jax.folders import as_folder
from dfdetect_jax.runs.checkpoints import load_weights
from dfdetect_jax.runs.exported import MODEL_FILE, is_exported, read_model
from dfdetect_jax.runs.run_config import read_config
from dfdetect_jax.runs.state import abstract_state, path_name


@dataclasses.dataclass(frozen=True)
class Run:
  """A restored run: config, method, mesh, the variables to evaluate, their step, whose they are, their folder."""

  config: ml_collections.ConfigDict
  method: methods.Method
  mesh: jax.sharding.Mesh
  variables: Any
  step: int
  weights: str
  checkpoint: str

  def down_to(self, shortest: int | None) -> "Run":
    """The same run; tracks of fewer than T frames, but at least `shortest`, are judged too (`ClipSpec.shortest`).

    Raises:
      UserError: it cannot judge such tracks.
    """
    if shortest is None:
      return self
    spec = dataclasses.replace(self.method.clip_spec, shortest=shortest)
    return dataclasses.replace(self, method=dataclasses.replace(self.method, clip_spec=spec))


def restore_run(workdir: str, step: str = "best", weights: str | None = None) -> Run:
  """Restores a run from its workdir, or an exported model, on whatever devices there are now.

  Args:
    workdir: folder of the run, or one that `dfdetect_jax.interop.export --to=FOLDER` wrote.
    step: "best", "latest" or the number of a kept step.
    weights: "teacher" or "student"; None: what the method's config says.

  Raises:
    UserError: no run, no such checkpoint, another architecture, or a teacher asked of a method that keeps none.
  """
  config = read_config(workdir)
  method = methods.build(config)
  if weights == "teacher" and method.ema_decay is None:
    raise UserError(f"{config.method} keeps no teacher: its weights are the student's.")
  if weights:
    method = dataclasses.replace(method, evaluate_teacher=weights == "teacher")
  # The devices may be others than in training: all of them share the batch, parameters are whole on each.
  mesh = make_mesh(ml_collections.ConfigDict({"data": -1, "fsdp": 1}))
  abstract = abstract_state(method, optax.identity(), mesh)
  if is_exported(as_folder(workdir)):
    variables, number, whose = read_model(as_folder(workdir), abstract.evaluated(method))
    _check_finite(variables, as_folder(workdir) / MODEL_FILE)
    return Run(config, method, mesh, variables, number, whose, str(as_folder(workdir) / MODEL_FILE))
  state, number, checkpoint = load_weights(workdir, abstract, step)
  teacher = method.evaluate_teacher and state.teacher is not None
  checkpoint = as_folder(workdir) / checkpoint.parent.name / checkpoint.name  # as the user names the folder
  _check_finite(state.evaluated(method), checkpoint)
  return Run(
    config, method, mesh, state.evaluated(method), number, "teacher" if teacher else "student", str(checkpoint)
  )


def _check_finite(variables: Any, checkpoint: pathlib.Path) -> None:
  """Refuses weights that no figure could come of.

  Raises:
    UserError: naming the arrays that hold NaN or infinite values.
  """
  leaves = jax.tree_util.tree_flatten_with_path(variables)[0]
  # On the host: on the device each shape would be a program to compile.
  finite = [bool(np.isfinite(jax.device_get(leaf)).all()) for _, leaf in leaves]
  wrong = [path_name(path) for (path, _), good in zip(leaves, finite, strict=True) if not good]
  if wrong:
    raise UserError(
      f"{len(wrong)} of {len(leaves)} arrays in {checkpoint} hold NaN or infinite values ({', '.join(wrong[:3])}"
      f"{', …' if wrong[3:] else ''}): nothing can be scored with them. Choose another --step."
    )
