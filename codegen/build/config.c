// SPDX-License-Identifier: Apache-2.0
//
// Config: how to build. Strings are copied; names are checked when a build begins, since plugins
// may still come.
#include <string.h>

#include "codegen/build/build_internal.h"
#include "core/base/dtype.h"
#include "core/base/status.h"

// Reads from the front like the way of the data: shapes and constants first, then what the model
// meant, then what targets like.
static const char kPipeline[] =
    "inline-control-flow,expand-operators,quantize-products,"
    "(remove-dead,resolve-shape-values,fold-constants,remove-identity,merge-common-subexpressions,"
    "simplify-transposes,simplify-reshapes,simplify-slices,simplify-concats)*,"
    "(recognize-gelu,recognize-gelu-tanh,recognize-swish,recognize-hard-swish,recognize-mish,"
    "recognize-softmax,"
    "recognize-layer-norm,recognize-rms-norm)*,recognize-attention,"
    "(fold-batch-norm,fold-pad,fold-bias,fold-scale,fold-constants,remove-identity,remove-dead)*,"
    "simplify-deconvolutions,simplify-patches,merge-siblings,split-attention,"
    "(fold-constants,remove-identity,merge-common-subexpressions,simplify-transposes,simplify-"
    "reshapes,simplify-slices,remove-dead)*";

const char* tvi_default_pipeline(void) { return kPipeline; }

static trivet_status_t copy_text(trivet_config_t* config, const char* text, const char** out_text) {
  if (!text) {
    *out_text = NULL;
    return TRIVET_OK;
  }
  trivet_string_view_t view = {text, strlen(text)}, kept;
  TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(&config->arena, view, &kept));
  *out_text = kept.data;
  return TRIVET_OK;
}

trivet_status_t trivet_config_create(trivet_builder_t* builder, trivet_config_t** out_config) {
  if (!builder || !out_config)
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "trivet_config_create needs a builder and a place for the config");
  trivet_config_t* config = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(builder->allocator, sizeof(*config), &config));
  config->builder = builder;
  config->allocator = builder->allocator;
  config->target = "cpu";
  config->tactics = TRIVET_TACTICS_HEURISTIC;
  config->alternatives = 1;
  config->queues = 1;
  config->stop_after = -1;
  config->precision = TRIVET_DTYPE_F32;
  tvi_arena_init(&config->arena, builder->allocator, 1 << 12);
  tvi_vector_init(&config->disabled, builder->allocator);
  tvi_vector_init(&config->insertions, builder->allocator);
  tvi_vector_init(&config->profiles, builder->allocator);
  tvi_vector_init(&config->rules, builder->allocator);
  tvi_vector_init(&config->io_formats, builder->allocator);
  *out_config = config;
  return TRIVET_OK;
}

void trivet_config_destroy(trivet_config_t* config) {
  if (!config) return;
  trivet_allocator_t allocator = config->allocator;
  for (size_t p = 0; p < config->profiles.count; ++p)
    tvi_vector_deinit(&config->profiles.data[p].shapes);
  tvi_vector_deinit(&config->profiles);
  tvi_vector_deinit(&config->io_formats);
  tvi_vector_deinit(&config->rules);
  tvi_vector_deinit(&config->insertions);
  tvi_vector_deinit(&config->disabled);
  tvi_arena_deinit(&config->arena);
  tvi_free(allocator, config, sizeof(*config));
}

trivet_status_t trivet_config_set_target(trivet_config_t* config, const char* target) {
  if (!config || !target || !*target)
    return TRIVET_STATUS(INVALID_ARGUMENT, "a target needs a name");
  return copy_text(config, target, &config->target);
}

trivet_status_t trivet_config_set_thread_count(trivet_config_t* config, uint32_t thread_count) {
  if (!config) return TRIVET_STATUS(INVALID_ARGUMENT, "no config given");
  if (thread_count > 4096)
    return TRIVET_STATUS(OUT_OF_RANGE, "%u threads are more than 4096", thread_count);
  config->thread_count = thread_count;
  return TRIVET_OK;
}

