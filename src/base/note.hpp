// SPDX-License-Identifier: MIT
// A one-shot event of one sleeper, on a futex (Go's note): clear, then wake at most once and sleep at most once.
// Everything before `wake` happens before the return of the `sleep` that sees it.
// The sleeper may wait for descriptors instead, between begin_poll and end_poll (sched/netpoll.hpp): then the word says
// so, and `wake` writes to the eventfd that is among them. The exchange tells the one from the other, so no wake-up is
// lost, and none but the first writes.
// Context: any thread, also the signal handler for `wake`.
#pragma once
#include "base/poll.hpp"

namespace urge {

class note {
 public:
  void clear() noexcept { word_.store(0, relaxed); }
  void wake() noexcept {
    const std::uint32_t slept = word_.exchange(woken, release);  // [note] release: what the waker did before
    if (slept == 0)
      os::futex_wake(word_, 1);
    else if (slept == polls)
      os::poll_break.wake();
  }
  // Sleeps until woken or until `deadline_ns`; true: woken. Does not clear.
  bool sleep(std::int64_t deadline_ns = os::no_deadline) noexcept {
    while (word_.load(acquire) == 0) {  // [note] acquire: sees what the waker did
      if (deadline_ns != os::no_deadline && monotonic_now() >= deadline_ns) return false;
      os::futex_wait(word_, 0, deadline_ns);
    }
    return true;
  }

  // From here on a waker breaks off the poll. False: woken already.
  bool begin_poll() noexcept {
    std::uint32_t clear = 0;
    return word_.compare_exchange_strong(clear, polls, acquire, acquire);  // [note] acquire: as in sleep
  }
  bool woken_in_poll() const noexcept { return word_.load(relaxed) == woken; }
  // True: woken.
  bool end_poll() noexcept {
    std::uint32_t still = polls;
    return !word_.compare_exchange_strong(still, 0, acquire, acquire);  // [note] acquire: as in sleep
  }

 private:
  static constexpr std::uint32_t woken = 1, polls = 2;
  static std::int64_t monotonic_now() noexcept { return os::monotonic_ns(); }
  atomic<std::uint32_t> word_{0};
};

}  // namespace urge
