"""The same frames give the same bytes, whatever lies in the memory that an encoder gets."""

import os
import subprocess
import sys

import numpy as np

ENCODE = """
import hashlib, pathlib, sys
import numpy as np
from data_pipelines.synthetic.video_writer import VideoWriter
from data_pipelines.video import distortions
frames = np.load(sys.argv[1])
print(hashlib.sha256(distortions.h264(iter(frames), 30, 25)[2]).hexdigest())
for crf in (23, 40):
  writer = VideoWriter(pathlib.Path(sys.argv[2]), crf, *frames.shape[1:3])
  for frame in frames:
    writer.write(frame)
  writer.finish()
  print(hashlib.sha256(pathlib.Path(sys.argv[2]).read_bytes()).hexdigest())
"""


def test_bytes_do_not_depend_on_what_memory_held_before(tmp_path):
  """Guards the generated set and `perturb`: several encoders at once, each given memory of another content.

  glibc fills memory by MALLOC_PERTURB_ before a program gets it, which stands for whatever a long run has left there;
  x264's macroblock tree, left on, gives other bytes each time.
  """
  rng = np.random.default_rng(0)
  y, x = np.mgrid[:256, :320]
  waves = (128 + 80 * np.sin((x + 2 * n) / 23) * np.cos(y / 17) for n in range(24))
  frames = np.stack([wave[..., None] + rng.integers(-2, 3, (256, 320, 3)) for wave in waves])
  np.save(tmp_path / "frames.npy", frames.astype(np.uint8))
  runs = [
    subprocess.Popen(
      [sys.executable, "-c", ENCODE, tmp_path / "frames.npy", tmp_path / f"{value}.mp4"],
      env=os.environ | {"MALLOC_PERTURB_": str(value)},
      stdout=subprocess.PIPE,
    )
    for value in (0, 85, 170)
  ]
  told = [run.communicate()[0].split() for run in runs]
  assert all(run.returncode == 0 for run in runs) and len(told[0]) == 3
  assert told[1] == told[0] and told[2] == told[0]
