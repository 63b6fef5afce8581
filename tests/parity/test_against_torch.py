"""The benchmarks against PyTorch: both sides do the same, it would be noticed if not, and their arithmetic is right."""

import functools
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmarks import against_torch, face_finding, in_turn, input_reading, operations, scaling, torch_comparison
from benchmarks.twins import dip, ftcn

OPTIONS = ["--size=test", "--rounds=2", "--threads=1", "--compile-seconds=0"]


@pytest.fixture(autouse=True)
def as_a_program():
  """Standard dtype promotion, which Optax relies on; PyTorch's threads stay as they were."""
  import jax

  threads = torch.get_num_threads()
  with jax.numpy_dtype_promotion("standard"):
    yield
  torch.set_num_threads(threads)


@pytest.mark.slow
def test_a_step_of_sdr_and_a_forward_pass_of_dil(tmp_path, capsys):
  """Guards the program from end to end, and SDR's and DIL's whole networks: logits and, of SDR, all gradients."""
  assert against_torch.main(["step", "--method=sdr", f"--json={tmp_path / 'step.json'}", *OPTIONS]) == 0
  sdr = json.loads((tmp_path / "step.json").read_text())["methods"]["sdr"]
  assert max(sdr["from_float64"]["JAX"].values()) < 1e-4  # few layers; what deep ones may differ by is PyTorch's too
  assert sdr["flops"] > 0 and min(sdr["compile_seconds"].values()) > 0
  assert {len(seconds) for seconds in sdr["wall_seconds"].values()} == {2}
  assert sdr["ratio"]["least"] <= sdr["ratio"]["median"] <= sdr["ratio"]["most"]
  assert "| sdr | 4 × 4 × 32 × 32 |" in capsys.readouterr().out
  assert (
    against_torch.main(["forward", "--method=dil", "--dtype=bfloat16", f"--json={tmp_path / 'f.json'}", *OPTIONS]) == 0
  )
  assert "| dil | 4 × 2 × 4 × 32 × 32 |" in capsys.readouterr().out
  dil = json.loads((tmp_path / "f.json").read_text())["methods"]["dil"]
  assert all(1e-4 < error["logits"] < 0.05 for error in dil["from_float64"].values())  # both sides are in bfloat16


@pytest.mark.slow
def test_a_difference_is_named_and_not_timed(monkeypatch, capsys):
  """Guards the comparison before the timing: a GELU that is approximate is found out, and the exit status says so."""
  monkeypatch.setattr(dip.F, "gelu", functools.partial(F.gelu, approximate="tanh"))
  assert against_torch.main(["forward", "--method=dip", *OPTIONS]) == 1
  out = capsys.readouterr().out
  assert "NOT TIMED: dip: {'logits'" in out and "| dip |" not in out


def test_flops_of_layers_by_hand():
  """Guards that FLOPs are two for each multiply-add: of FTCN's stem, 5·3 for each pixel of each map; of attention."""
  twin = ftcn.FTCN(4, width=4, depths=(1, 2, 2), layers=1, heads=4, mlp=32)
  found = torch_comparison.counted_flops(lambda: twin.resnet.s1.pathway0_stem.conv(torch.zeros(2, 3, 4, 32, 32)))
  assert found == 2 * (2 * 4 * 32 * 32 * 4) * (5 * 3)
  q = torch.zeros(2, 4, 16, 8)
  found = torch_comparison.counted_flops(lambda: F.scaled_dot_product_attention(q, q, q))
  assert found == 2 * (2 * 4 * 16 * 16 * 8) * 2


def test_ratios_are_of_the_quickest_variant_round_by_round():
  """Guards what is printed as ours : PyTorch: pairs of one round, the variant by its median, both clocks."""
  wall = {"JAX": [2.0, 4.0, 3.0], "PyTorch": [1.0, 1.0, 1.0], "PyTorch, compiled": [1.0, 0.5, 0.5]}
  cpu = {name: [2 * s for s in seconds] for name, seconds in wall.items()} | {"JAX": [1.0, 1.0, 1.0]}
  found = in_turn.ratios(wall, cpu)
  assert found["against"] == "PyTorch, compiled"
  assert found["ratio"] == {"least": 2.0, "median": 6.0, "most": 8.0}
  assert found["processor_ratio"] == {"least": 0.5, "median": 1.0, "most": 1.0}


