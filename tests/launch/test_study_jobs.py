"""Array jobs of a study: what is printed is stored, parses, and asks to be started again on the right status alone."""

import json
import pathlib
import shutil
import subprocess

import pytest
import yaml

from dfdetect_jax.data.catalogue import DatasetFolder
from dfdetect_jax.errors import UserError
from dfdetect_jax.evaluation.protocols import PROTOCOLS
from dfdetect_jax.studies.definition import Training
from dfdetect_jax.studies.plan import FINISHED_FILE, Run
from dfdetect_jax.studies.settings import Settings
from dfdetect_jax.studies.submit import submission

GOLDEN = pathlib.Path(__file__).parent / "golden"
FILES = {"slurm": "study_slurm.sh", "kubernetes": "study_kubernetes.yaml"}
SETTINGS = Settings(
  pathlib.Path("/shared/studies"), ("/shared/ffpp", "/shared/others"), init={"dip": "/shared/vit_b16"},
  changes={"dtype": "bfloat16"},
)  # fmt: skip


def _runs(folder):
  """Six runs, of which the fourth is done."""
  recipe = SETTINGS.recipe(Training("dip", PROTOCOLS["intra-dataset-c23"].train))
  runs = [Run(recipe, seed, folder / f"{seed}", DatasetFolder(folder), {}, {}, ()) for seed in range(6)]
  runs[3].folder.mkdir()
  (runs[3].folder / FINISHED_FILE).write_text(json.dumps({}))
  return runs


def _printed(target, folder):
  return submission(target, ["dip_table7", "dip_table8"], SETTINGS, _runs(folder), 2, 12, "registry.example/df:1")


@pytest.mark.parametrize("target", FILES)
def test_a_submission_is_what_is_stored(target, tmp_path):
  """Guards the array jobs against unnoticed change: delete a golden file and run again to accept a new one."""
  output, path = _printed(target, tmp_path), GOLDEN / FILES[target]
  if not path.exists():
    path.write_text(output)
    pytest.fail(f"{path.name} was missing: written anew, look at it")
  assert output == path.read_text()


def test_the_slurm_array_requeues_only_when_told_to_stop(tmp_path):
  """Guards the script by running it with stand-ins for python and scontrol: its task, and 75 alone requeues."""
  script = GOLDEN / FILES["slurm"]
  assert "#SBATCH --array=0-2,4-5\n" in script.read_text()
  if shutil.which("shellcheck"):
    subprocess.run(["shellcheck", script], check=True)
  for status, requeued in ((75, True), (1, False), (0, False)):
    folder = tmp_path / str(status)
    folder.mkdir()
    for name, body in (
      ("python", f'echo "$@" > {folder}/called; exit {status}'),
      ("scontrol", f'echo "$@" > {folder}/re'),
    ):
      (folder / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
      (folder / name).chmod(0o755)
    env = {"PATH": f"{folder}:/usr/bin:/bin", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "4"}
    assert subprocess.run(["bash", script], env=env).returncode == status
    assert (folder / "re").exists() == requeued
    if requeued:
      assert (folder / "re").read_text() == "requeue 7_4\n"
    assert (folder / "called").read_text().startswith("-m dfdetect_jax.study run dip_table7 dip_table8 --workdir=")
    assert (folder / "called").read_text().endswith("--task=4\n")


def test_the_kubernetes_job_starts_its_task_again(tmp_path):
  """Guards the manifest: a pod a run, its task by the pod's index, 75 and evictions free, time to save."""
  job = yaml.safe_load((GOLDEN / FILES["kubernetes"]).read_text())
  spec = job["spec"]
  assert job["kind"] == "Job" and spec["completionMode"] == "Indexed" and spec["completions"] == 5
  assert spec["backoffLimitPerIndex"] == 0
  codes, evicted = spec["podFailurePolicy"]["rules"]
  assert codes["action"] == evicted["action"] == "Ignore" and codes["onExitCodes"]["values"] == [75]
  pod = spec["template"]["spec"]
  [container] = pod["containers"]
  assert codes["onExitCodes"]["containerName"] == container["name"] and pod["restartPolicy"] == "Never"
  assert pod["terminationGracePeriodSeconds"] >= 60 and container["resources"]["limits"]["nvidia.com/gpu"] == 2
  assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
  (tmp_path / "python").write_text('#!/usr/bin/env bash\necho "$@"\n')
  (tmp_path / "python").chmod(0o755)
  env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "JOB_COMPLETION_INDEX": "3"}
  done = subprocess.run(
    [*container["command"], *container["args"]], env=env, capture_output=True, text=True, check=True
  )
  assert done.stdout.endswith("--set=dtype=bfloat16 --task=4\n")


def test_nothing_left_is_told(tmp_path):
  """Guards an empty array."""
  with pytest.raises(UserError, match="nothing is left to run"):
    submission("slurm", ["dip_table7"], SETTINGS, _runs(tmp_path)[3:4], 1, 1, "")
