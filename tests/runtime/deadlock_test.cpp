// SPDX-License-Identifier: MIT
// urge::deadlock: it comes when no G can ever go on, and never else.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/io.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>
#include <urge/sync.hpp>
#include <urge/time.hpp>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "runtime/waiting.hpp"
#include "support/runtime_fixture.hpp"

namespace urge::test {
namespace {

// ThreadSanitizer has a thread of its own, which is none that urge has made.
#define URGE_TEST_NEEDS_NO_OTHER_THREADS() \
  if (count_threads() != 1) GTEST_SKIP() << "a thread that urge has not made runs in this process"

class Deadlock : public WithSetting {
 protected:
  // What was written to stderr.
  std::string expect_deadlock(std::function<void()> f) {
    testing::internal::CaptureStderr();
    EXPECT_THROW(run(std::move(f), how()), deadlock);
    return testing::internal::GetCapturedStderr();
  }
};
std::vector<setting> every_mode() {
  auto all = settings();
  if (!sanitized) all.push_back({1, preempt_mode::kernel_thread, 50us});
  return all;
}
INSTANTIATE_TEST_SUITE_P(Settings, Deadlock, testing::ValuesIn(every_mode()), name_setting());

TEST_P(Deadlock, TheMainGWaits) {
  URGE_TEST_NEEDS_NO_OTHER_THREADS();
  const auto text = expect_deadlock([] { chan<int>().recv(); });
  EXPECT_TRUE(text.starts_with("urge: all goroutines are asleep - deadlock!\n")) << text;
  EXPECT_NE(text.find("goroutine 1 [waiting (chan receive)"), std::string::npos) << text;
  expect_deadlock([] {
    mutex m;
    m.lock();
    m.lock();
  });
  expect_deadlock([] { select(); });
  EXPECT_EQ(run([] { return 4; }, how()), 4);
}

TEST_P(Deadlock, AllOfManyWait) {
  URGE_TEST_NEEDS_NO_OTHER_THREADS();
  const auto text = expect_deadlock([] {
    wait_group done;
    chan<int> never;
    mutex m;
    std::lock_guard hold(m);
    for (int i = 0; i < 30; ++i) {
      done.add();
      go({.name = "one"}, [&done, &m, never, i]() mutable {
        if (i % 3 == 0) this_g::sleep_for(1ms);
        if (i % 3 == 1) blocking([] { ::usleep(2000); });
        if (i % 2 == 0)
          never.recv();
        else
          std::lock_guard wait(m);
        done.done();
      });
    }
    done.wait();
  });
  std::size_t told = 0;
  for (std::size_t at = 0; (at = text.find("'one'", at)) != std::string::npos; ++at) ++told;
  EXPECT_EQ(told, 30u);
}

TEST_P(Deadlock, LockedOnesCount) {
  URGE_TEST_NEEDS_NO_OTHER_THREADS();
  expect_deadlock([] {
    this_g::lock_os_thread();
    chan<int>().recv();
  });
  expect_deadlock([] {
    chan<int> never;
    go([never]() mutable {
      this_g::lock_os_thread();
      never.recv();
    });
    this_g::lock_os_thread();
    select();
  });
}

TEST_P(Deadlock, AfterTheMainGHasLeft) {
  URGE_TEST_NEEDS_NO_OTHER_THREADS();
  expect_deadlock([] {
    go([] { chan<int>().recv(); });
    this_g::exit();
  });
  run([] { this_g::exit(); }, how());  // nobody is left: that is an end
}

TEST_P(Deadlock, PausedOnesThatNobodyResumesCount) {
  URGE_TEST_NEEDS_NO_OTHER_THREADS();
  if (!async()) return;
  expect_deadlock([] {
    auto call = run_for(1ms, [] {
      for (;;) asm volatile("");
    });
    EXPECT_FALSE(call.done());
    chan<int>().recv();
  });
}

TEST_P(Deadlock, IsNoneWhileSomebodyWaitsForATime) {
  run(
      [] {
        chan<int> c;
        this_g::sleep_for(60ms);
        go([c]() mutable {
          this_g::sleep_for(70ms);
          c.send(1);
        });
        EXPECT_EQ(c.recv(), 1);
        auto later = after_func(70ms, [c]() mutable { c.send(2); });
        EXPECT_EQ(c.recv(), 2);
        timer t(70ms);
        EXPECT_TRUE(t.c.recv());
        select(on_recv(c, [](std::optional<int>) {}), after(70ms, [] {}));
        EXPECT_EQ(c.recv_until(std::chrono::steady_clock::now() + 70ms), std::nullopt);
      },
      how());
}

TEST_P(Deadlock, IsNoneWhileSomebodyIsInASystemCallOrIsToStart) {
  run(
      [] {
        for (int i = 0; i < 4; ++i) {
          spawn([] { blocking([] { ::usleep(60'000); }); }).join();
          spawn({.own_identity = true}, [] {}).join();
        }
      },
      how());
}

// What they wait for comes from another process, after some looks.
TEST_P(Deadlock, IsNoneWhileAllWaitForDescriptors) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const pid_t writer = ::fork();
  if (writer == 0) {
    for (int i = 0; i < 2; ++i) {
      ::usleep(200'000);
      if (::write(ends[1], "x", 1) != 1) ::_exit(1);
    }
    ::_exit(0);
  }
  ASSERT_GT(writer, 0);
  run(
      [&] {
        char byte = 0;
        auto polled = spawn([&] { return io::read(ends[0], &byte, 1); });
        EXPECT_EQ(polled.join(), 1);
        // Of this wait urge is told nothing.
        EXPECT_EQ(::read(ends[0], &byte, 1), 1);
      },
      how());
  int status = -1;
  EXPECT_EQ(::waitpid(writer, &status, 0), writer);
  EXPECT_EQ(status, 0);
  ::close(ends[0]), ::close(ends[1]);
}

TEST_P(Deadlock, IsNoneWhileAPausedOneIsResumed) {
  if (!async()) return;
  run(
      [] {
        auto call = run_for(1ms, [] {
          const auto until = this_g::cpu_time() + 5ms;
          while (this_g::cpu_time() < until) asm volatile("");
        });
        do this_g::sleep_for(50ms);
        while (!call.resume(2ms));
      },
      how());
}

TEST_P(Deadlock, IsNoneWhileAThreadThatIsNotOursLives) {
  run(
      [] {
        chan<int> c(1);
        std::thread other([c]() mutable {
          std::this_thread::sleep_for(1200ms);  // more than a look
          int n = 3;
          c.try_send(n);
        });
        EXPECT_EQ(c.recv(), 3);
        other.join();
      },
      how());
}

// It wakes a G and is gone, just when the look begins.
TEST_P(Deadlock, IsNoneWhenSuchAThreadEndsBehindAWakeUp) {
  run(
      [] {
        chan<int> c(1);
        for (int i = 0; i < 40; ++i) {
          std::thread([c, i]() mutable {
            std::this_thread::sleep_for(std::chrono::microseconds(19'500 + i * 50));
            c.try_send(i);
          }).detach();
          EXPECT_EQ(c.recv(), i);
        }
      },
      how());
}

TEST_P(Deadlock, ComesWhenTheLastSuchThreadHasEnded) {
  URGE_TEST_NEEDS_NO_OTHER_THREADS();
  std::thread other;
  expect_deadlock([&] {
    other = std::thread([] { std::this_thread::sleep_for(100ms); });
    chan<int>().recv();
  });
  other.join();
}

}  // namespace
}  // namespace urge::test
