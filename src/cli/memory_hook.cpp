// SPDX-License-Identifier: MIT
// malloc and its like, before libc's: on the G of a task with a memory limit they count what the task has, as
// malloc_usable_size tells it, and refuse what goes over the limit. Only the task's G writes its count: a task that is
// stopped in the middle of a function below is counted a block too high or too low until it goes on. What a task frees
// that it was not given (a library may have it from another task) is taken off its count, which never falls below 0.
//
// The refused task is to end. Where no lock of libc or pthread can be held it ends here and now, as by _exit. Else the
// function fails, with ENOMEM, and the controller kills the task as soon as it is out of there; meanwhile it may see
// std::bad_alloc, but never more memory.
// What a task maps by mmap, or allocates on threads of its own, is not counted; nor is what its child of fork has, on
// which no G runs.
// Context: any thread or G, from the loader's first call on.
#include "memory_hook.hpp"

#include <malloc.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdlib>

#include "controller.hpp"
#include "exit_hook.hpp"
#include "next_function.hpp"
#include "runtime/host.hpp"
#include "task.hpp"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define URGE_COUNTS_MEMORY 0
#else
#define URGE_COUNTS_MEMORY 1
#endif

namespace urge::cli {

bool memory_can_be_counted() noexcept { return URGE_COUNTS_MEMORY != 0; }

namespace {
bool counting = false;  // const while Gs run
}
void count_memory() noexcept { counting = true; }

#if URGE_COUNTS_MEMORY

namespace {

constexpr auto relaxed = std::memory_order_relaxed;  // the G's own words; the controller wants no more than numbers

task* counted_task() noexcept {
  if (!counting) return nullptr;
  task* t = current_task();
  return t && t->spec.mem_limit ? t : nullptr;
}

void count(task& t, std::int64_t bytes) noexcept {
  const std::int64_t now = std::max<std::int64_t>(t.memory.load(relaxed) + bytes, 0);
  t.memory.store(now, relaxed);
  if (now > t.memory_peak.load(relaxed)) t.memory_peak.store(now, relaxed);
}
std::int64_t size_of(void* block) noexcept { return static_cast<std::int64_t>(::malloc_usable_size(block)); }

// May the task have so many bytes more? If not: its end, at once or soon.
bool admit(task& t, std::size_t bytes) noexcept {
  const auto used = static_cast<std::uint64_t>(t.memory.load(relaxed));
  if (used <= *t.spec.mem_limit && bytes <= *t.spec.mem_limit - used) return true;
  if (in_child()) {  // of vfork, on the task's stack
    errno = ENOMEM;
    return false;
  }
  if (t.refused.load(relaxed) == 0) {
    t.refused.store(std::max<std::size_t>(bytes, 1), relaxed);
    look_again();
  }
  // Asked ever more seldom: it takes long, and one that takes no for an answer shall be stopped elsewhere than there.
  if (std::has_single_bit(++t.refusals) && may_leave_here()) abandon(t);
  errno = ENOMEM;
  return false;
}

// `f` is the next function, `bytes` what is asked for.
template <class F, class... A>
void* allocate(next_function<F>& f, std::size_t bytes, A... a) noexcept {
  task* t = counted_task();
  if (!t) return f.get()(a...);
  if (!admit(*t, bytes)) return nullptr;
  void* block = f.get()(a...);
  if (block) count(*t, size_of(block));
  return block;
}

constinit next_function<void*(std::size_t)> next_malloc("malloc"), next_valloc("valloc"), next_pvalloc("pvalloc");
constinit next_function<void*(std::size_t, std::size_t)> next_calloc("calloc"), next_memalign("memalign"),
    next_aligned_alloc("aligned_alloc");
constinit next_function<void*(void*, std::size_t)> next_realloc("realloc");
constinit next_function<int(void**, std::size_t, std::size_t)> next_posix_memalign("posix_memalign");
constinit next_function<void(void*)> next_free("free");

// All of them before the program's first dlopen: one that is first called inside of it, by the loader, would look
// itself up there, and an inner dlsym frees the state in which the outer call is about to note its error.
[[gnu::constructor]] void find_all() noexcept {
  const auto find = [](auto&... f) { ((void)f.get(), ...); };
  find(next_malloc, next_valloc, next_pvalloc, next_calloc, next_memalign, next_aligned_alloc, next_realloc,
       next_posix_memalign, next_free);
}

}  // namespace

#endif

}  // namespace urge::cli

#if URGE_COUNTS_MEMORY

#pragma GCC visibility push(default)
extern "C" {
using namespace urge::cli;

void* malloc(std::size_t bytes) noexcept { return allocate(next_malloc, bytes, bytes); }
void* valloc(std::size_t bytes) noexcept { return allocate(next_valloc, bytes, bytes); }
void* pvalloc(std::size_t bytes) noexcept { return allocate(next_pvalloc, bytes, bytes); }
void* memalign(std::size_t alignment, std::size_t bytes) noexcept {
  return allocate(next_memalign, bytes, alignment, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) noexcept {
  return allocate(next_aligned_alloc, bytes, alignment, bytes);
}

void* calloc(std::size_t n, std::size_t each) noexcept {
  std::size_t bytes;
  if (__builtin_mul_overflow(n, each, &bytes)) return next_calloc.get()(n, each);  // it refuses
  return allocate(next_calloc, bytes, n, each);
}

int posix_memalign(void** to, std::size_t alignment, std::size_t bytes) noexcept {
  task* t = counted_task();
  if (!t) return next_posix_memalign.get()(to, alignment, bytes);
  if (!admit(*t, bytes)) return ENOMEM;
  const int error = next_posix_memalign.get()(to, alignment, bytes);
  if (error == 0) count(*t, size_of(*to));
  return error;
}

void* realloc(void* block, std::size_t bytes) noexcept {
  task* t = counted_task();
  if (!t) return next_realloc.get()(block, bytes);
  const std::int64_t before = block ? size_of(block) : 0;
  if (bytes > static_cast<std::size_t>(before) && !admit(*t, bytes - static_cast<std::size_t>(before))) return nullptr;
  void* moved = next_realloc.get()(block, bytes);
  if (moved)
    count(*t, size_of(moved) - before);
  else if (bytes == 0)
    count(*t, -before);
  return moved;
}
void* reallocarray(void* block, std::size_t n, std::size_t each) noexcept {
  std::size_t bytes;
  if (!__builtin_mul_overflow(n, each, &bytes)) return realloc(block, bytes);
  errno = ENOMEM;
  return nullptr;
}

void free(void* block) noexcept {
  if (task* t = block ? counted_task() : nullptr) count(*t, -size_of(block));
  next_free.get()(block);
}

}  // extern "C"
#pragma GCC visibility pop

#endif
