// SPDX-License-Identifier: MIT
// What the process says, and by what it ends, when the code of a G breaks.
#include <gtest/gtest.h>

#include <csignal>
#include <regex>
#include <string>

#include "support/child.hpp"
#include "support/sanitized.hpp"

namespace urge::test {
namespace {

child_result program(const std::string& name) { return run_child(URGE_PROGRAMS, {name}); }

bool says(const std::string& text, const std::string& what) { return text.find(what) != std::string::npos; }

TEST(Broken, AnEscapedExceptionNamesGAndExceptionAndAborts) {
  const auto r = program("escaped_exception");
  EXPECT_EQ(r.signal, SIGABRT) << r.err;
  EXPECT_TRUE(std::regex_search(r.err, std::regex("G [0-9]+ 'thrower'"))) << r.err;
  EXPECT_TRUE(says(r.err, "std::runtime_error")) << r.err;
  EXPECT_TRUE(says(r.err, "told by the thrower")) << r.err;
  EXPECT_TRUE(says(r.err, "throws_in_here")) << r.err;
  EXPECT_FALSE(says(r.out, "end"));
}

TEST(Broken, AnEscapedExceptionNeedNotBeAStandardOne) {
  const auto r = program("escaped_number");
  EXPECT_EQ(r.signal, SIGABRT);
  EXPECT_TRUE(says(r.err, "exception int")) << r.err;
}

TEST(Broken, AnExceptionEscapesWhileOthersArePreempted) {
  URGE_TEST_NEEDS_ASYNC();  // those that throw for ever keep their Ps
  const auto r = program("escaped_exception_while_preempted");
  EXPECT_EQ(r.signal, SIGABRT) << r.err;
  EXPECT_TRUE(says(r.err, "'thrower'") && says(r.err, "told by the thrower")) << r.err;
}

TEST(Broken, AnExceptionThroughNoexceptNamesTheG) {
  const auto r = program("exception_through_noexcept");
  EXPECT_EQ(r.signal, SIGABRT);
  EXPECT_TRUE(says(r.err, "'strict'") && says(r.err, "told by the thrower")) << r.err;
}

TEST(Broken, ThisGExitThroughNoexceptEndsTheProcess) {
  const auto r = program("exit_through_noexcept");
  EXPECT_EQ(r.signal, SIGABRT);
  EXPECT_TRUE(says(r.err, "'strict'")) << r.err;
}

TEST(Broken, AnExceptionOfMainIsTheCallersOfRun) {
  const auto r = program("main_throws");
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.out, "caught: told by the thrower\nend\n");
}

TEST(Broken, AStackOverflowIsToldWithNameSizeAndBacktrace) {
  URGE_TEST_NEEDS_FAULTS();
  const struct {
    const char *program, *name, *size;
  } cases[] = {{"stack_overflow", "'deep'", "(256 KiB)"},
               {"stack_overflow_of_main", "'main'", "(256 KiB)"},
               {"stack_overflow_of_own_size", "'large'", "(1024 KiB)"},
               {"stack_overflow_while_preempted", "'deep'", "(65536 KiB)"},
               {"stack_overflow_in_one_step", "'wide'", "(16 KiB)"}};
  for (const auto& c : cases) {
    const auto r = program(c.program);
    EXPECT_EQ(r.signal, SIGSEGV) << c.program << "\n" << r.err;
    EXPECT_TRUE(says(r.err, "stack overflow in G ") && says(r.err, c.name) && says(r.err, c.size)) << c.program << "\n"
                                                                                                   << r.err;
    EXPECT_TRUE(says(r.err, "_in_here") || says(r.err, "has_a_frame_of_60_kib")) << c.program << "\n" << r.err;
  }
}

TEST(Broken, AFaultNamesSignalGAddressAndFunction) {
  URGE_TEST_NEEDS_FAULTS();
  const auto r = program("null_pointer");
  EXPECT_EQ(r.signal, SIGSEGV);
  EXPECT_TRUE(says(r.err, "SIGSEGV in G 2 'careless'") && says(r.err, "0x0")) << r.err;
  EXPECT_TRUE(says(r.err, "faults_in_here")) << r.err;
  const auto d = program("division_by_zero");
  EXPECT_EQ(d.signal, SIGFPE);
  EXPECT_TRUE(says(d.err, "SIGFPE in G 2 'divider'")) << d.err;
}

TEST(Broken, AFaultInAModuleThatWasLoadedLaterNamesTheFunction) {
  URGE_TEST_NEEDS_FAULTS();
  const auto r = program("fault_in_a_module_loaded_later");
  EXPECT_EQ(r.signal, SIGSEGV) << r.out;
  EXPECT_TRUE(says(r.err, "module_faults+0x") && says(r.err, "(libtest_module.so)")) << r.err;
#ifdef URGE_MODULE_BY_LLD
  const auto l = program("fault_in_a_module_linked_by_lld");
  EXPECT_EQ(l.signal, SIGSEGV) << l.out;
  EXPECT_TRUE(says(l.err, "module_faults+0x") && says(l.err, "(libtest_module_by_lld.so)")) << l.err;
#endif
}

TEST(Broken, AFaultOfTheRuntimeItselfTellsOfEachG) {
  URGE_TEST_NEEDS_FAULTS();
  for (const char* name : {"fault_of_sysmon", "fault_of_the_maker"}) {
    const auto r = program(name);
    EXPECT_EQ(r.signal, SIGSEGV) << name << "\n" << r.err;
    EXPECT_TRUE(says(r.err, "SIGSEGV in the scheduler") && says(r.err, "'bystander'")) << name << "\n" << r.err;
  }
}

TEST(Broken, AFaultAfterTheRunIsNotOurs) {
  URGE_TEST_NEEDS_FAULTS();
  const auto r = program("fault_after_the_run");
  EXPECT_EQ(r.signal, SIGSEGV);
  EXPECT_EQ(r.err, "");
}

TEST(Broken, AProgramsOwnFaultHandlerIsLeftInPlace) {
  URGE_TEST_NEEDS_FAULTS();
  const auto r = program("own_fault_handler");
  EXPECT_EQ(r.status, 7);
  EXPECT_EQ(r.out, "own handler\n");
  EXPECT_FALSE(says(r.err, "SIGSEGV"));
}

TEST(Broken, AbortInAGAborts) {
  const auto r = program("abort_in_a_g");
  EXPECT_EQ(r.signal, SIGABRT);
}

}  // namespace
}  // namespace urge::test