def test_peak_growth_sees_what_is_allocated_and_given_back():
  """Guards peak memory: 64 MiB that are free again after the call count."""
  peak = in_turn.peak_growth(lambda: np.ones(2**23).sum())
  if peak is None:
    pytest.skip("this system does not tell the peak of a call")
  assert 60 * 2**20 < peak < 100 * 2**20


@pytest.mark.slow
def test_operations_are_the_same_on_both_sides(capsys):
  """Guards every row of `ops`: values and gradients of ours are PyTorch's, in the axes' order of either side."""
  assert against_torch.main(["ops", "--size=test", "--rounds=1", "--threads=1"]) == 0
  out = capsys.readouterr().out
  assert len(out.splitlines()) == 4 + len(operations.operations(*against_torch.OPS["test"]))
  assert "| diffusion over 8 nodes (DIP) | ours " in out


def test_an_operation_that_differs_is_not_timed():
  """Guards the comparison of gradients: tanh and its linear part at 0 are alike there in value, not in slope."""
  x = np.float32([[0.0, 0.0]])
  slope = operations.Operation("", (x,), {"": lambda x: 2 * x}, torch.tanh, ((),))
  with np.errstate(invalid="ignore"), pytest.raises(torch_comparison.Differs):
    operations.measure(slope, "float32", 1)


def test_a_line_by_hand_and_its_picture(monkeypatch, tmp_path):
  """Guards the picture of time against clips and frames: what is measured, the line, the values beside it."""

  def measured(name, variant, batch, what, rounds, compile_seconds, dtype, frames):
    seconds = 0.5 + 0.25 * batch * (frames or 4)
    return {"against": "PyTorch", "processor_seconds": {"JAX": [seconds] * 3, "PyTorch": [2 * seconds] * 3}}

  monkeypatch.setattr(scaling.torch_comparison, "measure", measured)
  found = scaling.points(["ftcn"], "test", "step", None, 3, "float32")
  assert [(p["clips"], p["frames"]) for p in found if p["side"] == "JAX" and p["against"] == "clips"] == [
    (2, 4), (4, 4), (6, 4), (8, 4)
  ]  # fmt: skip
  assert [p["frames"] for p in found if p["side"] == "JAX" and p["against"] == "frames"] == [2, 4, 6, 8]
  clips, seconds = zip(*((p["clips"], p["seconds"]) for p in found if p["side"] == "JAX" and p["against"] == "clips"))
  line, off = scaling.fit(np.array(clips, float), np.array(seconds))
  np.testing.assert_allclose(line, [1.0, 0.5])
  assert off < 1e-12
  assert scaling.fit(np.array([1.0, 2, 3]), np.array([1.0, 4, 1]))[1] == pytest.approx(1.0)  # at 2 the line is 1, not 4
  picture, table = scaling.draw(found, tmp_path / "line.png")
  assert picture.stat().st_size > 5000
  assert table.read_text().splitlines()[1].startswith("ftcn,float32,step,clips,2,4,JAX,2.5,2.5,2.5,processor")


def test_input_from_end_to_end(toy_dataset, capsys, tmp_path):
  """Guards `input`: both sides give as many clips, time is told per frame, and the lossless codecs are that."""
  options = ["--frames=8", "--pixels=32", "--batch=8", "--workers=0", "--batches=2", "--rounds=2"]
  json_file = tmp_path / "input.json"
  assert against_torch.main(["input", f"--data={toy_dataset}", f"--json={json_file}", *options]) == 0
  found = json.loads(json_file.read_text())["input"]
  assert set(found["sides"]) == {"JAX, threads", "PyTorch, 0 workers"}
  for side in found["sides"].values():
    assert side["frames_per_second"] == pytest.approx(2 * 8 * 8 / np.median(side["wall_seconds"]))
  errors = {name: codec["most_error"] for name, codec in found["codecs"].items()}
  assert errors["png"] == errors["webp"] == 0 < errors["jpeg:95"]
  assert "| reading 8 × 8 × 32 × 32 × 3 |" in capsys.readouterr().out


