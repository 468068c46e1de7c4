"""Trains the model for long contexts, on a CPU.

    python3 train_long.py --out run --stages 256:400,512:300,1024:200          tokens per row:seconds
    python3 train_long.py --out run --stages 8192:900 --resume run/long.pt      more of it
    python3 train_long.py --out run --stages 32768:900 --resume run/long.pt --decay   rate to zero

Recall is learned on short rows, where it is cheap, and then held while rows get longer. Loss on answers, and on
text wherever it stands; dozens of questions in a row. Half of the rows have gaps in their positions, between one
record or sentence and the next, so that short rows see the distances of long ones ("PoSE: Efficient Context
Window Extension of LLMs via Positional Skip-wise Training").
"""
import argparse
import json
import math
import multiprocessing
import os
import time
from random import Random

import numpy as np
import torch
import torch.nn.functional as F

import evaluate_long
import long_tasks as tasks
from model import Config, Llama, save
from train import Muon

CONTEXT = 32768 + 64  # the longest problem and its question


def produce(queue, seed, length, rows, shares, stretch):
    """Puts (inputs, targets, positions) on the queue for ever; targets are -100 where there is no loss."""
    r = Random(seed)
    while True:
        inputs, targets, positions = np.zeros((rows, length), np.int16), np.zeros((rows, length), np.int16), \
            np.zeros((rows, length), np.int32)
        for i in range(rows):
            u = r.random() * sum(shares)
            family = next(f for f, edge in zip(tasks.FAMILIES, np.cumsum(shares)) if u < edge or f == "text")
            items, marks = tasks.training_row(r, family, length + 1)
            tokens = np.array([t for item in items for t in item][: length + 1])
            marked = np.array([x for mark in marks for x in mark][: length + 1])
            inputs[i], targets[i] = tokens[:-1], np.where(marked, tokens, -100)[1:]
            positions[i] = stretched(r, [len(item) for item in items], length, stretch)
        queue.put((inputs, targets, positions))


def stretched(r, lengths, length, share):
    """Positions of a row: consecutive, or with gaps before its items that take it to a random length."""
    at = np.arange(length)
    if r.random() < share:
        extra = int(length * (CONTEXT / length) ** r.random()) - length
        gaps = np.array([int(extra * x) for x in sorted(r.random() for _ in lengths)])
        at += np.repeat(gaps, lengths)[:length]
    return np.minimum(at, CONTEXT - 1)


