"""What the environment says of a job: complete, or told."""

import pytest

from dfdetect_jax.devices import processes
from dfdetect_jax.errors import UserError

STEP = {
  "SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_STEP_ID": "0", "SLURM_JOB_ID": "7", "SLURM_STEP_NODELIST": "a,b",
  "SLURM_LOCALID": "0",
}  # fmt: skip
MPI = {
  "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_LOCAL_RANK": "0",
  "OMPI_MCA_orte_hnp_uri": "1.0;tcp://10.0.0.1:1",
}  # fmt: skip


@pytest.fixture(autouse=True)
def alone(monkeypatch):
  """A machine that is in no cluster."""
  for name in (*STEP, *MPI, "JOB_COMPLETION_INDEX"):
    monkeypatch.delenv(name, raising=False)


def given(monkeypatch, variables):
  for name, value in variables.items():
    monkeypatch.setenv(name, value)


@pytest.mark.parametrize("variables", [STEP, MPI])
def test_a_whole_environment_is_a_cluster(monkeypatch, variables):
  """Guards the ordinary job."""
  given(monkeypatch, variables)
  assert processes._in_a_cluster()


def test_a_batch_step_without_srun_says_so(monkeypatch, caplog):
  """Guards against one process that waits for three which nobody starts."""
  given(
    monkeypatch, {name: value for name, value in STEP.items() if name not in ("SLURM_STEP_ID", "SLURM_STEP_NODELIST")}
  )
  assert not processes._in_a_cluster()
  assert "batch step of a SLURM job of 4 tasks" in caplog.text


@pytest.mark.parametrize(
  "variables, lacking",
  [
    (STEP, "SLURM_STEP_NODELIST"),
    (STEP, "SLURM_LOCALID"),
    (MPI, "OMPI_MCA_orte_hnp_uri"),
    (MPI, "OMPI_COMM_WORLD_RANK"),
  ],
)
def test_what_is_not_set_is_named(monkeypatch, variables, lacking):
  """Guards against a job of one where several were meant, because a container did not pass a variable on."""
  given(monkeypatch, {name: value for name, value in variables.items() if name != lacking})
  with pytest.raises(UserError, match=f"{lacking} is not set"):
    processes._in_a_cluster()


def test_a_count_that_is_no_number_is_told(monkeypatch):
  """Guards against a traceback from int()."""
  given(monkeypatch, STEP | {"SLURM_NTASKS": "4(x2)"})
  with pytest.raises(UserError, match="SLURM_NTASKS is"):
    processes._in_a_cluster()
