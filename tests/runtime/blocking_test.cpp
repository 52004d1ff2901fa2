// SPDX-License-Identifier: MIT
// urge::blocking: the P goes on while its G waits in the kernel.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/io.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>
#include <urge/time.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <stdexcept>
#include <vector>

#include "support/runtime_fixture.hpp"

namespace urge::test {
namespace {

class Blocking : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, Blocking, testing::ValuesIn(settings()), name_setting());

struct pipe_pair {
  int ends[2];
  pipe_pair() { EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0); }
  ~pipe_pair() { close_writer(), ::close(ends[0]); }
  pipe_pair(const pipe_pair&) = delete;
  pipe_pair& operator=(const pipe_pair&) = delete;
  char read() const {
    char c = 0;
    return ::read(ends[0], &c, 1) == 1 ? c : '\0';
  }
  void write(char c) const { EXPECT_EQ(::write(ends[1], &c, 1), 1); }
  void close_writer() {
    if (ends[1] >= 0) ::close(std::exchange(ends[1], -1));
  }
};

TEST_P(Blocking, ReturnsValuesAndExceptions) {
  run(
      [] {
        EXPECT_EQ(blocking([] { return 7; }), 7);
        blocking([] {});
        EXPECT_EQ(*blocking([] { return std::make_unique<int>(3); }), 3);
        EXPECT_THROW(blocking([] { throw std::runtime_error("inside"); }), std::runtime_error);
        int on_stack = 1;
        int& same = blocking([&]() -> int& { return on_stack; });
        EXPECT_EQ(&same, &on_stack);
        EXPECT_EQ(spawn([] { return blocking([] { return 9; }); }).join(), 9);
      },
      how());
}

TEST_P(Blocking, OthersRunWhileItWaits) {
  run(
      [] {
        pipe_pair p;
        auto reader = spawn([&] { return blocking([&] { return p.read(); }); });
        auto other = spawn([] { return 5; });
        EXPECT_EQ(other.join(), 5);
        EXPECT_FALSE(reader.done());
        p.write('x');
        EXPECT_EQ(reader.join(), 'x');
      },
      how());
}

TEST_P(Blocking, MainMayWaitForWhatAnotherGWrites) {
  run(
      [] {
        pipe_pair p;
        go([&] { p.write('m'); });
        EXPECT_EQ(blocking([&] { return p.read(); }), 'm');
      },
      how());
}

TEST_P(Blocking, FiftyReadersWaitAtOnce) {
  run(
      [] {
        constexpr int n = 50;
        std::vector<std::unique_ptr<pipe_pair>> pipes;
        std::vector<join_handle<char>> readers;
        std::atomic<int> begun{0};
        for (int i = 0; i < n; ++i) {
          pipes.push_back(std::make_unique<pipe_pair>());
          readers.push_back(spawn([&begun, p = pipes.back().get()] {
            ++begun;
            return blocking([p] { return p->read(); });
          }));
        }
        while (begun != n) this_g::yield();
        auto other = spawn([] { return 1; });
        EXPECT_EQ(other.join(), 1);
        for (int i = n; i-- != 0;) pipes[static_cast<std::size_t>(i)]->write(static_cast<char>('A' + i % 26));
        for (int i = 0; i < n; ++i)
          EXPECT_EQ(readers[static_cast<std::size_t>(i)].join(), static_cast<char>('A' + i % 26));
      },
      how());
}

TEST_P(Blocking, PThatIsTakenAwayIsCountedAsRetakenAndHandedOff) {
  if (GetParam().procs != 1) GTEST_SKIP() << "with idle Ps nobody needs this one";
  run(
      [] {
        pipe_pair p;
        bool begun = false;
        auto reader = spawn([&] { return begun = true, blocking([&] { return p.read(); }); });
        while (!begun) this_g::yield();  // it gives the P up only when it waits
        p.write('x');
        EXPECT_EQ(reader.join(), 'x');
      },
      how());
  const stats s = snapshot();
  EXPECT_GE(s.retakes, 1u);
  EXPECT_GE(s.handoffs, 1u);
  EXPECT_GE(s.retakes, s.handoffs);
}

// Compilers keep errno's address for as long as a function runs, and a G without an identity may come back on another
// thread.
[[gnu::noinline]] int errno_now() { return errno; }
[[gnu::noinline]] void clear_errno() { errno = 0; }

TEST_P(Blocking, ErrnoIsAsTheCallLeftIt) {
  run(
      [] {
        for (int i = 0; i < 1000; ++i) {
          clear_errno();
          const ssize_t n = blocking([] { return ::read(-1, nullptr, 0); });
          const int e = errno_now();
          EXPECT_EQ(n, -1);
          EXPECT_EQ(e, EBADF);
        }
      },
      how());
}

