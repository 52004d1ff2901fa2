// SPDX-License-Identifier: MIT
// For prologue_bench: compiled twice, with URGE_FIB as its name, and once with checks at function entries.
extern "C" int URGE_FIB(int n);
extern "C" __attribute__((noinline)) int URGE_FIB(int n) { return n < 2 ? n : URGE_FIB(n - 1) + URGE_FIB(n - 2); }
