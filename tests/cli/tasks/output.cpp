// SPDX-License-Identifier: MIT
// Writes to its standard output by every road there is, each line flushed, so that their order is the order of calls.
#include <sys/uio.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <iostream>

static std::FILE** const address_of_stdout = &stdout;  // in data, not in code

static void by_vprintf(const char* format, ...) {
  va_list args;
  va_start(args, format);
  std::vprintf(format, args);
  va_end(args);
  std::fflush(stdout);
}

struct early {
  early() { std::puts("constructor"), std::fflush(stdout); }
};
static const early in_constructor;

int main() {
  std::printf("printf %d\n", 1), std::fflush(stdout);
  by_vprintf("vprintf %s\n", "2");
  std::puts("puts"), std::fflush(stdout);
  for (const char* c = "putchar\n"; *c; ++c) std::putchar(*c);
  std::fflush(stdout);
  std::fputs("fputs\n", stdout), std::fflush(stdout);
  std::fprintf(*address_of_stdout, "fprintf\n"), std::fflush(stdout);
  std::cout << "cout " << 7 << std::endl;
  const char text[] = "write\n";
  if (write(STDOUT_FILENO, text, std::strlen(text)) < 0) return 1;
  char one[] = "write", two[] = "v\n";
  const iovec parts[] = {{one, 5}, {two, 2}};
  if (writev(STDOUT_FILENO, parts, 2) < 0) return 1;
  dprintf(STDOUT_FILENO, "dprintf %d\n", 10);
  std::fputs("not flushed", stdout);
  return 0;
}