trivet_status_t trivet_config_set_tactics(trivet_config_t* config, uint32_t mode) {
  if (!config) return TRIVET_STATUS(INVALID_ARGUMENT, "no config given");
  if (mode > TRIVET_TACTICS_LOCKED)
    return TRIVET_STATUS(INVALID_ARGUMENT, "%u is no way to choose tactics", mode);
  config->tactics = mode;
  return TRIVET_OK;
}

trivet_status_t trivet_config_set_max_load(trivet_config_t* config, double milliseconds) {
  if (!config) return TRIVET_STATUS(INVALID_ARGUMENT, "config is NULL");
  if (!(milliseconds >= 0 && milliseconds <= 1e9)) {
    return TRIVET_STATUS(OUT_OF_RANGE, "a plan loads in 0 to 1e9 ms, not %g", milliseconds);
  }
  config->max_load_ms = milliseconds;
  return TRIVET_OK;
}

trivet_status_t trivet_config_set_alternatives(trivet_config_t* config, uint32_t count) {
  if (!config) return TRIVET_STATUS(INVALID_ARGUMENT, "no config given");
  if (count < 1 || count > TVI_MAX_ALTERNATIVES) {
    return TRIVET_STATUS(OUT_OF_RANGE, "a step has 1 to %u alternatives, not %u",
                         TVI_MAX_ALTERNATIVES, count);
  }
  config->alternatives = count;
  return TRIVET_OK;
}

trivet_status_t trivet_config_set_queues(trivet_config_t* config, uint32_t count) {
  if (!config) return TRIVET_STATUS(INVALID_ARGUMENT, "no config given");
  if (count < 1 || count > TVI_PLAN_MAX_QUEUES) {
    return TRIVET_STATUS(OUT_OF_RANGE, "a plan has 1 to %u queues, not %u", TVI_PLAN_MAX_QUEUES,
                         count);
  }
  config->queues = count;
  return TRIVET_OK;
}

static trivet_status_t check_precision(uint32_t dtype) {
  if (dtype == TRIVET_DTYPE_F32 || dtype == TRIVET_DTYPE_F16 || dtype == TRIVET_DTYPE_BF16 ||
      dtype == TRIVET_PRECISION_TF32) {
    return TRIVET_OK;
  }
  return TRIVET_STATUS(INVALID_ARGUMENT, "networks are computed on f32, tf32, f16 or bf16, not %s",
                       tvi_dtype_name(dtype));
}

trivet_status_t trivet_config_set_precision(trivet_config_t* config, uint32_t dtype) {
  if (!config) return TRIVET_STATUS(INVALID_ARGUMENT, "no config given");
  TRIVET_RETURN_IF_ERROR(check_precision(dtype));
  config->precision = dtype;
  return TRIVET_OK;
}

trivet_status_t trivet_config_add_layer_precision(trivet_config_t* config, const char* pattern,
                                                  uint32_t dtype) {
  if (!config || !pattern || !*pattern)
    return TRIVET_STATUS(INVALID_ARGUMENT, "the precision of layers needs a config and a pattern");
  TRIVET_RETURN_IF_ERROR(check_precision(dtype));
  tvi_precision_rule_t rule = {NULL, dtype};
  TRIVET_RETURN_IF_ERROR(copy_text(config, pattern, &rule.pattern));
  return tvi_vector_push(&config->rules, rule);
}

