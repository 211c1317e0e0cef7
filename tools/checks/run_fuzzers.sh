#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs fuzz targets that `bazel build --config=fuzz` made, some at a time, each from its seeds and the corpus of earlier
# runs. Called by ./dev fuzz and run_tests.sh. Must not stop at the first finding: every target gets its time.
#
#     run_fuzzers.sh SECONDS //label...      exits 1 when one of them found something
#     TALLY=FILE run_fuzzers.sh ...          ... and appends "passed failed skipped" to FILE
set -uo pipefail
seconds=$1
shift
bin=$(bazel info --config=fuzz bazel-bin 2>/dev/null)

one() { # one LABEL
  local label=$1 path name folder seeds found=0
  path=${label#//}
  path=${path/:/\/}
  name=$(basename "$path")
  folder=$PWD/.cache/fuzz/$name
  mkdir -p "$folder/corpus" "$folder/seeds" "$folder/findings"
  mapfile -t seeds < <(bazel query --noshow_progress "kind('source file', deps(labels(data, $label)))" 2>/dev/null |
    grep '^//' | sed 's|^//||; s|:|/|; s|^/||')
  local options=() seed
  for seed in "${seeds[@]}"; do
    if [[ $seed == *.dict ]]; then options+=("-dict=$PWD/$seed"); else cp -f "$seed" "$folder/seeds/${seed//\//_}"; fi
  done
  (cd "$bin/$path.runfiles/trivet" 2>/dev/null || cd "$folder" || exit 1
   ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 timeout $((seconds + 120)) "$bin/$path" "${options[@]}" \
    -max_total_time="$seconds" -rss_limit_mb=3072 -timeout=20 -print_final_stats=1 -max_len=65536 \
    -artifact_prefix="$folder/findings/" "$folder/corpus" "$folder/seeds") >"$folder/log" 2>&1 || found=1
  if ((found)); then
    echo "FAILED fuzz $name: see $folder/log and $folder/findings/"
    grep -m1 -A12 -E 'ERROR: |runtime error|SUMMARY' "$folder/log"
    return 1
  fi
  echo "ok     fuzz $name: $(sed -n 's/.*number_of_executed_units: *//p' "$folder/log") runs"
}
export -f one
export seconds bin

# Queries first share one Bazel server; they take turns on its lock.
printf '%s\n' "$@" | xargs -P "$(nproc)" -I{} bash -c 'one "$1"' _ {} | tee .cache/fuzz.result
failed=$(grep -c '^FAILED' .cache/fuzz.result)
passed=$(grep -c '^ok' .cache/fuzz.result)
[[ -z ${TALLY:-} ]] || echo "$passed $failed 0" >>"$TALLY"
((failed == 0 && passed == $#))
