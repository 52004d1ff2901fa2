#!/bin/sh
# SPDX-License-Identifier: MIT
# Compiles each public header as the only one of its translation unit, twice included, with all warnings as errors.
# Usage: headers_alone.sh CXX INCLUDE_DIR WORK_DIR
set -eu
cxx=$1 include=$2 work=$3
rm -rf "$work"
mkdir -p "$work"
count=0
for header in $(cd "$include" && find urge -name '*.hpp' | sort); do
  unit=$work/$(echo "$header" | tr / _).cpp
  printf '#include <%s>\n#include <%s>\n' "$header" "$header" >"$unit"
  "$cxx" -std=c++20 -fsyntax-only -Wall -Wextra -Wpedantic -Werror -I "$include" "$unit"
  count=$((count + 1))
done
echo "$count headers"
[ "$count" -ge 10 ]
