#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks tools/gdb/urge-gdb.py on gdb_subject.cpp: alive, on a core file that gdb has made of it, and where there is
nothing to see. The subject does not change any more when it has said that it is ready, so nothing depends on time.
Usage: gdb_script.py SOURCE_DIR SUBJECT WORK_DIR
"""
import os
import re
import shutil
import subprocess
import sys

SOURCE, SUBJECT, WORK = sys.argv[1:4]
SCRIPT = os.path.join(SOURCE, "tools/gdb/urge-gdb.py")
# The state of each G, and a function that must be on its stack and in AT.
EXPECTED = {
    "main": (r"running", "subject::spin_under_guard"),
    "reader": (r"chan receive, \d+ m?u?s", "subject::wait_for_news"),
    "sleeper": (r"sleep, \d+ m?u?s", "subject::sleep_long"),
    "blocked": (r"syscall", "subject::wait_in_the_kernel"),
    "hog": (r"runnable, stopped by signal", "subject::spin_until_stopped"),
    "newcomer": (r"runnable", None),
}
# Where its registers were saved; that its frame is above that place.
ABOVE = "urge-g 2 frame apply level 1 -q print (long)$rsp - (long)urge::slabs::table[0]._M_b._M_p[1].context"
COMMANDS = ["up", ABOVE, "info urge-gs", "info urge-gs -v", "info urge-ps", "urge-g all bt", "urge-g 2 info locals",
            "urge-g 5 frame", "urge-g 5 print $rdi", "urge-g 5 info frame", "urge-g 2 print getpid()", "urge-g x bt",
            "urge-g 4711 bt", "urge-g", "urge-g 2", "urge-g 2 step", "urge-g 6 bt", "info urge-gs -x", "info urge-ps 1",
            "thread", "frame", "bt 1"]


def gdb(*arguments, commands):
    """What gdb says to each of the commands, which it executes one after the other."""
    line = ["gdb", "-nx", "-batch", *arguments, "-ex", "set width 0", "-ex", "source " + SCRIPT]
    for n, command in enumerate(commands):
        line += ["-ex", f"echo \\n<{n}>\\n", "-ex", command]
    done = subprocess.run(line, text=True, timeout=250, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={**os.environ, "DEBUGINFOD_URLS": "", "HOME": "/nonexistent"})
    if re.search(r"ptrace: Operation not permitted|Could not attach to process", done.stdout):
        skip("no process may be traced here")
    parts = re.split(r"^<\d+>\n", done.stdout, flags=re.M)
    if len(parts) != len(commands) + 1:
        fail("not every command was executed", done.stdout)
    return dict(zip(commands, parts[1:]))


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def fail(what, text):
    sys.exit(f"{what} in\n{text}")


def need(pattern, text):
    found = re.search(pattern, text, re.M | re.S)
    if not found:
        fail(f"there is no /{pattern}/", text)
    return found


def check_gs(said):
    rows = said["info urge-gs"]
    ids = {}
    for name, (state, function) in EXPECTED.items():
        thread = r"\d+ \(LWP \d+\)" if name in ("main", "blocked") else "-"
        # What has a thread may be anywhere: in the handler of a signal that it does not heed, or not yet in the kernel.
        at = {"newcomer": "not begun", "blocked": r"\S.*", "main": r"\S.*"}.get(
            name, rf"{function} \(gdb_subject\.cpp:\d+\)")
        ids[name] = need(rf"^ +(\d+) +{state} +\d+ m?u?s +{thread} +{name} +{at}$", rows)[1]
    if len(re.findall(r"^[ *] +\d+ ", rows, re.M)) != len(EXPECTED):
        fail("there are other Gs", rows)
    need(r" hog +\S[^\n]*\n +weight 1, preempted \d+ times at yield points and [1-9]\d* by signal",
         said["info urge-gs -v"])
    if [ids[name] for name in EXPECTED] != ["1", "2", "3", "4", "5", "6"]:
        fail("the numbers are not those of the order of starting", rows)


def check_backtraces(said):
    parts = re.split(r"^G (\d+) \[.*?\] '(\w*)':\n", said["urge-g all bt"], flags=re.M)
    stacks = dict(zip(parts[2::3], parts[3::3]))
    for name, (_, function) in EXPECTED.items():
        if function is None:
            need("G 6 has not begun", stacks[name])
            continue
        need(rf"^#\d+ .*{function}.*gdb_subject\.cpp.*run_job.*first_frame", stacks[name])
        for other in (f for _, f in EXPECTED.values() if f not in (None, function)):
            if other in stacks[name]:
                fail(f"the stack of {name} has a function of another G", stacks[name])


def check(said, alive):
    check_gs(said)
    check_backtraces(said)
    need(r"^0 +running +\d+ \(LWP \d+\) +1 +\S+( +\d+){5} +\S+\nof all Ps: \d+ queue, ", said["info urge-ps"])
    clock = "times are up to the latest switch"
    if alive == (clock in said["info urge-gs"]):
        fail("the clock is taken for another", said["info urge-gs"])
    need(r"got = ", said["urge-g 2 info locals"])
    need(r"^#\d+ .*subject::spin_until_stopped", said["urge-g 5 frame"])
    need(r"= 42$", said["urge-g 5 print $rdi"])
    need(r"rip = .* in subject::spin_until_stopped", said["urge-g 5 info frame"])
    # Whatever was done, the thread is the one that gdb had chosen, and its frame is there again.
    need(r"Current thread is 1 ", said["thread"])
    need(r"^#1 ", said["frame"])
    need(r"^#0 ", said["bt 1"])
    need(r"= 72$", said[ABOVE])
    for command, text in {
            "urge-g 2 print getpid()": "Cannot call functions in the program",
            "urge-g x bt": "urge-g: 'x' is no number of a G",
            "urge-g 4711 bt": "urge-g: no G 4711 is alive",
            "urge-g": "urge-g: of which G",
            "urge-g 2": "urge-g: which command",
            "urge-g 2 step": "urge-g: 'step' is not a command that only looks",
            "urge-g 6 bt": "urge-g: G 6 has not begun",
            "info urge-gs -x": "'-x' is not known",
            "info urge-ps 1": "it takes no argument"}.items():
        need(re.escape(text), said[command])
    for command, text in said.items():
        if "Traceback" in text or "Python Exception" in text:
            fail(f"{command}: the script has failed", text)


def check_nothing_to_see():
    ask = ["info urge-gs", "info urge-ps", "urge-g all bt"]
    for arguments, before, answer in (
            ((), [], "urge: there is no process"),
            ((SUBJECT,), [], "urge: there is no process"),
            ((SUBJECT,), ["break main", "run"], "urge: nothing runs"),
            (("/bin/true",), ["starti"], "urge: the program does not use urge")):
        said = gdb(*arguments, commands=before + ask)
        if before and re.search("Could not trace|Cannot run|not permitted", said[before[-1]]):
            skip("no process may be traced here")
        for command in ask:
            if not said[command].strip().startswith(answer) or len(said[command].strip().split("\n")) != 1:
                fail(f"{arguments} {before} {command}: this is not '{answer}'", said[command])


def main():
    if not shutil.which("gdb"):
        skip("there is no gdb")
    python = subprocess.run(["gdb", "-nx", "-batch", "-ex", "python print(6 * 7)"], text=True, check=False, timeout=250,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if python.stdout.strip() != "42":
        skip(f"gdb has no Python: {python.stdout}")
    # What the debug information does not tell.
    with open(os.path.join(SOURCE, "src/sched/g.hpp"), encoding="utf-8") as header:
        per_slab = need(r"per_slab = (\d+);", header.read())[1]
    with open(SCRIPT, encoding="utf-8") as script:
        need(rf"^PER_SLAB = {per_slab} ", script.read())

    shutil.rmtree(WORK, ignore_errors=True)
    os.makedirs(WORK)
    core = os.path.join(WORK, "core")
    with subprocess.Popen([SUBJECT], stdout=subprocess.PIPE, text=True) as subject:
        try:
            if subject.stdout.readline() != "ready\n":
                sys.exit("the subject has not come to its end")
            check(gdb("-p", str(subject.pid), commands=COMMANDS), alive=True)
            made = gdb("-p", str(subject.pid), commands=["generate-core-file " + core])
            if subject.poll() is not None:
                fail("the subject has not survived", str(subject.returncode))
        finally:
            subject.kill()
    if not os.path.exists(core):
        fail("no core file", str(made))
    said = gdb(SUBJECT, core, commands=COMMANDS)
    check(said, alive=False)
    its_thread = "thread " + need(r"^ +1 +running .*? (\d+) \(LWP", said["info urge-gs"])[1]
    need(r"^\* +1 +running ", gdb(SUBJECT, core, commands=[its_thread, "info urge-gs"])["info urge-gs"])
    os.remove(core)
    check_nothing_to_see()
    print("live and core: every G, its state and its stack")


main()
