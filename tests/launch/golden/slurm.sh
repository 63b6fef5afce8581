#!/usr/bin/env bash
#SBATCH --job-name=dfdetect
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
# The batch shell gets SIGUSR1 five minutes before the time limit or a preemption that leaves so much time.
#SBATCH --signal=B:USR1@300

# One process per GPU, which is what jax detects. For one process per node with all of its GPUs instead: set
# --ntasks-per-node=1 above and export JAX_LOCAL_DEVICE_IDS=0,1,… here.
set -uo pipefail

srun --kill-on-bad-exit=0 python -m dfdetect_jax.train --config=configs/dip.py --workdir=/shared/runs/dip --data=/shared/ffpp_c23 --config.init=/shared/vit_b16 &
training=$!

# srun passes SIGTERM on to every process; they agree on a step, save it and leave with status 75.
trap 'kill -TERM "$training"' USR1 TERM

wait "$training"
status=$?
while kill -0 "$training" 2>/dev/null; do
  # A signal ends `wait` early.
  wait "$training"
  status=$?
done
if [ "$status" -eq 75 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
