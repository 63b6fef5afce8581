"""What tests of video files share."""

import pathlib

import av


def index_in_front(source: pathlib.Path, target: pathlib.Path) -> None:
  """Copies an MP4's packets into one whose index comes first, so that a part of it still opens."""
  with av.open(str(source)) as found, av.open(str(target), "w", options={"movflags": "faststart"}) as output:
    stream = output.add_stream_from_template(found.streams.video[0])
    for packet in found.demux(video=0):
      if packet.size:
        packet.stream = stream
        output.mux(packet)
