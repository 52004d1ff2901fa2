// SPDX-License-Identifier: MIT
// A stepped run of the library: the G that is stepped, the other one, the results that are compared. The trap handler
// is in stepper_trap.cpp.
#include "preempt/stepper.hpp"

#include <urge/go.hpp>
#include <urge/runtime.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "preempt/stepper_state.hpp"

namespace urge::test::stepper {

// Is a G stopped that was stepped? The flag went with it when the caller, or the other, gave way: that one's new Gs are
// stepped as well.
static bool gone_with_another() noexcept {
  return std::any_of(std::begin(now.all), std::end(now.all), [](const stopped& s) { return s.g != nullptr; });
}

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
      // No new Gs for the end to wait for: they would be stepped, and stopped, and so on for ever.
      inside_ = now.busy.load(relaxed) && !now.with_other && (!now.ending || gone_with_another());
      if (inside_) {
        now.n.wrong += what.run(1) != expected[1];
        now.others_base = arch::thread_base();
        now.runs.store(now.runs.load(relaxed) + 1, relaxed);
      }
      inside_ = false;
      step_on_behind_entries();
    }
  }
  counts once(const plan& p) {
    renew();
    now.n = {};
    now.where = p;
    now.main = current_g();
    now.with_other = now.ending = false;
    for (auto& s : now.all) s.g = nullptr;
    const std::uint64_t runs = now.runs.load(relaxed), let_go = now.let_go.load(relaxed), live = count_live();
    spawn([&] {
      now.busy = true;
      now.on = true;
      trap_on();
      const std::uint64_t result = what.run(0);
      const bool was_on = trap_off();
      now.n.lost += now.on && !now.ending && !was_on && !gone_with_another();
      now.with_other = false;
      now.n.wrong += result != expected[0];
    }).join();
    now.ending = true;
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

void with_stepper(const body& b, preempt_mode mode, void (*work)(session&, void*), void* arg) {
  struct sigaction trap {
  }, before{};
  trap.sa_sigaction = on_trap;
  trap.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigaction(SIGTRAP, &trap, &before);
  now.over = now.busy = now.on = false;
  now.mode = mode;
  // Code that stops at its entries only holds no lock there.
  std::thread watching;
  if (!now.at_entries()) watching = std::thread(referee);
  options o;
  // Only the steps stop anybody: the other, preempted for a body that a timer has woken, would keep the flag.
  o.procs = 1, o.quantum = 10s, o.preempt = mode, o.wakeup_preempt = false;
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
  if (watching.joinable()) watching.join();
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
  instructions += c.instructions, places += c.places, in_runtime += c.in_runtime, asked += c.asked, stops += c.stops;
  in_libc += c.in_libc, promoted += c.promoted, complete += c.complete, waiting += c.waiting,
      other_runs += c.other_runs, let_go += c.let_go;
  cut |= c.cut, elsewhere += c.elsewhere, changed += c.changed, shared += c.shared, wrong += c.wrong, lost += c.lost;
  for (unsigned i = 0; i < std::size(refused); ++i) refused[i] += c.refused[i];
  return *this;
}

std::string to_string(const counts& c) {
  static constexpr const char* reasons[] = {"in the runtime", "guarded", "no identity", "in a handler",
                                            "trampoline",     "no room", "grace"};
  std::string s = (c.cut ? "the first " : "") + std::to_string(c.instructions) + " instructions";
  if (c.places != c.instructions) s += ", " + std::to_string(c.places) + " function entries";
  s += ", " + std::to_string(c.stops) + " stops (" + std::to_string(c.in_libc) + " in libc, " +
       std::to_string(c.promoted) + " promotions); in the runtime " + std::to_string(c.in_runtime) +
       "; the other: " + std::to_string(c.other_runs) + " runs, through during " + std::to_string(c.complete) +
       " stops, not during " + std::to_string(c.waiting) + "; refused:";
  for (unsigned i = 0; i < std::size(c.refused); ++i)
    if (c.refused[i]) s += " " + std::string(reasons[i]) + " " + std::to_string(c.refused[i]);
  return s;
}

void report(const std::string& name, const char* how, const counts& c) {
  std::printf("[ stepper  ] %s, %s: %s\n", name.c_str(), how, to_string(c).c_str());
  testing::Test::RecordProperty(how, to_string(c));
}

void expect_right(const counts& c) {
  EXPECT_EQ(c.wrong, 0u) << "results that a run alone does not have";
  EXPECT_EQ(c.stops, c.asked) << "places where the body was not preempted, or from which it did not come back";
  EXPECT_EQ(c.elsewhere, 0u) << "went on at another instruction, or was stopped in the runtime";
  EXPECT_EQ(c.changed, 0u) << "went on with other registers, another thread base or errno";
  EXPECT_EQ(c.shared, 0u) << "meanwhile the other ran with the same thread base";
  EXPECT_EQ(c.lost, 0u) << "the trap flag was lost on the way";
}

}  // namespace urge::test::stepper
