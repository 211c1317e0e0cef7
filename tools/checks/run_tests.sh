#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What `./dev test` does after ./dev deps: every check in turn, none of them stopping the others, and one closing line
# `N passed, N failed`. Must not decide what is tested: that is said by Bazel targets, their tags and the checks' own files.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.." || exit 1
mkdir -p .cache
TALLY=$PWD/.cache/test.tally
EVENTS=$PWD/.cache/test.events
: >"$TALLY"

fuzz_seconds=60 tidy_seconds=420 quick=0 models=1 patterns=()
while (($#)); do
  case $1 in
    --quick) quick=1 ;;
    --no-models) models=0 ;;
    --fuzz-seconds) fuzz_seconds=$2; shift ;;
    --tidy-seconds) tidy_seconds=$2; shift ;;
    //*) patterns+=("$1") ;;
    *) echo "run_tests: unknown argument $1; see ./dev test --help" >&2; exit 2 ;;
  esac
  shift
done

began=$SECONDS
section() { printf '\n== [%d:%02d] %s\n' $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60)) "$*"; }

close() {
  local passed failed skipped
  read -r passed failed skipped < <(awk '{p += $1; f += $2; s += $3} END {print p + 0, f + 0, s + 0}' "$TALLY")
  section "done"
  if ((skipped)); then echo "$passed passed, $failed failed, $skipped skipped"; else echo "$passed passed, $failed failed"; fi
  ((failed == 0 && passed > 0)) && exit 0 || exit 1
}

check() { # check NAME COMMAND...: one check, passed or failed
  local name=$1
  shift
  if "$@"; then echo "ok     $name"; echo "1 0 0" >>"$TALLY"; else echo "FAILED $name"; echo "0 1 0" >>"$TALLY"; fi
}

skip() { # skip NAME REASON: one check that cannot be made here
  echo "skipped $1: not run because $2"
  echo "0 0 1" >>"$TALLY"
}

# The packages of third_party/python, without which there is no other opinion to compare with.
has_python() { .venv/bin/python -c 'import numpy, onnx, onnxruntime' 2>/dev/null; }
no_python='the Python packages are not installed (./dev deps; is there a network?)'

# Cases of the onnx package for ops_conformance_test, made once for a version of the package and of the script.
ops_cases() {
  local make=tests/conformance/ops/make_cases.py name
  name=$PWD/.cache/ops-cases-$(cat "$make" third_party/python/requirements.txt | sha256sum | cut -c1-16).bin
  if [[ ! -s $name ]]; then
    .venv/bin/python "$make" "$name.part" >&2 || return 1
    mv "$name.part" "$name"
  fi
  echo "$name"
}

python_tests() { # python_tests FILE PYTHON: a unittest program, counted as its cases
  local report ran bad skipped
  report=$("$2" "$1" 2>&1) || true
  printf '%s\n' "$report"
  ran=$(sed -n 's/^Ran \([0-9]*\) tests\? in .*/\1/p' <<<"$report")
  bad=$(grep -oE '^FAILED \(.*' <<<"$report" | grep -oE '(failures|errors)=[0-9]+' | awk -F= '{n += $2} END {print n + 0}')
  skipped=$(grep -oE '^(OK|FAILED) \(.*' <<<"$report" | sed -n 's/.*skipped=\([0-9]*\).*/\1/p')
  if [[ -z $ran ]]; then check "$1" false; return; fi
  echo "$((ran - ${bad:-0} - ${skipped:-0})) ${bad:-0} ${skipped:-0}" >>"$TALLY"
}

quietly=(--ui_event_filters=-info,-debug --keep_going --show_result=0)
[[ -t 1 ]] || quietly+=(--noshow_progress)
bazel_tests() { # bazel_tests [options] -- PATTERN...
  rm -f "$EVENTS"
  bazel test "${quietly[@]}" "${cases[@]}" --test_summary=none --build_tests_only --build_event_json_file="$EVENTS" "$@"
  local code=$?
  [[ -s $EVENTS ]] && /usr/bin/python3 tools/checks/count_tests.py "$EVENTS" "$TALLY"
  # 4: no test has the tag that was asked for. Anything else that failed must have been counted.
  if ((code != 0 && code != 4)) && [[ $(tail -n 1 "$TALLY" | cut -d' ' -f2) == 0 ]]; then check "bazel ended with $code" false; fi
}

# What stands outside of the tree: the onnx package's own tests, and the models beside onnxruntime. A minute together.
outside() {
  if ! has_python; then
    skip "node tests of the onnx package" "$no_python"
    skip "models against onnxruntime and float64" "$no_python"
    return
  fi
  check "node tests of the onnx package" ./dev onnx-tests
  check "operators in every element type" ./dev operators
  if ((!models)); then
    skip "models against onnxruntime and float64" "--no-models was given"
  elif ! ./dev models >&2; then
    skip "models against onnxruntime and float64" "the models could not be brought (./dev models says why)"
  else
    check "models against onnxruntime and float64" ./dev compare
  fi
}

tidy() {
  timeout "$tidy_seconds" bazel build "${quietly[@]}" --aspects=//tools/build_defs:clang_tidy.bzl%clang_tidy_aspect \
    --output_groups=clang_tidy -- //... -//tests/...
  local code=$?
  if ((code == 124)); then
    echo "skipped clang-tidy: stopped after $tidy_seconds s; the next run goes on with the rest"
    echo "0 0 1" >>"$TALLY"
  else
    check "clang-tidy" test $code -eq 0
  fi
}

cases=()
if has_python && file=$(ops_cases); then cases=(--test_env=TRIVET_OPS_CASES="$file"); fi

if ((${#patterns[@]})); then
  section "tests ${patterns[*]}"
  bazel_tests -- "${patterns[@]}"
  close
fi

section "format and tree"
check "clang-format" ./dev fmt --check
/usr/bin/python3 tools/checks/check_tree.py --tally "$TALLY"

section "Python tests"
python_tests tests/unit/tools/checks/checks_test.py /usr/bin/python3
if has_python; then
  python_tests tests/models/judges_test.py .venv/bin/python
  python_tests tests/conformance/sanitize_test.py .venv/bin/python
else
  skip tests/models/judges_test.py "$no_python"
  skip tests/conformance/sanitize_test.py "$no_python"
fi

section "build"
check "build of everything" bazel build "${quietly[@]}" //...

section "tests"
bazel_tests -- //...
((quick)) && close

section "the onnx package and the models"
outside

section "clang-tidy"
tidy

section "as on a machine without CUDA headers"
check "build without CUDA" bazel build "${quietly[@]}" --repo_env=TRIVET_CUDA=none //...

section "AddressSanitizer and UndefinedBehaviorSanitizer"
bazel_tests --config=asan --config=ubsan --test_tag_filters=-noasan -- //tests/... -//tests/layering/...

section "ThreadSanitizer"
bazel_tests --config=tsan --test_tag_filters=tsan -- //...

if ((fuzz_seconds > 0)); then
  section "fuzz targets, $fuzz_seconds s each"
  mapfile -t fuzzers < <(bazel query --noshow_progress 'attr(tags, fuzz, tests(//...))' 2>/dev/null)
  if ((${#fuzzers[@]})); then
    check "build of fuzz targets" bazel build "${quietly[@]}" --config=fuzz "${fuzzers[@]}"
    TALLY=$TALLY tools/checks/run_fuzzers.sh "$fuzz_seconds" "${fuzzers[@]}"
  fi
fi

close
