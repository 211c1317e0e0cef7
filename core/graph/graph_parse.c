// SPDX-License-Identifier: Apache-2.0
//
// Reads graphs from text (graph_text.h). The text comes from outside: anything wrong is a status
// with line and column. Nodes go through tvi_graph_add_node like any other, so what is read is
// checked.
#include <string.h>

#include "core/base/arena.h"
#include "core/base/dtype.h"
#include "core/base/map.h"
#include "core/base/vector.h"
#include "core/graph/graph_constant_text.h"
#include "core/graph/graph_internal.h"
#include "core/graph/graph_report.h"
#include "core/graph/graph_text.h"
#include "core/graph/graph_text_lexer.h"

#define MAX_LIST 1048576u

typedef struct scope_s {
  trivet_graph_t* graph;
  struct scope_s* outer;
  tvi_map_t labels;
} scope_t;

typedef struct parser_s {
  tvi_text_cursor_t cursor;
  tvi_arena_t arena;
  const tvi_registry_t* registry;
  trivet_allocator_t allocator;
  tvi_dim_context_t* names;  // where extents are parsed first: it knows names only
  tvi_map_t symbols;         // name -> dimension of the graph; 0: declared, not bound yet
  trivet_graph_t* root;
} parser_t;

// ---------------------------------------------------------------------------------------------
// Dimensions and types
// ---------------------------------------------------------------------------------------------

// The text up to a ',' or ']' or one of `ends` outside of brackets and quotes.
static trivet_string_view_t extent_text(parser_t* p, const char* ends) {
  tvi_text_skip(&p->cursor);
  size_t begin = p->cursor.at;
  uint32_t depth = 0;
  bool quoted = false;
  while (p->cursor.at < p->cursor.text.size) {
    char c = p->cursor.text.data[p->cursor.at];
    if (c == '\n') break;
    if (quoted) {
      if (c == '\\' && p->cursor.at + 1 < p->cursor.text.size) ++p->cursor.at;
      quoted = c != '\'';
    } else if (c == '\'') {
      quoted = true;
    } else if (c == '(') {
      ++depth;
    } else if (depth != 0) {
      if (c == ')') --depth;
    } else if (c != '\0' && strchr(ends, c) != NULL) {
      break;
    }
    ++p->cursor.at;
  }
  return tvi_sv_trim(tvi_sv_slice(p->cursor.text, begin, p->cursor.at - begin));
}

// An extent. Names that are not known yet: with `create` they become symbols of the graph; else a
// lone one is left to the caller (*out_dim NULL, *out_unbound its name), and others are errors.
static trivet_status_t parse_extent(parser_t* p, const char* ends, bool create,
                                    trivet_dim_t* out_dim, trivet_string_view_t* out_unbound) {
  tvi_text_cursor_t start = tvi_text_here(&p->cursor);
  trivet_string_view_t text = extent_text(p, ends);
  trivet_dim_t dim;
  TRIVET_RETURN_IF_ERROR(tvi_text_annotate(&start, tvi_dim_parse(p->names, text, &dim)));
  if (dim == NULL) return tvi_text_error(&start, "an extent overflows");
  uint32_t count = tvi_dim_symbol_count(p->names);
  trivet_dim_t* symbols;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(&p->arena, count + 1u, sizeof(*symbols), &symbols));
  for (uint32_t i = 0; i < count; ++i) {
    trivet_dim_t name = tvi_dim_symbol_at(p->names, i);
    if (!tvi_dim_uses_symbol(dim, name)) continue;
    trivet_string_view_t key = tvi_dim_symbol_name(name);
    symbols[i] = tvi_map_get_pointer(&p->symbols, key);
    if (symbols[i] == NULL && create) {
      symbols[i] = tvi_dim_symbol(p->root->dims, key);
      if (symbols[i] == NULL) return TRIVET_STATUS_BARE(TRIVET_STATUS_OUT_OF_MEMORY);
      TRIVET_RETURN_IF_ERROR(tvi_map_set_pointer(&p->symbols, key, symbols[i]));
    }
    if (symbols[i] == NULL) {
      if (dim == name && out_unbound != NULL) {
        *out_dim = NULL;
        *out_unbound = key;
        return TRIVET_OK;
      }
      return tvi_text_error(&start, "there is no symbol '%.*s'", TVI_SV_ARGS(key));
    }
  }
  *out_dim = tvi_dim_import(p->root->dims, dim, symbols, count);
  if (*out_dim == NULL) return tvi_text_error(&start, "an extent overflows");
  return TRIVET_OK;
}

