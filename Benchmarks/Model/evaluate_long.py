"""Measures the model for long contexts on held-out problems: exact answers, and the loss on text.

    python3 evaluate_long.py run/long.pt --lengths 1024,8192 --contexts 20

Every question follows its context by itself; all are read in one pass, as rows of another batch behind the
context's keys and values. An answer is right when each of its tokens is the likeliest one.
"""
import argparse
import json
import math

import torch
import torch.nn.functional as F

import long_tasks as tasks
import model as m
from evaluate import wilson


def read(model, tokens):
    """The last layer's rows for `tokens`, and each layer's rotated queries and keys, and values."""
    x, layers, time = model.embed(torch.tensor([tokens])), [], len(tokens)
    for block in model.blocks:
        q, k, v = block.project(x, model.cos[:time], model.sin[:time])
        x = block.finish(x, F.scaled_dot_product_attention(q, k, v.to(q.dtype), is_causal=True, enable_gqa=True))
        layers.append((q, k, v.to(q.dtype)))
    return model.norm(x), layers


def ask(model, layers, rows):
    """The same for the tokens of `rows` (as many in each), every row by itself behind what was read."""
    rows = torch.tensor(rows)
    (n, width), time = rows.shape, layers[0][1].shape[2]
    at = torch.arange(time, time + width)
    visible = torch.ones(width, time + width, dtype=torch.bool).tril(time)
    x, asked = model.embed(rows), []
    for block, (_, keys, values) in zip(model.blocks, layers):
        q, k, v = block.project(x, model.cos[at], model.sin[at])
        asked.append((q, k, v))
        k = torch.cat((keys.expand(n, -1, -1, -1), k), 2)
        v = torch.cat((values.expand(n, -1, -1, -1), v.to(values.dtype)), 2)
        x = block.finish(x, F.scaled_dot_product_attention(q, k, v, attn_mask=visible, enable_gqa=True))
    return model.norm(x), asked


@torch.no_grad()
def answered(model, context):
    """One boolean for each question of `context`; without questions the mean loss of its tokens in nats."""
    x, layers = read(model, context.tokens)
    if not context.questions:
        logits = F.linear(x, model.embed.weight).float()
        return [], F.cross_entropy(logits[0, :-1], torch.tensor(context.tokens[1:])).item()
    rows, asked = [q + a for q, a in context.questions], len(context.questions[0][0])
    x, _ = ask(model, layers, rows)
    chosen = F.linear(x, model.embed.weight).argmax(-1)
    return (chosen[:, asked - 1 : -1] == torch.tensor(rows)[:, asked:]).all(1).tolist(), 0.0


def measured(model, family, length, contexts, seed, split="test", questions=10):
    """(answers right, answers, mean loss of text)."""
    right, losses = [], []
    for i in range(contexts):
        some, loss = answered(model, tasks.context(family, length, f"{seed}.{i}", split, questions))
        right += some
        losses.append(loss)
    return sum(right), len(right), sum(losses) / len(losses)


def quick(model, length, tokens=8192):
    """A small look during training, on the validation split."""
    found = {}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for n in (length, length * 4) if length < 4096 else (length,):
            for family in tasks.FAMILIES:
                right, of, loss = measured(model, family, n, max(1, tokens // n), "quick", "valid", 30)
                found[f"{family}@{n}"] = round(right / of if of else loss, 3)
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", help=".gguf or .pt")
    parser.add_argument("--lengths", default="1024,2048,4096,8192")
    parser.add_argument("--contexts", type=int, default=20, help="of each family and length, ten questions each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--split", choices=("test", "valid"), default="test")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bfloat16", action="store_true", help="products in bfloat16")
    parser.add_argument("--json", help="write all figures here")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    if a.model.endswith(".gguf"):
        import export

        model = export.read(a.model, tasks.VOCABULARY)
    else:
        model, _ = m.load(a.model)
    results = []
    for length in map(int, a.lengths.split(",")):
        for family in tasks.FAMILIES:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=a.bfloat16):
                right, of, loss = measured(model, family, length, a.contexts, a.seed, a.split)
            row = {"family": family, "length": length, "contexts": a.contexts}
            row |= {"accuracy": right / of, "interval": wilson(right, of)} if of else {"perplexity": math.exp(loss)}
            results.append(row)
            print(json.dumps(row), flush=True)
    if a.json:
        with open(a.json, "w") as out:
            json.dump(results, out, indent=1)


if __name__ == "__main__":
    main()
