// SPDX-License-Identifier: MIT
// See io_watch.hpp.
#include "sysmon/io_watch.hpp"

#include <algorithm>

namespace urge::sysmon {

namespace {
constexpr std::int64_t look_interval = 1'000'000;  // ns; while Ms ask now and then
// So many woken Gs wait for a P that others would stand behind them for some time.
constexpr std::uint64_t backlog = 16;
}  // namespace

bool io_watch::plan(std::int64_t now) noexcept {
  const std::uint32_t polls = netpoll::polls();
  const bool asked = polls != polls_seen_;
  polls_seen_ = polls;
  if (netpoll::n_waiters.load(seq_cst) == 0)  // [netpoll.watched] a hint; what counts is below
    task_ = task::none;
  else if (asked || sched.n_woken.load(relaxed) >= backlog)
    task_ = task::look_again, look_at_ = now + look_interval;
  else
    task_ = sched.poller.load(seq_cst) ? task::none : task::ask;  // [poller] likewise
  // [netpoll.watched] we: not watched; look at waiters, poller / an M: waiter, or no poller; look at watched
  netpoll::watched.store(task_ != task::none, seq_cst);
  return task_ != task::none || !netpoll::unattended();
}

void io_watch::sleep(std::uint32_t calls, std::int64_t until) noexcept {
  if (task_ == task::ask) return poll(calls, until);
  if (task_ == task::look_again) until = std::min(until, look_at_);
  os::futex_wait(sched.sysmon_word, calls, until);
}

void io_watch::poll(std::uint32_t calls, std::int64_t until) noexcept {
  pollfd both[] = {{netpoll::epoll(), POLLIN, 0}, {sched.sysmon_break.fd(), POLLIN, 0}};
  sched.sysmon_polls.store(true, seq_cst);  // [sysmon.polls] we: polls; look at word / a caller: word; look at polls
  if (sched.sysmon_word.load(seq_cst) == calls) {  // [sysmon.word] seq_cst: after polls
    os::ppoll(both, 2, until);
    netpoll::add_return();
  }
  sched.sysmon_polls.store(false, seq_cst);  // [sysmon.polls]
  if (both[1].revents) sched.sysmon_break.drain();
  if (!both[0].revents || sched.poller.load(seq_cst)) return;  // [poller] an M has come: it hears of it, too
  sched.sysmon_looks.store(true, relaxed);                     // the next round does
  gqueue readied;
  netpoll::poll(readied);
  netpoll::inject(readied);
}

}  // namespace urge::sysmon
