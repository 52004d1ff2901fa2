// SPDX-License-Identifier: MIT
// A function of libc that one of ours stands before, found by name in what comes behind us in the symbol order. All are
// looked up when the first run starts, for their own first call may come from a G, where the loader's lock must not be
// waited for. Context: any thread.
#pragma once
#include <dlfcn.h>

#include "base/atomic.hpp"
#include "base/fatal.hpp"

namespace urge::preempt {

template <class F>
class real {
 public:
  explicit constexpr real(const char* name) : name_(name) {}
  F* get() noexcept {
    F* f = found_.load(relaxed);  // whoever looks finds the same
    if (!f) [[unlikely]] {
      f = reinterpret_cast<F*>(dlsym(RTLD_NEXT, name_));
      if (!f) fatal("a function that libc does not have");
      found_.store(f, relaxed);
    }
    return f;
  }

 private:
  const char* name_;
  atomic<F*> found_{nullptr};
};

// Looks up what these files stand before. Context: the caller of `run`.
void find_lock_functions() noexcept;
void find_self_functions() noexcept;
void find_setxid_functions() noexcept;
void find_exec_functions() noexcept;
void find_jump_functions() noexcept;

}  // namespace urge::preempt
