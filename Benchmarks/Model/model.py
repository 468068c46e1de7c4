"""The Llama architecture as llama.cpp's `llama` graph computes it, and a batched sampler with a KV cache."""
from dataclasses import asdict, dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F

CHARACTERS = "\n 0123456789+-*=?#abcdefghijklmnopqrstuvwxyz"
VOCABULARY = ["<unk>", "<s>"] + list(CHARACTERS)
TOKEN = {c: i for i, c in enumerate(VOCABULARY)}
UNK, BOS, NEWLINE = 0, 1, TOKEN["\n"]


def encode(text):
    return [TOKEN[c] for c in text]


def decode(tokens):
    return "".join(VOCABULARY[t] for t in tokens)


@dataclass
class Config:
    width: int = 256
    layers: int = 5
    heads: int = 4
    kv_heads: int = 2
    ffn: int = 768
    context: int = 256
    rope_base: float = 10000.0
    rms_eps: float = 1e-5
    vocabulary: int = len(VOCABULARY)

    @property
    def head(self):
        return self.width // self.heads


class RMSNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x):
        y = x.float()
        return y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def rotate(x, cos, sin):
    """Interleaved rotary embedding (pairs 2i, 2i+1); x: [batch, time, heads, head], cos: [..., time, 1, head/2]."""
    a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2).to(x.dtype)


def attention(q, k, v):
    """Causal attention by plain products: for short rows its backward is several times faster on a CPU
    than the fused kernel's. q: [batch, heads, time, head]; k, v: [batch, kv_heads, time, head]."""
    batch, heads, time, head = q.shape
    if time > 512:  # a matrix of weights for each head leaves the cache
        return F.scaled_dot_product_attention(q, k, v.to(q.dtype), is_causal=True, enable_gqa=True)
    groups = heads // k.shape[1]
    k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    scores = (q @ k.transpose(-1, -2)) * head**-0.5
    future = torch.ones(time, time, dtype=torch.bool, device=q.device).triu(1)
    weights = scores.float().masked_fill(future, float("-inf")).softmax(-1).to(v.dtype)
    return weights @ v


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.attn_norm, self.ffn_norm = RMSNorm(c.width, c.rms_eps), RMSNorm(c.width, c.rms_eps)
        self.q = nn.Linear(c.width, c.heads * c.head, bias=False)
        self.k = nn.Linear(c.width, c.kv_heads * c.head, bias=False)
        self.v = nn.Linear(c.width, c.kv_heads * c.head, bias=False)
        self.o = nn.Linear(c.heads * c.head, c.width, bias=False)
        self.gate = nn.Linear(c.width, c.ffn, bias=False)
        self.up = nn.Linear(c.width, c.ffn, bias=False)
        self.down = nn.Linear(c.ffn, c.width, bias=False)
        for linear in (self.o, self.down):
            nn.init.zeros_(linear.weight)

    def project(self, x, cos, sin):
        y = self.attn_norm(x)
        c, shape = self.c, x.shape[:-1]
        q = rotate(self.q(y).view(*shape, c.heads, c.head), cos, sin).transpose(1, 2)
        k = rotate(self.k(y).view(*shape, c.kv_heads, c.head), cos, sin).transpose(1, 2)
        return q, k, self.v(y).view(*shape, c.kv_heads, c.head).transpose(1, 2)

    def finish(self, x, attended):
        x = x + self.o(attended.transpose(1, 2).flatten(-2))
        y = self.ffn_norm(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))

    def forward(self, x, cos, sin):
        q, k, v = self.project(x, cos, sin)
        return self.finish(x, attention(q, k, v))


class Llama(nn.Module):
    def __init__(self, config=None):
        super().__init__()
        self.config = c = config or Config()
        self.embed = nn.Embedding(c.vocabulary, c.width)
        nn.init.normal_(self.embed.weight, std=0.05)
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.layers))
        self.norm = RMSNorm(c.width, c.rms_eps)
        angle = torch.outer(torch.arange(c.context), c.rope_base ** (-torch.arange(0, c.head, 2) / c.head))
        self.register_buffer("cos", angle.cos()[:, None], persistent=False)
        self.register_buffer("sin", angle.sin()[:, None], persistent=False)

    def forward(self, tokens, positions=None):
        """tokens: [batch, time]; positions: as many, or 0, 1, 2 …; returns logits [batch, time, vocabulary]."""
        x, time = self.embed(tokens), tokens.shape[1]
        at = slice(time) if positions is None else positions
        cos, sin = self.cos[at], self.sin[at]
        for block in self.blocks:
            x = block(x, cos, sin)
        return F.linear(self.norm(x), self.embed.weight)


