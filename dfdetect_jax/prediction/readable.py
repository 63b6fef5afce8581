"""A verdict in words, for a terminal."""

from dfdetect_jax.prediction.verdict import VideoVerdict, shown

_MOST_CLIPS = 32


def readable(verdict: VideoVerdict, clips: bool = True) -> str:
  """A summary of one video for a person; `clips`: a line for each clip."""
  if verdict.status != "ok":
    return f"{shown(verdict.path)}: cannot be judged: {verdict.reason}"
  band = f"threshold {verdict.threshold:.3f}"
  if verdict.lower < verdict.upper:
    band += f", undecided from {verdict.lower:.3f} to {verdict.upper:.3f}"
  calibrated = "" if verdict.probability is None else f"; calibrated probability of a forgery {verdict.probability:.3f}"
  lines = [f"{shown(verdict.path)}: {verdict.verdict.upper()}, score {verdict.score:.3f} ({band}){calibrated}"]
  for track in verdict.tracks:
    share = "" if track.weight == 1 else f", weight {track.weight:.2f}" if track.weight else ", does not decide: short"
    lines.append(
      f"  face {track.track}, {track.start_second:.2f} s to {track.end_second:.2f} s ({track.frames} frames{share}): "
      f"{track.score:.3f}"
    )
    for clip in track.clips[: _MOST_CLIPS if clips else 0]:
      bar = "#" * round(20 * clip.score)
      mark = "" if clip.counts else "  (shown only)"
      lines.append(f"    {clip.start_second:7.2f} s to {clip.end_second:7.2f} s  {clip.score:.3f}  |{bar:20}|{mark}")
    if clips and len(track.clips) > _MOST_CLIPS:
      lines.append(f"    … {len(track.clips) - _MOST_CLIPS} more clips (--json, --csv and --report have them all)")
  if len(verdict.tracks) > 1:
    lines.append(f"  rule: {verdict.rule}")
  lines += [f"  no score from {g.start_second:.2f} s to {g.end_second:.2f} s: {g.reason}" for g in verdict.not_scored]
  return "\n".join([*lines, *(f"  note: {note}" for note in verdict.notes)])
