// SPDX-License-Identifier: MIT
// Stepped: urge::io. Its system calls are made with preemption held off; in between a G waits for its descriptor, or
// gives its P away for as long as a call may sleep. Each body has descriptors of its own; what two Gs share is that of
// the kernel and of netpoll: the next body's descriptors have the numbers of those that have just been closed.
#include <urge/go.hpp>
#include <urge/io.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "preempt/stepper.hpp"

namespace urge::test::stepper {
namespace {

// Behind each call: it may have waited, or gone on in another thread, or the flag has ended in a thread without a P
// that the other has left in the kernel.
void again(int who) { go_on_stepping(who); }

time_point now_and(std::chrono::nanoseconds d) { return std::chrono::steady_clock::now() + d; }

// What a call has returned, or its errno.
[[gnu::noinline]] std::uint64_t outcome(int who, std::ptrdiff_t r) {
  const std::uint64_t what = r >= 0 ? static_cast<std::uint64_t>(r) : 1000u + static_cast<unsigned>(errno);
  again(who);
  return what;
}

struct ends {
  explicit ends(bool made) : ok(made) {}
  ends(const ends&) = delete;
  ~ends() {
    for (const int fd : at)
      if (fd >= 0) ::close(fd);
  }
  int at[2] = {-1, -1};
  bool ok;
};
struct pipe_ends : ends {
  pipe_ends() : ends(true) { ok = ::pipe2(at, O_CLOEXEC) == 0; }
};
struct socket_ends : ends {
  explicit socket_ends(int type) : ends(true) { ok = ::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, at) == 0; }
};

std::uint64_t what_is_there(int who) {
  pipe_ends pipe;
  const auto [from, to] = pipe.at;
  std::uint64_t sum = pipe.ok;
  char first[4] = {}, second[4] = {}, third[4] = {};
  const iovec parts[] = {{second, 2}, {third, 3}};
  mix(sum, outcome(who, io::wait_writable(to)));
  mix(sum, outcome(who, io::write(to, who ? "right" : "left!", 5)));
  mix(sum, outcome(who, io::writev(to, parts, 2)));
  mix(sum, outcome(who, io::wait_readable(from)));
  mix(sum, outcome(who, io::read(from, first, 3)));
  mix(sum, outcome(who, io::readv(from, parts, 2)));
  for (int i = 0; i < 3; ++i) mix(sum, static_cast<std::uint64_t>(first[i] + 256 * second[i] + 65536 * third[i]));
  mix(sum, outcome(who, io::close(to)));
  pipe.at[1] = -1;
  mix(sum, outcome(who, io::read(from, first, 3)));  // zeros that are left
  mix(sum, outcome(who, io::read(from, first, 3)));  // the end
  mix(sum, outcome(who, io::close(from)));
  pipe.at[0] = -1;
  mix(sum, outcome(who, io::read(-1, first, 3)));
  return sum;
}

std::uint64_t deadlines(int who) {
  pipe_ends pipe;
  const auto [from, to] = pipe.at;
  std::uint64_t sum = pipe.ok;
  char text[8] = {};
  mix(sum, outcome(who, io::read(from, text, 1, now_and(-1s))));
  mix(sum, outcome(who, io::write(to, who ? "no" : "yes", 2, now_and(-1s))));
  mix(sum, outcome(who, io::read(from, text, sizeof text, now_and(1h))));
  mix(sum, static_cast<unsigned char>(text[1]));
  mix(sum, outcome(who, io::read(from, text, 1, now_and(20us))));
  mix(sum, outcome(who, io::wait_readable(from, now_and(20us))));
  return sum;
}

// Reader and writer wait for each other in turn.
std::uint64_t question_and_answer(int who) {
  socket_ends pair(SOCK_STREAM);
  const auto [mine, theirs] = pair.at;
  auto child = spawn([who, theirs = theirs] {
    again(who);
    int n = 0;
    while (io::read(theirs, &n, sizeof n) == sizeof n) {
      again(who);
      ++n;
      io::write(theirs, &n, sizeof n);
      again(who);
    }
    again(who);
  });
  std::uint64_t sum = pair.ok;
  for (int i = 0; i < 3; ++i) {
    int n = who * 100 + i;
    mix(sum, outcome(who, io::write(mine, &n, sizeof n)));
    mix(sum, outcome(who, io::read(mine, &n, sizeof n)));
    mix(sum, static_cast<unsigned>(n));
  }
  ::shutdown(mine, SHUT_WR);
  child.join();
  again(who);
  return sum;
}

// More than the pipe holds: the writer waits for the reader.
std::uint64_t full_pipe(int who) {
  constexpr std::size_t n = 10'000;
  pipe_ends pipe;
  const auto [from, to] = pipe.at;
  ::fcntl(to, F_SETPIPE_SZ, 4096);
  std::uint64_t sum = pipe.ok;
  static char written[2][n];
  std::memset(written[who], 7 + who, n);
  auto child = spawn([who, from = from] {
    again(who);
    static char read[2][n];
    std::size_t got = 0;
    while (got < n) {
      const auto more = io::read(from, read[who] + got, n - got);
      again(who);
      if (more <= 0) break;
      got += static_cast<std::size_t>(more);
    }
    return got + (std::memcmp(read[who], written[who], n) == 0);
  });
  mix(sum, outcome(who, io::write(to, written[who], n)));
  mix(sum, child.join());
  again(who);
  return sum;
}

// Whether the reader waits by then, or calls it afterwards. A number that nobody else gets: in the second case it
// would read from what another has opened meanwhile.
std::uint64_t closed_under_a_reader(int who) {
  socket_ends pair(SOCK_STREAM);
  const int fd = 500 + who;
  std::uint64_t sum = pair.ok;
  mix(sum, ::dup2(pair.at[0], fd) == fd);
  auto child = spawn([who, fd] {
    again(who);
    char one;
    return outcome(who, io::read(fd, &one, 1));
  });
  this_g::yield();
  again(who);
  mix(sum, outcome(who, io::close(fd)));
  mix(sum, child.join());
  again(who);
  return sum;
}

std::uint64_t connect_and_accept(int who) {
  ends sockets(true);
  auto& [listener, served] = sockets.at;
  listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un where{};
  socklen_t size = sizeof where.sun_family;
  where.sun_family = AF_UNIX;
  std::uint64_t sum = static_cast<unsigned>(who);
  // The kernel chooses a name.
  mix(sum, ::bind(listener, reinterpret_cast<const sockaddr*>(&where), size) == 0 && ::listen(listener, 1) == 0);
  size = sizeof where;
  mix(sum, ::getsockname(listener, reinterpret_cast<sockaddr*>(&where), &size) == 0);
  auto client = spawn([who, &where, size] {
    again(who);
    ends mine(true);
    mine.at[0] = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    std::uint64_t r = outcome(who, io::connect(mine.at[0], reinterpret_cast<const sockaddr*>(&where), size));
    for (const char* word : {"connect", "ed"}) {
      mix(r, outcome(who, io::send(mine.at[0], word, std::strlen(word), 0)));
      this_g::yield();
      again(who);
    }
    return r;
  });
  served = io::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  again(who);
  mix(sum, served >= 0);
  char text[10] = {};
  mix(sum, outcome(who, io::recv(served, text, 9, MSG_WAITALL)));
  mix(sum, static_cast<std::uint64_t>(std::strcmp(text, "connected") == 0));
  mix(sum, client.join());
  again(who);
  mix(sum, outcome(who, io::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC, now_and(20us))));
  return sum;
}

