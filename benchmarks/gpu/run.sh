#!/bin/bash
# What runs on the lent GPU machine, from the root of the repository: the rest of suite `gpu`, then training with aligned seeds.
# Every step has a time limit of its own, saves what it has as it goes, and runs though an earlier one failed. See README.md here.
#   bash benchmarks/gpu/run.sh [CONFIG] [KEY=VALUE ...]        CONFIG: a file of configs/, default configs/aligned_gpu_native.yaml
# Settings, all optional, by the environment:
#   OUT            where results go (on the machine: set); at most 8 files of 16 MiB, 64 MiB together, come back
#   CARRY          what pack.sh made; default .gpu/carry
#   DEVICE         cuda, or cpu for a dry run
#   CHECK_SECONDS, TRAIN_SECONDS, LOOK_SECONDS   limits of the three steps: 60, 410, 45; 0 leaves a step out
#   CHECKS         which checks of suite gpu, in one word list; default all, as far as the seconds go
#   RENDERERS      processes that render streets; default: all cores but two
#   WORK           scratch space; default a new folder in /tmp
set -u
cd "$(dirname "$0")/../.." || exit 2
config=configs/aligned_gpu_native.yaml
case "${1:-}" in *.yaml) config=$1; shift ;; esac
OUT=${OUT:-.gpu/out}
CARRY=${CARRY:-.gpu/carry}
DEVICE=${DEVICE:-cuda}
WORK=${WORK:-$(mktemp -d /tmp/s2st_aug-gpu.XXXXXX)}
cores=$(nproc)
RENDERERS=${RENDERERS:-$((cores > 3 ? cores - 2 : 1))}
: "${CHECK_SECONDS:=60}" "${TRAIN_SECONDS:=410}" "${LOOK_SECONDS:=45}"
[ "$TRAIN_SECONDS" -gt 0 ] || RENDERERS=0
mkdir -p "$OUT" "$WORK"
rm -f "$OUT/run.log"
exec > >(tee -a "$OUT/run.log") 2>&1
began=$SECONDS
say() { echo "== $((SECONDS - began)) s: $*"; }

say "wheels, photos, device"
export PYTHONPATH=$PWD OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 PYTHONUNBUFFERED=1
export PYTHONPYCACHEPREFIX=$WORK/pycache  # the wheels are compiled once, and the tree stays clean
export TORCHINDUCTOR_CACHE_DIR=$WORK/inductor
PYTHON=${PYTHON:-python3}
if ls "$CARRY"/wheels/*.whl >/dev/null 2>&1; then # a wheel is a zip file, and unpacking takes a tenth of pip's time
  timeout 120 "$PYTHON" -c 'import sys, zipfile
for wheel in sys.argv[2:]: zipfile.ZipFile(wheel).extractall(sys.argv[1])' "$WORK/site" "$CARRY"/wheels/*.whl
  export PYTHONPATH=$PWD:$WORK/site
fi
[ -d "$CARRY/data" ] && export S2ST_AUG_DATA=$PWD/$CARRY/data
[ -f "$CARRY/average.safetensors" ] && grep -q "^init_from" "$config" && set -- "$@" "init_from=$CARRY/average.safetensors"
[ -d "${S2ST_AUG_DATA:-/nowhere}/permissive" ] || set -- "$@" photos=null
timeout 60 "$PYTHON" -c 'import platform, torch; print(platform.python_version(), torch.__version__, torch.cuda.is_available() and torch.cuda.get_device_name())'

say "$RENDERERS renderers start, $config $*"
renderers=()
script=(pipelines/train_aligned.py "$config" --checkpoints "$WORK/training")
changes=(--set "device=$DEVICE" rendered_elsewhere=true "$@")
for ((k = 0; k < RENDERERS; k++)); do
  nice -n 10 "$PYTHON" "${script[@]}" "${changes[@]}" --render "$k/$RENDERERS" >"$WORK/renderer-$k.log" 2>&1 &
  renderers+=($!)
done
trap 'kill "${renderers[@]}" 2>/dev/null' EXIT

if [ "$CHECK_SECONDS" -gt 0 ]; then
  say "suite gpu, at most $CHECK_SECONDS s"
  # shellcheck disable=SC2086  # CHECKS is a list of words
  timeout -k 5 $((CHECK_SECONDS + 30)) "$PYTHON" -m benchmarks.gpu.measure "$OUT/gpu.json" --device "$DEVICE" \
    --seconds "$CHECK_SECONDS" ${CHECKS:+--checks $CHECKS}
  say "suite gpu ended ($?)"
fi

if [ "$TRAIN_SECONDS" -gt 0 ]; then
  say "training, at most $TRAIN_SECONDS s"
  # TERM at the limit lets it save; the config's own seconds end it before that
  timeout -s TERM -k 20 "$TRAIN_SECONDS" "$PYTHON" "${script[@]}" --parts "$OUT" "${changes[@]}" >"$WORK/training.log" 2>&1
  say "training ended ($?)"
  tail -n 30 "$WORK/training.log"
  tail -n 2 "$WORK"/renderer-0.log
  cat "$WORK/training/log.jsonl" >>"$OUT/run.log" 2>/dev/null # not to the screen: the reply carries only its end
  say "streets rendered: $(find "$WORK/training/streets" -name 'street-*' 2>/dev/null | wc -l)"
  kill "${renderers[@]}" 2>/dev/null
fi

if [ "$LOOK_SECONDS" -gt 0 ]; then
  say "look, at most $LOOK_SECONDS s"
  timeout -k 5 "$LOOK_SECONDS" "$PYTHON" -m benchmarks.gpu.look "$WORK/training/weights.safetensors" "$OUT" --streets "${LOOK_STREETS:-8}"
  say "look ended ($?)"
fi
ls -l "$OUT"
say "end"
