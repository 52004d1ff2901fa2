// SPDX-License-Identifier: MIT
// See m_memory.hpp. sched.lock guards both lists; that of the stacks is linked by their first words.
#include "runtime/m_memory.hpp"

#include <cstring>
#include <new>
#include <utility>

namespace urge {

namespace {
M* free_ms = nullptr;
char* free_stacks = nullptr;
constexpr std::size_t page = 4096;
}  // namespace

std::size_t thread_stack_bytes() noexcept {
  static const std::size_t bytes = 256 * 1024 + ((os::thread_overhead_bytes() + page - 1) & ~(page - 1));
  return bytes;
}

char* take_thread_stack(int& error) noexcept {
  {
    std::lock_guard hold(sched.lock);
    if (char* s = free_stacks) {
      std::memcpy(&free_stacks, s, sizeof free_stacks);
      return s;
    }
  }
  void* map = os::map(page + thread_stack_bytes(), false);
  if (os::failed(map)) {
    error = static_cast<int>(reinterpret_cast<long>(map));
    return nullptr;
  }
  error = os::protect_none(map, page);
  if (error == 0) return static_cast<char*>(map) + page;
  os::unmap(map, page + thread_stack_bytes());
  return nullptr;
}

void put_thread_stack(M& m) noexcept {
  char* s = std::exchange(m.thread_stack, nullptr);
  if (!s) return;
  std::lock_guard hold(sched.lock);
  std::memcpy(s, &free_stacks, sizeof free_stacks);
  free_stacks = s;
}

M* make_m() noexcept {
  std::lock_guard hold(sched.lock);
  constexpr std::size_t batch = 32;
  if (!free_ms) {
    void* map = os::map(sizeof(M) * batch, false);
    if (os::failed(map)) return nullptr;
    for (std::size_t i = 0; i < batch; ++i) {
      M* m = new (static_cast<M*>(map) + i) M;
      m->link = free_ms;
      free_ms = m;
    }
  }
  M* m = free_ms;
  if (!m->alt_stack) {
    void* map = os::map(alt_stack_bytes, false);
    if (os::failed(map)) return nullptr;
    m->alt_stack = static_cast<char*>(map);
  }
  if (!m->save_stack && sched.threads_stay()) {
    void* map = os::map(save_stack_bytes, false);
    if (os::failed(map)) return nullptr;
    m->save_stack = static_cast<char*>(map);
  }
  free_ms = m->link;
  m->link = nullptr;
  return m;
}

void free_m(M* m) noexcept {
  // The end of a run may have come between the giving of these and the taking.
  m->next_p = nullptr;
  m->tenant = nullptr, m->to_pass = {};
  m->successor = nullptr, m->promised = false;
  m->ends = false;
  std::lock_guard hold(sched.lock);
  m->link = free_ms;
  free_ms = m;
}

}  // namespace urge