def test_clips_of_the_data_loader_are_the_shards(toy_dataset):
  """Guards PyTorch's side of `input`: a clip of the label's own track, which the reader has checked, and its shape."""
  reader = input_reading.FrameReader(str(toy_dataset), "train", 32)
  tracks = [track for track in input_reading.read_tracks(toy_dataset, "train") if track.frames >= 8]
  clip, label = input_reading.Clips(reader, tracks, 8, 3)[1]
  assert clip.shape == (8, 32, 32, 3) and clip.dtype == torch.uint8 and label in (0, 1)


def test_agreement_of_boxes_by_hand():
  """Guards overlap and recall: half a box, another frame's, none, and two detectors' same faces."""
  from data_pipelines.faces.face_tracks import FaceTrack

  def track(first, boxes):
    boxes = np.array(boxes, float)
    return FaceTrack("", 0, first, np.arange(len(boxes)), boxes, np.zeros((len(boxes), 2, 3)), 8, 9)

  reference = [track(0, [[0, 0, 10, 10]] * 4)]
  found = [track(1, [[0, 0, 10, 10], [0, 0, 10, 5], [20, 20, 30, 30]])]
  np.testing.assert_allclose(face_finding.agreement(reference, found), [0, 1, 0.5, 0])
  ours = [np.array([[0, 0, 10, 10], [50, 50, 60, 60.0]]), np.zeros((0, 4))]
  theirs = [np.array([[0, 0, 10, 8.0]]), np.array([[0, 0, 1, 1.0]])]
  assert face_finding.overlap(ours, theirs) == pytest.approx(0.8)
  assert face_finding.overlap(ours, theirs[::-1]) is None


@pytest.mark.slow
def test_detection_from_end_to_end(monkeypatch, capsys, tmp_path):
  """Guards `detect`: a detector that is not installed is named, the others are timed, and a video without a face is
  no failure."""

  def absent():
    raise ImportError("No module named 'nothing'")

  def whole():
    return lambda frames: [np.array([[0.0, 0.0, *frames.shape[2:0:-1]]]) for _ in frames]

  monkeypatch.setattr(face_finding, "OTHERS", {"absent": (absent, "pip install nothing"), "whole": (whole, "")})
  monkeypatch.setattr(against_torch, "HEIGHTS", (96,))
  monkeypatch.setattr(against_torch, "EVERY", (4,))
  writer = face_finding.VideoWriter(tmp_path / "grey.mp4", 23, 64, 64)
  for _ in range(20):
    writer.write(np.full((64, 64, 3), 128, np.uint8))
  writer.finish()
  document = tmp_path / "detect.json"
  assert against_torch.main(["detect", str(tmp_path / "grey.mp4"), "--rounds=1", f"--json={document}"]) == 0
  out = capsys.readouterr().out
  assert "LEFT OUT: absent: No module named 'nothing'; pip install nothing" in out
  assert "1 videos (1 without a face)" in out
  found = json.loads(document.read_text())["detect"]["heights"]["96"]
  assert found["frames"] == 20 and found["frames_with_a_face"] == {"JAX": 0.0, "whole": 1.0}


@pytest.mark.parametrize(
  "arguments, told",
  [
    (["forward", "--method=dipp"], "'dipp'"),
    (["detect"], "needs videos"),
    (["step", "a.mp4"], "unexpected argument 'a.mp4'"),
    (["input"], "--data=DIR"),
    (["ops", "--plot=f.png"], "--plot goes with forward and step"),
    (["step", "--plot=f.png", "--frames=8"], "leave --frames out"),
    (["forward", "--rounds=0"], "--rounds=0 must be at least 1"),
  ],
)
def test_a_wrong_call(arguments, told, capsys):
  """Guards the message and status of a wrong call."""
  with pytest.raises(SystemExit) as exit_:
    against_torch.main(arguments)
  assert exit_.value.code == 2
  assert told in capsys.readouterr().err
