// SPDX-License-Identifier: MIT
// run_for and timed: a call with a budget of CPU time, which stands still when that is used up.
#include <urge/chan.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>

#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "support/runtime_fixture.hpp"

namespace urge::test {
namespace {

class RunFor : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, RunFor, testing::ValuesIn(settings()), name_setting());

TEST_P(RunFor, ReturnsTheValueOfACallThatEndsInTime) {
  run(
      [] {
        auto t = run_for(10s, [] { return std::string("done"); });
        ASSERT_TRUE(t.done());
        EXPECT_EQ(t.get(), "done");
        EXPECT_THROW(t.get(), std::logic_error) << "once";
        EXPECT_THROW((void)t.resume(1s), std::logic_error);
        auto v = run_for(10s, [] {});
        ASSERT_TRUE(v.done());
        v.get();
      },
      how());
}

TEST_P(RunFor, RethrowsWhatTheCallThrows) {
  run(
      [] {
        auto t = run_for(10s, []() -> int { throw std::runtime_error("no"); });
        ASSERT_TRUE(t.done());
        EXPECT_THROW(t.get(), std::runtime_error);
        auto left = run_for(10s, []() -> int { this_g::exit(); });
        EXPECT_THROW(left.get(), exited);
      },
      how());
}

TEST_P(RunFor, BadTimesAreRefusedByName) {
  run(
      [] {
        try {
          (void)run_for(0s, [] {});
          ADD_FAILURE();
        } catch (const std::invalid_argument& e) {
          EXPECT_NE(std::string(e.what()).find("urge::run_for: cpu = 0ns"), std::string::npos) << e.what();
        }
        EXPECT_THROW((void)run_for(-1ms, [] {}), std::invalid_argument);
      },
      how());
}

// The same with a yield point in the loop and without.
template <class Step>
void pauses_and_resumes(Step step) {
  static std::atomic<std::uint64_t> n;
  n = 0;
  std::atomic<bool> stop{false};
  auto t = run_for(5ms, [&] {
    while (!stop) ++n, step();
    return n.load();
  });
  ASSERT_FALSE(t.done());
  EXPECT_GE(t.cpu_time(), 5ms);
  EXPECT_THROW(t.get(), std::logic_error) << "it is not done";
  const std::uint64_t stood_at = n;
  for (int i = 0; i < 20; ++i) this_g::yield();
  this_g::sleep_for(2ms);
  EXPECT_EQ(n, stood_at) << "it goes on although nobody has resumed it";
  EXPECT_FALSE(t.resume(2ms));
  EXPECT_GT(n, stood_at);
  EXPECT_GE(t.cpu_time(), 7ms);
  stop = true;
  EXPECT_TRUE(t.resume(10s));
  EXPECT_TRUE(t.resume(10s)) << "nothing to do";
  EXPECT_EQ(t.get(), n.load());
}

TEST_P(RunFor, PausesAtAYieldPointAndGoesOn) {
  if (!preempts()) GTEST_SKIP() << "a yield point does nothing";
  run([] { pauses_and_resumes([] { preempt_point(); }); }, how());
}

TEST_P(RunFor, PausesAnywhereAndGoesOn) {
  if (!async()) GTEST_SKIP() << "nothing else stops it";
  run([] { pauses_and_resumes([] {}); }, how());
}

TEST_P(RunFor, TimeThatItWaitsDoesNotCount) {
  run(
      [] {
        chan<int> c;
        auto sender = spawn([c]() mutable {
          this_g::sleep_for(30ms);
          c.send(1);
        });
        auto t = run_for(20ms, [c]() mutable { return c.recv().value(); });
        ASSERT_TRUE(t.done());
        EXPECT_EQ(t.get(), 1);
        sender.join();
      },
      how());
}

TEST_P(RunFor, DropEndsItForGood) {
  if (!async()) GTEST_SKIP() << "nothing else stops it";
  run(
      [] {
        static std::atomic<std::uint64_t> n;
        auto t = run_for(2ms, [] {
          for (;;) ++n;
        });
        ASSERT_FALSE(t.done());
        t.drop();
        EXPECT_FALSE(t.done());
        EXPECT_THROW(t.get(), std::logic_error);
        EXPECT_THROW((void)t.resume(1ms), std::logic_error);
        const std::uint64_t last = n;
        this_g::sleep_for(3ms);
        EXPECT_EQ(n, last);
        t.drop();  // again: nothing
      },
      how());
}

TEST_P(RunFor, TheDestructorDropsIt) {
  if (!async()) GTEST_SKIP() << "nothing else stops it";
  const int rounds = scaled(50);
  run(
      [rounds] {
        for (int i = 0; i < rounds; ++i) {
          auto t = run_for(100us, [] {
            for (;;) {
              void* p = std::malloc(50);
              asm volatile("" ::"r"(p));
              std::free(p);
            }
          });
          EXPECT_FALSE(t.done());
        }
        EXPECT_EQ(snapshot().kept_back, static_cast<std::uint64_t>(rounds));
      },
      how());
  EXPECT_EQ(snapshot().abandoned_inside, 0u);
}

TEST_P(RunFor, Nests) {
  if (!async()) GTEST_SKIP() << "nothing else stops it";
  run(
      [] {
        auto outer = run_for(10s, [] {
          auto inner = run_for(2ms, [] {
            for (;;) asm volatile("");
          });
          return inner.done();
        });
        ASSERT_TRUE(outer.done());
        EXPECT_FALSE(outer.get());
      },
      how());
}

TEST_P(RunFor, APausedOneIsLeftBehindByTheEndOfTheRun) {
  if (!async()) GTEST_SKIP() << "nothing else stops it";
  for (int i = 0; i < 3; ++i)
    run(
        [] {
          auto* left = new timed(run_for(1ms, [] {
            for (;;) std::free(std::malloc(10));
          }));
          EXPECT_FALSE(left->done());
        },
        how());
}

}  // namespace
}  // namespace urge::test
