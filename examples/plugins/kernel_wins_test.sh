#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A kernel from outside that is faster for one shape: with --tactics timed it is measured beside the built-in ones, wins by the
# clock, and is what the plan runs. The margin for one row is a factor of four here; a disturbed machine gets three tries.
source examples/example_room.sh
graph=$PWD/plugins/template_kernel/example.txt trivet=$PWD/tools/trivet/trivet
cd "$TEST_TMPDIR"
for _ in 1 2 3; do
  rm -f times.txt
  "$trivet" build "$graph" -o wins.plan --plugin-path "$plugins" --tactics timed --timing-cache times.txt \
    --threads 1 --opt x:1x3 --max x:64x3 --explain >log
  ours=$(sed -n 's/.* template_kernel.small_product\/1 "small" //p' times.txt) tile=$(sed -n 's/.* cpu.tile\/1 "tile" //p' times.txt)
  if grep -q 'template_kernel.small_product "small"  <- std.MatMul + std.Relu' log && ((ours < tile)); then
    echo "small_product takes $ours ns, cpu.tile $tile ns"
    printf '\000\000\200\077\000\000\000\100\000\000\100\100' >x.bin # 1, 2, 3
    "$trivet" run wins.plan --plugin-path "$plugins" -i x.bin --shapes x:1x3 | grep '^y: f32\[1x2\] 22 28$'
    exit
  fi
done
echo "FAILED: it never won"; cat times.txt log; exit 1
