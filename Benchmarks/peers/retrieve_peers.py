"""faiss, hnswlib and usearch on keys and queries as `martlet bench retrieve` has them: what compare_retrieve.py runs.

    retrieve_peers.py build FOLDER --keys 131072 --dim 128 [--model DUMP --head 1.0] [--no-graphs]
    retrieve_peers.py measure FOLDER --queries 1,4 --repetitions 48

`build` writes the keys, queries and indexes, `measure` prints a JSON object per index, setting and number of
queries: one thread, the least and the median time of a search for the best 100, and their recall. Graphs (HNSW of
all three) take minutes to build; a peer that is not installed is left out, and a line says so.
"""
import argparse
import json
import os
import sys
import time

import faiss
import numpy as np

BEST = 100
# Candidates that are ranked exactly, probes, and breadths of search.
CANDIDATES, PROBES, BREADTHS = (400, 1000, 1600, 2400), (64, 128, 256), (256, 1024, 4096)
# Links per key of graphs, and breadth while building.
LINKS, BUILD_BREADTH = 32, 200


def synthetic(keys, dimensions):
    """The recipe of `--distribution ood` (SyntheticAttention.swift), with other random numbers."""
    random = np.random.default_rng(0)
    spectrum = 1 / np.sqrt(1 + np.arange(dimensions) / 8)
    turn, _ = np.linalg.qr(random.normal(size=(dimensions, dimensions)))
    clusters = random.normal(size=(512, dimensions)) * spectrum
    all_keys = clusters[random.integers(512, size=keys)]
    all_keys = (all_keys + 0.7 * random.normal(size=all_keys.shape) * spectrum) @ turn + 1.5 * turn[5]
    tilt = 1.6 / np.sqrt(dimensions)
    directions = 0.6 * turn[np.arange(24) % dimensions] + tilt * random.normal(size=(24, dimensions))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    strengths = 2.5 * random.normal(size=(64, 24)) / np.sqrt(1 + np.arange(24) / 4)
    queries = (directions.sum(0) / np.sqrt(24) + strengths @ directions
               + 0.35 * random.normal(size=(64, dimensions)))
    return all_keys.astype(np.float32), queries.astype(np.float32)


def dumped(path, head, keys):
    """One head of a file that dump_long.py wrote."""
    import gguf
    tensors = {t.name: t.data for t in gguf.GGUFReader(path).tensors}
    return (np.ascontiguousarray(tensors[f"attn.{head}.keys"][:keys], dtype=np.float32),
            np.ascontiguousarray(tensors[f"attn.{head}.queries"][:64], dtype=np.float32))


