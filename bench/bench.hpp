// SPDX-License-Identifier: MIT
// What the *_bench programs share. Each benchmark starts a runtime of its own, so that Ps and quantum can differ within
// a program, and runs its loop on the main G: Google Benchmark's loop does nothing between two iterations that a G
// could not do, and its start and stop are outside the time that it reports. A G may change its thread in the middle,
// so the CPU column must be the process's (`on_gs`), never a thread's.
// Where an iteration is a round of several operations, `KeepRunningBatch` counts them: times are per what the name
// says.
#pragma once
#include <benchmark/benchmark.h>
#include <urge/urge.hpp>

#include <utility>

namespace bench {

// Runs `body` on the main G of a runtime with that many Ps; URGE_* apply otherwise.
template <class F>
void run(unsigned procs, F&& body) {
  urge::options how = urge::options::from_env();
  how.procs = procs;
  urge::run(std::forward<F>(body), how);
}

// For every benchmark: BENCHMARK(BM_x)->Apply(bench::on_gs).
inline void on_gs(benchmark::internal::Benchmark* b) { b->MeasureProcessCPUTime()->UseRealTime(); }

}  // namespace bench
