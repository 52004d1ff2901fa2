#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks what every file must have: its licence in the first line (after #!), lines of at most 120 columns, at most
400 lines, no tabs or trailing blanks, a newline at its end; public headers mark what they declare as exported.
Usage: check_files.py [SOURCE_DIR]
"""
import os
import re
import sys

CHECKED = re.compile(r"(\.(hpp|cpp|h|c|S|py|sh|lua|cmake|cmake\.in|pc\.in)|CMakeLists\.txt)$|^(tools/|\.ci/)[^.]+$")
COLUMNS, LINES = 120, 400


def check(path, text):
    lines = text.split("\n")
    first = lines[1] if lines[0].startswith("#!") and len(lines) > 1 else lines[0]
    if "SPDX-License-Identifier: MIT" not in first and not path.endswith(".pc.in"):
        yield f"{path}:1: the first line is not the licence tag"
    if not text.endswith("\n") or text.endswith("\n\n"):
        yield f"{path}:{len(lines)}: must end with one newline"
    if len(lines) - 1 > LINES:
        yield f"{path}:{len(lines)}: {len(lines) - 1} lines; {LINES} are allowed"
    for number, line in enumerate(lines, 1):
        # A row of a table cannot be broken.
        if len(line) > COLUMNS:
            yield f"{path}:{number}: {len(line)} columns; {COLUMNS} are allowed"
        if line != line.rstrip() or "\t" in line:
            yield f"{path}:{number}: tab or trailing blank"
    # urge.hpp declares nothing itself.
    if path.startswith("include/urge/") and path != "include/urge/urge.hpp":
        marks = re.findall(r"^#pragma GCC visibility (push\(default\)|pop)$|^#include", text, re.M)
        if [m for m in marks if m] != ["push(default)", "pop"] or marks.index("push(default)") != len(marks) - 2:
            yield f"{path}:1: all but the includes stands between '#pragma GCC visibility push(default)' and 'pop'"


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    found, files = [], 0
    for at, folders, names in os.walk(root):
        top = os.path.relpath(at, root) == "."
        folders[:] = sorted(d for d in folders if not d.startswith("build") and (d == ".ci" or not d.startswith(".")))
        for name in sorted(names):
            path = os.path.relpath(os.path.join(at, name), root)
            if CHECKED.search(path) and not (top and name.startswith(".")):
                files += 1
                with open(os.path.join(at, name), encoding="utf-8") as text:
                    found += check(path, text.read())
    print("\n".join(found + [f"check_files: {files} files, {len(found)} findings"]))
    sys.exit(1 if found or not files else 0)


main()
