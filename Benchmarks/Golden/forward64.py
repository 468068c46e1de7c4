"""A float64 evaluation of llama, qwen2 and qwen3 models, written from the papers.

    python3 forward64.py MODEL.gguf 1,2,3 OUT.npy

writes log-probabilities [tokens, vocabulary] of every position. Weights are dequantised exactly as
stored; everything after that is float64. It is the yardstick that Martlet and its peers are both
measured against, so it shares no code with either. Needs numpy and gguf from PyPI.
"""
import sys

import gguf
import numpy as np


class Model:
    """Metadata and float64 weights of one GGUF file."""

    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        self.fields = {name: field.contents() for name, field in reader.fields.items()}
        self.architecture = self.fields["general.architecture"]
        self.weights = {}
        for tensor in reader.tensors:
            values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            shape = [int(n) for n in reversed(tensor.shape)]
            self.weights[tensor.name] = np.asarray(values, np.float64).reshape(shape)

    def key(self, name, default=None):
        return self.fields.get(f"{self.architecture}.{name}", default)


def rms_norm(x, weight, epsilon):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * weight


def rope_angles(model, positions, dimensions):
    """Angles [positions, dimensions / 2] and the factor that YaRN multiplies into the result."""
    base = model.key("rope.freq_base", 10000.0)
    pair = np.arange(dimensions // 2, dtype=np.float64)
    frequency = base ** (-2 * pair / dimensions)
    factors = model.weights.get("rope_freqs.weight")
    if factors is not None:
        frequency = frequency / factors
    kind = model.key("rope.scaling.type", "linear")
    factor = model.key("rope.scaling.factor", model.key("rope.scale_linear", 0.0)) or 1.0
    magnitude = 1.0
    if kind == "linear":
        frequency = frequency / factor
    elif kind == "yarn":
        context = model.key("rope.scaling.original_context_length", model.key("context_length"))
        fast = model.key("rope.scaling.yarn_beta_fast", 32.0)
        slow = model.key("rope.scaling.yarn_beta_slow", 1.0)

        def pair_turning(turns):
            """The pair that turns this often within the trained context."""
            return dimensions * np.log(context / (turns * 2 * np.pi)) / (2 * np.log(base))

        low = max(0.0, np.floor(pair_turning(fast)))
        high = min(dimensions - 1.0, np.ceil(pair_turning(slow)))
        keep = 1 - np.clip((pair - low) / max(0.001, high - low), 0, 1)
        keep = keep * model.key("rope.scaling.yarn_ext_factor", 1.0)
        frequency = frequency / factor * (1 - keep) + frequency * keep
        magnitude = (1 + 0.1 * np.log(factor)) * model.key("rope.scaling.attn_factor", 1.0)
    return positions[:, None] * frequency[None, :], magnitude


def rotate(x, angles, magnitude, adjacent):
    """Rotates [positions, heads, dimensions] over adjacent pairs or over halves."""
    rotary = 2 * angles.shape[1]
    cosine = np.cos(angles)[:, None, :] * magnitude
    sine = np.sin(angles)[:, None, :] * magnitude
    result = x.copy()
    if adjacent:
        first, second = slice(0, rotary, 2), slice(1, rotary, 2)
    else:
        first, second = slice(0, rotary // 2), slice(rotary // 2, rotary)
    a, b = x[..., first], x[..., second]
    result[..., first] = a * cosine - b * sine
    result[..., second] = a * sine + b * cosine
    return result


def logits(model, tokens):
    """Logits [tokens, vocabulary] of every position, float64."""
    weight = model.weights
    heads = model.key("attention.head_count")
    kv_heads = model.key("attention.head_count_kv", heads)
    width = model.key("embedding_length")
    head = model.key("attention.key_length", width // heads)
    epsilon = model.key("attention.layer_norm_rms_epsilon")
    count = len(tokens)
    angles, magnitude = rope_angles(
        model, np.arange(count, dtype=np.float64), model.key("rope.dimension_count", head))
    adjacent = model.architecture == "llama"
    scale = model.key("attention.scale", 0.0) or 1 / np.sqrt(head)
    hidden_future = np.triu(np.ones((count, count), bool), 1)

    x = weight["token_embd.weight"][np.asarray(tokens)]
    for layer in range(model.key("block_count")):
        def part(name):
            return weight.get(f"blk.{layer}.{name}")

        def project(values, name, groups):
            out = values @ part(f"attn_{name}.weight").T
            bias = part(f"attn_{name}.bias")
            if bias is not None:
                out = out + bias
            out = out.reshape(count, groups, head)
            norm = part(f"attn_{name}_norm.weight")
            return out if norm is None else rms_norm(out, norm, epsilon)

        normed = rms_norm(x, part("attn_norm.weight"), epsilon)
        query = rotate(project(normed, "q", heads), angles, magnitude, adjacent)
        key = rotate(project(normed, "k", kv_heads), angles, magnitude, adjacent)
        value = project(normed, "v", kv_heads)
        key, value = (np.repeat(t, heads // kv_heads, axis=1) for t in (key, value))
        score = np.einsum("qhd,khd->hqk", query, key) * scale
        score[:, hidden_future] = -np.inf
        score = np.exp(score - score.max(-1, keepdims=True))
        score /= score.sum(-1, keepdims=True)
        mixed = np.einsum("hqk,khd->qhd", score, value).reshape(count, heads * head)
        x = x + mixed @ part("attn_output.weight").T

        normed = rms_norm(x, part("ffn_norm.weight"), epsilon)
        gate = normed @ part("ffn_gate.weight").T
        gate = gate / (1 + np.exp(-gate))
        x = x + (gate * (normed @ part("ffn_up.weight").T)) @ part("ffn_down.weight").T
    x = rms_norm(x, weight["output_norm.weight"], epsilon)
    return x @ weight.get("output.weight", weight["token_embd.weight"]).T


def log_softmax(values):
    values = np.asarray(values, np.float64)
    values = values - values.max(-1, keepdims=True)
    return values - np.log(np.exp(values).sum(-1, keepdims=True))


def divergence(truth, other):
    """Mean over positions of KL(truth || other), both log-probabilities, in nats."""
    return float((np.exp(truth) * (truth - other)).sum(-1).mean())


if __name__ == "__main__":
    path, tokens, out = sys.argv[1:]
    np.save(out, log_softmax(logits(Model(path), [int(t) for t in tokens.split(",")])))
