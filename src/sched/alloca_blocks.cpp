// SPDX-License-Identifier: MIT
// See alloca_blocks.hpp. A list per G, the latest first; a block says itself where it belongs.
#include "sched/alloca_blocks.hpp"

#include "sched/sched.hpp"

namespace urge {

struct alignas(64) alloca_block {
  alloca_block* next;
  std::uintptr_t sp;
  std::size_t bytes;  // with this head
};

void* lend_block(G& g, std::size_t bytes, std::uintptr_t sp) noexcept {
  const std::size_t whole = (bytes + sizeof(alloca_block) + 4095) & ~std::size_t{4095};
  if (whole < bytes) return nullptr;
  void* map = os::map(whole, false);
  if (os::failed(map)) return nullptr;
  g.lent = new (map) alloca_block{g.lent, sp, whole};
  return g.lent + 1;
}

void take_back_blocks(G& g, std::uintptr_t sp) noexcept {
  for (alloca_block** at = &g.lent; *at;) {
    alloca_block* b = *at;
    if (b->sp >= sp || (b->sp == 0 && sp != UINTPTR_MAX)) {
      at = &b->next;
      continue;
    }
    *at = b->next;
    os::unmap(b, b->bytes);
  }
}

}  // namespace urge
