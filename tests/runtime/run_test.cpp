// SPDX-License-Identifier: MIT
// urge::run: what it returns and throws, and that it can be called again and again, but by one thread at a time.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/runtime.hpp>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "support/runtime_fixture.hpp"

namespace urge::test {
namespace {

class Run : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, Run, testing::ValuesIn(settings()), name_setting());
class RunOnce : public Plain {};

TEST_P(Run, ReturnsTheValueOfMain) {
  EXPECT_EQ(run([] { return 42; }, how()), 42);
  EXPECT_EQ(run([] { return std::string(1000, 'x'); }, how()), std::string(1000, 'x'));
}

TEST_P(Run, ReturnsNothingForAMainThatReturnsNothing) {
  bool ran = false;
  run([&] { ran = true; }, how());
  EXPECT_TRUE(ran);
}

TEST_P(Run, ReturnsWhatCanOnlyBeMoved) {
  const std::unique_ptr<int> p = run([] { return std::make_unique<int>(7); }, how());
  ASSERT_TRUE(p);
  EXPECT_EQ(*p, 7);
}

TEST_P(Run, RethrowsTheExceptionOfMain) {
  try {
    run([]() -> int { throw std::out_of_range("told by main"); }, how());
    FAIL() << "no exception";
  } catch (const std::out_of_range& e) {
    EXPECT_STREQ(e.what(), "told by main");
  }
  EXPECT_THROW(run([] { throw 5; }, how()), int);
}

TEST_P(Run, CanBeCalledAgain) {
  for (int i = 0; i < 20; ++i) EXPECT_EQ(run([i] { return spawn([i] { return 2 * i; }).join(); }, how()), 2 * i);
}

TEST_P(Run, CanBeCalledAgainAfterAnException) {
  for (int i = 0; i < 5; ++i) {
    EXPECT_THROW(run([] { throw std::runtime_error("x"); }, how()), std::runtime_error);
    EXPECT_EQ(run([] { return 1; }, how()), 1);
  }
}

TEST_P(Run, IsRefusedInsideAG) {
  EXPECT_THROW(run([] { run([] {}); }, how()), std::logic_error);
  run([] { EXPECT_THROW(spawn([] { run([] {}); }).join(), std::logic_error); }, how());
}

TEST_P(Run, IsRefusedWhileAnotherThreadIsInIt) {
  run(
      [this] {
        std::atomic<int> answer{0};
        std::thread other([&, options = how()] {
          try {
            run([] {}, options);
            answer = 1;
          } catch (const std::logic_error&) {
            answer = 2;
          }
        });
        other.join();
        EXPECT_EQ(answer.load(), 2);
      },
      how());
}

TEST_P(Run, MayBeCalledByDifferentThreadsInTurn) {
  int sum = 0;
  for (int i = 0; i < 4; ++i) std::thread([&, i] { sum += run([i] { return i; }, how()); }).join();
  EXPECT_EQ(sum, 6);
}

TEST_P(Run, MainIsTheFirstGAndIsCalledMain) {
  run(
      [] {
        EXPECT_EQ(this_g::id(), 1u);
        EXPECT_EQ(this_g::name(), "main");
      },
      how());
}

TEST_P(Run, HasAsManyPsAsItWasTold) {
  const unsigned n = GetParam().procs;
  EXPECT_EQ(run([] { return procs(); }, how()), n);
}

TEST_F(RunOnce, ZeroProcsMeansTheCpusThatThisProcessMayUse) {
  const unsigned n = run([] { return procs(); }, options{});
  EXPECT_GE(n, 1u);
  EXPECT_LE(n, std::thread::hardware_concurrency());
}

TEST_F(RunOnce, BadOptionsAreRefusedBeforeAnythingStarts) {
  options o;
  o.procs = 5000;
  bool ran = false;
  EXPECT_THROW(run([&] { ran = true; }, o), std::invalid_argument);
  EXPECT_FALSE(ran);
  EXPECT_EQ(run([] { return 3; }), 3) << "and the next call is not refused for it";
}

TEST_F(RunOnce, TheClosureOfMainIsDestroyedOnceAndBeforeRunReturns) {
  struct counted {
    std::atomic<int>* live;
    explicit counted(std::atomic<int>* n) : live(n) { ++*live; }
    counted(const counted& other) : live(other.live) { ++*live; }
    counted(counted&& other) noexcept : live(other.live) { ++*live; }
    ~counted() { --*live; }
  };
  std::atomic<int> live{0};
  run([c = counted(&live)] { EXPECT_GT(c.live->load(), 0); });
  EXPECT_EQ(live.load(), 0);
}

TEST_F(RunOnce, TheModelWithOneQueueRunsTheSamePrograms) {
  for (const unsigned n : {1u, 2u, 4u}) {
    options o;
    o.procs = n, o.model = sched_model::gm;
    const int sum = run(
        [] {
          chan<int> c(3);
          for (int i = 0; i < 10; ++i) go([c, i]() mutable { c.send(i); });
          int total = 0;
          for (int i = 0; i < 10; ++i) total += *c.recv();
          this_g::sleep_for(1ms);
          return total;
        },
        o);
    EXPECT_EQ(sum, 45);
  }
}

TEST_F(RunOnce, AThousandPsAreAllowed) {
  options o;
  o.procs = 1024;
  const int n = run(
      [] {
        std::atomic<int> done{0};
        std::vector<join_handle<void>> all;
        for (int i = 0; i < 2000; ++i) all.push_back(spawn([&] { ++done; }));
        for (auto& h : all) h.join();
        return done.load();
      },
      o);
  EXPECT_EQ(n, 2000);
}

TEST_F(RunOnce, TheThreadLocalsOfItsCallerAreNotThoseOfItsGs) {
  URGE_TEST_NEEDS_ASYNC();
  static thread_local int mine = 0;
  mine = 5;
  run([] {
    EXPECT_NE(mine, 5);
    mine = 6;
  });
  EXPECT_EQ(mine, 5);
}

}  // namespace
}  // namespace urge::test
