"""File names for what is written about a video: unlike those of other videos, harmless whatever the video is called."""

import hashlib
import os
import re

_LONGEST = 60


def output_name(path: str | os.PathLike) -> str:
  """A name of letters, digits, `.`, `_` and `-` for what is written about a video, without an ending.

  It begins with the video's own name and ends with a checksum of its whole path, so that it is the same at every call
  and another for every other video.
  """
  whole = os.path.abspath(path)
  stem = os.path.splitext(os.path.basename(os.fspath(path)))[0]
  safe = re.sub(r"[^A-Za-z0-9._-]+", "_", os.fsencode(stem).decode("ascii", "replace").replace("\ufffd", "_"))
  return f"{safe.strip('._-')[:_LONGEST] or 'video'}-{hashlib.sha256(os.fsencode(whole)).hexdigest()[:8]}"
