"""Makes the golden fixtures of the model tests.

    python3 make_golden.py [FOLDER]

FOLDER defaults to Tests/MartletModelTests/Fixtures/golden. For every model of make_models.py it
writes NAME.gguf, NAME.golden (see README.md for the format) and an entry of golden.json with what
llama.cpp (through llama-cpp-python) does with the same file. Needs numpy, gguf, llama-cpp-python.
"""
import ctypes
import json
import os
import struct
import sys

import llama_cpp
import numpy as np

import forward64
import make_models

TOKENS = 96


def plain_buffers():
    """Has llama.cpp multiply weights as the file stores them, not repacked.

    The arithmetic is the same; repacking also turns on AMX, which dies with an illegal instruction
    on virtual machines that announce it and do not grant it.
    """
    defaults = llama_cpp.llama_cpp.llama_model_default_params

    def patched():
        parameters = defaults()
        parameters.use_extra_bufts = False
        return parameters

    llama_cpp.llama_cpp.llama_model_default_params = patched


@llama_cpp.llama_log_callback
def silent(level, text, data):
    """Keeps the quantiser's report off standard error."""


def llama_cpp_logits(path, tokens, cache_type):
    model = llama_cpp.Llama(
        path, n_ctx=256, n_batch=256, logits_all=True, n_threads=2, verbose=False,
        type_k=cache_type, type_v=cache_type)
    model.eval(tokens)
    result = np.array(model.scores[: len(tokens)], np.float64)
    model.close()
    return result


def write_golden(path, tokens, log_probabilities):
    count, vocabulary = log_probabilities.shape
    with open(path, "wb") as out:
        out.write(b"MGLD" + struct.pack("<III", 1, count, vocabulary))
        out.write(np.asarray(tokens, "<i4").tobytes())
        out.write(np.ascontiguousarray(log_probabilities, "<f4").tobytes())


def compare(truth, other):
    """KL divergence and the largest difference of log-probabilities."""
    other = forward64.log_softmax(other)
    return {"kl": forward64.divergence(truth, other),
            "max_abs": float(np.abs(truth - other).max())}


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(
        here, "../../Tests/MartletModelTests/Fixtures/golden")
    plain_buffers()
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    report = {"llama_cpp_python": llama_cpp.__version__, "models": {}}
    for number, name in enumerate(make_models.make_all(folder)):
        path = os.path.join(folder, name + ".gguf")
        random = np.random.default_rng(1000 + number)
        tokens = [1] + [int(t) for t in random.integers(3, make_models.VOCABULARY, TOKENS - 1)]
        logits = forward64.logits(forward64.Model(path), tokens)
        truth = forward64.log_softmax(logits)
        write_golden(os.path.join(folder, name + ".golden"), tokens, truth)
        probability = np.exp(truth)
        report["models"][name] = {
            "entropy": float(-(probability * truth).sum(-1).mean()),
            "logits_deviation": float(logits.std(-1).mean()),
            "llama_cpp": compare(truth, llama_cpp_logits(path, tokens, None)),
            "llama_cpp_f32_cache": compare(
                truth, llama_cpp_logits(path, tokens, llama_cpp.GGML_TYPE_F32)),
        }
        print(name, json.dumps(report["models"][name]), file=sys.stderr, flush=True)
    with open(os.path.join(folder, "golden.json"), "w") as out:
        json.dump(report, out, indent=2)
        out.write("\n")


if __name__ == "__main__":
    main()