static trivet_status_t parse_dtype(parser_t* p, uint32_t* out_dtype) {
  trivet_string_view_t word = tvi_text_word(&p->cursor, "");
  *out_dtype = tvi_dtype_from_name(word);
  if (*out_dtype == TRIVET_DTYPE_INVALID) {
    p->cursor.at -= word.size;
    return tvi_text_error(&p->cursor, "expected an element type");
  }
  return TRIVET_OK;
}

// `unbound`: TRIVET_MAX_RANK entries, or NULL where every extent must be known.
static trivet_status_t parse_type(parser_t* p, bool create, trivet_type_t* out_type,
                                  trivet_string_view_t* unbound) {
  trivet_type_t type = {0};
  TRIVET_RETURN_IF_ERROR(parse_dtype(p, &type.dtype));
  TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, "["));
  if (!tvi_text_accept(&p->cursor, "]")) {
    do {
      if (type.rank == TRIVET_MAX_RANK) {
        return tvi_text_error(&p->cursor, "more than %u dimensions", TRIVET_MAX_RANK);
      }
      TRIVET_RETURN_IF_ERROR(parse_extent(p, ",]", create, &type.dims[type.rank],
                                          unbound != NULL ? &unbound[type.rank] : NULL));
      ++type.rank;
    } while (tvi_text_accept(&p->cursor, ","));
    TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, "]"));
  }
  *out_type = type;
  return TRIVET_OK;
}

static trivet_status_t parse_symbol(parser_t* p) {
  trivet_dim_t symbol = NULL;
  trivet_string_view_t name = {NULL, 0};
  tvi_text_cursor_t start = tvi_text_here(&p->cursor);
  TRIVET_RETURN_IF_ERROR(parse_extent(p, ":", false, &symbol, &name));
  if (symbol != NULL || name.size == 0) {
    return tvi_text_error(&start, "expected the name of a new symbol");
  }
  int64_t min, max, divisor = 1;
  TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, ":"));
  TRIVET_RETURN_IF_ERROR(tvi_text_i64(&p->cursor, &min));
  TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, ".."));
  TRIVET_RETURN_IF_ERROR(tvi_text_i64(&p->cursor, &max));
  if (tvi_text_accept_word(&p->cursor, "divisor")) {
    TRIVET_RETURN_IF_ERROR(tvi_text_i64(&p->cursor, &divisor));
  }
  // A data-dependent size is made by the node that it depends on.
  if (tvi_text_accept_word(&p->cursor, "data")) return TRIVET_OK;
  symbol = tvi_dim_symbol(p->root->dims, name);
  if (symbol == NULL) return TRIVET_STATUS_BARE(TRIVET_STATUS_OUT_OF_MEMORY);
  TRIVET_RETURN_IF_ERROR(
      tvi_text_annotate(&start, tvi_dim_symbol_restrict(p->root->dims, symbol, min, max, divisor)));
  return tvi_map_set_pointer(&p->symbols, name, symbol);
}

// ---------------------------------------------------------------------------------------------
// Labels
// ---------------------------------------------------------------------------------------------

// %label "name" "name": what a definition is called.
typedef struct definition_s {
  bool absent;  // "_"
  trivet_string_view_t label;
  trivet_string_view_t* names;  // NULL: the label is the only name
  uint32_t name_count;
} definition_t;

static bool is_number(trivet_string_view_t label) {
  for (size_t i = 0; i < label.size; ++i) {
    if (label.data[i] < '0' || label.data[i] > '9') return false;
  }
  return true;
}

