// SPDX-License-Identifier: MIT
// options::slice_end = timer: a timer of each M ends the slices, and sysmon what the timers miss.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/runtime.hpp>
#include <urge/time.hpp>

#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/runtime_fixture.hpp"

namespace urge::test {
namespace {

class SliceTimer : public WithSetting {
 protected:
  void SetUp() override {
    if (sanitized) GTEST_SKIP() << "no signal stops a G there";
  }
  options by_timer() const {
    options o = how();
    o.slice_end = slice_source::timer;
    return o;
  }
};
INSTANTIATE_TEST_SUITE_P(Settings, SliceTimer, testing::ValuesIn(async_settings()), name_setting());

TEST_P(SliceTimer, EndlessGsShareThePs) {
  constexpr unsigned n = 9;
  std::array<std::atomic<std::uint64_t>, n> rounds{};
  run(
      [&] {
        for (auto& r : rounds)
          go([&r] {
            for (;;) ++r;
          });
        // All of them, three slices each at least, and not all ended by sysmon.
        std::array<std::uint64_t, n> seen{};
        for (int turn = 0; turn < 3 || preempt::slices_ended() == 0; ++turn)
          for (unsigned i = 0; i < n; ++i) {
            while (rounds[i] == seen[i]) this_g::yield();
            seen[i] = rounds[i];
          }
      },
      by_timer());
  const stats s = snapshot();
  EXPECT_GT(s.preempts_by_signal(), 0u);
  EXPECT_GE(s.preempt_requests, preempt::slices_ended());
}

TEST_P(SliceTimer, InsideLibcTheRequestIsRepeated) {
  std::atomic<bool> ran{false};
  run(
      [&] {
        for (unsigned i = 0; i < GetParam().procs; ++i)
          go([&] {
            char text[64];
            for (double d = 1;; d += 0.1) std::snprintf(text, sizeof text, "%g %d", d, 7);
          });
        spawn([&] { ran = true; }).join();
      },
      by_timer());
  EXPECT_TRUE(ran);
}

// A thread asleep in a call has its timer put to rest with the loss of its P.
TEST_P(SliceTimer, ASleeperIsNotDisturbed) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  char got = 0;
  run(
      [&] {
        go([] {
          for (;;) asm volatile("");
        });
        auto reader = spawn([&] { return ::read(ends[0], &got, 1); });
        while (GetParam().procs == 1 && snapshot().detached == 0) this_g::yield();
        ASSERT_EQ(::write(ends[1], "x", 1), 1);
        EXPECT_EQ(reader.join(), 1);
      },
      by_timer());
  EXPECT_EQ(got, 'x');
  ::close(ends[0]), ::close(ends[1]);
}

TEST_P(SliceTimer, SleepersAndKillsGoOnAsEver) {
  run(
      [] {
        std::vector<join_handle<void>> all;
        for (int i = 0; i < 20; ++i)
          all.push_back(spawn([i] {
            if (i % 2 == 0)
              for (;;) asm volatile("");
            for (int k = 0; k < 20; ++k) this_g::sleep_for(100us);
          }));
        for (int i = 1; i < 20; i += 2) all[static_cast<std::size_t>(i)].join();
        for (int i = 0; i < 20; i += 2)
          while (!all[static_cast<std::size_t>(i)].done()) all[static_cast<std::size_t>(i)].kill();
      },
      by_timer());
}

TEST(SliceEnd, ComesFromTheEnvironment) {
  ASSERT_EQ(::setenv("URGE_SLICE_END", "timer", 1), 0);
  EXPECT_EQ(options::from_env().slice_end, slice_source::timer);
  ASSERT_EQ(::setenv("URGE_SLICE_END", "hourglass", 1), 0);
  try {
    (void)options::from_env();
    ADD_FAILURE();
  } catch (const std::invalid_argument& e) {
    EXPECT_NE(std::string(e.what()).find("URGE_SLICE_END = hourglass: must be sysmon or timer"), std::string::npos)
        << e.what();
  }
  ::unsetenv("URGE_SLICE_END");
  options bad;
  bad.slice_end = static_cast<slice_source>(2);
  EXPECT_THROW(run([] {}, bad), std::invalid_argument);
}

}  // namespace
}  // namespace urge::test
