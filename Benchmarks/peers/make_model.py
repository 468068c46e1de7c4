"""Makes random-weight GGUF models for measuring speed: python3 make_model.py --out DIR --type q4_0

The shape is a Llama of 1.1 billion parameters (width 2048, feed-forward 8192, 16 layers, 32 query
and 8 key-value heads of 64, vocabulary 32,000, separate output matrix); `--small` makes one of about
two million for tests. Every matrix, embedding and output included, is stored in the one type, so
that bytes are easy to count. Quantised blocks are written directly: any payload is valid, and their
scales give each matrix a standard deviation of 1/sqrt(depth) and no mean, which keeps activations
finite at any depth. The text such a model writes is noise.

Files are the same for the same type, shape and seed. Needs numpy and gguf; writes tensor by tensor,
so that memory stays at one matrix.
"""
import argparse
import os
from dataclasses import dataclass

import gguf
import numpy as np

Types = gguf.GGMLQuantizationType


@dataclass
class Shape:
    """A Llama shape."""
    width: int = 2048
    feed_forward: int = 8192
    layers: int = 16
    heads: int = 32
    kv_heads: int = 8
    head: int = 64
    vocabulary: int = 32000
    context: int = 16384


SMALL = Shape(width=256, feed_forward=512, layers=2, heads=4, kv_heads=1, vocabulary=1024)


def scales(random, blocks, size):
    """A float16 scale per block, around `size`, of either sign, as bytes [blocks, 2]."""
    values = size * random.uniform(0.7, 1.3, blocks) * random.choice([-1.0, 1.0], blocks)
    return values.astype(np.float16).view(np.uint8).reshape(blocks, 2)


def payload(random, blocks, size):
    """Random bytes [blocks, size]."""
    return np.frombuffer(random.bytes(blocks * size), np.uint8).reshape(blocks, size)


def q4_0(random, blocks, deviation):
    # Sixteen equally likely values, minus 8: a deviation of 4.6 steps.
    return np.hstack([scales(random, blocks, deviation / 4.6), payload(random, blocks, 16)])


def q8_0(random, blocks, deviation):
    return np.hstack([scales(random, blocks, deviation / 73.9), payload(random, blocks, 32)])


def q4_k(random, blocks, deviation):
    # Sub-block j is d·scale·q - dmin·min: with dmin = 7.5·d and min = scale it has no mean.
    step = scales(random, blocks, deviation / (4.6 * 41))
    least = (step.view(np.float16).astype(np.float32) * 7.5).astype(np.float16).view(np.uint8)
    six_bits = random.integers(16, 64, (blocks, 8), dtype=np.uint8)
    low, high = six_bits[:, :4], six_bits[:, 4:]
    first = low | (high >> 4) << 6
    last = (high & 15) | (high & 15) << 4
    return np.hstack([step, least, first, first, last, payload(random, blocks, 128)])


def q6_k(random, blocks, deviation):
    signs = random.choice(np.array([-1, 1], np.int8), (blocks, 16))
    sub = (random.integers(40, 120, (blocks, 16), dtype=np.int8) * signs).view(np.uint8)
    step = scales(random, blocks, deviation / (18.5 * 83))
    return np.hstack([payload(random, blocks, 192), sub, step])


BLOCKS = {Types.Q4_0: (32, q4_0), Types.Q8_0: (32, q8_0), Types.Q4_K: (256, q4_k),
          Types.Q6_K: (256, q6_k)}
FLOATS = (Types.BF16, Types.F16)
NAMES = {kind.name.lower(): kind for kind in (*BLOCKS, *FLOATS)}


