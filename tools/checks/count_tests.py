#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts what a `bazel test` run did, from the events that Bazel wrote about it.

Stands after each run of Bazel in run_tests.sh. A GoogleTest program counts as its cases, any other test as one; a
target that did not build or ended without a report counts as one failure. Must not judge: what Bazel says is counted.

    count_tests.py EVENTS.json TALLY    append "passed failed skipped" to TALLY, name failures and skips on stdout
"""
import json
import sys
import urllib.parse
import xml.etree.ElementTree


def cases(path):
    """(passed, names failed, names skipped) of a GoogleTest report; None for another kind of test."""
    try:
        root = xml.etree.ElementTree.parse(path).getroot()
    except (OSError, xml.etree.ElementTree.ParseError):
        return None
    found = [c for c in root.iter("testcase")]
    if not any("classname" in c.attrib for c in found):
        return None
    name = lambda c: f"{c.get('classname')}.{c.get('name')}"
    failed = [name(c) for c in found if c.find("failure") is not None or c.find("error") is not None]
    skipped = [(name(c), reason(c)) for c in found if c.find("skipped") is not None or c.get("result") == "skipped"]
    ran = sum(1 for c in found if c.get("status") != "notrun")
    return ran - len(failed) - len(skipped), failed, skipped


def reason(case):
    node = case.find("skipped")
    text = (node.get("message") or node.text or "").strip().split("\n") if node is not None else [""]
    return text[-1]


def main():
    results, unbuilt = {}, set()
    with open(sys.argv[1]) as events:
        for line in events:
            event = json.loads(line)
            identity = event.get("id", {})
            if "testResult" in event:
                results[(identity["testResult"]["label"], identity["testResult"].get("shard", 0))] = event["testResult"]
            elif "targetCompleted" in identity and not event.get("completed", {}).get("success"):
                unbuilt.add(identity["targetCompleted"]["label"])
    passed = failed = skipped = 0
    seen = set()
    for (label, _), result in sorted(results.items()):
        seen.add(label)
        report = next((o["uri"] for o in result.get("testActionOutput", []) if o.get("name") == "test.xml"), "")
        counted = cases(urllib.parse.unquote(report[len("file://"):])) if report.startswith("file://") else None
        good = result.get("status") == "PASSED"
        if counted is None:
            passed, failed = passed + good, failed + (not good)
            if not good:
                print(f"FAILED {label} ({result.get('status')})")
            continue
        ok, names, skips = counted
        passed, failed, skipped = passed + ok, failed + len(names), skipped + len(skips)
        for name in names:
            print(f"FAILED {label} {name}")
        for name, why in skips:
            print(f"skipped {label} {name}: {why}")
        if not good and not names:
            failed += 1
            print(f"FAILED {label} ({result.get('status')}, no case reported it)")
    for label in sorted(unbuilt - seen):
        failed += 1
        print(f"FAILED {label} (not built)")
    with open(sys.argv[2], "a") as tally:
        tally.write(f"{passed} {failed} {skipped}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
