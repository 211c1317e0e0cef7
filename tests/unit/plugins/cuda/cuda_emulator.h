// SPDX-License-Identifier: Apache-2.0
//
// Runs kernel-IR programs through the printer of CUDA C and a host compiler, for tests on machines
// without a GPU. The threads of a block are fibers (cuda_emulation.h).
#ifndef TRIVET_TESTS_UNIT_PLUGINS_CUDA_CUDA_EMULATOR_H_
#define TRIVET_TESTS_UNIT_PLUGINS_CUDA_CUDA_EMULATOR_H_

#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

extern "C" {
#include "plugins/cuda/emit/emit_code.h"
}

namespace cuda_emulator {

inline std::string folder() {
  static const std::string path = [] {
    const char* base = getenv("TEST_TMPDIR");
    std::string pattern = std::string(base ? base : "/tmp") + "/emulate-XXXXXX";
    std::vector<char> text(pattern.begin(), pattern.end());
    text.push_back(0);
    return std::string(mkdtemp(text.data()) ? text.data() : "/tmp");
  }();
  return path;
}

// A text compiled by the host's compiler, with a function per kernel that launches it.
class Module {
 public:
  explicit Module(const tvi_cuda_code_t& code) {
    static int count = 0;
    const std::string base = folder() + "/k" + std::to_string(count++);
    {
      std::ofstream out(base + ".cc");
      out << "#include \"tests/unit/plugins/cuda/cuda_emulation.h\"\n" << code.source.data;
      for (size_t i = 0; i < code.launches.count; ++i) {
        const tvi_cuda_launch_t& launch = code.launches.data[i];
        for (uint32_t v = 0; v < launch.variant_count; ++v) {
          const std::string name = launch.variants[v].name;
          out << "static void enter_" << name << "(void** a) { tv_call(" << name << ", a); }\n";
          out << "extern \"C\" __attribute__((visibility(\"default\"))) void launch_" << name
              << "(void** a, unsigned blocks, unsigned threads) { tv_launch(enter_" << name
              << ", a, blocks, threads, " << launch.variants[v].cluster << "); }\n";
        }
      }
    }
    const char* compiler = getenv("CXX");
    std::string command = std::string(compiler ? compiler : "g++") +
                          " -std=c++17 -O0 -w -fwrapv -shared -fPIC -ffp-contract=off -I. -o " +
                          base + ".so " + base + ".cc > " + base + ".log 2>&1";
    if (system(command.c_str()) != 0) {
      std::ifstream log(base + ".log");
      std::string line, text;
      for (int n = 0; n < 20 && std::getline(log, line); ++n) text += line + "\n";
      throw std::runtime_error("the host's compiler refuses the text:\n" + text);
    }
    handle_ = dlopen((base + ".so").c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle_) throw std::runtime_error(dlerror());
    if (!getenv("TRIVET_KEEP")) {
      for (const char* end : {".cc", ".so", ".log"}) unlink((base + end).c_str());
    }
  }
  ~Module() {
    if (handle_) dlclose(handle_);
  }
  Module(const Module&) = delete;
  void launch(const std::string& name, void** arguments, unsigned blocks, unsigned threads) {
    auto f = (void (*)(void**, unsigned, unsigned))dlsym(handle_, ("launch_" + name).c_str());
    if (!f) throw std::runtime_error("no kernel " + name);
    f(arguments, blocks, threads);
  }

 private:
  void* handle_ = nullptr;
};

// The module of a text; the last one is kept, as the same program is run several times.
inline Module& module_of(const tvi_cuda_code_t& code) {
  static std::string text;
  static std::unique_ptr<Module> module;
  if (!module || text != code.source.data) {
    module.reset();
    module.reset(new Module(code));
    text = code.source.data;
  }
  return *module;
}

}  // namespace cuda_emulator

#endif  // TRIVET_TESTS_UNIT_PLUGINS_CUDA_CUDA_EMULATOR_H_
