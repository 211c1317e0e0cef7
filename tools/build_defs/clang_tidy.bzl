"""clang-tidy as an aspect: one cached action a C file, so that only what changed is looked at.

    bazel build --aspects=//tools/build_defs:clang_tidy.bzl%clang_tidy_aspect --output_groups=clang_tidy //...
"""

def _is_ours(file):
    return file.is_source and file.extension == "c" and not file.short_path.startswith(("../", "third_party/"))

def _impl(target, ctx):
    if CcInfo not in target or not hasattr(ctx.rule.attr, "srcs"):
        return [OutputGroupInfo(clang_tidy = depset())]
    compilation = target[CcInfo].compilation_context
    flags = ["-std=c11", "-D_GNU_SOURCE", "-Wno-everything", "-UNDEBUG"]
    for copt in getattr(ctx.rule.attr, "copts", []):
        if copt.startswith(("-D", "-I", "-m")):
            flags.append(copt)
    for path in compilation.includes.to_list():
        flags.append("-I" + path)
    for path in compilation.quote_includes.to_list():
        flags += ["-iquote", path]
    for path in compilation.system_includes.to_list():
        flags += ["-isystem", path]
    for define in compilation.defines.to_list() + compilation.local_defines.to_list():
        flags.append("-D" + define)

    reports = []
    for src in ctx.rule.attr.srcs:
        for file in src.files.to_list():
            if not _is_ours(file):
                continue
            report = ctx.actions.declare_file("%s.%s.tidy" % (ctx.label.name, file.basename))
            ctx.actions.run_shell(
                outputs = [report],
                inputs = depset([file, ctx.file._config], transitive = [compilation.headers]),
                command = "out=$1; shift; clang-tidy-14 --quiet \"$@\" 2>/dev/null >$out || { cat $out >&2; exit 1; }",
                arguments = [report.path, file.path, "--"] + flags,
                mnemonic = "ClangTidy",
                progress_message = "clang-tidy %s" % file.short_path,
                use_default_shell_env = True,
            )
            reports.append(report)
    return [OutputGroupInfo(clang_tidy = depset(reports))]

clang_tidy_aspect = aspect(
    implementation = _impl,
    attrs = {"_config": attr.label(default = "//:.clang-tidy", allow_single_file = True)},
)