def matrix(random, kind, outputs, depth):
    """The stored bytes of one matrix, [outputs, bytes per output]."""
    deviation = depth ** -0.5
    if kind in BLOCKS:
        elements, make = BLOCKS[kind]
        if depth % elements:
            raise SystemExit(f"{kind.name} needs rows of a multiple of {elements}, not {depth}")
        return make(random, outputs * depth // elements, deviation).reshape(outputs, -1)
    values = random.standard_normal((outputs, depth), np.float32) * np.float32(deviation)
    if kind == Types.F16:
        return values.astype(np.float16).view(np.uint8)
    return (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)


def tensors(shape):
    """Name and (outputs, depth) of every matrix, and name and (size,) of every norm, in file order."""
    query, kv = shape.heads * shape.head, shape.kv_heads * shape.head
    yield "token_embd.weight", (shape.vocabulary, shape.width)
    for layer in range(shape.layers):
        prefix = f"blk.{layer}."
        yield prefix + "attn_norm.weight", (shape.width,)
        yield prefix + "attn_q.weight", (query, shape.width)
        yield prefix + "attn_k.weight", (kv, shape.width)
        yield prefix + "attn_v.weight", (kv, shape.width)
        yield prefix + "attn_output.weight", (shape.width, query)
        yield prefix + "ffn_norm.weight", (shape.width,)
        yield prefix + "ffn_gate.weight", (shape.feed_forward, shape.width)
        yield prefix + "ffn_up.weight", (shape.feed_forward, shape.width)
        yield prefix + "ffn_down.weight", (shape.width, shape.feed_forward)
    yield "output_norm.weight", (shape.width,)
    yield "output.weight", (shape.vocabulary, shape.width)


def write_vocabulary(writer, size):
    """SentencePiece-style: three specials, all bytes, printable ASCII, then made-up words."""
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)] + ["\u2581"]
    tokens += [chr(c) for c in range(0x21, 0x7F)]
    tokens += [f"\u2581w{number}" for number in range(size - len(tokens))]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    kinds += [gguf.TokenType.BYTE] * 256
    kinds += [gguf.TokenType.NORMAL] * (size - len(kinds))
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([token.encode() for token in tokens])
    writer.add_token_scores([0.0] * 259 + [-float(i) for i in range(size - 259)])
    writer.add_token_types([int(kind) for kind in kinds])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)


def write(shape, kind, path, seed):
    """Writes one model; `path` appears only when it is complete."""
    random = np.random.default_rng(seed)
    partial = path + ".partial"
    writer = gguf.GGUFWriter(partial, "llama")
    writer.add_name(f"random weights, {kind.name}")
    writer.add_file_type(getattr(gguf.LlamaFileType, {
        "Q4_K": "MOSTLY_Q4_K_S"}.get(kind.name, f"MOSTLY_{kind.name}")))
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head)
    writer.add_value_length(shape.head)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(shape.head)
    writer.add_vocab_size(shape.vocabulary)
    write_vocabulary(writer, shape.vocabulary)
    for name, dimensions in tensors(shape):
        if len(dimensions) == 1:
            writer.add_tensor_info(name, dimensions, np.dtype(np.float32), dimensions[0] * 4)
            continue
        stored = gguf.quant_shape_to_byte_shape(dimensions, kind)
        writer.add_tensor_info(
            name, stored, np.dtype(np.uint8), int(np.prod(stored)), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, dimensions in tensors(shape):
        if len(dimensions) == 1:
            values = 1 + 0.1 * random.standard_normal(dimensions[0])
            writer.write_tensor_data(values.astype(np.float32))
        else:
            writer.write_tensor_data(matrix(random, kind, *dimensions))
    writer.close()
    os.replace(partial, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", required=True, help="folder for the models")
    parser.add_argument("--type", action="append", choices=[*NAMES, "all"],
                        help="weight type; may be repeated (q4_0)")
    parser.add_argument("--small", action="store_true", help="a shape for tests, two million weights")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    kinds = options.type or ["q4_0"]
    os.makedirs(options.out, exist_ok=True)
    for name in NAMES if "all" in kinds else kinds:
        path = os.path.join(options.out, name + (".small" if options.small else "") + ".gguf")
        write(SMALL if options.small else Shape(), NAMES[name], path, options.seed)
        print(f"{path}: {os.path.getsize(path) / 1e6:,.1f} MB", flush=True)


if __name__ == "__main__":
    main()