static trivet_status_t parse_definition(parser_t* p, definition_t* out) {
  *out = (definition_t){0};
  TRIVET_RETURN_IF_ERROR(tvi_text_label(&p->cursor, &out->label));
  while (tvi_text_peek(&p->cursor) == '"') {
    trivet_string_view_t* names;
    TRIVET_RETURN_IF_ERROR(
        tvi_arena_alloc_array(&p->arena, out->name_count + 1u, sizeof(*names), &names));
    if (out->name_count != 0) memcpy(names, out->names, out->name_count * sizeof(*names));
    TRIVET_RETURN_IF_ERROR(tvi_text_string(&p->cursor, &p->arena, &names[out->name_count]));
    out->names = names;
    if (++out->name_count > 4096) return tvi_text_error(&p->cursor, "too many names");
  }
  if (out->name_count == 0 && !is_number(out->label)) out->name_count = 1;
  return TRIVET_OK;
}

static trivet_status_t bind(parser_t* p, scope_t* scope, const definition_t* definition,
                            tvi_value_id_t value) {
  uint64_t before;
  bool inserted;
  TRIVET_RETURN_IF_ERROR(
      tvi_map_insert(&scope->labels, definition->label, value, &before, &inserted));
  if (!inserted) {
    return tvi_text_error(&p->cursor, "%%%.*s is defined twice", TVI_SV_ARGS(definition->label));
  }
  const trivet_string_view_t* names =
      definition->names != NULL ? definition->names : &definition->label;
  for (uint32_t i = 0; i < definition->name_count; ++i) {
    TRIVET_RETURN_IF_ERROR(tvi_graph_name_value(scope->graph, value, names[i]));
  }
  return TRIVET_OK;
}

// The value of the scope's graph: its own, or a capture of an enclosing one. 0: unknown.
static trivet_status_t find_value(scope_t* scope, trivet_string_view_t label,
                                  tvi_value_id_t* out_value) {
  uint64_t found;
  *out_value = 0;
  if (tvi_map_get(&scope->labels, label, &found)) {
    *out_value = (tvi_value_id_t)found;
    return TRIVET_OK;
  }
  if (scope->outer == NULL) return TRIVET_OK;
  tvi_value_id_t outer;
  TRIVET_RETURN_IF_ERROR(find_value(scope->outer, label, &outer));
  if (outer == 0) return TRIVET_OK;
  return tvi_graph_capture(scope->graph, outer, out_value);
}

static trivet_status_t parse_reference(parser_t* p, scope_t* scope, tvi_value_id_t* out_value) {
  tvi_text_cursor_t start = tvi_text_here(&p->cursor);
  trivet_string_view_t label;
  TRIVET_RETURN_IF_ERROR(tvi_text_label(&p->cursor, &label));
  TRIVET_RETURN_IF_ERROR(find_value(scope, label, out_value));
  if (*out_value == 0) {
    return tvi_text_error(&start, "%%%.*s is not defined", TVI_SV_ARGS(label));
  }
  return TRIVET_OK;
}

// ---------------------------------------------------------------------------------------------
// Inputs and constants
// ---------------------------------------------------------------------------------------------

static trivet_string_view_t first_name(const definition_t* definition) {
  if (definition->name_count == 0) return (trivet_string_view_t){NULL, 0};
  return definition->names != NULL ? definition->names[0] : definition->label;
}

static trivet_status_t parse_input(parser_t* p, scope_t* scope) {
  tvi_text_cursor_t start = tvi_text_here(&p->cursor);
  definition_t definition;
  trivet_type_t type;
  TRIVET_RETURN_IF_ERROR(parse_definition(p, &definition));
  TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, ":"));
  TRIVET_RETURN_IF_ERROR(parse_type(p, true, &type, NULL));
  tvi_value_id_t value;
  TRIVET_RETURN_IF_ERROR(tvi_text_annotate(
      &start, tvi_graph_add_input(scope->graph, first_name(&definition), &type, &value)));
  return bind(p, scope, &definition, value);
}

