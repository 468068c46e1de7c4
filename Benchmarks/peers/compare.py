"""Compares martlet with its peers on this machine, in turns, and keeps the tables.

    compare.py model|prefix|gemm|attention|retrieve|contention|speculation|all --martlet .build/release/martlet --peers FOLDER …

FOLDER is what setup.sh made. Each comparison writes its rounds to a JSON file in --json-folder as soon as
it is done; `render` makes tables of what lies there, `all` is every comparison (speculation only with
--draft-model and --prompts). With --results FILE
(and --readme FILE) the tables replace what stands between `<!-- begin NAME -->` and `<!-- end NAME -->`.
"""
import argparse
import copy
import glob
import json
import os
import re
import time

import compare_attention
import compare_contention
import compare_gemm
import compare_model
import compare_retrieve
import compare_speculation

# What the README shows.
README_MODELS = ("q4_0.gguf", "q8_0.gguf", "bf16.gguf")


def keep(options, name, result):
    path = os.path.join(options.json_folder, name + ".json")
    with open(path + ".partial", "w") as file:
        json.dump(result, file, indent=1)
    os.replace(path + ".partial", path)


def load(options, pattern):
    """Results in the order in which they were measured."""
    paths = sorted(glob.glob(os.path.join(options.json_folder, pattern)), key=os.path.getmtime)
    results = []
    for path in paths:
        with open(path) as file:
            results.append(json.load(file))
    return results


def model(options):
    for path in options.model:
        keep(options, "model-" + os.path.basename(path), compare_model.measure(options, path))


def prefix(options):
    """Sixteen branches on a long prompt, with the first model."""
    own = copy.copy(options)
    own.width, own.shared_prefix, own.prompt, own.generate = "16", 4096 - 16, 16, 16
    keep(options, "prefix", compare_model.measure(own, options.model[0]))


def gemm(options):
    keep(options, "gemm", compare_gemm.measure(options))


def attention(options):
    keep(options, "attention", compare_attention.measure(options))


def retrieve(options):
    """Synthetic keys, or a head of a dump."""
    keep(options, "retrieve" + ("-model" if options.retrieve_dump else ""), compare_retrieve.measure(options))


def contention(options):
    """One and eight branches of the first model."""
    own = copy.copy(options)
    own.width, own.prompt, own.generate = "1,8", 128, 32
    keep(options, "contention", compare_contention.measure(own, options.model[0]))


def speculation(options):
    """The first model, guessed for by --draft-model."""
    if options.what == "all" and not (options.draft_model and options.prompts):
        return
    keep(options, "speculation", compare_speculation.measure(options, options.model[0]))


COMPARISONS = {"attention": attention, "retrieve": retrieve, "gemm": gemm, "prefix": prefix, "contention": contention,
               "model": model, "speculation": speculation}


def tables(options):
    """Every table that there are results for, by name."""
    found = {}
    models = load(options, "model-*.json")
    if models:
        found["model"] = compare_model.render(models)
        chosen = [result for result in models if result["model"] in README_MODELS]
        if chosen:
            chosen.sort(key=lambda result: README_MODELS.index(result["model"]))
            found["speed"] = compare_model.render_short(chosen)
    for name, render in (("prefix", lambda result: compare_model.render([result])),
                         ("gemm", compare_gemm.render), ("attention", compare_attention.render),
                         ("retrieve", compare_retrieve.render),
                         ("retrieve-model", compare_retrieve.render),
                         ("contention", compare_contention.render),
                         ("speculation", compare_speculation.render)):
        for result in load(options, name + ".json"):
            found[name] = render(result)
    return found


