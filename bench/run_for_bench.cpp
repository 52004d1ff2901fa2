// SPDX-License-Identifier: MIT
// When does run_for come back? A PCRE2 pattern that backtracks for minutes is given 20 ms of CPU time, on one P and on
// two; an iteration is one call. Reported is what the process has used meanwhile (`p50_cpu_ms`, `p90_cpu_ms`), sysmon
// and the rest of the library included, and the wall time; the patterns that were not done are dropped behind it.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <urge/preempt.hpp>

#include <pcre2.h>

#include <algorithm>
#include <ctime>
#include <string>
#include <vector>

#include "bench.hpp"

namespace {

using namespace std::chrono_literals;

double cpu_ms() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) / 1e6;
}

int backtracks_for_minutes() {
  static const std::string pattern = "(a+)+$", text = std::string(60, 'a') + "c";
  int error = 0;
  PCRE2_SIZE at = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), 0, &error, &at, nullptr);
  pcre2_match_data* found = pcre2_match_data_create_from_pattern(code, nullptr);
  pcre2_match_context* how = pcre2_match_context_create(nullptr);
  pcre2_set_match_limit(how, UINT32_MAX);
  const int n = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0, found, how);
  pcre2_match_context_free(how);
  pcre2_match_data_free(found);
  pcre2_code_free(code);
  return n;
}

void BM_RunForOfARegex(benchmark::State& state) {
  bench::run(static_cast<unsigned>(state.range(0)), [&] {
    std::vector<double> used;
    bool done = false;
    for (auto _ : state) {
      const double before = cpu_ms();
      auto call = urge::run_for(20ms, backtracks_for_minutes);
      used.push_back(cpu_ms() - before);
      state.PauseTiming();
      done = done || call.done();
      call.drop();
      state.ResumeTiming();
    }
    if (done) state.SkipWithError("the pattern was done within 20 ms");
    std::sort(used.begin(), used.end());
    state.counters["p50_cpu_ms"] = used[used.size() / 2];
    state.counters["p90_cpu_ms"] = used[used.size() * 9 / 10];
  });
}
BENCHMARK(BM_RunForOfARegex)->Arg(1)->Arg(2)->ArgName("procs")->Iterations(100)->Apply(bench::on_gs);

}  // namespace
