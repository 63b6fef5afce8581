"""Writes what a scheduler needs to train on several machines: a script or a manifest, to be read and submitted.

  python -m launch.jobs slurm --nodes=2 --gpus=8 -- --config=configs/dip.py --workdir=/shared/runs/dip --data=/shared/df

Targets: slurm, gke_jobset, tpu_vm, skypilot. The words after -- are flags of dfdetect_jax.train. What they agree on: a
job that was told to stop has saved its state and leaves with status 75; it is started again with the same command, and
goes on. Any other status but 0 is a failure and is not retried (a mistake would be repeated for ever), but for GKE,
where the processes that a lost machine leaves behind look like that: there it is retried three times.
"""

import argparse
import math
import pathlib
import re
import shlex
import string

import yaml

from dfdetect_jax.errors import UserError, exit_on_user_error
from dfdetect_jax.signals import EXIT_PREEMPTED

TEMPLATES = pathlib.Path(__file__).parent / "templates"
_COUNT = ("a whole number from 1 to 99999", r"[1-9]\d{0,4}")
# What a setting must be, in words and as a pattern: they stand unquoted in scripts and manifests.
RULES = {
  "name": ("lower-case letters, digits and dashes, at most 50 (a DNS label)", r"[a-z]([-a-z0-9]{0,48}[a-z0-9])?"),
  "nodes": _COUNT,
  "gpus": _COUNT,
  "hours": _COUNT,
  "image": ("the name of a container image", r"[a-z0-9][\w./:@-]*"),
  "accelerator": ("the name of a TPU slice or GPU, such as v5litepod-16 or H100", r"[A-Za-z0-9][A-Za-z0-9._-]*"),
  "zone": ("a zone, such as us-west4-a", r"[a-z]+(-[a-z0-9]+)+"),
}
TARGETS = {"slurm": "slurm.sh", "gke_jobset": "gke_jobset.yaml", "tpu_vm": "tpu_vm.sh", "skypilot": "skypilot.yaml"}


class _Template(string.Template):
  """Placeholders are written `%{name}`, so that the shell keeps its dollars; a percent sign is `%%`."""

  delimiter = "%"


def render(target: str, train_flags: list[str], **settings: str | int) -> str:
  """Fills in the template of a target.

  Args:
    target: a name in `TARGETS`.
    train_flags: flags of dfdetect_jax.train.
    settings: `name`, `nodes`, `gpus`, `image`, `accelerator`, `zone`, `hours`.

  Returns:
    A bash script or YAML documents.

  Raises:
    UserError: a setting is none that a scheduler takes.
  """
  return fill(TARGETS[target], ["python", "-m", "dfdetect_jax.train", *train_flags], **settings)


def fill(template: str, command: list[str], **values: str | int) -> str:
  """Fills in a file of launch/templates; `status`, which tells that a job wants to be started again, is known.

  Args:
    template: name of the file.
    command: its words; each is quoted for where it stands: `%{command}` in a script, `%{command_in_quotes}` in a
      script's single-quoted string, `%{command_in_args}` in a block of a container's args, `%{exec_in_yaml}` as a YAML
      scalar.
    values: see `RULES`.

  Raises:
    UserError: a value does not keep its rule, or a word has a character that is not printable.
  """
  for name, value in values.items():
    said, pattern = RULES.get(name, ("", ".*"))
    if not re.fullmatch(pattern, str(value)):
      raise UserError(f"--{name}={value!r} must be {said}.")
  for word in command:
    if not word.isprintable():
      raise UserError(f"{word!r} has a character that cannot stand in a job file: rename the file or folder.")
  line = shlex.join(command)
  in_args = line.replace("$(", "$$(")  # Kubernetes would put variables of its own there
  places = {
    "command": line,
    "command_in_quotes": line.replace("'", "'\"'\"'"),
    "command_in_args": in_args,
    "exec_in_yaml": yaml.safe_dump(f"exec {in_args}", width=math.inf, allow_unicode=True).removesuffix("...\n").strip(),
  }
  return _Template((TEMPLATES / template).read_text()).substitute(values, **places, status=EXIT_PREEMPTED)


def main(argv: list[str] | None = None) -> None:
  """Parses flags and prints; see the module's docstring."""
  parser = argparse.ArgumentParser(
    "python -m launch.jobs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("target", choices=sorted(TARGETS))
  parser.add_argument("--name", default="dfdetect", help="of the job (default: dfdetect)")
  parser.add_argument("--nodes", type=int, default=1, help="machines (default: 1)")
  parser.add_argument("--gpus", type=int, default=8, help="GPUs of each machine (default: 8)")
  parser.add_argument("--image", default="dfdetect_jax:latest", help="container image, see launch/Dockerfile")
  parser.add_argument("--accelerator", default="v5litepod-16", help="TPU slice, or SkyPilot's name of a GPU")
  parser.add_argument("--zone", default="us-west4-a", help="of the TPU (default: us-west4-a)")
  parser.add_argument("--hours", type=int, default=24, help="time limit (default: 24)")
  parser.add_argument("train_flags", nargs="+", help="after --: flags of dfdetect_jax.train")
  settings = vars(parser.parse_args(argv))
  with exit_on_user_error("launch.jobs"):
    print(render(settings.pop("target"), settings.pop("train_flags"), **settings), end="")


if __name__ == "__main__":
  main()
