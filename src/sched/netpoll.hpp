// SPDX-License-Identifier: MIT
// Waiting for descriptors (docs/protocols/netpoll.md): which G waits for which, here; who asks the kernel, in
// poller.cpp. A call of urge::io first tries its system call without waiting; where that says EAGAIN the G waits
// until the kernel has told of a change, and tries again. So nothing here says that a descriptor is ready, only that it
// is worth a try, and a wake-up too many does no harm.
//
// Each descriptor number has a `descriptor`, found by a table, never freed. `state` of a direction counts the changes
// that were told; a G notes it before it tries and waits only if it is the same afterwards: then no change was missed
// between the two, whoever else tries meanwhile. A change wakes the first G that waits, and no other until that one has
// tried: if it gets what it came for it wakes the next (pass_on), for one change may be enough for many; if not, it has
// its old place again.
// Source: Go's netpoll.go, but for the count: Go has one reader and one writer for a descriptor, who reset a flag.
#pragma once
#include "base/poll.hpp"
#include "sched/waitq.hpp"

namespace urge::netpoll {

enum class direction : unsigned { read, write };

struct descriptor {
  descriptor() noexcept { writers.guard = &readers; }
  wait_list readers;  // its lock guards all of this
  wait_list writers;
  atomic<std::uint64_t> state[2] = {};  // generation << 32 | changes; written under the lock
  std::uint32_t trier_run[2] = {};      // the run in which a G has been woken, and has not tried yet; 0: none
  std::uint32_t exclusive_run = 0;      // the run in which a G has it for itself; 0: none
  bool exclusive_wanted = false;        // others have tried meanwhile

  wait_list& list(direction d) noexcept { return d == direction::read ? readers : writers; }
  std::uint32_t generation() const noexcept { return static_cast<std::uint32_t>(state[0].load(relaxed) >> 32); }
  // lock is held:
  void count_change(direction) noexcept;
  waiter* pop_trier(direction) noexcept;  // the first who waits; null: nobody, or one is about to try
  void begin_generation() noexcept;       // what was told or waited for before is about another file
};

// Null: nobody has waited for it yet.
descriptor* find(int fd) noexcept;

// --- for urge::io. Context: a G inside enter/leave ---

// The state before a try.
inline std::uint64_t look(int fd, direction d) noexcept {
  const descriptor* p = find(fd);
  return p ? p->state[static_cast<unsigned>(d)].load(acquire) : 0;  // [netpoll.state] acquire: not after the try
}
// Waits for a change since `seen`. woken: after a try that does not say EAGAIN, pass_on. Else a negative errno:
// EBADF: closed by urge::io::close. ETIMEDOUT. EPERM: the kernel has no events for such a file. EMFILE and the like:
// there is no epoll. `again`: it has been woken and found nothing: it keeps its place, the first. Throws as `wait` of
// waitq.hpp.
inline constexpr int retry = 0, woken = 1;
int wait(G*, int fd, direction, std::uint64_t seen, bool again, wait_reason, std::int64_t deadline_ns);
void pass_on(int fd, direction) noexcept;

// Of the Gs that try something on `fd` that cannot be tried without waiting, one at a time. False: another does; it
// counts as EAGAIN. Descriptors that nobody has waited for are found, too: an error is -errno.
int begin_exclusive(int fd) noexcept;  // 1 or 0, or -errno
void end_exclusive(int fd) noexcept;

// Around a close: before it, wakes all who wait, with EBADF; after it, whoever has come in between.
void detach(int fd) noexcept;
void rouse(int fd) noexcept;

// --- for the scheduler and sysmon: poller.cpp ---

extern atomic<std::uint64_t> n_waiters;  // Gs that wait for descriptors, and those that are about to
extern atomic<bool> watched;             // sysmon looks after them, or has been called to: sysmon/io_watch.hpp

// The epoll is there, from the first wait of a run on. 0 or -errno.
int open() noexcept;
int epoll() noexcept;  // -1: none yet
// The end of a run. Context: Ms and sysmon have ended.
void close() noexcept;
void reset() noexcept;  // counters, for a new run

// Should an M that has found nothing else ask the kernel? Not while another M waits there: it will hear of it.
inline bool worth_a_look() noexcept { return n_waiters.load(relaxed) != 0 && sched.poller.load(relaxed) == nullptr; }
// Takes what the kernel has, without waiting; Gs that are to be woken are added to `out`.
void poll(gqueue& out) noexcept;
// The poller's sleep: until its note is woken (true), or the deadline, or there is somebody in `out`.
bool sleep(note& park, std::int64_t deadline_ns, gqueue& out) noexcept;
// Makes them runnable: on the caller's P, if it has one, else on the global queue.
void inject(gqueue&) noexcept;

// Nobody would notice a change now: all Ms have work, and sysmon looks elsewhere.
inline bool unattended() noexcept {
  return n_waiters.load(seq_cst) != 0 &&         // [netpoll.watched] seq_cst: after the wait, or after `watched`
         sched.poller.load(seq_cst) == nullptr;  // [poller] seq_cst: likewise
}
// Context: an M that is about to run a G, or to sleep without being the poller.
void see_watched_slow() noexcept;
inline void see_watched() noexcept {
  if (n_waiters.load(relaxed) != 0) [[unlikely]]
    see_watched_slow();
}

// How often the kernel was asked by Ms: sysmon asks only when they do not.
std::uint32_t polls() noexcept;
struct counts {
  std::uint64_t wakeups, returns;
};
counts count() noexcept;
void add_return() noexcept;

}  // namespace urge::netpoll
