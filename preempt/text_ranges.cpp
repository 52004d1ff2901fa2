// SPDX-License-Identifier: MIT
// See text_ranges.hpp.
#include "preempt/text_ranges.hpp"

#include <link.h>

#include <cstring>

#include "preempt/preempt.hpp"

namespace urge::preempt {

text_range ranges[max_ranges];
std::size_t n_ranges = 0;

namespace {

bool is_system(const char* path) noexcept {
  const char* slash = std::strrchr(path, '/');
  const char* name = slash ? slash + 1 : path;
  for (const char* prefix :
       {"libc.so", "ld-linux", "libstdc++.so", "libgcc_s.so", "libm.so", "libpthread.so", "libdl.so"})
    if (std::strncmp(name, prefix, std::strlen(prefix)) == 0) return true;
  return false;
}

int visit(dl_phdr_info* info, std::size_t, void*) {
  if (!is_system(info->dlpi_name)) return 0;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& h = info->dlpi_phdr[i];
    if (h.p_type != PT_LOAD || !(h.p_flags & PF_X) || n_ranges == max_ranges) continue;
    ranges[n_ranges++] = {info->dlpi_addr + h.p_vaddr, info->dlpi_addr + h.p_vaddr + h.p_memsz};
  }
  return 0;
}

}  // namespace

void find_text_ranges() noexcept {
  n_ranges = 0;
  dl_iterate_phdr(visit, nullptr);
}

bool in_libc(std::uintptr_t pc) noexcept { return in_system_text(pc); }

}  // namespace urge::preempt
