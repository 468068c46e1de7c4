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
    """Momentum, orthogonalised, on matrices grouped by shape so that each iteration is one product."""

    def __init__(self, parameters, momentum=0.95, decay=0.02):
        self.momentum, self.decay, self.groups = momentum, decay, {}
        for p in parameters:
            self.groups.setdefault(tuple(p.shape), []).append(p)
        self.buffers = {s: torch.zeros(len(ps), *s) for s, ps in self.groups.items()}

    @torch.no_grad()
    def step(self, rate):
        for shape, parameters in self.groups.items():
            g, m = torch.stack([p.grad for p in parameters]), self.buffers[shape]
            m.lerp_(g, 1 - self.momentum)
            update = orthogonalised(g.lerp(m, self.momentum))
            scale = max(1, shape[0] / shape[1]) ** 0.5
            for p, u in zip(parameters, update):
                p.mul_(1 - rate * self.decay).add_(u, alpha=-rate * scale)


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
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--evaluate-every", type=float, default=300, help="seconds")
    parser.add_argument("--stop-after", type=int, default=0, help="steps, for timing")
    a = parser.parse_args()
    torch.manual_seed(a.seed)
    torch.set_num_threads(a.threads)
    os.makedirs(a.out, exist_ok=True)

    model = Llama(Config(layers=a.layers))
    matrices = [p for p in model.blocks.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if all(p is not m for m in matrices)]
    muon = Muon(matrices)
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
    # Every stage draws from a stream of its own.
    producer = multiprocessing.Process(
        target=produce, args=(queue, f"{a.seed}.{state['stage']}", a.batch_tokens), daemon=True)
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
    begun, first, evaluated, losses = time.time(), state["seconds"], time.time(), []
    print("parameters", sum(p.numel() for p in parameters), flush=True)
    while time.time() - begun < a.seconds:
        fraction = (time.time() - begun) / a.seconds
        rate = max(0.0, 1 - fraction) if a.decay_from else min(1.0, (state["step"] + 1) / a.warmup)
        inputs, targets = (torch.from_numpy(x).long() for x in queue.get())
        loss = compiled(inputs, targets)
        for p in parameters:
            p.grad = None
        loss.backward()
        for group in adam.param_groups:
            group["lr"] = a.adam_rate * rate
        adam.step()
        muon.step(a.muon_rate * rate)
        state["step"] += 1
        state["tokens"] += inputs.numel()
        state["trained"] += int((targets >= 0).sum())
        state["seconds"] = first + time.time() - begun
        losses.append(loss.item())
        if state["step"] % 10 == 0:
            keep = min(0.95, state["step"] / (state["step"] + 200))
            keep = keep if not a.decay_from else max(0.0, 0.95 * (1 - fraction))
            torch._foreach_lerp_(average, [p.detach() for p in parameters], 1 - keep)
        if state["step"] % 100 == 0:
            report(loss=round(sum(losses) / len(losses), 4), rate=round(rate, 3))
            losses.clear()
        if a.stop_after and state["step"] >= a.stop_after:
            break
        if time.time() - evaluated > a.evaluate_every:
            checkpoint(name)
            averaged = Llama(model.config).eval()
            averaged.load_state_dict(torch.load(os.path.join(a.out, name), weights_only=False)["average"])
            report(**evaluate.quick(averaged))
            evaluated = time.time()
    for p, q in zip(average, parameters):
        if a.decay_from:
            p.copy_(q.detach())
    checkpoint(name)
    print("done", time.time() - begun, flush=True)


if __name__ == "__main__":
    main()
