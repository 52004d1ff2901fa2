// SPDX-License-Identifier: MIT
// call_once and wait_group.
#include <urge/sync.hpp>

#include <limits>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "runtime/waiting.hpp"
#include "support/runtime_fixture.hpp"

namespace {

using namespace urge::test;

class Once : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, Once, testing::ValuesIn(settings()), name_setting());
class OnceErrors : public Plain {};
class WaitGroup : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, WaitGroup, testing::ValuesIn(settings()), name_setting());
class WaitGroupErrors : public Plain {};

TEST_P(Once, CallsOnceAndAllOthersWaitForIt) {
  urge::run(
      [] {
        for (int k = 0; k < scaled(100); ++k) {
          urge::once_flag flag;
          int calls = 0;
          std::vector<urge::join_handle<void>> all;
          for (int i = 0; i < 8; ++i)
            all.push_back(urge::spawn([&] {
              urge::call_once(
                  flag,
                  [&](int n) {
                    urge::this_g::yield();
                    calls += n;
                  },
                  1);
              EXPECT_EQ(calls, 1);
            }));
          for (auto& h : all) h.join();
          urge::call_once(flag, [&] { ++calls; });
          EXPECT_EQ(calls, 1);
        }
      },
      how());
}

TEST_P(Once, AfterAnExceptionTheNextInTheQueueTries) {
  std::vector<int> order;
  std::atomic<int> failed{0};
  urge::run(
      [&] {
        urge::once_flag flag;
        std::atomic<bool> inside{false}, go_on{false};
        const auto attempt = [&](int i) {
          try {
            urge::call_once(flag, [&] {
              inside = true;
              yield_until([&] { return go_on.load(); });
              order.push_back(i);
              if (i < 3) throw std::runtime_error("not yet");
            });
          } catch (const std::runtime_error&) {
            ++failed;
          }
        };
        auto first = urge::spawn([&] { attempt(0); });
        std::vector<urge::join_handle<void>> all;
        yield_until([&] { return inside.load(); });
        for (int i = 1; i < 6; ++i) all.push_back(spawn_waiting([&, i] { attempt(i); }));
        go_on = true;
        first.join();
        for (auto& h : all) h.join();
        urge::call_once(flag, [&] { order.push_back(99); });
      },
      how());
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3}));
  EXPECT_EQ(failed.load(), 3);
}

TEST_P(Once, AnExceptionWithNobodyWaitingLeavesItUndone) {
  urge::run(
      [] {
        urge::once_flag flag;
        EXPECT_THROW(urge::call_once(flag, [] { throw std::runtime_error("not yet"); }), std::runtime_error);
        urge::spawn([&] { urge::call_once(flag, [] { urge::this_g::exit(); }); }).join();
        bool called = false;
        urge::call_once(flag, [&] { called = true; });
        EXPECT_TRUE(called);
      },
      how());
}

TEST_P(Once, IsUndoneIfItsCallerWasAbandoned) {
  urge::once_flag flag;
  urge::run(
      [&] {
        (void)spawn_waiting([&] { urge::call_once(flag, [] { urge::this_g::sleep_for(24h); }); });
        (void)spawn_waiting([&] { urge::call_once(flag, [] {}); });
      },
      how());
  bool called = false;
  urge::run([&] { urge::call_once(flag, [&] { called = true; }); }, how());
  EXPECT_TRUE(called);
}

TEST_F(OnceErrors, ThrowsOutsideAG) {
  urge::once_flag flag;
  EXPECT_THROW(urge::call_once(flag, [] {}), std::logic_error);
  bool called = false;
  urge::run([&] { urge::call_once(flag, [&] { called = true; }); });
  EXPECT_TRUE(called);
  EXPECT_THROW(urge::call_once(flag, [] {}), std::logic_error);
}

TEST_P(WaitGroup, WaitsUntilNothingIsUnderWay) {
  static constexpr int gs = 8;
  urge::run(
      [] {
        urge::wait_group group;
        group.wait();
        for (int k = 0; k < scaled(200); ++k) {
          std::atomic<int> done{0};
          group.add(gs);
          for (int i = 0; i < gs; ++i)
            urge::go([&, i] {
              if (i % 3 == 0) urge::this_g::yield();
              ++done;
              group.done();
            });
          group.wait();
          EXPECT_EQ(done.load(), gs);
        }
      },
      how());
}

TEST_P(WaitGroup, LetsAllThatWaitGoOn) {
  std::atomic<int> through{0};
  urge::run(
      [&] {
        urge::wait_group group;
        group.add();
        std::vector<urge::join_handle<void>> all;
        for (int i = 0; i < 4; ++i) all.push_back(spawn_waiting([&] { group.wait(), ++through; }));
        group.add(2);
        group.add(-2);
        EXPECT_EQ(through.load(), 0);
        group.done();
        for (auto& h : all) h.join();
      },
      how());
  EXPECT_EQ(through.load(), 4);
}

TEST_P(WaitGroup, MayBeDestroyedByWhoeverWaited) {
  const int rounds = scaled(1000);
  urge::run(
      [&] {
        for (int k = 0; k < rounds; ++k) {
          auto group = std::make_unique<urge::wait_group>();
          group->add(2);
          auto a = urge::spawn([g = group.get()] { g->done(); });
          auto b = urge::spawn([g = group.get()] { g->done(); });
          group->wait();
          group.reset();
          a.join();
          b.join();
        }
      },
      how());
}

TEST_P(WaitGroup, IsChangedByThreadsThatAreNoGs) {
  urge::wait_group group;
  group.add(3);
  int sum = 0;
  std::atomic<bool> running{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i)
    threads.emplace_back([&] {
      running.wait(false);
      for (int k = 0; k < 100; ++k) {
        group.add();
        group.done();
      }
      group.done();
    });
  urge::run(
      [&] {
        running = true;
        running.notify_all();
        group.wait();
        ++sum;
      },
      how());
  for (auto& t : threads) t.join();
  EXPECT_EQ(sum, 1);
}

TEST_F(WaitGroupErrors, WaitThrowsOutsideAG) {
  urge::wait_group group;
  EXPECT_THROW(group.wait(), std::logic_error);
}

TEST_F(WaitGroupErrors, CountsOutOfRangeThrowAndChangeNothing) {
  urge::wait_group group;
  EXPECT_THROW(group.done(), std::logic_error);
  EXPECT_THROW(group.add(-1), std::logic_error);
  EXPECT_THROW(group.add(std::numeric_limits<std::ptrdiff_t>::min()), std::logic_error);
  group.add(1);
  EXPECT_THROW(group.add(-2), std::logic_error);
  EXPECT_THROW(group.add(std::numeric_limits<std::ptrdiff_t>::max()), std::logic_error);
  group.done();
  urge::run([&] {
    EXPECT_THROW(group.done(), std::logic_error);
    group.wait();
  });
}

}  // namespace
