#!/bin/sh
# SPDX-License-Identifier: MIT
# Which functions a compiler gives a check at their entry (-fsplit-stack), as docs/protocols/prologue_checks.md says it:
# g++ all of them; clang none to those without a frame, and it refuses variadic ones without the attribute.
# Usage: entry_checks.sh COMPILER gnu|clang
set -eu
compiler=$1 kind=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/code.cpp" <<'CODE'
#include <cstdarg>
#ifndef ATTRIBUTE
#define ATTRIBUTE
#endif
void other();
extern "C" int large(int n) { volatile char a[100000]; a[n] = 1; return a[n / 2]; }
extern "C" int calls(int n) { other(); return n + 1; }
extern "C" int leaf(int n) { return n + 1; }
#ifdef VARIADIC
extern "C" ATTRIBUTE int variadic(int, ...);  // g++ takes the attribute on a declaration only
int variadic(int n, ...) {
  va_list a;
  va_start(a, n);
  int sum = 0;
  while (n-- > 0) sum += va_arg(a, int);
  va_end(a);
  return sum;
}
#endif
CODE
# The functions of the code whose entry compares with the word.
checked() {
  "$compiler" -std=c++20 -O2 -fsplit-stack "$@" -S "$work/code.cpp" -o "$work/code.s" || return 1
  awk '/^[a-z]+:/ { sub(":.*", ""); name = $0 } /cmpq.*%fs:112/ { print name }' "$work/code.s" | sort -u | tr '\n' ' '
}
expect() {  # WHAT WANTED FOUND
  [ "$2" = "$3" ] || { echo "$compiler, $1: checks in '$3', expected '$2'" >&2; exit 1; }
}
no_check='-DATTRIBUTE=__attribute__((no_split_stack))'
if [ "$kind" = gnu ]; then
  expect "all" "calls large leaf variadic " "$(checked -DVARIADIC)"
else
  expect "without variadic ones" "calls large " "$(checked)"
  if checked -DVARIADIC >/dev/null 2>&1; then
    echo "$compiler compiles variadic functions now: say so in docs/protocols/prologue_checks.md" >&2
    exit 1
  fi
fi
expect "variadic ones with the attribute" "$([ "$kind" = gnu ] && echo "calls large leaf " || echo "calls large ")" \
  "$(checked -DVARIADIC "$no_check")"
