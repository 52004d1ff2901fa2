// SPDX-License-Identifier: MIT
// urge::io with a deadline that passes: each call that may wait ends by it, says so, and leaves the descriptor usable.
#include <urge/go.hpp>
#include <urge/io.hpp>
#include <urge/runtime.hpp>

#include <sys/signalfd.h>
#include <sys/uio.h>

#include <cerrno>
#include <csignal>
#include <functional>
#include <string>
#include <vector>

#include "runtime/waiting.hpp"
#include "support/last_error.hpp"
#include "support/runtime_fixture.hpp"
#include "support/sockets.hpp"

namespace urge::test {
namespace {

using std::chrono::steady_clock;

class IoDeadline : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, IoDeadline, testing::ValuesIn(settings()), name_setting());

// `call` waits until its deadline, not for less; one that is past is no reason to wait at all.
template <class Call>
void expect_timed_out(const char* what, Call call) {
  const auto until = steady_clock::now() + 3ms;
  EXPECT_EQ(call(until), -1) << what;
  EXPECT_EQ(last_error(), ETIMEDOUT) << what;
  EXPECT_GE(steady_clock::now(), until) << what;
  EXPECT_EQ(call(time_point{}), -1) << what;
  EXPECT_EQ(last_error(), ETIMEDOUT) << what;
}

TEST_P(IoDeadline, EachCallThatReads) {
  run(
      [] {
        char c = 0;
        iovec one{&c, 1};
        for (auto* make : make_streams) {
          const descriptor_pair p = make();
          expect_timed_out("read", [&](auto until) { return io::read(p.a, &c, 1, until); });
          expect_timed_out("readv", [&](auto until) { return io::readv(p.a, &one, 1, until); });
          EXPECT_EQ(io::write(p.b, "x", 1), 1);
          EXPECT_EQ(io::readv(p.a, &one, 1, steady_clock::now() + 1h), 1);
          EXPECT_EQ(c, 'x');
        }
        const descriptor_pair p = make_tcp_pair();
        expect_timed_out("recv", [&](auto until) { return io::recv(p.a, &c, 1, 0, until); });
        expect_timed_out("recv of all", [&](auto until) { return io::recv(p.a, &c, 1, MSG_WAITALL, until); });
        const descriptor u = make_bound(SOCK_DGRAM);
        address from;
        expect_timed_out("recvfrom", [&](auto until) { return io::recvfrom(u, &c, 1, 0, from, &from.size, until); });
        const descriptor listener = make_bound(SOCK_STREAM);
        expect_timed_out("accept4", [&](auto until) { return io::accept4(listener, nullptr, nullptr, 0, until); });
        const address to = address_of(listener);
        const descriptor client = make_socket(SOCK_STREAM);
        EXPECT_EQ(io::connect(client, to, to.size, steady_clock::now() + 1h), 0);
        const descriptor accepted(io::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC, steady_clock::now() + 1h));
      },
      how());
}

// MSG_WAITALL: what has come until then is not lost.
TEST_P(IoDeadline, APartThatWasReceivedIsReturned) {
  run(
      [] {
        const descriptor_pair p = make_tcp_pair();
        char text[8] = {};
        EXPECT_EQ(io::send(p.b, "abc", 3, 0), 3);
        EXPECT_EQ(io::recv(p.a, text, 6, MSG_WAITALL, steady_clock::now() + 3ms), 3);
        EXPECT_STREQ(text, "abc");
      },
      how());
}

