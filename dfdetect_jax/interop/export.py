"""Writes the weights of a run, or converted ones, as safetensors, or as a folder for a model hub.

  python -m dfdetect_jax.interop.export --from=runs/dil --to=dil.safetensors
  python -m dfdetect_jax.interop.export --from=runs/dil --to=dil_model --licence=apache-2.0 [--stablehlo]

The folder holds weights, config, what prediction needs and a model card (dfdetect_jax.interop.hub); dfdetect_jax.load
reads it, and so do evaluate and predict as --workdir. The rest is about the single file.

Names and layouts are PyTorch's where the method has a key table of its own (FTCN's, torchvision's, timm's), so that the
file opens there; all else is under our names, `params/…`. dfdetect_jax.interop.convert reads the file back exactly.
The header says which videos the weights have seen, so that no later run is judged by them.
"""

import argparse
import pathlib

import numpy as np

from dfdetect_jax.errors import exit_on_user_error
from dfdetect_jax.interop import files
from dfdetect_jax.runs.trained_videos import format_trained_videos

TRAINED = "train_videos"  # in the file's header


def export(
  source: str | pathlib.Path, target: str | pathlib.Path, step: str = "best", weights: str | None = None
) -> dict[str, np.ndarray]:
  """Exports the weights of a run.

  Args:
    source: folder of a run, or of converted weights.
    target: `.safetensors` file.
    step: "best", "latest" or the number of a kept step.
    weights: "teacher" or "student"; None: what the method's config says.

  Returns:
    The arrays that were written, by key.

  Raises:
    UserError: there is no such checkpoint, or the file cannot be written.
  """
  import jax  # which takes a while, as all of these do: not for --help

  from dfdetect_jax import methods
  from dfdetect_jax.interop import names
  from dfdetect_jax.interop.checkpoint import read_conversion
  from dfdetect_jax.interop.start import inherited_videos
  from dfdetect_jax.runs.restore import restore_run

  run = restore_run(str(source), step, weights)
  table = next((t for t in methods.weight_tables(run.config) if t.export), None)
  arrays = {}
  for name, value in names.flatten(jax.device_get(run.variables)).items():
    place = table.place(name.partition("/")[2]) if table else None
    arrays[place.key if place else name] = place.to_file(value) if place else value
  about = {"method": run.config.method, "keys": table.name if table else "own names", "step": str(run.step)}
  # What our first layer sees, whatever the weights once came from.
  about["normalisation"] = table.normalisation if table else "imagenet"
  seen, unknown = inherited_videos(source)
  if not unknown and (seen or read_conversion(source) is None):
    about[TRAINED] = format_trained_videos(seen)
  files.write(target, arrays, about)
  return arrays


def main(argv: list[str] | None = None) -> None:
  """Parses arguments and exports; see the module's docstring."""
  parser = argparse.ArgumentParser(
    "python -m dfdetect_jax.interop.export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--from", required=True, dest="source", help="folder of a run, or of converted weights")
  parser.add_argument("--to", required=True, dest="target", help=".safetensors file, or a new folder")
  parser.add_argument("--step", default="best", help="best (by validation; default), latest, or a kept step")
  parser.add_argument("--weights", choices=("teacher", "student"), help="default: what the config says")
  parser.add_argument("--licence", default="", help="of the weights, for a folder's card")
  parser.add_argument("--stablehlo", action="store_true", help="a folder gets clips → logits as a program, too")
  args = parser.parse_args(argv)
  with exit_on_user_error("export"):
    if pathlib.Path(args.target).suffix not in files.SAFETENSORS:
      from dfdetect_jax.interop.hub import export_folder

      export_folder(args.source, args.target, args.step, args.weights, args.licence, args.stablehlo)
      print(f"Written to {args.target}; its README.md is the model card: read it before you share the folder.")
      return
    arrays = export(args.source, args.target, args.step, args.weights)
    print(f"{len(arrays)} arrays, {sum(a.size for a in arrays.values()):,} numbers, in {args.target}.")


if __name__ == "__main__":
  main()
