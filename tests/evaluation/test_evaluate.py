"""The program `evaluate`: provenance beside the scores, protocols, and planted leaks that must be caught."""

import copy
import csv
import dataclasses
import json
import shutil
from unittest.mock import ANY

import jax
import pytest
from sklearn.metrics import roc_auc_score

from dfdetect_jax import evaluate, schema
from dfdetect_jax.datasets import FOUR
from dfdetect_jax.errors import UserError
from dfdetect_jax.evaluation import calibration, report
from dfdetect_jax.evaluation.document import to_markdown
from dfdetect_jax.evaluation.protocols import selection_metric
from dfdetect_jax.evaluation.provenance import check_same, read_provenance
from dfdetect_jax.evaluation.scores import VideoScore, read_scores
from dfdetect_jax.files import SEAL
from dfdetect_jax.runs.config import base_config, override
from dfdetect_jax.runs.provenance import data_fingerprint
from dfdetect_jax.runs.trained_videos import read_trained_videos, write_trained_videos
from dfdetect_jax.training import loop


def refused(capsys, *arguments):
  """The paragraph that `evaluate` ends with for these arguments."""
  with pytest.raises(SystemExit) as ended:
    evaluate.main([str(argument) for argument in arguments])
  assert ended.value.code == 2
  return capsys.readouterr().err


@pytest.fixture(scope="module")
def scored(toy_run, ffpp, tmp_path_factory):
  """Output of `evaluate` on the test split."""
  output = tmp_path_factory.mktemp("scored")
  evaluate.main([f"--workdir={toy_run}", f"--data={ffpp}", f"--output={output}"])
  return output


@pytest.mark.slow
def test_scores_lead_back_to_run_checkpoint_and_shards(scored, toy_run, ffpp):
  """Guards the trace of a figure: which checkpoint on which shards, and the whole record of the run itself."""
  content = read_provenance(scored / "scores.csv")
  assert content["checkpoint"] == {"step": 5, "path": str(toy_run / "best" / "5"), "weights": "teacher"}
  assert (content["data"], content["split"], content["left_out"]) == (data_fingerprint(ffpp), "test", [])
  assert content["run"] | {SEAL: ANY} == json.loads((toy_run / "provenance.json").read_text())
  summary = json.loads((scored / "metrics.json").read_text())
  assert summary["run"] == {
    "workdir": str(toy_run), "step": 5, "method": "toy_method", "weights": "teacher", "data": str(ffpp),
    "split": "test",
  }  # fmt: skip
  page, figures = report.report([scored / "scores.csv"])
  text = to_markdown(page)
  sha = content["data"]["sha256"][:12]
  for part in (
    f"| checkpoint | step 5 (teacher), {toy_run}/best/5 |",
    f"split test of {ffpp} (sha256 {sha})",
    "seed 0",
  ):
    assert part in text
  assert figures["files"][str(scored / "scores.csv")]["provenance"] == content


@pytest.mark.slow
def test_a_run_selected_on_self_made_forgeries_says_so(toy_run, ffpp, tmp_path, capsys):
  """Guards figures of a run whose best step and threshold come from forgeries of val's real videos: said on the screen,
  in metrics.json and above the report's figures."""
  shutil.copytree(toy_run, tmp_path / "run")
  rows = [
    VideoScore(video_id=str(i), label=i, score=0.2 + 0.6 * i, manipulation="self_made" * i, split="val") for i in (0, 1)
  ]
  calibration.record_validation(tmp_path / "run", 5, "teacher", rows)
  evaluate.main([f"--workdir={tmp_path / 'run'}", f"--data={ffpp}", f"--output={tmp_path / 'scored'}"])
  told = "step 5 and its threshold were chosen on 2 validation videos (1 real, 1 self-made forgeries of these)"
  assert f"WARNING: {told}" in capsys.readouterr().err
  assert told in str(json.loads((tmp_path / "scored/metrics.json").read_text())["warnings"])
  assert told in to_markdown(report.report([tmp_path / "scored/scores.csv"])[0])


