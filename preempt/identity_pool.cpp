// SPDX-License-Identifier: MIT
// Where identities come from (docs/protocols/identity.md). A donor thread is created with a small stack of ours, fills
// in what belongs to its TLS block, cuts every tie between the kernel and that block, and ends by the bare exit system
// call: glibc never learns of it. What remains is a `struct pthread` with its TLS that no kernel thread uses. One that
// was a G's own from its start is used once: a bare clone lets the donor go on where it ended, now to end as threads
// do.
//   rseq             unregistered: the kernel would write the CPU number there
//   clear_child_tid  moved: the kernel would zero the id there and wake joiners
//   robust list      taken off: it would be walked at exit
//   tid              a number above the kernel's range, different for each: owner of recursive mutexes
// pthread_create takes locks and calls malloc: so only the maker thread calls this, or the caller of `run` before any G
// is.
#include "preempt/identity_pool.hpp"

#include <cxxabi.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "preempt/handler.hpp"
#include "preempt/preempt.hpp"
#include "sched/sanitizer.hpp"

extern "C" {
// glibc 2.35: where and how large the registered area is; absent in older ones.
extern const std::ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));
extern __thread unsigned urge_yield_wanted __attribute__((tls_model("initial-exec")));
}

namespace urge::preempt {

identity_pool pool;

namespace {

constexpr std::size_t donor_stack_bytes = 64 * 1024;  // virtual; two or three pages are touched
constexpr std::size_t donors_per_map = 32;
constexpr std::size_t piece_bytes = 2048;
constexpr int first_tid = 0x20000000;        // above any kernel's pid_max (2^22), below the futex bits (2^30)
constexpr std::size_t pthread_bytes = 2304;  // of glibc 2.36; only bounds the search
constexpr unsigned rseq_signature = 0x53053053;
constexpr int rseq_unregister = 1;

struct donor_order {
  int tid;
  identity* id;
  std::uintptr_t creator_base = arch::thread_base();
  int creator_tid = os::gettid();
  note done;
  bool made = false;
};

// Where `struct pthread` keeps its thread's id: where two threads have theirs. One alone is not enough: a half of a
// pointer may look like it. 0: not found.
std::size_t find_tid_offset(std::uintptr_t base, std::uintptr_t other_base, int other_tid) noexcept {
  const int tid = os::gettid();
  const auto word_at = [](std::uintptr_t at) {
    int word;
    std::memcpy(&word, reinterpret_cast<const void*>(at), sizeof word);
    return word;
  };
  for (std::size_t at = 0; at < pthread_bytes; at += sizeof(int))
    if (word_at(base + at) == tid && word_at(other_base + at) == other_tid) return at;
  return 0;
}

// The last that the donor's thread does, on a piece of its stack that nobody else uses.
void leave_kernel(arch::transfer t) noexcept {
  auto* order = static_cast<donor_order*>(t.data);
  order->id->donor = t.from;
  order->made = true;
  order->done.wake();
  for (;;) os::syscall6(SYS_exit, 0);
}

// Context: a new thread with all signals blocked.
void* donate(void* arg) noexcept {
  auto* order = static_cast<donor_order*>(arg);
  const std::uintptr_t base = arch::thread_base();
  const std::size_t tid_at = find_tid_offset(base, order->creator_base, order->creator_tid);
  if (tid_at == 0) {
    order->done.wake();
    return nullptr;
  }
  // First uses that would otherwise fall on the first G that carries it: malloc's cache, the exception globals.
  void* warm = std::malloc(64);
  std::memset(warm, 0, 64);
  std::free(warm);

  identity& id = *order->id;
  id.base = base;
  id.words = &urge_tls;
  id.yield_wanted = &urge_yield_wanted;
  id.eh = reinterpret_cast<eh_state*>(abi::__cxa_get_globals());
  // Our own frames lie above, and wait for the end; below them is the piece for leave_kernel, and for coming back.
  char* const piece = reinterpret_cast<char*>((reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)) - 1024) &
                                              ~std::uintptr_t{63});
  id.stack_top = piece - piece_bytes;
  id.ended = false;
  urge_async_sp = id.stack_top;
  urge_yield_wanted = 0;

