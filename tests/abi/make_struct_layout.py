#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the golden layout of every struct in public headers: struct_layout.inc.

    tests/abi/make_struct_layout.py include/trivet/{common,plugin,runtime,layers,trivet}.h > tests/abi/struct_layout.inc

Run it only when a layout is meant to change: fields may be appended, nothing else, once the ABI is stable.
"""
import re
import subprocess
import sys
import tempfile


def structs(path):
    text = open(path).read()
    text = re.sub(r"//[^\n]*", "", text)
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    for match in re.finditer(r"(?:typedef )?struct (trivet_\w+) \{(.*?)\n\}\s*(\w*);", text, re.S):
        name = match.group(3) or "struct " + match.group(1)
        fields = []
        depth = 0
        declaration = ""
        for char in match.group(2):
            depth += char in "({"
            depth -= char in ")}"
            if char == ";" and depth == 0:
                fields += names(" ".join(declaration.split()))
                declaration = ""
            else:
                declaration += char
        yield name, fields


def names(declaration):
    """Field names of one declaration: `a, b`, arrays, function pointers."""
    pointer = re.search(r"\(\*(\w+)\)", declaration)
    if pointer:
        return [pointer.group(1)]
    declaration = re.sub(r"\[[^]]*\]", "", declaration)
    return [re.search(r"(\w+)$", part.strip()).group(1) for part in declaration.split(",")]


def main():
    lines = ["#include <stdio.h>", "#include <stddef.h>"]
    for path in sys.argv[1:]:
        lines.append('#include "%s"' % path.replace("include/", "", 1))
    lines.append("int main(void) {")
    for path in sys.argv[1:]:
        for name, fields in structs(path):
            lines.append('printf("LAYOUT_STRUCT(%s, %%zu)\\n", sizeof(%s));' % (name, name))
            for field in fields:
                lines.append('printf("LAYOUT_FIELD(%s, %s, %%zu, %%zu)\\n", offsetof(%s, %s), sizeof(((%s*)0)->%s));'
                             % (name, field, name, field, name, field))
    lines.append("return 0; }")
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + "/layout.c", "w") as out:
            out.write("\n".join(lines))
        subprocess.check_call(["cc", "-std=c11", "-D_GNU_SOURCE", "-Iinclude", folder + "/layout.c", "-o", folder + "/layout"])
        print("// SPDX-License-Identifier: Apache-2.0")
        print("//")
        print("// Golden sizes and offsets of public structs, made by make_struct_layout.py. A change here breaks plugins and")
        print("// callers that are already compiled.")
        sys.stdout.flush()
        subprocess.check_call([folder + "/layout"])


main()
