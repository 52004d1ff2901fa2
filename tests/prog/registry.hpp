// SPDX-License-Identifier: MIT
// Small programs for tests that run them as children: each does one thing that may end or hang its process. One
// executable holds them all; its first argument says which. A program prints "OK" where its last step is to be seen.
// Source: Go's testdata/testprog.
#pragma once
#include <string_view>

namespace urge::test {

struct program {
  std::string_view name;
  int (*main)();
  const program* next;

  program(std::string_view called, int (*body)()) : name(called), main(body), next(first) { first = this; }
  static inline const program* first = nullptr;
};

}  // namespace urge::test
