#!/bin/sh
# SPDX-License-Identifier: MIT
# An exception that escapes from a G ends the process by SIGABRT, after a report that names the G, the exception and its
# text, and the functions on the way, the one that threw among them. Usage: escaped_exception.sh UNWINDER_PROGRAM
set -u
report=$("$1" escape 2>&1)
status=$?
echo "$report"
[ "$status" -eq 134 ] || { echo "ended with status $status, not by SIGABRT" >&2; exit 1; }
for part in "'culprit'" 'std::runtime_error' 'text of the exception, 42' '__cxa_throw+' \
  'named_function_that_throws(int)' 'urge::run_job('; do
  echo "$report" | grep -qF -- "$part" || { echo "the report does not say: $part" >&2; exit 1; }
done
