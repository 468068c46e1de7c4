#!/usr/bin/env python3
"""Compares `martlet model tokenize` with llama.cpp on any vocabulary GGUF file.

Prints every text on which the two differ and exits 1 if there is one.

    python3 Benchmarks/Tokenizers/compare.py --model M.gguf [--martlet .build/release/martlet]
        [--texts 200] [--seed 1] [--file F ...]
"""
import argparse
import concurrent.futures
import pathlib
import subprocess
import sys
import tempfile

import corpus
from reference import Reference


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--martlet", default=".build/release/martlet")
    parser.add_argument("--texts", type=int, default=200, help="at most this many texts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--file", action="append", default=[], help="compare on this file instead")
    arguments = parser.parse_args()
    if arguments.file:
        texts = [pathlib.Path(file).read_bytes() for file in arguments.file]
    else:
        texts = corpus.texts(seed=arguments.seed)
        texts = texts[::max(1, len(texts) // arguments.texts)]
    reference = Reference(arguments.model)
    work = [(text, special, parse) for text in texts
            for special in (True, False) for parse in (True, False)]
    with tempfile.TemporaryDirectory() as folder:
        def ours(job):
            number, (text, special, parse) = job
            path = pathlib.Path(folder) / str(number)
            path.write_bytes(text)
            command = [arguments.martlet, "model", "tokenize", "--model", arguments.model,
                       "--file", str(path)]
            command += [] if special else ["--no-bos"]
            command += ["--parse-special"] if parse else []
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            return [int(token) for token in output.strip().split(",") if token]

        with concurrent.futures.ThreadPoolExecutor() as pool:
            results = list(pool.map(ours, enumerate(work)))
    differ = 0
    for (text, special, parse), tokens in zip(work, results):
        expected = reference.tokenize(text, special, parse)
        if tokens != expected:
            differ += 1
            print(f"add_special={special} parse_special={parse} {text[:100]!r}\n"
                  f"  llama.cpp {expected[:40]}\n  martlet   {tokens[:40]}")
    print(f"{len(work)} encodings of {len(texts)} texts, {differ} differ", file=sys.stderr)
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