@pytest.mark.slow
def test_scores_that_were_changed_lose_their_provenance(scored, tmp_path):
  """Guards against a record that stands beside other scores than those it was written with."""
  shutil.copytree(scored, tmp_path / "s")
  assert read_provenance(tmp_path / "s/scores.csv")
  with open(tmp_path / "s/scores.csv", "a") as file:
    file.write("toy/x/c23/new,1,1.0\n")
  assert read_provenance(tmp_path / "s/scores.csv") is None
  assert "Nothing tells which run" in to_markdown(report.report([tmp_path / "s/scores.csv"])[0])
  with pytest.raises(UserError, match=r"nothing tells where scores.csv comes from: provenance.json is missing"):
    report.report([tmp_path / "s/scores.csv"], strict=True)


def _clean(content):
  """The provenance as if its code were committed, whatever state this checkout is in."""
  content = copy.deepcopy(content)
  for code in (content["code"], *(session["code"] for session in content["run"]["sessions"])):
    code |= {"commit": "c" * 40, "dirty": False}
  return content


def test_strict_refuses_to_mix(scored):
  """Guards --strict: each thing that makes figures incomparable is refused by itself, with files and values named."""
  first = _clean(read_provenance(scored / "scores.csv"))
  check_same({"a.csv": first, "b.csv": copy.deepcopy(first)})

  def changed(*path, value):
    content = copy.deepcopy(first)
    inner = content
    for name in path[:-1]:
      inner = inner[name]
    inner[path[-1]] = value
    return {"a.csv": first, "b.csv": content}

  sha = first["data"]["sha256"][:12]
  pattern = rf"shards scored .*a.csv: sha256 {sha}; b.csv: sha256 0000"
  with pytest.raises(UserError, match=pattern):
    check_same(changed("data", "sha256", value="0" * 64))
  check_same(changed("data", "sha256", value="0" * 64), same_test=False)
  with pytest.raises(UserError, match="split scored .*a.csv: test; b.csv: val"):
    check_same(changed("split", value="val"))
  with pytest.raises(UserError, match=rf"shards trained on .*a.csv: sha256 {sha}; b.csv: sha256 0000"):
    check_same(changed("run", "sessions", 0, "data", "sha256", value="0" * 64), same_test=False)
  with pytest.raises(UserError, match="b.csv was scored with code that differs from its commit cccc"):
    check_same(changed("code", "dirty", value=True))
  with pytest.raises(UserError, match="b.csv was trained with code that differs"):
    check_same(changed("run", "sessions", 0, "code", "dirty", value=True))
  with pytest.raises(UserError, match="where b.csv comes from"):
    check_same(changed("run", value=None))
  resumed = copy.deepcopy(first)
  resumed["run"]["sessions"] += [resumed["run"]["sessions"][0] | {"data": {"path": "x", "sha256": "1" * 64}}]
  with pytest.raises(UserError, match=rf"a.csv: sha256 {sha} and sha256 1111"):
    check_same({"a.csv": resumed})


def test_a_protocol_scores_each_video_once_and_reports_by_set(toy_run, ffpp, tmp_path, capsys):
  """Guards --protocol: five sets of one folder, one score file, and the rows that each set's figures are of."""
  evaluate.main(
    [f"--workdir={toy_run}", "--protocol=intra-dataset-c23", f"--data={ffpp.parent}", f"--output={tmp_path}"]
  )
  printed = capsys.readouterr().out
  rows = [row for row in read_scores(tmp_path / "ffpp_c23" / "scores.csv") if row]
  assert len({row.video_id for row in rows}) == len(rows) == 9  # four pairs and a video that is too short
  summary = json.loads((tmp_path / "metrics.json").read_text())
  assert list(summary["sets"]) == ["FF++ c23", *FOUR] and summary["protocol"] == "intra-dataset-c23"
  for name in FOUR:
    chosen = [row for row in rows if row.manipulation in ("original", name)]
    expected = roc_auc_score([row.label for row in chosen], [row.score for row in chosen])
    figures = summary["sets"][name]["overall"]["video"]
    assert (figures["n"], figures["fake"]) == (6, 1) and figures["auc"] == pytest.approx(expected, abs=1e-12)
    assert f"| {name} | 5 + 1 | {100 * expected:.2f} " in printed
    assert figures["intervals"]["auc"] or "no interval of AUC" in printed and name in figures_without(printed)
  assert read_provenance(tmp_path / "ffpp_c23" / "scores.csv")["data"] == data_fingerprint(ffpp)


