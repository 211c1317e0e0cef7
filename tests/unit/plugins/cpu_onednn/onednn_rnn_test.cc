// SPDX-License-Identifier: Apache-2.0
//
// Recurrent layers by oneDNN beside loops written down from the operators' formulas, with weights
// in the form of the step; and blobs and operands that must be refused.
#include "plugins/cpu_onednn/onednn_rnn.h"
#include "plugins/cpu_onednn/onednn_call.h"

#include "tests/unit/plugins/cpu_onednn/onednn_test_util.h"

namespace {

trivet_kernel_t Kernel() {
  trivet_kernel_t kernel = {};
  kernel.name = "cpu_onednn.rnn";
  kernel.load = onednn_rnn_load;
  kernel.unload = onednn_unload;
  kernel.prepare = onednn_rnn_prepare;
  kernel.release = onednn_rnn_release;
  kernel.run = onednn_rnn_run;
  return kernel;
}
const trivet_kernel_t kRnn = Kernel();

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

class OnednnRnn : public OnednnTest {
 protected:
  static constexpr int64_t kIn = 6, kHidden = 5;

  // A step over fresh operands: tensors_ by role; |outputs| as in the blob.
  void Layer(uint32_t cell, uint32_t directions, uint32_t reverse, uint32_t outputs, bool states,
             int64_t time = 7, int64_t batch = 3) {
    problem_ = {ONEDNN_RNN_MAGIC, ONEDNN_RNN_VERSION, cell, directions, reverse, outputs, kIn,
                kHidden};
    const int64_t d = directions, gates = onednn_rnn_gates(cell);
    tensors_.clear();
    tensors_.push_back(Random({time, batch, kIn}, 1));
    tensors_.push_back(Random({d, kIn, gates, kHidden}, 2, -0.5, 0.5));
    tensors_.push_back(Random({d, kHidden, gates, kHidden}, 3, -0.5, 0.5));
    tensors_.push_back(Random({d, onednn_rnn_biases(cell), kHidden}, 4, -0.3, 0.3));
    tensors_.push_back(Random({d, batch, kHidden}, 5, -1, 1));
    tensors_.push_back(Random({d, batch, kHidden}, 6, -1, 1));
    step_ = {};
    const bool lstm = cell == ONEDNN_CELL_LSTM;
    step_.operands = {0, 1, 2, 3, states ? 4 : -1, states && lstm ? 5 : -1};
    for (uint32_t i = 0; i < 3; ++i) {
      tensors_.push_back(i == 0 ? Random({time, d, batch, kHidden}, 7)
                                : Random({d, batch, kHidden}, 7));
      if (outputs >> i & 1) step_.operands.push_back(static_cast<int>(6 + i));
    }
    has_states_ = states;
  }

  std::string RunLayer() {
    const auto* bytes = reinterpret_cast<const uint8_t*>(&problem_);
    step_.blob.assign(bytes, bytes + sizeof(problem_));
    void *loaded = nullptr, *prepared = nullptr;
    std::string error = Load(kRnn, &loaded);
    if (!error.empty()) return error;
    Bind(&tensors_);
    for (size_t i = 1; i < 4 && i < bound_.size(); ++i) bound_[i].constant = addresses_[i];
    trivet_kernel_prepare_t prepare = {};
    prepare.operands = bound_.data();
    prepare.operand_count = bound_.size();
    prepare.allocator = &allocator_;
    uint64_t workspace = 0;
    error = Message(kRnn.prepare(&kRnn, loaded, &prepare, &workspace, &prepared));
    if (error.empty()) {
      void* memory = aligned_alloc(64, (workspace + 127) / 64 * 64);
      trivet_kernel_launch_t launch = {};
      launch.addresses = addresses_.data();
      launch.workspace = memory;
      // Twice: nothing of a run may leak into the next.
      error = Message(kRnn.run(&kRnn, prepared, &launch));
      if (error.empty()) error = Message(kRnn.run(&kRnn, prepared, &launch));
      free(memory);
      kRnn.release(&kRnn, prepared, &allocator_);
    }
    kRnn.unload(&kRnn, loaded, &allocator_);
    return error;
  }

