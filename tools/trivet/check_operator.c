// SPDX-License-Identifier: Apache-2.0
//
// An operator by its declaration: a graph with one node of it for every type that it claims and for
// ranks 1 to 5 where it is generic, with dynamic shapes where it takes them.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/allocator.h"
#include "core/base/dtype.h"
#include "core/graph/graph_text.h"
#include "core/kernel_ir/operator_ast.h"
#include "tools/trivet/check.h"

#define MOST 64u

// One way to use the operator.
typedef struct use_s {
  const tvi_operator_entry_t* entry;
  const tvi_kir_operator_t* op;
  uint32_t dtypes[TVI_KIR_MAX_TYPE_VARIABLES];
  uint32_t rank;                  // of packs and of operands of any rank
  bool symbolic;                  // extents
  bool optional;                  // operands that may be absent are given
  bool one_member;                // of variadic operands; else two
  const trivet_kernel_t* kernel;  // that is looked at instead of the operator; NULL: none
  bool used;                      // the kernel, by a graph
  bool only_built;                // not run: one rank does
} use_t;

static const uint32_t kTypes[] = {
    TRIVET_DTYPE_F32, TRIVET_DTYPE_F16, TRIVET_DTYPE_BF16, TRIVET_DTYPE_F64, TRIVET_DTYPE_I64,
    TRIVET_DTYPE_I32, TRIVET_DTYPE_I16, TRIVET_DTYPE_I8,   TRIVET_DTYPE_U64, TRIVET_DTYPE_U32,
    TRIVET_DTYPE_U16, TRIVET_DTYPE_U8,  TRIVET_DTYPE_BOOL};
#define TYPE_COUNT (sizeof(kTypes) / sizeof(kTypes[0]))

// One extent: a symbol, declared in |symbols| on first use, or a number that goes with the name.
static void put_extent(const use_t* u, const char* name, int64_t number,
                       tvi_string_builder_t* symbols, tvi_string_builder_t* out) {
  char line[128];
  if (!u->symbolic) {
    tvi_string_builder_append_i64(out, number);
    return;
  }
  tvi_string_builder_append_cstr(out, name);
  snprintf(line, sizeof(line), "  symbol %s: 1 .. 16\n", name);
  if (!symbols->data || !strstr(symbols->data, line)) tvi_string_builder_append_cstr(symbols, line);
}

static void put_type(const use_t* u, const tvi_kir_operand_t* operand,
                     tvi_string_builder_t* symbols, tvi_string_builder_t* out) {
  static const int64_t kPack[5] = {2, 3, 1, 4, 2};
  uint32_t dtype =
      operand->dtype != TRIVET_DTYPE_INVALID ? operand->dtype : u->dtypes[operand->type_variable];
  bool first = true;
  char name[160];
  tvi_string_builder_appendf(out, "%s[", trivet_dtype_name(dtype));
  for (uint32_t e = 0; e < (operand->any_rank ? 1 : operand->extent_count); ++e) {
    const tvi_kir_extent_t* extent = operand->any_rank ? NULL : &operand->extents[e];
    bool pack =
        !extent || extent->kind == TVI_KIR_EXTENT_PACK || extent->kind == TVI_KIR_EXTENT_BCAST;
    for (uint32_t d = 0; d < (pack ? u->rank : 1); ++d) {
      if (!first) tvi_string_builder_append_cstr(out, ", ");
      first = false;
      if (pack) {
        snprintf(name, sizeof(name), "pack%u_%u", extent ? extent->name : 99, d);
        put_extent(u, name, kPack[d % 5], symbols, out);
      } else if (extent->kind == TVI_KIR_EXTENT_NAME) {
        snprintf(name, sizeof(name), "extent%u", extent->name);
        put_extent(u, name, 3 + extent->name, symbols, out);
      } else {
        bool number = extent->expr && extent->expr->kind == TVI_KIR_EXPR_INT;
        tvi_string_builder_append_i64(out, number ? extent->expr->integer : 4);
      }
    }
  }
  tvi_string_builder_append_cstr(out, "]");
}

