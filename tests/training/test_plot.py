"""Training curves: what is read of runs, also of running and resumed ones, and what is told."""

import json

import numpy as np
import pytest

from dfdetect_jax.errors import UserError
from dfdetect_jax.training import plot


def _run(folder, lines, end=""):
  folder.mkdir()
  (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + end)
  return str(folder)


def test_series_of_running_and_resumed_runs(tmp_path):
  """Guards the reading: a half-written last line is left out, a step that was written twice counts once, the later."""
  lines = [{"step": s, "train/loss": 1 / s, "note": "x"} for s in (1, 2, 3)]
  run = _run(tmp_path / "a", [*lines, {"step": 2, "train/loss": 9.0}, {"step": 2, "val/auc": 0.5}], '{"step": 4, "tra')
  series = plot.read_series(run)
  assert set(series) == {"train/loss", "val/auc"}
  assert series["train/loss"][0].tolist() == [1, 2, 3] and series["train/loss"][1].tolist() == [1.0, 9.0, 1 / 3]
  broken = _run(tmp_path / "b", [], 'half\n{"step": 1}\n')
  with pytest.raises(UserError, match="line 1, is damaged"):
    plot.read_series(broken)
  with pytest.raises(UserError, match="not the workdir of a run"):
    plot.read_series(str(tmp_path / "none"))


def test_the_average_has_no_bias_and_skips_what_is_not_finite():
  """Guards the smoothing against its definition, term by term."""
  values = np.array([3.0, 1.0, np.nan, 2.0, 5.0])
  for share in (0.0, 0.6):
    finite = [(i, x) for i, x in enumerate(values) if np.isfinite(x)]
    expected = []
    for k in range(len(values)):
      seen = [x for i, x in finite if i <= k]
      weights = share ** np.arange(len(seen) - 1, -1, -1) if share else np.eye(len(seen))[-1]
      expected.append(np.sum(weights * seen) / np.sum(weights))
    np.testing.assert_allclose(plot.smoothed(values, share), expected, rtol=1e-12)


def test_the_program_lays_runs_over_each_other(tmp_path, capsys):
  """Guards the page: each run's name and best validation, names with `$` as they are; wrong calls are told."""
  runs = [
    _run(tmp_path / name, [{"step": s, "train/loss": 1.0 / s, "train/learning_rate": 0.1, "speed/clips_per_second": 7.0}
                           for s in (10, 20)] + [{"step": s, "val/auc": v} for s, v in values])
    for name, values in (("a$1", ((10, 0.7), (20, 0.9))), ("b$2", ((10, 0.8), (20, 0.6))))
  ]  # fmt: skip
  plot.main([*runs, f"--output={tmp_path / 'c.html'}"])
  text = (tmp_path / "c.html").read_text()
  assert "0.9000<small>at step 20" in text and "0.8000<small>at step 10" in text and "a$1" in text
  plot.main([*runs, f"--output={tmp_path / 'c.svg'}"])
  assert "b$2" in (tmp_path / "c.svg").read_text()
  for arguments, part in (
    (["--metric=acu"], "Did you mean 'auc'?"),
    (["--smoothing=1"], "below 1"),
    (["--output=x.png"], "must end in .html or .svg"),
  ):
    with pytest.raises(SystemExit) as ended:
      plot.main([*runs, *arguments])
    assert ended.value.code == 2 and part in capsys.readouterr().err