static trivet_status_t parse_dims(parser_t* p, scope_t* scope) {
  tvi_text_cursor_t start = tvi_text_here(&p->cursor);
  definition_t definition;
  trivet_type_t type;
  TRIVET_RETURN_IF_ERROR(parse_definition(p, &definition));
  TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, ":"));
  TRIVET_RETURN_IF_ERROR(parse_type(p, false, &type, NULL));
  TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, "="));
  TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, "["));
  trivet_dim_t elements[TVI_GRAPH_MAX_INTS];
  uint32_t count = 0;
  if (!tvi_text_accept(&p->cursor, "]")) {
    do {
      if (count == TVI_GRAPH_MAX_INTS) {
        return tvi_text_error(&p->cursor, "more than %u elements", TVI_GRAPH_MAX_INTS);
      }
      TRIVET_RETURN_IF_ERROR(parse_extent(p, ",]", false, &elements[count++], NULL));
    } while (tvi_text_accept(&p->cursor, ","));
    TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, "]"));
  }
  trivet_dim_t wanted;
  if (!tvi_type_element_count(scope->graph, &type, &wanted) ||
      !tvi_dim_equals_constant(wanted, count)) {
    return tvi_text_error(&p->cursor, "%u elements are not what the shape asks for", count);
  }
  tvi_value_id_t value;
  TRIVET_RETURN_IF_ERROR(tvi_text_annotate(
      &start, tvi_graph_add_dims_constant(scope->graph, &type, elements, &value)));
  return bind(p, scope, &definition, value);
}

static trivet_status_t parse_constant(parser_t* p, scope_t* scope, bool derived) {
  tvi_text_cursor_t start = tvi_text_here(&p->cursor);
  definition_t definition;
  trivet_type_t type;
  TRIVET_RETURN_IF_ERROR(parse_definition(p, &definition));
  trivet_string_view_t source = derived ? (trivet_string_view_t){NULL, 0} : first_name(&definition);
  if (tvi_text_accept_word(&p->cursor, "source")) {
    TRIVET_RETURN_IF_ERROR(tvi_text_string(&p->cursor, &p->arena, &source));
  }
  TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, ":"));
  TRIVET_RETURN_IF_ERROR(parse_type(p, false, &type, NULL));
  TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, "="));
  trivet_tensor_t tensor = {.dtype = type.dtype, .rank = type.rank};
  if (!tvi_type_static_dims(&type, tensor.dims)) {
    return tvi_text_error(&start, "a constant must have a known shape");
  }
  uint64_t hash[2];
  bool hashed;
  TRIVET_RETURN_IF_ERROR(tvi_text_contents(&p->cursor, p->root->arena, &tensor, &hashed, hash));
  tvi_value_id_t value;
  TRIVET_RETURN_IF_ERROR(tvi_text_annotate(
      &start,
      tvi_graph_add_constant(scope->graph, (trivet_string_view_t){0}, &tensor, false, &value)));
  tvi_constant_t* constant = scope->graph->values[value]->constant;
  TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(p->root->arena, source, &constant->name));
  if (derived) constant->kind = TVI_CONSTANT_DERIVED;
  constant->hashed = hashed;
  if (hashed) memcpy(constant->hash, hash, sizeof(hash));
  return bind(p, scope, &definition, value);
}

// ---------------------------------------------------------------------------------------------
// Attributes
// ---------------------------------------------------------------------------------------------

typedef TVI_VECTOR(trivet_graph_t*) graph_list_t;
typedef TVI_VECTOR(trivet_attribute_t) attribute_list_t;

static trivet_status_t parse_graph(parser_t* p, scope_t* outer, trivet_graph_t* parent,
                                   trivet_graph_t** out_graph);

// What the operator says about an attribute; from the literal itself where it says nothing.
static void expected_kind(parser_t* p, const tvi_operator_entry_t* op, trivet_string_view_t name,
                          uint32_t* out_kind, uint32_t* out_flags) {
  char text[256];
  size_t size = name.size < sizeof(text) ? name.size : sizeof(text) - 1;
  memcpy(text, name.data, size);
  text[size] = '\0';
  if (tvi_graph_attribute_kind(op, text, out_kind, out_flags)) return;
  *out_flags = tvi_text_peek(&p->cursor) == '[' ? TRIVET_ATTR_LIST : 0;
  *out_kind = TRIVET_ATTR_I64;
}