def figures_without(printed):
  """The rows that a note about a missing interval of the AUC names."""
  notes = [line for line in printed.splitlines() if line.startswith("- ") and "no interval of AUC" in line]
  return FOUR if any(note.startswith("- all:") for note in notes) else " ".join(notes)


def test_distorted_sets_are_scored_from_their_own_folders(toy_run, ffpp, copy_dataset, tmp_path, capsys):
  """Guards the robustness protocol: each cell's own shards, one score file each, what is missing is named."""
  copy_dataset(ffpp, tmp_path / "perturbed" / "blur-3", lambda t: t, "blur-3")
  arguments = [f"--workdir={toy_run}", "--protocol=augmentation-robustness", f"--data={ffpp}", f"--data={tmp_path}"]
  told = refused(capsys, *arguments, f"--output={tmp_path / 'none'}")
  assert "3 of its 5 sets cannot be scored: FFnoise, FFcolor, FFta. --sets=FF++ c23,FFhf scores the others" in told
  assert not (tmp_path / "none").exists()
  evaluate.main([*arguments, "--sets=FFhf,FF++ c23", f"--output={tmp_path / 'out'}"])
  files = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("scores.csv")}
  assert files == {"blur-3/scores.csv", "ffpp_c23/scores.csv"}
  sets = json.loads((tmp_path / "out/metrics.json").read_text())["sets"]
  assert {name: s["scores"] for name, s in sets.items()} == {
    "FF++ c23": "ffpp_c23/scores.csv", "FFhf": "blur-3/scores.csv",
  }  # fmt: skip


def test_a_run_that_saw_the_left_out_forgery_is_refused(toy_run, ffpp, capsys):
  """Guards cross-manipulation figures: a run trained on all four is no run of a protocol that leaves one out."""
  told = refused(capsys, f"--workdir={toy_run}", "--protocol=leave-out-FaceSwap-c23", f"--data={ffpp}")
  assert "the run" in told and "has seen 3 other videos (faceforensics/FaceSwap/c23)" in told


def test_a_stand_in_dataset_takes_a_protocols_place(toy_run, ffpp, copy_dataset, tmp_path, capsys):
  """Guards the demo's use of protocols: --stand-in renames in training and test, and unknown sets are told."""

  def rename(t):
    unknown = {"sha256": "", "pair": "", "identity": ""}
    return dataclasses.replace(t, dataset="mine", video_id=f"mine/{t.video_id}", **unknown)

  other = copy_dataset(ffpp, tmp_path / "mine", rename)
  arguments = [f"--workdir={toy_run}", "--protocol=cross-dataset-c23", f"--data={other}", "--stand-in=dfdc=mine"]
  evaluate.main([*arguments, "--sets=DFDC", f"--output={tmp_path / 'out'}"])
  printed = capsys.readouterr()
  assert "| DFDC (stand-in: mine) | 5 + 4 |" in printed.out and "WARNING: mine stands in for dfdc" in printed.err
  content = json.loads((tmp_path / "out/metrics.json").read_text())
  assert content["stand_in"] == {"dfdc": "mine"}
  for warnings in (content["warnings"], read_provenance(tmp_path / "out/mine/scores.csv")["warnings"]):
    assert warnings[0] == "mine stands in for dfdc: no figure below is one of DFDC."
  assert "there is no set 'DFDD'" in (told := refused(capsys, *arguments, "--sets=DFDD")) and "mean 'DFDC'" in told
  told = refused(capsys, *arguments[:3], "--stand-in=dfcd=mine")
  assert "there is no dataset 'dfcd'" in told and "Did you mean 'dfdc'?" in told
  assert "must be NAME=OTHER" in refused(capsys, *arguments, "--stand-in=dfdc")


