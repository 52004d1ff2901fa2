// SPDX-License-Identifier: MIT
// Which file lies at an address, by /proc/self/maps: without the loader, whose lock anybody may hold.
#pragma once
#include <cstdint>

namespace urge::os {

struct file_mapping {
  std::uintptr_t low = 0, high = 0;
  std::uint64_t offset = 0;  // of `low`, in the file
  char path[256] = {};
};

// False: nothing is known of it, or it is no file's. By system calls. Context: any, signal handlers too.
bool file_at(std::uintptr_t address, file_mapping&) noexcept;

}  // namespace urge::os
