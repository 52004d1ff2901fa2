// SPDX-License-Identifier: MIT
// See task_memory.hpp. A chain in the depot, or in `full`, has `chain` blocks.
#include "sched/task_memory.hpp"

#include <urge/detail/task.hpp>

#include <new>

#include "sched/sanitizer.hpp"
#include "sched/sched.hpp"

namespace urge {

namespace {

constexpr unsigned chain = 32;
constexpr std::size_t region_bytes = std::size_t{256} << 10;

struct {
  raw_lock lock;
  task_block* chains[task_sizes] = {};
  task_cache outside[task_sizes];  // of threads without a P
  char *region = nullptr, *region_end = nullptr;
} depot;

constexpr std::size_t bytes_of(std::size_t size) noexcept { return (size + 1) * task_step; }

// Context: depot.lock held, the cache is empty.
bool refill_locked(task_cache& c, std::size_t size) noexcept {
  if (task_block* first = depot.chains[size]) {
    depot.chains[size] = first->next_chain;
    c.first = first, c.n = chain;
    return true;
  }
  const std::size_t bytes = bytes_of(size) * chain;
  if (static_cast<std::size_t>(depot.region_end - depot.region) < bytes) {
    void* memory = os::map(region_bytes, false);
    if (os::failed(memory)) return false;
    depot.region = static_cast<char*>(memory), depot.region_end = depot.region + region_bytes;
  }
  c.unused = depot.region, c.unused_end = depot.region += bytes;
  return true;
}

void* take_from(task_cache& c, std::size_t size) noexcept {
  if (!c.first && c.full) c.first = std::exchange(c.full, nullptr), c.n = chain;
  if (task_block* b = c.first) {
    c.first = b->next, --c.n;
    return b;
  }
  if (c.unused == c.unused_end) return nullptr;
  return std::exchange(c.unused, c.unused + bytes_of(size));
}

// A chain that the cache has no place for any more, or null.
task_block* put_into(task_cache& c, void* memory) noexcept {
  c.first = new (memory) task_block{c.first, nullptr};
  if (++c.n < chain) return nullptr;
  c.n = 0;
  return std::exchange(c.full, std::exchange(c.first, nullptr));
}

// Context: depot.lock held.
void put_chain_locked(task_block* first, std::size_t size) noexcept {
  if (first) first->next_chain = std::exchange(depot.chains[size], first);
}

void* take(P* p, std::size_t size) noexcept {
  if (!p) {
    std::lock_guard hold(depot.lock);
    task_cache& c = depot.outside[size];
    void* b = take_from(c, size);
    return b || !refill_locked(c, size) ? b : take_from(c, size);
  }
  task_cache& c = p->tasks[size];
  if (void* b = take_from(c, size)) [[likely]]
    return b;
  {
    std::lock_guard hold(depot.lock);
    if (!refill_locked(c, size)) return nullptr;
  }
  return take_from(c, size);
}

void put(P* p, void* memory, std::size_t size) noexcept {
  if (p) {
    if (task_block* rest = put_into(p->tasks[size], memory)) [[unlikely]] {
      std::lock_guard hold(depot.lock);
      put_chain_locked(rest, size);
    }
    return;
  }
  std::lock_guard hold(depot.lock);
  put_chain_locked(put_into(depot.outside[size], memory), size);
}

// On the P of the calling G, which nobody takes meanwhile; null: on none.
template <class F>
auto on_own_p(F f) noexcept {
  G* g = current_g();
  if (!g) return f(nullptr);
  begin_section(g);
  struct at_end {
    G* g;
    ~at_end() { leave_without_yield(g); }
  } end{g};
  return f(g->m->p);
}

// The sanitizers see uses after the end in their own heap.
bool is_ours(std::size_t bytes) noexcept { return !sanitizer::on && bytes <= task_step * task_sizes; }
std::size_t size_of(std::size_t bytes) noexcept { return (bytes + task_step - 1) / task_step - 1; }

}  // namespace

void renew_task_lock() noexcept { new (&depot.lock) raw_lock; }

void* detail::task::operator new(std::size_t bytes) {
  if (!is_ours(bytes)) return ::operator new(bytes);
  if (void* b = on_own_p([&](P* p) { return take(p, size_of(bytes)); })) return b;
  throw std::bad_alloc();
}

void detail::task::operator delete(void* memory, std::size_t bytes) noexcept {
  if (!is_ours(bytes)) return ::operator delete(memory);
  on_own_p([&](P* p) { put(p, memory, size_of(bytes)); });
}

}  // namespace urge
