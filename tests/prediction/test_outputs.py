"""What predict writes: tried before the work, written as results come, told apart whatever videos are called."""

import base64
import csv
import dataclasses
import html.parser
import json
import os

import numpy as np
import pytest

from dfdetect_jax.errors import UserError
from dfdetect_jax.evaluation.calibration import Decision, Reliability, validate
from dfdetect_jax.evaluation.scores import VideoScore
from dfdetect_jax.prediction import program
from dfdetect_jax.prediction.about import About, describe_training
from dfdetect_jax.prediction.clips import Dense
from dfdetect_jax.prediction.evidence import Evidence, ShownClip
from dfdetect_jax.prediction.judge import judge
from dfdetect_jax.prediction.lanes import binned
from dfdetect_jax.prediction.listing import find_videos
from dfdetect_jax.prediction.names import output_name
from dfdetect_jax.prediction.page import verdict_page
from dfdetect_jax.prediction.pictures import data_uri
from dfdetect_jax.prediction.verdict import ClipScore, TrackScore, VideoVerdict
from dfdetect_jax.runs.trained_videos import TrainedVideo

ABOUT = About(
  workdir="runs/toy", method="toy", step=20, weights="teacher", checkpoint="", trained_on="3 videos", reliability=
  Reliability(), decision=Decision(threshold=0.5, lower=0.4, upper=0.6, temperature=None, origin="for a test"),
  over_tracks="max", dense=Dense(), rows=(("model", "toy"), ("faces", "squares")),
)  # fmt: skip


class Page(html.parser.HTMLParser):
  """Collects what a browser would see: tags with attributes, and the text."""

  def __init__(self, text):
    super().__init__()
    self.tags, self.text, self.links = [], "", []
    self.feed(text)

  def handle_starttag(self, tag, attributes):
    self.tags.append((tag, dict(attributes)))

  def handle_data(self, data):
    self.text += data

  def of(self, tag, **wanted):
    return [a for t, a in self.tags if t == tag and all(a.get(k) == v for k, v in wanted.items())]


@pytest.fixture
def predict(toy_judge, monkeypatch, tmp_path):
  """`predict("--json=…", videos)` runs the program with the toy judge; returns the exit status."""
  import argparse

  def run(*videos, heat=None, workdir=tmp_path / "run", judge=None, **options):
    workdir.mkdir(exist_ok=True)
    made = judge or toy_judge(workdir=str(workdir))
    monkeypatch.setattr(program, "prepare", lambda *args, dense, **rest: dataclasses.replace(made, dense=dense))
    known = dict(
      list=[], report="", json="", csv="", plot="", overlay="", stride=0, clips=0, threshold=None, tracks=None,
      max_tracks=0, shortest=None, step="best", weights=None, detector=None, detector_model="", workdir=str(workdir),
      heat=heat is not None,
    )  # fmt: skip
    known |= {name: str(value) if not isinstance(value, int) else value for name, value in options.items()}
    arguments = argparse.Namespace(videos=[str(v) for v in videos], **known)
    return program.run_program(arguments, lambda setup: heat)

  return run


def test_a_page_says_what_was_said_and_fetches_nothing(predict, film, tmp_path):
  """Guards the verdict page: verdict, a lane per face over real seconds, playable clips, alt texts, no other file."""
  path = film("two & <b>bold.mp4", 75, [(0, 0, 75, 100), (1, 25, 60, 10)])
  predict(path, report=tmp_path / "out.html", json=tmp_path / "out.json")
  [verdict] = json.loads((tmp_path / "out.json").read_text())["videos"]
  text = (tmp_path / "out.html").read_text()
  page = Page(text)
  assert len(text.encode()) < 2e6
  assert f"{verdict['score']:.3f}" in page.text and verdict["verdict"].upper() in page.text
  assert "two & <b>bold.mp4" in page.text and not page.of("b")
  assert all(image["alt"] and image["src"].startswith("data:") for image in page.of("img"))
  assert not any("://" in str(value) for _, a in page.tags for name, value in a.items() if name in ("src", "href"))
  assert "default-src 'none'" in text
  lanes = [a["aria-label"] for a in page.of("svg", role="img") if a["aria-label"].startswith("Face ")]
  assert len(lanes) == 2 and all("of 3.00 s" in label for label in lanes)
  strips = page.of("button")
  assert len(strips) >= 4 and all(b["aria-label"].startswith("Play the clip of face") for b in strips)
  highest = max((c for t in verdict["tracks"] for c in t["clips"]), key=lambda c: c["score"])
  assert f"{highest['start_second']:.2f} s to {highest['end_second']:.2f} s" in page.text


