// SPDX-License-Identifier: MIT
// The threads that identities are made of, and end with. See donor.cpp.
// Context: the maker thread, or the caller of `run` before and after it: pthread_create takes locks and calls malloc.
#pragma once
#include "sched/identity.hpp"

namespace urge::preempt {

// What becomes of a donor's kernel thread once its identity is made.
enum class donor_kind {
  ended,  // it ends, and comes back for the end of the identity
  parked  // it sleeps until then: where the system does not allow the other
};
// The kind of those that are made from now on. The first to be made finds out whether it can be `ended`.
void choose_donors(donor_kind) noexcept;
donor_kind chosen_donors() noexcept;

// A new identity, which is on no list; null: `error` is -errno of what failed.
identity* make_donor(int& error) noexcept;
// The donor ends as a thread: what is left of thread_local and thread-specific data is destroyed, its malloc cache goes
// back to the arena, and its stack can be used again. That takes locks that a stopped G may hold: the maker, whom that
// G may need, does not wait for it.
int begin_to_retire(identity*) noexcept;  // 0, or -errno: no thread to be had
bool has_retired(identity*) noexcept;     // asked until it has; the descriptor is unused then

// Where the kernel tells on which CPU the thread with this block has last run (rseq); null: nowhere.
const std::uint32_t* word_of_cpu(std::uintptr_t base) noexcept;

// Of an identity's stack, in which its block lies: from identity::low on.
std::size_t donor_stack_bytes() noexcept;

}  // namespace urge::preempt
