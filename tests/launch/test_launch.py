"""Launch files: the recipes in launch/README.md run, give what is stored, and parse."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = pathlib.Path(__file__).parent / "golden"
RECIPES = re.findall(r"```bash recipe\n(.*?)\n```", (ROOT / "launch" / "README.md").read_text(), re.S)
NAMES = ["local.txt", "slurm.sh", "gke_jobset.yaml", "tpu_vm.sh", "skypilot.yaml"]


def run(recipe):
  words = shlex.split(recipe)
  assert words[0] == "python"
  done = subprocess.run([sys.executable, *words[1:]], cwd=ROOT, capture_output=True, text=True, check=True)
  return done.stdout


@pytest.mark.parametrize("name, recipe", list(zip(NAMES, RECIPES, strict=True)), ids=NAMES)
def test_a_recipe_gives_what_is_stored(name, recipe):
  """Guards every launch file against unnoticed change: delete a golden file and run again to accept a new one."""
  output = run(recipe)
  if not (GOLDEN / name).exists():
    (GOLDEN / name).write_text(output)
    pytest.fail(f"{name} was missing: written anew, look at it")
  assert output == (GOLDEN / name).read_text()


def devices_of(words):
  """Devices that a recipe asks for: nodes times GPUs, or the number in the accelerator's name."""
  options = dict(word[2:].partition("=")[::2] for word in words if word.startswith("--"))
  if "gpus" in options:
    return int(options["nodes"]) * int(options["gpus"])
  if "processes" in options:
    return int(options["processes"]) * int(options["devices"])
  return int(options["accelerator"].rpartition("-")[2])


def commands():
  """The trainings of all recipes, each with its devices; equal ones once."""
  found = {}
  for recipe in RECIPES:
    words = shlex.split(recipe)
    launch, train = words[: words.index("--")], words[words.index("--") + 1 :]
    flags = [w for w in train if w.startswith("--config") and not w.startswith("--config.init=")]
    found.setdefault((devices_of(launch), *flags))
  return list(found)


@pytest.mark.slow
@pytest.mark.parametrize("command", commands(), ids=lambda c: f"{c[0]}-{c[1].rpartition('/')[2]}")
def test_a_recipe_fits_its_devices(command):
  """Guards every recipe's batch against its number of devices, by a dry run with as many simulated ones. The network is
  the smallest: what is looked at is how the step is cut."""
  devices, *flags = command
  small = ["--config.model.size=test", "--config.model.units=1", "--config.model.layers=1", "--config.clips.frames=2"]
  done = subprocess.run(
    [sys.executable, "-m", "dfdetect_jax.train", "--dry-run", *flags, *small, "--config.clips.size=64"], cwd=ROOT,
    env=os.environ | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)}, capture_output=True, text=True,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr[-2000:]
  assert f"devices: {devices} x cpu" in done.stdout and "fits in" in done.stdout


@pytest.mark.parametrize("name", [n for n in NAMES if n.endswith(".sh")])
def test_scripts_parse(name):
  """Guards against a script that bash, or shellcheck where there is one, refuses."""
  subprocess.run(["bash", "-n", GOLDEN / name], check=True)
  if shutil.which("shellcheck"):
    subprocess.run(["shellcheck", GOLDEN / name], check=True)


def test_the_jobset_restarts_on_the_right_status():
  """Guards the manifest's structure: indexed pods, restart on 75 without limit and else three times, time to save,
  rights that jax's detection needs.
  """
  parts = {part["kind"]: part for part in yaml.safe_load_all((GOLDEN / "gke_jobset.yaml").read_text())}
  assert parts.keys() == {"ServiceAccount", "Role", "RoleBinding", "JobSet"}
  policy = parts["JobSet"]["spec"]["failurePolicy"]
  assert policy["maxRestarts"] == 3 and policy["rules"][0]["action"] == "RestartJobSetAndIgnoreMaxRestarts"
  [job] = parts["JobSet"]["spec"]["replicatedJobs"]
  spec = job["template"]["spec"]
  assert spec["completionMode"] == "Indexed" and spec["parallelism"] == spec["completions"] == 4
  assert spec["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"] == [75]
  pod = spec["template"]["spec"]
  assert pod["serviceAccountName"] == parts["ServiceAccount"]["metadata"]["name"]
  assert pod["terminationGracePeriodSeconds"] >= 60
  [container] = pod["containers"]
  assert container["args"][0].startswith("exec python -m dfdetect_jax.train --config=")
  assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
  assert {r for rule in parts["Role"]["rules"] for r in rule["resources"]} == {"pods", "services", "jobs"}


def test_the_sky_task_recovers():
  """Guards the managed job: spot, recovery on 75, and our own flags where SkyPilot is not detected by jax."""
  task = yaml.safe_load((GOLDEN / "skypilot.yaml").read_text())
  assert task["resources"]["use_spot"] and task["resources"]["job_recovery"]["recover_on_exit_codes"] == [75]
  assert "--process-id=" in task["run"] and task["num_nodes"] == 2
  script = subprocess.run(["bash", "-n"], input=task["run"], text=True)
  assert script.returncode == 0


def test_slurm_requeues_only_when_told_to_stop(tmp_path):
  """Guards the batch script by running it with stand-ins for srun and scontrol: status 75 requeues, 1 does not."""
  for status, requeued in ((75, True), (1, False), (0, False)):
    folder = tmp_path / str(status)
    folder.mkdir()
    for name, body in (("srun", f"exit {status}"), ("scontrol", f'echo "$@" > {folder}/requeued')):
      (folder / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
      (folder / name).chmod(0o755)
    done = subprocess.run(["bash", GOLDEN / "slurm.sh"], env={"PATH": f"{folder}:/usr/bin:/bin", "SLURM_JOB_ID": "7"})
    assert done.returncode == status
    assert (folder / "requeued").exists() == requeued


@pytest.mark.parametrize(
  "status, state, slices",
  [
    (75, "ACTIVE", 3),  # told to stop on the first two slices
    (1, "SUSPENDED", 3),  # taken away while training
    (1, "ACTIVE", 1),  # failed by itself
    (0, "ACTIVE", 1),
  ],
)
def test_tpu_slices_are_asked_for_again_only_when_taken_away(tmp_path, status, state, slices):
  """Guards the TPU script by running it with a stand-in for gcloud: which ends of a training ask for another slice."""
  # Training on slices 1 and 2 ends as said, on slice 3 well. A slice is active until training on it has ended.
  (tmp_path / "gcloud").write_text(f"""#!/usr/bin/env bash
log={tmp_path}/log
count=$(grep -c create "$log")
echo "${{*//$'\\n'/ }}" >> "$log"
case "$*" in
  *" describe "*)
    if tail -n2 "$log" | grep -q " ssh " && [ "$count" -lt 3 ]; then echo {state}; else echo ACTIVE; fi ;;
  *" ssh "*) if [ "$count" -lt 3 ]; then exit {status}; fi ;;
esac
""")
  (tmp_path / "gcloud").chmod(0o755)
  (tmp_path / "log").touch()
  done = subprocess.run(
    ["bash", GOLDEN / "tpu_vm.sh"], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, cwd=tmp_path, timeout=60
  )
  calls = (tmp_path / "log").read_text()
  assert done.returncode == (status if slices == 1 else 0)
  assert calls.count("queued-resources create") == calls.count("queued-resources delete") == slices
