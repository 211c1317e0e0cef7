// SPDX-License-Identifier: Apache-2.0
//
// Operators of our own for `trivet plugin check`: a copy that is never fused, and one that calls a
// scalar function of the plugin, whose code for devices is compiled by that.
#include <stdio.h>
#include <string.h>

#include "core/base/dtype.h"
#include "core/kernel_ir/operator_ast.h"
#include "tools/trivet/check.h"

static trivet_status_t evaluate_copy(const trivet_operator_t* op, trivet_evaluation_t* e) {
  (void)op;
  const trivet_tensor_t* x = e->api->input(e, 0);
  trivet_tensor_t* y = NULL;
  TRIVET_RETURN_IF_ERROR(e->api->output(e, 0, x->dtype, x->rank, x->dims, &y));
  if (y && y->size) memcpy(y->data, x->data, y->size);
  return TRIVET_OK;
}

static trivet_status_t infer_copy(const trivet_operator_t* op, trivet_node_view_t* view) {
  (void)op;
  const trivet_type_t* x = trivet_view_input_type(view, 0);
  return trivet_view_set_output(view, 0, x->dtype, x->rank, x->dims);
}

TRIVET_OPERATOR_WITH(copy, "check.Copy", 1, 0, "a copy that is never fused",
                     "op check.Copy/1 (x: T[*]) -> (y: T[*]) where T: any\n", infer_copy, 0,
                     evaluate_copy);

// The process looks at one definition, and the text is made before anything is loaded for it.
static char call_text[2000];
static trivet_operator_t call = {.header = TRIVET_HEADER(trivet_operator_t, TRIVET_STRUCT_OPERATOR),
                                 .name = "check.Call",
                                 .text = call_text,
                                 .summary = "a call of a scalar function",
                                 .version = 1};
static const void* const definitions[2] = {&copy, &call};
static trivet_plugin_t own = {.header = TRIVET_HEADER(trivet_plugin_t, TRIVET_STRUCT_PLUGIN),
                              .abi_major = TRIVET_ABI_MAJOR,
                              .abi_minor = TRIVET_ABI_MINOR,
                              .sanitizer = TRIVET_SANITIZER,
                              .halves = TRIVET_HALF_BUILD | TRIVET_HALF_RUN,
                              .name = "plugin_check",
                              .version = "1.0",
                              .summary = "what the check tries plugins with",
                              .definitions = definitions,
                              .definition_count = 1};

const trivet_plugin_t* check_operators(uint32_t host_major, uint32_t host_minor) {
  (void)host_minor;
  return host_major == TRIVET_ABI_MAJOR ? &own : NULL;
}

// "op check.Call/1 (x0: T[D...], ...) -> (y: T[D...])" for arguments of |dtype| where the function
// leaves them open. Types in registers: f16 and bf16 are converted around the call.
static void write_call(const tvi_kir_function_t* function, const char* name, uint32_t dtype) {
  char* to = call_text;
  size_t room = sizeof(call_text);
#define PUT(...)                                \
  do {                                          \
    int put = snprintf(to, room, __VA_ARGS__);  \
    if (put < 0 || (size_t)put >= room) return; \
    to += put, room -= (size_t)put;             \
  } while (0)
  PUT("op check.Call/1 (");
  for (uint32_t i = 0; i < function->parameter_count; ++i) {
    const tvi_kir_type_ref_t* type = &function->parameter_types[i];
    PUT("%sx%u: %s[D...]", i ? ", " : "", i, trivet_dtype_name(type->dtype ? type->dtype : dtype));
  }
  const tvi_kir_type_ref_t* result = &function->result_type;
  const char* result_name = trivet_dtype_name(result->dtype ? result->dtype : dtype);
  PUT(") -> (y: %s[D...])\ny[i...] = %s(%s(", result_name, result_name, name);
  for (uint32_t i = 0; i < function->parameter_count; ++i) {
    bool open = !function->parameter_types[i].dtype;
    bool small = open && tvi_dtype_is_float(dtype) && dtype != TRIVET_DTYPE_F64;
    PUT(small ? "%sf32(x%u[i...])" : "%sx%u[i...]", i ? ", " : "", i);
  }
  PUT("))\n");
#undef PUT
}

static void write_graph(const tvi_kir_function_t* function, uint32_t dtype,
                        tvi_string_builder_t* out) {
  tvi_string_builder_append_cstr(out, "graph \"trial\" {\n  symbol n: 1 .. 16\n");
  for (uint32_t i = 0; i < function->parameter_count; ++i) {
    uint32_t own_type = function->parameter_types[i].dtype;
    tvi_string_builder_appendf(out, "  input %%x%u: %s[n, 5]\n", i,
                               trivet_dtype_name(own_type ? own_type : dtype));
  }
  tvi_string_builder_append_cstr(out, "  %y = check.Call(");
  for (uint32_t i = 0; i < function->parameter_count; ++i)
    tvi_string_builder_appendf(out, "%s%%x%u", i ? ", " : "", i);
  tvi_string_builder_append_cstr(out, ")\n  output \"y\": %y\n}\n");
}

void check_function(check_t* check, const trivet_scalar_function_t* function) {
  static const uint32_t dtypes[] = {TRIVET_DTYPE_F32, TRIVET_DTYPE_F16, TRIVET_DTYPE_F64};
  uint32_t taken = 0, faults = check->tally->faults;
  check->device_code = function->cuda != NULL;
  for (size_t k = 0; k < sizeof(dtypes) / sizeof(dtypes[0]); ++k) {
    trivet_string_view_t name = {function->name, strlen(function->name)};
    const tvi_kir_function_t* parsed = tvi_registry_parsed_function(check->registry, name);
    tvi_string_builder_t text;
    if (!parsed || check->tally->faults != faults) return;
    tvi_string_builder_init(&text, trivet_allocator_system());
    write_call(parsed, function->name, dtypes[k]);
    write_graph(parsed, dtypes[k], &text);
    own.definition_count = 2;
    bool open = parsed->variable_count != 0;
    check_set_place(trivet_dtype_name(dtypes[k]));
    trivet_status_t status = check_open_registry(check);
    if (status) {
      ++check->tally->cases;
      check_refused(check, status);
    } else {
      uint32_t refused = check->tally->refused;
      check_graph(check, text.data, NULL, NULL, NULL);
      taken += check->tally->refused == refused;
    }
    own.definition_count = 1;
    if (status) status = check_open_registry(check);
    trivet_status_free(status);
    tvi_string_builder_deinit(&text);
    if (!open) break;
  }
  if (!taken && check->tally->faults == faults)
    check_fault(check, "no call of it is taken: %s", check->tally->last_refusal);
}
