// SPDX-License-Identifier: MIT
// The table on a terminal, drawn anew in its place. Between two drawings the cursor stays where the tasks' output goes
// on, and the table lies below it: output that comes meanwhile runs over the table, and the next drawing clears that
// away. With an output that is buffered, and written out by us just before a drawing, not even that is seen; so for as
// long as there is a table, stdout is fully buffered if it is a terminal, too. Context: one thread outside the runtime.
#pragma once
#include <string>
#include <vector>

#include "report.hpp"

namespace urge::cli {

class live_table {
 public:
  // Is stderr a terminal that can do it?
  static bool possible();
  // Says so to stdio if it is to be used. Before the first task.
  explicit live_table(bool wanted);
  bool wanted() const noexcept { return wanted_; }
  // The tasks' lines on stdout are written by us.
  bool buffers_stdout() const noexcept { return buffers_stdout_; }

  void draw(const run_report& now);
  void clear();

 private:
  bool wanted_ = false, buffers_stdout_ = false;
};

// May text for people be coloured? (NO_COLOR: https://no-color.org)
bool color_wanted();
// Of the terminal that stderr is; 0: it is none.
unsigned terminal_columns();

// Writes out what stdio holds for stdout. Waits for its lock for at most `patience_ms`: a task that was stopped may
// keep it for ever. False: it could not be had.
bool flush_output(std::FILE*, unsigned patience_ms);

}  // namespace urge::cli
