"""Draft heads for a frozen model: Medusa and EAGLE, and their GGUF files.

A feature is the base model's hidden state after its final norm, the one its logits are computed from.
Feature t and the token at t + 1, which it chose, are known when drafting begins; guess 1 is for the token
at t + 2, and so on, for both kinds.

Medusa ("Medusa: Simple LLM Inference Acceleration Framework with Multiple Decoding Heads"): head k, from 1, is
a residual block x + SiLU(W x + b), or several, on feature t and an output projection, its own or the base's; it
guesses the token at t + 1 + k from feature t alone.

EAGLE ("EAGLE: Speculative Sampling Requires Rethinking Feature Uncertainty"): one decoder layer over
fc(embedding of the token at t + 1, feature t) gives feature t + 1; the base's output projection makes logits
of it. Row t of its keys and values is rotated as position t.
"""
from dataclasses import replace

import gguf
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

import export
import model as m


class MedusaHead(nn.Module):
    def __init__(self, base, own_output, blocks):
        super().__init__()
        width = base.config.width
        self.blk = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        for block in self.blk:
            nn.init.zeros_(block.weight)
            nn.init.zeros_(block.bias)
        self.output = nn.Parameter(base.embed.weight.detach().clone()) if own_output else None

    def forward(self, x, shared):
        for block in self.blk:
            x = x + F.silu(block(x))
        return F.linear(x, shared if self.output is None else self.output)


class Medusa(nn.Module):
    kind = "medusa"

    def __init__(self, base, heads=4, own_output=False, blocks=1):
        super().__init__()
        self.heads = nn.ModuleList(MedusaHead(base, own_output, blocks) for _ in range(heads))
        self.base = (base,)  # a tuple, so that the base's weights are not this module's

    def forward(self, features):
        """features: [..., width]; returns logits [heads, ..., vocabulary]."""
        return torch.stack([h(features, self.base[0].embed.weight) for h in self.heads])


