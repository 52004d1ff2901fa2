// SPDX-License-Identifier: MIT
// Programs that end in the different ways a process can end, reach a limit, or must work after a run has left Gs
// behind.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/io.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "registry.hpp"

namespace urge::test {
namespace {

using namespace std::chrono_literals;

const program exit_in_main("exit_in_main", [] {
  run([] {
    for (int i = 0; i < 3; ++i)
      go([i] {
        this_g::sleep_for(std::chrono::milliseconds(3 * i));
        std::puts("a G has ended");
      });
    this_g::exit();
  });
  return 0;
});
const program exit_process("exit_of_the_process_in_a_g", [] {
  std::atexit([] { std::puts("atexit"); });
  run([] { spawn([] { std::exit(3); }).join(); });
  return 0;
});
const program exit_process_hogs("exit_of_the_process_beside_hogs", [] {
  options o;
  o.procs = 2, o.quantum = 50us;
  run(
      [] {
        for (int i = 0; i < 4; ++i)
          go([] {
            for (;;) {
              void* p = std::malloc(100);
              asm volatile("" ::"r"(p));
              std::free(p);
            }
          });
        this_g::sleep_for(5ms);
        std::exit(4);
      },
      o);
  return 0;
});
const program underscore_exit("underscore_exit_in_a_g", [] {
  run([] { spawn([] { ::_exit(5); }).join(); });
  return 0;
});
const program bad_environment("run_with_the_environment", [] {
  try {
    run([] {});
  } catch (const std::invalid_argument& e) {
    std::printf("refused: %s\n", e.what());
  }
  return 0;
});

// As many blocked Ms as there are Gs in a read; main needs one more.
void block_many(unsigned max_threads, int readers) {
  options o;
  o.procs = 1, o.max_threads = max_threads;
  run(
      [readers] {
        int ends[2];
        if (::pipe(ends) != 0) std::abort();
        std::vector<join_handle<void>> all;
        std::atomic<int> inside{0};
        for (int i = 0; i < readers; ++i)
          all.push_back(spawn([&] {
            blocking([&] {
              ++inside;
              char c;
              return ::read(ends[0], &c, 1);
            });
          }));
        while (inside != readers) this_g::yield();
        for (int i = 0; i < readers; ++i)
          if (::write(ends[1], "x", 1) != 1) std::abort();
        for (auto& h : all) h.join();
        std::puts("OK");
      },
      o);
}
const program few_threads("blocking_within_the_thread_limit", [] {
  block_many(10, 8);
  return 0;
});
const program no_threads("thread_limit_exceeded", [] {
  block_many(4, 20);
  return 0;
});

const program no_threads_to_lock("locked_threads_exhausted", [] {
  options o;
  o.procs = 1, o.max_threads = 4;
  run(
      [] {
        for (int i = 0; i < 20; ++i)
          spawn([] {
            this_g::lock_os_thread();
            this_g::sleep_for(1h);
          }).done();
        this_g::sleep_for(1h);
      },
      o);
  return 0;
});

// Gs that signals have stopped inside printf and malloc are left behind; the process must be able to use both.
const program usable("usable_after_abandoning", [] {
  for (int i = 0; i < 5; ++i) {
    options o;
    o.procs = 2, o.quantum = 50us;
    run(
        [] {
          for (int k = 0; k < 3; ++k)
            go([] {
              for (;;) std::free(std::malloc(2000)), std::fputs("", stdout);
            });
          this_g::sleep_for(2ms);
        },
        o);
    if (snapshot().abandoned_inside != 0) ::_exit(9);  // told, and nothing is promised then
    std::printf("round %d\n", i);
    std::free(std::malloc(5000));
  }
  std::thread([] { std::puts("OK"); }).join();
  return 0;
});

// Lines of many Gs through one FILE: none is torn, none is lost.
const program prints("many_gs_print_lines", [] {
  options o;
  o.procs = 2, o.quantum = 50us;
  run(
      [] {
        std::vector<join_handle<void>> all;
        for (int g = 0; g < 20; ++g)
          all.push_back(spawn([g] {
            for (int i = 0; i < 200; ++i)
              std::printf("line %d of G %d: %s\n", i, g, "0123456789012345678901234567890123456789");
          }));
        for (auto& h : all) h.join();
      },
      o);
  return 0;
});

const program forks("fork_in_a_g", [] {
  options o;
  o.quantum = 50us;
  run(
      [] {
        for (int i = 0; i < 3; ++i)
          go([] {
            for (;;) asm volatile("");
          });
        for (int i = 0; i < 10; ++i) {
          const pid_t child = ::fork();
          if (child == 0) {
            if (i % 2) ::_exit(i);
            ::execl("/bin/sh", "sh", "-c", ("exit " + std::to_string(i)).c_str(), nullptr);
            ::_exit(99);
          }
          int status = 0;
          while (::waitpid(child, &status, 0) < 0) {
          }
          if (!WIFEXITED(status) || WEXITSTATUS(status) != i) std::abort();
        }
        std::puts("OK");
      },
      o);
  return 0;
});

const program no_deadlock("asleep_but_a_thread_may_wake_them", [] {
  chan<int> c(1);
  std::thread outside([c]() mutable {
    std::this_thread::sleep_for(50ms);
    int v = 1;
    c.try_send(v);
  });
  run([&] { c.recv(); });
  outside.join();
  std::puts("OK");
  return 0;
});

}  // namespace
}  // namespace urge::test
