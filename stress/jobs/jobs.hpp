// SPDX-License-Identifier: MIT
// The jobs of the storms, by library: what storm.hpp lists.
#pragma once
#include <algorithm>

#include "stress/storm.hpp"

namespace urge::stress {

std::uint64_t lua_job(std::uint64_t seed);
std::uint64_t pcre2_job(std::uint64_t seed);
std::uint64_t pcre2_jit_job(std::uint64_t seed);
std::uint64_t zlib_job(std::uint64_t seed);
std::uint64_t zstd_job(std::uint64_t seed);
std::uint64_t sqlite_job(std::uint64_t seed);
std::uint64_t regex_job(std::uint64_t seed);
std::uint64_t iostreams_job(std::uint64_t seed);
std::uint64_t exceptions_job(std::uint64_t seed);
std::uint64_t malloc_job(std::uint64_t seed);
std::uint64_t libc_job(std::uint64_t seed);

}  // namespace urge::stress
