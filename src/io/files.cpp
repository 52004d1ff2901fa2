// SPDX-License-Identifier: MIT
// read, write, readv, writev. A socket is tried by its own calls, which take MSG_DONTWAIT: one system call when it is
// ready. They refuse what is none (ENOTSOCK), and that is asked for its kind: pipes, terminals and the like are tried
// by preadv2 and pwritev2 with RWF_NOWAIT; of a regular file these would give what is in memory, which may be a part.
// Nothing about a descriptor is remembered, for it may be another file at the next call.
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "io/call.hpp"

namespace urge::io {

namespace {

long addr(const void* p) noexcept { return reinterpret_cast<long>(p); }

// Of a file that epoll refuses (EPERM), or that knows no RWF_NOWAIT; else what `attempt` has said.
bool knows_no_nowait(long r) noexcept { return r == -EOPNOTSUPP || r == -EINVAL || r == -ENOSYS; }

bool always_ready(mode_t m) noexcept { return S_ISREG(m) || S_ISDIR(m) || S_ISBLK(m); }

// 1: always ready, 0: not, or -errno.
int kind_of(int fd) noexcept {
  struct stat st;
  const long r = os::syscall6(SYS_fstat, fd, addr(&st));
  return r < 0 ? static_cast<int>(r) : always_ready(st.st_mode);
}

// One read, or one write of a part.
long transfer(call& c, long nr_nowait, long nr, const iovec* v, int n) {
  const int fd = c.fd();
  const auto plain = [&] { return os::syscall6(nr, fd, addr(v), n); };
  long r = c.until_done([&] { return os::syscall6(nr_nowait, fd, addr(v), n, -1, -1, RWF_NOWAIT); });
  if (knows_no_nowait(r)) r = c.once_ready(plain);
  return r == -EPERM && c.never_waits() ? c.in_kernel(plain) : r;
}

bool any_bytes(const iovec* v, int n) noexcept {
  for (int i = 0; i < n; ++i)
    if (v[i].iov_len != 0) return true;
  return false;
}

bool valid(int n) noexcept { return n >= 0 && n <= IOV_MAX; }

msghdr message(const iovec* v, int n) noexcept {
  msghdr m{};
  m.msg_iov = const_cast<iovec*>(v), m.msg_iovlen = static_cast<std::size_t>(n);
  return m;
}

}  // namespace

long read_file(call& c, const iovec* v, int n) {
  const int fd = c.fd();
  const int kind = any_bytes(v, n) ? kind_of(fd) : 1;
  if (kind < 0) return kind;
  if (kind == 1) return c.in_kernel([&] { return os::syscall6(SYS_readv, fd, addr(v), n); });
  return transfer(c, SYS_preadv2, SYS_readv, v, n);
}

long write_file(call& c, const iovec* v, int n) {
  const int fd = c.fd();
  const int kind = any_bytes(v, n) ? kind_of(fd) : 1;
  if (kind < 0) return kind;
  if (kind == 1) return c.in_kernel([&] { return os::syscall6(SYS_writev, fd, addr(v), n); });
  return write_all(v, n, [&](const iovec* part, int m) { return transfer(c, SYS_pwritev2, SYS_writev, part, m); });
}

ssize_t read(int fd, void* data, std::size_t n, time_point deadline) {
  call c("urge::io::read", fd, direction::read, deadline);
  // A recv of no bytes waits for some, a read does not.
  long r = -ENOTSOCK;
  if (n != 0)
    r = c.until_done(
        [&] { return os::syscall6(SYS_recvfrom, fd, addr(data), static_cast<long>(n), MSG_DONTWAIT, 0, 0); });
  if (r != -ENOTSOCK) return c.finish(r);
  const iovec v{data, n};
  return c.finish(read_file(c, &v, 1));
}

ssize_t write(int fd, const void* data, std::size_t n, time_point deadline) {
  call c("urge::io::write", fd, direction::write, deadline);
  const iovec v{const_cast<void*>(data), n};
  const long r = write_all(&v, 1, [&](const iovec* part, int) {
    return c.until_done([&] {
      return os::syscall6(SYS_sendto, fd, addr(part->iov_base), static_cast<long>(part->iov_len), MSG_DONTWAIT, 0, 0);
    });
  });
  return c.finish(r == -ENOTSOCK ? write_file(c, &v, 1) : r);
}

ssize_t readv(int fd, const iovec* v, int n, time_point deadline) {
  call c("urge::io::readv", fd, direction::read, deadline);
  if (!valid(n)) return c.finish(-EINVAL);
  long r = -ENOTSOCK;
  if (any_bytes(v, n))
    r = c.until_done([&] {
      msghdr m = message(v, n);
      return os::syscall6(SYS_recvmsg, fd, addr(&m), MSG_DONTWAIT);
    });
  return c.finish(r == -ENOTSOCK ? read_file(c, v, n) : r);
}

ssize_t writev(int fd, const iovec* v, int n, time_point deadline) {
  call c("urge::io::writev", fd, direction::write, deadline);
  if (!valid(n)) return c.finish(-EINVAL);
  const long r = write_all(v, n, [&](const iovec* part, int parts) {
    return c.until_done([&] {
      const msghdr m = message(part, parts);
      return os::syscall6(SYS_sendmsg, fd, addr(&m), MSG_DONTWAIT);
    });
  });
  return c.finish(r == -ENOTSOCK ? write_file(c, v, n) : r);
}

}  // namespace urge::io
