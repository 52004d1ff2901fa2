// SPDX-License-Identifier: MIT
// See backtrace.hpp.
#include "runtime/backtrace.hpp"

#include <cxxabi.h>
#include <link.h>

#include <cstdlib>
#include <cstring>
#include <typeinfo>

#include "base/raw_print.hpp"
#include "preempt/preempt.hpp"
#include "runtime/unwind.hpp"
#include "sched/sched.hpp"

namespace urge {

namespace {

constexpr int max_frames = 64;

void print_frame(raw_print& out, int n, std::uintptr_t pc, names how) noexcept {
  out << "    #" << n << " ";
  out.hex(pc) << " ";
  print_symbol(out, pc, how);
  out << "\n";
}

// A dump looks at Gs that go on meanwhile: descriptors and stacks are never given back, each word of a descriptor is
// read once, and frames are followed upwards inside one stack only. So what it reads may be out of date, or be no
// frame at all, and is still there.
// Frame pointers, as long as they climb inside the stack: what is left where a table is missing.
__attribute__((no_sanitize("thread", "address"))) void print_chain(raw_print& out, const arch::registers& at,
                                                                   const stack& s, names how) noexcept {
  print_frame(out, 0, at.pc(), how);
  std::uintptr_t fp = at.fp(), last = at.sp();
  for (int n = 1; n < max_frames; ++n) {
    if (fp % 8 != 0 || fp < last || !s.holds(fp) || !s.holds(fp + 16)) return;
    const auto* frame = reinterpret_cast<const std::uintptr_t*>(fp);
    if (frame[1] < 4096) return;
    print_frame(out, n, frame[1] - 1, how);
    last = fp + 16;
    fp = frame[0];
  }
}

}  // namespace

void print_backtrace(raw_print& out, const arch::registers& at, const stack& s, names how) noexcept {
  struct frames {
    std::uintptr_t pc[max_frames];
    int n = 0;
  } seen;
  const walk_end end = walk(
      at, s,
      [](const frame& f, void* arg) noexcept {
        auto& to = *static_cast<frames*>(arg);
        to.pc[f.n] = f.pc;
        return ++to.n < max_frames;
      },
      &seen);
  if (end == walk_end::lost && seen.n < 2) return print_chain(out, at, s, how);
  for (int n = 0; n < seen.n; ++n) print_frame(out, n, seen.pc[n], how);
}

namespace {

// As above.
__attribute__((no_sanitize("thread", "address"))) void print_g(raw_print& out, const G& g, const G* self) noexcept {
  const g_status s = g.status.load(acquire);  // [g.status] acquire: the saved context
  if (s == g_status::idle || s == g_status::dead) return;
  // sysmon may have taken its P as it slept in a call of its own, of which it knows nothing.
  const bool detached_self = &g == self && g.m->detached.load(relaxed);
  out << "goroutine " << g.id << " [" << name_of(detached_self ? g_status::running : s);
  if (const wait_reason why = g.reason.load(relaxed); s == g_status::waiting) {
    out << " (" << name_of(why) << "), ";
    out << ticks_to_ns(ticks() - g.waiting_since.load(relaxed)) / 1'000'000 << " ms";
  }
  out << "]";
  char name[sizeof g.name] = {};
  for (std::size_t i = 0; i + 1 < sizeof name && g.name[i]; ++i) name[i] = g.name[i];
  if (name[0]) out << " '" << std::string_view(name) << "'";
  out << ":\n";
  if (&g == self) return print_backtrace(out, arch::registers_here(), g.stk);
  const char* const saved = g.saved;
  const arch::context context = g.context;
  const stack stk = g.stk;
  if (s == g_status::running || s == g_status::syscall || s == g_status::suspect || s == g_status::detaching) {
    out << "    on a thread; its stack is in use\n";
  } else if (!context) {
    out << "    not started\n";
  } else if (g.stopped_by_signal && saved) {
    print_backtrace(out, arch::registers_of_preempted(saved), stk);
  } else {
    print_backtrace(out, arch::registers_of(context), stk);
  }
}

}  // namespace

std::string_view name_of(wait_reason why) noexcept {
  constexpr std::string_view names[] = {
      "none",   "sleep",     "chan receive", "chan send", "select", "mutex",      "shared_mutex", "condition_variable",
      "mutex",  "semaphore", "latch",        "barrier",   "once",   "wait_group", "join",         "exit",
      "paused", "io read",   "io write"};
  return names[static_cast<unsigned>(why)];
}

void dump_all(int fd) noexcept {
  raw_print out(fd);
  const G* self = current_g();
  for_each_g([&](const G& g) { print_g(out, g, self); });
}

// Not by enter and leave: a signal handler may call this, on a G in a system call too, and may not be switched away
// from.
void dump(int fd) {
  G* g = current_g();
  if (g) add_own(g->locks, 1u);
  std::atomic_signal_fence(seq_cst);  // as in enter
  dump_all(fd);
  std::atomic_signal_fence(seq_cst);  // as in leave; a request that came meanwhile is repeated
  if (g) g->locks.store(g->locks.load(relaxed) - 1, relaxed);
}

namespace {

std::terminate_handler before = nullptr;

[[noreturn]] void on_terminate() {
  if (G* g = current_g()) {
    if (g->doomed.load(relaxed) == doom::unwinding || g->way_out) {
      // A kill has met a function that is noexcept, or an exception the way out of libc: then it is left where it is.
      add_own(g->locks, 1u);
      std::atomic_signal_fence(seq_cst);  // as in enter
      stand_still(g);
    }
    raw_print out(2);
    out << "urge: terminate in G " << g->id;
    if (g->name[0]) out << " '" << g->called() << "'";
    if (const std::type_info* type = abi::__cxa_current_exception_type()) {
      int status = 0;
      char* plain = abi::__cxa_demangle(type->name(), nullptr, nullptr, &status);
      out << ": exception " << (plain ? plain : type->name());
      std::free(plain);
      try {
        throw;
      } catch (const std::exception& e) {
        out << ": " << e.what();
      } catch (...) {
      }
    }
    out << "\n";
    print_backtrace(out, arch::registers_here(), g->stk, g->locks.load(relaxed) == 0 ? names::source : names::linker);
  }
  if (before) before();
  std::abort();
}

}  // namespace

terminate_with_backtrace::terminate_with_backtrace() { before = std::set_terminate(on_terminate); }
terminate_with_backtrace::~terminate_with_backtrace() {
  if (std::get_terminate() == on_terminate) std::set_terminate(before);
}

}  // namespace urge
