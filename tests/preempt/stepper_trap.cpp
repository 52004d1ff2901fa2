// SPDX-License-Identifier: MIT
// The stepper's trap handler: what happens after each instruction.
//
// The trap flag is a bit of the processor's flags. It is cleared for the trampoline and the scheduler, and comes back
// with the flags that the trampoline restores; the trap that follows finds the instruction at which the G was stopped.
// A G that stops by itself (it parks, gives way) leaves the flag on for the next: so the handler clears it when it
// finds the other G, which passes it on when it gives way. The new Gs that a body starts are stepped with it. An
// instruction that follows a system call has no trap in front of it: the kernel comes back with the flag set, and it
// acts one instruction later.
#include <sys/syscall.h>

#include "base/clock.hpp"
#include "base/os.hpp"
#include "preempt/handler.hpp"
#include "preempt/identity_pool.hpp"
#include "preempt/preempt.hpp"
#include "preempt/stepper_state.hpp"

namespace urge::test::stepper {

state now;

namespace {

constexpr greg_t trap_flag = 0x100;

[[gnu::naked, gnu::noinline]] void set_trap_flag() { asm("pushfq\n\torq $0x100, (%rsp)\n\tpopfq\n\tret"); }
// Returns whether it was on.
[[gnu::naked, gnu::noinline]] bool clear_trap_flag() {
  asm("pushfq\n\tmovq (%rsp), %rax\n\tshrl $8, %eax\n\tandl $1, %eax\n\tandq $-257, (%rsp)\n\tpopfq\n\tret");
}

greg_t& flags_of(ucontext_t* uc) noexcept { return uc->uc_mcontext.gregs[REG_EFL]; }

stopped* find_stopped(const G* g) noexcept {
  for (auto& s : now.all)
    if (s.g == g) return &s;
  return nullptr;
}

// In the trampoline, or in the landing's last instructions, which hold no lock?
bool in_between(const ucontext_t* uc) noexcept {
  return arch::in_trampoline(arch::interrupted_pc(uc)) || preempt::on_save_stack(arch::interrupted_sp(uc));
}

// The instruction with which a function compiled by -fsplit-stack begins: it compares rsp, or r11 if its frame is
// large, with the word at %fs:0x70. alloca compares others.
bool is_entry(std::uintptr_t pc) noexcept {
  constexpr unsigned char rsp[] = {0x64, 0x48, 0x3b, 0x24, 0x25, 0x70, 0, 0, 0};
  constexpr unsigned char r11[] = {0x64, 0x4c, 0x3b, 0x1c, 0x25, 0x70, 0, 0, 0};
  const auto* code = reinterpret_cast<const void*>(pc);
  return std::memcmp(code, rsp, sizeof rsp) == 0 || std::memcmp(code, r11, sizeof r11) == 0;
}

constexpr int patience = 5000;  // for the maker to make an identity, or an M
// It does not sleep: from one that sleeps in the kernel the P is taken.
void wait_for_maker() noexcept {
  const std::uint64_t until = ticks() + ns_to_ticks(50'000);
  while (ticks() < until) os::sched_yield();
}

// Asks as sysmon does, and lets the library's handler answer. True: the thread goes on in the trampoline. `it_may`: it
// shall, sooner or later.
bool ask(siginfo_t* info, void* uc, bool it_may) noexcept {
  M* m = current_m();
  const std::uintptr_t pc = arch::interrupted_pc(uc);
  for (int tries = 0; tries < patience; ++tries) {
    if (!m->p) return false;
    std::uint64_t before[static_cast<std::size_t>(defer_reason::count_)];
    for (unsigned i = 0; i < std::size(before); ++i) before[i] = preempt::deferred(static_cast<defer_reason>(i));
    preempt::request(*m->p, m->p->schedtick.load(relaxed), monotonic_ns(), false, false);
    m->signal_pending.store(1, release);
    preempt::urge_on_preempt_signal(preempt::shared.signal.load(relaxed), info, uc);
    if (arch::interrupted_pc(uc) != pc) return true;
    bool again = it_may;  // for no reason it refuses while sysmon looks whether this thread sleeps, and will ask again
    for (unsigned i = 0; i < std::size(before); ++i) {
      const auto why = static_cast<defer_reason>(i);
      if (preempt::deferred(why) == before[i]) continue;
      ++now.n.refused[i];
      again = why == defer_reason::grace || why == defer_reason::no_identity;
      if (why == defer_reason::no_identity) wait_for_maker();
    }
    if (!again) return false;
  }
  return false;
}

// Asks as sysmon does in cooperative mode: the entry that comes now finds the word set. It would go on if no identity
// could be had at once, so there has to be one.
void ask_entry() noexcept {
  const auto& pool = preempt::pool;
  for (int tries = 0; tries < patience && pool.n_free.load(relaxed) < pool.wanted.load(relaxed); ++tries) {
    call_maker();
    wait_for_maker();
  }
  P& p = *current_m()->p;
  preempt::request(p, p.schedtick.load(relaxed), monotonic_ns(), false, false);
}

constexpr unsigned char pushfq = 0x9c;
// Is this behind the trampoline's first instruction, which saves the flags? Context: it is inside.
bool saved_flags(std::uintptr_t pc) noexcept { return reinterpret_cast<const unsigned char*>(pc)[-1] == pushfq; }

// That instruction is done here, so that the trap flag is among what it saves, and not set.
void save_flags(ucontext_t* uc) noexcept {
  auto& regs = uc->uc_mcontext.gregs;
  if (*reinterpret_cast<const unsigned char*>(regs[REG_RIP]) != pushfq) return;  // the next trap clears it
  regs[REG_RSP] -= 8;
  std::memcpy(reinterpret_cast<void*>(regs[REG_RSP]), &regs[REG_EFL], 8);
  ++regs[REG_RIP];
  regs[REG_EFL] &= ~trap_flag;
}

// Stops the G at this place, for the nth time. Context: it may be.
void stop(siginfo_t* info, ucontext_t* uc, G* g, unsigned nth) noexcept {
  ++now.n.asked;
  stopped* const s = find_stopped(nullptr);
  if (!s) return void(++now.n.lost);
  const std::uintptr_t pc = arch::interrupted_pc(uc);
  const bool had_identity = g->own != nullptr;
  s->state.take(*uc);
  if (now.at_entries()) {
    ask_entry();
    flags_of(uc) &= ~trap_flag;  // until it is back: step_on_behind_entries
  } else {
    if (!ask(info, uc, true)) return;
    save_flags(uc);
  }
  s->g = g, s->pc = pc, s->nth = nth, s->runs = now.runs.load(relaxed), s->had_identity = had_identity;
}

// The G's identity becomes its M's loan, as if the G had never been stopped: its next stop promotes it again. Not that
// of one that was started with its own.
void take_back_identity(G* g) noexcept {
  if (!g->own || g->own_identity) return;
  M* m = current_m();
  preempt::give_back_unused(std::exchange(m->loan, std::exchange(g->own, nullptr)));
}

// A G is back from its stop.
void came_back(siginfo_t* info, ucontext_t* uc, G* g, stopped& s) noexcept {
  s.g = nullptr;
  const std::uintptr_t pc = arch::interrupted_pc(uc);
  if (s.nth == 0) {
    now.n.elsewhere += s.pc != pc;
    return;
  }
  const bool kept = now.at_entries() ? s.state.holds_behind_entry(*uc) : s.state.holds(*uc);
  now.n.changed += !kept;
  ++now.n.stops;
  now.n.in_libc += preempt::in_libc(pc);
  now.n.promoted += g->own && !s.had_identity;
  const bool complete = now.runs.load(relaxed) != s.runs;
  ++(complete ? now.n.complete : now.n.waiting);
  now.n.shared += complete && now.others_base == arch::thread_base();
  if (now.where.every == 0) {
    // One that is stopped only once has seen it: the rest of the body runs freely.
    now.on = false, flags_of(uc) &= ~trap_flag;
    return;
  }
  const unsigned times = now.where.times;
  if (!now.at_entries() && s.nth < times) return stop(info, uc, g, s.nth + 1);
  if (now.n.stops % times == 0) take_back_identity(g);
}

}  // namespace

void trap_on() noexcept { set_trap_flag(); }
bool trap_off() noexcept { return clear_trap_flag(); }

void step_on_behind_entries() noexcept {
  if (!now.at_entries()) return;
  for (const auto& s : now.all) {
    // Where the trampoline has put them: below the pushed pc, above rax.
    if (!s.g || !s.g->stopped_by_signal) continue;
    std::uintptr_t on_its_stack;
    std::memcpy(&on_its_stack, s.g->saved - 8, sizeof on_its_stack);
    reinterpret_cast<greg_t*>(on_its_stack)[1] |= trap_flag;
  }
}

void on_trap(int, siginfo_t* info, void* context) {
  auto* uc = static_cast<ucontext_t*>(context);
  greg_t& flags = flags_of(uc);
  G* const g = current_g();
  if (!now.on) {
    flags &= ~trap_flag;
    return;
  }
  now.traps.store(now.traps.load(relaxed) + 1, relaxed);
  const std::uintptr_t pc = arch::interrupted_pc(uc);
  if (g && (g == now.other || g == now.main)) {
    now.with_other = true;
    return;
  }
  now.with_other = false;
  if (!(flags & trap_flag)) return;  // the instruction that has cleared it: the end
  // Steps take no part of the second that one which is killed has for its destructors.
  if (g && g->doomed.load(relaxed) == doom::unwinding) g->run_start.store(ticks(), relaxed);
  const bool each = now.where.every != 0 && now.where.first != plan::never && !now.at_entries();
  if (g && in_between(uc)) {
    if (!find_stopped(g) && saved_flags(pc)) {
      // A signal of the referee or sysmon has stopped a G that was being stepped; its flags have been saved by one
      // instruction. The frame is not that of its instruction.
      if (stopped* s = find_stopped(nullptr))
        s->g = g, s->pc = reinterpret_cast<const std::uintptr_t*>(arch::interrupted_sp(uc))[1], s->nth = 0;
      else
        ++now.n.lost;
      flags &= ~trap_flag;
    } else {
      // On its way back, and whoever resumed it had the flag. It may itself not have been stepped when it was stopped.
      ++now.n.in_runtime;
      if (each && ask(info, uc, false)) ++now.n.elsewhere;
    }
    return;
  }
  if (!g || g->locks.load(relaxed) != 0 || g->status.load(relaxed) != g_status::running) {
    ++now.n.in_runtime;
    if (!g && !current_m()->p) flags &= ~trap_flag;  // an M that has lost its P in a system call: the G goes elsewhere
    if (each && ask(info, uc, false)) ++now.n.elsewhere;  // it must refuse
    return;
  }
  if (stopped* s = find_stopped(g)) return came_back(info, uc, g, *s);
  if (g->doomed.load(relaxed) == doom::wanted) return;  // it would not come back: it would stand still for good
  if (now.ending) {
    flags &= ~trap_flag;
    return;
  }
  ++now.n.instructions;
  if (now.at_entries() && !is_entry(pc)) return;
  const std::uint64_t at = now.n.places++;
  if (at == now.where.most) {
    // Those that are stopped come back, and are stepped no further.
    now.n.cut = now.ending = true, flags &= ~trap_flag;
    return;
  }
  const plan& w = now.where;
  if (at < w.first || (w.every != 0 ? (at - w.first) % w.every : at - w.first) != 0) return;
  stop(info, uc, g, 1);
}

}  // namespace urge::test::stepper
