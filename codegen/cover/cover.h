// SPDX-License-Identifier: Apache-2.0
//
// Cover: the rewritten graph -> regions. Fusers merge nodes into regions that one step can run,
// kernels accept or decline them, and every needed value is computed once. Views (transposes,
// slices, reshapes, broadcasts) belong to no region: they are other ways to look at a buffer,
// resolved by the schedule, or absorbed by the region that computes what they look at. The graph is
// const from here on.
#ifndef TRIVET_CODEGEN_COVER_COVER_H_
#define TRIVET_CODEGEN_COVER_COVER_H_

#include "codegen/tactic/tactic.h"
#include "core/base/vector.h"
#include "core/graph/graph.h"
#include "core/target/target.h"

#define TVI_COVER_NONE UINT32_MAX

typedef enum tvi_node_class_e {
  TVI_NODE_HOST = 0,     // its meaning is a host function
  TVI_NODE_VIEW,         // reads one value through an affine map, or is a reshape
  TVI_NODE_MAP,          // every element of the output from few elements of the inputs
  TVI_NODE_REDUCE,       // reduces, and reads each element of its main input once per pass
  TVI_NODE_CONTRACTION,  // a sum of products
  TVI_NODE_OTHER,        // scans, windows, everything else that kernel IR says
} tvi_node_class_t;

// How a node reads an operand.
typedef enum tvi_access_e {
  TVI_ACCESS_NONE = 0,  // not at all: its contents were known at build time
  TVI_ACCESS_ALIGNED,  // in order: index k of the operand is an index of the node, increasing, or 0
  TVI_ACCESS_PERMUTED,  // each index once, in another order
  TVI_ACCESS_COMPLEX,   // windows, gathers, arithmetic on indices
} tvi_access_t;

typedef struct tvi_node_fact_s {
  tvi_node_class_t node_class;
  bool reshape;                      // VIEW: keeps the row-major order, changes the extents
  bool order_preserving;             // VIEW: elements stay in row-major order
  const tvi_kir_program_t* program;  // NULL: HOST
  const uint8_t* access;             // tvi_access_t per operand
  trivet_dim_t domain;               // elements of the largest index space
  trivet_dim_t rows;  // elements of the smallest output of a reduction; NULL: does not reduce
  uint32_t region;    // TVI_COVER_NONE: view, dead or not assigned yet
  uint32_t position;  // in topological order
} tvi_node_fact_t;

typedef struct tvi_cover_region_s {
  TVI_VECTOR(tvi_node_id_t)
  nodes;  // topological; may hold views that are also looked at from outside
  TVI_VECTOR(tvi_value_id_t) inputs;
  TVI_VECTOR(tvi_value_id_t) outputs;
  const tvi_kir_program_t* program;  // NULL: host function or control flow
  const char* made_by;
  tvi_value_id_t only;  // not 0: the one output; the nodes are computed a second time for it
  bool anchored;        // built around a library kernel: only its epilogue fuser may extend it
  bool dead;            // merged into another
  trivet_dim_t domain, rows;
} tvi_cover_region_t;

typedef struct tvi_cover_s {
  const trivet_graph_t* graph;
  tvi_arena_t* arena;
  tvi_node_fact_t* facts;  // by node id
  TVI_VECTOR(tvi_cover_region_t) regions;
  uint32_t* order;  // live regions in an order in which every value is computed before it is read
  uint32_t order_count;
} tvi_cover_t;

// Names of fusers, for made_by and for switching off: "fuse-prologue", "fuse-epilogue",
// "fuse-elementwise", "fuse-reduction".
trivet_status_t tvi_cover_create(const trivet_graph_t* graph, tvi_tactic_context_t* tactics,
                                 tvi_cover_t** out_cover);
void tvi_cover_destroy(tvi_cover_t* cover);

// One region a line, with made_by and nodes; for golden tests.
trivet_status_t tvi_cover_print(const tvi_cover_t* cover, tvi_string_builder_t* builder);

