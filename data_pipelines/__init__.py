"""Videos to face-track shards."""

import sys

from dfdetect_jax import signals

if sys.argv[:1] == ["-m"]:  # `python -m` imports the package of a program first, and then what the program needs
  signals.until_main()
