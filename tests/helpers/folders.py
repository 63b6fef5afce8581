"""What tests that look at files share: a folder's content, a run's metrics."""

import hashlib
import json
import pathlib


def contents(folder: pathlib.Path) -> dict[str, str]:
  """Every file of a folder with the checksum of its bytes."""
  files = (path for path in folder.rglob("*") if path.is_file())
  return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def metrics_of(run: pathlib.Path | str) -> list[dict]:
  """Lines of a run's metrics.jsonl, or of its text, without what depends on the machine's speed."""
  text = run if isinstance(run, str) else (run / "metrics.jsonl").read_text()
  return [{k: v for k, v in json.loads(line).items() if not k.startswith("speed/")} for line in text.splitlines()]
