#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The verdicts of bench/compare and bench/performance, on made-up runs: nothing is built, measured or drawn.
Usage: bench_tools.py BENCH_DIR
"""
import importlib.machinery
import importlib.util
import os
import sys
import tempfile

try:
    import json
    import unittest
except ImportError as missing:
    print(f"skipped: python3 without its standard library: {missing}")
    sys.exit(77)

BENCH = sys.argv.pop(1)
sys.dont_write_bytecode = True
sys.path.insert(0, BENCH)


def load(name):
    loader = importlib.machinery.SourceFileLoader(name, os.path.join(BENCH, name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


compare, performance = load("compare"), load("performance")
import rows  # noqa: E402

A = [100, 104, 98, 101, 99, 103, 97, 102, 100]
NOISE = [101, 99, 103, 98, 100, 97, 104, 100, 102]  # as A, in another order
ROW = {rows.name(row, procs): (row, procs) for row in rows.ROWS for procs in row.procs}


def verdict(a, b, **how):
    return compare.judge(a, b, **how)[3]


class Judge(unittest.TestCase):
    def test_ten_per_cent_in_all_runs_are_slower(self):
        self.assertEqual(verdict(A, [1.1 * x for x in A]), "slower")
        self.assertEqual(verdict([1.1 * x for x in A], A), "faster")
        self.assertEqual(verdict(A, [1.1 * x for x in A], higher=True), "faster")
        self.assertEqual(verdict([1.1 * x for x in A], A, higher=True), "slower")

    def test_noise_around_one_is_same(self):
        self.assertEqual(verdict(A, NOISE), "same")
        self.assertEqual(verdict(NOISE, A), "same")

    def test_a_ratio_that_chance_may_have_made_is_same(self):
        a, b = [100] * 9, [80, 80, 80, 80, 110, 120, 120, 120, 120]
        ratio, low, high, said = compare.judge(a, b)
        self.assertGreater(ratio, 1.05)
        self.assertTrue(low < 1 < high)
        self.assertEqual(said, "same")
        self.assertEqual(verdict(b, a), "same")

    def test_under_the_threshold_is_same(self):
        b = [1.03 * x for x in A]
        self.assertEqual(verdict(A, b), "same")
        self.assertEqual(verdict(b, A), "same")
        self.assertEqual(verdict(A, b, threshold=0.02), "slower")

    def test_what_disturbs_both_runs_of_a_repetition_does_not_count(self):
        a = [100, 300, 100, 300, 100, 300, 100, 300, 100]
        self.assertEqual(verdict(a, [1.1 * x for x in a]), "slower")

    def test_the_same_runs_have_the_same_interval(self):
        a = [100 + 7 * i % 31 for i in range(31)]
        b = [100 + 11 * i % 31 for i in range(31)]
        self.assertEqual(len({compare.judge(a, b) for _ in range(4)}), 1)


class Compare(unittest.TestCase):
    """`once` is a made-up program, in which B takes 1.1 times as long."""

    def setUp(self):
        self.calls = []

    def once(self, variant, bench, procs, n):
        self.calls.append(f"{variant.letter} {bench}")
        if bench == "select" and variant.letter == "A":
            raise compare.Missing("A does not have the workload")
        x = 110 if variant.letter == "B" else 100
        return json.loads(f'{{"ns_per_op": {x}, "extra": {{"slow_p50": {x}, "slow_p99": 7, "p99_us": -1}}}}')

    def run_rows(self, *names):
        variants = [compare.Variant(letter, "", "", {}) for letter in "AB"]
        found = compare.compare([ROW[name] for name in names], variants, 4, 0.05, self.once)
        return {result["row"]: result for result in found}

    def test_a_missing_row_is_skipped(self):
        found = self.run_rows("select 1", "hog_wake 2 p99_us", "yield 1")
        self.assertEqual({row: found[row]["verdict"] for row in found},
                         {"select 1": "skipped", "hog_wake 2 p99_us": "skipped", "yield 1": "slower"})
        self.assertEqual(found["select 1"]["why"], "A does not have the workload")
        self.assertEqual(found["hog_wake 2 p99_us"]["why"], "A has no p99_us")

    def test_who_is_first_changes(self):
        self.run_rows("yield 1")
        self.assertEqual([call[0] for call in self.calls], list("ABBAABBA"))

    def test_a_warm_run_is_not_recorded(self):
        found = self.run_rows("skynet 1")
        self.assertEqual([call[0] for call in self.calls], list("AABBBBAAAABBBBAA"))
        self.assertEqual(found["skynet 1"]["a"], [100] * 4)

    def test_two_rows_share_their_runs(self):
        found = self.run_rows("bimodal 2 slow_p50", "bimodal 2 slow_p99")
        self.assertEqual(len(self.calls), 8)
        self.assertEqual([result["verdict"] for result in found.values()], ["slower", "same"])


def runs(bench, procs=2, n=1, **figures):
    """One run for each figure of each peer; a figure is ns_per_op, or an object for `extra`."""
    def one(peer, figure):
        extra = figure if isinstance(figure, dict) else {}
        return {"peer": peer, "bench": bench, "procs": procs, "n": n,
                "ns_per_op": 0 if extra else figure, "extra": extra}
    return [one(peer, figure) for peer, of in figures.items() for figure in (of if isinstance(of, list) else [of])]


class Performance(unittest.TestCase):
    def case(self, lines, field="ns_per_op"):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
            file.write(text)
            file.flush()
            cases = [case for case in performance.cases_of(performance.read([file.name])) if case.row.field == field]
        self.assertEqual(len(cases), 1)
        return cases[0]

    def test_the_best_is_the_lowest_median_of_the_others(self):
        case = self.case(runs("chan_buf", urge=[60, 70, 90], go=[100, 110, 90], tokio=[50, 300, 300], urge_gm=10))
        self.assertEqual((case.best, case.ratio(), case.met()), ("go", 0.7, True))
        self.assertFalse(self.case(runs("chan_buf", urge=81, go=100)).met())

    def test_onetbb_is_not_compared_in_skynet(self):
        self.assertEqual(self.case(runs("skynet", urge=100, onetbb=10, tokio=200)).best, "tokio")
        self.assertEqual(self.case(runs("spawn_join", urge=100, onetbb=10, tokio=200)).best, "onetbb")

    def test_runs_that_failed_are_dropped(self):
        failed = [{"peer": "go", "bench": "mutex", "procs": 2, "error": "timeout"},
                  {"peer": "tokio", "bench": "mutex", "procs": 2, "n": 1, "ns_per_op": 1, "extra": {"ok": 0}},
                  {"peer": "fiber", "bench": "mutex", "procs": 2, "n": 1, "ns_per_op": -1, "extra": {}}]
        lines = runs("mutex", urge=10, go=20) + failed
        case = self.case(lines)
        self.assertEqual((case.best, case.values), ("go", {"urge": [10], "go": [20]}))
        self.assertEqual(performance.failures(lines), [
            "mutex, 2 procs, fiber: no ns_per_op (1 x)", "mutex, 2 procs, go: timeout (1 x)",
            "mutex, 2 procs, tokio: wrong result (1 x)"])

    def test_higher_is_better(self):
        rps = runs("echo_hogs", urge={"rps": 210}, go={"rps": 100}, threads={"rps": 90}, tokio={"rps": 0})
        case = self.case(rps, "rps")
        self.assertEqual((case.best, case.ratio(), case.met()), ("go", 2.1, True))
        self.assertEqual(case.values["tokio"], [0])
        bars = performance.bars(case)
        self.assertEqual([bar[0] for bar in bars], ["urge", "go", "threads"])
        self.assertLess(bars[0][1], 1)
        rps[0]["extra"]["rps"] = 190
        self.assertFalse(self.case(rps, "rps").met())

    def test_bounds_of_the_figure_itself(self):
        self.assertTrue(self.case(runs("memory", urge={"rss_per_task": 4600}), "rss_per_task").met())
        self.assertFalse(self.case(runs("memory", urge={"rss_per_task": 4601}, go={"rss_per_task": 9e9}),
                                   "rss_per_task").met())
        self.assertTrue(self.case(runs("hog_fairness", urge={"jain": .999}, go={"jain": 1}), "jain").met())
        self.assertFalse(self.case(runs("hog_fairness", urge={"jain": .998}, go={"jain": .1}), "jain").met())

    def test_another_n_is_not_compared_where_it_matters(self):
        late = runs("timers", n=9, urge={"mean_late_us": 5}, go={"mean_late_us": 8})
        few = runs("timers", n=1, threads={"mean_late_us": 1})
        cases = performance.cases_of(late + few)
        self.assertEqual([(case.n, case.best) for case in cases], [(1, "threads"), (9, "go")])
        self.assertEqual(self.case(runs("yield", n=9, urge=5) + runs("yield", n=1, threads=9)).best, "threads")

    def test_without_urge_or_others_nothing_is_said(self):
        self.assertIsNone(self.case(runs("yield", go=5)).met())
        self.assertIsNone(self.case(runs("memory", go={"rss_per_task": 5}), "rss_per_task").met())
        self.assertIsNone(self.case(runs("yield", urge=5, urge_gm=9)).met())
        self.assertEqual(performance.cases_of(runs("no_such_workload", urge=5)), [])

    def test_the_page_tells_all_of_it(self):
        cases = performance.cases_of(runs("yield", 1, urge=[30, 40, 50], go=100, urge_gm=70) +
                                     runs("skynet", urge=50, tokio=100) + runs("echo", urge={"rps": 9}))
        text = performance.page(cases, ["one, timeout"], ["a machine"], "first\nsecond")
        for part in ("\n- a machine\n\n    first\n    second\n", "\n1 of 2 bounds are met.\n",
                     "\n| yield | 1 | ns a switch | 40.0 | 100.0 (go) | 0.4 x | at most 0.35 x | **no** | 70.0 |\n",
                     "\n| skynet | 2 | ns a leaf | 50.0 | 100.0 (tokio) | 0.5 x | at most 0.6 x | yes | - |\n",
                     "\n| urge | 3 | 40.0 [30.0, 50.0] |\n| urge_gm | 1 | 70.0 [70.0, 70.0] |\n| go | 1 |",
                     "](performance/starting.svg)\n", "\n- one, timeout\n"):
            self.assertIn(part, text)
        self.assertNotIn("performance/io.svg", text)  # of nobody else

    def test_runs_that_were_disturbed_are_left_out(self):
        some = [{"noise": 0.06, "steal": 0.05}, {"noise": 0.06, "steal": 0.03}, {"bench": "yield"}]
        self.assertEqual(performance.quiet(some, 0.1), some[1:])
        self.assertEqual(performance.quiet(some, 1), some)

    def test_notes_are_kept(self):
        cases = performance.cases_of(runs("yield", urge=5, go=6))
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "performance.md")
            self.assertEqual(performance.notes_of(path), performance.NO_NOTES)
            notes = "<!-- notes -->\nThe host was busy.\n\nTwice | so.\n<!-- /notes -->"
            for _ in range(2):  # the page made anew is as good an old one
                with open(path, "w", encoding="utf-8") as file:
                    file.write(performance.page(cases, [], [], "", notes))
                self.assertEqual(performance.notes_of(path), notes)
            with open(path, "w", encoding="utf-8") as file:
                file.write("<!-- notes -->\nan end is missing\n")
            with self.assertRaisesRegex(ValueError, "performance.md: <!-- notes -->"):
                performance.notes_of(path)


if __name__ == "__main__":
    unittest.main()
