// SPDX-License-Identifier: MIT
// How identities are made and ended (docs/protocols/identity.md). A donor thread is created with a small stack of ours,
// fills in what belongs to its TLS block, cuts every tie between the kernel and that block, and ends by the bare exit
// system call: glibc never learns of it. What remains is a `struct pthread` with its TLS that no kernel thread uses.
// One that was a G's own from its start is used once: a bare clone lets the donor go on where it ended, now to end as
// threads do.
//   rseq             unregistered: the kernel would write the CPU number there
//   robust list      taken off: it would be walked at exit
//   clear_child_tid  moved: the kernel would zero the id there and wake joiners
//   tid              a number above the kernel's range, different for each: owner of recursive mutexes
// None of that is promised by glibc, and a sandbox may refuse the calls. So the first identity of a process is tried
// out (try_out); if it does not do, all of them keep their thread, parked, which costs one each.
#include "preempt/donor.hpp"

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
#include <new>
#include <utility>

#include "preempt/preempt.hpp"

extern "C" {
// glibc 2.35: where and how large the registered area is; absent in older ones.
extern const std::ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));
extern __thread unsigned urge_yield_wanted __attribute__((tls_model("initial-exec")));
}

namespace urge::preempt {

namespace {

constexpr std::size_t donors_per_map = 32;
constexpr std::size_t piece_bytes = 2048;
constexpr int first_tid = 0x20000000;        // above any kernel's pid_max (2^22), below the futex bits (2^30)
constexpr std::size_t pthread_bytes = 2304;  // of glibc 2.36; only bounds the search
constexpr unsigned rseq_signature = 0x53053053;
constexpr int rseq_unregister = 1;

donor_kind kind = donor_kind::ended;
bool tried_out = false;

struct donor_order {
  donor_kind kind;
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

bool has_rseq() noexcept { return &__rseq_size && __rseq_size != 0; }
bool unregister_rseq(std::uintptr_t base) noexcept {
  if (!has_rseq()) return true;
  return os::syscall6(SYS_rseq, static_cast<long>(base) + __rseq_offset, 32, rseq_unregister, rseq_signature) == 0;
}

// The kernel's part of an `ended` donor; the last of it is the one that cannot be taken back. False: refused.
bool cut_ties(identity& id, std::size_t tid_at, int tid) noexcept {
  if (tid_at == 0 || os::syscall6(SYS_set_robust_list, 0, 24) != 0) return false;
  if (os::syscall6(SYS_set_tid_address, reinterpret_cast<long>(&id.on_its_way)) < 0) return false;
  id.tid_word = reinterpret_cast<int*>(id.base + tid_at);
  std::memcpy(id.tid_word, &tid, sizeof tid);
  return true;
}

// Context: a new thread with all signals blocked.
void* donate(void* arg) noexcept {
  auto* order = static_cast<donor_order*>(arg);
  // First uses that would otherwise fall on the first G that carries it: malloc's cache, the exception globals.
  void* warm = std::malloc(64);
  asm volatile("" ::"r"(warm) : "memory");  // a pair that is of no other use would be left out
  std::free(warm);

  identity& id = *order->id;
  id.base = arch::thread_base();
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
  id.parked = order->kind == donor_kind::parked;
  id.on_its_way.store(1, relaxed);
  const bool unregistered = unregister_rseq(id.base);
  if (id.parked) {
    id.tid.store(os::gettid(), relaxed);
    order->made = true;
    order->done.wake();
    while (id.on_its_way.load(acquire) != 0) os::futex_wait(id.on_its_way, 1);  // [donor.parked] acquire: its last use
    return nullptr;
  }
  if (!unregistered || !cut_ties(id, find_tid_offset(id.base, order->creator_base, order->creator_tid), order->tid)) {
    order->done.wake();
    return nullptr;
  }
  arch::jump(arch::make(piece, piece_bytes, leave_kernel), order);
  return nullptr;  // by `retire`: in another thread of the kernel, which ends as glibc's
}

int come_back(void* id) noexcept {
  arch::jump(static_cast<identity*>(id)->donor, nullptr);
  return 0;
}

// All descriptors, for is_parked_donor.
atomic<identity*> all_identities{nullptr};

// Descriptors with a stack that have no donor.
identity* unused = nullptr;

identity* take_unused() noexcept {
  if (!unused) {
    void* stacks = os::map(donor_stack_bytes() * donors_per_map, true);
    if (os::failed(stacks)) return nullptr;
    void* descriptors = os::map(sizeof(identity) * donors_per_map, false);
    if (os::failed(descriptors)) {
      os::unmap(stacks, donor_stack_bytes() * donors_per_map);
      return nullptr;
    }
    os::advise(stacks, donor_stack_bytes() * donors_per_map, MADV_NOHUGEPAGE);
    for (std::size_t i = 0; i < donors_per_map; ++i) {
      identity* id = new (static_cast<identity*>(descriptors) + i) identity;
      id->low = static_cast<char*>(stacks) + i * donor_stack_bytes();
      id->next = std::exchange(unused, id);
      id->next_all = all_identities.load(relaxed);
      all_identities.store(id, release);  // [identities.all] release: the descriptor
    }
  }
  return std::exchange(unused, unused->next);
}

// -ENOTSUP: its ties could not be cut.
identity* make(donor_kind wanted, int& error) noexcept {
  static int next_tid = first_tid;
  donor_order order;
  order.kind = wanted;
  order.id = take_unused();
  error = -ENOMEM;
  if (!order.id) return nullptr;
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  error = pthread_attr_setstack(&attr, order.id->low, donor_stack_bytes());
  sigset_t all;
  sigfillset(&all);
  if (error == 0) error = pthread_attr_setsigmask_np(&attr, &all);
  order.tid = next_tid++;
  pthread_t thread;
  if (error == 0) error = pthread_create(&thread, &attr, donate, &order);
  pthread_attr_destroy(&attr);
  if (error == 0) {
    order.done.sleep();
    if (order.made) return order.id;
    pthread_join(thread, nullptr);
    error = ENOTSUP;
  }
  error = -error;
  order.id->next = std::exchange(unused, order.id);
  return nullptr;
}

// All signals blocked while one lives but glibc's own two, which it needs of each of its threads.
class no_signals {
 public:
  no_signals() noexcept : before_(os::signal_mask()) { os::set_signal_mask(~(std::uint64_t{3} << 31)); }
  ~no_signals() { os::set_signal_mask(before_); }

