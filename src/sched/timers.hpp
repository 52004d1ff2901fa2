// SPDX-License-Identifier: MIT
// Timers of one P: a pairing heap through nodes that their users own, so that arming one allocates nothing. Any M may
// run the expired ones of any P. A node's function runs without preemption and without the heap's lock (it may take a
// channel's): it makes a G runnable or puts a value into a channel's buffer, nothing else. Until it has returned the
// node is `firing`, and whoever wants to remove it waits; so after remove_timer the node is its owner's again. Source:
// Fredman, Sedgewick, Sleator, Tarjan, "The pairing heap", 1986.
#pragma once
#include <climits>
#include <cstdint>

#include "base/lock.hpp"

namespace urge {

struct timers;

struct timer_node {
  std::int64_t when = 0;    // monotonic ns
  std::int64_t period = 0;  // ns; above 0: it is armed again when it has fired
  void (*fire)(timer_node*) noexcept = nullptr;
  atomic<timers*> home{nullptr};  // the heap it is in or was in last; written under that heap's lock
  enum class state : std::uint32_t { idle, armed, firing };
  atomic<state> now{state::idle};  // to armed and to firing under home's lock; back to idle by who fires
  timer_node* child = nullptr;
  timer_node* sibling = nullptr;
  timer_node* prev = nullptr;  // parent if first child, else the sibling before
};

struct timers {
  raw_lock lock;
  timer_node* root = nullptr;                   // lock
  timers* heir = nullptr;                       // lock; its P is gone: what comes here goes there
  atomic<std::int64_t> next_when{INT64_MAX};    // written under lock; read by anyone, as a hint
  atomic<std::uint64_t> next_tick{UINT64_MAX};  // the same moment on the tick counter, for the cheap look in the loop
  atomic<std::uint64_t> fired{0};               // written under lock
  atomic<std::uint32_t> running{0};             // threads in the middle of `run` that have taken something out

  // True: it is the earliest now, so whoever sleeps until the earliest must be told.
  bool add(timer_node*) noexcept;
  // Runs what has expired by `now`, the earliest first, but no more than `most`; returns how many.
  unsigned run(std::int64_t now, unsigned most = UINT_MAX) noexcept;

  // lock is held:
  void remove_locked(timer_node*, timer_node::state then) noexcept;
  void set_next_locked() noexcept;
  // Hands all that is in it, and all that comes, to another that has no heir. Context: the world stands still.
  void move_to(timers& other) noexcept;
  // Empties the heap without firing anything. Context: the end of a run.
  void clear() noexcept;
};

// Takes it out of whichever heap it is in. True: it was pending, and will not fire. False: it had fired or was never
// armed, and its function is over. Context: any thread, preemption held off.
bool remove_timer(timer_node*) noexcept;

}  // namespace urge
