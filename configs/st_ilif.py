"""ST-ILIF (Zhang et al., ACM TOMM 2024): 5 consecutive frames at 224 px, a phase-aware and a sequence stream.

  python -m dfdetect_jax.train --config=configs/st_ilif.py --workdir=runs/st_ilif --data=shards/ffpp_c23

Paper: one RTX 3060 Ti (8 GB: fits, with recomputed activations), Adam, cosine from 5e-4 to 1e-4, 50 epochs, batch 32,
random flip; first 270 frames of a training video and 140 of the others (an option of data_pipelines.build). FF++ c23:
AUC 99.35 %, accuracy 97.29 % (Table 7); Celeb-DF AUC 78.95 % and DFDC 63.37 % after FF++ c40, DeeperForensics-1.0
std/rand 91.07 % after c23 (Tables 8, 10, 11).
Our decisions: an epoch takes 54 clips of each video, as many as fit into 270 frames side by side; windows overlap at
test (`clips.test_stride`); random initialisation. Not yet reproduced here: nobody may ship FF++. What was measured is
in the README.

Variants (`--config=configs/st_ilif.py:NAME`): `small` (64 px, minutes on a CPU), `test` (seconds), and the rows of
the paper's tables: `table2_*` (what the phase-aware stream sees), `table3_*` (TDM), `table4_*` (CAFIM, AFFM),
`table5_ffpp` (one manipulation, c23 or c40 as the data are), `table6_*` (T of the sequence stream), `table7_*` and
`table8_*` (T of both streams); `scan` has our recurrence in place of the printed one, and so has a row of each table.
Tables 2-4 and 6 call multiples of 1/700 AUC; they are accuracies in all likelihood. `reals`, `small_reals` and
`test_reals` learn from real videos alone.
"""

from dfdetect_jax.runs.config import base_config, reals_variants, variant

# T -> what follows from it: an epoch takes as many clips as lie side by side in the first 270 frames of each of 720
# real and 4 x 720 fake videos, and validation looks at windows side by side.
EPOCHS = {
  t: {
    "clips.frames": t, "clips.train_clips": 270 // t, "clips.val_stride": t, "eval_every": 270 // t * 3600 // 32,
    "checkpoint_every": 270 // t * 3600 // 32,
  }
  for t in (3, 5, 7, 9)
}  # fmt: skip
VARIANTS = {
  **{
    f"table2_{image}": {"model.stream": "phase", "model.reconstruction": image}
    for image in ("sobel", "prewitt", "amplitude", "phase")
  },
  "table3_resnet18": {"model.stream": "sequence", "model.tdm": False},
  "table3_tdm": {"model.stream": "sequence"},
  "table4_none": {"model.cafim": False, "model.affm": False},
  "table4_cafim": {"model.affm": False},
  "table4_affm": {"model.cafim": False},
  "table4_both": {},
  # One manipulation: an epoch is 54 clips of 720 real and 720 fake videos.
  "table5_ffpp": {"eval_every": 2430, "checkpoint_every": 2430},
  **{f"table6_t{t}": {"model.stream": "sequence", **EPOCHS[t]} for t in (3, 5, 7, 9)},
  **{f"table{n}_t{t}": EPOCHS[t] for n in (7, 8) for t in (3, 5)},
  "scan": {"model.recurrence": "scan"},  # ours: ConvGRUs that run over the differences
  # Validates once, at the end: among a handful of validation videos, choosing between steps would be choosing noise.
  "small": {
    "model.size": "small", "clips.size": 64, "clips.train_clips": 8, "clips.test_clips": 8, "batch_size": 16,
    "total_steps": 400, "eval_every": 0, "checkpoint_every": 100, "log_every": 25,
    "optimizer.learning_rate": 1e-3, "optimizer.warmup_steps": 50, "eval_batch_size": 32, "remat": "",
  },
  "test": {
    "model.size": "test", "clips.size": 64, "clips.train_clips": 1, "clips.test_clips": 2, "batch_size": 4,
    "total_steps": 20, "eval_every": 10, "checkpoint_every": 10, "log_every": 5, "eval_batch_size": 4,
    "optimizer.learning_rate": 1e-3, "workers": 0, "remat": "",
  },
}  # fmt: skip

VARIANTS |= reals_variants(VARIANTS, batch_size=32)


def get_config(arg: str | None = None):
  """The paper's setting, or the variant that `arg` names."""
  config = base_config()
  config.method = "st_ilif"
  config.model.size = "resnet18"
  config.model.stream = "both"  # or phase, sequence: one stream alone
  config.model.reconstruction = "phase"  # image beside the grey one; or amplitude, sobel, prewitt
  config.model.tdm = True  # False: the sequence stream is ResNet-18 on the middle frame
  config.model.recurrence = "single"  # one step of the ConvGRUs on all differences, as printed; or scan, over them
  config.model.cafim = True  # interaction of the streams after each stage
  config.model.affm = True  # adaptive fusion at the end; False: concatenation
  config.model.single_sigmoid = False  # True: leave out AFFM's inner sigmoids
  config.model.unit_input = True  # phase and grey image on [-1, 1]; False: on 0-255

  config.augment.flip = (0.5,)

  config.clips.frames = 5  # T, odd
  config.clips.size = 224  # a multiple of 32
  config.clips.train_clips = 54
  config.clips.test_clips = 0  # all windows …
  config.clips.test_stride = 1  # … that start so many frames apart; `frames` makes them lie side by side
  config.clips.val_stride = 5  # the same in the run's own validation, which costs a fifth of a test

  config.remat = "dots_saveable"  # a batch needs 6.8 GiB by shapes; "" 8.6
  config.batch_size = 32
  config.epochs = 50.0
  config.eval_every = 6075  # an epoch: 54 clips of 720 real and 4 x 720 fake videos
  config.checkpoint_every = 6075
  config.eval_batch_size = 64
  config.optimizer.name = "adam"
  config.optimizer.learning_rate = 5e-4
  config.optimizer.schedule = "cosine"
  config.optimizer.final_factor = 0.2  # 1e-4
  config.select_metric = "acc"  # the tables' measure, whatever they call it
  return variant(config, arg, VARIANTS)
