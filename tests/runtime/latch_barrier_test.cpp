// SPDX-License-Identifier: MIT
// latch and barrier.
#include <urge/sync.hpp>

#include <stdexcept>
#include <thread>
#include <vector>

#include "runtime/waiting.hpp"
#include "support/runtime_fixture.hpp"

namespace {

using namespace urge::test;

class Latch : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, Latch, testing::ValuesIn(settings()), name_setting());
class LatchErrors : public Plain {};
class Barrier : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, Barrier, testing::ValuesIn(settings()), name_setting());
class BarrierErrors : public Plain {};

TEST_P(Latch, OpensAtZeroForAllAndForEver) {
  std::atomic<int> through{0};
  urge::run(
      [&] {
        urge::latch l(3);
        std::vector<urge::join_handle<void>> all;
        for (int i = 0; i < 4; ++i) all.push_back(spawn_waiting([&] { l.wait(), ++through; }));
        l.count_down(0);
        l.count_down();
        EXPECT_FALSE(l.try_wait());
        EXPECT_EQ(through.load(), 0);
        l.count_down(2);
        for (auto& h : all) h.join();
        EXPECT_TRUE(l.try_wait());
        l.wait();
        urge::latch(0).wait();
      },
      how());
  EXPECT_EQ(through.load(), 4);
}

TEST_P(Latch, ThoseWhoArriveAndWaitGoOnTogether) {
  static constexpr int gs = 8;
  urge::run(
      [] {
        for (int k = 0; k < scaled(200); ++k) {
          urge::latch l(gs);
          std::atomic<int> arrived{0};
          std::vector<urge::join_handle<void>> all;
          for (int i = 0; i < gs; ++i)
            all.push_back(urge::spawn([&] {
              ++arrived;
              l.arrive_and_wait();
              EXPECT_EQ(arrived.load(), gs);
            }));
          l.wait();
          EXPECT_EQ(arrived.load(), gs);
          for (auto& h : all) h.join();
        }
      },
      how());
}

TEST_P(Latch, IsCountedDownByThreadsThatAreNoGs) {
  std::atomic<urge::latch*> at{nullptr};
  const int rounds = scaled(300);
  std::thread thread([&] {
    for (int k = 0; k < rounds; ++k) {
      at.wait(nullptr);
      at.exchange(nullptr)->count_down();
    }
  });
  urge::run(
      [&] {
        for (int k = 0; k < rounds; ++k) {
          urge::latch l(2);  // gone as soon as it is open, while the thread may still be in its call
          at = &l;
          at.notify_one();
          if (k % 2)
            l.arrive_and_wait();
          else
            l.count_down(), yield_until([&] { return l.try_wait(); });
        }
      },
      how());
  thread.join();
}

TEST_F(LatchErrors, EveryCallButCountDownThrowsOutsideAG) {
  urge::latch l(2);
  EXPECT_THROW(l.wait(), std::logic_error);
  EXPECT_THROW(l.try_wait(), std::logic_error);
  EXPECT_THROW(l.arrive_and_wait(), std::logic_error);
  l.count_down();
  urge::run([&] {
    EXPECT_FALSE(l.try_wait()) << "the call that threw counts";
    l.arrive_and_wait();
    EXPECT_TRUE(l.try_wait());
  });
}

TEST_F(LatchErrors, CountsOutOfRangeThrowAndChangeNothing) {
  EXPECT_THROW(urge::latch(-1), std::invalid_argument);
  urge::latch l(2);
  EXPECT_THROW(l.count_down(-1), std::invalid_argument);
  EXPECT_THROW(l.count_down(3), std::logic_error);
  l.count_down(2);
  EXPECT_THROW(l.count_down(), std::logic_error);
  urge::run([&] { l.wait(); });
}

TEST_P(Barrier, NobodyIsAPhaseAhead) {
  constexpr int gs = 5;
  const int phases = scaled(300);
  std::vector<int> at(gs, 0);
  int completed = 0;
  urge::run(
      [&] {
        urge::barrier b(gs, [&]() noexcept {
          ++completed;
          for (const int phase : at) EXPECT_EQ(phase, completed);
        });
        std::vector<urge::join_handle<void>> all;
        for (std::size_t i = 0; i < gs; ++i)
          all.push_back(urge::spawn([&, i] {
            for (int k = 0; k < phases; ++k) {
              ++at[i];
              b.arrive_and_wait();
              EXPECT_GE(completed, k + 1);
            }
          }));
        for (auto& h : all) h.join();
      },
      how());
  EXPECT_EQ(completed, phases);
}

TEST_P(Barrier, TheCompletionMayUseTheLibrary) {
  int calls = 0;
  urge::run(
      [&] {
        urge::mutex m;
        urge::barrier b(2, [&]() noexcept {
          std::lock_guard hold(m);
          urge::this_g::sleep_for(100us);
          urge::spawn([&] { ++calls; }).join();
        });
        auto other = spawn_waiting([&] { b.arrive_and_wait(); }, [&] { EXPECT_EQ(calls, 1); });
        b.arrive_and_wait();
        EXPECT_EQ(calls, 1);
        other.join();
      },
      how());
}

TEST_P(Barrier, ATokenWaitsForItsOwnPhase) {
  urge::run(
      [] {
        urge::barrier b(2);
        auto first = b.arrive();
        auto waiter = spawn_waiting([&] { b.wait(std::move(first)); });
        EXPECT_FALSE(waiter.done());
        auto last = b.arrive();
        waiter.join();
        b.wait(std::move(last));  // over: returns at once
        auto both = b.arrive(2);
        b.wait(std::move(both));
      },
      how());
}

TEST_P(Barrier, LessAreExpectedAfterADrop) {
  int phases = 0;
  urge::run(
      [&] {
        urge::barrier b(3, [&]() noexcept { ++phases; });
        auto other = spawn_waiting([&] { b.arrive_and_wait(), b.arrive_and_wait(), b.arrive_and_drop(); });
        b.arrive_and_drop();
        b.arrive_and_wait();
        b.arrive_and_wait();
        other.join();
        EXPECT_EQ(phases, 2);
        b.arrive_and_wait();
        b.arrive_and_wait();
      },
      how());
  EXPECT_EQ(phases, 4);
}

TEST_F(BarrierErrors, EveryCallThrowsOutsideAG) {
  urge::barrier b(1);
  EXPECT_THROW((void)b.arrive(), std::logic_error);
  EXPECT_THROW(b.wait(urge::barrier<>::arrival_token(0)), std::logic_error);
  EXPECT_THROW(b.arrive_and_wait(), std::logic_error);
  EXPECT_THROW(b.arrive_and_drop(), std::logic_error);
}

TEST_F(BarrierErrors, CountsOutOfRangeThrowAndChangeNothing) {
  EXPECT_THROW(urge::barrier(-1), std::invalid_argument);
  int phases = 0;
  urge::run([&] {
    urge::barrier b(2, [&]() noexcept { ++phases; });
    EXPECT_THROW((void)b.arrive(0), std::invalid_argument);
    EXPECT_THROW((void)b.arrive(-1), std::invalid_argument);
    EXPECT_THROW((void)b.arrive(3), std::logic_error);
    b.wait(b.arrive(2));
    b.arrive_and_drop();
    b.arrive_and_drop();
    EXPECT_THROW(b.arrive_and_wait(), std::logic_error) << "nobody is expected any more";
  });
  EXPECT_EQ(phases, 2);
}

}  // namespace
