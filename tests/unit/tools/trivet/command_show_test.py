#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The commands that show something: inspect, opt, plugins, doctor, bench and every --help; and build and run themselves."""
import html.parser
import json
import re

import command_support as support

COMMANDS = ("build", "run", "bench", "inspect", "opt", "plugin", "plugins", "doctor")


class Page(html.parser.HTMLParser):
    """Tags that are open, and every address that a browser would follow."""

    def __init__(self, text):
        super().__init__()
        self.open, self.addresses, self.tags = [], [], set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "xlink:href", "data", "action")]
        if tag not in ("meta", "link", "br", "hr", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"


class Show(support.CommandTest):
    def setUp(self):
        super().setUp()
        self.good("build", "net.txt", "-o", "net.plan")

    def test_help(self):
        overview = self.good("--help").out
        self.assertEqual(self.good("help").out, overview)
        for command in COMMANDS:
            self.assertRegex(overview, rf"(?m)^  {command} +\S")
            for option in ("--help", "-h"):
                text = self.good(command, option).out
                self.assertTrue(text.startswith(f"trivet {command}"), text[:80])
                self.assertGreater(text.count("\n"), 3, command)
            for line in text.splitlines():
                self.assertLessEqual(len(line), 100, line)

    def test_help_names_every_option(self):
        # What the help of a command names in its first column, the command takes.
        for command in COMMANDS:
            text = self.good(command, "--help").out
            for line in text.splitlines():
                column = re.match(r"  (?:-\w, )?(--[\w-]+)", line)
                if column:
                    result = self.run_it(command, column.group(1), "--help")
                    self.assertNotIn("unknown option", result.err, f"{command} {column.group(1)}")

    def test_version(self):
        self.assertRegex(self.good("--version").out, r"^trivet \d+\.\d+\.\d+\n$")

    def test_run(self):
        x = [1.0, 2.0, 3.0, 4.0, -1.0, 0.5, 0.0, 2.0]
        support.npz(self.folder / "in.npz", x=support.npy(x, (2, 4)))
        self.write("x.npy", support.npy(x, (2, 4)))
        self.write("raw.bin", support.struct.pack("<8f", *x))
        self.write("folder/x.npy", support.npy(x, (2, 4)))
        found = []
        for given in (["in.npz"], ["x.npy"], ["x=x.npy"], ["x=raw.bin", "--shapes", "x:2x4"], ["folder"]):
            self.good("run", "net.plan", "-o", "out.npz", "-i", *given)
            found.append(support.load_npz(self.folder / "out.npz")["y"])
        self.assertTrue(all(f == found[0] for f in found))
        shape, values, _ = found[0]
        self.assertEqual(shape, (2, 3))
        w, b = [[3.0 * i + j + 1 for j in range(3)] for i in range(4)], [0.5, -1.0, 2.0]
        for r in range(2):
            for j in range(3):
                a = sum(x[4 * r + i] * w[i][j] for i in range(4)) + b[j]
                wanted = a / (1 + 2.718281828459045 ** -a)
                self.assertAlmostEqual(values[3 * r + j], wanted, delta=1e-4)

    def test_inspect_text(self):
        graph = self.good("inspect", "net.txt", "--constants").out
        self.write("again.txt", graph)
        self.assertEqual(self.good("inspect", "again.txt", "--constants").out, graph)
        self.assertEqual(self.good("inspect", "-", "--constants", stdin=graph).out, graph)
        plan = self.good("inspect", "net.plan").out
        for part in ('input "x" f32[n, 4]', 'output "y" f32[n, 3]', "symbol n: 1..64", 'program 0 for "cpu"'):
            self.assertIn(part, plan)
        self.good("inspect", "net.plan", "-o", "plan.txt")
        self.assertEqual((self.folder / "plan.txt").read_text(), plan)

    def test_inspect_a_plan_needs_no_plugin(self):
        self.write("empty/readme", "")
        text = self.good("inspect", "net.plan").out
        self.assertEqual(self.good("inspect", "net.plan", "--plugin-path", self.folder / "empty").out, text)

    def test_inspect_json(self):
        graph = json.loads(self.good("inspect", "net.txt", "--json").out)
        plan = json.loads(self.good("inspect", "net.plan", "--json").out)
        self.assertIn("std.Sigmoid", json.dumps(graph))
        self.assertEqual(plan["format_major"], 1)
        self.assertTrue(plan["programs"][0]["layers"])
        # Names are escaped, whatever they hold.
        odd = support.NETWORK.replace('output "y"', 'output "q\\"\\\\uote"')
        self.write("odd.txt", odd)
        self.assertIn('q\\"\\\\uote', self.good("inspect", "odd.txt", "--json").out)
        json.loads(self.good("inspect", "odd.txt", "--json").out)
        self.good("build", "odd.txt", "-o", "odd.plan", "--json", "report.json")
        json.loads(self.good("inspect", "odd.plan", "--json").out)
        json.loads((self.folder / "report.json").read_text())

    def test_inspect_html(self):
        self.write("odd.txt", support.NETWORK.replace('"y"', '"<script>alert(1)</script>&"'))
        self.good("build", "odd.txt", "-o", "odd.plan")
        for words in (["net.txt"], ["net.plan"], ["net.plan", "--times"], ["odd.txt"], ["odd.plan"]):
            self.good("inspect", *words, "--html", "page.html")
            text = (self.folder / "page.html").read_text()
            page = Page(text)
            self.assertEqual(page.open, [], words)
            self.assertIn("svg", page.tags)
            # One file that needs nothing else: no address at all that is not inside of it.
            self.assertEqual([a for a in page.addresses if not a.startswith(("#", "data:"))], [])
            self.assertNotRegex(text, r"@import|url\((?!#)|fetch\(|XMLHttpRequest|import\(")
            self.assertNotIn("alert(1)</script>", text)

    def test_opt(self):
        text = self.good("opt", "net.txt", "-p", "").out
        self.assertIn("std.Sigmoid", text)
        done = self.good("opt", "net.txt", "-p", "(recognize-swish,remove-dead)*", "--constants").out
        self.assertIn("std.Swish", done)
        self.assertNotIn("std.Sigmoid", done)
        self.assertEqual(self.good("opt", "-", "-p", "", "--constants", stdin=done).out, done)
        self.assertIn("std.Sigmoid", self.good("opt", "net.txt", "-p", "recognize-swish", "--stop-after", "0").out)
        self.assertIn("std.Sigmoid", self.good("opt", "net.txt", "--disable", "recognize-swish").out)
        (self.folder / "dump").mkdir()
        self.good("opt", "net.txt", "--dump", "dump", "--verify", "-o", "out.txt")
        self.assertTrue(any("recognize-swish" in p.name for p in (self.folder / "dump").iterdir()))
        self.assertIn("std.Swish", (self.folder / "out.txt").read_text())

    def test_plugins(self):
        listing = self.good("plugins").out
        for name in ("ops_standard", "passes", "cpu", "onnx", "cpu_onednn"):
            self.assertIn(f"{name}.so", listing)
        self.assertRegex(listing, r"\d{3} operators")
        everything = self.good("plugins", "--all").out
        self.assertIn("operator std.Relu/1", everything)
        self.assertIn("recognize-swish", everything)
        # A second copy of a loaded plugin is refused, and says beside what.
        folder = next(f for f in support.PLUGINS.split(":") if (support.pathlib.Path(f) / "ops_standard.so").exists())
        again = self.run_it("plugins", f"{folder}/ops_standard.so")
        self.assertEqual(again.code, 1)
        self.assertIn("refused", again.out)
        self.assertIn("already loaded", again.out)

    def test_doctor(self):
        report = self.good("doctor").out
        for part in ("processor", "threads", "memory", "oneDNN", "plugins"):
            self.assertIn(part, report)
        self.assertNotIn("MISSING", report)

    def test_bench(self):
        report = self.good("bench", "net.plan", "--iterations", "20", "--profile").out
        self.assertRegex(report, r"(?i)p50|median")
        self.assertRegex(report, r"(?i)p99")

    def test_builds_say_what_they_did(self):
        self.assertRegex(self.good("build", "net.txt", "-o", "b.plan").out, r"^b\.plan: .* MB, parsed in .* s, built in")
        self.assertEqual(self.run_it("build", "net.txt", "-o", "b.plan").err.count("\r"), 0)


if __name__ == "__main__":
    support.main()
