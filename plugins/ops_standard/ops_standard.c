// SPDX-License-Identifier: Apache-2.0
//
// The plugin's entry: one list of all standard operators, by family. Operator std.X version 1 means
// what the operator X of the newest ONNX operator set means: the same operands in the same order,
// the same attributes and defaults (README.md says the few differences of form).
#include "plugins/ops_standard/ops_util.h"

// clang-format off
#define OPS_LIST(X) \
  /* math.c */ \
  X(Abs) X(Neg) X(Sign) X(Floor) X(Ceil) X(Round) X(Sqrt) X(Reciprocal) X(Exp) X(Log) X(Sin) \
  X(Cos) X(Tan) X(Asin) X(Acos) X(Atan) X(Sinh) X(Cosh) X(Tanh) X(Asinh) X(Acosh) X(Atanh) \
  X(Erf) X(Add) X(Sub) X(Mul) X(Div) X(Mod) X(Pow) X(Max) X(Min) X(Sum) X(Mean) X(Clip) \
  /* activation.c */ \
  X(Relu) X(Sigmoid) X(Softplus) X(Softsign) X(HardSwish) X(Mish) X(Elu) X(Celu) X(Selu) \
  X(LeakyRelu) X(ThresholdedRelu) X(HardSigmoid) X(Swish) X(Shrink) X(SwiGLU) X(PRelu) X(Gelu) \
  X(Dropout) \
  /* logic.c */ \
  X(Equal) X(Less) X(LessOrEqual) X(Greater) X(GreaterOrEqual) X(And) X(Or) X(Xor) X(Not) \
  X(BitwiseAnd) X(BitwiseOr) X(BitwiseXor) X(BitwiseNot) X(BitShift) X(IsNaN) X(IsInf) X(Where) \
  /* cast.c */ \
  X(Cast) X(CastLike) X(BitCast) \
  /* quantize.c */ \
  X(QuantizeLinear) X(DequantizeLinear) X(DynamicQuantizeLinear) \
  /* reduce.c */ \
  X(ReduceSum) X(ReduceMean) X(ReduceMax) X(ReduceMin) X(ReduceProd) X(ReduceSumSquare) \
  X(ReduceL1) X(ReduceL2) X(ReduceLogSum) X(ReduceLogSumExp) X(ArgMax) X(ArgMin) X(CumSum) \
  X(CumProd) \
  /* reshape.c */ \
  X(Reshape) X(Flatten) X(Squeeze) X(Unsqueeze) X(Identity) X(Shape) X(Size) \
  /* movement.c */ \
  X(Transpose) X(Concat) X(Split) X(Slice) X(Expand) X(Tile) \
  /* layout.c */ \
  X(Pad) X(CenterCropPad) X(DepthToSpace) X(SpaceToDepth) X(Trilu) X(ReverseSequence) \
  /* generate.c */ \
  X(Range) X(ConstantOfShape) X(EyeLike) X(OneHot) X(HannWindow) X(HammingWindow) \
  X(BlackmanWindow) \
  /* gather.c */ \
  X(Gather) X(GatherElements) X(GatherND) \
  /* scatter.c */ \
  X(ScatterElements) X(ScatterND) X(TensorScatter) X(MaxUnpool) \
  /* sort.c */ \
  X(TopK) X(NonZero) X(Compress) X(Unique) \
  /* matmul.c */ \
  X(MatMul) X(Gemm) X(MatMulInteger) X(QLinearMatMul) \
  /* einsum.c */ \
  X(Einsum) \
  /* conv.c */ \
  X(Conv) X(ConvInteger) X(QLinearConv) X(ConvTranspose) \
  /* pool.c */ \
  X(MaxPool) X(AveragePool) X(LpPool) X(GlobalAveragePool) X(GlobalMaxPool) X(GlobalLpPool) \
  /* normalize.c */ \
  X(BatchNormalization) X(InstanceNormalization) X(GroupNormalization) X(LayerNormalization) \
  X(RMSNormalization) X(MeanVarianceNormalization) X(LpNormalization) X(LRN) X(Softmax) \
  X(LogSoftmax) X(Hardmax) \
  /* resize.c */ \
  X(Resize) \
  /* spatial.c */ \
  X(GridSample) X(AffineGrid) X(Col2Im) X(DeformConv) \
  /* boxes.c */ \
  X(NonMaxSuppression) X(RoiAlign) X(MaxRoiPool) X(Det) \
  /* recurrent.c */ \
  X(RNN) X(GRU) X(LSTM) \
  /* attention.c */ \
  X(Attention) X(RotaryEmbedding) X(CausalConvWithState) X(LinearAttention) \
  /* signal.c */ \
  X(DFT) X(STFT) X(MelWeightMatrix) \
  /* loss.c */ \
  X(NegativeLogLikelihoodLoss) X(SoftmaxCrossEntropyLoss) \
  /* text_features.c */ \
  X(TfIdfVectorizer) \
  /* random.c */ \
  X(RandomNormal) X(RandomUniform) X(RandomNormalLike) X(RandomUniformLike) X(Bernoulli) \
  X(Multinomial)
// clang-format on

#define OPS_DECLARE(name) extern const trivet_operator_t tvi_ops_##name;
OPS_LIST(OPS_DECLARE)
#undef OPS_DECLARE

#define OPS_ADDRESS(name) &tvi_ops_##name,
// Host functions run from plans as well: both halves.
TRIVET_PLUGIN_HALVES("ops_standard", "1.0", "the standard operators",
                     TRIVET_HALF_BUILD | TRIVET_HALF_RUN, OPS_LIST(OPS_ADDRESS))
