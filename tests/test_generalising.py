"""Appendix I, part 2: tokens on disk, starts, schedules, Muon, short runs, and the law fitted to them."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

import pretraining as tool
import previous_chapters as course
from chapters.appendix_I2_generalising import Muon

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = {"emb_dim": 8, "n_layers": 2, "n_heads": 2, "seed": 123}


@pytest.fixture(scope="module")
def tokenizer():
    """Bytes, a few merges, <|endoftext|>, and names for the rest of the 4,096 ids."""
    merges = course.train_bpe("the state of the union, the state of the states", 280)
    return course.BPETokenizer(merges, ["<|endoftext|>", *(f"<|{n}|>" for n in range(4096 - 257 - len(merges)))])


@pytest.fixture
def model():
    """A model with two blocks."""
    return course.small_model({**course.SETTINGS, **SMALL})


def ids_in(path):
    return np.fromfile(path, dtype=np.uint16).tolist()


# Tokens on disk


def test_documents_stand_end_to_end_with_a_token_before_each(tokenizer, tmp_path):
    path, end = tmp_path / "some.ids", tokenizer.special_tokens["<|endoftext|>"]
    count = course.write_token_ids(path, ["the state", "", "of the <|endoftext|>"], tokenizer)
    ids = ids_in(path)
    assert count == len(ids) and ids.count(end) == 3  # the text's own is plain letters
    assert tokenizer.decode(ids).split("<|endoftext|>", 3)[1:] == ["the state", "", "of the <|endoftext|>"]


def test_a_file_is_replaced_only_by_a_complete_one(tokenizer, tmp_path):
    path = tmp_path / "some.ids"
    course.write_token_ids(path, ["the state"], tokenizer)
    before = ids_in(path)
    with pytest.raises(TypeError):
        course.write_token_ids(path, ["of the union", None], tokenizer)
    assert ids_in(path) == before


def test_a_vocabulary_that_two_bytes_cannot_hold_is_refused(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(course.BPETokenizer, "n_vocab", 2**16 + 1)
    with pytest.raises(ValueError, match="65,536 ids apart, the tokenizer has 65,537"):
        course.write_token_ids(tmp_path / "some.ids", [], tokenizer)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def counting(tmp_path):
    """A file with the ids 0 to 100."""
    np.arange(101, dtype=np.uint16).tofile(tmp_path / "some.ids")
    return tmp_path / "some.ids"


def test_windows_lie_side_by_side_in_order(counting):
    batches = list(course.window_loader(counting, 10, 4))
    assert [len(inputs) for inputs, _ in batches] == [4, 4, 2]
    assert torch.cat([inputs for inputs, _ in batches]).flatten().tolist() == list(range(100))
    assert torch.cat([targets for _, targets in batches]).flatten().tolist() == list(range(1, 101))


def test_a_shuffled_loader_reads_each_token_once_and_full_batches_only(counting):
    first, again, other = (torch.cat([inputs for inputs, _ in course.window_loader(counting, 10, 4, seed=seed)])
                           for seed in (1, 1, 2))
    assert first.shape == (8, 10) and first.equal(again) and not first.equal(other)
    starts = first[:, 0].tolist()
    assert len(set(starts)) == 8 and set(starts) <= set(range(0, 100, 10)) and starts != sorted(starts)


def test_a_share_is_the_beginning_of_the_loaders_order(counting):
    whole = torch.cat([inputs for inputs, _ in course.window_loader(counting, 10, 1, seed=1)])
    half = torch.cat([inputs for inputs, _ in course.window_loader(counting, 10, 1, share=0.5, seed=1)])
    assert half.equal(whole[:5])


@pytest.mark.parametrize("share", [0, -1, 1.5])
def test_an_impossible_share_is_refused(counting, share):
    with pytest.raises(ValueError, match=f"above 0 and at most 1, got {share}"):
        course.window_loader(counting, 10, 4, share=share)


# Starts and groups


@pytest.mark.parametrize("residual", [True, False])
def test_weights_start_as_gpt2s(residual):
    model = course.small_model({**course.SETTINGS, "n_layers": 8, "emb_dim": 128})
    torch.manual_seed(0)
    course.init_like_gpt2(model, residual)
    for name, p in model.named_parameters():
        into_stream = name.endswith(("out_proj.weight", "ff.2.weight"))
        if p.ndim == 2:
            wanted = 0.02 / 4 if residual and into_stream else 0.02
            assert p.std().item() == pytest.approx(wanted, rel=0.05), name
        else:
            assert p.unique().tolist() == [1.0 if name.endswith("weight") else 0.0], name
    assert model.out_head.weight is model.tok_emb.weight


@pytest.mark.parametrize(("start", "tokens", "positions"), [
    ("pytorch", 1, 1), ("pytorch, small embedding", 0.02, 1), ("pytorch, small tables", 0.02, 0.02),
    ("gpt2", 0.02, 0.02)])
def test_a_start_draws_the_tables_as_it_says(start, tokens, positions):
    model = course.small_model({**course.SETTINGS, "start": start})
    assert model.tok_emb.weight.std().item() == pytest.approx(tokens, rel=0.05)
    assert model.pos_emb.weight.std().item() == pytest.approx(positions, rel=0.05)


def test_groups_hold_each_parameter_once(model):
    groups = course.parameter_groups(model, 0.02, 0.016, 0.1)
    names = {id(p): name for name, p in model.named_parameters()}
    inside, tables, others = ([names[id(p)] for p in group["params"]] for group in groups)
    assert sorted(inside + tables + others) == sorted(names.values())
    assert tables == ["tok_emb.weight", "pos_emb.weight"]  # the head is the first of them
    assert all("trf_blocks" in name and name.endswith("weight") for name in inside) and len(inside) == 8
    assert [(group["lr"], group["weight_decay"], group["orthogonal"]) for group in groups] == [
        (0.02, 0.1, True), (0.016, 0.1, False), (0.016, 0.0, False)]


# Schedules


def test_the_rate_rises_stays_and_falls():
    rates = [course.warmup_stable_decay(step, 10, 2, 4, 8.0) for step in range(10)]
    assert rates == [4, 8, 8, 8, 8, 8, 8, 6, 4, 2]
    assert [course.warmup_stable_decay(step, 3, 0, 1, 8.0) for step in range(3)] == [8, 8, 8]


@pytest.mark.parametrize("impossible", [(10, 10, 2, 4), (-1, 10, 2, 4), (0, 10, 7, 4), (0, 10, 0, 0), (0, 10, -1, 4)])
def test_an_impossible_schedule_is_refused(impossible):
    with pytest.raises(ValueError, match="of warmup and"):
        course.warmup_stable_decay(*impossible, 1.0)


def test_an_optimizer_follows_a_schedule_until_the_hook_is_removed():
    weight, bias = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([{"params": [weight], "lr": 1.0}, {"params": [bias], "lr": 0.5}])
    hook = course.follow_schedule(optimizer, lambda step: [1.0, 0.1, 3.0][step])
    for wanted in (-1.0, -1.1, -4.1):
        weight.grad = bias.grad = torch.ones(1)
        for group in optimizer.param_groups:
            group["lr"] = 100.0  # what a training loop sets does not matter
        optimizer.step()
        assert (weight.item(), bias.item()) == (pytest.approx(wanted), pytest.approx(wanted / 2))
    hook.remove()
    optimizer.param_groups[0]["lr"] = 2.0
    optimizer.step()
    assert weight.item() == pytest.approx(-6.1)


# Muon


@pytest.mark.parametrize("shape", [(16, 48), (48, 16), (32, 32)])
def test_singular_values_come_near_one_and_directions_stay(shape):
    torch.manual_seed(1)
    matrix = torch.randn(shape, dtype=torch.float64)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    seen = left.T @ course.orthogonalize(matrix) @ right.T
    assert seen.shape == (min(shape),) * 2
    diagonal = seen.diagonal()
    assert (seen - diagonal.diag()).abs().max() < 1e-9
    loud = values > 0.02 * values[0]
    assert diagonal[loud].min() > 0.6 and diagonal.max() < 1.3
    assert course.orthogonalize(1000 * matrix).allclose(course.orthogonalize(matrix))


def test_muon_steps_as_pytorchs_does(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.float)  # theirs computes its rounds in bfloat16
    torch.manual_seed(2)
    for shape in ((6, 12), (12, 6)):
        ours = nn.Parameter(torch.randn(shape))
        theirs = nn.Parameter(ours.detach().clone())
        pair = (ours, Muon([ours], lr=0.03, weight_decay=0.2)), (theirs, torch.optim.Muon([theirs], lr=0.03,
                                                                                        weight_decay=0.2))
        for _ in range(4):
            grad = torch.randn(shape)
            for weight, optimizer in pair:
                weight.grad = grad.clone()
                optimizer.step()
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_what_is_not_orthogonal_is_adamws(model):
    torch.manual_seed(3)
    twin = course.small_model({**course.SETTINGS, **SMALL})
    muon = Muon(course.parameter_groups(model, 0.02, 0.016, 0.1))
    groups = course.parameter_groups(twin, 0.02, 0.016, 0.1)
    adamw = torch.optim.AdamW(groups[1:], betas=(0.9, 0.95))
    inputs = torch.randint(4096, (2, 9))
    for _ in range(3):
        loss = nn.functional.cross_entropy(model(inputs[:, :-1]).flatten(0, 1), inputs[:, 1:].flatten())
        loss.backward()
        for p, q in zip(model.parameters(), twin.parameters(), strict=True):
            q.grad = p.grad.clone()
        muon.step()
        adamw.step()
        muon.zero_grad()
    for group in course.parameter_groups(model, 0, 0, 0)[1:]:
        for p in group["params"]:
            q = dict(twin.named_parameters())[next(n for n, own in model.named_parameters() if own is p)]
            torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)


def test_muon_goes_on_from_its_saved_state():
    torch.manual_seed(4)
    grads, weights = torch.randn(6, 4, 8), []
    for stop in (None, 3):
        weight = nn.Parameter(torch.ones(4, 8))
        optimizer = Muon([weight])
        for number, grad in enumerate(grads):
            if number == stop:
                saved = optimizer.state_dict()
                optimizer = Muon([weight])
                optimizer.load_state_dict(saved)
            weight.grad = grad
            optimizer.step()
        weights.append(weight.detach())
    assert torch.equal(*weights)


# Short runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two files of ids that a model can learn: each is the one before and 7."""
    folder = tmp_path_factory.mktemp("ids")
    for part, count in (("training", 128 * 48 + 1), ("validation", 128 * 4 + 1)):
        (np.arange(count) * 7 % 300).astype(np.uint16).tofile(folder / f"{part}.ids")
    return folder


