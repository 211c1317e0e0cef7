# SPDX-License-Identifier: Apache-2.0
"""What the tests of the command `trivet` share: running it, small models, arrays in files, a report per case.

Uses nothing but the standard library, so that it runs wherever the tree builds. Must not know what a test expects.
"""
import ast
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest
import zipfile
from xml.sax.saxutils import quoteattr

NETWORK = """graph "net" {
  symbol n: 1 .. 64
  input %x: f32[n, 4]
  const %w: f32[4, 3] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0]
  const %b: f32[3] = [0.5, -1.0, 2.0]
  %m = std.MatMul(%x, %w)
  %a = std.Add(%m, %b)
  %s = std.Sigmoid(%a)
  %y = std.Mul(%a, %s)
  output "y": %y
}
"""


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return f"exit {self.code}\n{self.out}{self.err}"


def absolute(paths):
    return ":".join(os.path.abspath(p) for p in paths.split(":") if p)


TRIVET = os.path.abspath(os.environ.get("TRIVET", "tools/trivet/trivet"))
PLUGINS = absolute(os.environ.get("TRIVET_PLUGIN_PATH", ""))


def trivet(*words, cwd=None, stdin="", plugins=PLUGINS):
    """Runs the command; a plugin path of None leaves the variable unset."""
    environment = {k: v for k, v in os.environ.items() if k != "TRIVET_PLUGIN_PATH"}
    if plugins is not None:
        environment["TRIVET_PLUGIN_PATH"] = plugins
    for leaks in (1, 1, 0):
        environment["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + f":detect_leaks={leaks}"
        done = subprocess.run([TRIVET, *map(str, words)], cwd=cwd, input=stdin.encode(), capture_output=True,
                              env=environment, timeout=300, check=False)
        # The thread that looks for leaks after a command sometimes dies itself; then nobody judges leaks.
        if b"LeakSanitizer has encountered a fatal error" not in done.stderr:
            break
    return Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


class CommandTest(unittest.TestCase):
    """Every case has an empty folder of its own, in which the command runs."""
    maxDiff = None

    def setUp(self):
        holder = tempfile.TemporaryDirectory(dir=os.environ.get("TEST_TMPDIR"))
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)
        self.write("net.txt", NETWORK)

    def write(self, name, content):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def run_it(self, *words, **options):
        return trivet(*words, cwd=options.pop("cwd", self.folder), **options)

    def good(self, *words, **options):
        result = self.run_it(*words, **options)
        self.assertEqual(result.code, 0, f"{words}: {result}")
        return result

    def wrong(self, words, *expected, **options):
        """A wrong use: status 1 or 2, and every expected part in one message of at most a few lines."""
        result = self.run_it(*words, **options)
        self.assertIn(result.code, (1, 2), f"{words}: {result}")
        self.assertNotIn("Sanitizer:", result.err)
        message = result.err + (result.out if words and words[0] in ("plugins", "plugin", "doctor") else "")
        self.assertTrue(message.strip(), f"{words}: no message")
        for part in expected:
            self.assertIn(part, message, f"{words}")
        return result


# --- Arrays ---------------------------------------------------------------------------------------

KINDS = {"<f4": "f", "<i8": "q", "<i4": "i", "<f8": "d", "|u1": "B", "|b1": "?"}


def npy(values, shape, dtype="<f4"):
    head = "{'descr': %r, 'fortran_order': False, 'shape': %r, }" % (dtype, tuple(shape))
    head += " " * (-(len(head) + 11) % 64) + "\n"
    return (b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode()
            + struct.pack("<%d%s" % (len(values), KINDS[dtype]), *values))


def npz(path, **arrays):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in arrays.items():
            file.writestr(name + ".npy", content)


def load_npz(path):
    """{name: (shape, values, bytes)}"""
    found = {}
    with zipfile.ZipFile(path) as file:
        for entry in file.namelist():
            content = file.read(entry)
            size = struct.unpack("<H", content[8:10])[0]
            head = ast.literal_eval(content[10:10 + size].decode())
            data = content[10 + size:]
            kind = KINDS[head["descr"]]
            values = struct.unpack("<%d%s" % (len(data) // struct.calcsize(kind), kind), data)
            found[entry[:-len(".npy")]] = (head["shape"], values, data)
    return found


# --- ONNX, just enough of it ----------------------------------------------------------------------

def varint(number):
    out = b""
    number &= (1 << 64) - 1
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def attribute(name, value):
    if isinstance(value, list):
        return field(5, field(1, name) + b"".join(field(8, v) for v in value) + field(20, 7))
    return field(5, field(1, name) + (field(2, value) + field(20, 1) if isinstance(value, float)
                                      else field(3, value) + field(20, 2)))


def node(op, inputs, outputs, name, **attributes):
    return field(1, b"".join(field(1, i) for i in inputs) + b"".join(field(2, o) for o in outputs) + field(3, name)
                 + field(4, op) + b"".join(attribute(k, v) for k, v in attributes.items()))


def tensor(name, shape, values):
    return field(5, b"".join(field(1, d) for d in shape) + field(2, 1) + field(8, name)
                 + field(9, struct.pack("<%df" % len(values), *values)))


def value(number, name, shape):
    dims = b"".join(field(1, field(1, d) if isinstance(d, int) else field(2, d)) for d in shape)
    return field(number, field(1, name) + field(2, field(1, field(1, 1) + field(2, dims))))


def onnx_model(nodes, inputs, outputs, tensors, opset=17):
    graph = (b"".join(nodes) + field(2, "g") + b"".join(tensors) + b"".join(value(11, *i) for i in inputs)
             + b"".join(value(12, *o) for o in outputs))
    return field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, opset))


def numbers(count, scale=1.0):
    """Reproducible numbers in [-scale, scale]."""
    return [((i * 7919 + 13) % 2003 / 1001.0 - 1.0) * scale for i in range(count)]


# --- Report ---------------------------------------------------------------------------------------

class Cases(unittest.TextTestResult):
    def startTest(self, test):
        super().startTest(test)
        self.seen = getattr(self, "seen", []) + [test]


def main():
    """Runs the calling file's cases and writes the report that Bazel keeps, one line per case."""
    program = unittest.main(module="__main__", exit=False, testRunner=unittest.TextTestRunner(resultclass=Cases))
    result = program.result
    if os.environ.get("XML_OUTPUT_FILE"):
        bad = {str(getattr(test, "test_case", test)): text for test, text in result.failures + result.errors}
        lines = []
        for test in getattr(result, "seen", []):
            name, text = test.id().split(".")[-2:], bad.get(str(test))
            failure = f"<failure message={quoteattr(text[-2000:])}/>" if text else ""
            lines.append(f'<testcase classname="{name[0]}" name="{name[1]}">{failure}</testcase>')
        with open(os.environ["XML_OUTPUT_FILE"], "w") as report:
            report.write('<?xml version="1.0"?><testsuites><testsuite name="trivet">' + "\n".join(lines)
                         + "</testsuite></testsuites>\n")
    sys.exit(0 if result.wasSuccessful() and result.testsRun else 1)
