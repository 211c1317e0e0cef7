"""NAME.a: the libraries and some plugins in one archive, for programs that load nothing.

One object for everything in `deps`, of which only what TRIVET_API marks stays visible; one object for each plugin, of which
only its query function does, as trivet_plugin_query_<plugin>; the objects of `tables`, which name plugins. Plugins hold copies
of the stateless code that they use, as their shared objects do. What lies outside of this project (libprotobuf-c) is named by
the pkg-config file.
"""

_JOIN = """set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
{commands}
cd "$dir" && ar rcsD out.a *.o && cd - >/dev/null && cp "$dir/out.a" {out}
"""

def _archives(dep):
    inputs = dep[CcInfo].linking_context.linker_inputs.to_list()
    libraries = []
    for each in inputs:
        if each.owner.workspace_name != "":
            continue
        for library in each.libraries:
            archive = library.pic_static_library or library.static_library
            if archive != None:
                libraries.append(archive)
    return libraries

def _impl(ctx):
    files = {}
    commands = []
    whole = {}
    for dep in ctx.attr.deps:
        for archive in _archives(dep):
            whole[archive.path] = True
            files[archive.path] = archive
    paths = " ".join(whole.keys())
    commands.append("ld -r -o $dir/trivet.o --whole-archive " + paths + " --no-whole-archive")
    commands.append("objcopy --localize-hidden $dir/trivet.o")
    for plugin in ctx.attr.plugins:
        name = plugin.label.name
        own = []
        others = []
        for archive in _archives(plugin):
            files[archive.path] = archive
            is_own = archive.basename in ["lib%s.a" % name, "lib%s.pic.a" % name]
            (own if is_own else others).append(archive.path)
        commands.append("ld -r -o $dir/plugin_%s.o --whole-archive %s --no-whole-archive --start-group %s --end-group" %
                        (name, " ".join(own), " ".join(others)))
        commands.append("objcopy --keep-global-symbol=trivet_plugin_query $dir/plugin_%s.o" % name)
        commands.append("objcopy --redefine-sym trivet_plugin_query=trivet_plugin_query_%s $dir/plugin_%s.o" % (name, name))
    for archive in _archives(ctx.attr.tables)[:1]:
        # Objects of their own: a program that does not ask for a table does not link its plugins.
        files[archive.path] = archive
        commands.append("(here=$PWD; cd $dir && ar x $here/%s)" % archive.path)
    out = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.run_shell(
        inputs = files.values(),
        outputs = [out],
        command = _JOIN.format(commands = "\n".join(commands), out = out.path),
        mnemonic = "TrivetStaticLibrary",
    )
    return [DefaultInfo(files = depset([out]), runfiles = ctx.runfiles(files = [out]))]

trivet_static_library = rule(
    implementation = _impl,
    attrs = {
        "deps": attr.label_list(providers = [CcInfo]),
        "plugins": attr.label_list(providers = [CcInfo]),
        "tables": attr.label(providers = [CcInfo]),
    },
)
