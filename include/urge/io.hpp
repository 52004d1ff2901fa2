// SPDX-License-Identifier: MIT
// Calls that wait in the kernel, and input and output for which only the calling G waits.
#pragma once
#include <urge/detail/wait_list.hpp>

#include <cstddef>
#include <type_traits>
#include <utility>

#pragma GCC visibility push(default)

struct sockaddr;
struct iovec;

namespace urge {

namespace detail {
void enter_blocking();
void exit_blocking() noexcept;
}  // namespace detail

// Runs `f`, which may wait in the kernel, and returns its value. If it takes long, this G's P goes to another M
// meanwhile, and the others run on. A call of urge inside `f` ends the hand-over: from there on `f` runs as ordinary
// code. `f` is not preempted. errno is as `f` leaves it, unless the G had to queue for a P afterwards. Threads: a G.
// Blocks: the G. Throws: std::logic_error outside a G; what `f` throws. Source: Go's entersyscall.
template <class F>
auto blocking(F&& f) -> std::invoke_result_t<F> {
  struct back {
    ~back() { detail::exit_blocking(); }
  };
  detail::enter_blocking();
  back at_end;
  return std::forward<F>(f)();
}

// The system calls of these names: arguments, results and errno are theirs, but only the G waits, and no longer than
// until `deadline`. It waits whether the descriptor has O_NONBLOCK or not, and that flag is afterwards as it was found;
// no flag is needed, and none does harm. So, as from a descriptor without it:
//   - what writes to a stream or a pipe returns when all is written; less only if an error or the deadline came after a
//     part. What reads returns as soon as there is something (recv with MSG_WAITALL: all).
//   - MSG_DONTWAIT, MSG_ERRQUEUE and MSG_OOB do not wait.
//   - SO_RCVTIMEO and SO_SNDTIMEO have no effect: the deadline is there for that.
//   - a signal does not end the wait: no EINTR.
// Deadline passed: -1, ETIMEDOUT; a call whose deadline is past already tries once. Of a connect that has not come to
// its end the kernel goes on with it.
// For files that are always ready (regular ones, directories, disks) the call is made by `blocking`. So it is, once
// they are ready, for terminals and for other devices that know no RWF_NOWAIT: should another process be quicker then,
// a thread waits, without a deadline. Gs of this process do not come in each other's way.
// Threads: a G. Blocks: the G. Throws: std::logic_error outside a G; unwinds a G that is killed while it waits.
namespace io {

using ssize_t = std::ptrdiff_t;  // the system's types of these names
using socklen_t = unsigned int;

inline constexpr time_point never = time_point::max();

ssize_t read(int fd, void* data, std::size_t n, time_point deadline = never);
ssize_t write(int fd, const void* data, std::size_t n, time_point deadline = never);
ssize_t readv(int fd, const iovec*, int n, time_point deadline = never);
ssize_t writev(int fd, const iovec*, int n, time_point deadline = never);

ssize_t recv(int fd, void* data, std::size_t n, int flags, time_point deadline = never);
ssize_t send(int fd, const void* data, std::size_t n, int flags, time_point deadline = never);
ssize_t recvfrom(int fd, void* data, std::size_t n, int flags, sockaddr* from, socklen_t* from_size,
                 time_point deadline = never);
ssize_t sendto(int fd, const void* data, std::size_t n, int flags, const sockaddr* to, socklen_t to_size,
               time_point deadline = never);

int accept4(int fd, sockaddr* from, socklen_t* from_size, int flags, time_point deadline = never);
int connect(int fd, const sockaddr* to, socklen_t to_size, time_point deadline = never);

// Waits until a read (a write) would not wait: there is something, or the end, or an error. 0; else -1 and errno:
// EBADF, ETIMEDOUT. Files that are always ready are at once.
int wait_readable(int fd, time_point deadline = never);
int wait_writable(int fd, time_point deadline = never);

// close(2); and all Gs that wait for `fd` go on, with -1 and EBADF. (A bare close(2) leaves them waiting, as it does
// threads; the number may be used again all the same.) The descriptor is gone whatever is returned.
int close(int fd);

}  // namespace io

}  // namespace urge

#pragma GCC visibility pop
