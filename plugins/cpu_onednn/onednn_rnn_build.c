// SPDX-License-Identifier: Apache-2.0
//
// Build half of recurrent layers: which nodes oneDNN can take over from the host function, and
// their weights in its order of gates.
#include <string.h>

#include "core/base/status.h"
#include "plugins/cpu_onednn/onednn_rnn.h"

typedef struct layer_s {
  onednn_rnn_t problem;
  uint32_t w, r, b;                        // operands of the region; b may be absent
  uint32_t operands[ONEDNN_RNN_OPERANDS];  // of the region, or TRIVET_REGION_NONE
  int64_t time, batch;
  const float *w_data, *r_data, *b_data;
  const char* reason;
} layer_t;

uint32_t onednn_rnn_gates(uint32_t cell) {
  return cell <= ONEDNN_CELL_RELU ? 1 : cell == ONEDNN_CELL_LSTM ? 4 : 3;
}

// The new state of a GRU that is linear before the reset adds its recurrent bias behind it.
uint32_t onednn_rnn_biases(uint32_t cell) {
  return cell == ONEDNN_CELL_GRU_LINEAR_BEFORE_RESET ? 4 : onednn_rnn_gates(cell);
}

uint32_t onednn_rnn_position(const onednn_rnn_t* problem, uint32_t role) {
  if (role < ONEDNN_RNN_Y) return role;
  uint32_t at = ONEDNN_RNN_Y;
  for (uint32_t i = ONEDNN_RNN_Y; i < role; ++i) at += problem->outputs >> (i - ONEDNN_RNN_Y) & 1;
  return problem->outputs >> (role - ONEDNN_RNN_Y) & 1 ? at : TVI_KIR_NONE;
}

static bool decline(layer_t* l, const char* reason) {
  if (!l->reason) l->reason = reason;
  return false;
}

static const trivet_attribute_t* attribute(const trivet_region_t* region, const char* name) {
  const trivet_attribute_t* found = region->api->node_attribute(region, 0, name);
  return found && found->count ? found : NULL;
}

static int64_t integer(const trivet_region_t* region, const char* name) {
  const trivet_attribute_t* found = attribute(region, name);
  return found ? *(const int64_t*)found->data : 0;
}

static bool text_is(const trivet_attribute_t* found, uint64_t index, const char* text) {
  const trivet_string_view_t* view = (const trivet_string_view_t*)found->data + index;
  if (view->size != strlen(text)) return false;
  for (uint64_t i = 0; i < view->size; ++i) {
    if ((view->data[i] | 32) != (text[i] | 32)) return false;
  }
  return true;
}

// The activations that the library has: those that the operators have unless told otherwise, and
// relu for a simple layer.
static bool read_activations(layer_t* l, const trivet_region_t* region) {
  static const char* const kGates[3] = {"sigmoid", "tanh", "tanh"};
  const trivet_attribute_t* names = attribute(region, "activations");
  const bool simple = l->problem.cell <= ONEDNN_CELL_RELU;
  const uint64_t each = simple ? 1 : l->problem.cell == ONEDNN_CELL_LSTM ? 3 : 2;
  if (!names) return true;
  if (names->count != each * l->problem.directions) return decline(l, "a number of activations");
  if (simple && text_is(names, 0, "relu")) l->problem.cell = ONEDNN_CELL_RELU;
  for (uint64_t i = 0; i < names->count; ++i) {
    const char* wanted =
        simple ? (l->problem.cell == ONEDNN_CELL_RELU ? "relu" : "tanh") : kGates[i % each];
    if (!text_is(names, i, wanted)) return decline(l, "activations that the library has not");
  }
  return true;
}

