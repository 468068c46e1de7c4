"""Puts a small Llama into the shape of a large one: python3 enlarge_model.py SMALL.gguf LARGE.gguf

The large model computes the small one's distribution (up to rounding of its stored type) with the
bytes and operations of a model of 1.1 billion parameters: width, heads and feed-forward are padded by
weights that add nothing, layers by layers that add nothing, and the vocabulary by tokens that are
never likely. What depends on both text and size, such as what drafting gains, can so be measured on
text that means something. With --vocabulary-only the rest keeps its size, for peers that draft only
with a vocabulary as long as the large model's. Needs numpy and gguf.
"""
import argparse

import gguf
import numpy as np
from gguf.quants import dequantize, quantize

from make_model import Shape

TYPES = {"q4_0": gguf.GGMLQuantizationType.Q4_0, "q8_0": gguf.GGMLQuantizationType.Q8_0,
         "f16": gguf.GGMLQuantizationType.F16, "bf16": gguf.GGMLQuantizationType.BF16}
# One spare dimension carries a small constant, which the final norm and the added tokens' rows turn
# into a low logit; it is too small to matter to any other norm.
CONSTANT, LOW = 1e-3, 60.0


class Small:
    """The small model's metadata and matrices."""

    def __init__(self, path):
        self.reader = gguf.GGUFReader(path)
        self.tensors = {t.name: t for t in self.reader.tensors}
        head = "llama.attention."
        self.width = self.number("llama.embedding_length")
        self.layers = self.number("llama.block_count")
        self.heads = self.number(head + "head_count")
        self.kv_heads = self.number(head + "head_count_kv")
        self.head = self.number("llama.rope.dimension_count")
        self.epsilon = self.number(head + "layer_norm_rms_epsilon")
        self.vocabulary = self.number("llama.vocab_size")

    def number(self, key):
        return self.reader.fields[key].contents()

    def matrix(self, name):
        tensor = self.tensors[name]
        return np.asarray(dequantize(tensor.data, tensor.tensor_type), np.float32)


def spread(heads, kv_heads, head, shape, of_keys):
    """Where the rows of the small model's heads go: each beside the key-value head it reads."""
    rows = []
    old_group, new_group = heads // kv_heads, shape.heads // shape.kv_heads
    for index in range(kv_heads if of_keys else heads):
        place = index if of_keys else index // old_group * new_group + index % old_group
        rows += range(place * head, (place + 1) * head)
    return rows


def padded(matrix, rows, columns, row_places=None, column_places=None):
    large = np.zeros((rows, columns), np.float32)
    row_places = range(matrix.shape[0]) if row_places is None else row_places
    column_places = range(matrix.shape[1]) if column_places is None else column_places
    large[np.ix_(list(row_places), list(column_places))] = matrix
    return large


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("small")
    parser.add_argument("large")
    parser.add_argument("--type", choices=TYPES, default="q4_0")
    parser.add_argument("--vocabulary-only", action="store_true")
    arguments = parser.parse_args()
    small, shape, kind = Small(arguments.small), Shape(), TYPES[arguments.type]
    if arguments.vocabulary_only:
        # A block more for the spare dimension.
        shape = Shape(width=small.width + 32, layers=small.layers, heads=small.heads,
                      kv_heads=small.kv_heads, head=small.head,
                      feed_forward=small.number("llama.feed_forward_length"))
    assert small.head == shape.head and small.heads // small.kv_heads <= 4, "heads do not fit"

    writer = gguf.GGUFWriter(arguments.large, "llama")
    changed = {
        "llama.embedding_length": shape.width, "llama.block_count": shape.layers,
        "llama.feed_forward_length": shape.feed_forward, "llama.vocab_size": shape.vocabulary,
        "llama.attention.head_count": shape.heads,
        "llama.attention.head_count_kv": shape.kv_heads,
        # The mean square over the padded width is smaller by the ratio of widths.
        "llama.attention.layer_norm_rms_epsilon": small.epsilon * small.width / shape.width,
    }
    added = shape.vocabulary - small.vocabulary
    lists = {
        "tokenizer.ggml.tokens": [f"<added_{i}>" for i in range(added)],
        "tokenizer.ggml.scores": [-1e9] * added,
        "tokenizer.ggml.token_type": [int(gguf.TokenType.UNUSED)] * added,
    }
    for key, field in small.reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        value = changed.get(key, field.contents())
        if key in lists:
            value = list(value) + lists[key]
        if key == "general.name":
            value += "-enlarged"
        if field.types[0] == gguf.GGUFValueType.ARRAY:
            writer.add_array(key, value)
        else:
            writer.add_key_value(key, value, field.types[0])

    spare = shape.width - 1
    norm_scale = np.sqrt(small.width / shape.width)

    def add_matrix(name, matrix):
        writer.add_tensor(name, quantize(matrix, kind), raw_dtype=kind)

    def add_norm(name, weight, last=None):
        large = np.zeros(shape.width, np.float32)
        large[: small.width] = weight * norm_scale
        if last is not None:
            large[spare] = last
        writer.add_tensor(name, large)

    embedding = padded(small.matrix("token_embd.weight"), shape.vocabulary, shape.width)
    embedding[:, spare] = CONSTANT
    writer.add_tensor("token_embd.weight", embedding.astype(np.float16))
    last = "output.weight" if "output.weight" in small.tensors else "token_embd.weight"
    output = padded(small.matrix(last), shape.vocabulary, shape.width)
    output[small.vocabulary:, spare] = -1
    add_matrix("output.weight", output)
    # A root mean square of about 1 is assumed; any other moves the added tokens' logits, not others.
    add_norm("output_norm.weight", small.matrix("output_norm.weight"), LOW / CONSTANT)

    queries = spread(small.heads, small.kv_heads, small.head, shape, False)
    keys = spread(small.heads, small.kv_heads, small.head, shape, True)
    wide, narrow = shape.heads * shape.head, shape.kv_heads * shape.head
    for layer in range(shape.layers):
        source = f"blk.{min(layer, small.layers - 1)}."
        # A layer beyond the small model's computes like its last and then adds nothing.
        effect = 1.0 if layer < small.layers else 0.0
        target = f"blk.{layer}."
        get = lambda name, source=source: small.matrix(source + name + ".weight")
        add_norm(target + "attn_norm.weight", get("attn_norm"))
        add_norm(target + "ffn_norm.weight", get("ffn_norm"))
        for name, height, places in [("attn_q", wide, queries), ("attn_k", narrow, keys),
                                     ("attn_v", narrow, keys)]:
            add_matrix(f"{target}{name}.weight", padded(get(name), height, shape.width, places))
        add_matrix(target + "attn_output.weight",
                   effect * padded(get("attn_output"), shape.width, wide, None, queries))
        for name in ("ffn_gate", "ffn_up"):
            add_matrix(f"{target}{name}.weight",
                       padded(get(name), shape.feed_forward, shape.width))
        add_matrix(target + "ffn_down.weight",
                   effect * padded(get("ffn_down"), shape.width, shape.feed_forward))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
