// SPDX-License-Identifier: MIT
// options.contain_faults: a G that fails ends with a report, the others go on.
#include <urge/chan.hpp>
#include <urge/errors.hpp>
#include <urge/go.hpp>
#include <urge/io.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <stdexcept>

#include "support/runtime_fixture.hpp"

namespace urge::test {
namespace {

class Contain : public WithSetting {
 protected:
  void SetUp() override { URGE_TEST_NEEDS_FAULTS(); }
  options contained() const {
    options o = how();
    o.contain_faults = true;
    return o;
  }
};
INSTANTIATE_TEST_SUITE_P(Settings, Contain, testing::ValuesIn(settings()), name_setting());

[[gnu::noinline]] void write_to(volatile int* where) { *where = 1; }
[[gnu::noinline]] int deep(volatile int* n) {
  if (*n < 0) return 0;
  volatile char frame[256];
  frame[0] = static_cast<char>(*n);
  *n = *n + 1;
  return deep(n) + frame[0];
}
volatile int quotient = 0;
void divide(volatile int* by) { quotient = (7 + quotient) / *by; }

void raises() { throw std::runtime_error("nobody catches it"); }
void throws() noexcept { raises(); }
volatile std::size_t seen = 0;
const char* volatile no_text = reinterpret_cast<const char*>(8);

// The G ends by this signal, and others can still run.
g_info fails(int signal, const std::function<void()>& body) {
  auto h = spawn({.name = "careless"}, body);
  EXPECT_THROW(h.join(), killed);
  const g_info info = h.info();
  EXPECT_EQ(info.fault, signal);
  EXPECT_EQ(spawn([] { return 5; }).join(), 5);
  return info;
}

TEST_P(Contain, EachKindOfFaultEndsTheGThatFails) {
  run(
      [] {
        volatile int zero = 0;
        EXPECT_EQ(fails(SIGSEGV, [] { write_to(nullptr); }).fault_address, 0u);
        EXPECT_EQ(fails(SIGSEGV, [] { write_to(reinterpret_cast<int*>(0x1230)); }).fault_address, 0x1230u);
        fails(SIGSEGV, [] { reinterpret_cast<void (*)()>(0x40)(); });
        fails(SIGFPE, [&] { divide(&zero); });
        fails(SIGILL, [] { __builtin_trap(); });
        fails(SIGABRT, [] { std::abort(); });
        fails(SIGABRT, [] { throws(); });
        const g_info overflow = fails(SIGSEGV, [] {
          volatile int n = 0;
          deep(&n);
        });
        EXPECT_TRUE(overflow.stack_overflow);
        EXPECT_FALSE(fails(SIGSEGV, [] { write_to(nullptr); }).stack_overflow);
        EXPECT_EQ(snapshot().kept_back, 9u);
      },
      contained());
}

TEST_P(Contain, UnderAGuardAndInASystemCallToo) {
  run(
      [] {
        fails(SIGSEGV, [] {
          const preempt_guard hold;
          write_to(nullptr);
        });
        fails(SIGSEGV, [] { blocking([] { write_to(nullptr); }); });
      },
      contained());
}

// What fails inside libc takes its identity along, with all that is half done there.
TEST_P(Contain, MallocAndErrnoOfTheOthersAreSound) {
  run(
      [] {
        for (int i = 0; i < 30; ++i) {
          fails(SIGSEGV, [] { seen = std::strlen(no_text); });
          auto other = spawn([] {
            std::vector<std::string> all;
            for (int k = 0; k < 200; ++k) all.push_back(std::string(static_cast<std::size_t>(k), 'x'));
            return all.size();
          });
          EXPECT_EQ(other.join(), 200u);
        }
      },
      contained());
}

TEST_P(Contain, ManyFailWhileOthersWork) {
  if (!async()) GTEST_SKIP() << "the ones at work call nothing";
  run(
      [] {
        std::atomic<bool> over{false};
        std::vector<join_handle<std::uint64_t>> at_work;
        for (int i = 0; i < 3; ++i)
          at_work.push_back(spawn([&] {
            std::uint64_t n = 0;
            while (!over) ++n;
            return n;
          }));
        for (int i = 0; i < 100; ++i) {
          auto h = spawn([i] {
            if (i % 2) std::abort();
            volatile int n = 0;
            deep(&n);
          });
          EXPECT_THROW(h.join(), killed);
        }
        over = true;
        for (auto& h : at_work) EXPECT_GT(h.join(), 0u);
      },
      contained());
}

}  // namespace
}  // namespace urge::test
