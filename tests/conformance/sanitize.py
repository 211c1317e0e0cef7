#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every kernel of ours under compute-sanitizer: the families with every tactic, and the operators of the conformance tests.

    sanitize.py [--tools A,B] [--families A,B] [--precisions A,B] [--within SECONDS] [--seen FILE] [--folder DIR]

Plans are built first and run once without a tool, which says what there is to watch: the ways of a step, each a kernel or some.
Beside the networks of kernel_families.py, "operators" are the cases of operator_sweep.py and "nodes" the node tests of the
package onnx, many in one network. Then `trivet tune --once` runs under the tools, some tactics a process, long ones first; what
has findings, fails or does not end is cut in two until the finding has a name. The libraries' kernels are left out: they are not
ours to keep clean. What is not clean is printed when it is known. What has not been seen clean when time is up is printed as
missing, and is a failure; --seen keeps what was seen clean of each plan, so that the next call goes on with the rest.
"""
import argparse
import collections
import concurrent.futures
import dataclasses
import functools
import hashlib
import heapq
import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import kernel_families  # noqa: E402
import node_cases  # noqa: E402
import operator_sweep  # noqa: E402

TOOLS = ("racecheck", "initcheck", "memcheck", "synccheck")  # the slowest first
OPERATORS = ("operators", "nodes")
CASES = 40  # in one network
WAYS = 24  # of steps that a process runs first: starting one and loading the plan takes as long as ten of them


@dataclasses.dataclass(frozen=True)
class Unit:
    """What one process runs: a plan, with some of its tactics where there is a choice. Ways are (step, kernel, tactic)."""
    name: str
    plan: pathlib.Path
    fixed: frozenset  # ways of steps without a choice, which run in any case
    free: frozenset
    cost: int  # for the order: bytes of code
    parts: object  # () -> [Unit], smaller ones

    def ways(self):
        return {(self.name, *way) for way in self.fixed | self.free}


def of_tactics(name, plan, fixed, free, sizes):
    """A unit of a plan; smaller ones have half of its tactics each."""
    tactics = sorted({way[2] for way in free})

    def parts():
        if len(tactics) < 2:
            return []
        halves = (tactics[:len(tactics) // 2], tactics[len(tactics) // 2:])
        return [of_tactics(name, plan, fixed if i == 0 else frozenset(), frozenset(w for w in free if w[2] in half), sizes)
                for i, half in enumerate(halves)]

    return Unit(name, plan, fixed, free, sum(sizes[way] for way in fixed | free), parts)


def cut(unit, most):
    """Units of at most |most| ways where their tactics allow that."""
    parts = unit.parts() if len(unit.free) > most else []
    return [small for part in parts for small in cut(part, most)] or [unit]


def timed(text):
    """The ways that a report of `trivet tune` has a time for."""
    step, found = None, set()
    for line in text.splitlines():
        if head := re.match(r"step (\d+) ", line):
            step = int(head[1])
        elif way := re.match(r'  [* ] (\S+) "(.*)": [0-9.]+ us', line):
            found.add((step, way[1], way[2]))
    return found


def left_out(text):
    """Why ways could not be run that should have been."""
    return re.findall("left out, (?!it was not asked for|this machine or runtime lacks|it is not for the shapes).*", text)


def tune(plan, output, tactics=(), tool=(), seconds=120):
    only = ["--only", ";".join(tactics)] if tactics else []
    try:
        return kernel_families.run([*tool, os.environ["TRIVET"], "tune", plan, "-o", output, "--once", *only], seconds)
    finally:
        output.unlink(missing_ok=True)


def look(name, plan):
    """The unit of a whole plan, by what runs without a tool; RuntimeError: it does not."""
    done = tune(plan, plan.with_suffix(".dry"), seconds=60)
    if done.returncode or left_out(done.stdout):
        raise RuntimeError((done.stderr.strip() or left_out(done.stdout)[0])[-300:])
    shown = json.loads(kernel_families.run([os.environ["TRIVET"], "inspect", plan, "--json"]).stdout)
    sizes, fixed = {}, set()
    for i, layer in enumerate(shown["programs"][0]["layers"]):
        ways = [(i, a["kernel"], a["tactic"]) for a in layer["alternatives"] if layer["kind"] == "LAUNCH"]
        sizes |= {way: a["blob_size"] for way, a in zip(ways, layer["alternatives"])}
        fixed |= set(ways[:1]) if len(ways) == 1 else set()
    return of_tactics(name, plan, frozenset(fixed), frozenset(timed(done.stdout)), sizes)


class Cases:
    """Cases of operators, many in one network; those that cannot be built or run for the target are told in |refused|."""

    def __init__(self, folder, target):
        self.folder, self.target, self.refused = folder, target, {}

    def units(self, name, write, cases):
        model = write(self.folder / name, cases)
        plan = self.folder / f"{name}.plan"
        try:
            if not plan.exists():
                done = kernel_families.run([os.environ["TRIVET"], "build", model, "-o", plan, "--target", self.target, "--strongly-typed"])
                if done.returncode:
                    raise RuntimeError(done.stderr.strip()[-300:])
            whole = look(name if len(cases) > 1 else cases[0].name, plan)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            if len(cases) == 1:
                self.refused[cases[0].name] = str(error)
            return self.halves(name, write, cases)
        return [dataclasses.replace(whole, parts=lambda: self.halves(name, write, cases))]

    def halves(self, name, write, cases):
        half = len(cases) // 2
        pieces = ((name + "a", cases[:half]), (name + "b", cases[half:])) if half else ()
        return [unit for piece in pieces for unit in self.units(piece[0], write, piece[1])]


def write_sweep(path, cases):
    """Cases of operator_sweep as one graph text."""
    kinds = {"  input": [], "  const": [], "  %": [], "  output": []}
    for i, case in enumerate(cases):
        for line in case.text().splitlines()[1:-1]:
            line = re.sub(r"%(\w+)", rf"%c{i}_\1", line).replace('output "y"', f'output "{case.name}"')
            next(lines for start, lines in kinds.items() if line.startswith(start)).append(line)
    model = pathlib.Path(f"{path}.txt")
    model.write_text("\n".join(['graph "operators" {', *itertools.chain(*kinds.values()), "}"]) + "\n")
    return model


def write_nodes(path, cases):
    """Node tests of one version of the operators as one model."""
    import onnx
    from onnx import compose
    whole = onnx.ModelProto(ir_version=10, opset_import=cases[0].model.opset_import)
    whole.graph.name = "nodes"
    for case in cases:
        # Names of what surrounds a subgraph are kept there, so such a case is a network of its own in the end.
        model = case.with_constants()
        graph = (compose.add_prefix(model, case.name + "/") if len(cases) > 1 else model).graph
        for field in ("node", "input", "output", "initializer", "sparse_initializer"):
            getattr(whole.graph, field).extend(getattr(graph, field))
    onnx.save(whole, f"{path}.onnx")
    return pathlib.Path(f"{path}.onnx")


def batches(family):
    """[(name, how to write a model, cases)] of one kind of operators' cases."""
    groups = collections.defaultdict(list)
    if family == "operators":
        groups[""] = list(operator_sweep.cases())
    else:
        for case in node_cases.collect()[0]:
            if not case.types() & {"undefined", "string", "sequence", "optional", "map"}:
                groups["_".join(f"{o.domain}{o.version}".replace(".", "") for o in case.model.opset_import)].append(case)
    write = write_sweep if family == "operators" else write_nodes
    return [(f"{family}{group}_{i // CASES}", write, cases[i:i + CASES]) for group, cases in groups.items() for i in range(0, len(cases), CASES)]


