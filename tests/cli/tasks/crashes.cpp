// SPDX-License-Identifier: MIT
// Programs that break: each symbol is one, called as a main.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>

extern "C" {
[[gnu::visibility("default")]] int null_pointer(int, char**) {
  int* volatile nowhere = nullptr;
  return *nowhere;
}
[[gnu::visibility("default")]] int division(int argc, char**) {
  volatile int zero = argc - argc;
  return 5 / zero;
}
[[gnu::visibility("default"), gnu::noinline]] int recursion(int n, char** text) {
  volatile char frame[512];
  frame[0] = static_cast<char>(n);
  return recursion(n + 1, text) + frame[0];
}
[[gnu::visibility("default")]] int aborts(int, char**) { std::abort(); }
[[gnu::visibility("default")]] int beyond_the_end(int, char**) {
  std::FILE* file = std::tmpfile();
  if (!file || ::ftruncate(::fileno(file), 4096) != 0) return 2;
  void* const page = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, ::fileno(file), 0);
  if (page == MAP_FAILED || ::ftruncate(::fileno(file), 0) != 0) return 2;
  return *static_cast<volatile int*>(page);
}
[[gnu::visibility("default")]] int frees_twice(int, char**) {
  void* volatile memory = std::malloc(2000);
  std::free(memory);
  void* volatile again = memory;
  std::free(again);
  return 0;
}
[[gnu::visibility("default")]] int counts(int, char**) {
  volatile int n = 0;
  while (n < 300'000'000) n = n + 1;
  std::puts("counted");
  return 0;
}
}
