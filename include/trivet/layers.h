// SPDX-License-Identifier: Apache-2.0
//
// trivet/layers.h: typed calls that add one layer to a network; included by trivet/trivet.h. Each
// is short for trivet_network_add_node with operators of ops_standard, which mean what the newest
// ONNX operator of the same name means. It must not offer anything that add_node does not.
//
// Rules that hold for all calls
//  - Shapes are written [N, C, D...]: D... is any number of extents. Every extent may be symbolic.
//  - trivet_value_t 0 is an absent operand where a call says "0: none".
//  - |name| is the name of the layer in reports and errors; NULL: none.
//  - Errors name the operator and what does not fit: INVALID_ARGUMENT for shapes, types and kinds,
//    NOT_FOUND where no plugin brings the operator. |out_...| is then untouched, and nodes that
//    were made on the way are unused, so that the build drops them.
//  - Axes count from 0; negative ones from the end.
//  - Option structs: NULL stands for all zeros, which are the defaults.
#ifndef TRIVET_LAYERS_H_
#define TRIVET_LAYERS_H_

#include "trivet/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct trivet_network_s trivet_network_t;

#define TRIVET_STRUCT_WINDOW 0x54420010u
#define TRIVET_STRUCT_RESIZE 0x54420011u
#define TRIVET_STRUCT_RECURRENT 0x54420012u
#define TRIVET_STRUCT_ATTENTION 0x54420013u

// --- Constants ----------------------------------------------------------------------------------

// A constant of rank 0. |value| is rounded to |dtype|.
TRIVET_API trivet_status_t trivet_network_add_scalar(trivet_network_t* network,
                                                     trivet_dtype_t dtype, double value,
                                                     trivet_value_t* out_value);
// An i64 constant [count], as shapes, axes and indices want them.
TRIVET_API trivet_status_t trivet_network_add_integers(trivet_network_t* network,
                                                       const int64_t* values, uint64_t count,
                                                       trivet_value_t* out_value);

// --- Convolution, pooling -----------------------------------------------------------------------

#define TRIVET_SPATIAL_MAX 8u

#define TRIVET_AUTO_PAD_NONE 0u   // pads as given
#define TRIVET_AUTO_PAD_UPPER 1u  // output extent ceil(extent / stride), odd padding at the end
#define TRIVET_AUTO_PAD_LOWER 2u  // the same, odd padding at the beginning
#define TRIVET_AUTO_PAD_VALID 3u  // no padding

#define TRIVET_WINDOW_CEIL \
  1u                                    // pooling: a window that begins inside counts, even if it
                                        // reaches out
#define TRIVET_WINDOW_COUNT_PADDING 2u  // average pooling: padding counts as zeros

// A window that slides over the spatial extents. Entry i belongs to spatial axis i.
typedef struct trivet_window_s {
  trivet_header_t header;
  int64_t size[TRIVET_SPATIAL_MAX];       // pooling: required; convolution: from the weights
  int64_t strides[TRIVET_SPATIAL_MAX];    // 0 means 1
  int64_t dilations[TRIVET_SPATIAL_MAX];  // 0 means 1
  int64_t pads_begin[TRIVET_SPATIAL_MAX];
  int64_t pads_end[TRIVET_SPATIAL_MAX];
  int64_t output_padding[TRIVET_SPATIAL_MAX];  // deconvolution: added to the output extents
  uint32_t auto_pad;                           // TRIVET_AUTO_PAD_*
  uint32_t flags;                              // TRIVET_WINDOW_*
} trivet_window_t;

// x [N, C, S...], weights [M, C / groups, K...], bias [M] (0: none) -> [N, M, O...] with
// O = (S + pads - dilation * (K - 1) - 1) / stride + 1, rounded down.
TRIVET_API trivet_status_t trivet_network_add_convolution(
    trivet_network_t* network, trivet_value_t x, trivet_value_t weights, trivet_value_t bias,
    int64_t groups, const trivet_window_t* window, const char* name, trivet_value_t* out_value);
// The transpose of a convolution: x [N, C, S...], weights [C, M / groups, K...], bias [M] (0: none)
// -> [N, M, O...] with O = stride * (S - 1) + dilation * (K - 1) + 1 + output_padding - pads.
TRIVET_API trivet_status_t trivet_network_add_deconvolution(
    trivet_network_t* network, trivet_value_t x, trivet_value_t weights, trivet_value_t bias,
    int64_t groups, const trivet_window_t* window, const char* name, trivet_value_t* out_value);

