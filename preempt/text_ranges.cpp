// SPDX-License-Identifier: MIT
// See text_ranges.hpp. Context: the caller of `run`, before the first M: it calls the loader.
//
// malloc: a linker does not mix the code of two object files, so between two functions that libc exports from one file
// lies nothing but that file's code, static functions included. From __default_morecore (which only malloc.c has used
// since it became a compatibility symbol) to the end of malloc_info that is malloc, free, calloc, realloc, memalign,
// and the static functions that do their work (in glibc 2.36: _int_malloc, _int_free, sysmalloc, the tcache). A few
// rare ones stand before it (consolidation, trimming, the making of an arena), and are counted as the rest of libc:
// what is counted as malloc is malloc, and there may be more. Names are looked up in libc itself, so a program that
// brings its own malloc does not change it. Where one is missing, or they stand in another order, the range is what is
// certain: from malloc on, or nothing.
#include "preempt/text_ranges.hpp"

#include <dlfcn.h>
#include <link.h>

#include <cstring>

#include "preempt/preempt.hpp"

namespace urge::preempt {

text_range ranges[max_ranges];
std::size_t n_ranges = 0;

namespace {

struct library {
  const char* prefix;
  stop_place place;
};
constexpr library system_libraries[] = {
    {"libc.so", stop_place::libc},         {"ld-linux", stop_place::loader}, {"libstdc++.so", stop_place::libstdcxx},
    {"libgcc_s.so", stop_place::unwinder}, {"libm.so", stop_place::libc},    {"libpthread.so", stop_place::libc},
    {"libdl.so", stop_place::libc},
};

const library* system_library(const char* path) noexcept {
  const char* slash = std::strrchr(path, '/');
  const char* name = slash ? slash + 1 : path;
  for (const library& l : system_libraries)
    if (std::strncmp(name, l.prefix, std::strlen(l.prefix)) == 0) return &l;
  return nullptr;
}

int visit(dl_phdr_info* info, std::size_t, void*) {
  const library* l = system_library(info->dlpi_name);
  if (!l) return 0;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& h = info->dlpi_phdr[i];
    if (h.p_type != PT_LOAD || !(h.p_flags & PF_X) || n_ranges == max_ranges) continue;
    ranges[n_ranges++] = {info->dlpi_addr + h.p_vaddr, info->dlpi_addr + h.p_vaddr + h.p_memsz, l->place};
  }
  return 0;
}

// Empty: not found.
text_range find_malloc() noexcept {
  constexpr std::uintptr_t at_most = 64 * 1024;  // malloc.c's code has 22 KiB: more than this is a mistake
  void* libc = dlopen("libc.so.6", RTLD_NOLOAD | RTLD_NOW);
  if (!libc) return {};
  const auto malloc_at = reinterpret_cast<std::uintptr_t>(dlsym(libc, "__libc_malloc"));
  auto low = reinterpret_cast<std::uintptr_t>(dlvsym(libc, "__default_morecore", "GLIBC_2.2.5"));
  void* last = dlsym(libc, "malloc_info");
  dlclose(libc);  // it stays: the program has it too
  Dl_info file;
  void* entry = nullptr;
  if (malloc_at == 0 || !last || dladdr1(last, &file, &entry, RTLD_DL_SYMENT) == 0 || !entry) return {};
  const std::uintptr_t high = reinterpret_cast<std::uintptr_t>(last) + static_cast<const ElfW(Sym)*>(entry)->st_size;
  if (low == 0 || low > malloc_at || malloc_at - low > at_most) low = malloc_at;
  if (high <= malloc_at || high - malloc_at > at_most) return {};
  return {low, high, stop_place::malloc};
}

}  // namespace

void find_text_ranges() noexcept {
  n_ranges = 0;
  // Before libc's, of which it is a part.
  if (const text_range malloc = find_malloc(); malloc.high != 0) ranges[n_ranges++] = malloc;
  dl_iterate_phdr(visit, nullptr);
}

bool in_libc(std::uintptr_t pc) noexcept { return in_system_text(pc); }
bool leaves_by_jumps(std::uintptr_t pc) noexcept {
  const stop_place where = place_of(pc);
  return where == stop_place::loader || where == stop_place::unwinder;
}

}  // namespace urge::preempt
