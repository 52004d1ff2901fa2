// SPDX-License-Identifier: MIT
// Memory for alloca and arrays of variable length in code compiled with checks at function entries: these compare with
// the same word as the entries do, and while a request to preempt stands there, ask for memory elsewhere. By the
// compiler's contract it is valid until the function returns, and nobody says when that is: but a block whose G's stack
// pointer has gone above what it was then belongs to a function that has. Blocks are mapped, not allocated: the place
// may be a signal handler. There is one at most for each request: afterwards the stack has its limit again.
// Context: the G, locks > 0; take_back_blocks also for a G that has ended.
#pragma once
#include <cstddef>
#include <cstdint>

namespace urge {

struct G;
struct alloca_block;

// Null: no memory. `sp`: of the function that asks; 0: not on the G's stack, then it is kept until the G ends.
void* lend_block(G&, std::size_t bytes, std::uintptr_t sp) noexcept;
// Unmaps the blocks of functions that have returned, when the stack pointer is `sp`.
void take_back_blocks(G&, std::uintptr_t sp) noexcept;

}  // namespace urge