#define TRIVET_POOLING_MAX 0u
#define TRIVET_POOLING_AVERAGE 1u
// x [N, C, S...] -> [N, C, O...], O as for a convolution with kernel extents window->size. Padding
// never is a maximum; averages leave it out unless TRIVET_WINDOW_COUNT_PADDING.
TRIVET_API trivet_status_t trivet_network_add_pooling(trivet_network_t* network, trivet_value_t x,
                                                      uint32_t kind, const trivet_window_t* window,
                                                      const char* name, trivet_value_t* out_value);
// One window as large as the input: [N, C, S...] -> [N, C, 1...].
TRIVET_API trivet_status_t trivet_network_add_global_pooling(trivet_network_t* network,
                                                             trivet_value_t x, uint32_t kind,
                                                             const char* name,
                                                             trivet_value_t* out_value);

// --- Products -----------------------------------------------------------------------------------

// a [B..., I, K] times b [B..., K, J] -> [B..., I, J]; B... are broadcast. |transpose_a|: a is
// [B..., K, I]; |transpose_b|: b is [B..., J, K]. A vector [K] of rank 1 is a row as a, a column as
// b, and the extent 1 is dropped; it is not transposed.
TRIVET_API trivet_status_t trivet_network_add_matmul(trivet_network_t* network, trivet_value_t a,
                                                     uint32_t transpose_a, trivet_value_t b,
                                                     uint32_t transpose_b, const char* name,
                                                     trivet_value_t* out_value);
// x [D..., K], weights [M, K], bias [M] (0: none) -> [D..., M].
TRIVET_API trivet_status_t trivet_network_add_fully_connected(trivet_network_t* network,
                                                              trivet_value_t x,
                                                              trivet_value_t weights,
                                                              trivet_value_t bias, const char* name,
                                                              trivet_value_t* out_value);
// "bij,bjk->bik": numpy's notation with letters, commas, an optional arrow and ellipsis.
TRIVET_API trivet_status_t trivet_network_add_einsum(trivet_network_t* network,
                                                     const trivet_value_t* inputs,
                                                     uint32_t input_count, const char* equation,
                                                     const char* name, trivet_value_t* out_value);

// --- Elementwise --------------------------------------------------------------------------------

#define TRIVET_ACTIVATION_RELU 0u
#define TRIVET_ACTIVATION_SIGMOID 1u
#define TRIVET_ACTIVATION_TANH 2u
#define TRIVET_ACTIVATION_LEAKY_RELU 3u         // x < 0 ? alpha x : x
#define TRIVET_ACTIVATION_ELU 4u                // x < 0 ? alpha (exp(x) - 1) : x
#define TRIVET_ACTIVATION_SELU 5u               // beta (x > 0 ? x : alpha (exp(x) - 1))
#define TRIVET_ACTIVATION_SOFTSIGN 6u           // x / (1 + |x|)
#define TRIVET_ACTIVATION_SOFTPLUS 7u           // log(1 + exp(x))
#define TRIVET_ACTIVATION_CLIP 8u               // min(max(x, alpha), beta)
#define TRIVET_ACTIVATION_HARD_SIGMOID 9u       // min(max(alpha x + beta, 0), 1)
#define TRIVET_ACTIVATION_SCALED_TANH 10u       // alpha tanh(beta x)
#define TRIVET_ACTIVATION_THRESHOLDED_RELU 11u  // x > alpha ? x : 0
#define TRIVET_ACTIVATION_GELU_ERF 12u          // x (1 + erf(x / sqrt(2))) / 2
#define TRIVET_ACTIVATION_GELU_TANH 13u         // its approximation by tanh
#define TRIVET_ACTIVATION_SWISH 14u             // x sigmoid(alpha x)
#define TRIVET_ACTIVATION_HARD_SWISH 15u        // x min(max(x / 6 + 1/2, 0), 1)
#define TRIVET_ACTIVATION_MISH 16u              // x tanh(softplus(x))
#define TRIVET_ACTIVATION_CELU 17u              // max(x, 0) + min(0, alpha (exp(x / alpha) - 1))
// x [D...] -> [D...]. Kinds whose formula has no alpha or beta ignore them; otherwise they are
// taken as given (there is no default).
TRIVET_API trivet_status_t trivet_network_add_activation(trivet_network_t* network,
                                                         trivet_value_t x, uint32_t kind,
                                                         double alpha, double beta,
                                                         const char* name,
                                                         trivet_value_t* out_value);
