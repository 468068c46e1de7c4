"""Drafting: ours and llama.cpp's prompt lookup and draft model, each against its own plain decoding, in
turns. One sequence, greedy, the prompts of a text file one after the other.

llama.cpp's plain decoding is llama-bench's, which draws no token; its time for a prompt is not counted, ours
is. Texts are as long as the model makes them, so tokens per second are compared, not times.
"""
import os
import re

from measure import Runner, circumstances, median, ratio, say, table

# Our kinds of drafting, and llama.cpp's name for what comes nearest.
KINDS = {"lookup": ("ngram", "ngram-simple"), "draft model": ("model={draft}", "draft-simple")}


def ours(o, run, model):
    """Tokens per second by kind; the context."""
    drafts = {name: own.format(draft=o.draft_model) for name, (own, _) in KINDS.items()}
    report = run.json([
        o.martlet, "bench", "speculate", "--model", model, "--draft",
        ",".join(["off", *drafts.values()]), "--live", "1", "--samples", "1",
        "--suite", o.prompts, "--block", str(o.prompt_count), "--repetitions", "1",
        "--generate", str(o.generate), "--sampling", "temperature=0", "--threads", str(o.threads),
        "-o", "json"])
    rates = [row["tokens_per_s"] for row in report["rows"]]
    return dict(zip(["plain", *drafts], rates)), report["context"]


def theirs(o, run, model, prompts):
    """Tokens per second by kind."""
    plain = run.json([
        os.path.join(o.llama, "llama-bench"), "-m", model, "-t", str(o.threads), "-p", "0",
        "-n", str(o.generate), "-r", "1", "-o", "json"])
    rates = {"plain": plain[0]["avg_ts"]}
    for name, (_, kind) in KINDS.items():
        tokens = seconds = 0
        for prompt in prompts:
            command = [
                os.path.join(o.llama, "llama-speculative-simple"), "-m", model, "-p", prompt,
                "-n", str(o.generate), "-t", str(o.threads), "--temp", "0", "-c", "2048",
                "--spec-type", kind]
            if kind.startswith("draft"):
                # Its two thread pools share the cores; while they poll they take them from each other,
                # which makes it five times slower on two cores.
                command += ["-md", o.peer_draft_model or o.draft_model, "-td", str(o.threads),
                            "--poll", "0", "--spec-draft-poll", "0"]
            told = re.search(r"decoded\s+(\d+) tokens in\s+([\d.]+) seconds",
                             run.both(command))
            if not told:
                raise SystemExit(f"{' '.join(command)}\nsaid nothing of tokens decoded")
            tokens += int(told[1])
            seconds += float(told[2])
        rates[name] = tokens / seconds
    return rates


class BothRunner(Runner):
    """With what a command says of itself on standard error."""

    def both(self, command):
        return self.output(["sh", "-c", 'exec "$@" 2>&1', "sh", *command])


def measure(o, model):
    run = BothRunner(o.before)
    with open(o.prompts) as file:
        prompts = [line.rstrip("\n") for line in file if line.strip()]
    if not prompts:
        raise SystemExit(f"{o.prompts} has no prompts; write one per line")
    o.prompt_count = len(prompts)
    samples = {}
    for number in range(o.rounds):
        say(f"speculation: round {number + 1} of {o.rounds}")
        mine, context = ours(o, run, model)
        for engine, rates in (("martlet", mine), ("llama.cpp", theirs(o, run, model, prompts))):
            for kind, rate in rates.items():
                samples.setdefault((engine, kind), []).append(rate)
    return {"schema": 1, "model": os.path.basename(model), "rounds": o.rounds,
            "draft_model": os.path.basename(o.draft_model), "prompts": len(prompts),
            "circumstances": circumstances(context, o.threads, o.rounds),
            "rows": [{"engine": engine, "kind": kind, "tokens_per_s": rates}
                     for (engine, kind), rates in samples.items()]}


def render(result):
    plain = {row["engine"]: row["tokens_per_s"] for row in result["rows"] if row["kind"] == "plain"}
    lines = [[row["engine"], row["kind"], f"{median(row['tokens_per_s']):.1f}",
              f"{ratio(row['tokens_per_s'], plain[row['engine']]):.2f}×"] for row in result["rows"]]
    title = f"{result['model']}, {result['prompts']} prompts, drafts by {result['draft_model']}"
    return (table([title, "", "tokens/s", "over plain"], lines, numbers_from=2)
            + f"\n\n- {result['circumstances']}")
