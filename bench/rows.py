# SPDX-License-Identifier: MIT
"""The rows that `compare` and `performance` tell of: figures of the workloads of `peer`, and what is asked of them.

A run is one object, as `peer` prints it; its figure is `ns_per_op`, or stands in `extra` by its name.
"""
import typing

GROUPS = {"switching": "Switching and messages", "starting": "Starting", "many": "Many Gs",
          "hogs": "Hogs and latency", "io": "Input and output", "mixed": "Mixed loads"}

# Each workload: its group, and what it does.
WORKLOADS = {
    "yield": ("switching", "Two Gs give way to each other, all the time."),
    "pingpong": ("switching", "A message goes there and back over two channels without a buffer."),
    "chan_buf": ("switching", "One sender, one receiver, 128 slots between them."),
    "chan_mpmc": ("switching", "Four senders, four receivers, 128 slots between them."),
    "mutex": ("switching", "Eight Gs lock and unlock one mutex."),
    "select": ("switching", "Of four channels with an item each one is chosen, and gets its item back."),
    "spawn_join": ("starting", "Empty Gs are started and waited for."),
    "skynet": ("starting", "A tree of Gs, ten children each; the leaves' numbers are added up over channels."),
    "memory": ("many", "Gs that wait: what each keeps of the process's memory."),
    "timers": ("many", "Gs that sleep for 1 to 100 ms: how late they wake."),
    "hog_fairness": ("hogs", "Eight Gs that never yield."),
    "hog_latency": ("hogs", "Four Gs that never yield, and one that sleeps for 1 ms again and again: how late it is."),
    "hog_wake": ("hogs", "Four Gs that never yield, and one that a thread outside wakes through a channel."),
    "echo": ("io", "1000 connections, 64 bytes there and back."),
    "echo_hogs": ("io", "1000 connections, 64 bytes there and back; four Gs of the server never yield."),
    "bimodal": ("mixed", "Requests of 5 us, and one in 200 of 5 ms, at 0.6 of what the CPUs can do: "
                "how much longer than alone a short one takes."),
}


class Row(typing.NamedTuple):
    bench: str
    bound: float  # what urge by the best peer may be: at most, or at least where higher is better
    what: str  # the figure, with its unit
    field: str = "ns_per_op"
    procs: tuple = (2,)  # where `compare` runs it; () nowhere
    n: int = 1_000_000
    higher: bool = False  # is better
    absolute: bool = False  # the bound is one of the figure itself
    same_n: bool = False  # another n is another thing, not only another time
    apart: tuple = ()  # peers that do something else there: shown, but never the best one
    # Run once before, unrecorded: the host of a virtual machine takes free pages back, and who runs first would pay.
    warm: bool = False


ROWS = (
    Row("yield", 0.35, "ns a switch", procs=(1,)),
    Row("spawn_join", 1.0, "ns a G", procs=(1, 2), warm=True),
    Row("skynet", 0.6, "ns a leaf", procs=(1, 2), warm=True, apart=("onetbb",)),  # it has no channels
    Row("pingpong", 0.5, "ns a round trip", procs=(1, 2)),
    Row("chan_buf", 0.8, "ns a message", n=2_000_000),
    Row("chan_mpmc", 0.8, "ns a message", n=2_000_000),
    Row("mutex", 0.8, "ns for lock and unlock"),
    Row("select", 0.5, "ns a choice", procs=(1,)),
    Row("memory", 4600, "bytes a G", "rss_per_task", n=100_000, absolute=True, same_n=True),
    Row("timers", 0.5, "mean lateness, us", "mean_late_us", n=100_000, same_n=True, warm=True),
    Row("bimodal", 1.0, "slowdown, median", "slow_p50", n=2000),
    Row("bimodal", 0.05, "slowdown, p99", "slow_p99", n=2000),
    Row("hog_latency", 1.5, "lateness, median, us", "p50_us", procs=()),
    Row("hog_latency", 1.0, "lateness, p99, us", "p99_us", n=2000),
    Row("hog_wake", 2.0, "lateness, p99, us", "p99_us", n=2000),
    Row("hog_fairness", 0.999, "Jain's index", "jain", n=2000, higher=True, absolute=True),
    Row("echo", 1.0, "requests a second", "rps", procs=(), higher=True),
    Row("echo", 1.0, "latency, p99, us", "p99_us", procs=()),
    Row("echo_hogs", 2.0, "requests a second", "rps", procs=(), higher=True),
    Row("echo_hogs", 0.5, "latency, p99, us", "p99_us", procs=()),
)


def name(row, procs):
    return f"{row.bench} {procs}" + (f" {row.field}" if row.field != "ns_per_op" else "")


def value(run, row):
    """The figure of a run; None where it has none. No time at all, and what is below zero, was not measured."""
    figure = run.get("ns_per_op") if row.field == "ns_per_op" else run.get("extra", {}).get(row.field)
    return figure if figure is not None and (figure > 0 or figure == 0 and row.higher) else None


def complaint(run):
    """Why a run does not count; None if it does."""
    if "error" in run:
        return str(run["error"])
    return "wrong result" if run.get("extra", {}).get("ok", 1) != 1 else None


def show(x):
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.1f}" if abs(x) >= 10 else f"{x:.4g}"
