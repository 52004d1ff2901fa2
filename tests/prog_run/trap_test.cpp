// SPDX-License-Identifier: MIT
// The trap of tests/trap springs: programs that do on purpose what the runtime must never do come to their end without
// it, and with it are ended by a report that names the function, the place and the way there.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <sstream>
#include <string>

#include "support/child.hpp"

#ifdef URGE_TRAP

namespace urge::test {
namespace {

child_result with(const std::string& preloaded, const std::string& program) {
  child_options how;
  how.environment = {{"LD_PRELOAD", preloaded}};
  return run_child(URGE_PROGRAMS, {program}, how);
}

struct misdeed {
  const char* program;
  const char* where;
};
class Trap : public ::testing::TestWithParam<misdeed> {};

TEST_P(Trap, SaysWhoCalledWhatWhere) {
  const auto untrapped = with("", GetParam().program);
  EXPECT_EQ(untrapped.out, "end\n") << untrapped.err;
  const auto r = with(URGE_TRAP, GetParam().program);
  EXPECT_EQ(r.signal, SIGABRT) << r.out << r.err;
  EXPECT_NE(r.err.find(std::string("urge trap: malloc called ") + GetParam().where), std::string::npos) << r.err;
  EXPECT_NE(r.err.find("allocate"), std::string::npos) << "the caller is not in the backtrace: " << r.err;
}
INSTANTIATE_TEST_SUITE_P(, Trap,
                         ::testing::Values(misdeed{"malloc_in_the_runtime",
                                                   "in the runtime, G 1: locks 1, of these guards 0"},
                                           misdeed{"malloc_on_g0", "on g0"},
                                           misdeed{"malloc_in_a_handler_on_the_alternate_stack", "in a signal handler"},
                                           misdeed{"malloc_by_sysmon", "by sysmon"}),
                         [](const auto& info) {
                           std::string name;
                           bool up = true;
                           for (const char c : std::string(info.param.program)) {
                             if (c != '_') name += up ? static_cast<char>(std::toupper(c)) : c;
                             up = c == '_';
                           }
                           return name;
                         });

TEST(TrapOfAll, LetsUsersPass) {
  const auto r = with(URGE_TRAP, "malloc_where_users_may");
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.out, "OK\nend\n");
}

TEST(TrapOfAll, StopsEachFunctionOnItsList) {
  const auto r = with(URGE_TRAP, "each_trapped_function");
  EXPECT_EQ(r.status, 0) << r.err;
  std::istringstream lines(r.out);
  int n = 0;
  for (std::string line; std::getline(lines, line);)
    if (line.ends_with(" functions"))
      n = std::stoi(line);
    else
      EXPECT_EQ(line, "end");
  EXPECT_GE(n, 250) << r.out;
}

}  // namespace
}  // namespace urge::test

#endif
