"""The annotated video: frames at their times, sound kept, boxes where the faces are."""

import av
import numpy as np
import pytest

from dfdetect_jax.evaluation.calibration import Decision
from dfdetect_jax.prediction.clips import Dense
from dfdetect_jax.prediction.evidence import Evidence
from dfdetect_jax.prediction.judge import judge
from dfdetect_jax.prediction.overlay import score_at, write_overlay
from dfdetect_jax.prediction.verdict import ClipScore, TrackScore, VideoVerdict


def contents(path):
  with av.open(str(path)) as container:
    pictures = [(float(f.time), f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    seconds = container.duration / av.time_base
    audio = sum(p.size for p in container.demux(audio=0)) if container.streams.audio else 0
  with av.open(str(path)) as container:
    samples = sum(f.samples for f in container.decode(audio=0)) if container.streams.audio else 0
  return pictures, seconds, audio, samples


@pytest.mark.parametrize("times", [None, [*range(30), *range(30, 110, 4)]])
def test_frames_keep_their_times_and_sound_is_kept(toy_judge, film, tmp_path, times):
  """Guards length, times and sound, with a constant and a variable frame rate, and that nothing is left beside it."""
  path = film("v.mp4", 50, [(0, 0, 50, 20), (1, 10, 50, 100)], times=times, sound=2.0)
  evidence = Evidence()
  decision = Decision(threshold=0.0, lower=0.0, upper=0.0, temperature=None, origin="")  # a box in a colour of its own
  verdict = judge(toy_judge(dense=Dense(stride=4), decision=decision), path, watcher=evidence)
  folder = tmp_path / "made"
  folder.mkdir()
  write_overlay(verdict, evidence.tracks, folder / "o.mp4")
  assert [p.name for p in folder.iterdir()] == ["o.mp4"]
  before, seconds, bytes_before, samples_before = contents(path)
  after, seconds_after, bytes_after, samples_after = contents(folder / "o.mp4")
  np.testing.assert_allclose([t for t, _ in after], [t for t, _ in before], atol=1e-3)
  assert seconds_after == pytest.approx(seconds, abs=0.05)
  assert (bytes_after, samples_after) == (bytes_before, samples_before) and samples_after > 30_000
  # The box is where the face is: the picture changes on its outline (by the codec less beside it), and nowhere else.
  image, plain = after[25][1].astype(int), before[25][1].astype(int)
  changed = np.abs(image[:96, :160] - plain).max(axis=-1)
  x1, _, x2, _ = (round(v) for v in verdict.tracks[0].clips[0].box)
  columns = changed[40:60].mean(axis=0)
  outline = [columns[x - 1 : x + 2].max() for x in (x1, x2)]
  assert min(outline) > 30 and min(outline) > 3 * max(columns[x1 + 5 : x2 - 4].max(), columns[x2 + 5 : 94].max())


@pytest.mark.parametrize(
  ("codec", "rate", "starts"), [("pcm_s16le", 44_100, 0.0), ("mp2", 48_000, 0.6), ("pcm_u8", 6_000, 0.0)]
)
def test_sound_that_mp4_cannot_hold_becomes_aac(film, tmp_path, codec, rate, starts):
  """Guards sound of other containers, without a named layout or with a rate that AAC lacks, and its place in time."""
  silent = film("s.mp4", 50, [(0, 0, 50, 20)])
  with av.open(silent) as source, av.open(str(tmp_path / "v.mkv"), "w") as made:
    picture = made.add_stream_from_template(source.streams.video[0])
    sound = made.add_stream(codec, rate=rate, layout="mono")
    tone = (8000 * np.sin(np.arange(rate) / rate * 2 * np.pi * 440)).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts = rate, round(starts * rate)
    packets = [p for f in (frame, None) for p in sound.encode(f)]
    for packet in source.demux(video=0):
      if packet.size:
        packet.stream = picture
        packets.append(packet)
    for packet in sorted(packets, key=lambda p: p.pts * p.time_base):
      made.mux(packet)
  verdict = VideoVerdict(path=str(tmp_path / "v.mkv"), verdict="real", score=0.2, seconds=2.0, video_frames=50)
  notes = write_overlay(verdict, [], tmp_path / "o.mp4")
  assert notes == [f"sound ({codec}), which MP4 cannot hold, became AAC."]
  with av.open(str(tmp_path / "o.mp4")) as container:
    frames = list(container.decode(audio=0))
  heard = np.concatenate([f.to_ndarray()[0] for f in frames])
  times = np.concatenate([f.time + np.arange(f.samples) / f.sample_rate for f in frames])
  loud = times[np.abs(heard) > 0.1]
  assert (loud[0], loud[-1]) == (pytest.approx(starts, abs=0.05), pytest.approx(starts + 1, abs=0.05))
  rising = times[1:][(heard[:-1] < 0) & (heard[1:] >= 0)]
  periods = np.diff(rising[(rising > starts + 0.2) & (rising < starts + 0.8)])
  assert 1 / periods.mean() == pytest.approx(440, rel=0.01)


def test_the_score_of_a_frame():
  """Guards what a box says: the mean of the clips around a frame, or the frame's own score."""
  clip = lambda a, b, s, frames=(): ClipScore(first_frame=a, last_frame=b, start_second=0, end_second=1, score=s,  # noqa: E731
                                              counts=True, box=(0, 0, 1, 1), frames=frames)  # fmt: skip
  track = lambda *clips: TrackScore(track=1, first_frame=0, frames=20, start_second=0, end_second=1, score=0.5,  # noqa: E731
                                    weight=1, clips=clips)  # fmt: skip
  two = track(clip(0, 7, 0.2), clip(4, 11, 0.6))
  assert [score_at(two, n) for n in (0, 5, 11, 12)] == [0.2, pytest.approx(0.4), 0.6, None]
  single = track(clip(0, 19, 0.5, ((3, 0.1, 0.9), (17, 0.7, 0.1))))
  assert [score_at(single, n) for n in (3, 4, 17)] == [0.9, None, 0.1]
