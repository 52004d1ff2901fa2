#!/bin/sh
# SPDX-License-Identifier: MIT
# What the code of the signal handler takes from elsewhere must be on a list: an allocation, a lock of libc or stdio
# that finds its way in adds a name, and fails here. Usage: handler_symbols.sh NM LIST OBJECT_OF_HANDLER OBJECT...
set -eu
nm=$1 list=$2
shift 2
[ $# -eq 3 ] || { echo "expected the objects of handler.cpp, interrupted.cpp, call_number.cpp, got: $*" >&2; exit 1; }

names() { sed -n 's/^ *[0-9a-f]* *[A-Za-z] //p' | sort -u; }
used=$("$nm" -C --undefined-only "$@" | names)
own=$("$nm" -C --defined-only --extern-only "$@" | names)
allowed=$(grep -v '^#' "$list")
# The list is there to be kept: these two are certain to be used.
for certain in urge::sched urge_tls; do
  echo "$used" | grep -qxF "$certain" || { echo "$certain is not used: are these the handler's objects?" >&2; exit 1; }
done

# What one of the objects has for the other comes from nowhere else.
unlisted=$(echo "$used" | grep -vxF "$own" | grep -vxF "$allowed" || true)
if [ -n "$unlisted" ]; then
  echo "used in the signal handler, and not in $list:" >&2
  echo "$unlisted" >&2
  exit 1
fi
echo "$used"
