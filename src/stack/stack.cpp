// SPDX-License-Identifier: MIT
// See stack.hpp. A slot is guard + stack, guard below. Reservations are never unmapped: a handler may look at any of
// them at any time. Within a class they double in size, so a million stacks are some twenty mappings where the kernel
// has MADV_GUARD_INSTALL (6.13); where it has not, each guard is a mapping of its own and vm.max_map_count is the
// limit.
#include "stack/stack.hpp"

#include <sys/mman.h>

#include <bit>
#include <cerrno>

#include "base/lock.hpp"
#include "base/os.hpp"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

namespace urge {

namespace {
constexpr std::size_t exact_classes = 64;  // sizes that get a class of their own; those that come later share:
constexpr std::size_t max_classes = exact_classes + 65;  // four steps an octave, from 16 KiB to 1 GiB
constexpr std::size_t max_regions = 64;                  // doubling from 16 slots: the last would hold 2^67
constexpr std::size_t hot_limit = 64;                    // idle stacks of a class that keep their pages

// A link at the top of an idle stack, where the memory is warm anyway.
struct idle_stack {
  idle_stack* next;
};

struct region {
  atomic<char*> base{nullptr};  // written under the class's lock, last; read by handlers
  std::size_t slots = 0;
};
}  // namespace

struct stack_class {
  std::size_t size = 0;
  raw_lock lock;
  region regions[max_regions];
  std::size_t n_regions = 0;   // lock
  std::size_t used_slots = 0;  // lock; of the last region
  idle_stack* hot = nullptr;   // lock
  std::size_t n_hot = 0;       // lock
  idle_stack* cold = nullptr;  // lock; only the page of the link is kept
  std::size_t n_cold = 0;      // lock
  std::size_t made = 0;        // lock
  std::size_t slot_bytes() const noexcept { return size + guard_bytes; }
};

namespace {
raw_lock classes_lock;
stack_class classes[max_classes];
atomic<std::size_t> n_classes{0};

idle_stack* link_of(const stack& s) noexcept { return reinterpret_cast<idle_stack*>(s.top()) - 1; }
stack stack_of(stack_class* c, idle_stack* link) noexcept {
  return {reinterpret_cast<char*>(link + 1) - c->size, c->size, c};
}

int install_guard(char* at) noexcept {
  static atomic<bool> no_guard_advice{false};
  if (!no_guard_advice.load(relaxed)) {
    const int r = os::advise(at, guard_bytes, MADV_GUARD_INSTALL);
    if (r != -EINVAL) return r;
    no_guard_advice.store(true, relaxed);  // an older kernel
  }
  return os::protect_none(at, guard_bytes);
}

int add_region(stack_class& c) noexcept {
  if (c.n_regions == max_regions) return -ENOMEM;
  const std::size_t slots = std::size_t{16} << (c.n_regions < 16 ? c.n_regions : 16);
  const std::size_t bytes = slots * c.slot_bytes();
  void* base = os::map(bytes, true);
  if (os::failed(base)) return static_cast<int>(reinterpret_cast<std::intptr_t>(base));
  os::advise(base, bytes, MADV_NOHUGEPAGE);  // refused without THP in the kernel: then there is nothing to switch off
  region& r = c.regions[c.n_regions++];
  r.slots = slots;
  r.base.store(static_cast<char*>(base), release);  // [stack.region] release: slots
  c.used_slots = 0;
  return 0;
}
}  // namespace

namespace {
std::size_t next_step(std::size_t size) noexcept {
  const std::size_t step = std::bit_floor(size) / 4;
  return (size + step - 1) / step * step;
}
}  // namespace

stack_class* stack_class_of(std::size_t size) noexcept {
  for (std::size_t i = 0, n = n_classes.load(acquire); i < n; ++i)  // [stack.class] acquire: size
    if (classes[i].size == size) return &classes[i];
  std::lock_guard hold(classes_lock);
  const std::size_t n = n_classes.load(relaxed);
  if (n >= exact_classes) size = next_step(size);
  for (std::size_t i = 0; i < n; ++i)
    if (classes[i].size == size) return &classes[i];
  if (n == max_classes) return nullptr;
  classes[n].size = size;
  n_classes.store(n + 1, release);  // [stack.class] release: size
  return &classes[n];
}

namespace {
constexpr std::size_t page = 4096;

// Most Gs use one page. To look costs a tenth of giving nothing back, which interrupts the other CPUs all the same.
bool has_more_than_the_top(const stack& s) noexcept {
  unsigned char here[256];
  const std::size_t pages = s.size / page - 1;
  if (pages > sizeof here || os::resident(s.low, pages * page, here) < 0) return pages != 0;
  for (std::size_t i = pages; i-- > 0;)
    if (here[i] & 1) return true;
  return false;
}
}  // namespace

stack take_stack(stack_class* c, int& error) noexcept {
  std::lock_guard hold(c->lock);
  if (idle_stack* s = c->hot) {
    c->hot = s->next, --c->n_hot;
    return stack_of(c, s);
  }
  if (idle_stack* s = c->cold) {
    c->cold = s->next, --c->n_cold;
    return stack_of(c, s);
  }
  if (c->n_regions == 0 || c->used_slots == c->regions[c->n_regions - 1].slots) {
    error = add_region(*c);
    if (error < 0) return {};
  }
  region& r = c->regions[c->n_regions - 1];
  char* slot = r.base.load(relaxed) + c->used_slots * c->slot_bytes();
  error = install_guard(slot);
  if (error < 0) return {};
  ++c->used_slots, ++c->made;
  return {slot + guard_bytes, c->size, c};
}

void put_stack(stack s) noexcept {
  stack_class& c = *s.klass;
  idle_stack* link = link_of(s);
  {
    std::lock_guard hold(c.lock);
    if (c.n_hot < hot_limit) {
      link->next = c.hot, c.hot = link, ++c.n_hot;
      return;
    }
  }
  // All but the page with the link goes back to the kernel; outside the lock, it is a system call.
  if (has_more_than_the_top(s)) os::advise(s.low, c.size - page, MADV_DONTNEED);
  std::lock_guard hold(c.lock);
  link->next = c.cold, c.cold = link, ++c.n_cold;
}

bool in_guard(std::uintptr_t address) noexcept {
  for (std::size_t i = 0, n = n_classes.load(acquire); i < n; ++i) {  // [stack.class] acquire: size
    stack_class& c = classes[i];
    for (region& r : c.regions) {
      const auto base = reinterpret_cast<std::uintptr_t>(r.base.load(acquire));  // [stack.region] acquire: slots
      if (base == 0) break;
      if (address >= base && address < base + r.slots * c.slot_bytes())
        return (address - base) % c.slot_bytes() < guard_bytes;
    }
  }
  return false;
}

stack_counts count_stacks() noexcept {
  stack_counts sum{};
  for (std::size_t i = 0, n = n_classes.load(acquire); i < n; ++i) {  // [stack.class] acquire: size
    stack_class& c = classes[i];
    std::lock_guard hold(c.lock);
    sum.reservations += c.n_regions, sum.made += c.made, sum.idle += c.n_hot + c.n_cold;
  }
  return sum;
}

}  // namespace urge
