"""Baselines of the papers' tables: ResNet-18, ResNet-50 and Xception on single frames, I3D on ResNet-50; MobileNetV2
and GenD.

  python -m dfdetect_jax.interop.convert --method=baselines --variant=resnet50 --from=resnet50.pth --to=weights/resnet50
  python -m dfdetect_jax.train --config=configs/baselines.py:resnet50 --workdir=runs/resnet50 --data=shards/ffpp_c23 \\
    --config.init=weights/resnet50

The papers train or quote them without settings. Accuracy on FF++ c23 (DF, F2F, FS, NT; one model each) in DIL's Table
1: ResNet-50 98.93, 98.57, 99.64, 95.00 %, I3D 92.86, 92.86, 96.43, 90.36 %; ST-ILIF's Table 3 has ResNet-18 on middle
frames, 92.14 % on all four, which is `configs/st_ilif.py:table3_resnet18`. Xception (Rössler et al., ICCV 2019; at 299
px, the others at 224) after three manipulations of FF++ has AUC 93.9, 51.2, 86.8, 79.7 % on the fourth (DF, FS, F2F,
NT) in DIP's Table III, 93.7, 51.4, 87.2, 81.0 % in SDR's Table I. Ours (decision): Adam 1e-4, 20 epochs of 32 frames of
each video at batch 32, or of four clips of 16 frames at batch 16. FTCN has its own config; the
ViViT-style 1:1 encoder is `configs/dip.py:table5_vivit`. Not yet reproduced here: nobody may ship FF++. What was
measured is in the README.

`gend` is today's strongest simple recipe (Yermakov et al., WACV 2026): CLIP's ViT-L/14 on frames, its LayerNorms alone
trained, on pairs of a real and a forged frame (published AUC on Celeb-DF-v2 about 96 %). Its batch size, 64 pairs, and
number of passes are our decisions.

Variants (`--config=configs/baselines.py:NAME`): `resnet50` (the default), `resnet18`, `xception`,
`xception_leave_one_out` (validates after epochs of three manipulations), `i3d_r50`, `mobilenet_v2`,
`mobilenet_v2_video` (with a temporal head), `gend`, and of each `NAME_small` (64 px, minutes on a CPU) and `NAME_test`
(seconds); `small` and `test` are those of ResNet-18. `reals`, `small_reals` and `test_reals` learn from real videos
alone, and so do `gend_reals`, `mobilenet_v2_reals` and `mobilenet_v2_video_reals` (`docs/reals.md` has the road).
"""

from dfdetect_jax.runs.config import base_config, reals_variants, variant

NETWORKS = {
  "resnet50": {},
  "resnet18": {"model.network": "resnet18"},
  "xception": {
    "model.network": "xception", "clips.size": 299, "starts_from": "ImageNet's Xception (Cadene's or timm's)",
  },
  "i3d_r50": {
    "model.network": "i3d_r50", "clips.frames": 16, "clips.train_clips": 4, "clips.test_clips": 8, "batch_size": 16,
    "eval_every": 900, "checkpoint_every": 900, "eval_batch_size": 16,
  },
  "mobilenet_v2": {
    "model.network": "mobilenet_v2", "model.width": 32, "starts_from": "ImageNet's MobileNetV2 (torchvision's)",
  },
  # The same on clips, a transformer's block over its frames' features.
  "mobilenet_v2_video": {
    "model.network": "mobilenet_v2", "model.width": 32, "model.head": "transformer", "clips.frames": 16,
    "clips.train_clips": 4, "clips.test_clips": 8, "batch_size": 16, "eval_every": 900, "checkpoint_every": 900,
    "eval_batch_size": 16, "starts_from": "ImageNet's MobileNetV2 (torchvision's)",
  },
  "gend": {
    "model.network": "gend", "clips.example": "pair", "batch_size": 64, "epochs": 4.0, "eval_every": 360,
    "checkpoint_every": 360, "starts_from": "CLIP's ViT-L/14 (Hugging Face's or OpenAI's)",
    "optimizer.learning_rate": 3e-4, "optimizer.final_factor": 1 / 30, "dtype": "bfloat16",
    # LayerNorms and the head alone are trained.
    "optimizer.rules": ((r"(.*/)?norm\w*/(scale|bias)|head/.*", 0.0, 1.0), (r".*", 0.0, 0.0)),
  },
}  # fmt: skip
SMALL = {
  "model.width": 24, "clips.size": 64, "clips.train_clips": 4, "clips.test_clips": 8, "batch_size": 16,
  "total_steps": 1000, "eval_every": 100, "checkpoint_every": 100, "log_every": 25,
  "optimizer.learning_rate": 1e-3, "optimizer.warmup_steps": 50, "init": "random",
}  # fmt: skip
TEST = {
  "model.width": 4, "clips.size": 32, "clips.train_clips": 1, "clips.test_clips": 2, "batch_size": 4,
  "total_steps": 20, "eval_every": 10, "checkpoint_every": 10, "log_every": 5, "eval_batch_size": 4,
  "optimizer.learning_rate": 1e-3, "workers": 0, "init": "random",
}  # fmt: skip
VARIANTS = {
  **NETWORKS,
  **{f"{name}_small": {**network, **SMALL} for name, network in NETWORKS.items()},
  **{f"{name}_test": {**network, **TEST} for name, network in NETWORKS.items()},
}
# Three manipulations: an epoch is 32 frames of 720 real and 3 x 720 fake videos.
VARIANTS["xception_leave_one_out"] = {**NETWORKS["xception"], "eval_every": 2880, "checkpoint_every": 2880}
# A small ViT starts from nothing, so all of it is trained.
for size in ("small", "test"):
  VARIANTS[f"gend_{size}"] |= {
    "model.vit": size, "model.tower": "timm", "dtype": "float32", "optimizer.rules": base_config().optimizer.rules,
  }  # fmt: skip
