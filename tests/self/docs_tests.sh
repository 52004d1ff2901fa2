#!/bin/sh
# SPDX-License-Identifier: MIT
# Every test that a page of docs/ names is there: `Suite.Name`, `Suite.*` and `self/name`, between backticks, are looked
# up in the sources of the tests. Usage: docs_tests.sh SOURCE_DIR
set -euf
cd "$1"

tests=$(grep -rhoE '^(TEST|TEST_F|TEST_P)\([A-Za-z0-9]+, [A-Za-z0-9]+\)' tests --include='*_test.cpp' |
  sed -E 's/^TEST(_F|_P)?\(([A-Za-z0-9]+), ([A-Za-z0-9]+)\)/\2.\3/' | sort -u)
tests="$tests
$(sed -nE 's/^ *self_test\(([a-z_]+)[ )].*/self\/\1/p' tests/self/CMakeLists.txt)"
[ "$(echo "$tests" | wc -l)" -gt 100 ] || { echo "the tests were not found" >&2; exit 1; }

# A star stands for any letters.
exists() {
  pattern=$(echo "$1" | sed 's/\./\\./; s/\*/[A-Za-z0-9]*/g')
  echo "$tests" | grep -qxE "$pattern"
}
for certain in Registers.TheRedZoneIsKept 'Registers.*' self/exports; do
  exists "$certain" || { echo "$certain is not found: what does this script look at?" >&2; exit 1; }
done
for made_up in Registers.TheRedZoneIs 'NoSuchSuite.*' self/no_such; do
  ! exists "$made_up" || { echo "$made_up is found: everything would be" >&2; exit 1; }
done

# shellcheck disable=SC2016 # the backticks are the pages'
named=$(grep -rhoE '`([A-Z][A-Za-z0-9*]*\.[A-Z*][A-Za-z0-9*]*|self/[a-z_]+)`' docs | tr -d '`' | sort -u)
[ -n "$named" ] || { echo "the pages name no test" >&2; exit 1; }
missing=
for name in $named; do exists "$name" || missing="$missing $name"; done
[ -z "$missing" ] || { echo "named in docs/, and not there:$missing" >&2; exit 1; }
echo "$(echo "$named" | wc -l) names of tests"
