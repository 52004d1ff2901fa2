#!/bin/sh
# SPDX-License-Identifier: MIT
# What the libraries show. Neither defines a name of the unwinder for others; Boost.Context inside the shared one is its
# own affair; what the shared one exports is the contract (urge::, urge_) and the functions of libc that it interposes;
# and each function of ours that a program takes from the static one is exported by the shared one too.
# Usage: exports.sh NM STATIC_LIBRARY SHARED_LIBRARY OBJECT_OF_A_PROGRAM...
set -eu
nm=$1 static=$2 shared=$3
shift 3
symbols() { "$nm" "$@" 2>/dev/null | awk 'NF >= 2 && $NF !~ /:$/ {sub(/@.*/, "", $NF); print $NF}' | sort -u; }
fail() { echo "$1" >&2; echo "$2" >&2; exit 1; }

exported=$(symbols -D --defined-only "$shared")
[ -n "$exported" ] || fail "the shared library exports nothing" ""
found=$( (echo "$exported"; symbols --defined-only --extern-only "$static") | grep -E '^_Unwind_|^_UL|^_Ux86' || true)
[ -z "$found" ] || fail "names of an unwinder are defined:" "$found"
found=$(echo "$exported" | grep -F fcontext || true)
[ -z "$found" ] || fail "Boost.Context is exported:" "$found"

interposed='sigaction|signal|sigprocmask|pthread_sigmask|sigaltstack'
interposed="$interposed|raise|pthread_(kill|sigqueue|[gs]etaffinity_np|getschedparam|getcpuclockid|getattr_np|exit)"
interposed="$interposed|set(res|re|e)?[ug]id|setgroups|initgroups|_Fork|f?execve|execv(p|pe|eat)?|execl(e|p)?"
interposed="$interposed|(_|sig)?longjmp|__longjmp_chk"
interposed="$interposed|pthread_mutex_(lock|trylock|timedlock|clocklock|unlock)|f(un|try)?lockfile"
interposed="$interposed|mtx_((try|timed)?lock|unlock)"
interposed="$interposed|pthread_rwlock_((try|timed|clock)?(rd|wr)lock|unlock)"
# Templates of the standard library that the compiler puts in as weak copies are everybody's.
strangers=$(echo "$exported" | grep -vE "^_Z(T[VIST])?Z?N?K?(4urge|St|S[abdiost])|^urge_|^($interposed)\$" || true)
[ -z "$strangers" ] || fail "exported, and not of the contract:" "$strangers"

wanted=$(symbols --undefined-only "$@" | grep -E '4urge|^urge_')
[ -n "$wanted" ] || fail "the programs use nothing of urge" "$*"
missing=$(echo "$wanted" | grep -vxF "$exported" || true)
[ -z "$missing" ] || fail "used by programs and not exported:" "$missing"
echo "$(echo "$exported" | wc -l) exported, $(echo "$wanted" | wc -l) of them used here"
