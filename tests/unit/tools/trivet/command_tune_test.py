#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`trivet build --alternatives` and `trivet tune`: several ways to do a step, the fastest of which stays.

Runs on the CPU and on the target without hardware, whose device is measured like any other.
"""
import json
import os
import re

import command_support as support

NULL_PLUGIN = os.path.abspath(os.environ["TRIVET_NULL_PLUGIN"])


class Tuning:
    """What holds on every target."""
    OPTIONS = ()
    PLUGIN = ()

    def setUp(self):
        super().setUp()
        self.good("build", "net.txt", "-o", "one.plan", *self.OPTIONS, *self.PLUGIN)
        self.good("build", "net.txt", "-o", "many.plan", "--alternatives", "3", *self.OPTIONS, *self.PLUGIN)

    def layers(self, plan):
        found = json.loads(self.good("inspect", plan, "--json", *self.PLUGIN).out)
        return found["programs"][0]["layers"]

    def tune(self, source, plan, *options):
        self.good_text = self.good("tune", source, "-o", plan, *options, *self.PLUGIN).out
        return (self.folder / plan).read_bytes()

    def ran(self, plan):
        self.good("run", plan, "-o", plan + ".npz", "--shapes", "x:5x4", *self.PLUGIN)
        return support.load_npz(self.folder / (plan + ".npz"))

    def test_the_first_way_is_the_plan_without_alternatives(self):
        one, many = self.layers("one.plan"), self.layers("many.plan")
        self.assertEqual([len(layer["alternatives"]) for layer in one], [1] * len(one))
        self.assertGreater(max(len(layer["alternatives"]) for layer in many), 1)
        for a, b in zip(one, many, strict=True):
            for key in ("kernel", "tactic", "blob_size"):
                self.assertEqual(a["alternatives"][0][key], b["alternatives"][0][key])
        self.assertEqual(self.ran("one.plan"), self.ran("many.plan"))

    def test_one_stays_and_results_do_too(self):
        tuned = self.tune("many.plan", "tuned.plan", "--timing-cache", "times")
        self.assertIn("steps had alternatives", self.good_text)
        self.assertRegex(self.good_text, r'\* \S+ "[^"]*": [0-9.]+ us')
        self.assertEqual([len(layer["alternatives"]) for layer in self.layers("tuned.plan")], [1] * len(self.layers("one.plan")))
        self.assertLessEqual(len(tuned), (self.folder / "many.plan").stat().st_size)
        for name, (shape, values, _) in self.ran("one.plan").items():
            other = self.ran("tuned.plan")[name]
            self.assertEqual(shape, other[0])
            for a, b in zip(values, other[1], strict=True):
                self.assertAlmostEqual(a, b, places=5)
        # What was tuned has nothing left to choose.
        self.assertEqual(self.tune("tuned.plan", "again.plan"), tuned)

    def test_times_decide_and_equal_times_give_equal_bytes(self):
        first = self.tune("many.plan", "a.plan", "--timing-cache", "times")
        times = (self.folder / "times").read_text()
        self.assertEqual(self.tune("many.plan", "b.plan", "--timing-cache", "times"), first)
        self.assertEqual((self.folder / "times").read_text(), times)
        self.assertIn("(known)", self.good_text)
        # The last way of every step wins when the file says so.
        layer = next(i for i, l in enumerate(self.layers("many.plan")) if len(l["alternatives"]) > 1)
        last = self.layers("many.plan")[layer]["alternatives"][-1]
        lines = []
        for line in times.splitlines():
            entry = re.fullmatch(r'(\w+ (\S+)/\d+ "(.*)") \d+', line)
            wins = entry and entry[2] == last["kernel"] and entry[3] == last["tactic"]
            lines.append(line if not entry else f"{entry[1]} {10 if wins else 1000}")
        self.write("edited", "\n".join(lines) + "\n")
        self.tune("many.plan", "c.plan", "--timing-cache", "edited")
        chosen = self.layers("c.plan")[layer]["alternatives"]
        self.assertEqual([(a["kernel"], a["tactic"]) for a in chosen], [(last["kernel"], last["tactic"])])
        self.assertIn("100.00 times the best", self.good_text)
        self.assertEqual(sorted(self.ran("c.plan")), sorted(self.ran("one.plan")))

    def test_wrong_uses(self):
        self.wrong(["tune", "many.plan", *self.PLUGIN], "needs a plan and -o PLAN")
        self.wrong(["tune", "nowhere.plan", "-o", "t.plan", *self.PLUGIN], "nowhere.plan")
        self.wrong(["tune", "net.txt", "-o", "t.plan", *self.PLUGIN], "net.txt")
        self.write("other", "trivet timing cache 1\ndevice another one\n")
        self.wrong(["tune", "many.plan", "-o", "t.plan", "--timing-cache", "other", *self.PLUGIN], "another one")
        self.assertFalse((self.folder / "t.plan").exists())
        self.wrong(["build", "net.txt", "-o", "t.plan", "--alternatives", "33", *self.OPTIONS, *self.PLUGIN], "--alternatives")


class OnTheCpu(Tuning, support.CommandTest):
    pass


class WithoutHardware(Tuning, support.CommandTest):
    OPTIONS = ("--target", "null")
    PLUGIN = ("--plugin", NULL_PLUGIN)

    def test_a_plan_without_its_plugin(self):
        self.wrong(["tune", "many.plan", "-o", "t.plan"], "null")


if __name__ == "__main__":
    support.main()
