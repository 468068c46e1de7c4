"""Measures a checkpoint or GGUF on unseen problems.

    python3 evaluate.py ../../Sources/Martlet/Resources/martlet-arith.gguf --seed 1 --problems 500 --samples 32

Greedy accuracy, pass@k (unbiased estimator of Chen et al., "Evaluating Large Language Models Trained on
Code"), majority@k (most frequent final answer; a tie goes to the answer seen first; samples without an
answer do not vote). Intervals are 95 %: Wilson for greedy, percentile bootstrap over problems for the rest.
"""
import argparse
import json
import math
import random
import time

import torch

import model as m
import tasks

KS = (1, 2, 4, 8, 16, 32, 64)


def quick(model, problems=100):
    """A small look during training, on the validation split."""
    found = {}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for family in tasks.FAMILIES:
            drawn = tasks.problems(family, "quick", problems, split="valid")
            texts = m.sample(model, [p.prompt for p in drawn], 0, seed=1)
            found[family] = round(sum(map(tasks.check, drawn, texts)) / problems, 3)
    return found


def wilson(right, n, z=1.96):
    p = right / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return [middle - half, middle + half]


def bootstrap(values, rounds=1000):
    r, n = random.Random("bootstrap"), len(values)
    means = sorted(sum(r.choices(values, k=n)) / n for _ in range(rounds))
    return [means[int(0.025 * rounds)], means[int(0.975 * rounds) - 1]]


def mean_with_interval(values):
    return {"mean": sum(values) / len(values), "interval": bootstrap(values)}


def pass_at(k, n, right):
    return 1 - math.comb(n - right, k) / math.comb(n, k)


def majority(answers):
    counts = {}
    for a in answers:
        if a is not None:
            counts[a] = counts.get(a, 0) + 1
    return max(counts, key=counts.get) if counts else None  # max keeps the first of equals


def majority_at(k, answers, truth, r, subsets=20):
    """Share of random subsets of k samples whose vote is right."""
    if k == len(answers):
        return float(majority(answers) == truth)
    return sum(majority(r.sample(answers, k)) == truth for _ in range(subsets)) / subsets


def evaluate(model, family, seed, count, samples, temperature, split="test"):
    drawn = tasks.problems(family, seed, count, split)
    greedy = m.sample(model, [p.prompt for p in drawn], 0, seed=0)
    right = [float(tasks.check(p, t)) for p, t in zip(drawn, greedy)]
    result = {
        "family": family, "split": split, "seed": seed, "problems": count, "samples": samples,
        "temperature": temperature,
        "greedy": {"mean": sum(right) / count, "interval": wilson(sum(right), count)},
        "greedy_by_size": {},
    }
    sizes = [len(p.operands) if family == "make" else len(p.operands) - 1 for p in drawn]
    for size in sorted(set(sizes)):
        part = [x for x, s in zip(right, sizes) if s == size]
        result["greedy_by_size"][size] = {"mean": sum(part) / len(part), "problems": len(part)}
    if not samples:
        return result
    texts = m.sample(model, [p.prompt for p in drawn for _ in range(samples)], temperature, seed=1)
    rows = [texts[i * samples : (i + 1) * samples] for i in range(count)]
    counts = [sum(tasks.check(p, t) for t in row) for p, row in zip(drawn, rows)]
    ks = [k for k in KS if k <= samples]
    result["pass"] = {k: mean_with_interval([pass_at(k, samples, c) for c in counts]) for k in ks}
    last = [pass_at(ks[-1], samples, c) - g for c, g in zip(counts, right)]
    result[f"pass@{ks[-1]} - greedy"] = mean_with_interval(last)
    if family == "calc":
        r = random.Random("majority")
        votes = [[tasks.extract_answer(t) for t in row] for row in rows]
        result["majority"] = {}
        for k in ks:
            won = [majority_at(k, v, str(p.answer), r) for v, p in zip(votes, drawn)]
            result["majority"][k] = mean_with_interval(won)
            if k >= 16:
                gain = [w - g for w, g in zip(won, right)]
                result[f"majority@{k} - greedy"] = mean_with_interval(gain)
    return result


def shown(x):
    low, high = x["interval"]
    return f"{x['mean']:.3f} [{low:.3f}, {high:.3f}]"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", help=".gguf or .pt")
    parser.add_argument("--seed", type=int, default=1, help="seed of the problems")
    parser.add_argument("--problems", type=int, default=500)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--family", choices=tasks.FAMILIES, action="append")
    parser.add_argument("--split", choices=("test", "valid"), default="test")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bfloat16", action="store_true", help="products in bfloat16: faster where the CPU has AMX")
    parser.add_argument("--json", help="write all figures here")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    if a.model.endswith(".gguf"):
        import export

        model = export.read(a.model)
    else:
        model, _ = m.load(a.model)
    results = []
    for family in a.family or tasks.FAMILIES:
        begun = time.time()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=a.bfloat16):
            x = evaluate(model, family, a.seed, a.problems, a.samples, a.temperature, a.split)
        x["seconds"] = round(time.time() - begun, 1)
        results.append(x)
        print(f"{family}: {a.problems} problems of seed {a.seed}, {x['seconds']} s")
        print("  greedy      ", shown(x["greedy"]))
        for size, part in x["greedy_by_size"].items():
            print(f"    size {size}: {part['mean']:.3f} ({part['problems']})")
        for kind in ("pass", "majority"):
            for k, value in x.get(kind, {}).items():
                print(f"  {kind}@{k}".ljust(14), shown(value))
        for name in x:
            if name.endswith("greedy") and name != "greedy":
                print(f"  {name}:", shown(x[name]), flush=True)
    if a.json:
        with open(a.json, "w") as out:
            json.dump(results, out, indent=1)


if __name__ == "__main__":
    main()
