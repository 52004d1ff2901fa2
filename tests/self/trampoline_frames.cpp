// SPDX-License-Identifier: MIT
// Unwinding through the trampoline: two Gs loop in urge_known_loop until both have been stopped by signal; the landing
// is wrapped (--wrap=urge_landing) by a function that unwinds from there, as a debugger or profiler would. The frame
// above the trampoline's must be the loop, at an instruction of the loop, with every callee-saved register as it was
// there and the stack pointer at the loop's own frame; and the way on must lead to the G's first function. The unwinder
// is libgcc's: it finds tables without a lock, so it may be used where nothing may be waited for.
#include <urge/go.hpp>
#include <urge/runtime.hpp>

#include <unwind.h>

#include <atomic>
#include <cstdint>
#include <cstdio>

extern "C" {
void __real_urge_landing() noexcept;
void urge_known_loop(volatile int* stop);
extern const char urge_known_loop_left[];
}

namespace {

volatile int stop = 0;
std::atomic<int> landings{0}, complete{0};

struct walk {
  int depth = 0;
  bool in_loop = false, registers = false, first_function = false;
};

bool registers_are_known(_Unwind_Context* at) {
  // DWARF's numbers.
  constexpr struct {
    int number;
    std::uintptr_t value;
  } known[] = {{6, 0x66666666},  {3, 0x33333333},  {12, 0x12121212},
               {13, 0x13131313}, {14, 0x14141414}, {15, 0x15151515}};
  for (const auto& r : known)
    if (_Unwind_GetGR(at, r.number) != r.value) return false;
  return true;
}

__attribute__((noinline)) void job() {
  urge_known_loop(&stop);
  asm volatile("");  // the call above is no jump: this frame stays
}

_Unwind_Reason_Code frame(_Unwind_Context* at, void* arg) {
  auto& w = *static_cast<walk*>(arg);
  int exact = 0;
  const std::uintptr_t pc = _Unwind_GetIPInfo(at, &exact);
  const auto low = reinterpret_cast<std::uintptr_t>(&urge_known_loop);
  const auto high = reinterpret_cast<std::uintptr_t>(urge_known_loop_left);
  ++w.depth;
  if (pc >= low && pc < high && exact) w.in_loop = true, w.registers = registers_are_known(at);
  if (w.in_loop && _Unwind_FindEnclosingFunction(reinterpret_cast<void*>(pc)) == reinterpret_cast<void*>(&job))
    w.first_function = true;
  return w.depth < 64 ? _URC_NO_REASON : _URC_NORMAL_STOP;
}

}  // namespace

extern "C" void __wrap_urge_landing() noexcept {
  walk w;
  _Unwind_Backtrace(frame, &w);
  if (w.in_loop && w.registers && w.first_function) complete.fetch_add(1);
  // A first stop may be at the few instructions before the loop; the second of each G cannot.
  if (landings.fetch_add(1) + 1 >= 6) stop = 1;
  __real_urge_landing();
}

int main() {
  urge::run(
      [] {
        auto a = urge::spawn(job), b = urge::spawn(job);
        a.join(), b.join();
      },
      {.procs = 1, .quantum = std::chrono::milliseconds(1)});
  std::printf("%d landings, %d seen through\n", landings.load(), complete.load());
  return landings.load() >= 6 && complete.load() >= 4 ? 0 : 1;
}
