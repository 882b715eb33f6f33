"""Write notebooks/data/reference-merges.json: what the library `tokenizers` learns from appendix I's text, and speeds.

    python tools/bench_tokenizer.py

It needs tests/requirements.txt. The file holds:

    merges          the reference's merges for a vocabulary of 4,096 on the training part of the addresses, pairs of ids
    random          [text, merges] of 200 short random texts, full of ties
    all addresses   on all addresses as they come: how many of our merges are the reference's
    speed           [what, program, seconds, million characters per second], the best of three on this machine
"""

import json
import os
import random
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("RAYON_NUM_THREADS", "2")  # of tokenizers

import regex  # noqa: E402
import tiktoken  # noqa: E402
import tokenizers  # noqa: E402
from tokenizers import models, pre_tokenizers, trainers  # noqa: E402

from previous_chapters import (  # noqa: E402
    GPT2_SPLIT,
    BPETokenizer,
    prepare_addresses,
    read_addresses,
    train_bpe,
)

DATA = ROOT / "notebooks" / "data"
FILE = DATA / "reference-merges.json"
ALPHABETS = ("ab", "abc ", "ab c\n", "Ωé🙂 x", "0123 ab'll", "aab bba  c.,!", "the of and to in ")


def reference_trainer(vocab_size, alphabet):
    """Return the library's trainer for a vocabulary of that size, all bytes included."""
    return trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False)


def reference_merges(text, vocab_size):
    """Return the merges that the library learns, as pairs of our ids.

    It numbers letters in the order of their codes, by which ties are decided. So each byte is handed over as the letter
    256 places further on, which keeps the order of the bytes; the words are ours, with spaces between them.
    """
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words = ("".join(chr(256 + byte) for byte in word.encode("utf-8")) for word in regex.findall(GPT2_SPLIT, text))
    tokenizer.train_from_iterator([" ".join(words)], reference_trainer(vocab_size, [chr(256 + i) for i in range(256)]))
    model = json.loads(tokenizer.to_str())["model"]
    return [tuple(model["vocab"][part] for part in pair) for pair in model["merges"]]


def random_texts(count=200, seed=123):
    """Yield (text, vocabulary size): few different letters in texts so short that many pairs are equally frequent."""
    rng = random.Random(seed)
    for _ in range(count):
        yield "".join(rng.choices(rng.choice(ALPHABETS), k=rng.randint(1, 120))), 256 + rng.randint(1, 25)


def byte_level(text, vocab_size):
    """Train the library as one would use it, with its own way of cutting, and return it."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator([text], reference_trainer(vocab_size, pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def seconds(function, times=3):
    """Return the least time that a function takes."""
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        function()
        spent.append(time.perf_counter() - began)
    return min(spent)


def speeds(texts, merges, library):
    """Return the rows of the table, for all addresses."""
    text, merges = "\n".join(texts), merges[: 4096 - 256]
    tokens = BPETokenizer(merges, special_tokens=()).tokens
    peer = tiktoken.Encoding("addresses", pat_str=GPT2_SPLIT, special_tokens={},
                             mergeable_ranks={token: i for i, token in enumerate(tokens)})
    measured = [("train 4,096 tokens", "ours", lambda: train_bpe(text, 4096)),
                ("train 4,096 tokens", "tokenizers", lambda: byte_level(text, 4096)),
                ("encode, one text", "ours", lambda: BPETokenizer(merges).encode(text)),
                ("encode, one text", "tiktoken", lambda: peer.encode(text)),
                ("encode, one text", "tokenizers", lambda: library.encode(text)),
                ("encode, all addresses", "ours", lambda: list(map(BPETokenizer(merges).encode, texts))),
                ("encode, all addresses", "tiktoken, 2 threads", lambda: peer.encode_batch(texts, num_threads=2)),
                ("encode, all addresses", "tokenizers, 2 threads", lambda: library.encode_batch(texts))]
    return [[what, program, round(spent := seconds(function), 2), round(len(text) / spent / 1e6, 2)]
            for what, program, function in measured]


def main():
    """Measure, and write the file."""
    table = prepare_addresses(DATA / "addresses.txt.xz")
    texts = read_addresses(DATA / "addresses.txt.xz")["text"].tolist()
    whole = "\n".join(texts)
    own, reference = train_bpe(whole, 4096), reference_merges(whole, 4096)
    same = sum(a == b for a, b in zip(own, reference, strict=True))
    found = {"merges": reference_merges("\n".join(table.loc[table["part"] == "training", "text"]), 4096),
             "random": [[text, reference_merges(text, size)] for text, size in random_texts()],
             "all addresses": {"merges": len(reference), "same": same},
             "speed": speeds(texts, own, byte_level(whole, 4096))}
    lines = ",\n".join(f' "{name}": {json.dumps(value, ensure_ascii=False)}' for name, value in found.items())
    FILE.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8", newline="\n")
    print(*found["speed"], found["all addresses"], f"{FILE.stat().st_size} bytes", sep="\n")


if __name__ == "__main__":
    main()
