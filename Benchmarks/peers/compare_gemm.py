"""Matrix products: ours, OpenBLAS (a row of our own bench) and oneDNN in turns, on weights that no cache
holds. Types meet the nearest of their kind: oneDNN's int8 has one scale for all weights where Q8_0 has
one per 32; its bf16 product takes bf16 activations as our class bf16-dot does.
"""
import os

from measure import Runner, circumstances, median, ratio, say, table

# Column, type and numeric class of ours, type of oneDNN's.
PAIRS = [("Q8_0", "portable", "u8s8"), ("BF16", "bf16-dot", "bf16"), ("F32", "portable", "f32")]
NAMES = {"u8s8": "oneDNN u8·s8", "bf16": "oneDNN bf16", "f32": "oneDNN f32"}


def measure(o):
    run = Runner(o.before)
    samples = {}
    base = [o.martlet, "bench", "gemm", "--rows", o.rows, "--shape", o.shape, "--threads",
            str(o.threads), "--cache", "cold", "--repetitions", "1", "-o", "json"]
    variants = {}
    for number in range(o.rounds):
        say(f"gemm: round {number + 1} of {o.rounds}")
        reports = [run.json([*base, "--type", "q8_0,f32", "--openblas"]),
                   run.json([*base, "--type", "bf16", "--numeric", "bf16-dot"])]
        for row in (row for report in reports for row in report["rows"]):
            key = ("OpenBLAS" if row["numeric_class"] == "openblas" else row["type"], row["rows"])
            samples.setdefault(key, []).append(row["median_ns"])
            variants[key[0]] = row["variant"]
        peer = run.json([os.path.join(o.programs, "onednn"), o.shape, o.rows, "1"],
                        {"OMP_NUM_THREADS": str(o.threads)})
        for row in peer["rows"]:
            samples.setdefault((row["type"], row["rows"]), []).append(row["median_ns"])
            variants[row["type"]] = row["variant"]
    return {"schema": 1, "shape": o.shape, "library": peer["context"]["library"],
            "variants": variants,
            "circumstances": circumstances(reports[-1]["context"], o.threads, o.rounds),
            "rows": [{"kernel": kernel, "rows": rows, "samples_ns": values}
                     for (kernel, rows), values in samples.items()]}


def render(result):
    times = {(row["kernel"], row["rows"]): row["samples_ns"] for row in result["rows"]}
    counts = list(dict.fromkeys(row["rows"] for row in result["rows"]))

    def cell(kernel, rows):
        return f"{median(times[kernel, rows]) / 1e6:.2f}"

    lines = []
    for mine, _, peer in PAIRS:
        of_pair = [(mine, f"martlet {mine}"), (peer, NAMES[peer])]
        if mine == "F32":
            of_pair.append(("OpenBLAS", "OpenBLAS f32"))
        for kernel, name in of_pair:
            lines.append([f"{name} `{result['variants'][kernel]}`",
                          *(cell(kernel, rows) for rows in counts)])
        for kernel, name in of_pair[1:]:
            lines.append([f"**{name} / martlet**", *(
                f"**{ratio(times[kernel, rows], times[mine, rows]):.2f}**" for rows in counts)])
    titles = [f"{result['shape'].replace('x', ' × ')}, ms",
              *(f"{rows} row{'s' if rows > 1 else ''}" for rows in counts)]
    return table(titles, lines) + f"\n\n- {result['library']}; {result['circumstances']}"