  if (&__rseq_size && __rseq_size != 0)
    os::syscall6(SYS_rseq, static_cast<long>(base) + __rseq_offset, 32, rseq_unregister, rseq_signature);
  id.on_its_way.store(1, relaxed);
  os::syscall6(SYS_set_tid_address, reinterpret_cast<long>(&id.on_its_way));
  os::syscall6(SYS_set_robust_list, 0, 24);
  id.tid_word = reinterpret_cast<int*>(base + tid_at);
  std::memcpy(id.tid_word, &order->tid, sizeof order->tid);
  arch::jump(arch::make(piece, piece_bytes, leave_kernel), order);
  return nullptr;  // by `retire`: in another thread of the kernel, which ends as glibc's
}

int come_back(void* id) noexcept {
  arch::jump(static_cast<identity*>(id)->donor, nullptr);
  return 0;
}

// Descriptors with a stack that have no donor. Context: the maker, or the caller of `run` before the first M.
identity* unused = nullptr;

identity* take_unused() noexcept {
  if (!unused) {
    void* stacks = os::map(donor_stack_bytes * donors_per_map, true);
    if (os::failed(stacks)) return nullptr;
    void* descriptors = os::map(sizeof(identity) * donors_per_map, false);
    if (os::failed(descriptors)) {
      os::unmap(stacks, donor_stack_bytes * donors_per_map);
      return nullptr;
    }
    os::advise(stacks, donor_stack_bytes * donors_per_map, MADV_NOHUGEPAGE);
    for (std::size_t i = 0; i < donors_per_map; ++i) {
      identity* id = new (static_cast<identity*>(descriptors) + i) identity;
      id->low = static_cast<char*>(stacks) + i * donor_stack_bytes;
      id->next = std::exchange(unused, id);
    }
  }
  return std::exchange(unused, unused->next);
}

// A new identity, which is on no list; null: `error` is -errno.
identity* make_donor(int& error) noexcept {
  static int next_tid = first_tid;
  donor_order order;
  order.id = take_unused();
  error = -ENOMEM;
  if (!order.id) return nullptr;
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  error = pthread_attr_setstack(&attr, order.id->low, donor_stack_bytes);
  sigset_t all;
  sigfillset(&all);
  if (error == 0) error = pthread_attr_setsigmask_np(&attr, &all);
  order.tid = next_tid++;
  pthread_t thread;
  if (error == 0) error = pthread_create(&thread, &attr, donate, &order);
  pthread_attr_destroy(&attr);
  if (error == 0) {
    order.done.sleep();
    if (order.made) {
      pool.made.fetch_add(1, relaxed);
      return order.id;
    }
    pthread_join(thread, nullptr);
    error = ENOTSUP;
  }
  error = -error;
  order.id->next = std::exchange(unused, order.id);
  return nullptr;
}

int make_one() noexcept {
  int error;
  identity* id = make_donor(error);
  if (!id) return error;
  std::lock_guard hold(pool.lock);
  id->next = pool.free;
  pool.free = id;
  pool.n_free.store(pool.n_free.load(relaxed) + 1, relaxed);
  return 0;
}

// The donor ends as a thread: what is left of thread_local and thread-specific data is destroyed, its malloc cache goes
// back to the arena, and its stack can be used again. False: no thread to be had.
bool retire(identity* id) noexcept {
  // The donor's last steps need the same piece of stack. The kernel clears the word at the end, and wakes, not
  // privately.
  while (id->on_its_way.load(relaxed) != 0)
    os::syscall6(SYS_futex, reinterpret_cast<long>(&id->on_its_way), FUTEX_WAIT, 1);
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  constexpr int as_a_thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                              CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
  const int tid = ::clone(come_back, id->stack_top + piece_bytes, as_a_thread, id, id->tid_word,
                          reinterpret_cast<void*>(id->base), id->tid_word);
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  if (tid < 0) return false;
  pthread_join(id->base, nullptr);
  id->next = std::exchange(unused, id);
  return true;
}

void put(identity* id, bool was_carried) noexcept {
  id->words->g = nullptr;
  id->words->m = nullptr;
  std::lock_guard hold(pool.lock);
  id->next = pool.free;
  pool.free = id;
  pool.n_free.store(pool.n_free.load(relaxed) + 1, relaxed);
  if (was_carried) pool.carried.store(pool.carried.load(relaxed) - 1, relaxed);
}

}  // namespace

int make_identities(unsigned n) noexcept {
  for (; n != 0; --n)
    if (int error = make_one(); error < 0) return error;
  return 0;
}

identity* make_fresh_identity() noexcept {
  int error;
  return make_donor(error);
}

