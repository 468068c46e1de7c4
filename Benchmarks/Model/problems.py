"""Prints problems of the default generator: python3 problems.py --seed 1 --count 5 [--family make] [--json]"""
import argparse
import json

import tasks


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=5, help="problems per family")
    parser.add_argument("--family", choices=tasks.FAMILIES, action="append")
    parser.add_argument("--split", choices=tasks.SPLITS, default="test")
    parser.add_argument("--json", action="store_true", help="one JSON array")
    a = parser.parse_args()
    drawn = [p for f in a.family or tasks.FAMILIES for p in tasks.problems(f, a.seed, a.count, a.split)]
    if a.json:
        rows = [{"prompt": p.prompt, "family": p.family, "answer": p.answer, "reference": p.reference}
                for p in drawn]
        print("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]")
    else:
        for p in drawn:
            print(p.prompt + p.reference, end="")


if __name__ == "__main__":
    main()
