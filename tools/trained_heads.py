"""Write notebooks/data/trained-heads.json: what three heads of SmolLM2 look at in a sentence.

    python tools/trained_heads.py

Chapter 3 draws it, appendix H shows how the heads were found, and a test computes it anew.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from previous_chapters import attention_weights, load_smollm2  # noqa: E402

FILE = ROOT / "notebooks" / "data" / "trained-heads.json"
TEXT = "The queen gave the king a book because she liked him, and the queen gave the"
HEADS = {"the token before": (16, 0), "what followed an earlier copy": (18, 6), "who is meant": (9, 2)}  # layer, head


def trained_heads(model, tokenizer):
    """Return what the file holds: the text, its tokens, and for each head its weights, row by row, to three digits."""
    ids = tokenizer.encode_ordinary(TEXT)
    weights = attention_weights(model, ids)
    heads = [{"name": name, "layer": layer, "head": head,
              "weights": [[round(weight, 3) for weight in row[: place + 1]]  # those of later tokens are 0
                          for place, row in enumerate(weights[layer, head].tolist())]}
             for name, (layer, head) in HEADS.items()]
    return {"model": "SmolLM2-135M-Instruct", "text": TEXT,
            "tokens": [tokenizer.decode([number]) for number in ids], "heads": heads}


if __name__ == "__main__":
    found = trained_heads(*load_smollm2())
    heads = ",\n".join("  " + json.dumps(head) for head in found.pop("heads"))
    start = json.dumps(found, indent=1).removesuffix("\n}")
    FILE.write_text(f'{start},\n "heads": [\n{heads}\n ]\n}}\n', encoding="utf-8", newline="\n")