def test_a_run_learns_repeats_itself_and_says_nothing(folder, tokenizer, capsys):
    model, loss = course.pretrain(folder, tokenizer, "cpu", **SMALL, share=1, batch_size=4)
    assert capsys.readouterr().out == ""
    _, again = course.pretrain(folder, tokenizer, "cpu", **SMALL, share=1, batch_size=4)
    assert loss == again and loss < math.log(4096) - 1
    validation = course.window_loader(folder / "validation.ids", 128, 32)
    assert loss == course.mean_loss(model, validation, torch.device("cpu"), 9)


@pytest.mark.parametrize("change", [
    {"optimizer": "adamw"}, {"schedule": "stable"}, {"schedule": "constant"}, {"schedule": "no warmup"},
    {"decay": "everything", "weight_decay": 50.0}, {"lr": 0.1}, {"table_lr": 0.1}, {"start": "pytorch"}, {"seed": 5}])
def test_each_setting_makes_a_difference(folder, tokenizer, change):
    losses = [course.pretrain(folder, tokenizer, "cpu", **{**SMALL, "batch_size": 2, "share": 1, **changes})[1]
              for changes in ({}, change)]
    assert losses[0] != losses[1]


def test_an_unknown_setting_is_named(folder, tokenizer):
    with pytest.raises(ValueError, match="no settings: learning_rate, width; there are emb_dim"):
        course.pretrain(folder, tokenizer, "cpu", width=3, learning_rate=2)


