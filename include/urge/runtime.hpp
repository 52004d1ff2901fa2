// SPDX-License-Identifier: MIT
// The runtime as a whole: options, run, counters, dump.
#pragma once
#include <urge/detail/task.hpp>
#include <urge/errors.hpp>

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#pragma GCC visibility push(default)

namespace urge {

// How Gs are stopped when their slice has run out.
enum class preempt_mode {
  off,          // never
  cooperative,  // at yield points: calls of urge, preempt_point(), function entries of code compiled with checks
  async,        // also by signal, at any instruction
  // As async, but a G that a signal has stopped keeps its kernel thread, and runs under that thread's own identity: for
  // code that needs the kernel's state of a thread (robust and PI mutexes, rseq, gettid), and for comparison. A thread
  // for each stopped G, up to max_threads; a switch between threads for each preemption. `thread_local`s are those of
  // the thread: a G that waits may go on on another one. Source: KLT-switching (Shiina et al., Lightweight Preemptive
  // User-Level Threads, PPoPP 2021).
  kernel_thread,
};

// Where runnable Gs wait. gmp: a queue per P, with stealing. gm: one queue under one lock, Go 1.0's, for comparison.
enum class sched_model { gmp, gm };

// Who sees that a slice has run out: a thread of the runtime, which then sends the signal; or a POSIX timer of each
// kernel thread, armed while others wait (figures: docs/protocols/preempt_request.md). A timer may hit a call of the
// kernel that sleeps, and one of those that never restart then returns EINTR: where the slice ends before sysmon has
// found the thread asleep, which is looked for 1 ms into a slice.
enum class slice_source { sysmon, timer };

// What `run` may be told. Each value outside its range makes it throw std::invalid_argument naming option and value.
struct options {
  unsigned procs = 0;  // number of Ps, 1 to 1024; 0: CPUs that this process may use (affinity mask and cgroup quota)
  std::chrono::nanoseconds quantum = std::chrono::milliseconds(10);  // slice of a G, 20 us to 10 s
  preempt_mode preempt = preempt_mode::async;
  sched_model model = sched_model::gmp;
  std::size_t stack_size = 256 * 1024;  // bytes, 16 KiB to 1 GiB, rounded up to pages; virtual, committed on touch
  unsigned max_threads = 10000;         // Ms, 2 to 100,000; exceeding it is a fatal error
  unsigned max_identities = 16384;      // Gs that may carry a thread identity of their own at once, 0 to 1,000,000
  int signal = SIGURG;                  // SIGURG, SIGUSR1, SIGUSR2 or SIGRTMIN to SIGRTMAX
  bool wakeup_preempt = true;  // a G that a timer, I/O or another thread makes runnable goes before others, and
                               // may preempt one that has run for 100 us, on each P once in 1 ms
  unsigned wakeup_share = 50;  // percent of a P's time, while others wait, that Gs may have which go before
                               // them so; 0 to 100. URGE_WAKEUP_SHARE
  slice_source slice_end = slice_source::sysmon;  // for preempt_mode async and kernel_thread. URGE_SLICE_END
  // Short jobs first, without being told which they are: a G that has used up a slice goes behind those that have not,
  // and a slice ends after so long already while one of these waits. Who goes behind gets a slice of each P once in a
  // quantum all the same. 20 us to `quantum`; 0: not. Slices are ended by sysmon then, whatever `slice_end` says.
  // URGE_MIN_QUANTUM
  std::chrono::nanoseconds min_quantum{0};
  // SIGSEGV, SIGBUS, SIGFPE, SIGILL and abort() in the code of a G end that G after a report, as if killed where it
  // stands (see stats.kept_back), and not the process. What it has overwritten before is nobody's business but the
  // program's. Not where the program has a handler of its own for the signal when `run` begins.
  bool contain_faults = false;

  // The defaults, changed by URGE_PROCS, URGE_QUANTUM (10ms, 500us), URGE_PREEMPT (off, cooperative, async,
  // kernel_thread), URGE_MODEL (gmp, gm), URGE_STACK (bytes, or with K, M, G), URGE_SIGNAL (a name or a number),
  // URGE_WAKEUP_SHARE (percent), URGE_SLICE_END (sysmon, timer) and URGE_MIN_QUANTUM (200us; 0).
  // Threads: any. Throws: std::invalid_argument naming the variable, its value and what is allowed.
  static options from_env();
};

// Why a preemption that was asked for did not take place at once.
enum class defer_reason : unsigned {
  in_runtime,   // the G was inside urge
  guarded,      // under a preempt_guard
  no_identity,  // no spare thread identity, or max_identities reached; in kernel_thread mode: no spare thread
  in_handler,   // in a signal handler of the user, or on the alternate stack
  trampoline,   // in the few instructions before and after the scheduler
  no_room,      // less stack left than a pushed return address needs
  grace,        // inside libc, the loader or the unwinder; asked again after 50 us
  count_
};

// Whose code a G was in when a signal stopped it, by its program counter.
enum class stop_place : unsigned {
  elsewhere,  // the program's own code and any other library
  malloc,     // of libc: at least so many (preempt/text_ranges.cpp says how sure that is)
  libc,       // the rest of libc, and libm
  loader,
  libstdcxx,
  unwinder,  // libgcc
  count_
};

// Latencies in classes of 1/16 octave; written by the runtime, read at any time.
class latency_histogram {
 public:
  std::uint64_t count() const noexcept;
  std::int64_t percentile(double p) const noexcept;  // p in 0..100; ns, upper end of its class; 0 if empty
  std::int64_t max() const noexcept;                 // ns, exact

