// SPDX-License-Identifier: Apache-2.0
//
// trivet/runtime.h: loads plans and runs them. The whole of libtrivet_runtime.so, which needs libc,
// libm, libdl and pthread only.
//
//   trivet_runtime_create -> trivet_engine_load -> trivet_context_create -> set shapes and
//   addresses -> prepare -> run
//
// A runtime and its engines may be used by many threads at once; a context belongs to one thread at
// a time. Destroy in reverse order. Every call that can fail returns a status; on error outputs are
// untouched. No global state; the environment is not read.
#ifndef TRIVET_RUNTIME_H_
#define TRIVET_RUNTIME_H_

#include "trivet/common.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TRIVET_STRUCT_RUNTIME_OPTIONS 0x52540001u
#define TRIVET_STRUCT_ENGINE_OPTIONS 0x52540002u
#define TRIVET_STRUCT_CONTEXT_OPTIONS 0x52540003u
#define TRIVET_STRUCT_TENSOR_INFO 0x52540004u
#define TRIVET_STRUCT_CONTEXT_STATISTICS 0x52540005u
#define TRIVET_STRUCT_LAYER_RECORD 0x52540006u
#define TRIVET_STRUCT_DEVICE_RECORD 0x52540007u
#define TRIVET_STRUCT_TUNE_OPTIONS 0x52540008u

typedef struct trivet_runtime_s trivet_runtime_t;
typedef struct trivet_engine_s trivet_engine_t;
typedef struct trivet_context_s trivet_context_t;

#define TRIVET_DIMS_MAX 12u

// Where the memory of devices comes from. Called from any thread with the device current; |device|
// is its target and number, "cuda:sm_90" and 0.
typedef struct trivet_device_allocator_s {
  void* self;
  // Both required, or both NULL: the device's own. What it gives is aligned to |alignment|.
  trivet_status_t (*allocate)(void* self, const char* target, uint32_t device, uint64_t size,
                              uint64_t alignment, void** out_address);
  void (*release)(void* self, const char* target, uint32_t device, void* address, uint64_t size);
} trivet_device_allocator_t;

typedef struct trivet_runtime_options_s {
  trivet_header_t header;
  trivet_allocator_t allocator;  // all zero: the system's
  trivet_logger_t logger;        // log NULL: silent
  // For weights, arenas, workspaces and what trivet_engine_allocate gives. Page-locked memory of
  // the host and what a driver keeps for itself do not go through it.
  trivet_device_allocator_t device_allocator;
  // Gets the errors of loading plugins and plans, of tuning, and of preparing and running contexts.
  trivet_error_recorder_t error_recorder;
} trivet_runtime_options_t;

// |options| may be NULL. The runtime holds the built-in kernels of the CPU.
TRIVET_API trivet_status_t trivet_runtime_create(const trivet_runtime_options_t* options,
                                                 trivet_runtime_t** out_runtime);
TRIVET_API void trivet_runtime_destroy(trivet_runtime_t* runtime);
// Loads a plugin for its run half. |path| is absolute or contains a separator. Not while engines
// are being loaded.
TRIVET_API trivet_status_t trivet_runtime_load_plugin(trivet_runtime_t* runtime, const char* path);
// Loads every plugin of the folders of "a:b".
TRIVET_API trivet_status_t trivet_runtime_load_plugin_path(trivet_runtime_t* runtime,
                                                           const char* path_list);
// Adds a plugin that the program itself holds (trivet_plugin_query_fn_t of trivet/plugin.h).
struct trivet_plugin_s;
TRIVET_API trivet_status_t trivet_runtime_add_plugin(
    trivet_runtime_t* runtime,
    const struct trivet_plugin_s* (*query)(uint32_t host_major, uint32_t host_minor));
TRIVET_API const char* trivet_version(void);

#define TRIVET_ENGINE_VERIFY_WEIGHTS \
  1u  // hash the weights on loading; everything else is always hashed
// Plugins that a plan carries may be loaded: machine code of whoever made the plan runs with the
// rights of this process. Without it only those in |carried_hashes| are.
#define TRIVET_ENGINE_ALLOW_CARRIED 2u
// Load every alternative of a step that this machine can run, not only the first.
#define TRIVET_ENGINE_ALL_ALTERNATIVES 4u

typedef struct trivet_engine_options_s {
  trivet_header_t header;
  uint32_t flags;         // TRIVET_ENGINE_*
  uint32_t device;        // number of the device, for plans of targets with memory of their own
  uint64_t memory_limit;  // bytes of the device's memory that the weights may take; 0: no limit
  // SHA-256 of the libraries that may be loaded from the plan, 64 lower-case hexadecimal digits
  // each, as sha256sum and `trivet inspect` print them. Read during the call.
  const char* const* carried_hashes;
  uint64_t carried_hash_count;
} trivet_engine_options_t;

