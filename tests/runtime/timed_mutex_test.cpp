// SPDX-License-Identifier: MIT
// timed_mutex and recursive_mutex: what they add to the mutex.
#include <urge/sync.hpp>

#include <mutex>
#include <stdexcept>
#include <system_error>
#include <vector>

#include "runtime/waiting.hpp"
#include "support/runtime_fixture.hpp"

namespace {

using namespace urge::test;
using std::chrono::steady_clock;
using std::chrono::system_clock;

class TimedMutex : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, TimedMutex, testing::ValuesIn(settings()), name_setting());
class TimedMutexErrors : public Plain {};
class RecursiveMutex : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, RecursiveMutex, testing::ValuesIn(settings()), name_setting());
class RecursiveMutexErrors : public Plain {};

TEST_P(TimedMutex, GivesUpWhenTheTimeHasPassed) {
  urge::run(
      [] {
        urge::timed_mutex m;
        m.lock();
        urge::spawn([&] {
          const auto from = steady_clock::now();
          EXPECT_FALSE(m.try_lock_for(2ms));
          EXPECT_GE(steady_clock::now() - from, 2ms);
          const auto until = steady_clock::now() + 2ms;
          EXPECT_FALSE(m.try_lock_until(until));
          EXPECT_GE(steady_clock::now(), until);
          EXPECT_FALSE(m.try_lock_until(system_clock::now() + 2ms));
          EXPECT_FALSE(m.try_lock());
        }).join();
        m.unlock();
        EXPECT_TRUE(m.try_lock());
        m.unlock();
      },
      how());
}

TEST_P(TimedMutex, DoesNotWaitForAMomentInThePast) {
  urge::run(
      [] {
        urge::timed_mutex m;
        EXPECT_TRUE(m.try_lock_for(0s));
        urge::spawn([&] {
          EXPECT_FALSE(m.try_lock_for(0s));
          EXPECT_FALSE(m.try_lock_for(-1h));
          EXPECT_FALSE(m.try_lock_until(steady_clock::now() - 1h));
        }).join();
        m.unlock();
        EXPECT_TRUE(m.try_lock_until(steady_clock::now() - 1h));
        m.unlock();
      },
      how());
}

TEST_P(TimedMutex, GetsItWhenItIsUnlockedInTime) {
  int got = 0;
  urge::run(
      [&] {
        urge::timed_mutex m;
        m.lock();
        auto after_an_hour = spawn_waiting([&] { got += m.try_lock_for(1h); }, [&] { m.unlock(); });
        auto after_an_age =
            spawn_waiting([&] { got += m.try_lock_for(std::chrono::hours::max()); }, [&] { m.unlock(); });
        m.unlock();
        after_an_hour.join();
        after_an_age.join();
      },
      how());
  EXPECT_EQ(got, 2);
}

TEST_P(TimedMutex, AWaiterThatGaveUpDoesNotStandInTheWay) {
  int got = 0;
  urge::run(
      [&] {
        urge::timed_mutex m;
        m.lock();
        auto short_one = spawn_waiting([&] { EXPECT_FALSE(m.try_lock_for(1ms)); });
        auto long_one = spawn_waiting([&] { m.lock(); }, [&] { ++got, m.unlock(); });
        short_one.join();
        m.unlock();
        long_one.join();
        // The last in the list gives up: the flag that says so is stale at the unlock.
        m.lock();
        urge::spawn([&] { EXPECT_FALSE(m.try_lock_for(1ms)); }).join();
        m.unlock();
        EXPECT_TRUE(m.try_lock());
        m.unlock();
      },
      how());
  EXPECT_EQ(got, 1);
}

TEST_P(TimedMutex, ExcludesUnderAStormOfTimeouts) {
  constexpr int gs = 8;
  const int rounds = scaled(500);
  long counter = 0, got = 0;
  urge::run(
      [&] {
        urge::timed_mutex m;
        std::vector<urge::join_handle<long>> all;
        for (int i = 0; i < gs; ++i)
          all.push_back(urge::spawn([&, i] {
            long mine = 0;
            for (int k = 0; k < rounds; ++k) {
              if (!m.try_lock_for(std::chrono::microseconds((k * 7 + i) % 60))) continue;
              ++mine;
              const long seen = counter;
              if (k % 4 == 0) urge::this_g::sleep_for(20us);
              counter = seen + 1;
              m.unlock();
            }
            return mine;
          }));
        for (auto& h : all) got += h.join();
        EXPECT_TRUE(m.try_lock());
        m.unlock();
      },
      how());
  EXPECT_EQ(counter, got);
  EXPECT_GT(got, 0);
}

TEST_F(TimedMutexErrors, EveryCallThrowsOutsideAG) {
  urge::timed_mutex m;
  EXPECT_THROW(m.lock(), std::logic_error);
  EXPECT_THROW(m.try_lock(), std::logic_error);
  EXPECT_THROW(m.try_lock_for(1ms), std::logic_error);
  EXPECT_THROW(m.try_lock_until(steady_clock::now()), std::logic_error);
  EXPECT_THROW(m.unlock(), std::logic_error);
}

TEST_F(TimedMutexErrors, UnlockOfAFreeOneThrows) {
  urge::run([] {
    urge::timed_mutex m;
    EXPECT_THROW(m.unlock(), std::system_error);
  });
}

TEST_P(RecursiveMutex, IsFreeWhenUnlockedAsOftenAsLocked) {
  urge::run(
      [] {
        urge::recursive_mutex m;
        const auto others_get_it = [&] {
          return urge::spawn([&] {
                   const bool got = m.try_lock();
                   if (got) m.unlock();
                   return got;
                 })
              .join();
        };
        m.lock();
        EXPECT_TRUE(m.try_lock());
        m.lock();
        m.unlock();
        m.unlock();
        EXPECT_FALSE(others_get_it());
        m.unlock();
        EXPECT_TRUE(others_get_it());
      },
      how());
}

TEST_P(RecursiveMutex, ExcludesUnderAStorm) {
  constexpr int gs = 8;
  const int rounds = scaled(3000);
  long counter = 0;
  urge::run(
      [&] {
        urge::recursive_mutex m;
        std::vector<urge::join_handle<void>> all;
        for (int i = 0; i < gs; ++i)
          all.push_back(urge::spawn([&, i] {
            for (int k = 0; k < rounds; ++k) {
              std::lock_guard outer(m);
              const long seen = counter;
              if (k % 64 == i) urge::this_g::yield();
              std::lock_guard inner(m);
              counter = seen + 1;
            }
          }));
        for (auto& h : all) h.join();
      },
      how());
  EXPECT_EQ(counter, long{gs} * rounds);
}

TEST_F(RecursiveMutexErrors, EveryCallThrowsOutsideAG) {
  urge::recursive_mutex m;
  EXPECT_THROW(m.lock(), std::logic_error);
  EXPECT_THROW(m.try_lock(), std::logic_error);
  EXPECT_THROW(m.unlock(), std::logic_error);
}

TEST_F(RecursiveMutexErrors, UnlockByAnyoneButTheOwnerThrows) {
  urge::run([] {
    urge::recursive_mutex m;
    EXPECT_THROW(m.unlock(), std::system_error);
    m.lock();
    urge::spawn([&] { EXPECT_THROW(m.unlock(), std::system_error); }).join();
    m.unlock();
    EXPECT_THROW(m.unlock(), std::system_error);
  });
}

}  // namespace