def test_lanes_cover_the_frames_of_their_clips(toy_judge, film):
  """Guards real time: with a variable frame rate the marks lie where the frames are shown."""
  times = [*range(50), *range(50, 50 + 25 * 5, 5)]  # 2 s at 25 frames/s, then 5 s at 5 frames/s
  path = film("vfr.mp4", 75, [(0, 0, 75, 60)], times=times)
  verdict = judge(toy_judge(dense=Dense(stride=5)), path)
  assert verdict.seconds == pytest.approx(7, abs=0.2)
  for clip in verdict.tracks[0].clips:
    assert clip.start_second == pytest.approx(times[clip.first_frame] / 25, abs=0.01)


def test_many_marks_become_few_and_keep_the_highest():
  """Guards the lane of a long video: each stretch shows its highest score, none is lost."""
  scores = np.random.default_rng(0).uniform(size=5000)
  marks = [(i / 10, (i + 1) / 10, float(s), True) for i, s in enumerate(scores)]
  few, merged = binned(marks, 500.0, 100)
  assert len(few) == 100 and merged == 50
  np.testing.assert_array_equal([m[2] for m in few], scores.reshape(100, 50).max(axis=1))
  assert few[3][:2] == (15.0, 20.0)


def test_a_page_stays_small():
  """Guards the size of a page: forty faces for an hour, with pictures that do not compress, in less than 2 MB."""
  rng = np.random.default_rng(0)
  noise = lambda *shape: data_uri(rng.integers(0, 255, (*shape, 3)).astype(np.uint8))  # noqa: E731
  face, strip, key_frame = noise(96, 96), noise(96, 16 * 96), noise(270, 480)
  tracks, shown = [], {}
  for n in range(40):
    clips = tuple(
      ClipScore(first_frame=112 * i, last_frame=112 * i + 15, start_second=4.5 * i, end_second=4.5 * i + 0.6,
                score=float(s), counts=False, box=(1.0, 2.0, 3.0, 4.0))
      for i, s in enumerate(rng.uniform(size=800))
    )  # fmt: skip
    tracks.append(TrackScore(track=n + 1, first_frame=0, frames=90_000, start_second=0.0, end_second=3600.0, score=0.5,
                             weight=1.0, clips=clips, face=face))  # fmt: skip
    shown[n + 1] = [ShownClip(first_frame=112 * i, last_frame=112 * i + 15, score=0.5, frames=16, box=(0, 0, 1, 1),
                              strip=strip, key_frame=key_frame) for i in range(2)]  # fmt: skip
  verdict = VideoVerdict(path="v", verdict="real", score=0.4, tracks=tuple(tracks), seconds=3600.0)
  page = verdict_page(verdict, ABOUT, shown)
  assert len(page.encode()) < 2e6
  assert page.count("<section") == 40 and page.count("<path") > 3000 and 'class="strip"' in page


def test_evidence_is_the_highest_clips_of_each_face(toy_judge, film):
  """Guards that the pictures are of the clips that they are said to be of."""
  path = film("v.mp4", 60, [(0, 0, 60, 100), (1, 0, 60, 10)])
  evidence = Evidence()
  verdict = judge(toy_judge(dense=Dense(stride=4)), path, watcher=evidence)
  for place, track in enumerate(verdict.tracks):
    ranked = sorted(track.clips, key=lambda c: -c.score)
    shown = evidence.clips(place)
    assert [s.first_frame for s in shown] == [c.first_frame for c in [*ranked[:3], ranked[-1]]]
    assert {s.frames for s in shown} == {4}
    x, y, w, h = shown[0].box
    np.testing.assert_allclose([x, y, w, h], [track.clips[0].box[0] / 160, 30 / 96, 40 / 160, 40 / 96], atol=0.02)


