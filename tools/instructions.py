"""Write notebooks/data/instructions.json: what SmolLM2 answers to chapter 7's test after several trainings.

    python tools/instructions.py          # or with the names of trainings, to measure only these anew

Each training takes minutes, so chapter 7 runs one of them, quotes the answers kept here, and asserts that its own
agree. All take a quarter of an hour on two cores; a training is kept as soon as it is measured.
"""

import contextlib
import json
import os
import sys
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

from previous_chapters import (  # noqa: E402
    KINDS,
    SYSTEM,
    InstructionDataset,
    LengthBatchSampler,
    answer_scores,
    bits_per_byte,
    custom_collate_fn,
    encode_alpaca,
    encode_chat,
    encode_request,
    generate_answers,
    load_smollm2,
    make_examples,
    request_of,
    score_table,
    train_model,
)

DATA = ROOT / "notebooks" / "data"
FILE = DATA / "instructions.json"
END = "<|im_end|>"
TRAININGS = {"before": {"epochs": 0}, "answers": {}, "another seed": {"seed": 124},
             "requests too": {"mask_prompt": False}}


def finetune(model, tokenizer, parts, mask_prompt=True, epochs=1, seed=123):
    """Train all weights as section 7.6 does; return the validation losses on the answers."""
    end_id = tokenizer.encode_single_token(END)
    collate = partial(custom_collate_fn, pad_token_id=end_id)
    train = InstructionDataset(parts["train"], tokenizer, encode_request, mask_prompt)
    validation = InstructionDataset(parts["validation"], tokenizer, encode_request, mask_prompt=True)
    train_loader = DataLoader(
        train, batch_sampler=LengthBatchSampler(train.lengths, batch_size=16), collate_fn=collate)
    val_loader = DataLoader(validation, batch_size=27, collate_fn=collate)
    for weight in model.parameters():
        weight.data = weight.data.contiguous()
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-4, weight_decay=0.0, fused=True)
    _, losses, _, _ = train_model(
        model, train_loader, val_loader, optimizer, "cpu", n_epochs=epochs, eval_freq=14, eval_iter=2,
        start_context="The farmer opened the gate and", tokenizer=tokenizer, warmup_steps=6)
    return losses


def measure(model, tokenizer, parts):
    """Return the answers to the test, bits per byte on a plain text, and how many of the 40 questions are right."""
    prompts = [encode_request(example, tokenizer) for example in parts["test"]]
    questions = json.loads((DATA / "questions.json").read_text(encoding="utf-8"))
    scores = [answer_scores(f"Question: {q['question']}\nAnswer:", q["answers"], model, tokenizer) for q in questions]
    text = (DATA / "new-text.txt").read_text(encoding="utf-8")
    return {"bits_per_byte": round(bits_per_byte(text, model, tokenizer), 4),
            "questions": sum(row.index(max(row)) == 0 for row in scores),
            "answers": generate_answers(model, prompts, tokenizer, tokenizer.encode_single_token(END))}


def right_in_forms(model, tokenizer, parts):
    """Return {form of the request: right answers}, for the first two test examples of each kind, as section 7.7.2."""
    def with_system(entry, tokenizer):
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": request_of(entry)}]
        return encode_chat(messages, tokenizer)

    few = [example for kind in KINDS for example in [e for e in parts["test"] if e["kind"] == kind][:2]]
    forms = {"as trained": encode_request, "with a system's message": with_system, "Alpaca": encode_alpaca,
             "plain text": lambda entry, tokenizer: tokenizer.encode_ordinary(request_of(entry) + "\n\n")}
    right = {}
    for name, encode in forms.items():
        prompts = [encode(example, tokenizer) for example in few]
        answers = generate_answers(model, prompts, tokenizer, tokenizer.encode_single_token(END))
        right[name] = int(score_table(few, answers)["right"].sum())
    return right


def write(rows):
    """Write the file, an answer a line, so that a change can be read."""
    FILE.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")


def main(names):
    """Run the trainings with these names, or all."""
    rows = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    parts = make_examples()
    for name in names or TRAININGS:
        settings = dict(TRAININGS[name])
        model, tokenizer = load_smollm2()
        losses = []
        if settings.get("epochs") != 0:
            with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
                losses = finetune(model, tokenizer, parts, **settings)
        rows[name] = {"validation_losses": [round(loss, 3) for loss in losses], **measure(model, tokenizer, parts)}
        if name == "answers":
            rows[name]["right_in_forms"] = right_in_forms(model, tokenizer, parts)
        write({name: rows[name] for name in TRAININGS if name in rows})
        print(name, score_table(parts["test"], rows[name]["answers"]).sum().to_dict(),
              rows[name]["bits_per_byte"], rows[name]["questions"], flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
