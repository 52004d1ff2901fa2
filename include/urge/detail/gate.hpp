// SPDX-License-Identifier: MIT
// The word that a yield point looks at. It lies in the TLS block under which the code runs, so that asking costs one
// load; the runtime clears it when a G gets a new slice, sysmon sets it when the slice has run out. It is a hint: a
// word set too late or for the G before costs a call that finds nothing to do. Threads that urge did not make have it
// set from the start, so their `preempt_point()` reaches the check that throws.
#pragma once

extern "C" {
extern __thread unsigned urge_yield_wanted __attribute__((tls_model("initial-exec"), visibility("default")));
}

#pragma GCC visibility push(default)

namespace urge::detail {

void yield_point();         // the slow side: gives way if the slice has run out. Throws std::logic_error outside a G
void hold_preemption();     // nests
void release_preemption();  // the last one honours a request that came meanwhile

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// Instrumented code hands the word's address to the sanitizer, and may keep it while the G moves to another thread.
inline bool yield_wanted() noexcept {
  unsigned long word;
  asm volatile(
      "movq urge_yield_wanted@gottpoff(%%rip), %0\n\t"
      "movl %%fs:(%0), %k0"
      : "=r"(word));
  return word != 0;
}
#else
inline bool yield_wanted() noexcept { return __atomic_load_n(&urge_yield_wanted, __ATOMIC_RELAXED) != 0; }
#endif

}  // namespace urge::detail

#pragma GCC visibility pop
