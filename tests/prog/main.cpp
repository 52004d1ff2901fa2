// SPDX-License-Identifier: MIT
// Runs the program that is named by the first argument; the last line of a run that came to its end is "end".
#include <cstdio>

#include "registry.hpp"

int main(int argc, char** argv) {
  for (const auto* p = urge::test::program::first; p && argc > 1; p = p->next) {
    if (p->name != argv[1]) continue;
    const int status = p->main();
    std::puts("end");
    return status;
  }
  std::fprintf(stderr, "programs:\n");
  for (const auto* p = urge::test::program::first; p; p = p->next)
    std::fprintf(stderr, "  %.*s\n", static_cast<int>(p->name.size()), p->name.data());
  return 2;
}
