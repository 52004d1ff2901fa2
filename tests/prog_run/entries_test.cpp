// SPDX-License-Identifier: MIT
// A function entry that finds too little stack ends its G with the report of a guard that was run onto.
#include <gtest/gtest.h>

#include <csignal>
#include <string>

#include "support/child.hpp"
#include "support/sanitized.hpp"

namespace urge::test {
namespace {

bool says(const std::string& text, const std::string& what) { return text.find(what) != std::string::npos; }

TEST(EntryOverflow, IsToldWithNameSizeAndBacktrace) {
  URGE_TEST_NEEDS_FAULTS();
  const struct {
    const char *program, *name, *size, *function;
  } cases[] = {{"entry_overflow", "'deep'", "(256 KiB)", "endless"},
               {"entry_overflow_under_a_guard", "'deep'", "(256 KiB)", "endless"},
               {"entry_overflow_while_preempted", "'deep'", "(65536 KiB)", "endless"},
               {"entry_overflow_in_one_step", "'wide'", "(16 KiB)", "framed"},
               {"entry_overflow_by_alloca", "'wide'", "(16 KiB)", "lends"}};
  for (const auto& c : cases) {
    const auto r = run_child(URGE_PROGRAMS, {c.program});
    EXPECT_EQ(r.signal, SIGSEGV) << c.program << "\n" << r.err;
    EXPECT_TRUE(says(r.err, "stack overflow in G ") && says(r.err, c.name) && says(r.err, c.size)) << c.program << "\n"
                                                                                                   << r.err;
    EXPECT_TRUE(says(r.err, c.function)) << c.program << "\n" << r.err;
  }
}

TEST(EntryOverflow, EndsOnlyItsGWhereFaultsAreContained) {
  URGE_TEST_NEEDS_FAULTS();
  const auto r = run_child(URGE_PROGRAMS, {"entry_overflow_contained"});
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.out, "ended: 1 55\nended: 1 55\nended: 1 55\nend\n");
  EXPECT_TRUE(says(r.err, "stack overflow in G ") && says(r.err, "is ended, the others go on")) << r.err;
}

}  // namespace
}  // namespace urge::test