trivet_status_t trivet_config_set_io_format(trivet_config_t* config, const char* name,
                                            uint32_t dtype, uint32_t layout) {
  if (!config || !name || !*name)
    return TRIVET_STATUS(INVALID_ARGUMENT, "the format of an input or output needs its name");
  if (dtype && !tvi_dtype_is_valid(dtype))
    return TRIVET_STATUS(INVALID_ARGUMENT, "\"%s\": %u is no element type", name, dtype);
  if (layout > TRIVET_LAYOUT_CHANNELS_LAST)
    return TRIVET_STATUS(INVALID_ARGUMENT, "\"%s\": %u is no layout", name, layout);
  tvi_io_format_t format = {NULL, dtype, layout};
  TRIVET_RETURN_IF_ERROR(copy_text(config, name, &format.name));
  return tvi_vector_push(&config->io_formats, format);
}

#define TEXT_SETTER(function, field)                                        \
  trivet_status_t function(trivet_config_t* config, const char* text) {     \
    if (!config) return TRIVET_STATUS(INVALID_ARGUMENT, "no config given"); \
    return copy_text(config, text, &config->field);                         \
  }
TEXT_SETTER(trivet_config_set_timing_cache, timing_cache)
TEXT_SETTER(trivet_config_set_lock_output, lock_output)
TEXT_SETTER(trivet_config_set_pipeline, pipeline)
TEXT_SETTER(trivet_config_set_dump_folder, dump_folder)
TEXT_SETTER(trivet_config_set_skip_nodes, skip_nodes)
TEXT_SETTER(trivet_config_carry_plugins, carried)

trivet_status_t trivet_config_disable_pass(trivet_config_t* config, const char* name) {
  if (!config || !name)
    return TRIVET_STATUS(INVALID_ARGUMENT, "disabling a pass needs a config and a name");
  const char* kept = NULL;
  TRIVET_RETURN_IF_ERROR(copy_text(config, name, &kept));
  return tvi_vector_push(&config->disabled, kept);
}

static trivet_status_t push_insertion(trivet_config_t* config, const char* name, const char* anchor,
                                      tvi_pass_place_t place) {
  tvi_pass_insertion_t insertion = {NULL, NULL, place};
  TRIVET_RETURN_IF_ERROR(copy_text(config, name, &insertion.name));
  TRIVET_RETURN_IF_ERROR(copy_text(config, anchor, &insertion.anchor));
  return tvi_vector_push(&config->insertions, insertion);
}

// Name of definition |index| if it is a pass or a rewrite, else NULL.
static const char* pass_name(const trivet_plugin_t* plugin, uint64_t index) {
  const trivet_header_t* header = plugin->definitions[index];
  if (header->struct_type == TRIVET_STRUCT_PASS) return ((const trivet_pass_t*)header)->name;
  if (header->struct_type == TRIVET_STRUCT_REWRITE) return ((const trivet_rewrite_t*)header)->name;
  return NULL;
}

static trivet_status_t insert_plugin(trivet_config_t* config, const char* name, const char* anchor,
                                     tvi_pass_place_t place) {
  const tvi_registry_t* registry = config->builder->registry;
  const trivet_plugin_t* plugin = NULL;
  for (uint32_t i = 0; i < tvi_registry_plugin_count(registry) && !plugin; ++i) {
    const trivet_plugin_t* each = tvi_registry_plugin(registry, i);
    if (strcmp(each->name, name) == 0) plugin = each;
  }
  if (!plugin) return TRIVET_STATUS(NOT_FOUND, "there is no plugin \"%s\" loaded", name);
  bool found = false;
  // Each lands next to the anchor, so what comes behind it is pushed backwards.
  for (uint64_t i = 0; i < plugin->definition_count; ++i) {
    uint64_t index = place == TVI_PASS_AFTER ? plugin->definition_count - 1 - i : i;
    const char* each = pass_name(plugin, index);
    if (!each) continue;
    TRIVET_RETURN_IF_ERROR(push_insertion(config, each, anchor, place));
    found = true;
  }
  if (found) return TRIVET_OK;
  return TRIVET_STATUS(NOT_FOUND, "plugin \"%s\" brings no pass", name);
}

