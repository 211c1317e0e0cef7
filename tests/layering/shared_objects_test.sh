#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# shared_objects_test.sh RUNTIME LIBRARY [PLUGIN...]: what the linker recorded. Exported names, needed libraries, the size of
# the runtime library, and that no shared object of ours holds state in a global.
set -uo pipefail
runtime=$1 library=$2
shift 2
plugins=("$@")
failed=0
complain() { echo "FAILED: $*"; failed=1; }
needed() { readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }
exported() { nm -D --defined-only "$1" | awk '{print $NF}'; }

# Objects in writable sections that are ours; what the C runtime adds to every shared object, what libgcc remembers of the
# processor, protobuf-c's own default allocator and what NVTX's headers keep of the profiler that listens are not.
globals() {
  objdump -t "$1" | awk '$0 ~ / O \.(data|bss|tdata|tbss)[ \t]/ {print $NF}' |
    grep -vE '^(completed\.[0-9]+|__dso_handle|__TMC_END__|_DYNAMIC|__JCR_.*|__cpu_model|__cpu_features2|protobuf_c__allocator|nvtxGlobals_v[0-9]+|InitializeInjectionNvtx[0-9]*_fnptr)$'
}

for object in "$runtime" "$library"; do
  for name in $(exported "$object"); do
    [[ $name == trivet_* ]] || complain "$object exports $name"
  done
done
(($(exported "$runtime" | wc -l) > 0)) || complain "$runtime exports nothing"

# What libdnnl has to find in its plugin before it looks into libgomp.
openmp='^(omp_get_max_threads|omp_get_num_threads|omp_get_thread_num|omp_in_parallel|GOMP_parallel|GOMP_barrier)$'
for plugin in "${plugins[@]}"; do
  allowed=^$
  [[ $plugin == */cpu_onednn.so ]] && allowed=$openmp
  [[ $(exported "$plugin" | grep -vE "$allowed") == trivet_plugin_query ]] ||
    complain "$plugin exports more or less than trivet_plugin_query: $(exported "$plugin" | tr '\n' ' ')"
done

for name in $(needed "$runtime"); do
  case $name in
    libc.so.6 | libm.so.6 | libdl.so.2 | libpthread.so.0 | ld-linux-*) ;;
    *) complain "$runtime needs $name" ;;
  esac
done
needed "$library" | grep -qx libtrivet_runtime.so || complain "$library does not link the runtime library"

strip --strip-unneeded -o "$TEST_TMPDIR/stripped.so" "$runtime"
size=$(stat -c %s "$TEST_TMPDIR/stripped.so")
echo "$(basename "$runtime"): $size bytes stripped, needs $(needed "$runtime" | tr '\n' ' ')"
((size <= 1000000)) || complain "$runtime has $size bytes stripped, more than 1000000"

# Copies of core are nobody else's business: what both export would be taken from either.
twice=$(comm -12 <(exported "$runtime" | sort) <(exported "$library" | sort))
[[ -z $twice ]] || complain "defined in both libraries: $twice"

for object in "$runtime" "$library" "${plugins[@]}"; do
  found=$(globals "$object" | sort -u | tr '\n' ' ')
  [[ -z $found ]] || complain "$object has state in globals: $found"
done
exit $failed
