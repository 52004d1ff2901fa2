// SPDX-License-Identifier: MIT
// The stepper's machinery: the trap handler, the other G, and the referee, a thread that does what sysmon would when
// the other waits in the kernel for a lock that the stopped one holds (sysmon itself is kept out by a long quantum).
//
// The trap flag is a bit of the processor's flags. It is cleared for the trampoline and the scheduler, and comes back
// with the flags that the trampoline restores; the trap that follows finds the instruction at which the G was stopped.
// A G that stops by itself (it parks, gives way) leaves the flag on for the next: so the handler clears it when it
// finds the other G, which passes it on when it gives way. The new Gs that a body starts are stepped with it. An
// instruction that follows a system call has no trap in front of it: the kernel comes back with the flag set, and it
// acts one instruction later.
#include "preempt/stepper.hpp"

#include <urge/go.hpp>
#include <urge/runtime.hpp>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <numeric>

#include "base/os.hpp"
#include "preempt/handler.hpp"
#include "preempt/preempt.hpp"

namespace urge::test::stepper {

namespace {

constexpr greg_t trap_flag = 0x100;

[[gnu::naked, gnu::noinline]] void trap_on() { asm("pushfq\n\torq $0x100, (%rsp)\n\tpopfq\n\tret"); }
// Returns whether it was on.
[[gnu::naked, gnu::noinline]] bool trap_off() {
  asm("pushfq\n\tmovq (%rsp), %rax\n\tshrl $8, %eax\n\tandl $1, %eax\n\tandq $-257, (%rsp)\n\tpopfq\n\tret");
}

// All words below are touched by the one M only, by its Gs and its trap handler, but for those of the referee.
struct state {
  bool on = false;
  G* other = nullptr;
  G* main = nullptr;
  plan where;
  counts n;
  bool with_other = false;  // the flag: the stepped one has stopped by itself
  struct stopped {
    G* g = nullptr;
    std::uintptr_t pc = 0;
    std::uint64_t runs = 0;
    bool asked = false;  // else it was the referee
  } stopped[8];
  // --- read by the referee ---
  std::atomic<std::uint64_t> traps{0}, runs{0}, tid{0};
  std::atomic<std::uint64_t> let_go{0};
  std::atomic<bool> busy{false}, over{false};
} now;

void remember(G* g, std::uintptr_t pc, bool asked) noexcept {
  for (auto& s : now.stopped)
    if (!s.g) {
      s = {g, pc, now.runs.load(relaxed), asked};
      return;
    }
  ++now.n.lost;
}

bool was_stopped(const G* g) noexcept {
  for (const auto& s : now.stopped)
    if (s.g == g) return true;
  return false;
}
// In the trampoline, or in the landing's last instructions, which hold no lock?
bool in_between(const G* g, std::uintptr_t pc, std::uintptr_t sp) noexcept {
  if (arch::in_trampoline(pc)) return true;
  const auto top = g->own ? reinterpret_cast<std::uintptr_t>(g->own->stack_top) : 0;
  return sp <= top && sp > top - 48 * 1024;
}

enum class back { no, from_stop, from_referee };
// Was G stopped, and this is the trap after it has come back?
back comes_back(G* g, std::uintptr_t pc) noexcept {
  for (auto& s : now.stopped)
    if (s.g == g) {
      s.g = nullptr;
      if (s.pc != pc) ++now.n.elsewhere;
      if (!s.asked) return back::from_referee;
      ++(now.runs.load(relaxed) != s.runs ? now.n.complete : now.n.waiting);
      return back::from_stop;
    }
  return back::no;
}

std::uint64_t refusals(defer_reason why) noexcept { return preempt::deferred(why); }

// Asks as sysmon does, and lets the library's handler answer. True: the thread goes on in the trampoline.
bool ask(int, siginfo_t* info, void* uc) noexcept {
  constexpr int patience = 5000;  // 50 us each, for the maker to make an identity
  M* m = current_m();
  const std::uintptr_t pc = arch::interrupted_pc(uc);
  for (int tries = 0; tries < patience; ++tries) {
    if (!m->p) return false;
    std::uint64_t before[static_cast<std::size_t>(defer_reason::count_)];
    for (unsigned i = 0; i < std::size(before); ++i) before[i] = refusals(static_cast<defer_reason>(i));
    preempt::request(*m->p, m->p->schedtick.load(relaxed), monotonic_ns(), false);
    m->signal_pending.store(1, release);
    preempt::urge_on_preempt_signal(preempt::shared.signal.load(relaxed), info, uc);
    if (arch::interrupted_pc(uc) != pc) return true;
    bool again = false;
    for (unsigned i = 0; i < std::size(before); ++i) {
      if (refusals(static_cast<defer_reason>(i)) == before[i]) continue;
      ++now.n.refused[i];
      const auto why = static_cast<defer_reason>(i);
      again = why == defer_reason::grace || why == defer_reason::no_identity;
      if (why == defer_reason::no_identity) {
        const timespec a_moment{0, 50'000};
        os::syscall6(SYS_nanosleep, reinterpret_cast<long>(&a_moment));
      }
    }
    if (!again) return false;
  }
  return false;
}

// The trampoline's first instruction saves the flags: done here, so that the trap flag is among them and not set.
void save_flags(ucontext_t* uc) noexcept {
  auto& regs = uc->uc_mcontext.gregs;
  constexpr unsigned char pushfq = 0x9c;
  if (*reinterpret_cast<const unsigned char*>(regs[REG_RIP]) != pushfq) return;  // the next trap clears it
  regs[REG_RSP] -= 8;
  std::memcpy(reinterpret_cast<void*>(regs[REG_RSP]), &regs[REG_EFL], 8);
  ++regs[REG_RIP];
  regs[REG_EFL] &= ~trap_flag;
}

void on_trap(int number, siginfo_t* info, void* context) {
  auto* uc = static_cast<ucontext_t*>(context);
  auto& flags = uc->uc_mcontext.gregs[REG_EFL];
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
  const bool each = now.where.every != 0 && now.where.first != plan::never;
  if (g && in_between(g, pc, arch::interrupted_sp(uc))) {
    if (!was_stopped(g)) {
      // A signal of the referee has stopped a G that was being stepped; its flags have been saved by one instruction.
      remember(g, reinterpret_cast<const std::uintptr_t*>(arch::interrupted_sp(uc))[1], false);
      flags &= ~trap_flag;
    } else {
      // On its way back, and whoever resumed it had the flag.
      ++now.n.in_runtime;
      if (each && ask(number, info, uc)) ++now.n.elsewhere;
    }
    return;
  }
  if (!g || g->locks.load(relaxed) != 0 || g->status.load(relaxed) != g_status::running) {
    ++now.n.in_runtime;
    if (!g && !current_m()->p) flags &= ~trap_flag;  // an M that has lost its P in a system call: the G goes elsewhere
    if (each && ask(number, info, uc)) ++now.n.elsewhere;  // it must refuse
    return;
  }
  if (const back b = comes_back(g, pc); b != back::no) {
    // One that is stopped only once has seen it: the rest of the body runs freely.
    if (!each && b == back::from_stop) now.on = false, flags &= ~trap_flag;
    return;
  }
  const std::uint64_t at = now.n.instructions++;
  if (at == now.where.most) {
    now.n.cut = true, now.on = false, flags &= ~trap_flag;
    return;
  }
  if (at < now.where.first || (each ? (at - now.where.first) % now.where.every : at - now.where.first) != 0) return;
  ++now.n.asked;
  if (!ask(number, info, uc)) return;
  ++now.n.stops;
  now.n.in_libc += preempt::in_libc(pc);
  remember(g, pc, true);
  save_flags(uc);
}

// --- the referee ---
// Does the thread sleep in the kernel?
bool sleeps(std::uint64_t tid) noexcept {
  char path[64], text[512];
  std::snprintf(path, sizeof path, "/proc/self/task/%lu/stat", static_cast<unsigned long>(tid));
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const ssize_t n = ::read(fd, text, sizeof text - 1);
  ::close(fd);
  if (n <= 0) return false;
  text[n] = 0;
  const char* name_end = std::strrchr(text, ')');
  return name_end && name_end[1] == ' ' && name_end[2] == 'S';
}

std::int64_t cpu_time(std::uint64_t tid) noexcept {
  timespec t{};
  constexpr unsigned per_thread = 4, of_scheduler = 2;  // the kernel's numbering of clocks
  const auto clock = static_cast<clockid_t>(~static_cast<unsigned>(tid) << 3 | per_thread | of_scheduler);
  return ::clock_gettime(clock, &t) == 0 ? t.tv_sec * 1'000'000'000 + t.tv_nsec : 0;
}

void referee() {
  ::prctl(PR_SET_TIMERSLACK, 1);
  constexpr std::int64_t look = 30'000;
  constexpr std::int64_t patience = 5'000'000;  // ns of CPU time: glibc's rwlock spins in places
  std::uint64_t seen = 0;
  std::int64_t since = 0;
  while (!now.over.load(relaxed)) {
    const timespec pause{0, look};
    ::nanosleep(&pause, nullptr);
    P& p = all_ps[0];
    const std::uint32_t tick = p.schedtick.load(relaxed);
    const std::uint64_t progress = now.traps.load(relaxed) + now.runs.load(relaxed) + (std::uint64_t{tick} << 32);
    const std::uint64_t tid = now.tid.load(relaxed);
    if (!now.busy.load(relaxed)) continue;
    const std::int64_t used = cpu_time(tid);
    if (progress != seen) {
      seen = progress, since = used;
      continue;
    }
    if (used - since < patience && !sleeps(tid)) continue;
    now.let_go.fetch_add(1, relaxed);
    preempt::request(p, tick, monotonic_ns(), true);
  }
}

}  // namespace

class session {
 public:
  explicit session(const body& b) : what(b) {}
  const body& what;
  std::uint64_t expected[2] = {};

