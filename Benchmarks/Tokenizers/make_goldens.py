#!/usr/bin/env python3
"""Writes Tests/MartletModelTests/Fixtures/Tokenizers: two small vocabularies of our own and the ids
that llama.cpp gives for a hard corpus under every pre-tokenizer name and several settings.

    pip install llama-cpp-python gguf tokenizers sentencepiece
    python3 Benchmarks/Tokenizers/make_goldens.py
"""
import base64
import json
import pathlib
import re
import tempfile

import corpus
import vocabularies
from reference import Reference

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = ROOT / "Tests/MartletModelTests/Fixtures/Tokenizers"
SOURCE = ROOT / "Sources/MartletModel/Tokenizer/PreTokenizer.swift"
# llama.cpp aborts on newline runs and raw UTF-8 under these names with a byte-level vocabulary.
NOT_BYTE_LEVEL = {"gemma4", "granite-embed-multi-311m", "sarvam-moe", "whitespace"}


def known_names():
    groups = SOURCE.read_text().split("let groups")[1]
    return sorted(set(re.findall(r'"([^"]+)"', groups)) - NOT_BYTE_LEVEL)


def tokenize(path, texts, flags):
    reference = Reference(path)
    ids = [reference.tokenize(text, *flags[index % len(flags)]) for index, text in enumerate(texts)]
    ends = reference.end_of_generation()
    reference.close()
    return ids, ends


def collect(cases, texts, flags):
    """Ids per case, equal rows stored once."""
    rows, numbers, result = [], {}, {}
    for name, path in cases:
        ids, ends = tokenize(path, texts, flags)
        chosen = []
        for row in ids:
            key = tuple(row)
            if key not in numbers:
                numbers[key] = len(rows)
                rows.append(row)
            chosen.append(numbers[key])
        result[name] = {"rows": chosen, "end_of_generation": ends}
    return {"flags": flags, "texts": [base64.b64encode(text).decode() for text in texts],
            "rows": rows, "cases": result}


def save(name, value):
    text = json.dumps(value, separators=(",", ":"))
    (TARGET / name).write_text(text)
    print(f"{name}: {len(text)} bytes, {len(value['texts'])} texts, {len(value['cases'])} cases")


def main():
    TARGET.mkdir(parents=True, exist_ok=True)
    flags = [(True, True), (False, False), (True, False), (False, True)]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        tokens, types, merges = vocabularies.byte_level()
        ids = {"bos": tokens.index("<|endoftext|>"), "eos": tokens.index("<|im_end|>")}
        vocabularies.write(TARGET / "byte-level.gguf", "gpt2", tokens, types, merges=merges, **ids)
        cases = []
        for name in known_names():
            path = folder / f"{name}.gguf"
            vocabularies.write(path, "gpt2", tokens, types, merges=merges, pre=name, **ids)
            cases.append((name, path))
        save("byte-level.json", collect(
            cases, corpus.texts(seed=1, mixed=60, scalars=40, raw=30, repeats=(1, 2, 3, 5, 17)), flags))

        tokens, scores, types = vocabularies.sentence_piece()
        tokens += ["<|endoftext|>", "<|user|>", "<|end|>", "<|assistant|>"]
        scores += [0.0] * 4
        types += [vocabularies.CONTROL] * 4
        settings = {"plain": {}, "no-prefix": {"add_space_prefix": False, "add_eos": True},
                    "no-bos": {"add_bos": False}, "phi-3": {"name": "Phi-3 like"}}
        vocabularies.write(TARGET / "sentence-piece.gguf", "llama", tokens, types, scores=scores)
        cases = []
        for name, options in settings.items():
            path = folder / f"spm-{name}.gguf"
            vocabularies.write(path, "llama", tokens, types, scores=scores, **options)
            cases.append((name, path))
        save("sentence-piece.json", collect(
            cases, corpus.texts(seed=2, mixed=120, scalars=60, raw=80, repeats=(1, 2, 3, 5, 33)), flags))


if __name__ == "__main__":
    main()
