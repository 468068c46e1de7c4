"""Trains draft heads for a frozen model on texts that it wrote itself, on one thread of a CPU.

    python3 train_heads.py texts  ../../Sources/Martlet/Resources/martlet-arith.gguf run/texts.json
    python3 train_heads.py medusa ../../Sources/Martlet/Resources/martlet-arith.gguf run/texts.json medusa.gguf
    python3 train_heads.py eagle  ../../Sources/Martlet/Resources/martlet-arith.gguf run/texts.json eagle.gguf

Texts are answers to problems of the training split, a third greedy, the others at temperatures 0.8 and 1.
Only tokens of answers carry loss: nothing is drafted in a prompt.
"""
import argparse
import json
import random
import time

import torch
import torch.nn.functional as F

import export
import heads as h
import model as m
import tasks


def write_texts(model, path, count, seed):
    source = tasks.training_stream(f"heads.{seed}")
    # The difficulty of held-out problems, and the model's own training mix.
    drawn = [next(source) for _ in range(count // 2)]
    for family in tasks.FAMILIES:
        drawn += tasks.problems(family, f"heads.{seed}", count // 4, split="train")
    random.Random(seed).shuffle(drawn)
    rows, begun = [], time.time()
    for at in range(0, len(drawn), 1024):
        part = [p.prompt for p in drawn[at : at + 1024]]
        temperature = (0, 0.8, 1)[at // 1024 % 3]
        with torch.no_grad():
            drawn_texts = m.sample(model, part, temperature, seed + at)
        # A special token that was drawn has no text.
        rows += [row for row in zip(part, drawn_texts) if "<" not in row[1]]
        print(f"{len(rows)} texts, {time.time() - begun:.0f} s", flush=True)
    with open(path, "w") as out:
        json.dump(rows, out)


def batches(rows, tokens, context):
    """(tokens [batch, time], is answer) of rows of similar length, padded with newlines."""
    encoded = [([m.BOS] + m.encode(p), m.encode(t)[: context - 1 - len(p)]) for p, t in rows]
    encoded.sort(key=lambda x: sum(map(len, x)))
    at = 0
    while at < len(encoded):
        group = encoded[at : at + max(1, tokens // sum(map(len, encoded[at])))]
        at += len(group)
        longest = max(len(p) + len(a) for p, a in group)
        ids = torch.full((len(group), longest), m.NEWLINE)
        answer = torch.zeros(len(group), longest, dtype=torch.bool)
        for i, (p, a) in enumerate(group):
            ids[i, : len(p) + len(a)] = torch.tensor(p + a)
            answer[i, len(p) : len(p) + len(a)] = True
        yield ids, answer


@torch.no_grad()
def features_of(model, ids):
    """What logits are computed from, [batch, time, width]."""
    x, length = model.embed(ids), ids.shape[1]
    for block in model.blocks:
        x = block(x, model.cos[:length], model.sin[:length])
    return model.norm(x).float()


def endless(model, rows, tokens, r):
    """Batches with their features, which are computed in the first round and kept as bfloat16."""
    kept = list(batches(rows, tokens, model.config.context))
    r.shuffle(kept)
    for i, (ids, answer) in enumerate(kept):
        features = features_of(model, ids)
        kept[i] = (ids, answer, features.bfloat16())
        yield ids, answer, features
    while True:
        r.shuffle(kept)
        for ids, answer, features in kept:
            yield ids, answer, features.float()


def medusa_loss(heads, ids, answer, features):
    """Cross-entropy of the token at t + 1 + k under head k, later heads counting less."""
    logits, total = heads(features), 0
    for k in range(1, len(heads.heads) + 1):
        wanted = answer[:, 1 + k :] & answer[:, 1 : -k]
        guess, truth = logits[k - 1][:, : -1 - k][wanted], ids[:, 1 + k :][wanted]
        total = total + 0.9 ** (k - 1) * F.cross_entropy(guess.float(), truth)
    return total


def eagle_loss(heads, ids, answer, features, depths):
    """Smooth L1 to the true next feature and cross-entropy to the distribution that it gives.

    After the first depth the head reads the features it made itself, as it will when it drafts ("Learning
    Harmonized Representations for Speculative Decoding").
    """
    truth = heads.logits(features)
    following, given, earlier, total = ids[:, 1:], features[:, :-1], (), 0
    for depth in range(depths):
        made, earlier = heads(given, following, earlier)
        wanted = answer[:, 1:] & (torch.arange(following.shape[1]) >= depth)
        guess = made[wanted]
        target = features[:, 1:][wanted]
        total = total + F.smooth_l1_loss(guess.float(), target) + F.cross_entropy(
            heads.logits(guess).float(), truth[:, 1:][wanted].softmax(-1))
        given = h.shifted(made, 1)
    return total / depths


def train(a, model):
    with open(a.texts) as file:
        rows = json.load(file)
    torch.manual_seed(a.seed)
    if a.resume:
        heads = h.read(a.resume, model).train()
    else:
        heads = h.Medusa(model, a.heads, a.own_output) if a.kind == "medusa" else h.Eagle(model)
    optimizer = torch.optim.AdamW(heads.parameters(), lr=a.rate, betas=(0.9, 0.95), weight_decay=0.01)
    source = endless(model, rows, a.batch_tokens, random.Random(a.seed))
    begun, step, losses = time.time(), 0, []
    while (fraction := (time.time() - begun) / a.seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = a.rate * min(1, (step + 1) / 50) * min(1, (1 - fraction) / 0.6)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            batch = next(source)
            loss = medusa_loss(heads, *batch) if a.kind == "medusa" else eagle_loss(heads, *batch, a.depths)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(heads.parameters(), 1.0)
        optimizer.step()
        step += 1
        losses.append(loss.item())
        if step % 200 == 0:
            print(f"step {step}, {time.time() - begun:.0f} s, loss {sum(losses) / len(losses):.4f}", flush=True)
            losses.clear()
    h.write(heads, a.out, a.base)


def main():
    parser = argparse.ArgumentParser()
    kinds = parser.add_subparsers(dest="kind", required=True)
    texts = kinds.add_parser("texts")
    texts.add_argument("base")
    texts.add_argument("texts")
    texts.add_argument("--count", type=int, default=24_576)
    for kind, rate in (("medusa", 2e-3), ("eagle", 1.5e-3)):
        parser_of = kinds.add_parser(kind)
        parser_of.add_argument("base")
        parser_of.add_argument("texts")
        parser_of.add_argument("out")
        parser_of.add_argument("--seconds", type=float, default=600)
        parser_of.add_argument("--resume", help="heads to go on from")
        parser_of.add_argument("--rate", type=float, default=rate)
        parser_of.add_argument("--batch-tokens", type=int, default=4096)
        if kind == "medusa":
            parser_of.add_argument("--heads", type=int, default=4)
            parser_of.add_argument("--own-output", action="store_true")
        else:
            parser_of.add_argument("--depths", type=int, default=3)
    for each in kinds.choices.values():
        each.add_argument("--seed", type=int, default=1)
    a = parser.parse_args()
    torch.set_num_threads(1)
    model = export.read(a.base)
    for p in model.parameters():
        p.requires_grad_(False)
    if a.kind == "texts":
        with torch.autocast("cpu", dtype=torch.bfloat16):
            write_texts(model, a.texts, a.count, a.seed)
    else:
        train(a, model)


if __name__ == "__main__":
    main()
