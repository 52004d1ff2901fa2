// SPDX-License-Identifier: MIT
// Programs that want something special, each under a symbol of its own.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

// Throws what nobody catches.
extern "C" int throws(int, char**) { throw std::runtime_error("nobody catches this"); }

// Prints its arguments, one a line.
extern "C" int arguments(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) std::printf("%d: %s\n", i, argv[i]);
  std::printf("%d %s\n", argc, argv[argc] ? "more" : "end");
  return 0;
}

// Needs a stack as programs have it.
extern "C" int deep(int, char**) {
  char big[4 * 1024 * 1024];
  std::memset(big, 1, sizeof big);
  long sum = 0;
  for (const char c : big) sum += c;
  std::printf("sum %ld\n", sum);
  return 0;
}

// Prints a line, then runs for ever; what it registers is never called.
extern "C" int endless(int, char**) {
  std::atexit([] { std::puts("called after all"); });
  std::puts("on its way");
  std::fflush(stdout);
  for (volatile unsigned long n = 0;;) n = n + 1;
}

extern "C" int not_a_function;
int not_a_function = 1;
