"""The fields that every run has. A file in configs/ starts from `base_config()` and fills in its paper's values."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import ml_collections

from dfdetect_jax.errors import UserError, did_you_mean, unknown


def base_config() -> ml_collections.ConfigDict:
  """The settings shared by all methods, with defaults. Comments say what a value means and what else it may be."""
  from dfdetect_jax.augment.self_blending import SelfBlending  # jax takes a while: not for a program's --help

  config = ml_collections.ConfigDict()
  config.method = ""  # a name in dfdetect_jax.methods.METHODS
  config.model = ml_collections.ConfigDict()  # the model's size and switches
  config.objective = ml_collections.ConfigDict()  # loss weights, teacher
  # What training clips go through, in this order, whatever the method: () for nothing, (probability,) or (probability,
  # smallest, largest), drawn per clip and alike in all its frames. See dfdetect_jax.augment.pipeline.
  config.augment = ml_collections.ConfigDict()
  config.augment.blur = ()  # σ in pixels, usual (0.5, 0.5, 2.0)
  config.augment.saturation = ()  # factor on the distance from grey, usual (0.5, 0.4, 1.6)
  config.augment.noise = ()  # σ on the 0-255 scale, usual (0.5, 2.0, 15.0)
  config.augment.color_jitter = ()  # factors on brightness, contrast and saturation, usual (0.5, 0.6, 1.4)
  config.augment.cutout = ()  # side of a black square as a share of the frame's, usual (0.5, 0.1, 0.4)
  config.augment.crop = ()  # side of a window as a share of the frame's, usual (0.5, 0.7, 1.0)
  config.augment.flip = ()  # left to right, usual (0.5,)
  config.augment.temporal = ()  # share of frames dropped or repeated, usual (0.5, 0.25, 0.25)
  config.clips = ml_collections.ConfigDict()  # fields of dfdetect_jax.methods.ClipSpec
  config.init = ""  # folder of weights to start from (dfdetect_jax.interop.convert's, or a run's), or "random"
  config.starts_from = ""  # what the paper starts from, in words; such a run is refused without `init`; "" = random

  config.seed = 0  # everything random follows from it: initialisation, order, sampling, augmentation
  config.dtype = "float32"  # compute dtype, or "bfloat16"; parameters, statistics and losses stay float32
  config.remat = ""  # "" keeps all activations; less memory for more time: a name in dfdetect_jax.layers.remat.POLICIES
  config.batch_size = 16  # examples per step over all devices and hosts
  config.skip_nonfinite = 0  # steps in a row whose NaN or infinite gradient is skipped; 0 = the first one stops the run
  config.accumulate = 1  # cut each batch into so many equal parts and add up their gradients
  config.total_steps = 0  # optimizer steps; 0 = as many as `epochs` takes
  config.epochs = 0.0  # passes over the training tracks (each gives `clips.train_clips` clips), if total_steps is 0

  config.optimizer = ml_collections.ConfigDict()
  config.optimizer.name = "adamw"  # adamw | adam | sgd
  config.optimizer.learning_rate = 1e-4  # peak
  config.optimizer.schedule = "constant"  # constant | cosine | plateau (cut when validation stops improving)
  config.optimizer.warmup_steps = 0  # linear from `warmup_factor` x the peak
  config.optimizer.warmup_factor = 0.0
  config.optimizer.final_factor = 0.0  # cosine ends at this factor x the peak
  config.optimizer.cosine_over = "rest"  # what the cosine spans: the rest after the warm-up, or the whole "run"
  config.optimizer.plateau_factor = 0.1  # plateau: multiply the rate by this …
  config.optimizer.plateau_patience = 2  # … after so many validations in a row without a new best
  config.optimizer.weight_decay = 0.0
  config.optimizer.b1 = 0.9
  config.optimizer.b2 = 0.999
  config.optimizer.momentum = 0.9  # sgd
  config.optimizer.nesterov = False  # sgd: Nesterov's momentum, as PyTorch has it
  config.optimizer.clip_norm = 0.0  # clip the global gradient norm; 0 = don't
  # (regex over "a/b/kernel" paths, factor on weight decay, factor on learning rate); the first match counts, and every
  # parameter must be matched. A learning-rate factor of 0 freezes.
  config.optimizer.rules = (
    (r"(.*/)?(bias|scale|cls\w*|\w*embedding)", 0.0, 1.0),
    (r".*", 1.0, 1.0),
  )

  config.data = ""  # dataset folder made by data_pipelines.build; --data says the same
  # Which of its videos the run trains on and is validated on; empty = all. Real videos are of every manipulation.
  config.videos = ml_collections.ConfigDict()
  config.videos.dataset = ""  # as data_pipelines names it: faceforensics, celeb_df_v2, …
  config.videos.manipulations = ()  # such as ("Deepfakes", "Face2Face", "FaceSwap")
  config.videos.compressions = ()  # such as ("c23",)
  # Processes that read training clips (default: half the cores, 2 to 16); 0 reads in threads, as scoring always does.
  config.workers = min(16, max(2, cores() // 2))
  config.prefetch = 4  # batches read ahead
  config.data_timeout = 600.0  # seconds without a batch after which a run stops instead of hanging; 0 = never
  config.max_unreadable = 10  # training clips that may be unreadable (each is replaced and reported) before a run stops
  config.balanced = False  # True: half of each batch is real and half fake, however many there are of either
  config.unpaired = "random"  # triplets of a real video without its own forgery: "random" forgery, or "drop" the video

  # Where forged clips come from: "given" by the shards, "self_made" out of the real clips on the device (real videos
  # are enough; an example is a real clip and its forgery, so a step sees twice `batch_size` clips), or "both".
  config.forgeries = "given"
  # What self-made ones are like: the fields of augment.self_blending.SelfBlending, which says what each number scales.
  config.forging = ml_collections.ConfigDict(dataclasses.asdict(SelfBlending()))
  # Weight of the loss of a second head, which learns on the model's last map where self-made forgeries are blended
  # (dfdetect_jax.methods.boundary); 0 = no such head.
  config.boundary_weight = 0.0

  config.log_every = 50  # steps between metric lines
  config.loggers = ()  # who gets the metrics beside the workdir's files: "wandb", "mlflow", "trackio"
  config.eval_every = 1000  # steps between validations; 0 = only at the end
  config.eval_batch_size = 16  # clips per forward pass
  # Validation metric whose best step is kept apart (video level): auc | acc | ap; the log-loss decides between equals.
  config.select_metric = "auc"
  config.checkpoint_every = 1000  # steps between checkpoints
  config.checkpoint_keep = 2  # latest checkpoints kept, besides the best one
  config.tracks = "max"  # score of a video with several face tracks: max or mean over them

  config.mesh = ml_collections.ConfigDict()
  config.mesh.data = -1  # devices along the batch; -1 = all that fsdp leaves
  config.mesh.fsdp = 1  # devices among which parameters, optimizer state and teacher are cut
  return config


def cores() -> int:
  """Cores that this process may use."""
  return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def override(config: ml_collections.ConfigDict, overrides: Mapping[str, Any]) -> ml_collections.ConfigDict:
  """Sets existing fields by dotted name, e.g. `{"model.k_n": 3}`, and returns the config.

  Raises:
    UserError: no such field; the nearest name is suggested.
  """
  for name, value in overrides.items():
    *parents, last = name.split(".")
    node = config
    for field in [*parents, last]:
      fields = list(node) if isinstance(node, ml_collections.ConfigDict) else []
      if field not in fields:
        hint = did_you_mean(field, fields) or (f" It has: {', '.join(fields)}." if fields else "")
        raise UserError(f"config has no field '{name}'.{hint}")
      parent, node = node, node[field]
    parent[last] = value
  return config


# A small network that starts from nothing learns traces in time that are plain: twice the fitting error and flicker,
# the whole face, and nothing that hides or replaces them.
_PLAIN = {
  "forging.photometric": 0.0, "forging.post_processing": 0.0, "forging.fitting_error": 2.0, "forging.flicker": 2.0,
  "forging.ratios": (1.0,),
}  # fmt: skip


def reals_variants(variants: Mapping[str, Mapping[str, Any]], batch_size: int) -> dict[str, dict[str, Any]]:
  """The variants `reals`, `small_reals` and `test_reals`: the paper's setting and two of its variants, on real videos
  alone.

  Args:
    variants: those of a config, `small` and `test` among them.
    batch_size: of the paper's setting, of which half are real clips then and the other half their forgeries; 0 for
      triplets, whose number stays.
  """
  made = {}
  for name in ("", "small", "test"):
    fields = {**variants.get(name, {}), "forgeries": "self_made", **(_PLAIN if name else {})}
    if batch_size:
      fields["batch_size"] = max(1, fields.get("batch_size", batch_size) // 2)
    made[f"{name}_reals".removeprefix("_")] = fields
  return made


def variant(
  config: ml_collections.ConfigDict, name: str | None, variants: Mapping[str, Mapping[str, Any]]
) -> ml_collections.ConfigDict:
  """Applies a named variant and locks the config: the last line of every `get_config`.

  Args:
    config: the paper's setting, every field that a variant touches already in it.
    name: variant after the colon of `--config=configs/dip.py:NAME`; "" or None is the paper's setting.
    variants: overrides by dotted field name, by variant.

  Raises:
    UserError: there is no such variant; the message lists them.
  """
  if name:
    if name not in variants:
      raise unknown("variant", name, variants, f"config of {config.method}: ")
    override(config, variants[name])
  return config.lock()
