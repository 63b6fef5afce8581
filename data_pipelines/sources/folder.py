"""Any folder: `ROOT/{train,val,test}/{real,fake}/…` or `ROOT/{real,fake}/…`, videos at any depth below.

A folder between `fake` and the videos names the manipulation. Without split folders every video goes to one split,
test: dividing is the user's decision, by identity, and a manifest says it best.
"""

import pathlib

from data_pipelines.sources import Listing, Video
from data_pipelines.sources.registry import SourceOptions
from dfdetect_jax.errors import UserError
from dfdetect_jax.schema import SPLITS

LABELS = {"real": 0, "fake": 1}
VIDEO_SUFFIXES = frozenset(
  ".mp4 .mov .m4v .mkv .webm .avi .mpg .mpeg .m2ts .mts .ts .wmv .flv .3gp .ogv .gif .264 .h264 .265 .hevc".split()
)


def list_videos(root: pathlib.Path | None, options: SourceOptions) -> Listing:
  """Lists the videos below `root`; the compression option does not apply.

  Raises:
    UserError: no root, or nothing laid out so in it.
  """
  if root is None:
    raise UserError("the source 'folder' needs --root=DIR with folders real and fake in it.")
  splits = [split for split in SPLITS if (root / split).is_dir()]
  videos = []
  for split in splits or ["test"]:
    base = root / split if splits else root
    for name, label in LABELS.items():
      for path in sorted(p for p in (base / name).rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file()):
        inside = path.relative_to(base / name)
        manipulation = "original" if not label else (inside.parts[0] if len(inside.parts) > 1 else "fake")
        videos.append(
          Video(
            video_id=f"{root.resolve().name}/{manipulation}/none/{path.relative_to(root).as_posix()}",
            path=str(path),
            label=label,
            split=split,
            dataset=root.resolve().name,
            manipulation=manipulation,
          )
        )
  if not videos:
    raise UserError(
      f"--root={root} holds no videos in folders real and fake; expected are "
      f"{root}/{{train,val,test}}/{{real,fake}}/*.mp4 or {root}/{{real,fake}}/*.mp4."
    )
  return Listing(videos)
