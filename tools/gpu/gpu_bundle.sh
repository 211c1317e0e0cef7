#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# gpu_bundle.sh PREFIX DIR: an installation (bin/, lib/) as one folder that runs on a machine with a GPU and nothing else of
# ours: the command, libraries and plugins, what they link beside libc, the models without their weights and the scripts
# that fill and compare them. Called by ./dev gpu-bundle, from the root of the tree. What runs there is gpu_run.sh.
set -euo pipefail
prefix=$1 dir=$2
mkdir -p "$dir"/{bin,lib/trivet/plugins}
cp -L "$prefix/bin/trivet" "$dir/bin/"
cp -L "$prefix"/lib/libtrivet*.so "$dir/lib/"
cp -L "$prefix"/lib/trivet/plugins/*.so "$dir/lib/trivet/plugins/"
# oneDNN is large and a matter of the CPU.
rm -f "$dir/lib/trivet/plugins/cpu_onednn.so" "$dir/lib/trivet/plugins/null.so"
strip --strip-unneeded "$dir/bin/trivet" "$dir"/lib/*.so "$dir"/lib/trivet/plugins/*.so
# Libraries of this system that every machine need not have. Those of CUDA come from the machine.
for file in "$dir/bin/trivet" "$dir"/lib/*.so "$dir"/lib/trivet/plugins/*.so; do
  LD_LIBRARY_PATH=$dir/lib ldd "$file" 2>/dev/null | awk '$2 == "=>" && $3 ~ /^\// { print $3 }'
done | sort -u | grep -vE '/(libc|libm|libdl|libpthread|librt|ld-linux[^/]*|libcuda|libnv[^/]*|libcu[^/]*)\.so|/libtrivet' |
  while read -r library; do cp -L "$library" "$dir/lib/"; done
mkdir -p "$dir"/{tests,tools/trivet,bench,docs,examples}
cp examples/plugins/device_kernels.txt examples/plugins/formats.txt "$dir/examples/"
# Plugins from outside, by the system's compiler and the public headers alone.
for plugin in add_scalar device_code device_function formats in_place layer_norm matrix_product one_shape online_softmax \
  plain_softmax stream_callback swiglu swish_pass welford_norm; do
  cc -shared -fPIC -s -I include "examples/plugins/$plugin.c" -o "$dir/examples/$plugin.so"
done
cp -r tests/models tests/conformance "$dir/tests/"
cp -r bench/*.py bench/*.md "$dir/bench/"
find "$dir" -name __pycache__ -prune -exec rm -rf {} +
install -m 755 tools/gpu/gpu_run.sh "$dir/run.sh"
size=$(du -sm "$dir" | cut -f1)
((size <= 60)) || { echo "gpu_bundle: $dir has $size MiB, wanted are at most 60" >&2; exit 1; }
