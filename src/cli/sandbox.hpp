// SPDX-License-Identifier: MIT
// `--sandbox DIR`: from enter() on, the process cannot use the network, execute a program, or change anything outside
// the folder, whatever code runs in it; docs/sandbox.md has the table. Two things of the kernel's do it, since neither
// can alone: Landlock knows what a path leads to, a seccomp filter (sandbox_calls.hpp) sees each system call but no
// path. Both belong to a thread and are inherited by those that it makes, and by children: so a process enters before
// it has a second thread. There is no way out, and no run that is confined less than was asked for: what the kernel
// lacks is an error. Context: the main thread, before the first task is loaded.
#pragma once
#include <string>

namespace urge::cli {

class sandbox {
 public:
  // Throws usage_error if that is no folder.
  explicit sandbox(const std::string& folder);
  ~sandbox();
  sandbox(const sandbox&) = delete;
  sandbox& operator=(const sandbox&) = delete;

  // All that is open stays usable, but descriptors above 2 that another program has opened: those are closed.
  // Throws std::system_error that names the system call; the process may be confined in part then, and should end.
  void enter() const { enter(landlock_version()); }
  // As if the kernel's Landlock were of this version, not above its own.
  void enter(int landlock) const;

  // Of the kernel's Landlock, from 1 on. Throws std::system_error if it has none.
  int landlock_version() const;

 private:
  [[noreturn]] void fail(const std::string& call, int error) const;
  void confine_paths(int landlock) const;

  const std::string folder_;
  int fd_ = -1;
};

}  // namespace urge::cli
