#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The program fails when results are wrong or when the operator was not fused with its neighbours.
source examples/example_room.sh
here=examples/custom_operator
out=$("$here/use_operator" "$plugins" "$here/acme_ops_example.so" "$here/scaled_swish.onnx")
echo "$out"
[[ $out == *"shift + swish + double"*"1 step, results right" ]]
