"""Writes a checkpoint as GGUF (f16, norms f32).

    python3 export.py run/final.pt martlet-arith.gguf
    python3 export.py --long run/long.pt martlet-long.gguf

Architecture `llama`, tied output (no output.weight), a SentencePiece-style vocabulary of characters. The
newline that ends every answer is the end-of-sequence token. It stays an ordinary (NORMAL) token: llama.cpp
matches ordinary tokens in text, so a newline in a prompt encodes to it, and it is printed when decoded; a
CONTROL token would be neither. llama.cpp adds the end-of-sequence token to its end-of-generation set
whatever its type, so generation stops at the newline there as it does here.
"""
import argparse
from dataclasses import dataclass

import gguf
import numpy as np

import long_tasks
import model as m

TENSORS = {
    "q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output",
    "gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down",
    "attn_norm": "attn_norm", "ffn_norm": "ffn_norm",
}


@dataclass(frozen=True)
class About:
    name: str
    description: str
    vocabulary: list
    tasks: tuple
    scorer: str = ""
    step: str = ""
    stop: str = "\n"


ARITH = About("martlet-arith", "A small arithmetic reasoner with two task families, trained on generated problems",
              m.VOCABULARY, ("make", "calc"), "exact-checker", step=" ")
# Says `+` or `-` where a step ends, and is not to be sampled.
PRM = About("martlet-arith-prm", "A process reward model for martlet-arith: + or - after a step",
            m.VOCABULARY, ("make", "calc"), step=" ", stop="")
LONG = About("martlet-long", "Recalls facts from long generated texts", long_tasks.VOCABULARY, long_tasks.FAMILIES)


def write(model, path, state, about=ARITH):
    c, w = model.config, gguf.GGUFWriter(path, "llama")
    w.add_name(about.name)
    w.add_author("The Martlet authors")
    w.add_version("1")
    w.add_description(about.description)
    w.add_license("Apache-2.0")
    w.add_size_label(f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f}M")
    w.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    w.add_context_length(c.context)
    w.add_embedding_length(c.width)
    w.add_block_count(c.layers)
    w.add_feed_forward_length(c.ffn)
    w.add_head_count(c.heads)
    w.add_head_count_kv(c.kv_heads)
    w.add_key_length(c.head)
    w.add_value_length(c.head)
    w.add_layer_norm_rms_eps(c.rms_eps)
    w.add_rope_freq_base(c.rope_base)
    w.add_rope_dimension_count(c.head)
    w.add_vocab_size(c.vocabulary)

    pieces = [t.replace(" ", "\u2581") for t in about.vocabulary]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL] + [gguf.TokenType.NORMAL] * (len(pieces) - 2)
    w.add_tokenizer_model("llama")
    w.add_tokenizer_pre("default")
    w.add_token_list([p.encode() for p in pieces])
    w.add_token_scores([0.0, 0.0] + [-float(i) for i in range(len(pieces) - 2)])
    w.add_token_types([int(k) for k in kinds])
    w.add_unk_token_id(m.UNK)
    w.add_bos_token_id(m.BOS)
    w.add_eos_token_id(about.vocabulary.index("\n"))
    w.add_add_bos_token(True)
    w.add_add_eos_token(False)
    w.add_add_space_prefix(False)

    for key, value in (("default_scorer", about.scorer), ("stop", about.stop), ("step", about.step)):
        if value:
            w.add_string(f"martlet.{key}", value)
    w.add_array("martlet.tasks", list(about.tasks))
    w.add_uint64("martlet.training_tokens", int(state["tokens"]))

    def half(x):
        return np.ascontiguousarray(x.detach().numpy().astype(np.float16))

    w.add_tensor("token_embd.weight", half(model.embed.weight))
    for i, block in enumerate(model.blocks):
        for ours, theirs in TENSORS.items():
            weight = getattr(block, ours).weight
            data = weight.detach().numpy().astype(np.float32) if "norm" in ours else half(weight)
            w.add_tensor(f"blk.{i}.{theirs}.weight", data)
    w.add_tensor("output_norm.weight", model.norm.weight.detach().numpy().astype(np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def read(path, vocabulary=m.VOCABULARY):
    """The model of a GGUF written by `write`, with its weights as float32."""
    import torch

    r = gguf.GGUFReader(path)

    def field(name):
        return r.fields[name].contents()

    c = m.Config(
        width=field("llama.embedding_length"), layers=field("llama.block_count"),
        heads=field("llama.attention.head_count"), kv_heads=field("llama.attention.head_count_kv"),
        ffn=field("llama.feed_forward_length"), context=field("llama.context_length"),
        rope_base=field("llama.rope.freq_base"), rms_eps=field("llama.attention.layer_norm_rms_epsilon"),
        vocabulary=len(field("tokenizer.ggml.tokens")))
    assert [t.replace("\u2581", " ") for t in field("tokenizer.ggml.tokens")] == vocabulary
    data = {t.name: torch.from_numpy(t.data.astype(np.float32)) for t in r.tensors}
    state = {"embed.weight": data["token_embd.weight"], "norm.weight": data["output_norm.weight"]}
    for i in range(c.layers):
        for ours, theirs in TENSORS.items():
            state[f"blocks.{i}.{ours}.weight"] = data[f"blk.{i}.{theirs}.weight"]
    model = m.Llama(c)
    model.load_state_dict(state)
    return model.eval()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint")
    parser.add_argument("gguf")
    parser.add_argument("--long", action="store_true", help="a checkpoint of train_long.py")
    a = parser.parse_args()
    model, stored = m.load(a.checkpoint)
    write(model, a.gguf, stored["state"], LONG if a.long else ARITH)


if __name__ == "__main__":
    main()
