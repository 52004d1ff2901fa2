// SPDX-License-Identifier: MIT
// See poll.hpp.
#include "base/poll.hpp"

#include <sys/eventfd.h>
#include <sys/syscall.h>

#include <cerrno>

namespace urge::os {

wake_fd poll_break;

namespace {

long addr(const void* p) noexcept { return reinterpret_cast<long>(p); }

// What is left until then; null: for ever.
const timespec* time_left(std::int64_t deadline_ns, timespec& left) noexcept {
  if (deadline_ns == no_deadline) return nullptr;
  std::int64_t ns = deadline_ns == 0 ? 0 : deadline_ns - monotonic_ns();
  if (ns < 0) ns = 0;
  left = {ns / 1'000'000'000, ns % 1'000'000'000};
  return &left;
}

constexpr long nr_epoll_pwait2 = 441;
atomic<bool> no_epoll_pwait2{false};

}  // namespace

int epoll_create() noexcept { return static_cast<int>(syscall6(SYS_epoll_create1, EPOLL_CLOEXEC)); }

int epoll_add(int epoll, int fd, std::uint32_t events, std::uint64_t data) noexcept {
  epoll_event e{};
  e.events = events;
  e.data.u64 = data;
  return static_cast<int>(syscall6(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, fd, addr(&e)));
}
int epoll_remove(int epoll, int fd) noexcept {
  epoll_event unused{};  // before Linux 2.6.9 it must not be null
  return static_cast<int>(syscall6(SYS_epoll_ctl, epoll, EPOLL_CTL_DEL, fd, addr(&unused)));
}

int epoll_wait(int epoll, epoll_event* out, int max, std::int64_t deadline_ns) noexcept {
  if (deadline_ns == 0 || deadline_ns == no_deadline)
    return static_cast<int>(syscall6(SYS_epoll_pwait, epoll, addr(out), max, deadline_ns == 0 ? 0 : -1, 0, 8));
  if (!no_epoll_pwait2.load(relaxed)) {
    timespec left;
    const int n =
        static_cast<int>(syscall6(nr_epoll_pwait2, epoll, addr(out), max, addr(time_left(deadline_ns, left)), 0, 8));
    if (n != -ENOSYS) return n;
    no_epoll_pwait2.store(true, relaxed);
  }
  pollfd it{epoll, POLLIN, 0};
  if (const int n = ppoll(&it, 1, deadline_ns); n <= 0) return n;
  return static_cast<int>(syscall6(SYS_epoll_pwait, epoll, addr(out), max, 0, 0, 8));
}

int ppoll(pollfd* fds, unsigned n, std::int64_t deadline_ns) noexcept {
  timespec left;
  return static_cast<int>(syscall6(SYS_ppoll, addr(fds), n, addr(time_left(deadline_ns, left)), 0, 8));
}

int close(int fd) noexcept { return static_cast<int>(syscall6(SYS_close, fd)); }

int wake_fd::open() noexcept {
  const int fd = static_cast<int>(syscall6(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (fd >= 0) fd_.store(fd, seq_cst);  // [wake_fd]
  return fd < 0 ? fd : 0;
}

// we: no descriptor; wait until nobody is in `wake` / a waker: in `wake`; look at the descriptor
void wake_fd::close() noexcept {
  const int fd = fd_.exchange(-1, seq_cst);              // [wake_fd] seq_cst: before the look at wakers
  while (wakers_.load(seq_cst) != 0) os::sched_yield();  // [wake_fd] they are about to make one write
  if (fd >= 0) os::close(fd);
}

void wake_fd::wake() noexcept {
  wakers_.fetch_add(1, seq_cst);     // [wake_fd] seq_cst: before the look at the descriptor
  const int fd = fd_.load(seq_cst);  // [wake_fd]
  const std::uint64_t one = 1;
  if (fd >= 0) os::write(fd, &one, sizeof one);
  wakers_.fetch_sub(1, seq_cst);  // [wake_fd] release: the write is over
}

void wake_fd::drain() noexcept {
  std::uint64_t count;
  syscall6(SYS_read, fd_.load(relaxed), addr(&count), sizeof count);
}

}  // namespace urge::os
