// SPDX-License-Identifier: MIT
// Jobs of libstdc++: regular expressions, streams with locales, exceptions. Context: any.
#include <exception>
#include <iomanip>
#include <limits>
#include <locale>
#include <regex>
#include <sstream>
#include <stdexcept>

#include "stress/jobs/jobs.hpp"

namespace urge::stress {

std::uint64_t regex_job(std::uint64_t seed) {
  const std::string text = text_of(seed, 160);
  digest d;
  const std::regex words(R"(([a-z]+)\s+(\d+)?)", std::regex::icase);
  for (std::sregex_iterator at(text.begin(), text.end(), words), end; at != end; ++at)
    for (const auto& part : *at) d.add(part.matched ? part.str() : std::string("-"));
  d.add(std::regex_replace(text, std::regex("([aeiou])([^aeiou\\s])"), "$2$1"));
  try {
    const std::regex broken("(" + text.substr(0, 5));
    return failed;
  } catch (const std::regex_error& e) {
    d.add(static_cast<std::uint64_t>(e.code()));
  }
  return d.value();
}

namespace {
struct grouped : std::numpunct<char> {
  char do_thousands_sep() const override { return '\''; }
  std::string do_grouping() const override { return "\3"; }
  char do_decimal_point() const override { return ','; }
};
}  // namespace

std::uint64_t iostreams_job(std::uint64_t seed) {
  std::uint64_t r = seed;
  digest d;
  std::ostringstream out;
  out << std::setprecision(std::numeric_limits<double>::max_digits10);
  double values[24];
  for (double& v : values) {
    v = static_cast<double>(next_random(r)) / 977 - 100'000;
    out << v << ' ';
  }
  std::istringstream in(out.str());
  for (const double v : values) {
    double back = 0;
    if (!(in >> back) || back != v) return failed;
  }
  d.add(out.str());

  std::ostringstream local;
  local.imbue(std::locale(std::locale::classic(), new grouped));
  for (int i = 0; i < 8; ++i)
    local << std::setw(16) << std::fixed << std::setprecision(2) << values[i] << '|' << std::hex << std::showbase
          << next_random(r) << std::dec << '|' << std::boolalpha << (i % 3 == 0) << '\n';
  d.add(local.str());
  std::istringstream back(local.str());
  back.imbue(local.getloc());
  std::string line;
  while (std::getline(back, line)) {
    std::istringstream one(line);
    one.imbue(local.getloc());
    double v = 0;
    if (!(one >> v)) return failed;
    d.add(static_cast<std::uint64_t>(v * 100 + 1e9));
  }
  std::stringstream none("x");
  none.exceptions(std::ios::failbit);
  try {
    int number;
    none >> number;
    return failed;
  } catch (const std::ios_base::failure&) {
    d.add(static_cast<std::uint64_t>(none.rdstate()));
  }
  return d.value();
}

namespace {

struct base {
  virtual ~base() = default;
  virtual std::string who() const = 0;
};
struct thrown : base {
  explicit thrown(std::string text) : text_(std::move(text)) {}
  std::string who() const override { return text_; }

 private:
  std::string text_;
};

struct note_unwinding {
  digest& d;
  std::uint64_t depth;
  ~note_unwinding() { d.add(depth * 16 + static_cast<std::uint64_t>(std::uncaught_exceptions())); }
};

[[gnu::noinline]] int deep(digest& d, std::uint64_t depth, std::uint64_t seed) {
  const note_unwinding at_end{d, depth};
  if (depth == 0) {
    if (seed % 3 == 0) throw std::out_of_range("seed " + std::to_string(seed));
    if (seed % 3 == 1) throw thrown("thrown " + std::to_string(seed));
    throw static_cast<int>(seed);
  }
  const std::string local = "frame " + std::to_string(depth);
  return deep(d, depth - 1, seed) + static_cast<int>(local.size());
}

void once(digest& d, std::uint64_t seed) {
  std::exception_ptr kept;
  try {
    try {
      deep(d, 3 + seed % 9, seed);
    } catch (const std::exception& e) {
      d.add(std::string_view(e.what()));
      try {
        deep(d, 2, seed * 3 + 1);
      } catch (const base& inner) {  // while the outer one is being handled
        d.add(inner.who());
      }
      throw;
    } catch (const base& e) {
      d.add(e.who());
      std::throw_with_nested(std::runtime_error("around " + e.who()));
    }
  } catch (const std::runtime_error& e) {
    d.add(std::string_view(e.what()));
    try {
      std::rethrow_if_nested(e);
    } catch (const thrown& inner) {
      d.add(inner.who());
    }
  } catch (const std::logic_error& e) {
    d.add(std::string_view(e.what()));
    kept = std::current_exception();
  } catch (int n) {
    d.add(static_cast<std::uint64_t>(n));
  }
  if (kept) try {
      std::rethrow_exception(kept);
    } catch (const std::out_of_range& e) {
      d.add(std::string_view(e.what()));
    }
}

}  // namespace

std::uint64_t exceptions_job(std::uint64_t seed) {
  digest d;
  for (std::uint64_t i = 0; i < 12; ++i) once(d, seed + i);
  return std::uncaught_exceptions() == 0 && !std::current_exception() ? d.value() : failed;
}

}  // namespace urge::stress
