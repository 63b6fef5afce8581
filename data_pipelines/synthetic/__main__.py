"""Makes a deepfake dataset out of nothing: rendered talking heads and four forgeries of them.

  python -m data_pipelines.synthetic --output=synthetic

makes 40 people, real and forged by four manipulations, 64 frames each, in the folders, file names and split files of
FaceForensics++, so that everything that reads FaceForensics++ reads it:

  original_sequences/youtube/{c23,c40}/videos/<target>.mp4
  manipulated_sequences/{Deepfakes,Face2Face,FaceSwap,NeuralTextures}/{c23,c40}/videos/<target>_<source>.mp4
  manipulated_sequences/<manipulation>/masks/videos/<target>_<source>.mp4     white where the frame was forged
  splits/{train,val,test}.json                                                pairs of identities

The same options give the same bytes, whatever the number of workers (with the same versions of NumPy, OpenCV and PyAV).
A run that was stopped goes on when its command is run again; --compressions and --manipulations may be added to later.

It is a test bed and a demo. The forgeries are caricatures that change from frame to frame while single frames look
plausible: no number measured on them says anything about real deepfakes.
"""

import argparse
import sys

from data_pipelines.synthetic.contact_sheet import draw_contact_sheet
from data_pipelines.synthetic.dataset import Settings, make_dataset
from data_pipelines.synthetic.forgeries import MANIPULATIONS
from data_pipelines.synthetic.video_writer import CRF
from dfdetect_jax.errors import UserError, exit_on_user_error

PROGRAM = "python -m data_pipelines.synthetic"


def parse_args(argv: list[str]) -> argparse.Namespace:
  """The options of the command line."""
  default = Settings()
  parser = argparse.ArgumentParser(PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  add = parser.add_argument
  add("--output", required=True, metavar="DIR", help="the dataset's root: new, empty, or to be finished")
  help = "people, an even number from 6 to 1000 (%(default)s); each gives a real video and a fake per manipulation"
  add("--identities", type=int, default=default.identities, metavar="N", help=help)
  help = "frames of a video, at 25 per second (%(default)s)"
  add("--frames", type=int, default=default.frames, metavar="N", help=help)
  help = "height of the frames, which are 5:4 (%(default)s); a head is about six tenths of it"
  add("--size", type=int, default=default.size, metavar="PIXELS", help=help)
  add("--seed", type=int, default=default.seed, metavar="N", help="another seed gives other people (%(default)s)")
  help = f"which of {', '.join(CRF)}: H.264 at that constant rate factor (%(default)s)"
  add("--compressions", default="c23,c40", metavar="LIST", help=help)
  add("--manipulations", default=",".join(MANIPULATIONS), metavar="LIST", help="which forgeries (%(default)s)")
  add("--workers", type=int, default=0, metavar="N", help="processes; 0 for one per core (%(default)s)")
  add("--contact-sheet", default="", metavar="PNG", help="also draw some videos, real above forged, frame by frame")
  return parser.parse_args(argv)


def main(argv: list[str]) -> None:
  """Makes the dataset and says what was made."""
  args = parse_args(argv)
  names = lambda text: [name.strip() for name in text.split(",") if name.strip()]  # noqa: E731
  if args.contact_sheet and not args.contact_sheet.lower().endswith(".png"):
    raise UserError(f"--contact-sheet={args.contact_sheet}: give a file name that ends in .png.")
  settings = Settings(args.identities, args.frames, args.size, args.seed)
  made = make_dataset(args.output, settings, names(args.compressions), names(args.manipulations), args.workers)
  speed = f" ({made.core_seconds / made.written:.2f} s a file on one core)" if made.written else ""
  print(
    f"{args.output}: {made.written} videos and masks written in {made.seconds:.0f} s{speed}, {made.present} were there."
  )
  if args.contact_sheet:
    draw_contact_sheet(args.output, args.contact_sheet, settings)
    print(f"{args.contact_sheet}: drawn.")


if __name__ == "__main__":
  with exit_on_user_error(PROGRAM):
    main(sys.argv[1:])
