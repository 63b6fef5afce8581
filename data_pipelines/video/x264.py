"""How this project encodes H.264: the same frames give the same bytes, on any machine of one architecture.

x264's macroblock tree reads memory that it has not written, and computes with approximate reciprocals that differ
between processors; with several threads the bytes depend on their number. Both are off. Without the tree, a video of
the same rate factor has about 0.3 to 0.9 dB more and, the more the stiller it is, more bits: the strength of a factor
lower by one to two.
"""

# For `add_stream("libx264", options=…)`.
SAME_BYTES = {"x264-params": "mbtree=0", "threads": "1"}
