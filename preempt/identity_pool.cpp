// SPDX-License-Identifier: MIT
// Where identities come from (docs/protocols/identity.md). A donor thread is created with a small stack of ours, fills
// in what belongs to its TLS block, cuts every tie between the kernel and that block, and ends by the bare exit system
// call: glibc never learns of it. What remains is a `struct pthread` with its TLS that no kernel thread uses.
//   rseq             unregistered: the kernel would write the CPU number there
//   clear_child_tid  moved: the kernel would zero the id there and wake joiners
//   robust list      taken off: it would be walked at exit
//   tid              a number above the kernel's range, different for each: owner of recursive mutexes
// pthread_create takes locks and calls malloc: so only the maker thread calls this, or the caller of `run` before any G
// is.
#include "preempt/identity_pool.hpp"

#include <cxxabi.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

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
constexpr int first_tid = 0x20000000;        // above any kernel's pid_max (2^22), below the futex bits (2^30)
constexpr std::size_t pthread_bytes = 2304;  // of glibc 2.36; only bounds the search
constexpr unsigned rseq_signature = 0x53053053;
constexpr int rseq_unregister = 1;

struct donor_order {
  int tid;
  note done;
  identity* made = nullptr;
};

// Where `struct pthread` keeps its thread's id; found once, by looking for it. 0: not found.
std::size_t find_tid_offset(std::uintptr_t base) noexcept {
  const int tid = os::gettid();
  for (std::size_t at = 0; at < pthread_bytes; at += sizeof(int)) {
    int word;
    std::memcpy(&word, reinterpret_cast<const void*>(base + at), sizeof word);
    if (word == tid) return at;
  }
  return 0;
}

// Context: a new thread with all signals blocked.
void* donate(void* arg) noexcept {
  auto* order = static_cast<donor_order*>(arg);
  const std::uintptr_t base = arch::thread_base();
  const std::size_t tid_at = find_tid_offset(base);
  if (tid_at == 0) {
    order->done.wake();
    return nullptr;
  }
  // First uses that would otherwise fall on the first G that carries it: malloc's cache, the exception globals.
  void* warm = std::malloc(64);
  std::memset(warm, 0, 64);
  std::free(warm);

  identity& id = urge_identity;
  id.base = base;
  id.words = &urge_tls;
  id.yield_wanted = &urge_yield_wanted;
  id.eh = reinterpret_cast<eh_state*>(abi::__cxa_get_globals());
  // Our own frames lie above; while this thread is still on its way out, it needs some room below them.
  id.stack_top = reinterpret_cast<char*>((reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)) - 2048) &
                                         ~std::uintptr_t{63});
  urge_async_sp = id.stack_top;
  urge_yield_wanted = 0;

  if (&__rseq_size && __rseq_size != 0)
    os::syscall6(SYS_rseq, static_cast<long>(base) + __rseq_offset, 32, rseq_unregister, rseq_signature);
  static int nobody;
  os::syscall6(SYS_set_tid_address, reinterpret_cast<long>(&nobody));
  os::syscall6(SYS_set_robust_list, 0, 24);
  std::memcpy(reinterpret_cast<void*>(base + tid_at), &order->tid, sizeof order->tid);
  order->made = &id;
  order->done.wake();
  for (;;) os::syscall6(SYS_exit, 0);
}

char* next_donor_stack() noexcept {
  static char* at = nullptr;
  static std::size_t left = 0;
  if (left == 0) {
    void* map = os::map(donor_stack_bytes * donors_per_map, true);
    if (os::failed(map)) return nullptr;
    os::advise(map, donor_stack_bytes * donors_per_map, MADV_NOHUGEPAGE);
    at = static_cast<char*>(map), left = donors_per_map;
  }
  char* s = at;
  at += donor_stack_bytes, --left;
  return s;
}

int make_one() noexcept {
  static int next_tid = first_tid;
  static char* spare_stack = nullptr;
  char* stack = spare_stack ? spare_stack : next_donor_stack();
  spare_stack = nullptr;
  if (!stack) return -ENOMEM;
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  int error = pthread_attr_setstack(&attr, stack, donor_stack_bytes);
  sigset_t all;
  sigfillset(&all);
  if (error == 0) error = pthread_attr_setsigmask_np(&attr, &all);
  donor_order order;
  order.tid = next_tid++;
  pthread_t thread;
  if (error == 0) error = pthread_create(&thread, &attr, donate, &order);
  pthread_attr_destroy(&attr);
  if (error != 0) {
    spare_stack = stack;
    return -error;
  }
  order.done.sleep();
  if (!order.made) {
    pthread_join(thread, nullptr);
    spare_stack = stack;
    return -ENOTSUP;
  }
  pool.made.fetch_add(1, relaxed);
  std::lock_guard hold(pool.lock);
  order.made->next = pool.free;
  pool.free = order.made;
  pool.n_free.store(pool.n_free.load(relaxed) + 1, relaxed);
  return 0;
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

void refill_identities() noexcept {
  const std::uint32_t bound = pool.max_carried.load(relaxed);
  while (pool.n_free.load(relaxed) < pool.wanted.load(relaxed) &&
         pool.made.load(relaxed) < std::uint64_t{bound} + 2 * max_procs) {
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

void give_back(identity* id) noexcept { put(id, true); }
void give_back_loan(identity* id) noexcept { put(id, false); }

void lose_identity(identity*) noexcept {
  std::lock_guard hold(pool.lock);
  pool.carried.store(pool.carried.load(relaxed) - 1, relaxed);
  pool.lost.store(pool.lost.load(relaxed) + 1, relaxed);
}

identity_counts count_identities() noexcept {
  return {pool.made.load(relaxed), pool.n_free.load(relaxed), pool.carried.load(relaxed), pool.lost.load(relaxed)};
}

void limit_carried(unsigned n) noexcept { pool.max_carried.store(n, relaxed); }

}  // namespace urge::preempt
