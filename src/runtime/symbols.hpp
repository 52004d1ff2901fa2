// SPDX-License-Identifier: MIT
// From an address to a name, without libc's loader lock: the modules as they were when the run started, and their
// symbol tables, mapped from the files when they are first asked for; of what was loaded later, elsewhere, what the
// kernel says.
#pragma once
#include <cstdint>

#include "base/raw_print.hpp"

namespace urge {

void map_modules() noexcept;  // context: outside a G
// How names are printed: as the linker knows them, or as in the source, which takes malloc.
enum class names { linker, source };
// "function+0x12 (module)", or "module+0x1234". Context: any; for names::source a preemptible G.
void print_symbol(raw_print&, std::uintptr_t pc, names = names::linker) noexcept;

}  // namespace urge