// x < 0 ? slope x : x; slope is broadcast to the shape of x.
TRIVET_API trivet_status_t trivet_network_add_prelu(trivet_network_t* network, trivet_value_t x,
                                                    trivet_value_t slope, const char* name,
                                                    trivet_value_t* out_value);

#define TRIVET_UNARY_EXP 0u
#define TRIVET_UNARY_LOG 1u
#define TRIVET_UNARY_SQRT 2u
#define TRIVET_UNARY_RECIPROCAL 3u
#define TRIVET_UNARY_ABS 4u
#define TRIVET_UNARY_NEGATE 5u
#define TRIVET_UNARY_SIN 6u
#define TRIVET_UNARY_COS 7u
#define TRIVET_UNARY_TAN 8u
#define TRIVET_UNARY_SINH 9u
#define TRIVET_UNARY_COSH 10u
#define TRIVET_UNARY_ASIN 11u
#define TRIVET_UNARY_ACOS 12u
#define TRIVET_UNARY_ATAN 13u
#define TRIVET_UNARY_ASINH 14u
#define TRIVET_UNARY_ACOSH 15u
#define TRIVET_UNARY_ATANH 16u
#define TRIVET_UNARY_CEIL 17u
#define TRIVET_UNARY_FLOOR 18u
#define TRIVET_UNARY_ERF 19u
#define TRIVET_UNARY_NOT 20u  // bool
#define TRIVET_UNARY_SIGN 21u
#define TRIVET_UNARY_ROUND 22u   // to nearest, ties to even
#define TRIVET_UNARY_IS_INF 23u  // result bool
#define TRIVET_UNARY_IS_NAN 24u  // result bool
#define TRIVET_UNARY_BITWISE_NOT 25u
// x [D...] -> [D...].
TRIVET_API trivet_status_t trivet_network_add_unary(trivet_network_t* network, trivet_value_t x,
                                                    uint32_t kind, const char* name,
                                                    trivet_value_t* out_value);

#define TRIVET_ELEMENTWISE_ADD 0u
#define TRIVET_ELEMENTWISE_SUB 1u
#define TRIVET_ELEMENTWISE_MUL 2u
#define TRIVET_ELEMENTWISE_DIV 3u  // integers: towards zero
#define TRIVET_ELEMENTWISE_MAX 4u
#define TRIVET_ELEMENTWISE_MIN 5u
#define TRIVET_ELEMENTWISE_POW 6u
#define TRIVET_ELEMENTWISE_FLOOR_DIV 7u  // towards minus infinity
#define TRIVET_ELEMENTWISE_MOD 8u        // integers: sign of the divisor; floats: C's fmod
#define TRIVET_ELEMENTWISE_AND 9u        // bool, as OR and XOR
#define TRIVET_ELEMENTWISE_OR 10u
#define TRIVET_ELEMENTWISE_XOR 11u
#define TRIVET_ELEMENTWISE_EQUAL 12u  // result bool, as the following four
#define TRIVET_ELEMENTWISE_LESS 13u
#define TRIVET_ELEMENTWISE_GREATER 14u
#define TRIVET_ELEMENTWISE_LESS_EQUAL 15u
#define TRIVET_ELEMENTWISE_GREATER_EQUAL 16u
#define TRIVET_ELEMENTWISE_BITWISE_AND 17u
#define TRIVET_ELEMENTWISE_BITWISE_OR 18u
#define TRIVET_ELEMENTWISE_BITWISE_XOR 19u
// a and b have one type and are broadcast: aligned at the last axis, extent 1 stretches.
TRIVET_API trivet_status_t trivet_network_add_elementwise(trivet_network_t* network,
                                                          trivet_value_t a, trivet_value_t b,
                                                          uint32_t kind, const char* name,
                                                          trivet_value_t* out_value);
