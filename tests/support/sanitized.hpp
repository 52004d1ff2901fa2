// SPDX-License-Identifier: MIT
// Whether this is a sanitizer build, and the reasons why a test cannot exist in one. Under a sanitizer preemption is
// cooperative: both keep state behind the thread's TLS base, so no G has an identity of its own and none is stopped by
// signal. A G that calls nothing of the library then keeps its P until it ends. Context: any.
#pragma once
#include <gtest/gtest.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define URGE_TEST_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define URGE_TEST_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define URGE_TEST_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define URGE_TEST_TSAN 1
#endif

namespace urge::test {

#ifdef URGE_TEST_TSAN
inline constexpr bool thread_sanitized = true;
#else
inline constexpr bool thread_sanitized = false;
#endif
#ifdef URGE_TEST_ASAN
inline constexpr bool address_sanitized = true;
#else
inline constexpr bool address_sanitized = false;
#endif
inline constexpr bool sanitized = thread_sanitized || address_sanitized;

// Sizes of a storm: a sanitizer costs a factor of ten or more.
inline constexpr int scaled(int n) { return sanitized ? n / 10 + 1 : n; }

}  // namespace urge::test

#define URGE_TEST_NEEDS_ASYNC() \
  if (urge::test::sanitized) GTEST_SKIP() << "under a sanitizer no G is stopped by signal"
// For programs whose fault is the sanitizer's to report, in its own words.
#define URGE_TEST_NEEDS_FAULTS() \
  if (urge::test::sanitized) GTEST_SKIP() << "the sanitizer reports faults by itself"
#define URGE_TEST_NEEDS_OWN_EXIT() \
  if (urge::test::thread_sanitized) GTEST_SKIP() << "ThreadSanitizer stands before exit and atexit itself"
#define URGE_TEST_NEEDS_PROMPT_SIGNALS() \
  if (urge::test::thread_sanitized) GTEST_SKIP() << "ThreadSanitizer puts a handler off until the thread calls libc"
