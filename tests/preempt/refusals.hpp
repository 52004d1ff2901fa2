// SPDX-License-Identifier: MIT
// A G that asks for its own preemption, to see at which place it is refused and why: it writes what sysmon would, and
// sends itself the signal by a bare system call, behind which the handler runs before any other instruction does. The
// slices are so long that sysmon asks for nothing. Context: Gs, of runs with one P.
#pragma once
#include <urge/go.hpp>

#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <ostream>

#include "base/clock.hpp"
#include "base/os.hpp"
#include "preempt/handler.hpp"
#include "preempt/preempt.hpp"
#include "support/runtime_fixture.hpp"

namespace urge::test {

inline constexpr std::size_t reasons = static_cast<std::size_t>(defer_reason::count_);
using reason_counts = std::array<std::uint64_t, reasons>;

inline options quiet(preempt_mode mode = preempt_mode::async) {
  options o{.procs = 1, .quantum = 10s, .preempt = mode};
  o.wakeup_preempt = false;
  return o;
}

// By loads alone: a call of urge may give way, which begins another slice.
inline reason_counts refused_so_far() {
  reason_counts all;
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = preempt::deferred(static_cast<defer_reason>(i));
  return all;
}
inline std::uint64_t stops_of(const G& g) { return g.n_async.load(relaxed) + g.n_kernel_thread.load(relaxed); }

// What came of a request: a stop, a refusal by one reason, or neither. Nothing here allocates: some ask inside the
// runtime, or in a handler.
struct answer {
  bool stopped = false;
  reason_counts refused{};
  bool operator==(const answer&) const = default;
};
inline void PrintTo(const answer& a, std::ostream* out) {
  *out << (a.stopped ? "stopped" : "not stopped");
  for (std::size_t r = 0; r < reasons; ++r)
    if (a.refused[r]) *out << ", refused " << a.refused[r] << " times by reason " << r;
}
inline const answer a_stop{true, {}};
inline const answer nothing{};  // for no reason, or not asked
inline answer refusal(defer_reason why) {
  answer a;
  a.refused[static_cast<std::size_t>(why)] = 1;
  return a;
}

// The request, as sysmon writes it, but for the yield word.
inline void write_request(bool valid = true) {
  M& m = *current_g()->m;
  P& p = *m.p;
  p.slice_end_ns.store(monotonic_ns(), relaxed);
  p.request.store(valid ? p.schedtick.load(relaxed) : 0, relaxed);
  m.signal_pending.store(M::sent, release);
}

// The ways to send the signal to oneself; the place is the instruction behind the system call.
inline void send_here(int signal = SIGURG) {
  long result;
  asm volatile("syscall" : "=a"(result) : "a"(SYS_tkill), "D"(os::gettid()), "S"(signal) : "rcx", "r11", "memory");
}
inline void send_in_libc() { ::syscall(SYS_tkill, os::gettid(), SIGURG); }
// With that stack pointer.
inline void send_at(char* sp) {
  long result;
  asm volatile(
      "movq %%rsp, %%r12\n\t"
      "movq %[sp], %%rsp\n\t"
      "syscall\n\t"
      "movq %%r12, %%rsp"
      : "=a"(result)
      : "a"(SYS_tkill), "D"(os::gettid()), "S"(SIGURG), [sp] "r"(sp)
      : "rcx", "r11", "r12", "memory");
}

// While sysmon looks whether a thread sleeps, the handler refuses for no reason, and is asked again.
inline constexpr int patience = 5000;

template <class Send>
answer ask(Send send, bool valid = true) {
  const G& g = *current_g();
  for (int i = 0; i < patience; ++i) {
    const reason_counts before = refused_so_far();
    const std::uint64_t stops = stops_of(g);
    write_request(valid);
    send();
    const reason_counts after = refused_so_far();
    answer a{stops_of(g) != stops, {}};
    for (std::size_t r = 0; r < reasons; ++r) a.refused[r] = after[r] - before[r];
    if (!valid || a != nothing) return a;
  }
  return {};
}
inline answer ask() {
  return ask([] { send_here(); });
}
// Where nothing is in the way. The maker may have the lock of the spares for the moment, or is about to make one. The
// G does not sleep meanwhile: its P would go to another.
inline std::atomic<std::uint64_t> asked_again{0};
inline answer ask_until_stopped() {
  answer a;
  for (int i = 0; i < patience; ++i) {
    a = ask();
    if (a != refusal(defer_reason::no_identity)) break;
    asked_again.fetch_add(1);
    for (const std::uint64_t until = ticks() + ns_to_ticks(50'000); ticks() < until;) os::sched_yield();
  }
  return a;
}

// While the run is on: at its end all are asked to stop.
inline void expect_in_stats(defer_reason why, std::uint64_t n) {
  EXPECT_EQ(snapshot().deferred_by_reason[static_cast<std::size_t>(why)], n);
}

class Refusals : public Plain {
 protected:
  void SetUp() override { URGE_TEST_NEEDS_ASYNC(); }
};

}  // namespace urge::test
