"""python3 -m unittest test_long_tasks (from this folder; needs no packages)."""
import hashlib
import unittest
import zlib
from random import Random

import long_tasks as tasks


def words(text):
    return text.replace(".", "").replace("?", "").split()


class LongTasks(unittest.TestCase):
    def test_questions_have_one_answer_in_the_context(self):
        for family in ("recall", "passkey"):
            for seed in range(20):
                c = tasks.context(family, 1024, seed)
                text = tasks.decode(c.tokens[1:])
                self.assertEqual(len(c.questions), 10)
                self.assertEqual(len({tuple(q) for q, _ in c.questions}), 10)
                for q, a in c.questions:
                    name, value = tasks.decode(q)[2:], tasks.decode(a)
                    self.assertEqual(text.count(f" {name}{value[:-1]}."), 1)
                    self.assertNotIn(f"? {name}", text)
                    self.assertEqual(value[-1], "\n")

    def test_contexts_fill_their_length(self):
        for family in tasks.FAMILIES:
            for length in (512, 1024, 4096):
                tokens = tasks.context(family, length, 1).tokens
                self.assertTrue(length - 16 < len(tokens) <= length, (family, length, len(tokens)))

    def test_examples_at_the_end_are_right(self):
        for family in ("recall", "passkey"):
            text = tasks.decode(tasks.context(family, 1024, 5).tokens[1:])
            lines = text.split("?")
            for line in lines[1:]:
                self.assertIn(line.rstrip("\n") + ".", lines[0])

    def test_splits_state_different_facts(self):
        for split in ("train", "test", "valid"):
            for name, value in zip(*[iter(words(tasks.decode(tasks.context("recall", 1024, 1, split).tokens[1:])))] * 2):
                held = zlib.crc32(f"{name} {value}".encode()) % 8 == 0
                self.assertIs(held, split != "train", (name, value))

    def test_training_questions_can_be_answered_from_what_stands_before(self):
        for family in ("recall", "passkey"):
            for seed in range(20):
                items, marks = tasks.training_row(Random(seed), family, 600)
                text = ""
                for item, mark in zip(items[1:], marks[1:]):
                    shown = tasks.decode(item)
                    if shown[0] == "?":
                        self.assertIn(shown[1:-1] + ".", text)
                        self.assertTrue(mark[-1] and not mark[0])
                    text += shown

    def test_the_streams_are_fixed(self):
        tokens = [tasks.context(f, n, 1).tokens for f in tasks.FAMILIES for n in (1024, 8192)]
        self.assertEqual(hashlib.sha256(repr(tokens).encode()).hexdigest()[:16], "45ce9ae8dc3b47bc")


if __name__ == "__main__":
    unittest.main()
