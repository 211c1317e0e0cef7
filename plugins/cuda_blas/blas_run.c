// SPDX-License-Identifier: Apache-2.0
//
// Run half. load checks the blob and finds the library; prepare describes the matrices for the
// shapes at hand and asks for an algorithm; run sets addresses and launches, or has launched what
// was recorded.
#include "plugins/cuda_blas/blas_run.h"

#include <string.h>

#include "core/base/allocator.h"
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "plugins/cuda_blas/blas_library.h"
#include "plugins/cuda_blas/blas_problem.h"

#define WORKSPACE_LIMIT ((uint64_t)32 << 20)
// The library wants more than a launch promises.
#define WORKSPACE_ALIGNMENT 256u

typedef struct loaded_s {
  blas_problem_t problem;
  tvi_cuda_device_t* device;
  const blas_library_t* blas;
} loaded_t;

typedef struct prepared_s {
  tvi_cuda_device_t* device;
  tvi_cuda_recorder_t* recorder;
  const blas_library_t* blas;
  blas_problem_t problem;
  blas_geometry_t geometry;
  cublasLtMatmulDesc_t product;
  cublasLtMatrixLayout_t first, second, result, residual;
  cublasLtMatmulAlgo_t algorithm;
  uint64_t workspace_size;
  const void* bias;  // that the product was told last
} prepared_t;

trivet_status_t blas_load(const trivet_kernel_t* kernel, const trivet_kernel_load_t* load,
                          void** out_loaded) {
  (void)kernel;
  blas_problem_t problem;
  memset(&problem, 0, sizeof(problem));
  if (load->blob_size == sizeof(problem)) memcpy(&problem, load->blob, sizeof(problem));
  TRIVET_RETURN_IF_ERROR(blas_problem_verify(&problem, load->blob_size));
  loaded_t* loaded;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(*load->allocator, sizeof(*loaded), &loaded));
  loaded->problem = problem;
  loaded->device = (tvi_cuda_device_t*)load->device;
  trivet_status_t status = blas_library_get(loaded->device, &loaded->blas);
  if (status) {
    tvi_free(*load->allocator, loaded, sizeof(*loaded));
    return status;
  }
  *out_loaded = loaded;
  return TRIVET_OK;
}

void blas_unload(const trivet_kernel_t* kernel, void* loaded, const trivet_allocator_t* allocator) {
  (void)kernel;
  tvi_free(*allocator, loaded, sizeof(loaded_t));
}

static cudaDataType_t data_type(uint32_t dtype) {
  return dtype == TRIVET_DTYPE_F16    ? CUDA_R_16F
         : dtype == TRIVET_DTYPE_BF16 ? CUDA_R_16BF
                                      : CUDA_R_32F;
}

static trivet_status_t check_operands(const blas_problem_t* p,
                                      const trivet_kernel_prepare_t* prepare) {
  if (prepare->operand_count != p->operand_count) {
    return TRIVET_STATUS(DATA_LOSS, "cuBLASLt step: %llu operands, not %u",
                         (unsigned long long)prepare->operand_count, p->operand_count);
  }
  const uint8_t* maps[BLAS_MAX_OPERANDS] = {p->a_dims, p->packed_leading ? NULL : p->b_dims};
  maps[p->operand_count - 1] = p->c_dims;
  if (p->residual_operand != BLAS_NONE) maps[p->residual_operand] = p->residual_dims;
  uint32_t indices = p->batch_count + p->m_count + p->n_count + p->k_count;
  for (uint32_t i = 0; i < p->operand_count; ++i) {
    const trivet_operand_t* operand = &prepare->operands[i];
    uint32_t dtype = i < 2 ? p->dtype : p->result_dtype;
    if ((operand->flags & TRIVET_OPERAND_ABSENT) || operand->dtype != dtype) {
      return TRIVET_STATUS(DATA_LOSS, "cuBLASLt step: type of operand %u", i);
    }
    for (uint32_t d = 0; maps[i] && d < indices; ++d) {
      if (maps[i][d] != BLAS_NONE && maps[i][d] >= operand->rank) {
        return TRIVET_STATUS(DATA_LOSS, "cuBLASLt step: operand %u has %u dimensions", i,
                             operand->rank);
      }
    }
  }
  return TRIVET_OK;
}

