"""python3 -m unittest test_tasks (from this folder; needs no packages)."""
import hashlib
import itertools
import json
import os
import unittest

import tasks

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden", "checker.json")


class Tasks(unittest.TestCase):
    def test_golden_verdicts(self):
        with open(GOLDEN) as f:
            cases = json.load(f)
        self.assertGreater(len(cases), 60)
        for case in cases:
            p = tasks.Problem(case["family"], case["prompt"], "", case["answer"], ())
            self.assertIs(tasks.check(p, case["completion"]), case["correct"], case["why"])

    def test_references_are_right(self):
        for family in tasks.FAMILIES:
            for p in tasks.problems(family, 3, 2000):
                self.assertTrue(tasks.check(p, p.reference), p)

    def test_training_references_are_right_step_by_step(self):
        for p in itertools.islice(tasks.training_stream("unittest"), 5000):
            self.assertTrue(tasks.check(p, p.reference), p)
            for text in p.reference.split("#")[0].split():
                a, op, b, c = tasks.STEP.fullmatch(text).groups()
                self.assertEqual(tasks.apply(op, int(a), int(b)), int(c), p)
            self.assertLessEqual(len(p.prompt) + len(p.reference), tasks.MAX_TOKENS)

    def test_training_never_meets_a_held_out_problem(self):
        held = {tasks.content_key(p) for s in range(5) for f in tasks.FAMILIES for p in tasks.problems(f, s, 500)}
        for p in itertools.islice(tasks.training_stream("unittest"), 50000):
            self.assertNotIn(tasks.content_key(p), held)

    def test_the_default_stream_is_fixed(self):
        text = "".join(p.prompt + p.reference for f in tasks.FAMILIES for p in tasks.problems(f, 1, 100))
        self.assertEqual(hashlib.sha256(text.encode()).hexdigest()[:16], "9f666de21a12c5d0")


if __name__ == "__main__":
    unittest.main()
