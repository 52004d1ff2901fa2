// SPDX-License-Identifier: MIT
// See faults.hpp. The handler runs on the M's alternate stack, so it works when the G's own is used up. After the
// report the default action is back in place and the instruction is executed again: the process ends, or dumps, at the
// very spot.
#include "runtime/faults.hpp"

#include <csignal>

#include "base/raw_print.hpp"
#include "preempt/preempt.hpp"
#include "runtime/backtrace.hpp"
#include "sched/sanitizer.hpp"
#include "sched/sched.hpp"

namespace urge::faults {

namespace {

constexpr int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
constexpr const char* names[] = {"SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL"};
struct sigaction before[std::size(signals)];

// Context: signal handler.
void on_fault(int signal, siginfo_t* info, void* uc) noexcept {
  std::size_t i = 0;
  while (signals[i] != signal) ++i;
  if (const G* g = current_g()) {
    const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
    raw_print out(2);
    if (signal == SIGSEGV && in_guard(address)) {
      out << "urge: stack overflow in G " << g->id << " '" << g->called() << "' (" << g->stk.size / 1024 << " KiB)\n";
    } else {
      out << "urge: " << names[i] << " in G " << g->id << " '" << g->called() << "' at address ";
      out.hex(address) << "\n";
    }
    print_backtrace(out, arch::registers_of_signal(uc), g->stk);
  }
  preempt::kernel_action(signal, &before[i], nullptr);
}

}  // namespace

void install() noexcept {
  if (sanitizer::on) return;
  for (std::size_t i = 0; i < std::size(signals); ++i) {
    struct sigaction ours {};
    ours.sa_sigaction = on_fault;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigfillset(&ours.sa_mask);
    preempt::kernel_action(signals[i], &ours, &before[i]);
    if (before[i].sa_handler != SIG_DFL) preempt::kernel_action(signals[i], &before[i], nullptr);
  }
}

void uninstall() noexcept {
  if (sanitizer::on) return;
  for (std::size_t i = 0; i < std::size(signals); ++i) {
    struct sigaction now {};
    // Only if nobody has taken the signal over since.
    if (preempt::kernel_action(signals[i], nullptr, &now) == 0 && now.sa_sigaction == on_fault)
      preempt::kernel_action(signals[i], &before[i], nullptr);
  }
}

}  // namespace urge::faults
