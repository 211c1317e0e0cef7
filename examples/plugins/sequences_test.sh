#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A recurrent cell in a loop with weights that a plugin reads from an .npz file, boxes of which only the data knows how many
# remain, and draws of random numbers: compiled with the public headers alone, checked, built, run, beside Python.
source examples/example_room.sh
here=$PWD/examples/plugins trivet=$PWD/tools/trivet/trivet include=$PWD/include
cd "$TEST_TMPDIR"
options=()
for name in gru from_npz batched_nms multinomial; do
  cc -shared -fPIC -Wall -Wextra -Werror -I "$include" "$here/$name.c" -o "$name.so"
  "$trivet" plugin check "./$name.so" --plugin-path "$plugins" >check.log || { cat check.log; echo "FAILED: check $name"; exit 1; }
  tail -1 check.log | grep ' 0 faults' || { cat check.log; echo "FAILED: check $name"; exit 1; }
  options+=(--plugin "./$name.so")
done
cat >arrays.py <<'PY'
import ast, io, math, random, struct, zipfile

KINDS = {"<f4": "f", "<i8": "q"}


def npy(numbers, dims, kind="<f4"):
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': ({', '.join(map(str, dims))},), }}\n".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + struct.pack(f"<{len(numbers)}{KINDS[kind]}", *numbers)


def write(path, **arrays):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in arrays.items():
            archive.writestr(name + ".npy", data)


def read(path):
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            data = io.BytesIO(archive.read(name))
            data.seek(8)
            head = ast.literal_eval(data.read(struct.unpack("<H", data.read(2))[0]).decode())
            rest = data.read()
            kind = KINDS[head["descr"]]
            arrays[name[:-4]] = struct.unpack(f"<{len(rest) // struct.calcsize(kind)}{kind}", rest)
    return arrays


random.seed(3)
sizes = {"w": (3, 3, 4), "r": (3, 4, 4), "b": (3, 4), "x": (5, 2, 3)}
values = {n: [random.uniform(-1, 1) for _ in range(math.prod(s))] for n, s in sizes.items()}
boxes = [0, 0, 10, 10, 1, 1, 10, 10, 20, 20, 30, 30, 21, 20, 30, 31, 0, 20, 5, 30]
scores = [0.5, 0.9, 0.3, 0.7, 0.1]
PY
python3 - <<'PY'
from arrays import *
write("weights.npz", **{n: npy(values[n], sizes[n]) for n in "wrb"})
write("in.npz", x=npy(values["x"], sizes["x"]), boxes=npy(boxes, (1, 5, 4)), scores=npy(scores, (1, 5)))
PY
"$trivet" build "$here/sequences.txt" -o sequences.plan --plugin-path "$plugins" "${options[@]}"
# Formulas and weights lie in the plan: the cell and the file are not needed any more.
mv weights.npz gone.npz
# A sequence of another length, by the same plan.
python3 - <<'PY'
from arrays import *
write("short.npz", x=npy(values["x"][:18], (3, 2, 3)), boxes=npy(boxes, (1, 5, 4)), scores=npy(scores, (1, 5)))
PY
"$trivet" run sequences.plan --plugin-path "$plugins" --plugin ./batched_nms.so --plugin ./multinomial.so -i short.npz -o short_out.npz >/dev/null
for number in 1 2; do
  "$trivet" run sequences.plan --plugin-path "$plugins" --plugin ./batched_nms.so --plugin ./multinomial.so -i in.npz -o "out$number.npz" >/dev/null
done
python3 - <<'PY' || { echo "FAILED: results"; exit 1; }
from arrays import *
f = lambda x: struct.unpack("f", struct.pack("f", x))[0]
sigmoid = lambda x: 1 / (1 + math.exp(-x))
at = lambda name, *index: f(values[name][sum(i * math.prod(sizes[name][k + 1:]) for k, i in enumerate(index))])
h = [[0.0] * 4 for _ in range(2)]
states = []
for step in range(5):
    def gate(g, n, j, names):
        return {"x": sum(at("x", step, n, k) * at("w", g, k, j) for k in range(3)),
                "h": sum(h[n][k] * at("r", g, k, j) for k in range(4))}[names]
    new = []
    for n in range(2):
        row = []
        for j in range(4):
            update = sigmoid(gate(0, n, j, "x") + gate(0, n, j, "h") + at("b", 0, j))
            reset = sigmoid(gate(1, n, j, "x") + gate(1, n, j, "h") + at("b", 1, j))
            fresh = math.tanh(gate(2, n, j, "x") + reset * gate(2, n, j, "h") + at("b", 2, j))
            row.append(update * h[n][j] + (1 - update) * fresh)
        new.append(row)
    h = new
    states += h[0] + h[1]
out, again = read("out1.npz"), read("out2.npz")
assert len(out["states"]) == 40 and max(abs(a - b) for a, b in zip(out["states"], states)) < 1e-5, out["states"]
assert out["last"] == out["states"][-8:], out["last"]
short = read("short_out.npz")
assert short["states"] == out["states"][:24] and short["last"] == out["states"][16:24], short
# Box 1 hides box 0, box 3 hides box 2; best first.
assert out["chosen"] == (0, 1, 0, 3, 0, 4), out["chosen"]
assert out == again, "a seed draws the same in every run"
assert len(out["drawn"]) == 6 and all(0 <= d < 5 for d in out["drawn"]) and out["drawn"] != out["again"], out
PY
# What is wrong with a file is said with its name.
for wrong in "holds no array of that name" "is cut off" "No such file"; do
  case $wrong in
    holds*) python3 -c 'from arrays import *; write("weights.npz", r=npy(values["r"], sizes["r"]))' ;;
    is*) python3 -c 'from arrays import *; write("weights.npz", **{n: npy(values[n], sizes[n]) for n in "wrb"}); d = open("weights.npz", "rb").read(); open("weights.npz", "wb").write(d[:60])' ;;
    No*) rm -f weights.npz ;;
  esac
  if "$trivet" build "$here/sequences.txt" -o wrong.plan --plugin-path "$plugins" "${options[@]}" 2>wrong.log; then
    echo "FAILED: built with a file that $wrong"; exit 1
  fi
  grep -q "weights.npz $wrong" wrong.log || { cat wrong.log; echo "FAILED: $wrong is not said"; exit 1; }
done
echo passed
