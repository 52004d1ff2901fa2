// SPDX-License-Identifier: MIT
// Descriptors that tests wait for: each closes itself; pairs of connected ones, and a listener on the loopback address.
#pragma once
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <string>
#include <utility>

namespace urge::test {

class descriptor {
 public:
  descriptor() = default;
  explicit descriptor(int fd) : fd_(fd) { EXPECT_GE(fd, 0); }
  descriptor(descriptor&& other) noexcept : fd_(other.release()) {}
  descriptor& operator=(descriptor&& other) noexcept {
    reset(other.release());
    return *this;
  }
  ~descriptor() { reset(); }
  operator int() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }
  bool nonblocking() const { return (::fcntl(fd_, F_GETFL) & O_NONBLOCK) != 0; }

 private:
  int fd_ = -1;
};

struct descriptor_pair {
  descriptor a, b;  // of a pipe: a is read, b is written
};

inline descriptor_pair make_pipe() {
  int ends[2];
  EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
  return {descriptor(ends[0]), descriptor(ends[1])};
}
inline descriptor_pair make_unix_pair(int type = SOCK_STREAM) {
  int ends[2];
  EXPECT_EQ(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), 0);
  return {descriptor(ends[0]), descriptor(ends[1])};
}

// One of each kind of stream.
inline descriptor_pair make_tcp_pair();
inline descriptor_pair make_unix_stream() { return make_unix_pair(); }
inline constexpr descriptor_pair (*make_streams[])() = {make_pipe, make_unix_stream, make_tcp_pair};

struct address {
  sockaddr_in in{};
  socklen_t size = sizeof(sockaddr_in);
  operator sockaddr*() { return reinterpret_cast<sockaddr*>(&in); }
  operator const sockaddr*() const { return reinterpret_cast<const sockaddr*>(&in); }
};
inline address address_of(int fd) {
  address a;
  EXPECT_EQ(getsockname(fd, a, &a.size), 0);
  return a;
}
// Binds a Unix socket to a name of the kernel's choice.
struct sockaddr_un_any {
  sockaddr_un un{};
  socklen_t size = sizeof(sockaddr_un);
  explicit sockaddr_un_any(int fd) {
    un.sun_family = AF_UNIX;
    EXPECT_EQ(bind(fd, *this, sizeof(sa_family_t)), 0);
    EXPECT_EQ(getsockname(fd, *this, &size), 0);
  }
  operator sockaddr*() { return reinterpret_cast<sockaddr*>(&un); }
};
// A bound socket on the loopback address; a stream one listens.
inline descriptor make_bound(int type, int backlog = 128) {
  descriptor s(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
  address a;
  a.in.sin_family = AF_INET;
  a.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(bind(s, a, a.size), 0);
  if ((type & 0xf) == SOCK_STREAM) {
    EXPECT_EQ(listen(s, backlog), 0);
  }
  return s;
}
inline descriptor make_socket(int type) { return descriptor(::socket(AF_INET, type | SOCK_CLOEXEC, 0)); }
inline descriptor_pair make_tcp_pair() {
  const descriptor listener = make_bound(SOCK_STREAM);
  descriptor a = make_socket(SOCK_STREAM);
  const address to = address_of(listener);
  EXPECT_EQ(::connect(a, to, to.size), 0);
  descriptor b(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  return {std::move(a), std::move(b)};
}

}  // namespace urge::test
