"""What a run remembers of its validations, and checkpoints of versions that remembered less."""

import jax
import jax.numpy as jnp
import numpy as np

from dfdetect_jax.runs import checkpoints
from dfdetect_jax.runs.state import Progress, TrainState


def judge(results, **plateau):
  """Judges (value, log-loss) of steps 1, 2, …: the last progress, and the steps that were kept as best."""
  progress, kept = Progress.start(), []
  for step, (value, loss) in enumerate(results, start=1):
    progress, best = progress.judged(step, value, loss, **plateau)
    kept += [step] if best else []
  return progress, kept


def test_log_loss_decides_between_equals_and_never_the_first():
  """Guards selection where accuracies tie: the lower log-loss, then the later step; a better metric beats both."""
  progress, kept = judge([(0.8, 0.5), (0.8, 0.6), (0.8, 0.4), (0.8, 0.4), (0.9, 2.0), (0.8, 0.1)])
  assert kept == [1, 3, 4, 5]
  assert (progress.best_step, progress.best, progress.best_loss) == (5, np.float32(0.9), 2.0)


def test_undefined_metrics_are_never_the_best():
  """Guards a validation split of one class (no AUC), and scores without a log-loss."""
  assert judge([(None, 0.1), (None, None)])[1] == []
  assert judge([(0.5, None), (0.5, 0.7)])[1] == [1, 2]


def test_plateau_counts_what_is_no_improvement():
  """Guards the cut of the rate: a lower log-loss at the same metric improves, a full tie does not."""
  assert judge([(0.8, 0.5), (0.8, 0.4), (0.8, 0.3)], patience=2, factor=0.1)[0].rate_scale == 1
  progress, _ = judge([(0.8, 0.5), (0.8, 0.5), (0.8, 0.6)], patience=2, factor=0.1)
  assert progress.rate_scale == np.float32(0.1) and progress.bad_evals == 0
  assert judge([(0.8, 0.5), (0.7, 0.5), (0.7, 0.5)])[0].bad_evals == 2


def test_checkpoint_without_a_log_loss_is_restored(tmp_path):
  """Guards runs that were begun before progress knew of log-losses."""
  sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  place = lambda tree: jax.device_put(tree, sharding)  # noqa: E731
  progress = Progress.start().replace(best=np.float32(0.75), best_step=np.int32(3))
  state = TrainState(jnp.int32(5), {"w": jnp.arange(3.0)}, {}, None, {"m": jnp.ones(3)}, progress)
  state = place(jax.tree.map(jnp.asarray, state))
  items = checkpoints._items(state)
  items["run"]["progress"] = {name: x for name, x in vars(state.progress).items() if name != "best_loss"}
  manager = checkpoints._manager(tmp_path / checkpoints.CHECKPOINTS, 1)
  checkpoints._save(manager, 5, items)
  manager.close()
  abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), state)
  run = checkpoints.Checkpoints(tmp_path, 1)
  restored = run.restore(abstract)
  assert int(restored.step) == 5 and float(restored.progress.best) == 0.75 and int(restored.progress.best_step) == 3
  assert np.isinf(float(restored.progress.best_loss))
  np.testing.assert_array_equal(restored.params["w"], np.arange(3.0))
  run.save(restored)
  run.close()
  again = checkpoints.Checkpoints(tmp_path, 1)
  assert np.isinf(float(again.restore(abstract).progress.best_loss))
  again.close()
