// SPDX-License-Identifier: MIT
// Descriptors and the Gs that wait for them: see netpoll.hpp.
#include "sched/netpoll.hpp"

#include <cerrno>
#include <new>

namespace urge::netpoll {

atomic<std::uint64_t> n_waiters{0};

namespace {

constexpr std::size_t per_slab = 256;
constexpr std::size_t max_slabs = 65536;  // descriptors up to 2^24; the kernel's own limit is 2^20 unless it is raised
atomic<descriptor*> table[max_slabs];     // slabs come as they are needed, and stay
raw_lock table_lock;

// Null: no memory, or a number beyond the table.
descriptor* find_or_make(int fd) noexcept {
  if (descriptor* p = find(fd)) return p;
  const std::size_t at = static_cast<std::size_t>(fd) / per_slab;
  if (fd < 0 || at >= max_slabs) return nullptr;
  std::lock_guard hold(table_lock);
  if (!table[at].load(relaxed)) {
    void* memory = os::map(sizeof(descriptor) * per_slab, false);
    if (os::failed(memory)) return nullptr;
    auto* slab = static_cast<descriptor*>(memory);
    for (std::size_t i = 0; i < per_slab; ++i) new (slab + i) descriptor;
    table[at].store(slab, release);  // [netpoll.slab] release: their constructors
  }
  return find(fd);
}

// A G that has been woken is counted down by who has woken it.
struct counted {
  bool woken = false;
  counted() noexcept { n_waiters.fetch_add(1, seq_cst); }  // [netpoll.watched] seq_cst: before the look at who attends
  ~counted() {
    if (!woken) n_waiters.fetch_sub(1, relaxed);
  }
};

// Runs when the G's context is saved. An M that goes on with another G does not ask the kernel soon.
void unlock_and_see(void* list) noexcept {
  lock_of(*static_cast<wait_list*>(list)).unlock();
  const M* m = current_m();
  if (m && m->g) see_watched();
}

// Context: the lock is held. Adds all who can still be woken to `out`.
void take_all(descriptor& p, bool closed, gqueue& out) noexcept {
  for (const direction d : {direction::read, direction::write})
    while (waiter* w = pop(p.list(d))) {
      w->granted = closed;
      out.push_back(w->record->g);
    }
  n_waiters.fetch_sub(out.n, relaxed);
}

void wake_all(gqueue& gs) noexcept {
  while (G* g = gs.pop_front()) ready(g);
}

// Context: the lock is held, and is released.
void wake_first(descriptor& p, direction d) noexcept {
  waiter* w = p.pop_trier(d);
  lock_of(p.readers).unlock();
  if (!w) return;
  n_waiters.fetch_sub(1, relaxed);
  wake(w);
}

}  // namespace

descriptor* find(int fd) noexcept {
  const std::size_t at = static_cast<std::size_t>(fd) / per_slab;  // of a negative number: beyond the table
  if (at >= max_slabs) return nullptr;
  descriptor* slab = table[at].load(acquire);  // [netpoll.slab] acquire: the descriptors
  return slab ? slab + static_cast<std::size_t>(fd) % per_slab : nullptr;
}

void descriptor::count_change(direction d) noexcept {
  atomic<std::uint64_t>& s = state[static_cast<unsigned>(d)];
  const std::uint64_t now = s.load(relaxed);  // written under the lock
  // [netpoll.state] release: whoever sees the new count tries after the change
  s.store((now & ~std::uint64_t{UINT32_MAX}) | static_cast<std::uint32_t>(now + 1), release);
}

waiter* descriptor::pop_trier(direction d) noexcept {
  std::uint32_t& trier = trier_run[static_cast<unsigned>(d)];
  if (trier == sched.run_id) return nullptr;
  waiter* w = pop(list(d));
  if (w) trier = sched.run_id;
  return w;
}

void descriptor::begin_generation() noexcept {
  trier_run[0] = trier_run[1] = 0;
  for (auto& s : state) s.store(((s.load(relaxed) >> 32) + 1) << 32, release);  // [netpoll.state] release: as above
}

int wait(G* g, int fd, direction d, std::uint64_t seen, bool again, wait_reason why, std::int64_t deadline_ns) {
  descriptor* p = find_or_make(fd);
  if (!p) return fd < 0 ? -EBADF : -ENOMEM;
  if (const int error = open(); error < 0) return error;
  wait_list& list = p->list(d);
  counted here;
  lock_of(list).lock();
  if (const std::uint64_t now = p->state[static_cast<unsigned>(d)].load(relaxed); now != seen) {
    lock_of(list).unlock();
    return now >> 32 == seen >> 32 ? retry : -EBADF;  // a trier tries again
  }
  if (again) p->trier_run[static_cast<unsigned>(d)] = 0;
  int error = 0;
  if (deadline_ns != os::no_deadline && deadline_ns <= monotonic_ns()) {
    error = -ETIMEDOUT;
  } else {
    // Each time, for it may be another file by now: nobody has told us if it was closed by a bare close(2). The kernel
    // knows its files, and one that it has already it refuses (EEXIST). Of a new one it tells the present state, too.
    const std::uint64_t data = std::uint64_t{p->generation()} << 32 | static_cast<std::uint32_t>(fd);
    error = os::epoll_add(epoll(), fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, data);
    if (error == -EEXIST) error = 0;
  }
  if (error < 0) {
    lock_of(list).unlock();
    return error;
  }
  waiter w;
  again ? push_front(list, w) : push_back(list, w);
  if (!wait_any(g, &w, 1, why, unlock_and_see, &list, deadline_ns)) return -ETIMEDOUT;
  here.woken = true;
  return w.granted ? -EBADF : woken;
}

void pass_on(int fd, direction d) noexcept {
  descriptor* p = find(fd);
  lock_of(p->readers).lock();
  p->trier_run[static_cast<unsigned>(d)] = 0;
  wake_first(*p, d);
}

int begin_exclusive(int fd) noexcept {
  descriptor* p = find_or_make(fd);
  if (!p) return fd < 0 ? -EBADF : -ENOMEM;
  std::lock_guard hold(lock_of(p->readers));
  if (p->exclusive_run == sched.run_id) {
    p->exclusive_wanted = true;
    return 0;
  }
  p->exclusive_run = sched.run_id, p->exclusive_wanted = false;
  return 1;
}

// Whoever was turned away is in the list of readers now, or will see the change before it gets there.
void end_exclusive(int fd) noexcept {
  descriptor* p = find(fd);
  lock_of(p->readers).lock();
  p->exclusive_run = 0;
  if (!p->exclusive_wanted) return lock_of(p->readers).unlock();
  p->count_change(direction::read);
  wake_first(*p, direction::read);
}

void detach(int fd) noexcept {
  descriptor* p = find(fd);
  if (!p) return;
  gqueue gs;
  {
    std::lock_guard hold(lock_of(p->readers));
    p->begin_generation();
    // Here and not by the close: the file may have other descriptors, and the epoll would go on to tell of it.
    if (epoll() >= 0) os::epoll_remove(epoll(), fd);
    take_all(*p, true, gs);
  }
  wake_all(gs);
}

void rouse(int fd) noexcept {
  descriptor* p = find(fd);
  if (!p) return;
  gqueue gs;
  {
    std::lock_guard hold(lock_of(p->readers));
    take_all(*p, false, gs);
  }
  wake_all(gs);
}

}  // namespace urge::netpoll
