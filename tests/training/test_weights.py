"""What a run starts from: refused where it is not said, told where it is, and never forgotten by the leak guard."""

import json
import shutil

import numpy as np
import pytest

from configs import dip
from dfdetect_jax import schema
from dfdetect_jax.errors import UserError
from dfdetect_jax.interop import convert, export, files, start
from dfdetect_jax.runs.config import override
from dfdetect_jax.runs.restore import restore_run
from dfdetect_jax.runs.trained_videos import leaks_from_training, read_trained_videos
from dfdetect_jax.training import loop


def test_random_weights_must_be_asked_for_where_a_paper_has_others():
  """Guards DIP's card against training 171 M random parameters at 4e-6, and the variants that are meant to."""
  config = dip.get_config().copy_and_resolve_references()
  with pytest.raises(UserError, match=r"dip starts from a ViT.*interop\.convert --method=dip.*--config\.init=random"):
    start.from_scratch(config)
  assert start.from_scratch(override(config, {"init": "random"})) and not start.from_scratch(
    override(config, {"init": "weights/vit"})
  )
  assert all(start.from_scratch(dip.get_config(variant)) for variant in ("small", "test"))


def test_a_run_is_refused_before_anything_is_written(toy_config, tmp_path):
  """Guards the refusal in the loop itself, whoever calls it."""
  with pytest.raises(UserError, match="toy_method starts from a great network"):
    loop.train_and_evaluate(override(toy_config, {"starts_from": "a great network"}), tmp_path / "run")
  assert not (tmp_path / "run").exists()


def part_of(dataset, folder, pairs):
  """The dataset with some of the pairs in its train split alone."""
  shutil.copytree(dataset, folder)
  tracks = schema.read_tracks(dataset)
  schema.write_tracks(folder, [t for t in tracks if t.split == "train" and int(t.pair.removeprefix("train")) in pairs])
  return str(folder)


@pytest.mark.slow
def test_the_leak_guard_follows_the_weights(toy_config, toy_dataset, tmp_path, capsys):
  """Guards against judging a run by what the weights it started from have seen: through `config.init`, through an
  exported file that is converted again, and where the first folder is gone when the run goes on."""
  steps = {"total_steps": 1, "eval_every": 0, "log_every": 1}
  parts = [part_of(toy_dataset, tmp_path / f"data{i}", pairs) for i, pairs in enumerate(((0, 1), (2, 3), (4, 5)))]
  seen = [{t.video_id for t in schema.read_tracks(part)} for part in parts]
  listed = lambda run: {v.video_id for v in read_trained_videos(tmp_path / run)}  # noqa: E731
  loop.train_and_evaluate(override(toy_config, steps | {"data": parts[0]}), tmp_path / "first")
  second = override(toy_config, steps | {"data": parts[1], "init": str(tmp_path / "first")})
  loop.train_and_evaluate(second, tmp_path / "second")
  assert "starts from" in (told := capsys.readouterr().out) and "0 random: none" in told
  assert listed("first") == seen[0] and listed("second") == seen[0] | seen[1]
  assert json.loads((tmp_path / "second" / "start.json").read_text())["fresh"] == []

  export.export(tmp_path / "second", tmp_path / "second.safetensors")
  convert.convert(toy_config, tmp_path / "second.safetensors", tmp_path / "converted")
  third = override(toy_config, steps | {"data": parts[2], "init": str(tmp_path / "converted")})
  loop.train_and_evaluate(third, tmp_path / "third")
  assert listed("converted") == seen[0] | seen[1] and listed("third") == seen[0] | seen[1] | seen[2]
  judged = [t for t in schema.read_tracks(toy_dataset) if t.video_id in seen[0]]
  with pytest.raises(UserError, match=f"the run has seen {len(seen[0])} of {len(seen[0])} videos of 'test'"):
    leaks_from_training(read_trained_videos(tmp_path / "third"), judged, "test", "refuse")

  shutil.rmtree(tmp_path / "converted")
  loop.train_and_evaluate(override(third, {"total_steps": 2}), tmp_path / "third")
  assert listed("third") == seen[0] | seen[1] | seen[2]


@pytest.mark.slow
def test_damaged_weights_are_named_before_a_run_starts(toy_config, toy_dataset, tmp_path):
  """Guards the checksums of converted weights by one flipped bit, and against weights that are no numbers."""
  config = override(toy_config, {"data": str(toy_dataset), "total_steps": 1, "eval_every": 0})
  loop.train_and_evaluate(config, tmp_path / "run")
  arrays = export.export(tmp_path / "run", tmp_path / "run.safetensors")
  convert.convert(config, tmp_path / "run.safetensors", tmp_path / "converted")
  source = tmp_path / "converted" / "source.safetensors"
  whole = source.read_bytes()
  source.write_bytes(whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:])
  start = override(config, {"init": str(tmp_path / "converted")})
  with pytest.raises(UserError, match=r"source\.safetensors is damaged: its checksum differs"):
    loop.train_and_evaluate(start, tmp_path / "again")
  name = "params/Dense_0/kernel"
  files.write(source, files.read(tmp_path / "run.safetensors") | {name: arrays[name] + 1}, {})  # whole, but another's
  with pytest.raises(UserError, match=rf"damaged: 1 arrays are not what was converted \({name}\)"):
    loop.train_and_evaluate(start, tmp_path / "again")
  broken = arrays | {name: np.full_like(arrays[name], np.nan)}
  files.write(tmp_path / "nan.safetensors", broken, {})
  with pytest.raises(UserError, match=rf"NaN or infinite, in 1 arrays: {name} \({broken[name].size} of"):
    convert.convert(config, tmp_path / "nan.safetensors", tmp_path / "nan")
  assert restore_run(str(tmp_path / "converted")).step == 0
