"""Write notebooks/data/adapters.json: what long trainings of appendix E gave, and the adapter that one of them learned.

    python tools/adapters.py          # or some of: full, cut, lora, loaded, grid

LoRA on all of chapter 7's training examples takes too long for a lesson, and so do a dozen trainings of a classifier
with several ranks and alphas. So appendix E shows these numbers, and measures a few of them again; those of finetuning
all weights are in instructions.json. Each part takes some minutes on two cores, and is written once it is measured;
"cut" needs what "full" leaves in build/, "loaded" the adapter that "lora" writes.
"""

import contextlib
import gzip
import json
import os
import sys
import tempfile
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import pandas as pd  # noqa: E402
import torch  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

from instructions import measure  # noqa: E402
from previous_chapters import (  # noqa: E402
    CachedClassifier,
    InstructionDataset,
    LengthBatchSampler,
    LinearWithDoRA,
    LinearWithLoRA,
    SpamDataset,
    TextClassifier,
    cache_vectors,
    calc_loss_batch_classifier,
    custom_collate_fn,
    encode_request,
    fair_parts,
    load_lora,
    load_smollm2,
    low_rank,
    make_examples,
    replace_linear_with_lora,
    save_atomically,
    save_lora,
    take_lora_off,
    train_model,
)

DATA = ROOT / "notebooks" / "data"
FILE, ADAPTER, FULL = DATA / "adapters.json", DATA / "instructions-lora.pt", ROOT / "build" / "instructions-full.pt"
KEPT_BLOCKS = 16  # of the classifier
RATES = {"full": 2e-4, "LoRA": 2e-3}
ORDER = ("full, cut to rank 8", "LoRA, rank 2")
RANKS = (1, 2, 4, 8, 16, 32, 64, 128)  # at which the spectrum is stored


def for_training(loaded):
    """Return a loaded model and its tokenizer with weights stored row by row: column by column is for writing alone."""
    for weight in loaded[0].parameters():
        weight.data = weight.data.contiguous()
    return loaded


def train(model, tokenizer, rate):
    """Train a model's parameters that are not frozen, once through the training examples, as chapter 7 does."""
    end, parts = tokenizer.encode_single_token("<|im_end|>"), make_examples()
    sets = {name: InstructionDataset(parts[name], tokenizer, encode_request, mask_prompt=True)
            for name in ("train", "validation")}
    collate = partial(custom_collate_fn, pad_token_id=end)
    torch.manual_seed(123)
    loader = DataLoader(sets["train"], batch_sampler=LengthBatchSampler(sets["train"].lengths, 16), collate_fn=collate)
    val_loader = DataLoader(sets["validation"], batch_size=18, collate_fn=collate)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate, weight_decay=0.0,
                                  fused=True)
    train_model(model, loader, val_loader, optimizer, "cpu", n_epochs=1, eval_freq=20, eval_iter=3,
                start_context="The farmer opened the gate and", tokenizer=tokenizer, warmup_steps=6)
    return model.eval()


def spectrum_of(change):
    """Return what share of a change's squares its best approximation of each rank holds."""
    squares = torch.linalg.svdvals(change).square()
    return [round((squares[:rank].sum() / squares.sum()).item(), 4) for rank in RANKS]


def full():
    """Train all weights as chapter 7 does; keep what changed in build/, and its spectrum."""
    model, tokenizer = for_training(load_smollm2())
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    train(model, tokenizer, RATES["full"])
    changes = {name: p.detach() - start[name] for name, p in model.named_parameters()}
    save_atomically(changes, FULL)
    spectra = {name.removesuffix(".weight"): spectrum_of(change) for name, change in changes.items()
               if name.startswith("trf_blocks") and change.ndim == 2}
    return {}, {"ranks": RANKS, "spectra": spectra}


def cut(rank=8):
    """Keep of the change in each matrix of the blocks only its best approximation of a low rank, and nothing else."""
    model, tokenizer = for_training(load_smollm2())
    weights = dict(model.named_parameters())
    with torch.no_grad():
        for name, change in torch.load(FULL).items():
            if name.startswith("trf_blocks") and change.ndim == 2:
                weights[name] += low_rank(change, rank)
    return {f"full, cut to rank {rank}": measure(model, tokenizer, make_examples())}


def lora(rank=2, path=ADAPTER):
    """Train LoRA, and write the adapter."""
    model, tokenizer = for_training(load_smollm2())
    torch.manual_seed(123)
    replace_linear_with_lora(model, rank, alpha=2 * rank)
    train(model, tokenizer, RATES["LoRA"])
    save_lora(model, path, torch.float16)


