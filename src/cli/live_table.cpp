// SPDX-License-Identifier: MIT
// See live_table.hpp. Control sequences are those of every terminal since the VT100.
#include "live_table.hpp"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "json.hpp"
#include "text_table.hpp"

namespace urge::cli {

namespace {

constexpr const char* clear_below = "\x1b[J";
constexpr const char* down = "\033D";  // keeps the column, and scrolls at the bottom
constexpr const char* save = "\0337";
constexpr const char* restore = "\0338";

winsize size_of_terminal() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0) size = {};
  return size;
}

std::string left_of(const run_report& r, std::size_t i) {
  if (r.samples[i].state != task_state::running) return "-";
  std::int64_t left = INT64_MAX;
  if (r.time_limit) left = r.time_limit->count() - r.wall_ns;
  if (r.specs[i]->cpu_limit) left = std::min(left, r.specs[i]->cpu_limit->count() - r.samples[i].cpu_ns);
  return left == INT64_MAX ? "-" : time_text(std::max<std::int64_t>(left, 0));
}

std::vector<std::string> lines_of(const run_report& r, unsigned columns, bool color) {
  text_table table({{"TASK", false, 9},
                    {"STATE", false, 8},
                    {"SHARE", true, 7},
                    {"CPU", true, 5},
                    {"PREEMPTS", true, 4},
                    {"MAX WAIT", true, 3},
                    {"LEFT", true, 6}});
  std::int64_t total = 0;
  for (const sample& s : r.samples) total += s.cpu_ns;
  for (std::size_t i = 0; i < r.samples.size(); ++i) {
    const sample& s = r.samples[i];
    table.add({{r.specs[i]->name},
               {std::string(name_of(s.state)), color_of(s)},
               {percent_text(s.cpu_ns, total)},
               {time_text(s.cpu_ns)},
               {std::to_string(s.info.preempts())},
               {time_text(s.info.max_wait_ns)},
               {left_of(r, i)}});
  }
  auto lines = table.lines(columns, color);
  const std::string busy = percent_text(total, r.wall_ns * r.how.procs);
  std::string head = fmt::format("urge run: {}", time_text(r.wall_ns));
  if (r.time_limit) head += fmt::format(" of {}", time_text(r.time_limit->count()));
  head += fmt::format(", {} {} {} busy", r.how.procs, r.how.procs == 1 ? "P" : "Ps", busy);
  lines.insert(lines.begin(), head.substr(0, columns));
  return lines;
}

}  // namespace

bool color_wanted() {
  const char* no_color = std::getenv("NO_COLOR");
  return ::isatty(STDERR_FILENO) == 1 && !(no_color && *no_color);
}

unsigned terminal_columns() { return size_of_terminal().ws_col; }

bool live_table::possible() {
  const char* term = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) == 1 && term && *term && std::string_view(term) != "dumb";
}

live_table::live_table(bool wanted) : wanted_(wanted), buffers_stdout_(wanted && ::isatty(STDOUT_FILENO) == 1) {
  static char buffer[1 << 16];  // libc takes the size to heart only with a buffer
  if (buffers_stdout_) std::setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
}

void live_table::draw(const run_report& now) {
  const winsize size = size_of_terminal();
  const unsigned columns = size.ws_col ? size.ws_col : 80, rows = size.ws_row ? size.ws_row : 24;
  auto lines = lines_of(now, columns, color_wanted());
  // One line stays for the cursor.
  if (const std::size_t room = rows > 3 ? rows - 1 : 2; lines.size() > room) {
    const std::size_t hidden = lines.size() - room + 1;
    lines.resize(room - 1);
    lines.push_back(fmt::format("({} more)", hidden).substr(0, columns));
  }
  write_all(STDERR_FILENO, clear_below);
  if (buffers_stdout_) flush_output(stdout, 0);
  std::string frame;
  for (std::size_t i = 0; i < lines.size(); ++i) frame += down;
  frame += fmt::format("\x1b[{}A{}", lines.size(), save);
  for (const std::string& line : lines) frame += "\r\n" + line;
  frame += restore;
  write_all(STDERR_FILENO, frame);
}

void live_table::clear() {
  if (wanted_) write_all(STDERR_FILENO, clear_below);
}

bool flush_output(std::FILE* file, unsigned patience_ms) {
  for (;; --patience_ms) {
    if (::ftrylockfile(file) == 0) {
      ::fflush_unlocked(file);
      ::funlockfile(file);
      return true;
    }
    if (patience_ms == 0) return false;
    ::usleep(1000);
  }
}

}  // namespace urge::cli
