"""Starting jobs of one or many machines."""

import sys

from dfdetect_jax import signals

if sys.argv[:1] == ["-m"]:  # as in data_pipelines
  signals.until_main()
