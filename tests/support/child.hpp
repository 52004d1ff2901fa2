// SPDX-License-Identifier: MIT
// A program run as a child: what may end, hang or be signalled runs in a process of its own. Its output is collected
// while it runs; one that takes longer than its limit is killed, which is told, not hidden. Context: one thread.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace urge::test {

struct child_options {
  std::vector<std::pair<std::string, std::string>> environment;  // added to ours
  std::string directory;                                         // empty: ours
  std::chrono::seconds limit{60};
  unsigned terminal_columns = 0;    // not 0: stderr is a terminal of that width, 24 rows high
  bool stdout_to_terminal = false;  // stdout is the same terminal; all that comes is in `err`
};

struct child_result {
  int status = -1;  // of its exit; -1: it was ended by a signal
  int signal = 0;
  bool timed_out = false;
  std::string out, err;
};

class child {
 public:
  // Throws std::system_error.
  child(const std::string& program, const std::vector<std::string>& arguments, const child_options& = {});
  ~child();  // kills it if it still runs
  child(const child&) = delete;
  child& operator=(const child&) = delete;

  pid_t id() const noexcept { return pid_; }
  void send(int signal);
  bool ended() const;                                               // does not collect
  const std::string& output() const noexcept { return seen_.out; }  // of what was collected so far
  // Collects until stdout (stderr) holds the text. False: it has ended, or its time was up, before.
  bool wait_for_output(const std::string& text) { return wait_for(seen_.out, text); }
  bool wait_for_errors(const std::string& text) { return wait_for(seen_.err, text); }
  // Collects until it has ended.
  child_result finish();

 private:
  bool wait_for(const std::string& where, const std::string& text);
  bool collect();  // one more piece; false: both ends are closed, or the time is up

  pid_t pid_ = -1;
  int out_ = -1, err_ = -1;
  std::chrono::steady_clock::time_point until_;
  child_result seen_;
};

inline child_result run_child(const std::string& program, const std::vector<std::string>& arguments,
                              const child_options& how = {}) {
  return child(program, arguments, how).finish();
}

}  // namespace urge::test
