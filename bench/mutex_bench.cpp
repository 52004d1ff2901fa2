// SPDX-License-Identifier: MIT
// What does urge::mutex cost to lock and unlock: by one G, and by eight that want it all the time, on one P (where a
// holder is only ever interrupted by a preemption) and on two?
#include <mutex>
#include <vector>

#include "bench.hpp"

namespace {

void BM_LockUnlock(benchmark::State& state) {
  bench::run(1, [&] {
    urge::mutex m;
    for (auto _ : state) {
      const std::lock_guard hold(m);
      benchmark::ClobberMemory();
    }
  });
}
BENCHMARK(BM_LockUnlock)->Apply(bench::on_gs);

void BM_LockUnlockByEight(benchmark::State& state) {
  bench::run(static_cast<unsigned>(state.range(0)), [&] {
    constexpr int gs = 8, each = 10'000;
    urge::mutex m;
    std::int64_t count = 0, expected = 0;
    while (state.KeepRunningBatch(gs * each)) {
      std::vector<urge::join_handle<void>> all;
      for (int i = 0; i < gs; ++i) {
        all.push_back(urge::spawn([&] {
          for (int k = 0; k < each; ++k) {
            const std::lock_guard hold(m);
            ++count;
          }
        }));
      }
      for (auto& g : all) g.join();
      expected += gs * each;
    }
    if (count != expected) state.SkipWithError("two Gs were inside at once");
  });
}
BENCHMARK(BM_LockUnlockByEight)->Arg(1)->Arg(2)->ArgName("procs")->Apply(bench::on_gs);

}  // namespace
