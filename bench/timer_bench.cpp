// SPDX-License-Identifier: MIT
// What does a timer cost? Sleeping Gs are paid for in CPU time (the CPU column), for their wall time is their sleep;
// `after` is armed and disarmed, beside an empty heap and beside one with many timers.
#include <random>
#include <vector>

#include "bench.hpp"

namespace {

using namespace std::chrono_literals;

// Argument: Gs. Each sleeps 1 to 11 ms, ten times; an iteration is one sleep. Two Ps: one may sleep for both.
void BM_SleepOfManyGs(benchmark::State& state) {
  bench::run(2, [&] {
    constexpr int sleeps = 10;
    const auto gs = state.range(0);
    while (state.KeepRunningBatch(gs * sleeps)) {
      urge::wait_group all;
      all.add(gs);
      for (auto i = gs; i != 0; --i) {
        urge::go([&all, i] {
          std::minstd_rand random(static_cast<unsigned>(i));
          for (int k = 0; k < sleeps; ++k) urge::this_g::sleep_for(1ms + std::chrono::microseconds(random() % 10'000));
          all.done();
        });
      }
      all.wait();
    }
  });
}
BENCHMARK(BM_SleepOfManyGs)->Arg(100)->Arg(10'000)->ArgName("gs")->MeasureProcessCPUTime();

// Argument: timers that are armed all along.
void BM_AfterArmedAndDropped(benchmark::State& state) {
  bench::run(1, [&] {
    std::vector<urge::chan<urge::time_point>> armed;
    for (auto i = state.range(0); i != 0; --i)
      armed.push_back(urge::after(1h + std::chrono::milliseconds(i * 7919 % 10'007)));
    for (auto _ : state) urge::after(1h);
  });
}
BENCHMARK(BM_AfterArmedAndDropped)->Arg(0)->Arg(10'000)->ArgName("armed")->Apply(bench::on_gs);

}  // namespace
