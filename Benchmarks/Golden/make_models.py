"""Random-weight GGUF models of every architecture and weight type that Martlet runs.

Weights are scaled so that logits look like a trained model's: a standard deviation of two to three,
entropy well below that of a uniform guess, and blocks that matter beside the embedding. Seeds are
fixed, so the files are the same every time. Needs numpy, gguf and llama-cpp-python (its quantiser).
"""
import ctypes
import os
from dataclasses import dataclass, field

import gguf
import numpy as np

VOCABULARY = 96


@dataclass
class Shape:
    """A model to make. `rope` holds extra metadata under `ARCH.rope.`."""
    name: str
    architecture: str = "llama"
    width: int = 64
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    head: int = 16
    feed_forward: int = 64
    tied: bool = True
    base: float = 10000.0
    rope: dict = field(default_factory=dict)
    llama3_factors: bool = False
    seed: int = 1


FLOAT_MODELS = [
    Shape("llama-tied-f32", seed=11),
    Shape("llama-untied-f32", tied=False, seed=12),
    Shape("llama-linear-f32", layers=1, rope={"scaling.type": "linear", "scaling.factor": 4.0},
          seed=13),
    Shape("llama-yarn-f32", layers=1, seed=14, rope={
        "scaling.type": "yarn", "scaling.factor": 4.0, "scaling.original_context_length": 64,
        "scaling.attn_factor": 0.9}),
    Shape("llama-llama3-f32", layers=1, base=500000.0, llama3_factors=True, seed=15),
    Shape("qwen2-f32", "qwen2", kv_heads=1, base=1000000.0, seed=16),
    Shape("qwen3-f32", "qwen3", head=32, tied=False, base=1000000.0, seed=17),
]
# Blocks of 32 need no more than the small shape; K types need rows that are multiples of 256.
SMALL = Shape("llama-small", seed=21)
LARGE = Shape("llama-large", width=256, layers=1, heads=4, kv_heads=1, head=64, feed_forward=256,
              seed=22)
QUANTISED = {
    "f16": (SMALL, "F16"), "bf16": (SMALL, "BF16"), "q8_0": (SMALL, "Q8_0"),
    "q4_0": (SMALL, "Q4_0"), "q4_1": (SMALL, "Q4_1"), "q5_0": (SMALL, "Q5_0"),
    "q5_1": (SMALL, "Q5_1"), "iq4_nl": (SMALL, "IQ4_NL"), "q4_k": (LARGE, "Q4_K_S"),
    "q5_k": (LARGE, "Q5_K_S"), "q6_k": (LARGE, "Q6_K"),
}


def llama3_factors(base, dimensions, factor=8.0, low=1.0, high=4.0, context=64):
    """The divisors that Llama 3.1 files store: 1 for fast pairs, `factor` for slow ones."""
    wavelength = 2 * np.pi * base ** (2 * np.arange(dimensions // 2) / dimensions)
    smooth = np.clip((context / wavelength - low) / (high - low), 0, 1)
    return (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)


def write_vocabulary(writer):
    """SentencePiece-style: three specials, one byte token, then characters."""
    tokens = ["<unk>", "<s>", "</s>", "<0x0A>", "\u2581"]
    tokens += [chr(c) for c in range(0x21, 0x21 + VOCABULARY - len(tokens))]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL,
             gguf.TokenType.BYTE]
    kinds += [gguf.TokenType.NORMAL] * (len(tokens) - len(kinds))
    writer.add_tokenizer_model("llama")
    writer.add_token_list([t.encode() for t in tokens])
    writer.add_token_scores([0.0] * 4 + [-float(i) for i in range(len(tokens) - 4)])
    writer.add_token_types([int(k) for k in kinds])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)


