// SPDX-License-Identifier: MIT
// See checked.hpp. URGE_CHECKED is the table's name, URGE_CHECKED_AS how it was compiled.
#include "entry/code/checked.hpp"

#include <alloca.h>

#include <cstdarg>
#include <cstring>

// clang cannot compile a variadic function with a check.
#ifdef __clang__
#define URGE_NO_CHECK __attribute__((no_split_stack))
#else
#define URGE_NO_CHECK
#endif
#define URGE_APART __attribute__((noinline, noclone))
#ifdef __clang__
#undef URGE_APART
#define URGE_APART __attribute__((noinline))
#endif

namespace {

URGE_APART int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

URGE_NO_CHECK URGE_APART long sum(int n, ...) {
  va_list list;
  va_start(list, n);
  long s = 0;
  for (int i = 0; i < n; ++i) s += va_arg(list, long);
  va_end(list);
  return s;
}
URGE_NO_CHECK URGE_APART double sum_of_doubles(int n, ...) {
  va_list list;
  va_start(list, n);
  double s = 0;
  for (int i = 0; i < n; ++i) s += va_arg(list, double);
  va_end(list);
  return s;
}
// With a frame that is compared in the other form.
URGE_NO_CHECK URGE_APART double sum_of_pairs(int n, ...) {
  volatile char wide[6000];
  wide[0] = 1;
  wide[5999] = 2;
  va_list list;
  va_start(list, n);
  double s = 0;
  for (int i = 0; i < n; ++i) {
    s += static_cast<double>(va_arg(list, long));
    s += va_arg(list, double);
  }
  va_end(list);
  return s + wide[0] + wide[5999] - 3;
}

URGE_APART double all_kinds(long a, long b, long c, long d, long e, long f, double s, double t, double u, double v,
                            double w, double x, double y, double z, long on_stack, double too) {
  return static_cast<double>(a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * on_stack) + 8 * s + 9 * t + 10 * u +
         11 * v + 12 * w + 13 * x + 14 * y + 15 * z + 16 * too;
}

template <int Bytes>
URGE_APART int framed(int seed) {
  volatile unsigned char frame[Bytes];
  for (int i = 0; i < Bytes; ++i) frame[i] = static_cast<unsigned char>(seed + i * 7);
  int right = 0;
  for (int i = 0; i < Bytes; ++i) right += frame[i] == static_cast<unsigned char>(seed + i * 7);
  return right;
}

URGE_APART int tail(int n) {
  volatile int below[24];
  for (int i = 0; i < 24; ++i) below[i] = n + i;
  int s = 0;
  for (int i = 0; i < 24; ++i) s += below[i];
  return s;
}

struct counts {
  int& n;
  ~counts() { ++n; }
};
URGE_APART int throws_below(int n, int& unwound) {
  if (n == 0) throw 4711;
  const counts one{unwound};
  return throws_below(n - 1, unwound) + 1;
}
int thrown = 0;
URGE_APART int throws(int n) {
  thrown = n;
  int unwound = 0;
  return throws_below(n, unwound);
}
URGE_APART int catches(int n) {
  int unwound = 0;
  try {
    return throws_below(n, unwound) * 0 - 1;
  } catch (int what) {
    return what == 4711 ? unwound : -2;
  }
}

URGE_APART int filled_right(unsigned char* at, int bytes, int seed) {
  std::memset(at, seed, static_cast<std::size_t>(bytes));
  int right = 0;
  for (int i = 0; i < bytes; ++i) right += at[i] == static_cast<unsigned char>(seed);
  return right;
}
void (*volatile before_alloca)() = nullptr;
URGE_APART int on_stack(int n) {
  int right = 0;
  auto* kept = static_cast<unsigned char*>(alloca(64));
  std::memset(kept, 77, 64);
  for (int i = 1; i <= n; ++i) {
    if (before_alloca) before_alloca();
    auto* more = static_cast<unsigned char*>(alloca(static_cast<std::size_t>(16 + i)));
    right += filled_right(more, 16 + i, i) == 16 + i;
  }
  for (int i = 0; i < 64; ++i)
    if (kept[i] != 77) return -1;
  return right;
}

URGE_APART int lends(int bytes) {
  auto* memory = static_cast<unsigned char*>(alloca(static_cast<std::size_t>(bytes)));
  memory[0] = 1;
  return filled_right(memory, bytes, 5);
}

volatile int no_end = -1;
URGE_APART int endless(int n) {
  volatile char frame[200];
  frame[0] = static_cast<char>(n);
  return n == no_end ? 0 : endless(n + 1) + frame[0];
}

// No tail calls: clang has no check in a function without a frame.
volatile int one = 1;
int even(int n);
int (*volatile back)(int) = even;
URGE_APART int through(int n, int (*to)(int)) { return one - to(n); }
URGE_APART int even(int n) { return n == 0 ? 1 : through(n - 1, back) * one; }

}  // namespace

#ifdef URGE_CHECKED_NESTED
extern "C" int URGE_CHECKED_NESTED(int);
#else
#define URGE_CHECKED_NESTED nullptr
#endif

extern "C" __attribute__((visibility("default"))) const urge::test::checked_code URGE_CHECKED;
const urge::test::checked_code URGE_CHECKED = {URGE_CHECKED_AS,
#ifdef __clang__
                                               false,
#else
                                               true,
#endif
                                               fib,
                                               sum,
                                               sum_of_doubles,
                                               sum_of_pairs,
                                               all_kinds,
                                               framed<5 * 1024>,
                                               framed<100 * 1024>,
                                               tail,
                                               throws,
                                               catches,
                                               on_stack,
                                               &before_alloca,
                                               lends,
                                               endless,
                                               even,
                                               URGE_CHECKED_NESTED};