void retire_identities() noexcept {
  for (;;) {
    identity* id;
    {
      std::lock_guard hold(pool.lock);
      id = pool.ended;
      if (!id) return;
      pool.ended = id->next;
    }
    if (!retire(id)) {
      std::lock_guard hold(pool.lock);
      id->next = std::exchange(pool.ended, id);
      return;  // at the next call
    }
    std::lock_guard hold(pool.lock);
    pool.retired.fetch_add(1, relaxed);
    pool.carried.store(pool.carried.load(relaxed) - 1, relaxed);
  }
}

void refill_identities() noexcept {
  const std::uint32_t bound = pool.max_carried.load(relaxed);
  while (pool.n_free.load(relaxed) < pool.wanted.load(relaxed) &&
         pool.made.load(relaxed) - pool.retired.load(relaxed) < std::uint64_t{bound} + 2 * max_procs) {
    if (make_one() < 0) return;  // fewer spares: preemptions are put off and counted; asked again at the next call
  }
}

identity* take_loan() noexcept {
  std::lock_guard hold(pool.lock);
  identity* id = pool.free;
  if (!id) return nullptr;
  pool.free = id->next;
  pool.n_free.store(pool.n_free.load(relaxed) - 1, relaxed);
  return id;
}

void count_as_carried() noexcept {
  std::lock_guard hold(pool.lock);
  pool.carried.store(pool.carried.load(relaxed) + 1, relaxed);
}

bool reserve_identity() noexcept {
  std::lock_guard hold(pool.lock);
  const std::uint32_t n = pool.carried.load(relaxed);
  if (n >= pool.max_carried.load(relaxed)) return false;
  pool.carried.store(n + 1, relaxed);
  return true;
}
void unreserve_identity() noexcept {
  std::lock_guard hold(pool.lock);
  pool.carried.store(pool.carried.load(relaxed) - 1, relaxed);
}

bool few_left() noexcept {
  const std::uint64_t bound = pool.max_carried.load(relaxed);
  return std::uint64_t{pool.carried.load(relaxed)} * 8 >= bound * 7;
}

void take_along(M& m, G& g) noexcept {
  identity* next = pool.take_to_carry();
  if (pool.low()) call_maker();
  if (!next) {
    // It goes on under another: a recursive mutex that it holds will not know it.
    shared.deferred[static_cast<std::size_t>(defer_reason::no_identity)].fetch_add(1, relaxed);
    return;
  }
  promote(m, g, next);
}

void promote(M& m, G& g, identity* next) noexcept {
  g.own = std::exchange(m.loan, next);
  add_own(g.n_promoted, std::uint64_t{1});
  if (m.p) add_own(m.p->count.promoted, std::uint64_t{1});
}

void give_back_early(M& m, G& g) noexcept {
  identity* id = std::exchange(g.own, nullptr);
  *m.loan->eh = *id->eh;
  m.loan->words->g = &g, m.loan->words->m = &m;
  m.bound.store(m.loan, relaxed);  // a hint for sysmon
  arch::set_thread_base(m.loan->base);
  put(id, true);
  pool.given_back.fetch_add(1, relaxed);
}

bool points_into(const identity& id, std::uintptr_t word) noexcept {
  const auto low = reinterpret_cast<std::uintptr_t>(id.low);
  return word >= low && word < low + donor_stack_bytes;
}

void give_back(G& g) noexcept {
  identity* id = std::exchange(g.own, nullptr);
  if (!id) return unreserve_identity();  // promised, and not made before the end of the run
  if (!id->ended) return put(id, true);
  id->words->g = nullptr, id->words->m = nullptr;
  {
    std::lock_guard hold(pool.lock);
    id->next = std::exchange(pool.ended, id);
  }
  call_maker();
}
void give_back_unused(identity* id) noexcept { put(id, true); }
void give_back_loan(identity* id) noexcept { put(id, false); }

void lose_identity(identity*) noexcept {
  std::lock_guard hold(pool.lock);
  pool.carried.store(pool.carried.load(relaxed) - 1, relaxed);
  pool.lost.store(pool.lost.load(relaxed) + 1, relaxed);
}

identity_counts count_identities() noexcept {
  return {pool.made.load(relaxed), pool.n_free.load(relaxed),  pool.carried.load(relaxed),
          pool.lost.load(relaxed), pool.retired.load(relaxed), pool.given_back.load(relaxed)};
}

void limit_carried(unsigned n) noexcept { pool.max_carried.store(n, relaxed); }

}  // namespace urge::preempt
