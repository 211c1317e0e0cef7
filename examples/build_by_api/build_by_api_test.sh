#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The program checks its own result; its output is what a reader sees.
source examples/example_room.sh
out=$(examples/build_by_api/build_by_api "$plugins" "$TEST_TMPDIR/example.plan")
echo "$out"
[[ $(grep -c 'all classes together 1.0000' <<<"$out") == 3 ]]
