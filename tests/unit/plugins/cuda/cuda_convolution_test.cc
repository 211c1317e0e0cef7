// SPDX-License-Identifier: Apache-2.0
//
// Convolutions of our own against the plain evaluator: orders of the operands, windows, strides,
// dilations and pads, parts of the sum, epilogues, windows of single channels. On the device where
// there is one, else with the instructions emulated lane by lane.

#include "tests/unit/plugins/cpu/tile_test_util.h"

extern "C" {
#include "plugins/cuda/emit/convolution_code.h"
}

namespace tile_test {
namespace {

class Convolution : public ::testing::Test {
 protected:
  void SetUp() override { before_ = code_maker(); }
  void TearDown() override { code_maker() = before_; }
  static void use(tvi_cuda_convolution_form_t form) {
    code_maker() = [form](const tvi_kir_program_t* program, const tvi_cuda_code_options_t* options,
                          tvi_arena_t* arena, tvi_cuda_code_t* out_code) {
      tvi_cuda_code_options_t own = *options;
      own.allows_tf32 = true;
      return tvi_cuda_convolution_code(program, &own, &form, arena, trivet_allocator_system(),
                                       out_code);
    };
  }

 private:
  CodeMaker before_;
};

// An image of |channels| to |features|; the same pads on all sides.
struct Case {
  int64_t batch = 2, channels = 16, features = 24, height = 9, width = 7;
  int64_t window = 3, across = 0, stride = 1, dilation = 1, pad = 1;  // across 0: as window
  bool is_plain = false;       // the image is stored with its channels outside
  bool weights_plain = false;  // so are the weights
  bool is_depthwise = false;
  uint32_t dtype = F16;

