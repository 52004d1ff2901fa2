// SPDX-License-Identifier: MIT
// The life of a G: descriptor, start, first frame, end. Descriptors are cached per P and in `sched`; a stack is taken
// at the first run only, so a million runnable Gs are a million descriptors.
#include <urge/go.hpp>

#include <dlfcn.h>
#include <sys/mman.h>

#include <cstring>
#include <new>

#include "sched/alloca_blocks.hpp"
#include "sched/m_supply.hpp"
#include "sched/sanitizer.hpp"
#include "sched/switch.hpp"
#include "sched/waitq.hpp"

namespace urge {

namespace slabs {
atomic<G*> table[max_slabs];
atomic<std::size_t> made{0};
}  // namespace slabs

namespace {

// Context: sched.lock held.
G* make_g_locked() noexcept {
  const std::size_t i = slabs::made.load(relaxed);  // written under sched.lock only
  if (i / slabs::per_slab >= slabs::max_slabs) return nullptr;
  atomic<G*>& slab = slabs::table[i / slabs::per_slab];
  if (i % slabs::per_slab == 0) {
    void* memory = os::map(sizeof(G) * slabs::per_slab, false);
    if (os::failed(memory)) return nullptr;
    slab.store(static_cast<G*>(memory), relaxed);
  }
  G* g = new (slab.load(relaxed) + i % slabs::per_slab) G;
  slabs::made.store(i + 1, release);  // [slabs] release: the G
  return g;
}

// A heavy G lengthens its own slice and shortens all others', see take_over.
void count_weight_locked(std::uint32_t weight, int by) noexcept {
  if (weight <= 4) return;
  sched.n_heavy += static_cast<std::uint64_t>(static_cast<std::int64_t>(by));
  if (sched.n_heavy == 0)
    sched.max_weight.store(1, relaxed);
  else if (weight > sched.max_weight.load(relaxed))
    sched.max_weight.store(weight, relaxed);
}

}  // namespace

G* take_g(P* p) noexcept {
  if (p && p->free_gs) {
    G* g = p->free_gs;
    p->free_gs = g->link, --p->n_free_gs;
    return g;
  }
  std::lock_guard hold(sched.lock);
  if (p && sched.free_gs) {
    // A batch, so that the lock is taken once for many.
    while (sched.free_gs && p->n_free_gs < 32) {
      G* g = sched.free_gs;
      sched.free_gs = g->link, --sched.n_free_gs;
      g->link = p->free_gs;
      p->free_gs = g, ++p->n_free_gs;
    }
    G* g = p->free_gs;
    p->free_gs = g->link, --p->n_free_gs;
    return g;
  }
  if (!p && sched.free_gs) {
    G* g = sched.free_gs;
    sched.free_gs = g->link, --sched.n_free_gs;
    return g;
  }
  return make_g_locked();
}

void put_g(P* p, G* g) noexcept {
  if (p) {
    g->link = p->free_gs;
    p->free_gs = g;
    if (++p->n_free_gs < 64) return;
    std::lock_guard hold(sched.lock);
    while (p->n_free_gs > 32) {
      G* f = p->free_gs;
      p->free_gs = f->link, --p->n_free_gs;
      f->link = sched.free_gs;
      sched.free_gs = f, ++sched.n_free_gs;
    }
    return;
  }
  std::lock_guard hold(sched.lock);
  g->link = sched.free_gs;
  sched.free_gs = g, ++sched.n_free_gs;
}

namespace {
// As Go's goidcache: one shared counter would be fought over by all Ps.
std::uint64_t draw_id(P* p) noexcept {
  constexpr std::uint64_t batch = 16;
  if (!p) return sched.next_id.fetch_add(1, relaxed);
  if (p->ids_left == 0) p->next_id = sched.next_id.fetch_add(batch, relaxed), p->ids_left = batch;
  --p->ids_left;
  return p->next_id++;
}
}  // namespace

void set_pause(G* g, std::uint64_t cpu) noexcept {
  g->pause_at = cpu;
  g->look_at = cpu == 0 ? g->cpu_limit : g->cpu_limit == 0 ? cpu : std::min(cpu, g->cpu_limit);
}

G* new_g(detail::task* job, const go_options& how, P* p) noexcept {
  G* g = take_g(p);
  if (!g) return nullptr;
  if (g->status.load(relaxed) == g_status::dead) set_status(g->status, g_status::dead, g_status::idle);
  g->locks.store(1, relaxed);  // until its first frame
  g->guards.store(0, relaxed);
  g->context = nullptr;
  g->own = nullptr;
  g->home = nullptr, g->keeps_m = g->kept_back = false;
  g->thread_locks = 0;
  g->eh = {};
  g->job = job;
  g->tag = nullptr;
  g->stopped_by_signal = g->has_thread_state = g->sets_sigmask = g->alt_in_use = false;
  g->alt_low = nullptr;
  g->own_identity = how.own_identity;
  g->pthread_locks.store(0, relaxed);
  g->slice_left = 0, g->n_started = 0, g->lets_new_run = true;
  g->from_locks.store(false, relaxed);
  g->orphan.store(false, relaxed);
  g->stack_size = how.stack_size ? how.stack_size : sched.how.stack_size;
  g->weight = how.weight;
  g->cpu_limit = how.cpu_limit.count() > 0 ? ns_to_ticks(how.cpu_limit.count()) : 0;
  g->doomed.store(doom::none, relaxed);
  g->way_out = nullptr;
  g->fault = 0, g->stack_overflow = g->fault_inside = false;
  set_pause(g, job->pause_after == 0 ? 0 : ns_to_ticks(job->pause_after));
  const std::size_t n = std::min(how.name.size(), sizeof g->name - 1);
  std::memcpy(g->name, how.name.data(), n);
  g->name[n] = 0;
  for (auto* word :
       {&g->cpu, &g->run_start, &g->max_wait, &g->n_cooperative, &g->n_async, &g->n_kernel_thread, &g->n_promoted})
    word->store(0, relaxed);
  // The last G here may have been given up in a wait: nobody may end that any more, least of all a kill of this one.
  g->wait_word.store(g->wait_word.load(relaxed) | wait_claimed, relaxed);
  g->reason.store(wait_reason::none, relaxed);
  g->waiting_on.store(nullptr, relaxed);
  g->runnable_since.store(ticks(), relaxed);
  g->id = draw_id(p);
  job->id = g->id;
  job->g = g;
  if (g->weight > 4) {
    std::lock_guard hold(sched.lock);
    count_weight_locked(g->weight, 1);
  }
  set_status(g->status, g_status::idle, g_status::runnable);
  return g;
}

void release_g(M* m, G* g) noexcept {
  sanitizer::ended(m, g);
  P* p = m->p;
  if (g->weight > 4 && !g->orphan.load(relaxed)) {  // an orphan was counted in a run that is over
    std::lock_guard hold(sched.lock);
    count_weight_locked(g->weight, -1);
  }
  if (g->own || g->own_identity) hook.identity_free(*g);
  if (g->lent) [[unlikely]]
    take_back_blocks(*g, UINTPTR_MAX);
  if (g->stk) {
    if (p && p->n_free_stacks < std::size(p->free_stacks))
      p->free_stacks[p->n_free_stacks++] = g->stk;
    else
      put_stack(g->stk);
    g->stk = {};
  }
  g->context = nullptr;
  put_g(p, g);
}

void finish_task(G* g, detail::outcome how) noexcept {
  detail::task& t = *g->job;
  gqueue woken;
  {
    std::lock_guard hold(lock_of(t.joiners));
    t.cpu_ns = ticks_to_ns(g->cpu.load(relaxed));
    t.info = {g->n_cooperative.load(relaxed),
              g->n_async.load(relaxed),
              g->n_kernel_thread.load(relaxed),
              g->n_promoted.load(relaxed),
              ticks_to_ns(g->max_wait.load(relaxed)),
              false,
              g->fault,
              g->fault_address,
              g->stack_overflow};
    t.g = nullptr;
    t.state.store(how, release);  // [task.state] release: the result
    while (waiter* w = pop(t.joiners)) woken.push_back(w->record->g);
  }
  while (G* j = woken.pop_front()) ready(j);
}

void begin_stop() noexcept {
  sched.stopping.store(true, seq_cst);  // [stopping] release
  for (;;) {
    M* m;
    {
      std::lock_guard hold(sched.lock);
      m = take_idle_m_locked();
      if (!m) break;
    }
    m->park.wake();
  }
  {
    // Those that stand with their Gs are on no list.
    std::lock_guard hold(sched.lock);
    for (M* m = sched.all_ms; m; m = m->next_all) m->park.wake();
  }
  call_sysmon();
  // The caller of `run` waits here.
  sched.ms_word.fetch_add(1, release);  // [ms.word]
  os::futex_wake(sched.ms_word, INT32_MAX);
}

std::uint64_t count_live() noexcept {
  std::uint64_t begun = 1, ended = 0;                              // the main G belongs to no P's count
  for (unsigned i = 0; i < sched.procs_seen.load(acquire); ++i) {  // [procs.seen] acquire: their counters
    // In this order: an end is never counted without its beginning, but in a sum over Ps that may be.
    ended += all_ps[i].count.finished.load(relaxed);
    begun += all_ps[i].count.spawned.load(relaxed);
  }
  return begun > ended ? begun - ended : 0;
}

void count_end(M* m, const G* g, detail::outcome how) noexcept {
  add_own(m->p->count.finished, std::uint64_t{1});
  if (g->id == main_id) {
    if (how == detail::outcome::finished) return begin_stop();
    sched.main_left.store(true, relaxed);
  }
  std::atomic_thread_fence(seq_cst);  // we: finished, or left; fence; look at both / the others that end: the same
  if (sched.main_left.load(relaxed) && count_live() == 0) begin_stop();
}

namespace {
// As a thread does at its end. libc keeps the function to itself; where it has none, the donor's own end calls it.
void end_thread_locals() {
  static const auto call_destructors =
      reinterpret_cast<void (*)()>(dlvsym(RTLD_DEFAULT, "__call_tls_dtors", "GLIBC_PRIVATE"));
  if (call_destructors) call_destructors();
}
}  // namespace

// The first frame of every G, on its own stack.
void run_job(G* g) noexcept {
  std::atomic_signal_fence(seq_cst);
  g->locks.store(0, relaxed);
  auto how = detail::outcome::finished;
  try {
    if (g->doomed.load(relaxed) == doom::none)
      g->job->invoke();
    else
      how = detail::outcome::killed;
  } catch (const detail::unwind_g& why) {
    how = why.killed ? detail::outcome::killed : detail::outcome::exited;
  }
  if (os::forked.load(relaxed)) [[unlikely]]
    fatal("a child of fork came to the end of the G that made it: only exec and _exit are supported there");
  // So does the thread, or what of it is the G's, if it is locked to it.
  if ((g->own_identity && g->own) || g->thread_locks != 0) end_thread_locals();
  add_own(g->locks, 1u);
  std::atomic_signal_fence(seq_cst);  // as in enter
  settle_here(g);
  account(g, ticks());
  if (g->own && (g->own_identity || g->thread_locks != 0)) g->own->ended = true;
  if (g->has_thread_state) drop_thread_state(g->m, g);
  finish_task(g, how);
  // The last reference may run the user's destructors: as a preemptible G, not in the runtime. Stopped there it has no
  // job any more, and whoever ends it finds nothing to tell.
  detail::task* const job = std::exchange(g->job, nullptr);
  std::atomic_signal_fence(seq_cst);
  g->locks.store(0, relaxed);
  job->drop();
  add_own(g->locks, 1u);
  std::atomic_signal_fence(seq_cst);
  settle_here(g);
  count_end(g->m, g, how);
  end_g(g);
}

}  // namespace urge
