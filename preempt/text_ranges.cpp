// SPDX-License-Identifier: MIT
// See text_ranges.hpp; and the question built on it: may a G that a signal has stopped be dropped?
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

// Could this word be a return address into the ranges? It must follow a call instruction there: e8 with four bytes, or
// ff /2 with one to six. Lets through a few that are none; that only makes the answer more careful.
bool follows_call(std::uintptr_t pc) noexcept {
  const auto* end = reinterpret_cast<const unsigned char*>(pc);
  if (end[-5] == 0xe8) return true;
  for (int n = 2; n <= 7; ++n)
    if (end[-n] == 0xff && (end[-n + 1] & 0x38) == 0x10) return true;
  return false;
}

}  // namespace

void find_text_ranges() noexcept {
  n_ranges = 0;
  dl_iterate_phdr(visit, nullptr);
}

namespace {

bool returns_to_system(std::uintptr_t word) noexcept { return in_system_text(word) && follows_call(word); }

// Follows the frame pointers. 1: they lead to the first frame of the G, and none of them returns to system code; 0: one
// does; -1: they lead nowhere. Code without frame pointers hides its frames from this, but never the one by which
// system code called it: a callback that has one shows it.
int chain_says(const G& g, const arch::frame& at) noexcept {
  const auto* sp = reinterpret_cast<const std::uintptr_t*>(at.sp & ~std::uintptr_t{7});
  // Stopped before its frame was set up, or after it was taken down.
  if (!g.stk.holds(at.sp + 16) || returns_to_system(sp[0]) || returns_to_system(sp[1])) return 0;
  const auto top = reinterpret_cast<std::uintptr_t>(g.stk.top());
  std::uintptr_t fp = at.fp, last = at.sp;
  for (int n = 0; n < 1000; ++n) {
    if (fp == 0 && top - last < 512) return 1;
    if (fp % 8 != 0 || fp < last || !g.stk.holds(fp + 16)) return -1;
    const auto* frame = reinterpret_cast<const std::uintptr_t*>(fp);
    if (in_system_text(frame[1])) return 0;
    last = fp, fp = frame[0];
  }
  return -1;
}

}  // namespace

bool outside_libc(const G& g) noexcept {
  const arch::frame at = arch::interrupted_frame(g.own->stack_top);
  if (in_system_text(at.pc)) return false;
  if (!g.stk.holds(at.sp)) return false;  // on a stack of its own making: where that ends is not known
  if (const int sure = chain_says(g, at); sure >= 0) return sure == 1;
  // No frame pointers: any word of the live stack may be a return address, also one that was left there long ago.
  const auto* top = reinterpret_cast<const std::uintptr_t*>(g.stk.top());
  for (auto* word = reinterpret_cast<const std::uintptr_t*>(at.sp & ~std::uintptr_t{7}); word < top; ++word)
    if (returns_to_system(*word)) return false;
  return true;
}

}  // namespace urge::preempt
