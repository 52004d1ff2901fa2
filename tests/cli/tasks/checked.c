/* SPDX-License-Identifier: MIT
 *
 * Calls functions, and nothing that could give way by itself.
 *
 * usage: checked N    fib(N), which it prints; 0: without an end
 */
#include <stdio.h>
#include <stdlib.h>

static __attribute__((noinline)) int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

int main(int argc, char** argv) {
  const int n = argc > 1 ? atoi(argv[1]) : 20;
  while (n == 0)
    if (fib(12) != 144) return 1;
  printf("checked: %d\n", fib(n));
  return 0;
}