def test_calls_that_contradict_themselves_are_told(capsys):
  """Guards the message of each wrong call, before anything is loaded."""
  for arguments, part in (
    (["--data=d"], "--workdir is missing"),
    (["--workdir=w"], "--data is missing"),
    (["--workdir=w", "--data=a", "--data=b"], "are for a protocol"),
    (["--workdir=w", "--data=a", "--protocol=robustness", "--split=val"], "a protocol reports on test sets"),
    (["--workdir=w", "--data=a", "--protocol=robustnes"], "Did you mean 'robustness'"),
  ):
    assert part in refused(capsys, *arguments)
  evaluate.main(["--protocol=list"])
  listed = capsys.readouterr().out
  assert "cross-dataset-c23\n  train: FF++ c23\n  test:  Celeb-DF-v2, DFDC" in listed


def _with_test_track(change):
  """Changes the test videos with two tracks (pair 0), and no other."""
  return lambda t: change(t) if t.split == "test" and t.video_id.endswith("000") else t


@pytest.fixture(scope="module")
def train_track(ffpp):
  """A real video that the toy run was trained on."""
  return next(t for t in schema.read_tracks(ffpp, "train") if t.label == 0 and t.frames > 3)


@pytest.fixture(params=["file", "footage of FaceForensics++"])
def leaking(request, ffpp, copy_dataset, train_track, tmp_path):
  """A folder of which two test videos were trained on: as the same file, or as a forgery of the same footage."""
  if request.param == "file":
    return copy_dataset(
      ffpp, tmp_path / "leak", _with_test_track(lambda t: dataclasses.replace(t, sha256=train_track.sha256))
    )

  def deeper(t):
    t = dataclasses.replace(
      t, dataset="deeper_forensics", video_id=f"deeper_forensics/{t.video_id}", sha256=f"other{t.sha256}"
    )
    return _with_test_track(lambda t: dataclasses.replace(t, pair=train_track.pair))(t)

  return copy_dataset(ffpp, tmp_path / "leak", deeper)


def test_planted_leaks_are_refused_or_dropped(toy_run, ffpp, leaking, tmp_path, capsys):
  """Guards the test of a run against what it was trained on, under other names too, and without the shards."""
  workdir = tmp_path / "run"
  shutil.copytree(toy_run, workdir)
  arguments = [f"--workdir={workdir}", f"--data={leaking}", f"--output={tmp_path / 'out'}"]
  told = refused(capsys, *arguments)
  assert "the run has seen 2 of 9 videos of 'test': 1 of kind" in told and "--leaks=drop" in told
  assert not (tmp_path / "out").exists()
  evaluate.main([*arguments, "--leaks=drop"])
  assert "2 of 9 videos of 'test' were left out, because the run has seen them" in capsys.readouterr().err
  rows = read_scores(tmp_path / "out/scores.csv")
  left_out = read_provenance(tmp_path / "out/scores.csv")["left_out"]
  assert len(rows) == 7 and len(left_out) == 2 and {row.video_id for row in rows}.isdisjoint(left_out)

  evaluate.main([*arguments[:2], f"--output={tmp_path / 'kept'}", "--leaks=keep"])
  assert "CONTAMINATED: 2 of 9 videos of 'test' are scored although the run has seen them" in capsys.readouterr().err
  kept = read_provenance(tmp_path / "kept/scores.csv")
  assert (kept["left_out"], kept["contaminated"]) == ([], left_out) and len(
    read_scores(tmp_path / "kept/scores.csv")
  ) == 9
  figures = json.loads((tmp_path / "kept/metrics.json").read_text())
  assert figures["contaminated"] == 2 and any(text.count("CONTAMINATED: 2 of 9") for text in figures["warnings"])
  page = to_markdown(report.report([tmp_path / "kept/scores.csv"])[0])
  assert "> **" in page and "CONTAMINATED: 2 of 9 videos" in page
  figures = json.loads((tmp_path / "out/metrics.json").read_text())
  assert figures["listed"] == {"named": 9, "there": 9, "scored": 7} and figures["contaminated"] == 0

  # Without the list the shards tell; with neither, nobody can, and that is said.
  (workdir / "train_videos.csv").unlink()
  assert "the run has seen 2 of 9 videos" in refused(capsys, *arguments)
  config = json.loads((workdir / "config.json").read_text())
  (workdir / "config.json").write_text(json.dumps(config | {"data": str(tmp_path / "gone")}))
  evaluate.main(arguments)
  assert "WARNING: leaks from training cannot be looked for" in capsys.readouterr().err


