// SPDX-License-Identifier: Apache-2.0
//
// INT8 with scales in formats: kernels for the CPU and for CUDA that ask for NCHW, NHWC, or the one
// read and the other written, and take channels packed by fours or by more (CHW4, CHW32), which are
// one dimension more. Each format has ways of its own, which are timed against each other; which
// format a network uses is settled over the whole of it, by what is said here and what copies cost.
#include <string.h>

#include "trivet/plugin.h"

TRIVET_OPERATOR(scale, "acme.ChannelScale", 1, "INT8 images, each channel by a factor",
                "op acme.ChannelScale/1 (x: i8[N, C, H, W], scale: f32[C]) -> (y: i8[N, C, H, W])\n"
                "attr x_scale: f32 = 1.0\nattr y_scale: f32 = 1.0\n"
                "y[n, c, h, w] = sat(i8, f32(x[n, c, h, w]) * (scale[c] * (x_scale / y_scale)))\n");
TRIVET_OPERATOR(packed, "acme.PackedChannelScale", 1, "the same, V channels side by side",
                "op acme.PackedChannelScale/1 (x: i8[N, G, H, W, V], scale: f32[C])"
                " -> (y: i8[N, G, H, W, V])\n"
                "attr x_scale: f32 = 1.0\nattr y_scale: f32 = 1.0\n"
                "y[n, g, h, w, v] = sat(i8, f32(x[n, g, h, w, v]) *"
                " (scale[g * V + v; pad = 0] * (x_scale / y_scale)))\n");

enum { STRAIGHT, TURNED };  // ways on the CPU; those of CUDA are bytes that a thread takes at once

typedef struct step_s {  // the blob
  uint32_t way, last;    // |last|: what is read lies channels last
  float factor;
} step_t;

typedef struct prepared_s {
  step_t step;
  // Images, groups of channels, pixels, channels of a group; STRAIGHT walks all in this order.
  int64_t images, groups, pixels, width, channels;
  int64_t from[4], to[4];  // strides of these
} prepared_t;

static const char* format_of(const trivet_operand_t* x, const trivet_operand_t* y) {
  if (x->flags & y->flags & TRIVET_OPERAND_DENSE) {
    if (x->rank == 4) return "NCHW";
    return x->dims[4] == 4 ? "CHW4" : x->dims[4] == 32 ? "CHW32" : NULL;
  }
  if (x->rank != 4) return NULL;
  if (x->flags & y->flags & TRIVET_OPERAND_CHANNELS_LAST) return "NHWC";
  if ((x->flags & TRIVET_OPERAND_DENSE) && (y->flags & TRIVET_OPERAND_CHANNELS_LAST))
    return "NCHW to NHWC";
  if ((x->flags & TRIVET_OPERAND_CHANNELS_LAST) && (y->flags & TRIVET_OPERAND_DENSE))
    return "NHWC to NCHW";
  return NULL;
}

static trivet_status_t look(const trivet_kernel_t* kernel, const trivet_region_t* region,
                            trivet_proposal_t* proposal, trivet_operand_t* x, trivet_operand_t* y,
                            const char** out_format) {
  const trivet_region_api_t* api = trivet_region_api(region);
  const char* name = api->node_operator(region, 0);
  *out_format = NULL;
  if (api->node_count(region) != 1 ||
      (strcmp(name, "acme.ChannelScale") != 0 && strcmp(name, "acme.PackedChannelScale") != 0)) {
    TRIVET_PROPOSAL_DECLINE(proposal, kernel, "not scales of channels alone");
    return NULL;
  }
  trivet_status_t status = api->operand(region, api->node_input(region, 0, 0), x);
  if (!status) status = api->operand(region, api->node_output(region, 0, 0), y);
  if (status) return status;
  *out_format = format_of(x, y);
  if (!*out_format) TRIVET_PROPOSAL_DECLINE(proposal, kernel, "neither of the formats");
  return NULL;
}

static trivet_status_t add(const trivet_kernel_t* kernel, trivet_proposal_t* proposal, uint64_t way,
                           double price, const char* format, const char* suffix) {
  char name[48];
  size_t size = strlen(format), more = strlen(suffix) + 1;
  memcpy(name, format, size);
  memcpy(name + size, suffix, more);
  return trivet_proposal_api(proposal)->add(proposal, kernel, way, price, name);
}

static double count_of(const trivet_operand_t* x) {
  double count = 1;
  for (uint32_t d = 0; d < x->rank; ++d) count *= (double)x->dims[d];
  return count;
}

