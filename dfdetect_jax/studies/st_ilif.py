"""The tables of the paper on st_ilif."""

from dfdetect_jax.studies.study import Study

STUDIES: tuple[Study, ...] = ()
