"""Programs that are told to stop, or whose parent is killed: one sentence, a stated status, nothing left behind."""

import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from dfdetect_jax import signals

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENDS = {signal.SIGINT: 130, signal.SIGTERM: 75}


def start(code, *arguments, **options):
  """A Python program in a group of its own, its output and errors together."""
  return subprocess.Popen(
    [sys.executable, "-c", textwrap.dedent(code), *arguments], cwd=ROOT, stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT, text=True, start_new_session=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, **options,
  )  # fmt: skip


def wait_for(job, word):
  """Reads the output up to a line with a word in it."""
  lines = []
  while word not in (lines[-1] if lines else ""):
    line = job.stdout.readline()
    assert line, "".join(lines)
    lines.append(line)


PROGRAM = """
  import sys, threading, time
  from dfdetect_jax.errors import exit_on_user_error

  with exit_on_user_error("a program"):
    try:
      print("begun", flush=True)
      BODY
    finally:
      print("let go", flush=True)
"""


@pytest.mark.parametrize("number", ENDS)
def test_a_program_ends_in_one_sentence(number):
  """Guards every entry point: the status that is stated, no traceback, and what it holds is let go."""
  job = start(PROGRAM.replace("BODY", "time.sleep(60)"))
  wait_for(job, "begun")
  job.send_signal(number)
  output = job.communicate(timeout=30)[0]
  assert job.returncode == ENDS[number], output
  assert "a program: " in output and "the same command goes on." in output and "let go" in output
  assert "Traceback" not in output


@pytest.mark.parametrize(
  "body",
  [
    "while True:\n        try: print('inside', flush=True); time.sleep(60)\n"
    "        except BaseException: print('hangs', flush=True)"
  ],
)
def test_a_second_interrupt_ends_at_once(body):
  """Guards the way out of a program that does not stop when asked, whatever its main thread does."""
  job = start(PROGRAM.replace("BODY", body))
  wait_for(job, "inside")
  job.send_signal(signal.SIGINT)
  wait_for(job, "hangs")
  began = time.monotonic()
  job.send_signal(signal.SIGINT)
  output = job.communicate(timeout=30)[0]
  assert job.returncode == 130 and "ended at once" in output and time.monotonic() - began < 5


@pytest.mark.parametrize("number", ENDS)
def test_a_program_that_still_imports_ends_in_one_sentence(number, tmp_path):
  """Guards the seconds of importing, in which Python would print a traceback or, for SIGTERM, leave with -15."""
  (tmp_path / "ml_collections.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
  path = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
  job = subprocess.Popen(
    [sys.executable, "-m", "dfdetect_jax.train"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    text=True, env=os.environ | path, cwd=tmp_path,
  )  # fmt: skip
  wait_for(job, "importing")
  job.send_signal(number)
  output = job.communicate(timeout=30)[0]
  assert job.returncode == ENDS[number] and output.startswith("dfdetect_jax.train: "), output
  assert "before it began" in output and "Traceback" not in output


def test_the_first_worker_does_not_hear_of_ctrl_c_either(tmp_path):
  """Guards the moment in which workers import: the first one brings Python's resource tracker, whose start lets the
  signal through to the thread that starts it."""
  (tmp_path / "program.py").write_text(
    textwrap.dedent("""
    import multiprocessing, signal
    from dfdetect_jax import signals

    def worker():
      print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []), flush=True)

    if __name__ == "__main__":
      context = multiprocessing.get_context("spawn")
      with signals.without_interrupts():
        lock = context.Lock()  # of the tracker's resources
        process = context.Process(target=worker)
        process.start()
        process.join()
  """)
  )
  output = subprocess.check_output(
    [sys.executable, tmp_path / "program.py"], text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
  )
  assert output == "True\n"


def test_a_worker_ends_with_its_parent():
  """Guards against data workers that live on after a kill -9: two generations, the first is killed."""
  job = start("""
    import os, subprocess, sys, time
    code = "import os, sys, time; from dfdetect_jax import signals; signals.watch_parent(int(sys.argv[1]));"
    code += "print('watching', os.getpid(), flush=True); time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", code, str(os.getpid())])
    time.sleep(600)
  """)
  worker = int(job.stdout.readline().split()[1])
  job.kill()
  job.wait()
  deadline = time.monotonic() + 20
  while os.path.exists(f"/proc/{worker}") and time.monotonic() < deadline:
    time.sleep(0.1)
  assert not os.path.exists(f"/proc/{worker}")
  job.stdout.close()


def test_shared_memory_of_the_dead_is_swept(monkeypatch, tmp_path):
  """Guards /dev/shm: what was written for a reader that is gone goes, what a living one may still read stays."""
  monkeypatch.setattr(signals, "_SHARED", str(tmp_path / "dfd"))
  dead = subprocess.Popen([sys.executable, "-c", ""])
  dead.wait()
  names = {pid: tmp_path / f"{signals._prefix(pid)[1:]}ab12" for pid in (dead.pid, os.getpid())}
  for path in [*names.values(), tmp_path / "psm_1234", tmp_path / "dfd-x_1"]:
    path.touch()
  assert signals.sweep_shared_memory() == 1
  assert {path.name for path in tmp_path.iterdir()} == {names[os.getpid()].name, "psm_1234", "dfd-x_1"}


@pytest.mark.slow  # starts the program and its worker processes
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_training_with_workers_leaves_nothing_behind(toy_run, tmp_path, number):
  """Guards the end of a run with data workers: saved where it can be, no process and no shared memory stays, no
  warning of leaks is printed.
  """
  flags = ("--config.total_steps=1000000", "--config.eval_every=0", "--config.workers=1")
  job = toy_run(tmp_path, *flags)
  path = tmp_path / "metrics.jsonl"
  deadline = time.monotonic() + 200
  while not (path.exists() and path.stat().st_size):
    assert job.poll() is None and time.monotonic() < deadline, job.communicate()[0]
    time.sleep(0.1)
  job.send_signal(number)
  output = job.communicate(timeout=120)[0]
  assert job.returncode == ENDS.get(number, -number), output
  assert "Traceback" not in output and (number not in ENDS or "resource_tracker" not in output), output
  assert number not in ENDS or "told to stop: saved step" in output
  deadline = time.monotonic() + 30
  prefix = f"/dev/shm{signals._prefix(job.pid)}"
  left = lambda: subprocess.run(["pgrep", "-g", str(job.pid)], capture_output=True, text=True).stdout.split()  # noqa: E731
  while left() and time.monotonic() < deadline:
    time.sleep(0.2)
  assert not left()
  if number in ENDS:
    assert not [name for name in os.listdir("/dev/shm") if f"/dev/shm/{name}".startswith(prefix)]
