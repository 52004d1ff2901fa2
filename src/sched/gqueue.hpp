// SPDX-License-Identifier: MIT
// A singly linked list of Gs through G::link, with its length. No atomics: the caller holds the lock that guards it.
#pragma once
#include <cstdint>

#include "sched/g.hpp"

namespace urge {

struct gqueue {
  G* first = nullptr;
  G* last = nullptr;
  std::uint64_t n = 0;

  void push_back(G* g) noexcept {
    g->link = nullptr;
    (last ? last->link : first) = g;
    last = g, ++n;
  }
  void append(gqueue& other) noexcept {
    if (!other.first) return;
    (last ? last->link : first) = other.first;
    last = other.last, n += other.n;
    other = {};
  }
  G* pop_front() noexcept {
    G* g = first;
    if (g) {
      first = g->link;
      if (!first) last = nullptr;
      g->link = nullptr, --n;
    }
    return g;
  }
};

}  // namespace urge
