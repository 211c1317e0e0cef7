#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# run.sh of the GPU bundle: prepares the environment and runs one of the things below on the machine's GPU. The folders of
# CUDA's libraries are found here and nowhere else: $TRIVET_CUDA_LIBRARIES (a:b), the NVIDIA wheels that python3 sees, the
# usual installation.
#
#   run.sh doctor                    what is here
#   run.sh digits                    a small trained network, checked against the CPU target
#   run.sh build MODEL [OPTIONS]     fills and compiles a model of tests/models/models.json into MODEL.plan
#   run.sh compare [MODEL...]        outputs against the references, for the target
#   run.sh conformance [OPTIONS]     every operator of ONNX against its published data (./dev onnx-tests --help)
#   run.sh operators [OPTIONS]       every operator in every element type against numpy; conformance runs it too
#   run.sh bench MODEL [OPTIONS]     builds and measures one, with device times and layers
#   run.sh gpu [CASE...]            beside PyTorch, in FP16 (bench/bench_gpu.py)
#   run.sh errors [CASE...]         errors of ours and PyTorch's against float64 only, in FP16; --precision f32|bf16
#   run.sh families                  every family of kernels with every tactic, beside the CPU (tests/conformance/kernel_families.py)
#   run.sh robust [RUNS]             many runs of random shapes, too little memory, wrong addresses, plans of other devices,
#                                    and what a run costs the host
#   run.sh sanitize [TOOLS [FAMILIES [PRECISIONS]]] [OPTIONS]  every family of kernels with every tactic of ours, and the operators of
#                                    conformance, under the tools of compute-sanitizer (tests/conformance/sanitize.py)
#   run.sh bars [OPTIONS]            what is asked of load, host time, two contexts, memory, errors and tuning, in one table
#                                    (bench/bench_bars.py)
#   run.sh memory [OPTIONS]          kernels that move memory beside copies and PyTorch (bench/bench_memory.py)
#   run.sh tune MODEL [OPTIONS]      builds as if the device were not there, tunes, and compares with a plan timed here
#   run.sh matmul [MxNxK[:epilogue]...]  matrix products of the generator beside cuBLASLt (bench/bench_matmul.py)
#   run.sh extend [OPTIONS]          operators of plugins: beside built-in ones, values of every type and rank, and every
#                                    tactic of kernels in CUDA C by itself (trivet plugin check)
#   run.sh attention check|forms|bench [OPTIONS]  attention alone, beside float64 or beside PyTorch's (bench/bench_attention.py)
#   run.sh test                      the tests of the bundle
#   run.sh py SCRIPT [ARGS]          a script of this folder, or another one, with all that is set here
#   run.sh trivet ARGS               the command itself
# $TRIVET_TARGET: cuda by default, the device says which architecture.
set -uo pipefail
here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
PYTHON=${PYTHON:-python3}
wheels=$("$PYTHON" - <<'P' 2>/dev/null
import glob, os, sys
found = []
for folder in sys.path:
    found += sorted(glob.glob(os.path.join(folder, "nvidia", "*", "lib")))
print(":".join(found))
P
)
export LD_LIBRARY_PATH=$here/lib${TRIVET_CUDA_LIBRARIES:+:$TRIVET_CUDA_LIBRARIES}${wheels:+:$wheels}:/usr/local/cuda/lib64${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export TRIVET_NODE_RUNNER=$here/bin/node_runner TRIVET=$here/bin/trivet TRIVET_PLUGIN_PATH=$here/lib/trivet/plugins
export TRIVET_CACHE=${TRIVET_CACHE:-$here/cache}
export TRIVET_TARGET=${TRIVET_TARGET:-cuda} PYTHONDONTWRITEBYTECODE=1

model_path() { "$PYTHON" "$here/tests/models/models.py" --only "$1" --list 2>/dev/null | awk -v m="$1" '$1 == m { print $2 }'; }
build() { # build MODEL [OPTIONS]
  local name=$1 path
  shift
  path=$(model_path "$name")
  [ -n "$path" ] || { echo "run.sh: there is no model $name" >&2; return 1; }
  "$TRIVET" build "$path" -o "$name.plan" --target "$TRIVET_TARGET" "$@"
}

case ${1:-doctor} in
  doctor) nvidia-smi -L 2>/dev/null; "$TRIVET" doctor ;;
  digits)
    model=$(model_path digits)
    "$TRIVET" build "$model" -o digits_gpu.plan --target "$TRIVET_TARGET" &&
      "$TRIVET" build "$model" -o digits_cpu.plan &&
      "$TRIVET" run digits_gpu.plan -o digits_gpu.npz && "$TRIVET" run digits_cpu.plan -o digits_cpu.npz &&
      "$PYTHON" - <<'P'
