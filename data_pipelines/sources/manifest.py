"""Everyone's own data: a CSV file with one line per video.

Columns `path,label,split`, and where known `video_id,manipulation,compression,pair,identity` (`method` is read as
`manipulation`). Further columns are carried along in `Video.extra`. Paths are relative to the CSV's folder, or to
`--root` where that is given. Labels are real/fake or 0/1 (1 = fake), splits train, val or test.
"""

import csv
import os
import pathlib

from data_pipelines.sources import Listing, Video
from data_pipelines.sources.lists import normal
from data_pipelines.sources.registry import SourceOptions
from dfdetect_jax.errors import UserError
from dfdetect_jax.schema import SPLITS

LABELS = {"real": 0, "0": 0, "fake": 1, "1": 1}
REQUIRED = ("path", "label", "split")
OPTIONAL = ("video_id", "manipulation", "method", "compression", "pair", "identity", "dataset")


def list_videos(root: pathlib.Path | None, options: SourceOptions) -> Listing:
  """Lists the videos of `options.manifest`.

  Args:
    root: folder that paths are relative to, None = the CSV's own.
    options: `manifest` is the CSV file.

  Raises:
    UserError: no such file, missing columns, unknown labels or splits, the same video twice; names the line.
  """
  if not options.manifest:
    raise UserError("the source 'manifest' needs a CSV file: --manifest=FILE.csv with columns path,label,split.")
  file = pathlib.Path(options.manifest)
  rows = _read(file)
  root = root or file.parent
  listing = Listing()
  seen: dict[str, int] = {}
  for line, row in rows:
    where = f"{file}, line {line}"
    path, label, split = (row[name] for name in REQUIRED)
    if "\\" in path and not os.path.exists(root / path):  # written on Windows
      path = normal(path)
    if not path:
      raise UserError(f"{where}: the path is empty.")
    if label.lower() not in LABELS:
      raise UserError(f"{where}: unknown label '{label}'; a label is real or fake, or 0 or 1 (1 = fake).")
    if split not in SPLITS:
      raise UserError(f"{where}: unknown split '{split}'; a split is {', '.join(SPLITS)}.")
    fake = LABELS[label.lower()]
    dataset = row.get("dataset") or file.stem
    manipulation = row.get("manipulation") or row.get("method") or ("fake" if fake else "original")
    manipulation = manipulation if fake else "original"
    compression = row.get("compression", "")
    name = row.get("video_id") or pathlib.PurePath(path).with_suffix("").as_posix()
    video_id = "/".join((dataset, manipulation, compression or "none", name))
    for key in {video_id, f"path {path}"}:
      if key in seen:
        what = f"path '{path}'" if key.startswith("path ") else f"video_id '{name}'"
        raise UserError(f"{where}: {what} stands in line {seen[key]} already; every video has one line and one id.")
      seen[key] = line
    if options.compression and compression and compression not in options.compression:
      continue
    video = Video(
      video_id=video_id,
      path=str(root / path),
      label=fake,
      split=split,
      dataset=dataset,
      manipulation=manipulation,
      compression=compression,
      pair=row.get("pair", ""),
      identity=row.get("identity", ""),
      extra={key: value for key, value in row.items() if key not in (*REQUIRED, *OPTIONAL)},
    )
    if os.path.exists(root / path):  # a name too long is none
      listing.videos.append(video)
    else:
      listing.miss(path, "no such file", video)
  return listing


def _read(file: pathlib.Path) -> list[tuple[int, dict[str, str]]]:
  """Line numbers and rows."""
  try:
    with file.open(newline="", encoding="utf-8-sig") as opened:
      reader = csv.DictReader(opened, strict=True)
      columns = reader.fieldnames or []
      lacking = [name for name in REQUIRED if name not in columns]
      if lacking:
        raise UserError(
          f"{file} has no column {' and no column '.join(lacking)} (it has: {', '.join(columns) or 'none'}); a "
          "manifest starts with a line like path,label,split,video_id,manipulation."
        )
      rows = []
      for row in reader:
        if None in row or None in row.values():
          raise UserError(f"{file}, line {reader.line_num}: not as many fields as the first line has columns.")
        rows.append((reader.line_num, {key: value.strip() for key, value in row.items()}))
  except FileNotFoundError as error:
    raise UserError(f"--manifest={file}: no such file.") from error
  except (OSError, UnicodeDecodeError, csv.Error) as error:
    raise UserError(f"--manifest={file} cannot be read as CSV: {error}.") from error
  if not rows:
    raise UserError(f"{file} names no video.")
  return rows
