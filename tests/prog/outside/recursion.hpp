// SPDX-License-Identifier: MIT
#pragma once

__attribute__((visibility("default"))) int recursion(int n);
