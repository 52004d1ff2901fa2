// SPDX-License-Identifier: MIT
// sysmon's part in waiting for descriptors (docs/protocols/netpoll.md): while Gs wait for some and no M asks the
// kernel, because all of them have other work, sysmon does, by sleeping in ppoll instead of on its word.
//
// Ms that come and go ask often enough: waking sysmon whenever one stops asking would cost a wake-up per request. So as
// long as an M has asked since its last look, sysmon only looks again soon; it asks itself when none has. It sleeps
// long only if some M is in the epoll, or nobody waits: then `netpoll::watched` is false, and an M that leaves calls.
// Nor does it ask all the time while those that it has heard of wait for a P: others would stand behind them.
// Context: sysmon's thread.
#pragma once
#include <cstdint>

#include "sched/netpoll.hpp"

namespace urge::sysmon {

class io_watch {
 public:
  // Before each sleep: what to do about descriptors. False: somebody has to be attended to; look again at once.
  bool plan(std::int64_t now) noexcept;
  // Sleeps until sysmon is called (the word is not `calls` any more), or `until`, or what it has planned comes.
  void sleep(std::uint32_t calls, std::int64_t until) noexcept;

 private:
  void poll(std::uint32_t calls, std::int64_t until) noexcept;

  enum class task { none, look_again, ask } task_ = task::none;
  std::uint32_t polls_seen_ = 0;
  std::int64_t look_at_ = 0;
};

}  // namespace urge::sysmon
