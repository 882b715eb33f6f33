"""Every check accepts a right answer, meets plausible wrong ones with a hint, and waits for an attempt."""

import pytest
import tiktoken
import torch

import exercises
import previous_chapters as course

BPE = tiktoken.get_encoding("gpt2")


def stub(*_):
    """A starter cell's function: its body is still `...`."""
    ...


def spell_out(text):
    ids = BPE.encode(text)
    return ids, [BPE.decode([token]) for token in ids], BPE.decode(ids)


def spell_letters(text):
    return BPE.encode(text), list(text), text


def copy_weights(source, target):
    for name in ("W_query", "W_key", "W_value"):
        setattr(target, name, torch.nn.Parameter(getattr(source, name).weight.T))
    return target


def copy_untransposed(source, target):
    for name in ("W_query", "W_key", "W_value"):
        setattr(target, name, torch.nn.Parameter(getattr(source, name).weight))
    return target


def attention(heads=12, context=1024):
    with torch.device("meta"):
        return course.MultiHeadAttention(768, 768, context, 0.0, heads)


def count_parameters(module):
    return sum(p.numel() for p in module.parameters())


def config(emb_dim, n_layers, n_heads):
    return {**course.GPT_CONFIG_124M, "emb_dim": emb_dim, "n_layers": n_layers, "n_heads": n_heads}


CONFIGS = {"medium": config(1024, 24, 16), "large": config(1280, 36, 20), "xl": config(1600, 48, 25)}


def build_with_dropouts(cfg, embedding_rate, attention_rate, shortcut_rate):
    model = course.GPTModel(cfg)
    model.drop_emb.p = embedding_rate
    for block in model.trf_blocks:
        block.att.dropout.p, block.drop_shortcut.p = attention_rate, shortcut_rate
    return model


def sampled_share(logits, temperature, position, n):
    draws = torch.multinomial(torch.softmax(logits / temperature, dim=-1), n, replacement=True)
    return (draws == position).float().mean().item()


def one_more_epoch(path, model, optimizer, loader, load_optimizer=True, load_model=True):
    if load_model:
        course.load_checkpoint(path, model, optimizer if load_optimizer else None)
    losses = []
    for inputs, targets in loader:
        optimizer.zero_grad()
        loss = course.calc_loss_batch(inputs, targets, model, torch.device("cpu"))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def without_optimizer(path, model, optimizer, loader):
    return one_more_epoch(path, model, optimizer, loader, load_optimizer=False)


def without_model(path, model, optimizer, loader):
    return one_more_epoch(path, model, optimizer, loader, load_model=False)


def settings(max_length, stride):
    return {"max_length": max_length, "stride": stride}


def story_losses(gpt, train_loader, val_loader, device):
    with course.eval_mode(gpt), torch.no_grad():
        return tuple(course.calc_loss_loader(loader, gpt, device) for loader in (train_loader, val_loader))


def losses_with_dropout(gpt, train_loader, val_loader, device):
    return tuple(course.calc_loss_loader(loader, gpt, device) for loader in (train_loader, val_loader))


def losses_of_one_batch(gpt, train_loader, val_loader, device):
    return course.evaluate_model(gpt, train_loader, val_loader, device, 1)


def config_from_settings(settings, **changes):
    return {"vocab_size": settings["n_vocab"], "context_length": settings["n_ctx"], "emb_dim": settings["n_embd"],
            "n_heads": settings["n_head"], "n_layers": settings["n_layer"], "drop_rate": 0.0, "qkv_bias": True,
            **changes}


