"""The two arithmetic task families: generators, exact checker, answer extraction.

    make 46 from 3 7 25?   ->  " 3*7=21 21+25=46 #\\n"               reach the target, each number once
    calc 17 *4 -23 +45?    ->  " 17*4=68 68-23=45 45+45=90 #90\\n"   follow the operations left to right

Pure Python, no dependencies. Problems are a function of (split, family, seed) only: the stream is
random.Random(f"{split}:{family}:{seed}") and every draw goes through random.random(), the one method
whose sequence Python documents as stable across versions.

Splits are disjoint by content and not only by seed: a problem whose CRC-32 is divisible by 8 is held
out. "test" and "valid" yield only held-out problems, "train" yields none of them.
"""
import random
import re
import zlib
from dataclasses import dataclass

FAMILIES = ("make", "calc")
SPLITS = ("train", "valid", "test")
MAX_TOKENS = 250  # one token per character; leaves room in a context of 256 for BOS


@dataclass(frozen=True)
class MakeDifficulty:
    """Difficulty of `make`."""

    four: float = 0.25  # share of problems with four numbers; the others have three
    largest: int = 20  # given numbers are uniform in 1...largest
    target: int = 500  # largest target
    limit: int = 999  # largest intermediate result


@dataclass(frozen=True)
class CalcDifficulty:
    """Difficulty of `calc`."""

    steps: tuple = (3, 5)  # number of operations, uniform, both ends included
    start: int = 99  # first number is uniform in 2...start
    add: int = 99  # operand of + and - is uniform in 2...add
    mul: int = 29  # operand of * is uniform in 2...mul
    limit: int = 9999  # largest absolute intermediate result


# The defaults that every published figure uses.
MAKE = MakeDifficulty()
CALC = CalcDifficulty()


@dataclass(frozen=True)
class Problem:
    family: str
    prompt: str
    reference: str  # one right completion, from the generator
    answer: int  # target (make) or result (calc)
    operands: tuple  # make: the given numbers; calc: (start, (op, y), ...)


def below(r, n):
    """Uniform integer in 0..<n."""
    return int(r.random() * n)


def between(r, low, high):
    """Uniform integer in low...high."""
    return low + below(r, high - low + 1)


def pick(r, items):
    return items[below(r, len(items))]


def shuffled(r, items):
    """Fisher-Yates, from the last index down."""
    items = list(items)
    for i in range(len(items) - 1, 0, -1):
        j = below(r, i + 1)
        items[i], items[j] = items[j], items[i]
    return items


def apply(op, a, b):
    return a + b if op == "+" else a - b if op == "-" else a * b


def step(a, op, b):
    return f"{a}{op}{b}={apply(op, a, b)}"


# make ------------------------------------------------------------------------------------------


def make_problem(r, d=MAKE):
    """Draws numbers, then combines two at random until one is left; that one is the target."""
    count = 4 if r.random() < d.four else 3
    while True:
        given = [between(r, 1, d.largest) for _ in range(count)]
        pool, steps = list(given), []
        while len(pool) > 1:
            pool = shuffled(r, pool)
            a, b = pool.pop(), pool.pop()
            op = pick(r, "+-*")
            if op == "-" and a < b:
                a, b = b, a
            c = apply(op, a, b)
            if not 1 <= c <= d.limit:
                break
            steps.append(step(a, op, b))
            pool.append(c)
        else:
            if pool[0] <= d.target:
                prompt = f"make {pool[0]} from " + " ".join(map(str, given)) + "?"
                return Problem("make", prompt, " " + " ".join(steps) + " #\n", pool[0], tuple(given))


# calc ------------------------------------------------------------------------------------------


def calc_problem(r, d=CALC, style=None):
    """Draws a chain of operations; `style` (a random.Random) chooses how steps are written out."""
    start = x = between(r, 2, d.start)
    chain = []
    for _ in range(between(r, *d.steps)):
        op = pick(r, "+-*")
        y = between(r, 2, d.mul if op == "*" else d.add)
        if abs(apply(op, x, y)) > d.limit:  # replace by an operation that moves towards zero
            op = "-" if x > 0 else "+"
            y = between(r, 2, d.add)
        chain.append((op, y))
        x = apply(op, x, y)
    prompt = f"calc {start}" + "".join(f" {op}{y}" for op, y in chain) + "?"
    reference = write_calc(start, chain, None)
    if style is not None:
        for _ in range(8):
            written = write_calc(start, chain, style)
            if len(prompt) + len(written) <= MAX_TOKENS:
                reference = written
                break
    return Problem("calc", prompt, reference, x, (start, *chain))


