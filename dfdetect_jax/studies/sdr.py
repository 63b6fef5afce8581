"""The tables of the paper on sdr."""

from dfdetect_jax.studies.study import Study

STUDIES: tuple[Study, ...] = ()