// Does a kernel other than the target's general one run |node| as a region of its own? For graphs
// that are still being rewritten; |reasons| (NULL: unwanted) says why not.
trivet_status_t tvi_cover_node_accepted(const trivet_graph_t* graph, tvi_tactic_context_t* tactics,
                                        tvi_node_id_t node, tvi_string_builder_t* reasons,
                                        bool* out_accepted);

// Shared by the files of this folder.
trivet_status_t tvi_cover_facts(tvi_cover_t* cover);
// The program of a set of nodes, in topological order: what is used outside becomes an output.
// Fills inputs and outputs.
trivet_status_t tvi_cover_region_program(tvi_cover_t* cover, tvi_cover_region_t* region);
// The value behind views: what |value| looks at, or |value| itself.
tvi_value_id_t tvi_cover_base(const tvi_cover_t* cover, tvi_value_id_t value);
bool tvi_cover_order_preserving(
    const tvi_cover_t* cover,
    tvi_value_id_t value);  // all views between value and base keep the order
// May regions |a| and |b| become one without a cycle?
trivet_status_t tvi_cover_mergeable(tvi_cover_t* cover, uint32_t a, uint32_t b,
                                    bool* out_mergeable);
trivet_status_t tvi_cover_merge(tvi_cover_t* cover, uint32_t into, uint32_t from);
// Does a kernel other than the target's general one run the region, in one memory order or another?
// |flags|: only kernels that have all of these count. |reasons| (NULL: unwanted) says why not.
trivet_status_t tvi_cover_library_accepts(tvi_cover_t* cover, tvi_tactic_context_t* tactics,
                                          const tvi_cover_region_t* region, uint32_t flags,
                                          tvi_string_builder_t* reasons, bool* out_accepted);
// Memory orders of images that kernels are asked in, before layouts are chosen.
typedef enum tvi_cover_order_e {
  TVI_COVER_ANY_ORDER = 0,  // the first in which another kernel than the general one takes it
  TVI_COVER_PLAIN,
  TVI_COVER_CHANNELS_LAST,
} tvi_cover_order_t;
// What kernels offer for a region in such an order: whether one other than the target's general one
// takes it, one with all of |flags|.
typedef struct tvi_cover_offer_s {
  tvi_tactic_list_t list;
  bool accepted;  // by such a kernel
} tvi_cover_offer_t;
// |offer->list| is initialized by the caller, and freed.
trivet_status_t tvi_cover_ask(tvi_cover_t* cover, tvi_tactic_context_t* tactics,
                              const tvi_cover_region_t* region, tvi_cover_order_t order,
                              uint32_t flags, tvi_string_builder_t* reasons,
                              tvi_cover_offer_t* offer);
// The same for region |id| with |node|, which is in another one.
trivet_status_t tvi_cover_ask_longer(tvi_cover_t* cover, tvi_tactic_context_t* tactics, uint32_t id,
                                     tvi_node_id_t node, tvi_cover_order_t order,
                                     tvi_string_builder_t* reasons, tvi_cover_offer_t* offer);
// HUGE_VAL where there is no offer.
double tvi_cover_lowest_price(const tvi_cover_offer_t* offer);
// The one node that reads |value|, if there is exactly one and nothing else does; else 0.
tvi_node_id_t tvi_cover_only_reader(const tvi_cover_t* cover, tvi_value_id_t value);
trivet_status_t tvi_cover_fuse_prologues(tvi_cover_t* cover, tvi_tactic_context_t* tactics,
                                         tvi_node_id_t node);
// Takes the elementwise node that computes |value| for a node of |region| and widens what it reads,
// if the region is cheaper with it.
trivet_status_t tvi_cover_take_widened(tvi_cover_t* cover, tvi_tactic_context_t* tactics,
                                       uint32_t region, tvi_value_id_t value);
trivet_status_t tvi_cover_fuse_epilogues(tvi_cover_t* cover, tvi_tactic_context_t* tactics);
trivet_status_t tvi_cover_fuse_groups(tvi_cover_t* cover, tvi_tactic_context_t* tactics);
trivet_status_t tvi_cover_sort(tvi_cover_t* cover);

#endif  // TRIVET_CODEGEN_COVER_COVER_H_
