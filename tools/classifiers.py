"""Write notebooks/data/classifiers.json: how often classifiers of chapter 6 are right on its two tasks.

    python tools/classifiers.py          # or: words, or: model, to measure only these anew

Training all of the model takes too long for a lesson, so chapter 6 shows these rows beside those that it measures
itself, and asserts that its own agree with the file. It takes about half an hour on two cores; a row is kept as soon as
it is measured.
"""

import contextlib
import gzip
import json
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import pandas as pd  # noqa: E402
import torch  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

from previous_chapters import (  # noqa: E402
    CachedClassifier,
    SpamDataset,
    TextClassifier,
    cache_vectors,
    calc_accuracy_loader,
    fair_parts,
    fit_head,
    load_smollm2,
    pairs_of,
    share_right,
    swapped_sentences,
    train_classifier_simple,
    words_of,
    words_right,
)

DATA = ROOT / "notebooks" / "data"
FILE = DATA / "classifiers.json"
SIZES = (50, 100, 200, 400, 1000)
MIDDLE = 16  # the block after which the mean is read, as chapter 6 finds it
TRAINED_ON = {"spam": 400, "swapped": 1000}
LENGTHS = {"spam": 64, "swapped": 40}  # tokens


def texts_of(task):
    """Return {"train", "test"}: two tables with the columns "Label" and "Text"."""
    if task == "swapped":
        table = swapped_sentences(DATA / "sentences.txt.gz")
        return {"test": table[:400], "train": table[400:1400]}  # both versions of a sentence on one side
    with gzip.open(DATA / "messages.jsonl.gz", "rt", encoding="utf-8") as file:
        mail = pd.read_json(file, lines=True).rename(columns={"text": "Text", "family": "Family"})
    mail["Label"] = mail["label"].map({"ham": 0, "spam": 1})
    train, _, test = fair_parts(mail)
    return {"train": train[:1000], "test": test}


