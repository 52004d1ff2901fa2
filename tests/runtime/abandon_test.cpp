// SPDX-License-Identifier: MIT
// The end of a run with Gs that are still alive: of every kind, many times over, and nothing is left of them: neither
// threads nor descriptors nor mappings; and the next run works.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/io.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>
#include <urge/sync.hpp>
#include <urge/time.hpp>

#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "support/runtime_fixture.hpp"

namespace urge::test {
namespace {

class Abandon : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, Abandon, testing::ValuesIn(settings()), name_setting());
class AbandonManyTimes : public Plain {};

// What a G is doing when the run ends. Each comes to its point by itself.
void spin() {
  for (;;) asm volatile("");
}
void spin_with_yield_points() {
  for (;;) preempt_point();
}
void sleep_long() { this_g::sleep_for(1h); }
void receive() { chan<int>().recv(); }
void send() { chan<std::string>().send("nobody takes it"); }
void select_all() {
  chan<int> a, b(1);
  select(on_recv(a, [](auto) {}), on_recv(b, [](auto) {}), after(1h, [] {}));
}
void receive_until() { chan<int>().recv_until(std::chrono::steady_clock::now() + 1h); }
void wait_for_timer() { urge::after(1h).recv(); }
void join_another() { spawn(sleep_long).join(); }
void yield_for_ever() {
  for (;;) this_g::yield();
}
void start_more() {
  for (;;) {
    go([] {});
    this_g::yield();
  }
}
void allocate() {
  for (;;) {
    void* p = std::malloc(500);
    asm volatile("" ::"r"(p));
    std::free(p);
  }
}
void print() {
  char text[200];
  for (double d = 1;; d += 0.1) std::snprintf(text, sizeof text, "%g %s %d", d, "text", 7);
}
void throw_and_catch() {
  for (;;) {
    try {
      throw std::string("x");
    } catch (const std::string&) {
    }
  }
}
void block_shortly() {
  for (;;) blocking([] { ::usleep(1); });
}
using body = void (*)();
// Those that stop by themselves or are asked to.
constexpr body cooperative[] = {spin_with_yield_points, sleep_long,     receive,      send,           select_all,
                                receive_until,          wait_for_timer, join_another, yield_for_ever, start_more,
                                block_shortly};
// Those that only a signal stops.
constexpr body hogs[] = {spin, allocate, print, throw_and_catch};

void start(const body* from, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) go(from[i]);
}

TEST_P(Abandon, EveryKindThatStopsByItself) {
  if (!preempts()) GTEST_SKIP() << "a G that yields to nobody would keep the P";
  for (int round = 0; round < 10; ++round) {
    run(
        [] {
          start(cooperative, std::size(cooperative));
          for (int i = 0; i < 20; ++i) this_g::yield();
        },
        how());
    EXPECT_EQ(snapshot().abandoned_inside, 0u);
  }
  EXPECT_EQ(run([] { return spawn([] { return 1; }).join(); }, how()), 1);
}

TEST_P(Abandon, EachKindAloneAndRightAtTheStart) {
  for (const body b : cooperative) {
    if (!preempts() && b == spin_with_yield_points) continue;
    run([b] { go(b); }, how());
    run([b] { go(b), this_g::yield(); }, how());
  }
}

TEST_P(Abandon, HogsThatOnlyASignalStops) {
  if (!async()) GTEST_SKIP() << "nothing else stops such a G";
  for (int round = 0; round < 5; ++round) {
    run(
        [] {
          start(hogs, std::size(hogs));
          for (int i = 0; i < 3; ++i) this_g::yield();
        },
        how());
  }
  EXPECT_EQ(run([] { return spawn([] { return 1; }).join(); }, how()), 1);
}

// Each holds the lock of stdout nearly all the time, or waits for it: who ends inside printf would lock it for good.
TEST_P(Abandon, FiftyInsidePrintfLeaveItUsable) {
  if (!async()) GTEST_SKIP() << "nothing else stops such a G";
  std::fflush(stdout);
  const int before = ::dup(STDOUT_FILENO), nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  ASSERT_GE(::dup2(nowhere, STDOUT_FILENO), 0);
  int printed = -1;
  for (int round = 0; round < 3; ++round) {
    run(
        [] {
          std::atomic<int>& begun = *new std::atomic<int>(0);  // some are still there when this G has ended
          for (int i = 0; i < 50; ++i)
            go([&begun] {
              ++begun;
              for (double d = 1;; d += 0.1) std::printf("%g %s %d\n", d, "text", 7);
            });
          while (begun < 50) this_g::sleep_for(100us);
        },
        how());
    printed = std::printf("after them");
  }
  std::fflush(stdout);
  ::dup2(before, STDOUT_FILENO);
  ::close(before), ::close(nowhere);
  EXPECT_EQ(printed, 10);
  EXPECT_EQ(snapshot().abandoned_inside, 0u);
}