static void put_inputs(const use_t* u, tvi_string_builder_t* symbols, tvi_string_builder_t* inputs,
                       tvi_string_builder_t* operands) {
  for (uint32_t i = 0; i < u->op->input_count; ++i) {
    const tvi_kir_operand_t* operand = &u->op->inputs[i];
    uint32_t members = operand->variadic && !u->one_member ? 2 : 1;
    if (i) tvi_string_builder_append_cstr(operands, ", ");
    if (operand->optional && !u->optional) {
      tvi_string_builder_append_cstr(operands, "_");
      continue;
    }
    for (uint32_t m = 0; m < members; ++m) {
      tvi_string_builder_appendf(operands, "%s%%x%u_%u", m ? ", " : "", i, m);
      tvi_string_builder_appendf(inputs, "  input %%x%u_%u: ", i, m);
      put_type(u, operand, symbols, inputs);
      tvi_string_builder_append_char(inputs, '\n');
    }
  }
}

// What has no default gets a plain one. False: nothing is known that could be tried.
static bool put_attributes(const use_t* u, tvi_string_builder_t* out) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < u->op->attribute_count; ++i) {
    const tvi_kir_attribute_t* attribute = &u->op->attributes[i];
    uint32_t dtype = 0;
    for (uint32_t v = 0; v < u->op->type_variable_count; ++v) {
      if (u->op->type_variables[v].attribute == i) dtype = u->dtypes[v];
    }
    if (!attribute->required && !dtype) continue;
    const char* open = attribute->flags & TRIVET_ATTR_LIST ? "[" : "";
    const char* close = attribute->flags & TRIVET_ATTR_LIST ? "]" : "";
    tvi_string_builder_appendf(out, "%s%s = %s", count++ ? ", " : " { ", attribute->name.data,
                               open);
    if (attribute->kind == TRIVET_ATTR_I64) {
      tvi_string_builder_append_cstr(out, "1");
    } else if (attribute->kind == TRIVET_ATTR_F32) {
      tvi_string_builder_append_cstr(out, "0.5");
    } else if (attribute->kind == TRIVET_ATTR_DTYPE) {
      tvi_string_builder_append_cstr(out, trivet_dtype_name(dtype ? dtype : TRIVET_DTYPE_F32));
    } else {
      return false;
    }
    tvi_string_builder_append_cstr(out, close);
  }
  if (count) tvi_string_builder_append_cstr(out, " }");
  return true;
}

// The graph as text, to be freed by tvi_string_builder_deinit.
static bool write_graph(const use_t* u, tvi_string_builder_t* out) {
  tvi_string_builder_t symbols, inputs, operands, attributes;
  trivet_allocator_t allocator = trivet_allocator_system();
  tvi_string_builder_init(&symbols, allocator);
  tvi_string_builder_init(&inputs, allocator);
  tvi_string_builder_init(&operands, allocator);
  tvi_string_builder_init(&attributes, allocator);
  put_inputs(u, &symbols, &inputs, &operands);
  bool known = put_attributes(u, &attributes);
  tvi_string_builder_appendf(out, "graph \"trial\" {\n%s%s  ", symbols.data ? symbols.data : "",
                             inputs.data ? inputs.data : "");
  for (uint32_t i = 0; i < u->op->output_count; ++i)
    tvi_string_builder_appendf(out, "%s%%y%u", i ? ", " : "", i);
  tvi_string_builder_appendf(out, " = %s(%s)%s\n", u->op->name.data,
                             operands.data ? operands.data : "",
                             attributes.data ? attributes.data : "");
  for (uint32_t i = 0; i < u->op->output_count; ++i)
    tvi_string_builder_appendf(out, "  output \"y%u\": %%y%u\n", i, i);
  tvi_string_builder_append_cstr(out, "}\n");
  tvi_string_builder_deinit(&symbols);
  tvi_string_builder_deinit(&inputs);
  tvi_string_builder_deinit(&operands);
  tvi_string_builder_deinit(&attributes);
  return known && tvi_string_builder_status(out) == NULL;
}

