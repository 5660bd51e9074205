#!/bin/bash
# What runs on the lent GPU machine, from the root of the repository: the rest of suite `gpu`, then training with aligned seeds.
# Every step has a time limit of its own, saves what it has as it goes, and runs though an earlier one failed. See README.md here.
#   bash benchmarks/gpu/run.sh [CONFIG] [KEY=VALUE ...]        CONFIG: a file of configs/, default configs/aligned_gpu_native.yaml
# Settings, all optional, by the environment:
#   OUT            where results go (on the machine: set); at most 8 files of 16 MiB, 64 MiB together, come back
#   CARRY          what pack.sh made; default .gpu/carry
#   DEVICE         cuda, or cpu for a dry run
#   CHECK_SECONDS, TRAIN_SECONDS, LOOK_SECONDS   limits of the three steps: 60, 410, 45; 0 leaves a step out
#   THEN           a second config, trained with the same changes from the first one's average; its folder of $OUT is `then`, the first one's `first`
#   THEN_SECONDS   its limit: 300
#   CHECKS         which checks of suite gpu, in one word list; default all, as far as the seconds go
#   RENDERERS      processes that render streets; default: half the cores; twice as many with THEN, whose are nicer
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
RENDERERS=${RENDERERS:-$((cores > 3 ? cores / 2 : 1))}
: "${CHECK_SECONDS:=60}" "${TRAIN_SECONDS:=410}" "${LOOK_SECONDS:=45}" "${THEN:=}" "${THEN_SECONDS:=300}"
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

renderers=()
# render FOLDER NICENESS CONFIG ARGUMENT...: streets for that config, by processes beside everything that follows
render() {
  local folder=$1 niceness=$2
  shift 2
  say "$RENDERERS renderers start: $*"
  for ((k = 0; k < RENDERERS; k++)); do
    nice -n "$niceness" "$PYTHON" pipelines/train_aligned.py "$1" --checkpoints "$folder" --set "device=$DEVICE" rendered_elsewhere=true \
      "${@:2}" --render "$k/$RENDERERS" >"$folder-renderer-$k.log" 2>&1 &
    renderers+=($!)
  done
}
# train FOLDER SECONDS PARTS CONFIG ARGUMENT...: its average comes back in parts
train() {
  local folder=$1 seconds=$2 parts=$3
  shift 3
  say "training, at most $seconds s: $*"
  # TERM at the limit lets it save; the config's own seconds end it before that
  timeout -s TERM -k 20 "$seconds" "$PYTHON" pipelines/train_aligned.py "$1" --checkpoints "$folder" --parts "$parts" \
    --set "device=$DEVICE" rendered_elsewhere=true "${@:2}" >"$folder.log" 2>&1
  say "training ended ($?)"
  tail -n 12 "$folder.log"
  tail -n 2 "$folder"-renderer-0.log
  cat "$folder/log.jsonl" >>"$OUT/run.log" 2>/dev/null # not to the screen: the reply carries only its end
  tail -n 1 "$folder/log.jsonl"
  say "streets rendered: $(find "$folder/streets" -name 'street-*' 2>/dev/null | wc -l)"
}
first=$WORK/training last=$WORK/training parts=$OUT
then=()
if [ -n "$THEN" ]; then
  last=$WORK/then parts=$OUT/first
  then=("$THEN")
  for word in "$@"; do case "$word" in init_from=*) ;; *) then+=("$word") ;; esac done
fi
trap 'kill "${renderers[@]}" 2>/dev/null' EXIT
if [ "$TRAIN_SECONDS" -gt 0 ]; then
  render "$first" 10 "$config" "$@"
  [ -z "$THEN" ] || render "$last" 15 "${then[@]}"
fi

if [ "$CHECK_SECONDS" -gt 0 ]; then
  say "suite gpu, at most $CHECK_SECONDS s"
  # shellcheck disable=SC2086  # CHECKS is a list of words
  timeout -k 5 $((CHECK_SECONDS + 30)) "$PYTHON" -m benchmarks.gpu.measure "$OUT/gpu.json" --device "$DEVICE" \
    --seconds "$CHECK_SECONDS" ${CHECKS:+--checks $CHECKS}
  say "suite gpu ended ($?)"
fi

if [ "$TRAIN_SECONDS" -gt 0 ]; then
  train "$first" "$TRAIN_SECONDS" "$parts" "$config" "$@"
  if [ -n "$THEN" ]; then
    kill "${renderers[@]:0:RENDERERS}" 2>/dev/null
    # where the first left no weights, the second begins as its own config says
    [ ! -f "$first/weights.safetensors" ] || then+=("init_from=$first/weights.safetensors")
    train "$last" "$THEN_SECONDS" "$OUT/then" "${then[@]}"
  fi
  kill "${renderers[@]}" 2>/dev/null
fi

if [ "$LOOK_SECONDS" -gt 0 ]; then
  say "look, at most $LOOK_SECONDS s"
  timeout -k 5 "$LOOK_SECONDS" "$PYTHON" -m benchmarks.gpu.look "$last/weights.safetensors" "$OUT" --streets "${LOOK_STREETS:-8}"
  say "look ended ($?)"
fi
ls -lR "$OUT"
say "end"
