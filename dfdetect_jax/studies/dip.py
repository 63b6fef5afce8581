"""The tables of the paper on dip."""

from dfdetect_jax.studies.study import Study

STUDIES: tuple[Study, ...] = ()
