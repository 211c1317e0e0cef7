#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Proves that the checks of tools/checks can fail: each rule is given one place that keeps it and one that breaks it."""
import contextlib
import io
import json
import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[4]
sys.path.insert(0, str(ROOT / "tools" / "checks"))
import check_tree  # noqa: E402
import count_tests  # noqa: E402

SPDX = "// SPDX-License-Identifier: Apache-2.0\n"
HEAD = SPDX + "//\n// One.\n// Two.\n"


class Tree(unittest.TestCase):
    def broken(self, rule, files):
        """Paths that the rule complains about in a tree of these files."""
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for path, text in files.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text)
            saved, check_tree.ROOT = check_tree.ROOT, root
            try:
                return [place.split(":")[0] for place in rule(list(files))]
            finally:
                check_tree.ROOT = saved

    def test_heads(self):
        long_head = SPDX + "//\n" + "// Line.\n" * 7
        self.assertEqual(self.broken(check_tree.heads, {
            "core/a.c": HEAD, "core/b.c": "int b;\n", "core/c.c": SPDX + "int c;\n", "core/d.c": long_head,
            "core/e.h": HEAD, "core/e.c": SPDX + "//\n// One.\n", "a.py": "import os\n",
            "core/f.c": HEAD + "//\n" + "// More.\n" * 9}), ["core/b.c", "core/c.c", "core/d.c", "core/e.c", "a.py"])

    def test_names(self):
        self.assertEqual(len(self.broken(check_tree.unique_names, {"core/a.c": "", "core/a.h": ""})), 0)
        self.assertEqual(len(self.broken(check_tree.unique_names, {"core/a.c": "", "runtime/a.c": ""})), 1)

    def test_sizes(self):
        self.assertEqual(self.broken(check_tree.sizes, {
            "a.c": "x\n" * 1499, "b.c": "x\n" * 1501, "c.c": "x" * 100, "d.c": "x" * 101}), ["b.c", "d.c"])

    def test_guards(self):
        guard = "#ifndef %s\n#define %s\n#endif\n"
        self.assertEqual(self.broken(check_tree.guards, {
            "core/base/a.h": guard % (("TRIVET_CORE_BASE_A_H_",) * 2), "core/base/b.h": guard % (("B_H",) * 2),
            "include/trivet/c.h": guard % (("TRIVET_C_H_",) * 2)}), ["core/base/b.h"])

    def test_includes(self):
        files = {"include/trivet/plugin.h": "", "include/trivet/runtime.h": "", "core/a.h": "", "runtime/r.h": "",
                 "runtime/device/d.h": "", "runtime/device/cpu/c.h": "", "plugins/onnx/o.h": "", "plugins/x/x.h": ""}

        def complaints(path, name):
            return self.broken(check_tree.includes, dict(files, **{path: f'#include "{name}"\n'}))

        for path, name in (("core/b.c", "trivet/plugin.h"), ("core/b.c", "core/a.h"), ("runtime/b.c", "core/a.h"),
                           ("codegen/b.c", "runtime/device/d.h"), ("plugins/onnx/b.c", "trivet/plugin.h"),
                           ("plugins/onnx/b.c", "plugins/onnx/o.h"), ("plugins/x/b.c", "core/a.h"),
                           ("tests/b.c", "runtime/r.h")):
            self.assertEqual(complaints(path, name), [], (path, name))
        for path, name in (("core/b.c", "runtime/r.h"), ("core/b.c", "a.h"), ("runtime/b.c", "plugins/x/x.h"),
                           ("codegen/b.c", "runtime/r.h"), ("codegen/b.c", "runtime/device/cpu/c.h"),
                           ("plugins/onnx/b.c", "core/a.h"), ("plugins/onnx/b.c", "trivet/runtime.h"),
                           ("plugins/x/b.c", "runtime/r.h"), ("include/trivet/b.h", "core/a.h")):
            self.assertTrue(complaints(path, name), (path, name))

    def test_calls(self):
        self.assertEqual(self.broken(check_tree.calls, {
            "core/a.c": 'snprintf(a); x.free(p); h->malloc(1); log("exit(1)"); // abort()\n',
            "core/b.c": "  free(p);\n", "core/c.c": "exit(1);\n", "plugins/d.c": 'getenv("A");\n', "core/e.c": "printf (x);\n",
            "core/base/allocator.c": "free(p);\n", "tools/f.c": "printf(x);\n"}),
            ["core/b.c", "core/c.c", "plugins/d.c", "core/e.c"])


    def test_plugins_listed(self):
        plugin = 'trivet_plugin(\n    name = "x",\n)\n'
        self.assertEqual(self.broken(check_tree.plugins_listed, {
            "tests/layering/BUILD": '_A = ["//plugins/a:a.so"]\n', "plugins/a/BUILD": plugin, "plugins/b/BUILD": plugin,
            "plugins/BUILD": "# nothing\n"}), ["plugins/b/BUILD"])


class Counting(unittest.TestCase):
    def test_gtest_report(self):
        report = ('<testsuites><testsuite>'
                  '<testcase name="Ok" classname="A" status="run" result="completed"/>'
                  '<testcase name="Bad" classname="A" status="run"><failure message="x"/></testcase>'
                  '<testcase name="Skip" classname="A" status="run" result="skipped"><skipped message="a&#x0A;no device"/></testcase>'
                  '<testcase name="Off" classname="A" status="notrun"/></testsuite></testsuites>')
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "test.xml"
            path.write_text(report)
            self.assertEqual(count_tests.cases(path), (1, ["A.Bad"], [("A.Skip", "no device")]))
            events = [
                {"id": {"testResult": {"label": "//a:good"}}, "testResult": {"status": "PASSED"}},
                {"id": {"testResult": {"label": "//a:bad"}}, "testResult": {"status": "TIMEOUT"}},
                {"id": {"testResult": {"label": "//a:cases"}}, "testResult": {"status": "FAILED", "testActionOutput": [
                    {"name": "test.xml", "uri": "file://" + str(path)}]}},
                {"id": {"targetCompleted": {"label": "//a:good"}}, "completed": {"success": True}},
                {"id": {"targetCompleted": {"label": "//a:unbuilt"}}, "completed": {}},
            ]
            (pathlib.Path(folder) / "events").write_text("\n".join(map(json.dumps, events)))
            tally = pathlib.Path(folder) / "tally"
            saved, sys.argv = sys.argv, ["", folder + "/events", str(tally)]
            try:
                with contextlib.redirect_stdout(io.StringIO()) as said:
                    count_tests.main()
            finally:
                sys.argv = saved
            self.assertIn("FAILED //a:unbuilt (not built)", said.getvalue())
            self.assertEqual(tally.read_text(), "2 3 1\n")


if __name__ == "__main__":
    unittest.main()