def save(path, model_state, config, **more):
    torch.save({"model": model_state, "config": asdict(config), **more}, path)


def load(path):
    stored = torch.load(path, map_location="cpu", weights_only=False)
    model = Llama(Config(**stored["config"]))
    model.load_state_dict(stored.get("average") or stored["model"])
    return model.eval(), stored


@torch.no_grad()
def sample(model, prompts, temperature, seed, batch=1024):
    """One completion per prompt (text up to and including the newline). Temperature 0 is greedy."""
    generator = torch.Generator().manual_seed(seed)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    out = [""] * len(prompts)
    for at in range(0, len(order), batch):
        rows = order[at : at + batch]
        for i, text in zip(rows, sample_batch(model, [prompts[i] for i in rows], temperature, generator)):
            out[i] = text
    return out


def sample_batch(model, prompts, temperature, generator):
    c, n = model.config, len(prompts)
    ids = [[BOS] + encode(p) for p in prompts]
    length = torch.tensor([len(s) for s in ids])
    longest = int(length.max())
    tokens = torch.zeros(n, longest, dtype=torch.long)
    for i, s in enumerate(ids):
        tokens[i, : len(s)] = torch.tensor(s)
    groups = c.heads // c.kv_heads

    # Prompts are padded on the right; decoding overwrites the padding, row by row.
    x, cache = model.embed(tokens), []
    for block in model.blocks:
        q, k, v = block.project(x, model.cos[:longest], model.sin[:longest])
        x = block.finish(x, attention(q, k, v.to(q.dtype)))
        keys = torch.zeros(n, c.kv_heads, c.context, c.head, dtype=q.dtype)
        values = torch.zeros_like(keys)
        keys[:, :, :longest], values[:, :, :longest] = k, v
        cache.append([keys, values])
    x = x[torch.arange(n), length - 1]

    live, position, written = torch.arange(n), length.clone(), [[] for _ in range(n)]
    open_ = torch.ones(n, dtype=torch.bool)  # rows that have not ended, among the live ones
    while True:
        logits = F.linear(model.norm(x), model.embed.weight).float()
        if temperature == 0:
            chosen = logits.argmax(-1)
        else:
            chosen = torch.multinomial(F.softmax(logits / temperature, -1), 1, generator=generator)[:, 0]
        for row, token, going in zip(live.tolist(), chosen.tolist(), open_.tolist()):
            if going:
                written[row].append(token)
        open_ &= (chosen != NEWLINE) & (position < c.context)
        if not open_.any():
            return [decode(w) for w in written]
        position = position.clamp(max=c.context - 1)
        if open_.sum() < 0.7 * len(live):  # moving the cache is dear: drop ended rows in bulk
            live, position, chosen = live[open_], position[open_], chosen[open_]
            for kv in cache:
                kv[0], kv[1] = kv[0][open_], kv[1][open_]
            open_ = torch.ones(len(live), dtype=torch.bool)
        end = int(position.max()) + 1
        rows, visible = torch.arange(len(live)), torch.arange(end)[None] <= position[:, None]
        x = model.embed(chosen)[:, None]
        cos, sin = model.cos[position][:, None], model.sin[position][:, None]
        for block, (keys, values) in zip(model.blocks, cache):
            q, k, v = block.project(x, cos, sin)
            keys[rows, :, position], values[rows, :, position] = k[:, :, 0], v[:, :, 0].to(values.dtype)
            # Query heads of a group become query rows of their key head.
            a = F.scaled_dot_product_attention(
                q.reshape(len(live), c.kv_heads, groups, c.head), keys[:, :, :end], values[:, :, :end],
                attn_mask=visible[:, None, None])
            x = block.finish(x, a.reshape(len(live), c.heads, 1, c.head))
        x, position = x[:, 0], position + 1
