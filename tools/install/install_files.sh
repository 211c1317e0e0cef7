#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# install_files.sh PREFIX: what an installation holds beside programs and libraries: headers, the files by which other build
# systems find it, and the templates of plugins. Run from the root of the tree. Nothing in these files names PREFIX.
set -euo pipefail
prefix=$1
mkdir -p "$prefix"/{include/trivet,lib/pkgconfig,lib/cmake/Trivet,share/trivet/templates}
put() { install -C -m 644 "$@"; }
put include/trivet/*.h "$prefix/include/trivet/"
put tools/install/*.pc "$prefix/lib/pkgconfig/"
put tools/install/TrivetConfig*.cmake "$prefix/lib/cmake/Trivet/"
put tools/install/trivet.BUILD "$prefix/share/trivet/"
for folder in plugins/template_*; do
  to=$prefix/share/trivet/templates/$(basename "$folder")
  mkdir -p "$to"
  for file in "$folder"/*; do
    [[ -f $file && $file != */BUILD && $file != *.so ]] || continue
    if [[ -x $file ]]; then install -C -m 755 "$file" "$to/"; else put "$file" "$to/"; fi
  done
done
