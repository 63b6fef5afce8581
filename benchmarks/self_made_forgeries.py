"""Self-made forgeries to look at, and what they cost.

  python benchmarks/self_made_forgeries.py --data=shards/mine --sheet=forgeries.png [--size=112] [--split=train]

A row of the sheet is one clip: its first frame with the landmarks, four frames of its forgery, the mask in two of them,
what differs from the real clip (four times as large, around grey), and first frames of real and forged clip as a
detector is trained on them, post-processed. The cost is CPU or device time of a whole batch, forging and
post-processing, by frame.
"""

import argparse
import time

import cv2
import jax
import numpy as np

from dfdetect_jax.augment.forged_batch import LANDMARKS_OF, forged_batch, forgeries
from dfdetect_jax.augment.self_blending import SelfBlending
from dfdetect_jax.data.forgeries import Forgeries
from dfdetect_jax.data.frames import FrameReader
from dfdetect_jax.errors import UserError, exit_on_user_error
from dfdetect_jax.schema import read_tracks

FRAMES, ROWS = 16, 8


def main() -> None:
  """Draws the sheet and prints the cost."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--data", required=True, help="dataset folder with landmarks")
  parser.add_argument("--sheet", default="forgeries.png", help="picture to write (default: forgeries.png)")
  parser.add_argument("--split", default="train")
  parser.add_argument("--size", type=int, default=112, help="side of the clips in pixels (default: 112)")
  parser.add_argument("--seed", type=int, default=0)
  args = parser.parse_args()
  with exit_on_user_error("self_made_forgeries"):
    options, rng = SelfBlending(), np.random.default_rng(args.seed)
    tracks = [t for t in read_tracks(args.data, args.split) if Forgeries("self_made").can_be_made_of(t)]
    tracks = [t for t in tracks if t.frames >= FRAMES]
    if not tracks:
      raise UserError(f"{args.data} has no real track of {FRAMES} frames with landmarks in split '{args.split}'.")
    chosen = [tracks[i] for i in rng.permutation(len(tracks))[:ROWS]]
    reader = FrameReader(args.data, args.split, args.size)
    first = [t.first + int(rng.integers(t.frames - FRAMES + 1)) for t in chosen]
    clips = np.stack([reader.read(k, FRAMES, t) for t, k in zip(chosen, first)])
    points = np.stack([reader.read_landmarks(k, FRAMES, 5) for k in first])
    key = jax.random.key(args.seed)
    forge = jax.jit(lambda k, c, p: forgeries(k, c, p, options))
    made = forge(jax.random.split(key, len(clips)), clips, points)
    batch = {"clip": clips, LANDMARKS_OF + "clip": points}
    train = jax.jit(lambda k, b: forged_batch(k, b, options)["clip"])
    seen = np.asarray(train(key, batch))
    start, clock = time.process_time(), time.monotonic()
    for i in range(3):
      jax.block_until_ready(train(jax.random.key(i), batch))
    count = 3 * len(clips) * FRAMES
    cpu, wall = (1e3 * (now - then) / count for now, then in ((time.process_time(), start), (time.monotonic(), clock)))
    real, forged, mask = (np.asarray(a) for a in made)
    rows = [row(clips[i], points[i], real[i], forged[i], mask[i], seen[2 * i : 2 * i + 2]) for i in range(len(clips))]
    cv2.imwrite(args.sheet, cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR))
    print(f"{args.sheet}: {len(rows)} clips; {cpu:.2f} ms of CPU ({wall:.2f} ms) a frame of {args.size} px")


def row(clip, points, real, forged, mask, seen) -> np.ndarray:
  """One clip's pictures side by side, uint8 `[H, 11 W, 3]`."""
  marked = clip[0].copy()
  for x, y in points[0] * marked.shape[0]:
    cv2.circle(marked, (int(x), int(y)), 1, (0, 255, 0), -1)
  grey = [np.repeat(255 * mask[t][..., None], 3, axis=2) for t in (0, 10)]
  change = [np.clip(128 + 4 * (forged[t] - real[t]), 0, 255) for t in (0, 10)]
  pictures = [marked, *(forged[t] for t in (0, 5, 10, 15)), *grey, *change, *(s[0] for s in seen)]
  return np.concatenate([p.astype(np.uint8) for p in pictures], axis=1)


if __name__ == "__main__":
  main()
