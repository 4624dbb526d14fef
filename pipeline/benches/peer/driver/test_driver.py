"""Tests of the driver, with workers that pretend: run by `cargo test`."""

from __future__ import annotations

import sys
import tempfile
import unittest
from argparse import Namespace
from contextlib import ExitStack, redirect_stderr
from io import StringIO
from pathlib import Path

import machine
import quality
import rounds
import side
import solves
from compare import Comparison, kinds, share_of_rate
from figures import Spread, Target, scientific
from machine import Usage
from race import Moment, first_at
from rounds import Plan, Round
from side import Side, Way
from table import Table

# Answers of a worker whose steps take as many seconds as it is told. Of its two tasks, results of `other` differ by a half.
# Its solves err by a fifth of the tolerance, and its loss after n turns is 1 / n.
WORKER = """
import json, sys
seconds, task, turns = float(sys.argv[1]), None, 0
for line in sys.stdin:
    ((kind, operand),) = json.loads(line).items()
    if kind == "prepare":
        task, turns, reply = operand, 0, {"ready": "as told"}
    elif kind == "tasks":
        names = {"nested": ["few", "all"], "fit": ["ring", "tokens"]}.get(operand["kind"], ["same", "other"])
        reply = {"tasks": [{"size": n, "task": {"kind": "pretended", "name": n}, "operations": None} for n in names]}
    elif kind == "steps":
        turns += 1
        reply = {"seconds": seconds}
        if task["name"] == "other":
            reply = {"failed": "a refused task is timed"}
    elif kind == "agree":
        reply = {"differs": {"by": 0.5 if task["name"] == "other" else 1e-6, "of": "found: `loss`"}}
    elif kind == "reference":
        reply = {"values": [1.0, -2.0]}
    elif kind == "likelihoods":
        reply = {"values": [1.0, -2.0 + task["tolerance"] / 5]}
    elif kind == "held_out_loss":
        reply = {"values": [1 / turns]}
    else:
        reply = {"ready": "a worker that pretends"}
    print(json.dumps(reply), flush=True)
"""
SECONDS = {Way.OURS: 0.02, Way.CAREFUL_EAGER: 0.05, Way.CAREFUL_COMPILED: 0.04}


class Pretended(unittest.TestCase):
    """A test with one worker per entry of SECONDS."""

    def setUp(self) -> None:
        stack = ExitStack()
        self.addCleanup(stack.close)
        stack.enter_context(redirect_stderr(StringIO()))
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pause, side.PAUSE = side.PAUSE, 0.0
        stack.callback(setattr, side, "PAUSE", pause)
        self.sides = []
        for way, seconds in SECONDS.items():
            self.sides.append(Side(way, [sys.executable, "-c", WORKER, str(seconds)], 1))
            stack.callback(self.sides[-1].end)

    def comparison(self, **changed: object) -> Comparison:
        # beside other load no round is repeated
        given = dict(check=False, size="", rounds=2, solves=1, turn=0.01, paper=False, precision="f32", beside=1)
        return Comparison(self.sides, Namespace(**{**given, **changed}), self.folder)

    def test_a_row_whose_results_differ_is_refused_and_the_others_are_timed(self) -> None:
        comparison = self.comparison()
        self.assertFalse(comparison.measured("probe"))
        text = comparison.text()
        (row,) = (line for line in text.splitlines() if line.startswith("| linear probe"))
        self.assertIn("| same ", row)
        # milliseconds, and the ratio of the faster
        for cell in ("| 20.0 ", "| 50.0 ", "| 40.0 ", "| 2.00 (2.00 to 2.00) ", "| pass "):
            self.assertIn(cell, row)
        self.assertIn("other: careful eager: found: `loss` differs by 5.0e-1 of its size from ours", text)
        self.assertIn("linear probe, same: careful eager: as told; careful compiled: as told; what comes out", text)

    def test_sizes_are_chosen_by_words(self) -> None:
        comparison = self.comparison(size="same")
        self.assertTrue(comparison.measured("probe"))
        self.assertIn("differs by 1.0e-6 of its size", comparison.text())

    def test_a_check_times_nothing(self) -> None:
        comparison = self.comparison(check=True)
        self.assertFalse(comparison.measured("probe"))
        self.assertTrue(comparison.measured("stream"))
        self.assertEqual(len(comparison.table.rows), 1)

    def test_solves_take_the_loosest_tolerance_that_suffices(self) -> None:
        comparison = self.comparison()
        self.assertTrue(comparison.measured("nested"))
        text = comparison.text()
        for way in SECONDS:
            self.assertIn(f"{way.value}: tolerance 3e-3, worst error 6.0e-4 nats", text)
        few, all_points = ({"name": name} for name in ("few", "all"))
        reference = [1.0, 0.0]
        with self.assertRaisesRegex(RuntimeError, "none of .* is within 1e-3 nats"):
            solves.sufficient(self.sides[0], few, reference, 1e-2)
        self.assertEqual([of.tolerance for of in solves.choose(self.sides, few, all_points)], [3e-3] * 3)

    def test_quality_is_the_ratio_of_seconds_to_the_same_loss(self) -> None:
        text = quality.compared(self.sides, 2, 200, self.folder)
        rows = [line.split() for line in text.splitlines() if line.startswith("| ring")]
        self.assertEqual([row[3] for row in rows], ["0", "1"])
        cells = "8.0, careful compiled | 0.2500 | 4.0 | 200 | 2.00 | 1.0000, 1.0000, 1.0000 |"
        self.assertEqual(" ".join(rows[0][5:]), cells)
        self.assertIn("tokens: 2.00 (2.00 to 2.00), at least 1.2, hoped for 2: as hoped.", text)

    def test_a_worker_that_ends_or_fails_says_so(self) -> None:
        ours = self.sides[0]
        ours.prepare({"name": "other"})
        with self.assertRaisesRegex(RuntimeError, "ours: a refused task is timed"):
            ours.run(1)
        ours.process.kill()
        with self.assertRaisesRegex(RuntimeError, "ours: it ended with exit status"):
            ours.run(1)

    def test_turns_rotate_and_disturbed_rounds_are_repeated(self) -> None:
        order, shares = [], iter([0.5, 0.1, 0.0, 0.0])

        class Turned:
            def __init__(self, way: Way):
                self.way, self.others = way, 0.0

            def run(self, steps: int) -> float:
                order.append(self.way)
                self.others = next(shares) if self.way is Way.OURS else 0.0
                return 1.0

        sides = [Turned(way) for way in SECONDS]
        found = rounds.rounds(sides, Plan(count=2, seconds=None))
        self.assertEqual([this.others for this in found], [0.0, 0.0])
        self.assertEqual([order[at] for at in (0, 3, 6, 9)], [*SECONDS, Way.OURS])