 private:
  const std::uint64_t before_;
};

// Does glibc take the calling thread, under that block, for the thread it was? By pointers, as a compiler keeps the
// address of errno, which belongs to one thread.
[[gnu::noinline]] bool glibc_believes(const identity& id) noexcept {
  int* (*volatile errno_here)() noexcept = __errno_location;
  pthread_t (*volatile self)() noexcept = pthread_self;
  int* const ours = errno_here();
  const int before = *ours;
  pthread_mutex_t m = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
  const std::uintptr_t base = arch::thread_base();
  arch::set_thread_base(id.base);
  bool good = self() == id.base && errno_here() != ours;
  *errno_here() = before + 1;
  good = good && pthread_mutex_lock(&m) == 0 && m.__data.__owner == *id.tid_word && pthread_mutex_lock(&m) == 0 &&
         pthread_mutex_unlock(&m) == 0 && pthread_mutex_unlock(&m) == 0;
  void* p = std::malloc(1000);
  good = good && p;
  std::free(p);
  arch::set_thread_base(base);
  return good && *ours == before && self() == base;
}

// Can donors of this process end? Null: no, or there is none to be had now (`error`); else the one that was tried.
identity* try_out(int& error) noexcept {
  identity* id = make(donor_kind::ended, error);
  if (!id && error != -ENOTSUP) return nullptr;
  tried_out = true;
  kind = donor_kind::parked;
  if (!id) return nullptr;
  bool good;
  {
    const no_signals none;
    good = glibc_believes(*id);
  }
  error = good ? begin_to_retire(id) : 0;
  // Only for now? That says nothing.
  if (!good || (error != 0 && error != -EAGAIN && error != -ENOMEM)) return nullptr;  // that one is lost
  kind = donor_kind::ended;
  if (error != 0) return id;
  while (!has_retired(id)) sched_yield();  // nothing is stopped anywhere yet
  return make(kind, error);
}

}  // namespace

const std::uint32_t* word_of_cpu(std::uintptr_t base) noexcept {
  // The second field of struct rseq. A thread that glibc could not register says so by a number that no CPU has.
  return has_rseq() ? reinterpret_cast<const std::uint32_t*>(base + static_cast<std::uintptr_t>(__rseq_offset)) + 1
                    : nullptr;
}

void choose_donors(donor_kind k) noexcept {
  kind = k;
  tried_out = true;
}
donor_kind chosen_donors() noexcept { return kind; }

identity* make_donor(int& error) noexcept {
  if (tried_out) return make(kind, error);
  identity* id = try_out(error);
  return id || !tried_out ? id : make(kind, error);
}

int begin_to_retire(identity* id) noexcept {
  if (id->parked) {
    id->tid.store(0, relaxed);
    id->on_its_way.store(0, release);  // [donor.parked] release: the last use of its block
    os::futex_wake(id->on_its_way, 1);
  } else {
    // The donor's last steps need the same piece of stack. The kernel clears the word at the end, and wakes, not
    // privately.
    while (id->on_its_way.load(relaxed) != 0)
      os::syscall6(SYS_futex, reinterpret_cast<long>(&id->on_its_way), FUTEX_WAIT, 1);
    const no_signals none;
    constexpr int as_a_thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                                CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
    const int tid = ::clone(come_back, id->stack_top + piece_bytes, as_a_thread, id, id->tid_word,
                            reinterpret_cast<void*>(id->base), id->tid_word);
    if (tid < 0) return -errno;
  }
  return 0;
}

bool is_parked_donor(int tid) noexcept {
  for (identity* id = all_identities.load(acquire); id; id = id->next_all)  // [identities.all] acquire: the descriptors
    if (id->tid.load(relaxed) == tid) return true;
  return false;
}

bool has_retired(identity* id) noexcept {
  if (pthread_tryjoin_np(id->base, nullptr) != 0) return false;
  id->next = std::exchange(unused, id);
  return true;
}

// Virtual; two or three pages are touched. glibc puts the block with the program's thread_locals at its end.
std::size_t donor_stack_bytes() noexcept {
  constexpr std::size_t for_us = 48 * 1024, page = 4096;
  static const std::size_t bytes = (for_us + os::thread_overhead_bytes() + page - 1) & ~(page - 1);
  return bytes;
}

}  // namespace urge::preempt
