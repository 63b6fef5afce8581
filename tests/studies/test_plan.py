"""What studies come down to: which trainings are the same, what they take, what a demo makes of them."""

import dataclasses
import json
import sys

import jax
import pytest
from absl import flags
from ml_collections import config_flags

from dfdetect_jax import study as program
from dfdetect_jax.data.videos import VideoSet
from dfdetect_jax.errors import UserError
from dfdetect_jax.evaluation.protocols import PROTOCOLS
from dfdetect_jax.studies import demo, registry
from dfdetect_jax.studies import settings as choices
from dfdetect_jax.studies.definition import Training
from dfdetect_jax.studies.forecast import Speed, describe, speed_of, total_steps
from dfdetect_jax.studies.plan import FINISHED_FILE, make_plan
from dfdetect_jax.training.metrics_writer import METRICS_FILE

C23 = PROTOCOLS["intra-dataset-c23"].train
TRAININGS = {t for s in registry.STUDIES.values() for c in s.cells for t, _ in c.parts}


def test_equal_trainings_are_one_whatever_they_are_called(settings):
  """Guards sharing: equal config and videos give one folder; any difference that is computed gives another."""
  name = lambda *args, **kwargs: settings.recipe(Training(*args, **kwargs)).name  # noqa: E731
  base = name("dip", C23)
  renamed = dataclasses.replace(C23, name="x", manipulations=C23.manipulations[::-1])
  same = ["dip:table7_all", "dip:table8_original"]
  assert {base, *(name(config, C23) for config in same), name("dip", renamed)} == {base}
  assert name("dip", C23, (("workers", 7), ("log_every", 3), ("checkpoint_every", 9))) == base
  other = dataclasses.replace(C23, compressions=("c40",))
  different = {
    base, name("dip", other), name("dip:table7_idm", C23), name("dip", C23, (("total_steps", 9),)),
    name("dip", dataclasses.replace(C23, manipulations=C23.manipulations[1:])), name("ftcn", C23),
    dataclasses.replace(settings, init={"dip": "weights"}).recipe(Training("dip", C23)).name,
    dataclasses.replace(settings, changes={"dtype": "bfloat16"}).recipe(Training("dip", C23)).name,
  }  # fmt: skip
  assert len(different) == 8


def test_a_reduced_size_keeps_every_switch(settings):
  """Guards the demo: the size is the small one, the rows' switches stay, and no two trainings become one."""
  small = dataclasses.replace(settings, demo=True, size="small", steps=12)
  config = small.recipe(Training("dip:table7_idm", C23)).config
  assert (config.model.dica, config.objective.da_weight, config.model.size) == (False, 0.0, "small")
  assert (config.total_steps, config.optimizer.warmup_steps, config.eval_every, config.clips.size) == (12, 3, 0, 64)
  assert small.recipe(Training("baselines:i3d_r50", C23)).variant == "i3d_r50_small"
  assert small.recipe(Training("dil:table3_cross", C23, (("eval_every", 288),))).config.eval_every == 0
  paper, reduced = ({s.recipe(t).name for t in TRAININGS} for s in (settings, small))
  # DIP's own setting trains once more in a demo's Table VI, which has a graph of its own.
  assert len(paper) + 1 == len(reduced) > 100


@pytest.mark.filterwarnings("ignore:.*load_module:DeprecationWarning")  # how ml_collections loads a config file
@pytest.mark.parametrize(
  "training", [Training("dil:table6_stages_2_4", C23), Training("ftcn:leave_one_out", C23, (("epochs", 3.0),))]
)
def test_the_flags_give_the_config(training, settings, monkeypatch):
  """Guards the command lines: what the train program parses from them is the resolved config, tuples included."""
  own = dataclasses.replace(settings, demo="leave" not in training.config, size="test", steps=8)
  recipe = (own if own.demo else settings).recipe(training)
  argv = ["train", *recipe.flags()]
  monkeypatch.setattr(sys, "argv", argv)
  values = flags.FlagValues()
  config_flags.DEFINE_config_file("config", None, "", flag_values=values, lock_config=True)
  values(argv)
  parsed = values["config"].value.to_dict()
  videos = parsed.pop("videos")
  assert videos == {n: getattr(recipe.videos, n) for n in ("dataset", "manipulations", "compressions")}
  assert parsed == {k: v for k, v in recipe.config.to_dict().items() if k != "videos"}


