"""The tables of the paper on dil."""

from dfdetect_jax.studies.study import Study

STUDIES: tuple[Study, ...] = ()
