#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A plugin in Python: medians of rows by a function of Python, then a formula; gelu(2) and gelu(1).
source examples/example_room.sh
got=$(python3 examples/plugins/python_plugin.py "$PWD/runtime/libtrivet_runtime.so" "$PWD/codegen/libtrivet.so" "$plugins")
[ "$got" = "1.9545 0.8413" ] || { echo "FAILED: $got"; exit 1; }
echo passed
