"""Trains a process reward model: the base model, its last layers tuned to say how its answers will end.

    python3 train_prm.py rollouts ../../Sources/Martlet/Resources/martlet-arith.gguf run/rollouts.jsonl
    python3 train_prm.py train    ../../Sources/Martlet/Resources/martlet-arith.gguf run/rollouts.jsonl prm.gguf

The model reads a prompt and the answer so far. At a boundary (the prompt's end, every space of the answer, and
the end of the answer, without its newline) its next token is `+` for yes and `-` for no, so that
p(+) / (p(+) + p(-)) is a probability: after the prompt (and the space behind it) that this rollout ends right,
as in "Math-Shepherd" (Wang et al., 2024); after a step that nothing is wrong so far (`tasks.mark`: exact labels
where "Let's Verify Step by Step", Lightman et al., 2023, has people's); at the end that the answer is right.
Labels carry all the loss and are never part of the text.
"""
import argparse
import json
import os
import random
import time

import torch
import torch.nn.functional as F

import export
import model as m
import tasks
from train import Muon, average_gradients

GOOD, BAD, SPACE = m.TOKEN["+"], m.TOKEN["-"], m.TOKEN[" "]


def rollouts(model, a):
    """Writes lines of [prompt, answer without its newline, whether it is right], `--each` per problem."""
    drawn = []
    for family in tasks.FAMILIES:
        drawn += tasks.problems(family, f"prm.{a.seed}", a.problems // 2, split=a.split)
    random.Random(a.seed).shuffle(drawn)
    count, begun, batch = 0, time.time(), 1024 // a.each
    with open(a.out, "w") as out:
        for at in range(0, len(drawn), batch):
            part = [p for p in drawn[at : at + batch] for _ in range(a.each)]
            temperature = a.temperatures[at // batch % len(a.temperatures)]
            texts = m.sample(model, [p.prompt for p in part], temperature, a.seed + at)
            for p, text in zip(part, texts):
                if "<" not in text:  # a special token that was drawn has no text
                    print(json.dumps((p.prompt, text.removesuffix("\n"), tasks.check(p, text))), file=out)
                    count += 1
            print(f"{count} rollouts, {time.time() - begun:.0f} s", flush=True)


def boundaries(prompt, answer, context):
    """Tokens of a text as a scorer reads it, and whether each is a boundary."""
    ids = ([m.BOS] + m.encode(prompt + answer))[:context]
    marks = [i == len(prompt) or i == len(ids) - 1 or (i > len(prompt) and t == SPACE) for i, t in enumerate(ids)]
    return ids, marks


def groups(rows, tokens):
    """Rows of similar length in groups of about `tokens` tokens."""
    ordered, at, found = sorted(rows, key=lambda row: len(row[0]) + len(row[1])), 0, []
    while at < len(ordered):
        p, t, _ = ordered[at]
        found.append(ordered[at : at + max(1, tokens // (1 + len(p) + len(t)))])
        at += len(found[-1])
    return found


def labels(prompt, answer, right, count):
    """What is said at each of `count` boundaries of a text: 1 for yes, 0 for no, -1 for unknown."""
    steps = [-1 if good is None else int(good) for good in tasks.mark(prompt, answer, right)]
    said = [int(right)] * 2 + steps + [int(right)]
    return said if len(said) == count else [int(right)] + [-1] * (count - 2) + [int(right)]


def batch(group, context):
    """Tokens [rows, time]; places of the boundaries [rows, most] with -1 where nothing is said; labels [rows, most]."""
    read = [boundaries(p, t, context) for p, t, _ in group]
    ids = torch.full((len(read), max(len(row) for row, _ in read)), m.NEWLINE)
    places = torch.full((len(read), max(sum(marks) for _, marks in read)), -1)
    said = torch.full(places.shape, -1)
    for i, (row, marks) in enumerate(read):
        ids[i, : len(row)] = torch.tensor(row)
        places[i, : sum(marks)] = torch.tensor(marks).nonzero()[:, 0]
        said[i, : sum(marks)] = torch.tensor(labels(*group[i], sum(marks)))
    return ids, places.masked_fill(said < 0, -1), said


def read_rows(path):
    with open(path) as file:
        return [json.loads(line) for line in file]


def through(blocks, model, x):
    for block in blocks:
        x = block(x, model.cos[: x.shape[1]], model.sin[: x.shape[1]])
    return x


def last(block, model, x, places):
    """The last block where its output is read: [rows, most, width] for places [rows, most]."""
    time, at = x.shape[1], places.clamp(min=0)
    q, k, v = block.project(x, model.cos[:time], model.sin[:time])
    q = q.gather(2, at[:, None, :, None].expand(-1, q.shape[1], -1, q.shape[3]))
    k, v = (y.repeat_interleave(q.shape[1] // y.shape[1], 1) for y in (k, v))
    scores = (q @ k.transpose(-1, -2)).float() * q.shape[-1] ** -0.5
    future = torch.arange(time) > at[:, None, :, None]
    weights = scores.masked_fill(future, float("-inf")).softmax(-1).to(v.dtype)
    return block.finish(x.gather(1, at[:, :, None].expand(-1, -1, x.shape[2])), weights @ v)


def loss_of(logits, good, others=0.1):
    """Cross-entropy between the two labels, and a little of it for what the other tokens take from both."""
    pair = logits[:, [GOOD, BAD]]
    taken = logits.logsumexp(-1) - pair.logsumexp(-1)
    return F.cross_entropy(pair, 1 - good) + others * taken.mean()


def train(rank, a):
    """One of `--workers` processes of one thread, which average their gradients every step."""
    torch.manual_seed(a.seed)
    torch.set_num_threads(1)
    if a.workers > 1:
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{os.path.abspath(a.out)}.{os.getppid()}", rank=rank, world_size=a.workers)
    model = export.read(a.base)
    context, tuned = model.config.context, model.blocks[a.frozen :]
    model.requires_grad_(False)
    for part in (tuned, model.norm):
        part.requires_grad_(True)
    matrices = [p for p in tuned.parameters() if p.ndim == 2]
    vectors = [p for part in (tuned, model.norm) for p in part.parameters() if p.ndim == 1]
    muon = Muon(matrices, rank, a.workers)
    adam = torch.optim.AdamW(vectors, lr=a.adam_rate, betas=(0.9, 0.98), weight_decay=0.0)
    rows = [row for path in a.rollouts for row in read_rows(path)]
    r = random.Random(a.seed)
    kept = groups(rows, a.batch_tokens)
    r.shuffle(kept)
    kept = kept[rank :: a.workers]  # its own share, so that what the frozen blocks make is computed once
    begun, step, seen, losses, order, fraction, known = time.time(), 0, 0, [], [], 0, {}
    while fraction < 1:
        if not order:
            order = r.sample(range(len(kept)), len(kept))
        index = order.pop()
        rate = min(1, (step + 1) / 20) * (1 - fraction)
        adam.param_groups[0]["lr"] = a.adam_rate * rate
        with torch.autocast("cpu", dtype=torch.bfloat16):
            if index not in known:
                ids, places, said = batch(kept[index], context)
                known[index] = through(model.blocks[: a.frozen], model, model.embed(ids)).bfloat16(), places, said
            x, places, said = known[index]
            x = last(tuned[-1], model, through(tuned[:-1], model, x.float()), places)[places >= 0]
            loss = loss_of(F.linear(model.norm(x), model.embed.weight).float(), said[places >= 0])
        model.zero_grad()
        loss.backward()
        clock = torch.tensor([time.time() - begun, loss.item(), known[index][0].shape[:2].numel()], dtype=torch.float64)
        if a.workers > 1:
            average_gradients(matrices + vectors, a.workers)
            torch.distributed.all_reduce(clock)
        adam.step()
        muon.step(a.muon_rate * rate)
        step, seen, fraction = step + 1, seen + int(clock[2]), clock[0].item() / a.workers / a.seconds
        losses.append(clock[1].item() / a.workers)
        if step % 10 == 0 and rank == 0:
            print(f"step {step}, {step / len(kept):.2f} rounds, {seen} tokens, "
                  f"{fraction * a.seconds:.0f} s, loss {sum(losses) / len(losses):.4f}", flush=True)
            losses.clear()
    if rank == 0:
        export.write(model.eval(), a.out, {"tokens": seen}, about=export.PRM)


def main():
    parser = argparse.ArgumentParser()
    kinds = parser.add_subparsers(dest="kind", required=True)
    x = kinds.add_parser("rollouts")
    x.add_argument("base")
    x.add_argument("out")
    x.add_argument("--problems", type=int, default=12_288)
    x.add_argument("--each", type=int, default=4)
    x.add_argument("--split", choices=tasks.SPLITS, default="train")
    x.add_argument("--temperatures", type=float, nargs="+", default=[0.8, 0.9, 1])
    x = kinds.add_parser("train")
    x.add_argument("base")
    x.add_argument("rollouts", nargs="+")
    x.add_argument("out")
    x.add_argument("--frozen", type=int, default=3, help="blocks, from the first, that stay as they are")
    x.add_argument("--seconds", type=float, default=1200)
    x.add_argument("--batch-tokens", type=int, default=3072)
    x.add_argument("--muon-rate", type=float, default=0.01)
    x.add_argument("--adam-rate", type=float, default=1e-3)
    x.add_argument("--workers", type=int, default=os.cpu_count())
    for x in kinds.choices.values():
        x.add_argument("--seed", type=int, default=1)
    a = parser.parse_args()
    if a.kind == "train":
        torch.multiprocessing.spawn(train, (a,), nprocs=a.workers)
        return
    torch.set_num_threads(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rollouts(export.read(a.base), a)


if __name__ == "__main__":
    main()