trivet_status_t trivet_config_insert_pass(trivet_config_t* config, const char* name,
                                          const char* anchor, uint32_t before) {
  if (!config || !name || !anchor)
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "inserting a pass needs a config, its name and an anchor");
  static const char kPlugin[] = "plugin:";
  tvi_pass_place_t place = before != 0 ? TVI_PASS_BEFORE : TVI_PASS_AFTER;
  if (strncmp(name, kPlugin, sizeof(kPlugin) - 1) == 0) {
    return insert_plugin(config, name + sizeof(kPlugin) - 1, anchor, place);
  }
  return push_insertion(config, name, anchor, place);
}

trivet_status_t trivet_config_replace_pass(trivet_config_t* config, const char* name,
                                           const char* replacement) {
  if (!config || !name || !replacement)
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "replacing a pass needs a config, its name and another's");
  return push_insertion(config, replacement, name, TVI_PASS_INSTEAD);
}

trivet_status_t trivet_config_set_flags(trivet_config_t* config, uint32_t flags) {
  if (!config) return TRIVET_STATUS(INVALID_ARGUMENT, "no config given");
  uint32_t known = TRIVET_BUILD_VERIFY_PASSES | TRIVET_BUILD_EXPLAIN | TRIVET_BUILD_OBEY_PRECISION |
                   TRIVET_BUILD_STRONGLY_TYPED;
  if (flags & ~known)
    return TRIVET_STATUS(INVALID_ARGUMENT, "unknown build flags 0x%x", flags & ~known);
  config->flags = flags;
  return TRIVET_OK;
}

trivet_status_t trivet_config_set_stop_after(trivet_config_t* config, int64_t changes) {
  if (!config) return TRIVET_STATUS(INVALID_ARGUMENT, "no config given");
  config->stop_after = changes;
  return TRIVET_OK;
}

trivet_status_t trivet_config_set_progress(trivet_config_t* config, trivet_progress_t progress) {
  if (!config) return TRIVET_STATUS(INVALID_ARGUMENT, "no config given");
  config->progress = progress;
  return TRIVET_OK;
}

trivet_status_t trivet_config_add_profile(trivet_config_t* config, uint32_t* out_index) {
  if (!config) return TRIVET_STATUS(INVALID_ARGUMENT, "no config given");
  tvi_profile_t profile;
  memset(&profile, 0, sizeof(profile));
  tvi_vector_init(&profile.shapes, config->allocator);
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&config->profiles, profile));
  if (out_index) *out_index = (uint32_t)config->profiles.count - 1;
  return TRIVET_OK;
}

trivet_status_t trivet_config_set_profile_shape(trivet_config_t* config, uint32_t index,
                                                const char* input, uint32_t rank,
                                                const int64_t* min_dims, const int64_t* opt_dims,
                                                const int64_t* max_dims) {
  if (!config || !input)
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "a profile shape needs a config and the name of an input");
  if (index >= config->profiles.count) {
    return TRIVET_STATUS(OUT_OF_RANGE, "profile %u of %zu", index, config->profiles.count);
  }
  if (rank > TRIVET_MAX_RANK)
    return TRIVET_STATUS(OUT_OF_RANGE, "rank %u of input \"%s\" is above %u", rank, input,
                         TRIVET_MAX_RANK);
  if (rank && (!min_dims || !opt_dims || !max_dims)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "the profile of input \"%s\" needs min, opt and max",
                         input);
  }
  tvi_profile_shape_t shape;
  memset(&shape, 0, sizeof(shape));
  TRIVET_RETURN_IF_ERROR(copy_text(config, input, &shape.input));
  shape.rank = rank;
  for (uint32_t d = 0; d < rank; ++d) {
    shape.dims[0][d] = min_dims[d];
    shape.dims[1][d] = opt_dims[d];
    shape.dims[2][d] = max_dims[d];
  }
  tvi_profile_t* profile = &config->profiles.data[index];
  for (size_t i = 0; i < profile->shapes.count; ++i) {
    if (strcmp(profile->shapes.data[i].input, input) == 0) {
      profile->shapes.data[i] = shape;
      return TRIVET_OK;
    }
  }
  return tvi_vector_push(&profile->shapes, shape);
}