def test_the_list_of_trained_videos_is_what_was_trained_on(toy, ffpp, tmp_path):
  """Guards the list: videos that config.videos leaves out, and test videos, are not on it; other shards add to it."""
  config = override(
    toy.get_config().unlock(),
    {"data": str(ffpp), "total_steps": 1, "eval_every": 0, "videos.manipulations": ("Face2Face",)},
  )
  with jax.numpy_dtype_promotion("standard"):
    loop.train_and_evaluate(config, tmp_path)
  with open(tmp_path / "train_videos.csv", newline="") as file:
    listed = {row["video_id"]: row["split"] for row in csv.DictReader(file)}
  tracks = [t for t in schema.read_tracks(ffpp) if t.split != "test" and t.manipulation in ("original", "Face2Face")]
  assert listed == {t.video_id: t.split for t in tracks}
  other = [dataclasses.replace(t, video_id=f"other/{t.video_id}") for t in tracks[:2]]
  write_trained_videos(tmp_path, other)
  assert {v.video_id for v in read_trained_videos(tmp_path)} == {*listed, *(t.video_id for t in other)}


def test_a_person_in_other_videos_is_told_and_scored(toy_run, ffpp, copy_dataset, train_track, tmp_path, capsys):
  """Guards the difference between a leak and a shared person, which before training is a warning too."""
  change = _with_test_track(lambda t: dataclasses.replace(t, identity=train_track.identity))
  data = copy_dataset(ffpp, tmp_path / "people", change)
  evaluate.main([f"--workdir={toy_run}", f"--data={data}", f"--output={tmp_path / 'out'}"])
  assert "WARNING: " in (printed := capsys.readouterr().err) and "people of 'test' stand in training too" in printed
  content = json.loads((tmp_path / "out/metrics.json").read_text())
  assert "people of 'test' stand in training too" in content["warnings"][0]
  text = to_markdown(report.report([tmp_path / "out/scores.csv"])[0])
  assert "> **" in text and "people of 'test' stand in training too" in text
  assert len(read_scores(tmp_path / "out/scores.csv")) == 9


def test_merged_ids_are_refused_by_training_and_test(toy_run, toy, ffpp, copy_dataset, tmp_path, capsys):
  """Guards the planted `000_003` of two manipulations: it must not become one video with a mixed score."""

  def merge(t):
    if not t.label:
      return t
    pair = int(t.video_id[-1]) // 2  # two manipulations' forgeries of one name
    return dataclasses.replace(t, video_id=f"faceforensics/c23/{t.split}_{pair}", track=0, pair=f"{t.split}{pair}")

  data = copy_dataset(ffpp, tmp_path / "merged", merge)
  assert "stands for two videos, which differ in manipulation" in refused(
    capsys, f"--workdir={toy_run}", f"--data={data}", f"--output={tmp_path / 'out'}"
  )
  with pytest.raises(UserError, match="stands for two videos, which differ in manipulation"):
    loop.train_and_evaluate(override(toy.get_config().unlock(), {"data": str(data)}), tmp_path / "run")


