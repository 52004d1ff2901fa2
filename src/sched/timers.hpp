// SPDX-License-Identifier: MIT
// Timers of one P, through nodes that their users own, so that arming one allocates nothing: the near ones in a pairing
// heap, exactly in order, the others in a hierarchical timing wheel, unordered, until their time comes near. In a heap
// alone each step goes to some node on a stack that nobody has looked at for long; the wheel goes to a node two or
// three times in all. Any M may run the expired ones of any P. A node's function runs without preemption and without
// the lock (it may take a channel's): it makes a G runnable or puts a value into a channel's buffer, nothing else.
// Until it has returned the node is `firing`, and whoever wants to remove it waits; so after remove_timer the node is
// its owner's again. Sources: Fredman, Sedgewick, Sleator, Tarjan, "The pairing heap", 1986; Varghese and Lauck,
// "Hashed and hierarchical timing wheels", 1987 (scheme 7).
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
  static constexpr std::uint8_t in_heap = 0xff;
  std::uint8_t level = in_heap, slot = 0;  // of the wheel
  timer_node* child = nullptr;
  timer_node* sibling = nullptr;
  timer_node* prev = nullptr;  // parent if first child, else the sibling before; in the wheel: null if the first
};

// Time is counted in steps. A slot of level 0 is a step, one of level n a whole turn of level n-1. `now` is the first
// step that is not in the heap yet; whenever a level has made a turn, the next slot of the level above is dealt out to
// it. All is under the lock of the timers.
struct timer_wheel {
  static constexpr unsigned levels = 4, slots = 64, slot_bits = 6, step_bits = 15;  // a step: 33 us; all: 9 minutes
  struct level {
    std::uint64_t full = 0;  // the slots that hold some
    timer_node* first[slots] = {};
    std::int64_t earliest[slots];  // not after any in a slot that holds some
  };
  std::int64_t now = 0;
  level at[levels];

  bool empty() const noexcept { return (at[0].full | at[1].full | at[2].full | at[3].full) == 0; }
  std::int64_t heap_until() const noexcept { return now << step_bits; }
  void add(timer_node*) noexcept;
  void remove(timer_node*) noexcept;
  timer_node* take(unsigned level, unsigned slot) noexcept;  // all that is there, a list by `sibling`
  timer_node* step(std::int64_t target) noexcept;            // goes on, up to there; returns what the heap is to have
  std::int64_t earliest() const noexcept;                    // nothing in it is earlier; INT64_MAX: it is empty
};

struct timers {
  raw_lock lock;
  timer_node* root = nullptr;                   // lock; the heap: all that is earlier than wheel.heap_until()
  timer_wheel wheel;                            // lock
  timers* heir = nullptr;                       // lock; its P is gone: what comes here goes there
  atomic<std::int64_t> next_when{INT64_MAX};    // written under lock; read by anyone; nothing is earlier
  atomic<std::uint64_t> next_tick{UINT64_MAX};  // the same moment on the tick counter, for the cheap look in the loop
  atomic<std::uint64_t> fired{0};               // written under lock
  atomic<std::uint32_t> running{0};             // threads in the middle of `run` that have taken something out

  // True: it is the earliest now, so whoever sleeps until the earliest must be told.
  bool add(timer_node*) noexcept;
  // Runs what has expired by `now`, the earliest first, but no more than `most`; returns how many.
  unsigned run(std::int64_t now, unsigned most = UINT_MAX) noexcept;

  // lock is held:
  void put_locked(timer_node*) noexcept;
  timer_node* take_any_locked() noexcept;
  void bring_near_locked(std::int64_t now) noexcept;  // what is due by then is in the heap
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