// Packed weights have to hold what the library is told to read.
static trivet_status_t check_packed(const prepared_t* s, const trivet_operand_t* weights) {
  const blas_geometry_t* g = &s->geometry;
  uint64_t given = 1, wanted = 0, leading = s->problem.packed_leading;
  if (!leading) return TRIVET_OK;
  for (uint32_t d = 0; d < weights->rank; ++d) given *= (uint64_t)weights->dims[d];
  uint64_t rows = g->n;
  for (uint32_t l = 0; l < g->loop_count; ++l) {
    if (g->loop_b[l]) rows *= g->loop_extents[l];
  }
  const blas_matrix_t* of_b = g->swapped ? &g->second : &g->first;
  if (g->batch > 1 && of_b->batch_stride) rows *= g->batch;
  if (leading >= g->k && !__builtin_mul_overflow(rows, leading, &wanted) && given >= wanted) {
    return TRIVET_OK;
  }
  return TRIVET_STATUS(DATA_LOSS, "cuBLASLt step: packed weights of %llu elements, %u in a row",
                       (unsigned long long)given, s->problem.packed_leading);
}

// One number for each row or column has to lie together and be as many.
static trivet_status_t check_bias(const prepared_t* s, const trivet_operand_t* bias) {
  int64_t count = 1, stride = 1;
  for (uint32_t d = 0; d < bias->rank; ++d) {
    if (bias->dims[d] == 1) continue;
    count *= bias->dims[d];
    stride = bias->strides[d];
  }
  uint64_t wanted = s->geometry.swapped ? s->geometry.m : s->geometry.n;
  if ((uint64_t)count == wanted && stride == 1) return TRIVET_OK;
  return TRIVET_STATUS(UNIMPLEMENTED, "cuBLASLt step: a bias of %lld numbers, %lld apart",
                       (long long)count, (long long)stride);
}

static trivet_status_t make_layout(const prepared_t* s, const blas_matrix_t* matrix, uint32_t dtype,
                                   cublasLtMatrixLayout_t* out_layout) {
  const blas_library_t* blas = s->blas;
  BLAS_RETURN_IF_ERROR(blas, cublasLtMatrixLayoutCreate(out_layout, data_type(dtype), matrix->rows,
                                                        matrix->columns, matrix->leading));
  if (s->geometry.batch == 1) return TRIVET_OK;
  int32_t count = (int32_t)s->geometry.batch;
  BLAS_RETURN_IF_ERROR(
      blas, cublasLtMatrixLayoutSetAttribute(*out_layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT,
                                             &count, sizeof(count)));
  BLAS_RETURN_IF_ERROR(blas, cublasLtMatrixLayoutSetAttribute(
                                 *out_layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                 &matrix->batch_stride, sizeof(matrix->batch_stride)));
  return TRIVET_OK;
}

static trivet_status_t describe(prepared_t* s, uint32_t bias_alignment) {
  const blas_library_t* blas = s->blas;
  const blas_problem_t* p = &s->problem;
  const blas_geometry_t* g = &s->geometry;
  cublasComputeType_t compute = p->allows_tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  BLAS_RETURN_IF_ERROR(blas, cublasLtMatmulDescCreate(&s->product, compute, CUDA_R_32F));
  cublasOperation_t transpose = CUBLAS_OP_T;
  if (g->first.transposed) {
    BLAS_RETURN_IF_ERROR(
        blas, cublasLtMatmulDescSetAttribute(s->product, CUBLASLT_MATMUL_DESC_TRANSA, &transpose,
                                             sizeof(transpose)));
  }
  if (g->second.transposed) {
    BLAS_RETURN_IF_ERROR(
        blas, cublasLtMatmulDescSetAttribute(s->product, CUBLASLT_MATMUL_DESC_TRANSB, &transpose,
                                             sizeof(transpose)));
  }
  bool bias = p->bias_operand != BLAS_NONE;
  cublasLtEpilogue_t epilogue = bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  if (p->activation == BLAS_RELU) {
    epilogue = bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
  } else if (p->activation == BLAS_GELU_TANH) {
    epilogue = bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
  }
  BLAS_RETURN_IF_ERROR(
      blas, cublasLtMatmulDescSetAttribute(s->product, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue,
                                           sizeof(epilogue)));
  if (bias) {
    // The heuristic wants an address; run gives the true one.
    const void* somewhere = (const void*)(uintptr_t)bias_alignment;
    BLAS_RETURN_IF_ERROR(
        blas, cublasLtMatmulDescSetAttribute(s->product, CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                                             &somewhere, sizeof(somewhere)));
  }
  TRIVET_RETURN_IF_ERROR(make_layout(s, &g->first, p->dtype, &s->first));
  TRIVET_RETURN_IF_ERROR(make_layout(s, &g->second, p->dtype, &s->second));
  TRIVET_RETURN_IF_ERROR(make_layout(s, &g->result, p->result_dtype, &s->result));
  if (p->residual_operand == BLAS_NONE) return TRIVET_OK;
  return make_layout(s, &g->residual, p->result_dtype, &s->residual);
}