  // The layer by its formulas, in the tensors of the results.
  std::vector<Tensor> Expect() const {
    std::vector<Tensor> out(tensors_.begin() + 6, tensors_.end());
    const int64_t time = tensors_[0].view.dims[0], batch = tensors_[0].view.dims[1];
    const uint32_t cell = problem_.cell;
    const int64_t gates = onednn_rnn_gates(cell), biases = onednn_rnn_biases(cell), n = kHidden;
    std::vector<std::vector<double>> in;
    for (const Tensor& t : tensors_) in.push_back(t.Values());
    for (int64_t d = 0; d < problem_.directions; ++d) {
      for (int64_t b = 0; b < batch; ++b) {
        std::vector<double> h(n), c(n);
        for (int64_t o = 0; o < n && has_states_; ++o) {
          h[o] = in[4][(d * batch + b) * n + o];
          c[o] = in[5][(d * batch + b) * n + o];
        }
        for (int64_t s = 0; s < time; ++s) {
          const int64_t t = problem_.reverse || d == 1 ? time - 1 - s : s;
          auto input = [&](int64_t g, int64_t o) {
            double sum = in[3][(d * biases + g) * n + o];
            for (int64_t i = 0; i < kIn; ++i) {
              sum += in[0][(t * batch + b) * kIn + i] * in[1][((d * kIn + i) * gates + g) * n + o];
            }
            return sum;
          };
          auto recurrent = [&](const std::vector<double>& state, int64_t g, int64_t o) {
            double sum = 0;
            for (int64_t i = 0; i < n; ++i) {
              sum += state[i] * in[2][((d * n + i) * gates + g) * n + o];
            }
            return sum;
          };
          std::vector<double> next(n), reset(n);
          for (int64_t o = 0; o < n && cell == ONEDNN_CELL_GRU; ++o) {
            reset[o] = h[o] * Sigmoid(input(1, o) + recurrent(h, 1, o));
          }
          for (int64_t o = 0; o < n; ++o) {
            if (cell == ONEDNN_CELL_LSTM) {
              const double i = Sigmoid(input(0, o) + recurrent(h, 0, o));
              const double f = Sigmoid(input(1, o) + recurrent(h, 1, o));
              c[o] = f * c[o] + i * std::tanh(input(2, o) + recurrent(h, 2, o));
              next[o] = Sigmoid(input(3, o) + recurrent(h, 3, o)) * std::tanh(c[o]);
            } else if (cell <= ONEDNN_CELL_RELU) {
              const double sum = input(0, o) + recurrent(h, 0, o);
              next[o] = cell == ONEDNN_CELL_RELU ? std::fmax(sum, 0) : std::tanh(sum);
            } else {
              const double z = Sigmoid(input(0, o) + recurrent(h, 0, o));
              const double r = Sigmoid(input(1, o) + recurrent(h, 1, o));
              const double late = cell == ONEDNN_CELL_GRU
                                      ? recurrent(reset, 2, o)
                                      : r * (recurrent(h, 2, o) + in[3][(d * biases + 3) * n + o]);
              next[o] = (1 - z) * std::tanh(input(2, o) + late) + z * h[o];
            }
          }
          h = next;
          for (int64_t o = 0; o < n; ++o) {
            const int64_t at = ((t * problem_.directions + d) * batch + b) * n + o;
            tvi_dtype_write_f64(TRIVET_DTYPE_F32, out[0].bytes.data(), at, h[o]);
          }
        }
        for (int64_t o = 0; o < n; ++o) {
          const int64_t at = (d * batch + b) * n + o;
          tvi_dtype_write_f64(TRIVET_DTYPE_F32, out[1].bytes.data(), at, h[o]);
          tvi_dtype_write_f64(TRIVET_DTYPE_F32, out[2].bytes.data(), at, c[o]);
        }
      }
    }
    return out;
  }

  void Check() {
    const std::vector<Tensor> expected = Expect();
    ASSERT_EQ(RunLayer(), "");
    for (uint32_t i = 0; i < 3; ++i) {
      if (problem_.outputs >> i & 1) {
        EXPECT_LT(Error(tensors_[6 + i], expected[i]), 1e-6)
            << "cell " << problem_.cell << ", output " << i;
      }
    }
  }