// --- Pipelines --------------------------------------------------------------------------

static bool is_name_byte(char c) {
  return c && c != ',' && c != '(' && c != ')' && c != '*' && c != ' ';
}

// Writes |pipeline| with |insertion| at every place where its anchor stands.
static bool insert(const char* pipeline, const tvi_pass_insertion_t* insertion,
                   tvi_string_builder_t* out) {
  bool found = false;
  for (const char* c = pipeline; *c;) {
    if (!is_name_byte(*c)) {
      tvi_string_builder_append_char(out, *c++);
      continue;
    }
    const char* start = c;
    while (is_name_byte(*c)) ++c;
    size_t size = (size_t)(c - start);
    trivet_string_view_t name = {start, size};
    bool here = strlen(insertion->anchor) == size && memcmp(insertion->anchor, start, size) == 0;
    found = found || here;
    if (here && insertion->place == TVI_PASS_BEFORE) {
      tvi_string_builder_appendf(out, "%s,", insertion->name);
    }
    if (here && insertion->place == TVI_PASS_INSTEAD) {
      name = (trivet_string_view_t){insertion->name, strlen(insertion->name)};
    }
    tvi_string_builder_append(out, name);
    if (here && insertion->place == TVI_PASS_AFTER) {
      tvi_string_builder_appendf(out, ",%s", insertion->name);
    }
  }
  return found;
}

static trivet_status_t insert_everywhere(const trivet_config_t* config,
                                         const tvi_pass_insertion_t* insertion,
                                         tvi_string_builder_t* pipeline) {
  tvi_string_builder_t next;
  tvi_string_builder_init(&next, config->allocator);
  bool found = insert(pipeline->data ? pipeline->data : "", insertion, &next);
  tvi_string_builder_clear(pipeline);
  tvi_string_builder_append(pipeline, tvi_string_builder_view(&next));
  trivet_status_t status = tvi_string_builder_status(&next);
  tvi_string_builder_deinit(&next);
  TRIVET_RETURN_IF_ERROR(status);
  if (!found) {
    return TRIVET_STATUS(NOT_FOUND,
                         "pass \"%s\" cannot be inserted: the pipeline has no pass \"%s\"",
                         insertion->name, insertion->anchor);
  }
  return TRIVET_OK;
}

tvi_precision_policy_t tvi_config_precision(const trivet_config_t* config) {
  // Where the caller gives the passes, they are what the caller wants; rounding takes no pass.
  bool is_own = config->pipeline != NULL && config->precision != TRIVET_PRECISION_TF32;
  return (tvi_precision_policy_t){is_own ? 0 : config->precision, (uint32_t)config->rules.count,
                                  config->rules.data,
                                  (config->flags & TRIVET_BUILD_OBEY_PRECISION) != 0};
}

static bool uses_precision(const trivet_config_t* config, uint32_t dtype) {
  if (config->precision == dtype) return true;
  for (size_t i = 0; i < config->rules.count; ++i) {
    if (config->rules.data[i].dtype == dtype) return true;
  }
  return false;
}

trivet_status_t tvi_config_pipeline(const trivet_config_t* config,
                                    tvi_string_builder_t* out_pipeline) {
  tvi_string_builder_append_cstr(out_pipeline, config->pipeline ? config->pipeline : kPipeline);
  // Behind everything that computes with weights, which f32 does better.
  static const struct {
    uint32_t dtype;
    const char* name;
  } lowering[] = {{TRIVET_DTYPE_BF16, "lower-to-bf16"}, {TRIVET_DTYPE_F16, "lower-to-f16"}};
  for (size_t i = 0; i < 2 && config->pipeline == NULL; ++i) {
    if (!uses_precision(config, lowering[i].dtype)) continue;
    const tvi_pass_insertion_t insertion = {lowering[i].name, "merge-siblings", TVI_PASS_AFTER};
    TRIVET_RETURN_IF_ERROR(insert_everywhere(config, &insertion, out_pipeline));
  }
  for (size_t i = 0; i < config->insertions.count; ++i) {
    TRIVET_RETURN_IF_ERROR(insert_everywhere(config, &config->insertions.data[i], out_pipeline));
  }
  return tvi_string_builder_status(out_pipeline);
}

