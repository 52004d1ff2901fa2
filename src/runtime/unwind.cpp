// SPDX-License-Identifier: MIT
// See unwind.hpp. libunwind defines _Unwind_RaiseException and its like for itself, and Debian's exports them: linked
// in the ordinary way it may come before libgcc in the program's symbol resolution and take over its C++ exceptions.
// Linking a copy with these names made local does not work either: libunwind.a is neither -fPIC nor -fPIE. So the
// shared library is opened RTLD_LOCAL, where nobody else finds its names, and the functions used are looked up.
#define UNW_LOCAL_ONLY
#include "runtime/unwind.hpp"

#include <cxxabi.h>
#include <dlfcn.h>
#include <libunwind.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "base/atomic.hpp"

namespace urge {

namespace {

constexpr int max_frames = 64;

// Written in the first run before any G is, const afterwards.
struct unwinder {
  decltype(&::unw_tdep_getcontext) getcontext = nullptr;
  decltype(&::unw_init_local) init_local = nullptr;
  decltype(&::unw_step) step = nullptr;
  decltype(&::unw_get_reg) get_reg = nullptr;
  decltype(&::unw_get_proc_name) get_proc_name = nullptr;
  decltype(&::unw_is_signal_frame) is_signal_frame = nullptr;
  decltype(&::unw_set_caching_policy) set_caching_policy = nullptr;
  unw_addr_space_t* space = nullptr;
};
unwinder lib;
bool loaded = false;

template <class F>
bool find(void* library, const char* name, F& into) noexcept {
  into = reinterpret_cast<F>(dlsym(library, name));
  return into != nullptr;
}

void print_name(raw_print& out, const char* name) noexcept {
  int status = 0;
  char* plain = abi::__cxa_demangle(name, nullptr, nullptr, &status);
  out << (plain ? plain : name);
  std::free(plain);
}

void print_module(raw_print& out, unw_word_t pc, bool with_offset) noexcept {
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(pc), &info) == 0 || !info.dli_fname) return;
  const char* slash = std::strrchr(info.dli_fname, '/');
  const char* name = slash ? slash + 1 : info.dli_fname;
  if (with_offset)
    (out << name << "+").hex(pc - reinterpret_cast<std::uintptr_t>(info.dli_fbase));
  else
    out << " (" << name << ")";
}

void print_frame(raw_print& out, int n, unw_cursor_t& at, unw_word_t pc) noexcept {
  char name[512];
  unw_word_t offset = 0;
  out << "    #" << n << " ";
  out.hex(pc) << " ";
  // A name that does not fit is cut, which is not an error for us.
  const int error = lib.get_proc_name(&at, name, sizeof name, &offset);
  const bool named = error == 0 || error == -UNW_ENOMEM;
  if (named) {
    print_name(out, name);
    (out << "+").hex(offset);
  }
  print_module(out, pc, !named);
  out << "\n";
}

}  // namespace

void load_unwinder() noexcept {
  static bool tried = false;
  if (tried) return;
  tried = true;
  void* library = dlopen("libunwind.so.8", RTLD_LOCAL | RTLD_NOW);
  if (!library) return;
  loaded = find(library, "_Ux86_64_getcontext", lib.getcontext) &&
           find(library, "_ULx86_64_init_local", lib.init_local) && find(library, "_ULx86_64_step", lib.step) &&
           find(library, "_ULx86_64_get_reg", lib.get_reg) &&
           find(library, "_ULx86_64_get_proc_name", lib.get_proc_name) &&
           find(library, "_ULx86_64_is_signal_frame", lib.is_signal_frame) &&
           find(library, "_ULx86_64_set_caching_policy", lib.set_caching_policy) &&
           find(library, "_ULx86_64_local_addr_space", lib.space);
  // The cache is one for all threads, under a lock of its own. For one backtrace before the end it is not worth it.
  if (loaded) lib.set_caching_policy(*lib.space, UNW_CACHE_NONE);
}

bool print_unwound(raw_print& out) noexcept {
  if (!loaded) return false;
  unw_context_t here;
  unw_cursor_t at;
  if (lib.getcontext(&here) != 0 || lib.init_local(&at, &here) != 0) return false;
  for (int n = 0; n < max_frames && lib.step(&at) > 0; ++n) {
    unw_word_t pc = 0;
    if (lib.get_reg(&at, UNW_REG_IP, &pc) != 0 || pc == 0) return n != 0;
    // The address after a call may lie in the next function; after a signal it is exact.
    print_frame(out, n, at, lib.is_signal_frame(&at) > 0 ? pc : pc - 1);
  }
  return true;
}

}  // namespace urge
