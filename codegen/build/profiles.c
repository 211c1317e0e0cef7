// SPDX-License-Identifier: Apache-2.0
//
// Optimization profiles: what shapes the plan must take, as ranges of symbols, and which to
// optimise for.
#include <string.h>

#include "codegen/build/build_internal.h"
#include "core/base/status.h"

#define DEFAULT_MIN 1
#define DEFAULT_OPT 1
#define DEFAULT_MAX 64

static const char* const kWhich[3] = {"min", "opt", "max"};

static const tvi_profile_shape_t* find_shape(const tvi_profile_t* profile,
                                             trivet_string_view_t input) {
  for (size_t i = 0; i < profile->shapes.count; ++i) {
    const tvi_profile_shape_t* shape = &profile->shapes.data[i];
    if (strlen(shape->input) == input.size && memcmp(shape->input, input.data, input.size) == 0)
      return shape;
  }
  return NULL;
}

static bool is_dynamic(const trivet_type_t* type) {
  for (uint32_t d = 0; d < type->rank; ++d) {
    if (!tvi_dim_is_constant(type->dims[d], NULL)) return true;
  }
  return false;
}

// Shapes of one input in one profile: what was given, or what follows from static dimensions and
// defaults.
static trivet_status_t input_shape(const trivet_config_t* config, const trivet_graph_t* graph,
                                   uint32_t input, uint32_t profile,
                                   int64_t out_dims[3][TRIVET_MAX_RANK]) {
  const tvi_named_value_t* named = &graph->inputs[input];
  const trivet_type_t* type = &tvi_graph_value(graph, named->value)->type;
  const tvi_profile_shape_t* shape = profile < config->profiles.count
                                         ? find_shape(&config->profiles.data[profile], named->name)
                                         : NULL;
  int name_size = (int)named->name.size;
  if (shape && shape->rank != type->rank) {
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "profile %u: input \"%.*s\" has rank %u, the profile gives %u extents",
                         profile, name_size, named->name.data, type->rank, shape->rank);
  }
  if (!shape && config->profiles.count && is_dynamic(type)) {
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "profile %u says nothing of input \"%.*s\", whose shape is dynamic",
                         profile, name_size, named->name.data);
  }
  for (uint32_t d = 0; d < type->rank; ++d) {
    int64_t value = 0;
    bool fixed = tvi_dim_is_constant(type->dims[d], &value);
    int64_t least = value, most = value;
    if (!fixed) tvi_dim_range(graph->dims, type->dims[d], &least, &most);
    for (uint32_t w = 0; w < 3; ++w) {
      if (!shape) {
        static const int64_t defaults[3] = {DEFAULT_MIN, DEFAULT_OPT, DEFAULT_MAX};
        out_dims[w][d] = defaults[w] < least ? least : defaults[w] > most ? most : defaults[w];
        continue;
      }
      out_dims[w][d] = shape->dims[w][d];
      if (fixed && shape->dims[w][d] != value) {
        return TRIVET_STATUS(
            INVALID_ARGUMENT,
            "profile %u: extent %u of input \"%.*s\" is %lld in the network, its %s is %lld",
            profile, d, name_size, named->name.data, (long long)value, kWhich[w],
            (long long)shape->dims[w][d]);
      }
    }
    if (out_dims[0][d] < 0 || out_dims[0][d] > out_dims[1][d] || out_dims[1][d] > out_dims[2][d]) {
      return TRIVET_STATUS(INVALID_ARGUMENT,
                           "profile %u: extent %u of input \"%.*s\" must have 0 <= min <= opt <= "
                           "max, has %lld, %lld, %lld",
                           profile, d, name_size, named->name.data, (long long)out_dims[0][d],
                           (long long)out_dims[1][d], (long long)out_dims[2][d]);
    }
  }
  return TRIVET_OK;
}

static uint32_t profile_count(const trivet_config_t* config) {
  return config->profiles.count ? (uint32_t)config->profiles.count : 1;
}

// Every input that a profile names must exist.
static trivet_status_t check_names(const trivet_config_t* config, const trivet_graph_t* graph) {
  for (size_t p = 0; p < config->profiles.count; ++p) {
    const tvi_profile_t* profile = &config->profiles.data[p];
    for (size_t i = 0; i < profile->shapes.count; ++i) {
      bool found = false;
      for (uint32_t k = 0; k < graph->input_count && !found; ++k) {
        found = find_shape(profile, graph->inputs[k].name) == &profile->shapes.data[i];
      }
      if (!found) {
        return TRIVET_STATUS(NOT_FOUND,
                             "profile %zu names input \"%s\", which the network does not have", p,
                             profile->shapes.data[i].input);
      }
    }
  }
  return TRIVET_OK;
}

