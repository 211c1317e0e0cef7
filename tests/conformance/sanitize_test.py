#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests sanitize.py: what is planted must be found by name, and what was not seen clean must be counted as missing.

A script stands in for the command `trivet` and another one for compute-sanitizer. Needs no build and no device.
"""
import contextlib
import io
import os
import pathlib
import stat
import sys
import tempfile
import time
import unittest
from unittest import mock

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import operator_sweep  # noqa: E402
import sanitize  # noqa: E402

# Two steps with a choice and one without; `tune` says what it was asked to run, and does not end with the tactic "hangs".
TRIVET = """#!/usr/bin/env python3
import json, sys, time
tactics = ["a", "b", "racy", "breaks", "hangs", "c"]
if sys.argv[1] == "inspect":
    way = lambda tactic: {"kernel": "k", "tactic": tactic, "blob_size": 1}
    layers = [[way(t) for t in tactics], [way("fixed")], [way("a"), way("c")]]
    print(json.dumps({"programs": [{"layers": [{"kind": "LAUNCH", "alternatives": layer} for layer in layers]}]}))
else:
    asked = sys.argv[sys.argv.index("--only") + 1].split(";") if "--only" in sys.argv else tactics
    for step, ways in ((0, tactics), (2, ["a", "c"])):
        print(f"step {step} x")
        for tactic in ways:
            print(f'    k "{tactic}": ' + ("1.00 us" if tactic in asked else "left out, it was not asked for"))
    if "--only" in sys.argv and "hangs" in asked:
        sys.stdout.flush()
        time.sleep(60)
"""
TOOL = """#!/bin/bash
while [[ $1 == --* ]]; do shift 2; done
out=$("$@") || exit
printf '%s\\n' "$out"
case $out in *'"breaks": 1'*) echo "========= Internal Sanitizer Error: planted"; exit 1 ;; esac
case $out in *'"racy": 1'*)
  echo "========= Error: Race reported between Write access at cuda_planted_f16+0x10"; echo "========= RACECHECK SUMMARY: 1 hazard"; exit 9 ;; esac
echo "========= ERROR SUMMARY: 0 errors"
"""


class WatchTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        for name, text in (("trivet", TRIVET), ("compute-sanitizer", TOOL)):
            (self.folder / name).write_text(text)
            (self.folder / name).chmod(stat.S_IRWXU)
        environment = {"TRIVET": str(self.folder / "trivet"), "PATH": f"{self.folder}:{os.environ['PATH']}"}
        self.enterContext(mock.patch.dict(os.environ, environment))
        (self.folder / "net.plan").write_text("a plan")
        sanitize.digest.cache_clear()
        self.unit = sanitize.look("net", self.folder / "net.plan")

    def watch(self, units, seconds=1, within=30, seen=None):
        watch = sanitize.Watch(self.folder, seconds, time.monotonic() + within, sanitize.Seen(seen))
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            watch.all(units, ["racecheck"], 4)
            good = sanitize.report(watch, ["racecheck"], {}, {})
        return watch, good, out.getvalue()

    def test_what_there_is_to_watch(self):
        self.assertEqual(self.unit.fixed, {(1, "k", "fixed")})
        self.assertEqual(len(self.unit.free), 8)
        units = sanitize.cut(self.unit, 3)
        self.assertEqual(frozenset().union(*(u.free for u in units)), self.unit.free)
        self.assertEqual(sum(len(u.free) for u in units), 8)
        self.assertEqual([len(u.fixed) for u in units].count(1), 1)
        self.assertTrue(all(len(u.free) <= 3 for u in units))

    def test_each_fault_gets_the_name_of_its_tactic(self):
        watch, good, text = self.watch([self.unit])
        self.assertFalse(good)
        words = {next(iter(unit.free))[2]: word for _, unit, word, _ in watch.notes}
        self.assertEqual(words, {"racy": "findings", "breaks": "failed", "hangs": "late"})
        self.assertIn("cuda_planted_f16", text)
        self.assertIn("sanitize: racecheck 6 kernels clean; 1 findings, 3 missing", text)

    def test_clean(self):
        part = next(u for u in sanitize.cut(self.unit, 3) if not {w[2] for w in u.free} & {"racy", "breaks", "hangs"})
        _, good, text = self.watch([part])
        self.assertTrue(good, text)
        self.assertIn("; 0 findings, 0 missing", text)

    def test_what_had_no_turn_is_missing(self):
        _, good, text = self.watch([self.unit], within=1)
        self.assertFalse(good)
        self.assertIn("sanitize: racecheck 0 kernels clean; 0 findings, 9 missing", text)
        self.assertIn("missing: racecheck net, 9: ", text)

    def test_the_next_call_goes_on_with_the_rest(self):
        seen, units = self.folder / "seen.json", sanitize.cut(self.unit, 3)
        first, _, _ = self.watch(units, seen=seen)
        again, good, text = self.watch(units, within=1, seen=seen)  # no time for anything
        self.assertFalse(good)
        self.assertTrue(again.clean["racecheck"])
        self.assertLessEqual(again.clean["racecheck"], first.clean["racecheck"])
        self.unit.plan.write_text("another plan")
        sanitize.digest.cache_clear()
        other, _, text = self.watch(units, within=1, seen=seen)
        self.assertIn("racecheck 0 kernels clean", text)
        self.assertFalse(other.clean["racecheck"])

    def test_what_a_report_of_a_tool_means(self):
        clean = "========= ERROR SUMMARY: 0 errors"
        self.assertEqual(sanitize.verdict(clean, 0)[0], "clean")
        self.assertEqual(sanitize.verdict(clean, 1)[0], "failed")
        self.assertEqual(sanitize.verdict("", 0)[0], "failed")  # the tool said nothing
        self.assertEqual(sanitize.verdict("========= Device not supported\n" + clean.replace("0 e", "1 e"), 0)[0], "failed")
        self.assertEqual(sanitize.verdict('  k "t": left out, CUDA_ERROR_LAUNCH_FAILED\n' + clean, 0)[0], "failed")
        word, details = sanitize.verdict("========= Invalid __global__ read of size 4\n=========     at cuda_x_f32+0x10\n"
                                         "========= ERROR SUMMARY: 3 errors", 9)
        self.assertEqual(word, "findings")
        self.assertIn("cuda_x_f32", details)


class CasesTest(unittest.TestCase):
    def test_cases_of_the_sweep_in_one_text(self):
        with tempfile.TemporaryDirectory() as name:
            cases = list(operator_sweep.cases())[:5]
            text = sanitize.write_sweep(pathlib.Path(name) / "some", cases).read_text()
        self.assertEqual(text.count("\n  output "), 5)
        for i, case in enumerate(cases):
            self.assertIn(f"%c{i}_y = std.{case.operator}(%c{i}_x)", text)
            self.assertIn(f'output "{case.name}": %c{i}_y', text)

    def test_node_tests_share_models_of_their_version(self):
        import onnx
        batches = sanitize.batches("nodes")
        self.assertEqual(len({name for name, _, _ in batches}), len(batches))
        self.assertGreater(sum(len(cases) for _, _, cases in batches), 1700)
        name, write, cases = batches[0]
        with tempfile.TemporaryDirectory() as folder:
            model = onnx.load(write(pathlib.Path(folder) / name, cases))
        self.assertEqual(len(model.graph.output), sum(len(case.model.graph.output) for case in cases))


if __name__ == "__main__":
    unittest.main()
