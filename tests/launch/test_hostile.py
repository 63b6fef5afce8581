"""Job files for values with quotes, dollars, semicolons and worse: the words arrive as they are, nothing else runs."""

import os
import shlex
import subprocess

import pytest
import yaml

from dfdetect_jax.errors import UserError
from launch import jobs

SETTINGS = {
  "name": "dfdetect", "nodes": 2, "gpus": 1, "image": "registry.example/a:1", "accelerator": "v5litepod-16",
  "zone": "us-west4-a", "hours": 24,
}  # fmt: skip
HOSTILE = [
  "runs/it's", 'runs/"a"', "runs/$(touch owned)", "runs/`touch owned`", "runs/a; touch owned", "runs/a b", "runs/a: b",
  "runs/a #b", "runs/$HOME", "runs/$(HOME)", "runs/a'; touch owned; '", "runs/\\", "runs/ünï", "- a", "runs/{a,b}*?[x]",
  "runs/%x%%", "runs/a && touch owned", "'", '"', "$$(HOME)", "runs/a|b>c<d&", "~/x", "!x", "%{name}", "runs/\\n",
]  # fmt: skip


@pytest.fixture
def stubs(tmp_path):
  """Programs that write down their words: `python`, and those around it, which start it."""
  folder = tmp_path / "bin"
  folder.mkdir()
  scripts = {
    "python": 'printf "%s\\0" "$@" > "$STUB_OUT"',
    "srun": 'shift; exec "$@"',
    "pip": "exit 0",
    "gcloud": 'for w; do case "$w" in --command=*) cd "$STUB_HOME" && bash -c "${w#--command=}"; exit ;; '
    "describe) echo ACTIVE ;; esac; done",
  }
  for name, body in scripts.items():
    (folder / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
    (folder / name).chmod(0o755)
  (tmp_path / "home" / "dfdetect_jax").mkdir(parents=True)
  return tmp_path


def run(script, stubs):
  """The words that python is started with when a script runs in an empty folder."""
  out = stubs / "words"
  out.unlink(missing_ok=True)
  env = {"PATH": f"{stubs / 'bin'}:/usr/bin:/bin", "STUB_OUT": str(out), "STUB_HOME": str(stubs / "home")}
  env |= {"HOME": "/nowhere", "SKYPILOT_NODE_IPS": "a\nb", "SKYPILOT_NUM_NODES": "2", "SKYPILOT_NODE_RANK": "0"}
  env |= {"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_JOB_ID": "7", "JOB_COMPLETION_INDEX": "0"}
  done = subprocess.run(["bash", "-c", script], cwd=stubs, env=env, capture_output=True, text=True, timeout=60)
  assert done.returncode == 0, done.stderr
  owned = [path for path in stubs.rglob("*") if path.name.startswith("owned")]
  assert not owned, owned
  return out.read_text().split("\0")[:-1]


def expand(text):
  """What Kubernetes makes of a container's argument: $(NAME) of its variables, `$$` before a parenthesis escaped."""
  parts = text.split("$$(")
  return "$(".join(part.replace("$(HOME)", "/nowhere") for part in parts)


def script_of(target, text):
  if target in ("slurm", "tpu_vm"):
    return text
  parts = list(yaml.safe_load_all(text))
  if target == "skypilot":
    return parts[0]["run"]
  container = parts[-1]["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]["containers"][0]
  assert container["command"] == ["bash", "-c"] and len(container["args"]) == 1
  return expand(container["args"][0])


@pytest.mark.parametrize("target", jobs.TARGETS)
def test_hostile_words_arrive_as_they_are(target, stubs):
  """Guards every target by running what it prints: the training's words are those that were given, nothing else ran."""
  flags = ["--config=dip", *(f"--workdir={word}" for word in HOSTILE), *HOSTILE]
  text = jobs.render(target, flags, **SETTINGS)
  words = run(script_of(target, text), stubs)
  assert words[:2] == ["-m", "dfdetect_jax.train"]
  assert words[2 : 2 + len(flags)] == flags


def test_a_studys_words_arrive_as_they_are(stubs):
  """Guards the array jobs' templates in the same way."""
  values = {"name": "a", "gpus": 1, "hours": 1, "image": "a:1", "array": "0-1", "tasks": "0 1", "count": 2}
  command = ["python", "-m", "dfdetect_jax.study", *HOSTILE]
  text = jobs.fill("study_slurm.sh", command, **values)
  assert run(text, stubs)[1:-1] == command[2:]
  [manifest] = yaml.safe_load_all(jobs.fill("study_kubernetes.yaml", command, **values))
  [container] = manifest["spec"]["template"]["spec"]["containers"]
  assert run(expand(container["args"][0]), stubs)[1:-1] == command[2:]


@pytest.mark.parametrize("target", jobs.TARGETS)
@pytest.mark.parametrize("word", ["a\nb", "a\rb", "a\x00b", "a\u2028b", "a\x85b", "a\tb", "a\x1b[2Jb"])
def test_what_is_not_printable_is_refused(target, word):
  """Guards against lines that begin in the middle of a word."""
  with pytest.raises(UserError, match="cannot stand in a job file"):
    jobs.render(target, [f"--workdir={word}"], **SETTINGS)


@pytest.mark.parametrize(
  "name, value",
  [
    ("nodes", -3), ("nodes", 0), ("gpus", -1), ("hours", 0), ("hours", 10**9), ("name", "a b"), ("name", "A"),
    ("name", "a;b"), ("name", "-a"), ("name", "a" * 64), ("name", ""), ("name", "a\nb"), ("zone", "us; rm"),
    ("zone", "a'b-c"), ("accelerator", "x y"), ("accelerator", "$(x)"), ("image", "a b"), ("image", "a\n- b"),
    ("name", "a\n"),
  ],
)  # fmt: skip
def test_settings_keep_their_rules(name, value):
  """Guards what stands unquoted in scripts and manifests."""
  for target in jobs.TARGETS:
    with pytest.raises(UserError, match=f"--{name}=.* must be "):
      jobs.render(target, ["--config=dip"], **SETTINGS | {name: value})


def test_the_program_says_it_in_a_sentence(capsys):
  """Guards the exit status and the sentence of the program."""
  with pytest.raises(SystemExit, match="2"):
    jobs.main(["slurm", "--nodes=-3", "--", "--config=dip"])
  assert "launch.jobs: error: --nodes=-3 must be a whole number" in capsys.readouterr().err


def test_stubs_would_notice(stubs):
  """Guards these tests: an unquoted word is seen to run."""
  with pytest.raises(AssertionError):
    run(f"python {HOSTILE[4]}", stubs)
  assert not os.path.exists("owned") and shlex.join(HOSTILE)