def prepare(folder, target, families, precisions):
    """All units, and what could not be prepared by name."""
    cases, failed, units = Cases(folder, target), {}, []

    def network(family, precision):
        plan = kernel_families.build(folder, family, precision, target, "gpu", "--alternatives", "32")
        return cut(look(f"{family}_{precision}", plan), WAYS)

    for family in families:
        if family not in OPERATORS:
            kernel_families.write_model(folder, family)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = {}
        for family in families:
            if family in OPERATORS:
                jobs |= {pool.submit(cases.units, *batch): batch[0] for batch in batches(family)}
            else:
                jobs |= {pool.submit(network, family, p): f"{family}_{p}" for p in precisions}
        for job in concurrent.futures.as_completed(jobs):
            try:
                units += job.result()
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                failed[jobs[job]] = str(error)
    return units, cases.refused, failed


@functools.cache
def digest(plan):
    return hashlib.sha256(plan.read_bytes()).hexdigest()


def different(units):
    """Without the units of a plan that is another one's again, as in tf32 where nothing may be rounded."""
    first = {}
    for unit in sorted(units, key=lambda unit: unit.name):
        first.setdefault(digest(unit.plan), unit.plan)
    return [unit for unit in units if unit.plan in first.values()]


def verdict(text, returned):
    """(word, details): clean, findings, or failed, where the tool itself or what it watched gave up and nothing is known."""
    if inner := re.search("Internal Sanitizer Error: (.*)|=+ (Error: .*not supported.*)", text):
        return "failed", (inner[1] or inner[2]).strip()
    findings = re.findall(r"=+ (?:Error: |Warning: )?((?:Invalid|Uninit|Race|Potential|Program hit|Barrier|Misaligned|Address).*)", text)
    kernels = re.findall(r"=+\s+(?:at|and|in) .*?(\w*cuda_\w+)", text)
    count = re.search(r"(?:ERROR|RACECHECK) SUMMARY: (\d+)", text)
    if returned == 0 and count and count[1] == "0" and not left_out(text):
        return "clean", ""
    if findings:
        return "findings", f"{count[1] if count else '?'}: {sorted(set(findings))[:2]} in {sorted(set(kernels))[:3]}"
    if returned == 0 and left_out(text):
        return "failed", left_out(text)[0]
    last = [line for line in text.splitlines() if line.startswith("trivet") or "Error:" in line]
    return "failed", (last[-1] if last else text[-200:].strip())[:200]


