// SPDX-License-Identifier: MIT
// echo_server PROCS SECONDS HOGS: a TCP server on the loopback address that answers 64 bytes by the same, a G for each
// connection, beside Gs that only compute. It prints its port for the client that measures it, and ends when stdin
// does, or after SECONDS.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

#include "peer.hpp"

namespace peer {

namespace {

void require(bool succeeded, const char* call) {
  if (!succeeded) throw std::system_error(errno, std::generic_category(), call);
}

int listen_on_loopback(sockaddr_in& at) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  require(fd >= 0, "socket");
  at = {};
  at.sin_family = AF_INET, at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  require(bind(fd, reinterpret_cast<sockaddr*>(&at), size) == 0, "bind");
  require(listen(fd, 4096) == 0, "listen");
  require(getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) == 0, "getsockname");
  return fd;
}

void answer(int fd) {
  char request[64];
  while (urge::io::recv(fd, request, sizeof request, MSG_WAITALL) == sizeof request)
    if (urge::io::send(fd, request, sizeof request, MSG_NOSIGNAL) != sizeof request) break;
  urge::io::close(fd);
}

}  // namespace

void echo_server(const setup& s) {
  sockaddr_in at;
  const int listener = listen_on_loopback(at);
  std::printf("%d\n", ntohs(at.sin_port));
  std::fflush(stdout);
  urge::go([listener] {
    for (int fd; (fd = urge::io::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;)
      urge::go([fd] { answer(fd); });
  });
  urge::go([] {
    char c;
    urge::io::read(0, &c, 1);
    _exit(0);  // as the other peers: connections are not what is measured any more
  });
  sleep_ms(50);
  const std::atomic<bool> never{false};
  hog_count unused;
  for (std::int64_t i = 0; i < s.extra; ++i) urge::go([&, i] { hog(never, unused, static_cast<std::uint64_t>(i)); });
  sleep_ms(s.n * 1000);
  _exit(0);
}

}  // namespace peer
