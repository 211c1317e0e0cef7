// SPDX-License-Identifier: Apache-2.0
//
// One layer while it is put together: what the files of typed layer calls share. Everything ends in
// trivet_network_add_node, which checks operands and attributes.
#ifndef TRIVET_CODEGEN_BUILD_LAYERS_INTERNAL_H_
#define TRIVET_CODEGEN_BUILD_LAYERS_INTERNAL_H_

#include "codegen/build/build_internal.h"

#define TVI_LAYER_INPUTS 12u
#define TVI_LAYER_ATTRIBUTES 12u

// Attributes point into the struct, so it does not move once one is put.
typedef struct tvi_layer_s {
  trivet_network_t* network;
  const char* op;
  const char* name;
  trivet_value_t inputs[TVI_LAYER_INPUTS];
  uint32_t input_count;  // trailing absent operands left out
  uint32_t attribute_count;
  trivet_attribute_t attributes[TVI_LAYER_ATTRIBUTES];
  union {
    int64_t integer;
    double number;
    uint32_t dtype;
    trivet_string_view_t text;
  } values[TVI_LAYER_ATTRIBUTES];
} tvi_layer_t;

void tvi_layer_init(tvi_layer_t* layer, trivet_network_t* network, const char* op,
                    const char* name);
// 0: absent.
void tvi_layer_input(tvi_layer_t* layer, trivet_value_t value);
void tvi_layer_i64(tvi_layer_t* layer, const char* attribute, int64_t value);
// |values| must live until the layer is added.
void tvi_layer_i64s(tvi_layer_t* layer, const char* attribute, const int64_t* values,
                    uint64_t count);
void tvi_layer_f32(tvi_layer_t* layer, const char* attribute, double value);
void tvi_layer_dtype(tvi_layer_t* layer, const char* attribute, trivet_dtype_t value);
void tvi_layer_string(tvi_layer_t* layer, const char* attribute, const char* value);
trivet_status_t tvi_layer_add(tvi_layer_t* layer, uint32_t output_count,
                              trivet_value_t* out_outputs);

// An operator with operands and no attributes.
trivet_status_t tvi_layer_plain(trivet_network_t* network, const char* op,
                                const trivet_value_t* inputs, uint32_t count, const char* name,
                                trivet_value_t* out_value);
// INVALID_ARGUMENT that names the call where |network| or |out| is NULL or |x| is no value.
trivet_status_t tvi_layer_check(const trivet_network_t* network, trivet_value_t x, const void* out,
                                const char* call);
// The type of a value that tvi_layer_check has let through. Valid until the next change.
const trivet_type_t* tvi_layer_type(const trivet_network_t* network, trivet_value_t value);
// |names|[kind], or an error that names the call.
trivet_status_t tvi_layer_kind(const char* const* names, size_t count, uint32_t kind,
                               const char* call, const char** out_name);
// |axis| from the front; an error where it is none of |rank|.
trivet_status_t tvi_layer_axis(int64_t axis, uint32_t rank, const char* call, uint32_t* out_axis);

#define TVI_LAYER_KIND(names, kind, call, out_name) \
  tvi_layer_kind(names, sizeof(names) / sizeof((names)[0]), kind, call, out_name)

#endif  // TRIVET_CODEGEN_BUILD_LAYERS_INTERNAL_H_
