"""Measures draft heads on held-out problems, and writes what other implementations are checked against.

    python3 evaluate_heads.py ../../Sources/Martlet/Resources/martlet-arith.gguf medusa.gguf eagle.gguf
    python3 evaluate_heads.py BASE medusa.gguf eagle.gguf --golden FOLDER

A chain of four guesses follows each token that was drawn; a guess is right when it is the token that the
model's own text has there. Per pass: guesses that came true before the first that did not. The next chain
begins after them and the token that the pass drew.
"""
import argparse
import json
import os
import re
from dataclasses import replace

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


def write_golden(model, base_path, paths, folder, rows=10):
    """What the first tokens of a text become under heads: those of `paths`, and two small untrained ones of
    other shapes. Held-out prompts besides."""
    torch.manual_seed(1)
    own = h.Medusa(model, heads=2, own_output=True, blocks=2)
    small = h.Eagle(model, replace(model.config, kv_heads=1, ffn=32), bare=True)
    for p in [*own.parameters(), *small.fc.parameters()]:
        p.data.add_(torch.randn_like(p) * 0.02)
    for heads, name in ((own, "medusa-own.gguf"), (small, "eagle-bare.gguf")):
        paths = [*paths, os.path.join(folder, name)]
        h.write(heads, paths[-1], base_path)

    ids = torch.tensor([[m.BOS] + m.encode("make 46 from 3 7 25? 3*7=21 21+25=46 #")])[:, : rows + 1]
    features = features_of(model, ids)[:, :rows]
    prompts = [p.prompt for family in tasks.FAMILIES for p in tasks.problems(family, "heads", 100)]
    out = {"tokens": ids[0].tolist(), "features": features[0].tolist(), "prompts": prompts,
           "medusa": {}, "eagle": {}}
    for path in paths:
        heads, name = h.read(path, model), os.path.basename(path)
        if heads.kind == "medusa":
            out["medusa"][name] = heads(features)[:, 0].tolist()
            continue
        # Depth 0 over true features, then one guess in the last row's chain.
        made, earlier = heads(features, ids[:, 1:])
        guess = heads.logits(made)[0, -1].argmax()
        following = torch.cat((ids[:, 1:], guess[None, None]), 1)
        again = h.shifted(F.pad(made, (0, 0, 0, 1)), 1)
        padded = [tuple(F.pad(y, (0, 0, 0, 1)) for y in earlier[0])]
        chained, _ = heads(again, following, padded)
        out["eagle"][name] = {
            "features": made[0, -1].tolist(), "logits": heads.logits(made)[0].tolist(),
            "drafted": guess.item(), "chained": heads.logits(chained)[0, -1].tolist()}
    text = json.dumps(out, separators=(",", ":"))
    text = re.sub(r"-?\d+\.\d+(e-?\d+)?", lambda x: f"{float(x.group()):.6g}", text)
    with open(os.path.join(folder, "golden.json"), "w") as file:
        file.write(text)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("base")
    parser.add_argument("heads", nargs="+")
    parser.add_argument("--problems", type=int, default=200, help="of each family")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--golden", help="a folder for golden.json and two small files of heads")
    a = parser.parse_args()
    torch.set_num_threads(1)
    model = export.read(a.base)
    with torch.no_grad():
        if a.golden:
            return write_golden(model, a.base, a.heads, a.golden)
        for path in a.heads:
            measure(h.read(path, model), model, a.problems, a.seed)


if __name__ == "__main__":
    main()
