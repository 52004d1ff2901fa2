// SPDX-License-Identifier: MIT
// Code whose function entries are yield points, in each shape that a prologue can take. The same source is compiled in
// several ways (tests/entry/CMakeLists.txt); each has a table of its functions. They check what they were given
// themselves and know nothing of urge.
#pragma once

namespace urge::test {

struct checked_code {
  const char* name;
  bool every_check;  // clang has none in variadic functions, nor in those without a frame
  int (*fib)(int n);
  // Sum of n longs, or doubles, or of pairs of both.
  long (*sum)(int n, ...);
  double (*sum_of_doubles)(int n, ...);
  double (*sum_of_pairs)(int n, ...);
  // Arguments in all registers that carry some, and on the stack.
  double (*all_kinds)(long a, long b, long c, long d, long e, long f, double s, double t, double u, double v, double w,
                      double x, double y, double z, long on_stack, double too);
  // Frames of 5 and of 100 KiB, written from end to end; returns how many bytes were right.
  int (*wide)(int seed);
  int (*huge)(int seed);
  int (*tail)(int n);                 // a leaf that keeps data below its stack pointer
  int (*throws)(int n);               // throws n through n frames, each with a destructor that counts
  int (*catches)(int n);              // calls it and catches; returns the destructors that ran
  int (*on_stack)(int n);             // n times alloca, each filled and compared; returns how many were right
  void (*volatile* before_alloca)();  // called there, if not null
  int (*lends)(int bytes);            // alloca of so many
  int (*endless)(int n);              // recursion without an end
  int (*even)(int n);                 // by a function that calls back through a pointer
  int (*nested)(int n);               // C only: a nested variadic function, with static chain; null: none
};

}  // namespace urge::test