def test_heat_is_drawn_where_the_crop_lies(predict, film, tmp_path):
  """Guards the seam to explanations: the transform takes the crop's middle to the face's, in the reduced picture."""
  seen = []

  def heat(picture, clip, transform, crop_size):
    seen.append((picture.shape, clip.shape, transform @ [crop_size / 2, crop_size / 2, 1]))
    return 255 - picture

  path = film("v.mp4", 30, [(0, 0, 30, 100)])
  predict(path, heat=heat, report=tmp_path / "o.html")
  assert seen and all(picture == (96, 160, 3) and clip == (4, 16, 16, 3) for picture, clip, _ in seen)
  np.testing.assert_allclose([middle for *_, middle in seen], [[120, 50]] * len(seen), atol=1)
  page = Page((tmp_path / "o.html").read_text())
  assert len(page.of("img", **{"class": "heat"})) == len(seen) and any("data-heat" in b for b in page.of("button"))


def test_an_index_is_written_as_results_come_and_gone_on_with(predict, film, tmp_path, monkeypatch, capsys):
  """Guards long calls: Ctrl-C keeps what is done, the next call judges the rest, and again what has changed."""
  paths = [film(f"v{n}.mp4", 20, [(0, 0, 20, 20 + 30 * n)]) for n in range(3)]
  (tmp_path / "broken.mp4").write_text("no video")
  asked = [*paths[:2], tmp_path / "broken.mp4", paths[2]]
  outputs = dict(report=tmp_path / "report", json=tmp_path / "all.json", csv=tmp_path / "all.csv")
  real, seen = program.judge, []

  def stopping(setup, path, *rest):
    if len(seen) == 2:
      raise KeyboardInterrupt
    seen.append(path)
    return real(setup, path, *rest)

  monkeypatch.setattr(program, "judge", stopping)
  with pytest.raises(KeyboardInterrupt):
    predict(*asked, **outputs)
  assert "2 of 4 videos are judged" in capsys.readouterr().err
  assert len(json.loads((tmp_path / "all.json").read_text())["videos"]) == 2
  assert "2 still to be judged" in (tmp_path / "report" / "index.html").read_text()

  def counting(setup, path, *rest):
    seen.append(path)
    return real(setup, path, *rest)

  monkeypatch.setattr(program, "judge", counting)
  for expected in ([asked[2], asked[3]], [asked[2]]):  # what failed is tried again
    seen.clear()
    predict(*asked, **outputs)
    assert seen == [str(path) for path in expected]
  os.utime(paths[0], (1, 1))
  seen.clear()
  predict(*asked, **outputs)
  assert seen == [str(asked[0]), str(asked[2])]
  results = json.loads((tmp_path / "all.json").read_text())["videos"]
  assert [r["status"] for r in results] == ["ok", "ok", "failed", "ok"]
  with open(tmp_path / "all.csv", newline="") as file:
    rows = list(csv.DictReader(file))
  assert {(r["path"], r["status"]) for r in rows} == {(str(p), "failed" if p == asked[2] else "ok") for p in asked}
  page = Page((tmp_path / "report" / "index.html").read_text())
  links = [a["href"] for a in page.of("a")]
  assert len(links) == 4 and all((tmp_path / "report" / link).is_file() for link in links)
  assert "no video" not in page.text and "cannot be decoded" in page.text
  back = Page((tmp_path / "report" / links[0]).read_text()).of("a")[0]["href"]
  assert (tmp_path / "report" / links[0]).parent.joinpath(back).resolve() == tmp_path / "report" / "index.html"


def test_csv_has_a_row_for_each_clip(predict, film, tmp_path):
  """Guards the table: every clip with its face, seconds and box, as JSON has them."""
  path = film("v.mp4", 50, [(0, 0, 50, 100), (1, 0, 45, 10)])
  predict(path, csv=tmp_path / "o.csv", json=tmp_path / "o.json", stride=8)
  [verdict] = json.loads((tmp_path / "o.json").read_text())["videos"]
  with open(tmp_path / "o.csv", newline="") as file:
    rows = list(csv.DictReader(file))
  clips = [(t, c) for t in verdict["tracks"] for c in t["clips"]]
  assert len(rows) == len(clips) > 8
  for row, (track, clip) in zip(rows, clips):
    assert (int(row["track"]), float(row["clip_score"])) == (track["track"], clip["score"])
    assert float(row["start_second"]) == clip["start_second"]
    assert [float(row[n]) for n in ("x1", "y1", "x2", "y2")] == clip["box"]
    assert row["face"] == f"o_faces/{output_name(path)}_{track['track']}.webp"
    picture = base64.b64encode((tmp_path / row["face"]).read_bytes()).decode()
    assert track["face"] == f"data:image/webp;base64,{picture}"