// NHWC is half the price of NCHW: two copies pay where enough of these follow each other.
static trivet_status_t propose_host(const trivet_kernel_t* kernel, const trivet_region_t* region,
                                    trivet_proposal_t* proposal) {
  trivet_operand_t x, y;
  const char* format;
  trivet_status_t status = look(kernel, region, proposal, &x, &y, &format);
  if (status || !format) return status;
  const int turns = strchr(format, ' ') != NULL;
  const double each = turns ? 0.6 : strcmp(format, "NCHW") == 0 ? 0.5 : 0.25;
  if (!turns) status = add(kernel, proposal, STRAIGHT, each * count_of(&x), format, "");
  if (status || x.rank != 4) return status;
  return add(kernel, proposal, TURNED, (turns ? each : 4) * count_of(&x), format, " by strides");
}

static trivet_status_t propose_cuda(const trivet_kernel_t* kernel, const trivet_region_t* region,
                                    trivet_proposal_t* proposal) {
  static const char* const suffixes[] = {" by bytes", " by fours", " by sixteens"};
  trivet_operand_t x, y;
  const char* format;
  trivet_status_t status = look(kernel, region, proposal, &x, &y, &format);
  if (status || !format) return status;
  if (strchr(format, ' ')) {
    TRIVET_PROPOSAL_DECLINE(proposal, kernel, "read in one order and written in another");
    return NULL;
  }
  // What a thread takes at once must not end behind the last image, however many there are.
  const trivet_region_api_t* api = trivet_region_api(region);
  const trivet_type_t* type = api->operand_type(region, api->node_input(region, 0, 0));
  int64_t image = 1, extent;
  int is_known = 1;
  for (uint32_t d = 1; d < type->rank; ++d) {
    is_known = is_known && api->dim_value(region, type->dims[d], &extent);
    image *= is_known ? extent : 1;
  }
  const uint64_t most = is_known ? 3 : 1;
  for (uint64_t way = 0; way < most && !status && image % (1 << 2 * way) == 0; ++way) {
    const double price = 2000 + count_of(&x) / (250 << way);
    status = add(kernel, proposal, 1u << 2 * way, price, format, suffixes[way]);
  }
  return status;
}

static float factor_of(const trivet_region_t* region) {
  const trivet_region_api_t* api = trivet_region_api(region);
  const double* x = api->node_attribute(region, 0, "x_scale")->data;
  const double* y = api->node_attribute(region, 0, "y_scale")->data;
  return (float)*x / (float)*y;
}

static trivet_status_t emit_host(const trivet_kernel_t* kernel, const trivet_region_t* region,
                                 uint64_t tactic, trivet_emission_t* emission) {
  (void)kernel;
  const trivet_region_api_t* api = trivet_region_api(region);
  const trivet_emission_api_t* out = trivet_emission_api(emission);
  trivet_operand_t x;
  trivet_status_t status = api->operand(region, api->node_input(region, 0, 0), &x);
  if (status) return status;
  const step_t step = {(uint32_t)tactic, (x.flags & TRIVET_OPERAND_CHANNELS_LAST) != 0,
                       factor_of(region)};
  status = out->operand(emission, api->node_input(region, 0, 0));
  if (!status) status = out->operand(emission, api->node_input(region, 0, 1));
  if (!status) status = out->operand(emission, api->node_output(region, 0, 0));
  if (!status) status = out->blob(emission, &step, sizeof(step));
  return status;
}

static const char kSource[] =
    "template <int kBytes>\n"
    "__device__ void scale(const char* x, const float* scale, char* y, long long count,\n"
    "                      unsigned inner, unsigned groups, unsigned width, long long channels,\n"
    "                      float factor) {\n"
    "  struct alignas(kBytes) bytes_t { signed char b[kBytes]; };\n"
    "  long long i = (blockIdx.x * 256ll + threadIdx.x) * kBytes;\n"
    "  if (i >= count) return;\n"
    "  bytes_t v;\n"
    "  bool whole = ((size_t)x | (size_t)y) % kBytes == 0;\n"
    "  if (whole) v = *(const bytes_t*)(x + i);\n"
    "  else for (int k = 0; k < kBytes; ++k) v.b[k] = x[i + k];\n"
    "#pragma unroll\n"
    "  for (int k = 0; k < kBytes; ++k) {\n"
    "    long long at = i + k, c = at / inner % groups * width + at % width;\n"
    "    float f = (c < channels ? scale[c] : 0) * factor;\n"
    "    v.b[k] = (signed char)fminf(127, fmaxf(-128, rintf((float)v.b[k] * f)));\n"
    "  }\n"
    "  if (whole) *(bytes_t*)(y + i) = v;\n"
    "  else for (int k = 0; k < kBytes; ++k) y[i + k] = v.b[k];\n"
    "}\n"
    "#define SCALE(n) \\\n"
    "  extern \"C\" __global__ void scale_##n(const char* x, const float* s, char* y, \\\n"
    "                                       long long count, long long inner, \\\n"
    "                                       long long groups, long long width, \\\n"
    "                                       long long channels, long long factor) { \\\n"
    "    scale<n>(x, s, y, count, (unsigned)inner, (unsigned)groups, (unsigned)width, \\\n"
    "             channels, __int_as_float((int)factor)); \\\n"
    "  }\n"
    "SCALE(1)\n"
    "SCALE(4)\n"
    "SCALE(16)\n";

