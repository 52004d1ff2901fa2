// SPDX-License-Identifier: MIT
// G: a goroutine. Descriptors come from slabs that are never given back, so that sysmon, a dump or a late signal may
// look at any of them at any time. Fields stand in groups by who may write them.
#pragma once
#include <cstdint>
#include <string_view>

#include "arch/arch.hpp"
#include "sched/identity.hpp"
#include "sched/status.hpp"
#include "stack/stack.hpp"

namespace urge {

namespace detail {
class task;
}
struct P;
struct wait_record;
struct alloca_block;

enum class wait_reason : std::uint8_t {
  none,
  sleep,
  chan_receive,
  chan_send,
  select,
  mutex,
  shared_mutex,
  condition_variable,
  relock,  // of its mutex: before that a G may not leave, not even one that is killed
  semaphore,
  latch,
  barrier,
  once,
  wait_group,
  join,
  main_exit,
  paused,
  io_read,
  io_write
};
std::string_view name_of(wait_reason) noexcept;

// none     it is not
// wanted   it shall end: unwound at its next wait or yield point, or left where a signal stops it
// unwinding  the exception is on its way
enum class doom : std::uint32_t { none, wanted, unwinding };

inline constexpr std::uint64_t wait_claimed = 1;  // in G::wait_word: sched/waitq.hpp

struct G {
  // --- the G itself, and the handler on its own thread: `locks` > 0 means: not preemptible ---
  atomic<std::uint32_t> locks{0};
  atomic<std::uint32_t> guards{0};  // of these, held by preempt_guards
  atomic<std::uint32_t> pthread_locks{
      0};  // mutexes, rwlocks, FILEs that it holds or is about to: preempt/lock_count.cpp

  // --- whoever owns it by its status; `m` is stable for the G itself while locks > 0 ---
  atomic<g_status> status{g_status::idle};
  M* m = nullptr;
  G* link = nullptr;               // next in a queue or free list
  M* home = nullptr;               // only this M may run it: it stands there (docs/protocols/kernel_thread.md)
  bool keeps_m = false;            // its next stop binds it to its M
  std::uint32_t thread_locks = 0;  // nested calls of lock_os_thread; the G's: while above 0 it keeps its M
  arch::context context = nullptr;
  identity* own = nullptr;  // carried along since a preemption; null: runs under its M's loan
  eh_state eh;              // exceptions in flight, while it is stopped and has no identity of its own
  stack stk;
  detail::task* job = nullptr;
  // It is to end, and inside libc: the return address there is exchanged for urge_stop_at_return (runtime/way_out.hpp).
  std::uintptr_t* way_out = nullptr;
  std::uintptr_t returns_to = 0;  // what it was
  void* tag = nullptr;            // runtime/host.hpp
  std::uint64_t sigmask = 0;      // at its last stop
  char* alt_low = nullptr;        // alternate signal stack of its own: as it gave it; null: none
  std::size_t alt_size = 0;
  int alt_flags = 0;
  bool alt_in_use = false;        // the kernel has it while the G runs; else it is too small for us
  bool has_thread_state = false;  // mask or alternate stack may differ from the M's: sched/thread_state.cpp
  bool sets_sigmask = false;      // it has set a mask: from then on that is looked at whenever it stops
  bool own_identity = false;      // it has `own` from its start on, one that nobody had before
  bool stopped_by_signal = false;
  bool kept_back = false;         // dead, but all that it has is kept until the run ends
  const char* saved = nullptr;    // then: top of the stack where the trampoline has saved its registers
  bool stopped_at_entry = false;  // in the next landing: a function entry has brought it there, no signal
  alloca_block* lent = nullptr;   // memory instead of some on its stack: sched/alloca_blocks.hpp
  bool lending = false;           // in the middle of that
  atomic<bool> orphan{false};     // given up in a system call at the end of its run; set by both sides, relaxed

  // --- set at its start, const until its end ---
  std::uint64_t id = 0;
  std::size_t stack_size = 0;
  std::uint32_t weight = 1;
  std::uint64_t cpu_limit = 0;  // ticks
  char name[64] = {};

  // --- being stopped by others (docs/protocols/kill.md) ---
  atomic<doom> doomed{doom::none};
  atomic<bool> from_locks{false};  // kill has waited long enough: also out of a wait for a lock
  std::uint64_t doomed_at = 0;     // its CPU time when it began to unwind, ticks; the G's
  std::uint64_t pause_at = 0;      // CPU time at which it is to pause; 0: never. The G's, or who resumes it
  std::uint64_t slice_left = 0;   // of a slice that was cut short for a woken G: the length of its next; 0: a whole one
  std::uint32_t n_started = 0;    // Gs, since it has last let them run
  bool lets_new_run = true;       // that is: as these become many
  std::uint64_t given = 0;        // ticks: for so long it has stood aside for woken Gs since its slice began
  std::uint64_t look_at = 0;      // the earlier of the two: limit or pause; 0: none
  atomic<std::uint32_t> on_p{0};  // where it runs, or has run last: a hint
  atomic<std::uint64_t> wait_word{
      wait_claimed};  // its current wait, and whether somebody has claimed it: sched/waitq.hpp

  // --- its fault, by the handler that ends it: docs/protocols/kill.md ---
  int fault = 0;
  std::uintptr_t fault_address = 0;
  bool stack_overflow = false;
  bool fault_inside = false;  // in libc or its like: what it holds there is not known

  // --- accounting: written by the owner, read by anyone, relaxed ---
  atomic<std::uint64_t> cpu{0};             // ticks, up to the last switch
  atomic<std::uint64_t> run_start{0};       // tick of the last switch to it
  atomic<std::uint64_t> runnable_since{0};  // tick
  atomic<std::uint64_t> max_wait{0};        // ticks
  atomic<std::uint64_t> n_cooperative{0}, n_async{0}, n_kernel_thread{0}, n_promoted{0};
  atomic<wait_reason> reason{wait_reason::none};
  atomic<std::uint64_t> waiting_since{0};    // tick
  atomic<wait_record*> waiting_on{nullptr};  // what it waits on: for the end of a run, and dumps

  void* fiber = nullptr;        // ThreadSanitizer's, in its build
  unsigned fiber_ends = 0;      // Gs that have ended on that fiber
  bool ends_by_itself = false;  // the G is in its last switch, in that build
  void* fake_stack = nullptr;   // AddressSanitizer's, in its build

  std::string_view called() const noexcept { return name; }
};

static_assert(offsetof(G, returns_to) == 120, "async_preempt.S knows it");

// Takes a free descriptor; null: out of memory. Context: preemption held off. Numbers and fields are the caller's to
// set.
G* take_g(P*) noexcept;
void put_g(P*, G*) noexcept;

// Calls f(G&) for every descriptor that was ever made, whatever its state. Lock-free. Context: any, handlers too.
template <class F>
void for_each_g(F&& f) noexcept;

namespace slabs {
inline constexpr std::size_t per_slab = 1024;
inline constexpr std::size_t max_slabs = 16384;
extern atomic<G*> table[max_slabs];
extern atomic<std::size_t> made;  // descriptors handed out so far, in order
}  // namespace slabs

template <class F>
void for_each_g(F&& f) noexcept {
  const std::size_t n = slabs::made.load(acquire);  // [slabs] acquire: their constructors
  for (std::size_t i = 0; i < n; ++i) f(slabs::table[i / slabs::per_slab].load(relaxed)[i % slabs::per_slab]);
}

}  // namespace urge
