// SPDX-License-Identifier: MIT
// See sandbox.hpp. Landlock by its system calls: Debian 12 has no library for them, and its header ends with the second
// version. A right that is handled is refused wherever no rule grants it; reading is not handled, so it is allowed.
#include "sandbox.hpp"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <system_error>
#include <vector>

#include "sandbox_calls.hpp"
#include "usage.hpp"

namespace urge::cli {

namespace {

struct right {
  int since;  // version of Landlock
  std::uint64_t bit;
  bool in_folder;
};
// All that are not for reading. Not granted in the folder either: to execute, and what makes a file a way to something
// that is no file. As root, a node made in the folder would be a disk.
constexpr right file_rights[] = {
    {1, LANDLOCK_ACCESS_FS_EXECUTE, false},   {1, LANDLOCK_ACCESS_FS_WRITE_FILE, true},
    {1, LANDLOCK_ACCESS_FS_REMOVE_DIR, true}, {1, LANDLOCK_ACCESS_FS_REMOVE_FILE, true},
    {1, LANDLOCK_ACCESS_FS_MAKE_CHAR, false}, {1, LANDLOCK_ACCESS_FS_MAKE_DIR, true},
    {1, LANDLOCK_ACCESS_FS_MAKE_REG, true},   {1, LANDLOCK_ACCESS_FS_MAKE_SOCK, false},
    {1, LANDLOCK_ACCESS_FS_MAKE_FIFO, true},  {1, LANDLOCK_ACCESS_FS_MAKE_BLOCK, false},
    {1, LANDLOCK_ACCESS_FS_MAKE_SYM, true},   {2, LANDLOCK_ACCESS_FS_REFER, true},
    {3, std::uint64_t{1} << 14, true},   // TRUNCATE
    {5, std::uint64_t{1} << 15, false},  // IOCTL_DEV
};

// As of version 6; a kernel that knows less of it wants zeros there.
struct ruleset {
  std::uint64_t files = 0;
  std::uint64_t network = 0;
  std::uint64_t scoped = 0;
};
constexpr std::uint64_t bind_and_connect_tcp = 3, abstract_sockets_and_signals = 3;

long grant(int rules, int fd, std::uint64_t rights) {
  landlock_path_beneath_attr rule{};
  rule.allowed_access = rights;
  rule.parent_fd = fd;
  return ::syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

// All that this program opens is close-on-exec; so what another has handed down to it is not.
void close_inherited() {
  std::vector<int> fds;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    fds.push_back(std::stoi(entry.path().filename().string()));
  for (const int fd : fds)
    if (const int flags = ::fcntl(fd, F_GETFD); fd > STDERR_FILENO && flags >= 0 && !(flags & FD_CLOEXEC)) ::close(fd);
}

}  // namespace

sandbox::sandbox(const std::string& folder) : folder_(folder) {
  fd_ = ::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd_ < 0) throw usage_error("--sandbox " + (folder.empty() ? "''" : folder) + ": open: " + std::strerror(errno));
}

sandbox::~sandbox() { ::close(fd_); }

void sandbox::fail(const std::string& call, int error) const {
  throw std::system_error(error, std::generic_category(), "--sandbox " + folder_ + ": " + call);
}

int sandbox::landlock_version() const {
  const long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 0) fail("landlock_create_ruleset", errno);
  return static_cast<int>(version);
}

void sandbox::enter(int landlock) const {
  const auto threads = std::filesystem::hard_link_count("/proc/self/task") - 2;  // a listing may leave some out
  if (threads != 1) fail("there are " + std::to_string(threads) + " threads already", EINVAL);
  close_inherited();
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("prctl(PR_SET_NO_NEW_PRIVS)", errno);
  confine_paths(landlock);
  if (const int error = confine_calls(landlock)) fail("seccomp", error);
}

void sandbox::confine_paths(int landlock) const {
  ruleset all;
  std::uint64_t in_folder = 0;
  for (const right& r : file_rights) {
    if (landlock < r.since) continue;
    all.files |= r.bit;
    if (r.in_folder) in_folder |= r.bit;
  }
  if (landlock >= 4) all.network = bind_and_connect_tcp;
  if (landlock >= 6) all.scoped = abstract_sockets_and_signals;
  const auto rules = static_cast<int>(::syscall(SYS_landlock_create_ruleset, &all, sizeof all, 0));
  if (rules < 0) fail("landlock_create_ruleset", errno);
  if (grant(rules, fd_, in_folder) != 0) fail("landlock_add_rule", errno);
  // Programs send there what nobody shall see. Where it is missing nobody can.
  if (const int null = ::open("/dev/null", O_PATH | O_CLOEXEC); null >= 0) {
    if (grant(rules, null, LANDLOCK_ACCESS_FS_WRITE_FILE) != 0) fail("landlock_add_rule for /dev/null", errno);
    ::close(null);
  }
  if (::syscall(SYS_landlock_restrict_self, rules, 0) != 0) fail("landlock_restrict_self", errno);
  ::close(rules);
}

}  // namespace urge::cli
