// SPDX-License-Identifier: MIT
// A function of libc, or of a library that was preloaded, that one of the command's stands before: found by name in
// what comes behind us in the symbol order, at its first use, which may be the loader's, before any constructor has
// run. Context: any thread.
#pragma once
#include <dlfcn.h>

#include <atomic>

namespace urge::cli {

template <class F>
class next_function {
 public:
  explicit constexpr next_function(const char* name) : name_(name) {}
  // Null: there is none.
  F* get() noexcept {
    F* f = found_.load(std::memory_order_relaxed);  // whoever looks finds the same
    if (!f) [[unlikely]] {
      f = reinterpret_cast<F*>(::dlsym(RTLD_NEXT, name_));
      found_.store(f, std::memory_order_relaxed);
    }
    return f;
  }

 private:
  const char* name_;
  std::atomic<F*> found_{nullptr};
};

}  // namespace urge::cli
