// SPDX-License-Identifier: MIT
// Programs whose code has checks at its function entries and too little stack: the entry finds that out, also where a
// frame would step over the guard.
#include <urge/errors.hpp>
#include <urge/go.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>

#include <cstdio>

#include "entry/code/checked.hpp"
#include "registry.hpp"

extern "C" const urge::test::checked_code checked_object;

namespace urge::test {
namespace {

constexpr std::size_t small = 16 * 1024;  // with its guard less than a frame of 100 KiB

const program overflow("entry_overflow", [] {
  run([] { spawn({.name = "deep"}, [] { return checked_object.endless(0); }).join(); });
  return 0;
});
const program overflow_guarded("entry_overflow_under_a_guard", [] {
  run([] {
    spawn({.name = "deep"}, [] {
      const preempt_guard guard;
      return checked_object.endless(0);
    }).join();
  });
  return 0;
});
const program overflow_preempted("entry_overflow_while_preempted", [] {
  options o;
  o.quantum = std::chrono::microseconds(50), o.preempt = preempt_mode::cooperative;
  run(
      [] {
        for (int i = 0; i < 3; ++i)
          go([] {
            for (;;) checked_object.fib(10);
          });
        spawn({.name = "deep", .stack_size = 64 * 1024 * 1024}, [] { return checked_object.endless(0); }).join();
      },
      o);
  return 0;
});
const program overflow_in_one_step("entry_overflow_in_one_step", [] {
  run([] { spawn({.name = "wide", .stack_size = small}, [] { return checked_object.huge(1); }).join(); });
  return 0;
});
const program overflow_by_alloca("entry_overflow_by_alloca", [] {
  run([] { spawn({.name = "wide", .stack_size = small}, [] { return checked_object.lends(200 * 1024); }).join(); });
  return 0;
});
const program contained("entry_overflow_contained", [] {
  options o;
  o.contain_faults = true;
  run(
      [] {
        for (int i = 0; i < 3; ++i) {
          auto h = spawn({.name = "deep"}, [] { return checked_object.endless(0); });
          try {
            h.join();
          } catch (const killed&) {
            std::printf("ended: %d %d\n", h.info().stack_overflow, checked_object.fib(10));
          }
        }
      },
      o);
  return 0;
});

}  // namespace
}  // namespace urge::test
