"""Trains the model on generated problems, on a CPU.

    python3 train.py --out run --seconds 3000                         warm-up, then a constant rate
    python3 train.py --out run --seconds 3000 --resume run/stable.pt   more of it
    python3 train.py --out run --decay-from run/stable.pt --seconds 900   rate to zero; writes run/final.pt

Muon for the matrices of the blocks, AdamW for embedding and norms. The decay may start from any stable
checkpoint. Loss on the answer only. Problems are made in a background process and cut into batches of
similar length.
"""
import argparse
import json
import multiprocessing
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

import evaluate
import tasks
from model import BOS, Config, Llama, encode, save

LENGTHS = (48, 56, 64, 80, 96, 112, 128, 160, 192, 256)  # tokens per row after padding


def produce(queue, seed, batch_tokens):
    """Puts (inputs, targets) on the queue for ever; targets are -100 outside the answer."""
    source = tasks.training_stream(seed)
    waiting = {n: [] for n in LENGTHS}
    while True:
        p = next(source)
        prompt, answer = [BOS] + encode(p.prompt), encode(p.reference)
        length = next(n for n in LENGTHS if n >= len(prompt) + len(answer) - 1)
        rows = waiting[length]
        rows.append((prompt, answer))
        if len(rows) == batch_tokens // length:
            inputs = np.zeros((len(rows), length), np.int16)
            targets = np.full((len(rows), length), -100, np.int16)
            for i, (q, a) in enumerate(rows):
                inputs[i, : len(q) + len(a) - 1] = q + a[:-1]
                targets[i, len(q) - 1 : len(q) + len(a) - 1] = a
            queue.put((inputs, targets))
            rows.clear()