// What the addresses of all calls are certainly multiples of.
static uint32_t alignment_of(const trivet_operand_t* operand, const blas_geometry_t* g,
                             const int64_t* loops) {
  uint32_t alignment = operand->alignment ? operand->alignment : 1;
  if (alignment > 256) alignment = 256;
  for (uint32_t l = 0; l < g->loop_count; ++l) {
    uint64_t bytes = (uint64_t)loops[l] * tvi_dtype_bytes(operand->dtype);
    while (bytes % alignment) alignment /= 2;
  }
  return alignment;
}

static trivet_status_t choose(prepared_t* s, const trivet_operand_t* operands,
                              cublasLtMatmulPreference_t preference) {
  const blas_library_t* blas = s->blas;
  const blas_problem_t* p = &s->problem;
  const blas_geometry_t* g = &s->geometry;
  uint64_t limit = WORKSPACE_LIMIT;
  BLAS_RETURN_IF_ERROR(
      blas, cublasLtMatmulPreferenceSetAttribute(
                preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &limit, sizeof(limit)));
  uint32_t result = p->operand_count - 1;
  bool has_residual = p->residual_operand != BLAS_NONE;
  uint32_t a = alignment_of(&operands[0], g, g->loop_a);
  uint32_t b = alignment_of(&operands[1], g, g->loop_b);
  uint32_t d = alignment_of(&operands[result], g, g->loop_c);
  uint32_t c = has_residual ? alignment_of(&operands[p->residual_operand], g, g->loop_residual) : d;
  const struct {
    cublasLtMatmulPreferenceAttributes_t name;
    uint32_t value;
  } alignments[] = {{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, g->swapped ? a : b},
                    {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, g->swapped ? b : a},
                    {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, c},
                    {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, d}};
  for (size_t i = 0; i < sizeof(alignments) / sizeof(alignments[0]); ++i) {
    BLAS_RETURN_IF_ERROR(
        blas, cublasLtMatmulPreferenceSetAttribute(preference, alignments[i].name,
                                                   &alignments[i].value, sizeof(uint32_t)));
  }
  cublasLtMatmulHeuristicResult_t found[BLAS_MAX_ALGORITHMS];
  memset(found, 0, sizeof(found));
  int count = 0;
  BLAS_RETURN_IF_ERROR(
      blas, cublasLtMatmulAlgoGetHeuristic(blas->handle, s->product, s->first, s->second,
                                           has_residual ? s->residual : s->result, s->result,
                                           preference, (int)BLAS_MAX_ALGORITHMS, found, &count));
  if (count <= 0) {
    return TRIVET_STATUS(UNIMPLEMENTED, "cuBLASLt has no algorithm for %llu x %llu x %llu",
                         (unsigned long long)g->m, (unsigned long long)g->n,
                         (unsigned long long)g->k);
  }
  int chosen = p->algorithm < (uint32_t)count ? (int)p->algorithm : 0;
  if (found[chosen].state != CUBLAS_STATUS_SUCCESS) chosen = 0;
  s->algorithm = found[chosen].algo;
  s->workspace_size = found[chosen].workspaceSize;
  return TRIVET_OK;
}

trivet_status_t blas_prepare(const trivet_kernel_t* kernel, void* pointer,
                             const trivet_kernel_prepare_t* prepare, uint64_t* out_workspace_size,
                             void** out_prepared) {
  const loaded_t* loaded = (const loaded_t*)pointer;
  TRIVET_RETURN_IF_ERROR(check_operands(&loaded->problem, prepare));
  prepared_t* s;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(*prepare->allocator, sizeof(*s), &s));
  s->device = loaded->device;
  s->blas = loaded->blas;
  s->problem = loaded->problem;
  const char* reason = NULL;
  cublasLtMatmulPreference_t preference = NULL;
  trivet_status_t status = TRIVET_OK;
  if (!blas_geometry(&s->problem, prepare->operands, &s->geometry, &reason)) {
    status = TRIVET_STATUS(UNIMPLEMENTED, "cuBLASLt step: %s", reason);
  }
  if (!status) status = check_packed(s, &prepare->operands[1]);
  if (!status && s->problem.bias_operand != BLAS_NONE) {
    status = check_bias(s, &prepare->operands[s->problem.bias_operand]);
  }
  uint32_t bias_alignment = 16;
  if (!status && s->problem.bias_operand != BLAS_NONE) {
    const trivet_operand_t* bias = &prepare->operands[s->problem.bias_operand];
    if (bias->alignment && bias->alignment < bias_alignment) bias_alignment = bias->alignment;
  }
  if (!status) status = describe(s, bias_alignment);
  if (!status) {
    status = blas_check(s->blas, s->blas->cublasLtMatmulPreferenceCreate(&preference),
                        "cublasLtMatmulPreferenceCreate");
  }
  if (!status) status = choose(s, prepare->operands, preference);
  if (preference) (void)s->blas->cublasLtMatmulPreferenceDestroy(preference);
  if (!status) {
    status = s->device->recorder_create(s->device, *prepare->allocator, prepare->operand_count,
                                        &s->recorder);
  }
  if (status) {
    blas_release(kernel, s, prepare->allocator);
    return status;
  }
  *out_workspace_size = s->workspace_size ? s->workspace_size + WORKSPACE_ALIGNMENT : 0;
  *out_prepared = s;
  return TRIVET_OK;
}

