"""Makes a checkpoint of a weight file from elsewhere.

  python -m dfdetect_jax.interop.convert --method=ftcn --from=ftcn_tt.pth --to=weights/ftcn
  python -m dfdetect_jax.interop.convert --method=dip --variant=s --from=vit_small.npz --to=weights/dip_s

Training starts from it with --config.init=DIR, dfdetect_jax.interop.load(DIR) returns its model and variables, and
dfdetect_jax.evaluate takes it for a workdir. Files: .safetensors, .npz, .pth (needs PyTorch). What became of each
weight is printed, and kept in DIR/conversion.json.
"""

import argparse
import pathlib

import jax
import ml_collections

from dfdetect_jax import methods
from dfdetect_jax.errors import UserError, exit_on_user_error
from dfdetect_jax.interop import checkpoint, files, names, transfer
from dfdetect_jax.interop.tables import tables
from dfdetect_jax.runs.config_files import load_config


def convert(
  config: ml_collections.ConfigDict, source: str | pathlib.Path, target: str | pathlib.Path, partial: bool = False
) -> transfer.Report:
  """Converts a weight file.

  Args:
    config: of the method that the weights are for.
    source: the file.
    target: a new folder.
    partial: take what fits; otherwise a key that is missing, left over or of another shape is an error.

  Returns:
    What became of each weight.

  Raises:
    UserError: the file cannot be read, is for something else, or does not fit; each key is named.
  """
  arrays = files.read(source)
  method = methods.build(config)
  variables = jax.device_get(jax.jit(method.init)(jax.random.key(config.seed)))
  flat = names.flatten(variables)
  try:
    table = transfer.choose(arrays, tables(config), flat)
  except UserError as error:
    raise UserError(f"{source} is not for {config.method}: {error}") from error
  flat, report = transfer.transfer(arrays, table, flat)
  if (problems := report.problems()) and not partial:
    raise UserError(
      f"{source} ({table.name}) does not fit {config.method} in {len(problems)} places (--partial takes what fits, "
      "--variant chooses another size):\n  " + "\n  ".join(problems)
    )
  checkpoint.save(target, config, method, names.unflatten(flat, variables), report)
  return report


def main(argv: list[str] | None = None) -> None:
  """Parses arguments and converts; see the module's docstring."""
  parser = argparse.ArgumentParser("convert", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--method", required=True, choices=methods.METHODS, help="whose config and key tables to use")
  parser.add_argument("--variant", default="", help="variant of configs/METHOD.py (default: the paper's setting)")
  parser.add_argument("--from", required=True, dest="source", help="weight file")
  parser.add_argument("--to", required=True, dest="target", help="new folder")
  parser.add_argument("--partial", action="store_true", help="take what fits, and only report what does not")
  args = parser.parse_args(argv)
  with exit_on_user_error("convert"):
    config = load_config(f"{args.method}:{args.variant}")
    print(convert(config, args.source, args.target, args.partial))
    print(f"Written to {args.target}: start from it with --config.init={args.target}")


if __name__ == "__main__":
  main()
