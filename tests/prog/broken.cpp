// SPDX-License-Identifier: MIT
// Programs whose code breaks: exceptions that nobody catches, faults, stacks that are too small.
#include <urge/go.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>

#include <dlfcn.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "registry.hpp"
#include "sched/sched.hpp"

namespace urge::test {
namespace {

[[noreturn]] void wait_for_the_end() {
  for (;;) this_g::yield();
}

extern "C" [[gnu::noinline]] void throws_in_here() { throw std::runtime_error("told by the thrower"); }

const program escaped("escaped_exception", [] {
  run([] {
    go({.name = "thrower"}, [] { throws_in_here(); });
    wait_for_the_end();
  });
  return 0;
});
const program escaped_number("escaped_number", [] {
  run([] {
    go([] { throw 42; });
    wait_for_the_end();
  });
  return 0;
});
const program escaped_while_preempted("escaped_exception_while_preempted", [] {
  options o;
  o.quantum = std::chrono::microseconds(50);
  run(
      [] {
        for (int i = 0; i < 4; ++i)
          go([] {
            for (;;) {
              try {
                throws_in_here();
              } catch (const std::runtime_error&) {
              }
            }
          });
        go({.name = "thrower"}, [] {
          this_g::sleep_for(std::chrono::milliseconds(5));
          throws_in_here();
        });
        wait_for_the_end();
      },
      o);
  return 0;
});
const program through_noexcept("exception_through_noexcept", [] {
  run([] {
    auto h = spawn({.name = "strict"}, []() noexcept { throws_in_here(); });
    h.join();
  });
  return 0;
});
const program exit_through_noexcept("exit_through_noexcept", [] {
  run([] { spawn({.name = "strict"}, []() noexcept { this_g::exit(); }).join(); });
  return 0;
});
const program main_throws("main_throws", [] {
  try {
    run([] { throws_in_here(); });
  } catch (const std::runtime_error& e) {
    std::printf("caught: %s\n", e.what());
  }
  return 0;
});

extern "C" [[gnu::noinline]] int recurses_in_here(volatile int* depth) {
  char frame[200];
  std::memset(frame, 1, sizeof frame);
  asm volatile("" ::"r"(frame) : "memory");
  *depth = *depth + 1;
  return *depth == 0 ? 0 : recurses_in_here(depth) + frame[7];
}
const program overflow("stack_overflow", [] {
  run([] {
    volatile int depth = 0;
    spawn({.name = "deep"}, [&] { return recurses_in_here(&depth); }).join();
  });
  return 0;
});
const program overflow_of_main("stack_overflow_of_main", [] {
  run([] {
    volatile int depth = 0;
    recurses_in_here(&depth);
  });
  return 0;
});
const program overflow_own_size("stack_overflow_of_own_size", [] {
  run([] {
    volatile int depth = 0;
    spawn({.name = "large", .stack_size = 1024 * 1024}, [&] { return recurses_in_here(&depth); }).join();
  });
  return 0;
});
const program overflow_while_preempted("stack_overflow_while_preempted", [] {
  options o;
  o.quantum = std::chrono::microseconds(50);
  run(
      [] {
        for (int i = 0; i < 3; ++i)
          go([] {
            for (;;) asm volatile("");
          });
        volatile int depth = 0;
        spawn({.name = "deep", .stack_size = 64 * 1024 * 1024}, [&] { return recurses_in_here(&depth); }).join();
      },
      o);
  return 0;
});
// A frame that is larger than a page steps over it in one go.
extern "C" [[gnu::noinline]] void has_a_frame_of_60_kib() {
  char frame[60 * 1024];
  frame[0] = 1;
  asm volatile("" ::"r"(frame) : "memory");
}
const program overflow_in_one_step("stack_overflow_in_one_step", [] {
  run([] { spawn({.name = "wide", .stack_size = 16 * 1024}, [] { has_a_frame_of_60_kib(); }).join(); });
  return 0;
});

extern "C" [[gnu::noinline]] void faults_in_here(volatile int* where) { *where = 1; }
const program fault("null_pointer", [] {
  run([] { spawn({.name = "careless"}, [] { faults_in_here(nullptr); }).join(); });
  return 0;
});
const program division("division_by_zero", [] {
  run([] {
    spawn({.name = "divider"}, [] {
      volatile int seven = 7, zero = 0;  // 1 / x would be compiled to comparisons
      return seven / zero;
    }).join();
  });
  return 0;
});
const program fault_after("fault_after_the_run", [] {
  run([] {});
  faults_in_here(nullptr);
  return 0;
});
const program own_handler("own_fault_handler", [] {
  struct sigaction act {};
  act.sa_handler = [](int) {
    [[maybe_unused]] const auto n = ::write(1, "own handler\n", 12);
    ::_exit(7);
  };
  sigaction(SIGSEGV, &act, nullptr);
  run([] { spawn([] { faults_in_here(nullptr); }).join(); });
  return 0;
});
// What nobody but the kernel knows of: loaded after the start of the run.
int fault_in(const char* module) {
  run([=] {
    void* library = dlopen(module, RTLD_NOW);
    if (!library) std::printf("%s\n", dlerror());
    spawn({.name = "careless"}, reinterpret_cast<void (*)()>(dlsym(library, "module_faults"))).join();
  });
  return 0;
}
const program in_later_module("fault_in_a_module_loaded_later", [] { return fault_in(URGE_MODULE); });
#ifdef URGE_MODULE_BY_LLD
// Its segments share pages of the file.
const program in_later_module_by_lld("fault_in_a_module_linked_by_lld", [] { return fault_in(URGE_MODULE_BY_LLD); });
#endif

// Nothing of the runtime's own faults by itself: so it is sent one.
void fault_on(const std::atomic<int>& thread) {
  run([&] {
    go({.name = "bystander"}, [] { this_g::sleep_for(std::chrono::hours(1)); });
    while (thread == 0) this_g::yield();
    tgkill(getpid(), thread, SIGSEGV);
    this_g::sleep_for(std::chrono::hours(1));
  });
}
const program fault_of_sysmon("fault_of_sysmon", [] {
  fault_on(sched.sysmon_tid);
  return 0;
});
const program fault_of_the_maker("fault_of_the_maker", [] {
  fault_on(sched.maker_tid);
  return 0;
});
const program aborts("abort_in_a_g", [] {
  run([] { spawn([] { std::abort(); }).join(); });
  return 0;
});

}  // namespace
}  // namespace urge::test