void blas_release(const trivet_kernel_t* kernel, void* pointer,
                  const trivet_allocator_t* allocator) {
  (void)kernel;
  prepared_t* s = (prepared_t*)pointer;
  if (!s) return;
  s->device->recorder_destroy(s->recorder);
  cublasLtMatrixLayout_t layouts[] = {s->first, s->second, s->result, s->residual};
  for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); ++i) {
    if (layouts[i]) (void)s->blas->cublasLtMatrixLayoutDestroy(layouts[i]);
  }
  if (s->product) (void)s->blas->cublasLtMatmulDescDestroy(s->product);
  tvi_free(*allocator, s, sizeof(*s));
}

static const char* element(const void* address, int64_t offset, uint32_t dtype) {
  return (const char*)address + offset * (int64_t)tvi_dtype_bytes(dtype);
}

static trivet_status_t multiply(void* pointer, const trivet_kernel_launch_t* launch) {
  prepared_t* s = (prepared_t*)pointer;
  const blas_library_t* blas = s->blas;
  const blas_problem_t* p = &s->problem;
  const blas_geometry_t* g = &s->geometry;
  bool has_residual = p->residual_operand != BLAS_NONE;
  if (p->bias_operand != BLAS_NONE) {
    const void* bias = launch->addresses[p->bias_operand];
    if (bias != s->bias) {
      BLAS_RETURN_IF_ERROR(
          blas, cublasLtMatmulDescSetAttribute(s->product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias,
                                               sizeof(bias)));
      s->bias = bias;
    }
  }
  uintptr_t workspace = ((uintptr_t)launch->workspace + WORKSPACE_ALIGNMENT - 1) /
                        WORKSPACE_ALIGNMENT * WORKSPACE_ALIGNMENT;
  float alpha = p->alpha, beta = has_residual ? 1 : 0;
  for (uint64_t call = 0; call < g->calls; ++call) {
    uint64_t rest = call;
    int64_t a = 0, b = 0, c = 0, residual = 0;
    for (uint32_t l = 0; l < g->loop_count; ++l) {
      int64_t at = (int64_t)(rest % g->loop_extents[l]);
      rest /= g->loop_extents[l];
      a += at * g->loop_a[l];
      b += at * g->loop_b[l];
      c += at * g->loop_c[l];
      residual += at * g->loop_residual[l];
    }
    const void* pa = element(launch->addresses[0], a, p->dtype);
    const void* pb = element(launch->addresses[1], b, p->dtype);
    void* pd = (void*)element(launch->addresses[p->operand_count - 1], c, p->result_dtype);
    const void* pc =
        has_residual ? element(launch->addresses[p->residual_operand], residual, p->result_dtype)
                     : pd;
    BLAS_RETURN_IF_ERROR(
        blas, cublasLtMatmul(blas->handle, s->product, &alpha, g->swapped ? pa : pb, s->first,
                             g->swapped ? pb : pa, s->second, &beta, pc,
                             has_residual ? s->residual : s->result, pd, s->result, &s->algorithm,
                             s->workspace_size ? (void*)workspace : NULL, s->workspace_size,
                             (cudaStream_t)launch->stream));
  }
  return TRIVET_OK;
}

trivet_status_t blas_run(const trivet_kernel_t* kernel, void* pointer,
                         const trivet_kernel_launch_t* launch) {
  (void)kernel;
  prepared_t* s = (prepared_t*)pointer;
  return s->device->recorder_run(s->recorder, launch, multiply, s);
}
