// SPDX-License-Identifier: MIT
// A plugin with an output of its own: what the object itself means by stdout, std::cout and file descriptor 1 goes
// there. Only this object's references are changed, so nobody else pays or notices. What libraries that it brings along
// print, and child processes, is not redirected: these mean the process's stdout.
#pragma once
#include <cstdio>

#include "plugin_image.hpp"

namespace urge::cli {

// Context: the main thread, before the plugin's first instruction. `out` must outlive the process's last task.
void redirect_stdout(plugin_image&, std::FILE* out);

}  // namespace urge::cli
