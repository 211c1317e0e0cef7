// SPDX-License-Identifier: Apache-2.0
//
// What a plugin must satisfy before anything of it becomes visible. Checks run in a fixed order and
// the first one that fails is the answer; messages are part of the interface and tested word by
// word. Nothing here opens files or changes what the registry shows.
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/registry/registry_internal.h"

#define MAX_DEFINITIONS 65536u
#define MAX_NAME_SIZE 200u

static const char* sanitizer_name(uint32_t sanitizer) {
  switch (sanitizer) {
    case TRIVET_SANITIZER_NONE:
      return "no sanitizer";
    case TRIVET_SANITIZER_ADDRESS:
      return "AddressSanitizer";
    case TRIVET_SANITIZER_THREAD:
      return "ThreadSanitizer";
    default:
      return "an unknown sanitizer";
  }
}

static bool is_lower(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static bool is_word(char c) { return is_lower(c) || (c >= 'A' && c <= 'Z'); }

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

// [a-z0-9_]+
static bool is_plugin_name(const char* name) {
  size_t size = 0;
  for (; name[size] != '\0'; ++size) {
    if (!is_lower(name[size]) || size >= MAX_NAME_SIZE) return false;
  }
  return size > 0;
}

// [a-z][a-z0-9_-]*
static bool is_simple_name(const char* name) {
  if (name[0] < 'a' || name[0] > 'z') return false;
  for (size_t i = 1; name[i] != '\0'; ++i) {
    if (!(is_lower(name[i]) || name[i] == '-') || i >= MAX_NAME_SIZE) return false;
  }
  return true;
}

// [a-z][a-z0-9_]* . [A-Za-z][A-Za-z0-9_]*
static bool is_qualified_name(const char* name) {
  const char* dot = strchr(name, '.');
  if (dot == NULL || strlen(name) > MAX_NAME_SIZE || name[0] < 'a' || name[0] > 'z') return false;
  for (const char* c = name; c < dot; ++c) {
    if (!is_lower(*c)) return false;
  }
  if (!is_word(dot[1]) || is_digit(dot[1]) || dot[1] == '_') return false;
  for (const char* c = dot + 1; *c != '\0'; ++c) {
    if (!is_word(*c)) return false;
  }
  return true;
}

// What the registry must know about a kind to check it.
typedef struct kind_rule_s {
  uint32_t struct_type;
  uint32_t size;
  bool qualified;  // "ns.Name", else "a-name"
} kind_rule_t;

static const kind_rule_t kind_rules[] = {
    {TRIVET_STRUCT_OPERATOR, (uint32_t)sizeof(trivet_operator_t), true},
    {TRIVET_STRUCT_KERNEL, (uint32_t)offsetof(trivet_kernel_t, load_first_us), true},
    {TRIVET_STRUCT_PASS, (uint32_t)sizeof(trivet_pass_t), false},
    {TRIVET_STRUCT_REWRITE, (uint32_t)sizeof(trivet_rewrite_t), false},
    {TRIVET_STRUCT_FRONTEND, (uint32_t)sizeof(trivet_frontend_t), false},
    {TRIVET_STRUCT_SCALAR_FUNCTION, (uint32_t)sizeof(trivet_scalar_function_t), true},
    {TRIVET_STRUCT_DEVICE, (uint32_t)offsetof(trivet_device_t, stream_check), false},
};

static const kind_rule_t* find_rule(uint32_t struct_type) {
  for (size_t i = 0; i < sizeof(kind_rules) / sizeof(kind_rules[0]); ++i) {
    if (kind_rules[i].struct_type == struct_type) return &kind_rules[i];
  }
  return NULL;
}

static trivet_status_t missing(const char* kind, const char* name, const char* field) {
  return TRIVET_STATUS(INVALID_ARGUMENT, "%s '%s': %s is NULL", kind, name, field);
}

// Every function of a device of ABI 0.1 is required.
static trivet_status_t check_device(const trivet_device_t* device, tvi_registry_item_t* item) {
  if (device->version == 0) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "device '%s': version is 0, wanted at least 1",
                         device->target);
  }
