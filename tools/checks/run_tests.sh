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

fuzz_seconds=60 tidy_seconds=420 quick=0 patterns=()
while (($#)); do
  case $1 in
    --quick) quick=1 ;;
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

python_tests() { # python_tests FILE: a unittest program, counted as its cases
  local report ran bad skipped
  report=$(.venv/bin/python "$1" 2>&1) || true
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
  bazel test "${quietly[@]}" --test_summary=none --build_tests_only --build_event_json_file="$EVENTS" "$@"
  local code=$?
  [[ -s $EVENTS ]] && /usr/bin/python3 tools/checks/count_tests.py "$EVENTS" "$TALLY"
  # 4: no test has the tag that was asked for. Anything else that failed must have been counted.
  if ((code != 0 && code != 4)) && [[ $(tail -n 1 "$TALLY" | cut -d' ' -f2) == 0 ]]; then check "bazel ended with $code" false; fi
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

if ((${#patterns[@]})); then
  section "tests ${patterns[*]}"
  bazel_tests -- "${patterns[@]}"
  close
fi

section "format and tree"
check "clang-format" ./dev fmt --check
/usr/bin/python3 tools/checks/check_tree.py --tally "$TALLY"

section "Python tests"
python_tests tests/unit/tools/checks/checks_test.py
python_tests tests/models/judges_test.py

section "build"
check "build of everything" bazel build "${quietly[@]}" //...

section "tests"
bazel_tests -- //...
((quick)) && close

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
