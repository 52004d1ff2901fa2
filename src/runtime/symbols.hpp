// SPDX-License-Identifier: MIT
// From an address to a name, without libc's loader lock: the modules as they were when the run started, and their
// symbol tables, mapped from the files when they are first asked for.
#pragma once
#include <cstdint>

#include "base/raw_print.hpp"

namespace urge {

void map_modules() noexcept;  // context: outside a G
// "function+0x12 (module)", or "module+0x1234". Context: any.
void print_symbol(raw_print&, std::uintptr_t pc) noexcept;

}  // namespace urge
