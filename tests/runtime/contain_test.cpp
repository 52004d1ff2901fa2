// SPDX-License-Identifier: MIT
// options.contain_faults: a G that fails ends with a report, the others go on.
#include <urge/chan.hpp>
#include <urge/errors.hpp>
#include <urge/go.hpp>
#include <urge/io.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>

#include <sys/mman.h>
#include <unistd.h>

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

// A page of a file that has become shorter than its mapping.
class beyond_its_end {
 public:
  beyond_its_end() {
    const int fd = ::memfd_create("short", MFD_CLOEXEC);
    EXPECT_EQ(::ftruncate(fd, bytes), 0);
    address_ = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    EXPECT_NE(address_, MAP_FAILED);
    EXPECT_EQ(::ftruncate(fd, 0), 0);
    ::close(fd);
  }
  ~beyond_its_end() { ::munmap(address_, bytes); }
  int* address() const { return static_cast<int*>(address_); }

 private:
  static constexpr std::size_t bytes = 4096;
  void* address_;
};

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
        const beyond_its_end file;
        EXPECT_EQ(fails(SIGBUS, [&] { write_to(file.address()); }).fault_address,
                  reinterpret_cast<std::uintptr_t>(file.address()));
        const g_info overflow = fails(SIGSEGV, [] {
          volatile int n = 0;
          deep(&n);
        });
        EXPECT_TRUE(overflow.stack_overflow);
        EXPECT_FALSE(fails(SIGSEGV, [] { write_to(nullptr); }).stack_overflow);
        EXPECT_EQ(snapshot().kept_back, 10u);
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

// Each fails with numbers in all vector registers, those of the others are kept; and what the handler's frame has of
// the upper halves comes to nobody else.
[[gnu::target("avx")]] bool keep_registers(const std::atomic<bool>& over, float mine) {
  using eight = float __attribute__((vector_size(32)));
  eight a = eight{} + mine, b = a + 1, c = a + 2, d = a + 3;
  std::uint64_t n = 0;
  const auto wrong = [&] {
    int differ = 0;
    for (int i = 0; i < 8; ++i) differ += a[i] != mine || b[i] != mine + 1 || c[i] != mine + 2 || d[i] != mine + 3;
    return differ != 0;
  };
  do {
    for (int i = 0; i < 1000; ++i) asm volatile("" : "+x"(a), "+x"(b), "+x"(c), "+x"(d));
    if (wrong()) return false;
  } while (++n < 3 || !over);
  return true;
}
[[gnu::target("avx")]] void fail_with_registers(float mine) {
  using eight = float __attribute__((vector_size(32)));
  eight a = eight{} + mine, b = a + 1, c = a + 2, d = a + 3;
  asm volatile("movl $1, (%4)" : "+x"(a), "+x"(b), "+x"(c), "+x"(d) : "r"(std::uintptr_t{8}) : "memory");
}

TEST_P(Contain, OneThatFailsWithVectorRegistersInUseLeavesThoseOfTheOthers) {
  if (!async()) GTEST_SKIP() << "the ones at work call nothing";
  if (!__builtin_cpu_supports("avx")) GTEST_SKIP() << "this processor has no AVX";
  run(
      [] {
        std::atomic<bool> over{false};
        std::vector<join_handle<bool>> at_work;
        for (int i = 0; i < 3; ++i)
          at_work.push_back(spawn([&over, i] { return keep_registers(over, static_cast<float>(100 * i)); }));
        for (int i = 0; i < 50; ++i) {
          auto h = spawn([i] { fail_with_registers(static_cast<float>(10'000 + i)); });
          EXPECT_THROW(h.join(), killed);
          EXPECT_EQ(h.info().fault, SIGSEGV);
        }
        over = true;
        for (auto& h : at_work) EXPECT_TRUE(h.join());
      },
      contained());
}

}  // namespace
}  // namespace urge::test
