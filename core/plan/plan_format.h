// SPDX-License-Identifier: Apache-2.0
//
// The form of plan files that writer and reader share: header, sections, hashes. Private to
// core/plan and its tests; docs/plan_format.md says the same in words. Numbers here never change
// within a major version.
#ifndef TRIVET_CORE_PLAN_PLAN_FORMAT_H_
#define TRIVET_CORE_PLAN_PLAN_FORMAT_H_

#include "core/base/byte_reader.h"
#include "core/base/byte_writer.h"
#include "core/base/map.h"
#include "core/plan/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

// Header; the section table follows it.
#define TVI_PLAN_HEADER_SIZE 64u
#define TVI_PLAN_OFFSET_MAJOR 8u           // u32
#define TVI_PLAN_OFFSET_MINOR 12u          // u32
#define TVI_PLAN_OFFSET_TOTAL_SIZE 16u     // u64
#define TVI_PLAN_OFFSET_SECTION_COUNT 24u  // u32
#define TVI_PLAN_OFFSET_CHUNK_SIZE 28u     // u32
#define TVI_PLAN_OFFSET_HASH_TABLE 32u     // u64, where it begins
#define TVI_PLAN_OFFSET_HASH_COUNT 40u     // u64
#define TVI_PLAN_OFFSET_RESERVED 48u       // 16 zero bytes

// Entry of the section table: type u32, flags u32, offset u64, size u64, first hash u64.
#define TVI_PLAN_ENTRY_SIZE 32u
#define TVI_PLAN_SECTION_MUST_UNDERSTAND 1u

#define TVI_PLAN_CHUNK_SIZE ((uint64_t)1 << 20)
#define TVI_PLAN_HASH_SIZE 16u
#define TVI_PLAN_SECTION_ALIGNMENT 64u
#define TVI_PLAN_WEIGHTS_PAGE 4096u
#define TVI_PLAN_BLOB_ALIGNMENT 64u

// Sections, in the order in which they lie in the file. Those behind the weights may be absent.
typedef enum tvi_plan_section_e {
  TVI_PLAN_SECTION_STRINGS = 1,
  TVI_PLAN_SECTION_INFO = 2,
  TVI_PLAN_SECTION_SYMBOLS = 3,
  TVI_PLAN_SECTION_EXPRESSIONS = 4,
  TVI_PLAN_SECTION_CONSTANTS = 5,
  TVI_PLAN_SECTION_BINDINGS = 6,
  TVI_PLAN_SECTION_PROFILES = 7,
  TVI_PLAN_SECTION_PLUGINS = 8,
  TVI_PLAN_SECTION_PROGRAMS = 9,
  TVI_PLAN_SECTION_BLOBS = 10,
  TVI_PLAN_SECTION_WEIGHTS = 11,
  TVI_PLAN_SECTION_MEMORIES = 12,  // from minor version 1 on; absent: every buffer is on the host
  TVI_PLAN_SECTION_CARRIED = 13,  // from minor version 2 on; absent: no plugin is carried. A reader
                                  // that does not know it wants the plugins loaded
  TVI_PLAN_SECTION_COSTS = 14,  // from minor version 3 on; absent: operations of steps are unknown
} tvi_plan_section_t;
#define TVI_PLAN_SECTION_COUNT 14u

// "programs"; "unknown" for a number that is none. Static text.
const char* tvi_plan_section_name(uint32_t type);
// Name of a kind of step: "LAUNCH"; NULL for a number that is none. Static text.
const char* tvi_plan_step_kind_name(uint32_t kind);

// Codes the records of sections, in one direction. One description of every record serves writer
// and reader, so they cannot disagree.
typedef struct tvi_plan_codec_s {
  bool decoding;
  // Encoding: where to, and what was seen so far, by content.
  tvi_byte_writer_t* writer;
  tvi_map_t* string_numbers;
  tvi_map_t* blob_numbers;
  // Decoding: where from, where to, and the texts and blobs that records name.
  tvi_byte_reader_t reader;
  tvi_arena_t* arena;
  const trivet_string_view_t* strings;
  uint32_t string_count;
  uint32_t blob_count;
  const trivet_string_view_t* blobs;
} tvi_plan_codec_t;

// Codes the section |type| between |plan| and bytes; only the types from INFO to PROGRAMS, and
// MEMORIES, CARRIED and COSTS, when programs and plugins are there. Encoding reads the plan and
// changes nothing.
trivet_status_t tvi_plan_code_section(tvi_plan_codec_t* codec, uint32_t type, tvi_plan_t* plan);

// Checks one program and what refers to it; its messages begin at "step 3: ...". Part of
// tvi_plan_verify, which has checked all sections before it.
trivet_status_t tvi_plan_verify_program(const tvi_plan_t* plan, const tvi_plan_program_t* program,
                                        trivet_allocator_t allocator);

// Pieces of text that both printers use. |expr| and indices are in range. Failures stay in the
// builder.
void tvi_plan_print_expr(const tvi_plan_t* plan, tvi_plan_expr_t expr,
                         tvi_string_builder_t* builder);
void tvi_plan_print_guard(const tvi_plan_t* plan, const tvi_plan_guard_t* guard,
                          tvi_string_builder_t* builder);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_PLAN_PLAN_FORMAT_H_
