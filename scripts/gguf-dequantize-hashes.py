#!/usr/bin/env python3
"""Prints the hashes in Tests/CKernelsCheck/check_rows.c.

The same blocks as the check makes (splitmix64 from 42, the low byte of each draw, scales made
finite), dequantised by the `gguf` package (PyPI, 0.17 or later), hashed by FNV-1a over the float32
bytes.
"""
import gguf
import numpy as np

BLOCKS = 64
SCALES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q4_K": [0, 2],
          "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "F16": [0], "BF16": [0]}


def draws(state):
  mask = (1 << 64) - 1
  while True:
    state = (state + 0x9E3779B97F4A7C15) & mask
    z = state
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    yield z ^ (z >> 31)


def fnv(data):
  value = 0xCBF29CE484222325
  for byte in data:
    value = ((value ^ byte) * 0x100000001B3) & ((1 << 64) - 1)
  return value


for name in ["F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K",
             "IQ4_NL"]:
  kind = gguf.GGMLQuantizationType[name]
  size = gguf.GGML_QUANT_SIZES[kind][1]
  stream = draws(42)
  blocks = np.array([next(stream) & 255 for _ in range(BLOCKS * size)], dtype=np.uint8)
  blocks = blocks.reshape(BLOCKS, size)
  for at in SCALES[name]:
    blocks[:, at + 1] &= 0xBF
  if name == "F16":
    values = blocks.view(np.float16).astype(np.float32)
  else:
    values = gguf.quants.dequantize(blocks, kind).astype(np.float32)
  print(f"{name.lower():7} 0x{fnv(values.tobytes()):016x}")
