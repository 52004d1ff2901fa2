// SPDX-License-Identifier: MIT
// Memory for tasks, of which each G has one. Not malloc's: a G that a signal stops inside malloc holds the lock of an
// arena until it runs again, and a program that starts a G after another is there all the time; whoever ends a G
// elsewhere would wait for that lock. So blocks of a size are kept in chains: a P has up to two of each size, and
// trades whole chains with a common depot. Memory is not given back; there is as much as tasks have ever lived at once.
// Source: Bonwick, Adams, "Magazines and Vmem", 2001.
#pragma once
#include <cstddef>

namespace urge {

struct task_block {
  task_block* next;        // in its chain
  task_block* next_chain;  // in the depot, of a chain's first
};

// Free blocks of one size; its owner's.
struct task_cache {
  task_block* first = nullptr;
  unsigned n = 0;
  task_block* full = nullptr;                     // a whole chain
  char *unused = nullptr, *unused_end = nullptr;  // never handed out
};

void renew_task_lock() noexcept;  // in a child of fork: its holder is not there

inline constexpr std::size_t task_step = 32, task_sizes = 16;  // sizes are multiples of it; larger ones are malloc's

}  // namespace urge
