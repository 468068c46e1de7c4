"""Prints contexts and what is asked about them, one JSON object per line, for `martlet bench recall`.

    python3 long_problems.py --family recall --lengths 8192,32768 --contexts 100 > problems.jsonl
"""
import argparse
import json

import long_tasks as tasks


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--family", choices=tasks.FAMILIES, action="append")
    parser.add_argument("--lengths", default=",".join(map(str, tasks.LENGTHS)), help="tokens of a context")
    parser.add_argument("--contexts", type=int, default=100, help="of each family and length")
    parser.add_argument("--questions", type=int, default=10, help="about each context")
    parser.add_argument("--split", choices=tasks.SPLITS, default="test")
    a = parser.parse_args()
    for length in map(int, a.lengths.split(",")):
        for family in a.family or tasks.FAMILIES:
            for i in range(a.contexts):
                c = tasks.context(family, length, f"{a.seed}.{i}", a.split, a.questions)
                print(json.dumps({
                    "family": family, "length": length, "tokens": len(c.tokens), "text": tasks.decode(c.tokens[1:]),
                    "questions": [{"question": tasks.decode(q), "answer": tasks.decode(x)} for q, x in c.questions]}))


if __name__ == "__main__":
    main()
