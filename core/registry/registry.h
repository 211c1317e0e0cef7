// SPDX-License-Identifier: Apache-2.0
//
// Registry: what plugins add to an instance. Loading is transactional: all definitions of a plugin
// become visible together, or none. After loading has ended it is read by many threads without
// locks; loading itself is serialised by the caller (the instance). It must not know what any
// definition is for.
#ifndef TRIVET_CORE_REGISTRY_REGISTRY_H_
#define TRIVET_CORE_REGISTRY_REGISTRY_H_

#include <stdbool.h>

#include "core/base/string_builder.h"
#include "trivet/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tvi_registry_s tvi_registry_t;
typedef struct tvi_operator_entry_s tvi_operator_entry_t;
struct tvi_kir_operator_s;  // parsed declaration, core/kernel_ir/operator_text.h
struct tvi_kir_function_s;  // parsed scalar function, likewise

// A registered operator. `parsed` is NULL for the core operators (If, Loop, Scan, Call), whose
// rules are code, and in a registry of run halves, which holds operators with a host function only
// and parses no text.
struct tvi_operator_entry_s {
  const trivet_operator_t* definition;
  const trivet_plugin_t* plugin;
  const struct tvi_kir_operator_s* parsed;
};

// Parses the texts of definitions; set by the full library (tvi_graph_operator_parser). The lean
// runtime gives none and ignores build halves.
typedef struct tvi_operator_parser_s {
  // Required. Name and version in the text must be those of the definition.
  trivet_status_t (*parse)(const trivet_operator_t* definition, trivet_allocator_t allocator,
                           struct tvi_kir_operator_s** out_parsed);
  void (*release)(struct tvi_kir_operator_s* parsed);  // required
  // Required.
  trivet_status_t (*parse_function)(const trivet_scalar_function_t* definition, const char* plugin,
                                    trivet_allocator_t allocator,
                                    struct tvi_kir_function_s** out_parsed);
  void (*release_function)(struct tvi_kir_function_s* parsed);  // required
  // Optional: NULL means that the texts of rewrites are not looked at before they run.
  trivet_status_t (*check_rewrite)(const trivet_rewrite_t* rewrite, trivet_allocator_t allocator);
} tvi_operator_parser_t;

typedef struct tvi_registry_options_s {
  uint32_t halves;  // TRIVET_HALF_*: definitions of other halves are ignored
  uint32_t reserved;
  const tvi_operator_parser_t* operator_parser;  // required where halves has TRIVET_HALF_BUILD
} tvi_registry_options_t;

trivet_status_t tvi_registry_create(const tvi_registry_options_t* options,
                                    trivet_allocator_t allocator, tvi_registry_t** out_registry);
void tvi_registry_destroy(tvi_registry_t* registry);  // accepts NULL

// Loads a shared object (absolute or relative path with a separator; never searched). Refusals name
// the file, the field, what was found and what was wanted; nothing remains of a refused plugin.
trivet_status_t tvi_registry_load(tvi_registry_t* registry, const char* path);
// Loads a shared object that lies in memory as plugin |name|, which stands in messages as |origin|.
trivet_status_t tvi_registry_load_memory(tvi_registry_t* registry, const char* name,
                                         const void* bytes, uint64_t size, const char* origin);
// Adds a plugin that is linked in. `origin` stands in messages where a path would.
trivet_status_t tvi_registry_add(tvi_registry_t* registry, trivet_plugin_query_fn_t query,
                                 const char* origin);
// The same for a plugin that the caller's program holds: it may do what a loaded one may.
trivet_status_t tvi_registry_add_linked(tvi_registry_t* registry, trivet_plugin_query_fn_t query);
// Loads every *.so of the folders of a path list "a:b" in sorted order. Relative and empty entries
// are refused.
trivet_status_t tvi_registry_load_path(tvi_registry_t* registry, const char* path_list);
// Says what `path` would register beside what `registry` holds, or why it would be refused (that is
// text, not an error), without keeping it.
trivet_status_t tvi_registry_describe(const tvi_registry_t* registry, const char* path,
                                      tvi_string_builder_t* builder);
// Announces that a definition of `plugin` may replace an equal one that is already there. `name` as
// "std.Relu", or "std.Relu/1" for one version.
trivet_status_t tvi_registry_allow_replace(tvi_registry_t* registry, uint32_t struct_type,
                                           const char* name, const char* plugin);

// The plugin called |name|; NULL: none.
const trivet_plugin_t* tvi_registry_find_plugin(const tvi_registry_t* registry,
                                                trivet_string_view_t name);
uint32_t tvi_registry_plugin_count(const tvi_registry_t* registry);
const trivet_plugin_t* tvi_registry_plugin(const tvi_registry_t* registry, uint32_t index);
// The path it was loaded from; "built in" (or the origin given) for linked ones.
const char* tvi_registry_plugin_path(const tvi_registry_t* registry, uint32_t index);

// version 0: newest. NULL: none.
const tvi_operator_entry_t* tvi_registry_operator(const tvi_registry_t* registry, const char* name,
                                                  uint32_t version);
const trivet_kernel_t* tvi_registry_kernel(const tvi_registry_t* registry, const char* name,
                                           uint32_t version);
const trivet_pass_t* tvi_registry_pass(const tvi_registry_t* registry, const char* name);
const trivet_rewrite_t* tvi_registry_rewrite(const tvi_registry_t* registry, const char* name);
const trivet_frontend_t* tvi_registry_frontend(const tvi_registry_t* registry, const char* name);
const trivet_scalar_function_t* tvi_registry_scalar_function(const tvi_registry_t* registry,
                                                             const char* name);
// The same by its parsed form.
const struct tvi_kir_function_s* tvi_registry_parsed_function(const tvi_registry_t* registry,
                                                              trivet_string_view_t name);

// The device that runs plans of |target| ("cuda:sm_90": that of "cuda"); NULL: none.
const trivet_device_t* tvi_registry_device(const tvi_registry_t* registry,
                                           trivet_string_view_t target);
// Whether |target| is |name|, or |name| with an architecture: "cuda:sm_90" matches "cuda".
bool tvi_target_matches(trivet_string_view_t target, const char* name);

// Iteration over all definitions of a kind in order of registration; NULL past the end.
const void* tvi_registry_definition(const tvi_registry_t* registry, uint32_t struct_type,
                                    uint32_t index);
// The word for a struct type, "operator"; "definition" for one that is unknown.
const char* tvi_registry_kind_name(uint32_t struct_type);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // TRIVET_CORE_REGISTRY_REGISTRY_H_
