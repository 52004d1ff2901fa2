// SPDX-License-Identifier: MIT
// Every function entry, in turn: the stepper (tests/preempt/stepper.hpp) runs code compiled with checks in cooperative
// mode, stops it at entry 1, 2, 3, … to its end, and lets another G run the same code in between. The trap flag finds
// the entries, by the instruction they begin with, so none can be missed; what stops the G is the word alone, as in a
// request of sysmon. Behind each stop all registers that carry arguments are compared, and errno.
#include <cerrno>
#include <cstring>

#include "entry/entry_fixture.hpp"
#include "preempt/stepper.hpp"

namespace urge::test {
namespace {

class EntryStops : public Entries {};
INSTANTIATE_TEST_SUITE_P(Code, EntryStops, testing::ValuesIn(all_checked()), name_of_code());

using stepper::body;
using stepper::counts;
using stepper::mix;
using stepper::plan;

void add(std::uint64_t& sum, double d) noexcept {
  std::uint64_t bits;
  std::memcpy(&bits, &d, sizeof bits);
  mix(sum, bits);
}

std::uint64_t variadic(const checked_code& c, int who) {
  const long k = 7 + who;
  const double d = 0.5 + who;
  std::uint64_t sum = 0;
  mix(sum, static_cast<std::uint64_t>(c.sum(9, k, 2 * k, 3 * k, 4 * k, 5 * k, 6 * k, 7 * k, 8 * k, 9 * k)));
  add(sum, c.sum_of_doubles(10, d, 2 * d, 3 * d, 4 * d, 5 * d, 6 * d, 7 * d, 8 * d, 9 * d, 10 * d));
  add(sum, c.sum_of_pairs(6, k, d, 2 * k, 2 * d, 3 * k, 3 * d, 4 * k, 4 * d, 5 * k, 5 * d, 6 * k, 6 * d));
  return sum;
}

std::uint64_t all_kinds(const checked_code& c, int who) {
  const long k = 3 + who;
  const double d = 0.25 + who;
  std::uint64_t sum = 0;
  add(sum, c.all_kinds(k, 2 * k, 3 * k, 4 * k, 5 * k, 6 * k, d, 2 * d, 3 * d, 4 * d, 5 * d, 6 * d, 7 * d, 8 * d, 7 * k,
                       9 * d));
  return sum;
}

// What each returns is right if a run alone says the same, but for errno, which is checked here.
template <class Code>
body entry_body(std::string name, Code code) {
  return {std::move(name), [code](int who) {
            errno = 1000 + who;
            const auto result = static_cast<std::uint64_t>(code(who));
            return errno == 1000 + who ? result : ~result;
          }};
}

std::vector<body> bodies_of(const checked_code& c) {
  std::vector<body> all = {
      entry_body("Fib", [&c](int who) { return c.fib(10 + who); }),
      entry_body("Variadic", [&c](int who) { return variadic(c, who); }),
      entry_body("AllKinds", [&c](int who) { return all_kinds(c, who); }),
      entry_body("Leaf", [&c](int who) { return c.tail(5 + who); }),
      entry_body("BackThroughAPointer", [&c](int who) { return c.even(40 + who); }),
      entry_body("Alloca", [&c](int who) { return c.on_stack(6 + who); }),
  };
  if (c.nested) all.push_back(entry_body("Nested", [&c](int who) { return c.nested(4 + who); }));
  // The unwinder takes tens of thousands of instructions, and frames take theirs to be filled.
  if (stepper::long_run()) {
    all.push_back(entry_body("ThrowCatch", [&c](int who) { return c.catches(4 + who); }));
    all.push_back(entry_body("WideFrame", [&c](int who) { return c.wide(who); }));
  }
  return all;
}

TEST_P(EntryStops, EachInTurn) {
  counts sum;
  for (const body& b : bodies_of(code())) {
    SCOPED_TRACE(b.name);
    stepper::with_stepper(b, preempt_mode::cooperative, [&](auto step) {
      const std::uint64_t entries = step(plan{.first = plan::never}).places;
      const counts c = step(plan{});
      stepper::expect_right(c);
      EXPECT_EQ(c.places, entries);
      EXPECT_EQ(c.stops, entries);
      EXPECT_EQ(c.complete, c.stops);
      EXPECT_EQ(c.promoted, (c.stops + 1) / 2);
      EXPECT_TRUE(entries > 0 || !code().every_check);
      sum += c;
    });
  }
  stepper::report(code().name, "entries in turn", sum);
  EXPECT_GT(sum.stops, 0u);
}

TEST_P(EntryStops, EachInAGOfItsOwn) {
  constexpr std::uint64_t most_steps = 3'000;  // of a body, unless all is wanted
  counts sum;
  for (const body& b : bodies_of(code())) {
    SCOPED_TRACE(b.name);
    stepper::with_stepper(b, preempt_mode::cooperative, [&](auto step) {
      const counts alone = step(plan{.first = plan::never});
      const std::uint64_t apart = stepper::long_run() ? 1 : alone.places * alone.instructions / 2 / most_steps + 1;
      counts fresh;
      for (std::uint64_t at = 0; at < alone.places; at += apart) fresh += step(plan{at, 0});
      stepper::expect_right(fresh);
      EXPECT_EQ(fresh.stops, (alone.places + apart - 1) / apart);
      sum += fresh;
    });
  }
  stepper::report(code().name, "entries afresh", sum);
  EXPECT_GT(sum.stops, 0u);
}

}  // namespace
}  // namespace urge::test
