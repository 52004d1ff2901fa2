// SPDX-License-Identifier: MIT
// A one-shot event of one sleeper, on a futex (Go's note): clear, then wake at most once and sleep at most once.
// Everything before `wake` happens before the return of the `sleep` that sees it.
// Context: any thread, also the signal handler for `wake`.
#pragma once
#include "base/os.hpp"

namespace urge {

class note {
 public:
  void clear() noexcept { word_.store(0, relaxed); }
  void wake() noexcept {
    if (word_.exchange(1, release) == 0) os::futex_wake(word_, 1);  // [note] release: what the waker did before
  }
  // Sleeps until woken or until `deadline_ns`; true: woken. Does not clear.
  bool sleep(std::int64_t deadline_ns = os::no_deadline) noexcept {
    while (word_.load(acquire) == 0) {  // [note] acquire: sees what the waker did
      if (deadline_ns != os::no_deadline && monotonic_now() >= deadline_ns) return false;
      os::futex_wait(word_, 0, deadline_ns);
    }
    return true;
  }

 private:
  static std::int64_t monotonic_now() noexcept { return os::monotonic_ns(); }
  atomic<std::uint32_t> word_{0};
};

}  // namespace urge
