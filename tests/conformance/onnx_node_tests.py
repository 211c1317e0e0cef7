#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the node tests of the installed package onnx on the CPU target and says what passed.

Every case is written as a folder; a native program (node_runner) builds and runs them in a few processes, where a crash
is the failure of one case; this script judges the outputs by the tests' own tolerances. A case that we answer
with "unsupported" because an input that fixes a shape (axes, sizes) is not known when building is tried once more
with those inputs as constants; such passes are counted aloud. Training operators are left out. Must not call a case
unsupported on its own: that is the runner's answer, and it must name an operator of the case.

    onnx_node_tests.py [--filter REGEX] [--every N] [--verbose] [--docs FILE] [--json FILE] [--engine onnxruntime]

--engine onnxruntime is a check of this script itself: onnxruntime stands in for us.
"""
import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import node_cases  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run_native(folders, jobs):
    """Has the runner work through the folders; it leaves a file result.txt and outputs in each."""
    runner = pathlib.Path(os.environ.get("TRIVET_NODE_RUNNER")
                          or ROOT / "bazel-bin" / "tests" / "conformance" / "node_runner")
    if not runner.exists():
        sys.exit(f"onnx node tests: there is no {runner}; run this through ./dev onnx-tests")
    text = "".join(f"{folder}\n" for folder in folders)
    done = subprocess.run([str(runner), "--jobs", str(jobs)], input=text, text=True)
    if done.returncode:
        sys.exit(f"onnx node tests: {runner} ended with {done.returncode}")


def run_onnxruntime(folders):
    """Stands in for the runner: the same files, written by onnxruntime."""
    import onnx
    import onnxruntime
    from onnx import numpy_helper
    onnx_type = {name: number for number, (name, _) in node_cases.DTYPES.items()}
    for folder in folders:
        arrays, outputs = {}, []
        for line in (folder / "case.txt").read_text().splitlines():
            kind, name, *rest = line.split("\t")
            if kind == "output":
                outputs.append(name)
                continue
            dtype, dims, file = rest
            tensor = onnx.TensorProto(data_type=onnx_type[dtype], dims=[int(n) for n in dims.split()],
                                      raw_data=(folder / file).read_bytes())
            arrays[name] = tensor if dtype == "string" else numpy_helper.to_array(tensor)
        try:
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 4
            session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options,
                                                   providers=["CPUExecutionProvider"])
            lines = ["ok"]
            for index, value in enumerate(session.run([o or None for o in outputs], arrays)):
                tensor = numpy_helper.from_array(value)
                (folder / f"output_{index}").write_bytes(node_cases.raw_bytes(tensor))
                dims = " ".join(map(str, tensor.dims))
                lines.append(f"{node_cases.DTYPES[tensor.data_type][0]}\t{dims}\toutput_{index}")
        except Exception as error:
            lines = ["unsupported\t" + " ".join(str(error).split())]
        (folder / "result.txt").write_text("".join(line + "\n" for line in lines))


def read_result(folder):
    """(verdict, message, outputs) of a folder; outputs are (type, dims, bytes)."""
    path = folder / "result.txt"
    if not path.exists():
        return "error", "the runner left no result", []
    first, *lines = path.read_text(errors="replace").splitlines()
    verdict, _, message = first.partition("\t")
    # Which file it was is known, and its folder is another one at every run.
    message = message.replace(f"{folder / 'model.onnx'}: ", "")
    outputs = []
    for line in lines:
        dtype, dims, file = line.split("\t")
        outputs.append((dtype, [int(n) for n in dims.split()], (folder / file).read_bytes()))
    return verdict, message, outputs


def decide(case, verdict, message, outputs):
    """("P" or "F" or "U", reason) of a case from what the runner answered."""
    if verdict == "ok":
        if any(tensor is None for _, tensor in case.outputs):
            return "F", "ran, but an expected output is no tensor"
        fault = case.judge(outputs) if len(outputs) == len(case.outputs) else "wrong number of outputs"
        return ("F", fault) if fault else ("P", "")
    if verdict != "unsupported":
        return "F", f"{verdict}: {message}"
    if case.promised():
        return "F", f"unsupported, but promised: {message}"
    if not case.named_in(message):
        return "F", f"unsupported without naming an operator of the case: {message}"
    return "U", message


def run_cases(cases, root, engine, jobs, constants):
    folders = [root / ("constants" if constants else "plain") / case.name for case in cases]
    for case, folder in zip(cases, folders):
        case.write(folder, constants)
    run_onnxruntime(folders) if engine == "onnxruntime" else run_native(folders, jobs)
    return {case.name: read_result(folder) for case, folder in zip(cases, folders)}


def table(cases, verdicts):
    """Rows (operator, passed, failed, unsupported, passed as graph, of, reason), sorted by operator."""
    by_name = {c.name: c for c in cases}
    rows = collections.defaultdict(lambda: [0, 0, 0, 0, 0, ""])
    for case in cases:
        letter, reason = verdicts[case.name]
        subject, row = case.subject, None
        if case.expanded:
            origin = by_name.get(case.name.split("_expanded")[0])
            row = rows[origin.subject if origin and origin.subject else "(other graphs)"]
            row[3] += letter == "P"
            row[4] += 1
            continue
        row = rows[subject or "(other graphs)"]
        row["PFU".index(letter)] += 1
        if reason and not row[5]:
            row[5] = reason
    return sorted((name, *row) for name, row in rows.items())


def write_docs(path, rows, summary, version):
    """The operator table of the documentation."""
    lines = [
        "# Operators", "",
        "<!-- Written by `./dev onnx-tests --docs`; do not edit. -->", "",
        f"What the node tests of the Python package onnx {version} say about each ONNX operator on the CPU target.",
        "*Passed*, *failed* and *unsupported* count the tests of one node; *as graph* counts the tests of the same",
        "operator written out in smaller ones. The last column is the first answer that was not a pass. Operators",
        "of training are left out.", "", "```", *summary, "```", "",
        "What is read are tensors of numbers: strings, sequences, optionals and maps are answered with",
        "\"unsupported\". An input that decides a shape or the way data moves (axes, sizes, repeats, scales) must be",
        "known when the plan is built, as a constant or computed from constants and shapes; tests that pass such an",
        "input from outside are run with it as a constant. Loops and scans of a few known rounds are written out; the bodies of others are plans of their own.",
        "Where a published result cannot be met by anybody (random draws, rounding noise in place of zero),",
        "`tests/conformance/node_cases.py` says what is judged instead and why.", "",
        "| operator | passed | failed | unsupported | as graph | first reason |", "|---|---:|---:|---:|---:|---|"]
    for name, passed, failed, unsupported, graph, of, reason in rows:
        reason = reason.replace("|", "\\|").replace("<", "&lt;")
        reason = reason if len(reason) <= 160 else reason[:157] + "..."
        lines.append(f"| {name} | {passed} | {failed} | {unsupported} | {f'{graph} of {of}' if of else ''} | {reason} |")
    path.write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(prog="onnx-tests", description=__doc__.split("\n\n")[0])
    parser.add_argument("--filter", metavar="REGEX", help="only cases whose name matches")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth of these cases: a quick look")
    parser.add_argument("--engine", choices=("trivet", "onnxruntime"), default="trivet",
                        help="onnxruntime: self-check, onnxruntime in our place")
    parser.add_argument("--jobs", type=int, default=min(16, os.cpu_count() or 1))
    parser.add_argument("--verbose", action="store_true", help="also print why cases are unsupported")
    parser.add_argument("--docs", nargs="?", const=str(ROOT / "docs" / "operators.md"), metavar="FILE",
                        help="write the operator table (docs/operators.md)")
    parser.add_argument("--json", metavar="FILE", help="write every verdict as JSON")
    parser.add_argument("--keep", metavar="DIR", help="keep the folders of the cases in this new folder")
    args = parser.parse_args()
    cases, left_out = node_cases.collect(args.filter)
    cases = cases[::max(1, args.every)]
    if not cases:
        sys.exit("onnx node tests: no case matches")
    with tempfile.TemporaryDirectory(prefix="trivet-nodes-") as scratch:
        root = pathlib.Path(args.keep or scratch)
        results = run_cases(cases, root, args.engine, args.jobs, constants=False)
        again = [c for c in cases if results[c.name][0] == "unsupported" and c.shape_inputs()]
        retried = run_cases(again, root, args.engine, args.jobs, constants=True) if again else {}
    verdicts, helped = {}, 0
    for case in cases:
        verdicts[case.name] = decide(case, *results[case.name])
        if case.name in retried:
            verdicts[case.name] = decide(case, *retried[case.name])
            helped += verdicts[case.name][0] == "P"
    count = collections.Counter(letter for letter, _ in verdicts.values())
    for name, (letter, reason) in sorted(verdicts.items()):
        if letter == "F" or (letter == "U" and args.verbose):
            print(f"{'FAILED' if letter == 'F' else 'unsupported'} {name}: {reason}")
    unsupported = collections.Counter(
        c.named_in(verdicts[c.name][1]) for c in cases if verdicts[c.name][0] == "U")
    if unsupported:
        print("unsupported:", ", ".join(f"{name} {n}" for name, n in sorted(unsupported.items())))
    remark = f"{left_out} training tests left out; {helped} of the passes have inputs that fix a shape as constants"
    print(remark)
    summary = (f"onnx node tests: {count['P']} passed, {count['F']} failed, {count['U']} unsupported "
               f"of {len(cases)}")
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(verdicts, indent=1) + "\n")
    if args.docs and not args.filter and args.engine == "trivet":
        import onnx
        write_docs(pathlib.Path(args.docs), table(cases, verdicts), [remark, summary], onnx.__version__)
    print(summary)
    sys.exit(1 if count["F"] else 0)


if __name__ == "__main__":
    main()