static trivet_status_t parse_number(parser_t* p, double* out_value) {
  trivet_string_view_t word = tvi_text_word(&p->cursor, "+-.");
  if (word.size == 0 || !tvi_sv_parse_f64(word, out_value)) {
    p->cursor.at -= word.size;
    return tvi_text_error(&p->cursor, "expected a number");
  }
  return TRIVET_OK;
}

static trivet_status_t parse_tensor(parser_t* p, trivet_tensor_t* out_tensor) {
  trivet_type_t type;
  if (!tvi_text_accept_word(&p->cursor, "tensor")) {
    return tvi_text_error(&p->cursor, "expected 'tensor'");
  }
  TRIVET_RETURN_IF_ERROR(parse_type(p, false, &type, NULL));
  trivet_tensor_t tensor = {.dtype = type.dtype, .rank = type.rank};
  if (!tvi_type_static_dims(&type, tensor.dims)) {
    return tvi_text_error(&p->cursor, "a tensor must have a known shape");
  }
  TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, "="));
  bool hashed;
  uint64_t hash[2];
  TRIVET_RETURN_IF_ERROR(tvi_text_contents(&p->cursor, &p->arena, &tensor, &hashed, hash));
  *out_tensor = tensor;
  return TRIVET_OK;
}

static size_t element_size(uint32_t kind) {
  switch (kind) {
    case TRIVET_ATTR_STRING:
      return sizeof(trivet_string_view_t);
    case TRIVET_ATTR_TENSOR:
      return sizeof(trivet_tensor_t);
    case TRIVET_ATTR_DTYPE:
    case TRIVET_ATTR_GRAPH:
      return sizeof(uint32_t);
    default:
      return 8;
  }
}

static trivet_status_t parse_element(parser_t* p, scope_t* scope, uint32_t kind,
                                     graph_list_t* subgraphs, void* element) {
  switch (kind) {
    case TRIVET_ATTR_I64:
      return tvi_text_i64(&p->cursor, element);
    case TRIVET_ATTR_F32:
      return parse_number(p, element);
    case TRIVET_ATTR_STRING:
      return tvi_text_string(&p->cursor, &p->arena, element);
    case TRIVET_ATTR_DTYPE:
      return parse_dtype(p, element);
    case TRIVET_ATTR_TENSOR:
      return parse_tensor(p, element);
    default: {
      trivet_graph_t* graph;
      *(uint32_t*)element = (uint32_t)subgraphs->count;
      TRIVET_RETURN_IF_ERROR(parse_graph(p, scope, scope->graph, &graph));
      return tvi_vector_push(subgraphs, graph);
    }
  }
}

static trivet_status_t parse_attribute(parser_t* p, scope_t* scope, const tvi_operator_entry_t* op,
                                       graph_list_t* subgraphs, trivet_attribute_t* out) {
  trivet_string_view_t name = tvi_text_word(&p->cursor, "");
  if (name.size == 0) return tvi_text_error(&p->cursor, "expected the name of an attribute");
  trivet_string_view_t own;
  TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(&p->arena, name, &own));
  TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, "="));
  trivet_attribute_t attribute = {.name = own.data};
  expected_kind(p, op, name, &attribute.kind, &attribute.flags);
  size_t size = element_size(attribute.kind);
  uint8_t* data = NULL;
  uint64_t capacity = 0;
  bool list = (attribute.flags & TRIVET_ATTR_LIST) != 0;
  if (list) TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, "["));
  if (!list || !tvi_text_accept(&p->cursor, "]")) {
    do {
      if (attribute.count == capacity) {
        uint64_t wider = capacity == 0 ? (list ? 8 : 1) : capacity * 2;
        uint8_t* grown;
        if (wider > MAX_LIST) return tvi_text_error(&p->cursor, "the list is too long");
        TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(&p->arena, wider, size, &grown));
        if (attribute.count != 0) memcpy(grown, data, attribute.count * size);
        data = grown;
        capacity = wider;
      }
      TRIVET_RETURN_IF_ERROR(
          parse_element(p, scope, attribute.kind, subgraphs, data + attribute.count * size));
      ++attribute.count;
    } while (list && tvi_text_accept(&p->cursor, ","));
    if (list) TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, "]"));
  }
  attribute.data = data;
  *out = attribute;
  return TRIVET_OK;
}

