"""The table of config fields: complete, held by every config, and the one place that says what a change means."""

import dataclasses
import json

import pytest

from dfdetect_jax.errors import UserError
from dfdetect_jax.methods.method import ClipSpec
from dfdetect_jax.runs import run_config
from dfdetect_jax.runs.config import base_config, override
from dfdetect_jax.runs.fields import FIELDS, METHODS_OWN, check_fields, flat, is_identity, is_scale, may_change
from dfdetect_jax.runs.provenance import FORMAT


def config_with(changes):
  config = base_config()
  config.method = "dip"
  return override(config, changes)


def test_the_table_has_every_field():
  """Guards against a field of which nobody says what it may be."""
  shared = lambda names: {name for name in names if name.split(".")[0] not in METHODS_OWN}  # noqa: E731
  assert shared(flat(base_config().to_dict())) == shared(FIELDS)
  check_fields(config_with({}))


@pytest.mark.parametrize(
  "name, value",
  [
    ("log_every", 0), ("checkpoint_every", 0), ("checkpoint_keep", 0), ("eval_batch_size", 0), ("accumulate", 0),
    ("mesh.fsdp", 0), ("mesh.data", 0), ("workers", -1), ("data_timeout", -1.0), ("data_timeout", float("nan")),
    ("dtype", "float8"), ("batch_size", True), ("batch_size", 2.5), ("prefetch", 0), ("seed", -1),
    ("epochs", float("inf")), ("optimizer.name", "lion"), ("optimizer.rules", ((".*", 1.0),)), ("tracks", "median"),
    ("videos.manipulations", "Deepfakes"), ("unpaired", ""), ("optimizer.learning_rate", -1e-4), ("method", ""),
  ],
)  # fmt: skip
def test_a_value_out_of_range_is_one_sentence(name, value):
  """Guards against ZeroDivisionErrors and the like, some of them after a compilation."""
  config = config_with({})
  *parents, last = name.split(".")
  for parent in parents:
    config = config[parent]
  with config.ignore_type():
    config[last] = value
  whole = config_with({})
  with whole.ignore_type():
    override(whole, {name: value})
  with pytest.raises(UserError, match=rf"^config: {name}=.* must be .*\. Set it with --config.FIELD=VALUE\.$"):
    check_fields(whole)


def test_the_table_has_every_count_of_a_clip():
  """Guards against a number of `ClipSpec` that a config could hold as something else."""
  counts = {f"clips.{field.name}" for field in dataclasses.fields(ClipSpec) if field.type is int}
  assert counts == {name for name in FIELDS if name.startswith("clips.")}


@pytest.mark.parametrize("value", [None, "x", 2.5])
def test_clips_are_counted_in_whole_numbers(value):
  """Guards a damaged config.json: it ended in a TypeError where the method was built."""
  config = config_with({})
  with config.unlocked():
    config.clips.train_clips = value
  with pytest.raises(UserError, match=r"^run/config.json: config: clips.train_clips=.* must be a whole number\."):
    check_fields(config, "run/config.json")


def test_what_a_change_means():
  """Guards the three lists that were kept by hand: what may change, what is no identity, what is scale."""
  assert {n for n in FIELDS if may_change(n)} == {
    "total_steps", "epochs", "data", "workers", "prefetch", "data_timeout", "max_unreadable", "log_every", "eval_every",
    "eval_batch_size", "checkpoint_every", "checkpoint_keep", "mesh.data", "mesh.fsdp", "remat", "starts_from",
    "loggers",
  }  # fmt: skip
  assert {n.split(".")[0] for n in FIELDS if not is_identity(n)} == {
    "seed", "data", "videos", "workers", "prefetch", "data_timeout", "max_unreadable", "log_every", "mesh", "remat",
    "eval_batch_size", "checkpoint_every", "checkpoint_keep", "starts_from", "loggers",
  }  # fmt: skip
  assert {n for n in FIELDS if is_scale(n)} == {
    "model.size", "model.width", "clips.size", "batch_size", "eval_batch_size", "total_steps", "epochs", "log_every",
    "eval_every", "checkpoint_every",
  }  # fmt: skip
  assert is_identity("model.k_n") and not may_change("model.k_n")


@pytest.fixture
def workdir(tmp_path):
  """A run's papers."""
  config = config_with({"total_steps": 5, "model.size": "b"} if "size" in base_config().model else {"total_steps": 5})
  run_config.save_config(tmp_path, config)
  fields = json.loads((tmp_path / "config.json").read_text())
  (tmp_path / "provenance.json").write_text(json.dumps({"format": FORMAT, "config": fields, "sessions": []}))
  return tmp_path


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"null", b'{"method": "d\xefp"}', b'{"method": 3', b"[" * 100_000])
def test_a_damaged_config_is_one_sentence(workdir, text):
  """Guards against tracebacks from a config.json that was emptied, cut, or written by something else."""
  (workdir / "config.json").write_bytes(text)
  with pytest.raises(UserError, match=r"config\.json"):
    run_config.read_config(workdir)


def test_papers_that_contradict_each_other_are_refused(workdir):
  """Guards against scoring under a config that the weights were not trained with; what may change may differ."""
  fields = json.loads((workdir / "config.json").read_text())
  (workdir / "config.json").write_text(json.dumps(fields | {"total_steps": 9}))
  assert run_config.read_config(workdir).total_steps == 9
  (workdir / "config.json").write_text(json.dumps(fields | {"tracks": "mean"}))
  with pytest.raises(UserError, match=r"config\.json is not the config .* tracks: max → mean"):
    run_config.read_config(workdir)


def test_a_run_from_before_a_field_gets_its_default_loudly(workdir, caplog):
  """Guards old runs: what they lack is taken as by default, and said."""
  fields = json.loads((workdir / "config.json").read_text())
  del fields["unpaired"], fields["optimizer"]["momentum"]
  (workdir / "provenance.json").unlink()
  (workdir / "config.json").write_text(json.dumps(fields))
  config = run_config.read_config(workdir)
  assert config.unpaired == "random" and config.optimizer.momentum == 0.9
  assert "lacks optimizer.momentum, unpaired: taken as by default" in caplog.text
