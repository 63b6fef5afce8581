"""From a dataset's official layout to verified shards: a build per kind of layout, of tiny videos with known boxes."""

import io
import json
import pathlib
import shutil
import tarfile

import cv2
import numpy as np
import pytest

from data_pipelines import build, perturb
from data_pipelines.building import verification
from data_pipelines.faces import crop
from data_pipelines.sources import registry
from data_pipelines.video import decode, distortions
from dfdetect_jax import schema


def fill(root: pathlib.Path, write_video, moving_frames) -> None:
  """Puts a tiny video into every empty video file of a miniature."""
  video = write_video(root / "any.mp4", moving_frames(0, 16))
  for path in root.rglob("*.mp4"):
    if path != video and not path.stat().st_size:
      shutil.copyfile(video, path)
  video.unlink()


def boxes_file(path: pathlib.Path, boxes: dict[str, list]) -> pathlib.Path:
  """Boxes by video id, the same on a few frames."""
  path.write_text(json.dumps({name: {str(n): b for n in (0, 5, 7, 10, 15)} for name, b in boxes.items()}))
  return path


def run(output: pathlib.Path, *argv: str) -> list[schema.Track]:
  """Builds with one worker, verifies, and reads the tracks."""
  options = ["--size=32", "--min-frames=8", "--workers=1", "--duplicates=keep"]  # every video is a copy of one
  assert build.main([*argv, f"--output={output}", *options]) == 0
  assert list(verification.problems_of(output)) == []
  return schema.read_tracks(output)


LEFT, RIGHT = [8, 24, 40, 56], [80, 30, 112, 62]


def test_faceforensics_fakes_take_their_targets_boxes(tmp_path, miniature, write_video, moving_frames):
  """Guards the road from FF++'s folders to shards, and --target-boxes: only the real videos have boxes of their own."""
  root = miniature("faceforensics", tmp_path / "ff")
  fill(root, write_video, moving_frames)
  options = registry.SourceOptions(compression=("c23",), manipulations=("Deepfakes",))
  videos = registry.load("faceforensics").list_videos(root, options).videos
  detections = boxes_file(tmp_path / "boxes.json", {v.video_id: [LEFT] for v in videos if not v.label})
  tracks = run(
    tmp_path / "out", "--source=faceforensics", f"--root={root}", "--compression=c23", "--manipulations=Deepfakes",
    "--detector=precomputed", f"--detections={detections}", "--target-boxes",
  )  # fmt: skip
  assert {t.video_id for t in tracks} == {v.video_id for v in videos} - {"faceforensics/Deepfakes/c23/054_071"}
  assert all(t.frames == 16 and t.split == {v.video_id: v.split for v in videos}[t.video_id] for t in tracks)
  fake = next(t for t in tracks if t.video_id.endswith("071_054"))
  assert fake.path == "manipulated_sequences/Deepfakes/c23/videos/071_054.mp4"
  failed = {f.path: f.reason for split in ("train", "") for f in schema.read_failures(tmp_path / "out", split)}
  assert failed["original_sequences/youtube/c23/videos/054.mp4"] == "no such file"
  orphan = "manipulated_sequences/Deepfakes/c23/videos/054_071.mp4"  # its target has no boxes, nor has it
  assert failed[orphan] == "no boxes for it in the detections file"


def test_dfdc_videos_of_several_people(tmp_path, miniature, write_video, moving_frames):
  """Guards several faces in one video: a track of each with --max-tracks=0, all with the video's label."""
  root = miniature("dfdc", tmp_path / "dfdc", parts=(3,))
  fill(root, write_video, moving_frames)
  videos = registry.load("dfdc").list_videos(root, registry.SourceOptions()).videos
  detections = boxes_file(tmp_path / "boxes.json", {v.video_id: [LEFT, RIGHT] for v in videos})
  tracks = run(
    tmp_path / "out", "--source=dfdc", f"--root={root}", "--detector=precomputed", f"--detections={detections}",
    "--max-tracks=0",
  )  # fmt: skip
  assert sorted((t.video_id, t.track, t.label) for t in tracks) == sorted(
    (v.video_id, number, v.label) for v in videos for number in (0, 1)
  )


@pytest.mark.parametrize("source", ["celeb_df_v2", "dfdc_preview", "deeper_forensics"])
def test_other_layouts_of_videos(tmp_path, miniature, write_video, moving_frames, source):
  """Guards the road from each layout's test videos to shards, with the failures that its missing files leave."""
  root = miniature(source, tmp_path / source)
  fill(root, write_video, moving_frames)
  videos = registry.load(source).list_videos(root, registry.SourceOptions()).videos
  detections = boxes_file(tmp_path / "boxes.json", {v.video_id: [LEFT] for v in videos})
  tracks = run(
    tmp_path / "out", f"--source={source}", f"--root={root}", "--split=test", "--detector=precomputed",
    f"--detections={detections}", "--max-frames=8",
  )  # fmt: skip
  assert {(t.video_id, t.label, t.pair, t.identity) for t in tracks} == {
    (v.video_id, v.label, v.pair, v.identity) for v in videos if v.split == "test"
  }
  assert {t.frames for t in tracks} == {8}


