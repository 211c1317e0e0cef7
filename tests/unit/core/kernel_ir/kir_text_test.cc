// SPDX-License-Identifier: Apache-2.0
//
// The concrete text of programs and the verifier: what is printed reads back to the same text, and
// damaged text or a damaged program is refused, with a reason, and never evaluated.
#include <random>

#include "tests/unit/core/kernel_ir/kir_test_util.h"

namespace {

class KirTextTest : public KirTest {
 protected:
  tvi_kir_program_t* Read(const std::string& text) {
    tvi_kir_program_t* program = nullptr;
    error_ = Message(
        tvi_kir_program_parse(tvi_sv_make(text.data(), text.size()), dims_, &arena_, &program));
    return program;
  }
  void RoundTrip(const tvi_kir_program_t* program) {
    ASSERT_NE(program, nullptr) << error_;
    std::string text = Print(program);
    tvi_kir_program_t* again = Read(text);
    ASSERT_NE(again, nullptr) << error_ << "\n" << text;
    EXPECT_EQ(Print(again), text);
  }
};

const char* kText =
    "kernel_ir 1\n"
    "value v0 input f32[$(n), 3] \"x\" tag 0\n"
    "value v1 input i64[3] \"t\" tag 1\n"
    "value v2 output f32[$(n)] \"y\" tag 0\n"
    "value v3 temp f32[$(n), 3] \"m\"\n"
    "stage map [$(n), 3] -> v3 kept origin 4 {\n"
    "  %0 = index i64 0\n"
    "  %1 = index i64 1\n"
    "  %2 = load i64 v1[%1]\n"
    "  %3 = const f32 -1.5\n"
    "  %4 = load f32 v0[%0, %2 wrap] pad %3\n"
    "  %5 = exp f32 %4\n"
    "  %6 = extent i64 $(2*n + 1)\n"
    "  %7 = cast f32 %6\n"
    "  %8 = fma f32 %5 %7 %3\n"
    "  give %8\n"
    "}\n"
    "stage reduce [$(n) | 3] sum f32 -> v2 {\n"
    "  %0 = index i64 0\n"
    "  %1 = index i64 1\n"
    "  %2 = load f32 v3[%0, %1]\n"
    "  give %2\n"
    "}\n";

TEST_F(KirTextTest, RoundTrips) {
  RoundTrip(Read(kText));
  RoundTrip(Instantiate(
      "op acme.Softmax/1 (x: T[D..., K], t: i64[M]) -> (y: T[D..., K], p: i64[D...]) where T: "
      "{f32}\n"
      "monoid lse(m: f32, s: f32) = identity (-inf, 0.0)\n"
      "  join (a, b) -> (max(a.m, b.m), a.s * exp(a.m - max(a.m, b.m)) + b.s * exp(b.m - max(a.m, "
      "b.m)))\n"
      "let st[i: D...] = lse(k: K){ (x[i..., k], 1.0) }\n"
      "let c[i: D..., k: K] = scan(k: K){ x[i..., k] } with prod exclusive reverse\n"
      "y[i..., k] = exp(x[i..., t[k]; clip] - st[i...].m) / st[i...].s + c[i..., k] + nan\n"
      "p[i...] = argmin(k: K){ x[i..., k] }\n",
      {"f32[2, 'batch size', 3]", "i64[3]"}));
}

TEST_F(KirTextTest, MistakesNameTheirPlace) {
  struct {
    const char *from, *to, *message;
  } cases[] = {
      {"kernel_ir 1", "kernel_ir 2", "line 1, column 12: version 1 expected"},
      {"value v1 ", "value v2 ", "line 3, column 7: the next value expected"},
      {"= exp f32", "= expo f32", "line 12, column 8: 'expo' is not an instruction"},
      {"%5 = exp f32 %4", "%5 = exp f32 %5",
       "line 12, column 17: an earlier instruction expected, not %5"},
      {"%5 = exp f32 %4", "%5 = exp f32 %2",
       "kernel IR: stage 0, instruction 5 has a wrong result type"},
      {"%5 = exp f32 %4", "%5 = exp i64 %2",
       "kernel IR: stage 0, instruction 5 needs float operands"},
      {"load i64 v1[%1]", "load i64 v1[%1, %1]",
       "kernel IR: stage 0, instruction 2 has a wrong number of indices"},
      {"load i64 v1[%1]", "load i32 v1[%1]",
       "kernel IR: stage 0, instruction 2 has another type than its value"},
      {"load f32 v0[%0, %2 wrap] pad %3", "load f32 v3[%0, %2]",
       "kernel IR: stage 0, instruction 4 loads a value that is not computed yet"},
      {"%1 = index i64 1\n  %2 = load i64", "%1 = index i64 2\n  %2 = load i64",
       "kernel IR: stage 0, instruction 1 names an index that the stage does not have"},
      {"sum f32", "mean f32", "line 18, column 25: 'mean' is not a monoid"},
      {"sum f32", "sum f16",
       "kernel IR: stage 1 gives an element of another type than its monoid takes"},
      {"sum f32", "argmax f32", "line 18, column 42: ',' expected, not '{'"},
      {"-> v2 {", "-> v3 {", "line 18, column 36: a value that is not defined yet expected"},
      {"-> v2 {", "-> _ {", "kernel IR: value 2 is defined by no stage"},
      {"[$(n) | 3]", "[$(n), 3]", "kernel IR: stage 1 writes a value of another rank"},
      {"stage map [$(n), 3]", "stage map [$(n), 4]",
       "kernel IR: stage 0 writes a value of another shape"},
      {"  give %2\n}\n", "  give %2\n", "line 23, column 1: '}' expected, not the end of the text"},
  };
  for (const auto& c : cases) {
    std::string text = kText;
    size_t at = text.find(c.from);
    ASSERT_NE(at, std::string::npos) << c.from;
    text.replace(at, strlen(c.from), c.to);
    EXPECT_EQ(Read(text), nullptr) << c.to;
    EXPECT_EQ(error_, c.message) << c.to;
  }
}

TEST_F(KirTextTest, DamagedTextIsRefusedOrHarmless) {
  std::mt19937 rng(11);
  int accepted = 0;
  for (int round = 0; round < 8000; ++round) {
    std::string text = kText;
    for (unsigned i = 0; i <= rng() % 2; ++i) {
      size_t at = rng() % text.size();
      if (rng() % 2) {
        text[at] = "0123456789%v[],_ x"[rng() % 18];
      } else {
        text.erase(at, 1 + rng() % 4);
      }
    }
    tvi_arena_t arena;
    tvi_arena_init(&arena, trivet_allocator_system(), 4096);
    tvi_kir_program_t* program = nullptr;
    trivet_status_t status =
        tvi_kir_program_parse(tvi_sv_make(text.data(), text.size()), dims_, &arena, &program);
    if (status == nullptr) {
      // What is accepted can be rebuilt and run: errors are fine, harm is not.
      ++accepted;
      trivet_status_free(tvi_kir_simplify(program));
      std::vector<int64_t> symbols(tvi_dim_symbol_count(dims_), 2);
      std::vector<trivet_tensor_t> tensors(program->value_count);
      std::vector<Tensor> storage;
      storage.reserve(program->value_count);
      bool small = true;
      for (uint32_t v = 0; v < program->value_count; ++v) {
        std::vector<int64_t> dims;
        for (uint32_t d = 0; d < program->values[v].rank; ++d) {
          int64_t extent = 0;
          trivet_status_free(tvi_dim_evaluate(program->values[v].dims[d], symbols.data(),
                                              static_cast<uint32_t>(symbols.size()), &extent));
          dims.push_back(extent);
          small = small && extent >= 0 && extent < 100;
        }
        if (!small) break;
        storage.push_back(Tensor::Make(program->values[v].dtype, dims));
        tensors[v] = storage.back().View();
      }
      for (uint32_t s = 0; s < program->stage_count; ++s) {
        for (uint32_t i = 0;
             i < program->stages[s].parallel_count + program->stages[s].reduced_count; ++i) {
          int64_t extent = 1000;
          trivet_status_free(tvi_dim_evaluate(program->stages[s].extents[i], symbols.data(),
                                              static_cast<uint32_t>(symbols.size()), &extent));
          small = small && extent < 100;
        }
      }
      if (small) {
        trivet_status_free(tvi_kir_evaluate(program, symbols.data(),
                                            static_cast<uint32_t>(symbols.size()), tensors.data(),
                                            trivet_allocator_system()));
      }
    }
    trivet_status_free(status);
    tvi_arena_deinit(&arena);
  }
  EXPECT_GT(accepted, 50);
}

TEST_F(KirTextTest, TheVerifierTrustsNoNumber) {
  // Every 32-bit word of the first stage replaced by others: refused or still verified, never a
  // crash.
  std::mt19937 rng(5);
  int refused = 0;
  for (int round = 0; round < 3000; ++round) {
    tvi_kir_program_t* p = Read(kText);
    ASSERT_NE(p, nullptr);
    tvi_kir_stage_t* stage = &p->stages[rng() % 2];
    uint32_t junk = rng() % 3 ? rng() % 12 : static_cast<uint32_t>(rng());
    tvi_kir_instr_t* instr = &stage->instrs[rng() % stage->instr_count];
    switch (rng() % 12) {
      case 0:
        stage->kind = static_cast<tvi_kir_stage_kind_t>(junk);
        break;
      case 1:
        stage->result_count = junk;
        break;
      case 2:
        stage->values[rng() % 4] = junk;
        break;
      case 3:
        stage->results[rng() % 4] = junk;
        break;
      case 4:
        stage->parallel_count = junk;
        break;
      case 5:
        stage->reduced_count = junk;
        break;
      case 6:
        stage->scan_flags = junk;
        break;
      case 7:
        instr->opcode = static_cast<uint16_t>(junk);
        if (instr->opcode == TVI_KIR_LOAD || instr->opcode == TVI_KIR_EXTENT) continue;
        break;
      case 8:
        instr->dtype = junk;
        break;
      case 9:
        instr->args[rng() % 3] = junk;
        break;
      case 10:
        p->values[rng() % 4].stage = junk;
        break;
      default:
        p->values[rng() % 4].rank = junk;
        break;
    }
    trivet_status_t status = tvi_kir_verify(p);
    refused += status != nullptr;
    trivet_status_free(status);
  }
  EXPECT_GT(refused, 1000);
}

}  // namespace