// (x * scale + shift) ^ power; each of the three may be 0: none. |axis| >= 0: they are vectors [C]
// along that axis of x; otherwise they are broadcast as they are (TRIVET_SCALE_BROADCAST).
#define TRIVET_SCALE_BROADCAST (-1)
TRIVET_API trivet_status_t trivet_network_add_scale(trivet_network_t* network, trivet_value_t x,
                                                    trivet_value_t scale, trivet_value_t shift,
                                                    trivet_value_t power, int64_t axis,
                                                    const char* name, trivet_value_t* out_value);
// condition ? a : b, broadcast; condition is bool.
TRIVET_API trivet_status_t trivet_network_add_select(trivet_network_t* network,
                                                     trivet_value_t condition, trivet_value_t a,
                                                     trivet_value_t b, const char* name,
                                                     trivet_value_t* out_value);
// Float to integer truncates.
TRIVET_API trivet_status_t trivet_network_add_cast(trivet_network_t* network, trivet_value_t x,
                                                   trivet_dtype_t dtype, const char* name,
                                                   trivet_value_t* out_value);
TRIVET_API trivet_status_t trivet_network_add_identity(trivet_network_t* network, trivet_value_t x,
                                                       const char* name, trivet_value_t* out_value);

// --- Reductions, order --------------------------------------------------------------------------

#define TRIVET_REDUCE_SUM 0u
#define TRIVET_REDUCE_PRODUCT 1u
#define TRIVET_REDUCE_MAX 2u
#define TRIVET_REDUCE_MIN 3u
#define TRIVET_REDUCE_MEAN 4u
#define TRIVET_REDUCE_L1 5u  // sum of magnitudes
#define TRIVET_REDUCE_L2 6u  // square root of the sum of squares
#define TRIVET_REDUCE_SUM_OF_SQUARES 7u
#define TRIVET_REDUCE_LOG_SUM 8u
#define TRIVET_REDUCE_LOG_SUM_EXP 9u
// Over |axes| (count 0: all). |keep|: reduced axes stay with extent 1, otherwise they go.
TRIVET_API trivet_status_t trivet_network_add_reduce(trivet_network_t* network, trivet_value_t x,
                                                     uint32_t kind, const int64_t* axes,
                                                     uint64_t axis_count, uint32_t keep,
                                                     const char* name, trivet_value_t* out_value);
// Position (i64) of the largest (|smallest|: smallest) element along |axis|, the first of equals;
// the axis stays with extent 1 if |keep|.
TRIVET_API trivet_status_t trivet_network_add_argmax(trivet_network_t* network, trivet_value_t x,
                                                     uint32_t smallest, int64_t axis, uint32_t keep,
                                                     const char* name, trivet_value_t* out_value);
// The |k| largest (|smallest|: smallest) along |axis|, in order: values and positions (i64), both
// with extent k there. Equal elements keep their order.
TRIVET_API trivet_status_t trivet_network_add_topk(trivet_network_t* network, trivet_value_t x,
                                                   int64_t k, uint32_t smallest, int64_t axis,
                                                   const char* name, trivet_value_t* out_values,
                                                   trivet_value_t* out_indices);
#define TRIVET_CUMULATIVE_EXCLUSIVE 1u  // an element is not part of its own result
#define TRIVET_CUMULATIVE_REVERSE 2u    // from the end
// Running sum along |axis|; the shape stays.
TRIVET_API trivet_status_t trivet_network_add_cumulative_sum(trivet_network_t* network,
                                                             trivet_value_t x, int64_t axis,
                                                             uint32_t flags, const char* name,
                                                             trivet_value_t* out_value);
// exp(x) / sum(exp(x)) along |axis|; |logarithm|: its logarithm.
TRIVET_API trivet_status_t trivet_network_add_softmax(trivet_network_t* network, trivet_value_t x,
                                                      int64_t axis, uint32_t logarithm,
                                                      const char* name, trivet_value_t* out_value);

// --- Shapes and movement ------------------------------------------------------------------------

// Extents of x as i64 [rank].
TRIVET_API trivet_status_t trivet_network_add_shape(trivet_network_t* network, trivet_value_t x,
                                                    const char* name, trivet_value_t* out_value);
// |dims|: -1 (at most once) takes what is left, 0 copies the extent of x at the same position.
TRIVET_API trivet_status_t trivet_network_add_reshape(trivet_network_t* network, trivet_value_t x,
                                                      const int64_t* dims, uint32_t rank,
                                                      const char* name, trivet_value_t* out_value);
