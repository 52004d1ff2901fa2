// SPDX-License-Identifier: MIT
// A table of text for people, cut to a width: columns go, those with the least `keep` first, and then the first column
// is shortened. Times and shares as its cells show them. Context: threads outside the runtime.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace urge::cli {

struct sample;

class text_table {
 public:
  struct column {
    std::string head;
    bool right = false;
    int keep = 0;
  };
  struct cell {
    std::string text;
    const char* color = nullptr;  // SGR parameters
  };
  explicit text_table(std::vector<column> columns) : columns_(std::move(columns)) {}
  void add(std::vector<cell> row) { rows_.push_back(std::move(row)); }
  // Without line feeds; width 0: any.
  std::vector<std::string> lines(unsigned width, bool color) const;

 private:
  std::vector<column> columns_;
  std::vector<std::vector<cell>> rows_;
};

std::string time_text(std::int64_t ns);                           // "812 us", "12.3 ms", "6.63 s", "2 m 05 s"
std::string percent_text(std::int64_t part, std::int64_t whole);  // "33.2%"
const char* color_of(const sample&) noexcept;                     // of its state
// Text from outside, for one cell: what is no printable character becomes '?'.
std::string printable(const std::string&);

}  // namespace urge::cli
