"""Measures a process reward model on rollouts for held-out problems.

    B=../../Sources/Martlet/Resources/martlet-arith
    python3 train_prm.py rollouts $B.gguf run/test.jsonl --split test --problems 400 --each 32 --temperatures 0.8
    python3 evaluate_prm.py $B.gguf $B-prm.gguf run/test.jsonl --json prm-results.json

Per family and place in the text: AUC over all rollouts, AUC within a problem (mean over the problems that have
both right and wrong ones: what choosing among branches of one problem needs) and the expected calibration error
over ten bins of equal width. Then the share of problems for which n rollouts give a right answer when it is
chosen by the reward at the end, the mean log-probability, a vote, or a vote weighted by the reward. Intervals
are 95 %, by bootstrap over problems.
"""
import argparse
import json
from statistics import mode

import torch

import export
import model as m
import train_prm
from evaluate import majority, mean_with_interval
from tasks import extract_answer

WIDTHS = (8, 16, 32)


@torch.no_grad()
def read(base, prm, rows):
    """For each row the rewards at its boundaries, in order, and the mean log-probability of its answer."""
    context, rewards, sureness = base.config.context, [None] * len(rows), [0.0] * len(rows)
    encoded = [train_prm.boundaries(p, t, context) for p, t, _ in rows]
    order = sorted(range(len(rows)), key=lambda i: len(encoded[i][0]))
    for at in range(0, len(order), 256):
        part = order[at : at + 256]
        ids = torch.full((len(part), len(encoded[part[-1]][0]) + 1), m.NEWLINE)
        for i, row in enumerate(part):
            ids[i, : len(encoded[row][0])] = torch.tensor(encoded[row][0])
        ids = ids[:, :context]
        odds = prm(ids)[:, :, [train_prm.GOOD, train_prm.BAD]].float().softmax(-1)[:, :, 0]
        logprobs = base(ids[:, :-1]).float().log_softmax(-1).gather(-1, ids[:, 1:, None])[:, :, 0]
        for i, row in enumerate(part):
            marks, begin = encoded[row][1], len(rows[row][0])
            rewards[row] = odds[i, : len(marks)][torch.tensor(marks)].tolist()
            # The newline that ended the answer counts: the engine drew it.
            sureness[row] = logprobs[i, begin : len(marks)].mean().item()
    return rewards, sureness


def auc(scores, right):
    """The share of (right, wrong) pairs that are in order, ties half; None without such pairs."""
    x, y = torch.tensor(scores), torch.tensor(right, dtype=torch.bool)
    good, bad = x[y].sort()[0], x[~y].sort()[0]
    if not len(good) or not len(bad):
        return None
    below, upto = torch.searchsorted(bad, good), torch.searchsorted(bad, good, right=True)
    return ((below + upto).double().mean() / 2 / len(bad)).item()


def calibration(scores, right, bins=10):
    """Expected calibration error: the mean distance of a bin's mean score from its share of right ones."""
    x, y = torch.tensor(scores), torch.tensor(right, dtype=torch.float)
    which = (x * bins).long().clamp(max=bins - 1)
    return sum((x[which == b].sum() - y[which == b].sum()).abs().item() for b in range(bins)) / len(x)


def at_place(problems, place):
    """`problems`: per problem a list of (rewards, right …); `place` picks a reward or None of each."""
    groups = [[(v, row[1]) for row in rows if (v := place(row[0])) is not None] for rows in problems]
    flat = [pair for group in groups for pair in group]
    within = [x for g in groups if g and (x := auc(*zip(*g))) is not None]
    scores, right = zip(*flat)
    return {
        "rollouts": len(flat), "right": sum(right) / len(flat), "mean reward": sum(scores) / len(flat),
        "auc": auc(scores, right), "auc within a problem": mean_with_interval(within) if within else None,
        "ece": calibration(scores, right),
    }


def chosen(rows, how):
    """Whether the answer chosen among (rewards, right, mean log-probability, answer) is right."""
    if how == "reward":
        return max(rows, key=lambda row: row[0][-1])[1]
    if how == "mean logprob":
        return max(rows, key=lambda row: row[2])[1]
    truth = {answer for _, right, _, answer in rows if right}
    if how == "vote":
        return majority([row[3] for row in rows]) in truth
    weights = {}
    for rewards, _, _, answer in rows:
        if answer is not None:
            weights[answer] = weights.get(answer, 0) + rewards[-1]
    return bool(weights) and max(weights, key=weights.get) in truth


