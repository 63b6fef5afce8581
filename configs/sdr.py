"""SDR (ICASSP 2025): four FTCN branches on perturbed views of 32 frames at 224 px, integrated by TRFI.

  python -m dfdetect_jax.interop.convert --method=sdr --from=resnet50.pth --to=weights/sdr    # or ftcn_tt.pth
  python -m dfdetect_jax.train --config=configs/sdr.py --workdir=runs/sdr --data=shards/ffpp_c23 \\
    --config.init=weights/sdr

Paper: Adam, batch 16, FTCN's settings else; hardware unstated. AUC / ACC with one manipulation of FF++ HQ (c23) left
out of training (Table I): DF 99.7 / 97.5, FS 99.7 / 97.9, F2F 99.6 / 98.6, NT 99.4 / 98.7 %. AUC after all of FF++
(Table II): Celeb-DF-v2 88.5 %, DFDC 76.2 %. "The 3D R50 is used as backbone and the weights of attention heads are
randomly initialized": which R50 is unstated; ours is ImageNet's, its 1×1 convolutions inflated. ftcn_tt.pth has seen
FF++ and expects its authors' crop (--align=ftcn).
Our decisions: the learning rate (1e-4, lost in the text), as many epochs as FTCN, one clip of each video in an epoch,
bfloat16 and recomputed activations (four stem maps are 1.5 GiB per clip in float32; batch 16 fits into eight devices of
16 GB, or four of 32), and the values marked so in `dfdetect_jax/methods/sdr`. Not yet reproduced here: nobody may ship
FF++. What was measured is in the README.

Variants (`--config=configs/sdr.py:NAME`): `shared` (one set of weights for all branches), `small` (64 px, minutes on
a CPU), `test` (seconds), and the rows of the paper's tables: `table1_leave_one_out` (trained on three manipulations:
give it the shards without the fourth), `table2` (all four), `table3_*` (what is named is there), `fig2_*` (branches).
`reals`, `small_reals` and `test_reals` learn from real videos alone.
"""

from dfdetect_jax.runs.config import base_config, reals_variants, variant

VARIANTS = {
  "shared": {"model.shared": True},
  # Three manipulations: an epoch is one clip of 720 real and 3 x 720 fake videos.
  "table1_leave_one_out": {"eval_every": 180, "checkpoint_every": 180},
  "table2": {},
  "table3_none": {"model.trfi": False},  # FTCN alone, as TPA goes with TRFI
  "table3_trfi": {"objective.tpa": False, "objective.gamma": 0.0},
  "table3_tpa_trfi": {"objective.gamma": 0.0},
  "table3_all": {},
  **{f"fig2_branches{n}": {"model.branches": n} for n in range(1, 7)},
  # Validates once, at the end: among a handful of validation videos, choosing between steps would be choosing noise.
  "small": {
    "model.size": "small", "clips.frames": 16, "clips.size": 64, "clips.train_clips": 4, "dtype": "float32",
    "remat": "", "total_steps": 150, "eval_every": 0, "checkpoint_every": 50, "log_every": 25,
    "optimizer.learning_rate": 1e-3, "optimizer.warmup_steps": 50, "init": "random",
  },
  "test": {
    "model.size": "test", "clips.frames": 4, "clips.size": 32, "clips.test_clips": 2, "batch_size": 4,
    "dtype": "float32", "remat": "", "total_steps": 20, "eval_every": 10, "checkpoint_every": 10, "log_every": 5,
    "eval_batch_size": 4, "optimizer.learning_rate": 1e-3, "optimizer.warmup_steps": 2, "workers": 0,
    "init": "random",
  },
}  # fmt: skip

VARIANTS |= reals_variants(VARIANTS, batch_size=16)


def get_config(arg: str | None = None):
  """The paper's setting, or the variant that `arg` names."""
  config = base_config()
  config.method = "sdr"
  config.starts_from = "a 3D ResNet-50 (torchvision's ResNet-50 inflated, or FTCN's own ftcn_tt.pth)"
  config.model.size = "paper"  # FTCN's sizes
  config.model.branches = 4  # 1-6; more than four cycle through the augmentations
  config.model.shared = False  # True: one set of weights for all branches
  config.model.trfi = True  # False: FTCN alone
  config.model.dropout = 0.1  # of the transformer
  config.model.form = "matmul"  # of temporal convolutions: the one that batches over branches

  config.objective.tpa = True  # False: parameters drawn per frame …
  config.objective.redrawn = ("flip", "crop")  # … of these; all four with "color_jitter", "cutout"
  config.objective.alpha = 1.0  # classification
  config.objective.beta = 1.0  # mutual information, with its heads
  config.objective.gamma = 0.1  # contrastive; 0 = off
  config.objective.temperature = 1.5  # of the mutual information
  config.objective.tau = 0.1  # of the contrastive loss

  config.clips.frames = 32  # T, even; fixed by the positions' parameter
  config.clips.size = 224  # a multiple of 16
  config.clips.train_clips = 1
  config.clips.test_clips = 8
  config.clips.shortest = 0  # frames of the shortest track that is judged all the same, back and forth; 0: none below T

  config.dtype = "bfloat16"
  config.remat = "nothing_saveable"  # keeps 1.1 GiB a clip, and 5.2 while stems are recomputed; "" 17.6
  config.batch_size = 16
  config.epochs = 100.0
  config.eval_every = 225  # an epoch: one clip of 720 real and 4 x 720 fake videos
  config.checkpoint_every = 225
  config.eval_batch_size = 16
  config.optimizer.name = "adam"
  config.optimizer.learning_rate = 1e-4
  return variant(config, arg, VARIANTS)
