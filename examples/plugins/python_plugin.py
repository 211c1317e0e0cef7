#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A plugin written in Python, without a compiler: its structures are laid out as trivet/plugin.h says.

    python_plugin.py LIBTRIVET_RUNTIME.SO LIBTRIVET.SO PLUGIN_PATH

acme.Gelu is kernel-IR text, so nothing of Python is left in the plan; acme.Median is a function in
Python, which the plan calls. The program holds its plugin (trivet_builder_add_plugin): it stands for
no file, and lives as long as the objects below.
"""
import ctypes as c
import statistics
import sys
import tempfile

OPERATOR, PLUGIN = 0x54500002, 0x54500001
ABI_MAJOR, ABI_MINOR = 1, 4
BUILD, RUN = 1, 2


class Header(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("struct_type", c.c_uint32), ("next", c.c_void_p)]


class Tensor(c.Structure):
    _fields_ = [("dtype", c.c_uint32), ("rank", c.c_uint32), ("dims", c.c_int64 * 12), ("data", c.c_void_p),
                ("size", c.c_uint64)]


TENSOR = c.POINTER(Tensor)


class EvaluationApi(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("abi_minor", c.c_uint32),
                ("input_count", c.c_void_p), ("output_count", c.c_void_p),
                ("input", c.CFUNCTYPE(TENSOR, c.c_void_p, c.c_uint32)),
                ("attribute", c.c_void_p),
                ("output", c.CFUNCTYPE(c.c_void_p, c.c_void_p, c.c_uint32, c.c_uint32, c.c_uint32,
                                       c.POINTER(c.c_int64), c.POINTER(TENSOR)))]


EVALUATION = c.POINTER(c.POINTER(EvaluationApi))
EVALUATE = c.CFUNCTYPE(c.c_void_p, c.c_void_p, EVALUATION)


class Operator(c.Structure):
    _fields_ = [("header", Header), ("name", c.c_char_p), ("text", c.c_char_p), ("summary", c.c_char_p),
                ("version", c.c_uint32), ("flags", c.c_uint32), ("self", c.c_void_p), ("infer", c.c_void_p),
                ("lower", c.c_void_p), ("evaluate", EVALUATE)]


class Plugin(c.Structure):
    _fields_ = [("header", Header), ("abi_major", c.c_uint32), ("abi_minor", c.c_uint32), ("sanitizer", c.c_uint32),
                ("halves", c.c_uint32), ("name", c.c_char_p), ("version", c.c_char_p), ("summary", c.c_char_p),
                ("definitions", c.POINTER(c.c_void_p)), ("definition_count", c.c_uint64)]


QUERY = c.CFUNCTYPE(c.c_void_p, c.c_uint32, c.c_uint32)


def header(kind, tag):
    return Header(c.sizeof(kind), tag, None)


def median(_, evaluation):
    """Rows to their medians. No exception may leave it: a number other than 0 is the code of an error."""
    try:
        api, handle = evaluation.contents.contents, c.cast(evaluation, c.c_void_p)
        x, y = api.input(handle, 0).contents, TENSOR()
        rows, columns = x.dims[0], x.dims[1]
        status = api.output(handle, 0, x.dtype, 1, (c.c_int64 * 1)(rows), c.byref(y))
        if status or not y:
            return status
        numbers = c.cast(x.data, c.POINTER(c.c_float))
        results = c.cast(y.contents.data, c.POINTER(c.c_float))
        for row in range(rows):
            results[row] = statistics.median(numbers[row * columns:(row + 1) * columns])
        return None
    except Exception:  # pylint: disable=broad-except
        return 8  # TRIVET_STATUS_INTERNAL


GELU = Operator(header(Operator, OPERATOR), b"acme.Gelu",
                b"op acme.Gelu/1 (x: T[D...]) -> (y: T[D...]) where T: float\n"
                b"y[i...] = x[i...] * T(0.5) * (T(1) + erf(x[i...] * T(0.70710678)))\n", b"as text", 1)
MEDIAN = Operator(header(Operator, OPERATOR), b"acme.Median", b"op acme.Median/1 (x: f32[N, K]) -> (y: f32[N])\n",
                  b"in Python", 1)
MEDIAN.evaluate = EVALUATE(median)
DEFINITIONS = (c.c_void_p * 2)(c.addressof(GELU), c.addressof(MEDIAN))
PYTHON = Plugin(header(Plugin, PLUGIN), ABI_MAJOR, ABI_MINOR, 0, BUILD | RUN, b"python_plugin", b"1.0", b"in Python",
                DEFINITIONS, 2)


@QUERY
def query(host_major, _):
    return c.addressof(PYTHON) if host_major == ABI_MAJOR else None


def main():
    runtime_library = c.CDLL(sys.argv[1], mode=c.RTLD_GLOBAL)
    builder_library = c.CDLL(sys.argv[2])

    def call(function, *arguments):
        function.restype = c.c_void_p
        status = function(*arguments)
        if status:
            runtime_library.trivet_status_message.restype = c.c_char_p
            sys.exit(runtime_library.trivet_status_message(c.c_void_p(status)).decode())

    def make(function, *arguments):
        made = c.c_void_p()
        call(function, *arguments, c.byref(made))
        return made

    plan, path = tempfile.NamedTemporaryFile(suffix=".plan"), sys.argv[3].encode()
    text = b'''graph "medians" {
  symbol n: 1 .. 8
  input %x: f32[n, 3]
  %r = std.Relu(%x)
  %m = acme.Median(%r)
  %y = acme.Gelu(%m)
  output "y": %y
}
'''
    builder = make(builder_library.trivet_builder_create, None)
    call(builder_library.trivet_builder_load_plugin_path, builder, path)
    call(builder_library.trivet_builder_add_plugin, builder, query)
    network = make(builder_library.trivet_network_create, builder, b"medians")
    call(builder_library.trivet_network_parse_text, network, text, c.c_uint64(len(text)))
    config = make(builder_library.trivet_config_create, builder)
    call(builder_library.trivet_build_file, network, config, plan.name.encode(), None)

    runtime = make(runtime_library.trivet_runtime_create, None)
    call(runtime_library.trivet_runtime_load_plugin_path, runtime, path)
    call(runtime_library.trivet_runtime_add_plugin, runtime, query)
    engine = make(runtime_library.trivet_engine_load, runtime, plan.name.encode(), None)
    context = make(runtime_library.trivet_context_create, engine, None)
    x, y = (c.c_float * 6)(-1, 2, 3, 0.5, 7, 1), (c.c_float * 2)()
    call(runtime_library.trivet_context_set_shape, context, b"x", 2, (c.c_int64 * 2)(2, 3))
    call(runtime_library.trivet_context_set_address, context, b"x", x)
    call(runtime_library.trivet_context_set_address, context, b"y", y)
    call(runtime_library.trivet_context_run, context)
    print(" ".join("%.4f" % value for value in y))
    for destroy, thing in [("context", context), ("engine", engine), ("runtime", runtime)]:
        getattr(runtime_library, "trivet_%s_destroy" % destroy)(thing)
    for destroy, thing in [("config", config), ("network", network), ("builder", builder)]:
        getattr(builder_library, "trivet_%s_destroy" % destroy)(thing)


if __name__ == "__main__":
    main()
