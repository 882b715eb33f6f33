"""Write notebooks/data/pretraining.json: what those trainings of appendix I gave that take too long for a lesson.

    python tools/pretraining.py                 # or with some of: knobs scaling packers

Three tables: `knobs`, one setting changed at a time, a quarter of a pass each; `scaling`, models of six sizes on
growing budgets; `packers`, what programs that pack files make of the validation text. The notebook repeats the two
smallest models of the second and asserts that they agree. On two cores all of it takes an hour. A training is kept as
soon as it is measured, and one that is kept is not repeated: to measure it anew, take it out of the file.
"""

import json
import lzma
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import zstandard  # noqa: E402

from previous_chapters import (  # noqa: E402
    BPETokenizer,
    documents_of,
    prepare_addresses,
    pretrain,
    train_bpe,
    write_token_ids,
)

DATA = ROOT / "notebooks" / "data"
FILE = DATA / "pretraining.json"

TOGETHER = {"start": "gpt2, residual too", "table_lr": 0.064, "schedule": "stable"}  # what helped, all at once
ADAMW = {"optimizer": "adamw", "lr": 4e-3}
KNOBS = [  # what differs from the notebook's SETTINGS
    {}, {"seed": 124}, {"seed": 125}, ADAMW, {**ADAMW, "seed": 124}, {**ADAMW, "seed": 125},
    {"lr": 0.005}, {"lr": 0.01}, {"lr": 0.04}, {"lr": 0.08}, {**ADAMW, "lr": 1e-3}, {**ADAMW, "lr": 16e-3},
    {"table_lr": 0.004}, {"table_lr": 0.064}, {**ADAMW, "table_lr": 4e-3},
    {"beta2": 0.99}, {**ADAMW, "beta2": 0.99}, {**ADAMW, "beta2": 0.999},
    {"start": "pytorch"}, {"start": "pytorch, small embedding"}, {"start": "gpt2, residual too"},
    {"batch_size": 4}, {"batch_size": 36}, {"batch_size": 108},
    {"schedule": "no warmup"}, {"schedule": "constant"}, {"schedule": "stable"},
    {"start": "pytorch, small tables"}, TOGETHER, {"weight_decay": 0.0}, {"weight_decay": 1.0}, {"decay": "everything"},
]
SIZES = {  # width, layers, heads
    "74 thousand": (16, 2, 2), "0.17 million": (32, 3, 2), "0.47 million": (64, 4, 4), "1.3 million": (128, 4, 4),
    "3.0 million": (192, 5, 6), "5.8 million": (256, 6, 8),
}
SHARES = {size: [1 / 8, 1 / 4, 1 / 2, 1] for size in SIZES} | {"3.0 million": [1 / 8, 1 / 4, 1 / 2],
                                                              "5.8 million": [1 / 2]}


def measure(folder, tokenizer, **changes):
    """Return a training's changes with the loss on the validation text, the parameters, and the seconds it took."""
    start = time.perf_counter()
    model, loss = pretrain(folder, tokenizer, "cpu", **changes)
    row = {**changes, "parameters": sum(p.numel() for p in model.parameters()), "loss": round(loss, 4),
           "seconds": round(time.perf_counter() - start)}
    print(row, flush=True)
    return row


def scaling_changes(size, share):
    """Return what `SETTINGS` must change to for a model of a size and a share of a pass."""
    emb_dim, n_layers, n_heads = SIZES[size]
    return {"schedule": "stable", "emb_dim": emb_dim, "n_layers": n_layers, "n_heads": n_heads, "share": share}


def packers(documents):
    """Return the bits per byte of the validation text by zstd, and by xz after it has packed the training text."""
    known, new = (" ".join(documents[part]).encode() for part in ("training", "validation"))
    bits = 8 / len(new)
    return {"zstd -19": round(bits * len(zstandard.compress(new, 19)), 4),
            "xz -9 after the training text":
                round(bits * (len(lzma.compress(known + new, preset=9)) - len(lzma.compress(known, preset=9))), 4)}


def main(wanted):
    """Measure what is wanted and not yet kept."""
    stored = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {"knobs": [], "scaling": []}

    def keep(name, value):
        stored[name] = value
        lines = [f'"{key}": ' + (json.dumps(rows) if isinstance(rows, dict) else
                                 "[\n  " + ",\n  ".join(map(json.dumps, rows)) + "\n]") for key, rows in stored.items()]
        FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")

    passages = prepare_addresses(DATA / "addresses.txt.xz")
    tokenizer = BPETokenizer(train_bpe("\n".join(passages.loc[passages["part"] == "training", "text"]), 4095))
    documents = {part: documents_of(rows) for part, rows in passages.groupby("part")}
    with tempfile.TemporaryDirectory() as folder:
        for part, texts in documents.items():
            write_token_ids(Path(folder) / f"{part}.ids", texts, tokenizer)
        scaling = [scaling_changes(size, share) for size in SIZES for share in SHARES[size]]
        for name, all_changes in (("knobs", KNOBS), ("scaling", scaling)):
            for changes in all_changes if name in wanted else []:
                if not any(changes == {key: row[key] for key in row if key not in ("parameters", "loss", "seconds")}
                           for row in stored[name]):
                    keep(name, [*stored[name], measure(Path(folder), tokenizer, **changes)])
    if "packers" in wanted:
        keep("packers", packers(documents))


if __name__ == "__main__":
    main(sys.argv[1:] or ["knobs", "scaling", "packers"])