import numpy as np
gpu, cpu = np.load("digits_gpu.npz"), np.load("digits_cpu.npz")
for name in gpu.files:
    error = np.abs(gpu[name] - cpu[name]).sum() / np.abs(cpu[name]).sum()
    print(f"{name}: mean relative error {error:.2e}")
    assert error < 1e-3, name
P
    ;;
  build) shift; build "$@" ;;
  robust)
    shapes=(--min image:1x1x8x8 --opt image:8x1x8x8 --max image:64x1x8x8)
    model=$(model_path digits) failed=0
    "$TRIVET" build "$model" -o robust.plan --target "$TRIVET_TARGET" "${shapes[@]}" &&
      "$here/bin/device_robust" robust.plan "${2:-10000}" || failed=1
    # The code of another architecture is refused by name, before anything runs.
    for other in sm_80 sm_100; do
      "$TRIVET" build "$model" -o other.plan --target "cuda:$other" "${shapes[@]}" >/dev/null || failed=1
      if "$TRIVET" run other.plan >other.log 2>&1; then echo "WRONG: a plan for $other ran"; failed=1
      elif grep -q "$other" other.log; then echo "ok: $(head -c 300 other.log)"
      else echo "WRONG: $(head -c 300 other.log)"; failed=1; fi
    done
    # Of a plan with programs for several, the device's own is run.
    if "$TRIVET" build "$model" -o several.plan --target cuda:sm_80,cuda:sm_90,cuda:sm_100 "${shapes[@]}" >/dev/null &&
      "$TRIVET" run several.plan -o several.npz >/dev/null && "$TRIVET" run robust.plan -o robust.npz >/dev/null &&
      "$PYTHON" - <<'P'
import numpy as np
a, b = np.load("several.npz"), np.load("robust.npz")
assert all(np.allclose(a[n], b[n], rtol=1e-3, atol=1e-4) for n in b.files)
P
    then echo "ok: the program for this device among three"; else echo "WRONG: a plan for several"; failed=1; fi
    "$here/bin/cuda_host_time" robust.plan || failed=1
    [ "$failed" -eq 0 ]
    ;;
  sanitize)
    shift
    chosen=()
    for option in tools families precisions; do
      if [ $# -eq 0 ] || [ "${1#-}" != "$1" ]; then break; fi
      [ "$1" = all ] || chosen+=("--$option" "$1")
      shift
    done
    exec "$PYTHON" "$here/tests/conformance/sanitize.py" "${chosen[@]}" "$@"
    ;;
  memory)
    shift
    "$PYTHON" "$here/bench/bench_memory.py" make memory && exec "$PYTHON" "$here/bench/bench_memory.py" bench memory "$@"
    ;;
  tune)
    name=$2 path=$(model_path "$2")
    shift 2
    "$TRIVET" build "$path" -o "$name.many.plan" --target cuda:sm_90 --alternatives 32 "$@" &&
      "$TRIVET" tune "$name.many.plan" -o "$name.tuned.plan" >"$name.tune.txt" && tail -2 "$name.tune.txt" &&
      "$TRIVET" build "$path" -o "$name.timed.plan" --target "$TRIVET_TARGET" --tactics timed "$@" &&
      for plan in many tuned timed; do
        echo "$plan: $("$TRIVET" bench "$name.$plan.plan" -n 300 --warmup 30 --rotate 4 | grep -E '^device   median')"
      done
    ;;
  gpu) shift; exec "$PYTHON" "$here/bench/bench_gpu.py" "$@" ;;
  errors) shift; exec "$PYTHON" "$here/bench/bench_gpu.py" --errors "$@" ;;
  families) shift; exec "$PYTHON" "$here/tests/conformance/kernel_families.py" check "$@" ;;
  bars) shift; exec "$PYTHON" "$here/bench/bench_bars.py" "$@" ;;
  extend)
    shift
    failed=0
    "$PYTHON" "$here/bench/bench_extend.py" --target "$TRIVET_TARGET" --plugins "$here/examples" --check "$@" || failed=1
    "$here/bin/run_examples" "$TRIVET_PLUGIN_PATH" "$here/examples" extend.plan "$TRIVET_TARGET" || failed=1
    # Kernels of plugins: CUDA C in several forms, timed, and a callback that enqueues; beside what the texts mean.
    network=$here/examples/device_kernels.txt plugins=(--plugin "$here/examples/device_code.so" --plugin "$here/examples/stream_callback.so")
    "$PYTHON" -c 'import numpy as n; r = n.random.default_rng(1); n.savez("kernels_in.npz", x=r.normal(size=(16, 30000)).astype("f2"))'
    "$TRIVET" build "$network" -o kernels_cpu.plan "${plugins[@]}" >/dev/null &&
      "$TRIVET" run kernels_cpu.plan -i kernels_in.npz -o kernels_cpu.npz >/dev/null || failed=1
    for tactics in heuristic timed; do
      "$TRIVET" build "$network" -o kernels.plan --target "$TRIVET_TARGET" --tactics "$tactics" "${plugins[@]}" >/dev/null &&
        "$TRIVET" inspect kernels.plan | grep -E "^    (cuda|stream_callback)\." &&
        "$TRIVET" run kernels.plan --plugin "$here/examples/stream_callback.so" -i kernels_in.npz -o kernels.npz >/dev/null &&
        "$PYTHON" - <<'P' || failed=1
