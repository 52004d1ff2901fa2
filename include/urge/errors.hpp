// SPDX-License-Identifier: MIT
// What ends instead of returning.
#pragma once
#include <stdexcept>

#pragma GCC visibility push(default)

namespace urge {

// Thrown by `chan::send` (and `select`) on a closed channel, and by a second `close`.
struct closed : std::runtime_error {
  explicit closed(const char* what = "urge: send on a closed channel") : std::runtime_error(what) {}
};
// Thrown by `join` when the G was ended by a limit or by `kill` before it had a result.
struct killed : std::runtime_error {
  explicit killed(const char* what = "urge: the G was killed") : std::runtime_error(what) {}
};
// Thrown by `join` when the G left by `this_g::exit` and a result was expected.
struct exited : std::runtime_error {
  explicit exited(const char* what = "urge: the G left by this_g::exit without a result") : std::runtime_error(what) {}
};
// Thrown by `run` when no G can ever go on: all of them wait, none for a time, I/O or in a system call, and there is no
// thread in the process that urge did not make, but the caller of `run`. Every G has been written to stderr then. That
// may be a second after the last such thread has ended; where /proc cannot be read it never comes.
struct deadlock : std::runtime_error {
  explicit deadlock(const char* what = "urge: all goroutines are asleep") : std::runtime_error(what) {}
};

}  // namespace urge

#pragma GCC visibility pop
