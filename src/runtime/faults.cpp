// SPDX-License-Identifier: MIT
// See faults.hpp. The handler runs on the M's alternate stack, so it works when the G's own is used up. After the
// report the default action is back in place and the instruction is executed again: the process ends, or dumps, at the
// very spot. With `contain_faults` the G ends instead, where the fault was in its own code.
#include "runtime/faults.hpp"

#include <unistd.h>

#include <csignal>
#include <utility>

#include "base/raw_print.hpp"
#include "preempt/preempt.hpp"
#include "runtime/backtrace.hpp"
#include "runtime/unwind.hpp"
#include "sched/sanitizer.hpp"
#include "sched/sched.hpp"

namespace urge::faults {

namespace {

constexpr int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
constexpr const char* names[] = {"SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT"};
struct sigaction before[std::size(signals)];

bool has_address(int signal) noexcept { return signal == SIGSEGV || signal == SIGBUS; }

void print_registers(raw_print& out, const arch::registers& at) noexcept {
  for (int i = 0; i < at.count; ++i) {
    out << (i % 4 == 0 ? "    " : "  ") << at.names[i] << " ";
    out.hex(at.value[i]);
    if (i % 4 == 3 || i + 1 == at.count) out << "\n";
  }
}

void report(const G& g, int signal, const char* name, std::uintptr_t address, const void* uc) noexcept {
  raw_print out(2);
  if (g.stack_overflow) {
    out << "urge: stack overflow in G " << g.id << " '" << g.called() << "' (" << g.stk.size / 1024 << " KiB)\n";
  } else {
    out << "urge: " << name << " in G " << g.id << " '" << g.called() << "'";
    if (signal != SIGABRT) out << " at address ", out.hex(address);
    out << "\n";
  }
  const arch::registers at = arch::registers_of_signal(uc);
  print_registers(out, at);
  print_backtrace(out, at, g.stk);
}

// Only the user's own code on a G's own account: not inside urge, not in a handler on the M's stack, and sent by the
// kernel for what that code did, or by abort.
bool may_contain(const G& g, const siginfo_t& info, const void* uc) noexcept {
  if (!sched.how.contain_faults || os::in_child() || g.locks.load(relaxed) != g.guards.load(relaxed)) return false;
  switch (g.status.load(relaxed)) {
    case g_status::running:
    case g_status::suspect:
    case g_status::detaching:
    case g_status::syscall:
      break;
    default:
      return false;
  }
  const auto sp = arch::interrupted_sp(uc), low = reinterpret_cast<std::uintptr_t>(g.m->alt_stack);
  if ((sp >= low && sp < low + alt_stack_bytes) || arch::in_trampoline(arch::interrupted_pc(uc))) return false;
  return info.si_code > 0 || (info.si_signo == SIGABRT && info.si_code == SI_TKILL && info.si_pid == ::getpid());
}

// It keeps its identity, or its thread, to itself. The maker may need a moment. Without one the others of this M go on
// under what is left of this.
void keep_what_it_runs_under(M& m, G& g) noexcept {
  for (int tries = 0; tries < 2000; ++tries) {
    if (sched.threads_stay() ? preempt::keep_thread(m, g) : g.own != nullptr) return;
    if (!sched.threads_stay()) preempt::take_along(m, g);
    const atomic<std::uint32_t> nobody_wakes{0};
    if (!g.own) os::futex_wait(nobody_wakes, 0, monotonic_ns() + 50'000);
  }
}

// Where a G that has failed goes on, on the stack of the identity that it runs under: its own may be used up. It takes
// that identity along, for it may stand in the middle of malloc; then it stands still for good.
void end_here() noexcept {
  G* g = current_g();
  M* m = g->m;
  keep_what_it_runs_under(*m, *g);
  if (g->sigmask != m->sigmask) os::set_signal_mask(m->sigmask);
  // Its P may have been taken as its last words were written. Then it stands on its thread for that until it has one
  // again, and now for good.
  settle_here(g);
  keep_what_it_runs_under(*g->m, *g);
  stand_still(g);
}

// On a thread of ours that runs no G: g0 of an M, sysmon, the maker.
bool in_the_runtime() noexcept {
  const int tid = os::gettid();
  return current_m() || tid == sched.sysmon_tid.load(relaxed) || tid == sched.maker_tid.load(relaxed);
}

// Context: signal handler.
void on_fault(int signal, siginfo_t* info, void* uc) noexcept {
  std::size_t i = 0;
  while (signals[i] != signal) ++i;
  G* const g = current_g();
  if (g) {
    g->fault_address = has_address(signal) ? reinterpret_cast<std::uintptr_t>(info->si_addr) : 0;
    g->stack_overflow = signal == SIGSEGV && in_guard(g->fault_address);
    report(*g, signal, names[i], reinterpret_cast<std::uintptr_t>(info->si_addr), uc);
    if (may_contain(*g, *info, uc)) {
      raw_print(2) << "urge: G " << g->id << " '" << g->called() << "' is ended, the others go on\n";
      g->fault = signal;
      g->fault_inside = inside_libc(arch::registers_of_signal(uc), *g);
      g->sigmask = arch::interrupted_sigmask(uc);
      g->guards.store(0, relaxed);
      g->locks.store(1, relaxed);
      begin_interruption(g);
      g->saved = nullptr;
      return arch::redirect_for_good(uc, end_here, urge_async_sp);
    }
  } else if (in_the_runtime()) {
    raw_print(2) << "urge: " << names[i] << " in the scheduler\n";
  }
  if (g ? g->locks.load(relaxed) != g->guards.load(relaxed) : in_the_runtime()) dump_all(2);
  preempt::kernel_action(signal, &before[i], nullptr);
  if (info->si_code <= 0) os::tgkill(os::gettid(), signal);  // somebody has sent it: no instruction raises it again
}

}  // namespace

void install() noexcept {
  if (sanitizer::on) return;
  for (std::size_t i = 0; i < std::size(signals); ++i) {
    if (signals[i] == SIGABRT && !sched.how.contain_faults) continue;
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
