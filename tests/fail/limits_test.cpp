// SPDX-License-Identifier: MIT
// The kernel's own limits, reached for real: address space, threads of a user, mappings of a process. The error names
// the call and says which limit it may be, and below the limit all is well.
#include <gtest/gtest.h>

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <string>

#include "fail/point.hpp"

namespace urge::test {
namespace {

std::string fatal_line(const verdict& v) {
  const auto at = v.err.find("urge: fatal error: ");
  return at == std::string::npos ? "" : v.err.substr(at, v.err.find('\n', at) - at);
}
bool says(const std::string& text, const std::string& what) { return text.find(what) != std::string::npos; }

void limit_address_space(long megabytes) {
  std::ifstream file("/proc/self/statm");
  long pages = 0;
  file >> pages;
  const auto bytes = static_cast<rlim_t>(pages * 4096 + megabytes * 1024 * 1024);
  const rlimit to{bytes, bytes};
  if (::setrlimit(RLIMIT_AS, &to) != 0) ::_exit(101);
}
// Root has no such limit: the child becomes a user whom nobody else is. By system call: libc would ask other threads.
void limit_threads(long n) {
  const rlimit to{static_cast<rlim_t>(n), static_cast<rlim_t>(n)};
  if (::setrlimit(RLIMIT_NPROC, &to) != 0) ::_exit(101);
  const long nobody_else = 100'000 + ::getpid() % 900'000;
  if (::geteuid() == 0 && ::syscall(SYS_setresuid, nobody_else, nobody_else, nobody_else) != 0) ::_exit(101);
}
// Uses up all mappings but `left`: neighbours with different protection are two. They take no memory.
void use_up_mappings(long left) {
  std::ifstream file("/proc/sys/vm/max_map_count");
  long most = 0;
  file >> most;
  constexpr std::size_t page = 4096;
  const auto bytes = static_cast<std::size_t>(most + 2) * page;
  auto* at = static_cast<char*>(::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (at == MAP_FAILED) ::_exit(101);
  long made = 0;
  while (::mprotect(at + static_cast<std::size_t>(2 * made + 1) * page, page, PROT_READ) == 0) ++made;
  for (; left > 0 && made > 0; left -= 2, --made)
    if (::mprotect(at + static_cast<std::size_t>(2 * made - 1) * page, page, PROT_NONE) != 0) ::_exit(101);
}

TEST(Limits, OfAddressSpaceIsAnErrorOfRunOrOfAStack) {
  bool thrown = false, fatal = false, right = false;
  for (const long megabytes : {0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 4096}) {
    const verdict v = try_point({.limit = limit_address_space, .to = megabytes});
    if (v.signal == SIGABRT) {
      EXPECT_TRUE(says(fatal_line(v), "mmap") && says(fatal_line(v), "errno 1")) << megabytes << ": " << v.to_string();
      fatal = true;
      continue;
    }
    EXPECT_TRUE(v.status == 0) << megabytes << ": " << v.to_string();
    for (const attempt& a : v.seen.during) {
      EXPECT_NE(a.how, ending::wrong) << megabytes << ": " << v.to_string();
      right = right || a.how == ending::right;
      if (a.how != ending::thrown) continue;
      thrown = true;
      EXPECT_TRUE(says(a.text, "mmap") || says(a.text, "pthread_create") || says(a.text, "bad_alloc")) << v.to_string();
    }
  }
  EXPECT_TRUE(thrown && right) << "neither end of the scale was reached";
  (void)fatal;  // depends on what malloc has kept
}

TEST(Limits, OfThreadsIsAnErrorOfRunOrASmallerService) {
  bool thrown = false, right = false;
  for (const long n : {1, 2, 3, 4, 5, 6, 7, 8, 200}) {
    const verdict v = try_point({.limit = limit_threads, .to = n});
    if (v.signal == SIGABRT) {
      EXPECT_TRUE(says(fatal_line(v), "pthread_create") && says(fatal_line(v), "errno 11"))
          << n << ": " << v.to_string();
      continue;
    }
    EXPECT_EQ(v.status, 0) << n << ": " << v.to_string();
    for (const attempt& a : v.seen.during) {
      EXPECT_NE(a.how, ending::wrong) << n << ": " << v.to_string();
      EXPECT_TRUE(a.how != ending::thrown || says(a.text, "pthread_create")) << n << ": " << v.to_string();
      thrown = thrown || a.how == ending::thrown, right = right || a.how == ending::right;
    }
  }
  EXPECT_TRUE(thrown && right) << "neither end of the scale was reached";
}

TEST(Limits, OfMappingsIsNamedByTheFatalErrorOfAStack) {
  bool named = false;
  for (const long left : {600, 60, 40, 30, 20, 10}) {
    const verdict v = try_point({.old_kernel = true, .limit = use_up_mappings, .to = left});
    if (v.signal == SIGABRT) {
      named = named || says(fatal_line(v), "vm.max_map_count");
      EXPECT_TRUE(says(fatal_line(v), "m") && says(fatal_line(v), "errno 1")) << left << ": " << v.to_string();
      continue;
    }
    EXPECT_EQ(v.status, 0) << left << ": " << v.to_string();
    for (const attempt& a : v.seen.during) EXPECT_NE(a.how, ending::wrong) << left << ": " << v.to_string();
    EXPECT_TRUE(left != 600 || v.seen.during[0].how == ending::right) << v.to_string();
  }
  EXPECT_TRUE(named);
}

}  // namespace
}  // namespace urge::test