static bool read_operator(layer_t* l, const trivet_region_t* region) {
  const char* name = region->api->node_operator(region, 0);
  const trivet_attribute_t* direction = attribute(region, "direction");
  const trivet_attribute_t* clip = attribute(region, "clip");
  if (strcmp(name, "std.LSTM") == 0) {
    l->problem.cell = ONEDNN_CELL_LSTM;
  } else if (strcmp(name, "std.GRU") == 0) {
    l->problem.cell = integer(region, "linear_before_reset") ? ONEDNN_CELL_GRU_LINEAR_BEFORE_RESET
                                                             : ONEDNN_CELL_GRU;
  } else if (strcmp(name, "std.RNN") == 0) {
    l->problem.cell = ONEDNN_CELL_TANH;
  } else {
    return decline(l, "no recurrent layer");
  }
  l->problem.directions = direction && text_is(direction, 0, "bidirectional") ? 2 : 1;
  l->problem.reverse = direction && text_is(direction, 0, "reverse");
  if (clip && *(const double*)clip->data > 0) return decline(l, "a clip");
  if (integer(region, "layout")) return decline(l, "the batch comes first");
  if (integer(region, "input_forget")) return decline(l, "coupled gates");
  return read_activations(l, region);
}

static bool read_constant(layer_t* l, const trivet_region_t* region, uint32_t operand,
                          const int64_t dims[3], uint32_t rank, const float** out_data) {
  trivet_operand_t found;
  trivet_status_t status = region->api->operand(region, operand, &found);
  if (status) {
    trivet_status_free(status);
    return decline(l, "no weights");
  }
  if (!found.constant) return decline(l, "weights that are computed");
  if (found.dtype != TRIVET_DTYPE_F32) return decline(l, "types other than f32");
  if (found.rank != rank || memcmp(found.dims, dims, rank * sizeof(dims[0])) != 0) {
    return decline(l, "weights of another shape");
  }
  *out_data = (const float*)found.constant;
  return true;
}

static bool read_weights(layer_t* l, const trivet_region_t* region) {
  const trivet_region_api_t* api = region->api;
  trivet_operand_t x, r;
  const uint32_t x_index = api->node_input(region, 0, 0), w_index = api->node_input(region, 0, 1),
                 r_index = api->node_input(region, 0, 2), b_index = api->node_input(region, 0, 3);
  trivet_status_t status = api->operand(region, x_index, &x);
  if (!status) status = api->operand(region, r_index, &r);
  if (status) {
    trivet_status_free(status);
    return decline(l, "an extent depends on data");
  }
  if (x.rank != 3 || r.rank != 3 || x.dtype != TRIVET_DTYPE_F32) {
    return decline(l, "types other than f32");
  }
  onednn_rnn_t* p = &l->problem;
  const int64_t gates = onednn_rnn_gates(p->cell);
  l->time = x.dims[0];
  l->batch = x.dims[1];
  p->in = x.dims[2];
  p->hidden = r.dims[2];
  if (!l->time || !l->batch || !p->in || !p->hidden) return decline(l, "an empty operand");
  const int64_t w_dims[3] = {p->directions, gates * p->hidden, p->in};
  const int64_t r_dims[3] = {p->directions, gates * p->hidden, p->hidden};
  const int64_t b_dims[3] = {p->directions, 2 * gates * p->hidden, 0};
  if (!read_constant(l, region, w_index, w_dims, 3, &l->w_data) ||
      !read_constant(l, region, r_index, r_dims, 3, &l->r_data)) {
    return false;
  }
  return b_index == TRIVET_REGION_NONE || read_constant(l, region, b_index, b_dims, 2, &l->b_data);
}

