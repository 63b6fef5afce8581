"""FTCN (Zheng et al., ICCV 2021): 32 consecutive frames at 224 px, convolutions over time alone, temporal transformer.

  python -m dfdetect_jax.train --config=configs/ftcn.py --workdir=runs/ftcn --data=shards/ffpp_c23

The authors' setting: SGD 0.1 with Nesterov's momentum 0.9 and weight decay 1e-4, cosine over 100 epochs, the first ten
of them warm-up from 0.01 to where the cosine is by then, 0.0976 (both as SlowFast's solver, theirs, has them), batch
16. As SDR quotes it, AUC after FF++: one manipulation of FF++ left out of training 99.8 (DF), 99.6 (FS), 99.5
(F2F), 99.2 % (NT); Celeb-DF 86.9 %, DFDC 74.0 % (its Tables I, II). The authors' own weights, `ftcn_tt.pth`, convert:

  python -m dfdetect_jax.interop.convert --method=ftcn --from=ftcn_tt.pth --to=weights/ftcn

They expect their authors' crop: shards built with --align=ftcn. Training starts from random weights (decision);
--config.init=DIR starts from these, or from torchvision's ResNet-50, inflated.
Our decisions: an epoch takes one clip of each of the 720 real and 4 x 720 fake videos, clips are flipped at random. A
training step recomputes activations, because the stem's map alone is 392 MiB per clip in float32: batch 16 fits into
two devices of 24 GB, or one of 48. Not yet reproduced here: nobody may ship FF++. What was measured is in the README.

Variants (`--config=configs/ftcn.py:NAME`): `small` (64 px, minutes on a CPU), `test` (seconds), and `leave_one_out`
(trained on three manipulations of FF++: give it the shards without the fourth). `reals`, `small_reals` and
`test_reals` learn from real videos alone.
"""

from dfdetect_jax.runs.config import base_config, reals_variants, variant

VARIANTS = {
  # Three manipulations: an epoch is one clip of 720 real and 3 x 720 fake videos, and ten of them warm up.
  "leave_one_out": {"eval_every": 180, "checkpoint_every": 180, "optimizer.warmup_steps": 1800},
  # Validates once, at the end: among a handful of validation videos, choosing between steps would be choosing noise.
  "small": {
    "model.size": "small", "model.form": "matmul", "clips.frames": 16, "clips.size": 64, "clips.train_clips": 4,
    "remat": "", "total_steps": 500, "eval_every": 0, "checkpoint_every": 100, "log_every": 25,
    "optimizer.name": "adam", "optimizer.learning_rate": 1e-3, "optimizer.warmup_steps": 50,
    "optimizer.weight_decay": 0.0,
  },
  "test": {
    "model.size": "test", "model.form": "matmul", "clips.frames": 4, "clips.size": 32, "clips.test_clips": 2,
    "batch_size": 4, "remat": "", "total_steps": 20, "eval_every": 10, "checkpoint_every": 10, "log_every": 5,
    "eval_batch_size": 4, "optimizer.name": "adam", "optimizer.learning_rate": 1e-3, "optimizer.warmup_steps": 2,
    "workers": 0,
  },
}  # fmt: skip

VARIANTS |= reals_variants(VARIANTS, batch_size=16)


def get_config(arg: str | None = None):
  """The paper's setting, or the variant that `arg` names."""
  config = base_config()
  config.method = "ftcn"
  config.model.size = "paper"
  config.model.dropout = 0.1  # of the transformer
  config.model.form = "conv2d"  # of temporal convolutions; or conv3d, matmul: see benchmarks/temporal_conv.py

  config.augment.flip = (0.5,)

  config.clips.frames = 32  # T, even; fixed by the positions' parameter
  config.clips.size = 224  # a multiple of 16
  config.clips.train_clips = 1
  config.clips.test_clips = 8
  config.clips.shortest = 0  # frames of the shortest track that is judged all the same, back and forth; 0: none below T

  config.remat = "nothing_saveable"  # keeps 0.5 GiB a clip, and 1.8 while the stem is recomputed; "" 5.7
  config.batch_size = 16
  config.epochs = 100.0
  config.eval_every = 225  # an epoch: one clip of 720 real and 4 x 720 fake videos
  config.checkpoint_every = 225
  config.eval_batch_size = 16
  config.optimizer.name = "sgd"
  config.optimizer.learning_rate = 0.1
  config.optimizer.momentum = 0.9
  config.optimizer.nesterov = True
  config.optimizer.weight_decay = 1e-4
  config.optimizer.schedule = "cosine"
  config.optimizer.cosine_over = "run"
  config.optimizer.warmup_steps = 2250  # 10 epochs …
  config.optimizer.warmup_factor = 0.1  # … from 0.01
  return variant(config, arg, VARIANTS)
