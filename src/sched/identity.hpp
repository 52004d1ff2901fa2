// SPDX-License-Identifier: MIT
// A thread identity: a TLS block with its `struct pthread`, what the thread base register points at, and the dead stack
// of the thread it was made by. This is the mechanism; who makes them and who gets one is preempt/identity_pool.hpp.
// Descriptors are never freed: sysmon and dumps look at them at any time. One goes with one stack for good.
#pragma once
#include <cstddef>
#include <cstdint>

#include "base/atomic.hpp"

namespace urge {

struct G;
struct M;

// The C++ runtime's exceptions in flight: what __cxa_get_globals() points at (Itanium C++ ABI 2.2.2).
struct eh_state {
  void* caught = nullptr;
  unsigned uncaught = 0;
};

// What the runtime keeps in every TLS block. Written by the thread that binds the block, before the thread base points
// at it; read by the code under it and by the signal handler.
struct tls_words {
  G* g = nullptr;  // the G that runs under this block; null on g0 and on threads that urge did not make
  M* m = nullptr;  // its M; null on threads that urge did not make
  std::uintptr_t has_returned = 0;  // from libc, by urge_stop_at_return (async_preempt.S), which sets it; the landing's
};
static_assert(offsetof(tls_words, has_returned) == 16);

struct identity {
  std::uintptr_t base = 0;           // thread base
  tls_words* words = nullptr;        // in the block
  unsigned* yield_wanted = nullptr;  // in the block: urge_yield_wanted
  eh_state* eh = nullptr;            // in the block
  char* stack_top = nullptr;  // of the stack its donor left: where the trampoline saves (= urge_async_sp in the block)
  identity* next = nullptr;   // pool's lock
  char* low = nullptr;        // of the donor's stack, which the block is a part of
  // --- for the end of the donor as a thread: preempt/donor.cpp ---
  void* donor = nullptr;                // its context
  int* tid_word = nullptr;              // in the block
  atomic<std::uint32_t> on_its_way{0};  // its kernel thread has not ended yet: cleared by the kernel; parked: by us
  atomic<int> tid{0};                   // of a parked one's thread, while it sleeps
  identity* next_all = nullptr;         // const
  bool parked = false;                  // its kernel thread sleeps, see preempt/donor.hpp
  bool ended = false;                   // its G has run the destructors of its thread_local: it is good for nobody else
};

}  // namespace urge

extern "C" {
extern __thread urge::tls_words urge_tls __attribute__((tls_model("initial-exec"), visibility("hidden")));
// Top of the identity's own stack, for the trampoline (arch/x86_64/async_preempt.S).
extern __thread char* urge_async_sp __attribute__((tls_model("initial-exec"), visibility("hidden")));
// Of an M's own thread.
extern __thread urge::identity urge_identity __attribute__((tls_model("initial-exec"), visibility("hidden")));
}
