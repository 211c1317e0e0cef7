"""C code from a .proto file, through Debian's protoc-c."""

def protobuf_c_library(name, src, visibility = None):
    """NAME.pb-c.h and NAME.pb-c.c of NAME.proto, and a library of both linked with the protobuf-c archive."""
    stem = src[:-len(".proto")]
    native.genrule(
        name = name + "_generate",
        srcs = [src],
        outs = [stem + ".pb-c.c", stem + ".pb-c.h"],
        cmd = "protoc-c -I $$(dirname $<) --c_out=$(RULEDIR) $<",
    )
    native.cc_library(
        name = name,
        srcs = [stem + ".pb-c.c"],
        hdrs = [stem + ".pb-c.h"],
        copts = ["-w", "-fvisibility=hidden"],
        visibility = visibility,
        deps = ["@protobuf_c//:protobuf_c_static"],
    )