// Extents that have one value in all profiles become numbers: what depends on them alone is then
// known when the plan is built.
static void fix_extents(trivet_graph_t* graph) {
  for (uint32_t i = 0; i < graph->input_count; ++i) {
    trivet_type_t* type = &tvi_graph_value(graph, graph->inputs[i].value)->type;
    for (uint32_t d = 0; d < type->rank; ++d) {
      int64_t low, high;
      tvi_dim_range(graph->dims, type->dims[d], &low, &high);
      trivet_dim_t number = low == high ? tvi_dim_constant(graph->dims, low) : NULL;
      if (number) type->dims[d] = number;
    }
  }
}

trivet_status_t tvi_profiles_restrict(const trivet_config_t* config, trivet_graph_t* graph) {
  TRIVET_RETURN_IF_ERROR(check_names(config, graph));
  uint32_t symbols = tvi_dim_symbol_count(graph->dims);
  int64_t *low = NULL, *high = NULL;
  trivet_allocator_t allocator = config->allocator;
  TRIVET_RETURN_IF_ERROR(
      tvi_alloc_array(allocator, 2 * (size_t)symbols + 1, sizeof(int64_t), &low));
  high = low + symbols;
  for (uint32_t s = 0; s < symbols; ++s) low[s] = INT64_MAX, high[s] = -1;
  trivet_status_t status = TRIVET_OK;
  for (uint32_t p = 0; p < profile_count(config) && !status; ++p) {
    for (uint32_t i = 0; i < graph->input_count && !status; ++i) {
      int64_t dims[3][TRIVET_MAX_RANK];
      status = input_shape(config, graph, i, p, dims);
      const trivet_type_t* type = &tvi_graph_value(graph, graph->inputs[i].value)->type;
      for (uint32_t d = 0; d < type->rank && !status; ++d) {
        if (tvi_dim_kind(type->dims[d]) != TVI_DIM_SYMBOL) continue;
        uint32_t s = tvi_dim_symbol_index(type->dims[d]);
        if (dims[0][d] < low[s]) low[s] = dims[0][d];
        if (dims[2][d] > high[s]) high[s] = dims[2][d];
      }
    }
  }
  for (uint32_t s = 0; s < symbols && !status; ++s) {
    if (high[s] >= 0)
      status = tvi_dim_symbol_restrict(graph->dims, tvi_dim_symbol_at(graph->dims, s), low[s],
                                       high[s], 1);
  }
  tvi_free_array(allocator, low, 2 * (size_t)symbols + 1, sizeof(int64_t));
  if (!status) fix_extents(graph);
  return status;
}

trivet_status_t tvi_profiles_choose(const trivet_config_t* config, const trivet_graph_t* graph,
                                    tvi_arena_t* arena, tvi_shape_choice_t* out_choice) {
  uint32_t symbols = tvi_dim_symbol_count(graph->dims), profiles = profile_count(config);
  int64_t *opt = NULL, *max = NULL;
  tvi_plan_profile_t* made = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, symbols + 1, sizeof(int64_t), &opt));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, symbols + 1, sizeof(int64_t), &max));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, profiles, sizeof(*made), &made));
  for (uint32_t s = 0; s < symbols; ++s) {
    // What no profile says (sizes that depend on data): the largest that it can be.
    int64_t low = 0;
    tvi_dim_range(graph->dims, tvi_dim_symbol_at(graph->dims, s), &low, &max[s]);
    opt[s] = max[s];
  }
  for (uint32_t p = profiles; p-- > 0;) {
    int64_t* dims = NULL;
    TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(
        arena, 3 * (size_t)TRIVET_MAX_RANK * (graph->input_count + 1), sizeof(int64_t), &dims));
    for (uint32_t i = 0; i < graph->input_count; ++i) {
      int64_t shape[3][TRIVET_MAX_RANK] = {{0}};
      TRIVET_RETURN_IF_ERROR(input_shape(config, graph, i, p, shape));
      memcpy(dims + 3 * (size_t)TRIVET_MAX_RANK * i, shape, sizeof(shape));
      const trivet_type_t* type = &tvi_graph_value(graph, graph->inputs[i].value)->type;
      for (uint32_t d = 0; d < type->rank; ++d) {
        if (tvi_dim_kind(type->dims[d]) == TVI_DIM_SYMBOL)
          opt[tvi_dim_symbol_index(type->dims[d])] = shape[1][d];
      }
    }
    made[p].binding_count = graph->input_count;
    made[p].dims = dims;
  }
  out_choice->opt = opt;
  out_choice->max = max;
  out_choice->symbol_count = symbols;
  out_choice->profile_count = profiles;
  out_choice->profiles = made;
  return TRIVET_OK;
}
