// SPDX-License-Identifier: MIT
// counting_semaphore and binary_semaphore.
#include <urge/sync.hpp>

#include <stdexcept>
#include <thread>
#include <vector>

#include "runtime/waiting.hpp"
#include "support/runtime_fixture.hpp"

namespace {

using namespace urge::test;
using std::chrono::steady_clock;

class Semaphore : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, Semaphore, testing::ValuesIn(settings()), name_setting());
class SemaphoreErrors : public Plain {};

static_assert(urge::binary_semaphore::max() == 1);
static_assert(urge::counting_semaphore<7>::max() == 7);
static_assert(urge::counting_semaphore<>::max() >= 1'000'000'000);

TEST_P(Semaphore, GivesOutAsManyUnitsAsItHas) {
  urge::run(
      [] {
        urge::counting_semaphore<> s(3);
        s.acquire();
        EXPECT_TRUE(s.try_acquire());
        EXPECT_TRUE(s.try_acquire_for(0s));
        EXPECT_FALSE(s.try_acquire());
        s.release(2);
        s.release(0);
        EXPECT_TRUE(s.try_acquire());
        EXPECT_TRUE(s.try_acquire_until(steady_clock::now() - 1h));
        EXPECT_FALSE(s.try_acquire());
      },
      how());
}

// A unit is the waiter's from the release on: nobody can take it before that one runs.
TEST_P(Semaphore, HandsUnitsToWaitersInTheirOrder) {
  std::vector<int> order;
  urge::run(
      [&] {
        urge::counting_semaphore<> s(0);
        urge::mutex m;
        std::vector<urge::join_handle<void>> all;
        for (int i = 0; i < 6; ++i) all.push_back(spawn_waiting([&] { s.acquire(); }, [&, i] { order.push_back(i); }));
        for (std::size_t i = 0; i < all.size(); ++i) {
          s.release();
          EXPECT_FALSE(s.try_acquire());
          all[i].join();
          EXPECT_EQ(order.size(), i + 1);
        }
        s.release();
        EXPECT_TRUE(s.try_acquire());
      },
      how());
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5}));
}

TEST_P(Semaphore, AReleaseOfManyServesWaitersAndKeepsTheRest) {
  std::atomic<int> got{0};
  urge::run(
      [&] {
        urge::counting_semaphore<> s(0);
        std::vector<urge::join_handle<void>> all;
        for (int i = 0; i < 3; ++i) all.push_back(spawn_waiting([&] { s.acquire(), ++got; }));
        s.release(5);
        for (auto& h : all) h.join();
        EXPECT_TRUE(s.try_acquire());
        EXPECT_TRUE(s.try_acquire());
        EXPECT_FALSE(s.try_acquire());
      },
      how());
  EXPECT_EQ(got.load(), 3);
}

TEST_P(Semaphore, WaitsForALimitedTime) {
  urge::run(
      [] {
        urge::binary_semaphore s(0);
        const auto until = steady_clock::now() + 2ms;
        EXPECT_FALSE(s.try_acquire_until(until));
        EXPECT_GE(steady_clock::now(), until);
        EXPECT_FALSE(s.try_acquire_for(1ms));
        EXPECT_FALSE(s.try_acquire_for(-1ms));
        s.release();
        EXPECT_TRUE(s.try_acquire_for(1h));
        auto in_time = spawn_waiting([&] { EXPECT_TRUE(s.try_acquire_for(1h)); });
        s.release();
        in_time.join();
        EXPECT_FALSE(s.try_acquire());
      },
      how());
}

TEST_P(Semaphore, LosesNoUnitInAStormOfTimeouts) {
  constexpr int gs = 8, units = 3;
  const int rounds = scaled(500);
  std::atomic<int> inside{0}, most{0};
  urge::run(
      [&] {
        urge::counting_semaphore<units> s(units);
        std::vector<urge::join_handle<void>> all;
        for (int i = 0; i < gs; ++i)
          all.push_back(urge::spawn([&, i] {
            for (int k = 0; k < rounds; ++k) {
              if (k % 3 == 0)
                s.acquire();
              else if (!s.try_acquire_for(std::chrono::microseconds((k * 7 + i) % 60)))
                continue;
              const int now = ++inside;
              for (int seen = most.load(); now > seen && !most.compare_exchange_weak(seen, now);) {
              }
              if (k % 4 == 0) urge::this_g::sleep_for(20us);
              --inside;
              s.release();
            }
          }));
        for (auto& h : all) h.join();
        for (int i = 0; i < units; ++i) EXPECT_TRUE(s.try_acquire());
        EXPECT_FALSE(s.try_acquire());
      },
      how());
  EXPECT_LE(most.load(), units);
}

TEST_P(Semaphore, IsReleasedByThreadsThatAreNoGs) {
  urge::binary_semaphore there(0);
  std::atomic<int> wanted{0};
  const int rounds = scaled(500);
  std::thread thread([&] {
    for (int k = 1; k <= rounds; ++k) {
      for (int seen = wanted.load(); seen < k; seen = wanted.load()) wanted.wait(seen);
      there.release();
    }
  });
  urge::run(
      [&] {
        for (int k = 1; k <= rounds; ++k) {
          wanted = k;
          wanted.notify_one();
          there.acquire();
        }
        EXPECT_FALSE(there.try_acquire());
      },
      how());
  thread.join();
}

TEST_P(Semaphore, MayBeDestroyedByTheGThatAReleaseHasLetGo) {
  const int rounds = scaled(1000);
  urge::run(
      [&] {
        for (int k = 0; k < rounds; ++k) {
          auto* s = new urge::binary_semaphore(0);
          auto giver = urge::spawn([s] { s->release(); });
          s->acquire();
          delete s;
          giver.join();
        }
      },
      how());
}

TEST_F(SemaphoreErrors, EveryCallButReleaseThrowsOutsideAG) {
  urge::counting_semaphore<> s(1);
  EXPECT_THROW(s.acquire(), std::logic_error);
  EXPECT_THROW(s.try_acquire(), std::logic_error);
  EXPECT_THROW(s.try_acquire_for(1ms), std::logic_error);
  EXPECT_THROW(s.try_acquire_until(steady_clock::now()), std::logic_error);
  s.release();
  urge::run([&] {
    EXPECT_TRUE(s.try_acquire());
    EXPECT_TRUE(s.try_acquire());
    EXPECT_FALSE(s.try_acquire());
  });
}

TEST_F(SemaphoreErrors, CountsOutOfRangeThrowAndChangeNothing) {
  EXPECT_THROW(urge::counting_semaphore<>(-1), std::invalid_argument);
  EXPECT_THROW(urge::binary_semaphore(2), std::invalid_argument);
  EXPECT_THROW(urge::counting_semaphore<0>(1), std::invalid_argument);
  urge::counting_semaphore<3> s(2);
  EXPECT_THROW(s.release(-1), std::invalid_argument);
  EXPECT_THROW(s.release(4), std::invalid_argument);
  EXPECT_THROW(s.release(2), std::logic_error);
  s.release(1);
  EXPECT_THROW(s.release(), std::logic_error);
  urge::counting_semaphore<> big(urge::counting_semaphore<>::max());
  EXPECT_THROW(big.release(), std::logic_error);
  urge::run([&] {
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(s.try_acquire());
    EXPECT_FALSE(s.try_acquire());
    EXPECT_TRUE(big.try_acquire());
  });
}

}  // namespace
