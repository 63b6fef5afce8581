"""Face tracks kept beside a build: what is cut from one video several times is found in it once.

An entry is named by the video's id and bytes; the folder it lies in is named by the choices that shaped the track.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Callable

import numpy as np

from data_pipelines.faces.face_tracks import FaceTrack
from data_pipelines.video.decode import BrokenVideo
from dfdetect_jax.files import file_sha256

_ARRAYS = ("times", "boxes", "transforms", "landmarks")  # the last only where the detector gave any


def cached(folder: str, video_id: str, path: str, find: Callable[[], list[FaceTrack]]) -> list[FaceTrack]:
  """The tracks of a video as `find` finds them, from the folder if they were found before.

  Args:
    folder: where entries lie; "" keeps none.
    video_id, path: of the video.
    find: finds the tracks, or raises `BrokenVideo`, which is kept as well.
  """
  if not folder:
    return find()
  key = hashlib.sha256(f"{video_id}\n{file_sha256(path)}".encode()).hexdigest()
  entry = pathlib.Path(folder) / f"{key[:32]}.npz"
  tracks = _read(entry, path)
  if tracks is None:
    try:
      tracks = find()
    except BrokenVideo as broken:
      _write(entry, [], broken.reason)
      raise
    _write(entry, tracks, "")
  return tracks


def _write(entry: pathlib.Path, tracks: list[FaceTrack], reason: str) -> None:
  fields = [{k: v for k, v in dataclasses.asdict(t).items() if k not in (*_ARRAYS, "path")} for t in tracks]
  arrays = {f"{name}{i}": getattr(t, name) for i, t in enumerate(tracks) for name in _ARRAYS}
  arrays = {name: array for name, array in arrays.items() if array is not None}
  partial = entry.with_name(f"{entry.name}.{os.getpid()}.partial")
  with open(partial, "wb") as file:
    np.savez(file, header=np.array(json.dumps({"reason": reason, "tracks": fields})), **arrays)
  partial.replace(entry)


def _read(entry: pathlib.Path, path: str) -> list[FaceTrack] | None:
  try:
    with entry.open("rb") as file, np.load(file, allow_pickle=False) as content:
      header = json.loads(str(content["header"]))
      if header["reason"]:
        raise BrokenVideo(header["reason"])
      return [
        FaceTrack(
          path=str(path),
          **fields | {"notes": tuple(fields["notes"])},
          **{name: content[f"{name}{i}"] for name in _ARRAYS if f"{name}{i}" in content},
        )
        for i, fields in enumerate(header["tracks"])
      ]
  except BrokenVideo:
    raise
  except Exception:  # an entry that is not there or is damaged, in whatever way, is made again
    return None