for size, middle in (("small", 2), ("test", 1)):
  VARIANTS[f"xception_{size}"] |= {"model.middle": middle}
  VARIANTS[f"xception_leave_one_out_{size}"] = VARIANTS[f"xception_{size}"]
for network in ("i3d_r50", "mobilenet_v2_video"):
  VARIANTS[f"{network}_small"] |= {"clips.frames": 8, "batch_size": 8}
  VARIANTS[f"{network}_test"] |= {"clips.frames": 4}
VARIANTS["small"], VARIANTS["test"] = VARIANTS["resnet18_small"], VARIANTS["resnet18_test"]

VARIANTS |= reals_variants(VARIANTS, batch_size=32)
# Pairs of a real clip and its forgery: as many clips a step as otherwise.
VARIANTS |= {
  f"{name}_reals": {**NETWORKS[name], "forgeries": "self_made", "batch_size": NETWORKS[name].get("batch_size", 32) // 2}
  for name in ("mobilenet_v2", "mobilenet_v2_video")
}
VARIANTS["gend_reals"] = {**NETWORKS["gend"], "forgeries": "self_made"}  # whose examples are pairs anyway


def get_config(arg: str | None = None):
  """ResNet-50 on single frames, or the variant that `arg` names."""
  config = base_config()
  config.method = "baselines"
  config.starts_from = "ImageNet's ResNet of its size (torchvision's), which I3D inflates"
  config.model.network = "resnet50"  # or resnet18, xception, i3d_r50, mobilenet_v2, gend
  config.model.width = 64  # channels of the stem
  config.model.middle = 8  # blocks of Xception's middle flow
  config.model.head = "mean"  # MobileNetV2's clip logit: the mean of its frames', or transformer
  config.model.frozen_statistics = False  # True: MobileNetV2's BatchNorm keeps the statistics it starts with
  config.model.vit = "l14"  # GenD's ViT: l14, b16, b32, small
  config.model.tower = "clip"  # or timm: DINO's, DeiT's, augreg's
  config.objective.alignment = 0.1  # GenD's α
  config.objective.uniformity = 0.5  # and β

  config.augment.flip = (0.5,)

  config.clips.frames = 1  # a frame classifier learns from single frames; it takes any number
  config.clips.size = 224
  config.clips.example = "clip"  # GenD: pair
  config.clips.train_clips = 32
  config.clips.test_clips = 32

  config.batch_size = 32
  config.epochs = 20.0
  config.eval_every = 3600  # an epoch: 32 frames of 720 real and 4 x 720 fake videos
  config.checkpoint_every = 3600
  config.eval_batch_size = 64
  config.optimizer.name = "adam"
  config.optimizer.learning_rate = 1e-4
  config.optimizer.schedule = "cosine"
  return variant(config, arg, VARIANTS)