def test_outputs_are_tried_before_the_work(predict, film, tmp_path, monkeypatch):
  """Guards hours of work: what cannot be written is said first, and no video is overwritten."""
  path = film("v.mp4", 20, [(0, 0, 20, 20)])
  monkeypatch.setattr(program, "judge", lambda *args: pytest.fail("judged before the outputs were tried"))
  (tmp_path / "file").write_text("")
  (tmp_path / "folder").mkdir()
  for option in ("json", "csv", "report", "plot", "overlay"):
    with pytest.raises(UserError, match=f"--{option}.* cannot be written .*choose another place"):
      predict(path, **{option: tmp_path / "file" / "x.html"})
  with pytest.raises(UserError, match="is one of the videos: it would be overwritten"):
    predict(path, overlay=path)
  with pytest.raises(UserError, match="is a folder: give the name of a file"):
    predict(path, json=tmp_path / "folder")
  with pytest.raises(UserError, match="is one file, but there are 2 videos: give a folder"):
    predict(path, tmp_path / "file", overlay=tmp_path / "x.mp4")


def test_names_of_outputs(tmp_path):
  """Guards outputs against names that collide, are no UTF-8, are long, or mean something to a shell or a browser."""
  paths = [
    "a/v.mp4", "b/v.mp4", "a/v.avi", "x" * 240 + ".mp4", "x" * 239 + "y.mp4", "\udcff\udcfe.mp4", "\udcfe\udcff.mp4",
    "new\nline.mp4", "<script>.mp4", "-rf.mp4", "...", "日本.mp4",
  ]  # fmt: skip
  names = [output_name(path) for path in paths]
  assert len({name.lower() for name in names}) == len(names)
  for name in names:
    assert name.isascii() and len(name) < 100 and name[0].isalnum() and not set(name) - set(
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
    )  # fmt: skip
  assert output_name("a/v.mp4") == output_name(os.path.abspath("a/v.mp4"))


def test_a_video_of_any_name_is_judged(predict, film, tmp_path):
  """Guards names that are no UTF-8 or hold newlines and markup, through every output."""
  ugly = [film("plain.mp4", 20, [(0, 0, 20, 20)])]
  for name in (b"bytes\xff\xfe.mp4", b'"><script>alert(1)</script>\n.mp4'):
    ugly.append(os.fsdecode(os.path.join(os.fsencode(tmp_path), name.replace(b"/", b"_"))))
    os.link(ugly[0], ugly[-1])
  outputs = dict(report=tmp_path / "r", json=tmp_path / "o.json", csv=tmp_path / "o.csv", plot=tmp_path / "plots")
  predict(*ugly, **outputs)
  results = json.loads((tmp_path / "o.json").read_text())["videos"]
  assert [r["status"] for r in results] == ["ok"] * 3
  assert [VideoVerdict.from_json(r).path for r in results] == [str(p) for p in ugly]
  index = Page((tmp_path / "r" / "index.html").read_text())
  assert len(index.of("script")) == 1 and len(index.of("a")) == 3
  with open(tmp_path / "o.csv", newline="") as file:
    assert {row["path"].count("\n") for row in csv.DictReader(file)} == {0}
  assert len(list((tmp_path / "plots").iterdir())) == 3


