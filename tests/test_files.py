"""Our small files, read: whatever is wrong with one is a sentence that names file, line and cure."""

import dataclasses
import json

import pytest

from dfdetect_jax import files, schema
from dfdetect_jax.files import DamagedFile


@dataclasses.dataclass(frozen=True)
class Inner:
  n: int


@dataclasses.dataclass(frozen=True)
class Outer:
  name: str
  rate: float
  label: int | None = None
  parts: list[Inner] = dataclasses.field(default_factory=list)
  words: tuple[str, ...] = ()
  more: dict[str, str] = dataclasses.field(default_factory=dict)


def test_a_dataclass_is_made_of_what_fits():
  """Guards the types of what is read, nested ones included."""
  values = {"name": "a", "rate": 1, "label": None, "parts": [{"n": 2}], "words": ["x"], "more": {"k": "v"}}
  assert files.make(Outer, values, "f", "mend it") == Outer("a", 1.0, None, [Inner(2)], ("x",), {"k": "v"})


@pytest.mark.parametrize(
  "change",
  [
    {"name": 3}, {"rate": "1"}, {"rate": float("nan")}, {"rate": True}, {"label": "1"}, {"label": 1.0}, {"parts": [3]},
    {"parts": [{"m": 2}]}, {"parts": [{}]}, {"words": "xy"}, {"words": [1]}, {"more": []}, {"more": {"k": 1}},
    {"nmae": "a"},
  ],
)  # fmt: skip
def test_what_does_not_fit_is_told(change):
  """Guards against a value of another type that is only met deep inside a program."""
  with pytest.raises(DamagedFile, match=r"^f, line 3 cannot be read \(.*\): mend it\.$"):
    files.make(Outer, {"name": "a", "rate": 1.0} | change, "f, line 3", "mend it")


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"3", b'"x"', b"\xff\xfe{}", b"[" * 100_000, b"{}x"])
def test_what_is_no_json_object_is_told(tmp_path, text):
  """Guards every JSON file of ours."""
  (tmp_path / "a.json").write_bytes(text)
  with pytest.raises(DamagedFile, match=r"a\.json cannot be read \(.*\): mend it\.$"):
    files.read_json(tmp_path / "a.json", "mend it")
  with pytest.raises(DamagedFile, match="cannot be read"):
    files.read_json(tmp_path, "mend it")  # a folder in its place


def test_a_seal_tells_a_change_that_still_parses(tmp_path):
  """Guards against one flipped digit in a file that others hang on; files without a seal are read."""
  path = tmp_path / "a.json"
  path.write_text(json.dumps(files.sealed({"a": 1.5, "b": ["ü"]})))
  assert files.read_json(path, "") == {"a": 1.5, "b": ["ü"]}
  path.write_text(path.read_text().replace("1.5", "1.6"))
  with pytest.raises(DamagedFile, match="checksum"):
    files.read_json(path, "mend it")
  path.write_text('{"a": 2}')
  assert files.read_json(path, "") == {"a": 2}


def test_rows_of_any_length_and_none_too_short(tmp_path):
  """Guards CSV files: a field over the module's 131,072 characters, a row that lacks one or has one too many."""
  path = tmp_path / "a.csv"
  path.write_text(f"a,b\n{'x' * 200_000},y\n")
  [(where, row)] = files.read_rows(path, ["a"], "mend it")
  assert len(row["a"]) == 200_000 and where.endswith("a.csv, line 2")
  for text in ("a,b\nx\n", "a,b\nx,y,z\n", "b\nx\n", "", 'a,b\n"x,y\n'):
    path.write_text(text)
    with pytest.raises(DamagedFile, match="mend it"):
      files.read_rows(path, ["a"], "mend it")


@pytest.mark.parametrize(
  "hurt",
  [
    lambda text: text[: len(text) // 2 + 3],
    lambda text: text.replace(b'"label"', b'"lobel"', 1),
    lambda text: text.replace(b'"frames": ', b'"frames": -', 1),
    lambda text: text.replace(b'"first": 0', b'"first": "0"', 1),
    lambda text: text.replace(b'"split": "train"', b'"split": "trial"', 1),
    lambda text: b"[1]\n" + text,
    lambda text: b"\xff" + text,
  ],
)
def test_damaged_tracks_name_the_line(toy_dataset, tmp_path, hurt):
  """Guards tracks.jsonl."""
  for name in (schema.DATASET_FILE, schema.TRACKS_FILE):
    (tmp_path / name).write_bytes((toy_dataset / name).read_bytes())
  path = tmp_path / schema.TRACKS_FILE
  path.write_bytes(hurt(path.read_bytes()))
  with pytest.raises(DamagedFile, match=r"tracks\.jsonl, line \d+ cannot be read"):
    schema.read_tracks(tmp_path)


def test_tracks_are_held_to_their_checksum(toy_dataset, tmp_path):
  """Guards against a changed manipulation or identity, which no record could tell."""
  content = (toy_dataset / schema.TRACKS_FILE).read_bytes()
  (tmp_path / schema.TRACKS_FILE).write_bytes(content.replace(b'"DF"', b'"FS"', 1))
  meta = {"schema_version": schema.SCHEMA_VERSION, "files": {schema.TRACKS_FILE: "0" * 64}}
  (tmp_path / schema.DATASET_FILE).write_text(json.dumps(meta))
  with pytest.raises(DamagedFile, match=r"its checksum differs from that in dataset\.json"):
    schema.read_tracks(tmp_path)
