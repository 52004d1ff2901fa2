// SPDX-License-Identifier: MIT
// The trap: preloaded (LD_PRELOAD) before libc, it ends the process when a function of functions.S is called where no
// lock of libc may be waited for, as a stopped G may hold it: on g0, between enter and leave of a G, in a signal
// handler on an M's alternate stack, or by sysmon. Exempt are the threads that the rules exempt: the maker, the caller
// of `run`, and the threads of Ms before they are Ms and after. A preempt_guard is the user's: what it holds off is no
// runtime. A library beside the program was preferred to a build of its own: the very binaries that are tested
// otherwise run under it, the command as well, and the children that they start. Context: any; the check itself calls
// nothing that is trapped.
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "base/raw_print.hpp"
#include "runtime/symbols.hpp"
#include "sched/g.hpp"
#include "sched/m.hpp"
#include "trap/program.hpp"

namespace urge::trap {

namespace {

struct entry {
  const char* name;
  void* real;
};
extern "C" entry urge_trap_entries[], urge_trap_entries_end[];

program here;  // const after start
atomic<bool> reporting{false};
__thread bool is_sysmon __attribute__((tls_model("initial-exec"))) = false;

struct who {
  G* g;
  M* m;
};
who words() noexcept {
  who w;
  asm volatile("movq %%fs:(%1), %0" : "=r"(w.g) : "r"(here.words) : "memory");
  asm volatile("movq %%fs:8(%1), %0" : "=r"(w.m) : "r"(here.words) : "memory");
  return w;
}

// Why the caller may not take a lock of libc; null: it may. A G that is not preemptible is on its M; one that is may be
// moved on while we look, but then it is on no alternate stack.
const char* forbidden() noexcept {
  if (is_sysmon) return "by sysmon";
  const auto [g, m] = words();
  if (!g && !m) return nullptr;
  const M* on = g ? g->m : m;
  const auto sp = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  const auto alt = reinterpret_cast<std::uintptr_t>(on ? on->alt_stack : nullptr);
  if (alt != 0 && sp - alt < alt_stack_bytes) return "in a signal handler";
  if (!g) return "on g0";
  return g->locks.load(relaxed) != g->guards.load(relaxed) ? "in the runtime" : nullptr;
}

// By system call: a chain of frame pointers may lead anywhere.
bool read_memory(std::uintptr_t at, std::uintptr_t (&into)[2]) noexcept {
  const iovec local{into, sizeof into}, remote{reinterpret_cast<void*>(at), sizeof into};
  return os::syscall6(SYS_process_vm_readv, os::syscall6(SYS_getpid), reinterpret_cast<long>(&local), 1,
                      reinterpret_cast<long>(&remote), 1, 0) == static_cast<long>(sizeof into);
}

// The one exception. libunwind-x86_64 guards its pools of descriptors by mutexes. Only src/runtime/unwind.cpp calls
// that library, in a section that it enters by a try-lock and in which nobody waits: so these are always free. They are
// taken through lock_count.cpp, whose frame lies between.
bool excused(const char* name, std::uintptr_t frame) noexcept {
  std::uintptr_t here_and_up[2], caller[2];
  dl_find_object found;
  if (std::strcmp(name, "pthread_mutex_lock") != 0 && std::strcmp(name, "pthread_mutex_unlock") != 0) return false;
  if (!read_memory(frame, here_and_up) || !read_memory(here_and_up[0], caller)) return false;
  if (_dl_find_object(reinterpret_cast<void*>(caller[1]), &found) != 0 || !found.dlfo_link_map->l_name) return false;
  return std::strstr(found.dlfo_link_map->l_name, "/libunwind-x86_64.so.") != nullptr;
}

[[noreturn]] void die() noexcept {
  // Past everybody's handlers and masks.
  struct {
    std::uintptr_t handler, flags, restorer;
    std::uint64_t mask;
  } by_default{};
  os::syscall6(SYS_rt_sigaction, SIGABRT, reinterpret_cast<long>(&by_default), 0, sizeof(std::uint64_t));
  os::set_signal_mask(0);
  os::tgkill(os::gettid(), SIGABRT);
  for (;;) os::syscall6(SYS_exit_group, 134);
}

[[noreturn]] void report(const char* name, const char* where, std::uintptr_t frame) noexcept {
  if (reporting.exchange(true)) die();
  {
    raw_print out(2);
    out << "urge trap: " << name << " called " << where;
    if (const G* g = words().g)
      out << ", G " << g->id << ": locks " << std::uint64_t{g->locks.load(relaxed)} << ", of these guards "
          << std::uint64_t{g->guards.load(relaxed)};
    out << "\n";
    std::uintptr_t at[2];
    for (int n = 0; n < 40 && read_memory(frame, at) && at[1] > 4096; ++n) {
      out << "    #" << n << " ";
      out.hex(at[1]) << " ";
      print_symbol(out, at[1] - 1);
      out << "\n";
      if (at[0] <= frame) break;
      frame = at[0];
    }
  }
  die();
}

void* look_for(const char* name) noexcept {
  using look_up = void* (*)(void*, const char*);
  static look_up real_dlsym = nullptr;  // whoever looks finds the same
  if (!real_dlsym) real_dlsym = reinterpret_cast<look_up>(dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.34"));
  if (!real_dlsym) real_dlsym = reinterpret_cast<look_up>(dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5"));
  return real_dlsym ? real_dlsym(RTLD_NEXT, name) : nullptr;
}
void* find(const char* name) noexcept {
  if (void* real = look_for(name)) return real;
  raw_print(2) << "urge trap: there is no real " << name << "\n";
  die();
}

void check(const char* name, const void* frame) noexcept {
  if (!here.has_urge) return;
  const char* where = forbidden();
  const auto at = reinterpret_cast<std::uintptr_t>(frame);
  if (where && !excused(name, at)) report(name, where, at);
}

void* run_sysmon(void* arg) {
  is_sysmon = true;
  void* result = here.sysmon(arg);
  is_sysmon = false;
  return result;
}

[[gnu::constructor]] void start() {
  here = find_urge();
  if (!here.has_urge) return;
  map_modules();
  // Now, for a look-up forgets the error that the program may be about to ask dlerror for.
  for (entry* e = urge_trap_entries; e != urge_trap_entries_end; ++e)
    if (!e->real) e->real = look_for(e->name);
}

}  // namespace
}  // namespace urge::trap

extern "C" {
using namespace urge::trap;

// Called by functions.S; returns where to go on.
[[gnu::visibility("hidden")]] void* urge_trap_check(entry* e, const void* frame) noexcept {
  check(e->name, frame);
  void* real = __atomic_load_n(&e->real, __ATOMIC_RELAXED);
  if (!real) [[unlikely]] {
    real = find(e->name);
    __atomic_store_n(&e->real, real, __ATOMIC_RELAXED);
  }
  return real;
}

#pragma GCC visibility push(default)
int pthread_create(pthread_t* thread, const pthread_attr_t* how, void* (*body)(void*), void* arg) noexcept {
  check("pthread_create", __builtin_frame_address(0));
  static const auto real = reinterpret_cast<decltype(&pthread_create)>(find("pthread_create"));
  return real(thread, how, here.has_urge && body == here.sysmon ? run_sysmon : body, arg);
}
#pragma GCC visibility pop
}
