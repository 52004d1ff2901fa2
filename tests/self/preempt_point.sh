#!/bin/sh
# SPDX-License-Identifier: MIT
# preempt_point() must stay one load and a branch: compiled at -O2 into a loop with nothing else in it, position
# independent (one more load for the TLS offset, from the GOT) and not. Looked at is the way through when nothing is
# asked: the function up to its return, without the call of the slow side that lies behind it.
# Usage: preempt_point.sh CXX OBJDUMP INCLUDE_DIR WORK_DIR
set -eu
cxx=$1 objdump=$2 include=$3 work=$4
mkdir -p "$work"
cat >"$work/point.cpp" <<'CPP'
#include <urge/preempt.hpp>
extern "C" void point() { urge::preempt_point(); }
CPP
for mode in -fPIC -fno-pie; do
  "$cxx" -std=c++20 -O2 -fcf-protection=none "$mode" -I "$include" -c "$work/point.cpp" -o "$work/point.o"
  code=$("$objdump" -d --no-show-raw-insn "$work/point.o" | sed -n '/<point>:/,/^$/p')
  # Addresses off; from the entry to the first return.
  fast=$(echo "$code" | sed -n 's/^ *[0-9a-f]*:[[:space:]]*//p' | sed '/^ret/q')
  echo "$mode:"
  echo "$fast"
  tls=$(echo "$fast" | grep -c '%fs:' || true)
  got=$(echo "$fast" | grep -c '(%rip)' || true)
  jumps=$(echo "$fast" | grep -c '^j' || true)
  calls=$(echo "$fast" | grep -c '^call' || true)
  total=$(echo "$fast" | grep -vc '^nop' || true)
  # The load and comparison, the branch, the return; with the GOT's load one more, and one for a load into a register.
  if [ "$tls" -ne 1 ] || [ "$got" -gt 1 ] || [ "$jumps" -ne 1 ] || [ "$calls" -ne 0 ] || [ "$total" -gt 5 ]; then
    echo "not one load and a branch: $tls loads, $got of the GOT, $jumps branches, $calls calls, $total in all" >&2
    exit 1
  fi
done