typedef struct reading_s {
  const check_t* check;
  const char* text;
} reading_t;

static void read_again(void* argument) {
  const reading_t* reading = argument;
  trivet_graph_t* graph = NULL;
  trivet_string_view_t view = {reading->text, strlen(reading->text)};
  trivet_status_free(
      tvi_graph_parse(reading->check->registry, view, trivet_allocator_system(), &graph));
  tvi_graph_destroy(graph);
}

// What infer takes and does not give back.
static void check_infer_leaks(check_t* check, const char* text) {
  reading_t reading = {check, text};
  check_doing(check, "inferring types many times");
  size_t grown = check_growth(read_again, &reading);
  if (grown) check_fault(check, "infer leaks: %zu bytes stay allocated after each call", grown);
}

// The evaluate hook alone, on the numbers of a graph without symbols.
static void run_hook(check_t* check, const char* text) {
  trivet_graph_t* graph = NULL;
  trivet_string_view_t view = {text, strlen(text)};
  trivet_status_t status =
      tvi_graph_parse(check->registry, view, trivet_allocator_system(), &graph);
  ++check->tally->cases;
  if (status || !graph->first) {
    check_refused(check, status);
    tvi_graph_destroy(graph);
    return;
  }
  const tvi_node_t* node = tvi_graph_node(graph, graph->first);
  trivet_tensor_t inputs[MOST] = {0}, wanted[MOST] = {0};
  for (uint32_t i = 0; i < node->input_count && i < MOST; ++i) {
    if (!node->inputs[i]) continue;
    const trivet_type_t* type = &tvi_graph_value(graph, node->inputs[i])->type;
    int64_t count = 1;
    size_t size = 0;
    inputs[i].dtype = type->dtype;
    inputs[i].rank = type->rank;
    tvi_type_static_dims(type, inputs[i].dims);
    for (uint32_t d = 0; d < type->rank; ++d) count *= inputs[i].dims[d];
    trivet_status_free(trivet_dtype_storage_size(type->dtype, count, &size));
    inputs[i].size = size;
    inputs[i].data = calloc(1, size + 64);
    if (inputs[i].data) check_fill(&inputs[i], 7 * i + 1);
  }
  for (uint32_t i = 0; i < node->output_count && i < MOST; ++i) {
    if (!node->outputs[i]) continue;
    const trivet_type_t* type = &tvi_graph_value(graph, node->outputs[i])->type;
    wanted[i].dtype = type->dtype;
    wanted[i].rank = type->rank;
    for (uint32_t d = 0; d < type->rank; ++d) {
      if (!tvi_dim_is_constant(type->dims[d], &wanted[i].dims[d])) wanted[i].dims[d] = -1;
    }
  }
  check_hook(check, graph, graph->first, inputs, wanted);
  for (uint32_t i = 0; i < MOST; ++i) free(inputs[i].data);
  tvi_graph_destroy(graph);
}

static char place[200];  // of the use, for messages; a process checks one definition

static bool run_use(check_t* check, use_t* u, bool symbolic, bool hook) {
  uint32_t refused = check->tally->refused;
  tvi_string_builder_t text;
  tvi_string_builder_init(&text, trivet_allocator_system());
  u->symbolic = symbolic;
  if (!write_graph(u, &text)) {
    ++check->tally->cases;
    check_refused(check, TRIVET_STATUS(UNIMPLEMENTED,
                                       "an attribute without default has no plain value to try"));
  } else if (hook) {
    run_hook(check, text.data);
  } else {
    bool used = false;
    if (!u->kernel && u->entry->definition->infer && symbolic && u->rank == 2)
      check_infer_leaks(check, text.data);
    check_graph(check, text.data, u->kernel, NULL, &used);
    u->used = u->used || used;
  }
  tvi_string_builder_deinit(&text);
  return check->tally->refused == refused;
}

