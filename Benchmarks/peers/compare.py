"""Runs martlet and llama.cpp in turns on the same files and prints their ratio as Markdown.

    python3 compare.py --martlet .build/release/martlet --llama FOLDER/bin --model q4_0.gguf …

Decoding: branches of one prompt (`martlet bench model`, `llama-batched-bench -pps`). Prefill: one
prompt (`llama-bench -p`). llama.cpp's better repack setting counts, cell by cell. Each round runs
everything once; a cell is the median over the rounds, its ratio the median of the rounds' ratios.
martlet's tokens include sampling; llama.cpp's benchmarks leave it out.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

import gguf


def run(command):
    """Standard output of a command; a failure ends the program with the command's own words."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        tail = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise SystemExit(f"{' '.join(command)}\nexited with {done.returncode}:\n{tail}")
    return done.stdout


def numeric_class(model):
    """bf16-dot for bf16 weights, as llama.cpp multiplies them; portable for others."""
    types = {tensor.tensor_type for tensor in gguf.GGUFReader(model).tensors}
    return "bf16-dot" if gguf.GGMLQuantizationType.BF16 in types else "portable"


class Ours:
    def __init__(self, options):
        self.options = options

    def measure(self, model):
        """Tokens per second and fractions of the limit by width, `prefill` for the prompt."""
        o = self.options
        report = json.loads(run([
            o.martlet, "bench", "model", "--model", model, "--width", o.width,
            "--prompt", str(o.prompt), "--generate", str(o.generate), "--threads", str(o.threads),
            "--numeric", numeric_class(model), "--repetitions", "1", *o.martlet_option,
            "-o", "json"]))
        cells = {}
        for row in report["rows"]:
            cells[str(row["width"])] = (row["decode_tokens_per_s"], row["fraction_of_limit"])
        cells["prefill"] = (row["prefill_tokens_per_s"], row["prefill_fraction_of_limit"])
        return cells, report["context"]


class Theirs:
    def __init__(self, options, repack):
        self.options = options
        self.repack = repack
        self.name = f"repack {int(repack)}"

    def measure(self, model):
        """Tokens per second by width, `prefill` for the prompt."""
        o = self.options
        widths = [int(width) for width in o.width.split(",")]
        # Its cells are divided among the sequences, in parts of 256.
        context = max(widths) * ((o.prompt + o.generate + 255) // 256 * 256)
        switch = ["--repack"] if self.repack else ["--no-repack"]
        lines = run([
            os.path.join(o.llama, "llama-batched-bench"), "-m", model, "-t", str(o.threads),
            "-c", str(context), "-npp", str(o.prompt), "-ntg", str(o.generate), "-npl", o.width,
            "-pps", "--output-format", "jsonl", *switch])
        rows = [json.loads(line) for line in lines.splitlines() if line.startswith("{")]
        cells = {str(row["pl"]): row["speed_tg"] for row in rows}
        prefill = json.loads(run([
            os.path.join(o.llama, "llama-bench"), "-m", model, "-t", str(o.threads),
            "-p", str(o.prompt), "-n", "0", "-r", "1", "--repack", str(int(self.repack)),
            "-o", "json"]))
        cells["prefill"] = prefill[0]["avg_ts"]
        return cells


def compare(options, model):
    """Rows of one model."""
    ours = Ours(options)
    theirs = [Theirs(options, value == "1") for value in options.repack.split(",")]
    rounds = []
    for number in range(options.rounds):
        print(f"{model}: round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
        mine, context = ours.measure(model)
        rounds.append((mine, [peer.measure(model) for peer in theirs]))
    rows = []
    for cell in rounds[0][0]:
        # One setting for all rounds of a cell: the one that is better over them.
        medians = [statistics.median(peers[i][cell] for _, peers in rounds)
                   for i in range(len(theirs))]
        best = medians.index(max(medians))
        rows.append({
            "model": os.path.basename(model), "cell": cell,
            "martlet_tokens_per_s": statistics.median(mine[cell][0] for mine, _ in rounds),
            "llama_cpp_tokens_per_s": medians[best], "llama_cpp_setting": theirs[best].name,
            "ratio": statistics.median(mine[cell][0] / peers[best][cell] for mine, peers in rounds),
            "fraction_of_limit": statistics.median(mine[cell][1] for mine, _ in rounds),
            "rounds": [{"martlet": mine[cell][0], **{
                peer.name: value[cell] for peer, value in zip(theirs, peers)}}
                for mine, peers in rounds]})
    return rows, context


def markdown(rows, prompt):
    """A table per quantity would tear models apart: one row per model and quantity."""
    cells = list(dict.fromkeys(row["cell"] for row in rows))
    titles = [f"prefill {prompt}" if cell == "prefill" else f"width {cell}" for cell in cells]
    lines = ["| model | tokens per second | " + " | ".join(titles) + " |",
             "| --- | --- |" + " ---: |" * len(cells)]
    for model in dict.fromkeys(row["model"] for row in rows):
        of_model = {row["cell"]: row for row in rows if row["model"] == model}
        quantities = [("martlet", "martlet_tokens_per_s", "{:.0f}"),
                      ("llama.cpp, its better repack setting", "llama_cpp_tokens_per_s", "{:.0f}"),
                      ("**ratio**", "ratio", "**{:.2f}**"),
                      ("martlet, of the limit", "fraction_of_limit", "{:.2f}")]
        for title, key, form in quantities:
            values = [form.format(of_model[cell][key]) if cell in of_model else ""
                      for cell in cells]
            lines.append(f"| {model} | {title} | " + " | ".join(values) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--martlet", required=True, help="the tool, a release build")
    parser.add_argument("--llama", required=True, help="folder with llama.cpp's benchmarks")
    parser.add_argument("--model", action="append", required=True, help="a GGUF file; repeatable")
    parser.add_argument("--width", default="1,2,4,8,16")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--generate", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repack", default="1,0", choices=["1,0", "0", "1"],
                        help="llama.cpp's settings to try (both)")
    parser.add_argument("--martlet-option", action="append", default=[],
                        help="passed on to martlet bench model; repeatable")
    parser.add_argument("--json", help="write all rounds to this file")
    options = parser.parse_args()
    rows, context = [], {}
    for model in options.model:
        own, context = compare(options, model)
        rows += own
    limits = context["limits"]
    print(f"{time.strftime('%Y-%m-%d')}, {context['cpu']} ({platform.machine()}), "
          f"{options.threads} threads, {options.rounds} rounds; last measured limits: "
          f"{limits['read_gb_per_s']:.0f} GB/s, int8 {limits['dot_int8_gops']:.0f}, bf16 "
          f"{limits['dot_bf16_gops']:.0f}, fp32 {limits['fma_f32_gops']:.0f} Gop/s\n")
    print(markdown(rows, options.prompt))
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"schema": 1, "context": context, "rows": rows}, file, indent=2)


if __name__ == "__main__":
    main()