// Axis i of the result is axis permutation[i] of x; NULL: reversed.
TRIVET_API trivet_status_t trivet_network_add_transpose(trivet_network_t* network, trivet_value_t x,
                                                        const int64_t* permutation,
                                                        const char* name,
                                                        trivet_value_t* out_value);
// Transpose, reshape, transpose; each is left out where its argument is NULL. |second| has |rank|
// entries, or as many as x where |dims| is NULL.
TRIVET_API trivet_status_t trivet_network_add_shuffle(trivet_network_t* network, trivet_value_t x,
                                                      const int64_t* first, const int64_t* dims,
                                                      uint32_t rank, const int64_t* second,
                                                      const char* name, trivet_value_t* out_value);
// Drops axes of extent 1, and puts such axes in (positions in the result).
TRIVET_API trivet_status_t trivet_network_add_squeeze(trivet_network_t* network, trivet_value_t x,
                                                      const int64_t* axes, uint64_t axis_count,
                                                      const char* name, trivet_value_t* out_value);
TRIVET_API trivet_status_t trivet_network_add_unsqueeze(trivet_network_t* network, trivet_value_t x,
                                                        const int64_t* axes, uint64_t axis_count,
                                                        const char* name,
                                                        trivet_value_t* out_value);
// Broadcasts x to |shape|, an i64 vector; extent 1 keeps what x has.
TRIVET_API trivet_status_t trivet_network_add_expand(trivet_network_t* network, trivet_value_t x,
                                                     trivet_value_t shape, const char* name,
                                                     trivet_value_t* out_value);
// All inputs have one type and equal extents but along |axis|.
TRIVET_API trivet_status_t trivet_network_add_concatenation(trivet_network_t* network,
                                                            const trivet_value_t* inputs,
                                                            uint32_t input_count, int64_t axis,
                                                            const char* name,
                                                            trivet_value_t* out_value);
// |count| parts with |sizes| along |axis| (NULL: equal ones).
TRIVET_API trivet_status_t trivet_network_add_split(trivet_network_t* network, trivet_value_t x,
                                                    int64_t axis, const int64_t* sizes,
                                                    uint32_t count, const char* name,
                                                    trivet_value_t* out_values);
// From |starts| to |ends| (exclusive) by |steps| (NULL: 1) along |axes| (NULL: the first ones);
// negative positions count from the end, positions beyond are clamped, INT64_MAX is the end.
TRIVET_API trivet_status_t trivet_network_add_slice(trivet_network_t* network, trivet_value_t x,
                                                    const int64_t* starts, const int64_t* ends,
                                                    const int64_t* axes, const int64_t* steps,
                                                    uint64_t count, const char* name,
                                                    trivet_value_t* out_value);
#define TRIVET_PADDING_CONSTANT 0u
#define TRIVET_PADDING_REFLECT 1u
#define TRIVET_PADDING_EDGE 2u
#define TRIVET_PADDING_WRAP 3u
// |begin| and |end| elements before and after, one entry per axis of x; negative ones cut. |value|
// fills with TRIVET_PADDING_CONSTANT.
TRIVET_API trivet_status_t trivet_network_add_padding(trivet_network_t* network, trivet_value_t x,
                                                      const int64_t* begin, const int64_t* end,
                                                      uint32_t kind, double value, const char* name,
                                                      trivet_value_t* out_value);
#define TRIVET_GATHER_AXIS 0u      // [A..., X, B...] and indices [I...] -> [A..., I..., B...]
#define TRIVET_GATHER_ELEMENTS 1u  // indices have the rank of x; result: their shape
#define TRIVET_GATHER_ND 2u        // the last axis of indices (i64) holds a position in x
// Indices are i32 or i64, negative ones count from the end. |axis|: of GATHER_AXIS and
// GATHER_ELEMENTS; for GATHER_ND the number of leading axes that x and indices share.
TRIVET_API trivet_status_t trivet_network_add_gather(trivet_network_t* network, trivet_value_t x,
                                                     trivet_value_t indices, uint32_t kind,
                                                     int64_t axis, const char* name,
                                                     trivet_value_t* out_value);
