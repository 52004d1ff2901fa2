#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks every #include of the project against the table "Who may include whom" of CONTRIBUTING.md.

The table is the only place where the rule is written: an entry is a folder (any header in it) or one header. Also
checked: contract headers use the standard library and each other only; the contract is included as <urge/...>, all
else of ours as "..." from the roots src/ and the repository, never "../". In the roof and in tests a header of the same
folder may be named alone, and those of tests/ from there. Usage: check_layers.py [SOURCE_DIR]
"""
import os
import re
import sys

SUFFIXES = (".hpp", ".cpp", ".h", ".c", ".S")
INCLUDE = re.compile(r'\s*#\s*include\s*([<"])([^>"]+)[>"]')
CONTRACT = "include/urge"
NOT_FROM_A_ROOT = "?"
ROOF = ("src/cli/", "stress/", "bench/", "examples/", "tests/")


def read_table(root):
    """folder -> set of folders and headers."""
    table, inside = {}, False
    with open(os.path.join(root, "CONTRIBUTING.md"), encoding="utf-8") as page:
        for line in page:
            if line.startswith("#"):
                inside = "Who may include whom" in line
            cells = line.strip().strip("|").split("|")
            if not inside or not line.startswith("|") or len(cells) != 2 or "`" not in cells[0]:
                continue
            for folder in re.findall(r"`([^`]+)`", cells[0]):
                table[folder] = set(re.findall(r"`([^`]+)`", cells[1])) | {folder}
    return table


def sources(root):
    for at, folders, files in os.walk(root):
        folders[:] = sorted(d for d in folders if not d.startswith((".", "build")))
        for name in sorted(files):
            if name.endswith(SUFFIXES):
                yield os.path.relpath(os.path.join(at, name), root)


def folder_of(path, table):
    """The longest row that the path lies in."""
    rows = [row for row in table if path.startswith(row + "/")]
    return max(rows, key=len, default=None)


def target_of(root, path, bracket, name):
    """What an include names, as a path of the repository; None: not ours."""
    if bracket == "<":
        return "include/" + name if name.startswith("urge/") else None
    bases = ["", "src/"] + ([os.path.dirname(path) + "/", "tests/"] if path.startswith(ROOF) else [])
    for base in bases:
        if os.path.exists(os.path.join(root, base + name)):
            return base + name
    return NOT_FROM_A_ROOT


def check_file(root, path, table):
    found = []
    row = folder_of(path, table)
    if row is None:
        return [f"{path}:1: this folder is in no row of the table"]
    with open(os.path.join(root, path), encoding="utf-8") as text:
        for number, line in enumerate(text, 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            bracket, name = match.groups()
            where = f"{path}:{number}: "
            if ".." in name:
                found.append(where + f'"{name}": name it from the root')
                continue
            target = target_of(root, path, bracket, name)
            if target is None:
                if row == CONTRACT and ("/" in name or "." in name):
                    found.append(where + f"<{name}>: a contract header includes only the standard library, <urge/...>")
            elif bracket == '"' and target.startswith(CONTRACT):
                found.append(where + f'"{name}": the contract is included with <>')
            elif target is NOT_FROM_A_ROOT:
                found.append(where + f'"{name}": name it from src/ or from the repository')
            elif not any(target == may or target.startswith(may + "/") for may in table[row]):
                found.append(where + f"{row} may not include {target}")
    return found


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    table = read_table(root)
    if len(table) < 10:
        sys.exit("CONTRIBUTING.md: the table 'Who may include whom' was not found")
    found, files = [], 0
    for path in sources(root):
        files += 1
        found += check_file(root, path, table)
    print("\n".join(found + [f"check_layers: {files} files, {len(table)} folders, {len(found)} findings"]))
    sys.exit(1 if found else 0)


main()
