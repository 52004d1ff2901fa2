// SPDX-License-Identifier: MIT
// Signals of the program's own, many of them, beside those that preempt: nothing that waits returns for them that would
// not on a thread, and children begin as ever. Sources: Go's TestEINTR, TestSignalDuringExec.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/io.hpp>
#include <urge/runtime.hpp>
#include <urge/time.hpp>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "support/last_error.hpp"
#include "support/runtime_fixture.hpp"
#include "support/sockets.hpp"

namespace urge::test {
namespace {

class SignalTraffic : public WithSetting {
 protected:
  void SetUp() override { URGE_TEST_NEEDS_ASYNC(); }
};
INSTANTIATE_TEST_SUITE_P(Settings, SignalTraffic, testing::ValuesIn(async_settings({1, 2})), name_setting());

std::atomic<int> handled{0};

// SIGWINCH to this process, or to its process group, each 100 us for as long as it lives.
class traffic {
 public:
  explicit traffic(int flags, pid_t to = ::getpid()) {
    handled = 0;
    struct sigaction action {};
    action.sa_handler = [](int) { ++handled; };
    action.sa_flags = flags;
    EXPECT_EQ(sigaction(SIGWINCH, &action, &before_), 0);
    sender_ = std::thread([this, to] {
      sigset_t winch;
      sigemptyset(&winch), sigaddset(&winch, SIGWINCH);
      pthread_sigmask(SIG_BLOCK, &winch, nullptr);
      while (!stop_) ::kill(to, SIGWINCH), std::this_thread::sleep_for(100us);
    });
    while (handled == 0) std::this_thread::yield();
  }
  ~traffic() {
    stop_ = true;
    sender_.join();
    sigaction(SIGWINCH, &before_, nullptr);
  }

 private:
  std::atomic<bool> stop_{false};
  struct sigaction before_ {};
  std::thread sender_;
};

// Two that draw signals of the library's: each is stopped at the end of its slice.
class hogs {
 public:
  hogs() {
    for (auto& h : all_)
      h = spawn([this] {
        while (!stop_) delete new int(1);
      });
  }
  ~hogs() {
    stop_ = true;
    for (auto& h : all_) h.join();
  }

 private:
  std::atomic<bool> stop_{false};
  join_handle<void> all_[2];
};

// Through `write` to `read`, in pieces; what a call returned instead of a piece, if one did.
template <class Write, class Read>
void move_data(Write write, Read read) {
  const std::size_t size = 300'000;
  auto writer = spawn([&] {
    const std::string piece(700, 'x');
    for (std::size_t sent = 0; sent < size;) {
      const ssize_t n = write(piece.data(), piece.size());
      ASSERT_GT(n, 0) << "errno " << last_error() << " after " << sent;
      sent += static_cast<std::size_t>(n);
    }
  });
  char piece[1000];
  for (std::size_t got = 0; got < size;) {
    const ssize_t n = read(piece, sizeof piece);
    ASSERT_GT(n, 0) << "errno " << last_error() << " after " << got;
    got += static_cast<std::size_t>(n);
  }
  writer.join();
}

TEST_P(SignalTraffic, IoIsNotInterrupted) {
  const traffic signals(0);
  run(
      [] {
        const hogs beside;
        for (const auto make : make_streams) {
          const descriptor_pair p = make();
          move_data([&](const char* at, std::size_t n) { return io::write(p.b, at, n); },
                    [&](char* at, std::size_t n) { return io::read(p.a, at, n); });
        }
      },
      how());
}

TEST_P(SignalTraffic, NorArePlainCallsThatTheHandlerRestarts) {
  const traffic signals(SA_RESTART);
  run(
      [] {
        const hogs beside;
        for (const auto make : make_streams) {
          const descriptor_pair p = make();
          move_data([&](const char* at, std::size_t n) { return ::write(p.b, at, n); },
                    [&](char* at, std::size_t n) { return blocking([&] { return ::read(p.a, at, n); }); });
        }
      },
      how());
}

TEST_P(SignalTraffic, NobodyWakesEarly) {
  const traffic signals(0);
  run(
      [] {
        const hogs beside;
        chan<int> never;
        for (int i = 0; i < 10; ++i) {
          const auto from = std::chrono::steady_clock::now();
          if (i % 2)
            this_g::sleep_for(2ms);
          else
            EXPECT_FALSE(never.recv_until(from + 2ms));
          EXPECT_GE(std::chrono::steady_clock::now() - from, 2ms);
        }
      },
      how());
}

// In a process group of their own: children get the signals as they begin, too.
TEST_P(SignalTraffic, ChildrenBeginAndEnd) {
  const pid_t group = ::getpgrp();
  ASSERT_EQ(::setpgid(0, 0), 0);
  {
    const traffic signals(0, 0);
    run(
        [] {
          const hogs beside;
          std::vector<join_handle<void>> all;
          for (int i = 0; i < 5; ++i)
            all.push_back(spawn([] {
              for (int k = 0; k < 3; ++k) {
                char name[] = "true";
                char* arguments[] = {name, nullptr};
                pid_t child;
                ASSERT_EQ(::posix_spawn(&child, "/bin/true", nullptr, nullptr, arguments, environ), 0);
                int status = -1;
                pid_t ended;
                do ended = ::waitpid(child, &status, 0);
                while (ended < 0 && last_error() == EINTR);  // this call is the handler's to interrupt
                EXPECT_EQ(ended, child);
                EXPECT_EQ(status, 0);
              }
            }));
          for (auto& h : all) h.join();
        },
        how());
  }
  EXPECT_EQ(::setpgid(0, group), 0);
}

}  // namespace
}  // namespace urge::test