static trivet_status_t emit_cuda(const trivet_kernel_t* kernel, const trivet_region_t* region,
                                 uint64_t tactic, trivet_emission_t* emission) {
  (void)kernel;
  const trivet_region_api_t* api = trivet_region_api(region);
  const uint32_t operands[3] = {api->node_input(region, 0, 0), api->node_input(region, 0, 1),
                                api->node_output(region, 0, 0)};
  const trivet_type_t* type = api->operand_type(region, operands[0]);
  trivet_operand_t x;
  trivet_status_t status = api->operand(region, operands[0], &x);
  if (status) return status;
  const trivet_dim_t one = api->dim_constant(region, 1);
  const int last = (x.flags & TRIVET_OPERAND_CHANNELS_LAST) != 0;
  trivet_dim_t width = type->rank == 5 ? type->dims[4] : last ? type->dims[1] : one;
  trivet_dim_t inner = api->dim_binary(region, TRIVET_DIM_MUL, type->dims[2], type->dims[3]);
  inner = api->dim_binary(region, TRIVET_DIM_MUL, inner, width);
  const trivet_dim_t groups = last ? one : type->dims[1];
  trivet_dim_t count = api->dim_binary(region, TRIVET_DIM_MUL, type->dims[0], groups);
  count = api->dim_binary(region, TRIVET_DIM_MUL, count, inner);
  int32_t bits;
  const float factor = factor_of(region);
  memcpy(&bits, &factor, sizeof(bits));
  const trivet_dim_t parameters[6] = {count,
                                      inner,
                                      groups,
                                      width,
                                      api->operand_type(region, operands[1])->dims[0],
                                      api->dim_constant(region, bits)};
  const trivet_dim_t block = api->dim_constant(region, 256 * (int64_t)tactic);
  const trivet_device_launch_t launch = {tactic == 1   ? "scale_1"
                                         : tactic == 4 ? "scale_4"
                                                       : "scale_16",
                                         api->dim_binary(region, TRIVET_DIM_CEILDIV, count, block),
                                         256, 0};
  const trivet_device_code_t code = {
      .header = TRIVET_HEADER(trivet_device_code_t, TRIVET_STRUCT_DEVICE_CODE),
      .source = kSource,
      .launches = &launch,
      .launch_count = 1,
      .operands = operands,
      .operand_count = 3,
      .parameters = parameters,
      .parameter_count = 6};
  return trivet_emission_api(emission)->device_code(emission, &code);
}

static trivet_status_t load(const trivet_kernel_t* kernel, const trivet_kernel_load_t* request,
                            void** out_loaded) {
  (void)kernel;
  if (request->blob_size != sizeof(step_t)) return TRIVET_STATUS_BARE(TRIVET_STATUS_DATA_LOSS);
  step_t* step = request->allocator->allocate(request->allocator->self, sizeof(*step), 8);
  if (!step) return TRIVET_STATUS_BARE(TRIVET_STATUS_OUT_OF_MEMORY);
  memcpy(step, request->blob, sizeof(*step));
  *out_loaded = step;
  return NULL;
}

static void unload(const trivet_kernel_t* kernel, void* loaded,
                   const trivet_allocator_t* allocator) {
  (void)kernel;
  allocator->deallocate(allocator->self, loaded, sizeof(step_t), 8);
}

// Pixels are one dimension: rows lie one behind the other in each of the formats.
static void walk(const trivet_operand_t* x, int64_t strides[4]) {
  strides[0] = x->strides[0];
  strides[1] = strides[3] = x->strides[1];
  strides[2] = x->strides[x->dims[3] == 1 ? 2 : 3];
}