  void renew() const {
    if (what.prepare) what.prepare();
  }
  void alone() {
    for (const int who : {0, 1}) {
      renew();
      expected[who] = spawn([&] { return what.run(who); }).join();
    }
  }
  // The G that runs the body while the stepped one is stopped.
  void keep_running() {
    now.other = current_g();
    for (; !now.over.load(relaxed); this_g::yield()) {
      inside_ = now.busy.load(relaxed) && !now.with_other;
      if (inside_) {
        now.n.wrong += what.run(1) != expected[1];
        now.runs.store(now.runs.load(relaxed) + 1, relaxed);
      }
      inside_ = false;
    }
  }
  counts once(const plan& p) {
    renew();
    now.n = {};
    now.where = p;
    now.main = current_g();
    now.with_other = false;
    for (auto& s : now.stopped) s = {};
    const std::uint64_t runs = now.runs.load(relaxed), let_go = now.let_go.load(relaxed), live = count_live();
    spawn([&] {
      now.tid.store(static_cast<std::uint64_t>(os::gettid()), relaxed);
      now.busy = true;
      now.on = true;
      trap_on();
      const std::uint64_t result = what.run(0);
      const bool was_on = trap_off();
      now.n.lost += now.on && !was_on;
      now.with_other = false;
      now.n.wrong += result != expected[0];
    }).join();
    while (count_live() > live) this_g::yield();  // what the body has started and not waited for
    now.on = false;
    now.busy = false;
    while (inside_) this_g::yield();
    now.n.other_runs = now.runs.load(relaxed) - runs;
    now.n.let_go = now.let_go.load(relaxed) - let_go;
    return now.n;
  }

