"""Makes a checkpoint of a weight file from elsewhere.

  python -m dfdetect_jax.interop.convert --method=ftcn --from=ftcn_tt.pth --to=weights/ftcn
  python -m dfdetect_jax.interop.convert --method=dip --from=vit_base_augreg.npz --to=weights/vit_b16
  python -m dfdetect_jax.interop.convert --method=dip --variant=s --from=vit_small.npz --to=weights/vit_s16

Training starts from it with --config.init=DIR, dfdetect_jax.interop.load(DIR) returns its model and variables, and
dfdetect_jax.evaluate takes it for a workdir. One folder serves all variants of its size: any ratio of spatial to
temporal blocks, any number of branches. Files: .safetensors, .npz, .pth (needs PyTorch 2.6 or later). What became of
each weight is printed, and kept in DIR/conversion.json with the checksum of the file and of each array.

ViTs expect one of two normalisations of their input, which is folded into the patch embedding: half, (x/255 - 0.5)/0.5,
of augreg's and timm's own; imagenet of DeiT, DINO and MAE. It is taken from timm's config.json beside the file, from
the file's name and kind, and printed; --normalisation says otherwise.

FTCN's published weights expect the crop of their authors: build shards for them with --align=ftcn.
"""

import argparse
import pathlib
from typing import TYPE_CHECKING

import ml_collections

from dfdetect_jax.errors import UserError, exit_on_user_error
from dfdetect_jax.files import file_sha256
from dfdetect_jax.interop import files
from dfdetect_jax.interop.export import TRAINED
from dfdetect_jax.runs.config_files import load_config, shipped
from dfdetect_jax.runs.trained_videos import parse_trained_videos

if TYPE_CHECKING:
  from dfdetect_jax.interop import transfer


def convert(
  config: ml_collections.ConfigDict,
  source: str | pathlib.Path,
  target: str | pathlib.Path,
  partial: bool = False,
  normalisation: str | None = None,
) -> "transfer.Report":
  """Converts a weight file.

  Args:
    config: of the method that the weights are for.
    source: the file.
    target: a new folder.
    partial: take what fits; otherwise a key that is missing, left over or of another shape is an error.
    normalisation: of the input that the weights expect, a name in `interop.normalisation.CONVENTIONS`; None: what the
      file or its kind says.

  Returns:
    What became of each weight.

  Raises:
    UserError: the file cannot be read, is for something else, or does not fit.
  """
  import jax  # which takes a while, as all of these do: not for --help

  from dfdetect_jax import methods
  from dfdetect_jax.interop import checkpoint, names, transfer
  from dfdetect_jax.interop import normalisation as normalising
  from dfdetect_jax.interop.start import fill_at_random

  arrays, about = files.read(source), files.about(source)
  method = methods.build(config)
  shapes = jax.eval_shape(method.init, jax.random.key(0))
  flat = names.shadows(names.flatten(shapes))
  try:
    table = transfer.choose(arrays, methods.weight_tables(config), flat)
  except UserError as error:
    raise UserError(f"{source} is not for {config.method}: {error}") from error
  source = pathlib.Path(source)
  convention, known_by = normalising.convention(source, arrays, about, table, normalisation)
  arrays = normalising.fold(table.prepare(arrays) if table.prepare else arrays, table, convention)
  flat, report = transfer.transfer(arrays, table, flat)
  if (problems := report.problems()) and not partial:
    raise UserError(
      f"{source} ({table.name}) does not fit {config.method} in {len(problems)} places: {report.misfit()}. --variant "
      "chooses another size; --partial takes what fits and records the rest."
    )
  variables = fill_at_random(method, shapes, flat, report, jax.random.key(config.seed))
  report.normalisation = f"{convention} ({known_by})"
  seen = parse_trained_videos(about[TRAINED], str(source)) if TRAINED in about else None
  note = table.note
  if seen is None and any(key.startswith("params/") for key in arrays):
    note = f"{source} comes from a run of ours and does not say which videos that has seen: leaks cannot be looked for."
  origin = checkpoint.Source(
    str(source), file_sha256(source), convention, known_by, bool(problems), seen is not None, note
  )
  checkpoint.save(target, config, method, variables, report, origin, arrays, seen or ())
  return report


def main(argv: list[str] | None = None) -> None:
  """Parses arguments and converts; see the module's docstring."""
  parser = argparse.ArgumentParser(
    "python -m dfdetect_jax.interop.convert", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  method = f"config of the detector: {', '.join(shipped())}, or a file of your own"
  parser.add_argument("--method", required=True, help=method)
  parser.add_argument("--variant", default="", help="variant of that config (default: the paper's setting)")
  parser.add_argument("--from", required=True, dest="source", help="weight file")
  parser.add_argument("--to", required=True, dest="target", help="new folder")
  parser.add_argument("--partial", action="store_true", help="take what fits, and only report what does not")
  parser.add_argument(
    "--normalisation", metavar="NAME", help="what the weights expect: half, imagenet or clip (default: as said above)"
  )
  args = parser.parse_args(argv)
  with exit_on_user_error("convert"):
    config = load_config(f"{args.method}:{args.variant}")
    print(convert(config, args.source, args.target, args.partial, args.normalisation))
    print(f"Written to {args.target}: start from it with --config.init={args.target}")


if __name__ == "__main__":
  main()
