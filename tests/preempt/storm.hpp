// SPDX-License-Identifier: MIT
// A storm: some Gs run a body again and again, each checking its own results, until the runtime has stopped Gs by
// signal often enough. It ends by count, not by time; too few preemptions is a hang, and the watchdog's business.
#pragma once
#include <urge/go.hpp>
#include <urge/runtime.hpp>

#include <algorithm>
#include <atomic>
#include <vector>

#include "support/runtime_fixture.hpp"

namespace urge::test {

struct storm_result {
  std::uint64_t rounds = 0;
  std::uint64_t wrong = 0;
  std::uint64_t preemptions = 0;
};

// body(who, round) returns whether all was right.
template <class Body>
storm_result storm(const options& how, int gs, std::uint64_t preemptions, Body body) {
  // A G that has a P to itself is not preempted: there must be more Gs than Ps.
  gs = std::max(gs, static_cast<int>(2 * how.procs));
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> rounds{0}, wrong{0};
  run(
      [&] {
        std::vector<join_handle<void>> all;
        for (int who = 0; who < gs; ++who)
          all.push_back(spawn([&, who] {
            for (std::uint64_t n = 0; !stop.load(std::memory_order_relaxed); ++n) {
              if (!body(who, n)) wrong.fetch_add(1, std::memory_order_relaxed);
              rounds.fetch_add(1, std::memory_order_relaxed);
            }
          }));
        while (snapshot().preempts_by_signal() < preemptions) this_g::sleep_for(5ms);
        stop = true;
        for (auto& g : all) g.join();
      },
      how);
  return {rounds.load(), wrong.load(), snapshot().preempts_by_signal()};
}

inline void expect_right(const storm_result& r, std::uint64_t preemptions) {
  EXPECT_EQ(r.wrong, 0u) << "of " << r.rounds << " rounds";
  EXPECT_GT(r.rounds, 0u);
  EXPECT_GE(r.preemptions, preemptions);
}

inline std::vector<setting> storm_settings() {
  return {{1, preempt_mode::async, 50us},
          {2, preempt_mode::async, 50us},
          {8, preempt_mode::async, 100us},
          {2, preempt_mode::kernel_thread, 50us}};
}

// A suite that is repeated for 1, 2 and 8 Ps.
class Storm : public WithSetting {
 protected:
  void SetUp() override { URGE_TEST_NEEDS_ASYNC(); }
};

}  // namespace urge::test
