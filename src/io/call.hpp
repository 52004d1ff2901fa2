// SPDX-License-Identifier: MIT
// The shape of all calls of urge::io: try the system call without waiting; where it says EAGAIN wait for a change of
// the descriptor, and try again. System calls are bare (base/os.hpp), so errno is set once, at the very end.
// A try is made with preemption held off: it does not wait, and what it has transferred is never lost to a signal.
#pragma once
#include <urge/io.hpp>

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <cerrno>

#include "sched/netpoll.hpp"

namespace urge::io {

using netpoll::direction;
static_assert(std::is_same_v<ssize_t, ::ssize_t> && std::is_same_v<socklen_t, ::socklen_t>);

class call {
 public:
  call(const char* function, int fd, direction d, time_point deadline)
      : g_(enter(function)), fd_(fd), d_(d), deadline_(to_ns(deadline)), seen_(netpoll::look(fd, d)) {}
  call(const call&) = delete;
  call& operator=(const call&) = delete;

  int fd() const noexcept { return fd_; }

  // Calls `attempt`, which returns a result or -errno, until it says something else than that it would have to wait.
  template <class F>
  long until_done(F&& attempt) {
    for (;;) {
      const long r = attempt();
      if (r == -EINTR) continue;
      if (r != -EAGAIN) return r;
      if (const int error = wait(); error < 0) return error;
    }
  }
  // The same for what cannot be tried without waiting: `attempt` may wait in the kernel, and is made by `blocking` as
  // soon as the descriptor is ready.
  template <class F>
  long once_ready(F&& attempt) {
    return until_done([&]() -> long {
      if (const int now = ready_now(); now < 0) return now;
      return in_kernel(attempt);
    });
  }
  // `blocking`, for a bare system call.
  template <class F>
  long in_kernel(F&& attempt) {
    enter_syscall(g_);
    std::atomic_signal_fence(seq_cst);
    const long r = attempt();
    std::atomic_signal_fence(seq_cst);
    // A signal handler of the user may have called urge meanwhile.
    if (g_->status.load(relaxed) == g_status::syscall) exit_syscall(g_);
    return r;
  }

  // 0: a change has come, try again; or -errno.
  int wait();
  // For EAGAIN of which the kernel will tell no change: a pause, longer each time. As wait.
  int pause();
  int ready_now() const noexcept;  // 0, or -EAGAIN, or -EBADF
  // The kernel has no events for this file: what has returned -EPERM was not the system call.
  bool never_waits() const noexcept { return never_waits_; }

  // What the system call would return; sets errno. The last act.
  ssize_t finish(long result) noexcept;

 private:
  G* const g_;
  const int fd_;
  const direction d_;
  const std::int64_t deadline_;
  std::uint64_t seen_;
  bool woken_ = false;  // and has got nothing yet
  bool never_waits_ = false;
  std::int64_t pause_ns_ = 50'000;
};

// Reading or writing of what is no socket: files.cpp.
long read_file(call&, const iovec*, int n);
long write_file(call&, const iovec*, int n);

// Writes all of `from` by calls of `attempt(const iovec*, n)`, which writes a part. Returns how much, or the error if
// it is the first.
template <class F>
long write_all(const iovec* from, int n, F&& attempt) {
  std::size_t all = 0, done = 0;
  for (int i = 0; i < n; ++i) all += from[i].iov_len;
  for (;;) {
    iovec rest[16];
    int m = n;
    const iovec* v = from;
    if (done != 0) {
      // From where the last has stopped.
      std::size_t skip = done;
      int i = 0;
      while (skip >= from[i].iov_len) skip -= from[i++].iov_len;
      for (m = 0; m < 16 && i < n; ++m, ++i) rest[m] = from[i];
      rest[0].iov_base = static_cast<char*>(rest[0].iov_base) + skip, rest[0].iov_len -= skip;
      v = rest;
    }
    const long r = attempt(v, m);
    if (r < 0) return done != 0 ? static_cast<long>(done) : r;
    done += static_cast<std::size_t>(r);
    if (done >= all || r == 0) return static_cast<long>(done);
  }
}

}  // namespace urge::io
