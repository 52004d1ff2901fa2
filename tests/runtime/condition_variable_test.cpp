// SPDX-License-Identifier: MIT
// condition_variable: no notification is lost, who is woken and in which order, time-outs, threads that are no Gs.
#include <urge/io.hpp>
#include <urge/sync.hpp>

#include <deque>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

#include "runtime/waiting.hpp"
#include "support/runtime_fixture.hpp"

namespace {

using namespace urge::test;
using std::chrono::steady_clock;
using std::chrono::system_clock;
using guard = std::unique_lock<urge::mutex>;

class ConditionVariable : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, ConditionVariable, testing::ValuesIn(settings()), name_setting());
class ConditionVariableErrors : public Plain {};

TEST_P(ConditionVariable, NotifyOneWakesTheFirstAndNoOther) {
  std::vector<int> order;
  urge::run(
      [&] {
        urge::mutex m;
        urge::condition_variable cv;
        cv.notify_one();  // for nobody: it is not kept
        std::vector<urge::join_handle<void>> all;
        for (int i = 0; i < 3; ++i)
          all.push_back(spawn_waiting([&, i] {
            guard lock(m);
            cv.wait(lock);
            EXPECT_TRUE(lock.owns_lock());
            order.push_back(i);
          }));
        for (std::size_t i = 0; i < all.size(); ++i) {
          cv.notify_one();
          all[i].join();
          EXPECT_EQ(order.size(), i + 1);
        }
      },
      how());
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2}));
}

// With the mutex locked the waiters queue for it; with it free the first takes it and the others queue.
TEST_P(ConditionVariable, NotifyAllWakesAllInTheirOrder) {
  for (const bool locked : {true, false}) {
    std::vector<int> order, expected;
    urge::run(
        [&] {
          urge::mutex m;
          urge::condition_variable cv;
          bool may = false;
          std::vector<urge::join_handle<void>> all;
          for (int i = 0; i < 8; ++i) {
            expected.push_back(i);
            all.push_back(spawn_waiting([&, i] {
              guard lock(m);
              cv.wait(lock, [&] { return may; });
              order.push_back(i);
            }));
          }
          guard lock(m);
          may = true;
          if (!locked) lock.unlock();
          cv.notify_all();
          if (locked) {
            urge::this_g::yield();
            EXPECT_TRUE(order.empty());
            lock.unlock();
          }
          for (auto& h : all) h.join();
        },
        how());
    EXPECT_EQ(order, expected) << (locked ? "notified with the mutex locked" : "notified with the mutex free");
  }
}

// Producers and consumers of a queue with room for two: each notification that got lost would stop them for ever.
TEST_P(ConditionVariable, LosesNoWakeUp) {
  constexpr int pairs = 4;
  const int items = scaled(2000);
  long sum = 0;
  urge::run(
      [&] {
        urge::mutex m;
        urge::condition_variable not_empty, not_full;
        std::deque<int> queue;
        std::vector<urge::join_handle<long>> all;
        for (int i = 0; i < pairs; ++i) {
          all.push_back(urge::spawn([&] {
            for (int k = 1; k <= items; ++k) {
              guard lock(m);
              not_full.wait(lock, [&] { return queue.size() < 2; });
              queue.push_back(k);
              if (k % 2) lock.unlock();
              not_empty.notify_one();
            }
            return 0L;
          }));
          all.push_back(urge::spawn([&, i] {
            long mine = 0;
            for (int k = 1; k <= items; ++k) {
              guard lock(m);
              if (i % 2)
                not_empty.wait(lock, [&] { return !queue.empty(); });
              else
                while (!not_empty.wait_for(lock, 50us, [&] { return !queue.empty(); })) {
                }
              mine += queue.front();
              queue.pop_front();
              lock.unlock();
              not_full.notify_one();
            }
            return mine;
          }));
        }
        for (auto& h : all) sum += h.join();
      },
      how());
  EXPECT_EQ(sum, long{pairs} * items * (items + 1) / 2);
}

TEST_P(ConditionVariable, WaitsForALimitedTime) {
  urge::run(
      [] {
        urge::mutex m;
        urge::condition_variable cv;
        guard lock(m);
        const auto until = steady_clock::now() + 2ms;
        EXPECT_EQ(cv.wait_until(lock, until), std::cv_status::timeout);
        EXPECT_GE(steady_clock::now(), until);
        EXPECT_EQ(cv.wait_until(lock, system_clock::now() + 1ms), std::cv_status::timeout);
        EXPECT_EQ(cv.wait_for(lock, 1ms), std::cv_status::timeout);
        EXPECT_EQ(cv.wait_for(lock, -1ms), std::cv_status::timeout);
        EXPECT_FALSE(cv.wait_for(lock, 1ms, [] { return false; }));
        EXPECT_TRUE(cv.wait_for(lock, -1h, [] { return true; }));
        EXPECT_TRUE(lock.owns_lock());
        EXPECT_FALSE(urge::spawn([&] { return m.try_lock(); }).join()) << "it is locked again after a time-out";
      },
      how());
}

