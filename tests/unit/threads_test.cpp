// SPDX-License-Identifier: MIT
// The list of the process's threads while some of them end: it is whole, or it says that it is not.
#include "base/threads.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <latch>
#include <set>
#include <thread>
#include <vector>

#include "base/os.hpp"

namespace urge::os {
namespace {

std::set<int> told;
bool note(int tid, void*) noexcept {
  told.insert(tid);
  return true;
}

TEST(Threads, AreAllTold) {
  std::atomic<int> tid{0};
  std::atomic<bool> stop{false};
  std::thread another([&] {
    tid = gettid();
    stop.wait(false);
  });
  while (tid == 0) std::this_thread::yield();
  told.clear();
  EXPECT_EQ(for_each_thread(note, nullptr), 1);
  EXPECT_TRUE(told.contains(gettid()));
  EXPECT_TRUE(told.contains(tid));
  EXPECT_EQ(for_each_thread([](int, void*) noexcept { return false; }, nullptr), 0);
  stop = true;
  stop.notify_one();
  another.join();
}

// The kernel's own listing leaves out the last one about once in a thousand rounds on two CPUs.
TEST(Threads, AWholeListHoldsThoseBehindOneThatEnds) {
  int whole = 0;
  for (int round = 0; round < 5'000; ++round) {
    std::latch begun(4), end(1);
    std::atomic<bool> stop{false};
    std::atomic<int> last{0};
    std::vector<std::thread> all;
    for (int i = 0; i < 3; ++i)
      all.emplace_back([&] {
        begun.count_down();
        end.wait();
      });
    all.emplace_back([&] {
      last = gettid();
      begun.count_down();
      stop.wait(false);
    });
    begun.wait();
    end.count_down();
    told.clear();
    const int result = for_each_thread(note, nullptr);
    ASSERT_TRUE(result == 1 || result == -EAGAIN) << result;
    whole += result == 1;
    if (result == 1) {
      EXPECT_TRUE(told.contains(last)) << "round " << round;
    }
    stop = true;
    stop.notify_one();
    for (auto& t : all) t.join();
  }
  EXPECT_GT(whole, 0);
}

}  // namespace
}  // namespace urge::os
