// SPDX-License-Identifier: MIT
// mutex: exclusion, order, hand-over, errors, and what a run leaves behind. timed_mutex and recursive_mutex are in
// timed_mutex_test.cpp.
#include <urge/sync.hpp>

#include <array>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <vector>

#include "runtime/waiting.hpp"
#include "support/runtime_fixture.hpp"

namespace {

using namespace urge::test;

class Mutex : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, Mutex, testing::ValuesIn(settings()), name_setting());
class MutexErrors : public Plain {};

TEST_P(Mutex, IsHeldByOneGAtATime) {
  urge::run(
      [] {
        urge::mutex m;
        EXPECT_TRUE(m.try_lock());
        urge::spawn([&] { EXPECT_FALSE(m.try_lock()); }).join();
        m.unlock();
        urge::spawn([&] {
          EXPECT_TRUE(m.try_lock());
          m.unlock();
        }).join();
        m.lock();
        m.unlock();
      },
      how());
}

TEST_P(Mutex, ExcludesUnderAStorm) {
  constexpr int gs = 8;
  const int rounds = scaled(5000);
  long counter = 0;
  urge::run(
      [&] {
        urge::mutex m;
        std::vector<urge::join_handle<void>> all;
        for (int i = 0; i < gs; ++i)
          all.push_back(urge::spawn([&, i] {
            for (int k = 0; k < rounds; ++k) {
              std::lock_guard hold(m);
              const long seen = counter;
              if (k % 64 == i) urge::this_g::yield();
              counter = seen + 1;
            }
          }));
        for (auto& h : all) h.join();
      },
      how());
  EXPECT_EQ(counter, long{gs} * rounds);
}

