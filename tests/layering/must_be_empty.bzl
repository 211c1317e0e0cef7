"""A test that a query over the build graph finds nothing."""

def must_be_empty(name, why, expression, scope):
    """Fails when `expression`, over everything that `scope` depends on, names a target; `why` is what it then says."""
    native.genquery(
        name = name + "_query",
        expression = expression,
        opts = ["--noimplicit_deps"],
        scope = scope,
        testonly = True,
    )
    native.sh_test(
        name = name,
        size = "small",
        srcs = ["must_be_empty.sh"],
        args = ["$(location :%s_query)" % name, "'%s'" % why],
        data = [":%s_query" % name],
    )
