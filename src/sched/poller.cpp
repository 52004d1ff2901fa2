// SPDX-License-Identifier: MIT
// Who asks the kernel for changes of descriptors (docs/protocols/netpoll.md), at Go's places:
//   an M that has found nothing in its own and the global queue, before it steals: without waiting
//   of the Ms that sleep while a P is idle one, `sched.poller`, which sleeps in the epoll instead of on its note
//   sysmon, while no M does either: sysmon/io_watch.cpp
// All events are edges (EPOLLET), those of the eventfd that ends the poller's sleep too: so nobody has to read it. An
// M that only passes by may take that event away from the poller, and then writes it again.
// Context: Ms on g0, sysmon; `open` and see_watched also a G inside enter/leave.
#include "sched/netpoll.hpp"

#include <cerrno>

namespace urge::netpoll {

atomic<bool> watched{false};

namespace {

atomic<int> epoll_fd{-1};
raw_lock open_lock;
atomic<bool> looking{false};  // somebody takes events without waiting: one is enough
atomic<std::uint32_t> n_polls{0};
atomic<std::uint64_t> n_wakeups{0}, n_returns{0};

constexpr std::uint64_t is_break = UINT64_MAX;  // the data of the eventfd's events: no descriptor has this number
constexpr int batch = 128;                      // as Go

// A change of the file behind a descriptor: wakes who waits for it. Errors and ends are both directions' business.
void tell(std::uint32_t events, std::uint64_t data, gqueue& out) noexcept {
  descriptor* p = find(static_cast<int>(static_cast<std::uint32_t>(data)));
  std::lock_guard hold(lock_of(p->readers));
  if (p->generation() != data >> 32) return;  // of a file that has been closed
  const auto change = [&](direction d) {
    p->count_change(d);
    if (waiter* w = p->pop_trier(d)) out.push_back(w->record->g);
  };
  if (events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) change(direction::read);
  if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) change(direction::write);
}

void take_events(std::int64_t deadline_ns, gqueue& out) noexcept {
  epoll_event events[batch];
  const int n = os::epoll_wait(epoll(), events, batch, deadline_ns);
  if (n < 0 && n != -EINTR) fatal_syscall("epoll_wait of the runtime's own epoll: has the program closed it?", n);
  const std::uint64_t before = out.n;
  bool broken_off = false;
  for (int i = 0; i < n; ++i) {
    if (events[i].data.u64 == is_break)
      broken_off = true;
    else
      tell(events[i].events, events[i].data.u64, out);
  }
  if (const std::uint64_t woken = out.n - before; woken != 0) {
    n_waiters.fetch_sub(woken, relaxed);
    n_wakeups.fetch_add(woken, relaxed);
  }
  // Whom it was for is the poller still, or has been woken otherwise.
  if (broken_off && deadline_ns == 0 && sched.poller.load(seq_cst)) os::poll_break.wake();  // [poller] after the event
}

int make() noexcept {
  const int epoll = os::epoll_create();
  if (epoll < 0) return epoll;
  int error = os::poll_break.open();
  if (error == 0) error = os::epoll_add(epoll, os::poll_break.fd(), EPOLLIN | EPOLLET, is_break);
  if (error == 0) error = sched.sysmon_break.open();
  if (error == 0) {
    epoll_fd.store(epoll, seq_cst);  // [netpoll.open] we: epoll; look at poller / the poller: poller; look at epoll
    return 0;
  }
  os::poll_break.close();
  sched.sysmon_break.close();
  os::close(epoll);
  return error;
}

}  // namespace

int epoll() noexcept { return epoll_fd.load(seq_cst); }  // [netpoll.open]

int open() noexcept {
  if (epoll() >= 0) return 0;
  {
    std::lock_guard hold(open_lock);
    if (epoll() >= 0) return 0;
    if (const int error = make(); error < 0) return error;
  }
  wake_poller();  // it sleeps on its note, for it has found no epoll
  return 0;
}

void close() noexcept {
  const int epoll = epoll_fd.exchange(-1, relaxed);  // nobody else is left
  if (epoll < 0) return;
  os::poll_break.close();
  sched.sysmon_break.close();
  os::close(epoll);
}

void reset() noexcept {
  n_waiters.store(0, relaxed), n_wakeups.store(0, relaxed), n_returns.store(0, relaxed), n_polls.store(0, relaxed);
  watched.store(false, relaxed), looking.store(false, relaxed);
}

void poll(gqueue& out) noexcept {
  if (looking.exchange(true, acquire)) return;  // [netpoll.looking] acquire: for the pair; it guards nothing
  if (current_m()) n_polls.fetch_add(1, relaxed);
  take_events(0, out);
  looking.store(false, release);  // [netpoll.looking]
}

bool sleep(note& park, std::int64_t deadline_ns, gqueue& out) noexcept {
  if (!park.begin_poll()) return true;
  do {
    n_polls.fetch_add(1, relaxed);
    take_events(deadline_ns, out);
    n_returns.fetch_add(1, relaxed);
  } while (!out.first && !park.woken_in_poll() && (deadline_ns == os::no_deadline || monotonic_ns() < deadline_ns));
  return park.end_poll();
}

// Whoever readies a G because of I/O comes here, in one place.
void inject(gqueue& gs) noexcept {
  if (!gs.first) return;
  const std::uint64_t now = ticks();
  for (G* g = gs.first; g; g = g->link) {
    g->reason.store(wait_reason::none, relaxed);
    g->runnable_since.store(now, relaxed);
    set_status(g->status, g_status::waiting, g_status::runnable);
  }
  const M* m = current_m();
  if (!m || !m->p || sched.how.model == sched_model::gm) return put_woken(gs);
  // The first is this M's own; who comes for another finds more, and sees that somebody comes for those.
  const bool several = gs.n > 1;
  while (G* g = gs.pop_front()) put_local(m->p, g, false);
  if (several) wake_p();
}

// Who finds it unset calls sysmon, which decides.
void see_watched_slow() noexcept {
  if (!unattended() || watched.load(seq_cst)) return;   // [netpoll.watched] seq_cst: after the wait
  if (!watched.exchange(true, seq_cst)) call_sysmon();  // [netpoll.watched]
}

std::uint32_t polls() noexcept { return n_polls.load(relaxed); }
counts count() noexcept { return {n_wakeups.load(relaxed), n_returns.load(relaxed)}; }
void add_return() noexcept { n_returns.fetch_add(1, relaxed); }

}  // namespace urge::netpoll