// ---------------------------------------------------------------------------------------------
// Nodes
// ---------------------------------------------------------------------------------------------

typedef struct node_text_s {
  TVI_VECTOR(definition_t) outputs;
  TVI_VECTOR(uint8_t) wanted;
  TVI_VECTOR(tvi_value_id_t) inputs;
  attribute_list_t attributes;
  graph_list_t subgraphs;
} node_text_t;

static trivet_status_t parse_outputs(parser_t* p, node_text_t* text) {
  do {
    definition_t definition = {.absent = true};
    if (!tvi_text_accept_word(&p->cursor, "_")) {
      TRIVET_RETURN_IF_ERROR(parse_definition(p, &definition));
    }
    TRIVET_RETURN_IF_ERROR(tvi_vector_push(&text->outputs, definition));
    TRIVET_RETURN_IF_ERROR(tvi_vector_push(&text->wanted, definition.absent ? 0 : 1));
  } while (tvi_text_accept(&p->cursor, ","));
  return TRIVET_OK;
}

static trivet_status_t parse_operands(parser_t* p, scope_t* scope, node_text_t* text) {
  TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, "("));
  if (tvi_text_accept(&p->cursor, ")")) return TRIVET_OK;
  do {
    tvi_value_id_t value = 0;
    if (!tvi_text_accept_word(&p->cursor, "_")) {
      TRIVET_RETURN_IF_ERROR(parse_reference(p, scope, &value));
    }
    TRIVET_RETURN_IF_ERROR(tvi_vector_push(&text->inputs, value));
  } while (tvi_text_accept(&p->cursor, ","));
  return tvi_text_expect(&p->cursor, ")");
}

static trivet_status_t parse_operator(parser_t* p, trivet_string_view_t* out_name,
                                      const tvi_operator_entry_t** out_op) {
  tvi_text_cursor_t start = tvi_text_here(&p->cursor);
  trivet_string_view_t name = tvi_text_word(&p->cursor, ".");
  if (name.size == 0) return tvi_text_error(&start, "expected an operator");
  TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(&p->arena, name, out_name));
  int64_t version = 0;
  if (tvi_text_accept(&p->cursor, "/")) {
    TRIVET_RETURN_IF_ERROR(tvi_text_i64(&p->cursor, &version));
    if (version < 1 || version > UINT32_MAX) return tvi_text_error(&start, "no such version");
  }
  *out_op = tvi_registry_operator(p->registry, out_name->data, (uint32_t)version);
  if (*out_op == NULL) {
    return tvi_text_error(&start, "there is no operator '%.*s'", TVI_SV_ARGS(name));
  }
  return TRIVET_OK;
}

// Compares the types that the text states with what was inferred; names of data-dependent sizes are
// bound to the symbols that inference made.
static trivet_status_t check_types(parser_t* p, scope_t* scope, const tvi_node_t* node) {
  if (!tvi_text_accept(&p->cursor, ":")) return TRIVET_OK;
  bool first = true;
  for (uint32_t i = 0; i < node->output_count; ++i) {
    if (node->outputs[i] == 0) continue;
    if (!first) TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, ","));
    first = false;
    const trivet_type_t* found = &scope->graph->values[node->outputs[i]]->type;
    trivet_type_t type;
    trivet_string_view_t unbound[TRIVET_MAX_RANK] = {{NULL, 0}};
    tvi_text_cursor_t start = tvi_text_here(&p->cursor);
    TRIVET_RETURN_IF_ERROR(parse_type(p, false, &type, unbound));
    bool equal = type.dtype == found->dtype && type.rank == found->rank;
    for (uint32_t d = 0; d < type.rank && equal; ++d) {
      if (type.dims[d] == NULL && tvi_dim_kind(found->dims[d]) == TVI_DIM_SYMBOL &&
          tvi_dim_symbol_origin(found->dims[d]) == TVI_SYMBOL_DATA) {
        TRIVET_RETURN_IF_ERROR(tvi_map_set_pointer(&p->symbols, unbound[d], found->dims[d]));
        type.dims[d] = found->dims[d];
      }
      equal = type.dims[d] == found->dims[d];
    }
    if (equal) continue;
    tvi_string_builder_t text;
    tvi_string_builder_init(&text, p->allocator);
    tvi_type_print(found, &text);
    trivet_string_view_t view = tvi_string_builder_view(&text);
    trivet_status_t status =
        tvi_text_error(&start, "output %u is inferred as %.*s", i, TVI_SV_ARGS(view));
    tvi_string_builder_deinit(&text);
    return status;
  }
  return TRIVET_OK;
}

