"""One rule for every shared object of the project: libraries and plugins.

It links the whole of `deps` into NAME, except what the shared objects in `dynamic_deps` already hold: those are linked
against. What is exported is decided in the source alone (everything is compiled with -fvisibility=hidden; TRIVET_API
marks the rest), and -z defs proves that nothing is left to be found in the host.

Code without state (//core, //runtime/device) is different: whoever needs it gets a copy of the functions that it uses,
which it exports to nobody; the runtime library (`holds_core`) holds it whole and exports what TRIVET_API marks. Internal
functions thus never cross a shared object (docs/decisions/0003-core-linked-into-each-library.md).
"""

TrivetSharedLibraryInfo = provider(
    "What a shared object holds.",
    fields = {
        "interface": "the linker input to link against",
        "owners": "depset of the labels of the libraries that it holds, its own dynamic_deps included",
    },
)

def _linker_inputs(deps):
    # Users before what they use: that is how the linker takes archives.
    inputs = [dep[CcInfo].linking_context.linker_inputs for dep in deps]
    return depset(transitive = inputs, order = "topological").to_list()

def _pic(library):
    return library.pic_static_library or library.static_library

def _is_stateless(owner):
    package = owner.package
    return owner.workspace_name == "" and (
        package.startswith("core/") or package == "runtime/device" or package.startswith("runtime/device/")
    )

def _impl(ctx):
    toolchain = ctx.attr._cc_toolchain[cc_common.CcToolchainInfo]
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    held_elsewhere = {}
    for dep in ctx.attr.dynamic_deps:
        for owner in dep[TrivetSharedLibraryInfo].owners.to_list():
            held_elsewhere[owner] = True

    inputs = []
    owners = []
    hidden = []
    for each in _linker_inputs(ctx.attr.deps):
        is_copy = _is_stateless(each.owner) and not ctx.attr.holds_core
        if str(each.owner) in held_elsewhere and not is_copy:
            continue
        libraries = []
        for library in each.libraries:
            libraries.append(cc_common.create_library_to_link(
                actions = ctx.actions,
                feature_configuration = features,
                cc_toolchain = toolchain,
                pic_static_library = _pic(library),
                alwayslink = each.owner.workspace_name == "" and not is_copy,
            ) if _pic(library) != None else library)
        if is_copy:
            hidden += [_pic(library).basename for library in each.libraries if _pic(library) != None]
        elif libraries:
            owners.append(str(each.owner))
        inputs.append(cc_common.create_linker_input(
            owner = each.owner,
            libraries = depset(libraries),
            user_link_flags = depset(each.user_link_flags),
            additional_inputs = depset(each.additional_inputs),
        ))
    for dep in ctx.attr.dynamic_deps:
        inputs.append(dep[TrivetSharedLibraryInfo].interface)

    flags = [
        "-Wl,-soname," + ctx.attr.so_name,
        "-Wl,-rpath,$ORIGIN",
        # Two builds of the library may live in one process: each calls its own functions.
        "-Wl,-Bsymbolic-functions",
        "-Wl,--version-script=" + ctx.file.exports.path,
    ]
    if hidden:
        flags.append("-Wl,--exclude-libs," + ":".join(hidden))
    if ctx.attr.defs:
        flags.append("-Wl,-z,defs")
    for dep in ctx.attr.dynamic_deps:
        # Where it lies in the build tree, so that tests find it; an installed one lies beside us ($ORIGIN).
        up = "/".join([".."] * len(ctx.label.package.split("/")))
        flags.append("-Wl,-rpath,$ORIGIN/" + up + "/" + dep.label.package)

    outputs = cc_common.link(
        name = ctx.label.name.replace(".so", ""),
        actions = ctx.actions,
        feature_configuration = features,
        cc_toolchain = toolchain,
        output_type = "dynamic_library",
        linking_contexts = [cc_common.create_linking_context(linker_inputs = depset(inputs, order = "topological"))],
        user_link_flags = flags + ctx.attr.linkopts,
        additional_inputs = [ctx.file.exports],
    )
    linked = outputs.library_to_link.resolved_symlink_dynamic_library or outputs.library_to_link.dynamic_library
    out = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(output = out, target_file = linked)

    interface = cc_common.create_linker_input(
        owner = ctx.label,
        libraries = depset([cc_common.create_library_to_link(
            actions = ctx.actions,
            feature_configuration = features,
            cc_toolchain = toolchain,
            dynamic_library = out,
        )]),
    )
    compilation = cc_common.merge_cc_infos(cc_infos = [dep[CcInfo] for dep in ctx.attr.deps]).compilation_context
    runfiles = ctx.runfiles(files = [out])
    for dep in ctx.attr.dynamic_deps:
        runfiles = runfiles.merge(dep[DefaultInfo].default_runfiles)
    return [
        DefaultInfo(files = depset([out]), runfiles = runfiles),
        CcInfo(
            compilation_context = compilation,
            linking_context = cc_common.create_linking_context(linker_inputs = depset(
                [interface] + [dep[TrivetSharedLibraryInfo].interface for dep in ctx.attr.dynamic_deps],
            )),
        ),
        TrivetSharedLibraryInfo(
            interface = interface,
            owners = depset(owners, transitive = [d[TrivetSharedLibraryInfo].owners for d in ctx.attr.dynamic_deps]),
        ),
    ]

trivet_shared_library_rule = rule(
    implementation = _impl,
    attrs = {
        "defs": attr.bool(default = True),
        "deps": attr.label_list(providers = [CcInfo]),
        "holds_core": attr.bool(),
        "dynamic_deps": attr.label_list(providers = [TrivetSharedLibraryInfo]),
        "linkopts": attr.string_list(),
        "so_name": attr.string(mandatory = True),
        "exports": attr.label(default = "//tools/build_defs:exports.lds", allow_single_file = True),
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
    },
    fragments = ["cpp"],
    incompatible_use_toolchain_transition = True,
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)
