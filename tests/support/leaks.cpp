// SPDX-License-Identifier: MIT
// What AddressSanitizer is to take for no leak, in every test program. What a G holds when `run` abandons it stays
// behind by contract, and so does its closure; many tests abandon some. All of it was allocated on a G: leaks of what
// the runtime and the callers of `run` allocate are still found.
extern "C" const char* __lsan_default_suppressions() { return "leak:urge::run_job\n"; }
extern "C" const char* __lsan_default_options() { return "print_suppressions=0"; }
