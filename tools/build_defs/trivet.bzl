"""The macros that every BUILD file of the project uses.

    load("//tools/build_defs:trivet.bzl", "trivet_c_library", "trivet_cc_test", "trivet_plugin")

    trivet_c_library(name, srcs, hdrs, deps)         C11, all warnings are errors, symbols hidden
    trivet_cc_library(name, srcs, hdrs, deps)        C++17: the C++ front end and what tests share
    trivet_c_binary(name, srcs, deps)                a C program
    trivet_shared_library(name, deps, dynamic_deps)  libNAME.so: exports what TRIVET_API marks, nothing else
    trivet_plugin(name, srcs, deps, dynamic_deps)    NAME.so, for dlopen
    trivet_cc_test(name, srcs, deps, data)           GoogleTest; its main is linked
    trivet_fuzz_target(name, srcs, deps, seeds)      LLVMFuzzerTestOneInput; a plain test of its seeds elsewhere
"""

load("//tools/build_defs:shared_library.bzl", "trivet_shared_library_rule")

_WARNINGS = ["-Wall", "-Wextra", "-Werror"]

# Contracting a*b+c would let the same source give other bits on another machine.
_COMMON = _WARNINGS + ["-fvisibility=hidden", "-ffp-contract=off", "-D_GNU_SOURCE"]
_C_COPTS = _COMMON + ["-Wmissing-prototypes", "-Wstrict-prototypes", "-Wvla"]

def trivet_c_library(name, srcs = [], hdrs = [], deps = [], copts = [], **kwargs):
    native.cc_library(
        name = name,
        srcs = srcs,
        hdrs = hdrs,
        copts = _C_COPTS + copts,
        linkstatic = True,
        deps = deps,
        **kwargs
    )

def trivet_cc_library(name, srcs = [], hdrs = [], deps = [], copts = [], **kwargs):
    native.cc_library(
        name = name,
        srcs = srcs,
        hdrs = hdrs,
        copts = _COMMON + copts,
        linkstatic = True,
        deps = deps,
        **kwargs
    )

def trivet_c_binary(name, srcs = [], deps = [], copts = [], linkopts = [], **kwargs):
    native.cc_binary(
        name = name,
        srcs = srcs,
        copts = _C_COPTS + copts,
        # Where an installed program finds the libraries.
        linkopts = linkopts + ["-Wl,-rpath,'$$ORIGIN/../lib'"],
        deps = deps,
        **kwargs
    )

def trivet_shared_library(name, deps, dynamic_deps = [], linkopts = [], **kwargs):
    """A shared object of everything in `deps` that no shared object in `dynamic_deps` holds. NAME ends in .so."""
    trivet_shared_library_rule(
        name = name,
        so_name = name,
        defs = select({
            "//:fuzzing": False,
            "//conditions:default": True,
        }),
        deps = deps,
        dynamic_deps = dynamic_deps,
        linkopts = linkopts,
        **kwargs
    )

def trivet_plugin(
        name,
        srcs = [],
        deps = [],
        dynamic_deps = [],
        copts = [],
        linkopts = [],
        exports = "//tools/build_defs:exports.lds",
        visibility = None,
        **kwargs):
    """NAME.so, and NAME as a library of the same sources for fuzz targets and unit tests.

    A plugin exports trivet_plugin_query alone; `exports` is the linker's version script of one that has to show more to
    the library that it wraps. One that includes trivet/plugin.h only leaves `dynamic_deps` empty and
    links nothing of ours; a target plugin names "//runtime:libtrivet_runtime.so" there.
    """
    trivet_c_library(
        name = name,
        srcs = srcs,
        deps = deps,
        copts = copts,
        visibility = visibility,
        **kwargs
    )
    trivet_shared_library(
        name = name + ".so",
        deps = [":" + name],
        dynamic_deps = dynamic_deps,
        exports = exports,
        # An installed plugin lies in lib/trivet/plugins.
        linkopts = linkopts + (["-Wl,-rpath,$ORIGIN/../.."] if dynamic_deps else []),
        visibility = visibility,
    )

def trivet_cc_test(name, srcs = [], deps = [], copts = [], size = "small", tags = [], **kwargs):
    native.cc_test(
        name = name,
        size = size,
        srcs = srcs,
        copts = _COMMON + copts,
        linkstatic = True,
        tags = tags,
        deps = deps + ["//tests/support:gtest_main"],
        **kwargs
    )

def trivet_fuzz_target(name, srcs, deps = [], seeds = [], data = [], copts = [], dictionary = None):
    """A libFuzzer program under `--config=fuzz`; anywhere else a test that runs the target over its seeds."""
    native.cc_test(
        name = name,
        size = "small",
        srcs = srcs + select({
            "//:fuzzing": [],
            "//conditions:default": ["//tests/support:fuzz_driver_source"],
        }),
        args = ["$(locations %s)" % seed for seed in seeds],
        copts = _WARNINGS + ["-D_GNU_SOURCE"] + copts,
        data = seeds + data + ([dictionary] if dictionary else []),
        linkopts = select({
            "//:fuzzing": ["-fsanitize=fuzzer"],
            "//conditions:default": [],
        }),
        linkstatic = True,
        tags = ["fuzz"],
        deps = deps,
    )
