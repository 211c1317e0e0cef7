// SPDX-License-Identifier: Apache-2.0
//
// Scalar functions of plugins that bring code of their own: each is defined once in front of the
// kernels that call it, one overload for each set of element types. Part of printing CUDA C; what
// stands in the code is the author's, and errors of the compiler name plugin and function.
#include <string.h>

#include "core/base/status.h"
#include "plugins/cuda/emit/emit_print.h"

// A function with the register types of its arguments and result, which are constants of ours.
typedef struct overload_t {
  const tvi_kir_device_t* device;
  const char* types[TVI_KIR_MAX_PARAMETERS];
  const char* result;
} overload_t;

typedef struct collection_t {
  tvi_cuda_printer_t* p;
  TVI_VECTOR(overload_t) overloads;
} collection_t;

void tvi_cuda_device_arguments(const tvi_kir_instr_t* instrs, const tvi_kir_instr_t* instr,
                               tvi_kir_ref_t args[TVI_KIR_MAX_PARAMETERS]) {
  tvi_kir_ref_t ref = instr->args[1];
  for (uint32_t i = instr->imm.device->parameter_count; i-- > 1;) {
    args[i] = instrs[ref].args[1];
    ref = instrs[ref].args[0];
  }
  args[0] = ref;
}

static void append_name(tvi_string_builder_t* out, const tvi_kir_device_t* device) {
  tvi_string_builder_appendf(out, "tvx_%s_", device->plugin);
  for (const char* c = device->name; *c; ++c)
    tvi_string_builder_append_char(out, *c == '.' ? '_' : *c);
}

void tvi_cuda_print_device_name(tvi_cuda_printer_t* p, const tvi_kir_device_t* device) {
  append_name(&p->body, device);
}

static bool is_same(const overload_t* a, const overload_t* b) {
  return a->device == b->device && a->result == b->result &&
         memcmp(a->types, b->types, sizeof(a->types)) == 0;
}

static void print_overload(tvi_string_builder_t* out, const overload_t* overload) {
  const tvi_kir_device_t* device = overload->device;
  tvi_string_builder_appendf(out, "\nTV_DEVICE %s ", overload->result);
  append_name(out, device);
  for (uint32_t i = 0; i < device->parameter_count; ++i)
    tvi_string_builder_appendf(out, "%s%s %s", i ? ", " : "(", overload->types[i],
                               device->parameters[i]);
  tvi_string_builder_append_cstr(out, ") {\n");
  for (uint32_t i = 0; i < device->parameter_count; ++i) {
    bool is_new = device->variables[i][0] != '\0';
    for (uint32_t k = 0; k < i; ++k)
      is_new = is_new && strcmp(device->variables[i], device->variables[k]) != 0;
    if (is_new)
      tvi_string_builder_appendf(out, "using %s = %s;\n", device->variables[i], overload->types[i]);
  }
  // What the compiler says of these lines then names whose they are.
  tvi_string_builder_appendf(out, "#line 1 \"scalar function %s of plugin %s\"\n%s\n}\n",
                             device->name, device->plugin, device->cuda);
  tvi_string_builder_append_cstr(out, "#line 1 \"kernel.cu\"\n");
}

static void collect(collection_t* c, const tvi_kir_instr_t* instrs, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    if (instrs[i].opcode != TVI_KIR_DEVICE) continue;
    overload_t overload;
    tvi_kir_ref_t args[TVI_KIR_MAX_PARAMETERS];
    memset(&overload, 0, sizeof(overload));
    overload.device = instrs[i].imm.device;
    overload.result = tvi_cuda_register_type(instrs[i].dtype);
    tvi_cuda_device_arguments(instrs, &instrs[i], args);
    for (uint32_t k = 0; k < overload.device->parameter_count; ++k)
      overload.types[k] = tvi_cuda_register_type(instrs[args[k]].dtype);
    bool is_known = false;
    for (size_t k = 0; k < c->overloads.count; ++k)
      is_known = is_known || is_same(&c->overloads.data[k], &overload);
    if (is_known) continue;
    trivet_status_t status = tvi_vector_push(&c->overloads, overload);
    if (status) tvi_cuda_fail(c->p, status);
    print_overload(&c->p->code->source, &overload);
  }
}

void tvi_cuda_print_prelude(tvi_cuda_printer_t* p) {
  collection_t c = {.p = p};
  tvi_vector_init(&c.overloads, p->code->allocator);
  tvi_string_builder_append_cstr(&p->code->source, tvi_cuda_prelude);
  for (uint32_t s = 0; s < p->program->stage_count; ++s) {
    const tvi_kir_stage_t* stage = &p->program->stages[s];
    collect(&c, stage->instrs, stage->instr_count);
    if (stage->monoid && stage->monoid->kind == TVI_KIR_DECLARED)
      collect(&c, stage->monoid->join, stage->monoid->join_count);
  }
  tvi_vector_deinit(&c.overloads);
}
