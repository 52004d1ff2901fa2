// SPDX-License-Identifier: MIT
// What the subcommands have in common in their JSON: the counters and options of a run, and where the object goes.
#pragma once
#include <urge/runtime.hpp>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace urge::cli {

// Every field of `stats`; times in ns. Reasons of deferral have the names of their enumerators.
nlohmann::json stats_json(const stats&);
nlohmann::json options_json(const options&);

// The file that --json names, open before the run: what is wrong with it is told at once, and a sandbox does not keep
// it from us. What was in it stays until there is something to write.
class json_output {
 public:
  // A path, "-" for stdout, or empty: none is wanted. Throws usage_error.
  explicit json_output(const std::string& path);
  ~json_output();
  json_output(const json_output&) = delete;
  json_output& operator=(const json_output&) = delete;

  // The object and a line feed; nothing if none is wanted. False: it could not be, and stderr says why.
  bool write(const nlohmann::json&);

 private:
  const std::string path_;
  int fd_ = -1;
};

// Past stdio, whole; false: errno says why.
bool write_all(int fd, std::string_view text);

}  // namespace urge::cli
