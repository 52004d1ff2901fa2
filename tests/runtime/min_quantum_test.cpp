// SPDX-License-Identifier: MIT
// options.min_quantum: who has used up a slice goes behind the others, and its slices end early while one of these
// waits; but it is not left waiting for ever.
#include <urge/go.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>
#include <urge/sync.hpp>
#include <urge/time.hpp>

#include <atomic>
#include <vector>

#include "support/runtime_fixture.hpp"

namespace urge::test {
namespace {

class MinQuantum : public WithSetting {
 protected:
  void SetUp() override { URGE_TEST_NEEDS_ASYNC(); }
  options with(std::chrono::nanoseconds quantum) const {
    options o = how();
    o.quantum = quantum, o.min_quantum = std::chrono::milliseconds(1);
    return o;
  }
};
INSTANTIATE_TEST_SUITE_P(Settings, MinQuantum,
                         testing::Values(setting{1, preempt_mode::async}, setting{2, preempt_mode::async},
                                         setting{4, preempt_mode::async}, setting{2, preempt_mode::kernel_thread}),
                         name_setting());

class hogs {
 public:
  explicit hogs(unsigned n) {
    for (unsigned i = 0; i < n; ++i)
      all_.push_back(spawn([this] {
        begun_.fetch_add(1, std::memory_order_relaxed);
        while (!stop_.load(std::memory_order_relaxed)) {
        }
      }));
  }
  ~hogs() {
    stop_ = true;
    for (auto& h : all_) h.join();
  }
  // Asleep: who looks again and again has used up a slice itself.
  void wait_until_begun(unsigned n) const {
    while (begun_ < n) this_g::sleep_for(std::chrono::milliseconds(1));
  }
  std::uint64_t preempts() const {
    std::uint64_t n = 0;
    for (const auto& h : all_) n += h.info().preempts();
    return n;
  }
  std::chrono::nanoseconds least_cpu() const {
    auto least = all_.front().cpu_time();
    for (const auto& h : all_) least = std::min(least, h.cpu_time());
    return least;
  }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<unsigned> begun_{0};
  std::vector<join_handle<void>> all_;
};

// Each time it would wait for slices of 10 s.
TEST_P(MinQuantum, WhoGivesWayWaitsForNoWholeSlices) {
  run(
      [] {
        const hogs all(2 * GetParam().procs);
        all.wait_until_begun(2 * GetParam().procs);
        for (int i = 0; i < 50; ++i) this_g::yield();
        EXPECT_GE(all.preempts(), 1u);
      },
      with(std::chrono::seconds(10)));
}

TEST_P(MinQuantum, NorDoesANewOne) {
  run(
      [] {
        const hogs all(2 * GetParam().procs);
        all.wait_until_begun(GetParam().procs);
        for (int i = 0; i < 20; ++i) {
          std::atomic<bool> done{false};
          go([&] { done = true; });
          while (!done) this_g::yield();
        }
      },
      with(std::chrono::seconds(10)));
}

// On each P there is always a new one.
TEST_P(MinQuantum, NewOnesStarveNobody) {
  std::atomic<bool> over{false};
  run(
      [&] {
        const hogs all(2 * GetParam().procs);
        static void (*next)(std::atomic<bool>&) = [](std::atomic<bool>& end) {
          if (!end) go([&end] { next(end); });
        };
        for (unsigned i = 0; i < 4 * GetParam().procs; ++i) next(over);
        while (all.least_cpu() < std::chrono::milliseconds(10)) this_g::yield();
        over = true;
      },
      with(std::chrono::milliseconds(5)));
}

// With hogs only, nothing is different: they share as equals, in whole slices.
TEST_P(MinQuantum, HogsShareAsEquals) {
  const options o = with(std::chrono::milliseconds(5));
  run(
      [] {
        hogs all(2 * GetParam().procs);
        while (all.least_cpu() < std::chrono::milliseconds(50)) this_g::sleep_for(std::chrono::milliseconds(10));
      },
      o);
}

}  // namespace
}  // namespace urge::test
