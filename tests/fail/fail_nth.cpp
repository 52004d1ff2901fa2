// SPDX-License-Identifier: MIT
// See fail_nth.hpp. `__wrap_f` is what the library's calls of `f` reach, `__real_f` the function itself; functions of
// ours have their mangled names there.
#include "fail/fail_nth.hpp"

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <new>

namespace urge::test {

namespace {

std::atomic<resource> wanted{resource::count_};
std::atomic<std::uint64_t> first{0}, counted{0}, failed{0};
std::atomic<bool> and_all_after{false}, old_kernel{false};
constexpr int guard_advice = 102;  // MADV_GUARD_INSTALL

bool fails(resource r) noexcept {
  if (wanted.load(std::memory_order_relaxed) != r) return false;
  const std::uint64_t n = counted.fetch_add(1) + 1, from = first.load();
  if (from == 0 || n < from || (n > from && !and_all_after.load())) return false;
  failed.fetch_add(1);
  return true;
}

}  // namespace

const char* name_of(resource r) noexcept {
  constexpr const char* names[] = {"mmap",   "madvise",      "mprotect", "pthread_create", "clone",
                                   "tgkill", "timer_create", "dlopen",   "memory"};
  return names[static_cast<unsigned>(r)];
}

void fail_nth(resource r, std::uint64_t n, bool all_from_there) noexcept {
  wanted = resource::count_;
  first = n, counted = 0, failed = 0, and_all_after = all_from_there;
  wanted = r;
}
std::uint64_t calls_counted() noexcept { return counted.load(); }
std::uint64_t calls_failed() noexcept { return failed.load(); }
void pretend_old_kernel() noexcept { old_kernel = true; }

}  // namespace urge::test

using urge::test::fails;
using urge::test::resource;

extern "C" {
void* __real__ZN4urge2os3mapEmb(std::size_t, bool) noexcept;
void* __wrap__ZN4urge2os3mapEmb(std::size_t bytes, bool reserve_only) noexcept {
  if (fails(resource::mmap)) return reinterpret_cast<void*>(static_cast<std::intptr_t>(-ENOMEM));
  return __real__ZN4urge2os3mapEmb(bytes, reserve_only);
}

int __real__ZN4urge2os6adviseEPvmi(void*, std::size_t, int) noexcept;
int __wrap__ZN4urge2os6adviseEPvmi(void* address, std::size_t bytes, int advice) noexcept {
  if (advice == urge::test::guard_advice && urge::test::old_kernel) return -EINVAL;
  if (fails(resource::madvise)) return -ENOMEM;
  return __real__ZN4urge2os6adviseEPvmi(address, bytes, advice);
}

int __real__ZN4urge2os12protect_noneEPvm(void*, std::size_t) noexcept;
int __wrap__ZN4urge2os12protect_noneEPvm(void* address, std::size_t bytes) noexcept {
  if (fails(resource::mprotect)) return -ENOMEM;
  return __real__ZN4urge2os12protect_noneEPvm(address, bytes);
}

int __real__ZN4urge2os6tgkillEii(int, int) noexcept;
int __wrap__ZN4urge2os6tgkillEii(int tid, int signal) noexcept {
  if (fails(resource::tgkill)) return -EAGAIN;
  return __real__ZN4urge2os6tgkillEii(tid, signal);
}

int __real__ZN4urge2os17make_thread_timerEi(int) noexcept;
int __wrap__ZN4urge2os17make_thread_timerEi(int signal) noexcept {
  if (fails(resource::timer_create)) return -EAGAIN;
  return __real__ZN4urge2os17make_thread_timerEi(signal);
}

int __real_pthread_create(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*) noexcept;
int __wrap_pthread_create(pthread_t* thread, const pthread_attr_t* how, void* (*body)(void*), void* arg) noexcept {
  if (fails(resource::pthread_create)) return EAGAIN;
  return __real_pthread_create(thread, how, body, arg);
}

int __real_clone(int (*)(void*), void*, int, void*, int*, void*, int*) noexcept;
int __wrap_clone(int (*body)(void*), void* stack, int flags, void* arg, int* parent, void* tls, int* child) noexcept {
  if (fails(resource::clone)) {
    errno = EAGAIN;
    return -1;
  }
  return __real_clone(body, stack, flags, arg, parent, tls, child);
}

void* __real_dlopen(const char*, int);
void* __wrap_dlopen(const char* name, int how) {
  if (fails(resource::dlopen)) return nullptr;
  return __real_dlopen(name, how);
}
}

// The forms that the library and the workload use; the others of the standard library call these.
void* operator new(std::size_t bytes) {
  if (!fails(resource::memory))
    if (void* p = std::malloc(bytes)) return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