def measure(family, problems):
    found = {"family": family, "problems": len(problems), "samples": len(problems[0]), "places": {}}
    # Place 0 is the prompt's end, 1 the space before the first step, k + 1 the end of step k.
    longest = max(len(row[0]) for rows in problems for row in rows)
    for i in range(longest - 1):
        place = at_place(problems, lambda r: r[i] if i < len(r) - 1 else None)
        if place["rollouts"] >= 500:
            found["places"][i] = place
    found["places"]["end"] = at_place(problems, lambda r: r[-1])
    ways = ["reward", "mean logprob"] + ["vote", "weighted vote"] * (family == "calc")
    found["one sample"] = mean_with_interval([sum(row[1] for row in rows) / len(rows) for rows in problems])
    found["best of"] = {}
    for n in WIDTHS:
        if n > len(problems[0]):
            continue
        parts = [[rows[i : i + n] for i in range(0, len(rows) - n + 1, n)] for rows in problems]
        figures = {how: [sum(chosen(x, how) for x in p) / len(p) for p in parts] for how in ways}
        row = {how: mean_with_interval(x) for how, x in figures.items()}
        for how in ways[1:]:
            row[f"reward - {how}"] = mean_with_interval([a - b for a, b in zip(figures["reward"], figures[how])])
        row["any right"] = mean_with_interval([sum(any(y[1] for y in x) for x in p) / len(p) for p in parts])
        found["best of"][n] = row
    return found


def golden(problems, texts, each=12):
    """A right and a wrong rollout of the first `each` problems per family that have both, with their rewards."""
    kept, count = [], {}
    for prompt, rows in problems.items():
        family = prompt.split(" ")[0]
        pair = [next((i for i, row in enumerate(rows) if row[1] == right), None) for right in (True, False)]
        if None in pair or count.get(family, 0) == each:
            continue
        count[family] = count.get(family, 0) + 1
        for i in pair:
            kept.append({"prompt": prompt, "text": texts[prompt][i], "right": rows[i][1],
                         "rewards": [round(x, 5) for x in rows[i][0]]})
    return kept


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("base")
    parser.add_argument("prm")
    parser.add_argument("rollouts", nargs="+")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bfloat16", action="store_true", help="products in bfloat16")
    parser.add_argument("--json", help="write all figures here")
    parser.add_argument("--golden", help="write what another implementation is checked against here")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    rows = [row for path in a.rollouts for row in train_prm.read_rows(path)]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=a.bfloat16):
        rewards, sureness = read(export.read(a.base), export.read(a.prm), rows)
    problems, texts = {}, {}
    for (prompt, text, right), reward, sure in zip(rows, rewards, sureness):
        texts.setdefault(prompt, []).append(text)
        problems.setdefault(prompt, []).append((reward, right, sure, extract_answer(text)))
    samples = mode(map(len, problems.values()))  # a problem drawn twice, or a rollout short, is left out
    results = []
    for family in ("make", "calc"):
        whole = [x for p, x in problems.items() if p.startswith(family) and len(x) == samples]
        results.append(measure(family, whole))
        print(f"{family}: {len(whole)} problems, {samples} samples")
        for name, x in results[-1]["places"].items():
            within = x["auc within a problem"]
            print(f"  place {name}: {x['rollouts']} rollouts, right {x['right']:.3f}, AUC {x['auc']:.3f}, within "
                  f"{within['mean'] if within else float('nan'):.3f}, ECE {x['ece']:.3f}")
        for n, row in results[-1]["best of"].items():
            print(f"  best of {n}: " + ", ".join(f"{how} {x['mean']:.3f}" for how, x in row.items()))
    if a.json:
        with open(a.json, "w") as out:
            json.dump(results, out, indent=1)
    if a.golden:
        with open(a.golden, "w") as out:
            json.dump(golden(problems, texts), out, indent=1)


if __name__ == "__main__":
    main()