def build(o):
    os.makedirs(o.folder, exist_ok=True)
    keys, queries = dumped(o.model, o.head, o.keys) if o.model else synthetic(o.keys, o.dim)
    dimensions, product = keys.shape[1], faiss.METRIC_INNER_PRODUCT
    exact = faiss.IndexFlatIP(dimensions)
    exact.add(keys)
    _, truth = exact.search(queries, BEST)
    np.savez(os.path.join(o.folder, "queries.npz"), queries=queries, truth=truth)
    kinds = {
        "flat": exact,
        "flat-bf16": faiss.IndexScalarQuantizer(dimensions, faiss.ScalarQuantizer.QT_bf16, product),
        "pq-fast-scan": faiss.IndexRefineFlat(
            faiss.IndexPQFastScan(dimensions, dimensions // 2, 4, product)),
        "ivf": faiss.index_factory(dimensions, "IVF1024,Flat", product)}
    if o.graphs:
        kinds["hnsw"] = faiss.IndexHNSWFlat(dimensions, LINKS, product)
        kinds["hnsw"].hnsw.efConstruction = BUILD_BREADTH
    for name, index in kinds.items():
        begin = time.perf_counter()
        if not index.is_trained:
            index.train(keys)
        if index.ntotal == 0:
            index.add(keys)
        faiss.write_index(index, os.path.join(o.folder, name + ".faiss"))
        print(json.dumps({"index": name, "build_s": time.perf_counter() - begin}), flush=True)
    for name in GRAPHS if o.graphs else ():
        begin = time.perf_counter()
        graph = new_graph(name, dimensions)
        if graph:
            graph.build(keys)
            graph.save(os.path.join(o.folder, "index." + name))
            print(json.dumps({"index": name, "build_s": time.perf_counter() - begin}), flush=True)


class Hnswlib:
    """hnswlib's graph; its one type of numbers is float32."""

    def __init__(self, dimensions):
        import hnswlib
        self.index = hnswlib.Index(space="ip", dim=dimensions)

    def build(self, keys):
        self.index.init_index(max_elements=len(keys), ef_construction=BUILD_BREADTH, M=LINKS)
        self.index.add_items(keys)

    def save(self, path):
        self.index.save_index(path)

    def load(self, path):
        self.index.load_index(path)

    def search(self, queries, breadth):
        self.index.set_ef(breadth)
        return self.index.knn_query(queries, k=BEST, num_threads=1)[0]


class Usearch:
    """usearch's graph, of bfloat16 as our keys are."""

    def __init__(self, dimensions):
        from usearch.index import Index
        self.index = Index(ndim=dimensions, metric="ip", dtype="bf16", connectivity=LINKS,
                           expansion_add=BUILD_BREADTH)

    def build(self, keys):
        self.index.add(np.arange(len(keys)), keys)

    def save(self, path):
        self.index.save(path)

    def load(self, path):
        self.index.load(path)

    def search(self, queries, breadth):
        self.index.expansion_search = breadth
        return self.index.search(queries, BEST, threads=1).keys.reshape(len(queries), -1)


GRAPHS = {"hnswlib": Hnswlib, "usearch": Usearch}


def new_graph(name, dimensions):
    """An empty graph, or None where the peer is not installed."""
    try:
        return GRAPHS[name](dimensions)
    except ImportError as error:
        print(f"{name} is left out: {error}; pip install {name}", file=sys.stderr, flush=True)
        return None


def searches(folder, dimensions):
    """Every index that was built, its settings, and how to search with each."""
    for name in ("flat", "flat-bf16", "pq-fast-scan", "ivf", "hnsw"):
        path = os.path.join(folder, name + ".faiss")
        if not os.path.exists(path):
            continue
        index = faiss.read_index(path)
        for setting, parameters in settings(name, index):
            yield "faiss " + name, setting, lambda queries: index.search(queries, BEST, params=parameters)[1]
    for name in GRAPHS:
        path = os.path.join(folder, "index." + name)
        graph = new_graph(name, dimensions) if os.path.exists(path) else None
        if not graph:
            continue
        graph.load(path)
        for breadth in BREADTHS:
            yield name, f"ef {breadth}", lambda queries: graph.search(queries, breadth)


def settings(name, index):
    """What an index is searched with: a name and the parameters."""
    if name == "pq-fast-scan":
        return [(f"re-ranking {c}", faiss.IndexRefineSearchParameters(k_factor=c / BEST))
                for c in CANDIDATES]
    if name == "ivf":
        return [(f"{p} probes", faiss.SearchParametersIVF(nprobe=p)) for p in PROBES]
    if name == "hnsw":
        return [(f"ef {b}", faiss.SearchParametersHNSW(efSearch=b)) for b in BREADTHS]
    return [("", None)]


def measure(o):
    faiss.omp_set_num_threads(1)
    data = np.load(os.path.join(o.folder, "queries.npz"))
    queries, truth = data["queries"], data["truth"]
    for name, setting, search in searches(o.folder, queries.shape[1]):
        for group in o.queries:
            times, hits = [], []
            slow = " flat" in name or setting == f"ef {BREADTHS[-1]}"
            for sample in range(max(2, o.repetitions // (8 if slow else 1))):
                own = (sample * group + np.arange(group)) % len(queries)
                chosen = np.ascontiguousarray(queries[own])
                # As ours is timed: searches before bring the index back into the caches.
                for _ in range(3):
                    search(chosen)
                begin = time.perf_counter_ns()
                found = search(chosen)
                times.append(time.perf_counter_ns() - begin)
                hits += [len(set(map(int, f)) & set(truth[q].tolist())) / BEST for f, q in zip(found, own)]
            print(json.dumps({
                "index": name, "setting": setting, "queries": group, "ns": float(np.median(times)),
                "least_ns": min(times), "recall": float(np.mean(hits))}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["build", "measure"])
    parser.add_argument("folder")
    parser.add_argument("--keys", type=int, default=131_072)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--model", help="a dump of a model's attention instead of synthetic keys")
    parser.add_argument("--head", default="1.0", help="LAYER.HEAD of the dump")
    parser.add_argument("--no-graphs", dest="graphs", action="store_false",
                        help="build no HNSW, which takes minutes")
    parser.add_argument("--queries", type=lambda text: [int(n) for n in text.split(",")], default=[1, 4])
    parser.add_argument("--repetitions", type=int, default=48)
    o = parser.parse_args()
    (build if o.what == "build" else measure)(o)


if __name__ == "__main__":
    main()
