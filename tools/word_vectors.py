"""Write notebooks/data/word-vectors.pt: what the embedding table of SmolLM2-135M-Instruct holds for some words.

Chapter 2 draws them. The file is small; the model, which appendix H loads, is not needed to read it. Run:
`.venv/bin/python -m tools.word_vectors`.
"""

from pathlib import Path

import torch

from previous_chapters import SmolLM2Encoding, find_smollm2, read_gguf, weights_from_gguf

FILE = Path(__file__).resolve().parent.parent / "notebooks" / "data" / "word-vectors.pt"
WORDS = {"animal": "cat dog horse cow bird lion", "vehicle": "car bus train ship boat truck",
         "number": "two three four five six seven"}


def word_vectors():
    """Return {"words", "groups", "vectors"}: each word, its group, and its row of the table, (18, 576) in bfloat16."""
    settings, tensors = read_gguf(find_smollm2())
    tokenizer = SmolLM2Encoding(settings)
    words = [(word, group) for group, names in WORDS.items() for word in names.split()]
    rows = [tokenizer.encode_single_token(f" {word}") for word, _ in words]
    table = weights_from_gguf({"token_embd.weight": tensors["token_embd.weight"]})["tok_emb.weight"]
    return {"words": [word for word, _ in words], "groups": [group for _, group in words],
            "vectors": table[rows].bfloat16()}


if __name__ == "__main__":
    torch.save(word_vectors(), FILE)