class Eagle(nn.Module):
    kind = "eagle"

    def __init__(self, base, config=None, bare=False):
        """A layer of the base's shape, or of `config`'s. `bare` leaves out the bias and the first and last
        norm, as published heads do."""
        super().__init__()
        self.config = c = config or base.config
        self.fc = nn.Linear(2 * c.width, c.width, bias=not bare)
        self.block = m.Block(c)
        for linear in (self.block.o, self.block.down):
            nn.init.normal_(linear.weight, std=0.02)
        self.norm = m.RMSNorm(c.width, c.rms_eps)
        self.norm.weight.data.copy_(base.norm.weight)
        if bare:
            self.norm = self.block.attn_norm = nn.Identity()
        self.base = (base,)

    def forward(self, features, tokens, earlier=()):
        """Features [batch, time, width] and the tokens that follow them -> the next features.

        `earlier` are the keys and values of the depths before this one, depth 0 from true features: row j
        of depth d ends a chain that began at row j - d, so it sees rows up to j - d of depth 0 and the
        row of its own chain of every depth after. Returns the features and the list with this depth's.
        """
        base, block = self.base[0], self.block
        c, time, depth = self.config, tokens.shape[1], len(earlier)
        x = self.fc(torch.cat((base.embed(tokens), features), -1))
        q, k, v = block.project(x, base.cos[:time], base.sin[:time])
        k, v = (y.repeat_interleave(c.heads // c.kv_heads, 1) for y in (k, v))
        kept = [*earlier, (k, v)]
        scale = c.head**-0.5
        hidden = torch.ones(time, time, dtype=torch.bool).triu(1 - depth)
        scores = [((q @ kept[0][0].transpose(-1, -2)) * scale).masked_fill(hidden, float("-inf"))]
        own = [tuple(shifted(y, depth - i) for y in kept[i]) for i in range(1, depth + 1)]
        scores += [(q * key).sum(-1, keepdim=True) * scale for key, _ in own]
        weights = torch.cat(scores, -1).float().softmax(-1).to(v.dtype)
        attended = weights[..., :time] @ kept[0][1]
        for i, (_, value) in enumerate(own):
            attended = attended + weights[..., time + i, None] * value
        return self.norm(block.finish(x, attended)), kept

    def logits(self, features):
        return F.linear(features, self.base[0].embed.weight)


def shifted(x, by):
    """Rows moved down by `by` in the time dimension, the second to last; zeros come in."""
    return x if by == 0 else F.pad(x[..., :-by, :], (0, 0, by, 0))


# files -----------------------------------------------------------------------------------------

def fingerprint(path):
    """Martlet's fingerprint of a GGUF file: FNV-1a over its directory and samples of its tensors."""
    reader = gguf.GGUFReader(path)
    last = reader.tensors[-1].field
    with open(path, "rb") as file:
        data = file.read()
    directory = last.offset + sum(part.nbytes for part in last.parts)
    tensors = [data[t.data_offset : t.data_offset + t.n_bytes] for t in reader.tensors]
    sample = 12_288
    state = 0xCBF29CE484222325
    for piece in [data[:directory], *tensors]:
        third, size = sample // 3, len(piece)
        starts = (0, (size - third) // 2, size - third)
        for part in [piece] if size <= sample else [piece[s : s + third] for s in starts]:
            for byte in part:
                state = ((state ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{state:016x}"


def half(x):
    return np.ascontiguousarray(x.detach().numpy().astype(np.float16))


def single(x):
    return np.ascontiguousarray(x.detach().numpy().astype(np.float32))


def write(heads, path, base_path):
    """Matrices as f16, vectors as f32."""
    arch = f"martlet-{heads.kind}"
    c, w = heads.base[0].config if heads.kind == "medusa" else heads.config, gguf.GGUFWriter(path, arch)
    w.add_name(f"martlet-arith-{heads.kind}")
    w.add_license("Apache-2.0")
    w.add_string("martlet.base.fingerprint", fingerprint(base_path))
    w.add_embedding_length(c.width)
    w.add_vocab_size(c.vocabulary)
    if heads.kind == "medusa":
        w.add_uint32(f"{arch}.head_count", len(heads.heads))
        w.add_block_count(len(heads.heads[0].blk))
        for k, head in enumerate(heads.heads):
            for i, block in enumerate(head.blk):
                w.add_tensor(f"head.{k}.blk.{i}.weight", half(block.weight))
                w.add_tensor(f"head.{k}.blk.{i}.bias", single(block.bias))
            if head.output is not None:
                w.add_tensor(f"head.{k}.output.weight", half(head.output))
    else:
        w.add_block_count(1)
        w.add_context_length(c.context)
        w.add_feed_forward_length(c.ffn)
        w.add_head_count(c.heads)
        w.add_head_count_kv(c.kv_heads)
        w.add_key_length(c.head)
        w.add_value_length(c.head)
        w.add_layer_norm_rms_eps(c.rms_eps)
        w.add_rope_freq_base(c.rope_base)
        w.add_rope_dimension_count(c.head)
        w.add_tensor("fc.weight", half(heads.fc.weight))
        vectors = {"fc.bias": heads.fc.bias, "output_norm.weight": getattr(heads.norm, "weight", None)}
        for ours, theirs in export.TENSORS.items():
            weight = getattr(getattr(heads.block, ours), "weight", None)
            if "norm" in ours:
                vectors[f"blk.0.{theirs}.weight"] = weight
            else:
                w.add_tensor(f"blk.0.{theirs}.weight", half(weight))
        for name, vector in vectors.items():
            if vector is not None:
                w.add_tensor(name, single(vector))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def read(path, base):
    """The heads of a file that `write` wrote, in float32, over `base`."""
    r = gguf.GGUFReader(path)
    data = {t.name: torch.from_numpy(t.data.astype(np.float32)) for t in r.tensors}
    kind = r.fields["general.architecture"].contents().removeprefix("martlet-")
    if kind == "medusa":
        count, blocks = (r.fields[f"martlet-medusa.{x}"].contents() for x in ("head_count", "block_count"))
        heads = Medusa(base, count, "head.0.output.weight" in data, blocks)
        renamed = {n.replace("head.", "heads.").replace("output.weight", "output"): x for n, x in data.items()}
    else:
        a = {x: r.fields[f"martlet-eagle.{y}"].contents() for x, y in (
            ("heads", "attention.head_count"), ("kv_heads", "attention.head_count_kv"),
            ("ffn", "feed_forward_length"))}
        heads = Eagle(base, replace(base.config, **a), bare="fc.bias" not in data)
        names = {f"blk.0.{theirs}": f"block.{ours}" for ours, theirs in export.TENSORS.items()}
        names |= {"fc": "fc", "output_norm": "norm"}
        renamed = {f"{names[n.rpartition('.')[0]]}.{n.rpartition('.')[2]}": x for n, x in data.items()}
    heads.load_state_dict(renamed)
    return heads.eval()