def loaded(rank=2, path=ADAPTER):
    """Ask the model with what was written to the file."""
    model, tokenizer = for_training(load_smollm2())
    load_lora(model, path)
    take_lora_off(model, merge=True)  # the same, and faster
    return {f"LoRA, rank {rank}": measure(model, tokenizer, make_examples())}


class Mail:
    """Appendix E's classifier and its messages, as sections E.2 to E.4 have them."""

    def __init__(self):
        with gzip.open(DATA / "messages.jsonl.gz", "rt", encoding="utf-8") as file:
            mail = pd.read_json(file, lines=True).rename(columns={"text": "Text", "family": "Family"})
        mail["Label"] = mail["label"].map({"ham": 0, "spam": 1})
        model, tokenizer = load_smollm2()
        self.pad = tokenizer.eot_token
        train_part, _, test = fair_parts(mail)
        sets = [self.dataset(part, tokenizer) for part in (train_part[:400], test)]
        self.ids, self.labels = (torch.cat([getattr(part, name) for part in sets]) for name in ("token_ids", "labels"))
        self.rows = torch.arange(len(self.ids)).split([len(part) for part in sets])
        model.trf_blocks, model.out_head = model.trf_blocks[:KEPT_BLOCKS], torch.nn.Identity()
        self.vectors, _ = cache_vectors(model, self.ids, self.pad, KEPT_BLOCKS - 2)

    def dataset(self, table, tokenizer):
        """Return a `SpamDataset` of a table."""
        with tempfile.TemporaryDirectory() as folder:
            table[["Label", "Text"]].to_csv(Path(folder) / "texts.csv", index=False)
            return SpamDataset(Path(folder) / "texts.csv", tokenizer, 64, self.pad)

    def right(self, rank=None, alpha=None, rate=RATES["LoRA"], wrapper=LinearWithLoRA):
        """Return how many test messages are right after training with LoRA, or with rank None all of two blocks."""
        model, _ = for_training(load_smollm2())
        torch.manual_seed(123)
        classifier = TextClassifier(model, 2, self.pad, trained_blocks=2, kept_blocks=KEPT_BLOCKS)
        network = CachedClassifier(classifier, self.ids, self.vectors)
        if rank is not None:
            replace_linear_with_lora(network.blocks, rank, alpha, wrapper=wrapper)
        optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=rate, weight_decay=0.0)
        torch.manual_seed(123)
        train_rows, test_rows = self.rows
        for _ in range(2):
            for batch in train_rows[torch.randperm(len(train_rows))].split(8):
                loss = calc_loss_batch_classifier(batch, self.labels[batch], network, "cpu")
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        with torch.no_grad():
            scores = torch.cat([network(batch) for batch in test_rows.split(64)])
        return (scores.argmax(dim=-1) == self.labels[test_rows]).sum().item()


def grid():
    """Train the classifier of E.4.4 with several ranks and alphas, and once with all weights and once with DoRA."""
    mail = Mail()
    rows = [(rank, alpha, mail.right(rank, alpha)) for rank in (1, 2, 8, 32) for alpha in (2, 16, 64)]
    return {}, {"grid": rows, "classifier": {"full": mail.right(rate=RATES["full"]),
                                             "DoRA": mail.right(8, 16, wrapper=LinearWithDoRA)}}


PARTS = {part.__name__: part for part in (full, cut, lora, loaded, grid)}


def main(names):
    """Measure some parts anew, and keep the others."""
    for name in names:
        with contextlib.redirect_stdout(sys.stderr):
            found = PARTS[name]()
        runs, others = found if isinstance(found, tuple) else (found or {}, {})
        kept = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {"runs": {}}
        known = {**kept["runs"], **runs}
        kept = {**kept, **others, "runs": {run: known[run] for run in ORDER if run in known}}
        partial_file = FILE.with_suffix(".partial")
        lines = ",\n".join(f" {json.dumps(key)}: {written(value)}" for key, value in kept.items())
        partial_file.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8", newline="\n")
        os.replace(partial_file, FILE)


def written(value):
    """Return a value as JSON, with an entry to a line if it has parts."""
    if isinstance(value, dict):
        return "{\n" + ",\n".join(f"  {json.dumps(key)}: {json.dumps(part)}" for key, part in value.items()) + "\n }"
    return json.dumps(value)


if __name__ == "__main__":
    main(sys.argv[1:] or PARTS)
