// SPDX-License-Identifier: MIT
// A channel without its type: payloads of a fixed size that are copied as bytes under the channel's lock. A T that may
// be copied so is its own payload; any other is moved into a box by the sender and out of it by the receiver, and the
// payload is the box's address: so no code of T's ever runs under the lock or on another stack than its user's.
#pragma once
#include <urge/detail/wait_list.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#pragma GCC visibility push(default)

namespace urge::detail {

enum class chan_result : std::uint8_t { done, would_block, closed, timed_out };

struct chan_core {
  wait_list receivers;  // its lock guards everything here but refs
  wait_list senders;
  std::atomic<std::uint32_t> refs{1};
  std::uint32_t payload_bytes;
  std::size_t capacity;
  std::size_t first = 0;  // index of the oldest
  std::size_t n = 0;
  bool closed = false;
  std::byte* buffer;
  void (*destroy_payload)(void*) = nullptr;    // for what is left at the end; null: nothing to do
  void (*end)(chan_core*) noexcept = nullptr;  // ends one that is part of something larger; null: delete

  chan_core(std::uint32_t bytes, std::size_t capacity, void (*destroy)(void*));
  ~chan_core();
};

void hold(chan_core*) noexcept;
void drop(chan_core*) noexcept;

// `wait` false: never blocks, and may be called by any thread. `function` is named in the error when a G is needed.
chan_result send(chan_core&, const void* payload, bool wait, time_point deadline, const char* function);
chan_result receive(chan_core&, void* payload, bool wait, time_point deadline, const char* function);
bool close(chan_core&);  // false: it was closed
std::size_t size(const chan_core&);

// One case of a select. A timer's case has no channel.
struct select_case {
  enum class kind : std::uint8_t { receive, send, timer } what;
  chan_core* channel = nullptr;
  void* payload = nullptr;
  time_point when{};
  bool got = false;  // out: received a value (false: closed and drained)
};
inline constexpr std::size_t select_none = static_cast<std::size_t>(-1);
inline constexpr std::size_t max_select_cases = 64;
// The index of the case that ran; select_none: none was ready, and `wait` is false. Throws closed for a send.
std::size_t select(select_case*, std::size_t n, bool wait);

// A channel that gets the time at `when`, and then each `period_ns` if that is above 0; no_deadline: in a lifetime.
chan_core* make_timer_channel(time_point when, std::int64_t period_ns, const char* function);
// True: it was pending. What it has sent and nobody received is gone, unless `keep`.
bool stop_timer(chan_core&, bool keep, const char* function);
bool reset_timer(chan_core&, time_point when, std::int64_t period_ns, const char* function);

// How a T travels.
template <class T>
inline constexpr bool travels_as_bytes = std::is_trivially_copyable_v<T>;

}  // namespace urge::detail

#pragma GCC visibility pop