class Seen:
    """Ways of plans that a tool has found clean, kept in a file: {tool: {hash of the plan: [way]}}."""

    def __init__(self, path):
        self.path = path and pathlib.Path(path)
        kept = json.loads(self.path.read_text()) if self.path and self.path.exists() else {}
        self.ways = {tool: {plan: {tuple(way) for way in ways} for plan, ways in plans.items()} for tool, plans in kept.items()}

    def has(self, tool, unit):
        return unit.fixed | unit.free <= self.ways.get(tool, {}).get(digest(unit.plan), set())

    def add(self, tool, unit, ways):
        self.ways.setdefault(tool, {}).setdefault(digest(unit.plan), set()).update(ways)
        if self.path and ways:
            fresh = self.path.with_suffix(".new")
            fresh.write_text(json.dumps({t: {plan: sorted(ways) for plan, ways in plans.items()} for t, plans in self.ways.items()}))
            fresh.replace(self.path)


class Watch:
    """Units under tools, |jobs| processes at once, |seconds| for each, until |end|."""

    def __init__(self, folder, seconds, end, seen):
        self.program = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
        self.folder, self.seconds, self.end, self.seen, self.count = folder, seconds, end, seen, itertools.count()
        self.wanted, self.clean = collections.defaultdict(set), collections.defaultdict(set)  # ways by tool
        self.last = time.monotonic()
        self.notes, self.spent = [], []  # of what cannot be cut: (tool, unit, word, details); (seconds, tool, unit)

    def smaller(self, unit):
        """Its parts, where there is time for them."""
        return unit.parts() if time.monotonic() < self.end - 5 else []

    def one(self, number, tool, unit):
        tactics = sorted({way[2] for way in unit.free})
        line = [self.program, "--tool", tool, "--report-api-errors", "no", "--error-exitcode", "9", "--print-limit", "20"]
        start = time.monotonic()
        try:
            done = tune(unit.plan, self.folder / f"{number}.out", tactics, line, min(self.seconds, self.end - start))
        except subprocess.TimeoutExpired:
            return "late", f"not done in {time.monotonic() - start:.0f} s", set(), self.smaller(unit)
        self.spent.append((time.monotonic() - start, tool, unit))
        word, details = verdict(done.stdout + done.stderr, done.returncode)
        if word != "clean":
            (self.folder / f"{number}_{tool}_{unit.name}.log").write_text(done.stdout + done.stderr)
        seen = unit.fixed | (unit.free & timed(done.stdout)) if word == "clean" else set()
        return word, details, seen, self.smaller(unit) if word != "clean" else []

    def told(self):
        """How far this is, every ten seconds."""
        if time.monotonic() - self.last > 10:
            self.last = time.monotonic()
            print("  " + ", ".join(f"{tool} {len(self.clean[tool])} of {len(ways)}" for tool, ways in self.wanted.items())
                  + f", {self.end - self.last:.0f} s left", flush=True)

    def all(self, units, tools, jobs):
        waiting, running = [], {}

        def add(tool, unit):
            self.wanted[tool] |= unit.ways()
            heapq.heappush(waiting, (TOOLS.index(tool), -unit.cost, next(self.count), tool, unit))

        for tool, unit in itertools.product(tools, units):
            if self.seen.has(tool, unit):
                self.wanted[tool] |= unit.ways()
                self.clean[tool] |= unit.ways()
            else:
                add(tool, unit)
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            while waiting or running:
                while waiting and len(running) < jobs and time.monotonic() < self.end - 2:
                    *_, number, tool, unit = heapq.heappop(waiting)
                    running[pool.submit(self.one, number, tool, unit)] = tool, unit
                if not running:
                    return
                for future in concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED).done:
                    tool, unit = running.pop(future)
                    word, details, seen, parts = future.result()
                    self.clean[tool] |= {(unit.name, *way) for way in seen}
                    self.seen.add(tool, unit, seen)
                    if parts:
                        self.wanted[tool] -= unit.ways()
                    for part in parts:
                        add(tool, part)
                    if word != "clean" and not parts:
                        self.notes.append((tool, unit, word, details))
                        print(f"{tool} {unit.name} {sorted({way[2] for way in unit.free}) or ''}: {word}, {details}", flush=True)
                self.told()


