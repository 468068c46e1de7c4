"""Whole models: ours and llama.cpp's in turns on one file.

Decoding: branches of one prompt (`martlet bench model`, `llama-batched-bench -pps`). Prefill: one
prompt (`llama-bench -p`). Each round runs everything once. llama.cpp's better repack setting counts,
cell by cell, one setting for all rounds. Our tokens include sampling; llama.cpp's benchmarks leave
it out.
"""
import os

import gguf

from measure import Runner, circumstances, median, ratio, say, table


def weight_types(model):
    return {tensor.tensor_type.name for tensor in gguf.GGUFReader(model).tensors}


def numeric_class(model):
    """bf16-dot for bf16 weights, as llama.cpp multiplies them; portable for others."""
    return "bf16-dot" if "BF16" in weight_types(model) else "portable"


def repack_settings(o, model):
    """Those asked for; one of them where there is nothing to repack."""
    settings = o.repack.split(",")
    return settings if weight_types(model) - {"F32", "F16", "BF16"} else settings[:1]


def ours(o, run, model):
    """Tokens per second and fraction of the limit by width, `prefill` for the prompt; the context."""
    report = run.json([
        o.martlet, "bench", "model", "--model", model, "--width", o.width,
        "--prompt", str(o.prompt), "--shared-prefix", str(o.shared_prefix),
        "--generate", str(o.generate), "--threads", str(o.threads),
        "--numeric", numeric_class(model), "--repetitions", "1", *o.martlet_option, "-o", "json"])
    cells = {str(row["width"]): (row["decode_tokens_per_s"], row["fraction_of_limit"])
             for row in report["rows"]}
    row = report["rows"][0]
    cells["prefill"] = (row["prefill_tokens_per_s"], row["prefill_fraction_of_limit"])
    return cells, report["context"]


def decode_theirs(o, run, model, repack):
    """llama.cpp's tokens per second by width."""
    prompt = o.shared_prefix + o.prompt
    widths = o.width.split(",")
    # Its cells are divided among the sequences, in parts of 256.
    context = max(map(int, widths)) * ((prompt + o.generate + 255) // 256 * 256)
    # It may end before its log thread has written the last line.
    for _ in range(5):
        cells = {str(row["pl"]): row["speed_tg"] for row in run.lines([
            os.path.join(o.llama, "llama-batched-bench"), "-m", model, "-t", str(o.threads),
            "-c", str(context), "-npp", str(prompt), "-ntg", str(o.generate), "-npl", o.width,
            "-pps", "--output-format", "jsonl", "--repack" if repack == "1" else "--no-repack"])}
        if all(width in cells for width in widths):
            return cells
    raise SystemExit(f"llama-batched-bench told {sorted(cells)} of the widths {widths} on {model}")


def theirs(o, run, model, repack):
    """llama.cpp's tokens per second by width, `prefill` for the prompt."""
    cells = decode_theirs(o, run, model, repack)
    prefill = run.json([
        os.path.join(o.llama, "llama-bench"), "-m", model, "-t", str(o.threads),
        "-p", str(o.shared_prefix + o.prompt), "-n", "0", "-r", "1", "--repack", repack,
        "-o", "json"])
    return {**cells, "prefill": prefill[0]["avg_ts"]}


def measure(o, model):
    """All rounds of one model."""
    run = Runner(o.before)
    settings = repack_settings(o, model)
    mine, peers = [], {setting: [] for setting in settings}
    for number in range(o.rounds):
        say(f"{model}: round {number + 1} of {o.rounds}")
        cells, context = ours(o, run, model)
        mine.append(cells)
        for setting in settings:
            peers[setting].append(theirs(o, run, model, setting))
    rows = []
    for cell in mine[0]:
        medians = {setting: median([value[cell] for value in values])
                   for setting, values in peers.items()}
        best = max(settings, key=medians.get)
        martlet = [value[cell][0] for value in mine]
        llama = [value[cell] for value in peers[best]]
        rows.append({
            "cell": cell, "martlet_tokens_per_s": median(martlet),
            "llama_cpp_tokens_per_s": medians[best], "llama_cpp_setting": f"repack {best}",
            "ratio": ratio(martlet, llama),
            "fraction_of_limit": median([value[cell][1] for value in mine]),
            "martlet_samples": martlet,
            "llama_cpp_samples": {f"repack {setting}": [value[cell] for value in values]
                                  for setting, values in peers.items()}})
    prompt = o.shared_prefix + o.prompt
    return {"schema": 1, "model": os.path.basename(model), "prompt": prompt,
            "generate": o.generate,
            "circumstances": circumstances(context, o.threads, o.rounds), "rows": rows}


QUANTITIES = [("martlet", "martlet_tokens_per_s", "{:.0f}"),
              ("llama.cpp, its better repack setting", "llama_cpp_tokens_per_s", "{:.0f}"),
              ("**ratio**", "ratio", "**{:.2f}**"),
              ("martlet, of the limit", "fraction_of_limit", "{:.2f}")]


def render(results):
    """One row per model and quantity: a table per quantity would tear models apart."""
    prompt = results[0]["prompt"]
    cells = list(dict.fromkeys(row["cell"] for result in results for row in result["rows"]))
    titles = [f"prefill {prompt}" if cell == "prefill" else f"width {cell}" for cell in cells]
    lines = []
    for result in results:
        of_cell = {row["cell"]: row for row in result["rows"]}
        for name, key, form in QUANTITIES:
            lines.append([result["model"], name, *(
                form.format(of_cell[cell][key]) if cell in of_cell else "" for cell in cells)])
    notes = "\n".join(f"- {result['model']}: {result['circumstances']}" for result in results)
    return table(["model", "tokens per second", *titles], lines, 2) + "\n\n" + notes


def render_short(results):
    """The table of the README: two rows per model."""
    cells = list(dict.fromkeys(row["cell"] for result in results for row in result["rows"]))
    titles = [f"prefill {results[0]['prompt']}" if cell == "prefill" else
              "1 branch" if cell == "1" else cell for cell in cells]
    lines = []
    for result in results:
        of_cell = {row["cell"]: row for row in result["rows"]}
        weights = result["model"].removesuffix(".gguf").upper()
        for title, name, key in ((weights, "martlet", "martlet_tokens_per_s"),
                                 ("", "llama.cpp", "llama_cpp_tokens_per_s")):
            lines.append([title, name, *(f"{of_cell[cell][key]:.0f}" if cell in of_cell else ""
                                         for cell in cells)])
    return table(["weights", "engine", *titles], lines, 2)
