// SPDX-License-Identifier: MIT
// The runtime's own lock: a futex with three states (0 free, 1 held, 2 held and somebody may sleep), Go's lock_futex.
// Its holder is never preempted by us (it holds `locks` of its G, or runs on g0), so a short spin is worth while; the
// kernel may still take the holder off its CPU, so the spin ends in a sleep. It has no owner: a G that parks passes the
// lock on to the code that runs after its switch, which unlocks it.
// Use it by std::lock_guard. Order of locks, outermost first: a wait list or channel, then timers, then a run queue or
// `sched.lock`, then the pools.
#pragma once
#include <x86intrin.h>

#include <mutex>

#include "base/fatal.hpp"
#include "base/os.hpp"

namespace urge {

class raw_lock {
 public:
  void lock() noexcept {
    std::uint32_t free = 0;
    if (word_.compare_exchange_strong(free, 1, acquire, relaxed)) [[likely]]
      return;  // [lock] acquire: the last holder's writes
    acquire_slow();
  }
  void unlock() noexcept {
    if (word_.exchange(0, release) == 2) [[unlikely]]
      os::futex_wake(word_, 1);  // [lock] release: the writes made under it
  }
  bool try_lock() noexcept {
    std::uint32_t free = 0;
    return word_.compare_exchange_strong(free, 1, acquire, relaxed);  // [lock] acquire: as above
  }

 private:
  void acquire_slow() noexcept {
    std::uint32_t held_as = 1;
    for (;;) {
      // Each look takes the line from the holder, who mostly wants the lock again at once. So it is seldom, and more
      // seldom: that is quicker for both (eight Gs at one channel on two CPUs: 67 ns an item, with this 16).
      for (int pauses = 4; pauses <= 64; pauses *= 2) {
        for (int i = 0; i < pauses; ++i) _mm_pause();
        std::uint32_t free = 0;
        if (word_.load(relaxed) == 0 && word_.compare_exchange_weak(free, held_as, acquire, relaxed))
          return;  // [lock] acquire
      }
      // From here on whoever unlocks must wake; we keep saying so when we get it, for others may sleep beside us.
      held_as = 2;
      if (os::forked.load(relaxed)) [[unlikely]]
        fatal("a child of fork waits for a lock of its parent's run: only exec and _exit are supported there");
      if (word_.exchange(2, acquire) == 0) return;  // [lock] acquire
      os::futex_wait(word_, 2);
    }
  }
  atomic<std::uint32_t> word_{0};
};

}  // namespace urge