std::uint64_t datagrams(int who) {
  socket_ends pair(SOCK_DGRAM);
  const auto [mine, theirs] = pair.at;
  std::uint64_t sum = pair.ok;
  char text[8] = {};
  sockaddr_un from{};
  socklen_t size = sizeof from;
  mix(sum, outcome(who, io::recv(theirs, text, sizeof text, MSG_DONTWAIT)));
  mix(sum, outcome(who, io::sendto(mine, who ? "one" : "two", 3, 0, nullptr, 0)));
  mix(sum, outcome(who, io::send(mine, "four", 4, MSG_DONTWAIT)));
  mix(sum, outcome(who, io::recv(theirs, text, sizeof text, MSG_PEEK)));
  mix(sum, outcome(who, io::recvfrom(theirs, text, sizeof text, 0, reinterpret_cast<sockaddr*>(&from), &size)));
  mix(sum, static_cast<unsigned char>(text[0]));
  mix(sum, outcome(who, io::recv(theirs, text, sizeof text, 0)));
  mix(sum, outcome(who, io::recv(theirs, text, sizeof text, 0, now_and(20us))));
  return sum;
}

// These are always ready, so the calls are made as `blocking` makes them.
std::uint64_t always_ready(int who) {
  ends files(true);
  const auto& [program, zeros] = files.at;
  files.at[0] = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  files.at[1] = ::open("/dev/zero", O_RDWR | O_CLOEXEC);
  std::uint64_t sum = static_cast<unsigned>(who);
  char text[5] = "0123";
  mix(sum, outcome(who, io::read(program, text, 4)));
  mix(sum, static_cast<std::uint64_t>(std::strcmp(text, "\177ELF") == 0));
  mix(sum, outcome(who, io::read(zeros, text, 4)));
  mix(sum, static_cast<unsigned char>(text[3]));
  mix(sum, outcome(who, io::write(zeros, text, 4)));
  mix(sum, outcome(who, io::wait_readable(program)));
  return sum;
}

INSTANTIATE_TEST_SUITE_P(UrgeIo, Stepper,
                         in_each_mode(body{"ReadWrite", what_is_there}, body{"IoDeadlines", deadlines},
                                      body{"WaitingReader", question_and_answer}, body{"FullPipe", full_pipe},
                                      body{"CloseUnderReader", closed_under_a_reader},
                                      body{"ConnectAccept", connect_and_accept}, body{"Datagrams", datagrams},
                                      body{"AlwaysReady", always_ready}),
                         name_body());

}  // namespace
}  // namespace urge::test::stepper
