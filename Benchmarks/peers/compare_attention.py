"""Decode attention over one sequence's f16 keys and values, 8 KV heads of 128: ours and llama.cpp's in
turns. `flash` is llama.cpp's default on CPUs, `plain` what it does with flash attention off; the ratio is
to the better of the two.
"""
import os

from measure import Runner, circumstances, median, ratio, say, table


def measure(o):
    run = Runner(o.before)
    samples = {}
    for number in range(o.rounds):
        say(f"attention: round {number + 1} of {o.rounds}")
        report = run.json([
            o.martlet, "bench", "attention", "--kv-heads", "8", "--head-dimensions", "128",
            "--group", o.group, "--positions", str(o.positions), "--branches", "1", "--threads",
            str(o.threads), "--repetitions", "3", "-o", "json"])
        peer = run.json([os.path.join(o.programs, "llama_attention"), str(o.positions), o.group,
                         str(o.threads), "3"])
        for name, rows in (("martlet", report["rows"]), ("", peer["rows"])):
            for row in rows:
                key = (name or row["variant"], row["group"])
                samples.setdefault(key, []).append(row["median_ns"])
        for row in report["rows"]:
            samples.setdefault(("fraction", row["group"]), []).append(row["fraction_of_limit"])
    return {"schema": 1, "positions": o.positions,
            "circumstances": circumstances(report["context"], o.threads, o.rounds),
            "rows": [{"kernel": kernel, "group": group, "samples": values}
                     for (kernel, group), values in samples.items()]}


def render(result):
    values = {(row["kernel"], row["group"]): row["samples"] for row in result["rows"]}
    groups = list(dict.fromkeys(row["group"] for row in result["rows"]))

    def line(name, text):
        return [name, *(text(group) for group in groups)]

    def best(group):
        return min((values[kernel, group] for kernel in ("flash", "plain")), key=median)

    lines = [
        line("martlet", lambda g: f"{median(values['martlet', g]) / 1e6:.2f}"),
        line("llama.cpp, flash", lambda g: f"{median(values['flash', g]) / 1e6:.2f}"),
        line("llama.cpp, plain", lambda g: f"{median(values['plain', g]) / 1e6:.2f}"),
        line("**better of llama.cpp / martlet**",
             lambda g: f"**{ratio(best(g), values['martlet', g]):.2f}**"),
        line("martlet, of the limit", lambda g: f"{median(values['fraction', g]):.2f}"),
        line(f"martlet, relative to group {groups[0]}", lambda g: "{:.2f}".format(
            ratio(values["martlet", g], values["martlet", groups[0]])))]
    titles = [f"{result['positions']:,} positions, ms",
              *(f"group {group}" for group in groups)]
    return table(titles, lines) + f"\n\n- {result['circumstances']}"
