"""Lists the run cards: `python -m dfdetect_jax.show_configs [NAME[:VARIANT]]`.

Without a name, every file of configs/ with its title and variants; with one, the resolved config of that setting, a
field a line, as `--config.FIELD=VALUE` would set it.
"""

import argparse

from dfdetect_jax.errors import exit_on_user_error
from dfdetect_jax.runs.config_files import config_module, find_config, load_config, shipped


def main(argv: list[str] | None = None) -> None:
  """Parses arguments and prints; see the module's docstring."""
  parser = argparse.ArgumentParser(
    "python -m dfdetect_jax.show_configs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("name", nargs="?", help="dip, dip:small, or a file of your own")
  args = parser.parse_args(argv)
  with exit_on_user_error("configs"):
    print(resolved(args.name) if args.name else overview())


def overview() -> str:
  """Every shipped file: its title, and its variants by name."""
  lines = []
  for name in shipped():
    module = config_module(find_config(name)[0])
    lines += [f"{name}: {(module.__doc__ or '').splitlines()[0]}", f"  variants: {', '.join(module.VARIANTS)}"]
  return "\n".join(lines)


def resolved(name: str) -> str:
  """The fields of a setting, by dotted name."""

  def walk(tree, prefix):
    for key, value in tree.items():
      if isinstance(value, dict):
        yield from walk(value, f"{prefix}{key}.")
      else:
        yield f"{prefix}{key} = {value!r}"

  return "\n".join(walk(load_config(name).to_dict(), ""))


if __name__ == "__main__":
  main()
