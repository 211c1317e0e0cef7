// SPDX-License-Identifier: Apache-2.0
//
// Plugins that must be refused, one per value of REFUSE_. Each is right in all but one point.
// Loaded by refused_plugins_test, which holds the exact message of each.
#include "trivet/plugin.h"

#define REFUSE_NOTHING 0
#define REFUSE_NO_SYMBOL 1
#define REFUSE_NULL 2
#define REFUSE_STRUCT_TYPE 3
#define REFUSE_MAJOR 4
#define REFUSE_MINOR 5
#define REFUSE_STRUCT_SIZE 6
#define REFUSE_SANITIZER 7
#define REFUSE_NAME_FORM 8
#define REFUSE_NAME_OTHER 9
#define REFUSE_DUPLICATE 10
#define REFUSE_SYNTAX 11
#define REFUSE_DEFINITION_TYPE 12
#define REFUSE_DEFINITION_NULL 13
#define REFUSE_DEFINITION_SIZE 14
#define REFUSE_OPERATOR_NAME 15
#define REFUSE_TEXT_NAME 16
#define REFUSE_NO_MEANING 17
#define REFUSE_CORE 18
#define REFUSE_HALVES 19
#define REFUSE_TAKEN 20
#define REFUSE_KERNEL 21
#define REFUSE_REWRITE 22
#define REFUSE_FUNCTION 23
#define REFUSE_DEVICE 24
#define REFUSE_DEVICE_SIZE 25

#define OPERATOR(variable, name, version, text) \
  TRIVET_OPERATOR(variable, name, version, "for tests", text)

OPERATOR(first, "refused.First", 1,
         "op refused.First/1 (x: f32[D...]) -> (y: f32[D...])\ny[i...] = x[i...] + 1.0\n");

#if REFUSE == REFUSE_DUPLICATE
OPERATOR(second, "refused.First", 1,
         "op refused.First/1 (x: f32[D...]) -> (y: f32[D...])\ny[i...] = x[i...]\n");
#elif REFUSE == REFUSE_SYNTAX
OPERATOR(second, "refused.Second", 1,
         "op refused.Second/1 (x: f32[D...]) -> (y: f32[D...])\ny[i...] = x[i...] +\n");
#elif REFUSE == REFUSE_OPERATOR_NAME
OPERATOR(second, "Second", 1, "op Second/1 (x: f32[D...]) -> (y: f32[D...])\ny[i...] = x[i...]\n");
#elif REFUSE == REFUSE_TEXT_NAME
OPERATOR(second, "refused.Second", 2,
         "op refused.Second/1 (x: f32[D...]) -> (y: f32[D...])\ny[i...] = x[i...]\n");
#elif REFUSE == REFUSE_NO_MEANING
OPERATOR(second, "refused.Second", 1, "op refused.Second/1 (x: f32[D...]) -> (y: f32[D...])\n");
#elif REFUSE == REFUSE_CORE
OPERATOR(second, "core.Second", 1,
         "op core.Second/1 (x: f32[D...]) -> (y: f32[D...])\ny[i...] = x[i...]\n");
#elif REFUSE == REFUSE_TAKEN
OPERATOR(second, "accepted.Second", 1,
         "op accepted.Second/1 (x: f32[D...]) -> (y: f32[D...])\ny[i...] = x[i...]\n");
#elif REFUSE == REFUSE_NOTHING
OPERATOR(second, "accepted.Second", 1,
         "op accepted.Second/1 (x: f32[D...]) -> (y: f32[D...])\ny[i...] = x[i...] * 2.0\n");
#elif REFUSE == REFUSE_DEFINITION_TYPE
static const trivet_operator_t second = {{(uint32_t)sizeof(trivet_operator_t), 0x54500063u, 0},
                                         "refused.Second",
                                         0,
                                         0,
                                         1,
                                         0,
                                         0,
                                         0,
                                         0,
                                         0};
