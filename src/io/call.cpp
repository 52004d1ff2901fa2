// SPDX-License-Identifier: MIT
// See call.hpp; and what waits without reading or writing.
#include "io/call.hpp"

#include <sys/syscall.h>

#include <algorithm>
#include <utility>

namespace urge::io {

namespace {
// errno in a function of its own: its address must not be kept across a change of the thread.
[[gnu::noinline]] void set_errno(int e) noexcept { errno = e; }

constexpr std::int64_t longest_pause = 5'000'000;  // ns

int wait_until_ready(const char* function, int fd, direction d, time_point deadline) {
  call c(function, fd, d, deadline);
  return static_cast<int>(c.finish(c.until_done([&] { return c.ready_now(); })));
}
}  // namespace

int call::wait() {
  const wait_reason why = d_ == direction::read ? wait_reason::io_read : wait_reason::io_write;
  const int r = netpoll::wait(g_, fd_, d_, seen_, woken_, why, deadline_);
  if (r < 0) {
    woken_ = false;
    never_waits_ = r == -EPERM;
    return r;
  }
  woken_ = woken_ || r == netpoll::woken;  // who is to try again still is the one
  seen_ = netpoll::look(fd_, d_);
  return 0;
}

int call::pause() {
  const std::int64_t now = monotonic_ns();
  if (now >= deadline_) return -ETIMEDOUT;
  if (std::exchange(woken_, false)) netpoll::pass_on(fd_, d_);
  waiter w;
  const wait_reason why = d_ == direction::read ? wait_reason::io_read : wait_reason::io_write;
  wait_any(
      g_, &w, 1, why, [](void*) noexcept {}, nullptr, std::min(deadline_, now + pause_ns_));
  pause_ns_ = std::min(2 * pause_ns_, longest_pause);
  return 0;
}

int call::ready_now() const noexcept {
  pollfd it{fd_, static_cast<short>(d_ == direction::read ? POLLIN : POLLOUT), 0};
  const int n = os::ppoll(&it, 1, 0);
  if (n < 0) return n;
  if (it.revents & POLLNVAL) return -EBADF;
  return n == 0 ? -EAGAIN : 0;
}

ssize_t call::finish(long result) noexcept {
  if (woken_ && result != -EAGAIN) netpoll::pass_on(fd_, d_);
  leave(g_);
  if (result >= 0) return result;
  set_errno(static_cast<int>(-result));
  return -1;
}

int wait_readable(int fd, time_point deadline) {
  return wait_until_ready("urge::io::wait_readable", fd, direction::read, deadline);
}
int wait_writable(int fd, time_point deadline) {
  return wait_until_ready("urge::io::wait_writable", fd, direction::write, deadline);
}

int close(int fd) {
  call c("urge::io::close", fd, direction::read, never);
  netpoll::detach(fd);
  const long r = c.in_kernel([&] { return static_cast<long>(os::close(fd)); });
  netpoll::rouse(fd);
  return static_cast<int>(c.finish(r));
}

}  // namespace urge::io