def dataset_of(table, tokenizer, max_length):
    """Return a `SpamDataset` of a table."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "texts.csv"
        table[["Label", "Text"]].to_csv(file, index=False)
        return SpamDataset(file, tokenizer, max_length, pad_token_id=tokenizer.eot_token)


def trained(datasets, blocks, pooling, learning_rate, num_epochs, vectors=None):
    """Return (right, total) on the test set after training the last blocks, or with None all of the model.

    Args:
        datasets: {"train", "test"}, two instances of `SpamDataset`.
        vectors: what goes into the first trained block, for both datasets one after the other.
    """
    model, tokenizer = load_smollm2()
    torch.manual_seed(123)
    classifier = TextClassifier(model, 2, tokenizer.eot_token, blocks or len(model.trf_blocks), pooling)
    ids = torch.cat([dataset.token_ids for dataset in datasets.values()])
    if blocks is None:
        network, inputs = classifier.requires_grad_(True), ids  # the embedding, too
    else:
        network, inputs = CachedClassifier(classifier, ids, vectors), torch.arange(len(ids))
    inputs = inputs.split([len(dataset) for dataset in datasets.values()])
    loaders = {name: DataLoader(TensorDataset(part, dataset.labels), batch_size=8, shuffle=name == "train")
               for part, (name, dataset) in zip(inputs, datasets.items(), strict=True)}
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=learning_rate,
                                  weight_decay=0.1)
    train_classifier_simple(network, loaders["train"], loaders["test"], optimizer, "cpu", num_epochs, eval_freq=10**6,
                            eval_iter=1)
    total = len(datasets["test"])
    return round(calc_accuracy_loader(loaders["test"], network, "cpu") * total), total


def rows_of_words(task):
    """Yield (method, examples, (right, total)) of the bags of words."""
    _, tokenizer = load_smollm2()
    tables = texts_of(task)
    labels = {name: torch.tensor(table["Label"].tolist()) for name, table in tables.items()}
    whole = {name: table["Text"].tolist() for name, table in tables.items()}
    begun = {name: [tokenizer.decode(tokenizer.encode_ordinary(text)[: LENGTHS[task]]) for text in texts]
             for name, texts in whole.items()}
    kinds = {"spam": {"words of 64 tokens": (begun, words_of), "all words": (whole, words_of)},
             "swapped": {"all words": (whole, words_of), "pairs of words": (whole, pairs_of)}}[task]
    for count in SIZES:
        for name, (texts, words) in kinds.items():
            right = words_right(texts["train"][:count], labels["train"][:count], texts["test"], labels["test"], words)
            yield name, count, (right.sum().item(), len(right))


def rows_of_model(task):
    """Yield (method, examples, (right, total)) of the language model, the quick ones first."""
    model, tokenizer = load_smollm2()
    tables = texts_of(task)
    labels = {name: torch.tensor(table["Label"].tolist()) for name, table in tables.items()}
    datasets = {name: dataset_of(table, tokenizer, LENGTHS[task]) for name, table in tables.items()}
    model.out_head = torch.nn.Identity()
    pooled = {name: cache_vectors(model, dataset.token_ids, tokenizer.eot_token, 0)[1]
              for name, dataset in datasets.items()}
    for count in SIZES:
        last = len(model.trf_blocks)
        for name, pooling, block in (("head, last token", "last", last), ("head, mean", "mean", MIDDLE)):
            head = fit_head(pooled["train"][pooling][:count, block], labels["train"][:count])
            yield name, count, share_right(head, pooled["test"][pooling][:, block], labels["test"])
    count = TRAINED_ON[task]
    if task == "spam":
        longer = {name: dataset_of(table[:count] if name == "train" else table, tokenizer, 128)
                  for name, table in tables.items()}
        model.trf_blocks = model.trf_blocks[:MIDDLE]
        pooled = {name: cache_vectors(model, dataset.token_ids, tokenizer.eot_token, 0)[1]["mean"][:, MIDDLE]
                  for name, dataset in longer.items()}
        head = fit_head(pooled["train"], longer["train"].labels)
        yield "head, mean, 128 tokens", count, share_right(head, pooled["test"], longer["test"].labels)
    some = {"train": dataset_of(tables["train"][:count], tokenizer, LENGTHS[task]), "test": datasets["test"]}
    for blocks, name in ((1, "last block"), (2, "last two blocks")):
        model, _ = load_smollm2()
        ids = torch.cat([dataset.token_ids for dataset in some.values()])
        vectors, _ = cache_vectors(model, ids, tokenizer.eot_token, len(model.trf_blocks) - blocks)
        for pooling, read in (("last", "last token"), ("mean", "mean")):
            yield f"{name}, {read}", count, trained(some, blocks, pooling, 2e-4, 4, vectors)
    yield "all, last token", count, trained(some, None, "last", 5e-5, 3)


def write(rows):
    """Write the rows that there are, one to a line."""
    lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
    partial = FILE.with_suffix(".partial")
    columns = '"columns": ["task", "method", "examples", "right", "total"]'
    partial.write_text(f'{{\n {columns},\n "rows": [\n{lines}\n ]\n}}\n', encoding="utf-8", newline="\n")
    os.replace(partial, FILE)


def main(parts):
    """Measure "words" or "model" or both anew, and keep the rows of the other."""
    kept = json.loads(FILE.read_text(encoding="utf-8"))["rows"] if FILE.exists() else []
    rows = {(task, part): [row for row in kept if row[0] == task and ("words" in row[1]) == (part == "words")]
            for task in LENGTHS for part in ("words", "model")}
    for task, part in [place for place in rows if place[1] in parts]:
        rows[task, part] = []
        with contextlib.redirect_stdout(sys.stderr):
            for method, examples, (right, total) in {"words": rows_of_words, "model": rows_of_model}[part](task):
                rows[task, part].append([task, method, examples, right, total])
                write(sum(rows.values(), []))


if __name__ == "__main__":
    main(sys.argv[1:] or ("words", "model"))