def write_calc(start, chain, style):
    x, steps = start, []
    for op, y in chain:
        steps += [step(x, op, y)] if style is None else write_step(style, x, op, y)
        x = apply(op, x, y)
    return " " + " ".join(steps) + f" #{x}\n"


def places(n):
    """345 -> [300, 40, 5]; zero digits are dropped."""
    text = str(n)
    return [int(c) * 10 ** (len(text) - 1 - i) for i, c in enumerate(text) if c != "0"]


def write_step(r, x, op, y, direct=0.45):
    """One operation as one or several `a<op>b=c` steps that end in its result, by a random route."""
    routes = addition_routes(r, x, op, y) if op != "*" else product_routes(r, x, y)
    if not routes or r.random() < direct:
        return [step(x, op, y)]
    return pick(r, routes)


def addition_routes(r, x, op, y):
    """By parts of y in a random order, or past y to a round number and back."""
    routes = []
    parts = places(y)
    if len(parts) > 1:
        steps, v = [], x
        for part in shuffled(r, parts):
            steps.append(step(v, op, part))
            v = apply(op, v, part)
        routes.append(steps)
    unit = 100 if y > 100 and y % 100 > 85 else 10
    if y > 10 and y % unit >= unit * 6 // 10:
        up = y + unit - y % unit
        v = apply(op, x, up)
        routes.append([step(x, op, up), step(v, "-" if op == "+" else "+", up - y)])
    return routes


def product_routes(r, x, y):
    """Splits y or x into a round part and the rest (added or taken away), in a random order."""
    routes = []
    sign, n = (-1 if x < 0 else 1), abs(x)

    def combine(p, q, near, rest):  # steps of both partial products, then their sum or difference
        if near > 0 and r.random() < 0.5:
            p, q = q, p
        a, b = (apply("*", *p), apply("*", *q))
        if near > 0:
            last = step(a, "+" if b >= 0 else "-", abs(b))
        else:
            last = step(a, "-" if b >= 0 else "+", abs(b))
        routes.append([step(p[0], "*", p[1]), step(q[0], "*", q[1]), last])

    for which, m in (("y", y), ("x", n)):
        if m <= 10 or (which == "x" and n <= 10):
            continue
        unit = 10 ** (len(str(m)) - 1)
        low, rest = m - m % unit, m % unit
        if rest == 0:
            continue
        if which == "y":
            combine((x, low), (x, rest), 1, rest)
        else:
            combine((sign * low, y), (sign * rest, y), 1, rest)
        if rest * 10 >= unit * 7:  # round up
            up = low + unit
            if which == "y":
                combine((x, up), (x, up - m), -1, rest)
            else:
                combine((sign * up, y), (sign * (up - m), y), -1, rest)
    return routes


# streams ---------------------------------------------------------------------------------------


def content_key(problem):
    """What makes two problems the same: for `make`, the order of the numbers does not count."""
    if problem.family == "make":
        return f"make {problem.answer} " + " ".join(map(str, sorted(problem.operands)))
    return problem.prompt


def held_out(problem):
    return zlib.crc32(content_key(problem).encode("ascii")) % 8 == 0


def stream(split, family, seed, difficulty=None):
    """Endless problems of one family. Same arguments, same problems, on any Python 3."""
    assert split in SPLITS and family in FAMILIES
    r = random.Random(f"{split}:{family}:{seed}")
    while True:
        p = make_problem(r, difficulty or MAKE) if family == "make" else calc_problem(r, difficulty or CALC)
        if held_out(p) == (split != "train"):
            yield p


def problems(family, seed, count, split="test", difficulty=None):
    source = stream(split, family, seed, difficulty)
    return [next(source) for _ in range(count)]


def training_stream(seed, calc_share=0.45):
    """Endless training problems: difficulty drawn per problem around the defaults, steps written freely."""
    r = random.Random(f"train:mix:{seed}")
    while True:
        if r.random() < calc_share:
            steps = pick(r, (1, 2, 3, 3, 4, 4, 5))
            d = CalcDifficulty(steps=(steps, steps), mul=pick(r, (9, 9, 9, 29)), limit=pick(r, (999, 999, 9999)))
            p = calc_problem(r, d, style=r)
        else:
            p = make_problem(r, MakeDifficulty(four=0.5, largest=pick(r, (12, 20, 30))))
        if not held_out(p) and len(p.prompt) + len(p.reference) <= MAX_TOKENS:
            yield p


