#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Lays an installation out, then works with nothing but it: a plugin of each kind is written by `trivet plugin new`, built and
# tested by make, by CMake and by Bazel; programs are compiled by what pkg-config and the Bazel targets say.
set -euo pipefail
prefix=$TEST_TMPDIR/prefix room=$TEST_TMPDIR/room
fail() { echo "FAILED: $*"; exit 1; }
mkdir -p "$prefix"/{bin,lib/trivet/plugins} "$room"
tools/install/install_files.sh "$prefix"
cp -L tools/trivet/trivet "$prefix/bin/"
cp -L runtime/libtrivet_runtime.so codegen/libtrivet.so tools/static/libtrivet_static.a "$prefix/lib/"
for file in passes/passes.so plugins/*/[!l]*.so; do cp -L "$file" "$prefix/lib/trivet/plugins/"; done
rm -f "$prefix"/lib/trivet/plugins/template_*
# Without a network Bazel takes its own repositories from Debian's packages, as this tree does. A sh_test's path of them is a
# link farm, so they are copied.
overrides=()
for name in rules_cc remote_coverage_tools; do
  cp -RL "../$name" "$room/$name"
  overrides+=("--override_repository=$name=$room/$name")
done
for pair in platforms=platforms rules_java=rules/java rules_proto=rules/proto bazel_skylib=tools/skylib; do
  overrides+=("--override_repository=${pair%%=*}=/usr/share/bazel/${pair#*=}")
done
example=$PWD/examples/build_by_api/build_by_api.c runner=$PWD/examples/runtime_only/run_plan.c
mkdir "$room/embed"
cp -L examples/embed/* "$room/embed/"
cd "$room"

grep -rl "$TEST_TMPDIR" "$prefix"/{include,share,lib/pkgconfig,lib/cmake} && fail "a file names the folder that it was installed to"
for kind in operator pass kernel frontend target; do
  "$prefix/bin/trivet" plugin new "$kind" "acme_$kind"
  grep -rlE "template_|@PREFIX@|\.outside" "acme_$kind" && fail "the template shows through"
  make -s -C "acme_$kind" test
done
# What is there is not overwritten; a name that cannot be a plugin's, and a kind that there is none of, are refused.
"$prefix/bin/trivet" plugin new pass acme_pass 2>err && fail "written twice"
grep -q "acme_pass exists; nothing was written" err || fail "$(cat err)"
"$prefix/bin/trivet" plugin new pass Acme 2>err && fail "a bad name"
grep -q "'Acme': a name is of small letters, digits and '_'" err || fail "$(cat err)"
"$prefix/bin/trivet" plugin new miracle acme 2>err && fail "a kind that there is none of"
grep -q "there is no template $prefix/share/trivet/templates/template_miracle" err || fail "$(cat err)"

if command -v cmake >/dev/null; then
  for kind in operator pass kernel frontend target; do
    cmake -S "acme_$kind" -B "cmake_$kind" -DCMAKE_PREFIX_PATH="$prefix" >log && cmake --build "cmake_$kind" >>log || fail "cmake: $kind: $(cat log)"
    (cd "cmake_$kind" && ctest) >log 2>&1 && grep -q '100% tests passed, 0 tests failed out of 1' log || fail "ctest: $kind: $(cat log)"
  done
fi

# Debian's Bazel, which the tree itself is built with. No server stays behind.
if command -v bazel >/dev/null; then
  bazel_test() { # FOLDER
    (cd "$1" && env -u TEST_TMPDIR HOME="$room" bazel --batch --nohome_rc --output_user_root="$room/bazel" test "${overrides[@]}" //...) >log 2>&1
  }
  for kind in operator pass kernel frontend target; do
    bazel_test "acme_$kind" && grep -q 'check_test .*PASSED' log || fail "bazel: $kind: $(cat log)"
  done
  # Programs: one that compiles, of @trivet//:trivet, and one that runs what it wrote, of @trivet//:runtime.
  mkdir uses && cp "$example" "$runner" uses/
  sed 's/acme_operator/uses/' acme_operator/WORKSPACE >uses/WORKSPACE
  cat >uses/BUILD <<EOF
cc_binary(name = "compiles", srcs = ["build_by_api.c"], deps = ["@trivet//:trivet"], linkopts = ["-lm"])

cc_binary(name = "runs", srcs = ["run_plan.c"], deps = ["@trivet//:runtime"])

sh_test(name = "uses_test", srcs = ["uses_test.sh"], args = ["$prefix/lib/trivet/plugins"], data = [":compiles", ":runs"], local = True)
EOF
  cat >uses/uses_test.sh <<'EOF'
#!/bin/sh
set -eu
./compiles "$1" "$TEST_TMPDIR/example.plan" >/dev/null
./runs "$TEST_TMPDIR/example.plan" "$1"
! ldd ./runs | grep libtrivet.so
EOF
  chmod +x uses/uses_test.sh
  bazel_test uses && grep -q 'uses_test .*PASSED' log || fail "bazel: programs: $(cat log)"
fi

if command -v pkg-config >/dev/null; then
  export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
  cc "$example" -o program $(pkg-config --cflags --libs trivet) -lm
  LD_LIBRARY_PATH=$prefix/lib ./program "$prefix/lib/trivet/plugins" example.plan

  # A toolchain that holds the compiler, shared and static; its plan inside a program.
  make -C embed test PREFIX="$prefix" TARGET=null >log 2>&1 || fail "$(cat log)"
  for line in 'std.Swish' 'cancelled: .*phase "schedule"' 'built other.plan for null' 'memory: .* 0 bytes are left' \
    'application: 0 of 260 values are wrong'; do
    grep -q "$line" log || fail "no '$line' in: $(cat log)"
  done
  grep -q 'recorded: trivet_build_file: ' log || fail "no recorded error in: $(cat log)"
  # The same with oneDNN and CUDA linked in; where CUDA was not there at build time, the others are.
  make -C embed all.plan PREFIX="$prefix" >log 2>&1 || fail "$(cat log)"
  grep -Eq '^linked in: [6-9] plugins' log && grep -q 'memory: .* 0 bytes are left' log || fail "$(cat log)"
  # A program that names neither does not link them.
  nm embed/toolchain_static | grep -E 'trivet_plugin_query_(cuda|cpu_onednn)' && fail "plugins that nobody asked for are linked"
  # What the static library shows is the public interface and the plugins' entries, no more.
  nm -g --defined-only "$prefix/lib/libtrivet_static.a" | awk 'NF == 3 && $3 !~ /^trivet_/ { print $3 }' >shown
  [[ ! -s shown ]] || fail "the static library shows $(head -5 shown | tr '\n' ' ')"
  # Shared libraries call their own copies whatever else the process has loaded, read no environment and take no signal.
  for library in libtrivet.so libtrivet_runtime.so; do
    nm -D --undefined-only "$prefix/lib/$library" | grep -wE 'getenv|secure_getenv|signal|sigaction|exit|abort|printf|puts' && fail "$library"
  done
fi
echo passed
