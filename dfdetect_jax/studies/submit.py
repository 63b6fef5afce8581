"""The runs of a study as an array job: a script or manifest to be read and handed to a scheduler."""

import itertools
from collections.abc import Sequence

from dfdetect_jax.errors import UserError
from dfdetect_jax.studies.plan import Run
from dfdetect_jax.studies.settings import Settings
from launch import jobs

TEMPLATES = {"slurm": "study_slurm.sh", "kubernetes": "study_kubernetes.yaml"}


def submission(
  target: str, names: Sequence[str], settings: Settings, runs: Sequence[Run], gpus: int, hours: int, image: str
) -> str:
  """An array job whose tasks each make one run that is not done yet.

  Args:
    target: a name in `TEMPLATES`.
    names: of the studies.
    settings: choices of the working folder.
    runs: all runs of the plan; a task's number is its place there.
    gpus, hours: of each task.
    image: container image, for Kubernetes.

  Raises:
    UserError: there is nothing to run, or it is a demo.
  """
  if settings.demo:
    raise UserError("--submit is for studies on real data: a demo makes its data and runs on this machine.")
  tasks = [i for i, run in enumerate(runs) if not run.done and (run.data is not None or run.trained)]
  if not tasks:
    raise UserError("nothing is left to run; `plan` says what is done and which data are missing.")
  command = ["python", "-m", "dfdetect_jax.study", "run", *names, f"--workdir={settings.workdir}"]
  command += [f"--data={path}" for path in settings.data] + [f"--seeds={','.join(map(str, settings.seeds))}"]
  command += [f"--steps={settings.steps}"] if settings.steps else []
  command += [f"--leaks={settings.leaks}"] if settings.leaks != "drop" else []
  command += [f"--init={network}={folder}" for network, folder in settings.init.items()]
  command += ["--from-scratch"] if settings.from_scratch else []
  command += [f"--set={field}={value}" for field, value in settings.changes.items()]
  return jobs.fill(
    TEMPLATES[target], command, name="-".join(names).replace("_", "-")[:50].rstrip("-"), array=_ranges(tasks),
    tasks=" ".join(map(str, tasks)), count=len(tasks), gpus=gpus, hours=hours, image=image,
  )  # fmt: skip


def _ranges(numbers: Sequence[int]) -> str:
  """`0-2,5` of 0, 1, 2, 5."""
  groups = [list(group) for _, group in itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
  return ",".join(str(g[0][1]) if len(g) == 1 else f"{g[0][1]}-{g[-1][1]}" for g in groups)
