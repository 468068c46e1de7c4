"""Measures draft heads on held-out problems, and writes what other implementations are checked against.

    python3 evaluate_heads.py ../../Sources/Martlet/Resources/martlet-arith.gguf medusa.gguf eagle.gguf
    python3 evaluate_heads.py BASE medusa.gguf eagle.gguf --golden goldens.json

A chain of four guesses follows each token that was drawn; a guess is right when it is the token that the
model's own text has there. Per pass: guesses that came true before the first that did not. The next chain
begins after them and the token that the pass drew.
"""
import argparse
import json

import torch
import torch.nn.functional as F

import export
import heads as h
import model as m
import tasks
from train_heads import features_of

DEPTH = 4


def guesses(heads, model, ids):
    """Row t: the tokens that a chain begun from feature t guesses for t + 2, t + 3 …; [DEPTH, batch, time]."""
    features = features_of(model, ids)
    if heads.kind == "medusa":
        return heads(features)[:DEPTH].argmax(-1)
    # The token after the last one is unknown; no chain that counts begins there.
    following = torch.cat((ids[:, 1:], ids[:, :1]), 1)
    given, earlier, rows = features, (), []
    for depth in range(DEPTH):
        made, earlier = heads(given, following, earlier)
        guess = heads.logits(made).argmax(-1)
        rows.append(F.pad(guess[:, depth:], (0, depth)))
        given = h.shifted(made, 1)
        following = F.pad(guess[:, :-1], (1, 0))
    return torch.stack(rows)


def accepted_lengths(heads, model, prompt, text):
    ids = [m.BOS] + m.encode(prompt) + m.encode(text)
    found = guesses(heads, model, torch.tensor([ids]))[:, 0].tolist()
    at, lengths = len(prompt), []
    while at + 2 < len(ids):
        n = 0
        while n < DEPTH and at + 2 + n < len(ids) and found[n][at] == ids[at + 2 + n]:
            n += 1
        lengths.append(n)
        at += n + 1
    return lengths


def measure(heads, model, problems, seed):
    for family in tasks.FAMILIES:
        prompts = [p.prompt for p in tasks.problems(family, seed, problems)]
        for temperature in (0, 0.8):
            texts = m.sample(model, prompts, temperature, seed=1)
            lengths = [n for p, t in zip(prompts, texts) for n in accepted_lengths(heads, model, p, t)]
            share = [sum(n > k for n in lengths) / len(lengths) for k in range(DEPTH)]
            print(f"{heads.kind:6} {family} temperature {temperature}: {sum(lengths) / len(lengths):.2f} accepted "
                  f"per pass ({len(lengths)} passes; first {DEPTH}: {' '.join(f'{x:.3f}' for x in share)})",
                  flush=True)


def golden(kinds, model, rows=10):
    """Features of the first tokens of a text and what each kind makes of them."""
    ids = torch.tensor([[m.BOS] + m.encode("make 46 from 3 7 25? 3*7=21 21+25=46 #")])[:, : rows + 1]
    features = features_of(model, ids)[:, :rows]
    out = {"tokens": ids[0].tolist(), "features": features[0].tolist()}
    for heads in kinds:
        if heads.kind == "medusa":
            out["medusa"] = heads(features)[:, 0].tolist()
        else:
            # Depth 0 over true features, then one chain of two from the last row.
            made, earlier = heads(features, ids[:, 1:])
            guess = heads.logits(made)[0, -1].argmax()
            following = torch.cat((ids[:, 1:], guess[None, None]), 1)
            again = h.shifted(torch.cat((made, made[:, :1]), 1), 1)
            padded = [tuple(F.pad(y, (0, 0, 0, 1)) for y in earlier[0])]
            chained, _ = heads(again, following, padded)
            out["eagle"] = {
                "features": made[0].tolist(), "logits": heads.logits(made)[0].tolist(),
                "drafted": guess.item(), "chained": heads.logits(chained)[0, -1].tolist()}
    return json.loads(json.dumps(out), parse_float=lambda x: float(f"{float(x):.7g}"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("base")
    parser.add_argument("heads", nargs="+")
    parser.add_argument("--problems", type=int, default=200, help="of each family")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--golden")
    a = parser.parse_args()
    torch.set_num_threads(1)
    model = export.read(a.base)
    kinds = [h.read(path, model) for path in a.heads]
    with torch.no_grad():
        if a.golden:
            with open(a.golden, "w") as out:
                json.dump(golden(kinds, model), out, separators=(",", ":"))
            return
        for heads in kinds:
            measure(heads, model, a.problems, a.seed)


if __name__ == "__main__":
    main()