  static constexpr std::size_t classes = 64 * 16;
  std::array<std::uint64_t, classes> counts{};
  std::int64_t largest = 0;
};

// Counters since the start of the run; they stay readable after it.
struct stats {
  std::uint64_t spawned = 0, finished = 0, live = 0;
  std::uint64_t switches = 0;            // times that a G was given a P
  std::uint64_t steals = 0, stolen = 0;  // successful steals, and Gs moved by them
  std::uint64_t global_gets = 0;         // Gs taken from the global queue
  std::uint64_t handoffs = 0;            // Ps handed to another M
  std::uint64_t retakes = 0;             // Ps that sysmon took from blocked Ms
  std::uint64_t preempt_requests = 0;    // slices that ran out while somebody waited
  std::uint64_t preempt_signals = 0;     // signals sent for them
  std::uint64_t preempts_cooperative = 0, preempts_async = 0, preempts_kernel_thread = 0;
  std::uint64_t preempts_by_signal() const noexcept { return preempts_async + preempts_kernel_thread; }
  std::uint64_t preempts_deferred = 0;  // refused for the time being, in all and by reason
  std::array<std::uint64_t, static_cast<std::size_t>(defer_reason::count_)> deferred_by_reason{};
  std::array<std::uint64_t, static_cast<std::size_t>(stop_place::count_)> stops_by_place{};  // of preempts_by_signal()
  std::uint64_t stops_under_lock = 0;   // of these, those of a G that held a lock of pthread
  std::uint64_t resumed_elsewhere = 0;  // of these, those that went on on another M
  std::uint64_t promoted = 0;           // Gs that took their M's identity along
  std::uint64_t identities_taken = 0, identities_made = 0, identities_lost = 0;
  std::uint64_t identities_given_back = 0;  // by Gs that were still alive, as few were left
  std::uint64_t kept_back = 0;              // Gs killed where they stood: all that they hold is kept until `run` ends
  std::uint64_t kept_back_bytes = 0;        // of their stacks; what they have on the heap is not known
  std::uint64_t abandoned = 0;              // Gs alive when `run` ended
  std::uint64_t abandoned_inside = 0;       // of these, those that did not come out of libc within 1 s
  // Threads asleep in system calls that urge was not told of: Ps that were taken from them; threads that went on
  // without one and had to be stopped; calls that never restart and were hit by the preemption signal all the same:
  // begun anew, or returned EINTR. Looks at what a thread does that told nothing.
  std::uint64_t detached = 0, contained = 0, calls_begun_anew = 0, calls_interrupted = 0, looks_in_vain = 0;
  std::uint64_t threads = 0, idle_threads = 0, spinning = 0;
  std::uint64_t threads_refused = 0;  // threads that the kernel refused: the Ps went on with those that there were
  std::uint64_t wakeup_preempts = 0, timers_fired = 0;
  std::uint64_t netpoll_wakeups = 0;  // Gs of urge::io that went on because their descriptor had changed
  std::uint64_t netpoll_returns = 0;  // times that a thread came back from waiting for descriptors
  latency_histogram preempt_latency;  // from the end of the slice to the moment that the G is off its P
};

namespace detail {
void run_main(task&, const options&);
void validate(const options&);
}  // namespace detail

// Starts the runtime, runs `main` as the main G and returns its value or rethrows its exception. As in Go, Gs that are
// still alive then are abandoned without unwinding (their destructors do not run). It can be called again afterwards.
// Threads: outside a G, one at a time. Blocks: the thread.
// Throws: std::logic_error from inside a G or while another thread is in it; std::invalid_argument for a bad option;
// std::system_error when a thread or memory could not be had at the start; deadlock; what `main` throws.
template <class F>
auto run(F&& main, options how = options::from_env()) -> std::invoke_result_t<F> {
  using R = std::invoke_result_t<F>;
  static_assert(!std::is_reference_v<R>, "urge::run returns by value");
  using call = detail::closure<std::decay_t<F>>;
  struct dropper {
    void operator()(detail::task* t) const noexcept { t->drop(); }
  };
  std::unique_ptr<detail::spawned<R, call>, dropper> t(new detail::spawned<R, call>(std::forward<F>(main)));
  detail::run_main(*t, how);
  const auto outcome = t->state.load(std::memory_order_acquire);  // [task.state] acquire: the result
  if (outcome != detail::outcome::finished) {
    if constexpr (std::is_void_v<R>) {
      if (outcome == detail::outcome::exited) return;
    }
    detail::throw_no_result(outcome);
  }
  return t->value.take();
}

// Current number of Ps. Threads: a G.
unsigned procs();
// Changes the number of Ps, 1 to 1024; 0 changes nothing. Returns what it was. All Gs are stopped for that moment, as
// for a preemption: at once by signal, in the modes that send none each at its next yield point; one under a
// preempt_guard delays it. Threads: a G. Blocks: the G. Throws: std::logic_error outside a G; std::invalid_argument.
// Source: Go's runtime.GOMAXPROCS.
unsigned set_procs(unsigned n);
// The counters of the current run, or of the last one. Threads: any.
stats snapshot();
// Writes every G with id, name, state, wait reason, wait time and backtrace. Threads: any. Signals: async-signal-safe.
void dump(int fd);

}  // namespace urge

#pragma GCC visibility pop
