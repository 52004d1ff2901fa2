// SPDX-License-Identifier: MIT
// The runtime's lock.
#include "base/lock.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace urge {
namespace {

TEST(RawLock, OneHolderAtATime) {
  raw_lock lock;
  std::uint64_t n = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 100'000; ++i) {
        const std::lock_guard hold(lock);
        ++n;
      }
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(n, 400'000u);
}

TEST(RawLock, TryLockTakesAFreeOneOnly) {
  raw_lock lock;
  EXPECT_TRUE(lock.try_lock());
  EXPECT_FALSE(lock.try_lock());
  lock.unlock();
  EXPECT_TRUE(lock.try_lock());
  lock.unlock();
}

TEST(RawLock, WaitersThatSleepAreAllWokenInTheEnd) {
  raw_lock lock;
  int inside = 0;
  lock.lock();
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&] {
      const std::lock_guard hold(lock);
      ++inside;
    });
  // Long enough for some of them to give up spinning; that all come through does not depend on it.
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(inside, 0);
  lock.unlock();
  for (auto& t : threads) t.join();
  EXPECT_EQ(inside, 8);
}

TEST(RawLock, MayBeUnlockedByAnotherThread) {
  raw_lock lock;
  lock.lock();
  std::thread([&] { lock.unlock(); }).join();
  EXPECT_TRUE(lock.try_lock());
  lock.unlock();
}

}  // namespace
}  // namespace urge
