# SPDX-License-Identifier: Apache-2.0
"""Makes the inputs of a case of models.json: real ones where the model was trained, else seeded random ones.

Stands between the list of models and every engine: all engines get the same arrays. The same case always gives the
same bytes on every machine with the pinned packages.
"""
import gzip
import io
import json
import zlib

import numpy as np

LINES = ["The quick brown fox 1234", "Open compiler, closed loop", "Trivet stands on three legs",
         "Invoice No. 20418-B", "Rue de Rivoli 75001", "x = a * b + c", "Fragile: this side up", "09:45 Gate 12"]

SENTENCES = [
    "A trivet is a stand with three legs that carries a hot pot.",
    "The compiler turns a trained network into one plan file and runs it fast.",
    "How do I bake bread without an oven? Use a heavy pot with a lid, and give it time.",
    "Three-legged stands do not wobble, however uneven the floor is.",
]

C_SOURCE = """// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>

typedef struct node { struct node *next; int value; } node_t;

static node_t *push(node_t *head, int value) {
  node_t *fresh = malloc(sizeof *fresh);
  if (fresh == NULL) return head;
  fresh->next = head;
  fresh->value = value;
  return fresh;
}

int main(int argc, char **argv) {
  node_t *head = NULL;
  for (int i = 1; i < argc; ++i) head = push(head, atoi(argv[i]));
  for (node_t *n = head; n != NULL; n = n->next) printf("%d\\n", n->value);
  return 0;
}
"""

HTML_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Trivets</title>
<style>body { font-family: serif; max-width: 40em }</style></head>
<body><h1>Trivets</h1><p>A stand with <em>three</em> legs never wobbles.</p>
<ul><li>iron</li><li>cork</li><li>slate</li></ul></body></html>
"""


def dims_of(spec, symbols):
    """Concrete dimensions of an input of models.json."""
    return [symbols[d] if isinstance(d, str) else d for d in spec["dims"]]


def make_random(entry, symbols, seed):
    """Normal values for floats; ids below a bound, masks that end early in later rows, or the value of a symbol."""
    out = {}
    for spec in entry["inputs"]:
        dims = dims_of(spec, symbols)
        rng = np.random.default_rng([seed, zlib.crc32(spec["name"].encode())])
        if "equals" in spec:
            value = np.full(dims, symbols.get(spec["equals"], spec["equals"]))
        elif spec.get("mask"):
            lengths = [dims[1] if row == 0 else max(1, dims[1] * 2 // 3) for row in range(dims[0])]
            value = np.arange(dims[1])[None] < np.array(lengths)[:, None]
        elif "below" in spec:
            value = rng.integers(0, spec["below"], dims)
        else:
            value = rng.standard_normal(dims, dtype=np.float32)
        out[spec["name"]] = value.astype(spec["dtype"])
    return out


def make_digits(entry, symbols, seed):
    import sys
    from models import HERE
    sys.path.insert(0, str(HERE / "digits"))
    from digits_network import load_digits
    return {"image": load_digits()[2][:symbols["batch"]]}


def make_ocr_page(entry, symbols, seed):
    from text_pictures import normalised, page
    image = page(LINES, symbols["width"], symbols["height"], seed + 1)
    return {"x": np.repeat(normalised(image)[None], symbols["batch"], axis=0)}


def make_ocr_lines(entry, symbols, seed):
    from text_pictures import photographed, recognition_input, text_line
    images = [photographed(text_line(LINES[(seed + i) % len(LINES)]), seed + i) for i in range(symbols["batch"])]
    return {"x": np.stack([recognition_input(image, symbols["width"]) for image in images])}


def make_ocr_turned(entry, symbols, seed):
    from text_pictures import photographed, recognition_input, text_line
    images = [photographed(text_line(LINES[(seed + i) % len(LINES)][:12]), seed + i) for i in range(symbols["batch"])]
    return {"x": np.stack([recognition_input(image.rotate(180 * (i % 2)), 192) for i, image in enumerate(images)])}


def make_sentences(entry, symbols, seed):
    from models import package_file
    from wordpiece import WordPiece
    folder = package_file(entry["source"]["minilm"], entry["source"]["folder"])
    texts = [SENTENCES[i % len(SENTENCES)] for i in range(symbols["batch"])]
    ids, mask = WordPiece(folder / "vocab.txt").encode(texts, symbols["seq"])
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def file_features(data, side=1024, padding=256):
    """What the file-type model reads: the first and last 1024 bytes without blanks around them, padded with 256."""
    begin, end = data[:4096].lstrip()[:side], data[-4096:].rstrip()[-side:]
    out = np.full(2 * side, padding, np.int32)
    out[:len(begin)] = list(begin)
    out[2 * side - len(end):] = list(end)
    return out


def sample_files():
    """Name and bytes of a few small files of well-known types."""
    from text_pictures import text_line
    picture = io.BytesIO()
    text_line(LINES[0]).save(picture, "PNG")
    return [("c", C_SOURCE.encode()), ("png", picture.getvalue()),
            ("json", json.dumps({"lines": LINES, "sentences": SENTENCES}, indent=1).encode()),
            ("gzip", gzip.compress(C_SOURCE.encode() * 3, mtime=0)), ("html", HTML_PAGE.encode())]


def make_file_bytes(entry, symbols, seed):
    files = sample_files()
    rows = [file_features(files[i % len(files)][1]) for i in range(symbols["batch"])]
    return {"bytes": np.stack(rows)}


MAKERS = {"random": make_random, "digits": make_digits, "ocr_page": make_ocr_page, "ocr_lines": make_ocr_lines,
          "ocr_turned": make_ocr_turned, "sentences": make_sentences, "file_bytes": make_file_bytes}


def find_case(entry, name):
    """The case of an entry by name."""
    return next(c for c in entry["cases"] if c["name"] == name)


def make_inputs(entry, case):
    """Arrays by input name, checked against the entry's types and dimensions."""
    arrays = MAKERS[case["maker"]](entry, case["symbols"], case.get("seed", 0))
    for spec in entry["inputs"]:
        array, dims = arrays[spec["name"]], dims_of(spec, case["symbols"])
        if array.dtype != np.dtype(spec["dtype"]) or list(array.shape) != dims:
            raise ValueError(f"{entry['name']}/{case['name']}: {spec['name']} is {array.dtype}{list(array.shape)}, "
                             f"the list says {spec['dtype']}{dims}")
    return {spec["name"]: np.ascontiguousarray(arrays[spec["name"]]) for spec in entry["inputs"]}
