"""Heat on the frames of a verdict page: the clip's middle frame, in its place on the video."""

import types

import numpy as np

from dfdetect_jax.figures import heat
from dfdetect_jax.figures.explain import Explanation
from dfdetect_jax.methods.method import ClipSpec


def test_heat_lies_where_the_model_looked(monkeypatch):
  """Guards the road from a map to the page: of two maps over time that of the middle frame, in the video's pixels."""
  maps = np.zeros((1, 2, 4, 4), np.float32)
  maps[0, 0, 0, 0], maps[0, 1, 3, 0] = 1, 1  # first half: above left; second half (the middle frame's): below left
  monkeypatch.setattr(
    heat, "make_explainer", lambda method: lambda variables, clips: Explanation(None, {"grad_cam": maps}, {})
  )
  method = types.SimpleNamespace(clip_spec=ClipSpec(frames=4, size=16))
  setup = types.SimpleNamespace(run=types.SimpleNamespace(method=method, variables={}))
  picture, clip = np.full((60, 100, 3), 90, np.uint8), np.zeros((4, 16, 16, 3), np.uint8)
  crop_at = np.array([[2.0, 0, 50], [0, 2.0, 20]])  # a crop of 16 px becomes 32 px of the video from (50, 20) on
  drawn = heat.HeatMaps(setup)(picture, clip, crop_at, 16).astype(int)
  changed = np.abs(drawn - 90).sum(axis=-1)
  y, x = np.unravel_index(np.argmax(changed), changed.shape)
  assert 50 <= x < 58 and 44 <= y < 52
  assert not changed[:20].any() and not changed[:, :49].any() and not changed[20:36, 50:82].any()
