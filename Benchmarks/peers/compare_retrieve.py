"""Searches of the best keys of one key-value head, one thread: ours and others' in turns, on keys and queries of one
recipe (`ood`) or of a model (`--retrieve-dump`). Ours finds 256 positions among as many candidates as
`--retrieve-candidates`; of faiss's fast scan the fastest setting with a recall of at least 0.985 of the best 100 counts.
"""
import json
import os
import subprocess
import sys

from measure import Runner, circumstances, median, ratio, say, table

HERE = os.path.dirname(os.path.abspath(__file__))
ENOUGH = 0.985
# Positions that ours finds: with as many the attention over them is within 2 % of exact attention.
FOUND = 256


def measure(o):
    run, peers = Runner(o.before), [sys.executable, os.path.join(HERE, "retrieve_peers.py")]
    # What the indexes are built from is in the name: another would measure something else.
    source = f"{os.path.basename(o.retrieve_dump)}-{o.retrieve_head}" if o.retrieve_dump else "ood"
    folder = os.path.join(o.json_folder, f"peers-{source}-{o.retrieve_keys}x{o.retrieve_dim}"
                          + ("" if o.retrieve_graphs else "-no-graphs"))
    if not os.path.exists(os.path.join(folder, "complete")):
        say(f"retrieve: building the peers' indexes in {folder}")
        chosen = ["--model", o.retrieve_dump, "--head", o.retrieve_head] if o.retrieve_dump else []
        subprocess.run([*peers, "build", folder, "--keys", str(o.retrieve_keys), "--dim",
                        str(o.retrieve_dim), *chosen, *([] if o.retrieve_graphs else ["--no-graphs"])], check=True)
        open(os.path.join(folder, "complete"), "w").close()
    samples, recalls, errors = {}, {}, {}
    for number in range(o.rounds):
        say(f"retrieve: round {number + 1} of {o.rounds}")
        report = run.json([
            o.martlet, "bench", "retrieve", "--keys", str(o.retrieve_keys), "--dim", str(o.retrieve_dim),
            "--distribution", f"model={o.retrieve_dump}" if o.retrieve_dump else "ood",
            "--index", "scan,graph,exact" if o.retrieve_graphs else "scan,exact", "--queries", "1,4",
            "--candidates", str(o.retrieve_candidates), "--wanted", str(FOUND), "--repetitions", "32", "-o", "json"])
        for row in report["rows"]:
            if o.retrieve_head and row["head"] != o.retrieve_head:
                continue
            name = "martlet " + row["index"]
            key = (name, "", row["queries"])
            samples.setdefault(key, []).append(row["query_ns"])
            samples.setdefault((name + ", cold", "", row["queries"]), []).append(row["cold_query_ns"])
            recalls[key], errors[key] = row["recall_at_100"], row["output_error"]
        limit = o.retrieve_keys * o.retrieve_dim * 2 / report["context"]["limits"]["read_gb_per_s"]
        for queries in (1, 4):
            samples.setdefault(("limit", "", queries), []).append(limit)
        for row in map(json.loads, run.output([*peers, "measure", folder]).splitlines()):
            key = (row["index"], row["setting"], row["queries"])
            samples.setdefault(key, []).append(row["ns"])
            recalls[key] = row["recall"]
    return {"schema": 1, "keys": o.retrieve_keys, "dim": o.retrieve_dim,
            "distribution": f"head {o.retrieve_head} of a model" if o.retrieve_dump else "ood",
            "candidates": o.retrieve_candidates, "found": FOUND,
            "circumstances": circumstances(report["context"], 1, o.rounds),
            "rows": [{"index": i, "setting": s, "queries": q, "samples": values,
                      "recall": recalls.get((i, s, q)), "error": errors.get((i, s, q))}
                     for (i, s, q), values in samples.items()]}


def render(result):
    rows = {(r["index"], r["setting"], r["queries"]): r for r in result["rows"]}

    def best(queries):
        fast = [r for r in result["rows"] if r["index"] == "faiss pq-fast-scan" and r["queries"] == queries
                and r["recall"] >= ENOUGH]
        return min(fast, key=lambda r: median(r["samples"]))

    def line(name, key):
        cells = [name]
        for queries in (1, 4):
            r = rows.get((*key, queries))
            cells += ([f"{median(r['samples']) / 1e3:.0f}", f"{r['recall']:.3f}" if r["recall"] else ""]
                      if r else ["", ""])
        return cells

    keys = list(dict.fromkeys((r["index"], r["setting"]) for r in result["rows"]))
    lines = [line("exact, limit of reading bf16 keys", ("limit", ""))]
    lines += [line(f"{i}{', ' + s if s else ''}", (i, s)) for i, s in keys if i != "limit"]
    lines.append(["**martlet scan / faiss's fast scan with re-ranking**", *(
        cell for q in (1, 4) for cell in (
            f"**{ratio(rows['martlet scan', '', q]['samples'], best(q)['samples']):.2f}**", ""))])
    for name, key in (("warm", "martlet scan"), ("cold", "martlet scan, cold")):
        lines.append([f"**{name} / limit of the exact scan**", *(
            cell for q in (1, 4) for cell in (
                f"**{ratio(rows[key, '', q]['samples'], rows['limit', '', q]['samples']):.2f}**", ""))])
    titles = [f"{result['keys']:,} keys of {result['dim']}, {result['distribution']}",
              "one query, µs", "recall@100", "four queries, µs", "recall@100"]
    error = rows["martlet scan", "", 1]["error"]
    return (table(titles, lines) + f"\n\n- {result['candidates']} candidates, {result.get('found', 128)} found, error of the outputs "
            f"{error:.1%}; {result['circumstances']}")
