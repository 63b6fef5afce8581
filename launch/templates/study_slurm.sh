#!/usr/bin/env bash
#SBATCH --job-name=%{name}
#SBATCH --array=%{array}
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gpus-per-node=%{gpus}
#SBATCH --time=%{hours}:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%%x-%%A_%%a.log
# The batch shell gets SIGUSR1 five minutes before the time limit or a preemption that leaves so much time.
#SBATCH --signal=B:USR1@300

# One task of the array is one run of the study: one process with all GPUs of its task. Those that are done end at once.
set -uo pipefail

%{command} --task="$SLURM_ARRAY_TASK_ID" &
study=$!

# It passes SIGTERM on to the training, which saves its state, and leaves with status %{status}.
trap 'kill -TERM "$study"' USR1 TERM

wait "$study"
status=$?
while kill -0 "$study" 2>/dev/null; do
  # A signal ends `wait` early.
  wait "$study"
  status=$?
done
if [ "$status" -eq %{status} ]; then
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
fi
exit "$status"