#define TRIVET_SCATTER_ASSIGN 0u  // which of several writes to one element wins is not defined
#define TRIVET_SCATTER_ADD 1u
#define TRIVET_SCATTER_MUL 2u
#define TRIVET_SCATTER_MAX 3u
#define TRIVET_SCATTER_MIN 4u
// x with |updates| written at |indices|: |kind| is TRIVET_GATHER_ELEMENTS or TRIVET_GATHER_ND, as
// the gather that would read them back.
TRIVET_API trivet_status_t trivet_network_add_scatter(trivet_network_t* network, trivet_value_t x,
                                                      trivet_value_t indices,
                                                      trivet_value_t updates, uint32_t kind,
                                                      int64_t axis, uint32_t reduction,
                                                      const char* name, trivet_value_t* out_value);
// x with |update| written along |axis| from position write_indices[batch] (i64; 0: from 0): how a
// cache of keys or values grows. x [B, ..., S, ...], update the same with a smaller S.
TRIVET_API trivet_status_t trivet_network_add_cache_update(trivet_network_t* network,
                                                           trivet_value_t x, trivet_value_t update,
                                                           trivet_value_t write_indices,
                                                           int64_t axis, const char* name,
                                                           trivet_value_t* out_value);
// Reverses the first lengths[batch] (i64) elements of the time axis, per batch.
TRIVET_API trivet_status_t trivet_network_add_reverse_sequence(
    trivet_network_t* network, trivet_value_t x, trivet_value_t lengths, int64_t batch_axis,
    int64_t time_axis, const char* name, trivet_value_t* out_value);
// |values| [2] (off, on) give the type: the result has a new axis of extent |depth| at |axis|.
TRIVET_API trivet_status_t trivet_network_add_one_hot(trivet_network_t* network,
                                                      trivet_value_t indices, int64_t depth,
                                                      trivet_value_t values, int64_t axis,
                                                      const char* name, trivet_value_t* out_value);
// Positions of elements that are not 0: i64 [rank, count]; the count depends on data.
TRIVET_API trivet_status_t trivet_network_add_non_zero(trivet_network_t* network, trivet_value_t x,
                                                       const char* name, trivet_value_t* out_value);
#define TRIVET_FILL_CONSTANT 0u        // alpha
#define TRIVET_FILL_LINEAR 1u          // rank 1: alpha + beta * position
#define TRIVET_FILL_RANDOM_UNIFORM 2u  // from alpha to beta; float types
#define TRIVET_FILL_RANDOM_NORMAL 3u   // mean alpha, standard deviation beta; float types
// A tensor of |dims|. Random values are drawn anew in each run.
TRIVET_API trivet_status_t trivet_network_add_fill(trivet_network_t* network, uint32_t kind,
                                                   trivet_dtype_t dtype, const int64_t* dims,
                                                   uint32_t rank, double alpha, double beta,
                                                   const char* name, trivet_value_t* out_value);

// --- Pictures -----------------------------------------------------------------------------------

#define TRIVET_RESIZE_NEAREST 0u
#define TRIVET_RESIZE_LINEAR 1u
#define TRIVET_RESIZE_CUBIC 2u
#define TRIVET_COORDINATES_HALF_PIXEL 0u          // (x + 1/2) / scale - 1/2
#define TRIVET_COORDINATES_ASYMMETRIC 1u          // x / scale
#define TRIVET_COORDINATES_ALIGN_CORNERS 2u       // x (in - 1) / (out - 1)
#define TRIVET_COORDINATES_PYTORCH_HALF_PIXEL 3u  // half pixel, 0 where the output extent is 1
#define TRIVET_NEAREST_PREFER_FLOOR 0u
#define TRIVET_NEAREST_PREFER_CEIL 1u
#define TRIVET_NEAREST_FLOOR 2u
#define TRIVET_NEAREST_CEIL 3u
typedef struct trivet_resize_s {
  trivet_header_t header;
  const int64_t* sizes;      // extents of the result, one per axis of x; or
  const float* scales;       // factors, one per axis of x
  uint32_t kind;             // TRIVET_RESIZE_*
  uint32_t coordinates;      // TRIVET_COORDINATES_*
  uint32_t nearest;          // TRIVET_NEAREST_*
  uint32_t exclude_outside;  // cubic: weights outside count as 0, the others are scaled up
  double cubic_coefficient;  // 0: -0.75
} trivet_resize_t;
// |options| is required and gives exactly one of sizes and scales.
TRIVET_API trivet_status_t trivet_network_add_resize(trivet_network_t* network, trivet_value_t x,
                                                     const trivet_resize_t* options,
                                                     const char* name, trivet_value_t* out_value);
