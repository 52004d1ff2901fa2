// SPDX-License-Identifier: MIT
// The stepper: the proof that a G can be preempted at each instruction, in each mode. The trap flag makes the processor
// raise SIGTRAP after every instruction of a body; the handler there asks for a preemption exactly at that place, and
// another G runs the same body on the same P while the first is stopped. The places:
//   async, kernel_thread  every instruction; the library's own signal handler is asked
//   cooperative           every function entry of code compiled with checks; the word that entries look at is set
// Two ways:
//   one pass  the body runs once and is stopped at each of its places in turn
//   afresh    the body runs again for each single stop, each time in a new G
// After each stop all registers, the thread base and errno are compared with those before. Bodies are tables in
// stepper_*_test.cpp and in tests/entry. Each is run by two Gs with different data (`who`), so that a register or a
// word that one leaves behind for the other shows, and returns what it has computed; a run alone says what is right.
// Context: bodies run on Gs; they must not use GoogleTest, which would be stepped over too.
#pragma once
#include <functional>
#include <ostream>
#include <string>
#include <tuple>

#include "support/runtime_fixture.hpp"

namespace urge::test::stepper {

struct body {
  std::string name;
  std::function<std::uint64_t(int who)> run;  // 0: the one that is stepped; 1: the other
  void (*prepare)() = nullptr;                // renews what both share, before each stepped run
  std::uint64_t every = 1;                    // instruction of one pass, unless all is wanted
  // The same, even then: both free what others have made, and where each of its steps finds another end of libc's list
  // the stepped one would try for ever.
  std::uint64_t every_at_least = 1;
  // One pass has to find so great a part of the places of a run alone. Where calls of urge start Gs more goes by: those
  // are stepped instead, until the body sets the flag again.
  unsigned part = 2;
  bool keeps_identity = false;  // most of it has an identity or a thread of its own: few promotions
};
inline void PrintTo(const body& b, std::ostream* out) { *out << b.name; }

// Where a stepped run is to be stopped: at place `first`, and at each `every`th from there on; 0: only there.
struct plan {
  std::uint64_t first = 0, every = 1;
  // How often at each, in async mode: the first time under the M's identity, which the stop makes the G's own, then
  // under its own; behind the last it is taken from the G again. At function entries, where a G can only stop once, it
  // is taken after so many stops.
  unsigned times = 2;
  std::uint64_t most = UINT64_MAX;  // places; behind them the body runs freely
  static constexpr std::uint64_t never = UINT64_MAX;
};

struct counts {
  // An instruction of the body is counted where it begins: these are the places at which a signal could find it.
  std::uint64_t instructions = 0;  // of user code, libc and its like included
  std::uint64_t places = 0;        // of these, where the mode can stop it
  std::uint64_t in_runtime = 0;    // of urge's own, where preemption is held off
  std::uint64_t asked = 0;         // preemptions that were asked for there
  std::uint64_t stops = 0;         // of these, that took place, and from which the G has come back
  std::uint64_t in_libc = 0;       // of these, inside libc, the loader or the unwinder
  std::uint64_t promoted = 0;      // stops that have made the M's identity the G's own
  std::uint64_t complete = 0;      // stops during which the other ended a run of the body
  std::uint64_t waiting = 0;       // stops during which it did not: it waited, mostly for what the stopped one held
  std::uint64_t other_runs = 0;
  std::uint64_t let_go = 0;  // requests to get the other out of such a wait
  std::uint64_t refused[static_cast<std::size_t>(defer_reason::count_)] = {};  // of all that were asked for
  bool cut = false;  // there were more instructions than were to be stepped
  // What must not be.
  std::uint64_t elsewhere = 0;  // stopped in the runtime, or went on at another instruction than it was stopped at
  std::uint64_t changed = 0;    // went on with other registers, another thread base or errno
  std::uint64_t shared = 0;     // stops during which the other ran under the thread base that the stopped one has
  std::uint64_t wrong = 0;      // other results than a run alone
  std::uint64_t lost = 0;       // stepping had ended before the body did
  counts& operator+=(const counts&) noexcept;
};
std::string to_string(const counts&);

// Is everything wanted (URGE_STEPPER=long), or what fits into a minute or so?
bool long_run();

// One run of the library, on one P, in which bodies are stepped. Context: the thread of the test.
//   with_stepper([&](auto& step) { counts c = step(plan{}); })
// Each call of `step` is one run of the body in a new G.
class session;
void with_stepper(const body&, preempt_mode, void (*work)(session&, void*), void* arg);
counts step(session&, const plan&);
template <class Work>
void with_stepper(const body& b, preempt_mode mode, Work&& work) {
  with_stepper(
      b, mode, [](session& s, void* w) { (*static_cast<Work*>(w))([&s](const plan& p) { return step(s, p); }); },
      &work);
}

// For a body that may have gone on in another thread, where the trap flag is not set.
void go_on_stepping(int who) noexcept;

// True while the body is stopped at one place per run: then a run of the other may come before anything is done.
bool afresh() noexcept;

// What was seen, for the log; and what must be true of it.
void report(const std::string& name, const char* how, const counts&);
void expect_right(const counts&);

// The fixture of the tests in stepper_test.cpp: instantiated where the bodies are, for both modes that stop anywhere.
class Stepper : public testing::TestWithParam<std::tuple<preempt_mode, body>> {
 protected:
  void SetUp() override { URGE_TEST_NEEDS_ASYNC(); }
  void TearDown() override { before_.check(); }
  static preempt_mode mode() { return std::get<0>(GetParam()); }
  static const body& what() { return std::get<1>(GetParam()); }

 private:
  warm first_;
  watchdog watching_{long_run() ? 4 * 3600u : 240u};
  balance before_;
};
template <class... Bodies>
auto in_each_mode(Bodies... bodies) {
  return testing::Combine(testing::Values(preempt_mode::async, preempt_mode::kernel_thread),
                          testing::Values(bodies...));
}
struct name_body {
  std::string operator()(const testing::TestParamInfo<Stepper::ParamType>& info) const {
    const bool async = std::get<0>(info.param) == preempt_mode::async;
    return std::get<1>(info.param).name + (async ? "" : "KernelThread");
  }
};

// A checksum: the order counts.
inline void mix(std::uint64_t& sum, std::uint64_t value) noexcept {
  sum = (sum ^ value) * 0x9E3779B97F4A7C15u;
  sum ^= sum >> 29;
}

}  // namespace urge::test::stepper