  int64_t kx() const { return across ? across : window; }
  int64_t pad_x() const { return kx() == 1 ? 0 : pad; }
  int64_t rows() const { return (height + 2 * pad - dilation * (window - 1) - 1) / stride + 1; }
  int64_t pixels() const { return (width + 2 * pad_x() - dilation * (kx() - 1) - 1) / stride + 1; }
  int64_t inputs() const { return is_depthwise ? 1 : channels; }
  std::vector<int64_t> image() const {
    if (is_plain) return {batch, channels, height, width};
    return {batch, height, width, channels};
  }
  std::vector<int64_t> weights() const {
    // Depthwise: the place of the window outside, channels inside.
    if (is_depthwise) return {window, kx(), 1, features};
    if (weights_plain) return {features, inputs(), window, kx()};
    return {features, window, kx(), inputs()};
  }
  std::vector<int64_t> result() const { return {batch, rows(), pixels(), features}; }
};

// The stage of the sum into |to|, whose type is that of the sum.
void add_sum(Program* p, const Case& c, uint32_t x, uint32_t w, uint32_t to, uint32_t sum) {
  Stage s = p->reduce(c.result(), {c.inputs(), c.window, c.kx()});
  auto place = [&](int64_t out, int64_t in, int64_t pad) {
    Ref at = s.op(TVI_KIR_MUL, I64, s.index(out), s.i(c.stride));
    at = s.op(TVI_KIR_ADD, I64, at, s.op(TVI_KIR_MUL, I64, s.index(in), s.i(c.dilation)));
    return s.op(TVI_KIR_SUB, I64, at, s.i(pad));
  };
  Ref y = place(1, 5, c.pad), across = place(2, 6, c.pad_x());
  Ref channel = c.is_depthwise ? s.index(3) : s.index(4);
  Ref pad = !c.pad ? TVI_KIR_NONE : c.dtype == I8 ? s.i(0, I8) : s.f(0, c.dtype);
  Ref a = s.load(x,
                 c.is_plain ? std::vector<Ref>{s.index(0), channel, y, across}
                            : std::vector<Ref>{s.index(0), y, across, channel},
                 pad);
  Ref b = s.load(
      w, c.is_depthwise    ? std::vector<Ref>{s.index(5), s.index(6), s.index(4), s.index(3)}
         : c.weights_plain ? std::vector<Ref>{s.index(3), s.index(4), s.index(5), s.index(6)}
                           : std::vector<Ref>{s.index(3), s.index(5), s.index(6), s.index(4)});
  if (sum != c.dtype) {
    a = s.op(TVI_KIR_CAST, sum, a);
    b = s.op(TVI_KIR_CAST, sum, b);
  }
  s.finish({to}, {s.op(TVI_KIR_MUL, sum, a, b)}, p->monoid(TVI_KIR_SUM, sum));
}

void check_case(const Case& c) {
  Program p;
  auto x = p.input(c.dtype, c.image()), w = p.input(c.dtype, c.weights());
  auto y = p.output(c.dtype, c.result());
  add_sum(&p, c, x, w, y, c.dtype);
  SCOPED_TRACE("window " + std::to_string(c.window) + " x " + std::to_string(c.kx()) + " stride " +
               std::to_string(c.stride) + " dilation " + std::to_string(c.dilation) + " channels " +
               std::to_string(c.channels) + " features " + std::to_string(c.features));
  expect_same(
      p, {},
      {{x, random_factor(c.dtype, c.image(), 1)}, {w, random_factor(c.dtype, c.weights(), 2)}});
}

void check_epilogue(const Case& c);

// Whole numbers: sums of i32, then a scale for each channel.
void check_whole(Case c) {
  c.dtype = I8;
  Program p;
  auto x = p.input(I8, c.image()), w = p.input(I8, c.weights());
  auto scale = p.input(F32, {c.features}), y = p.output(F32, c.result());
  auto sum = p.temp(I32, c.result());
  add_sum(&p, c, x, w, sum, I32);
  Stage s = p.map(c.result());
  Ref v = s.op(TVI_KIR_CAST, F32, s.at(sum));
  s.finish({y}, {s.op(TVI_KIR_MUL, F32, v, s.load(scale, {s.index(3)}))});
  SCOPED_TRACE("window " + std::to_string(c.window) + " stride " + std::to_string(c.stride));
  expect_same(p, {},
              {{x, random_tensor(I8, c.image(), 1, -128, 127)},
               {w, random_tensor(I8, c.weights(), 2, -128, 127)},
               {scale, random_tensor(F32, {c.features}, 3, 0.0001, 0.001)}});
}

TEST_F(Convolution, WholeNumbers) {
  for (uint32_t tile : {6u, 7u, 3u, 9u, 14u}) {
    // The form for Hopper, whose instructions are on that device alone.
    const auto* device = (const tvi_cuda_device_t*)Device::get().state;
    if (tvi_cuda_matmul_tiles[tile].slab && device && device->major != 9) continue;
    SCOPED_TRACE("tile " + std::to_string(tile));
    use({tile, 1, 1, 1, false, false});
    Case c;
    c.channels = 48;
    check_whole(c);
    c.stride = 2;
    check_whole(c);
    c.window = 1, c.pad = 0;
    check_whole(c);
    if (HasFailure()) return;
  }
}

TEST_F(Convolution, Windows) {
  for (tvi_cuda_convolution_form_t form :
       {tvi_cuda_convolution_form_t{6, 1, 1, 1, false, false}, {7, 1, 1, 1, false, false}}) {
    use(form);
    Case c;
    check_case(c);
    c.stride = 2;
    check_case(c);
    c.window = 1, c.pad = 0;
    check_case(c);
    c.window = 5, c.pad = 2, c.stride = 1;
    check_case(c);
    c.window = 3, c.pad = 2, c.dilation = 2;
    check_case(c);
    c.pad = 1, c.dilation = 1, c.across = 1;
    check_case(c);
    if (HasFailure()) return;
  }
}

TEST_F(Convolution, EveryTile) {
  for (uint32_t tile = 0; tile < tvi_cuda_matmul_tile_count; ++tile) {
    if (tvi_cuda_matmul_tiles[tile].slab) continue;
    SCOPED_TRACE("tile " + std::to_string(tile));
    use({tile, 1, 1, 1, false, false});
    Case c;
    c.channels = 24, c.features = 72, c.batch = 3;
    check_case(c);
    if (HasFailure()) return;
  }
}

// Channels that are no multiple of eight are gathered one by one, whatever lies together.
TEST_F(Convolution, OddChannelsAndOrders) {
  use({6, 1, 1, 1, false, false});
  for (int orders = 0; orders < 4; ++orders) {
    Case c;
    c.channels = 3, c.features = 34, c.window = 7, c.pad = 3, c.stride = 2, c.height = 13;
    c.is_plain = (orders & 1) != 0, c.weights_plain = (orders & 2) != 0;
    check_case(c);
    if (HasFailure()) return;
  }
  Case c;
  c.weights_plain = true, c.dtype = BF16;
  check_case(c);
  c.is_plain = true;
  check_case(c);
}

// f32 in units that look at 10 bits behind the point, and single channels, which need none.
TEST_F(Convolution, Tf32) {
  Case c;
  c.dtype = F32;
  for (tvi_cuda_convolution_form_t form :
       {tvi_cuda_convolution_form_t{6, 1, 1, 1, false, false}, {3, 2, 1, 1, false, false}}) {
    use(form);
    c.channels = 12, c.features = 40, c.stride = 1, c.weights_plain = c.is_plain = false;
    check_case(c);
    c.stride = 2, c.channels = 16;
    check_epilogue(c);
    c.channels = 3, c.weights_plain = true;
    check_case(c);
    c.is_plain = true, c.stride = 1;
    check_case(c);
    if (HasFailure()) return;
  }
  use({6, 1, 1, 1, false, false});
  c = Case();
  c.channels = 3, c.features = 40, c.window = c.stride = 8, c.pad = 0, c.dtype = F32;
  c.height = c.width = 24;
  check_case(c);  // patches
  use({0, 1, 2, 1, false, false});
  for (int64_t channels : {24, 6, 5}) {
    c = Case();
    c.is_depthwise = true, c.dtype = F32, c.channels = c.features = channels;
    check_epilogue(c);
    if (HasFailure()) return;
  }
}

// What single channels ask for, and the others.
TEST_F(Convolution, Tf32IsAsked) {
  for (bool is_depthwise : {false, true}) {
    Program p;
    Case c;
    c.dtype = F32, c.is_depthwise = is_depthwise, c.features = c.channels;
    auto x = p.input(F32, c.image()), w = p.input(F32, c.weights()), y = p.output(F32, c.result());
    add_sum(&p, c, x, w, y, F32);
    tvi_arena_t arena;
    tvi_arena_init(&arena, trivet_allocator_system(), 0);
    tvi_cuda_code_options_t options = {};
    options.name = "test";
    tvi_cuda_convolution_problem_t problem = {};
    check(
        tvi_cuda_convolution_read(p.get(), &options, &arena, trivet_allocator_system(), &problem));
    EXPECT_EQ(problem.reason == nullptr, is_depthwise);
    EXPECT_FALSE(problem.has_lines || problem.has_boxes);
    tvi_arena_deinit(&arena);
  }
}

// Lines of the image in shared memory.
TEST_F(Convolution, FirstLayers) {
  use({0, 1, 1, 1, true, false});
  for (int orders = 0; orders < 4; ++orders) {
    Case c;
    c.channels = 3, c.features = 32, c.window = 7, c.pad = 3, c.stride = 2;
    c.height = 13, c.width = 41;
    c.is_plain = (orders & 1) != 0, c.weights_plain = (orders & 2) != 0;
    check_case(c);
    c.window = 3, c.pad = 1, c.features = 40, c.dtype = BF16;
    check_epilogue(c);
    if (HasFailure()) return;
  }
  Case many;  // blocks have several tiles
  many.batch = 60, many.channels = 3, many.features = 16, many.stride = 2, many.height = 15;
  check_case(many);
  Case c;  // rows of several pieces
  c.batch = 1, c.channels = 1, c.features = 24, c.stride = 2, c.height = 3, c.width = 300;
  check_case(c);
  c.channels = 2, c.stride = 1, c.pad = 0, c.features = 20;
  check_case(c);
}

// Windows that follow each other: whole lines of them are moved at once.
TEST_F(Convolution, Patches) {
  use({6, 1, 1, 1, false, false});
  for (int orders = 0; orders < 4; ++orders) {
    Case c;
    c.channels = 3, c.features = 40, c.window = c.stride = 8, c.pad = 0;
    c.height = c.width = 24;
    c.is_plain = (orders & 1) != 0, c.weights_plain = (orders & 2) != 0;
    check_case(c);
    c.width = 28, c.height = 16;  // not all of it is used, and lines begin anywhere
    check_case(c);
    if (HasFailure()) return;
  }
}

TEST_F(Convolution, PartsOfTheSum) {
  for (uint32_t splits : {2, 3, 8}) {
    use({7, splits, 1, 1, false, false});
    Case c;
    c.batch = 1, c.channels = 72, c.height = 4;
    check_case(c);
    if (HasFailure()) return;
  }
}

// Bias, residual and a swish; the sum in f32.
void check_epilogue(const Case& c) {
  Program p;
  auto x = p.input(c.dtype, c.image()), w = p.input(c.dtype, c.weights());
  auto bias = p.input(c.dtype, {c.features}), residual = p.input(c.dtype, c.result());
  auto out = p.output(c.dtype, c.result());
  auto sum = p.temp(F32, c.result());
  add_sum(&p, c, x, w, sum, F32);
  Stage s = p.map(c.result());
  Ref t = s.op(TVI_KIR_ADD, F32, s.at(sum), s.op(TVI_KIR_CAST, F32, s.load(bias, {s.index(3)})));
  t = s.op(TVI_KIR_ADD, F32, t, s.op(TVI_KIR_CAST, F32, s.at(residual)));
  Ref one = s.op(TVI_KIR_ADD, F32, s.op(TVI_KIR_EXP, F32, s.op(TVI_KIR_NEG, F32, t)), s.f(1));
  s.finish({out}, {s.op(TVI_KIR_CAST, c.dtype, s.op(TVI_KIR_DIV, F32, t, one))});
  expect_same(p, {},
              {{x, random_factor(c.dtype, c.image(), 1)},
               {w, random_factor(c.dtype, c.weights(), 2)},
               {bias, random_tensor(c.dtype, {c.features}, 3)},
               {residual, random_tensor(c.dtype, c.result(), 4)}});
}

TEST_F(Convolution, Epilogues) {
  Case c;
  for (uint32_t splits : {1, 2}) {
    use({6, splits, 1, 1, false, false});
    check_epilogue(c);
    if (HasFailure()) return;
  }
  c.is_depthwise = true, c.features = c.channels;
  for (uint32_t across : {1, 4}) {
    use({0, 1, across, across, false, false});
    check_epilogue(c);
    if (HasFailure()) return;
  }
}

TEST_F(Convolution, SingleChannels) {
  for (auto [across, sharers] :
       {std::pair<uint32_t, uint32_t>{1, 1}, {2, 1}, {4, 1}, {1, 4}, {2, 2}}) {
    use({0, 1, across, sharers, false, false});
    for (int64_t channels : {24, 12, 5}) {
      Case c;
      c.is_depthwise = true;
      c.channels = c.features = channels;
      check_case(c);
      c.stride = 2;
      check_case(c);
      c.window = 5, c.pad = 2;
      check_case(c);
      c.window = 3, c.dilation = 2, c.stride = 1, c.dtype = BF16;
      check_case(c);
      c.dilation = 1, c.pad = 0;
      check_case(c);
      if (HasFailure()) return;
    }
  }
}

// The form for Hopper, whose instructions are on that device alone.
TEST_F(Convolution, WideTiles) {
  const auto* device = (const tvi_cuda_device_t*)Device::get().state;
  if (device && device->major != 9) GTEST_SKIP() << "the device is no Hopper";
  uint32_t count = 0;
  for (uint32_t tile = 0; tile < tvi_cuda_matmul_tile_count; ++tile) {
    if (!tvi_cuda_matmul_is_plain_wide(&tvi_cuda_matmul_tiles[tile])) continue;
    SCOPED_TRACE("tile " + std::to_string(tile));
    use({tile, 1, 1, 1, false, false});
    Case c;
    c.channels = 24, c.features = 40, c.stride = 2;
    check_case(c);
    if (HasFailure()) return;
    if (!device && ++count > 1) continue;  // emulated they take long
    c.channels = 64, c.features = 136, c.batch = 3, c.stride = 1;
    check_epilogue(c);
    if (HasFailure()) return;
  }
}

// The same with tiles that are boxes of pixels: boxes that are full, that reach over the edges of
// images, over the last image, and that are smaller than a tile.
TEST_F(Convolution, Boxes) {
  const auto* device = (const tvi_cuda_device_t*)Device::get().state;
  if (device && device->major != 9) GTEST_SKIP() << "the device is no Hopper";
  uint32_t count = 0;
  for (uint32_t tile = 0; tile < tvi_cuda_matmul_tile_count; ++tile) {
    const tvi_cuda_matmul_tile_t* t = &tvi_cuda_matmul_tiles[tile];
    if (t->slab == 0 || t->late || t->even) continue;
    SCOPED_TRACE("tile " + std::to_string(tile));
    use({tile, 1, 1, 1, false, true});
    Case c;
    c.channels = 64, c.features = 40, c.batch = 3, c.height = 9, c.width = 11;
    check_case(c);
    if (HasFailure()) return;
    if (!device && ++count > 2) continue;  // emulated they take long
    c.height = 10, c.width = 18, c.stride = 2;
    check_case(c);
    c.window = 1, c.pad = 0;
    check_case(c);
    c.window = 3, c.pad = 1, c.stride = 1;
    c.height = 8, c.width = 16, c.batch = 1, c.features = 136;
    check_epilogue(c);
    c.window = 2, c.pad = 1, c.dilation = 2, c.channels = 128, c.batch = 5, c.height = 5;
    c.width = 4, c.dtype = BF16;
    check_case(c);
    if (HasFailure()) return;
  }
}

// A picture that is computed where windows read it: |from|, moved and scaled by a factor for each
// image and channel, and cut off. None of its zeros stays one, but what lies outside is zero.
void check_prologue(const Case& c, uint32_t from = F16) {
  Program p;
  auto raw = p.input(from, c.image()), scale = p.input(c.dtype, {c.batch, c.channels});
  auto w = p.input(c.dtype, c.weights()), bias = p.input(c.dtype, {c.features});
  auto x = p.temp(c.dtype, c.image()), sum = p.temp(F32, c.result());
  auto y = p.output(c.dtype, c.result());
  {
    Stage s = p.map(c.image());
    Ref factor = s.load(scale, {s.index(0), s.index(c.is_plain ? 1 : 3)});
    Ref v = s.at(raw);
    if (from != c.dtype) v = s.op(TVI_KIR_CAST, c.dtype, v);
    v = s.op(TVI_KIR_MUL, c.dtype, s.op(TVI_KIR_ADD, c.dtype, v, s.f(0.5, c.dtype)), factor);
    s.finish({x}, {s.op(TVI_KIR_MAX, c.dtype, v, s.f(0.125, c.dtype))});
  }
  add_sum(&p, c, x, w, sum, F32);
  Stage s = p.map(c.result());
  Ref t = s.op(TVI_KIR_ADD, F32, s.at(sum), s.op(TVI_KIR_CAST, F32, s.load(bias, {s.index(3)})));
  s.finish({y}, {s.op(TVI_KIR_CAST, c.dtype, t)});
  SCOPED_TRACE("window " + std::to_string(c.window) + " stride " + std::to_string(c.stride) +
               " channels " + std::to_string(c.channels) + (c.is_plain ? " plain" : ""));
  expect_same(p, {},
              {{raw, random_tensor(from, c.image(), 1, from == I8 ? -3 : -1, from == I8 ? 3 : 1)},
               {scale, random_tensor(c.dtype, {c.batch, c.channels}, 2, 0.5, 1)},
               {w, random_factor(c.dtype, c.weights(), 3)},
               {bias, random_tensor(c.dtype, {c.features}, 4)}});
}

TEST_F(Convolution, Prologues) {
  for (tvi_cuda_convolution_form_t form : {tvi_cuda_convolution_form_t{6, 1, 1, 1, false, false},
                                           {7, 2, 1, 1, false, false},
                                           {3, 1, 1, 1, false, false}}) {
    use(form);
    Case c;
    check_prologue(c);
    c.stride = 2;
    check_prologue(c, I8);
    c.window = 1, c.pad = 0;
    check_prologue(c);
    c.window = 3, c.pad = 2, c.dilation = 2, c.stride = 1, c.channels = 12;
    check_prologue(c);
    c.pad = 1, c.dilation = 1, c.is_plain = true;
    check_prologue(c, F32);
    c.is_plain = false, c.channels = 24, c.dtype = BF16;
    check_prologue(c, F32);
    if (HasFailure()) return;
  }
  for (int64_t channels : {24, 5}) {
    use({0, 1, 2, 2, false, false});
    Case c;
    c.is_depthwise = true, c.channels = c.features = channels;
    check_prologue(c, I8);
    c.stride = 2;
    check_prologue(c);
    if (HasFailure()) return;
  }
  use({0, 1, 1, 1, true, false});  // lines of the image
  for (bool is_plain : {false, true}) {
    Case c;
    c.channels = 3, c.features = 32, c.window = 7, c.pad = 3, c.stride = 2;
    c.height = 13, c.width = 41, c.is_plain = is_plain;
    check_prologue(c, F32);
    if (HasFailure()) return;
  }
}

// Any number of images.
TEST_F(Convolution, SymbolicBatch) {
  for (tvi_cuda_convolution_form_t form :
       {tvi_cuda_convolution_form_t{6, 1, 1, 1, false, false}, {7, 2, 1, 1, false, false}}) {
    use(form);
    Program p;
    trivet_dim_t n = p.symbol("n");
    check(tvi_dim_symbol_restrict(p.dims(), n, 1, 64, 1));
    auto x = p.value(TVI_KIR_INPUT, F16, {n, p.dim(6), p.dim(6), p.dim(32)});
    auto w = p.input(F16, {40, 3, 3, 32});
    auto y = p.value(TVI_KIR_OUTPUT, F16, {n, p.dim(6), p.dim(6), p.dim(40)});
    Stage s(&p, TVI_KIR_REDUCE, {n, p.dim(6), p.dim(6), p.dim(40)},
            {p.dim(32), p.dim(3), p.dim(3)});
    auto place = [&](int64_t out, int64_t in) {
      return s.op(TVI_KIR_SUB, I64, s.op(TVI_KIR_ADD, I64, s.index(out), s.index(in)), s.i(1));
    };
    Ref a = s.load(x, {s.index(0), place(1, 5), place(2, 6), s.index(4)}, s.f(0, F16));
    Ref b = s.load(w, {s.index(3), s.index(5), s.index(6), s.index(4)});
    s.finish({y}, {s.op(TVI_KIR_MUL, F16, a, b)}, p.monoid(TVI_KIR_SUM, F16));
    for (int64_t size : {1, 3}) {
      expect_same(p, {size},
                  {{x, random_tensor(F16, {size, 6, 6, 32}, 1, -1, 1)},
                   {w, random_tensor(F16, {40, 3, 3, 32}, 2, -1, 1)}});
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace tile_test
