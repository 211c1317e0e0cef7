#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Kernels of an author's own that ask for formats: each format is offered as tactics and timed, results are those of the formula,
# the order of a whole network is settled by prices, and what a plan spends on copies and casts is printed. A CUDA kernel for
# one shape is offered for this shape only. For CUDA everything is built for three architectures, not run.
source examples/example_room.sh
here=$PWD/examples/plugins trivet=$PWD/tools/trivet/trivet include=$PWD/include
cd "$TEST_TMPDIR"
fail() { echo "FAILED: $*"; exit 1; }
plugin() { cc -shared -fPIC -O2 -Wall -Wextra -Werror -I "$include" "$1" -o "$2.so" || fail "$2"; }
build() { # build PLAN NETWORK PLUGIN [OPTIONS]: the plan, and in PLAN.txt what is in it
  "$trivet" build "$2" -o "$1" --plugin-path "$plugins" --plugin "$3" "${@:4}" >build.log 2>&1 || return 1
  "$trivet" inspect "$1" >"$1.txt"
}
plugin "$here/formats.c" formats
"$trivet" plugin check ./formats.so --plugin-path "$plugins" | tail -1 | grep ' 0 faults' || fail check
# Each format is timed, and each gives what the formula gives.
python3 - <<'PY'
import random, struct
random.seed(3)
n, c, p = 2, 8, 12
shapes = {"q": n * c * p, "q4": n * c * p, "q32": n * 32 * p}
for name, count in shapes.items():
    open(name + ".bin", "wb").write(struct.pack("%db" % count, *(random.randrange(-128, 128) for _ in range(count))))
for name, count in {"s": c, "p": 6, "r": 32}.items():
    open(name + ".bin", "wb").write(struct.pack("%df" % count, *(random.choice((0.25, 0.5, 1, 1.5, 2.75)) for _ in range(count))))
