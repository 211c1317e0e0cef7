#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The passes of the tutorial: each compiled by one command with the public headers alone, as long as promised, checked, its
# graphs compared with the golden ones, and put into the pipeline from the command line; with dimensions that forbid the
# change the reason is told.
source examples/example_room.sh
here=$PWD/examples/passes trivet=$PWD/tools/trivet/trivet include=$PWD/include
fail() { echo "FAILED: $*"; exit 1; }
cd "$TEST_TMPDIR"
options=()
for each in root_of_square:10:scales merge_scales:40:scales merge_products:150:products; do
  IFS=: read -r name most graph <<<"$each"
  lines=$(wc -l <"$here/$name.c")
  ((lines <= most)) || fail "$name.c has $lines lines, promised are $most"
  cc -shared -fPIC -std=c11 -Wall -Wextra -Werror -I "$include" "$here/$name.c" -o "$name.so"
  "$trivet" plugin check "./$name.so" --plugin-path "$plugins" --graph "$here/$graph.in.txt" >checked || fail "$(cat checked)"
  grep -q 'it changed no graph' checked && fail "$name changes nothing: $(cat checked)"
  options+=(--plugin "./$name.so")
done
opt() { "$trivet" opt "$1" --plugin-path "$plugins" "${options[@]}" -p "$2"; }
build() { "$trivet" build "$@" -o out.plan --plugin-path "$plugins" "${options[@]}" --explain; }
opt "$here/scales.in.txt" acme-merge-scales,acme-root-of-square | diff - "$here/scales.out.txt" || fail scales
opt "$here/products.in.txt" acme-merge-products,fold-constants,remove-dead | diff - "$here/products.out.txt" || fail products
build "$here/scales.in.txt" --pass-before fold-scale:acme-merge-scales --pass-after remove-identity:acme-root-of-square >log
grep -Eq '^acme-merge-scales +1 changes' log && grep -Eq '^acme-root-of-square +1 changes' log || fail "$(cat log)"
grep -q 'the product in between is read elsewhere too' log || fail "no near miss: $(cat log)"
build "$here/products.in.txt" --pass-replace merge-siblings:acme-merge-products >log
grep -Eq '^acme-merge-products +2 changes' log || fail "$(cat log)"
# A symbol that may be large: the pass asks for its range.
sed 's/1 \.\. 64/1 .. 100000/' "$here/products.in.txt" >many.txt
build many.txt --min x:1x3 --max x:100000x3 --pass-replace merge-siblings:acme-merge-products >log
grep -q '2 products of one value stay apart: n rows may be more than 4096' log || fail "$(cat log)"
# Its place is declared: in front of fold-scale it is refused.
out=$(build "$here/products.in.txt" --pass-before fold-batch-norm:acme-merge-products 2>&1) && fail "the order is not kept"
[[ $out == *"pass 'acme-merge-products' must come after 'fold-scale'"* ]] || fail "$out"
echo passed
