#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# must_be_empty.sh FILE WHY: fails when the result of a query is not empty.
set -euo pipefail
[[ -f $1 ]] || { echo "no query result at $1"; exit 1; }
if [[ -s $1 ]]; then
  echo "$2. These break it:"
  cat "$1"
  exit 1
fi
