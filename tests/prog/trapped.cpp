// SPDX-License-Identifier: MIT
// What the trap (tests/trap) is there for, done on purpose: without it each of these comes to its end, with it only the
// last one does.
#include <urge/go.hpp>
#include <urge/io.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>

#include <dlfcn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "registry.hpp"
#include "sched/sched.hpp"

namespace urge::test {
namespace {

[[gnu::noinline]] void allocate() noexcept {
  void* p = std::malloc(100);
  asm volatile("" ::"r"(p) : "memory");
  std::free(p);
}

options one_p(preempt_mode mode = preempt_mode::async) {
  options o;
  o.procs = 1, o.preempt = mode;
  return o;
}

const program in_runtime("malloc_in_the_runtime", [] {
  run([] {
    G* g = enter_if_g();
    allocate();
    leave(g);
  });
  return 0;
});

const program on_g0("malloc_on_g0", [] {
  run(
      [] {
        G* g = enter_if_g();
        // Nobody else is runnable, so the M goes to g0, where the lock would be given up.
        park(
            g, wait_reason::sleep,
            [](M*, G* left, void*) noexcept {
              allocate();
              ready(left);
            },
            nullptr);
        leave(g);
      },
      one_p());
  return 0;
});

const program in_handler("malloc_in_a_handler_on_the_alternate_stack", [] {
  struct sigaction how {};
  how.sa_handler = [](int) { allocate(); };
  how.sa_flags = SA_ONSTACK;
  ::sigaction(SIGUSR1, &how, nullptr);
  run([] { std::raise(SIGUSR1); });
  return 0;
});

// A timer's function while every P is busy is called by sysmon.
const program by_sysmon("malloc_by_sysmon", [] {
  static std::atomic<bool> fired{false};
  static timer_node node;
  run(
      [] {
        G* g = enter_if_g();
        node.when = monotonic_ns() + 1'000'000;
        node.fire = [](timer_node*) noexcept {
          allocate();
          fired.store(true);
        };
        if (g->m->p->clock.add(&node)) timer_added(node.when);
        leave_without_yield(g);
        while (!fired.load()) asm volatile("");
      },
      one_p(preempt_mode::off));
  return 0;
});

const program by_user("malloc_where_users_may", [] {
  allocate();
  run([] {
    allocate();
    {
      const preempt_guard hold;
      allocate();
    }
    blocking(allocate);
    spawn({.own_identity = true}, allocate).join();
  });
  allocate();
  std::puts("OK");
  return 0;
});

// Each function that the trap knows is called where none may be; in a child of its own, as it ends there.
struct trapped {
  const char* name;
  void* real;
};
bool exists(const char* name) {
  for (const char* library : {"libc.so.6", "libstdc++.so.6", "libgcc_s.so.1"})
    if (void* l = dlopen(library, RTLD_NOW | RTLD_NOLOAD); l && dlsym(l, name)) return true;
  return false;
}
bool is_stopped(const char* name, void (*function)()) {
  int ends[2];
  if (::pipe(ends) != 0) return false;
  // Not by fork, whose child is no G any more.
  const auto child = static_cast<pid_t>(os::syscall6(SYS_fork));
  if (child == 0) {
    ::dup2(ends[1], 2);
    enter_if_g();
    function();
    ::_exit(1);
  }
  ::close(ends[1]);
  char text[256] = {};
  for (std::size_t n = 0; n + 1 < sizeof text;) {
    const ssize_t got = ::read(ends[0], text + n, sizeof text - 1 - n);
    if (got <= 0) break;
    n += static_cast<std::size_t>(got);
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  const std::string said = std::string("urge trap: ") + name + " called in the runtime";
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && std::strncmp(text, said.c_str(), said.size()) == 0;
}
const program each("each_trapped_function", [] {
  const auto* first = static_cast<const trapped*>(dlsym(RTLD_DEFAULT, "urge_trap_entries"));
  const auto* last = static_cast<const trapped*>(dlsym(RTLD_DEFAULT, "urge_trap_entries_end"));
  run([&] {
    int n = 0;
    const auto look = [&n](const char* name) {
      ++n;
      auto* function = reinterpret_cast<void (*)()>(dlsym(RTLD_DEFAULT, name));
      if (!exists(name)) std::printf("%s: there is none\n", name);
      if (!function || !is_stopped(name, function)) std::printf("%s: not trapped\n", name);
    };
    for (const auto* at = first; at != last; ++at) look(at->name);
    look("pthread_create");
    std::printf("%d functions\n", n);
  });
  return 0;
});

}  // namespace
}  // namespace urge::test
