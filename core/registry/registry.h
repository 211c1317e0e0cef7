// SPDX-License-Identifier: Apache-2.0
//
// Registry: what plugins add to an instance. Loading is transactional: all definitions of a plugin become visible together, or none.
// After loading has ended it is read by many threads without locks; loading itself is serialised by the caller (the instance).
#ifndef TRIVET_CORE_REGISTRY_REGISTRY_H_
#define TRIVET_CORE_REGISTRY_REGISTRY_H_

#include <stdbool.h>

#include "core/base/string_builder.h"
#include "trivet/plugin.h"

typedef struct tvi_registry_s tvi_registry_t;
typedef struct tvi_operator_entry_s tvi_operator_entry_t;
struct tvi_kir_operator_s;  // parsed declaration, core/kernel_ir/operator_text.h

struct tvi_operator_entry_s {
  const trivet_operator_t* definition;
  const trivet_plugin_t* plugin;
  const struct tvi_kir_operator_s* parsed;
};

// Parses operator texts; set by the full library. The lean runtime gives none and ignores build halves.
typedef struct tvi_operator_parser_s {
  trivet_status_t (*parse)(const tvi_registry_t* registry, const trivet_operator_t* definition, trivet_allocator_t allocator,
                           struct tvi_kir_operator_s** out_parsed);
  void (*release)(struct tvi_kir_operator_s* parsed);
} tvi_operator_parser_t;

typedef struct tvi_registry_options_s {
  uint32_t halves;  // TRIVET_HALF_*: definitions of other halves are ignored
  uint32_t reserved;
  const tvi_operator_parser_t* operator_parser;  // required where halves has TRIVET_HALF_BUILD
} tvi_registry_options_t;

trivet_status_t tvi_registry_create(const tvi_registry_options_t* options, trivet_allocator_t allocator, tvi_registry_t** out_registry);
void tvi_registry_destroy(tvi_registry_t* registry);

// Loads a shared object (absolute or relative path with a separator; never searched). Refusals name the file, the field, what was found and
// what was wanted; nothing remains of a refused plugin.
trivet_status_t tvi_registry_load(tvi_registry_t* registry, const char* path);
// Adds a plugin that is linked in.
trivet_status_t tvi_registry_add(tvi_registry_t* registry, trivet_plugin_query_fn_t query, const char* origin);
// Loads every *.so of the folders of a path list "a:b" in sorted order. Relative and empty entries are refused.
trivet_status_t tvi_registry_load_path(tvi_registry_t* registry, const char* path_list);
// Says what |path| would register or why it would be refused, without keeping it.
trivet_status_t tvi_registry_describe(const char* path, tvi_string_builder_t* builder);
// A definition that later replaces an equal name must be announced: "operator std.Relu/1 by acme".
trivet_status_t tvi_registry_allow_replace(tvi_registry_t* registry, uint32_t struct_type, const char* name, const char* plugin);

uint32_t tvi_registry_plugin_count(const tvi_registry_t* registry);
const trivet_plugin_t* tvi_registry_plugin(const tvi_registry_t* registry, uint32_t index);
const char* tvi_registry_plugin_path(const tvi_registry_t* registry, uint32_t index);  // "built in" for linked ones

// version 0: newest. NULL: none.
const tvi_operator_entry_t* tvi_registry_operator(const tvi_registry_t* registry, const char* name, uint32_t version);
const trivet_kernel_t* tvi_registry_kernel(const tvi_registry_t* registry, const char* name, uint32_t version);
const trivet_pass_t* tvi_registry_pass(const tvi_registry_t* registry, const char* name);
const trivet_rewrite_t* tvi_registry_rewrite(const tvi_registry_t* registry, const char* name);
const trivet_frontend_t* tvi_registry_frontend(const tvi_registry_t* registry, const char* name);
const trivet_scalar_function_t* tvi_registry_scalar_function(const tvi_registry_t* registry, const char* name);

// Iteration over all definitions of a kind in order of registration; NULL past the end.
const void* tvi_registry_definition(const tvi_registry_t* registry, uint32_t struct_type, uint32_t index);

#endif  // TRIVET_CORE_REGISTRY_REGISTRY_H_