// Of more than fits, the part that did is returned; then there is no room, and nothing is written. The reader gets as
// much as was said, and there is room again.
TEST_P(IoDeadline, EachCallThatWrites) {
  run(
      [] {
        const std::string much(8 << 20, 'x');
        const std::size_t half = much.size() / 2;
        std::vector<iovec> parts{{const_cast<char*>(much.data()), half},
                                 {const_cast<char*>(much.data()) + half, much.size() - half}};
        const std::vector<std::pair<const char*, std::function<io::ssize_t(int, time_point)>>> calls{
            {"write", [&](int fd, time_point until) { return io::write(fd, much.data(), much.size(), until); }},
            {"writev", [&](int fd, time_point until) { return io::writev(fd, parts.data(), 2, until); }},
            {"send", [&](int fd, time_point until) { return io::send(fd, much.data(), much.size(), 0, until); }}};
        for (const auto& [what, call] : calls) {
          // Not TCP, where there may be room again without any reader.
          const descriptor_pair p = make_unix_pair();
          const io::ssize_t n = call(p.b, steady_clock::now() + 3ms);
          EXPECT_GT(n, 0) << what;
          EXPECT_LT(n, static_cast<io::ssize_t>(much.size())) << what;
          expect_timed_out(what, [&](auto until) { return call(p.b, until); });
          std::string got(much.size(), ' ');
          io::ssize_t sum = 0;
          while (sum < n) sum += io::read(p.a, got.data(), got.size());
          EXPECT_EQ(sum, n) << what;
          EXPECT_EQ(io::write(p.b, "y", 1, time_point{}), 1) << what;
        }
      },
      how());
}

// The queue of a listener is full: the kernel of TCP does not answer, that of a Unix socket lets the caller wait.
TEST_P(IoDeadline, Connect) {
  run(
      [] {
        const descriptor listener = make_socket(SOCK_STREAM), unix_listener(::socket(AF_UNIX, SOCK_STREAM, 0));
        address any;
        any.in.sin_family = AF_INET, any.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(::bind(listener, any, any.size), 0);
        const address to = address_of(listener);
        sockaddr_un_any unix_to(unix_listener);
        EXPECT_EQ(::listen(listener, 0) | ::listen(unix_listener, 0), 0);
        const auto fill = [](int family, sockaddr* where, socklen_t size) {
          std::vector<descriptor> all;
          do {
            all.emplace_back(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
          } while (all.size() < 10 && io::connect(all.back(), where, size, steady_clock::now() + 50ms) == 0);
          EXPECT_EQ(last_error(), ETIMEDOUT);
          EXPECT_LT(all.size(), 10u) << "the queue is not full";
          return all;
        };
        const auto some = fill(AF_INET, address(to), to.size);
        expect_timed_out("connect", [&](auto until) {
          const descriptor s = make_socket(SOCK_STREAM);
          return io::connect(s, to, to.size, until);
        });
        const auto others = fill(AF_UNIX, unix_to, unix_to.size);
        expect_timed_out("connect to a Unix socket", [&](auto until) {
          const descriptor s(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
          return io::connect(s, unix_to, unix_to.size, until);
        });
        // With room it goes on.
        auto waits = spawn_waiting([&] {
          const descriptor s(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
          EXPECT_EQ(io::connect(s, unix_to, unix_to.size, steady_clock::now() + 1h), 0);
        });
        const descriptor accepted(io::accept4(unix_listener, nullptr, nullptr, SOCK_CLOEXEC));
        waits.join();
      },
      how());
}

TEST_P(IoDeadline, ASignalDescriptorGivesWhatComesBeforeIt) {
  sigset_t set, old;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 5);
  pthread_sigmask(SIG_BLOCK, &set, &old);  // the Ms inherit it: only the descriptor takes the signal
  run(
      [&] {
        const descriptor signals(signalfd(-1, &set, SFD_CLOEXEC));
        signalfd_siginfo info{};
        expect_timed_out("read of a signalfd",
                         [&](auto until) { return io::read(signals, &info, sizeof info, until); });
        auto reader = spawn_waiting([&] {
          EXPECT_EQ(io::read(signals, &info, sizeof info, steady_clock::now() + 1h),
                    static_cast<io::ssize_t>(sizeof info));
        });
        union sigval value;
        value.sival_int = 77;
        EXPECT_EQ(sigqueue(getpid(), SIGRTMIN + 5, value), 0);
        reader.join();
        EXPECT_EQ(info.ssi_signo, static_cast<unsigned>(SIGRTMIN + 5));
        EXPECT_EQ(info.ssi_int, 77);
      },
      how());
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

}  // namespace
}  // namespace urge::test
