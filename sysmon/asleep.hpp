// SPDX-License-Identifier: MIT
// What the thread of an M does now, as the kernel tells it in /proc/self/task/TID/syscall: half a microsecond with the
// file kept open. Context: sched.watching held.
#pragma once
#include <cstddef>
#include <string_view>

#include "sched/m.hpp"

namespace urge::sysmon {

// runs     it runs, or would if it had a CPU
// asleep   in a system call, or in a page fault
// on_lock  in a futex wait without a time limit: such a call goes on behind a signal as if nothing had been
// unknown  the kernel does not say: no /proc, no descriptor left, the thread has ended
enum class doing { runs, asleep, on_lock, unknown };

doing look_at_thread(M&) noexcept;
void close_states() noexcept;  // what look_at_thread keeps open. Context: the end of sysmon

// The contents of that file.
constexpr doing parse_doing(std::string_view text) noexcept;

// --- details ---

constexpr doing parse_doing(std::string_view text) noexcept {
  if (text.starts_with("running")) return doing::runs;
  constexpr std::size_t words = 5;  // the call's number, its first four arguments
  unsigned long word[words] = {};
  std::size_t n = 0, at = 0;
  if (text.starts_with("-1")) return doing::asleep;
  for (; n < words && at < text.size() && text[at] != '\n'; ++n) {
    unsigned base = 10;
    if (text.substr(at, 2) == "0x") base = 16, at += 2;
    const std::size_t first = at;
    for (; at < text.size(); ++at) {
      const char c = text[at];
      const unsigned digit = c >= '0' && c <= '9'   ? static_cast<unsigned>(c - '0')
                             : c >= 'a' && c <= 'f' ? static_cast<unsigned>(c - 'a') + 10
                                                    : base;
      if (digit >= base) break;
      word[n] = word[n] * base + digit;
    }
    if (at == first) return doing::unknown;
    while (at < text.size() && text[at] == ' ') ++at;
  }
  if (n < words) return doing::unknown;
  constexpr unsigned long futex = 202, wait = 0, wait_bitset = 9, command = 127;  // x86-64
  const unsigned long op = word[2] & command;
  const bool waits = word[0] == futex && (op == wait || op == wait_bitset);
  return waits && word[4] == 0 ? doing::on_lock : doing::asleep;
}

}  // namespace urge::sysmon
