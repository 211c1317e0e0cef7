# SPDX-License-Identifier: Apache-2.0
#
# Sourced by the tests of the examples: lays the plugins out in one folder, as an installation does, and names it in $plugins.
set -euo pipefail
plugins=$TEST_TMPDIR/plugins
mkdir -p "$plugins"
for file in "$PWD"/passes/passes.so "$PWD"/plugins/*/[!l]*.so; do ln -sf "$(readlink -f "$file")" "$plugins/$(basename "$file")"; done