#define REQUIRE(field) \
  if (device->field == NULL) return missing("device", device->target, #field)
  REQUIRE(open);
  REQUIRE(close);
  REQUIRE(describe);
  REQUIRE(enter);
  REQUIRE(meets);
  REQUIRE(allocate);
  REQUIRE(release);
  REQUIRE(locate);
  REQUIRE(stream_create);
  REQUIRE(stream_destroy);
  REQUIRE(stream_synchronize);
  REQUIRE(copy);
  REQUIRE(event_create);
  REQUIRE(event_destroy);
  REQUIRE(event_record);
  REQUIRE(stream_wait);
  REQUIRE(elapsed);
  REQUIRE(capture_begin);
  REQUIRE(capture_end);
  REQUIRE(graph_launch);
  REQUIRE(graph_destroy);
  if (TRIVET_HAS_FIELD(device, trivet_device_t, range_end)) {
    if (device->range_begin != NULL) REQUIRE(range_end);
    if (device->range_end != NULL) REQUIRE(range_begin);
  }
#undef REQUIRE
  // One device a target: plans name targets, not versions of devices.
  item->version = 0;
  return TRIVET_OK;
}

// Fields that the kind cannot do without, its version, and which halves want it.
static trivet_status_t check_fields(const void* definition, tvi_registry_item_t* item,
                                    const char* name, bool may_lack_text, uint32_t* out_halves) {
  const char* kind = tvi_registry_kind_name(item->struct_type);
  *out_halves = TRIVET_HALF_BUILD;
  switch (item->struct_type) {
    case TRIVET_STRUCT_OPERATOR: {
      const trivet_operator_t* op = definition;
      if (op->text == NULL && !may_lack_text) return missing(kind, name, "text");
      if (op->version == 0) {
        return TRIVET_STATUS(INVALID_ARGUMENT, "%s '%s': version is 0, wanted at least 1", kind,
                             name);
      }
      uint32_t known = TRIVET_OPERATOR_IMPURE | TRIVET_OPERATOR_NONDETERMINISTIC |
                       TRIVET_OPERATOR_COMMUTATIVE | TRIVET_OPERATOR_LOWERS_TO_GRAPH;
      if ((op->flags & ~known) != 0) {
        return TRIVET_STATUS(INVALID_ARGUMENT, "%s '%s': flags are 0x%x, of which 0x%x are unknown",
                             kind, name, op->flags, op->flags & ~known);
      }
      item->version = op->version;
      // A host function is code that plans call.
      if (op->evaluate != NULL) *out_halves |= TRIVET_HALF_RUN;
      return TRIVET_OK;
    }
    case TRIVET_STRUCT_KERNEL: {
      const trivet_kernel_t* kernel = definition;
      if (kernel->target == NULL) return missing(kind, name, "target");
      if (kernel->version == 0) {
        return TRIVET_STATUS(INVALID_ARGUMENT, "%s '%s': version is 0, wanted at least 1", kind,
                             name);
      }
      if (kernel->halves == 0 || (kernel->halves & ~(TRIVET_HALF_BUILD | TRIVET_HALF_RUN)) != 0) {
        return TRIVET_STATUS(INVALID_ARGUMENT, "%s '%s': halves are 0x%x, wanted 1, 2 or 3", kind,
                             name, kernel->halves);
      }
      if ((kernel->halves & TRIVET_HALF_RUN) != 0) {
        if (kernel->load == NULL) return missing(kind, name, "load");
        if (kernel->unload == NULL) return missing(kind, name, "unload");
        if (kernel->prepare == NULL) return missing(kind, name, "prepare");
        if (kernel->release == NULL) return missing(kind, name, "release");
        if (kernel->run == NULL) return missing(kind, name, "run");
      }
      item->version = kernel->version;
      *out_halves = kernel->halves;
      return TRIVET_OK;
    }
    case TRIVET_STRUCT_PASS:
      if (((const trivet_pass_t*)definition)->run == NULL) return missing(kind, name, "run");
      return TRIVET_OK;
    case TRIVET_STRUCT_REWRITE:
      if (((const trivet_rewrite_t*)definition)->text == NULL) return missing(kind, name, "text");
      return TRIVET_OK;
    case TRIVET_STRUCT_FRONTEND: {
      const trivet_frontend_t* frontend = definition;
      if (frontend->probe == NULL) return missing(kind, name, "probe");
      if (frontend->parse == NULL) return missing(kind, name, "parse");
      return TRIVET_OK;
    }
    case TRIVET_STRUCT_DEVICE:
      *out_halves = TRIVET_HALF_RUN;
      return check_device(definition, item);
    default:
      if (((const trivet_scalar_function_t*)definition)->text == NULL) {
        return missing(kind, name, "text");
      }
      return TRIVET_OK;
  }
}

