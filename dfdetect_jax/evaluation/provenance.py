"""Where a score file comes from: `provenance.json` beside it, and the check that several may stand in one table.

The file names the score file and its checksum, the checkpoint, the shards and the split that were scored, what computed
them, and holds the whole provenance of the run, so that it says all of this wherever it is copied to.
"""

import logging
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dfdetect_jax.errors import UserError
from dfdetect_jax.files import file_sha256
from dfdetect_jax.runs import provenance
from dfdetect_jax.runs.provenance import FORMAT, PROVENANCE_FILE, describe_code, read_json

_LOG = logging.getLogger(__name__)

if TYPE_CHECKING:  # a report reads provenance without the libraries that restore a run
  from dfdetect_jax.runs.restore import Run


def score_provenance(
  scores: pathlib.Path,
  run: "Run",
  workdir: pathlib.Path,
  data: Mapping[str, str],
  split: str,
  left_out: Iterable[str],
  warnings: Iterable[str] = (),
) -> dict[str, Any]:
  """The provenance of a score file that has just been written.

  Args:
    scores: the file.
    run: that scored.
    workdir: of the run.
    data: path and fingerprint of the shards, see `dfdetect_jax.runs.provenance.data_fingerprint`.
    split: that was scored.
    left_out: ids of videos that were not scored because the run has seen them.
    warnings: what was told while scoring: shared people, leaks left out or not looked for, stand-ins.
  """
  path = workdir / PROVENANCE_FILE
  return {
    "format": FORMAT,
    "scores": {"file": scores.name, "sha256": file_sha256(scores)},
    "scored": provenance.now(),
    "workdir": str(workdir),
    "checkpoint": {"step": run.step, "path": run.checkpoint, "weights": run.weights},
    "data": dict(data),
    "split": split,
    "left_out": sorted(left_out),
    "warnings": list(warnings),
    **provenance.environment(),
    "run": read_json(path) if path.is_file() else None,
  }


def read_provenance(scores: pathlib.Path) -> dict[str, Any] | None:
  """The provenance of a score file, None where there is none beside it or where it is that of another file.

  Raises:
    UserError: it is damaged.
  """
  path = scores.with_name(PROVENANCE_FILE)
  if not path.is_file():
    return None
  content = read_json(path)
  named = content.get("scores", {})
  if (named.get("file"), named.get("sha256")) == (scores.name, file_sha256(scores)):
    return content
  if named.get("file") == scores.name:  # a copy under another name may lie beside the scores of a run
    _LOG.warning(f"{scores} is not the score file that {path} tells of: one of the two was changed.")
  return None


def check_same(provenances: Mapping[str, dict[str, Any] | None], same_test: bool = True) -> None:
  """Refuses to put score files side by side unless what they come from is known and the same.

  Every file must have its provenance, that of its run included; none may come from code that differs from its commit;
  all runs must have been trained on the same shards, and all files be of the same split of the same shards. Code
  outside a git work tree has no commit to differ from and passes: the checksum of its sources is in the provenance.

  Args:
    provenances: by name of the score file, as `read_provenance` gives them.
    same_test: False lets the scored shards and splits differ (columns of a table), not the shards trained on.

  Raises:
    UserError: naming the files and what differs in them.
  """
  lacking = [name for name, content in provenances.items() if content is None or content["run"] is None]
  if lacking:
    raise UserError(
      f"strict: nothing tells where {', '.join(lacking)} comes from: {PROVENANCE_FILE} is missing beside it, is that "
      "of other scores, or lacks the run's. Score again with dfdetect_jax.evaluate, from a run that has one."
    )
  known: dict[str, Any] = dict(provenances)
  for name, content in known.items():
    for what, code in (("scored", content["code"]), *(("trained", s["code"]) for s in content["run"]["sessions"])):
      if code["dirty"]:
        raise UserError(
          f"strict: {name} was {what} with code that differs from its commit {code['commit'][:12]} (its sources are "
          f"{code['sha256'][:12]}), which nobody else has. Commit first, then train and score again."
        )
  compared: dict[str, Callable[[Mapping[str, Any]], list[str]]] = {"the shards trained on": trained_on}
  if same_test:
    compared |= {"the shards scored": lambda p: [_shards(p["data"])], "the split scored": lambda p: [p["split"]]}
  for what, value in compared.items():
    values = {name: value(content) for name, content in known.items()}
    several = {v for found in values.values() for v in found}
    if len(several) > 1:
      listed = "; ".join(f"{name}: {' and '.join(found)}" for name, found in values.items())
      raise UserError(f"strict: {what} are not the same: {listed}. Such figures do not belong side by side.")


def trained_on(content: Mapping[str, Any]) -> list[str]:
  """The shards that a run has been trained on, by short fingerprint; one, unless it went on with others."""
  return list(dict.fromkeys(_shards(session["data"]) for session in content["run"]["sessions"]))


def _shards(data: Mapping[str, str]) -> str:
  return f"sha256 {data['sha256'][:12]}"


def described(content: Mapping[str, Any]) -> list[tuple[str, str]]:
  """The provenance of a score file for a person, as (what, value) rows."""
  run, checkpoint, data = content["run"], content["checkpoint"], content["data"]
  rows = [("checkpoint", f"step {checkpoint['step']} ({checkpoint['weights']}), {checkpoint['path']}")]
  if run is None:
    rows.append(("trained", f"unknown: {content['workdir']} has no {PROVENANCE_FILE}"))
  else:
    sessions = run["sessions"]
    last = sessions[-1]
    each = lambda value: ", then ".join(dict.fromkeys(value(s) for s in sessions))  # noqa: E731
    rows += [
      ("config", f"{run['method']}, sha256 {run['config_sha256'][:12]}, seed {run['seed']}"),
      ("trained on", each(lambda s: f"{s['data']['path']} ({_shards(s['data'])})")),
      (
        "trained with",
        each(lambda s: f"{describe_code(s['code'])}, jax {s['packages'].get('jax', '?')}, {_devices(s['devices'])}"),
      ),
      ("trained for", f"{last['last_step']} steps, {run['wall_seconds']:.0f} s in {len(sessions)} session(s)"),
    ]
  rows.append(("scored on", f"split {content['split']} of {data['path']} ({_shards(data)})"))
  if content["left_out"]:
    rows.append(("left out", f"{len(content['left_out'])} videos that the run has seen"))
  if content.get("contaminated"):
    rows.append(("CONTAMINATED", f"{len(content['contaminated'])} videos that the run has seen are scored"))
  if content.get("absent"):
    rows.append(("not there", f"{len(content['absent'])} videos that the dataset's lists name"))
  rows.append(("scored with", f"{describe_code(content['code'])}, {_devices(content['devices'])}"))
  return rows


def _devices(devices: Mapping[str, Any]) -> str:
  processes = f" in {devices['processes']} processes" if devices["processes"] > 1 else ""
  return f"{devices['count']} x {devices['kind']}{processes}"