#define TRIVET_SAMPLE_ZEROS 0u
#define TRIVET_SAMPLE_BORDER 1u
#define TRIVET_SAMPLE_REFLECTION 2u
// x [N, C, S...], grid [N, O..., n] with n positions in -1 .. 1 (the last axis of x first)
// -> [N, C, O...]. |kind| is TRIVET_RESIZE_*, |outside| TRIVET_SAMPLE_*.
TRIVET_API trivet_status_t trivet_network_add_grid_sample(trivet_network_t* network,
                                                          trivet_value_t x, trivet_value_t grid,
                                                          uint32_t kind, uint32_t outside,
                                                          uint32_t align_corners, const char* name,
                                                          trivet_value_t* out_value);
// boxes [N, B, 4] (two corners; |center|: centre, width, height), scores [N, classes, B]
// -> i64 [selected, 3] of batch, class, box; the count depends on data, at most
// N * classes * max_per_class.
TRIVET_API trivet_status_t trivet_network_add_nms(trivet_network_t* network, trivet_value_t boxes,
                                                  trivet_value_t scores, int64_t max_per_class,
                                                  double iou_threshold, double score_threshold,
                                                  uint32_t center, const char* name,
                                                  trivet_value_t* out_value);

// --- Normalisation ------------------------------------------------------------------------------

// (x - mean) / sqrt(variance + epsilon) * scale + bias, all four [C], x [N, C, D...].
TRIVET_API trivet_status_t trivet_network_add_batch_normalization(
    trivet_network_t* network, trivet_value_t x, trivet_value_t scale, trivet_value_t bias,
    trivet_value_t mean, trivet_value_t variance, double epsilon, const char* name,
    trivet_value_t* out_value);
#define TRIVET_NORMALIZATION_LAYER 0u     // over axes |axis| ..; scale and bias have their shape
#define TRIVET_NORMALIZATION_RMS 1u       // likewise without mean and bias
#define TRIVET_NORMALIZATION_INSTANCE 2u  // per sample and channel; scale and bias [C]
#define TRIVET_NORMALIZATION_GROUP 3u     // per sample and group of channels; |axis|: groups
// (x - mean) / sqrt(variance + epsilon) * scale + bias with mean and variance of x itself. |bias|
// 0: none (LAYER, RMS).
TRIVET_API trivet_status_t trivet_network_add_normalization(
    trivet_network_t* network, trivet_value_t x, uint32_t kind, trivet_value_t scale,
    trivet_value_t bias, int64_t axis, double epsilon, const char* name, trivet_value_t* out_value);
// Local response: x / (k + alpha / size * sum of squares over |size| neighbouring channels) ^ beta.
TRIVET_API trivet_status_t trivet_network_add_lrn(trivet_network_t* network, trivet_value_t x,
                                                  int64_t size, double alpha, double beta, double k,
                                                  const char* name, trivet_value_t* out_value);

// --- Quantisation -------------------------------------------------------------------------------

// saturate(round(x / scale) + zero_point), ties to even. |scale| has rank 0 (per tensor), rank 1
// (along |axis|), or, with |block| above 0, x's shape with axis / block. |zero_point| 0: zero, the
// type is |dtype|; otherwise it has scale's shape and gives the type.
TRIVET_API trivet_status_t trivet_network_add_quantize(
    trivet_network_t* network, trivet_value_t x, trivet_value_t scale, trivet_value_t zero_point,
    trivet_dtype_t dtype, int64_t axis, int64_t block, const char* name, trivet_value_t* out_value);
// (x - zero_point) * scale, in the type of |scale|.
TRIVET_API trivet_status_t trivet_network_add_dequantize(trivet_network_t* network,
                                                         trivet_value_t x, trivet_value_t scale,
                                                         trivet_value_t zero_point, int64_t axis,
                                                         int64_t block, const char* name,
                                                         trivet_value_t* out_value);
// f32 -> u8 with a scale and zero point from the smallest and largest element, 0 included:
// out_outputs[0] the values, [1] the scale (f32), [2] the zero point (u8).
TRIVET_API trivet_status_t trivet_network_add_dynamic_quantize(trivet_network_t* network,
                                                               trivet_value_t x, const char* name,
                                                               trivet_value_t* out_outputs);

// --- Sequences ----------------------------------------------------------------------------------

