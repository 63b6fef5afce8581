"""The videos that a detector judges most wrongly, with the frames that it did so by."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dfdetect_jax.errors import UserError
from dfdetect_jax.evaluation.document import Block, Heading, Paragraph, Strip, Strips
from dfdetect_jax.evaluation.scores import VideoScore
from dfdetect_jax.runs.provenance import data_fingerprint

FRAMES, SIDE = 8, 112  # of a strip: pictures, and pixels of each


def worst_videos(scores: Sequence[VideoScore], most: int) -> list[VideoScore]:
  """The real videos with the highest scores and the fakes with the lowest, `most` of each, the worst first.

  Only videos on the wrong side of one half, or exactly on it, are wrong; failed ones were not judged.
  """
  judged = [s for s in scores if not s.failed]
  wrong = [s for s in judged if (s.score > 0.5) != bool(s.label) or s.score == 0.5]
  ordered = sorted(wrong, key=lambda s: (-abs(s.label - s.score), s.video_id))
  return [s for label in (0, 1) for s in [s for s in ordered if s.label == label][:most]]


def worst_blocks(scores: Sequence[VideoScore], provenance: Mapping[str, Any] | None, most: int) -> list[Block]:
  """The part of a report that shows them; empty if none was judged wrongly or `most` is 0.

  Args:
    scores: of one score file.
    provenance: of it; its shards give the pictures, if they are still there and the same.
    most: videos of each class.
  """
  chosen = worst_videos(scores, most)
  if not chosen:
    return []
  pictures, why = _pictures(chosen, provenance)
  strips = [Strip(pictures.get(s.video_id, b""), s.video_id, _describe(s)) for s in chosen]
  note = [Paragraph(f"Their frames cannot be shown: {why}.")] if why else []
  return [Heading("Judged most wrongly", 3), *note, Strips(strips)]


def _describe(score: VideoScore) -> str:
  truth = "fake" if score.label else "real"
  where = _place(score)
  shown = f"; frames from {where[1]} on, its clip of {where[2]:.3f}" if where else ""
  return f"{truth}, scored {score.score:.3f}{shown}"


def _place(score: VideoScore) -> tuple[int, int, float] | None:
  """Track (in the order of the score file), first frame and score of the clip that is most wrong."""
  places = [
    (track, start, p)
    for track, (starts, values) in enumerate(zip(score.clip_starts, score.clip_scores))
    for start, p in zip(starts, values)
  ]
  return max(places, key=lambda place: abs(score.label - place[2]), default=None)


def _pictures(chosen: Sequence[VideoScore], provenance: Mapping[str, Any] | None) -> tuple[dict[str, bytes], str]:
  """A JPEG for each video that has one, and why there are none."""
  if provenance is None:
    return {}, "nothing tells which shards they lie in"
  folder = pathlib.Path(provenance["data"]["path"])
  try:
    if data_fingerprint(folder)["sha256"] != provenance["data"]["sha256"]:
      return {}, f"{folder} holds other shards than those that were scored"
  except UserError:
    return {}, f"the shards are no longer at {folder}"
  import cv2

  from dfdetect_jax.data.frames import Exchanged, FrameReader, Unreadable  # TensorFlow Datasets takes seconds to import
  from dfdetect_jax.schema import read_tracks

  reader = FrameReader(str(folder), provenance["split"], SIDE)
  tracks = read_tracks(folder, provenance["split"])
  pictures = {}
  for score in chosen:
    place = _place(score)
    own = [t for t in tracks if t.video_id == score.video_id]
    holding = [t for t in own if place and t.first_frame <= place[1] < t.first_frame + t.frames]
    if not holding or place is None:
      continue
    track = own[place[0]] if len(own) == len(score.clip_scores) and own[place[0]] in holding else holding[0]
    first = place[1] - track.first_frame
    length = min(score.clip_frames or track.frames, track.frames - first)
    records = track.first + first + np.linspace(0, length - 1, min(FRAMES, length)).round().astype(int)
    try:
      strip = np.concatenate([reader.read(int(record), 1, track)[0] for record in records], axis=1)
    except Unreadable:
      continue
    except Exchanged as error:
      return {}, str(error)
    pictures[score.video_id] = cv2.imencode(".jpg", strip[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes()
  return pictures, ""
