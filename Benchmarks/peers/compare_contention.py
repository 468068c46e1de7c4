"""Decoding while another process burns one of the CPUs: ours and llama.cpp's in turns, each quiet and then
contended. The ratio is contended over quiet throughput.
"""
import contextlib
import os

import compare_model
from measure import Runner, circumstances, median, ratio, say, table


@contextlib.contextmanager
def burning(cpu):
    """A child that burns `cpu` meanwhile."""
    child = os.fork()
    if child == 0:
        os.chdir("/")
        os.sched_setaffinity(0, {cpu})
        while os.getppid() != 1:
            for _ in range(1_000_000):
                pass
        os._exit(0)
    try:
        yield
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def measure(o, model):
    run = Runner(o.before)
    contexts = []

    def ours():
        cells, context = compare_model.ours(o, run, model)
        contexts.append(context)
        return {width: value for width, (value, _) in cells.items() if width != "prefill"}

    def theirs():
        return compare_model.decode_theirs(o, run, model, "1")

    samples = {}
    for number in range(o.rounds):
        say(f"contention: round {number + 1} of {o.rounds}")
        for name, decode in (("martlet", ours), ("llama.cpp", theirs)):
            quiet = decode()
            with burning(o.cpu):
                busy = decode()
            for width in quiet:
                samples.setdefault((name, width), []).append((quiet[width], busy[width]))
    return {"schema": 1, "model": os.path.basename(model), "rounds": o.rounds,
            "circumstances": circumstances(contexts[-2], o.threads, o.rounds),
            "rows": [{"engine": engine, "width": width, "quiet": [pair[0] for pair in pairs],
                      "contended": [pair[1] for pair in pairs]}
                     for (engine, width), pairs in samples.items()]}


def render(result):
    lines = [[row["engine"], row["width"], f"{median(row['quiet']):.1f}",
              f"{median(row['contended']):.1f}", f"{ratio(row['contended'], row['quiet']):.2f}"]
             for row in result["rows"]]
    return table([f"{result['model']}, tokens per second", "width", "quiet", "contended", "ratio"],
                 lines) + f"\n\n- {result['circumstances']}"