@torch.no_grad()
def prepare(model):
    """First weights from which recall is a short way: heads of the first layer see the tokens 1 to 4 places back,
    those of the last compare what came before a token with what comes before this place, and copy the token.
    Everything is trained from there. From random weights none of this was found within 6 million tokens. After
    "Mimetic Initialization of Self-Attention Layers"."""
    c, seen = model.config, 96  # tokens live in dimensions 1 ..< seen, what a head sees in 40 others each; 0 is constant
    first, last = model.blocks[0], model.blocks[-1]
    frequency = c.rope_base ** (-torch.arange(0, c.head, 2) / c.head)
    slow = slice(c.head - 24, c.head)  # dimensions that hardly turn between any two positions

    def random(rows, columns):
        return torch.randn(rows, columns) / columns**0.5

    for p in model.parameters():
        if p.ndim == 2:
            p.mul_(0.2)
    model.embed.weight.mul_(0.1)
    model.embed.weight[:, 1:seen] = 0.05 * torch.randn(c.vocabulary, seen - 1)
    model.embed.weight[:, 0] = 0.4
    token = F.normalize(torch.randn(seen - 1, 64), dim=0) * 12.4  # as the first layer meets them
    put = random(40, c.head)
    for h in range(c.heads):
        rows, back = slice(h * c.head, (h + 1) * c.head), h + 1
        for i in range(8):
            angle = frequency[i] * back
            first.q.weight[rows.start + 2 * i, 0] = 0.76 * angle.cos()
            first.q.weight[rows.start + 2 * i + 1, 0] = -0.76 * angle.sin()
        first.o.weight[:, rows] *= 0.2
    groups = c.heads // c.kv_heads
    for j in range(c.kv_heads):
        rows = slice(j * c.head, (j + 1) * c.head)
        first.k.weight[rows, 0] = 0
        first.k.weight[rows.start : rows.start + 16 : 2, 0] = 0.76
        take = random(c.head, seen - 1)
        first.v.weight[rows, 1:seen] = take
        gain = 0.49 / (put @ take @ token).norm(dim=0).mean()
        for h in range(j * groups, (j + 1) * groups):
            first.o.weight[seen + 40 * h : seen + 40 * (h + 1), h * c.head : (h + 1) * c.head] += gain * put
        if j == 0:
            same = put @ take
            same *= token.norm(dim=0).mean() / (same @ token).norm(dim=0).mean()
    for j in range(c.kv_heads):
        one, two = 1.2 * random(24, 40), 1.2 * random(24, 40)
        keys = last.k.weight[j * c.head : (j + 1) * c.head]
        keys[slow, seen : seen + 40], keys[slow, seen + 40 : seen + 80] = one, two
        copied = random(c.head, seen - 1)
        last.v.weight[j * c.head : (j + 1) * c.head, 1:seen] = copied
        for h in range(j * groups, (j + 1) * groups):
            queries = last.q.weight[h * c.head : (h + 1) * c.head]
            queries[slow, 1:seen], queries[slow, seen : seen + 40] = one @ same, two
            last.o.weight[1:seen, h * c.head : (h + 1) * c.head] += 0.1 * copied.T


