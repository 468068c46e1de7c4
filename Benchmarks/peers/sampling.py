#!/usr/bin/env python3
"""Sampling chains beside llama.cpp's, one thread, in turns.

    Benchmarks/peers/sampling.py --llama DIR [--source DIR] [--vocab 128256] [--rounds 9]

--llama is a build folder of llama.cpp (static libraries), --source its source (for llama.h and
ggml.h). Both drivers are compiled here, with clang and c++; the kernels are compiled from this
checkout. Prints a Markdown table of medians over rounds, and ratios.
"""

import argparse
import math
import os
import pathlib
import random
import statistics
import struct
import subprocess
import sys
import tempfile

CHAINS = {
    "default: top-k 40, top-p 0.95, min-p 0.05, T 0.8": "k40+p0.95+m0.05+t0.8",
    "min-p 0.05": "m0.05",
    "temperature 0.8": "t0.8",
    "top-p 0.95": "p0.95",
    "top-nσ 1": "s1",
    "top-nσ 1, top-p 0.95, min-p 0.05, T 0.8": "s1+p0.95+m0.05+t0.8",
    "the last, 64-token penalties": "penalties+s1+p0.95+m0.05+t0.8",
}
SHAPES = ("peaked", "model", "flat")
ROOT = pathlib.Path(__file__).resolve().parents[2]


def row(shape, vocabulary):
    """The rows of `martlet bench sample`, up to the generator."""
    rng = random.Random(vocabulary)
    spread = {"peaked": 1.5, "model": 2.4, "flat": 0.3}[shape]
    logits = [rng.gauss(0, spread) for _ in range(vocabulary)]
    if shape == "peaked":
        for i in range(5):
            logits[(i * 37777 + 5) % vocabulary] = 25 - 2 * i
    if shape == "model":
        for i in range(min(3000, vocabulary)):
            logits[(i * 41 + 7) % vocabulary] = 17 - 1.9 * math.log(i + 1) + rng.gauss(0, 0.3)
    return struct.pack(f"{vocabulary}f", *logits)


def build(folder, llama, source):
    """The two drivers."""
    here = ROOT / "Benchmarks/peers"
    ours = folder / "sampling_martlet"
    kernels = [str(p) for p in (ROOT / "CKernels").rglob("*.c")]
    subprocess.run(
        ["clang", "-std=gnu17", "-O2", f"-I{ROOT}/include", f"-I{ROOT}/CKernels", "-o", ours,
         here / "sampling_martlet.c", *kernels, "-lm", "-lpthread", "-ldl"], check=True)
    theirs = folder / "sampling_llama"
    archives = [str(p) for p in llama.rglob("lib*.a")
                if p.name in ("libllama.a", "libggml.a", "libggml-base.a", "libggml-cpu.a")]
    if not any(a.endswith("libllama.a") for a in archives):
        sys.exit(f"sampling.py: {llama} holds no libllama.a; build llama.cpp there, static")
    subprocess.run(
        ["clang", "-std=gnu17", "-O2", f"-I{source}/include", f"-I{source}/ggml/include", "-c",
         "-o", folder / "llama.o", here / "sampling_llama.c"], check=True)
    subprocess.run(
        ["c++", "-o", theirs, folder / "llama.o", "-Wl,--start-group", *archives,
         "-Wl,--end-group", "-fopenmp", "-lpthread", "-ldl", "-lm"], check=True)
    return ours, theirs


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--llama", type=pathlib.Path, required=True)
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--vocab", type=int, default=128256)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        drivers = [
            subprocess.Popen([str(d)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                             stderr=subprocess.DEVNULL if "llama" in d.name else None)
            for d in build(folder, options.llama, options.source)
        ]
        if hasattr(os, "sched_setaffinity"):
            for driver in drivers:
                os.sched_setaffinity(driver.pid, {max(os.sched_getaffinity(0))})

        def time(driver, path, chain, calls):
            driver.stdin.write(f"{path} {options.vocab} {chain} {calls}\n")
            driver.stdin.flush()
            line = driver.stdout.readline()
            if not line:
                sys.exit("sampling.py: a driver ended early; see its message above")
            return float(line)

        print("| chain | " + " | ".join(f"{s}: Martlet µs | llama.cpp µs | ratio" for s in SHAPES)
              + " |")
        print("| --- |" + " ---: |" * (3 * len(SHAPES)))
        for name, chain in CHAINS.items():
            cells = []
            for shape in SHAPES:
                path = folder / f"{shape}.f32"
                if not path.exists():
                    path.write_bytes(row(shape, options.vocab))
                samples = ([], [])
                for _ in range(options.rounds):
                    for side, (driver, calls) in enumerate(zip(drivers, (61, 11))):
                        samples[side].append(time(driver, path, chain, calls))
                ours, theirs = (statistics.median(s) / 1e3 for s in samples)
                cells += [f"{ours:.1f}", f"{theirs:.0f}", f"{theirs / ours:.1f}×"]
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


main()
