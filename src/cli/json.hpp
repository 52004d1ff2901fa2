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

// Writes the object and a line feed to the file, or to stdout for "-". False: it could not be, and stderr says why.
bool write_json(const std::string& path, const nlohmann::json&);
// Past stdio, whole; false: errno says why.
bool write_all(int fd, std::string_view text);

}  // namespace urge::cli
