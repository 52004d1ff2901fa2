// SPDX-License-Identifier: MIT
// Jobs of SQLite: a database in memory, filled, indexed, changed, asked, checked. Its connections are separate, but all
// share its memory statistics and page cache, each behind a mutex of pthread. Context: any.
#include <sqlite3.h>

#include <memory>

#include "stress/jobs/jobs.hpp"

namespace urge::stress {

namespace {

struct close_database {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
};
struct finalize {
  void operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); }
};
using database = std::unique_ptr<sqlite3, close_database>;
using statement = std::unique_ptr<sqlite3_stmt, finalize>;

statement prepare(sqlite3* db, const char* sql) {
  sqlite3_stmt* s = nullptr;
  if (sqlite3_prepare_v2(db, sql, -1, &s, nullptr) != SQLITE_OK) return nullptr;
  return statement(s);
}

// Puts all rows into the digest, as text. False: an error.
bool ask(sqlite3* db, const char* sql, digest& d) {
  const statement s = prepare(db, sql);
  if (!s) return false;
  int state;
  while ((state = sqlite3_step(s.get())) == SQLITE_ROW)
    for (int i = 0; i < sqlite3_column_count(s.get()); ++i)
      d.add(std::string_view(reinterpret_cast<const char*>(sqlite3_column_text(s.get(), i)),
                             static_cast<std::size_t>(sqlite3_column_bytes(s.get(), i))));
  return state == SQLITE_DONE;
}

bool fill(sqlite3* db, std::uint64_t seed) {
  const statement insert = prepare(db, "insert into t(name, amount, body) values (?, ?, ?)");
  if (!insert) return false;
  std::uint64_t r = seed;
  for (int i = 0; i < 60; ++i) {
    const std::string name = "row " + std::to_string(next_random(r) % 37);
    const std::string body = text_of(seed + static_cast<std::uint64_t>(i), 40 + next_random(r) % 200);
    sqlite3_bind_text(insert.get(), 1, name.data(), static_cast<int>(name.size()), SQLITE_TRANSIENT);
    sqlite3_bind_double(insert.get(), 2, static_cast<double>(next_random(r) % 100000) / 7);
    sqlite3_bind_text(insert.get(), 3, body.data(), static_cast<int>(body.size()), SQLITE_TRANSIENT);
    if (sqlite3_step(insert.get()) != SQLITE_DONE || sqlite3_reset(insert.get()) != SQLITE_OK) return false;
  }
  return true;
}

}  // namespace

std::uint64_t sqlite_job(std::uint64_t seed) {
  sqlite3* opened = nullptr;
  const int state = sqlite3_open(":memory:", &opened);
  const database db(opened);
  if (state != SQLITE_OK) return failed;
  const auto run = [&](const char* sql) { return sqlite3_exec(opened, sql, nullptr, nullptr, nullptr) == SQLITE_OK; };
  digest d;
  if (!run("create table t(id integer primary key, name text, amount real, body text); begin") || !fill(opened, seed) ||
      !run("commit; create index by_name on t(name)") ||
      !run("update t set amount = amount * 1.5 where name like '%3%'; delete from t where id % 11 = 4") ||
      !ask(opened, "select id, name, amount, length(body) from t order by amount desc, id limit 20", d) ||
      !ask(opened, "select name, count(*), sum(amount), group_concat(id) from t group by name order by 2 desc, 1", d) ||
      !ask(opened, "select a.id, upper(substr(b.body, 1, 9)) from t a join t b on a.name = b.name and a.id < b.id",
           d) ||
      !ask(opened, "pragma integrity_check", d))
    return failed;
  return d.value();
}

}  // namespace urge::stress
