"""The figures: the values that they draw, which frames and videos they choose, and the program that draws them."""

import importlib
import json
import pathlib
import types

import jax
import numpy as np
import pytest

from dfdetect_jax import methods
from dfdetect_jax.errors import UserError
from dfdetect_jax.evaluation.scores import VideoScore, write_scores
from dfdetect_jax.figures import __main__ as program
from dfdetect_jax.figures import embedding, heat_maps, phase, robustness, samples, snippets
from dfdetect_jax.figures.explain import Explanation
from dfdetect_jax.figures.figure import Material
from dfdetect_jax.figures.registry import FIGURES, get_figure, listed
from dfdetect_jax.figures.samples import Sample
from dfdetect_jax.methods.method import ClipSpec
from dfdetect_jax.runs.restore import Run


def _sample(kind, label, frames=24, size=16):
  """Frames that are numbered by their grey level."""
  images = np.broadcast_to(np.arange(frames, dtype=np.uint8)[:, None, None, None], (frames, size, size, 3)).copy()
  return Sample(kind, kind, label, images, np.full(frames, bool(label)))


def test_every_figure_of_the_papers_is_there():
  """Guards the list that users see: what the papers draw of data and networks, and the study beside it."""
  assert set(FIGURES) == {
    "st_ilif_figure1", "st_ilif_figure2", "st_ilif_figure3", "st_ilif_figure5", "st_ilif_figure12", "dip_figure1",
    "dip_figure6", "dip_figure7", "dip_figure8", "dip_figure9", "dip_figure10", "dil_figure3", "dil_figure4",
    "dil_figure5",
  }  # fmt: skip
  assert "sdr_figure2" in listed() and "study run sdr_figure2" in listed()
  with pytest.raises(UserError, match="Did you mean 'dip_figure7'"):
    get_figure("dip_figur7")
  with pytest.raises(UserError, match="is a study"):
    get_figure("sdr_figure2")


@pytest.fixture
def pair(toy_dataset):
  """The toy's first pair of the test split."""
  return samples.from_shards(toy_dataset, 32)


def test_samples_are_a_pair_of_equal_length(pair):
  """Guards what stands side by side: a real video first, and a forgery of that one, not of somebody else."""
  real, fake = pair
  assert (real.kind, real.label, fake.label) == ("real", 0, 1)
  assert real.name.rpartition("/")[2] == fake.name.rpartition("/")[2]
  assert real.frames.shape == fake.frames.shape == (len(real.frames), 32, 32, 3) and len(real.frames) >= 16
  assert not real.forged.any() and fake.forged.all()
  part = samples.spliced(real, fake, 4, 9)
  assert np.flatnonzero(part.forged).tolist() == [4, 5, 6, 7, 8]
  np.testing.assert_array_equal(part.frames[4:9], fake.frames[4:9])
  np.testing.assert_array_equal(part.frames[9:], real.frames[9:])


def test_clips_are_the_frames_that_they_say():
  """Guards which frames are drawn: the middle of a track, snippets from end to end, a short track's twice."""
  clip, places = heat_maps.clip_of(_sample("a", 0), ClipSpec(frames=4, size=16))
  assert places.tolist() == [10, 11, 12, 13] and clip[:, 0, 0, 0].tolist() == places.tolist()
  clip, places = heat_maps.clip_of(_sample("a", 0), ClipSpec(frames=4, size=16, snippets=2, test_snippets=3))
  assert places[:, 0].tolist() == [0, 10, 20] and clip.shape == (3, 4, 16, 16, 3)
  assert heat_maps.clip_of(_sample("a", 0, 5), ClipSpec(frames=4, size=16, snippets=3))[1][:, 0].tolist() == [0, 0, 1]


def test_residuals_are_those_of_the_spectra():
  """Guards Fig. 2's numbers: a smooth wave survives up-sampling in both spectra, a checkerboard does in neither; phases
  are compared the short way round."""
  y, x = np.indices((32, 32))
  wave = (127 + 100 * np.cos(2 * np.pi * x / 32)).astype(np.float32)
  before, after = phase.spectra(wave), phase.spectra(phase.up_sampled(wave))
  # Zero frequency stands in the middle, the wave beside it.
  assert before["amplitude"][16, 15] > 0.9 * before["amplitude"][16, 16] and abs(before["phase"][16, 17]) < 1e-6
  assert phase.residuals(wave)["amplitude"][16, 17] < 0.02
  board = (255 * ((x + y) % 2)).astype(np.float32)
  assert phase.residuals(board)["amplitude"][0, 0] > 0.8  # the highest frequency is gone
  turned = np.angle(np.exp(1j * np.pi * (before["phase"] - after["phase"]))) / np.pi
  np.testing.assert_allclose(phase.residuals(wave)["phase"], np.abs(turned), atol=1e-12)
  assert phase.residuals(board)["phase"].max() <= 1


