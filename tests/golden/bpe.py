#!/usr/bin/env python3
"""Makes bpe.h: byte pairs learnt on a few texts, and the tokens of other texts, for
tests/test_bpe.c.

A plain implementation of what model/text/bpe.h describes: chunks by a regular expression, pairs by
dictionaries; a text is encoded by replacing the learnt pairs one after another. Run from the top:
python3 tests/golden/bpe.py > tests/golden/bpe.h
"""
import collections
import re

CHUNK = re.compile(rb" ?[A-Za-z\x80-\xff]{1,63}| ?[0-9]{1,63}| ?[^ A-Za-z0-9\x80-\xff]{1,63}| ")
FIRST, VOCABULARY = 259, 400

TEXTS = [
    "axial CT slice of the abdomen showing liver (144 mm), left kidney (55 mm) and spleen (61 mm)",
    "contrast-enhanced CT slice with kidney on the left of 55 mm; noise moderate, 12 HU",
    "CT volume without contrast medium containing small lesion on the right (8 mm)",
    "unenhanced transverse CT image showing left and right lung (201 mm), low noise (9 HU)",
    "native CT scan with large left lesion of 31 mm, pixels of 0.8 mm, high noise (25 HU)",
    "aaaa aaaaa abababab  two blanks, and one at the end ",
    "Müller's Größe: 12 µm; 肝臓\n\ttab " + "x" * 150 + " " + "7" * 70,
]
OTHERS = TEXTS[1:3] + [
    "CT slice showing right kidney (48 mm) and medium lesion (12 mm); 0.7 mm pixels",
    "", " ", "   ", "a", "aaaaaaaaaaaaa", "never seen: qqq ZZZ 99999999", "肝臓 Größe",
    "x" * 64 + " " + "x" * 63 + "  " + "x" * 129,
    bytes(range(1, 256)).decode("latin-1").encode("latin-1"),
]


def as_bytes(text):
    return text if isinstance(text, bytes) else text.encode()


def replace(word, pair, new):
    out, i = [], 0
    while i < len(word):
        if tuple(word[i:i + 2]) == pair:
            out.append(new)
            i += 2
        else:
            out.append(word[i])
            i += 1
    return out


def learn(texts):
    words = collections.Counter(c for t in texts for c in CHUNK.findall(as_bytes(t)))
    words = [(list(w), n) for w, n in words.items()]
    merges = []
    while FIRST + len(merges) < VOCABULARY:
        pairs = collections.Counter()
        for word, n in words:
            for pair in zip(word, word[1:]):
                pairs[pair] += n
        pair, n = min(pairs.items(), key=lambda item: (-item[1], item[0]))
        if n < 2:
            break
        words = [(replace(w, pair, FIRST + len(merges)), n) for w, n in words]
        merges.append(pair)
    return merges


def encode(text, merges):
    out = []
    for chunk in CHUNK.findall(as_bytes(text)):
        word = list(chunk)
        for k, pair in enumerate(merges):
            word = replace(word, pair, FIRST + k)
        out += word
    return out


def quoted(text):
    return '"' + "".join("\\%03o" % b for b in as_bytes(text)) + '"'


def array(kind, name, items):
    print(f"static const {kind} {name}[] = {{" + ", ".join(items) + "};")


def main():
    merges = learn(TEXTS)
    tokens = [encode(t, merges) for t in OTHERS]
    print("/* Made by tests/golden/bpe.py. */")
    print(f"enum {{ GOLDEN_VOCABULARY = {VOCABULARY}, GOLDEN_MERGES = {len(merges)},"
          f" GOLDEN_TEXTS = {len(TEXTS)}, GOLDEN_OTHERS = {len(OTHERS)} }};")
    array("char *const", "golden_texts", map(quoted, TEXTS))
    array("int", "golden_merges", (str(t) for pair in merges for t in pair))
    array("char *const", "golden_others", map(quoted, OTHERS))
    array("int", "golden_counts", (str(len(t)) for t in tokens))
    array("int", "golden_tokens", (str(t) for ts in tokens for t in ts))


if __name__ == "__main__":
    main()
