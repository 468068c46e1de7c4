"""What the model for long contexts is trained and measured on: generators, problems, training rows.

     kamo tiru. sebu lofa. …            recall: nothing but records; "? sebu" -> " lofa\\n"
     kamo of dapi is nole. …            text: people met again and again, each of one place and one trade
     … wiqa tirunabe. …                 passkey: a few records with longer values, far apart in text

A token is a syllable, with or without a space before it, a word of two letters, or a mark. Everything is a
function of (split, family, length, seed) only: the stream is random.Random(f"{split}:{family}:{length}:{seed}")
and every draw goes through random.random(), as in tasks.py.

Splits are disjoint by content: a fact (`name value`, `name place`, `name trade`) whose CRC-32 is divisible by 8
is held out. Contexts of "test" and "valid" state held-out facts only, those of "train" none of them.
"""
import zlib
from dataclasses import dataclass
from random import Random

from tasks import SPLITS, below, pick, shuffled

FAMILIES = ("passkey", "recall", "text")
LENGTHS = (1024, 2048, 4096, 8192, 16384, 32768)
SOLVED = 16  # questions with answers at the end of a context of `recall`; half as many in `passkey`
SYLLABLES = [c + v for c in "bcdfghjklmnpqrstvwxz" for v in "aeiou"]
WORDS = ["is", "of", "on"]
DAYS = [(i, (i * 37 + 11) % 100) for i in range(0, 96, 6)]  # what may follow "on": 16 fixed words

VOCABULARY = ["<unk>", "<s>", *"\n .?", *"abcdefghijklmnopqrstuvwxz", *SYLLABLES, *WORDS,
              *[" " + s for s in SYLLABLES], *[" " + w for w in WORDS]]
TOKEN = {t: i for i, t in enumerate(VOCABULARY)}
BOS, NEWLINE, STOP, ASK = 1, TOKEN["\n"], TOKEN["."], TOKEN["?"]
IS, OF, ON = (TOKEN[" " + w] for w in WORDS)
INNER, FIRST = TOKEN[SYLLABLES[0]], TOKEN[" " + SYLLABLES[0]]


def decode(tokens):
    return "".join(VOCABULARY[t] for t in tokens)


def word(syllables):
    """Tokens of a word that follows a space."""
    return [FIRST + syllables[0], *[INNER + s for s in syllables[1:]]]


def draw_word(r):
    return below(r, 100), below(r, 100)


def draw_fact(r, split, name, syllables=2):
    """A value for `name` such that the fact belongs to the split, as syllables."""
    while True:
        value = tuple(below(r, 100) for _ in range(syllables))
        fact = "".join(SYLLABLES[s] for s in name) + " " + "".join(SYLLABLES[s] for s in value)
        if (zlib.crc32(fact.encode()) % 8 == 0) == (split != "train"):
            return value


def record(name, value):
    return [*word(name), *word(value), STOP]


def question(name):
    return [ASK, *word(name)]


def answer(value):
    return [*word(value), NEWLINE]


class Names:
    """Names of a context, each given once."""

    def __init__(self, r):
        self.r, self.given = r, set()

    def next(self):
        while (name := draw_word(self.r)) in self.given:
            pass
        self.given.add(name)
        return name


class Text:
    """Sentences about people. A person is new with probability 1/8; else everyone met is equally likely."""

    def __init__(self, r, split, names):
        self.r, self.split, self.names, self.people = r, split, names, []

    def sentence(self):
        if not self.people or self.r.random() < 0.125:
            name = self.names.next()
            self.people.append((name, draw_fact(self.r, self.split, name), draw_fact(self.r, self.split, name)))
            form, person = 0, self.people[-1]
        else:
            form, person = below(self.r, 4), pick(self.r, self.people)
        name, place, trade = map(word, person)
        return [*name, *([OF, *place] if form in (0, 1) else []), *([IS, *trade] if form in (0, 2) else []),
                *([ON, *word(pick(self.r, DAYS))] if form == 3 else []), STOP]


@dataclass(frozen=True)
class Context:
    family: str
    tokens: list  # begins with BOS; at most `length` of them
    questions: list  # (tokens of the question, tokens of its answer); none in `text`


def context(family, length, seed, split="test", questions=10):
    """One context and what is asked about it; each question is to follow the context by itself. The records asked
    for lie at evenly spread depths in `recall`, anywhere in `passkey`. Both contexts end in questions with their
    answers, about other records, so that a context's last tokens are of the kind that comes next."""
    r = Random(f"{split}:{family}:{length}:{seed}")
    names, tokens = Names(r), [BOS]
    if family == "recall":
        solved = SOLVED
        room = length - len(tokens) - solved * 6
        facts = [(name, draw_fact(r, split, name)) for name in (names.next() for _ in range(room // 5))]
        items = [record(*fact) for fact in facts]
        # One record of each tenth (or other fraction) of the context.
        asked = [(i * len(facts) + below(r, len(facts))) // questions for i in range(questions)]
        rest = shuffled(r, [fact for i, fact in enumerate(facts) if i not in asked])
        facts = [facts[i] for i in asked] + rest[:solved]
    else:
        solved, size = (SOLVED // 2, questions) if family == "passkey" else (0, 0)
        text, items, facts = Text(r, split, names), [], []
        room = length - len(tokens) - solved * 8 - (solved + size) * 7
        while len(s := text.sentence()) <= room:
            items.append(s)
            room -= len(s)
        facts = [(name, draw_fact(r, split, name, 4)) for name in (names.next() for _ in range(solved + size))]
        for at, fact in sorted(((below(r, len(items) + 1), fact) for fact in facts), reverse=True):
            items.insert(at, record(*fact))
    items += [question(n) + answer(v) for n, v in facts[questions:]]
    tokens += [t for item in items for t in item]
    return Context(family, tokens, [(question(n), answer(v)) for n, v in facts[:questions]])


def training_row(r, family, length):
    """(items, targets): pieces of a row of at least `length` tokens, BOS first, each a list of tokens, and as many
    booleans saying which tokens have a loss. Questions stand wherever they can be answered, none twice."""
    names, items, marks, waiting = Names(r), [[BOS]], [[False]], []
    text, total = Text(r, "train", names), 1
    share = 0.1 + 0.5 * r.random()  # of questions among recall's items; of records among passkey's
    late = r.random() < 0.5  # questions at the end, as when it is measured
    while total < length:
        ask = waiting and (total > length * (1 - share) if late else r.random() < share)
        if family != "text" and ask:
            name, value = waiting.pop(below(r, len(waiting)))
            q, a = question(name), answer(value)
            item, mark = q + a, [False] * len(q) + [True] * len(a)
        elif family == "recall" or family == "passkey" and r.random() < share:
            name = names.next()
            value = draw_fact(r, "train", name, 2 if family == "recall" else 4)
            waiting.append((name, value))
            item = record(name, value)
            mark = [False] * len(item)
        else:
            item = text.sentence()
            mark = [family == "text"] * len(item)
        items.append(item)
        marks.append(mark)
        total += len(item)
    return items, marks
