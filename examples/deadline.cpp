// SPDX-License-Identifier: MIT
// Budgets of CPU time for code that has none: a PCRE2 pattern and a std::regex that backtrack for minutes are dropped
// after 20 ms, and the program goes on with the next; a long query of SQLite is resumed, 20 ms at a time, until it is
// done. None of the three libraries knows of urge.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <urge/urge.hpp>

#include <pcre2.h>
#include <sqlite3.h>

#include <cstdio>
#include <regex>
#include <stdexcept>
#include <string>

namespace {
using namespace std::chrono_literals;
constexpr auto budget = 20ms;

// With PCRE2's own limit out of the way: it counts backtracking, not time.
bool pcre2_matches(const std::string& pattern, const std::string& text) {
  int error = 0;
  PCRE2_SIZE at = 0;
  const auto* p = reinterpret_cast<PCRE2_SPTR>(pattern.data());
  pcre2_code* code = pcre2_compile(p, pattern.size(), 0, &error, &at, nullptr);
  if (!code) throw std::runtime_error("bad pattern: " + pattern);
  pcre2_match_data* found = pcre2_match_data_create_from_pattern(code, nullptr);
  pcre2_match_context* how = pcre2_match_context_create(nullptr);
  pcre2_set_match_limit(how, UINT32_MAX);
  const int n = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0, found, how);
  pcre2_match_context_free(how);
  pcre2_match_data_free(found);
  pcre2_code_free(code);
  return n >= 0;
}

bool std_matches(const std::string& pattern, const std::string& text) {
  return std::regex_search(text, std::regex(pattern));
}

long long query(const char* sql) {
  sqlite3* db = nullptr;
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_open(":memory:", &db) != SQLITE_OK || sqlite3_prepare_v2(db, sql, -1, &statement, nullptr) != SQLITE_OK ||
      sqlite3_step(statement) != SQLITE_ROW)
    throw std::runtime_error(sqlite3_errmsg(db));
  const long long value = sqlite3_column_int64(statement, 0);
  sqlite3_finalize(statement);
  sqlite3_close(db);
  return value;
}

void try_pattern(const char* library, bool (*matches)(const std::string&, const std::string&),
                 const std::string& pattern, const std::string& text) {
  auto call = urge::run_for(budget, [=] { return matches(pattern, text); });
  const char* result = !call.done() ? "no answer in 20 ms" : call.get() ? "matches" : "does not match";
  std::printf("%-10s %-12s on %-8.8s %s\n", library, pattern.c_str(), text.c_str(), result);
}  // what was not done is dropped here
}  // namespace

int main() {
  urge::run([] {
    const std::string many(60, 'a');
    for (const char* pattern : {"a+c", "(a+)+$", "^a*b", "(a|aa)+$", "a{3}c$"})
      try_pattern("PCRE2", pcre2_matches, pattern, many + "c");
    for (const char* pattern : {"a+c", "(a+)+b", "a{3}c$"}) try_pattern("std::regex", std_matches, pattern, many + "c");

    auto sum = urge::run_for(budget, [] {
      return query(
          "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 2000000) SELECT sum(n) FROM c");
    });
    int slices = 1;
    for (bool done = sum.done(); !done; done = sum.resume(budget)) ++slices;
    std::printf("SQLite     sum of 1 to 2,000,000: %lld, %s\n", sum.get(),
                slices > 1 ? "resumed until it was done" : "within 20 ms");
  });
}
