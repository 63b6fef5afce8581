"""Lists the run cards: `python -m dfdetect_jax.show_configs [NAME[:VARIANT]]`.

Without a name, every file of configs/ with its title and variants; with one, the resolved config of that setting, a
field a line, as `--config.FIELD=VALUE` would set it (`dfdetect_jax.train … --print-config` prints the same, with what
the command changes).
"""

import argparse

from dfdetect_jax.errors import exit_on_user_error
from dfdetect_jax.runs.config_files import config_module, find_config, load_config, shipped
from dfdetect_jax.runs.fields import field_lines


def main(argv: list[str] | None = None) -> None:
  """Parses arguments and prints; see the module's docstring."""
  parser = argparse.ArgumentParser(
    "python -m dfdetect_jax.show_configs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("name", nargs="?", help="dip, dip:small, or a file of your own")
  args = parser.parse_args(argv)
  with exit_on_user_error("configs"):
    print(field_lines(load_config(args.name)) if args.name else overview())


def overview() -> str:
  """Every shipped file: its title, and its variants by name."""
  lines = []
  for name in shipped():
    module = config_module(find_config(name)[0])
    lines += [f"{name}: {(module.__doc__ or '').splitlines()[0]}", f"  variants: {', '.join(module.VARIANTS)}"]
  return "\n".join(lines)


if __name__ == "__main__":
  main()