static trivet_status_t check_duplicate(const tvi_registry_t* registry,
                                       const tvi_registry_items_t* items,
                                       const tvi_registry_item_t* item, const char* plugin) {
  const char* kind = tvi_registry_kind_name(item->struct_type);
  char version[16] = "";
  if (item->version != 0) snprintf(version, sizeof(version), "/%u", item->version);
  for (size_t i = 0; i < items->count; ++i) {
    const tvi_registry_item_t* other = &items->data[i];
    if (tvi_registry_name_space(other->struct_type) == tvi_registry_name_space(item->struct_type) &&
        other->version == item->version && strcmp(other->name, item->name) == 0) {
      return TRIVET_STATUS(ALREADY_EXISTS, "%s '%s%s' is defined twice", kind, item->name, version);
    }
  }
  uint32_t found = tvi_registry_find(registry, item->struct_type, item->name,
                                     item->version != 0 ? item->version : 0);
  if (found == UINT32_MAX || tvi_registry_may_replace(registry, item, plugin)) return TRIVET_OK;
  const tvi_registry_item_t* old = &registry->items.data[found];
  const char* owner = "another plugin";
  for (size_t i = 0; i < registry->plugins.count; ++i) {
    const trivet_plugin_t* each = registry->plugins.data[i].plugin;
    for (uint64_t k = 0; k < each->definition_count; ++k) {
      if (each->definitions[k] == old->definition) owner = each->name;
    }
  }
  return TRIVET_STATUS(ALREADY_EXISTS,
                       "%s '%s%s' is already defined by plugin '%s'; replacing it must be allowed "
                       "by name",
                       kind, item->name, version, owner);
}

static trivet_status_t check_definition(const tvi_registry_t* registry,
                                        const trivet_plugin_t* plugin, bool built_in,
                                        uint64_t index, tvi_registry_items_t* items) {
  const void* definition = plugin->definitions[index];
  if (definition == NULL) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "definition %llu is NULL", (unsigned long long)index);
  }
  trivet_header_t header;
  memcpy(&header, definition, sizeof(header));
  const kind_rule_t* rule = find_rule(header.struct_type);
  if (rule == NULL) {
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "definition %llu: header.struct_type is 0x%08x, which is no kind of "
                         "definition that this version takes",
                         (unsigned long long)index, header.struct_type);
  }
  const char* kind = tvi_registry_kind_name(header.struct_type);
  if (header.struct_size < rule->size) {
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "definition %llu (%s): header.struct_size is %u, wanted at least %u",
                         (unsigned long long)index, kind, header.struct_size, rule->size);
  }
  // In every kind the name follows the header.
  const char* name = ((const trivet_operator_t*)definition)->name;
  if (name == NULL) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "definition %llu (%s): name is NULL",
                         (unsigned long long)index, kind);
  }
  if (rule->qualified ? !is_qualified_name(name) : !is_simple_name(name)) {
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "definition %llu (%s): name is '%.*s', wanted the form '%s'",
                         (unsigned long long)index, kind, (int)MAX_NAME_SIZE, name,
                         rule->qualified ? "namespace.Name" : "lower-case-name");
  }
  bool is_core = header.struct_type == TRIVET_STRUCT_OPERATOR && strncmp(name, "core.", 5) == 0;
  if (is_core && !built_in) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "%s '%s': the namespace 'core' is not open to plugins",
                         kind, name);
  }
  tvi_registry_item_t item = {header.struct_type, 0, name, definition, NULL, NULL};
  uint32_t halves;
  TRIVET_RETURN_IF_ERROR(check_fields(definition, &item, name, is_core, &halves));
  // The halves of one kernel may come from two plugins; a registry sees the half that it is for.
  if ((halves & registry->options.halves) == 0) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(check_duplicate(registry, items, &item, plugin->name));
  return tvi_vector_push(items, item);
}

static trivet_status_t check_text(const tvi_registry_t* registry, const trivet_plugin_t* plugin,
                                  tvi_registry_item_t* item) {
  const tvi_operator_parser_t* parser = registry->options.operator_parser;
  switch (item->struct_type) {
    case TRIVET_STRUCT_SCALAR_FUNCTION:
      return parser->parse_function(item->definition, plugin->name, registry->allocator,
                                    &item->function);
    case TRIVET_STRUCT_REWRITE:
      if (parser->check_rewrite == NULL) return TRIVET_OK;
      return parser->check_rewrite(item->definition, registry->allocator);
    case TRIVET_STRUCT_OPERATOR: {
      const trivet_operator_t* op = item->definition;
      struct tvi_kir_operator_s* parsed = NULL;
      if (op->text != NULL && parser != NULL) {
        TRIVET_RETURN_IF_ERROR(parser->parse(op, registry->allocator, &parsed));
      }
      tvi_operator_entry_t* entry;
      trivet_status_t status = tvi_alloc_zeroed(registry->allocator, sizeof(*entry), &entry);
      if (status != NULL) {
        if (parsed != NULL) parser->release(parsed);
        return status;
      }
      *entry = (tvi_operator_entry_t){op, plugin, parsed};
      item->operator_entry = entry;
      return TRIVET_OK;
    }
    default:
      return TRIVET_OK;
  }
}