TEST_P(Blocking, ErrnoInsideIsTheGsOwn) {
  run(
      [] {
        std::atomic<bool> over{false};
        auto noise = spawn([&] {
          while (!over) {
            errno = EXDEV;
            this_g::yield();
          }
        });
        for (int i = 0; i < 300; ++i) {
          const int e = blocking([] {
            ::read(-1, nullptr, 0);
            return errno;
          });
          EXPECT_EQ(e, EBADF);
          this_g::yield();
        }
        over = true;
        noise.join();
      },
      how());
}

TEST_P(Blocking, CallsOfUrgeInsideAreAllowed) {
  run(
      [] {
        chan<int> c;
        go([c]() mutable { c.send(4); });
        const int got = blocking([&] {
          const int v = *c.recv();  // from here on it runs as ordinary code
          this_g::yield();
          go([] {});
          preempt_point();
          return v + static_cast<int>(this_g::id());
        });
        EXPECT_EQ(got, 5);
        EXPECT_EQ(blocking([] { return blocking([] { return blocking([] { return 3; }); }); }), 3);
        pipe_pair p;
        auto h = spawn([&] {
          return blocking([&] {
            const char first = blocking([&] { return p.read(); });
            return std::string{first, p.read()};
          });
        });
        p.write('a'), p.write('b');
        EXPECT_EQ(h.join(), "ab");
      },
      how());
}

TEST_P(Blocking, ExitInsideUnwinds) {
  run(
      [] {
        bool destroyed = false;
        struct note_it {
          bool& flag;
          ~note_it() { flag = true; }
        };
        spawn([&] {
          blocking([&] {
            const note_it n{destroyed};
            this_g::exit();
          });
        }).join();
        EXPECT_TRUE(destroyed);
      },
      how());
}

TEST_P(Blocking, ManyShortCallsOnManyGs) {
  const int n = scaled(2000);
  run(
      [n] {
        std::atomic<int> sum{0};
        std::vector<join_handle<void>> all;
        for (int g = 0; g < 8; ++g)
          all.push_back(spawn([&, n] {
            for (int i = 0; i < n; ++i) sum += blocking([] { return 1; });
          }));
        for (auto& h : all) h.join();
        EXPECT_EQ(sum.load(), 8 * n);
      },
      how());
}

// Short system calls must not keep a slice from ever ending. Source: Go's TestPreemptionAfterSyscall (golang/go#28701).
TEST_P(Blocking, AGThatSpinsAfterManyShortCallsIsPreempted) {
  if (!async()) GTEST_SKIP() << "nothing else stops such a G";
  run(
      [] {
        for (int k = 0; k < 3; ++k) {
          for (int i = 0; i < 8; ++i)
            go([] {
              const auto until = std::chrono::steady_clock::now() + 2ms;
              while (std::chrono::steady_clock::now() < until) blocking([] { ::usleep(10); });
              for (;;) {
              }
            });
          this_g::sleep_for(3ms);
          EXPECT_EQ(spawn([] { return 1; }).join(), 1);
        }
      },
      how());
}

// Two Gs that are never out of system calls for long; main must come to its turn. Source: Go's TestGCFairness.
TEST_P(Blocking, WritersToNullDoNotStarveASleeper) {
  if (!async()) GTEST_SKIP() << "nothing else stops such a G";
  run(
      [] {
        const int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
        for (int i = 0; i < 2; ++i)
          go([null] {
            for (;;) {
              [[maybe_unused]] const auto n = ::write(null, ".", 1);
            }
          });
        this_g::sleep_for(5ms);
        ::close(null);
      },
      how());
}

// Each is woken by the other or in a short call at nearly any time; their timers must fire. Source: Go's
// TestTimerFairness2.
TEST_P(Blocking, TimersFireBesideShortCallsAndAChannelThatIsAlwaysReady) {
  if (!preempts()) GTEST_SKIP() << "two that are always ready for each other may keep the P to themselves";
  run(
      [] {
        const pipe_pair p;
        chan<int> c;
        std::vector<join_handle<void>> both;
        for (int i = 0; i < 2; ++i)
          both.push_back(spawn([&p, c]() mutable {
            auto timer = urge::after(20ms);
            bool over = false;
            while (!over) {
              blocking([&] { return ::read(p.ends[0], nullptr, 0); });
              select(on_send(c, 0, [] {}), on_recv(c, [](auto) {}), on_recv(timer, [&](auto) { over = true; }));
            }
          }));
        for (auto& h : both) h.join();
      },
      how());
}

TEST_P(Blocking, ItIsNotPreemptedInside) {
  if (!async() || GetParam().procs != 1) GTEST_SKIP() << "asks for signals on one P";
  run(
      [] {
        auto spinner = spawn([] {
          blocking([] {
            const auto until = std::chrono::steady_clock::now() + 5ms;
            while (std::chrono::steady_clock::now() < until) {
            }
          });
        });
        while (!spinner.done()) this_g::yield();
        EXPECT_EQ(spinner.info().preempts_by_signal(), 0u);
      },
      how());
}

}  // namespace
}  // namespace urge::test