TEST_P(Mutex, ServesWaitersFirstInFirstOut) {
  constexpr int gs = 16;
  std::vector<int> order;
  urge::run(
      [&] {
        urge::mutex m;
        m.lock();
        std::vector<urge::join_handle<void>> all;
        for (int i = 0; i < gs; ++i)
          all.push_back(spawn_waiting([&] { m.lock(); },
                                      [&, i] {
                                        order.push_back(i);
                                        m.unlock();
                                      }));
        m.unlock();
        for (auto& h : all) h.join();
      },
      how());
  ASSERT_EQ(order.size(), std::size_t{gs});
  for (int i = 0; i < gs; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST_P(Mutex, AWokenWaiterThatLosesStaysFirst) {
  std::vector<int> order;
  urge::run(
      [&] {
        urge::mutex m;
        m.lock();
        const auto wait = [&] { m.lock(); };
        auto first = spawn_waiting(wait, [&] { order.push_back(1), m.unlock(); });
        auto second = spawn_waiting(wait, [&] { order.push_back(2), m.unlock(); });
        for (int i = 0; i < 20; ++i) {
          m.unlock();
          const bool barged = m.try_lock();
          urge::this_g::yield();  // the first tries now, and finds it taken
          if (!barged) break;     // it was quicker, or was given it
          if (i == 19) m.unlock();
        }
        first.join();
        second.join();
      },
      how());
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

// The waiter keeps it until the owner before has tried, so only a hand-over makes that fail.
TEST_P(Mutex, IsHandedToAWaiterOfMoreThanAMillisecond) {
  urge::run(
      [] {
        urge::mutex m;
        std::atomic<bool> tried{false};
        m.lock();
        auto waiter = spawn_waiting([&] { m.lock(); },
                                    [&] {
                                      yield_until([&] { return tried.load(); });
                                      m.unlock();
                                    });
        urge::this_g::sleep_for(3ms);
        {
          urge::preempt_guard stay;
          m.unlock();
          EXPECT_FALSE(m.try_lock());
        }
        tried = true;
        waiter.join();
        EXPECT_TRUE(m.try_lock());
        m.unlock();
      },
      how());
}

TEST_P(Mutex, IsNotHandedToAFreshWaiter) {
  bool taken = false;
  urge::run(
      [&] {
        // A machine that stops us for a millisecond each time, or a thief that is quicker, would have to do so always.
        for (int attempt = 0; attempt < 2000 && !taken; ++attempt) {
          urge::mutex m;
          m.lock();
          auto waiter = spawn_waiting([&] { m.lock(); }, [&] { m.unlock(); });
          {
            urge::preempt_guard stay;
            m.unlock();
            taken = m.try_lock();
          }
          if (taken) m.unlock();
          waiter.join();
        }
      },
      how());
  EXPECT_TRUE(taken);
}

TEST_P(Mutex, AnOwnerThatIsPreemptedDoesNotStopTheOthers) {
  int after = 0;
  urge::run(
      [&] {
        urge::mutex m;
        std::atomic<bool> others_ran{false}, locked{false};
        auto hog = urge::spawn([&] {
          std::lock_guard hold(m);
          locked = true;
          // Ends only if this G is stopped while it owns the mutex, or there is another P.
          while (!others_ran.load()) {
            if (!async()) urge::this_g::yield();
          }
        });
        yield_until([&] { return locked.load(); });
        std::vector<urge::join_handle<void>> all;
        for (int i = 0; i < 4; ++i)
          all.push_back(urge::spawn([&] {
            others_ran = true;
            std::lock_guard hold(m);
            ++after;
          }));
        for (auto& h : all) h.join();
        hog.join();
      },
      how());
  EXPECT_EQ(after, 4);
}

TEST_P(Mutex, MayBeDestroyedByWhoeverOwnedItLast) {
  const int rounds = scaled(1000);
  urge::run(
      [&] {
        for (int k = 0; k < rounds; ++k) {
          struct guarded {
            urge::mutex m;
            int users = 3;
          };
          auto* object = new guarded;
          const auto use = [object] {
            object->m.lock();
            const bool last = --object->users == 0;
            object->m.unlock();
            if (last) delete object;
          };
          auto a = urge::spawn(use), b = urge::spawn(use);
          use();
          a.join();
          b.join();
        }
      },
      how());
}

TEST_P(Mutex, ToLockOnesOwnAgainWaitsForEver) {
  urge::mutex m;
  urge::run(
      [&] {
        auto stuck = spawn_waiting([&] { m.lock(), m.lock(); });
        EXPECT_FALSE(m.try_lock());
        EXPECT_FALSE(stuck.done());
      },
      how());
}

TEST_P(Mutex, WorksWithStdLock) {
  const int rounds = scaled(2000);
  int counter = 0;
  urge::run(
      [&] {
        urge::mutex a, b;
        auto other = urge::spawn([&] {
          for (int k = 0; k < rounds; ++k) {
            std::scoped_lock hold(b, a);
            ++counter;
          }
        });
        for (int k = 0; k < rounds; ++k) {
          std::scoped_lock hold(a, b);
          ++counter;
        }
        other.join();
      },
      how());
  EXPECT_EQ(counter, 2 * rounds);
}

// One P and no preemption: the waiter is woken, or after 2 ms given the mutex, but never runs again.
class MutexAfterARun : public Plain, public testing::WithParamInterface<std::chrono::milliseconds> {};
INSTANTIATE_TEST_SUITE_P(Patience, MutexAfterARun, testing::Values(0ms, 2ms),
                         [](const auto& info) { return std::to_string(info.param.count()) + "ms"; });

TEST_P(MutexAfterARun, IsUsableThoughWaitersWereAbandoned) {
  static urge::mutex m;
  const urge::options one{.procs = 1, .preempt = urge::preempt_mode::off};
  urge::run(
      [&] {
        m.lock();
        for (int i = 0; i < 2; ++i) (void)spawn_waiting([] { m.lock(); }, [] { m.unlock(); });
        urge::this_g::sleep_for(GetParam());
        urge::preempt_guard stay;
        m.unlock();
      },
      one);
  int counter = 0;
  urge::run(
      [&] {
        EXPECT_TRUE(m.try_lock());
        std::array<urge::join_handle<void>, 4> all;
        for (auto& h : all) h = spawn_waiting([] { m.lock(); }, [&] { ++counter, m.unlock(); });
        m.unlock();
        for (auto& h : all) h.join();
      },
      one);
  EXPECT_EQ(counter, 4);
}

TEST_F(MutexErrors, EveryCallThrowsOutsideAG) {
  urge::mutex m;
  EXPECT_THROW(m.lock(), std::logic_error);
  EXPECT_THROW(m.try_lock(), std::logic_error);
  EXPECT_THROW(m.unlock(), std::logic_error);
}

TEST_F(MutexErrors, UnlockByAnyoneButTheOwnerThrows) {
  urge::run([] {
    urge::mutex m;
    const auto not_permitted = [&] {
      try {
        m.unlock();
      } catch (const std::system_error& e) {
        return e.code() == std::errc::operation_not_permitted;
      }
      return false;
    };
    EXPECT_TRUE(not_permitted());
    m.lock();
    EXPECT_TRUE(urge::spawn(not_permitted).join());
    auto waiter = spawn_waiting([&] { m.lock(); }, [&] { m.unlock(); });
    EXPECT_TRUE(urge::spawn(not_permitted).join());
    EXPECT_FALSE(urge::spawn([&] { return m.try_lock(); }).join());
    m.unlock();
    waiter.join();
  });
}

}  // namespace