def wandering(model, inputs, positions, queries=128, sample=1024, near=8):
    """How much the first layer's heads look beyond the last `near` tokens: the mean of -log of what they give to
    those, as it would be at CONTEXT tokens. Far keys are a sample of each row's."""
    c, time = model.config, inputs.shape[1]
    q, k, _ = model.blocks[0].project(model.embed(inputs), model.cos[positions], model.sin[positions])
    k = k.repeat_interleave(c.heads // c.kv_heads, 1)
    at, far = torch.randint(near, time, (queries,)), torch.randint(0, time, (min(sample, time),))
    q = q[:, :, at].float() * c.head**-0.5
    away = q @ k[:, :, far].float().transpose(-1, -2)
    away = away.masked_fill(far[None] > at[:, None] - near, -1e9).logsumexp(-1) + math.log(CONTEXT / len(far))
    close = (k[:, :, at[:, None] - torch.arange(near)].float() @ q.unsqueeze(-1)).squeeze(-1).logsumexp(-1)
    return F.softplus(away - close).mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--stages", required=True, help="tokens per row:seconds, separated by commas")
    parser.add_argument("--resume")
    parser.add_argument("--decay", action="store_true", help="rate to zero over all stages")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--ffn", type=int, default=512)
    parser.add_argument("--rope-base", type=float, default=1e8)
    parser.add_argument("--stretch", type=float, default=0.5, help="share of rows with gaps")
    parser.add_argument("--shares", default="0.3,0.5,0.2", help="of " + ", ".join(tasks.FAMILIES))
    parser.add_argument("--near", type=float, default=0.5, help="weight of keeping the first layer's heads near")
    parser.add_argument("--batch-tokens", type=int, default=8192)
    parser.add_argument("--muon-rate", type=float, default=0.01)
    parser.add_argument("--adam-rate", type=float, default=0.002)
    parser.add_argument("--warmup", type=int, default=50, help="steps")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--evaluate-every", type=float, default=180, help="seconds")
    a = parser.parse_args()
    os.makedirs(a.out, exist_ok=True)
    torch.manual_seed(a.seed)
    torch.set_num_threads(a.threads)
    stages = [(int(n), float(s)) for n, s in (stage.split(":") for stage in a.stages.split(","))]

    model = Llama(Config(layers=a.layers, ffn=a.ffn, context=CONTEXT, rope_base=a.rope_base,
                         vocabulary=len(tasks.VOCABULARY)))
    matrices = [p for p in model.blocks.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if all(p is not m for m in matrices)]
    muon = Muon(matrices)
    adam = torch.optim.AdamW(others, lr=a.adam_rate, betas=(0.9, 0.98), weight_decay=0.0)
    state = {"step": 0, "tokens": 0, "trained": 0, "seconds": 0.0, "runs": 0}
    prepare(model)
    if a.resume:
        stored = torch.load(a.resume, weights_only=False)
        model.load_state_dict(stored["model"])
        adam.load_state_dict(stored["adam"])
        muon.buffers, state = stored["muon"], stored["state"]
    state["runs"] += 1

    def loss_of(inputs, targets, positions):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(inputs, positions)
        loss = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="none")
        return loss.view(targets.shape)

    def checkpoint(name):
        path = os.path.join(a.out, name)
        save(path + ".part", model.state_dict(), model.config, adam=adam.state_dict(), muon=muon.buffers, state=state)
        os.replace(path + ".part", path)

    def report(**more):
        line = json.dumps({**{k: round(v, 1) for k, v in state.items()}, **more})
        print(line, flush=True)
        with open(os.path.join(a.out, "log.jsonl"), "a") as log:
            log.write(line + "\n")

    begun, first, whole = time.time(), state["seconds"], sum(s for _, s in stages)
    evaluated, losses = begun, {"answers": torch.zeros(2), "text": torch.zeros(2)}
    wandered = []
    for length, seconds in stages:
        compiled, queue = torch.compile(loss_of, dynamic=False), multiprocessing.Queue(4)
        producer = multiprocessing.Process(
            target=produce, daemon=True,
            args=(queue, f"{a.seed}.{state['runs']}.{length}", length, max(1, a.batch_tokens // length),
                  [float(x) for x in a.shares.split(",")], a.stretch))
        producer.start()
        entered = time.time()
        while time.time() - entered < seconds:
            rate = min(1.0, (state["step"] + 1) / a.warmup)
            if a.decay:
                rate = max(0.0, 1 - (time.time() - begun) / whole)
            inputs, targets, positions = (torch.from_numpy(x).long() for x in queue.get())
            each = compiled(inputs, targets, positions)
            loss = each.sum() / (targets >= 0).sum()
            for p in model.parameters():
                p.grad = None
            if a.near:
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    away = wandering(model, inputs, positions)
                wandered += [away.item()]
                loss = loss + a.near * away
            loss.backward()
            for group in adam.param_groups:
                group["lr"] = a.adam_rate * rate
            adam.step()
            muon.step(a.muon_rate * rate)
            state["step"] += 1
            state["tokens"] += inputs.numel()
            state["trained"] += int((targets >= 0).sum())
            state["seconds"] = first + time.time() - begun
            # Rows of questions and of text apart: a row of text has nearly all of its tokens marked.
            rows, marked = each.detach().sum(1), (targets >= 0).sum(1)
            for kind, some in (("answers", marked < 0.8 * length), ("text", marked >= 0.8 * length)):
                losses[kind] += torch.stack((rows[some].sum(), marked[some].sum()))
            if state["step"] % 50 == 0 or length >= 8192 and state["step"] % 5 == 0:
                report(length=length, rate=round(rate, 3), wandering=round(sum(wandered) / max(1, len(wandered)), 4), **{k: round((s / n).item(), 4) for k, (s, n) in losses.items()})
                losses, wandered = {k: torch.zeros(2) for k in losses}, []
            if time.time() - evaluated > a.evaluate_every:
                checkpoint("long.pt")
                report(**evaluate_long.quick(model, length))
                evaluated = time.time()
        producer.terminate()
        checkpoint(f"long-{length}.pt")
        report(**evaluate_long.quick(model, length))
        evaluated = time.time()
    checkpoint("long.pt")


if __name__ == "__main__":
    main()
