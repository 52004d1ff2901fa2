#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the tags of atomic operations, as in `word.store(1, release);  // [note] release: what the waker did`.

Each tag must stand on at least one operation that releases and one that acquires; acq_rel and seq_cst count as both.
Each operation with one of these orders must have a tag. The order is read from the statement, or, where the tag stands
on its consequence, from the comment's first word; the two must not contradict. Usage: check_pairs.py [SOURCE_DIR]
"""
import os
import re
import sys

FOLDERS = ("include", "src", "preempt", "sysmon")
TAG = re.compile(r"\[([a-z_]+(?:\.[a-z_]+)*)\]")
ORDER = re.compile(r"\b(?:std::memory_order_)?(release|acquire|acq_rel|seq_cst)\b")
OPERATION = re.compile(r"(?:\.|->)(?:load|store|exchange|compare_exchange_\w+|fetch_\w+)\(")
SIDES = {"release": {"release"}, "acquire": {"acquire"}, "acq_rel": {"release", "acquire"},
         "seq_cst": {"release", "acquire"}}


def split(line):
    """Code and comment; a // inside a string does not occur in what is checked."""
    code, _, comment = line.partition("//")
    return code, comment


def statement(lines, at):
    """The code around line `at` from the end of the statement before to its own end, and the comments on the way."""
    first = at
    while first > 0 and not re.search(r"[;{}]\s*$|^\s*$|^\s*#", split(lines[first - 1])[0]):
        first -= 1
    last = at
    while last + 1 < len(lines) and not re.search(r"[;{}]\s*$", split(lines[last])[0]):
        last += 1
    parts = [split(line) for line in lines[first:last + 1]]
    return " ".join(code for code, _ in parts), " ".join(comment for _, comment in parts)


def check_file(path, lines, sides):
    found = []
    for at, line in enumerate(lines):
        code, comment = split(line)
        # A tag on a line of its own is about the statement below it.
        above = not code.strip()
        if above and (not TAG.search(comment) or at + 1 == len(lines)):
            continue
        whole, comments = statement(lines, at + above)
        orders = ORDER.findall(whole) if OPERATION.search(whole) else []
        does = set().union(*(SIDES[o] for o in orders)) if orders else set()
        for tag in TAG.findall(comment):
            says = re.search(r"\[" + re.escape(tag) + r"\]\s*(release|acquire|seq_cst)\b", comment)
            said = SIDES[says.group(1)] if says else set()
            if does and says and says.group(1) != "seq_cst" and not said & does:
                found.append(f"{path}:{at + 1}: [{tag}] says {says.group(1)}, the operation is {'/'.join(orders)}")
            sides.setdefault(tag, {"sides": set(), "at": f"{path}:{at + 1}"})["sides"] |= does or said
        # The tag may stand on the line after, where the consequence is.
        if OPERATION.search(code) and ORDER.search(code):
            above = split(lines[at - 1]) if at > 0 else ("", "")
            near = comments + split(line)[1] + "".join(split(l)[1] for l in lines[at + 1:at + 2])
            near += above[1] if not above[0].strip() else ""
            if not TAG.search(near):
                found.append(f"{path}:{at + 1}: {ORDER.search(code).group(1)} without a tag")
    return found


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    sides, found = {}, []
    for folder in FOLDERS:
        for at, _, files in sorted(os.walk(os.path.join(root, folder))):
            for name in sorted(files):
                if name.endswith((".hpp", ".cpp")):
                    path = os.path.join(at, name)
                    with open(path, encoding="utf-8") as text:
                        found += check_file(os.path.relpath(path, root), text.read().split("\n"), sides)
    for tag, seen in sorted(sides.items()):
        for side in ("release", "acquire"):
            if side not in seen["sides"]:
                found.append(f"{seen['at']}: [{tag}] stands on no operation that {side}s")
    if not sides:
        sys.exit("check_pairs: no tags found: wrong directory?")
    print("\n".join(found + [f"check_pairs: {len(sides)} tags, {len(found)} findings"]))
    sys.exit(1 if found else 0)


main()
