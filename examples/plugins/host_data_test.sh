#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Data of the program in its plugin: the plan is refused without the plugin, and a run sees what the program has put into its
# table since the run before.
source examples/example_room.sh
examples/plugins/host_data "$plugins" "$TEST_TMPDIR/host_data.plan" >"$TEST_TMPDIR/got"
sed -i "s|^$TEST_TMPDIR/||" "$TEST_TMPDIR/got"
diff "$TEST_TMPDIR/got" - <<'WANT' || { echo "FAILED"; exit 1; }
host_data.plan: the plan needs plugin 'host_data' (it was built with version 1.0), which is not loaded
0 20 300 4 50 0
0 20 300 2 50 0
WANT
echo passed
