#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A kernel of an author's own that says that it works in place costs no memory, on the host and (built, not run) for CUDA; one
# that forbids it gets memory of its own. A library of somebody else's is opened when a plan is loaded, or named when missing.
source examples/example_room.sh
here=$PWD/examples/plugins trivet=$PWD/tools/trivet/trivet include=$PWD/include
cd "$TEST_TMPDIR"
mkdir -p apart
cc -shared -fPIC -Wall -Wextra -Werror -I "$include" "$here/in_place.c" -o in_place.so
sed 's/api->in_place(emission, 0)/api->in_place(emission, TRIVET_REGION_NONE)/' "$here/in_place.c" >apart/in_place.c
cc -shared -fPIC -Wall -Wextra -Werror -I "$include" apart/in_place.c -o apart/in_place.so
"$trivet" plugin check ./in_place.so --plugin-path "$plugins" | tail -1 | grep ' 0 faults'
printf 'import struct\nopen("x.bin", "wb").write(struct.pack("8f", 1, 2, 3, 4, 0, 0, 0, 0))\n' | python3 -
for form in . apart; do
  "$trivet" build "$here/in_place.txt" -o "$form/in_place.plan" --plugin-path "$plugins" --plugin "./$form/in_place.so"
  "$trivet" inspect "$form/in_place.plan" >"$form/plan.txt"
  "$trivet" run "$form/in_place.plan" --plugin-path "$plugins" --plugin "./$form/in_place.so" -i x.bin --shapes x:2x4 | tail -n +2 >"$form/out.txt"
  grep -q 'in_place.host/1, in place' "$form/plan.txt" || { cat "$form/plan.txt"; echo "FAILED: another kernel"; exit 1; }
done
grep -q "y: f32" out.txt && cmp out.txt apart/out.txt
[ "$(grep -c '^  buffer .*16\*n bytes' plan.txt)" = 1 ] || { cat plan.txt; echo "FAILED: not in place"; exit 1; }
[ "$(grep -c '^  buffer .*16\*n bytes' apart/plan.txt)" -gt 1 ] || { cat apart/plan.txt; echo "FAILED: in place, though forbidden"; exit 1; }
# Over the caller's own memory too: the plan says which output may be given the address of which input.
printf 'graph "own" {\n  input %%x: f32[2, 4]\n  %%y = acme.RunningSum(%%x)\n  output "y": %%y\n}\n' >own.txt
for form in . apart; do
  "$trivet" build own.txt -o "$form/own.plan" --plugin-path "$plugins" --plugin "./$form/in_place.so"
  "$trivet" inspect "$form/own.plan" >"$form/own.plan.txt"
done
grep -q '^output "y" .* may overlap "x"' own.plan.txt || { cat own.plan.txt; echo "FAILED: own memory"; exit 1; }
! grep -q 'may overlap' apart/own.plan.txt || { cat apart/own.plan.txt; echo "FAILED: own memory, though forbidden"; exit 1; }
if [ -e "$plugins/cuda.so" ] && "$trivet" build "$here/in_place.txt" -o cuda.plan --target cuda:sm_90 --plugin-path "$plugins" --plugin ./in_place.so 2>cuda.log; then
  "$trivet" inspect cuda.plan >cuda.txt
  grep -q 'cuda.code/.*, in place' cuda.txt && [ "$(grep -c '^  buffer .*16\*n bytes' cuda.txt)" = 1 ] || { cat cuda.txt; echo "FAILED: CUDA"; exit 1; }
else
  echo "not built for CUDA here: $(tail -1 cuda.log 2>/dev/null)"
fi
# NCCL, by a stand-in that doubles: what counts here is the way there.
cat >nccl.c <<'C'
#include <stddef.h>
int ncclCommInitAll(void** out, int count, const int* devices) { *out = (void*)devices; return count != 1; }
int ncclCommDestroy(void* communicator) { return !communicator; }
int ncclAllReduce(const void* from, void* to, size_t count, int type, int op, void* communicator, void* stream) {
  (void)stream;
  for (size_t i = 0; i < count; ++i) ((float*)to)[i] = 2 * ((const float*)from)[i];
  return !communicator || type != 7 || op != 0;
}
C
cc -shared -fPIC nccl.c -o libstand_in.so
cc -shared -fPIC -Wall -Wextra -Werror -DNCCL_LIBRARY="\"$PWD/libstand_in.so\"" -DNCCL_TARGET='"cpu"' -I "$include" "$here/all_reduce.c" -o all_reduce.so -ldl
printf 'graph "sum" {\n  input %%x: f32[2, 4]\n  %%y = acme.AllReduce(%%x)\n  output "y": %%y\n}\n' >sum.txt
"$trivet" build sum.txt -o sum.plan --plugin-path "$plugins" --plugin ./all_reduce.so
"$trivet" inspect sum.plan >sum.plan.txt && grep -q 'all_reduce.nccl/1, nccl' sum.plan.txt || { echo "FAILED: another kernel"; exit 1; }
"$trivet" run sum.plan --plugin-path "$plugins" --plugin ./all_reduce.so -i x.bin | grep -q 'y: f32\[2x4\] 2 4 6 8' || { echo "FAILED: all_reduce"; exit 1; }
rm libstand_in.so
if "$trivet" run sum.plan --plugin-path "$plugins" --plugin ./all_reduce.so -i x.bin 2>missing.log; then echo "FAILED: ran without the library"; exit 1; fi
grep -q 'acme.AllReduce needs the library .*libstand_in.so' missing.log || { cat missing.log; echo "FAILED: message"; exit 1; }
echo passed