def test_a_run_cannot_ask_for_selection_on_test(toy_config, tmp_path):
  """Guards selection on val only: no field names a split, and a metric of the test split is refused before training."""
  fields = field_names(base_config())
  assert not [name for name in fields if "split" in name or name.startswith("test")]
  assert (selection_metric("auc"), selection_metric("val/acc")) == ("auc", "acc")
  for name in ("test/auc", "train/auc"):
    with pytest.raises(UserError, match=f"selected on the split 'val', not on '{name.split('/')[0]}'"):
      loop.train_and_evaluate(override(toy_config, {"select_metric": name}), tmp_path / "run")
  for name in ("test_auc", "eer", "log_loss"):  # of the last two less is better
    with pytest.raises(UserError, match=f"select_metric is '{name}'.*highest auc or acc or ap"):
      loop.train_and_evaluate(override(toy_config, {"select_metric": name}), tmp_path / "run")
  assert not (tmp_path / "run").exists()


def field_names(config, prefix=""):
  """Dotted names of all fields."""
  names = []
  for name, value in config.items():
    names += field_names(value, f"{prefix}{name}.") if hasattr(value, "items") else [f"{prefix}{name}"]
  return names


def test_listed_videos_that_the_disk_lacked_are_told_everywhere(toy_run, ffpp, tmp_path, capsys):
  """Guards a partial test set: it is no failure of the detector, and no figure on it passes for one on the whole."""
  data = tmp_path / "ffpp"
  shutil.copytree(ffpp, data)
  known = dict(split="test", dataset="faceforensics", compression="c23")
  absent = [
    schema.Failure(
      path=f"{name}.mp4", reason="no such file", video_id=f"faceforensics/{name}", label=label, absent=True,
      manipulation=manipulation, **known,
    )
    for name, label, manipulation in (("a", 0, "original"), ("b", 1, "Face2Face"), ("c", 1, "Deepfakes"))
  ]  # fmt: skip
  failed = schema.Failure(
    path="d.mp4", reason="no face", video_id="faceforensics/d", label=1, manipulation="FaceSwap", **known
  )
  schema.write_failures(data, [*absent, failed, schema.Failure(path="list.txt", reason="names 3 videos, not 4")])
  assert schema.read_failures(data, "test") == [*absent, failed]
  evaluate.main([f"--workdir={toy_run}", f"--data={data}", f"--output={tmp_path / 'out'}"])
  told = "figures are of 10 of 13 listed test videos; 3 (1 real, 2 fake) were not there when the shards were built"
  assert told in capsys.readouterr().err
  figures = json.loads((tmp_path / "out/metrics.json").read_text())
  assert figures["listed"] == {"named": 13, "there": 10, "scored": 10}
  assert any(told in text for text in figures["warnings"])
  assert {v["video_id"] for v in figures["failed"]["videos"]} >= {"faceforensics/d"}
  scored = {score.video_id for score in read_scores(tmp_path / "out/scores.csv")}
  assert "faceforensics/d" in scored and scored.isdisjoint(failure.video_id for failure in absent)
  page = to_markdown(report.report([tmp_path / "out/scores.csv"])[0])
  assert told in page and "| not there | 3 videos that the dataset's lists name |" in page
  evaluate.main(
    [f"--workdir={toy_run}", f"--data={data}", f"--output={tmp_path / 'sets'}", "--protocol=intra-dataset-c23"]
  )
  sets = json.loads((tmp_path / "sets/metrics.json").read_text())["sets"]
  of = {name: (values["listed"]["named"] - values["listed"]["there"]) for name, values in sets.items()}
  assert of == {"FF++ c23": 3, "Deepfakes": 2, "Face2Face": 2, "FaceSwap": 1, "NeuralTextures": 1}
