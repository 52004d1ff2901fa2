// SPDX-License-Identifier: MIT
// See text_table.hpp. A character counts as one column; those of UTF-8's continuation bytes count as none.
#include "text_table.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "report.hpp"

namespace urge::cli {

namespace {

constexpr std::size_t gap = 2;       // columns between two cells
constexpr std::size_t shortest = 6;  // what is left of the first column at least

bool continues(char c) noexcept { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return !continues(c); }));
}

// In the middle: the end of a name may be what tells it from others.
std::string cut(const std::string& text, std::size_t width) {
  const std::size_t n = width_of(text);
  if (n <= width) return text;
  const std::size_t tail = (width - 1) / 2, head = width - 1 - tail;
  std::string part;
  std::size_t at = 0;
  for (const char c : text) {
    if (!continues(c) && at++ == head) part += '~';
    if (at <= head || at > n - tail) part += c;
  }
  return part;
}

// Three digits.
std::string short_number(double x) { return fmt::format("{:.{}f}", x, x < 9.995 ? 2 : x < 99.95 ? 1 : 0); }

}  // namespace

std::vector<std::string> text_table::lines(unsigned width, bool color) const {
  std::vector<std::size_t> widths;
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    widths.push_back(width_of(columns_[c].head));
    for (const auto& row : rows_) widths[c] = std::max(widths[c], width_of(printable(row[c].text)));
  }
  std::vector<bool> shown(columns_.size(), true);
  const auto total = [&] {
    std::size_t sum = 0;
    for (std::size_t c = 0; c < widths.size(); ++c) sum += shown[c] ? widths[c] + gap : 0;
    return sum - gap;
  };
  while (width != 0 && total() > width) {
    // The first column gives way before the last of the others does.
    const std::size_t excess = total() - width;
    if (widths[0] >= shortest + excess) {
      widths[0] -= excess;
      break;
    }
    std::size_t least = 0;
    for (std::size_t c = 1; c < columns_.size(); ++c)
      if (shown[c] && (least == 0 || columns_[c].keep < columns_[least].keep)) least = c;
    if (least == 0) {
      widths[0] = std::max<std::size_t>(width, 1);
      break;
    }
    shown[least] = false;
  }

  std::vector<std::string> all;
  const auto add_line = [&](auto&& cell_of) {
    std::string line;
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      if (!shown[c]) continue;
      const cell& x = cell_of(c);
      const std::string text = cut(printable(x.text), widths[c]);
      const std::string space(widths[c] - width_of(text), ' ');
      if (!line.empty()) line.append(gap, ' ');
      if (columns_[c].right) line += space;
      line += color && x.color ? fmt::format("\x1b[{}m{}\x1b[0m", x.color, text) : text;
      if (!columns_[c].right) line += space;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    all.push_back(std::move(line));
  };
  add_line([&](std::size_t c) { return cell{columns_[c].head}; });
  for (const auto& row : rows_) add_line([&](std::size_t c) -> const cell& { return row[c]; });
  return all;
}

std::string time_text(std::int64_t ns) {
  const double x = static_cast<double>(ns);
  if (ns < 1'000) return fmt::format("{} ns", ns);
  if (ns < 999'500) return short_number(x / 1e3) + " us";
  if (ns < 999'500'000) return short_number(x / 1e6) + " ms";
  if (ns < 99'950'000'000) return short_number(x / 1e9) + " s";
  const std::int64_t s = ns / 1'000'000'000;
  return fmt::format("{} m {:02} s", s / 60, s % 60);
}

std::string percent_text(std::int64_t part, std::int64_t whole) {
  return fmt::format("{:.1f}%", whole <= 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

const char* color_of(const sample& s) noexcept {
  if (s.state == task_state::running) return "32";
  return is_failure(s) ? "31" : "36";
}

std::string printable(const std::string& text) {
  std::string clean = text;
  for (char& c : clean)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return clean;
}

}  // namespace urge::cli
