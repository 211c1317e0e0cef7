"""Finds the headers of CUDA 13, and of cuDNN beside them. No library is linked: all are opened at run time.

The repository has `defs.bzl` with HAVE_CUDA (driver, NVRTC and cuBLASLt headers were found) and HAVE_CUDNN, and, where
they are true, the header-only targets `@cuda//:cuda` and `@cuda//:cudnn`. Looked at, in this order: CUDA_HOME,
/usr/local/cuda. `--repo_env=TRIVET_CUDA=none` builds as on a machine that has none.
"""

_CUDA_HEADERS = ["cuda.h", "nvrtc.h", "cublasLt.h"]
_CUDNN_DIRS = ["/usr/include/x86_64-linux-gnu", "/usr/include"]

def _has_all(repository_ctx, directory, names):
    for name in names:
        if not repository_ctx.path(directory + "/" + name).exists:
            return False
    return True

def _cuda_configure_impl(repository_ctx):
    env = repository_ctx.os.environ
    include = None
    cudnn = None
    if env.get("TRIVET_CUDA", "") != "none":
        for home in [env.get("CUDA_HOME", ""), "/usr/local/cuda"]:
            if home and include == None and _has_all(repository_ctx, home + "/include", _CUDA_HEADERS):
                include = home + "/include"
    if include != None:
        for directory in [include] + _CUDNN_DIRS:
            if cudnn == None and _has_all(repository_ctx, directory, ["cudnn.h", "cudnn_backend.h"]):
                cudnn = directory

    build = ["package(default_visibility = [\"//visibility:public\"])"]
    if include != None:
        repository_ctx.symlink(include, "include")
        build.append("""
cc_library(
    name = "cuda",
    hdrs = glob(["include/**/*.h", "include/**/*.hpp"], exclude = ["include/cudnn*", "include/cccl/**"]),
    includes = ["include"],
)""")
    if cudnn != None:
        for entry in repository_ctx.path(cudnn).readdir():
            if entry.basename.startswith("cudnn"):
                repository_ctx.symlink(entry, "cudnn/" + entry.basename)
        build.append("""
cc_library(
    name = "cudnn",
    hdrs = glob(["cudnn/*.h"]),
    includes = ["cudnn"],
    deps = [":cuda"],
)""")
    repository_ctx.file("BUILD", "\n".join(build) + "\n")
    repository_ctx.file("defs.bzl", "HAVE_CUDA = %s\nHAVE_CUDNN = %s\n" % (include != None, cudnn != None))

cuda_configure = repository_rule(
    implementation = _cuda_configure_impl,
    environ = ["CUDA_HOME", "TRIVET_CUDA"],
    local = True,
)
