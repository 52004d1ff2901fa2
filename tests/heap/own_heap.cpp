// SPDX-License-Identifier: MIT
// A program with a heap of its own, whose lock is one that a test can see: a G is stopped while it holds the lock. What
// makes threads needs the heap (pthread_create does), and so has to wait until that G has run again; the only P is
// given up meanwhile by a G that waits, in a system call, for just that G.
// Arguments: `blocking` or `plain`, how the call is made. Prints "OK".
#include <urge/go.hpp>
#include <urge/io.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>

#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <new>
#include <string_view>

namespace {

// Blocks are cut off one large piece and never come back. Before each is its size.
constexpr std::size_t heap_bytes = std::size_t{1} << 34;
constexpr std::size_t unit = 16;
std::atomic<std::uintptr_t> heap_at{0};
std::atomic<bool> heap_locked{false}, somebody_waits{false};

void* take(std::size_t bytes, std::size_t align) noexcept {
  while (heap_locked.load(std::memory_order_acquire)) {
    somebody_waits.store(true, std::memory_order_relaxed);
    sched_yield();
  }
  if (heap_at.load(std::memory_order_acquire) == 0) {
    void* heap = mmap(nullptr, heap_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (heap == MAP_FAILED) _exit(3);
    std::uintptr_t none = 0;
    heap_at.compare_exchange_strong(none, reinterpret_cast<std::uintptr_t>(heap));
  }
  align = std::max(align, unit);
  const std::size_t room = (bytes + unit - 1) / unit * unit + align + unit;
  const std::uintptr_t from = heap_at.fetch_add(room) + unit;
  auto* block = reinterpret_cast<std::byte*>((from + align - 1) / align * align);
  std::memcpy(block - sizeof bytes, &bytes, sizeof bytes);
  return block;
}
std::size_t size_of(void* block) noexcept {
  std::size_t bytes;
  std::memcpy(&bytes, static_cast<std::byte*>(block) - sizeof bytes, sizeof bytes);
  return bytes;
}

}  // namespace

extern "C" {
void* malloc(std::size_t n) noexcept { return take(n, unit); }
void free(void*) noexcept {}
void* calloc(std::size_t n, std::size_t of) noexcept { return take(n * of, unit); }  // never used before: zero
void* realloc(void* old, std::size_t n) noexcept {
  void* block = take(n, unit);
  if (old) std::memcpy(block, old, std::min(n, size_of(old)));
  return block;
}
void* memalign(std::size_t align, std::size_t n) noexcept { return take(n, align); }
void* aligned_alloc(std::size_t align, std::size_t n) noexcept { return take(n, align); }
int posix_memalign(void** to, std::size_t align, std::size_t n) noexcept {
  *to = take(n, align);
  return 0;
}
std::size_t malloc_usable_size(void* block) noexcept { return block ? size_of(block) : 0; }
}

int main(int argc, char** argv) {
  using namespace std::chrono_literals;
  const bool told = argc > 1 && std::string_view(argv[1]) == "blocking";
  urge::options how = urge::options::from_env();
  how.procs = 1;
  how.quantum = 1ms;
  std::atomic<bool> reads{false}, release{false}, done{false};
  int ends[2];
  if (pipe(ends) != 0) return 1;
  char c = 0;
  urge::run(
      [&] {
        auto hog = urge::spawn([&] {
          // Until the holder was stopped under its lock, the reader sleeps, and whoever needs the heap has come for it.
          while (!reads.load(std::memory_order_relaxed)) {
          }
          const std::uint64_t from = urge::snapshot().preempts_by_signal();
          while (urge::snapshot().preempts_by_signal() < from + 20) {
          }
          release.store(true, std::memory_order_relaxed);
          while (!done.load(std::memory_order_relaxed)) {
          }
        });
        auto holder = urge::spawn([&] {
          // It calls nothing of urge meanwhile: only a signal stops it.
          heap_locked.store(true, std::memory_order_release);
          while (!release.load(std::memory_order_relaxed)) {
          }
          heap_locked.store(false, std::memory_order_release);
          if (write(ends[1], "x", 1) != 1) _exit(4);
        });
        auto reader = urge::spawn([&] {
          while (!heap_locked.load(std::memory_order_relaxed)) urge::this_g::yield();
          const auto call = [&] { return read(ends[0], &c, 1); };
          reads.store(true, std::memory_order_relaxed);
          if ((told ? urge::blocking(call) : call()) != 1) _exit(5);
        });
        holder.join();
        reader.join();
        done.store(true);
        hog.join();
      },
      how);
  if (c == 'x') std::puts(somebody_waits ? "OK, somebody waited" : "OK");
  return 0;
}