def replace(path, found):
    """Puts tables between their marks in a file."""
    with open(path) as file:
        text = file.read()
    for name, content in found.items():
        block = re.compile(f"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        text = block.sub(lambda match: f"{match[1]}\n{content}\n\n{match[2]}", text)
    with open(path, "w") as file:
        file.write(text)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=[*COMPARISONS, "all", "render"])
    parser.add_argument("--martlet", default=".build/release/martlet", help="a release build")
    parser.add_argument("--peers", help="the folder that setup.sh made")
    parser.add_argument("--llama", help="folder with llama.cpp's benchmarks (PEERS/bin)")
    parser.add_argument("--programs", help="folder with onednn and llama_attention (PEERS/bin)")
    parser.add_argument("--model", action="append", default=[], help="a GGUF file; repeatable")
    parser.add_argument("--width", default="1,2,4,8,16")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--shared-prefix", type=int, default=0,
                        help="tokens before the prompt whose keys and values count in the limit")
    parser.add_argument("--generate", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kernel-threads", type=int, default=1, help="for gemm and attention")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repack", default="1,0", choices=["1,0", "0", "1"],
                        help="llama.cpp's settings to try (both)")
    parser.add_argument("--rows", default="1,4,16,64,512", help="of gemm")
    parser.add_argument("--shape", default="4096x14336", help="of gemm, outputs x depth")
    parser.add_argument("--group", default="1,4,8", help="of attention")
    parser.add_argument("--positions", type=int, default=32768, help="of attention")
    parser.add_argument("--retrieve-keys", type=int, default=131_072)
    parser.add_argument("--retrieve-dim", type=int, default=128)
    parser.add_argument("--retrieve-candidates", type=int, default=1_600,
                        help="of ours, at 131,072 keys, in proportion for others")
    parser.add_argument("--retrieve-no-graphs", dest="retrieve_graphs", action="store_false",
                        help="leave graphs out (ours, faiss's, hnswlib, usearch), which take minutes to build")
    parser.add_argument("--retrieve-dump", help="a file of Benchmarks/Model/dump_long.py instead of synthetic keys")
    parser.add_argument("--retrieve-head", default="", help="LAYER.HEAD of the dump")
    parser.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)),
                        help="the CPU to burn for contention (the last)")
    parser.add_argument("--draft-model", help="for speculation: a small model of the same vocabulary")
    parser.add_argument("--peer-draft-model", help="the same for llama.cpp, which wants a vocabulary as "
                        "long as the model's (enlarge_model.py --vocabulary-only)")
    parser.add_argument("--prompts", help="for speculation: a text file, one prompt per line")
    parser.add_argument("--martlet-option", action="append", default=[],
                        help="passed on to martlet bench model; repeatable")
    parser.add_argument("--before", default="",
                        help="words before every measuring command, such as 'numactl -N 0'")
    parser.add_argument("--json-folder", default=".", help="where rounds are kept (here)")
    parser.add_argument("--results", help="a file whose tables to replace")
    parser.add_argument("--readme", help="another, for the short table")
    options = parser.parse_args()
    if bool(options.retrieve_dump) != bool(options.retrieve_head):
        parser.error("--retrieve-dump and --retrieve-head go together")
    if options.what not in ("render", "retrieve") and not (options.peers or options.llama or options.programs):
        parser.error("--peers is needed; Benchmarks/peers/setup.sh FOLDER makes it")
    programs = os.path.join(options.peers or "", "bin")
    options.llama = options.llama or programs
    options.programs = options.programs or programs
    if options.what in ("model", "prefix", "contention", "speculation", "all") and not options.model:
        parser.error("--model is needed; Benchmarks/peers/make_model.py makes models")
    if options.what == "speculation" and not (options.draft_model and options.prompts):
        parser.error("--draft-model and --prompts are needed")
    return options


def main():
    options = arguments()
    os.makedirs(options.json_folder, exist_ok=True)
    begin = time.monotonic()
    for name, compare in COMPARISONS.items():
        if options.what not in (name, "all"):
            continue
        own = copy.copy(options)
        if name in ("gemm", "attention", "retrieve"):
            own.threads = options.kernel_threads
        compare(own)
    found = tables(options)
    for name, content in found.items():
        print(f"## {name}\n\n{content}\n")
    for path in filter(None, (options.results, options.readme)):
        replace(path, found)
    if options.what != "render":
        print(f"{time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
