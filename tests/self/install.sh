#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs the build tree into an empty directory and builds tests/prog/outside against it, as a user would: by
# find_package (default, shared, static), with the static library as default, with hidden names, and by pkg-config.
# Each program runs a G that only preemption can stop, and must print its line; those named checked_ have it stop at the
# function entries of urge_prologue_checks.
# Usage: install.sh CMAKE CXX BUILD_DIR SOURCE_DIR WORK_DIR
set -eu
cmake=$1 cxx=$2 build=$3 source=$4 work=$5
outside=$source/tests/prog/outside
rm -rf "$work"
mkdir -p "$work"

"$cmake" --install "$build" --prefix "$work/installed" >"$work/install.log"
# What is installed may be moved: nothing in it names the place it was installed to.
mv "$work/installed" "$work/prefix"
prefix=$work/prefix
if grep -rIl -e "$work/installed" -e "$build" "$prefix"; then
  echo "the files above name the build tree or the place of installation" >&2
  exit 1
fi

expect() {
  got=$("$@")
  [ "$got" = "outside: 42" ] || { echo "$1 printed '$got'" >&2; exit 1; }
  echo "$(basename "$1"): $got"
}

project() {  # NAME FLAGS...: configures and builds the outside project
  dir=$work/$1
  shift
  "$cmake" -S "$outside" -B "$dir" -G Ninja -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_PREFIX_PATH="$prefix" \
    -DCMAKE_BUILD_TYPE=Release "$@" >"$dir.log" 2>&1 || { cat "$dir.log" >&2; exit 1; }
  "$cmake" --build "$dir" -j 2 >>"$dir.log" 2>&1 || { cat "$dir.log" >&2; exit 1; }
}

# Which library is it linked to?
must_use() {  # shared|static PROGRAM
  kind=static
  if readelf -d "$2" | grep -q 'NEEDED.*liburge\.so\.0'; then kind=shared; fi
  [ "$kind" = "$1" ] || { echo "$2 uses the $kind library" >&2; exit 1; }
}

project default -DCMAKE_CXX_VISIBILITY_PRESET=hidden -DCMAKE_VISIBILITY_INLINES_HIDDEN=ON
for kind in urge shared static; do expect "$work/default/outside_$kind" && expect "$work/default/checked_$kind"; done
must_use shared "$work/default/outside_urge"
must_use shared "$work/default/outside_shared"
must_use static "$work/default/outside_static"

project static -DURGE_USE_STATIC=ON
expect "$work/static/outside_urge"
expect "$work/static/checked_urge"
must_use static "$work/static/outside_urge"

PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name urge.pc)")
export PKG_CONFIG_PATH
# shellcheck disable=SC2046 # the flags are to be split
"$cxx" -std=c++20 -O2 "$outside/outside.cpp" $(pkg-config --cflags --libs urge) \
  -Wl,-rpath,"$(pkg-config --variable=libdir urge)" -o "$work/outside_pkg_config"
must_use shared "$work/outside_pkg_config"
expect "$work/outside_pkg_config"

if [ -x "$prefix/bin/urge" ]; then
  "$prefix/bin/urge" --version
fi
