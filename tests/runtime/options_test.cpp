// SPDX-License-Identifier: MIT
// That each option does what it says in a run; their ranges and texts are tested in tests/unit.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "support/runtime_fixture.hpp"

namespace urge::test {
namespace {

class OptionsInARun : public Plain {};

TEST_F(OptionsInARun, RunReadsTheEnvironmentWhenItIsToldNothing) {
  setenv("URGE_PROCS", "3", 1);
  EXPECT_EQ(run([] { return procs(); }), 3u);
  setenv("URGE_PROCS", "nonsense", 1);
  EXPECT_THROW(run([] {}), std::invalid_argument);
  unsetenv("URGE_PROCS");
}

// A G that fills nearly all of its stack.
[[gnu::noinline]] std::size_t use_stack(std::size_t bytes) {
  char block[1024];
  std::memset(block, static_cast<int>(bytes), sizeof block);
  asm volatile("" ::"r"(block) : "memory");
  return bytes < 2 * sizeof block ? sizeof block : use_stack(bytes - sizeof block - 64) + sizeof block;
}

TEST_F(OptionsInARun, StackSizeIsWhatAGMayUse) {
  // A sanitizer's frames are larger.
  constexpr std::size_t part = sanitized ? 4 : 2;
  for (const std::size_t kib : {64u, 256u, 4096u}) {
    options o;
    o.stack_size = kib * 1024;
    EXPECT_GT(run([kib] { return use_stack(kib * 1024 / part); }, o), kib * 1024 / part / 2);
    EXPECT_GT(run([kib] { return spawn([kib] { return use_stack(kib * 1024 / part); }).join(); }, o), 0u);
  }
}

TEST_F(OptionsInARun, AGMayHaveAStackSizeOfItsOwn) {
  options o;
  o.stack_size = 64 * 1024;
  run(
      [] {
        EXPECT_GT(spawn({.stack_size = 8 * 1024 * 1024}, [] { return use_stack(2 * 1024 * 1024); }).join(),
                  1024u * 1024);
      },
      o);
}

TEST_F(OptionsInARun, StackSizesThatAreNoMultipleOfAPageAreRoundedUp) {
  options o;
  o.stack_size = 64 * 1024 + 1;
  EXPECT_EQ(run([] { return spawn({.stack_size = 100'001}, [] { return 1; }).join(); }, o), 1);
}

TEST_F(OptionsInARun, AnyNumberOfDifferentStackSizesIsAllowed) {
  const int sum = run([] {
    int n = 0;
    for (std::size_t pages = 0; pages < 300; ++pages)
      n += spawn({.stack_size = 64 * 1024 + pages * 4096}, [] { return 1; }).join();
    return n;
  });
  EXPECT_EQ(sum, 300);
}

TEST_F(OptionsInARun, EachSignalThatIsAllowedPreempts) {
  URGE_TEST_NEEDS_ASYNC();
  for (const int s : {SIGURG, SIGUSR1, SIGUSR2, SIGRTMIN, SIGRTMAX}) {
    options o;
    o.procs = 1, o.quantum = 100us, o.signal = s;
    run(
        [] {
          std::atomic<bool> seen{false};
          go([&] { seen = true; });
          while (!seen) {
          }
        },
        o);
    EXPECT_GE(snapshot().preempts_async, 1u) << "signal " << s;
  }
}

TEST_F(OptionsInARun, ModeOffNeverPreempts) {
  options o;
  o.procs = 1, o.preempt = preempt_mode::off, o.quantum = 20us;
  run(
      [] {
        bool ran = false;
        go([&] { ran = true; });
        for (int i = 0; i < 20; ++i) {
          const auto until = std::chrono::steady_clock::now() + 200us;
          while (std::chrono::steady_clock::now() < until) preempt_point();
        }
        EXPECT_FALSE(ran);
        this_g::yield();
        EXPECT_TRUE(ran);
      },
      o);
  const stats s = snapshot();
  EXPECT_EQ(s.preempts_async + s.preempts_cooperative + s.preempt_signals + s.preempt_requests, 0u);
}

TEST_F(OptionsInARun, ModeCooperativePreemptsAtYieldPointsOnly) {
  options o;
  o.procs = 1, o.preempt = preempt_mode::cooperative, o.quantum = 50us;
  run(
      [] {
        std::atomic<bool> ran;
        do {
          ran = false;
          go([&] { ran = true; });
        } while (ran);  // the slice was over by the end of `go`
        const auto until = std::chrono::steady_clock::now() + 3ms;
        while (std::chrono::steady_clock::now() < until) {
        }
        EXPECT_FALSE(ran) << "nothing stops code that calls nothing";
        while (!ran) preempt_point();
      },
      o);
  const stats s = snapshot();
  EXPECT_GE(s.preempts_cooperative, 1u);
  EXPECT_EQ(s.preempts_async + s.preempt_signals, 0u);
}

TEST_F(OptionsInARun, InKernelThreadModeAGKeepsItsThreadAndTakesNoIdentity) {
  URGE_TEST_NEEDS_ASYNC();
  options o;
  o.procs = 1, o.quantum = 1ms, o.preempt = preempt_mode::kernel_thread;
  run(
      [] {
        go([] {
          for (;;) asm volatile("");
        });
        while (snapshot().preempts_kernel_thread < 5) this_g::yield();
      },
      o);
  const stats s = snapshot();
  EXPECT_GE(s.preempts_kernel_thread, 5u);
  EXPECT_EQ(s.preempts_async + s.promoted, 0u);
}

}  // namespace
}  // namespace urge::test