def test_flow_is_the_motion():
  """Guards Fig. 1's flow and slices: what moves two pixels down in the upper half moves there, and nowhere else."""
  pytest.importorskip("skimage")
  import cv2

  from dfdetect_jax.figures import motion

  rng = np.random.default_rng(0)
  grey = cv2.GaussianBlur(rng.integers(0, 256, (64, 64)).astype(np.float32), (0, 0), 2)
  grey = np.clip((grey - grey.mean()) * 4 + 128, 0, 255)
  moved = grey.copy()
  moved[2:32] = grey[:30]
  frames = np.repeat(np.stack([grey, moved])[..., None], 3, axis=-1).astype(np.uint8)
  fields = motion.flow(frames)
  assert fields.shape == (1, 2, 64, 64)
  # skimage gives where the second frame's content is found from the first's places.
  assert np.median(np.abs(fields[0, 0, 6:24])) == pytest.approx(2, abs=0.3)
  assert np.median(np.abs(fields[0, 1, 6:24])) < 0.2 and np.median(np.hypot(*fields[0][:, 42:])) < 0.2
  rows, columns = motion.slices(fields)
  assert rows.shape == columns.shape == (64, 1)
  assert rows[6:24].min() > 4 * rows[44:].max() and np.ptp(columns[8:56]) < 1.0


def test_neighbours_of_the_own_class():
  """Guards Fig. 9's number and the embedding: clusters stay clusters in the plane, the same with the same seed."""
  rng = np.random.default_rng(0)
  features = rng.normal(size=(40, 6)) + 12 * (np.arange(40) % 2)[:, None]
  fake = np.arange(40) % 2 == 1
  assert embedding.separation(features, fake) == 1.0
  assert embedding.separation(rng.normal(size=(40, 6)), fake) < 0.8
  points = embedding.embed(features, seed=3)
  assert points.shape == (40, 2) and embedding.separation(points, fake) == 1.0


def test_robustness_is_read_from_the_protocols_figures(tmp_path):
  """Guards Fig. 6's curves: level 0 is the clean set, a cell without scores is a gap, other protocols are refused."""

  def auc(value):
    return {"overall": {"video": {"auc": value, "undefined": {}}}}

  path = tmp_path / "metrics.json"
  sets = {"FF++ c23": auc(0.9), "blur-1": auc(0.8), "blur-5": auc(None), "contrast-2": auc(0.7)}
  path.write_text(json.dumps({"protocol": "robustness", "sets": sets}))
  curves = robustness.from_metrics(path)
  assert curves["blur"] == [0.9, 0.8, None, None, None, None] and curves["contrast"] == [
    0.9,
    None,
    0.7,
    None,
    None,
    None,
  ]
  path.write_text(json.dumps({"protocol": "cross-dataset-c23", "sets": sets}))
  with pytest.raises(UserError, match="of the protocol 'cross-dataset-c23'"):
    robustness.from_metrics(path)


class _Planted(Material):
  """Material whose explanations are planted: frames brighter than 11 (the numbers of the forged half) are hot."""

  def __init__(self, own, method, spec, told):
    super().__init__(workdirs=["run"])
    config = types.SimpleNamespace(method=method, eval_batch_size=8)
    self._run = types.SimpleNamespace(config=config, method=types.SimpleNamespace(clip_spec=spec), step=7)
    self._own, self._told = own, told

  def samples(self, size=0):
    return self._own

  def _loaded(self, workdir):
    return self._run

  def explained(self, run, clips):
    return self._told(clips)


def test_the_forged_half_is_framed_and_told_by_frame():
  """Guards DIL Fig. 5: which frames are framed, and that attention and probability stand at their snippet and frame."""

  def told(clips):
    late = clips[..., 0, 0, 0].astype(float) - 11.5  # [B, U, T]
    tables = {"frame_logits": late, "inter_attention_2_1": late / 100, "inter_attention_1_1": 0 * late}
    return Explanation(np.array([0.9]), {}, tables)

  material = _Planted([_sample("real", 0), _sample("DF", 1)], "dil", ClipSpec(frames=4, size=16, snippets=4), told)
  drawn = snippets.dil_figure5(material)
  assert drawn.picture.startswith(b"\x89PNG") and drawn.small.startswith(b"\xff\xd8")
  places = np.array(drawn.values["frames"])
  assert places[:, 0].tolist() == [0, 7, 13, 20]
  np.testing.assert_array_equal(drawn.values["forged"], places >= 12)
  np.testing.assert_allclose(drawn.values["probability"], 1 / (1 + np.exp(11.5 - places)), atol=1e-4)
  np.testing.assert_allclose(drawn.values["attention"], (places - 11.5) / 100, atol=1e-5)
  assert drawn.values["mean_probability"]["forged"] > 0.5 > drawn.values["mean_probability"]["real"]


