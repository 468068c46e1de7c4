"""Writes queries, keys and values of the model for long contexts, for `martlet bench retrieve`.

    python3 dump_long.py martlet-long.gguf recall-8192.gguf --family recall --length 8192

A GGUF file, architecture `attention-dump`, float32. Of key-value head H in layer L it has, all as attention meets
them (rotated):

    attn.L.H.keys, attn.L.H.values   [positions, dimensions], in order of position
    attn.L.H.fit                     [n, dimensions] queries spread over the text, to fit an index to
    attn.L.H.queries                 [m, dimensions] queries behind all keys, to search with

Queries of a group's heads at one position follow one another. `attention-dump.scale` is what products of queries
and keys are multiplied by. Any model's attention can be written so.
"""
import argparse

import gguf
import numpy as np
import torch

import evaluate_long
import export
import long_tasks as tasks

PAGE = 32  # positions of a page of the engine's; a dump has whole pages
FIT = 512  # positions whose queries an index is fitted to


@torch.no_grad()
def dump(model, path, context, count):
    c = model.config
    groups = c.heads // c.kv_heads
    _, read = evaluate_long.read(model, context.tokens[:count])
    _, asked = evaluate_long.ask(model, read, [q + a[:-1] for q, a in context.questions])
    w = gguf.GGUFWriter(path, "attention-dump")
    w.add_name(f"martlet-long, {context.family}, {count} positions")
    w.add_float32("attention-dump.scale", c.head**-0.5)
    w.add_uint32("attention-dump.group", groups)
    spread = torch.arange(FIT) * count // FIT
    for layer, ((q, k, v), (later, _, _)) in enumerate(zip(read, asked)):
        for head in range(c.kv_heads):
            heads = slice(head * groups, (head + 1) * groups)
            parts = {
                "keys": k[0, head], "values": v[0, head],
                "fit": q[0, heads][:, spread].transpose(0, 1),
                # [question, head, token, dimension]
                "queries": later[:, heads].permute(0, 2, 1, 3),
            }
            for name, part in parts.items():
                data = part.reshape(-1, c.head).float().numpy()
                w.add_tensor(f"attn.{layer}.{head}.{name}", np.ascontiguousarray(data))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", help=".gguf")
    parser.add_argument("out")
    parser.add_argument("--family", choices=("passkey", "recall"), default="recall")
    parser.add_argument("--length", type=int, default=8192)
    parser.add_argument("--seed", default="dump")
    parser.add_argument("--threads", type=int, default=2)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    if a.length % PAGE or a.length < 1024:
        parser.error(f"--length {a.length}: give a multiple of {PAGE}, at least 1024")
    # A little longer than asked for, since a context ends where its last sentence does.
    dump(export.read(a.model, tasks.VOCABULARY), a.out, tasks.context(a.family, a.length + PAGE, a.seed), a.length)


if __name__ == "__main__":
    main()