// True: taken, with symbols for extents or with numbers only.
static bool try_use(check_t* check, use_t* u) {
  uint32_t refused = check->tally->refused, faults = check->tally->faults;
  // A host function is looked at by itself first: it says more.
  if (!u->kernel && u->entry->definition->evaluate && u->rank == 2) {
    if (!run_use(check, u, false, true)) return false;
    if (check->tally->faults != faults) return true;
  }
  if (run_use(check, u, true, false)) return true;
  check->tally->refused = refused;
  --check->tally->cases;
  return run_use(check, u, false, false);
}

static bool is_generic(const tvi_kir_operator_t* op) {
  for (uint32_t i = 0; i < op->input_count; ++i) {
    if (op->inputs[i].any_rank) return true;
    for (uint32_t e = 0; e < op->inputs[i].extent_count; ++e) {
      tvi_kir_extent_kind_t kind = op->inputs[i].extents[e].kind;
      if (kind == TVI_KIR_EXTENT_PACK || kind == TVI_KIR_EXTENT_BCAST) return true;
    }
  }
  return false;
}

static uint32_t first_type(const tvi_kir_type_variable_t* variable) {
  for (size_t k = 0; k < TYPE_COUNT; ++k) {
    if (variable->dtypes >> kTypes[k] & 1) return kTypes[k];
  }
  return TRIVET_DTYPE_F32;
}

// All ranks with the types that are set. Number of uses that were taken.
static uint32_t try_ranks(check_t* check, use_t* u, const char* what) {
  uint32_t taken = 0, most = is_generic(u->op) ? 5 : 1;
  if (u->only_built) most = 1;
  uint32_t faults = check->tally->faults;
  // Rank 2 first: the hook is looked at with it, and a fault there would repeat in all others.
  static const uint32_t order[5] = {2, 1, 3, 4, 5};
  for (uint32_t r = 0; r < most && check->tally->faults == faults; ++r) {
    u->rank = order[r];
    u->optional = r % 2 == 0;
    u->one_member = r % 3 == 2;
    snprintf(place, sizeof(place), "%s%srank %u", what, *what ? ", " : "", u->rank);
    taken += try_use(check, u);
  }
  return taken;
}

bool check_operator(check_t* check, const tvi_operator_entry_t* entry,
                    const trivet_kernel_t* kernel) {
  use_t u = {.entry = entry, .op = entry->parsed, .kernel = kernel};
  if (!u.op) return false;
  u.only_built = kernel && strcmp(kernel->target, "cpu") != 0;
  for (uint32_t i = 0; i < check->tally->target_count; ++i)
    u.only_built = u.only_built && !check->tally->targets[i].runs;
  for (uint32_t v = 0; v < u.op->type_variable_count; ++v)
    u.dtypes[v] = first_type(&u.op->type_variables[v]);
  uint32_t taken = try_ranks(check, &u, "");
  if (!taken && !check->tally->faults && check->tally->last_refusal[0]) return u.used;
  for (uint32_t v = 0; v < u.op->type_variable_count && !check->tally->faults; ++v) {
    const tvi_kir_type_variable_t* variable = &u.op->type_variables[v];
    uint32_t usual = u.dtypes[v];
    for (size_t k = 0; k < TYPE_COUNT; ++k) {
      char what[96];
      if (kTypes[k] == usual || !(variable->dtypes >> kTypes[k] & 1)) continue;
      u.dtypes[v] = kTypes[k];
      snprintf(what, sizeof(what), "%.*s = %s", (int)variable->name.size, variable->name.data,
               trivet_dtype_name(kTypes[k]));
      uint32_t faults = check->tally->faults;
      if (try_ranks(check, &u, what) || check->tally->faults != faults || kernel) continue;
      // With several variables not every pair need go together.
      if (u.op->type_variable_count > 1) {
        printf("  note: %s is not taken with the usual other types: %s\n", what,
               check->tally->last_refusal);
      } else {
        check_doing(check, "all ranks");
        check_fault(check, "claims %s, but does not take it: %s", what, check->tally->last_refusal);
      }
    }
    u.dtypes[v] = usual;
  }
  return u.used;
}

const char* check_operator_place(void) { return place; }
void check_set_place(const char* text) { snprintf(place, sizeof(place), "%s", text); }
