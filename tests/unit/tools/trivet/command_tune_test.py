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

    def test_one_tactic_and_one_run(self):
        layers = self.layers("many.plan")
        layer = next(i for i, l in enumerate(layers) if len(l["alternatives"]) > 1)
        last = layers[layer]["alternatives"][-1]
        for name in (last["tactic"], last["kernel"]):
            self.tune("many.plan", "one_tactic.plan", "--only", name, "--once")
            timed = re.findall(r'^  [* ] (\S+) "(.*)": [0-9.]+ us', self.good_text, re.MULTILINE)
            others = [way for l in layers for way in l["alternatives"] if name not in (way["kernel"], way["tactic"])]
            self.assertIn((last["kernel"], last["tactic"]), timed)
            steps = [l for l in layers if len(l["alternatives"]) > 1 and any(name in (w["kernel"], w["tactic"]) for w in l["alternatives"])]
            self.assertEqual(self.good_text.count("left out, it was not asked for"), sum(way in others for l in steps for way in l["alternatives"]))
            self.assertEqual(self.layers("one_tactic.plan")[layer]["alternatives"][0][
                "tactic" if name == last["tactic"] else "kernel"], name)
            self.assertEqual(sorted(self.ran("one_tactic.plan")), sorted(self.ran("one.plan")))
        # Several names: the ways of each are tried, the others are not.
        ways = [(w["kernel"], w["tactic"]) for w in layers[layer]["alternatives"]]
        two = {tactic for _, tactic in (ways[0], ways[-1])}
        self.tune("many.plan", "two.plan", "--only", ";".join(sorted(two)), "--once")
        timed = set(re.findall(r'^  [* ] \S+ "(.*)": [0-9.]+ us', self.good_text, re.MULTILINE))
        self.assertEqual(timed, two)
        # What nothing is called leaves every step as it was.
        self.tune("many.plan", "none.plan", "--only", "nobody")
        self.assertEqual([(l["alternatives"][0]["kernel"], l["alternatives"][0]["tactic"]) for l in self.layers("none.plan")],
                         [(l["alternatives"][0]["kernel"], l["alternatives"][0]["tactic"]) for l in layers])
        self.wrong(["tune", "many.plan", "-o", "t.plan", "--once", "--timing-cache", "times", *self.PLUGIN], "has no times for the cache")

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


class SeveralTargets(support.CommandTest):
    PLUGIN = ("--plugin", NULL_PLUGIN)

    def build(self, plan, *options):
        return self.good("build", "net.txt", "-o", plan, *options, *self.PLUGIN)

    def programs(self, plan):
        return json.loads(self.good("inspect", plan, "--json", *self.PLUGIN).out)["programs"]

    def ran(self, plan):
        self.good("run", plan, "-o", plan + ".npz", "--shapes", "x:5x4", *self.PLUGIN)
        return support.load_npz(self.folder / (plan + ".npz"))

    def test_build_and_merge_are_the_same(self):
        self.build("both.plan", "--target", "null:v2,null:v1")
        self.build("again.plan", "--target", "null:v2", "--target", "null:v1")
        for name in ("v1", "v2"):
            self.build(f"{name}.plan", "--target", f"null:{name}")
        self.good("merge", "v2.plan", "v1.plan", "-o", "merged.plan")
        both = (self.folder / "both.plan").read_bytes()
        self.assertEqual((self.folder / "again.plan").read_bytes(), both)
        self.assertEqual((self.folder / "merged.plan").read_bytes(), both)
        self.assertEqual([p["target"] for p in self.programs("both.plan")], ["null:v2", "null:v1"])
        self.assertEqual(self.ran("both.plan"), self.ran("v1.plan"))
        self.assertEqual([p.name for p in self.folder.glob("*.part")], [])
        # The weights are there once.
        weights = json.loads(self.good("inspect", "both.plan", "--json", *self.PLUGIN).out)["weights_size"]
        self.assertEqual(weights, json.loads(self.good("inspect", "v1.plan", "--json", *self.PLUGIN).out)["weights_size"])

    def test_none_that_runs_here(self):
        self.build("both.plan", "--target", "null:v2,null:v3")
        self.wrong(["run", "both.plan", *self.PLUGIN], "none of the plan's 2 programs, for 'null:v2', 'null:v3', runs here",
                   "the plan is for target 'null:v2', device 0 is 'null device 0', target 'null:v1'")

    def test_the_host_as_the_last_resort(self):
        self.build("both.plan", "--target", "null:v2,cpu")
        self.build("cpu.plan")
        self.assertEqual(self.ran("both.plan"), self.ran("cpu.plan"))

    def test_tune_leaves_the_others_or_drops_them(self):
        self.build("both.plan", "--target", "null:v2,null:v1", "--alternatives", "3")
        most = [max(len(l["alternatives"]) for l in p["layers"]) for p in self.programs("both.plan")]
        self.assertGreater(min(most), 1)
        self.good("tune", "both.plan", "-o", "tuned.plan", *self.PLUGIN)
        tuned = self.programs("tuned.plan")
        self.assertEqual([p["target"] for p in tuned], ["null:v2", "null:v1"])
        self.assertEqual([max(len(l["alternatives"]) for l in p["layers"]) for p in tuned], [most[0], 1])
        self.good("tune", "both.plan", "-o", "one.plan", "--this-target-only", *self.PLUGIN)
        self.assertEqual([p["target"] for p in self.programs("one.plan")], ["null:v1"])
        for plan in ("tuned.plan", "one.plan"):
            self.assertEqual(sorted(self.ran(plan)), sorted(self.ran("both.plan")))

    def test_wrong_uses(self):
        self.build("one.plan", "--target", "null:v1")
        self.wrong(["merge", "one.plan"], "needs plans and -o PLAN")
        self.wrong(["merge", "one.plan", "one.plan", "-o", "x.plan"], "plan 1: a program for target 'null:v1' is there")
        self.wrong(["merge", "net.txt", "-o", "x.plan"], "net.txt")
        self.wrong(["build", "net.txt", "-o", "x.plan", "--target", "null:v1,cpu", "--json", "x.json", *self.PLUGIN], "--json")
        self.wrong(["build", "-", "-o", "x.plan", "--target", "null:v1,cpu", *self.PLUGIN], "standard input")
        self.wrong(["build", "net.txt", "-o", "x.plan", "--target", "null:v1,nobody", *self.PLUGIN], "target 'nobody'")
        self.assertEqual([p.name for p in self.folder.glob("x.plan*")], [])


if __name__ == "__main__":
    support.main()