# checking --------------------------------------------------------------------------------------

NUMBER = r"(?:0|-?[1-9][0-9]{0,17})"  # canonical decimal: no leading zeros, no "-0", at most 18 digits
STEP = re.compile(rf"({NUMBER})([+*-])({NUMBER})=({NUMBER})")
MAKE_PROMPT = re.compile(rf"make ({NUMBER}) from ({NUMBER}(?: {NUMBER})*)\?")
MAKE_COMPLETION = re.compile(r" ?([0-9+*=-]+(?: [0-9+*=-]+)*) #\n?")
CALC_ANSWER = re.compile(rf"#({NUMBER})\n?")


def first_line(completion):
    """The completion up to and including its first newline, which ends an answer."""
    head, newline, _ = completion.partition("\n")
    return head + newline


def check_make(prompt, completion):
    """Exact check of a `make` completion; needs no reference.

    The first line must be steps separated by single spaces, then " #" and nothing more; one leading
    space and the newline are optional. Every step is a<op>b=c with right arithmetic; a and b are taken
    out of the pool (the given numbers at first), c is put in; at the end the pool is exactly [target].
    Numbers are canonical decimals of at most 18 digits, so 64-bit integers with overflow counted as
    wrong arithmetic give the same verdicts.
    """
    asked = MAKE_PROMPT.fullmatch(prompt)
    written = MAKE_COMPLETION.fullmatch(first_line(completion))
    if not asked or not written:
        return False
    pool = [int(n) for n in asked[2].split(" ")]
    for text in written[1].split(" "):
        s = STEP.fullmatch(text)
        if not s:
            return False
        a, op, b, c = int(s[1]), s[2], int(s[3]), int(s[4])
        if apply(op, a, b) != c:
            return False
        for n in (a, b):
            if n not in pool:
                return False
            pool.remove(n)
        pool.append(c)
    return pool == [int(asked[1])]


def extract_answer(completion):
    """The final answer of a `calc` completion as text, or None: what voting counts.

    It is the number after the last "#" of the first line, and nothing may follow it.
    """
    line = first_line(completion)
    at = line.rfind("#")
    found = CALC_ANSWER.fullmatch(line, at) if at >= 0 else None
    return found[1] if found else None


def check_calc(problem, completion):
    """Whether the final answer is right. Steps are not judged."""
    return extract_answer(completion) == str(problem.answer)


def check(problem, completion):
    if problem.family == "make":
        return check_make(problem.prompt, completion)
    return check_calc(problem, completion)


# marking steps ---------------------------------------------------------------------------------


def reachable(pool, target):
    """Whether all numbers of the pool can be combined, by + - *, into the target. At most a few numbers."""
    if len(pool) == 1:
        return pool[0] == target
    for i in range(len(pool)):
        for j in range(len(pool)):
            if i != j:
                rest = [n for k, n in enumerate(pool) if k != i and k != j]
                if any(reachable(rest + [apply(op, pool[i], pool[j])], target) for op in "+-*"):
                    return True
    return False


def mark_make(prompt, completion):
    asked = MAKE_PROMPT.fullmatch(prompt)
    pool, target, good, marks = [int(n) for n in asked[2].split(" ")], int(asked[1]), True, []
    for text in completion.strip(" ").split(" "):
        s = STEP.fullmatch(text)
        if text == "#":
            break
        good = good and s is not None and apply(s[2], int(s[1]), int(s[3])) == int(s[4])
        for n in (int(s[1]), int(s[3])) if good else ():
            good = good and n in pool
            if good:
                pool.remove(n)
        if good:
            pool.append(int(s[4]))
        good = good and reachable(pool, target)
        marks.append(good)
    return marks


def mark_calc(completion, right):
    marks, good = [], True
    for text in completion.strip(" ").split(" "):
        if text.startswith("#"):
            break
        s = STEP.fullmatch(text)
        good = good and s is not None and apply(s[2], int(s[1]), int(s[3])) == int(s[4])
        marks.append(good)
    # A wrong answer without a false equation went wrong at a step that equations do not tell.
    return [None] * len(marks) if good and not right else marks


def mark(prompt, completion, right):
    """After each step of an answer, whether all is well so far: True, False or None for unknown.

    `make`: the steps are true and use the numbers there are, and the target can still be reached. `calc`: no
    equation is false; None for all steps of a wrong answer whose equations are all true.
    """
    return mark_make(prompt, completion) if prompt.startswith("make") else mark_calc(completion, right)