// A plugin that the plan names and that is not loaded is taken from the plan where that carries it
// and the options allow it; it then serves this engine only and goes with it. A loaded plugin is
// always preferred. Targets with memory of their own cannot be carried.

// Maps the file read-only. A plan of a target with memory of its own opens its device (once for all
// engines of the runtime) and brings the weights there. DATA_LOSS: not a plan, truncated or
// altered; INCOMPATIBLE: other version, target or machine; UNAVAILABLE: a plugin or library is
// missing. The message says what and where.
TRIVET_API trivet_status_t trivet_engine_load(trivet_runtime_t* runtime, const char* path,
                                              const trivet_engine_options_t* options,
                                              trivet_engine_t** out_engine);
// |bytes| must stay valid and unchanged until the engine is destroyed; any alignment (64 avoids a
// copy).
TRIVET_API trivet_status_t trivet_engine_load_memory(trivet_runtime_t* runtime, const void* bytes,
                                                     uint64_t size,
                                                     const trivet_engine_options_t* options,
                                                     trivet_engine_t** out_engine);
TRIVET_API void trivet_engine_destroy(trivet_engine_t* engine);

typedef struct trivet_tune_options_s {
  trivet_header_t header;
  uint32_t device;           // number of the device, as for engines
  uint32_t thread_count;     // on the host; 0: one
  uint64_t memory_limit;     // as for contexts
  const char* timing_cache;  // file of measured times, read and added to; NULL: none
  trivet_sink_t report;      // text for people, what was chosen and why; write NULL: none
  uint32_t flags;            // TRIVET_TUNE_*
  uint32_t reserved;         // 0
  const char* only;          // names of kernels or tactics, "A;B": no others are tried; NULL: all.
                             // Since 1.4
} trivet_tune_options_t;
// Keep nothing of the programs for other targets; otherwise they stay as they are.
#define TRIVET_TUNE_THIS_TARGET_ONLY 1u
// Each alternative runs once and without clearing caches, so that its time says little: for tools
// that watch every access of a device. With a timing cache it is an error.
#define TRIVET_TUNE_ONCE 2u

// Times every alternative of every step of the plan at |path| on this machine, with real weights,
// at the shapes that each profile is optimised for, and writes the plan with the fastest ones only
// to |sink|. An alternative takes the place of one before it when it is 3 % faster. What a machine
// lacks, or cannot run, is left out; the report says so. Steps without an alternative that |only|
// names are not timed and keep their first. Needs no compiler. Equal times, as from
// one timing cache, give equal bytes. Fails as trivet_engine_load does; INCOMPATIBLE: the timing
// cache is of another device.
TRIVET_API trivet_status_t trivet_plan_tune(trivet_runtime_t* runtime, const char* path,
                                            const trivet_tune_options_t* options,
                                            trivet_sink_t sink);

// Writes to |sink| one plan with the programs of |count| plans of one network, in their order, each
// built or tuned for targets of its own; equal constants are there once. Loading takes the first
// program that the machine can run. Needs no device. INVALID_ARGUMENT: other inputs, outputs or
// profiles, or two programs for one target; DATA_LOSS: no plan.
TRIVET_API trivet_status_t trivet_plan_merge(trivet_runtime_t* runtime, const char* const* paths,
                                             uint32_t count, trivet_sink_t sink);

#define TRIVET_TENSOR_INPUT 0u
#define TRIVET_TENSOR_OUTPUT 1u
#define TRIVET_TENSOR_OBSERVED 2u

typedef struct trivet_tensor_info_s {
  trivet_header_t header;
  const char* name;  // lives as long as the engine
  uint32_t mode;     // TRIVET_TENSOR_*
  uint32_t dtype;
  uint32_t rank;
  uint32_t alignment;             // bytes that an address must be a multiple of
  int64_t dims[TRIVET_DIMS_MAX];  // -1 where the extent depends on the shapes of inputs
  // Of an output: the index of the input whose address it may be given too, since the plan reads
  // that one no later than where it writes the output; UINT32_MAX: it must not overlap any. The
  // input is overwritten then. Since 1.4
  uint32_t alias;
  uint32_t reserved;
} trivet_tensor_info_t;

// Inputs first, then outputs, then observed values.
TRIVET_API uint32_t trivet_engine_tensor_count(const trivet_engine_t* engine);
TRIVET_API trivet_status_t trivet_engine_tensor_info(const trivet_engine_t* engine, uint32_t index,
                                                     trivet_tensor_info_t* out_info);
