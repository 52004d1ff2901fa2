// SPDX-License-Identifier: MIT
// What does it cost to give way? A switch by `yield` between two Gs of one P, a yield when nobody waits, and the two
// things that code pays for being well-behaved: preempt_point() and preempt_guard.
#include "bench.hpp"

namespace {

// Two Gs on one P: each yield of ours is followed by one of theirs, so an iteration, one switch, is half a round.
void BM_SwitchByYield(benchmark::State& state) {
  bench::run(1, [&] {
    bool stop = false;
    auto other = urge::spawn([&] {
      while (!stop) urge::this_g::yield();
    });
    while (state.KeepRunningBatch(2)) urge::this_g::yield();
    stop = true;
    other.join();
  });
}
BENCHMARK(BM_SwitchByYield)->Apply(bench::on_gs);

// The same with many Gs: their stacks and descriptors no longer share the nearest cache.
void BM_SwitchByYieldAmong(benchmark::State& state) {
  bench::run(1, [&] {
    const auto gs = state.range(0);
    bool stop = false;
    std::vector<urge::join_handle<void>> others;
    for (auto i = gs; i > 1; --i) {
      others.push_back(urge::spawn([&] {
        while (!stop) urge::this_g::yield();
      }));
    }
    while (state.KeepRunningBatch(gs)) urge::this_g::yield();
    stop = true;
    for (auto& g : others) g.join();
  });
}
BENCHMARK(BM_SwitchByYieldAmong)->Arg(8)->Arg(128)->Arg(1024)->Apply(bench::on_gs);

void BM_YieldWithNobodyWaiting(benchmark::State& state) {
  bench::run(1, [&] {
    for (auto _ : state) urge::this_g::yield();
  });
}
BENCHMARK(BM_YieldWithNobodyWaiting)->Apply(bench::on_gs);

void BM_PreemptPoint(benchmark::State& state) {
  bench::run(1, [&] {
    for (auto _ : state) urge::preempt_point();
  });
}
BENCHMARK(BM_PreemptPoint)->Apply(bench::on_gs);

void BM_PreemptGuard(benchmark::State& state) {
  bench::run(1, [&] {
    for (auto _ : state) {
      const urge::preempt_guard guard;
      benchmark::ClobberMemory();
    }
  });
}
BENCHMARK(BM_PreemptGuard)->Apply(bench::on_gs);

}  // namespace
