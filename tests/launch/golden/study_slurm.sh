#!/usr/bin/env bash
#SBATCH --job-name=dip-table7-dip-table8
#SBATCH --array=0-2,4-5
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gpus-per-node=2
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%A_%a.log
# The batch shell gets SIGUSR1 five minutes before the time limit or a preemption that leaves so much time.
#SBATCH --signal=B:USR1@300

# One task of the array is one run of the study: one process with all GPUs of its task. Those that are done end at once.
set -uo pipefail

python -m dfdetect_jax.study run dip_table7 dip_table8 --workdir=/shared/studies --data=/shared/ffpp --data=/shared/others --seeds=0,1,2 --init=dip=/shared/vit_b16 --set=dtype=bfloat16 --task="$SLURM_ARRAY_TASK_ID" &
study=$!

# It passes SIGTERM on to the training, which saves its state, and leaves with status 75.
trap 'kill -TERM "$study"' USR1 TERM

wait "$study"
status=$?
while kill -0 "$study" 2>/dev/null; do
  # A signal ends `wait` early.
  wait "$study"
  status=$?
done
if [ "$status" -eq 75 ]; then
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
fi
exit "$status"