def report(watch, tools, refused, failed):
    """Prints what was found and what was not seen; True: everything is clean."""
    failed |= {name: why for name, why in refused.items() if "CUDA_ERROR" in why}
    for name, why in sorted(failed.items()):
        print(f"FAILED {name} could not be prepared: {why}")
    if refused:
        print(f"{len(refused)} cases of operators are not for the target, or not alone: {' '.join(sorted(refused)[:8])} ...")
    found, missing = sum(word == "findings" for _, _, word, _ in watch.notes), len(failed)
    for tool in tools:
        lacking = collections.defaultdict(set)
        for name, step, kernel, tactic in watch.wanted[tool] - watch.clean[tool]:
            lacking[name].add(f"{step} {kernel} {tactic}")
        missing += sum(map(len, lacking.values()))
        for name, ways in sorted(lacking.items()):
            print(f"missing: {tool} {name}, {len(ways)}: {'; '.join(sorted(ways)[:12])}")
    for seconds, tool, unit in sorted(watch.spent, key=lambda s: -s[0])[:6]:
        print(f"slow: {seconds:5.1f} s {tool} {unit.name}, {len(unit.free)} ways with {len({w[2] for w in unit.free})} tactics")
    for tool in tools:
        times = [s for s, t, _ in watch.spent if t == tool]
        print(f"{tool}: {len(times)} processes, {sum(times):.0f} s")
    print("sanitize: " + ", ".join(f"{tool} {len(watch.clean[tool])} kernels clean" for tool in tools)
          + f"; {found} findings, {missing} missing")
    return found == 0 and missing == 0


def main():
    parser = argparse.ArgumentParser(prog="sanitize", description=__doc__.split("\n\n")[0])
    parser.add_argument("--target", default=os.environ.get("TRIVET_TARGET", "cuda"))
    parser.add_argument("--folder", help="keep models, plans and logs of what is not clean there")
    parser.add_argument("--families", default=",".join([*kernel_families.FAMILIES, *OPERATORS]))
    parser.add_argument("--precisions", default="f32,tf32,f16,bf16")
    parser.add_argument("--tools", default="memcheck,racecheck,initcheck")
    parser.add_argument("--seen", metavar="FILE", help="what was seen clean, read and added to")
    parser.add_argument("--within", type=int, default=300, help="seconds for all of it (%(default)s)")
    parser.add_argument("--seconds", type=int, default=90, help="for one process (%(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    args = parser.parse_args()
    start, tools = time.monotonic(), args.tools.split(",")
    with tempfile.TemporaryDirectory(prefix="trivet-sanitize-") as scratch:
        folder = pathlib.Path(args.folder or scratch).resolve()
        os.environ["TRIVET_PLUGIN_PATH"] = kernel_families.own_plugins(folder)
        units, refused, failed = prepare(folder, args.target, args.families.split(","), args.precisions.split(","))
        units = different(units)
        print(f"{len(units)} units, {sum(len(u.fixed | u.free) for u in units)} kernels, prepared in {time.monotonic() - start:.0f} s", flush=True)
        watch = Watch(folder, args.seconds, start + args.within, Seen(args.seen))
        watch.all(units, tools, args.jobs)
        good = report(watch, tools, refused, failed)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