static trivet_status_t parse_node_text(parser_t* p, scope_t* scope, node_text_t* text) {
  tvi_text_cursor_t start = tvi_text_here(&p->cursor);
  TRIVET_RETURN_IF_ERROR(parse_outputs(p, text));
  TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, "="));
  trivet_string_view_t name;
  const tvi_operator_entry_t* op;
  TRIVET_RETURN_IF_ERROR(parse_operator(p, &name, &op));
  TRIVET_RETURN_IF_ERROR(parse_operands(p, scope, text));
  if (tvi_text_accept(&p->cursor, "{") && !tvi_text_accept(&p->cursor, "}")) {
    do {
      trivet_attribute_t attribute = {0};
      TRIVET_RETURN_IF_ERROR(parse_attribute(p, scope, op, &text->subgraphs, &attribute));
      TRIVET_RETURN_IF_ERROR(tvi_vector_push(&text->attributes, attribute));
    } while (tvi_text_accept(&p->cursor, ","));
    TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, "}"));
  }
  tvi_node_desc_t desc = {
      .op = name.data,
      .version = op->definition->version,
      .inputs = text->inputs.data,
      .input_count = (uint32_t)text->inputs.count,
      .attributes = text->attributes.data,
      .attribute_count = (uint32_t)text->attributes.count,
      .output_count = (uint32_t)text->outputs.count,
      .output_wanted = text->wanted.data,
      .subgraphs = text->subgraphs.data,
      .subgraph_count = (uint32_t)text->subgraphs.count,
  };
  tvi_node_id_t id;
  TRIVET_RETURN_IF_ERROR(tvi_text_annotate(&start, tvi_graph_add_node(scope->graph, &desc, &id)));
  const tvi_node_t* node = scope->graph->nodes[id];
  for (uint32_t i = 0; i < node->output_count; ++i) {
    if (node->outputs[i] == 0) continue;
    TRIVET_RETURN_IF_ERROR(bind(p, scope, &text->outputs.data[i], node->outputs[i]));
  }
  return check_types(p, scope, node);
}

static trivet_status_t parse_node(parser_t* p, scope_t* scope) {
  node_text_t text;
  tvi_vector_init(&text.outputs, p->allocator);
  tvi_vector_init(&text.wanted, p->allocator);
  tvi_vector_init(&text.inputs, p->allocator);
  tvi_vector_init(&text.attributes, p->allocator);
  tvi_vector_init(&text.subgraphs, p->allocator);
  trivet_status_t status = parse_node_text(p, scope, &text);
  tvi_vector_deinit(&text.outputs);
  tvi_vector_deinit(&text.wanted);
  tvi_vector_deinit(&text.inputs);
  tvi_vector_deinit(&text.attributes);
  tvi_vector_deinit(&text.subgraphs);
  return status;
}

// ---------------------------------------------------------------------------------------------
// Graphs
// ---------------------------------------------------------------------------------------------

static trivet_status_t parse_output(parser_t* p, scope_t* scope) {
  trivet_string_view_t name;
  tvi_value_id_t value;
  TRIVET_RETURN_IF_ERROR(tvi_text_string(&p->cursor, &p->arena, &name));
  TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, ":"));
  TRIVET_RETURN_IF_ERROR(parse_reference(p, scope, &value));
  return tvi_text_annotate(&p->cursor, tvi_graph_add_output(scope->graph, name, value));
}

static trivet_status_t parse_assume(parser_t* p) {
  trivet_dim_t a, b;
  TRIVET_RETURN_IF_ERROR(parse_extent(p, "=", false, &a, NULL));
  TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, "=="));
  TRIVET_RETURN_IF_ERROR(parse_extent(p, "#", false, &b, NULL));
  return tvi_text_annotate(&p->cursor, tvi_graph_assume(p->root, a, b, 0));
}

