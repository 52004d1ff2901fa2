// SPDX-License-Identifier: MIT
// What does a preemption by signal cost? Two hogs on one P stamp the cycle counter; an iteration is one preemption, its
// time the gap between the last stamp of the hog that was stopped and the first of the next one: signal, handler, saved
// registers, scheduler, restored registers, and the stamp's own distance (some 10 ns). The hogs are warm: each has its
// identity since its first preemption, and the first ones are not counted. The reference is a signal that a thread
// sends to itself and whose handler does nothing: the kernel's part of it. The hogs' threads have one CPU, and sysmon
// and all others the other: what is measured is what the hogs lose, not where the kernel puts sysmon.
// `p50_ns` and `p90_ns` tell more than the mean: an interrupt of the machine in a gap counts as part of it.
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <x86intrin.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "bench.hpp"

namespace {

double ns_per_cycle() {
  using clock = std::chrono::steady_clock;
  static const double measured = [] {
    const auto from = clock::now();
    const std::uint64_t cycle = __rdtsc();
    while (clock::now() - from < std::chrono::milliseconds(20)) _mm_pause();
    const auto cycles = static_cast<double>(__rdtsc() - cycle);
    return std::chrono::duration<double, std::nano>(clock::now() - from).count() / cycles;
  }();
  return measured;
}

// The kernel's thread that runs here, and those that it makes. No more than one CPU: there is nothing to choose.
constexpr int preempted_cpu = 0, other_cpu = 1;
void pin_to(int cpu) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  syscall(SYS_sched_setaffinity, 0, sizeof one, &one);
}

// Gaps between two hogs on one P, in cycles.
class hogs {
 public:
  explicit hogs(std::size_t wanted) : wanted_(wanted) { gaps_.reserve(wanted); }
  std::vector<std::uint64_t> run() {
    auto a = urge::spawn([this] { stamp_as(0); });
    auto b = urge::spawn([this] { stamp_as(1); });
    a.join();
    b.join();
    return std::move(gaps_);
  }

 private:
  static constexpr int warm_up = 10;

  // One P: only one of the two runs at a time, so relaxed order is order enough for both. Each has a stamp of its own:
  // stopped between reading the counter and storing it, a hog comes back with an old reading, and must not put that in
  // the place of the other's.
  void stamp_as(int me) {
    pin_to(preempted_cpu);
    while (!over_.load(std::memory_order_relaxed)) {
      if (const int was = last_.load(std::memory_order_relaxed); was != me) {
        const std::uint64_t now = __rdtsc();
        last_.store(me, std::memory_order_relaxed);
        if (was >= 0 && ++seen_ > warm_up) gaps_.push_back(now - stamps_[was].load(std::memory_order_relaxed));
        if (gaps_.size() == wanted_) over_.store(true, std::memory_order_relaxed);
      }
      stamps_[me].store(__rdtsc(), std::memory_order_relaxed);
    }
  }

  const std::size_t wanted_;
  std::vector<std::uint64_t> gaps_;
  std::atomic<bool> over_{false};
  std::atomic<int> last_{-1};
  std::atomic<std::uint64_t> stamps_[2] = {};
  int seen_ = 0;
};

