#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads the line of text in a picture with a model that others trained, and shows where the time went.

The first thing a person runs: builds a plan of the PP-OCR recognition model with the command `trivet`, runs it on a
picture and prints the picture, the text that was read, and the time by kernel and by layer. Must not hide what it
does: every command line is printed.

    demo.py [PICTURE] [--threads N]      PICTURE: one line of text, any format that Pillow reads
"""
import argparse
import collections
import os
import pathlib
import sys
import tempfile
import time

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tests" / "models"))
import models  # noqa: E402
import text_pictures  # noqa: E402
import trivet_cli  # noqa: E402
from PIL import Image  # noqa: E402

QUADRANTS = " ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█"  # by bits: upper left, upper right, lower left, lower right
RAMP = "@%#*+=-:. "
COLUMNS = 100


def drawing(image, unicode):
    """The picture as lines of characters: dark becomes ink, judged against the brightness around it."""
    per_cell = 2 if unicode else 1
    width = COLUMNS * per_cell
    rows = max(1, round(image.height * COLUMNS / image.width / 2))  # a character is twice as high as wide
    pixels = np.asarray(image.convert("L").resize((width, rows * per_cell), Image.Resampling.LANCZOS), np.float64)
    if not unicode:
        low, high = pixels.min(), max(pixels.max(), pixels.min() + 1)
        levels = ((pixels - low) / (high - low) * (len(RAMP) - 1)).astype(int)
        return ["".join(RAMP[v] for v in row) for row in levels]
    around = np.asarray(image.convert("L").resize((max(1, width // 25), max(1, rows // 4)), Image.Resampling.BOX)
                        .resize((width, rows * 2), Image.Resampling.BICUBIC), np.float64)
    ink = pixels < around - 0.12 * (pixels.max() - pixels.min())
    code = ink[0::2, 0::2] + 2 * ink[0::2, 1::2] + 4 * ink[1::2, 0::2] + 8 * ink[1::2, 1::2]
    return ["".join(QUADRANTS[v] for v in row) for row in code]


def bar(share, unicode, width=24):
    return ("█" if unicode else "#") * max(1, round(share * width))


def print_times(report, unicode, most=8):
    """Time by kernel and the slowest layers of a profiled run."""
    layers = report["layers"]
    total = sum(layer["ms"] for layer in layers) or 1.0
    by_kernel = collections.Counter()
    for layer in layers:
        by_kernel[layer["kernel"]] += layer["ms"]
    print(f"\nWhere the time went: {total:.2f} ms in {len(layers)} layers, by kernel")
    for kernel, ms in by_kernel.most_common(most):
        print(f"  {ms:8.3f} ms {100 * ms / total:5.1f} %  {kernel:36.36s} {bar(ms / total, unicode)}")
    print("The slowest layers")
    for layer in sorted(layers, key=lambda l: -l["ms"])[:most]:
        print(f"  {layer['ms']:8.3f} ms {100 * layer['ms'] / total:5.1f} %  {layer['kernel']:24.24s} {layer['name'][:60]}")


def with_trivet(entry, model, arrays, threads, folder):
    """Builds, runs and profiles; returns the output and the report of `trivet bench`."""
    plan = folder / "ocr_rec.plan"
    print(f"\n$ trivet build {model.name} -o {plan.name} --opt "
          f"{trivet_cli.shapes_option(entry['inputs'], {k: v[1] for k, v in entry['profile'].items()})} ...")
    begin = time.monotonic()
    trivet_cli.build(model, plan, entry["inputs"], entry["profile"], threads)
    print(f"  {model.stat().st_size / 1e6:.1f} MB of ONNX -> {plan.stat().st_size / 1e6:.1f} MB of plan "
          f"in {time.monotonic() - begin:.1f} s")
    print(f"$ trivet run {plan.name} --inputs picture.npz --outputs text.npz")
    output = next(iter(trivet_cli.run(plan, arrays, threads).values()))
    print(f"$ trivet bench {plan.name} --inputs picture.npz --threads {threads} --profile")
    report = trivet_cli.bench(plan, arrays, threads, iterations=20, warmup=5)
    profiled = trivet_cli.bench(plan, arrays, threads, iterations=20, warmup=5, profile=True)
    report["layers"] = profiled["layers"]
    return output, report


def with_onnxruntime(model, arrays):
    import onnxruntime
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return session.run(None, arrays)[0]


def main():
    parser = argparse.ArgumentParser(prog="demo", description=__doc__.split("\n\n")[0])
    parser.add_argument("picture", nargs="?", default=HERE / "label.png", help="a picture of one line of text")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--engine", choices=("trivet", "onnxruntime"), default="trivet",
                        help="onnxruntime: self-check of this script")
    args = parser.parse_args()
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    entry, = models.load_list(only=["ocr_rec"])
    model = models.bring(entry)
    image = Image.open(args.picture)
    image.load()
    print(f"{args.picture}: {image.width} x {image.height} pixels\n")
    print("\n".join(drawing(image, unicode)))
    smallest, _, largest = entry["profile"]["width"]
    width = min(largest, max(smallest, -(-image.width * 48 // image.height)))
    arrays = {"x": text_pictures.recognition_input(image, width)[None]}
    if args.engine == "trivet":
        with tempfile.TemporaryDirectory(prefix="trivet-demo-") as folder:
            output, report = with_trivet(entry, model, arrays, args.threads, pathlib.Path(folder))
    else:
        output, report = with_onnxruntime(model, arrays), None
    text, confidence = text_pictures.ctc_text(output[0], text_pictures.model_characters(model))
    if report:
        print_times(report, unicode)
        print(f"One picture takes {report['latency_ms']['median']:.2f} ms (median) with {args.threads} threads.")
    print(f"\nThe picture says: {text}")
    print(f"                  (mean confidence {100 * confidence:.0f} %)")
    sys.exit(0 if text else 1)


if __name__ == "__main__":
    try:
        main()
    except (trivet_cli.TrivetError, OSError) as error:
        sys.exit(f"demo: {error}")