typedef struct trivet_attention_s {
  trivet_header_t header;
  double scale;        // of the products of queries and keys; 0: 1 / sqrt(head size)
  double softcap;      // s tanh(product / s) limits them; 0: off
  uint32_t is_causal;  // a query sees keys up to its own position
  uint32_t reserved;
} trivet_attention_t;
// softmax(scale q k^T + mask) x with q [B, H, L, E], k [B, G, S, E], x [B, G, S, V]: G divides H.
// mask (0: none) is bool (true: seen) or is added; broadcast to [B, H, L, S]. -> [B, H, L, V]
TRIVET_API trivet_status_t trivet_network_add_attention(trivet_network_t* network, trivet_value_t q,
                                                        trivet_value_t k, trivet_value_t x,
                                                        trivet_value_t mask,
                                                        const trivet_attention_t* options,
                                                        const char* name,
                                                        trivet_value_t* out_value);
// x [B, H, L, E] turned by angles: cos and sin [positions, R / 2] with |positions| i64 [B, L], or
// [B, L, R / 2] where it is 0. R: |dimension|, 0 means E. |interleaved|: pairs are neighbours.
TRIVET_API trivet_status_t trivet_network_add_rotary_embedding(
    trivet_network_t* network, trivet_value_t x, trivet_value_t cosines, trivet_value_t sines,
    trivet_value_t positions, uint32_t interleaved, int64_t dimension, const char* name,
    trivet_value_t* out_value);

#define TRIVET_RECURRENT_RNN 0u  // tanh
#define TRIVET_RECURRENT_LSTM 1u
#define TRIVET_RECURRENT_GRU 2u
#define TRIVET_DIRECTION_FORWARD 0u
#define TRIVET_DIRECTION_REVERSE 1u
#define TRIVET_DIRECTION_BOTH 2u
typedef struct trivet_recurrent_s {
  trivet_header_t header;
  uint32_t direction;            // TRIVET_DIRECTION_*; R directions below are 1, or 2 for BOTH
  uint32_t linear_before_reset;  // GRU: the reset gate works on the product, not on the state
} trivet_recurrent_t;
// x [T, B, I], w [R, gates * H, I], r [R, gates * H, H], bias [R, 2 * gates * H] (0: none), state
// [R, B, H] and cell (LSTM) likewise (0: zeros). Gates: LSTM i o f c, GRU z r h, RNN one.
// out_outputs: [0] all states [T, R, B, H], [1] the last [R, B, H], [2] LSTM: the last cell.
TRIVET_API trivet_status_t trivet_network_add_recurrent(
    trivet_network_t* network, uint32_t kind, trivet_value_t x, trivet_value_t w, trivet_value_t r,
    trivet_value_t bias, trivet_value_t state, trivet_value_t cell,
    const trivet_recurrent_t* options, const char* name, trivet_value_t* out_outputs);

// --- Control flow -------------------------------------------------------------------------------

// Until end_body, inputs, layers and outputs go to a body of their own, which may use values of the
// network around it. |out_body| is for add_if and add_loop; a body serves one of them.
TRIVET_API trivet_status_t trivet_network_begin_body(trivet_network_t* network, const char* name,
                                                     uint32_t* out_body);
TRIVET_API trivet_status_t trivet_network_end_body(trivet_network_t* network);
// The outputs of |then_body| where |condition| (bool, rank 0) holds, of |else_body| otherwise;
// bodies without inputs and with |output_count| outputs of equal types and ranks.
TRIVET_API trivet_status_t trivet_network_add_if(trivet_network_t* network,
                                                 trivet_value_t condition, uint32_t then_body,
                                                 uint32_t else_body, uint32_t output_count,
                                                 const char* name, trivet_value_t* out_outputs);
// Runs |body| at most |trip_count| (i64, rank 0; 0: any number) times while |condition| (bool; 0:
// true) holds. Body inputs: iteration (i64, rank 0), condition, states...; outputs: condition,
// states..., values that are stacked along a new first axis. out_outputs: the last states, then the
// stacks.
TRIVET_API trivet_status_t trivet_network_add_loop(
    trivet_network_t* network, trivet_value_t trip_count, trivet_value_t condition,
    const trivet_value_t* states, uint32_t state_count, uint32_t body, uint32_t output_count,
    const char* name, trivet_value_t* out_outputs);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // TRIVET_LAYERS_H_