PY
cat >small.txt <<'G'
graph "small" {
  input %q: i8[2, 8, 3, 4]
  input %q4: i8[2, 2, 3, 4, 4]
  input %q32: i8[2, 1, 3, 4, 32]
  input %s: f32[8]
  input %p: f32[6]
  input %r: f32[32]
  %nchw = acme.ChannelScale(%q, %s) { x_scale = 0.5, y_scale = 0.25 }
  %chw4 = acme.PackedChannelScale(%q4, %p) { y_scale = 0.5 }
  %chw32 = acme.PackedChannelScale(%q32, %r)
  output "nchw": %nchw
  output "chw4": %chw4
  output "chw32": %chw32
}
G
build timed.plan small.txt ./formats.so --tactics timed --timing-cache times || fail "$(cat build.log)"
for tactic in NCHW 'NCHW by strides' CHW4 CHW32; do grep -q "formats.host/1 \"$tactic\" [0-9]" times || fail "$tactic is not timed: $(cat times)"; done
build plan small.txt ./formats.so || fail "$(cat build.log)"
for format in CHW4 CHW32; do grep -q "formats.host/1, $format," plan.txt || fail "$format: $(cat plan.txt)"; done
run() { "$trivet" run "$1" --plugin-path "$plugins" --plugin ./formats.so "${@:2}" >/dev/null || fail "run $1"; }
inputs=(); for name in q q4 q32 s p r; do inputs+=(-i $name.bin); done
for name in plan timed.plan; do run $name "${inputs[@]}" -o $name.npz; done
cat >check.py <<'PY'
import struct, sys, zipfile
def read(name, letter):
    data = open(name + ".bin", "rb").read()
    return struct.unpack("%d%s" % (len(data) // struct.calcsize(letter), letter), data)
def scale(x, factors, inner, groups, width, more):
    out = []
    for i, v in enumerate(x):
        c = i // inner % groups * width + i % width
        out.append(max(-128, min(127, round(v * (factors[c] if c < len(factors) else 0) * more))))
    return out
q, s = read("q", "b"), read("s", "f")
wanted = {"nchw": scale(q, s, 12, 8, 1, 2), "chw4": scale(read("q4", "b"), read("p", "f"), 48, 2, 4, 2),
          "chw32": scale(read("q32", "b"), read("r", "f"), 384, 1, 32, 1)}
chained = q
for _ in range(8):
    chained = scale(chained, s, 12, 8, 1, 1)
wanted["y"] = chained
with zipfile.ZipFile(sys.argv[1]) as archive:
    names = archive.namelist()
    for name in names:
        data = wanted[name.split(".")[0]]
        got = struct.unpack("%db" % len(data), archive.read(name)[-len(data):])
        if list(got) != data:
            sys.exit("%s of %s: %s instead of %s" % (name, sys.argv[1], got[:16], data[:16]))
print(sys.argv[1], len(names), "results are right")
PY
for name in plan timed.plan; do python3 check.py $name.npz || fail values; done
# One is left as it lies; eight behind each other go channels last, and the copies that this takes are few: by price, over the
# whole network. Without the flag they are fused into one step, which reads and writes what the caller has.
chain="$here/formats_chain.txt"
build chain.plan "$chain" ./formats.so --opt q:4x32x56x56 || fail "$(cat build.log)"
[ "$(grep -c 'formats.host/1, NHWC,' chain.plan.txt)" -ge 6 ] || fail "the chain: $(cat chain.plan.txt)"
build plain.plan "$chain" ./formats.so --opt q:4x32x56x56 --disable choose-layout || fail "$(cat build.log)"
grep -q 'formats.host/1, NHWC' plain.plan.txt && fail "layouts, though switched off: $(cat plain.plan.txt)"
# A kernel that takes channels last only, and is the only one worth having, is given that by copies, which are counted.
sed 's/"formats"/"last_only"/; s/"formats\.host"/"last_only.host"/; s/if (!\*out_format)/if (*out_format \&\& strcmp(*out_format, "NHWC")) *out_format = NULL;\n  &/; s/each \* count_of/0.001 * count_of/' \
  "$here/formats.c" >last_only.c
plugin last_only.c last_only
build last.plan "$chain" ./last_only.so --opt q:4x32x56x56 --explain || fail "$(cat build.log)"
copies=$(sed -n 's/^  moves \([0-9]*\) copies into another layout (\([0-9]*\) bytes), 0 casts (0 bytes)$/\1 \2/p' last.plan.txt)
[ "$(grep -c 'last_only.host/1, NHWC,' last.plan.txt)" = 8 ] && [ "$copies" = "2 1605632" ] || fail "copies '$copies': $(cat last.plan.txt)"
grep -q ' 2 copies that only change the layout (1605632 bytes)' build.log || fail "the report: $(cat build.log)"
"$trivet" inspect last.plan --json -o last.json && grep -q '"reformat_bytes": 1605632' last.json || fail "JSON"
cat >one.txt <<'G'
graph "one" {
  input %q: i8[2, 8, 3, 4]
  input %s: f32[8]
  %0 = acme.ChannelScale(%q, %s)
  output "y": %7
}
G
for i in 1 2 3 4 5 6 7; do sed -i "s/^  output/  %$i = acme.ChannelScale(%$((i - 1)), %s)\n&/" one.txt; done
build one.plan one.txt ./last_only.so || fail "$(cat build.log)"
"$trivet" run one.plan --plugin-path "$plugins" --plugin ./last_only.so -i q.bin -i s.bin -o one.npz >/dev/null && python3 check.py one.npz || fail "values of the chain"
# A cast by itself is counted, too.
printf 'graph "cast" {\n  input %%x: f32[4, 16]\n  %%y = std.Cast(%%x) { to = f16 }\n  output "y": %%y\n}\n' >cast.txt
build cast.plan cast.txt ./formats.so || fail "$(cat build.log)"
grep -q '^  moves 0 copies into another layout (0 bytes), 1 casts (384 bytes)$' cast.plan.txt || fail "casts: $(cat cast.plan.txt)"
plugin "$here/one_shape.c" one_shape
for architecture in sm_80 sm_90 sm_100; do
  if ! build cuda.plan "$here/formats.txt" ./formats.so --target cuda:$architecture --alternatives 8 --opt q:4x32x56x56,q4:4x8x56x56x4,q32:4x1x56x56x32; then
    grep -qE "UNAVAILABLE|NOT_FOUND: .*target" build.log || fail "$(cat build.log)"
    echo "the rest is skipped: $(cat build.log)"
    exit 0
  fi
  for format in NCHW CHW4 CHW32; do
    for way in bytes fours sixteens; do grep -q "cuda.code/., $format by $way," cuda.plan.txt || fail "$architecture: no $format by $way: $(cat cuda.plan.txt)"; done
  done
  build cuda.plan "$here/one_shape.txt" ./one_shape.so --target cuda:$architecture --alternatives 4 || fail "$(cat build.log)"
  [ "$(grep -c 'cuda.code/., rows of 4096,' cuda.plan.txt)" = 1 ] || fail "one shape: $(cat cuda.plan.txt)"
done
echo passed
