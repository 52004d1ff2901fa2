// SPDX-License-Identifier: MIT
// Jobs of PCRE2: compile, find all, replace all; by its interpreter and by its compiler to machine code (which has
// neither unwind tables nor a place in any module, and whose memory comes from an allocator with a lock of its own).
// Context: any.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <memory>

#include "stress/jobs/jobs.hpp"

namespace urge::stress {

namespace {

template <auto Free>
struct by {
  template <class T>
  void operator()(T* t) const {
    Free(t);
  }
};
using code = std::unique_ptr<pcre2_code, by<pcre2_code_free>>;
using match_data = std::unique_ptr<pcre2_match_data, by<pcre2_match_data_free>>;

constexpr const char* patterns[] = {
    R"((?<word>[a-z]+)\s+(\d{1,4})(?=\s))",
    R"((\w)(\w*?)\1)",
    R"(^(?:[^\n]*?)(lorem|dolor|sit)\b.*$)",
    R"((?i)(?:(a[mn]et)|(con\w+tur)|(\d+)(?:[.,]\d+)?))",
};
constexpr const char* replacement = "<$1|${2}>";

std::uint64_t pcre2_work(std::uint64_t seed, bool compiled) {
  const std::string text = text_of(seed, 1500);
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  digest d;
  for (const char* pattern : patterns) {
    int error = 0;
    PCRE2_SIZE at = 0;
    const code c(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern), PCRE2_ZERO_TERMINATED, PCRE2_MULTILINE, &error,
                               &at, nullptr));
    if (!c || (compiled && pcre2_jit_compile(c.get(), PCRE2_JIT_COMPLETE) != 0)) return failed;
    const match_data found(pcre2_match_data_create_from_pattern(c.get(), nullptr));
    if (!found) return failed;
    const PCRE2_SIZE* const place = pcre2_get_ovector_pointer(found.get());
    for (PCRE2_SIZE from = 0; from <= text.size();) {
      const int n = pcre2_match(c.get(), subject, text.size(), from, 0, found.get(), nullptr);
      if (n == PCRE2_ERROR_NOMATCH) break;
      if (n < 0) return failed;
      for (int i = 0; i < 2 * n; ++i) d.add(std::uint64_t{place[i]});
      from = place[1] > place[0] ? place[1] : place[1] + 1;
    }
    std::string out(text.size() * 4, '\0');
    PCRE2_SIZE length = out.size();
    const int replaced = pcre2_substitute(c.get(), subject, text.size(), 0,
                                          PCRE2_SUBSTITUTE_GLOBAL | PCRE2_SUBSTITUTE_EXTENDED |
                                              PCRE2_SUBSTITUTE_UNSET_EMPTY | PCRE2_SUBSTITUTE_UNKNOWN_UNSET,
                                          found.get(), nullptr, reinterpret_cast<PCRE2_SPTR>(replacement),
                                          PCRE2_ZERO_TERMINATED, reinterpret_cast<PCRE2_UCHAR*>(out.data()), &length);
    if (replaced < 0) return failed;
    out.resize(length);
    d.add(static_cast<std::uint64_t>(replaced));
    d.add(out);
  }
  return d.value();
}

}  // namespace

std::uint64_t pcre2_job(std::uint64_t seed) { return pcre2_work(seed, false); }
std::uint64_t pcre2_jit_job(std::uint64_t seed) { return pcre2_work(seed, true); }

}  // namespace urge::stress