def write_model(shape, path):
    """Writes `shape` as a float32 GGUF."""
    random = np.random.default_rng(shape.seed)
    writer = gguf.GGUFWriter(path, shape.architecture)
    writer.add_name(f"golden {shape.name}")
    writer.add_context_length(256)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    if shape.head * shape.heads != shape.width:
        writer.add_key_length(shape.head)
        writer.add_value_length(shape.head)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(shape.base)
    writer.add_rope_dimension_count(shape.head)
    writer.add_vocab_size(VOCABULARY)
    for key, value in shape.rope.items():
        add = {str: writer.add_string, int: writer.add_uint32, float: writer.add_float32}
        add[type(value)](f"{shape.architecture}.rope.{key}", value)
    write_vocabulary(writer)

    def matrix(name, outputs, depth, gain):
        values = random.standard_normal((outputs, depth)) * gain / np.sqrt(depth)
        writer.add_tensor(name, values.astype(np.float32))

    def vector(name, size, mean, spread):
        values = mean + spread * random.standard_normal(size)
        writer.add_tensor(name, values.astype(np.float32))

    query, kv = shape.heads * shape.head, shape.kv_heads * shape.head
    matrix("token_embd.weight", VOCABULARY, shape.width, 2.5)
    for layer in range(shape.layers):
        prefix = f"blk.{layer}."
        vector(prefix + "attn_norm.weight", shape.width, 1, 0.2)
        for name, outputs in (("q", query), ("k", kv), ("v", kv)):
            matrix(f"{prefix}attn_{name}.weight", outputs, shape.width, 1.5)
            if shape.architecture == "qwen2":
                vector(f"{prefix}attn_{name}.bias", outputs, 0, 0.5)
        if shape.architecture == "qwen3":
            vector(prefix + "attn_q_norm.weight", shape.head, 1.3, 0.3)
            vector(prefix + "attn_k_norm.weight", shape.head, 1.3, 0.3)
        matrix(prefix + "attn_output.weight", shape.width, query, 1.5)
        vector(prefix + "ffn_norm.weight", shape.width, 1, 0.2)
        matrix(prefix + "ffn_gate.weight", shape.feed_forward, shape.width, 1.5)
        matrix(prefix + "ffn_up.weight", shape.feed_forward, shape.width, 1.5)
        matrix(prefix + "ffn_down.weight", shape.width, shape.feed_forward, 1.5)
    vector("output_norm.weight", shape.width, 1, 0.1)
    if not shape.tied:
        matrix("output.weight", VOCABULARY, shape.width, 2.5)
    if shape.llama3_factors:
        writer.add_tensor("rope_freqs.weight", llama3_factors(shape.base, shape.head))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantise(source, path, file_type):
    """Has llama.cpp store every matrix of `source` in one type."""
    import llama_cpp
    names = {"F16": "LLAMA_FTYPE_MOSTLY_F16", "BF16": "LLAMA_FTYPE_MOSTLY_BF16"}
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = getattr(
        llama_cpp, names.get(file_type, f"LLAMA_FTYPE_MOSTLY_{file_type}"))
    parameters.pure = True
    parameters.nthread = 1
    status = llama_cpp.llama_model_quantize(
        source.encode(), path.encode(), ctypes.byref(parameters))
    if status != 0:
        raise SystemExit(f"quantising {path} to {file_type} failed with {status}")


def make_all(folder):
    """Writes every model into `folder` and returns their names."""
    os.makedirs(folder, exist_ok=True)
    names = []
    for shape in FLOAT_MODELS:
        write_model(shape, os.path.join(folder, shape.name + ".gguf"))
        names.append(shape.name)
    for kind, (shape, file_type) in QUANTISED.items():
        source = os.path.join(folder, shape.name + ".source")
        if not os.path.exists(source):
            write_model(shape, source)
        name = f"llama-{kind}"
        quantise(source, os.path.join(folder, name + ".gguf"), file_type)
        names.append(name)
    for shape in (SMALL, LARGE):
        os.remove(os.path.join(folder, shape.name + ".source"))
    return names