// Argument: quantum in us.
void preemption(benchmark::State& state, urge::preempt_mode mode) {
  urge::options how = urge::options::from_env();
  how.procs = 1, how.preempt = mode;
  how.quantum = std::chrono::microseconds(state.range(0));
  pin_to(other_cpu);  // sysmon's
  std::vector<std::uint64_t> gaps = urge::run([&] { return hogs(state.max_iterations).run(); }, how);
  const urge::stats s = urge::snapshot();
  for (std::size_t i = 0; state.KeepRunning(); ++i)
    state.SetIterationTime(static_cast<double>(gaps[i]) * ns_per_cycle() / 1e9);
  std::sort(gaps.begin(), gaps.end());
  state.counters["p50_ns"] = static_cast<double>(gaps[gaps.size() / 2]) * ns_per_cycle();
  state.counters["p90_ns"] = static_cast<double>(gaps[gaps.size() * 9 / 10]) * ns_per_cycle();
  state.counters["promoted"] = static_cast<double>(s.promoted);
  state.counters["refused"] = static_cast<double>(s.preempts_deferred);
}
void BM_Preemption(benchmark::State& state) { preemption(state, urge::preempt_mode::async); }
// The hog keeps its thread, and another one takes the P.
void BM_PreemptionKernelThread(benchmark::State& state) { preemption(state, urge::preempt_mode::kernel_thread); }
// Iterations that take some half a second each.
BENCHMARK(BM_Preemption)->ArgName("quantum_us")->UseManualTime()->Arg(10'000)->Iterations(50);
BENCHMARK(BM_Preemption)->ArgName("quantum_us")->UseManualTime()->Arg(1'000)->Iterations(500);
BENCHMARK(BM_Preemption)->ArgName("quantum_us")->UseManualTime()->Arg(100)->Iterations(5'000);
BENCHMARK(BM_Preemption)->ArgName("quantum_us")->UseManualTime()->Arg(50)->Iterations(10'000);
BENCHMARK(BM_PreemptionKernelThread)->ArgName("quantum_us")->UseManualTime()->Arg(100)->Iterations(5'000);

void BM_EmptySignalToOneself(benchmark::State& state) {
  struct sigaction empty {
  }, before{};
  empty.sa_handler = [](int) {};
  if (sigaction(SIGUSR1, &empty, &before) != 0) return state.SkipWithError("sigaction");
  pin_to(preempted_cpu);
  const long pid = getpid(), tid = syscall(SYS_gettid);
  for (auto _ : state) syscall(SYS_tgkill, pid, tid, SIGUSR1);
  sigaction(SIGUSR1, &before, nullptr);
}
BENCHMARK(BM_EmptySignalToOneself);

// The same signal from the other CPU, as sysmon sends it: what a thread loses that is interrupted by it, measured as
// above. The difference to the one before is the interrupt that the CPUs send each other; the difference to
// BM_Preemption is ours.
void BM_EmptySignalFromTheOtherCpu(benchmark::State& state) {
  static std::atomic<std::uint64_t> seen;
  struct sigaction count {
  }, before{};
  count.sa_handler = [](int) { seen.store(seen.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed); };
  if (sigaction(SIGUSR1, &count, &before) != 0) return state.SkipWithError("sigaction");
  const long pid = getpid(), tid = syscall(SYS_gettid);
  pin_to(preempted_cpu);
  std::jthread sender([&](std::stop_token over) {
    pin_to(other_cpu);
    while (!over.stop_requested()) {
      const std::uint64_t until = __rdtsc() + static_cast<std::uint64_t>(100'000 / ns_per_cycle());
      while (__rdtsc() < until) _mm_pause();
      syscall(SYS_tgkill, pid, tid, SIGUSR1);
    }
  });
  std::vector<std::uint64_t> gaps;
  std::uint64_t last = seen, stamp = __rdtsc();
  for (auto _ : state) {
    std::uint64_t n;
    while ((n = seen.load(std::memory_order_relaxed)) == last) stamp = __rdtsc();
    last = n;
    gaps.push_back(__rdtsc() - stamp);
    state.SetIterationTime(static_cast<double>(gaps.back()) * ns_per_cycle() / 1e9);
  }
  sender.request_stop();
  sender.join();
  sigaction(SIGUSR1, &before, nullptr);
  std::sort(gaps.begin(), gaps.end());
  state.counters["p50_ns"] = static_cast<double>(gaps[gaps.size() / 2]) * ns_per_cycle();
  state.counters["p90_ns"] = static_cast<double>(gaps[gaps.size() * 9 / 10]) * ns_per_cycle();
}
BENCHMARK(BM_EmptySignalFromTheOtherCpu)->UseManualTime()->Iterations(5'000);

}  // namespace