 private:
  volatile bool inside_ = false;
};

counts step(session& s, const plan& p) { return s.once(p); }

void go_on_stepping(int who) noexcept {
  if (who == 0 && now.on) trap_on();
}

void with_stepper(const body& b, void (*work)(session&, void*), void* arg) {
  struct sigaction trap {
  }, before{};
  trap.sa_sigaction = on_trap;
  trap.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigaction(SIGTRAP, &trap, &before);
  now.over = now.busy = now.on = false;
  std::thread watching(referee);
  options o;
  o.procs = 1, o.quantum = 10s, o.preempt = preempt_mode::async;
  run(
      [&] {
        session s(b);
        s.alone();
        auto other = spawn([&] { s.keep_running(); });
        this_g::yield();
        work(s, arg);
        now.over = true;
        other.join();
      },
      o);
  now.over = true;
  watching.join();
  now.other = nullptr;
  ::sigaction(SIGTRAP, &before, nullptr);
}

bool afresh() noexcept { return now.where.every == 0; }

bool long_run() {
  static const bool all = [] {
    const char* value = std::getenv("URGE_STEPPER");
    return value && std::string_view(value) == "long";
  }();
  return all;
}

counts& counts::operator+=(const counts& c) noexcept {
  instructions += c.instructions, in_runtime += c.in_runtime, asked += c.asked, stops += c.stops, in_libc += c.in_libc;
  complete += c.complete, waiting += c.waiting, other_runs += c.other_runs, let_go += c.let_go;
  cut |= c.cut, elsewhere += c.elsewhere, wrong += c.wrong, lost += c.lost;
  for (unsigned i = 0; i < std::size(refused); ++i) refused[i] += c.refused[i];
  return *this;
}

std::string to_string(const counts& c) {
  static constexpr const char* reasons[] = {"in the runtime", "guarded", "no identity", "in a handler",
                                            "trampoline",     "no room", "grace"};
  std::string s = (c.cut ? "the first " : "") + std::to_string(c.instructions) + " instructions, " +
                  std::to_string(c.stops) + " stops (" + std::to_string(c.in_libc) + " in libc); in the runtime " +
                  std::to_string(c.in_runtime) + "; the other: " + std::to_string(c.other_runs) +
                  " runs, through during " + std::to_string(c.complete) + " stops, not during " +
                  std::to_string(c.waiting) + "; refused:";
  for (unsigned i = 0; i < std::size(c.refused); ++i)
    if (c.refused[i]) s += " " + std::string(reasons[i]) + " " + std::to_string(c.refused[i]);
  return s;
}

}  // namespace urge::test::stepper