#elif REFUSE == REFUSE_DEFINITION_SIZE
static const trivet_operator_t second = {
    {40, TRIVET_STRUCT_OPERATOR, 0}, "refused.Second", 0, 0, 1, 0, 0, 0, 0, 0};
#elif REFUSE == REFUSE_KERNEL
static const trivet_kernel_t second = {
    .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),
    .name = "refused.kernel",
    .target = "cpu",
    .summary = "for tests",
    .version = 1,
    .halves = TRIVET_HALF_RUN,
};
#elif REFUSE == REFUSE_DEVICE
static const trivet_device_t second = {
    .header = TRIVET_HEADER(trivet_device_t, TRIVET_STRUCT_DEVICE),
    .target = "refused",
    .summary = "for tests",
    .version = 1,
};
#elif REFUSE == REFUSE_DEVICE_SIZE
static const trivet_device_t second = {
    .header = {40, TRIVET_STRUCT_DEVICE, 0}, .target = "refused", .version = 1};
#elif REFUSE == REFUSE_REWRITE
TRIVET_REWRITE(second, "refused-rewrite", "for tests", "match { %y = std.Relu(%x) } to");
#elif REFUSE == REFUSE_FUNCTION
static const trivet_scalar_function_t second = {
    TRIVET_HEADER(trivet_scalar_function_t, TRIVET_STRUCT_SCALAR_FUNCTION), "refused.twice",
    "fn thrice(x: f32) -> f32 = x * 3.0", 0, "for tests"};
#endif

static const void* const definitions[] = {
    &first,
#if REFUSE == REFUSE_DEFINITION_NULL
    0,
#elif REFUSE == REFUSE_NOTHING || REFUSE >= REFUSE_DUPLICATE && REFUSE != REFUSE_HALVES
    &second,
#endif
};

static const trivet_plugin_t plugin = {
#if REFUSE == REFUSE_STRUCT_TYPE
    {(uint32_t)sizeof(trivet_plugin_t), TRIVET_STRUCT_OPERATOR, 0},
#elif REFUSE == REFUSE_STRUCT_SIZE
    {32, TRIVET_STRUCT_PLUGIN, 0},
#else
    TRIVET_HEADER(trivet_plugin_t, TRIVET_STRUCT_PLUGIN),
#endif
    REFUSE == REFUSE_MAJOR ? TRIVET_ABI_MAJOR + 1 : TRIVET_ABI_MAJOR,
    REFUSE == REFUSE_MINOR ? TRIVET_ABI_MINOR + 1 : TRIVET_ABI_MINOR,
    REFUSE == REFUSE_SANITIZER ? TRIVET_SANITIZER ^ 1u : TRIVET_SANITIZER,
    REFUSE == REFUSE_HALVES ? 4u : TRIVET_HALF_BUILD | TRIVET_HALF_RUN,
    REFUSE == REFUSE_NAME_FORM    ? "Name-Form"
    : REFUSE == REFUSE_NAME_OTHER ? "another"
                                  : PLUGIN_NAME,
    "1.0",
    "for tests",
    definitions,
    sizeof(definitions) / sizeof(definitions[0]),
};

#if REFUSE != REFUSE_NO_SYMBOL
__attribute__((visibility("default"))) const trivet_plugin_t* trivet_plugin_query(
    uint32_t host_major, uint32_t host_minor);
__attribute__((visibility("default"))) const trivet_plugin_t* trivet_plugin_query(
    uint32_t host_major, uint32_t host_minor) {
  (void)host_major;
  (void)host_minor;
  return REFUSE == REFUSE_NULL ? 0 : &plugin;
}
#else
__attribute__((visibility("default"))) const trivet_plugin_t* trivet_plugin_other(void);
__attribute__((visibility("default"))) const trivet_plugin_t* trivet_plugin_other(void) {
  return &plugin;
}
#endif
