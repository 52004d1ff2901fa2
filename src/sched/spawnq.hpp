// SPDX-License-Identifier: MIT
// A P's new Gs, which have not run yet: its owner takes the newest, others the oldest. So a tree of Gs is worked off
// depth first, with few alive at a time, whose stacks are in the cache still; and a thief gets the largest branches.
//   producer     the P's owner only: push; push_oldest, at the other end
//   consumers    the owner: pop; any M: grab
//   progress     push and pop wait-free but for thieves that get in between, grab lock-free
//   linearises   at the store of `tail` (push), else at the compare-exchange of `head`
//   cost         push: one store-release; pop: one compare-exchange
//   source       Chase and Lev, "Dynamic Circular Work-Stealing Deque" (2005), for thieves that take several at once
// `head` is the index of the oldest with a count of those that were taken at the other end, or were put at this one. A
// thief copies first and moves `head` then: if the owner has taken the newest meanwhile, the thief might have copied
// that, too, but the count has changed, and it begins anew. The owner lowers `tail` before it counts: a thief that sees
// the new count sees the new tail. Indices and count run on for ever and wrap.
#pragma once
#include <algorithm>
#include <cstdint>

#include "base/atomic.hpp"

namespace urge {

struct G;

class spawnq {
 public:
  static constexpr std::uint32_t capacity = 256;

  // Context: the owner. False: full.
  bool push(G* g) noexcept {
    const std::uint32_t h = index(head_.load(acquire));  // [spawnq.head] acquire: the slots below it have been read
    const std::uint32_t t = tail_.load(relaxed);         // owner only writes
    if (t - h >= capacity) return false;
    slots_[t % capacity].store(g, relaxed);
    tail_.store(t + 1, release);  // [spawnq.tail] release: the slot
    return true;
  }

  // As if it had been there before all others. Context: the owner. False: full.
  bool push_oldest(G* g) noexcept {
    for (;;) {
      std::uint64_t h = head_.load(acquire);  // [spawnq.head] acquire: as in push
      if (tail_.load(relaxed) - index(h) >= capacity) return false;
      const std::uint32_t at = index(h) - 1;
      slots_[at % capacity].store(g, relaxed);
      if (head_.compare_exchange_weak(h, pack(at, count(h) + 1), release, relaxed))  // [spawnq.head] release: the slot
        return true;
    }
  }

  // Context: the owner. Null: empty. `alone`: there is no other P, so nobody steals, and a store will do.
  G* pop(bool alone = false) noexcept {
    std::uint64_t h = head_.load(relaxed);
    const std::uint32_t t = tail_.load(relaxed);  // owner only writes
    if (index(h) == t) return nullptr;
    tail_.store(t - 1, relaxed);
    G* const g = slots_[(t - 1) % capacity].load(relaxed);
    if (alone) return g;
    // [spawnq.head] release: the new tail
    while (!head_.compare_exchange_weak(h, pack(index(h), count(h) + 1), release, relaxed)) {
      if (index(h) != t) continue;
      tail_.store(t, relaxed);  // thieves have had them all
      return nullptr;
    }
    return g;
  }

  // Takes half, rounded up, at most `max`, into `out`, oldest first. Context: any M. Returns how many.
  std::uint32_t grab(G** out, std::uint32_t max = capacity) noexcept {
    for (;;) {
      std::uint64_t h = head_.load(acquire);  // [spawnq.head] acquire: the tail that belongs to its count
      const std::uint32_t all = tail_.load(acquire) - index(h);  // [spawnq.tail] acquire: the slots
      if (static_cast<std::int32_t>(all) <= 0) return 0;  // below: the owner is about to find that there is none left
      if (all > capacity) continue;                       // h and t were read at different times
      const std::uint32_t n = std::min(all - all / 2, max);
      for (std::uint32_t i = 0; i < n; ++i) out[i] = slots_[(index(h) + i) % capacity].load(relaxed);
      if (head_.compare_exchange_strong(h, pack(index(h) + n, count(h)), acq_rel, relaxed))
        return n;           // [spawnq.head] release: the slots have been read
      max = (max + 1) / 2;  // the owner is quicker
    }
  }

  std::uint32_t size() const noexcept {
    const std::uint32_t h = index(head_.load(acquire));  // [spawnq.head] acquire: not newer than the tail read next
    const std::uint32_t n = tail_.load(acquire) - h;     // [spawnq.tail] acquire
    return n <= capacity ? n : 0;
  }

 private:
  static std::uint32_t index(std::uint64_t head) noexcept { return static_cast<std::uint32_t>(head); }
  static std::uint32_t count(std::uint64_t head) noexcept { return static_cast<std::uint32_t>(head >> 32); }
  static std::uint64_t pack(std::uint32_t index, std::uint32_t count) noexcept {
    return std::uint64_t{count} << 32 | index;
  }

  alignas(64) atomic<std::uint64_t> head_{0};
  alignas(64) atomic<std::uint32_t> tail_{0};
  atomic<G*> slots_[capacity] = {};
};

}  // namespace urge