TEST_P(ConditionVariable, IsNotifiedInTime) {
  urge::run(
      [] {
        urge::mutex m;
        urge::condition_variable cv;
        bool may = false;
        auto plain = spawn_waiting([&] {
          guard lock(m);
          EXPECT_EQ(cv.wait_for(lock, 1h), std::cv_status::no_timeout);
        });
        auto with_predicate = spawn_waiting([&] {
          guard lock(m);
          EXPECT_TRUE(cv.wait_until(lock, steady_clock::now() + 1h, [&] { return may; }));
        });
        auto for_ever = spawn_waiting([&] {
          guard lock(m);
          EXPECT_TRUE(cv.wait_for(lock, std::chrono::hours::max(), [&] { return may; }));
        });
        guard lock(m);
        may = true;
        cv.notify_all();
        lock.unlock();
        plain.join();
        with_predicate.join();
        for_ever.join();
      },
      how());
}

TEST_P(ConditionVariable, IsNotifiedByThreadsThatAreNoGs) {
  urge::mutex m;
  urge::condition_variable cv;
  std::atomic<int> wanted{0}, answered{0};
  const int rounds = scaled(300);
  // Asked through an atomic, for a thread cannot lock the mutex.
  std::thread thread([&] {
    for (int k = 1; k <= rounds; ++k) {
      for (int seen = wanted.load(); seen < k; seen = wanted.load()) wanted.wait(seen);
      answered = k;
      // The G may be between its look at `answered` and its wait, where only the mutex would keep us out: so again.
      while (wanted.load() == k) {
        k % 2 ? cv.notify_one() : cv.notify_all();
        std::this_thread::yield();
      }
    }
  });
  urge::run(
      [&] {
        guard lock(m);
        for (int k = 1; k <= rounds; ++k) {
          wanted = k;
          wanted.notify_one();
          cv.wait(lock, [&] { return answered.load() == k; });
        }
        wanted = rounds + 1;
        wanted.notify_one();
      },
      how());
  thread.join();
  EXPECT_EQ(answered.load(), rounds);
}

TEST_P(ConditionVariable, WorksInTheNextRunAfterWaitersWereAbandoned) {
  urge::mutex m;
  urge::condition_variable cv;
  for (int k = 0; k < 3; ++k) {
    bool woken = false;
    urge::run(
        [&] {
          auto waiter = spawn_waiting([&] {
            guard lock(m);
            cv.wait(lock);
            woken = true;
          });
          cv.notify_one();
          waiter.join();
          for (int i = 0; i < 3; ++i)
            (void)spawn_waiting([&, i] {
              guard lock(m);
              i % 2 ? (void)cv.wait_for(lock, 1h) : cv.wait(lock);
            });
        },
        how());
    EXPECT_TRUE(woken);
  }
}

TEST_F(ConditionVariableErrors, WaitThrowsOutsideAGAndNotifyDoesNot) {
  urge::mutex m;
  urge::condition_variable cv;
  guard lock(m, std::defer_lock);
  EXPECT_THROW(cv.wait(lock), std::logic_error);
  EXPECT_THROW(cv.wait_for(lock, 1ms), std::logic_error);
  EXPECT_THROW(cv.wait_until(lock, steady_clock::now()), std::logic_error);
  cv.notify_one();
  cv.notify_all();
}

TEST_F(ConditionVariableErrors, WaitWithoutTheMutexLockedThrows) {
  urge::run([] {
    urge::mutex m;
    urge::condition_variable cv;
    guard none, unlocked(m, std::defer_lock);
    EXPECT_THROW(cv.wait(none), std::system_error);
    EXPECT_THROW(cv.wait(unlocked), std::system_error);
    EXPECT_THROW(cv.wait_for(unlocked, 1ms), std::system_error);
    guard ours(m);
    urge::spawn([&] { EXPECT_THROW(cv.wait(ours), std::system_error); }).join();
    EXPECT_EQ(cv.wait_for(ours, 1ms), std::cv_status::timeout);
  });
}

}  // namespace
