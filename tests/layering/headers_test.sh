#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# headers_test.sh HEADER...: every public header compiles alone, as C11 and as C++17, under gcc and clang, with no warning
# and with no padding that a compiler would have to choose.
set -uo pipefail
flags=(-Wall -Wextra -Wpedantic -Wpadded -Werror -Iinclude -c -o /dev/null -)
failed=0 compiled=0
(($# > 0)) || { echo "no headers given"; exit 1; }

try() { # try HEADER COMPILER LANGUAGE STANDARD
  printf '#include "%s"\n#include "%s"\ntypedef int nothing_else;\n' "${1#include/}" "${1#include/}" |
    "$2" -x "$3" -std="$4" "${flags[@]}" || { echo "FAILED: $1 with $2 as $4"; failed=1; }
  compiled=$((compiled + 1))
}

for header in "$@"; do
  try "$header" gcc c c11
  try "$header" clang-14 c c11
  try "$header" g++ c++ c++17
  try "$header" clang++-14 c++ c++17
done
echo "$compiled compilations"
exit $failed