def orthogonalised(g, steps=5):
    """Newton-Schulz iteration of Muon for a stack of matrices [n, rows, columns]."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.transpose(1, 2) if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        s = x @ x.transpose(1, 2)
        x = a * x + (b * s + c * (s @ s)) @ x
    return (x.transpose(1, 2) if tall else x).float()


class Muon:
    """Momentum, orthogonalised, on matrices grouped by shape so that each iteration is one product.

    With several workers each orthogonalises its share of a group.
    """

    def __init__(self, parameters, rank=0, workers=1, momentum=0.95, decay=0.02):
        self.rank, self.workers = rank, workers
        self.momentum, self.decay, self.groups = momentum, decay, {}
        for p in parameters:
            self.groups.setdefault(tuple(p.shape), []).append(p)
        self.buffers = {s: torch.zeros(len(ps), *s) for s, ps in self.groups.items()}

    @torch.no_grad()
    def step(self, rate):
        for shape, parameters in self.groups.items():
            g, m = torch.stack([p.grad for p in parameters]), self.buffers[shape]
            m.lerp_(g, 1 - self.momentum)
            g = g.lerp(m, self.momentum)
            if self.workers > 1:
                update = torch.zeros_like(g)
                update[self.rank :: self.workers] = orthogonalised(g[self.rank :: self.workers])
                torch.distributed.all_reduce(update)
            else:
                update = orthogonalised(g)
            scale = max(1, shape[0] / shape[1]) ** 0.5
            for p, u in zip(parameters, update):
                p.mul_(1 - rate * self.decay).add_(u, alpha=-rate * scale)


def average_gradients(parameters, workers):
    """All workers end with the mean gradient, through one flat buffer."""
    flat = torch.cat([p.grad.flatten() for p in parameters])
    torch.distributed.all_reduce(flat)
    flat /= workers
    at = 0
    for p in parameters:
        p.grad = flat[at : at + p.numel()].view_as(p)
        at += p.numel()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--resume")
    parser.add_argument("--decay-from")
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--batch-tokens", type=int, default=8192)
    parser.add_argument("--muon-rate", type=float, default=0.02)
    parser.add_argument("--adam-rate", type=float, default=0.003)
    parser.add_argument("--warmup", type=int, default=100, help="steps")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=os.cpu_count(),
                        help="processes of one thread each; they meet once per step, so a busy machine hurts less")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--evaluate-every", type=float, default=300, help="seconds")
    parser.add_argument("--evaluate-problems", type=int, default=60)
    a = parser.parse_args()
    os.makedirs(a.out, exist_ok=True)
    if a.workers == 1:
        train(0, a)
    else:
        torch.multiprocessing.spawn(train, (a,), nprocs=a.workers)


def train(rank, a):
    torch.manual_seed(a.seed)  # the same first weights in all workers
    torch.set_num_threads(1)
    if a.workers > 1:
        meeting = "file://" + os.path.abspath(os.path.join(a.out, f"meeting.{os.getppid()}"))
        torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=a.workers)

    model = Llama(Config(layers=a.layers))
    matrices = [p for p in model.blocks.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if all(p is not m for m in matrices)]
    muon = Muon(matrices, rank, a.workers)
    adam = torch.optim.AdamW(others, lr=a.adam_rate, betas=(0.9, 0.98), weight_decay=0.0)
    state = {"step": 0, "tokens": 0, "trained": 0, "seconds": 0.0, "stage": 0}
    average = None
    start = a.resume or a.decay_from
    if start:
        stored = torch.load(start, weights_only=False)
        model.load_state_dict(stored["model"])
        adam.load_state_dict(stored["adam"])
        muon.buffers = stored["muon"]
        average = [stored["average"][n] for n, _ in model.named_parameters()]
        state = stored["state"]
        state["stage"] += 1
    average = average or [p.detach().clone() for p in model.parameters()]
    parameters = list(model.parameters())

    def loss_of(inputs, targets):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(inputs)
        return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=-100)

    compiled = torch.compile(loss_of, dynamic=True) if a.compile else loss_of
    queue = multiprocessing.Queue(32)
    # Every stage and worker draws from a stream of its own.
    producer = multiprocessing.Process(
        target=produce, args=(queue, f"{a.seed}.{state['stage']}.{rank}", a.batch_tokens // a.workers), daemon=True)
    producer.start()

    def checkpoint(name):
        names = [n for n, _ in model.named_parameters()]
        path = os.path.join(a.out, name)
        save(path + ".part", model.state_dict(), model.config, average=dict(zip(names, average)),
             adam=adam.state_dict(), muon=muon.buffers, state=state)
        os.replace(path + ".part", path)

    def report(**more):
        line = json.dumps({**{k: round(v, 1) for k, v in state.items()}, **more})
        print(line, flush=True)
        with open(os.path.join(a.out, "log.jsonl"), "a") as log:
            log.write(line + "\n")

    name = "final.pt" if a.decay_from else "stable.pt"
    begun, first, evaluated, losses = time.time(), state["seconds"], 0.0, []
    elapsed = 0.0
    while elapsed < a.seconds:
        fraction = elapsed / a.seconds
        rate = max(0.0, 1 - fraction) if a.decay_from else min(1.0, (state["step"] + 1) / a.warmup)
        inputs, targets = (torch.from_numpy(x).long() for x in queue.get())
        loss = compiled(inputs, targets)
        for p in parameters:
            p.grad = None
        loss.backward()
        # The clock of the first worker decides for all.
        clock = torch.tensor([time.time() - begun, loss.item(), float(inputs.numel()), float((targets >= 0).sum())],
                             dtype=torch.float64)
        if a.workers > 1:
            average_gradients(parameters, a.workers)
            clock[0] *= a.workers * (rank == 0)
            torch.distributed.all_reduce(clock)
            clock[:2] /= a.workers
        elapsed = clock[0].item()
        for group in adam.param_groups:
            group["lr"] = a.adam_rate * rate
        adam.step()
        muon.step(a.muon_rate * rate)
        state["step"] += 1
        state["tokens"] += int(clock[2])
        state["trained"] += int(clock[3])
        state["seconds"] = first + elapsed
        losses.append(clock[1].item())
        if rank:
            continue
        if state["step"] % 10 == 0:
            keep = min(0.95, state["step"] / (state["step"] + 200))
            keep = keep if not a.decay_from else max(0.0, 0.95 * (1 - fraction))
            torch._foreach_lerp_(average, [p.detach() for p in parameters], 1 - keep)
        if state["step"] % 100 == 0:
            report(loss=round(sum(losses) / len(losses), 4), rate=round(rate, 3))
            losses.clear()
        if elapsed - evaluated > a.evaluate_every:
            checkpoint(name)
            averaged = Llama(model.config).eval()
            averaged.load_state_dict(torch.load(os.path.join(a.out, name), weights_only=False)["average"])
            report(**evaluate.quick(averaged, a.evaluate_problems))
            evaluated = time.time() - begun
    if rank:
        return
    for p, q in zip(average, parameters):
        if a.decay_from:
            p.copy_(q.detach())
    checkpoint(name)
    report(done=True)


if __name__ == "__main__":
    main()
