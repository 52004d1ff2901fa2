// SPDX-License-Identifier: MIT
// See m_supply.hpp.
#include "sched/m_supply.hpp"

#include <utility>

namespace urge {

P* take_wanted_p_locked() noexcept {
  P* p = sched.wants_m;
  if (!p) return nullptr;
  sched.wants_m = std::exchange(p->link, nullptr);
  --sched.n_wanted;
  return p;
}

void put_idle_m_locked(M* m) noexcept {
  count_as_spare_locked(m);
  m->link = sched.idle_ms;
  sched.idle_ms = m;
  sched.n_idle_m.fetch_add(1, relaxed);
}

// It still sleeps, as if nothing had been. Only if it would have been woken meanwhile it has to look for itself.
void put_back_idle_m(M* m) noexcept {
  if (!m) return;
  {
    std::lock_guard hold(sched.lock);
    if (P* p = take_wanted_p_locked()) {
      m->next_p = p;
      m->next_spinning = p->start_spinning;
    } else if (!m->wake_missed && !sched.stopping.load(relaxed)) {
      return put_idle_m_locked(m);
    } else {
      count_as_spare_locked(m);
    }
  }
  m->park.wake();
}

bool reserve_next_m(M& m) noexcept {
  std::lock_guard hold(sched.lock);
  if (!m_left_locked()) return false;
  m.successor = take_idle_m_locked();
  m.promised = !m.successor;
  if (m.promised) ++sched.n_promised;
  return true;
}

void unreserve_next_m(M& m) noexcept {
  put_back_idle_m(std::exchange(m.successor, nullptr));
  if (!std::exchange(m.promised, false)) return;
  {
    std::lock_guard hold(sched.lock);
    --sched.n_promised;
  }
  wake_p();  // some M may have left an idle P alone for its sake
}

void wake_with(M* m, P* p) noexcept {
  m->next_p = p;
  m->park.wake();
}

namespace {
// Its Gs are anybody's: they do not wait for its next M.
void leave_queue_locked(P* p) noexcept {
  gqueue left = p->take_all();
  sched.queue.append(left);
  count_queue_locked();
}
void make_good_locked(at_limit then) noexcept {
  if (then == at_limit::promised) --sched.n_promised;
}
}  // namespace

// Gives a P to an idle M, or leaves it to the next that would be, or has one made. `spinning`: it is counted in
// n_spinning already.
void start_m(P* p, bool spinning, at_limit then) noexcept {
  M* m;
  bool lacks_m = false;
  {
    std::lock_guard hold(sched.lock);
    make_good_locked(then);
    const bool left = m_left_locked(), over = sched.stopping.load(relaxed);
    m = left && !over ? take_idle_m_locked() : nullptr;
    if (m) {
      m->next_p = p;
      m->next_spinning = spinning;
    } else {
      if (!left || over) {
        if (over || (spinning && sched.threads_stay()) || then == at_limit::wait ||
            sched.n_detached.load(relaxed) != 0) {
          // All Ms are on their way out; or stand or sleep with their Gs: fewer run at once, where there is a P.
          if (spinning) sched.n_spinning.fetch_sub(1, seq_cst);  // [spinning]
          leave_queue_locked(p);
          return put_idle_p_locked(p);
        }
        fatal("thread exhaustion: the program needs more threads than options.max_threads", sched.how.max_threads);
      }
      leave_queue_locked(p);  // the maker may need one of its Gs to get on
      p->start_spinning = spinning;
      p->link = sched.wants_m;
      sched.wants_m = p;
      lacks_m = ++sched.n_wanted > sched.n_spare;
    }
  }
  if (m) m->park.wake();
  if (lacks_m || sched.n_idle_m.load(relaxed) * 2 < sched.spare_ms.load(relaxed)) call_maker();
}

m_supply m_to_be_had() noexcept {
  std::lock_guard hold(sched.lock);
  if (!m_left_locked()) return m_supply::none;
  return sched.idle_ms ? m_supply::idle : m_supply::to_be_made;
}

// A P whose M is lost in a system call goes to whoever can use it. Source: Go's handoffp.
void hand_off(P* p, at_limit then) noexcept {
  if (sched.world_stops.load(relaxed)) {
    std::lock_guard hold(sched.lock);
    if (sched.world_stops.load(relaxed)) {
      make_good_locked(then);
      return put_idle_p_locked(p);  // start_world sees to what waits for it
    }
  }
  if (work_waits_for(*p)) {
    {
      std::lock_guard hold(sched.lock);
      ++sched.handoffs;
    }
    return start_m(p, false, then);
  }
  std::uint32_t none = 0;
  if (sched.n_idle_p.load(relaxed) == 0 &&
      sched.n_spinning.compare_exchange_strong(none, 1, seq_cst, relaxed)) {  // [spinning]
    sched.need_spinning.store(0, relaxed);
    return start_m(p, true, then);
  }
  {
    std::lock_guard hold(sched.lock);
    if (sched.n_queue.load(relaxed) == 0 || sched.stopping.load(relaxed)) {
      make_good_locked(then);
      put_idle_p_locked(p);
      p = nullptr;
    }
  }
  if (p) return start_m(p, false, then);
  std::atomic_thread_fence(seq_cst);  // we: P idle; fence; look at need_spinning / they: need_spinning; look at idle Ps
  if (sched.need_spinning.load(relaxed) != 0 || then == at_limit::promised) wake_p();  // as in unreserve_next_m
  timer_added(earliest_timer());
}

}  // namespace urge
