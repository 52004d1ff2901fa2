// SPDX-License-Identifier: MIT
// What does it cost to start a G and to learn that it has ended? One at a time, which stays in `runnext` and uses one
// stack again and again; and as a flood, which passes through the run queue and, beyond its 256 places, the global one.
#include <algorithm>

#include "bench.hpp"

namespace {

void BM_SpawnJoin(benchmark::State& state) {
  bench::run(1, [&] {
    for (auto _ : state) urge::spawn([] {}).join();
  });
}
BENCHMARK(BM_SpawnJoin)->Apply(bench::on_gs);

// Arguments: Ps, Gs started before their starter waits.
void BM_GoInFlood(benchmark::State& state) {
  bench::run(static_cast<unsigned>(state.range(0)), [&] {
    const auto flood = state.range(1);
    while (state.KeepRunningBatch(flood)) {
      urge::wait_group all;
      all.add(flood);
      for (auto i = flood; i != 0; --i) urge::go([&all] { all.done(); });
      all.wait();
    }
  });
}
BENCHMARK(BM_GoInFlood)->ArgsProduct({{1, 2}, {100, 10'000}})->ArgNames({"procs", "gs"})->Apply(bench::on_gs);

}  // namespace
