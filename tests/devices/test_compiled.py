"""Where compiled programs are kept, and when they are not."""

import os
import pathlib
import subprocess
import sys

import jax
import pytest

from dfdetect_jax.devices import compiled

SETTINGS = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")


@pytest.fixture
def nothing_set():
  """jax without a compilation cache, as a user's process starts; the tests' own comes back."""
  before = {name: jax.config.values[name] for name in SETTINGS}
  jax.config.update("jax_compilation_cache_dir", None)
  yield
  for name, value in before.items():
    jax.config.update(name, value)


@pytest.mark.parametrize(("given", "below"), [("{}/xdg", "{}/xdg"), ("", "{}/home/.cache"), ("here", "{}/home/.cache")])
def test_folder_is_the_users(nothing_set, tmp_path, monkeypatch, given, below):
  """Guards XDG's standard: an absolute XDG_CACHE_HOME, else ~/.cache, also where the variable is a relative path."""
  monkeypatch.setenv("XDG_CACHE_HOME", given.format(tmp_path))
  monkeypatch.setenv("HOME", str(tmp_path / "home"))
  compiled.keep_compiled()
  folder = pathlib.Path(jax.config.jax_compilation_cache_dir)
  assert folder.is_dir() and folder.parent == pathlib.Path(below.format(tmp_path)) / "dfdetect_jax" / "xla"
  assert jax.config.jax_persistent_cache_min_compile_time_secs < 0.2  # MTCNN's networks take 0.2 to 0.5 s each


def test_kinds_of_cpu_have_folders_of_their_own(tmp_path, monkeypatch):
  """Guards a home that several machines share against programs with instructions that one of them lacks."""
  folders = set()
  for flags in ("flags : fpu sse2", "flags : fpu sse2 avx512f", "flags : sse2 fpu"):
    monkeypatch.setattr(pathlib.Path, "read_text", lambda _, flags=flags: f"processor : 0\n{flags}\n")
    folders.add(compiled.cache_folder().name)
  assert len(folders) == 2  # in another order they are the same


@pytest.mark.parametrize("own", ["", "/somewhere"])
def test_what_is_set_stays(nothing_set, tmp_path, monkeypatch, own):
  """Guards the user's own choice of a folder, and "" for none."""
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  jax.config.update("jax_compilation_cache_dir", own)
  compiled.keep_compiled()
  assert jax.config.jax_compilation_cache_dir == own
  assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_told(nothing_set, tmp_path, monkeypatch, caplog):
  """Guards programs whose user has no home that can be written: they run, and say that nothing is kept."""
  (tmp_path / "file").write_text("")
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
  compiled.keep_compiled()
  assert jax.config.jax_compilation_cache_dir is None
  assert "compiled programs are not kept" in caplog.text


@pytest.mark.slow
def test_a_program_is_found_again(tmp_path):
  """Guards that jax really keeps programs there, and takes them from there."""
  code = (
    "import jax, logging; from dfdetect_jax.devices.compiled import keep_compiled; keep_compiled();"
    "jax.config.update('jax_persistent_cache_min_compile_time_secs', 0); jax.config.update('jax_log_compiles', True);"
    " print(jax.jit(lambda x: x * 3)(2))"
  )
  env = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
  env |= {"XDG_CACHE_HOME": str(tmp_path)}
  for hit in (False, True):
    done = subprocess.run(
      [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True,
      cwd=pathlib.Path(__file__).parents[2],
    )  # fmt: skip
    assert done.stdout == "6\n"
    assert ("Persistent compilation cache hit" in done.stderr) is hit
  assert [path for path in tmp_path.rglob("*") if path.is_file()]
