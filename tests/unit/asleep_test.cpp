// SPDX-License-Identifier: MIT
// What the kernel's text about a thread means, and what it says about real ones.
#include "sysmon/asleep.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "base/os.hpp"

namespace urge::sysmon {
namespace {

TEST(ParseDoing, ToldByTheCallAndItsArguments) {
  EXPECT_EQ(parse_doing("running\n"), doing::runs);
  EXPECT_EQ(parse_doing("0 0x3 0x7ffd 0x100 0x0 0x0 0x0 0x7ffe 0x7f01\n"), doing::asleep);
  EXPECT_EQ(parse_doing("-1 0x7ffe 0x7f01\n"), doing::asleep) << "a page fault";
  // futex(word, op, value, time limit)
  EXPECT_EQ(parse_doing("202 0x7f41b3913a10 0x80 0x2 0x0 0x7 0x5645 0x7fff 0x7f41\n"), doing::on_lock);
  EXPECT_EQ(parse_doing("202 0x7f41b3913a10 0x189 0x0 0x0 0x0 0xffffffff 0x7fff 0x7f41\n"), doing::on_lock);
  EXPECT_EQ(parse_doing("202 0x7f41b3913a10 0x80 0x2 0x7ffe00 0x7 0x5645 0x7fff 0x7f41\n"), doing::asleep);
  EXPECT_EQ(parse_doing("202 0x7f41b3913a10 0x86 0x0 0x0 0x0 0x0 0x7fff 0x7f41\n"), doing::asleep) << "lock_pi";
}

TEST(ParseDoing, WhatItDoesNotUnderstandTellsNothing) {
  for (const char* text : {"", "\n", "x", "12", "12 0x1 0x2 0x3\n", "0x", "12 zz 0x1 0x2 0x3\n", "1 0x1 0x2 0x3 \n"})
    EXPECT_EQ(parse_doing(text), doing::unknown) << text;
}

// A thread that looks like an M, and does what it is told.
class Thread {
 public:
  template <class F>
  explicit Thread(F body)
      : thread_([this, body] {
          m.tid.store(os::gettid(), release);
          body();
        }) {
    while (m.tid.load(acquire) == 0) std::this_thread::yield();
  }
  // It may not have come to its sleep yet.
  void expect(doing d) {
    for (int i = 0; i < 20'000 && look_at_thread(m) != d; ++i) ::usleep(1000);
    EXPECT_EQ(look_at_thread(m), d);
  }
  void join() { thread_.join(); }
  M m;

 private:
  std::thread thread_;
};

TEST(LookAtThread, TellsASleeperARunnerAndOneThatWaitsForALock) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  std::atomic<bool> stop{false};
  std::mutex lock;
  lock.lock();
  Thread sleeper([&] {
    char c;
    EXPECT_EQ(::read(ends[0], &c, 1), 1);
  }),
      runner([&] {
        while (!stop) {
        }
      }),
      waiter([&] { lock.lock(), lock.unlock(); });
  sleeper.expect(doing::asleep);
  runner.expect(doing::runs);
  waiter.expect(doing::on_lock);
  EXPECT_EQ(::write(ends[1], "x", 1), 1);
  stop = true;
  lock.unlock();
  for (Thread* t : {&sleeper, &runner, &waiter}) {
    t->join();
    t->expect(doing::unknown);
  }
  close_states();
  ::close(ends[0]), ::close(ends[1]);
}

TEST(LookAtThread, FindsItsFileAgainWhenTheProgramHasClosedItAndLeavesTheProgramsOwnAlone) {
  std::atomic<bool> stop{false};
  Thread runner([&] {
    while (!stop) {
    }
  });
  runner.expect(doing::runs);
  const int number = runner.m.state_fd;
  ASSERT_GE(number, 512) << "out of the program's way";
  ::close(number);
  runner.expect(doing::runs);
  const int theirs = ::open("/dev/zero", 0);
  ASSERT_EQ(::dup2(theirs, runner.m.state_fd), runner.m.state_fd);
  const int taken = runner.m.state_fd;
  runner.expect(doing::runs);
  EXPECT_NE(runner.m.state_fd, taken);
  char c = 1;
  EXPECT_EQ(::read(taken, &c, 1), 1) << "it is still open";
  stop = true;
  runner.join();
  close_states();
  ::close(taken), ::close(theirs);
}

}  // namespace
}  // namespace urge::sysmon
