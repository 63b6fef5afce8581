#!/usr/bin/env bash
# Asks for a spot TPU slice and trains on all of its hosts; when the slice is taken away, asks for another and goes on.
# Workdir and data must be reachable from every host: a bucket (gs://…, which needs the extra `gcs`) or a shared disk.
set -uo pipefail

zone=%{zone}
name=%{name}

while true; do
  gcloud compute tpus queued-resources create "$name" --node-id="$name" --zone="$zone" \
    --accelerator-type=%{accelerator} --runtime-version=v2-alpha-tpuv5-lite --spot --valid-until-duration=%{hours}h
  until state=$(gcloud compute tpus queued-resources describe "$name" --zone="$zone" --format='value(state.state)') &&
    [ "$state" = ACTIVE ]; do
    case "$state" in
      FAILED | SUSPENDED) break ;;
    esac
    sleep 30
  done
  status=1
  if [ "$state" = ACTIVE ]; then
    gcloud compute tpus tpu-vm scp --recurse --worker=all --zone="$zone" . "$name":dfdetect_jax &&
      gcloud compute tpus tpu-vm ssh "$name" --worker=all --zone="$zone" --command='
        cd dfdetect_jax && pip install --quiet "jax[tpu]" ".[gcs]" &&
        %{command_in_quotes}'
    status=$?
  fi
  state=$(gcloud compute tpus queued-resources describe "$name" --zone="$zone" --format='value(state.state)')
  gcloud compute tpus queued-resources delete "$name" --zone="$zone" --force --quiet
  # Taken away while training, or told to stop: again. Finished or failed by itself: done.
  if [ "$status" -ne %{status} ] && [ "$state" = ACTIVE ]; then
    exit "$status"
  fi
done