def test_videos_are_found_in_folders_and_lists(tmp_path):
  """Guards the listing: folders within folders, lists, each once, and what was not taken is said."""
  for name in ("a/v1.mp4", "a/b/V2.MP4", "a/notes.txt", "a/._v1.mp4", "c.mkv"):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).touch()
  (tmp_path / "list.txt").write_bytes(b"c.mkv\r\n\n" + os.fsencode(tmp_path / "a" / "v1.mp4") + b"\n\xff.mp4\n")
  found, told = find_videos([str(tmp_path / "a")], [str(tmp_path / "list.txt")])
  assert [os.path.basename(p) for p in found] == ["v1.mp4", "V2.MP4", "c.mkv", "\udcff.mp4"]
  assert "2 files" in told[0] and "named more than once" in told[1]
  (tmp_path / "windows.txt").write_bytes(b"\xef\xbb\xbfa\\b\\V2.MP4\r\nc.mkv")
  assert find_videos([], [str(tmp_path / "windows.txt")])[0] == [str(tmp_path / p) for p in ("a/b/V2.MP4", "c.mkv")]
  (tmp_path / "linked").mkdir()
  for name, target in (("once", "a"), ("again", "a"), ("circle", "linked")):
    (tmp_path / "linked" / name).symlink_to(tmp_path / target, target_is_directory=True)
  linked, _ = find_videos([str(tmp_path / "linked")])
  assert sorted(os.path.basename(p) for p in linked) == ["V2.MP4", "v1.mp4"]
  (tmp_path / "empty").mkdir()
  for named, lists, message in (
    ([], [], "no video is named"),
    ([str(tmp_path / "empty")], [], "holds no video"),
    ([], [str(tmp_path / "none")], "cannot be read"),
    ([], [os.devnull], "names no video"),
  ):
    with pytest.raises(UserError, match=message):
      find_videos(named, lists)


def test_exit_status_and_pictures(predict, film, toy_judge, tmp_path):
  """Guards the status for scripts: fake before undecided before real."""
  path = film("v.mp4", 20, [(0, 0, 20, 20)])
  score = judge(toy_judge(), path).score
  decision = toy_judge().decision
  for lower, upper, status in (
    (0.0, score - 1e-3, program.FAKE), (score + 1e-3, 1.0, program.REAL), (0.0, 1.0, program.NOT_JUDGED)
  ):  # fmt: skip
    chosen = dataclasses.replace(decision, threshold=(lower + upper) / 2, lower=lower, upper=upper)
    made = toy_judge(decision=chosen, workdir=str(tmp_path / "run"))
    assert predict(path, judge=made, plot=tmp_path / "p") == status
  assert [p.suffix for p in (tmp_path / "p").iterdir()] == [".png"]
  sure = dataclasses.replace(decision, threshold=1.0, lower=1.0, upper=1.0)
  made = toy_judge(decision=sure, workdir=str(tmp_path / "run"))
  assert predict(path, judge=made) == program.REAL
  assert predict(path, tmp_path / "none.mp4", judge=made) == program.NOT_JUDGED


def test_the_meaning_of_a_score_counts_validation_videos(predict, film, toy_judge, tmp_path):
  """Guards the sentence that says what a score is worth: how many validation videos beyond it were what is said."""
  path = film("v.mp4", 20, [(0, 0, 20, 20)])
  score = judge(toy_judge(), path).score
  rows = [VideoScore(video_id=str(i), label=y, score=s) for i, (y, s) in enumerate(
    [(0, score / 4), (0, score / 3), (1, score / 2), (0, (1 + score) / 2), (1, (3 + score) / 4), (1, (4 + score) / 5)]
  )]  # fmt: skip
  validation = validate(rows, 20, "teacher")
  decision = dataclasses.replace(validation.decision(), lower=score / 2, upper=score / 2)
  made = toy_judge(reliability=Reliability(validation=validation), decision=decision, workdir=str(tmp_path / "run"))
  predict(path, judge=made, report=tmp_path / "o.html")
  text = Page((tmp_path / "o.html").read_text()).text
  assert "Of the 3 validation videos that scored as high or higher, 2 are forged." in text
  assert f"a probability of {decision.probability(score):.2f} that" in text


def test_training_in_a_line():
  """Guards the line on what a run was trained on."""
  known = dict(dataset="ff", compression="c23")
  videos = [TrainedVideo(video_id=str(n), label=int(n > 2), split="train", manipulation="Deepfakes" if n > 2 else
                         "original", **known) for n in range(7)]  # fmt: skip
  videos.append(TrainedVideo(video_id="v", label=0, split="val", **known))
  assert describe_training(videos) == "3 real and 4 forged videos of ff (Deepfakes; c23); 1 others for validation"
  assert "unknown" in describe_training(None)
