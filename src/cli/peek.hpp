// SPDX-License-Identifier: MIT
// The work counters of tasks that were stopped at some instruction (program::peek). A forked child reads them: it may
// find data half changed, and crash or hang, without harm. Context: a thread outside the runtime.
#pragma once
#include <memory>
#include <vector>

#include "report.hpp"

namespace urge::cli {

// Adds `work` to the samples that lack it, where it can be had.
void peek_at_work(const std::vector<std::unique_ptr<task>>&, std::vector<sample>&);

}  // namespace urge::cli
