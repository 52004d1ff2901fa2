// SPDX-License-Identifier: MIT
// A program with the runtime in it, built with either library. Without an argument it checks whose C++ exceptions it
// has: urge opens libunwind, which defines the same _Unwind_ functions, and these must stay libgcc's, before a run, in
// a G, and for what other libraries find by name. With "escape" an exception escapes from a G: see
// escaped_exception.sh.
#include <urge/go.hpp>
#include <urge/runtime.hpp>

#include <dlfcn.h>

#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>

namespace {

bool failed = false;

void must_be_libgcc(const char* when, const char* name, void* address) {
  Dl_info info{};
  const bool found = address && dladdr(address, &info) != 0 && info.dli_fname;
  std::printf("%s: %s is in %s\n", when, name, found ? info.dli_fname : "nowhere");
  if (!found || !std::strstr(info.dli_fname, "libgcc_s.so.1")) failed = true;
}

void look(const char* when) {
  for (const char* name : {"_Unwind_RaiseException", "_Unwind_Resume", "_Unwind_GetIP", "_Unwind_ForcedUnwind"})
    must_be_libgcc(when, name, dlsym(RTLD_DEFAULT, name));
}

}  // namespace

__attribute__((noinline)) void named_function_that_throws(int n) {
  if (n != 0) throw std::runtime_error("text of the exception, " + std::to_string(n));
}

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "escape") == 0) {
    urge::run([] {
      urge::go({.name = "culprit"}, [] { named_function_that_throws(42); });
      for (;;) urge::this_g::yield();
    });
    return 0;
  }
  look("before run");
  const std::string caught = urge::run([] {
    look("in a G");
    // Opened by now, and by nobody but the runtime.
    if (!dlopen("libunwind.so.8", RTLD_NOLOAD | RTLD_NOW)) failed = true, std::puts("libunwind was not opened");
    if (dlsym(RTLD_DEFAULT, "_ULx86_64_step")) failed = true, std::puts("libunwind's names are visible to all");
    try {
      named_function_that_throws(1);
    } catch (const std::exception& e) {
      return std::string(e.what());
    }
    return std::string();
  });
  look("after run");
  if (caught != "text of the exception, 1") failed = true, std::puts("the exception did not arrive");
  return failed ? 1 : 0;
}
