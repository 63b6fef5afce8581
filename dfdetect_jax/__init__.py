"""Video deepfake detection in JAX: ST-ILIF, SDR on FTCN, DIP and DIL."""

__version__ = "0.1.0"
