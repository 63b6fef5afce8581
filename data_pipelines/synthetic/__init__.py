"""The dataset that ships: rendered talking heads and four frame-by-frame forgeries, in FaceForensics++'s layout.

Reading order: `identity` (who), `head` and `face` (what is seen of them), `motion` (what they do and how they are
filmed), `variation` and `forgeries` (what is forged, and why a single frame does not tell), `scene`, `rendering`
(frames), `dataset` (files and splits). It is a test bed and a demo; no number measured on it is a claim about real
deepfakes.
"""
