#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes docs/plugin_reference.md from the comments of trivet/plugin.h and trivet/common.h.

    tests/abi/make_plugin_reference.py              writes the page
    tests/abi/make_plugin_reference.py --check      fails where it is not what would be written, or lacks a public name
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).absolute().parents[2]
PAGE = "docs/plugin_reference.md"
HEADERS = ["include/trivet/plugin.h", "include/trivet/common.h"]
HEAD = """# Reference of `trivet/plugin.h`

Every public name of the two headers that a plugin sees, with what the header says of it, in its order. Made by
`tests/abi/make_plugin_reference.py`; a test compares it with the headers. How it all belongs together: [abi.md](abi.md),
[kernel_ir.md](kernel_ir.md) and the pages called how_to_add.
"""
NAME = re.compile(r"\b(?:trivet|TRIVET)_\w+")


def blocks(text):
    """(comment, code) of each top-level declaration: a comment, and the lines up to its end."""
    comment, code, depth = [], [], 0
    for line in text.split("\n"):
        stripped = line.strip()
        if not code and stripped.startswith("//"):
            comment.append(stripped[2:].strip())
            continue
        if not code and not stripped:
            yield comment, []
            comment = []
            continue
        code.append(line)
        bare = re.sub(r'//.*|"(\\.|[^"\\])*"', "", line)
        depth += bare.count("{") + bare.count("(") - bare.count("}") - bare.count(")")
        ends = not line.endswith("\\") if code[0].startswith("#") else depth == 0 and bare.rstrip().endswith((";", "}"))
        if ends:
            yield comment, code
            comment, code, depth = [], [], 0


def defined(code):
    """The public name that a declaration brings, or none."""
    first = code[0]
    if first.startswith("#"):
        match = re.match(r"#define (TRIVET_\w+)", first)
        return match.group(1) if match and not match.group(1).endswith("_H_") else None
    text = re.sub(r"//[^\n]*", "", "\n".join(code))
    if text.startswith("typedef"):
        pointer = re.search(r"\(\*(trivet_\w+)\)", text)
        names = re.findall(r"(trivet_\w+);?", text)
        return pointer.group(1) if pointer and "{" not in text else names[-1] if names else None
    match = re.search(r"(?:struct|union) (trivet_\w+) \{", text) or re.search(r"(trivet_\w+)\(", text)
    return match.group(1) if match else None


def signature(code):
    """What of a declaration is shown: bodies of inline functions and long macros are not."""
    if code[0].startswith("static inline"):
        text = "\n".join(code)
        return text[: text.index(" {")] + ";"
    if code[0].startswith("#define") and len(code) > 1:
        text = " ".join(line.rstrip("\\").strip() for line in code)
        match = re.match(r"#define \w+(\([^)]*\))?", text)
        return match.group(0)
    return re.sub(r"^\n+", "", "\n".join(line for line in code))


def heading(rule):
    title, _, rest = re.match(r"([^:.]+)([:.]\s*|$)(.*)", " ".join(rule)).groups()
    return f"\n### {title}\n" + (f"\n{rest[0].upper()}{rest[1:]}\n" if rest else "")


def page():
    out, names = [HEAD], []
    for header in HEADERS:
        out.append(f"\n## `{header[len('include/'):]}`\n")
        text = (ROOT / header).read_text()
        text = re.sub(r"#if(def|ndef)? [^\n]*|#endif[^\n]*|#else|#elif[^\n]*|extern \"C\" \{|#include[^\n]*|^\}  // extern[^\n]*", "", text,
                      flags=re.M)
        pending, previous = [], None
        for comment, code in blocks(text):
            rule = [line for line in comment if not line.startswith("-----")]
            if not code:
                if len(rule) != len(comment) and rule:
                    out.append(heading(rule))
                elif rule and "SPDX" not in rule[0]:
                    out.append("\n" + "\n".join(rule) + "\n")
                previous = None
                continue
            name = defined(code)
            if name is None:
                continue
            names.append(name)
            if len(rule) != len(comment) and rule:
                out.append(heading(rule))
                rule = []
            joined = previous is not None and not comment  # lines without a blank between them belong together
            if joined:
                out[-1] = out[-1][: -len("```\n")] + signature(code) + "\n```\n"
            else:
                out.append(("\n" + "\n".join(rule) + "\n" if rule else "") + "\n```c\n" + signature(code) + "\n```\n")
            previous = name
    return "".join(out), names


def main():
    text, names = page()
    path = ROOT / PAGE
    if "--check" not in sys.argv:
        path.write_text(text)
        return 0
    have = path.read_text()
    # Independent of how declarations are taken apart: names that are declared or defined anywhere in the headers.
    declared = set()
    for header in HEADERS:
        source = re.sub(r"//[^\n]*", "", (ROOT / header).read_text())
        declared |= {n for n in re.findall(r"#define (TRIVET_\w+)", source) if not n.endswith("_H_")}
        declared |= set(re.findall(r"\} (trivet_\w+);", source)) | set(re.findall(r"\b(trivet_\w+)\(", source))
    missing = sorted(n for n in declared if not re.search(r"\b%s\b" % n, have))
    for name in missing:
        print(f"{PAGE} lacks {name}")
    if have != text:
        print(f"{PAGE} is not what tests/abi/make_plugin_reference.py writes")
    print(f"{len(declared)} public names, {len(missing)} missing")
    return 1 if missing or have != text or len(declared) < 200 else 0


sys.exit(main())