  onednn_rnn_t problem_ = {};
  std::vector<Tensor> tensors_;
  bool has_states_ = false;
};

TEST_F(OnednnRnn, EveryCellInEveryDirection) {
  for (uint32_t cell = ONEDNN_CELL_TANH; cell <= ONEDNN_CELL_LSTM; ++cell) {
    const uint32_t all = cell == ONEDNN_CELL_LSTM ? 7 : 3;
    for (uint32_t direction = 0; direction < 3; ++direction) {
      for (bool states : {false, true}) {
        Layer(cell, direction == 2 ? 2 : 1, direction == 1, all, states);
        Check();
      }
    }
  }
}

TEST_F(OnednnRnn, ResultsThatNobodyReads) {
  for (uint32_t outputs = 1; outputs < 8; ++outputs) {
    Layer(ONEDNN_CELL_LSTM, 2, 0, outputs, outputs % 2 == 0);
    Check();
    Layer(ONEDNN_CELL_LSTM, 1, 1, outputs, outputs % 2 == 1);
    Check();
  }
}

TEST_F(OnednnRnn, NoSteps) {
  Layer(ONEDNN_CELL_LSTM, 1, 0, 6, true, 0);
  ASSERT_EQ(RunLayer(), "");
  EXPECT_EQ(tensors_[7].Values(), tensors_[4].Values());
  EXPECT_EQ(tensors_[8].Values(), tensors_[5].Values());
  Layer(ONEDNN_CELL_GRU, 1, 0, 2, false, 0);
  ASSERT_EQ(RunLayer(), "");
  EXPECT_EQ(tensors_[7].Values(), std::vector<double>(3 * kHidden, 0));
}

TEST_F(OnednnRnn, RefusesBlobsAndOperands) {
  const struct {
    void (*change)(onednn_rnn_t*);
    const char* message;
  } cases[] = {
      {[](onednn_rnn_t* p) { p->magic = 0; },
       "oneDNN recurrent layer: not a problem of this version"},
      {[](onednn_rnn_t* p) { p->cell = 5; }, "oneDNN recurrent layer: cell 5, 1 directions"},
      {[](onednn_rnn_t* p) { p->directions = 3; }, "oneDNN recurrent layer: cell 2, 3 directions"},
      {[](onednn_rnn_t* p) { p->outputs = 7; }, "oneDNN recurrent layer: cell 2, 1 directions"},
      {[](onednn_rnn_t* p) { p->hidden = -1; }, "oneDNN recurrent layer: extents"},
      {[](onednn_rnn_t* p) { p->in = 7; }, "oneDNN recurrent layer: operand 0 has another form"},
      {[](onednn_rnn_t* p) { p->cell = ONEDNN_CELL_TANH; },
       "oneDNN recurrent layer: operand 1 has another form"},
      {[](onednn_rnn_t* p) { p->cell = ONEDNN_CELL_GRU_LINEAR_BEFORE_RESET; },
       "oneDNN recurrent layer: operand 3 has another form"},
      {[](onednn_rnn_t* p) { p->outputs = 1; }, "oneDNN recurrent layer: 8 operands, not 7"},
  };
  for (const auto& c : cases) {
    Layer(ONEDNN_CELL_GRU, 1, 0, 3, false);
    c.change(&problem_);
    EXPECT_EQ(RunLayer(), c.message);
  }
  Layer(ONEDNN_CELL_GRU, 1, 0, 3, false);
  step_.operands[3] = -1;
  EXPECT_EQ(RunLayer(), "oneDNN recurrent layer: operand 3 is absent");
  Layer(ONEDNN_CELL_GRU, 1, 0, 3, false);
  step_.operands[5] = 5;
  EXPECT_EQ(RunLayer(), "oneDNN recurrent layer: a cell state");
  EXPECT_EQ(Message(onednn_rnn_verify(&problem_, 3)), "oneDNN recurrent layer: 3 bytes, not 40");
}

}  // namespace
