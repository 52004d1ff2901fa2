// SPDX-License-Identifier: MIT
// A P's queue of runnable Gs: a ring of 256.
//   producer     the P's owner only: put
//   consumers    the owner: get; any M: grab, by moving `head`
//   progress     put and get lock-free, grab lock-free
//   linearises   at the store of `tail` (put) or the compare-exchange of `head` (get, grab)
//   cost         put: one store-release; get: one compare-exchange
//   source       Go's runqput, runqget, runqgrab (proc.go)
// The indices run on for ever and wrap; the slot is the index modulo 256.
#pragma once
#include <cstdint>

#include "base/atomic.hpp"

namespace urge {

struct G;

class runq {
 public:
  static constexpr std::uint32_t capacity = 256;

  // Context: the owner. False: full.
  bool put(G* g) noexcept {
    const std::uint32_t h = head_.load(acquire);  // [runq.head] acquire: the slots below it have been read
    const std::uint32_t t = tail_.load(relaxed);  // owner only writes
    if (t - h >= capacity) return false;
    slots_[t % capacity].store(g, relaxed);
    tail_.store(t + 1, release);  // [runq.tail] release: the slot
    return true;
  }

  // Context: the owner. Null: empty. `alone`: there is no other P, so nobody steals, and a store will do.
  G* get(bool alone = false) noexcept {
    if (alone) {
      const std::uint32_t h = head_.load(relaxed);
      if (h == tail_.load(relaxed)) return nullptr;
      G* g = slots_[h % capacity].load(relaxed);
      head_.store(h + 1, relaxed);
      return g;
    }
    for (;;) {
      std::uint32_t h = head_.load(acquire);        // [runq.head] acquire: in step with thieves
      const std::uint32_t t = tail_.load(relaxed);  // owner only writes
      if (t == h) return nullptr;
      G* g = slots_[h % capacity].load(relaxed);
      if (head_.compare_exchange_weak(h, h + 1, release, relaxed))
        return g;  // [runq.head] release: the slot has been read
    }
  }

  // Takes half, rounded up, at most `max`, into `out`. Context: any M. Returns how many.
  std::uint32_t grab(G** out, std::uint32_t max = capacity) noexcept {
    for (;;) {
      std::uint32_t h = head_.load(acquire);        // [runq.head] acquire: in step with the other consumers
      const std::uint32_t t = tail_.load(acquire);  // [runq.tail] acquire: the slots
      std::uint32_t n = t - h;
      n -= n / 2;
      if (n == 0) return 0;
      if (n > capacity / 2) continue;  // h and t were read at different times
      if (n > max) n = max;
      for (std::uint32_t i = 0; i < n; ++i) out[i] = slots_[(h + i) % capacity].load(relaxed);
      if (head_.compare_exchange_weak(h, h + n, release, relaxed))
        return n;  // [runq.head] release: the slots have been read
    }
  }

  std::uint32_t size() const noexcept {
    const std::uint32_t h = head_.load(acquire);  // [runq.head] acquire: not newer than the tail read next
    return tail_.load(acquire) - h;               // [runq.tail] acquire
  }

 private:
  alignas(64) atomic<std::uint32_t> head_{0};
  alignas(64) atomic<std::uint32_t> tail_{0};
  atomic<G*> slots_[capacity] = {};
};

}  // namespace urge