import numpy as np
gpu, cpu = np.load("kernels.npz"), np.load("kernels_cpu.npz")
for name in gpu.files:
    a, b = gpu[name].astype(float), cpu[name].astype(float)
    error = np.abs(a - b).max() / (1 + np.abs(b).max())
    print(f"{name}: {a.shape}, error {error:.1e}")
    assert error < 2e-3, name
P
    done
    # Every tactic of kernels in CUDA C by itself, beside the evaluation of the text: forms, formats, one shape, in place.
    for plugin in device_code formats in_place one_shape stream_callback; do
      graphs=()
      [ "$plugin" != formats ] || graphs=(--graph "$here/examples/formats.txt")
      "$TRIVET" plugin check "$here/examples/$plugin.so" --target "$TRIVET_TARGET" --seconds 60 "${graphs[@]}" >check.log 2>&1 &&
        grep -q "^note: runs on ${TRIVET_TARGET%%:*}" check.log || failed=1
      echo "$plugin: $(tail -1 check.log)"
      grep FAULT check.log
    done
    [ "$failed" -eq 0 ]
    ;;
  matmul) shift; exec "$PYTHON" "$here/bench/bench_matmul.py" "$@" ;;
  attention)
    what=${2:-check}
    shift $(($# < 2 ? $# : 2))
    exec "$PYTHON" "$here/bench/bench_attention.py" "$what" "$here/bench/attention" "$@"
    ;;
  py)
    shift
    script=${1:?run.sh py: which script?}
    shift
    [ -e "$script" ] || script=$here/$script
    exec "$PYTHON" "$script" "$@"
    ;;
  compare) shift; exec "$PYTHON" "$here/tests/models/compare.py" "$@" ;;
  conformance)
    shift
    "$PYTHON" "$here/tests/conformance/onnx_node_tests.py" "$@"
    first=$?
    "$PYTHON" "$here/tests/conformance/operator_sweep.py" --jobs 16 && [ "$first" -eq 0 ]
    ;;
  operators) shift; exec "$PYTHON" "$here/tests/conformance/operator_sweep.py" "$@" ;;
  bench)
    name=$2
    shift 2
    build "$name" "$@" && "$TRIVET" bench "$name.plan" -n 200 --warmup 20 --profile --json "$name.json"
    ;;
  test)
    passed=0 failed=0
    for what in doctor digits "attention check"; do
      # shellcheck disable=SC2086 # a verb and its argument
      if "$0" $what; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED $what"; fi
    done
    while read -r name; do
      if (cd "$here/tests/gpu/$name.runfiles/trivet" && "$here/tests/gpu/$name"); then
        passed=$((passed + 1))
      else
        failed=$((failed + 1)); echo "FAILED $name"
      fi
    done < <(cat "$here/tests/gpu/list" 2>/dev/null)
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
    ;;
  trivet) shift; exec "$TRIVET" "$@" ;;
  *) sed -n '/^#   run.sh/p' "$0"; exit 2 ;;
esac