def test_missing_data_cost_their_cells_alone(toy_study, settings, catalogue):
  """Guards the plan: a run per training and seed with the folders that there are, and what is missing told once."""
  runs = make_plan([toy_study], settings, catalogue)
  assert [(run.recipe.config.model.width, run.seed) for run in runs] == [(16, 0), (24, 0), (16, 1), (24, 1)]
  assert all(list(run.tests) == ["clean/toy-c23"] and run.cells == {"toy_table": 4} for run in runs)
  text = describe(runs, [toy_study], {})
  assert "4 runs (2 trainings x 2 seeds): 4 to do" in text and text.count("elsewhere") == 1
  none = make_plan([toy_study], settings, None)
  assert "4 no data" in describe(none, [toy_study], {}) and not any(run.tests for run in none)


def test_epochs_are_counted_on_the_data(toy, toy_study, settings, catalogue):
  """Guards the length of a run: 18 tracks that hold a clip, 2 clips of each in an epoch, batches of 8."""
  longer = dataclasses.replace(settings, changes={"total_steps": 0, "epochs": 2.0})
  [first, *_] = make_plan([toy_study], longer, catalogue)
  assert total_steps(first) == 9
  assert total_steps(make_plan([toy_study], longer, None)[0]) is None
  assert total_steps(make_plan([toy_study], settings, None)[0]) == 20


def test_states_and_device_hours(toy_study, settings, catalogue):
  """Guards the estimate: steps left x median step time x devices, from a run's own metrics or its like's."""
  runs = make_plan([toy_study], settings, catalogue)
  folder = runs[0].folder
  folder.mkdir(parents=True)
  speed = {"speed/clips_per_second": 80.0, "speed/clips_per_second_per_device": 40.0}
  lines = [{"step": step, "speed/step_seconds": s} | speed for step, s in ((2, 900.0), (4, 360.0), (6, 180.0))]
  lines.append({"step": 6, "val/auc": 1.0})
  (folder / METRICS_FILE).write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 8, "sp')
  assert speed_of(runs[0]) == Speed(6, 360.0, 2.0)
  assert speed_of(runs[1]) == Speed()
  # 14 of 20 steps at 360 s on 2 devices for seed 0, 20 for seed 1; the wide network was measured apart.
  told = describe(runs, [toy_study], {runs[1].recipe.speed: Speed(0, 36.0, 1, "Abacus")})
  assert "Training left: 7.2 device-hours (steps measured on Abacus)." in told  # 2.8 + 4 + 0.2 + 0.2
  assert "partly (step 6)" in told and "unknown" not in told
  (folder / FINISHED_FILE).write_text("{}")
  assert "partly (0/1 scored)" in describe(runs, [toy_study], {})
  (folder / "scores/clean/toy-c23").mkdir(parents=True)
  (folder / "scores/clean/toy-c23/scores.csv").write_text("")
  assert runs[0].done and "1 done, 3 to do" in describe(runs, [toy_study], {})


def _args(*words):
  return program.parser().parse_args(["run", "dip_table7", *words])


def test_a_working_folder_keeps_its_options(tmp_path):
  """Guards the settings: said once, kept, and never changed under runs that are there."""
  where = f"--workdir={tmp_path / 'w'}"
  first = choices.load(_args(where, "--demo", "--steps=9", "--init=dip=weights", "--set=dtype=bfloat16"))
  assert (first.size, first.steps, first.seeds) == ("small", 9, (0,))
  assert first.init == {"dip": "weights"} and first.changes == {"dtype": "bfloat16"}
  first.save()
  assert choices.load(_args(where)) == first
  assert choices.load(_args(where, "--seeds=3,4")).seeds == (3, 4)
  assert choices.load(_args(where, "--init=dil=r50")).init == {"dil": "r50", "dip": "weights"}
  for words, part in (
    (["--steps=10"], "--steps 9, now it is 10"),
    (["--set=dtype=float32"], "--set"),
    (["--init=dip=others"], "--init {'dip': 'weights'}, now it is {'dip': 'others'}"),
    (["--data=d"], "leave out --data"),
    (["--seeds=1,1"], "different whole numbers"),
    (["--init=dip"], "NETWORK=DIR"),
    (["--init=baselines=w"], "there is no network 'baselines'"),
    (["--init=resnet5=w"], "Did you mean 'resnet50'"),
    (["--set=dtype"], "FIELD=VALUE"),
  ):
    with pytest.raises(UserError, match=part):
      choices.load(_args(where, *words))
  with pytest.raises(UserError, match="give --demo"):
    choices.load(_args(f"--workdir={tmp_path / 'v'}", "--variant=test"))


