#!/bin/sh
# SPDX-License-Identifier: MIT
# What runs at a function entry must leave the vector registers alone, for they may hold arguments, and take from
# elsewhere only what is listed: first all code of the two files, then the functions that they call, in the library.
# Usage: function_entry.sh NM OBJDUMP LIST LIBRARY OBJECT_OF_FUNCTION_ENTRY OBJECT_OF_MORESTACK...
set -eu
nm=$1 objdump=$2 list=$3 library=$4
shift 4
[ $# -eq 3 ] || { echo "expected the objects of function_entry.cpp, morestack.cpp, morestack.S: $*" >&2; exit 1; }
touches() { grep -E '%(x|y|z)mm|%k[0-7]|%st|%mm[0-7]|fxsave|xsave|emms|vzero' || true; }

names() { sed -n 's/^ *[0-9a-f]* *[A-Za-z] //p' | sort -u; }
used=$("$nm" -C --undefined-only "$@" | names)
own=$("$nm" -C --defined-only --extern-only "$@" | names)
echo "$used" | grep -qxF urge::sched || { echo "urge::sched is not used: are these the right objects?" >&2; exit 1; }
unlisted=$(echo "$used" | grep -vxF "$own" | grep -vxF "$(grep -v '^#' "$list")" || true)
[ -z "$unlisted" ] || { printf 'used at function entries, and not in %s:\n%s\n' "$list" "$unlisted" >&2; exit 1; }

found=$("$objdump" -d --no-show-raw-insn "$@" | touches)
[ -z "$found" ] || { printf 'vector registers are used:\n%s\n' "$found" >&2; exit 1; }

# The functions that are called before the registers are saved; those of alloca are called as any function is.
called=$(sed -n 's/^# called: //p' "$list")
[ -n "$called" ] || { echo "$list names no function that is called" >&2; exit 1; }
all=$("$objdump" -dC --no-show-raw-insn "$library")
for name in $called; do
  code=$(echo "$all" | sed -n "/<$name(.*>:\$/,/^\$/p")
  [ -n "$code" ] || { echo "$name is not in $library" >&2; exit 1; }
  found=$(echo "$code" | touches)
  [ -z "$found" ] || { printf '%s uses vector registers:\n%s\n' "$name" "$found" >&2; exit 1; }
done
echo "$(echo "$used" | wc -l) names"
