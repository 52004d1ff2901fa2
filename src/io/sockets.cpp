// SPDX-License-Identifier: MIT
// recv, send, accept4, connect. The first two have MSG_DONTWAIT. accept4 has nothing of the kind, and O_NONBLOCK is not
// ours to set: it belongs to the file, which other threads and processes may have, too. So a listener without it is
// waited for until it has a connection, and one G at a time takes it, by `blocking`. Only connect sets the flag, and
// puts it back at once: a socket that is being connected is hardly used by anybody else.
#include <fcntl.h>
#include <sys/syscall.h>

#include "io/call.hpp"

namespace urge::io {

namespace {

long addr(const void* p) noexcept { return reinterpret_cast<long>(p); }

// Of these the kernel says EAGAIN without waiting whatever the socket is.
bool never_wait(int flags) noexcept { return flags & (MSG_DONTWAIT | MSG_ERRQUEUE | MSG_OOB); }

// O_NONBLOCK or 0, or -errno.
int nonblocking(int fd) noexcept {
  const long flags = os::syscall6(SYS_fcntl, fd, F_GETFL);
  return static_cast<int>(flags < 0 ? flags : flags & O_NONBLOCK);
}

// 0 and `value`, or -errno.
int option(int fd, int name, int& value) noexcept {
  socklen_t size = sizeof value;
  return static_cast<int>(os::syscall6(SYS_getsockopt, fd, SOL_SOCKET, name, addr(&value), addr(&size)));
}
bool listens(int fd) noexcept {
  int yes = 0;
  return option(fd, SO_ACCEPTCONN, yes) == 0 && yes != 0;
}

// One attempt that does not wait. The flag is not there for longer than the call.
long begin_connect(int fd, const sockaddr* to, socklen_t size) noexcept {
  const long flags = os::syscall6(SYS_fcntl, fd, F_GETFL);
  if (flags < 0) return flags;
  if (!(flags & O_NONBLOCK)) os::syscall6(SYS_fcntl, fd, F_SETFL, flags | O_NONBLOCK);
  const long r = os::syscall6(SYS_connect, fd, addr(to), size);
  if (!(flags & O_NONBLOCK)) os::syscall6(SYS_fcntl, fd, F_SETFL, flags);
  return r;
}

}  // namespace

ssize_t recvfrom(int fd, void* data, std::size_t n, int flags, sockaddr* from, socklen_t* from_size,
                 time_point deadline) {
  call c("urge::io::recv", fd, direction::read, deadline);
  std::size_t got = 0;
  const auto attempt = [&] {
    return os::syscall6(SYS_recvfrom, fd, addr(static_cast<char*>(data) + got), static_cast<long>(n - got),
                        flags | MSG_DONTWAIT, addr(from), addr(from_size));
  };
  if (never_wait(flags)) return c.finish(attempt());
  const long first = c.until_done(attempt);
  // A datagram is all there will be of it; what is only peeked at comes again.
  if (!(flags & MSG_WAITALL) || flags & (MSG_PEEK | MSG_TRUNC) || first <= 0 || first >= static_cast<long>(n))
    return c.finish(first);
  int type = 0;
  if (option(fd, SO_TYPE, type) < 0 || type != SOCK_STREAM) return c.finish(first);
  got = static_cast<std::size_t>(first);
  while (got < n) {
    const long r = c.until_done(attempt);
    if (r <= 0) break;
    got += static_cast<std::size_t>(r);
  }
  return c.finish(static_cast<long>(got));
}

ssize_t sendto(int fd, const void* data, std::size_t n, int flags, const sockaddr* to, socklen_t to_size,
               time_point deadline) {
  call c("urge::io::send", fd, direction::write, deadline);
  const auto once = [&](const void* from, std::size_t bytes) {
    return os::syscall6(SYS_sendto, fd, addr(from), static_cast<long>(bytes), flags | MSG_DONTWAIT, addr(to),
                        static_cast<long>(to_size));
  };
  if (never_wait(flags & ~MSG_OOB)) return c.finish(once(data, n));
  const iovec v{const_cast<void*>(data), n};
  return c.finish(write_all(&v, 1, [&](const iovec* part, int) -> long {
    for (;;) {
      // A Unix datagram socket that is not connected is writable, and the queue of whom it sends to is full: the kernel
      // tells nobody when there is room.
      bool peer_is_full = false;
      long r = c.until_done([&]() -> long {
        const long sent = once(part->iov_base, part->iov_len);
        peer_is_full = sent == -EAGAIN && to && c.ready_now() == 0;
        return peer_is_full ? 0 : sent;
      });
      if (!peer_is_full) return r;
      if (r = c.pause(); r < 0) return r;
    }
  }));
}

ssize_t recv(int fd, void* data, std::size_t n, int flags, time_point deadline) {
  return recvfrom(fd, data, n, flags, nullptr, nullptr, deadline);
}
ssize_t send(int fd, const void* data, std::size_t n, int flags, time_point deadline) {
  return sendto(fd, data, n, flags, nullptr, 0, deadline);
}

int accept4(int fd, sockaddr* from, socklen_t* from_size, int flags, time_point deadline) {
  call c("urge::io::accept4", fd, direction::read, deadline);
  const auto plain = [&] { return os::syscall6(SYS_accept4, fd, addr(from), addr(from_size), flags); };
  return static_cast<int>(c.finish(c.until_done([&]() -> long {
    const int flag = nonblocking(fd);
    if (flag != 0) return flag < 0 ? flag : c.in_kernel(plain);  // should the flag be taken away now, it may wait
    const int mine = netpoll::begin_exclusive(fd);
    if (mine <= 0) return mine < 0 ? mine : -EAGAIN;
    long r = c.ready_now();
    if (r == 0 || !listens(fd)) r = c.in_kernel(plain);  // what does not listen is told so at once
    netpoll::end_exclusive(fd);
    return r;
  })));
}

int connect(int fd, const sockaddr* to, socklen_t to_size, time_point deadline) {
  call c("urge::io::connect", fd, direction::write, deadline);
  bool begun = false, queue_is_full = false;
  for (;;) {
    // Until the kernel says how it has ended: as a call that waits, that leaves the socket connected to it, too.
    long r = c.until_done([&]() -> long {
      const long now = begin_connect(fd, to, to_size);
      queue_is_full = now == -EAGAIN;
      if (now == -EISCONN && begun) return 0;
      if (now != -EINPROGRESS && now != -EALREADY) return queue_is_full ? 0 : now;
      begun = true;
      return -EAGAIN;
    });
    if (!queue_is_full) return static_cast<int>(c.finish(r));
    // A Unix socket whose listener has its queue full: the kernel tells nobody when there is room.
    if (r = c.pause(); r < 0) return static_cast<int>(c.finish(r));
  }
}

}  // namespace urge::io
