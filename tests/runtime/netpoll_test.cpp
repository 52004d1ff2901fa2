// SPDX-License-Identifier: MIT
// Waiting for descriptors: who is woken, and by what.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/io.hpp>
#include <urge/runtime.hpp>

#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include "runtime/waiting.hpp"
#include "sched/netpoll.hpp"
#include "support/last_error.hpp"
#include "support/runtime_fixture.hpp"
#include "support/sockets.hpp"

namespace urge::test {
namespace {

using std::chrono::steady_clock;

class Netpoll : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, Netpoll, testing::ValuesIn(settings()), name_setting());

char read_one(int fd, time_point deadline = io::never) {
  char c = 0;
  return io::read(fd, &c, 1, deadline) == 1 ? c : '\0';
}

TEST_P(Netpoll, ADeadlineEndsTheWaitAndNothingElse) {
  run(
      [] {
        for (const descriptor_pair& p : {make_pipe(), make_tcp_pair()}) {
          const auto until = steady_clock::now() + 2ms;
          EXPECT_EQ(read_one(p.a, until), '\0');
          EXPECT_EQ(last_error(), ETIMEDOUT);
          EXPECT_GE(steady_clock::now(), until);
          EXPECT_EQ(io::wait_readable(p.a, steady_clock::now() + 1ms), -1);
          EXPECT_EQ(last_error(), ETIMEDOUT);
          // One that is past already leaves one try.
          EXPECT_EQ(io::write(p.b, "x", 1, time_point{}), 1);
          EXPECT_EQ(read_one(p.a, time_point{}), 'x');
          EXPECT_EQ(read_one(p.a, time_point{}), '\0');
          EXPECT_EQ(last_error(), ETIMEDOUT);
          auto reader = spawn_waiting([&] { EXPECT_EQ(read_one(p.a, steady_clock::now() + 1h), 'y'); });
          EXPECT_EQ(io::write(p.b, "y", 1), 1);
          reader.join();
        }
        const descriptor listener = make_bound(SOCK_STREAM);
        EXPECT_EQ(io::accept4(listener, nullptr, nullptr, 0, steady_clock::now() + 1ms), -1);
        EXPECT_EQ(last_error(), ETIMEDOUT);
      },
      how());
  EXPECT_EQ(netpoll::n_waiters.load(), 0u);
}

TEST_P(Netpoll, ADeadlineLeavesThePartThatWasWritten) {
  run(
      [] {
        const descriptor_pair p = make_pipe();
        const std::string much(1 << 20, 'x');
        const ssize_t n = io::write(p.b, much.data(), much.size(), steady_clock::now() + 2ms);
        EXPECT_GT(n, 0);
        EXPECT_LT(n, 1 << 20);
        EXPECT_EQ(io::write(p.b, much.data(), much.size(), steady_clock::now() + 1ms), -1);
        EXPECT_EQ(last_error(), ETIMEDOUT);
      },
      how());
}

TEST_P(Netpoll, CloseWakesAllWhoWait) {
  run(
      [] {
        descriptor_pair p = make_unix_pair();  // of TCP, more may fit a moment later
        const std::string much(1 << 16, 'x');
        while (::send(p.a, much.data(), much.size(), MSG_DONTWAIT) > 0) {
        }
        const int number = p.a;
        std::vector<join_handle<void>> all;
        for (int i = 0; i < 10; ++i) {
          all.push_back(spawn_waiting([&] {
            EXPECT_EQ(read_one(number), '\0');
            EXPECT_EQ(last_error(), EBADF);
          }));
          all.push_back(spawn_waiting([&] {
            EXPECT_EQ(io::write(number, "x", 1), -1);
            EXPECT_EQ(last_error(), EBADF);
          }));
        }
        EXPECT_EQ(io::close(p.a.release()), 0);
        for (auto& g : all) g.join();

        descriptor listener = make_bound(SOCK_STREAM);
        const int its_number = listener;
        auto server = spawn_waiting([&] {
          EXPECT_EQ(io::accept4(its_number, nullptr, nullptr, 0), -1);
          EXPECT_EQ(last_error(), EBADF);
        });
        EXPECT_EQ(io::close(listener.release()), 0);
        server.join();
      },
      how());
}

TEST_P(Netpoll, ManyReadersOfOneDescriptorGetEachByteOnce) {
  run(
      [] {
        constexpr int readers = 8, each = 200;
        for (const descriptor_pair& p : {make_pipe(), make_unix_pair()}) {
          constexpr char some[] = {'x', 'x', 'x'};
          std::vector<join_handle<int>> all;
          for (int i = 0; i < readers; ++i)
            all.push_back(spawn([&] {
              int n = 0;
              while (read_one(p.a) == 'x') ++n;
              return n;
            }));
          for (int i = 0; i < readers * each; ++i) {
            EXPECT_EQ(io::write(p.b, some, 1 + static_cast<std::size_t>(i % 3)), 1 + i % 3);
            if (i % 7 == 0) this_g::yield();
          }
          // One byte for each of them, in one go: a change that is enough for all.
          EXPECT_EQ(io::write(p.b, "........", readers), readers);
          int sum = 0;
          for (auto& g : all) sum += g.join();
          EXPECT_EQ(sum, readers * each * 2 - (readers * each % 3 == 0 ? 0 : 1));
        }
      },
      how());
}

// More than there may be Ms: one that took a thread along would end the process. Source: Go's TestPipeThreads.
TEST_P(Netpoll, WaitersNeedNoThreads) {
  constexpr std::size_t n = 100;
  options o = how();
  o.max_threads = 20;
  run(
      [] {
        std::vector<descriptor_pair> pipes;
        std::vector<join_handle<void>> readers;
        for (std::size_t i = 0; i < n; ++i) pipes.push_back(make_pipe());
        for (std::size_t i = 0; i < n; ++i)
          readers.push_back(spawn([&from = pipes[i].a] { EXPECT_EQ(read_one(from), 'x'); }));
        yield_until([] { return netpoll::n_waiters == n; });
        EXPECT_LE(snapshot().threads, 20u);
        for (const auto& p : pipes) EXPECT_EQ(::write(p.b, "x", 1), 1);
        for (auto& r : readers) r.join();
      },
      o);
}

TEST_P(Netpoll, WaitersAreServedFirstInFirstOut) {
  run(
      [] {
        const descriptor_pair p = make_unix_pair(SOCK_SEQPACKET);
        std::vector<join_handle<void>> all;
        for (char c = 'a'; c <= 'e'; ++c) all.push_back(spawn_waiting([&p, c] { EXPECT_EQ(read_one(p.a), c); }));
        for (char c = 'a'; c <= 'e'; ++c) {
          EXPECT_EQ(io::write(p.b, &c, 1), 1);
          all[static_cast<std::size_t>(c - 'a')].join();
        }
      },
      how());
}

TEST_P(Netpoll, ManyAcceptOnOneListener) {
  run(
      [] {
        for (const int flag : {0, int{SOCK_NONBLOCK}}) {
          constexpr int n = 60;
          descriptor listener = make_bound(SOCK_STREAM | flag);
          const int number = listener;
          const address to = address_of(listener);
          std::atomic<int> accepted{0};
          std::vector<join_handle<void>> servers;
          for (int i = 0; i < 5; ++i)
            servers.push_back(spawn([&] {
              for (;;) {
                const int s = io::accept4(number, nullptr, nullptr, SOCK_CLOEXEC);
                if (s < 0) break;
                const descriptor closes(s);
                ++accepted;
                EXPECT_EQ(io::write(s, "w", 1), 1);
              }
              // One that was about to call may find that a file of the library has got the number.
              EXPECT_TRUE(last_error() == EBADF || last_error() == ENOTSOCK) << last_error();
            }));
          for (int i = 0; i < n; ++i) {
            const descriptor s = make_socket(SOCK_STREAM);
            EXPECT_EQ(io::connect(s, to, to.size), 0);
            EXPECT_EQ(read_one(s), 'w');
          }
          EXPECT_EQ(accepted, n);
          // None of them waits in the kernel: else the close would not end it.
          EXPECT_EQ(io::close(listener.release()), 0);
          for (auto& g : servers) g.join();
        }
      },
      how());
}

// The number comes back for another file, closed by a close that nobody told us of, or by ours.
TEST_P(Netpoll, NumbersThatAreUsedAgainWaitForTheNewFile) {
  run(
      [] {
        int number = -1;
        for (int i = 0; i < 100; ++i) {
          descriptor_pair p = i % 2 == 0 ? make_unix_pair() : make_pipe();
          if (i == 0) number = p.a;
          EXPECT_EQ(static_cast<int>(p.a), number);
          auto reader = spawn_waiting([&] { EXPECT_EQ(read_one(p.a), 'n'); });
          EXPECT_EQ(io::write(p.b, "n", 1), 1);
          reader.join();
          EXPECT_EQ(io::write(p.b, "stale", 5), 5);  // an event that nobody takes
          if (i % 3 == 0) {
            EXPECT_EQ(io::close(p.a.release()), 0);
          }
        }
      },
      how());
}

TEST_P(Netpoll, AFileWithTwoNumbersWakesThoseOfBoth) {
  run(
      [] {
        descriptor_pair p = make_unix_pair();
        descriptor other(::fcntl(p.a, F_DUPFD_CLOEXEC, 0));
        auto first = spawn_waiting([&] { EXPECT_NE(read_one(p.a), '\0'); });
        auto second = spawn_waiting([&] { EXPECT_NE(read_one(other), '\0'); });
        EXPECT_EQ(io::write(p.b, "ab", 2), 2);
        first.join();
        second.join();
        auto third = spawn_waiting([&] { EXPECT_EQ(read_one(other), 'c'); });
        EXPECT_EQ(io::close(p.a.release()), 0);
        EXPECT_EQ(io::write(p.b, "c", 1), 1);
        third.join();
      },
      how());
}

TEST_P(Netpoll, AGThatWaitsCanBeKilled) {
  run(
      [] {
        const descriptor_pair p = make_tcp_pair();
        for (int i = 0; i < 20; ++i) {
          bool unwound = false;
          auto reader = spawn_waiting([&] {
            struct note_end {
              bool& it;
              ~note_end() { it = true; }
            } at_end{unwound};
            read_one(p.a);
          });
          EXPECT_TRUE(reader.kill());
          EXPECT_THROW(reader.join(), killed);
          EXPECT_TRUE(unwound);
        }
        auto reader = spawn_waiting([&] { EXPECT_EQ(read_one(p.a), 'x'); });
        EXPECT_EQ(io::write(p.b, "x", 1), 1);
        reader.join();
      },
      how());
  EXPECT_EQ(netpoll::n_waiters.load(), 0u);
}

TEST_P(Netpoll, ARunThatEndsForgetsWhoWaits) {
  descriptor_pair p = make_tcp_pair();
  for (int i = 0; i < 5; ++i) {
    run(
        [&] {
          for (int k = 0; k < 10; ++k) go([&p, k] { read_one(p.a, k % 2 ? io::never : steady_clock::now() + 1h); });
          auto last = spawn_waiting([&] { read_one(p.a); });
        },
        how());
    EXPECT_EQ(::write(p.b, "late", 4), 4);
    run([&] { EXPECT_EQ(read_one(p.a), 'l'); }, how());
    char rest[3];
    EXPECT_EQ(::read(p.a, rest, 3), 3);
  }
}

TEST_P(Netpoll, ADumpSaysWhatAGWaitsFor) {
  run(
      [] {
        const descriptor_pair p = make_unix_pair(), out = make_pipe();
        ::fcntl(out.b, F_SETPIPE_SZ, 1 << 20);
        auto reader = spawn_waiting([&] { read_one(p.a); });
        yield_until([] { return netpoll::n_waiters.load() == 1; });
        dump(out.b);
        std::string text(1 << 20, ' ');
        const ssize_t n = ::read(out.a, text.data(), text.size());
        ASSERT_GT(n, 0);
        EXPECT_NE(text.substr(0, static_cast<std::size_t>(n)).find("(io read)"), std::string::npos);
        EXPECT_EQ(io::write(p.b, "x", 1), 1);
        reader.join();
      },
      how());
}

}  // namespace
}  // namespace urge::test
