"""Decoding throughput of martlet and llama.cpp while another process burns one CPU.

    python3 contention.py --martlet .build/release/martlet --llama FOLDER/bin --model q4_0.gguf

Prints contended over quiet tokens per second for both, quiet and contended runs in turns.
"""
import argparse
import json
import os
import statistics
import subprocess


def burn(cpu):
    """A child that burns `cpu`."""
    child = os.fork()
    if child == 0:
        os.sched_setaffinity(0, {cpu})
        while os.getppid() != 1:
            for _ in range(1_000_000):
                pass
        os._exit(0)
    return child


def output(command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def ours(o):
    report = json.loads(output([
        o.martlet, "bench", "model", "--model", o.model, "--width", o.width, "--prompt", "128",
        "--generate", str(o.generate), "--threads", str(o.threads), "--repetitions", "1", "-o", "json"]))
    return {str(row["width"]): row["decode_tokens_per_s"] for row in report["rows"]}


def theirs(o):
    widths = [int(width) for width in o.width.split(",")]
    lines = output([
        os.path.join(o.llama, "llama-batched-bench"), "-m", o.model, "-t", str(o.threads),
        "-c", str(max(widths) * ((128 + o.generate + 255) // 256 * 256)), "-npp", "128", "-ntg", str(o.generate),
        "-npl", o.width, "-pps", "--output-format", "jsonl"])
    rows = [json.loads(line) for line in lines.splitlines() if line.startswith("{")]
    return {str(row["pl"]): row["speed_tg"] for row in rows}


def contended(measure, options):
    child = burn(options.cpu)
    try:
        return measure(options)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--martlet", required=True)
    parser.add_argument("--llama", required=True, help="folder with llama.cpp's benchmarks")
    parser.add_argument("--model", required=True)
    parser.add_argument("--width", default="1,8")
    parser.add_argument("--generate", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)),
                        help="the CPU to burn (the last)")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    samples = {}
    for _ in range(options.rounds):
        for name, measure in (("martlet", ours), ("llama.cpp", theirs)):
            quiet, busy = measure(options), contended(measure, options)
            for width in quiet:
                samples.setdefault((name, width), []).append((quiet[width], busy[width]))
    print("| engine | width | quiet tokens/s | contended tokens/s | ratio |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for (name, width), pairs in samples.items():
        quiet = statistics.median(pair[0] for pair in pairs)
        busy = statistics.median(pair[1] for pair in pairs)
        ratio = statistics.median(pair[1] / pair[0] for pair in pairs)
        print(f"| {name} | {width} | {quiet:.1f} | {busy:.1f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
