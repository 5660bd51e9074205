#!/bin/bash
# Makes what travels to the lent GPU machine, in the ignored folder .gpu/carry, and measures it. Run from the session's checkout.
#   bash benchmarks/gpu/pack.sh [--checkpoint FILE]     pack, move away what must not travel, print the sum (at most 64 MiB)
#   bash benchmarks/gpu/pack.sh --back                  after the call: move it back
# FILE: a training's aligned.safetensors, average-*.safetensors or weights.safetensors, from whose averaged weights to go on.
# Needs: the package index (wheels), $S2ST_AUG_DATA/permissive (photos; left out where it is not there).
set -eu
cd "$(dirname "$0")/../.."
carry=.gpu/carry away=.gpu/away limit=$((64 * 1024 * 1024))
# weights of no use there; with a checkpoint also what only people read and tests need, to make room for it
unneeded=(s2st_aug/weights/street-photo)
roomy=(docs tests s2st_aug/weights/street-mini-detector)

if [ "${1:-}" = --back ]; then
  for path in "${unneeded[@]}" "${roomy[@]}"; do
    [ ! -e "$away/$path" ] || [ -e "$path" ] || { mkdir -p "$(dirname "$path")"; mv "$away/$path" "$path"; }
  done
  git status --short | head
  exit 0
fi
checkpoint=
[ "${1:-}" != --checkpoint ] || checkpoint=$2
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}

# 1. wheels that the machine's Python 3.12 lacks; kornia and kornia-rs too once the code imports it
rm -rf "$carry/data" "$carry/average.safetensors"
mkdir -p "$carry/wheels"
wheels=(diffusers==0.42.1 pydantic==2.14.3 pydantic-core==2.50.4 annotated-types==0.8.0 typing-inspection==0.4.5 pycocotools==2.0.11)
if grep -rqE '^\s*(import|from) kornia' s2st_aug benchmarks; then wheels+=(kornia==0.9.0 kornia-rs==0.2.0); fi
platforms=()
for p in 2_28 2_27 2_17; do platforms+=(--platform "manylinux_${p}_x86_64"); done
"$PYTHON" -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp "${platforms[@]}" \
  --platform manylinux2014_x86_64 --platform manylinux1_x86_64 -d "$carry/wheels" "${wheels[@]}"

# 2. training photos as JPEG of 512x288, and 3. the average of the checkpoint in float16
PYTHONPATH=. "$PYTHON" -m benchmarks.gpu.carry "$carry" ${checkpoint:+--checkpoint "$checkpoint"}

# 4. what must not travel goes away for the call
away_now=("${unneeded[@]}")
[ -z "$checkpoint" ] || away_now+=("${roomy[@]}")
for path in "${away_now[@]}"; do
  [ ! -e "$path" ] || [ -e "$away/$path" ] || { mkdir -p "$(dirname "$away/$path")"; mv "$path" "$away/$path"; }
done

# 5. the sum: tracked and untracked files that git does not ignore, and what is carried
tree=$({ git ls-files -z; git ls-files -zo --exclude-standard; } | sort -zu | xargs -0 -I{} stat -c %s {} 2>/dev/null | awk '{s += $1} END {print s + 0}')
carried=$(find "$carry" -type f -printf '%s\n' | awk '{s += $1} END {print s + 0}')
du -sh "$carry"/* | sed 's/^/  /'
printf 'tree %.1f MiB + carried %.1f MiB = %.1f MiB of 64\n' "$(bc -l <<<"$tree/1048576")" "$(bc -l <<<"$carried/1048576")" "$(bc -l <<<"($tree+$carried)/1048576")"
[ $((tree + carried)) -le $limit ] || { echo "error: too large for the machine; bash benchmarks/gpu/pack.sh --back, and carry less" >&2; exit 1; }
echo "after the call: bash benchmarks/gpu/pack.sh --back"