// UINT32_MAX: no such tensor.
TRIVET_API uint32_t trivet_engine_tensor_index(const trivet_engine_t* engine, const char* name);
TRIVET_API uint32_t trivet_engine_profile_count(const trivet_engine_t* engine);
// |which| 0 min, 1 opt, 2 max of input |name|; |out_dims| has room for TRIVET_DIMS_MAX.
TRIVET_API trivet_status_t trivet_engine_profile_shape(const trivet_engine_t* engine,
                                                       uint32_t profile, const char* name,
                                                       uint32_t which, uint32_t* out_rank,
                                                       int64_t* out_dims);
// Text or JSON description; freed with trivet_string_free.
#define TRIVET_INSPECT_TEXT 0u
#define TRIVET_INSPECT_JSON 1u
TRIVET_API trivet_status_t trivet_engine_inspect(const trivet_engine_t* engine, uint32_t format,
                                                 char** out_text);
TRIVET_API void trivet_string_free(trivet_runtime_t* runtime, char* text);

#define TRIVET_CONTEXT_NO_GRAPH 1u  // runs launch step by step; by default they are replayed
#define TRIVET_CONTEXT_DEVICE_ADDRESSES 2u  // an address on the host is an error, not a copy
// Before every run the arena and the workspace are filled with zeros, or with ones (of both: ones),
// so that results which differ between the two show a kernel that reads what nothing has written.
// For looking for faults: it takes about as long as writing that memory. Since 1.4
#define TRIVET_CONTEXT_FILL_ZEROS 4u
#define TRIVET_CONTEXT_FILL_ONES 8u

typedef struct trivet_context_options_s {
  trivet_header_t header;
  uint32_t thread_count;  // threads that run one inference, the caller's included; 0: one
  uint32_t profile;
  uint32_t flags;        // TRIVET_CONTEXT_*
  uint32_t graph_count;  // sets of addresses whose graph is kept; 0: 8
  // Bytes of the device's memory for weights, arena, workspace and staging together; 0: no limit.
  // What does not fit is refused with OUT_OF_MEMORY and both numbers; smaller shapes still run.
  uint64_t memory_limit;
  // The caller's threads in place of the context's own (trivet/plugin.h says what an executor does:
  // its |parallel| runs all tasks of a call at the same time). thread_count 0 means all that it
  // has; a greater number than that is an error. It must outlive the context. NULL: threads of our
  // own.
  struct trivet_executor_s* executor;
} trivet_context_options_t;

TRIVET_API trivet_status_t trivet_context_create(trivet_engine_t* engine,
                                                 const trivet_context_options_t* options,
                                                 trivet_context_t** out_context);
TRIVET_API void trivet_context_destroy(trivet_context_t* context);
// OUT_OF_RANGE names the tensor, the dimension and both numbers when the shape lies outside the
// profile.
TRIVET_API trivet_status_t trivet_context_set_shape(trivet_context_t* context, const char* name,
                                                    uint32_t rank, const int64_t* dims);
// Memory for an input or output, or for an observed value that shall be copied out. It must hold
// the whole tensor for the shapes at run time. Where the target has memory of its own, the address
// may lie there (it is used in place) or on the host (it is copied in the stream). An output must
// not overlap anything but the input that |alias| of its info names, and that one exactly.
TRIVET_API trivet_status_t trivet_context_set_address(trivet_context_t* context, const char* name,
                                                      void* address);
// Binds symbols, plans memory, lets kernels prepare. May allocate. Called by run when shapes
// changed since; call it to keep run free of that.
TRIVET_API trivet_status_t trivet_context_prepare(trivet_context_t* context);
// Shape of any tensor after prepare; extents that depend on data are known after run (-1 before).
TRIVET_API trivet_status_t trivet_context_shape(const trivet_context_t* context, const char* name,
                                                uint32_t* out_rank, int64_t* out_dims);
// Bytes that memory for a tensor must hold after prepare; where extents depend on data, for the
// largest that they can be.
TRIVET_API trivet_status_t trivet_context_tensor_size(const trivet_context_t* context,
                                                      const char* name, uint64_t* out_size);
// Runs to the end. After prepare: no allocation of ours, no lock, no look-up by name (except in
// plans with data-dependent shapes).
TRIVET_API trivet_status_t trivet_context_run(trivet_context_t* context);

