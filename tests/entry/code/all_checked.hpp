// SPDX-License-Identifier: MIT
// All tables of checked code that were built; the definition is generated (tests/entry/CMakeLists.txt).
#pragma once
#include <vector>

#include "entry/code/checked.hpp"

namespace urge::test {

const std::vector<const checked_code*>& all_checked();

}  // namespace urge::test
