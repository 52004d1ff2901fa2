// SPDX-License-Identifier: MIT
// urge::io: each call on each kind of descriptor, when it is ready and when it has to wait.
#include <urge/go.hpp>
#include <urge/io.hpp>
#include <urge/runtime.hpp>

#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <termios.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "runtime/waiting.hpp"
#include "support/last_error.hpp"
#include "support/runtime_fixture.hpp"
#include "support/sockets.hpp"

namespace urge::test {
namespace {

using std::chrono::steady_clock;

class Io : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, Io, testing::ValuesIn(settings()), name_setting());

std::string read_some(int fd) {
  char text[100];
  const ssize_t n = io::read(fd, text, sizeof text);
  return n < 0 ? "errno " + std::to_string(last_error()) : std::string(text, static_cast<std::size_t>(n));
}

// What is written comes out at the other end, whether the reader is there first or not; the end of it all is read as 0.
void expect_stream(const descriptor_pair& p) {
  const bool before = p.a.nonblocking();
  EXPECT_EQ(io::write(p.b, "ready", 5), 5);
  EXPECT_EQ(read_some(p.a), "ready");
  auto reader = spawn_waiting([&] { EXPECT_EQ(read_some(p.a), "waited"); });
  EXPECT_FALSE(reader.done());
  EXPECT_EQ(io::write(p.b, "waited", 6), 6);
  reader.join();
  char x[3], y[10];
  iovec out[] = {{const_cast<char*>("ve"), 2}, {const_cast<char*>("ctor"), 4}}, in[] = {{x, 3}, {y, 10}};
  EXPECT_EQ(io::writev(p.b, out, 2), 6);
  EXPECT_EQ(io::readv(p.a, in, 2), 6);
  EXPECT_EQ(std::string(x, 3) + std::string(y, 3), "vector");
  auto vectors = spawn_waiting([&] { EXPECT_EQ(io::readv(p.a, in, 2), 4); });
  EXPECT_EQ(io::write(p.b, "four", 4), 4);
  vectors.join();
  EXPECT_EQ(io::read(p.a, x, 0), 0);
  EXPECT_EQ(p.a.nonblocking(), before);
}

// More than fits: the writer waits, in parts, and returns when all is out.
void expect_all_is_written(const descriptor_pair& p, bool vectors) {
  std::string sent(3 << 20, ' ');
  for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>('a' + i % 23);
  auto writer = spawn([&] {
    if (!vectors) return io::write(p.b, sent.data(), sent.size());
    std::vector<iovec> parts;
    for (std::size_t at = 0; at < sent.size(); at += 100'001)
      parts.push_back({sent.data() + at, std::min<std::size_t>(100'001, sent.size() - at)});
    return io::writev(p.b, parts.data(), static_cast<int>(parts.size()));
  });
  std::string got;
  std::array<char, 70'000> part;
  while (got.size() < sent.size()) {
    const ssize_t n = io::read(p.a, part.data(), part.size());
    ASSERT_GT(n, 0);
    got.append(part.data(), static_cast<std::size_t>(n));
  }
  EXPECT_EQ(writer.join(), static_cast<ssize_t>(sent.size()));
  EXPECT_TRUE(got == sent);
}

TEST_P(Io, StreamsOfEachKindPassWhatIsWritten) {
  run(
      [] {
        expect_stream(make_pipe());
        expect_stream(make_unix_pair());
        expect_stream(make_tcp_pair());
        expect_stream(make_unix_pair(SOCK_STREAM | SOCK_NONBLOCK));
      },
      how());
}

TEST_P(Io, AWriterReturnsWhenAllIsWritten) {
  run(
      [] {
        for (const bool vectors : {false, true}) {
          expect_all_is_written(make_pipe(), vectors);
          expect_all_is_written(make_unix_pair(), vectors);
          expect_all_is_written(make_unix_pair(SOCK_STREAM | SOCK_NONBLOCK), vectors);
          expect_all_is_written(make_tcp_pair(), vectors);
        }
      },
      how());
}

TEST_P(Io, TheEndIsReadAsNothing) {
  run(
      [] {
        for (auto* make : make_streams) {
          descriptor_pair p = make();
          auto reader = spawn_waiting([&] { EXPECT_EQ(read_some(p.a), ""); });
          p.b.reset();
          reader.join();
          EXPECT_EQ(read_some(p.a), "");
        }
      },
      how());
}

TEST_P(Io, DatagramsStayApart) {
  run(
      [] {
        for (const int type : {SOCK_DGRAM, SOCK_SEQPACKET}) {
          const descriptor_pair p = make_unix_pair(type);
          EXPECT_EQ(io::write(p.b, "one", 3), 3);
          EXPECT_EQ(io::send(p.b, "two", 3, 0), 3);
          EXPECT_EQ(read_some(p.a), "one");
          EXPECT_EQ(read_some(p.a), "two");
          auto reader = spawn_waiting([&] { EXPECT_EQ(read_some(p.a), "three"); });
          EXPECT_EQ(io::send(p.b, "three", 5, 0), 5);
          reader.join();
        }
      },
      how());
}

// The queue of a Unix datagram socket is short: the sender waits for room, connected or not.
TEST_P(Io, DatagramsWaitForRoom) {
  run(
      [] {
        constexpr int n = 3000;
        const descriptor_pair p = make_unix_pair(SOCK_DGRAM);
        auto sender = spawn([&] {
          for (int i = 0; i < n; ++i) EXPECT_EQ(io::send(p.b, &i, sizeof i, 0), 4);
        });
        for (int i = 0, got; i < n; ++i) {
          EXPECT_EQ(io::recv(p.a, &got, sizeof got, 0), 4);
          EXPECT_EQ(got, i);
        }
        sender.join();
      },
      how());
}

TEST_P(Io, ASenderThatIsNotConnectedWaitsForRoom) {
  run(
      [] {
        const descriptor to(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        const descriptor from(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        sockaddr_un_any address(to);
        constexpr int n = 300;
        auto sender = spawn([&] {
          for (int i = 0; i < n; ++i) EXPECT_EQ(io::sendto(from, &i, sizeof i, 0, address, address.size), 4);
        });
        for (int i = 0, got; i < n; ++i) {
          EXPECT_EQ(io::recv(to, &got, sizeof got, 0), 4);
          EXPECT_EQ(got, i);
        }
        sender.join();
        int full = 0;
        while (::sendto(from, &full, sizeof full, MSG_DONTWAIT, address, address.size) == 4) ++full;
        EXPECT_EQ(io::sendto(from, &full, sizeof full, 0, address, address.size, steady_clock::now() + 3ms), -1);
        EXPECT_EQ(last_error(), ETIMEDOUT);
      },
      how());
}

TEST_P(Io, UdpTellsWhoHasSent) {
  run(
      [] {
        const descriptor a = make_bound(SOCK_DGRAM), b = make_bound(SOCK_DGRAM);
        const address to = address_of(a), expected = address_of(b);
        auto receiver = spawn_waiting([&] {
          address from;
          char text[10];
          EXPECT_EQ(io::recvfrom(a, text, sizeof text, 0, from, &from.size), 5);
          EXPECT_EQ(from.in.sin_port, expected.in.sin_port);
        });
        EXPECT_EQ(io::sendto(b, "hello", 5, 0, to, to.size), 5);
        receiver.join();
        EXPECT_EQ(io::sendto(b, "", 0, 0, to, to.size), 0);
        char c;
        EXPECT_EQ(io::recv(a, &c, 1, 0), 0);
      },
      how());
}

TEST_P(Io, ReceivesAllIfAskedTo) {
  run(
      [] {
        descriptor_pair p = make_tcp_pair();
        char text[8] = {};
        auto receiver = spawn_waiting([&] { EXPECT_EQ(io::recv(p.a, text, 6, MSG_WAITALL), 6); });
        for (const char c : {'a', 'b', 'c', 'd', 'e', 'f', 'g'}) {
          EXPECT_EQ(io::send(p.b, &c, 1, 0), 1);
          this_g::yield();
        }
        receiver.join();
        EXPECT_STREQ(text, "abcdef");
        p.b.reset();
        EXPECT_EQ(io::recv(p.a, text, 6, MSG_WAITALL), 1);
        EXPECT_EQ(text[0], 'g');
      },
      how());
}

TEST_P(Io, DoesNotWaitIfToldSo) {
  run(
      [] {
        const descriptor_pair p = make_tcp_pair();
        char c;
        for (const int flag : {MSG_DONTWAIT, MSG_ERRQUEUE}) {
          EXPECT_EQ(io::recv(p.a, &c, 1, flag), -1);
          EXPECT_EQ(last_error(), EAGAIN);
        }
        const std::string much(1 << 20, 'x');
        ssize_t n;
        while ((n = io::send(p.a, much.data(), much.size(), MSG_DONTWAIT)) > 0) EXPECT_LE(n, 1 << 20);
        EXPECT_EQ(last_error(), EAGAIN);
      },
      how());
}

TEST_P(Io, CountersSignalsAndTerminalsWait) {
  run(
      [] {
        const descriptor counter(eventfd(0, EFD_CLOEXEC));
        std::uint64_t n = 0, five = 5;
        auto reader = spawn_waiting([&] { EXPECT_EQ(io::read(counter, &n, sizeof n), 8); });
        EXPECT_EQ(io::write(counter, &five, sizeof five), 8);
        reader.join();
        EXPECT_EQ(n, 5u);

        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        const descriptor signals(signalfd(-1, &set, SFD_CLOEXEC));
        signalfd_siginfo info{};
        EXPECT_EQ(io::read(signals, &info, sizeof info, steady_clock::now() + 2ms), -1);
        EXPECT_EQ(last_error(), ETIMEDOUT);

        const descriptor master(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
        ASSERT_EQ(grantpt(master) | unlockpt(master), 0);
        char name[64];
        ASSERT_EQ(ptsname_r(master, name, sizeof name), 0);
        const descriptor terminal(::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
        auto line = spawn_waiting([&] { EXPECT_EQ(read_some(terminal), "line\n"); });
        EXPECT_EQ(io::write(master, "line\n", 5), 5);
        line.join();
        EXPECT_EQ(io::write(terminal, "x", 1), 1);
        EXPECT_EQ(read_some(master).substr(0, 4), "line");  // its echo
      },
      how());
}

TEST_P(Io, FilesThatAreAlwaysReadyAreReadInOneGo) {
  run(
      [] {
        char name[] = "/tmp/urge_io_XXXXXX";
        const descriptor file(mkostemp(name, O_CLOEXEC));
        ::unlink(name);
        const std::string text(300'000, 'f');
        EXPECT_EQ(io::write(file, text.data(), text.size()), static_cast<ssize_t>(text.size()));
        EXPECT_EQ(lseek(file, 0, SEEK_SET), 0);
        std::string got(400'000, ' ');
        EXPECT_EQ(io::read(file, got.data(), got.size()), static_cast<ssize_t>(text.size()));
        EXPECT_EQ(io::read(file, got.data(), got.size()), 0);
        EXPECT_EQ(io::wait_readable(file), 0);
        const descriptor nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
        EXPECT_EQ(io::read(nothing, got.data(), 10), 0);
        EXPECT_EQ(io::write(nothing, got.data(), 10), 10);
        EXPECT_EQ(io::wait_writable(nothing), 0);
        const descriptor folder(::open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        EXPECT_EQ(io::read(folder, got.data(), 10), -1);
        EXPECT_EQ(last_error(), EISDIR);
      },
      how());
}

TEST_P(Io, ErrorsAreThoseOfTheSystemCalls) {
  run(
      [] {
        char c = 0;
        const int bad = 9999;
        address to;
        EXPECT_EQ(io::read(bad, &c, 1), -1);
        EXPECT_EQ(last_error(), EBADF);
        EXPECT_EQ(io::write(-1, &c, 1), -1);
        EXPECT_EQ(last_error(), EBADF);
        EXPECT_EQ(io::wait_readable(bad), -1);
        EXPECT_EQ(last_error(), EBADF);
        EXPECT_EQ(io::accept4(bad, nullptr, nullptr, 0), -1);
        EXPECT_EQ(last_error(), EBADF);
        EXPECT_EQ(io::connect(bad, to, to.size), -1);
        EXPECT_EQ(last_error(), EBADF);
        EXPECT_EQ(io::close(bad), -1);
        EXPECT_EQ(last_error(), EBADF);
        descriptor_pair p = make_pipe();
        EXPECT_EQ(io::recv(p.a, &c, 1, 0), -1);
        EXPECT_EQ(last_error(), ENOTSOCK);
        EXPECT_EQ(io::accept4(p.a, nullptr, nullptr, 0), -1);
        EXPECT_EQ(last_error(), ENOTSOCK);
        EXPECT_EQ(io::read(p.b, &c, 1), -1);
        EXPECT_EQ(last_error(), EBADF);
        EXPECT_EQ(io::readv(p.a, nullptr, -1), -1);
        EXPECT_EQ(last_error(), EINVAL);
        const descriptor s = make_socket(SOCK_STREAM), u = make_socket(SOCK_DGRAM);
        EXPECT_EQ(io::read(s, &c, 1), -1);
        EXPECT_EQ(last_error(), ENOTCONN);
        EXPECT_EQ(io::accept4(s, nullptr, nullptr, 0), -1);
        EXPECT_EQ(last_error(), EINVAL);
        EXPECT_EQ(io::accept4(u, nullptr, nullptr, 0), -1);
        EXPECT_EQ(last_error(), EOPNOTSUPP);
      },
      how());
  char c = 0;
  EXPECT_THROW(io::read(0, &c, 1), std::logic_error);
  EXPECT_THROW(io::close(9999), std::logic_error);
}

TEST_P(Io, WritingToWhatIsClosedIsAnErrorAndASignal) {
  run(
      [] {
        struct sigaction ignore {
        }, before;
        ignore.sa_handler = SIG_IGN;
        sigaction(SIGPIPE, &ignore, &before);
        for (auto* make : {make_pipe, make_unix_stream}) {
          descriptor_pair p = make();
          p.a.reset();
          EXPECT_EQ(io::write(p.b, "x", 1), -1);
          EXPECT_EQ(last_error(), EPIPE);
        }
        sigaction(SIGPIPE, &before, nullptr);
        descriptor_pair p = make_tcp_pair();
        const linger at_once{1, 0};
        auto reader = spawn_waiting([&] {
          char c;
          EXPECT_EQ(io::read(p.a, &c, 1), -1);
          EXPECT_EQ(last_error(), ECONNRESET);
        });
        setsockopt(p.b, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        p.b.reset();
        reader.join();
        EXPECT_EQ(io::send(p.a, "x", 1, MSG_NOSIGNAL), -1);
        EXPECT_EQ(last_error(), EPIPE);
      },
      how());
}

TEST_P(Io, ConnectsAndAccepts) {
  run(
      [] {
        for (const int flag : {0, int{SOCK_NONBLOCK}}) {
          const descriptor listener = make_bound(SOCK_STREAM | flag);
          const address to = address_of(listener);
          auto server = spawn_waiting([&] {
            address from;
            const descriptor s(io::accept4(listener, from, &from.size, SOCK_CLOEXEC));
            EXPECT_EQ(from.in.sin_family, AF_INET);
            EXPECT_EQ(io::write(s, "welcome", 7), 7);
          });
          const descriptor s = make_socket(SOCK_STREAM | flag);
          EXPECT_EQ(io::connect(s, to, to.size), 0);
          EXPECT_EQ(s.nonblocking(), flag != 0);
          EXPECT_EQ(read_some(s), "welcome");
          server.join();
          EXPECT_EQ(listener.nonblocking(), flag != 0);
          EXPECT_EQ(io::connect(s, to, to.size), -1);
          EXPECT_EQ(last_error(), EISCONN);
        }
        address nobody;
        {
          const descriptor gone = make_bound(SOCK_STREAM);
          nobody = address_of(gone);
        }
        const descriptor s = make_socket(SOCK_STREAM);
        EXPECT_EQ(io::connect(s, nobody, nobody.size), -1);
        EXPECT_EQ(last_error(), ECONNREFUSED);
      },
      how());
}

}  // namespace
}  // namespace urge::test