def test_a_demo_makes_a_stand_in_for_every_dataset(tmp_path, monkeypatch):
  """Guards the demo's data: what is made for which sets, once, and under names that can be found and not mistaken."""
  commands = []

  def run(*command):
    commands.append(command)
    options = dict(word.removeprefix("--").split("=", 1) for word in command[1:])
    if command[0] == "data_pipelines.synthetic":
      made(options["output"], identities=int(options["identities"]))
    else:
      folders = [f"{options['distortion']}-{n}" for n in options["level"].split(",")] if "level" in options else [""]
      for folder in folders:
        (place := tmp_path / options["output"] / folder).mkdir(parents=True)
        (place / "dataset.json").write_text("{}")

  def made(root, identities):
    from data_pipelines.synthetic.dataset import Settings as Made
    from data_pipelines.synthetic.dataset import draw_pairs, video_path

    for split, pairs in draw_pairs(Made(identities)).items():
      (tmp_path / root / "splits").mkdir(parents=True, exist_ok=True)
      (tmp_path / root / "splits" / f"{split}.json").write_text(json.dumps(pairs))
      for a, b in [p for pair in pairs for p in (pair, pair[::-1])]:
        for kind in ("real", *C23.manipulations):
          (path := tmp_path / root / video_path(kind, "c23", a, b)).parent.mkdir(parents=True, exist_ok=True)
          path.touch()

  monkeypatch.setattr("dfdetect_jax.programs.run", run)
  blurred = dataclasses.replace(C23, distortion="blur", level=3)
  sets = [C23, dataclasses.replace(C23, compressions=("c40",)), blurred, VideoSet("x", "celeb_df_v2", ("any",))]
  stand_ins = [demo.stand_in(videos) for videos in sets]
  assert [v.dataset for v in stand_ins] == ["synthetic"] * 3 + ["synthetic_celeb_df_v2"]
  assert stand_ins[0].manipulations == C23.manipulations and stand_ins[3].manipulations == ()
  demo.make(stand_ins, tmp_path / "demo", 6, 16)
  assert [command[0].rpartition(".")[2] for command in commands] == [
    "synthetic", "build", "build", "perturb", "synthetic", "build",
  ]  # fmt: skip
  assert "--compressions=c23,c40" in commands[0] and "--seed=0" in commands[0]
  assert "--distortion=blur" in commands[3] and "--level=3" in commands[3]
  assert "--seed=0" not in commands[4]
  manifest = (tmp_path / "demo/videos/synthetic_celeb_df_v2.csv").read_text().splitlines()
  assert len(manifest) == 1 + 6 * 5 and all(line.endswith(",synthetic_celeb_df_v2") for line in manifest[1:])
  commands.clear()
  demo.make(stand_ins, tmp_path / "demo", 6, 16)
  assert not commands


def test_mistakes_are_told(tmp_path, capsys):
  """Guards the messages of the program: unknown study, no data, nothing to run."""
  for words, part in (
    (["plan", "dip_tabel7"], "Did you mean 'dip_table7'"),
    (["run", "dip_table7", f"--workdir={tmp_path}"], "nothing that can be run: no data folder was given"),
    (["run", "dip_table7", "--demo", "--submit=slurm", f"--workdir={tmp_path}"], "a demo makes its data"),
    (["plan", "dip_table7", f"--data={tmp_path}", f"--workdir={tmp_path}"], "not a finished face-track dataset"),
  ):
    with pytest.raises(SystemExit) as stop:
      program.main(words)
    assert stop.value.code == 2
    assert part in capsys.readouterr().err
  assert not list(tmp_path.iterdir())  # a command that could not run keeps nothing


def test_list_names_every_study(capsys):
  """Guards the list: each study with its counts."""
  program.main(["list"])
  lines = capsys.readouterr().out.splitlines()
  assert [line.split()[0] for line in lines[1:]] == list(registry.STUDIES)
  [line] = [line for line in lines if line.startswith("dip_table7 ")]
  assert line.split()[1:4] == ["27", "0", "9"]


@pytest.mark.slow
def test_steps_are_timed_on_a_made_up_batch(toy, toy_study, settings, tmp_path):
  """Guards --measure: a time for each config, kept, so that it is measured once; what cannot run is left out."""
  from dfdetect_jax.studies import step_times

  recipes = {cell.row: settings.parts(cell)[0][0] for cell in toy_study.cells if cell.parts}
  unfit = dataclasses.replace(settings, changes={"batch_size": 9})  # on 8 devices
  recipes["unfit"] = unfit.recipe(toy_study.cells[2].parts[0][0])
  with jax.numpy_dtype_promotion("standard"):  # optax divides by 1 - 0.9 ** count
    speeds = step_times.measure(recipes.values(), tmp_path / "w")
  assert {*speeds} == {recipes[row].speed for row in ("plain", "wide")}
  for speed in speeds.values():
    assert 0 < speed.seconds < 60 and speed.devices == 8 and speed.kind == "cpu"
  assert step_times.read(tmp_path / "w") == speeds
  (tmp_path / "w" / step_times.FILE).write_text("{")
  with pytest.raises(UserError, match="measure again"):
    step_times.read(tmp_path / "w")