def test_heat_maps_peak_where_the_network_looked():
  """Guards the drawn maps' values: a planted peak by direction and by frame is where the figure says that it is."""

  def told(clips):
    count = len(clips)
    h, v = np.full((count, 4, 4, 4), 0.1), np.full((count, 4, 4, 4), 0.1)
    h[:, :, 0], v[:, :, :, 3] = 1.0, 1.0
    maps = {"grad_cam_h": h, "grad_cam_v": v, "grad_cam": h + v}
    return Explanation(np.full(count, 0.8), maps, {})

  material = _Planted([_sample("real", 0), _sample("DF", 1)], "dip", ClipSpec(frames=4, size=16), told)
  drawn = heat_maps.dip_figure7(material)
  peaks = drawn.values["DF"]["peak"]
  assert peaks["horizontal"][0] < 0.25 and peaks["vertical"][1] > 0.75
  assert (peaks["both"][0] < 0.25) and (peaks["both"][1] > 0.75) and drawn.values["real"]["toward"] == "fake"


def test_the_program_draws_a_page(toy_dataset, tmp_path, capsys, monkeypatch):
  """Guards the command: pictures and values in the folder, one page with all, what cannot be drawn is told."""
  monkeypatch.setattr(phase, "reconstructed", lambda frames, name="phase": frames.astype(float).mean(axis=(0, -1)))
  write_scores(tmp_path / "scores.csv", [VideoScore(video_id="toy/DF/c23/test000", label=1, score=0.9)])
  output = tmp_path / "out"
  program.main(["all", f"--data={toy_dataset}", f"--scores={tmp_path / 'scores.csv'}", f"--output={output}"])
  printed = capsys.readouterr().out
  assert "dil_figure5: not drawn: give --workdir=RUN of a trained 'dil'" in printed
  assert "dip_figure10: not drawn" in printed and "no failure to draw" in printed
  page = (output / "figures.html").read_text()
  assert page.count("data:image/jpeg;base64,") == 5 and "ST-ILIF Fig. 2: residuals" in page and "Not drawn" in page
  content = json.loads((output / "st_ilif_figure1.json").read_text())
  assert (
    content["values"]["mean_difference"]["DF"] > 2 * content["values"]["mean_difference"]["real"]
  )  # the toy flickers
  assert (output / "st_ilif_figure1.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
  ("arguments", "part"),
  [
    (["dip_figur1"], "Did you mean 'dip_figure1'"),
    (["dip_figure1"], "give --data=SHARDS, video files"),
    (["dil_figure5", "--data={}"], "dil_figure5: give --workdir=RUN"),
    (["dip_figure10"], "give --scores"),
    ([__file__], "which figure of"),
  ],
)  # fmt: skip
def test_wrong_calls_are_told(arguments, part, toy_dataset, tmp_path, capsys):
  """Guards the paragraph and status 2 of each wrong call."""
  with pytest.raises(SystemExit) as ended:
    program.main([*(a.format(toy_dataset) for a in arguments), f"--output={tmp_path / 'out'}"])
  assert ended.value.code == 2 and part in capsys.readouterr().err


@pytest.mark.slow
def test_every_networks_figures_are_drawn(toy_dataset, tmp_path, capsys, monkeypatch):
  """Guards the way from weights to pictures with each real network (untrained, smallest size), by the program."""
  from dfdetect_jax.figures import figure

  def untrained(name):
    config = importlib.import_module(f"configs.{name}").get_config("test")
    method = methods.build(config)
    variables = jax.jit(method.init)(jax.random.key(0))
    return Run(config, method, None, variables, 0, "student", "")

  monkeypatch.setattr(figure, "restore_run", untrained)
  monkeypatch.setattr(robustness, "DISTORTIONS", ("blur", "compression"))  # time
  names = [name for name, f in FIGURES.items() if f.method]
  workdirs = [f"--workdir={name}" for name in ("dip", "st_ilif", "dil")]
  # t-SNE and curves take all runs; one is enough here.
  for method in ("dip", "st_ilif", "dil"):
    own = [n for n in names if FIGURES[n].method == method]
    chosen = [w for w in workdirs if w.endswith(f"={method}")]
    program.main([*own, *chosen, f"--data={toy_dataset}", f"--output={tmp_path}"])
  assert {path.stem for path in tmp_path.glob("*.json")} == set(names)
  values = {name: json.loads((tmp_path / f"{name}.json").read_text())["values"] for name in names}
  assert {len(curve) for curve in next(iter(values["dip_figure6"].values())).values()} == {6}
  patterns = values["dip_figure8"]["real"]
  assert {np.shape(pattern) for pattern in patterns.values()} == {(4, 4)} and len(patterns) == 6
  np.testing.assert_allclose(patterns["horizontal, IDM"], np.transpose(patterns["horizontal, IDM"]), atol=1e-4)
  assert len(next(iter(values["dip_figure9"].values()))["points"]) == 8
  assert np.shape(values["dil_figure5"]["attention"]) == (3, 4)


@pytest.mark.slow
def test_figures_start_as_a_program(tmp_path):
  """Guards `python -m dfdetect_jax.figures list` in a process of its own."""
  import subprocess
  import sys

  root = pathlib.Path(__file__).resolve().parents[2]
  done = subprocess.run(
    [sys.executable, "-m", "dfdetect_jax.figures", "list"], cwd=root, capture_output=True, text=True
  )
  assert done.returncode == 0 and "dip_figure8" in done.stdout
