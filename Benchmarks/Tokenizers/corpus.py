"""Texts that tell tokenizers apart, generated from a seed and from short sentences of our own."""
import random

BASE = """The heron waits by the river; it doesn't hurry, and they'll see that I'VE waited too.
Ελληνικά γράμματα και άλλα. Привет, сосед! Как дела сегодня? Příliš žluťoučký kůň úpěl ďábelské ódy
今天天气很好，我们去河边看鸟。日本語のテキスト、カタカナとひらがな。한국어 문장도 있습니다. ㄱㄴㄷ ㅎ ㄅㄆㄇ
العصفور على الغصن، أليس كذلك؟ הציפור על הענף. हिन्दी में एक वाक्य क्षेत्र। বাংলা বাক্য தமிழ் ภาษาไทยไม่เว้นวรรค ລາວ ភាសាខ្មែរ မြန်မာ ქართული ᏣᎳᎩ ꭰꭱ
😀😃👨‍👩‍👧‍👦🏳️‍🌈👍🏽🇫🇷🇩🇪 ☕️ ½ ² Ⅷ ⅷ ① ㊿ ٣٤٥ ०१२३ 𝟘𝟙 𝔘𝔫𝔦 ﬁ ﷺ ǅ ǆ ʰ ª º ß ẞ İ ı K Å Ω
def area(r):\n\treturn 3.14159 * r**2  # comment\n\n\nclass Bird(Animal):\n    def __init__(self, *names):\n        self.names = {"a": [1,2,3], 'b': None}
for (int i = 0; i < 100000; ++i) { total += wings[i] << 3 | tail->len; } // src/bird.c:123 https://example.org/?q=1&r=2#x\r\n\r\n#include <stdio.h>
1 12 123 1234 12345 123456 1234567 12345678 1,000,000 0xDEADBEEF 2024-01-31T12:34:56Z +1 (555) 123-4567 1a2b3c ABC123def
camelCase PascalCase SHOUTING_CASE snake_case kebab-case XMLHttpRequest iPhone McDonald ÀÉÎõü ÀÉÎ àéî ÉtÉ éTé aÉb AéB
$100 €200 £300 ¥400 ± × ÷ ≠ ≤ ∞ ∑ √ → ♠ © ™ … — – “quoted” ‘single’ «guillemets» 「かぎ」 【】 ！？：；
<s> </s> <unk> <|endoftext|> <|im_start|>user\nhi<|im_end|> <tool>x<tool_call> y  <tool> <0x0A> ▁ ▁▁ Ġ Ċ [PAD] <|end|>  <|assistant|>\n z"""

GAPS = ["", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", "\t\t", " \n", "\n ", " \n \n", "  \n\n  x",
        "x  ", "x \n", " x", "  x", "   x", "\u00a0", "\u00a0 x", "x\u00a0y", "\u3000\u3000x",
        "\u2028x\u2029", "\x0b\x0c\x1c\x1d\x85", "a\x00b", "\ufeffx", "\u200b", "\ufffd"]
FRAGMENTS = ["'s", "'LL", "'", "''", "0", "00", "9999", "A", "a", "É", "é", "中", "ﾟ", "\u0301",
             "\u0308", "्", "ి", "\u200d", "/", "//", "\\", "`", "^", "~", "$", "+", "<", "=", "|",
             "_", "#", "IMGIMGABCZ", "<sentinel:12>", "\r", "\u3000", "\u00a0"]


def training_text(seed=7):
    """Lines to train small vocabularies on: our sentences, shuffled and recombined."""
    chooser = random.Random(seed)
    words = BASE.replace("\n", " \n").split(" ")
    lines = BASE.split("\n") * 6
    for _ in range(1500):
        lines.append(" ".join(chooser.choice(words) for _ in range(chooser.randint(2, 12))))
    for _ in range(400):
        lines.append(chooser.choice(words) + str(chooser.randrange(10 ** chooser.randint(1, 9)))
                     + chooser.choice(GAPS) + chooser.choice(words))
    return lines


def is_within_unicode(data):
    """Whether no four-byte sequence lies beyond U+10FFFF: llama.cpp throws on those."""
    for index in range(len(data) - 3):
        a, b, c, d = data[index:index + 4]
        if a & 0xF8 == 0xF0 and all(x & 0xC0 == 0x80 for x in (b, c, d)):
            if (a & 7) << 18 | (b & 63) << 12 | (c & 63) << 6 | d & 63 > 0x10FFFF:
                return False
    return True


def texts(seed=1, mixed=200, scalars=120, raw=120, repeats=(1, 2, 3, 4, 5, 8, 16, 17, 33, 130)):
    """Byte strings: sentences, whitespace, runs, mixtures, random code points, random bytes."""
    chooser = random.Random(seed)
    result = [BASE] + BASE.split("\n") + GAPS + [BASE[:n] for n in (1, 2, 3, 5, 8, 13)]
    for character in " \n\t1aé中😀'-":
        for count in repeats:
            result.append(chooser.choice(["", "x"]) + character * count
                          + chooser.choice(["", "y", " z"]))
    pieces = [word for line in BASE.split("\n") for word in line.split(" ")] + GAPS + FRAGMENTS
    for _ in range(mixed):
        result.append("".join(chooser.choice(pieces) + chooser.choice(["", " ", "", "\n"])
                              for _ in range(chooser.randint(1, 12))))
    everything = [code for code in range(0x30000) if not 0xD800 <= code < 0xE000]
    for _ in range(scalars):
        result.append("".join(
            chr(chooser.randrange(128)) if chooser.random() < 0.4 else
            chooser.choice(" \n\t'09azAZ") if chooser.random() < 0.4 else
            chr(chooser.choice(everything)) if chooser.random() < 0.5 else
            chr(chooser.randrange(0x80, 0x600)) for _ in range(chooser.randint(1, 24))))
    data = [text.encode() for text in result]
    leads = [0xC0, 0xC3, 0xE2, 0xE4, 0xED, 0xF0, 0xF4, 0x80, 0x90, 0xA0, 0xBF, 0xFF, 0xF8, 0x20, 0x61]
    while raw:
        count = chooser.randint(1, 32)
        kind = chooser.random()
        if kind < 0.4:
            text = bytes(chooser.randrange(256) for _ in range(count))
        elif kind < 0.7:
            text = bytearray(chooser.choice(result).encode()[:50] or b"?")
            text[chooser.randrange(len(text))] = chooser.randrange(256)
            text = bytes(text)
        else:
            text = bytes(chooser.choice(leads) for _ in range(count))
        if is_within_unicode(text):
            data.append(text)
            raw -= 1
    return data