static bool read_layer(layer_t* l, const trivet_region_t* region) {
  const trivet_region_api_t* api = region->api;
  memset(l, 0, sizeof(*l));
  l->problem.magic = ONEDNN_RNN_MAGIC;
  l->problem.version = ONEDNN_RNN_VERSION;
  if (region->program || api->node_count(region) != 1) return decline(l, "no recurrent layer");
  if (!read_operator(l, region) || !read_weights(l, region)) return false;
  if (api->node_input(region, 0, 4) != TRIVET_REGION_NONE) return decline(l, "sequence lengths");
  const bool lstm = l->problem.cell == ONEDNN_CELL_LSTM;
  if (lstm && api->node_input(region, 0, 7) != TRIVET_REGION_NONE) return decline(l, "peepholes");
  l->operands[ONEDNN_RNN_X] = api->node_input(region, 0, 0);
  l->operands[ONEDNN_RNN_H0] = api->node_input(region, 0, 5);
  l->operands[ONEDNN_RNN_C0] = lstm ? api->node_input(region, 0, 6) : TRIVET_REGION_NONE;
  for (uint32_t i = 0; i < 3; ++i) {
    l->operands[ONEDNN_RNN_Y + i] =
        i < 2 || lstm ? api->node_output(region, 0, i) : TRIVET_REGION_NONE;
    if (l->operands[ONEDNN_RNN_Y + i] != TRIVET_REGION_NONE) l->problem.outputs |= 1u << i;
  }
  return true;
}

trivet_status_t onednn_rnn_propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                                   trivet_proposal_t* proposal) {
  layer_t layer;
  if (!read_layer(&layer, region)) {
    proposal->decline(proposal->self, kernel, "%s", layer.reason);
    return TRIVET_OK;
  }
  const onednn_rnn_t* p = &layer.problem;
  tvi_tactic_t tactic;
  memset(&tactic, 0, sizeof(tactic));
  tactic.kernel = kernel;
  const double products =
      (double)(onednn_rnn_gates(p->cell) * p->hidden) * (double)(p->in + p->hidden);
  tactic.price =
      2000 + (double)(p->directions * layer.time) * (500 + (double)layer.batch * products / 15);
  memcpy(tactic.name, "rnn", 4);
  return proposal->add(proposal->self, &tactic);
}

// Position in the operator's order (LSTM: i, o, f, c; GRU: z, r, h) of the library's gate (LSTM: i,
// f, c, o; GRU: z, r, h).
static uint32_t source_gate(uint32_t cell, uint32_t gate) {
  static const uint32_t kLstm[4] = {0, 2, 3, 1};
  return cell == ONEDNN_CELL_LSTM ? kLstm[gate] : gate;
}

static trivet_status_t pack(const layer_t* l, const trivet_region_t* region, uint32_t source,
                            int64_t rows, const float* data, trivet_emission_t* emission) {
  const onednn_rnn_t* p = &l->problem;
  const int64_t gates = onednn_rnn_gates(p->cell), n = p->hidden;
  const int64_t total = p->directions * rows * gates * n;
  float* out = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(emission->arena, (size_t)total, sizeof(float), &out));
  float* at = out;
  for (int64_t d = 0; d < p->directions; ++d) {
    for (int64_t i = 0; i < rows; ++i) {
      for (uint32_t g = 0; g < gates; ++g) {
        const float* from = data + ((d * gates + source_gate(p->cell, g)) * n) * rows + i;
        for (int64_t o = 0; o < n; ++o) *at++ = from[o * rows];
      }
    }
  }
  tvi_packed_constant_t packed;
  memset(&packed, 0, sizeof(packed));
  packed.name = tvi_graph_value(region->graph, region->operands[source].value)->constant->name;
  packed.data = out;
  packed.size = (uint64_t)total * sizeof(float);
  packed.dtype = TRIVET_DTYPE_F32;
  packed.rank = 4;
  packed.dims[0] = p->directions;
  packed.dims[1] = rows;
  packed.dims[2] = gates;
  packed.dims[3] = n;
  return emission->add_packed(emission->self, &packed);
}

