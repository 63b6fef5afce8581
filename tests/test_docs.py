"""What the guides say is run: the detector in sixty lines, the snippet on score files; links lead somewhere."""

import importlib.util
import json
import pathlib
import re
import shutil

import jax
import numpy as np
import pytest

import dfdetect_jax
from dfdetect_jax.evaluation import scores
from dfdetect_jax.runs.config_files import load_config
from dfdetect_jax.training import loop

ROOT = pathlib.Path(__file__).resolve().parents[1]


def _block(file, marker):
  """The code between `<!-- marker -->` and `<!-- end -->`."""
  text = (ROOT / file).read_text()
  return re.search(rf"<!-- {marker} -->\n```python\n(.*?)```\n<!-- end -->", text, re.DOTALL)[1]


@pytest.mark.slow  # compiles a detector, its statistics and its score
def test_the_contributors_detector_trains_and_is_loaded(toy_dataset, tmp_path, monkeypatch):
  """Guards CONTRIBUTING's sixty lines: as printed, from a folder outside the package, without a patch."""
  code = _block("CONTRIBUTING.md", "detector")
  assert len([line for line in code.splitlines() if line.strip()]) <= 60
  (tmp_path / "my_lab").mkdir()
  (tmp_path / "my_lab" / "detector.py").write_text(code)
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(tmp_path)
  config = load_config("my_lab/detector.py:test", {"data": str(toy_dataset), "eval_batch_size": 8, "batch_size": 8})
  with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
    loop.train_and_evaluate(config, tmp_path / "run")
    detector = dfdetect_jax.load(tmp_path / "run")
    clips = np.zeros((2, 8, 64, 64, 3), np.uint8)
    assert detector.score(clips).shape == (2,) and detector.outputs(clips)["features"].shape == (2, 8)


def test_the_snippet_on_score_files_gives_our_figure(tmp_path, monkeypatch, capsys):
  """Guards docs/formats.md: with scikit-learn and the csv module alone anyone finds our AUC."""
  rng = np.random.default_rng(0)
  rows = [scores.VideoScore(video_id=f"v{i}", label=i % 2, score=float(rng.random())) for i in range(30)]
  scores.write_scores(tmp_path / "scores.csv", rows)
  monkeypatch.chdir(tmp_path)
  snippet = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "formats.md").read_text(), re.DOTALL)[1]
  exec(snippet, {})
  order = np.argsort([r.score for r in rows])
  ranks = np.empty(30)
  ranks[order] = np.arange(1, 31)
  fake = np.array([r.label for r in rows]) == 1
  auc = (ranks[fake].sum() - 15 * 16 / 2) / (15 * 15)  # Mann and Whitney's U
  assert float(capsys.readouterr().out) == pytest.approx(auc, abs=1e-12)


def test_the_page_of_decisions_is_that_of_the_sources():
  """Guards docs/decisions.md from growing old: `python docs/make_decisions.py` makes it."""
  spec = importlib.util.spec_from_file_location("make_decisions", ROOT / "docs" / "make_decisions.py")
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  page = module.make_page()
  assert page == (ROOT / "docs" / "decisions.md").read_text()
  assert all(f"## {title}" in page for title in ("ST-ILIF", "FTCN", "SDR", "DIP", "DIL"))


@pytest.mark.parametrize("page", sorted(p.name for p in (ROOT / "docs").glob("*.md")))
def test_links_between_pages_lead_somewhere(page):
  """Guards the site's links, which `mkdocs build --strict` would refuse."""
  text = (ROOT / "docs" / page).read_text()
  for target in re.findall(r"\]\((?!https?://)([^)#]+)", text):
    assert (ROOT / "docs" / target).exists(), target


@pytest.fixture(scope="module")
def demo(toy_dataset, tmp_path_factory):
  """What the demo leaves, at a size for tests: `shards`, and `videos` of a few rendered heads."""
  from data_pipelines.synthetic import dataset

  folder = tmp_path_factory.mktemp("docs") / "demo"
  shutil.copytree(toy_dataset, folder / "shards")
  about = folder / "shards" / "dataset.json"
  cut = {"detector": "mtcnn", "align": False, "size": 64, "margin": 1.3, "key-frames": 5}
  about.write_text(json.dumps(json.loads(about.read_text()) | {"choices": cut}))
  heads = dataset.Settings(identities=6, frames=20, size=192)
  dataset.make_dataset(folder / "videos", heads, ["c23"], ["Deepfakes"], workers=1, progress=False)
  return folder


@pytest.mark.slow  # trains DIP's test variant, renders a few heads and finds a face
def test_the_python_of_the_readme_runs(demo, tmp_path, monkeypatch, capsys):
  """Guards README's lines: as printed but for size, on shards and a video at hand."""
  (tmp_path / "demo").symlink_to(demo)
  shutil.copy(next((demo / "videos" / "original_sequences").rglob("*.mp4")), tmp_path / "video.mp4")
  monkeypatch.chdir(tmp_path)
  code = _block("README.md", "python").replace("dip:small", "dip:test")
  code = code.replace('"total_steps": 400', '"total_steps": 2, "batch_size": 8, "eval_batch_size": 8')
  code = code.replace("runs/mine", "demo/run")  # for the notebook
  with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
    exec(code, {})
  lines = capsys.readouterr().out.splitlines()
  verdict = next(line for line in lines if line.startswith(("fake", "real", "undecided")))
  assert 0 <= float(verdict.split()[1]) <= 1 and "(0.0, " in verdict


@pytest.mark.slow  # starts a kernel, which compiles
def test_the_notebook_runs_on_what_the_demo_leaves(demo, monkeypatch):
  """Guards examples/: every cell of it as a kernel executes them, figures drawn and a table of differences at its end;
  the file that ships holds no outputs."""
  import nbclient
  import nbformat

  notebook = nbformat.read(ROOT / "examples" / "judge_and_compare.ipynb", as_version=4)
  assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
  if not (demo / "run").exists():  # README's test has made it
    config = load_config("dip:test", {"data": str(demo / "shards"), "total_steps": 2, "batch_size": 8})
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
      loop.train_and_evaluate(config, demo / "run")
  monkeypatch.setenv("PYTHONPATH", str(ROOT))
  nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(demo.parent)}}).execute()
  loaded, judged, drawn, compared = (cell.outputs for cell in notebook.cells if cell.cell_type == "code")
  assert "dip at step 2" in loaded[0].text and ", score 0." in judged[0].text and "grad_cam" in drawn[0].text
  assert all(any("image/png" in output.get("data", ()) for output in cell) for cell in (judged, drawn))
  page = compared[-1].data["text/markdown"]
  assert "student against teacher" in page and "AUC [%], DeLong" in page
