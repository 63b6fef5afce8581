"""Where faces come from: one file per detector behind one protocol (`detector.py`)."""