// Fusers and schedulers that are no passes but can be switched off like them.
static const char* const kFusers[] = {"fuse-prologue",  "fuse-epilogue",   "fuse-elementwise",
                                      "fuse-reduction", "concat-in-place", "share-in-place",
                                      "choose-layout"};

trivet_status_t tvi_config_check_names(const trivet_config_t* config) {
  const tvi_registry_t* registry = config->builder->registry;
  if ((config->flags & TRIVET_BUILD_STRONGLY_TYPED) &&
      ((config->precision != TRIVET_DTYPE_F32 && config->precision != TRIVET_PRECISION_TF32) ||
       config->rules.count)) {
    return TRIVET_STATUS(FAILED_PRECONDITION,
                         "a strongly typed build computes on the network's own types: it goes with "
                         "no precision and no precision of layers");
  }
  if (config->tactics == TRIVET_TACTICS_LOCKED && !config->timing_cache)
    return TRIVET_STATUS(FAILED_PRECONDITION, "locked tactics need a lock file");
  if (config->tactics == TRIVET_TACTICS_HEURISTIC &&
      (config->timing_cache || config->lock_output)) {
    return TRIVET_STATUS(FAILED_PRECONDITION,
                         "%s \"%s\" goes with timed tactics; heuristic ones measure nothing",
                         config->timing_cache ? "timing cache" : "lock file",
                         config->timing_cache ? config->timing_cache : config->lock_output);
  }
  for (size_t i = 0; i < config->disabled.count; ++i) {
    const char* name = config->disabled.data[i];
    bool known = tvi_registry_pass(registry, name) || tvi_registry_rewrite(registry, name) ||
                 tvi_registry_kernel(registry, name, 0);
    for (size_t f = 0; f < sizeof(kFusers) / sizeof(kFusers[0]) && !known; ++f)
      known = strcmp(kFusers[f], name) == 0;
    if (!known)
      return TRIVET_STATUS(NOT_FOUND, "there is no pass, fuser or kernel \"%s\" to disable", name);
  }
  return TRIVET_OK;
}

trivet_status_t tvi_config_run_passes(const trivet_config_t* config, trivet_builder_t* builder,
                                      trivet_graph_t* graph, const char* pipeline,
                                      const tvi_target_query_t* query,
                                      tvi_pass_manager_t** out_manager) {
  tvi_pass_options_t options;
  memset(&options, 0, sizeof(options));
  options.stop_after = -1;
  tvi_precision_policy_t precision;
  if (config) {
    precision = tvi_config_precision(config);
    options.precision = &precision;
    options.disabled = config->disabled.data;
    options.disabled_count = (uint32_t)config->disabled.count;
    options.verify = (config->flags & TRIVET_BUILD_VERIFY_PASSES) != 0;
    options.stop_after = config->stop_after;
    options.skip_nodes = config->skip_nodes;
    options.dump_folder = config->dump_folder;
  }
  options.logger = &builder->logger;
  if (query) {
    options.accepts = query->accepts;
    options.accepts_self = query->self;
  }
  tvi_pass_manager_t* manager = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_pass_manager_create(builder->registry, &options, builder->allocator, &manager));
  trivet_status_t status = tvi_pass_manager_run(manager, pipeline, graph);
  *out_manager = manager;  // its records are worth reading after a failure too
  return status;
}
