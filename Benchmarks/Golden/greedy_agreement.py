"""Greedy text of the embedded model: llama.cpp against ours, on held-out problems.

    python3 greedy_agreement.py --problems 50 --seed 5
    python3 greedy_agreement.py --problems 50 --seed 5 --write   renews Tests/MartletTests/greedy.json

Needs llama-cpp-python (PyPI) and a built tool (`make run`, or --martlet PATH).
"""
import argparse
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Benchmarks" / "Model"))

import llama_cpp  # noqa: E402
import tasks  # noqa: E402
from make_golden import plain_buffers  # noqa: E402

MODEL = ROOT / "Sources" / "Martlet" / "Resources" / "martlet-arith.gguf"
GOLDEN = ROOT / "Tests" / "MartletTests" / "greedy.json"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--problems", type=int, default=50)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--martlet", default=str(ROOT / ".build" / "release" / "martlet"))
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()

    half = arguments.problems // 2
    problems = [
        p for family, count in (("make", half), ("calc", arguments.problems - half))
        for p in tasks.problems(family, arguments.seed, count)
    ]
    plain_buffers()
    model = llama_cpp.Llama(str(MODEL), n_ctx=256, verbose=False)
    golden, differences = [], 0
    for problem in problems:
        theirs = model(problem.prompt, max_tokens=200, temperature=0)["choices"][0]["text"]
        run = subprocess.run(
            [arguments.martlet, "run", problem.prompt, "--json"], capture_output=True, text=True)
        if run.returncode != 0:
            sys.exit(run.stderr)
        ours = json.loads(run.stdout)["text"]
        golden.append({"prompt": problem.prompt, "text": theirs})
        if ours != theirs:
            differences += 1
            print(f"{problem.prompt}\n  llama.cpp {theirs!r}\n  martlet   {ours!r}")
    print(f"{len(problems) - differences} of {len(problems)} the same")
    if arguments.write:
        GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")
    sys.exit(differences != 0)


main()
