"""Write notebooks/data/next-words.json: what SmolLM2 expects after two beginnings, and how it goes on after one.

    python tools/next_words.py

Chapter 5 and appendix H draw it, and a test computes it anew.
"""

import json
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "notebooks")]

import torch  # noqa: E402

import interactive  # noqa: E402
from previous_chapters import load_smollm2  # noqa: E402

FILE = ROOT / "notebooks" / "data" / "next-words.json"
BEGINNINGS = {"sure": "The capital of France is", "open": "My favourite thing to do on a Sunday is to"}
NAMED = 12
SEEDS = (3, 9)


@torch.no_grad()
def next_words(model, tokenizer):
    """Return what the file holds: for each beginning the logits of the next token, and ways through the loop."""
    beginnings = {}
    for name, text in BEGINNINGS.items():
        logits, order = model(torch.tensor([tokenizer.encode_ordinary(text)]))[0, -1].sort(descending=True)
        beginnings[name] = {
            "text": text, "words": [tokenizer.decode([number]) for number in order[:NAMED].tolist()],
            "logits": [round(logit, 2) for logit in logits[:NAMED].tolist()],
            "tail": interactive.grouped(logits[NAMED:], after=NAMED),
        }
    start = [tokenizer.decode([number]) for number in tokenizer.encode_ordinary(BEGINNINGS["open"])]
    ids = dict(zip(start, tokenizer.encode_ordinary(BEGINNINGS["open"]), strict=True))

    def predict(tokens):
        shares, order = torch.softmax(model(torch.tensor([[ids[token] for token in tokens]]))[0, -1], dim=-1).sort(
            descending=True)
        together = Counter()  # parts of letters all decode to the same sign
        for number, share in zip(order.tolist(), shares.tolist(), strict=True):
            token = tokenizer.decode([number])
            ids.setdefault(token, number)
            together[token] += share
        return together

    return {"model": "SmolLM2-135M-Instruct", "beginnings": beginnings, "start": start,
            "ways": interactive.walk(start, predict, SEEDS)}


if __name__ == "__main__":
    found = next_words(*load_smollm2())
    beginnings = ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in found["beginnings"].items())
    ways = ",\n".join(f"  {json.dumps(name)}: [\n" + ",\n".join(f"   {json.dumps(step)}" for step in steps) + "\n  ]"
                      for name, steps in found["ways"].items())
    FILE.write_text(f'{{\n "model": {json.dumps(found["model"])},\n "beginnings": {{\n{beginnings}\n }},\n'
                    f' "start": {json.dumps(found["start"])},\n "ways": {{\n{ways}\n }}\n}}\n',
                    encoding="utf-8", newline="\n")
