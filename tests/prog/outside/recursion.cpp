// SPDX-License-Identifier: MIT
// A library that calls nothing of urge; its function entries are yield points all the same.
#include "recursion.hpp"

namespace {
int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
}  // namespace

int recursion(int n) { return fib(n); }