STARTERS = {
    "2.1": (stub,), "2.2": (settings(..., ...), settings(..., ...)), "3.1": (stub,), "3.2": (...,), "3.3": (...,),
    "4.1": (stub,), "4.2": ({"medium": ..., "large": ..., "xl": ...},), "4.3": (stub,), "5.1": (stub,),
    "5.2": ({"temperature": ..., "top_k": ...},) * 2, "5.3": ([..., ...],),
    "5.4": (lambda path, model, optimizer, loader: ...,), "5.5": (stub,), "5.6": (stub,),
}
RIGHT = [
    ("2.1", spell_out), ("2.2", settings(2, 2), settings(8, 2)), ("3.1", copy_weights), ("3.2", 1),
    ("3.3", attention()), ("4.1", count_parameters), ("4.2", CONFIGS), ("4.3", build_with_dropouts),
    ("5.1", sampled_share), ("5.2", {"temperature": 0.1, "top_k": 3}, {"temperature": 5, "top_k": 9}),
    ("5.2", {"temperature": 0.0, "top_k": 9}, {"temperature": 3.0, "top_k": 9}),
    ("5.3", [{"temperature": 0.0}, {"temperature": 2.0, "top_k": 1}]), ("5.4", one_more_epoch),
    ("5.5", story_losses), ("5.6", config_from_settings),
]
WRONG = [
    ("2.1", "each text must be one id", spell_letters), ("2.1", "return three things", lambda text: BPE.encode(text)),
    ("2.2", "rows have 4 ids", settings(4, 2), settings(8, 2)),
    ("2.2", "look at the stride", settings(2, 2), settings(8, 8)),
    ("2.2", "raised ValueError", settings(0, 2), settings(8, 2)),
    ("3.1", "transposed", copy_untransposed), ("3.1", "different outputs", lambda source, target: target),
    ("3.1", "return the SelfAttention_v1", lambda source, target: source),
    ("3.2", r"\(2, 6, 4\)", 2), ("3.2", "positive whole number", 0.5),
    ("3.3", "this module has 8", attention(heads=8)), ("3.3", "context length", attention(context=256)),
    ("3.3", "expected a MultiHeadAttention", torch.nn.Linear(2, 2)),
    ("4.1", "51 parameters", lambda module: sum(1 for _ in module.parameters())),
    ("4.2", "xl has", {**CONFIGS, "xl": config(1600, 36, 25)}),
    ("4.2", "64 wide", {**CONFIGS, "large": config(1280, 36, 16)}),
    ("4.2", "'xl' is missing", {"medium": CONFIGS["medium"], "large": CONFIGS["large"]}),
    ("4.3", "attention dropout", lambda cfg, a, b, c: build_with_dropouts(cfg, a, c, b)),
    ("4.3", "embedding dropout", lambda cfg, a, b, c: course.GPTModel({**cfg, "drop_rate": 0.7})),
    ("5.1", "your share", lambda logits, temperature, position, n: sampled_share(logits, 1.0, position, n)),
    ("5.1", "count draws", lambda logits, t, position, n: torch.softmax(logits / t, dim=-1)[position].item()),
    ("5.2", "facts", {"temperature": 2.0, "top_k": 9}, {"temperature": 5, "top_k": 9}),
    ("5.2", "ideas", {"temperature": 0.1, "top_k": 9}, {"temperature": 5, "top_k": 2}),
    ("5.3", "another text", [{"temperature": 0.0}, {"temperature": 5.0, "top_k": 40}]),
    ("5.3", "another way", [{"temperature": 0.0}, {"top_k": 5}]), ("5.3", "at least two", [{"top_k": 1}]),
    ("5.4", "was the model loaded", without_model), ("5.4", "was the optimizer loaded", without_optimizer),
    ("5.5", "is dropout off", losses_with_dropout), ("5.5", "all batches", losses_of_one_batch),
    ("5.5", "two numbers", lambda *arguments: 3.75),
    ("5.6", "'qkv_bias' is False", lambda settings: config_from_settings(settings, qkv_bias=False)),
    ("5.6", "'context_length' is 1024", lambda settings: config_from_settings(settings, context_length=1024)),
    ("5.6", "raised KeyError", lambda settings: {"emb_dim": settings["n_embd"]}),
    ("5.4", "one loss per batch", lambda path, m, o, loader: one_more_epoch(path, m, o, loader)[:1]),
]


def test_every_exercise_is_tried():
    assert list(STARTERS) == list(exercises.CHECKS)
    assert {number for number, *_ in RIGHT} == {number for number, *_ in WRONG} == set(exercises.CHECKS)


@pytest.mark.parametrize("number", STARTERS)
def test_a_starter_is_not_attempted(number, capsys):
    exercises.check(number, *STARTERS[number])
    assert capsys.readouterr().out == f"{number}: not attempted yet\n"


@pytest.mark.parametrize(("number", "attempt"), [(number, attempt) for number, *attempt in RIGHT])
def test_a_right_answer(number, attempt):
    status, message = exercises.judge(number, *attempt)
    assert status == "right", message
    assert message


@pytest.mark.parametrize(("number", "hint", "attempt"), [(number, hint, attempt) for number, hint, *attempt in WRONG])
def test_a_wrong_answer_gets_a_hint(number, hint, attempt):
    import re

    status, message = exercises.judge(number, *attempt)
    assert status == "not yet"
    assert re.search(hint, message), message


def test_code_that_fails_is_reported():
    failure = "your code raised ZeroDivisionError: division by zero"
    assert exercises.judge("2.1", lambda text: 1 / 0) == ("not yet", failure)
    assert exercises.judge("2.1", 42) == ("not yet", "expected a function, got 42")


def test_an_unknown_exercise():
    with pytest.raises(ValueError, match="no exercise '9.9'.*2.1, 2.2"):
        exercises.check("9.9", 1)