# The law


def test_a_law_is_found_from_runs_that_keep_to_it():
    sizes, tokens = (each.ravel() for each in np.meshgrid([1e5, 4e5, 2e6], [2e5, 1e6, 5e6]))
    law = {"E": 1.7, "A": 60.0, "alpha": 0.3, "B": 900.0, "beta": 0.45}
    losses = course.loss_by_law(law, sizes, tokens)
    assert losses[0] == pytest.approx(1.7 + 60 / 1e5**0.3 + 900 / 2e5**0.45)
    assert course.fit_scaling_law(sizes, tokens, losses) == pytest.approx(law, rel=1e-6)
    many = course.fit_scaling_law(sizes, tokens, np.stack([losses, losses + 1], axis=1))
    assert many["E"] == pytest.approx([1.7, 2.7]) and many["alpha"] == pytest.approx([0.3, 0.3])


def test_no_part_of_a_law_is_negative():
    sizes, tokens = (each.ravel() for each in np.meshgrid([1e5, 4e5, 2e6], [2e5, 1e6, 5e6]))
    falling = 20 - np.log(sizes) - 0.1 * np.log(tokens)  # keeps to no such law: it falls below every E
    law = course.fit_scaling_law(sizes, tokens, falling)
    assert min(law.values()) >= 0


# What the tool has stored


@pytest.fixture(scope="module")
def stored():
    """The tables of the notebook."""
    return json.loads(tool.FILE.read_text(encoding="utf-8"))


def changes_of(row):
    return {name: value for name, value in row.items() if name in course.SETTINGS}


def test_the_tables_hold_what_the_tool_measures(stored):
    wanted = [tool.scaling_changes(size, share) for size in tool.SIZES for share in tool.SHARES[size]]
    assert [changes_of(row) for row in stored["scaling"]] == wanted
    assert sorted(map(str, map(changes_of, stored["knobs"]))) == sorted(map(str, tool.KNOBS))
    for row in stored["knobs"] + stored["scaling"]:
        assert 4 < row["loss"] < math.log(4096) and row["seconds"] > 0
    for row in stored["scaling"]:
        assert row["parameters"] == sum(
            p.numel() for p in course.small_model({**course.SETTINGS, **changes_of(row)}).parameters())


def test_packers_are_measured_on_the_validation_text_alone():
    text = "the state of the union is strong and the people are free. " * 20
    documents = {"training": [text, text], "validation": [text]}
    bits = tool.packers(documents)
    assert 0 < bits["xz -9 after the training text"] < bits["zstd -19"] < 2  # all of it was known before