// Queues a run in the stream of the context and returns; memory on the host that it reads and
// writes must stay until synchronize. Where a host function takes part, the call waits for what
// that reads. Without a device the same as run.
TRIVET_API trivet_status_t trivet_context_enqueue(trivet_context_t* context);
// Waits for all that was queued.
TRIVET_API trivet_status_t trivet_context_synchronize(trivet_context_t* context);
// The caller's stream, of the target's device ("cuda": a CUstream), for the runs that follow; NULL:
// the context's own. It must outlive them. What was queued before comes first.
TRIVET_API trivet_status_t trivet_context_set_stream(trivet_context_t* context, void* stream);

// Times on the device itself, in the context's stream: what runs between two marks takes.
TRIVET_API trivet_status_t trivet_context_mark(trivet_context_t* context, uint32_t mark);
// Nanoseconds from mark 0 to mark 1; waits for the latter. UNIMPLEMENTED without a device.
TRIVET_API trivet_status_t trivet_context_elapsed(trivet_context_t* context,
                                                  uint64_t* out_nanoseconds);

// Devices that the loaded plugins know: what |target| ("cuda") finds under |ordinal|.
typedef struct trivet_device_record_s {
  trivet_header_t header;
  char name[96];         // "NVIDIA H100 80GB HBM3"
  char target[32];       // what plans for it are built with: "cuda:sm_90"
  char signature[128];   // what times that are measured on it depend on
  uint64_t memory_size;  // bytes
  uint64_t memory_free;
  uint64_t peak_flops;  // operations a second of products of f16 at most; 0: not known. Since 1.4
} trivet_device_record_t;
// Name of the target of device definition |index|, NULL past the end.
TRIVET_API const char* trivet_runtime_device_target(const trivet_runtime_t* runtime,
                                                    uint32_t index);
// Opens the device; UNAVAILABLE says what is missing.
TRIVET_API trivet_status_t trivet_runtime_device(trivet_runtime_t* runtime, const char* target,
                                                 uint32_t ordinal,
                                                 trivet_device_record_t* out_record);
// Memory of the device that the engine runs on, or of the host where it has none; for bindings.
TRIVET_API trivet_status_t trivet_engine_allocate(trivet_engine_t* engine, uint64_t size,
                                                  void** out_address);
TRIVET_API void trivet_engine_release(trivet_engine_t* engine, void* address, uint64_t size);
// Copies between host and the engine's memory, in any direction, and waits for it.
TRIVET_API trivet_status_t trivet_engine_copy(trivet_engine_t* engine, void* target,
                                              const void* source, uint64_t size);
// The target of the program that runs, "cuda:sm_90"; lives as long as the engine.
TRIVET_API const char* trivet_engine_target(const trivet_engine_t* engine);
// 1 where that has memory of its own.
TRIVET_API uint32_t trivet_engine_has_device(const trivet_engine_t* engine);

typedef struct trivet_context_statistics_s {
  trivet_header_t header;
  uint64_t arena_size;         // bytes for the bound shapes
  uint64_t arena_lower_bound;  // largest sum of live buffers for the bound shapes
  uint64_t workspace_size;
  uint64_t weights_size;
  uint64_t run_count;
  uint64_t prepare_count;
  uint64_t step_count;
  uint64_t device_size;   // bytes of the device: weights, arena, workspace, staging
  uint64_t staging_size;  // bytes of the device that stand for bindings on the host
  uint64_t host_size;     // bytes of the host: of the arena, and what stands for device bindings
  uint64_t graph_count;   // graphs that are kept
  uint64_t replay_count;  // runs that replayed one
} trivet_context_statistics_t;
TRIVET_API trivet_status_t trivet_context_statistics(const trivet_context_t* context,
                                                     trivet_context_statistics_t* out_statistics);

// Profiling: once enabled, run measures every step.
typedef struct trivet_layer_record_s {
  trivet_header_t header;
  const char* name;      // original nodes
  const char* kernel;    // "cpu.tile"; empty: not prepared yet
  const char* tactic;    // its variant, for people
  uint64_t nanoseconds;  // summed over runs
  uint64_t count;
  uint64_t bytes;  // read and written per run
  uint64_t flops;  // operations on numbers per run, as the operators define them, whatever the
                   // kernel does; 0: not known. Since 1.4
} trivet_layer_record_t;
TRIVET_API trivet_status_t trivet_context_enable_profile(trivet_context_t* context,
                                                         uint32_t enabled);
TRIVET_API uint32_t trivet_context_layer_count(const trivet_context_t* context);
TRIVET_API trivet_status_t trivet_context_layer(const trivet_context_t* context, uint32_t index,
                                                trivet_layer_record_t* out_record);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_RUNTIME_H_