TEST_P(Abandon, ThousandsThatNeverStarted) {
  const int n = scaled(20'000);
  run(
      [n] {
        const preempt_guard hold;
        for (int i = 0; i < n; ++i) go([] {});
      },
      how());
  const stats s = snapshot();
  EXPECT_EQ(s.abandoned + s.finished, static_cast<std::uint64_t>(n) + 1);
}

TEST_P(Abandon, WhatTheirClosuresHoldIsLeftAsItIs) {
  // As in Go: no unwinding. The closure of a G that never ran is not destroyed either.
  static std::atomic<int> destroyed;
  destroyed = 0;
  struct counts {
    ~counts() { ++destroyed; }
  };
  run(
      [] {
        go([] {
          const counts c;
          sleep_long();
        });
        this_g::yield();
      },
      how());
  EXPECT_EQ(destroyed.load(), 0);
}

TEST_P(Abandon, OneInAReadEndsItsThreadWhenItIsBack) {
  const std::size_t threads = count_threads();
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  static std::atomic<bool> went_on;
  static std::atomic<int> read;
  went_on = false, read = 0;
  for (int i = 0; i < 3; ++i) {
    std::atomic<bool> inside{false};
    run(
        [&] {
          go([&] {
            const int from = ends[0];
            blocking([&] {
              inside = true;
              char c;
              const auto n = ::read(from, &c, 1);
              ++read;
              return n;
            });
            went_on = true;
          });
          while (!inside) this_g::yield();
        },
        how());
    EXPECT_EQ(run([] { return spawn([] { return 5; }).join(); }, how()), 5) << "while it still sits there";
  }
  ::close(ends[1]);
  EXPECT_TRUE(eventually([&] { return count_threads() <= threads; })) << "their threads stay";
  EXPECT_EQ(read.load(), 3);
  ::close(ends[0]);
  EXPECT_FALSE(went_on.load()) << "its run is over: nothing of it runs any more";
}

TEST_P(Abandon, OneThatComesBackAsTheRunEnds) {
  const int n = scaled(30);
  for (int i = 0; i < n; ++i)
    run(
        [i] {
          for (int k = 0; k < 4; ++k)
            go([i, k] { blocking([&] { ::usleep(static_cast<unsigned>(20 * i + 50 * k)); }); });
          this_g::sleep_for(std::chrono::microseconds(100 + 10 * i));
        },
        how());
}

// A thousand runs. The time is not tested, but this is to take seconds: each run starts and ends some threads, and
// that is all.
TEST_F(AbandonManyTimes, LeavesNothingBehind) {
  const int rounds = scaled(1000);
  const auto one = [](int i) {
    options o;
    o.procs = 1 + static_cast<unsigned>(i % 2);
    o.quantum = i % 3 ? 10ms : 50us;
    run(
        [i] {
          if (sanitized)
            start(cooperative, std::size(cooperative));
          else if (i % 2)
            start(hogs, std::size(hogs));
          start(cooperative, i % std::size(cooperative));
          this_g::yield();
        },
        o);
  };
  for (int i = 0; i < rounds / 10; ++i) one(i);
  ASSERT_TRUE(eventually([] { return count_threads() <= 3; }));
  const std::size_t mappings = count_mappings(), fds = count_fds(), threads = count_threads();
  const auto ids = preempt::count_identities();
  const auto stacks = count_stacks();
  std::uint64_t inside = 0;
  for (int i = 0; i < rounds; ++i) one(i), inside += snapshot().abandoned_inside;
  EXPECT_TRUE(eventually([&] { return count_threads() <= threads; }));
  EXPECT_EQ(count_fds(), fds);
  // malloc may make an arena or two more; a leak would be one per run.
  // A sanitizer maps memory of its own, for threads and what it knows of them.
  if (!sanitized) {
    EXPECT_LE(count_mappings(), mappings + static_cast<std::size_t>(rounds) / 20);
  }
  // Each G that is lost inside libc costs a stack and an identity; all others are used again.
  EXPECT_LE(preempt::count_identities().made, ids.made + inside + 64);
  EXPECT_LE(count_stacks().made, stacks.made + inside + 64);
}

// The same for memory: what Gs and their tasks are made of is used again or freed.
TEST_F(AbandonManyTimes, LeaksNoMemoryWhenAllGsEnd) {
  if (sanitized) GTEST_SKIP() << "the sanitizer's malloc keeps what is freed, and finds leaks by itself";
  const auto one = [] {
    run([] {
      std::vector<join_handle<int>> all;
      for (int i = 0; i < 100; ++i) all.push_back(spawn([i] { return i; }));
      for (auto& h : all) h.join();
      for (int i = 0; i < 100; ++i) go([] {});
      this_g::exit();
    });
  };
  for (int i = 0; i < 20; ++i) one();
  const std::size_t before = mallinfo2().uordblks;
  for (int i = 0; i < 100; ++i) one();
  // mallinfo2 sees the main arena only, and caches move: a leak of one task per G would be over a megabyte.
  EXPECT_LT(mallinfo2().uordblks, before + 200'000);
}

// They end on a thread of their own, when all queues are over: their descriptors go to the free list once, and none of
// the others may take hold of them there.
TEST_F(AbandonManyTimes, DescriptorsOfThoseThatAreLetOutAreHandedOutOnce) {
  URGE_TEST_NEEDS_ASYNC();
  options how;
  how.procs = 2, how.quantum = 50us;
  for (int round = 0; round < 100; ++round) {
    run(
        [] {
          for (int i = 0; i < 6; ++i)
            go([i] {
              // Half of them end soon, perhaps as they are let out.
              for (int k = 0; i % 2 || k < 20'000; ++k) {
                void* p = std::malloc(500);
                asm volatile("" ::"r"(p));
                std::free(p);
              }
            });
          while (snapshot().preempts_async < 8) this_g::sleep_for(20us);
        },
        how);
    constexpr std::ptrdiff_t gs = 40;
    const int sum = run(
        [] {
          latch all_begun(gs);
          std::vector<join_handle<int>> all;
          for (int i = 0; i < gs; ++i)
            all.push_back(spawn([&all_begun, i] {
              all_begun.arrive_and_wait();
              return i;
            }));
          int total = 0;
          for (auto& h : all) total += h.join();
          return total;
        },
        how);
    ASSERT_EQ(sum, gs * (gs - 1) / 2);
  }
}

}  // namespace
}  // namespace urge::test