class Figures(unittest.TestCase):
    def test_a_ratio_is_that_of_the_fastest_of_its_ways(self) -> None:
        found = Round(dict(zip(Way, (2.0, 9.0, 7.0, 3.0, 5.0))))
        self.assertEqual(found.ratio(lambda way: way.is_careful), 1.5)
        self.assertEqual(found.ratio(lambda way: way.is_naive), 3.5)
        self.assertIsNone(found.ratio(lambda way: False))

    def test_a_spread_is_median_least_and_greatest(self) -> None:
        self.assertEqual(f"{Spread.of([3.0, 1.0, 2.0])}", "2.00 (1.00 to 3.00)")
        self.assertEqual(f"{Spread.of([4.0, 1.0]):1}", "2.5 (1.0 to 4.0)")
        self.assertIsNone(Spread.of([]))

    def test_a_verdict_is_on_the_median(self) -> None:
        target = Target(1.3, 2)
        self.assertEqual(str(target), "at least 1.3, hoped for 2")
        verdicts = [target.verdict(Spread(median, 0.0, 9.0)) for median in (1.2, 1.3, 2.0)]
        self.assertEqual(verdicts, ["miss", "pass", "as hoped"])

    def test_numbers_are_written_as_in_the_documents(self) -> None:
        self.assertEqual([scientific(1e-3), scientific(0.00123, 1), scientific(float("inf"))], ["1e-3", "1.2e-3", "inf"])

    def test_the_share_of_the_rate_is_that_of_the_better_side(self) -> None:
        row = {"size": "some", "operations": 3e9}
        text = share_of_rate(row, [Round({Way.OURS: 1.0}, [4e9, 3e9]), Round({Way.OURS: 1.0}, [4e9, 6e9])])
        self.assertIn("some: 62 (50 to 75) % of the measured rate", text)
        self.assertIn("ours 4 (4 to 4), PyTorch 4 (3 to 6).", text)

    def test_a_loss_is_first_reached_between_two_turns(self) -> None:
        moments = [Moment(50.0, 1.0, 3.0), Moment(100.0, 3.0, 2.0), Moment(150.0, 4.0, 2.5)]
        self.assertEqual(first_at(moments, 2.5), Moment(75.0, 2.0, 2.5))
        self.assertEqual(first_at(moments, 3.5), moments[0])
        self.assertIsNone(first_at(moments, 1.0))

    def test_a_table_is_aligned(self) -> None:
        table = Table("a", "long")
        table.row("longer", "b")
        self.assertEqual(str(table), "| a      | long |\n| ------ | ---- |\n| longer | b    |\n")
        self.assertRaises(ValueError, table.row, "one")

    def test_what_others_used_is_what_the_process_and_its_children_did_not(self) -> None:
        def usage(system: str, child: int, stranger: int) -> Usage:
            processes = [(1, 0, 5, 5), (7, 1, 10, 0), (9, 7, child, 5), (8, 1, stranger, 0)]
            line = "{} (a (b) c) S {} 1 1 0 -1 0 0 0 0 0 {} {} 0 0 20"
            return Usage.parse(system, [line.format(*process) for process in processes], 7)

        before = usage("cpu  100 0 0 900 0 0 0 0 0 0\n", 0, 0)
        after = usage("cpu  160 0 20 1110 5 0 0 5 0 0\n", 45, 30)
        # 300 ticks of all cores, of which 85 busy or stolen, 45 of them of the child
        self.assertAlmostEqual(after.others_since(before), 40 / 300)

    def test_disturbance_is_named(self) -> None:
        self.assertTrue(machine.disturbance(0.04).endswith("4 % of the machine.\n"))
        self.assertIn("too much", machine.disturbance(0.05))

    def test_unknown_rows_are_refused(self) -> None:
        self.assertEqual(kinds("train,tarflow-nll"), ["train", "tarflow-nll"])
        self.assertRaisesRegex(Exception, "found `trai`", kinds, "trai")


if __name__ == "__main__":
    unittest.main()
