// SPDX-License-Identifier: MIT
// All of urge.
#pragma once
#include <urge/chan.hpp>
#include <urge/errors.hpp>
#include <urge/go.hpp>
#include <urge/io.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>
#include <urge/sync.hpp>
#include <urge/time.hpp>
