// SPDX-License-Identifier: MIT
// What do checks at function entries cost code that does nothing but call? fib(38), 126 million calls, compiled from
// one source with and without (bench/fib.cpp). Both run in turn, in changing order, within each iteration: what the
// machine does meanwhile meets both alike. `overhead_percent` is the median of the pairs' ratios, the two times are
// medians as well; time is the thread's own CPU time, on a G that nobody preempts.
#include <time.h>

#include <algorithm>
#include <vector>

#include "bench.hpp"

extern "C" int fib_plain(int n);
extern "C" int fib_checked(int n);

namespace {

constexpr int argument = 38;
constexpr int expected = 39088169;

double seconds_of(int (*fib)(int), benchmark::State& state) {
  timespec from, to;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
  if (fib(argument) != expected) state.SkipWithError("wrong result");
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
  return static_cast<double>(to.tv_sec - from.tv_sec) + static_cast<double>(to.tv_nsec - from.tv_nsec) / 1e9;
}

double median(std::vector<double> of) {
  std::nth_element(of.begin(), of.begin() + static_cast<std::ptrdiff_t>(of.size() / 2), of.end());
  return of[of.size() / 2];
}

void BM_FibWithChecks(benchmark::State& state) {
  bench::run(1, [&] {
    std::vector<double> plain, checked, ratio;
    bool checked_first = false;
    while (state.KeepRunning()) {
      double p = 0, c = 0;
      if (checked_first) c = seconds_of(fib_checked, state);
      p = seconds_of(fib_plain, state);
      if (!checked_first) c = seconds_of(fib_checked, state);
      checked_first = !checked_first;
      plain.push_back(p), checked.push_back(c), ratio.push_back(c / p);
      state.SetIterationTime(c);
    }
    state.counters["plain_ms"] = median(plain) * 1e3;
    state.counters["checked_ms"] = median(checked) * 1e3;
    state.counters["overhead_percent"] = (median(ratio) - 1) * 100;
  });
}
BENCHMARK(BM_FibWithChecks)->UseManualTime()->Iterations(15)->Unit(benchmark::kMillisecond);

}  // namespace