// Input and recurrent biases are added up where nothing comes between.
static trivet_status_t pack_biases(const layer_t* l, trivet_emission_t* emission) {
  const onednn_rnn_t* p = &l->problem;
  const int64_t gates = onednn_rnn_gates(p->cell), biases = onednn_rnn_biases(p->cell),
                n = p->hidden;
  const int64_t total = p->directions * biases * n;
  float* out = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(emission->arena, (size_t)total, sizeof(float), &out));
  for (int64_t d = 0; d < p->directions && l->b_data; ++d) {
    const float *input = l->b_data + d * 2 * gates * n, *recurrent = input + gates * n;
    for (uint32_t g = 0; g < biases; ++g) {
      float* to = out + (d * biases + g) * n;
      const bool apart = biases > gates && g >= 2;
      const int64_t from = g == 3 && apart ? 2 * n : (int64_t)source_gate(p->cell, g) * n;
      for (int64_t o = 0; o < n; ++o) {
        to[o] = !apart   ? input[from + o] + recurrent[from + o]
                : g == 2 ? input[from + o]
                         : recurrent[from + o];
      }
    }
  }
  tvi_packed_constant_t packed;
  memset(&packed, 0, sizeof(packed));
  packed.data = out;
  packed.size = (uint64_t)total * sizeof(float);
  packed.dtype = TRIVET_DTYPE_F32;
  packed.rank = 3;
  packed.dims[0] = p->directions;
  packed.dims[1] = biases;
  packed.dims[2] = n;
  return emission->add_packed(emission->self, &packed);
}

trivet_status_t onednn_rnn_emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                                uint64_t tactic, trivet_emission_t* emission) {
  (void)kernel, (void)tactic;
  layer_t layer;
  if (!read_layer(&layer, region)) {
    return TRIVET_STATUS(INTERNAL, "oneDNN took this layer before: %s", layer.reason);
  }
  const onednn_rnn_t* p = &layer.problem;
  TRIVET_RETURN_IF_ERROR(emission->add_operand(emission->self, layer.operands[ONEDNN_RNN_X]));
  TRIVET_RETURN_IF_ERROR(
      pack(&layer, region, region->api->node_input(region, 0, 1), p->in, layer.w_data, emission));
  TRIVET_RETURN_IF_ERROR(pack(&layer, region, region->api->node_input(region, 0, 2), p->hidden,
                              layer.r_data, emission));
  TRIVET_RETURN_IF_ERROR(pack_biases(&layer, emission));
  for (uint32_t i = ONEDNN_RNN_H0; i < ONEDNN_RNN_OPERANDS; ++i) {
    if (onednn_rnn_position(p, i) == TVI_KIR_NONE) continue;
    TRIVET_RETURN_IF_ERROR(layer.operands[i] == TRIVET_REGION_NONE
                               ? emission->add_absent(emission->self)
                               : emission->add_operand(emission->self, layer.operands[i]));
  }
  TRIVET_RETURN_IF_ERROR(emission->require(emission->self, "plugin:cpu_onednn"));
  return emission->set_blob(emission->self, p, sizeof(*p));
}

trivet_status_t onednn_rnn_verify(const onednn_rnn_t* p, uint64_t size) {
  if (size != sizeof(*p)) {
    return TRIVET_STATUS(DATA_LOSS, "oneDNN recurrent layer: %llu bytes, not %zu",
                         (unsigned long long)size, sizeof(*p));
  }
  if (p->magic != ONEDNN_RNN_MAGIC || p->version != ONEDNN_RNN_VERSION) {
    return TRIVET_STATUS(DATA_LOSS, "oneDNN recurrent layer: not a problem of this version");
  }
  if (p->cell > ONEDNN_CELL_LSTM || p->directions < 1 || p->directions > 2 || p->reverse > 1 ||
      (p->reverse && p->directions == 2) || p->outputs > (p->cell == ONEDNN_CELL_LSTM ? 7u : 3u)) {
    return TRIVET_STATUS(DATA_LOSS, "oneDNN recurrent layer: cell %u, %u directions", p->cell,
                         p->directions);
  }
  if (p->in < 1 || p->in > (1 << 24) || p->hidden < 1 || p->hidden > (1 << 24)) {
    return TRIVET_STATUS(DATA_LOSS, "oneDNN recurrent layer: extents");
  }
  return TRIVET_OK;
}