static trivet_status_t check_texts(const tvi_registry_t* registry, const trivet_plugin_t* plugin,
                                   tvi_registry_items_t* items) {
  for (size_t i = 0; i < items->count; ++i) {
    tvi_registry_item_t* item = &items->data[i];
    TRIVET_RETURN_IF_ERROR_ANNOTATED(check_text(registry, plugin, item), "%s '%s'",
                                     tvi_registry_kind_name(item->struct_type), item->name);
  }
  return TRIVET_OK;
}

trivet_status_t tvi_registry_check_plugin(const tvi_registry_t* registry,
                                          const trivet_plugin_t* plugin,
                                          trivet_string_view_t base_name, bool built_in,
                                          tvi_registry_items_t* items) {
  if (plugin->header.struct_type != TRIVET_STRUCT_PLUGIN) {
    return TRIVET_STATUS(INCOMPATIBLE, "header.struct_type is 0x%08x, wanted 0x%08x (plugin)",
                         plugin->header.struct_type, TRIVET_STRUCT_PLUGIN);
  }
  if (plugin->abi_major > TRIVET_ABI_MAJOR) {
    return TRIVET_STATUS(INCOMPATIBLE, "abi_major is %u, wanted at most %u", plugin->abi_major,
                         TRIVET_ABI_MAJOR);
  }
  if (plugin->abi_minor > TRIVET_ABI_MINOR) {
    return TRIVET_STATUS(INCOMPATIBLE, "abi_minor is %u, wanted at most %u", plugin->abi_minor,
                         TRIVET_ABI_MINOR);
  }
  if (plugin->header.struct_size < sizeof(trivet_plugin_t)) {
    return TRIVET_STATUS(INCOMPATIBLE, "header.struct_size is %u, wanted at least %u",
                         plugin->header.struct_size, (uint32_t)sizeof(trivet_plugin_t));
  }
  if (plugin->sanitizer != TRIVET_SANITIZER) {
    return TRIVET_STATUS(INCOMPATIBLE, "built with %s, wanted %s",
                         sanitizer_name(plugin->sanitizer), sanitizer_name(TRIVET_SANITIZER));
  }
  if (plugin->halves == 0 || (plugin->halves & ~(TRIVET_HALF_BUILD | TRIVET_HALF_RUN)) != 0) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "halves are 0x%x, wanted 1, 2 or 3", plugin->halves);
  }
  if (plugin->name == NULL) return TRIVET_STATUS(INVALID_ARGUMENT, "name is NULL");
  if (!is_plugin_name(plugin->name)) {
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "name is '%.*s', wanted lower-case letters, digits and '_'",
                         (int)MAX_NAME_SIZE, plugin->name);
  }
  if (base_name.size != 0 && !tvi_sv_equal_cstr(base_name, plugin->name)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "name is '%s', wanted '%.*s' as the file is called",
                         plugin->name, TVI_SV_ARGS(base_name));
  }
  for (size_t i = 0; i < registry->plugins.count; ++i) {
    if (strcmp(registry->plugins.data[i].plugin->name, plugin->name) == 0) {
      return TRIVET_STATUS(ALREADY_EXISTS, "a plugin '%s' is already loaded (%s)", plugin->name,
                           registry->plugins.data[i].path);
    }
  }
  if (plugin->version == NULL) return TRIVET_STATUS(INVALID_ARGUMENT, "version is NULL");
  if (plugin->definition_count > MAX_DEFINITIONS) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "definition_count is %llu, wanted at most %u",
                         (unsigned long long)plugin->definition_count, MAX_DEFINITIONS);
  }
  if (plugin->definitions == NULL && plugin->definition_count != 0) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "definitions are NULL, definition_count is %llu",
                         (unsigned long long)plugin->definition_count);
  }
  for (uint64_t i = 0; i < plugin->definition_count; ++i) {
    TRIVET_RETURN_IF_ERROR(check_definition(registry, plugin, built_in, i, items));
  }
  return check_texts(registry, plugin, items);
}
