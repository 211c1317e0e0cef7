#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks on the text of the tree that need no build: heads, names, sizes, who includes whom, what libraries may call.

Stands before the compiler in `./dev lint` and `./dev test`. Prints one line a rule and every place that breaks it; fails
when there is one. Must not look at third_party, which is not ours.

    check_tree.py                 check; exits 1 when a rule is broken
    check_tree.py --tally FILE    ... and append "passed failed skipped" to FILE
"""
import collections
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

MOST_SHOWN = 20
C_FILES = (".c", ".h", ".cc")
SCRIPTS = (".py", ".sh", ".bzl")
LIBRARIES = ("core/", "passes/", "codegen/", "runtime/", "plugins/")

# room: what it may include with quotes. A room is the longest prefix that matches. "self" is the room's own folder.
# Rooms that are not listed (tests, tools, bindings, bench, examples) may include anything.
MAY_INCLUDE = {
    "include/trivet/": ["trivet/"],
    "core/": ["core/", "trivet/"],
    "passes/": ["passes/", "core/", "trivet/"],
    "codegen/": ["codegen/", "core/", "runtime/device/", "trivet/"],
    "runtime/": ["runtime/", "core/", "trivet/"],
    # Operators and frontends compile as strangers do. What a plugin includes of ours is plugin.h alone.
    "plugins/ops_standard/": ["self", "trivet/plugin.h"],
    "plugins/onnx/": ["self", "trivet/plugin.h", "third_party/onnx/"],
    "plugins/template_": ["trivet/plugin.h"],
    # Target plugins of this tree may include core, and the device interface that they implement.
    "plugins/": ["plugins/", "core/", "runtime/device/", "trivet/"],
}

# What codegen and plugins may see of runtime/device/ is the interface, not a device.
# The form of tile programs is shared by their interpreter and their compiler.
DEVICE_INTERFACE = re.compile(r"^runtime/device/([^/]+|cpu/tile_(format|program))\.h$")

# Calls that a library must not make, and the only files that may. Heap memory comes from a trivet_allocator_t; the
# environment is read in one place; nothing ends the process or writes to the terminal.
CALLS = {
    r"abort|exit|_exit|quick_exit|printf|fprintf|vprintf|vfprintf|puts|fputs|putchar|perror|assert_perror": [],
    r"malloc|calloc|realloc|free|strdup|strndup|aligned_alloc|posix_memalign|asprintf|vasprintf": ["core/base/allocator.c", "core/base/status.c"],
    r"getenv|secure_getenv|setenv|putenv": ["core/base/environment.c"],
    r"setlocale|strtok|rand|srand|system|popen|signal|gets|strcpy|strcat|sprintf|atoi|atof|atol": [],
}


def listed():
    out = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
                         capture_output=True, text=True).stdout.split("\n")
    return [f for f in out if f and not f.startswith("third_party/") and (ROOT / f).is_file()]


def text_of(path):
    try:
        return (ROOT / path).read_text()
    except UnicodeDecodeError:
        return None


def without_comments_and_strings(text):
    """The same text with comments and the insides of literals blanked; newlines stay, so that line numbers do too."""
    blank = lambda m: re.sub(r"[^\n]", " ", m.group(0))
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def heads(files):
    """Every source file begins with its licence; C and C++ files say in 2 to 6 lines what they are."""
    for path in files:
        lines = text_of(path).split("\n")
        if path.endswith(C_FILES):
            if lines[0] != "// SPDX-License-Identifier: Apache-2.0":
                yield f"{path}:1: the first line is not the SPDX line"
                continue
            # What follows an empty comment line is documentation and may be longer.
            head = []
            for line in lines[1:]:
                if not line.startswith("//") or (head and not line.strip("/ ")):
                    break
                if line.strip("/ "):
                    head.append(line)
            if not 2 <= len(head) <= 6:
                yield f"{path}:2: the head comment has {len(head)} lines, not 2 to 6"
        elif path.endswith((".py", ".sh")) and not any("SPDX-License-Identifier: Apache-2.0" in l for l in lines[:3]):
            yield f"{path}:1: no SPDX line in the first three lines"


def unique_names(files):
    """Base names are unique, so that a name says which file is meant."""
    by_name = collections.defaultdict(list)
    for path in files:
        if path.endswith(C_FILES + SCRIPTS) and os.path.basename(path) != "__init__.py":
            by_name[os.path.basename(path)].append(path)
    for paths in by_name.values():
        if len(paths) > 1:
            yield " and ".join(paths) + ": the same base name"


# Pages that grow with the headers that they are made from.
MADE_BY_SCRIPTS = ("docs/plugin_reference.md",)


def sizes(files):
    """No source file has more than 1500 lines; C lines have at most 100 columns."""
    for path in files:
        if not path.endswith(C_FILES + SCRIPTS + (".md",)):
            continue
        lines = text_of(path).split("\n")
        if len(lines) > 1500 and path not in MADE_BY_SCRIPTS:
            yield f"{path}: {len(lines)} lines, more than 1500"
        if path.endswith(C_FILES):
            for number, line in enumerate(lines, 1):
                if len(line) > 100 and "http" not in line:
                    yield f"{path}:{number}: {len(line)} columns, more than 100"


def guards(files):
    """The guard of a/b.h is TRIVET_A_B_H_; of a public header TRIVET_NAME_H_."""
    for path in files:
        if not path.endswith(".h"):
            continue
        name = path[len("include/trivet/"):] if path.startswith("include/trivet/") else path
        guard = "TRIVET_" + re.sub(r"[^A-Za-z0-9]", "_", name).upper() + "_"
        text = text_of(path)
        if f"#ifndef {guard}\n#define {guard}\n" not in text:
            yield f"{path}: the guard is not {guard}"


def includes(files):
    """Who may include whom; quoted includes name a file from the root."""
    for path in files:
        if not path.endswith(C_FILES):
            continue
        room = max((r for r in MAY_INCLUDE if path.startswith(r)), key=len, default=None)
        for number, line in enumerate(text_of(path).split("\n"), 1):
            found = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
            if not found:
                continue
            name = found.group(1)
            known = (ROOT / name).exists() or (ROOT / "include" / name).exists() or name.endswith(".pb-c.h")
            if not known:
                yield f'{path}:{number}: "{name}" is not a path from the root'
            if room is None:
                continue
            allowed = [os.path.dirname(path) + "/" if a == "self" else a for a in MAY_INCLUDE[room]]
            fits = any(name.startswith(a) for a in allowed)
            if fits and name.startswith("runtime/") and not room.startswith("runtime/"):
                fits = bool(DEVICE_INTERFACE.match(name))
            if not fits:
                yield f'{path}:{number}: {room} must not include "{name}"'


def calls(files):
    """Libraries never end the process, print, read the environment or take memory past the allocator."""
    for path in files:
        if not path.endswith((".c", ".h")) or not path.startswith(LIBRARIES):
            continue
        code = without_comments_and_strings(text_of(path)).split("\n")
        for names, allowed in CALLS.items():
            if path in allowed:
                continue
            pattern = re.compile(r"(?<![\w.>])(?:%s)\s*\(" % names)
            for number, line in enumerate(code, 1):
                found = pattern.search(line)
                if found:
                    yield f"{path}:{number}: calls {found.group(0)[:-1].strip()}"


def plugins_listed(files):
    """Every plugin is named in tests/layering/BUILD, which says what it may depend on."""
    rules = text_of("tests/layering/BUILD")
    for path in files:
        folder, name = os.path.split(path)
        if name == "BUILD" and folder.startswith(("plugins/", "passes")) and re.search(r"^\s*trivet_plugin\(", text_of(path), re.M):
            if f'"//{folder}:' not in rules:
                yield f"{path}: no rule names //{folder} in tests/layering/BUILD"


def main():
    files = listed()
    sources = [f for f in files if f.endswith(C_FILES + SCRIPTS)]
    passed = failed = 0
    for rule, subject in ((heads, sources), (unique_names, files), (sizes, files), (guards, files),
                          (includes, files), (calls, files), (plugins_listed, files)):
        broken = list(rule(subject))
        print(f"{'FAILED' if broken else 'ok    '} {rule.__doc__.splitlines()[0]}")
        for place in broken[:MOST_SHOWN]:
            print("  " + place)
        if len(broken) > MOST_SHOWN:
            print(f"  and {len(broken) - MOST_SHOWN} more")
        passed, failed = passed + (not broken), failed + bool(broken)
    if len(sys.argv) == 3 and sys.argv[1] == "--tally":
        with open(sys.argv[2], "a") as tally:
            tally.write(f"{passed} {failed} 0\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