static trivet_status_t parse_statement(parser_t* p, scope_t* scope) {
  char next = tvi_text_peek(&p->cursor);
  if (next == '%' || next == '_') return parse_node(p, scope);
  bool is_root = scope->outer == NULL;
  if (is_root && tvi_text_accept_word(&p->cursor, "symbol")) return parse_symbol(p);
  if (is_root && tvi_text_accept_word(&p->cursor, "assume")) return parse_assume(p);
  if (tvi_text_accept_word(&p->cursor, "input")) return parse_input(p, scope);
  if (tvi_text_accept_word(&p->cursor, "const")) return parse_constant(p, scope, false);
  if (tvi_text_accept_word(&p->cursor, "derived")) return parse_constant(p, scope, true);
  if (tvi_text_accept_word(&p->cursor, "dims")) return parse_dims(p, scope);
  if (tvi_text_accept_word(&p->cursor, "output")) return parse_output(p, scope);
  if (tvi_text_accept_word(&p->cursor, "observe")) {
    tvi_value_id_t value;
    TRIVET_RETURN_IF_ERROR(parse_reference(p, scope, &value));
    scope->graph->values[value]->observed = true;
    return TRIVET_OK;
  }
  return tvi_text_error(&p->cursor, "expected a statement");
}

static trivet_status_t parse_graph(parser_t* p, scope_t* outer, trivet_graph_t* parent,
                                   trivet_graph_t** out_graph) {
  if (!tvi_text_accept_word(&p->cursor, "graph")) {
    return tvi_text_error(&p->cursor, "expected 'graph'");
  }
  trivet_string_view_t name = {NULL, 0};
  if (tvi_text_peek(&p->cursor) == '"') {
    TRIVET_RETURN_IF_ERROR(tvi_text_string(&p->cursor, &p->arena, &name));
  }
  scope_t scope = {.outer = outer};
  if (parent == NULL) {
    scope.graph = p->root;
    TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(p->root->arena, name, &p->root->name));
  } else {
    TRIVET_RETURN_IF_ERROR(
        tvi_text_annotate(&p->cursor, tvi_graph_create_subgraph(parent, name, &scope.graph)));
  }
  tvi_map_init(&scope.labels, p->allocator);
  trivet_status_t status = tvi_text_expect(&p->cursor, "{");
  while (status == NULL && !tvi_text_accept(&p->cursor, "}")) {
    status = parse_statement(p, &scope);
  }
  tvi_map_deinit(&scope.labels);
  if (status == NULL) *out_graph = scope.graph;
  return status;
}

static trivet_status_t parse_root(parser_t* p) {
  trivet_graph_t* graph;
  TRIVET_RETURN_IF_ERROR(tvi_dim_context_create(tvi_graph_dim_allocator(p->root), &p->names));
  TRIVET_RETURN_IF_ERROR(parse_graph(p, NULL, NULL, &graph));
  if (!tvi_text_at_end(&p->cursor)) {
    return tvi_text_error(&p->cursor, "something follows the graph");
  }
  return TRIVET_OK;
}

trivet_status_t tvi_graph_parse(const tvi_registry_t* registry, trivet_string_view_t text,
                                trivet_allocator_t allocator, trivet_graph_t** out_graph) {
  allocator = tvi_allocator_or_system(allocator);
  parser_t p = {.cursor = {text, 0}, .registry = registry, .allocator = allocator};
  TRIVET_RETURN_IF_ERROR(tvi_graph_create(registry, allocator, &p.root));
  tvi_arena_init(&p.arena, allocator, 0);
  tvi_map_init(&p.symbols, allocator);
  trivet_status_t status = tvi_graph_result(p.root, parse_root(&p));
  tvi_map_deinit(&p.symbols);
  tvi_dim_context_destroy(p.names);
  tvi_arena_deinit(&p.arena);
  if (status != NULL) {
    tvi_graph_destroy(p.root);
    return status;
  }
  *out_graph = p.root;
  return TRIVET_OK;
}
