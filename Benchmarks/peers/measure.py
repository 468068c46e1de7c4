"""What the comparisons share: running commands in turns, medians, Markdown."""
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time


class Runner:
    """Runs measuring commands, each behind `before` (for example `numactl -N 0`)."""

    def __init__(self, before=""):
        self.before = before.split()

    def output(self, command, environment=None):
        """Standard output of a command; a failure ends the program with the command's own words."""
        # Files, not pipes: `before` may hold this program up while the command runs.
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
            done = subprocess.run([*self.before, *command], stdout=out, stderr=errors,
                                  env={**os.environ, **(environment or {})}, check=False)
            out.seek(0)
            errors.seek(0)
            if done.returncode != 0:
                tail = "\n".join(errors.read().strip().splitlines()[-5:])
                raise SystemExit(f"{' '.join(command)}\nexited with {done.returncode}:\n{tail}")
            return out.read()

    def json(self, command, environment=None):
        return json.loads(self.output(command, environment))

    def lines(self, command):
        """The JSON objects that a command prints line by line."""
        return [json.loads(line) for line in self.output(command).splitlines()
                if line.startswith("{")]


def say(text):
    print(text, file=sys.stderr, flush=True)


def median(values):
    return statistics.median(values)


def ratio(numerators, denominators):
    """The median of the ratios within rounds: drift of the host meets both sides of each."""
    return median([a / b for a, b in zip(numerators, denominators)])


def table(titles, rows, numbers_from=1):
    """Markdown; columns from `numbers_from` on are set right."""
    marks = ["---"] * numbers_from + ["---:"] * (len(titles) - numbers_from)
    return "\n".join("| " + " | ".join(row) + " |" for row in [titles, marks, *rows])


def circumstances(context, threads, rounds):
    """One line: when, where, how often, and the limits that the last run measured, if it did."""
    line = (f"{time.strftime('%Y-%m-%d', time.gmtime())}, {context['cpu']} ({platform.machine()}), "
            f"{threads} thread{'s' if threads > 1 else ''}, {rounds} round{'s' if rounds > 1 else ''}")
    limits = context.get("limits")
    if not limits:
        return line
    return (f"{line}; limits beside the last samples: {limits['read_gb_per_s']:.0f} GB/s, int8 "
            f"{limits['dot_int8_gops']:.0f}, bf16 {limits['dot_bf16_gops']:.0f}, fp32 "
            f"{limits['fma_f32_gops']:.0f} Gop/s")
