#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks bench/sim: that a run can be repeated, that each G runs once, and that it says what can be reckoned by hand.
Each check is also put to what must not pass it. Usage: simulation.py SIM
"""
import subprocess
import sys

try:
    import json
except ImportError as missing:
    print(f"skipped: python3 without its standard library: {missing}")
    sys.exit(77)

SIM = sys.argv[1]
SWITCH, SPAWN, WORK = 25, 60, 1000  # ns


def sim(*options):
    """Exit status, stdout, stderr."""
    done = subprocess.run([SIM, *options], capture_output=True, text=True, timeout=250, check=False)
    return done.returncode, done.stdout, done.stderr


def text_of(*options):
    status, out, error = sim("--json", "-", *options)
    if status != 0:
        sys.exit(f"sim {' '.join(options)}: status {status}: {error}")
    return out


def run_of(*options):
    return json.loads(text_of(*options))["runs"][0]


def must(held, what):
    if not held:
        sys.exit(f"not so: {what}")


def is_reckoned(run):
    ns = run["gs"] * (SPAWN + SWITCH + WORK)
    return 0.9 * ns <= run["time_ns"] <= 1.1 * ns


def repeats():
    for what in "spread", "tree", "churn":
        for model in "gmp", "gm":
            options = ["--workload", what, "--model", model, "--ps", "8", "--gs", "20000"]
            first = text_of(*options, "--seed", "7")
            must(first == text_of(*options, "--seed", "7"), f"{what}, {model}: the same seed, the same figures")
            if what == "churn" or model == "gmp":  # else nothing is random: there are no victims
                other = first.replace('"seed": 7', '"seed": 8')
                must(other != text_of(*options, "--seed", "8"), f"{what}, {model}: another seed, other figures")
    whole = json.loads(text_of("--ps", "8", "--gs", "20000", "--workload", "tree", "--model", "gmp"))
    after = json.loads(text_of("--ps", "64,8", "--gs", "20000", "--workload", "tree", "--model", "gmp"))
    must(whole["runs"][0] == after["runs"][1], "a run is not changed by one before it")


def runs_each_once():
    for what, ran in ("spread", 3001), ("tree", 1 + 10 + 100 + 1000 + 3000), ("churn", 3000):
        for model in "gmp", "gm":
            options = ["--workload", what, "--model", model, "--ps", "8", "--gs", "3000"]
            must(run_of(*options)["ran"] == ran, f"{what}, {model}: {ran} Gs run")
            for mistake, said in ("lost", "have not run"), ("twice", "runs a second time"):
                status, _, error = sim(*options, "--plant", mistake)
                must(status == 1 and said in error, f"{what}, {model}: one {mistake} is found, not: {status} {error}")


def is_right_for_one_p():
    alone = ["--workload", "spread", "--ps", "1", "--gs", "20000", "--model", "gmp"]
    must(is_reckoned(run_of(*alone)), "one P needs what its Gs need")
    must(not is_reckoned(run_of(*alone, "--work-ns", "1500")), "with longer work it is not the same")


def shows_the_lock():
    def rate(model, ps):
        return run_of("--workload", "tree", "--ps", str(ps), "--gs", "30000", "--model", model)["gs_per_us"]

    must(rate("gm", 64) < rate("gmp", 64) / 2, "64 Ps are held up by the lock of one queue")
    must(rate("gm", 64) < 1.1 * rate("gm", 32), "and more of them do not help")
    must(not rate("gm", 1) < rate("gmp", 1) / 2, "one P is not held up")


def refuses():
    for option, value in ("--ps", "0"), ("--ps", "8,x"), ("--gs", "-1"), ("--workload", "bush"), ("--model", "p"), (
            "--work-ns", "1us"), ("--line-ns", "far"):
        status, out, error = sim(f"{option}={value}")
        must(status == 2 and not out and option in error and value.split(",")[-1] in error,
             f"{option} {value} is refused by name, not: {status} {error}")
    status, _, error = sim("--no-such")
    must(status == 2 and "--no-such" in error, "an unknown option is refused by name")


for check in repeats, runs_each_once, is_right_for_one_p, shows_the_lock, refuses:
    check()
    print(check.__name__)
