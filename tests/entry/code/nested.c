// SPDX-License-Identifier: MIT
// A nested function of C that is variadic as well: its prologue keeps the static chain in %rax across the call, and
// wants the address of its arguments afterwards. It is called directly: its address would be code on the stack. gcc
// only.
#include <stdarg.h>

int urge_test_nested(int n);
int urge_test_nested(int n) {
  volatile int factor = n + 1;
  __attribute__((noinline)) int all(int count, ...) {
    va_list list;
    va_start(list, count);
    int s = 0;
    for (int i = 0; i < count; ++i) s += va_arg(list, int);
    va_end(list);
    return s * factor;
  }
  return all(3, n, 2 * n, 3 * n) + all(9, 1, 2, 3, 4, 5, 6, 7, 8, n);
}