static trivet_status_t prepare(const trivet_kernel_t* kernel, void* loaded,
                               const trivet_kernel_prepare_t* request, uint64_t* out_workspace_size,
                               void** out_prepared) {
  (void)kernel;
  const trivet_operand_t *x = request->operands, *y = request->operands + 2;
  if (request->operand_count != 3 || x->rank < 4 || x->rank > 5 || y->rank != x->rank ||
      x->dtype != TRIVET_DTYPE_I8 || y->dtype != TRIVET_DTYPE_I8 ||
      memcmp(x->dims, y->dims, x->rank * sizeof(x->dims[0])) != 0)
    return TRIVET_STATUS_BARE(TRIVET_STATUS_DATA_LOSS);
  prepared_t* p = request->allocator->allocate(request->allocator->self, sizeof(*p), 8);
  if (!p) return TRIVET_STATUS_BARE(TRIVET_STATUS_OUT_OF_MEMORY);
  p->step = *(const step_t*)loaded;
  const int last = p->step.last != 0;
  p->images = x->dims[0];
  p->groups = last ? 1 : x->dims[1];
  p->pixels = x->dims[2] * x->dims[3];
  p->width = x->rank == 5 ? x->dims[4] : last ? x->dims[1] : 1;
  p->channels = request->operands[1].dims[0];
  walk(x, p->from);
  walk(y, p->to);
  *out_workspace_size = (uint64_t)(p->groups * p->width) * sizeof(float);
  *out_prepared = p;
  return NULL;
}

static void release(const trivet_kernel_t* kernel, void* prepared,
                    const trivet_allocator_t* allocator) {
  (void)kernel;
  allocator->deallocate(allocator->self, prepared, sizeof(prepared_t), 8);
}

// To nearest, ties to even: behind 1.5 * 2^23 there is no room for a fraction.
static int8_t scaled(int8_t x, float factor) {
  const float value = (float)x * factor, room = 12582912;
  const float bound = value > 127 ? 127 : value < -128 ? -128 : value;
  return (int8_t)((bound + room) - room);
}

static trivet_status_t run(const trivet_kernel_t* kernel, void* prepared,
                           const trivet_kernel_launch_t* launch) {
  (void)kernel;
  const prepared_t* p = prepared;
  const int8_t* x = launch->addresses[0];
  const float* scales = launch->addresses[1];
  int8_t* y = launch->addresses[2];
  float* factors = launch->workspace;
  const int64_t most = p->groups * p->width;
  for (int64_t c = 0; c < most; ++c)
    factors[c] = (c < p->channels ? scales[c] : 0) * p->step.factor;
  for (int64_t n = 0; n < p->images; ++n) {
    for (int64_t g = 0; g < p->groups; ++g) {
      const float* f = factors + g * p->width;
      for (int64_t i = 0; i < p->pixels; ++i) {
        if (p->step.way == STRAIGHT) {
          for (int64_t v = 0; v < p->width; ++v) *y++ = scaled(*x++, f[v]);
          continue;
        }
        const int8_t* from = x + n * p->from[0] + g * p->from[1] + i * p->from[2];
        int8_t* to = y + n * p->to[0] + g * p->to[1] + i * p->to[2];
        for (int64_t v = 0; v < p->width; ++v)
          to[v * p->to[3]] = scaled(from[v * p->from[3]], f[v]);
      }
    }
  }
  return NULL;
}

static const trivet_kernel_t on_host = {
    .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),
    .name = "formats.host",
    .target = "cpu",
    .summary = "scales of channels in several formats",
    .version = 1,
    .halves = TRIVET_HALF_BUILD | TRIVET_HALF_RUN,
    .flags = TRIVET_KERNEL_LAYOUTS,
    .propose = propose_host,
    .emit = emit_host,
    .load = load,
    .unload = unload,
    .prepare = prepare,
    .release = release,
    .run = run};

static const trivet_kernel_t on_cuda = {
    .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),
    .name = "formats.cuda",
    .target = "cuda",
    .summary = "scales of channels in several formats, in CUDA C",
    .version = 1,
    .halves = TRIVET_HALF_BUILD,
    .flags = TRIVET_KERNEL_LAYOUTS,
    .propose = propose_cuda,
    .emit = emit_cuda};

TRIVET_PLUGIN_HALVES("formats", "1.0", "INT8 operators and kernels that ask for formats",
                     TRIVET_HALF_BUILD | TRIVET_HALF_RUN, &scale, &packed, &on_host, &on_cuda)