def test_reals_of_a_distorted_variant_are_distorted_before_they_are_cropped(
  tmp_path, miniature, write_video, moving_frames
):
  """Guards std/rand: a real video's full frames go through what its forgery did, boxes are the clean one's."""
  root = miniature("deeper_forensics", tmp_path / "df")
  fill(root, write_video, moving_frames)
  meta = root / "lists/manipulated_videos_distortions_meta/manipulated_videos_end_to_end_random_level_meta.txt"
  meta.parent.mkdir()
  meta.write_text("end_to_end_random_level/004_M103.mp4 GB:5 CC:2\nend_to_end_random_level/005_W006.mp4 CS:1\n")
  options = registry.SourceOptions(manipulations=("end_to_end_random_level",))
  videos = registry.load("deeper_forensics").list_videos(root, options).videos
  detections = boxes_file(tmp_path / "boxes.json", {v.video_id: [LEFT] for v in videos})
  arguments = [
    "--source=deeper_forensics", f"--root={root}", "--manipulations=end_to_end_random_level", "--split=test",
    "--detector=precomputed", f"--detections={detections}", "--max-frames=8",
  ]  # fmt: skip
  tracks = {t.video_id: t for t in run(tmp_path / "out", *arguments)}
  real = tracks["deeper_forensics/original/c23/004"]
  assert real.extra == {"distortion": "blur-5+contrast-2"}
  assert all(not t.extra for t in tracks.values() if t.label)
  import tensorflow_datasets as tfds

  source = tfds.builder_from_directory(str(tmp_path / "out")).as_data_source("test")
  frames = [f.image for f in decode.read_frames(root / "original_sequences/youtube/c23/videos/004.mp4")][:8]
  blurred = distortions.distort(frames, "blur", 5, real.video_id, real.fps)
  changed = distortions.distort(blurred, "contrast", 2, real.video_id, real.fps)
  transforms = crop.square_transforms(np.tile(np.array(LEFT, float), (8, 1)), 1.3, 32)
  samples = crop.samples_per_pixel(transforms)
  for n, (frame, transform) in enumerate(zip(changed, transforms, strict=True)):
    np.testing.assert_array_equal(source[real.first + n]["image"], crop.cut(frame, transform, 32, samples))
  with pytest.raises(SystemExit):
    perturb.main([*arguments, f"--output={tmp_path / 'twice'}"])


def test_wild_deepfake_archives_of_crops(tmp_path):
  """Guards archives of sequence folders: every one a video, short ones failures, pictures in number order."""
  rng = np.random.default_rng(0)
  pictures = {}
  for folder, lengths in (("real train", (12, 9, 3)), ("fake train", (10,)), ("real test", (8,)), ("fake test", (29,))):
    (tmp_path / "wild" / folder).mkdir(parents=True)
    with tarfile.open(tmp_path / "wild" / folder / "7.tar.gz", "w:gz") as archive:
      for sequence, length in enumerate(lengths):
        for n in range(length):
          image = rng.integers(0, 256, (32, 32, 3), np.uint8)
          pictures[folder, sequence, n] = image
          data = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
          number = n + 100 * ((n >= 9) + (n >= 27)) * (folder == "fake test")  # which has runs of 9, 18 and 2
          member = tarfile.TarInfo(f"7/{folder[:4]}/{sequence}/{number}.png")  # 10.png comes before 2.png by name
          member.size = len(data)
          archive.addfile(member, io.BytesIO(data))
  output = tmp_path / "out"
  tracks = run(output, "--source=wild_deepfake", f"--root={tmp_path / 'wild'}")
  assert {(t.video_id, t.track, t.frames) for t in tracks} == {
    ("wild_deepfake/original/none/train/7/0", 0, 12),
    ("wild_deepfake/original/none/train/7/1", 0, 9),
    ("wild_deepfake/fake/none/train/7/0", 0, 10),
    ("wild_deepfake/original/none/test/7/0", 0, 8),
    ("wild_deepfake/fake/none/test/7/0", 0, 18),
    ("wild_deepfake/fake/none/test/7/0", 1, 9),
  }
  notes = {t.video_id: t.notes for t in tracks if t.notes}
  assert notes == {
    "wild_deepfake/fake/none/test/7/0": "2 pictures are in no track: runs shorter than 8, or beyond what was asked for"
  }
  assert len({t.sha256 for t in tracks}) == 5  # of the sequence, not of the archive
  failed = [f for split in schema.SPLITS for f in schema.read_failures(output, split)]
  assert [(f.video_id, f.label, f.reason) for f in failed] == [
    ("wild_deepfake/original/none/train/7/2", 0, "no sequence of at least 8 consecutive pictures (the longest has 3)")
  ]
  import tensorflow_datasets as tfds

  source = tfds.builder_from_directory(str(output)).as_data_source("train")
  real = next(t for t in tracks if t.frames == 12)
  for n in range(12):
    np.testing.assert_array_equal(source[real.first + n]["image"], pictures["real train", 0, n])
