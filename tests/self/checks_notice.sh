#!/bin/sh
# SPDX-License-Identifier: MIT
# The scripts of .ci/ must notice what they are there for: small trees with one planted fault each.
# Usage: checks_notice.sh PYTHON SOURCE_DIR WORK_DIR
set -eu
python=$1 source=$2 work=$3
licence='// SPDX-License-Identifier: MIT'

tree() {  # an empty house with the real table
  rm -rf "$work"
  mkdir -p "$work/include/urge" "$work/src/base" "$work/src/sched" "$work/preempt" "$work/sysmon"
  cp "$source/CONTRIBUTING.md" "$work/"
  echo "$licence" | tee "$work/src/base/os.hpp" "$work/src/sched/g.hpp" "$work/preempt/handler.hpp" >/dev/null
  printf '%s\nword.store(1, release);  // [a.word] release: all\nword.load(acquire);  // [a.word] acquire: all\n' \
    "$licence" >"$work/src/base/pair.cpp"
}
accepts() { "$python" "$source/.ci/$1" "$work" >"$work/out" || { cat "$work/out" >&2; exit 1; }; }
refuses() {  # SCRIPT TEXT_OF_THE_FINDING
  if "$python" "$source/.ci/$1" "$work" >"$work/out"; then echo "$1 accepts what it must refuse: $2" >&2; exit 1; fi
  grep -qF "$2" "$work/out" || { echo "$1 does not say: $2" >&2; cat "$work/out" >&2; exit 1; }
}

tree
for script in check_layers.py check_pairs.py check_files.py; do accepts "$script"; done

printf '%s\n#include "sched/g.hpp"\n' "$licence" >"$work/src/base/up.cpp"
refuses check_layers.py 'src/base/up.cpp:2: src/base may not include src/sched/g.hpp'
tree
printf '%s\n#include "preempt/handler.hpp"\n' "$licence" >"$work/sysmon/inner.cpp"
refuses check_layers.py 'sysmon may not include preempt/handler.hpp'
tree
printf '%s\n#include "../base/os.hpp"\n' "$licence" >"$work/src/sched/dots.cpp"
refuses check_layers.py 'name it from the root'
tree
printf '%s\n#include <sys/types.h>\n' "$licence" >"$work/include/urge/go.hpp"
refuses check_layers.py 'a contract header includes only'
tree
mkdir "$work/src/attic"
echo "$licence" >"$work/src/attic/x.cpp"
refuses check_layers.py 'in no row'

tree
printf '%s\nword.store(1, release);  // [b.word] release: it\n' "$licence" >"$work/preempt/half.cpp"
refuses check_pairs.py '[b.word] stands on no operation that acquires'
tree
printf '%s\nword.store(1, release);\n' "$licence" >"$work/preempt/bare.cpp"
refuses check_pairs.py 'release without a tag'
tree
printf '%s\nword.load(acquire);  // [a.word] release: it\n' "$licence" >"$work/preempt/lie.cpp"
refuses check_pairs.py 'says release, the operation is acquire'

tree
echo 'int x;' >"$work/src/base/bare.cpp"
refuses check_files.py 'the first line is not the licence tag'
tree
printf '%s\n// %0120d\n' "$licence" 0 >"$work/src/base/wide.cpp"
refuses check_files.py '123 columns'
tree
{ echo "$licence"; yes '//' | head -n 400; } >"$work/src/base/long.cpp"
refuses check_files.py '401 lines'
tree
printf '%s\n#include <new>\nint shown();\n' "$licence" >"$work/include/urge/hidden.hpp"
refuses check_files.py "includes stands between"
echo "all faults were noticed"
