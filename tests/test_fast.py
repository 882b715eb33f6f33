"""The model of appendix G: the same logits, losses, gradients, steps and tokens as the plain one's."""

import copy
import importlib
import math
import os
import re
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

import bench
import previous_chapters as course
from conftest import TINY
from helpers import CPU, assert_close, output_of, replace_everywhere, train_step

pytestmark = pytest.mark.usefixtures("one_thread")
LENGTH = TINY["context_length"]
STILL = {**TINY, "drop_rate": 0.0}  # no dropout


def pair(seed=0, pad_vocab_to=64, **changes):
    """Return a GPTModel and a GPTModelFast with the same weights, in train mode and without dropout."""
    cfg = {**STILL, **changes}
    torch.manual_seed(seed)
    plain, fast = course.GPTModel(cfg), course.GPTModelFast(cfg, pad_vocab_to=pad_vocab_to)
    fast.load_state_dict(plain.state_dict())
    return plain, fast


def make_tied(seed=0, **changes):
    torch.manual_seed(seed)
    return course.GPTModelFast({**STILL, **changes}, tie_weights=True)


def ids(*shape, seed=1):
    return torch.randint(0, TINY["vocab_size"], shape, generator=torch.Generator().manual_seed(seed))


def batches(count, rows=2, tokens=8):
    return [(ids(rows, tokens, seed=2 * number), ids(rows, tokens, seed=2 * number + 1)) for number in range(count)]


def plain_loss(model, inputs, targets):
    return course.calc_loss_batch(inputs, targets, model, CPU)


def distance(fast, plain):
    """Return the largest difference between the parameters of a fast and of a plain model."""
    state = plain.state_dict()
    return max((value - state[name]).abs().max().item() for name, value in fast.plain_state_dict().items())


# The same model


@pytest.mark.parametrize("qkv_bias", [False, True])
@pytest.mark.parametrize(("vocab_size", "pad_vocab_to"), [(60, 64), (60, 1), (64, 64), (65, 64)])
def test_logits_equal_the_plain_models(qkv_bias, vocab_size, pad_vocab_to):
    plain, fast = pair(qkv_bias=qkv_bias, vocab_size=vocab_size, pad_vocab_to=pad_vocab_to)
    assert fast.tok_emb.num_embeddings == math.ceil(vocab_size / pad_vocab_to) * pad_vocab_to
    for length in (1, 2, LENGTH):
        x = ids(3, length)
        assert fast(x).shape == (3, length, vocab_size)
        assert_close(fast(x), plain(x))
        assert_close(fast.last_logits(x), plain(x)[:, -1:])


def test_a_tied_model_equals_the_plain_one():
    plain, _ = pair()
    plain.out_head.weight = plain.tok_emb.weight
    fast = make_tied(seed=5)
    fast.load_state_dict(plain.state_dict())
    assert fast.out_head.weight is fast.tok_emb.weight
    assert_close(fast(ids(2, LENGTH)), plain(ids(2, LENGTH)))
    assert len(list(fast.parameters())) == len(list(pair()[1].parameters())) - 1


def test_a_new_tied_model_starts_with_small_logits():
    assert make_tied()(ids(2, LENGTH)).abs().max() < 1


def test_tied_weights_must_be_equal():
    plain, _ = pair()
    with pytest.raises(ValueError, match="tok_emb.weight and out_head.weight are equal"):
        make_tied().load_state_dict(plain.state_dict())


def test_a_checkpoint_with_masks_loads():
    plain, fast = pair()
    state = plain.state_dict()
    masks = {f"trf_blocks.{i}.att.mask": course.causal_mask(LENGTH) for i in range(2)}
    fast = course.GPTModelFast(STILL)
    carrying = {**state, **masks}
    fast.load_state_dict(carrying)
    assert len(carrying) == len(state) + 2  # the caller's dict is left alone
    assert_close(fast(ids(2, 5)), plain(ids(2, 5)))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("qkv_bias", [False, True])
def test_its_own_state_loads_again(tied, qkv_bias):
    torch.manual_seed(3)
    fast, other = (course.GPTModelFast({**STILL, "qkv_bias": qkv_bias}, tie_weights=tied) for _ in range(2))
    other.load_state_dict(fast.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(fast.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("qkv_bias", [False, True])
def test_the_plain_state_comes_back_bit_for_bit(qkv_bias):
    plain, fast = pair(qkv_bias=qkv_bias)
    back, state = fast.plain_state_dict(), plain.state_dict()
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], value) for name, value in state.items())
    other = course.GPTModel({**STILL, "qkv_bias": qkv_bias})
    other.load_state_dict(back)  # strict
    assert torch.equal(other(ids(2, 5)), plain(ids(2, 5)))


def test_loading_is_strict():
    plain, fast = pair()
    state = plain.state_dict()
    with pytest.raises(RuntimeError, match="surprise"):
        fast.load_state_dict({**state, "surprise": torch.zeros(1)})
    with pytest.raises(RuntimeError, match="pos_emb"):
        fast.load_state_dict({name: value for name, value in state.items() if "pos_emb" not in name})


def test_a_state_without_keys_is_refused_by_name():
    """Queries and values alone are not one matrix: all three stay as they are, and loading says what is missing."""
    plain, fast = pair()
    state = {name: value for name, value in plain.state_dict().items() if "0.att.W_key.weight" not in name}
    with pytest.raises(RuntimeError, match="Missing.*0.att.W_qkv.weight") as caught:
        fast.load_state_dict(state)
    assert "0.att.W_query.weight" in str(caught.value)


def test_names_come_from_the_table(monkeypatch):
    """A weight that has another name in the table has it in the fused state, too."""
    names = {"new.weight": ["old.scale"], "sum": ["one", "two"], "out_head.weight": ["out_head.weight"]}
    replace_everywhere(monkeypatch, "weight_names", lambda column, n_layers: names)
    state = {name: torch.ones(2) for name in ("old.scale", "one", "two", "other")}
    fused = {**state, "out_head.weight": torch.ones(2, 3)}
    course.fuse_state(fused, 2, 4)
    assert set(fused) == {"new.weight", "sum", "other", "out_head.weight"}
    assert fused["sum"].shape == (4,) and fused["out_head.weight"].shape == (4, 3)


@pytest.mark.parametrize("vocab_size", [50, 62, 65])
def test_a_state_with_another_vocabulary_is_refused(vocab_size):
    state = course.GPTModel({**STILL, "vocab_size": vocab_size}).state_dict()
    with pytest.raises((RuntimeError, ValueError)):
        course.GPTModelFast(STILL).load_state_dict(state)


def test_sizes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="16 and 3"):
        course.GPTModelFast({**STILL, "n_heads": 3})
    _, fast = pair()
    with pytest.raises(ValueError, match="13 tokens.*12"):
        fast(ids(1, 13))


def test_a_later_token_changes_no_earlier_output():
    _, fast = pair()
    x = ids(1, LENGTH)
    for position in range(LENGTH):
        changed = x.clone()
        changed[0, position] = (x[0, position] + 1) % 60
        differs = ((fast(x) - fast(changed)).abs() > 1e-6).any(dim=-1)[0]
        assert not differs[:position].any() and differs[position:].all()


def test_dropout_works_in_train_mode_only():
    plain, _ = pair()
    fast = course.GPTModelFast({**STILL, "drop_rate": 0.5})
    fast.load_state_dict(plain.state_dict())
    x = ids(2, 8)
    assert not torch.equal(fast.train()(x), fast(x))
    assert torch.equal(fast.eval()(x), fast(x))
    assert_close(fast(x), plain(x))


def test_dropout_in_attention_leaves_the_mean():
    torch.manual_seed(0)
    attention = course.FastAttention({**STILL, "drop_rate": 0.3})
    x = torch.randn(1, 8, 16)
    wanted = attention.eval()(x)
    drawn = attention.train()(x.expand(20_000, -1, -1))
    assert ((drawn.mean(dim=0) - wanted[0]).abs() < 5 * drawn.std(dim=0) / 20_000**0.5 + 1e-6).all()
    assert (drawn.std(dim=0) > 0.01).all()


def test_dropout_after_embedding_and_in_shortcuts_has_the_rate():
    torch.manual_seed(0)
    fast, shares = course.GPTModelFast({**STILL, "drop_rate": 0.3}), []
    for layer in (fast.drop_emb, *(block.drop_shortcut for block in fast.trf_blocks)):
        layer.register_forward_hook(lambda layer, inputs, out: shares.append((out == 0).float().mean().item()))
    fast(ids(200, LENGTH))
    assert shares == pytest.approx([0.3] * 5, abs=0.02)


def test_it_equals_transformers_gpt2():
    os.environ["HF_HUB_OFFLINE"] = "1"
    transformers = importlib.import_module("transformers")
    torch.manual_seed(0)
    theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=60, n_positions=LENGTH, n_embd=16, n_head=2, n_layer=2, bos_token_id=None, eos_token_id=None)).eval()
    for name, parameter in theirs.named_parameters():  # biases and norms too
        nn.init.normal_(parameter, float("ln_" in name and "weight" in name), 0.3)
    fast = course.GPTModelFast({**TINY, "qkv_bias": True}, tie_weights=True).eval()
    fast.load_state_dict(bench.weights_of_peer(theirs))
    x = ids(3, LENGTH)
    assert_close(fast(x), theirs(x).logits)


# The loss


def head(tokens=10, rows=9, dtype=torch.float32, seed=0):
    """Return hidden vectors, a weight, and targets below 7."""
    torch.manual_seed(seed)
    hidden = torch.randn(tokens, 4, dtype=dtype, requires_grad=True)
    weight = torch.randn(rows, 4, dtype=dtype, requires_grad=True)
    return hidden, weight, torch.randint(0, 7, (tokens,))


def head_loss(hidden, weight, targets, chunk=4, vocab_size=7):
    return course.HeadLoss.apply(hidden, weight, targets, vocab_size, chunk)


@pytest.mark.parametrize("chunk", [1, 4, 5, 10, 99])
def test_head_loss_equals_cross_entropy(chunk):
    hidden, weight, targets = head()
    theirs = functional.cross_entropy((hidden @ weight.T)[:, :7], targets)
    wanted = torch.autograd.grad(3 * theirs, (hidden, weight))
    ours = head_loss(hidden, weight, targets, chunk)
    found = torch.autograd.grad(3 * ours, (hidden, weight))
    assert ours.dtype == torch.float32 and ours.shape == ()
    assert_close(ours, theirs, atol=1e-6)
    for a, b in zip(found, wanted, strict=True):
        assert_close(a, b, atol=1e-6)
    assert torch.equal(found[1][7:], torch.zeros(2, 4))


def test_gradients_equal_finite_differences():
    hidden, weight, targets = head(dtype=torch.float64)
    found = torch.autograd.grad(head_loss(hidden, weight, targets), (hidden, weight))
    with torch.no_grad():
        for values, gradient in zip((hidden, weight), found, strict=True):
            for place in range(values.numel()):
                losses = []
                for step in (1e-5, -1e-5):
                    values.view(-1)[place] += step
                    losses.append(functional.cross_entropy((hidden @ weight.T)[:, :7], targets))
                    values.view(-1)[place] -= step
                difference = (losses[0] - losses[1]) / 2e-5
                assert gradient.view(-1)[place].item() == pytest.approx(difference.item(), abs=1e-6)


def test_one_backward_pass_only():
    hidden, weight, targets = head()
    loss = head_loss(hidden, weight, targets)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="one backward pass"):
        loss.backward()


def test_head_loss_without_gradients():
    hidden, weight, targets = head()
    wanted = head_loss(hidden, weight, targets)
    with torch.no_grad():
        loss = head_loss(hidden, weight, targets)
    assert torch.equal(loss, wanted.detach()) and not loss.requires_grad
    assert torch.equal(head_loss(hidden.detach(), weight.detach(), targets), loss)


def test_an_evaluation_computes_no_gradients():
    _, fast = pair()
    inputs, targets = batches(1)[0]
    with torch.no_grad(), FlopCounterMode(display=False) as forward:
        fast(inputs)
    with torch.no_grad(), FlopCounterMode(display=False) as evaluation:
        course.next_token_loss(fast, inputs, targets)
    assert evaluation.get_total_flops() == forward.get_total_flops()


def test_the_loss_of_short_numbers():
    hidden, weight, targets = head(tokens=500)
    loss = head_loss(hidden.bfloat16(), weight.bfloat16(), targets, chunk=64)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(head_loss(hidden, weight, targets).item(), abs=0.02)
    gradients = torch.autograd.grad(loss, (hidden, weight))
    for a, b in zip(gradients, torch.autograd.grad(head_loss(hidden, weight, targets), (hidden, weight)), strict=True):
        assert (a - b).norm() < 0.02 * b.norm()


@pytest.mark.parametrize("qkv_bias", [False, True])
def test_next_token_loss_equals_cross_entropy(qkv_bias):
    plain, fast = pair(qkv_bias=qkv_bias)
    inputs, targets = ids(30, LENGTH, seed=2), ids(30, LENGTH, seed=3)  # 360 tokens: two chunks
    wanted, found = plain_loss(plain, inputs, targets), course.next_token_loss(fast, inputs, targets)
    wanted.backward()
    found.backward()
    assert_close(found, wanted, atol=1e-6)
    gradients = {name: p.grad for name, p in plain.named_parameters()}
    with torch.no_grad():
        for p in fast.parameters():
            p.copy_(p.grad)
    for name, gradient in fast.plain_state_dict().items():
        assert_close(gradient, gradients[name], atol=1e-6)
    for layer in (fast.tok_emb, fast.out_head):
        assert torch.equal(layer.weight[60:], torch.zeros(4, 16))


def test_the_loss_in_bfloat16_is_near():
    plain, fast = pair()
    inputs, targets = batches(1)[0]
    loss = course.next_token_loss(fast, inputs, targets, torch.bfloat16)
    exact = plain_loss(plain, inputs, targets)
    assert loss.dtype == torch.float32 and 0 < abs(loss.item() - exact.item()) < 0.02
    loss.backward()
    wanted = torch.autograd.grad(exact, plain.out_head.weight)[0]
    found = fast.out_head.weight.grad
    assert found.dtype == torch.float32 and (found[:60] - wanted).norm() < 0.02 * wanted.norm()


# Steps


def plain_steps(model, optimizer, steps):
    return [train_step(model, optimizer, *batch) for batch in steps]


def tensors(model):
    return [p.detach().clone() for p in model.parameters()]


def assert_same(ours, theirs):
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(("make", "atol"), [
    (lambda parameters: torch.optim.SGD(parameters, lr=0.1), 1e-5),
    (lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9), 1e-5),
    (lambda parameters: torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.1), None),  # it divides by tiny gradients
    (lambda parameters: torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.1, fused=True), None),
], ids=["sgd", "momentum", "adamw", "fused"])
def test_steps_in_float32_equal_plain_ones(make, atol):
    plain, fast = pair()
    steps = batches(20)
    optimizer = make(fast.parameters())
    losses = [course.fast_step(fast, optimizer, [batch]).item() for batch in steps]
    assert losses == pytest.approx(plain_steps(plain, make(plain.parameters()), steps), abs=1e-5)
    if atol is not None:
        assert distance(fast, plain) < atol


def run_steps(model, steps, dtype=torch.float32, lr=0.1, **settings):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    return [course.fast_step(model, optimizer, group, dtype, **settings).item() for group in steps]


def test_two_small_batches_equal_one_large_one():
    (_, one), (_, two) = pair(), pair()
    small = batches(6)
    large = [tuple(torch.cat(parts) for parts in zip(*small[i : i + 2], strict=True)) for i in (0, 2, 4)]
    losses = run_steps(one, [[batch] for batch in large])
    assert run_steps(two, [small[0:2], small[2:4], small[4:6]]) == pytest.approx(losses, abs=1e-6)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert_close(a, b, atol=1e-6)


def test_batches_of_unequal_size_count_by_their_tokens():
    (_, one), (_, two) = pair(), pair()
    inputs, targets = ids(5, 8), ids(5, 8, seed=2)
    losses = run_steps(one, [[(inputs, targets)]] * 3)
    parts = [(inputs[:4], targets[:4]), (inputs[4:], targets[4:])]
    assert run_steps(two, [parts] * 3) == pytest.approx(losses, abs=1e-6)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert_close(a, b, atol=1e-6)


def test_gradients_from_before_a_step_count_for_nothing():
    results = []
    for stale in (False, True):
        _, fast = pair()
        if stale:
            course.next_token_loss(fast, *batches(1)[0]).backward()
        run_steps(fast, [batches(1)])
        results.append(tensors(fast))
        assert all(p.grad is None for p in fast.parameters())
    assert_same(*results)


def test_clipping_is_over_all_gradients_of_all_batches_together():
    plain, fast = pair()
    group = batches(3)
    optimizer = torch.optim.SGD(plain.parameters(), lr=1.0)
    for inputs, targets in group:
        (plain_loss(plain, inputs, targets) / 3).backward()
    norm = nn.utils.clip_grad_norm_(plain.parameters(), 0.01)
    optimizer.step()
    assert norm > 0.02
    run_steps(fast, [group], lr=1.0, max_norm=0.01)
    assert distance(fast, plain) < 1e-6


def test_small_changes_are_not_lost():
    """A weight that moves by less than bfloat16 can tell moves all the same, in float32."""
    _, fast = pair()
    before = tensors(fast)
    run_steps(fast, [batches(1)], torch.bfloat16, lr=1e-5)
    moved = [(a - b).abs().max() for a, b in zip(before, fast.parameters(), strict=True)]
    assert all(0 < change < 1e-4 for change in moved)
    assert {p.dtype for p in fast.parameters()} == {torch.float32}


def test_tied_weights_are_updated_once():
    reference, fast = make_tied(), make_tied()
    steps = batches(10)
    losses = plain_steps(reference, torch.optim.SGD(reference.parameters(), lr=0.1), steps)
    assert run_steps(fast, [[batch] for batch in steps]) == pytest.approx(losses, abs=1e-5)
    for a, b in zip(fast.parameters(), reference.parameters(), strict=True):
        assert_close(a, b)
    assert fast.out_head.weight is fast.tok_emb.weight
    optimizer = torch.optim.AdamW(fast.parameters())
    course.fast_step(fast, optimizer, batches(2))
    assert optimizer.state[fast.tok_emb.weight]["step"] == 1


# Training


@pytest.fixture(scope="module")
def training(story):
    """Return a function that trains a model on a part of the story: (lists, printed lines, model)."""
    cfg = {**STILL, "vocab_size": 50257}
    torch.manual_seed(0)
    state = course.GPTModel(cfg).state_dict()

    def train(function, capsys, build=course.GPTModelFast, epochs=2, device=CPU, **settings):
        model = build(cfg)
        model.load_state_dict(state)
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
        torch.manual_seed(7)
        loaders = [course.create_dataloader_v1(text, batch_size=2, max_length=LENGTH, stride=LENGTH)
                   for text in (story[:600], story[600:800])]
        lists = function(model.eval(), *loaders, optimizer, device, epochs, 3, 2, "I HAD always",
                         loaders[0].dataset.tokenizer, **settings)
        assert optimizer.param_groups[0]["lr"] == 2e-3
        return lists, capsys.readouterr().out.splitlines(), model

    return train


def test_training_equals_train_model_simple(training, capsys):
    lists, lines, plain = training(course.train_model_simple, capsys, course.GPTModel)
    fast_lists, fast_lines, fast = training(course.train_model_fast, capsys, dtype=torch.float32, compiled=False)
    number = re.compile(r"\d\.\d{3}|\d\d\.\d{3}")
    assert [number.sub("", line) for line in fast_lines] == [number.sub("", line) for line in lines]
    for ours, theirs in zip(fast_lists, lists, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4)
    evaluations = [line for line in fast_lines if "Step" in line]
    assert len(fast_lines) == len(evaluations) + 2
    for line, *losses in zip(evaluations, *fast_lists[:2], strict=True):
        assert [float(found) for found in number.findall(line)] == pytest.approx(losses, abs=6e-4)
    assert lists[0][-1] < lists[0][0] - 0.1  # it has learned something
    assert all(module.training for module in fast.modules())
    assert all(p.grad is None for p in fast.parameters())


@pytest.mark.parametrize("warmup_steps", [0, 5])
def test_with_warmup_steps_it_equals_train_model(training, capsys, warmup_steps):
    settings = {"warmup_steps": warmup_steps, "initial_lr": 1e-4, "min_lr": 1e-4}
    lists, _, plain = training(course.train_model, capsys, course.GPTModel, **settings)
    fast_lists, _, fast = training(course.train_model_fast, capsys, dtype=torch.float32, **settings)
    without, _, _ = training(course.train_model_fast, capsys, dtype=torch.float32)
    for ours, theirs in zip(fast_lists, lists[:3], strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4)
    assert max(abs(a - b) for a, b in zip(without[0], lists[0], strict=True)) > 0.01  # the schedule does something
    assert distance(fast, plain) < 2e-4


def test_the_device_may_be_a_name(training, capsys):
    lists, _, _ = training(course.train_model_fast, capsys, epochs=1, device="cpu", dtype=torch.float32)
    assert lists[2]


def test_training_in_bfloat16_is_near(training, capsys):
    wanted, _, _ = training(course.train_model_fast, capsys, epochs=1, dtype=torch.float32)
    found, _, fast = training(course.train_model_fast, capsys, epochs=1, dtype=torch.bfloat16, compiled=False)
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours == pytest.approx(theirs, rel=0.02)
    assert found[0] != wanted[0] and fast.tok_emb.weight.dtype == torch.float32


@pytest.mark.parametrize(("pays", "works"), [(torch.float32, True), (torch.bfloat16, True), (torch.bfloat16, False)])
def test_only_rungs_that_pay_are_taken(monkeypatch, pays, works):
    _, fast = pair()
    taken = []
    replace_everywhere(monkeypatch, "compute_dtype", lambda device: pays)
    replace_everywhere(monkeypatch, "can_compile", lambda device: works)
    monkeypatch.setattr(torch, "compile", lambda block: block)
    replace_everywhere(monkeypatch, "fast_step", lambda model, optimizer, group, *settings: taken.append(settings))
    replace_everywhere(monkeypatch, "generate_and_print_sample", lambda *_: None)
    course.train_model_fast(fast, batches(1), batches(1), torch.optim.SGD(fast.parameters()), CPU, 1, 9, 0, "a",
                            tokenizer=Letters())
    compiled = list(fast.trf_blocks) if pays == torch.bfloat16 and works else None
    assert taken == [(pays, None, compiled)]


class Letters:
    """A tokenizer of letters, enough for a start context."""

    def encode(self, text, **_):
        return [ord(letter) % 60 for letter in text]


def test_every_group_gets_its_peak_rate_back_to_the_last_bit(monkeypatch):
    """0.009 * (0.007 / 0.009) is not 0.007."""
    _, fast = pair()
    replace_everywhere(monkeypatch, "generate_and_print_sample", lambda *_: None)
    parameters = list(fast.parameters())
    optimizer = torch.optim.SGD([{"params": parameters[:3], "lr": 0.009}, {"params": parameters[3:], "lr": 0.007}])
    course.train_model_fast(fast, batches(3), batches(1), optimizer, CPU, 1, 9, 0, "a", tokenizer=Letters(),
                            dtype=torch.float32, warmup_steps=1)
    assert [group["lr"] for group in optimizer.param_groups] == [0.009, 0.007]


@pytest.mark.parametrize(("accumulate", "groups"), [(1, [1, 1, 1, 1, 1]), (2, [2, 2, 1]), (9, [5])])
def test_left_over_batches_make_a_smaller_step(monkeypatch, accumulate, groups):
    _, fast = pair()
    seen, rates, original = [], [], course.fast_step

    def step(model, optimizer, group, *more):
        seen.append(len(group))
        rates.append(optimizer.param_groups[0]["lr"])
        return original(model, optimizer, group, *more)

    replace_everywhere(monkeypatch, "fast_step", step)
    replace_everywhere(monkeypatch, "generate_and_print_sample", lambda *_: None)
    optimizer = torch.optim.SGD(fast.parameters(), lr=0.01)
    lists = course.train_model_fast(fast, batches(5), batches(2), optimizer, CPU, 2, 1, 9, "a", tokenizer=Letters(),
                                    dtype=torch.float32, accumulate=accumulate, warmup_steps=1, initial_lr=0.001)
    assert seen == groups * 2
    assert [len(entries) for entries in lists] == [2 * len(groups)] * 3
    assert lists[2] == [16 * sum(seen[: count + 1]) for count in range(len(seen))]
    total = 2 * len(groups)  # the schedule counts optimizer steps
    assert rates == [course.learning_rate_at(step, total, 1, 0.01, 0.001) for step in range(total)]


@pytest.mark.parametrize(("changes", "message"), [
    ({"start_context": ""}, "start_context must have at least one token, got ''"),
    ({"warmup_steps": 3}, "warmup_steps must be a whole number from 0 to total_steps=1, got 3"),
])
def test_what_cannot_be_trained_is_refused_before_the_first_step(changes, message):
    _, fast = pair()
    before = tensors(fast)
    with pytest.raises(ValueError, match=message):
        course.train_model_fast(fast, batches(1), batches(1), torch.optim.SGD(fast.parameters()), CPU, 1, 1, 1,
                                **{"start_context": "a", "tokenizer": Letters(), **changes})
    assert_same(before, fast.parameters())


def test_accumulate_below_one_is_refused():
    _, fast = pair()
    before = tensors(fast)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        course.train_model_fast(fast, batches(1), batches(1), torch.optim.SGD(fast.parameters()), CPU, 1, 1, 1, "",
                                tokenizer=object(), accumulate=0)
    assert_same(before, fast.parameters())


def test_mean_loss_equals_calc_loss_loader():
    plain, _ = pair()
    fast = course.GPTModelFast(TINY)  # with dropout
    fast.load_state_dict(plain.state_dict())
    loader = batches(4)
    for count in (1, 3, 99):
        wanted = course.calc_loss_loader(loader, plain, CPU, count)
        assert course.mean_loss(fast, loader, CPU, count) == pytest.approx(wanted, abs=1e-5)
    assert all(module.training for module in fast.modules())
    assert all(p.grad is None for p in fast.parameters())


def test_mean_loss_without_batches_is_nan():
    _, fast = pair()
    assert math.isnan(course.mean_loss(fast, [], CPU, 5))


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_batches_come_in_order(count):
    loader = batches(count)
    found = list(course.batches_on(CPU, iter(loader)))
    assert len(found) == count
    for ours, theirs in zip(found, loader, strict=True):
        assert_same(ours, theirs)


def test_batches_are_fetched_one_ahead():
    fetched = []
    loader = (fetched.append(number) or (torch.tensor(number),) * 2 for number in range(5))
    stream = course.batches_on(CPU, loader)
    assert fetched == []
    next(stream)
    assert fetched == [0, 1]


@pytest.mark.skipif(sys.platform != "linux", reason="page faults are counted by Linux")
def test_freed_memory_is_kept():
    script = """
import resource, torch, previous_chapters as course

def faults(repeats=10):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(repeats):
        torch.zeros(12_500_000).add_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults(2)
without = faults()
kept = course.keep_freed_memory()
faults(2)
print(kept, without, min(faults() for _ in range(3)))  # what else the system does can only add to it
"""
    kept, without, with_it = output_of(script).split()
    if kept == "False":
        assert not sys.platform.startswith("linux")
        pytest.skip("no glibc")
    assert int(without) > 200  # 10 x 12208 pages of 4 KiB, or 10 x 24 of 2 MiB
    assert int(with_it) < int(without) / 20


# Generating


@pytest.fixture(scope="module")
def models():
    """A GPTModel and a GPTModelFast with the same weights, in eval mode."""
    plain, fast = pair()
    return plain.eval(), fast.eval()


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(("length", "size", "count"), [
    (4, LENGTH, 6), (4, LENGTH, 30), (4, 7, 30), (10, 7, 20), (20, LENGTH, 20), (1, 1, 5), (3, 2, 8),
    (LENGTH, LENGTH, 3), (4, LENGTH, 1), (4, LENGTH, 0),
])
def test_tokens_equal_those_of_generate(models, rows, length, size, count):
    plain, fast = models
    idx = ids(rows, length)
    found = course.generate_fast(fast, idx, count, size)
    assert torch.equal(found, course.generate(plain, idx, count, size))
    assert found.shape == (rows, length + count)


@pytest.mark.parametrize("settings", [{"temperature": 1.0}, {"temperature": 2.0, "top_k": 5}, {"top_k": 1},
                                      {"temperature": 5.0, "eos_id": 3}])
def test_draws_equal_those_of_generate(models, settings):
    plain, fast = models
    idx = ids(3, 4)
    torch.manual_seed(4)
    wanted = course.generate(plain, idx, 30, LENGTH, **settings)
    torch.manual_seed(4)
    assert torch.equal(course.generate_fast(fast, idx, 30, LENGTH, **settings), wanted)


def test_an_end_token_ends(models):
    plain, fast = models
    for rows in (1, 3):
        idx = ids(rows, 4)
        free = course.generate(plain, idx, 10, LENGTH)
        for eos_id in free[0, 4:].unique().tolist():
            found = course.generate_fast(fast, idx, 10, LENGTH, eos_id=eos_id)
            assert torch.equal(found, course.generate(plain, idx, 10, LENGTH, eos_id=eos_id))
            if rows == 1:
                assert found[0, 4:].tolist().index(eos_id) == found.shape[1] - 5  # with it, and not before


PROMPTS = [[1, 2, 3], [4, 5, 6, 7, 8, 9, 10], [11], [12, 13, 14, 15, 16, 17, 18]]


@pytest.mark.parametrize("size", [LENGTH, 9, 7, 5, 1])
def test_padded_prompts_equal_each_prompt_alone(models, size):
    plain, fast = models
    idx, lengths = course.left_pad(PROMPTS)
    out = course.generate_fast(fast, idx, 30, size, lengths=lengths)
    for row, prompt in zip(out, PROMPTS, strict=True):
        assert torch.equal(row[7 - len(prompt):], course.generate(plain, torch.tensor([prompt]), 30, size)[0])


def test_logits_behind_padding_equal_those_without(models):
    plain, fast = models
    idx, lengths = course.left_pad(PROMPTS)
    hidden = fast.hidden(idx, pads=idx.shape[1] - lengths)
    for row, prompt in zip(fast.out_head(hidden), PROMPTS, strict=True):
        assert_close(row[7 - len(prompt):, :60], plain(torch.tensor([prompt]))[0])
    assert hidden.isfinite().all()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("cuts", [(4, 10), (1, 2, 11), (6, 7, 12)])
def test_chunks_after_a_cache_equal_the_whole(models, cuts, padded, training):
    fast = copy.deepcopy(models[1]).train(training)  # in train mode another way computes attention
    x = ids(2, LENGTH)
    pads = torch.tensor([0, 3]) if padded else None
    cache = course.CachedModel(fast, 2, LENGTH, LENGTH).cache
    with torch.no_grad():
        wanted = fast.hidden(x, pads=pads)
        parts = [fast.hidden(x[:, start:end], cache, start, pads)
                 for start, end in zip((0, *cuts), (*cuts, LENGTH), strict=True) if end > start]
    assert_close(torch.cat(parts, dim=1), wanted)


def test_padding_is_not_attended_to_in_train_mode(models):
    fast = copy.deepcopy(models[1]).train()
    idx, lengths = course.left_pad(PROMPTS)
    hidden = fast.hidden(idx, pads=idx.shape[1] - lengths)
    for row, prompt in zip(hidden, PROMPTS, strict=True):
        assert_close(row[7 - len(prompt):], fast.hidden(torch.tensor([prompt]))[0])


def test_what_fills_up_does_not_matter(models):
    _, fast = models
    outs = []
    for pad_id in (0, 7, 59):
        idx, lengths = course.left_pad(PROMPTS, pad_id=pad_id)
        assert idx[2].tolist() == [pad_id] * 6 + [11] and lengths.tolist() == [3, 7, 1, 7]
        out = course.generate_fast(fast, idx, 20, LENGTH, lengths=lengths)
        assert torch.equal(out[:, :7], idx)
        outs.append(out[:, 7:])
    assert torch.equal(outs[0], outs[1]) and torch.equal(outs[0], outs[2])


def test_lengths_that_are_full_change_nothing(models):
    _, fast = models
    idx = ids(3, 4)
    assert torch.equal(course.generate_fast(fast, idx, 20, LENGTH, lengths=torch.tensor([4, 4, 4])),
                       course.generate_fast(fast, idx, 20, LENGTH))


@pytest.mark.parametrize("padded", [False, True])
def test_one_token_at_a_time_goes_through_the_model(padded):
    _, fast = pair()
    inside, outside = [], []
    fast.trf_blocks[0].register_forward_pre_hook(lambda module, inputs: inside.append(inputs[0].shape[1]))
    fast.out_head.register_forward_pre_hook(lambda module, inputs: outside.append(tuple(inputs[0].shape[:2])))
    lengths = torch.tensor([4, 2]) if padded else None
    course.generate_fast(fast, ids(2, 4), 12, LENGTH, lengths=lengths)
    assert inside == [4, *[1] * 8, *[LENGTH] * 3]  # the window is full after eight more tokens
    assert outside == [(2, 1)] * 12


def test_the_first_window_is_computed_once_for_a_long_prompt(models):
    _, fast = models
    seen = []
    hook = fast.tok_emb.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape[1]))
    course.generate_fast(fast, ids(1, 20), 3, 7)
    hook.remove()
    assert seen == [7] * 3


def test_mode_gradients_and_result():
    _, fast = pair(drop_rate=0.5)
    fast.trf_blocks[1].eval()  # a part that somebody has frozen
    before = {name: module.training for name, module in fast.named_modules()}
    idx = ids(2, 4)
    first = course.generate_fast(fast, idx, 20, LENGTH)
    assert {name: module.training for name, module in fast.named_modules()} == before
    assert torch.equal(course.generate_fast(fast, idx, 20, LENGTH), first)  # dropout was off
    assert not first.is_inference() and not first.requires_grad and first.dtype == torch.int64
    assert not course.generate_fast(fast, idx, 0, LENGTH).is_inference()
    assert all(p.grad is None and p.requires_grad for p in fast.parameters()) and torch.is_grad_enabled()
    course.next_token_loss(fast, first[:, :4], first[:, 1:5]).backward()  # the result is good for training
    with pytest.raises(IndexError):
        course.generate_fast(fast, torch.tensor([[999]]), 1, LENGTH)
    assert {name: module.training for name, module in fast.named_modules()} == before


def test_the_prompt_is_left_alone(models):
    idx = ids(2, 4)
    kept = idx.clone()
    out = course.generate_fast(models[1], idx, 0, LENGTH)
    out.fill_(0)
    assert torch.equal(idx, kept)


def test_a_bfloat16_model_generates(models):
    fast = copy.deepcopy(models[1]).bfloat16()
    idx, lengths = course.left_pad(PROMPTS)
    for extra in ({}, {"lengths": lengths}):
        out = course.generate_fast(fast, idx, 20, LENGTH, **extra)
        assert out.shape == (4, 27) and 0 <= out.min() and out.max() < 60
    best = models[0](idx)[:, -1]
    chosen = best.gather(1, course.generate_fast(fast, idx, 1, LENGTH)[:, -1:])[:, 0]
    assert (best.max(dim=-1).values - chosen < 0.05).all()


@pytest.mark.parametrize(("idx", "settings", "message"), [
    (ids(4), {}, r"idx must be \(batch, num_tokens\), got \(4,\)"),
    (ids(1, 1, 4), {}, r"\(1, 1, 4\)"),
    (ids(1, 0), {}, "at least one token"),
    (ids(2, 4), {"context_size": 0}, "12, got 0"),
    (ids(2, 4), {"context_size": 13}, "12, got 13"),
    (ids(2, 4), {"lengths": torch.tensor([0, 4])}, r"between 1 and 4, got \[0, 4\]"),
    (ids(2, 4), {"lengths": torch.tensor([1, 5])}, r"between 1 and 4, got \[1, 5\]"),
    (ids(2, 4), {"lengths": torch.tensor([3])}, r"2 numbers between 1 and 4, got \[3\]"),
    (ids(2, 4), {"temperature": -1.0}, "temperature"),
    (ids(2, 4), {"top_k": 61}, "vocabulary size 60, got 61"),
])
def test_what_cannot_be_continued_is_refused(models, idx, settings, message):
    with pytest.raises(ValueError, match=message):
        course.generate_fast(models[1], idx, 2, **{"context_size": LENGTH, **settings})


@pytest.mark.parametrize(("prompts", "message"), [([], r"got lengths \[\]"), ([[1], []], r"got lengths \[1, 0\]")])
def test_empty_prompts_are_refused(prompts, message):
    with pytest.raises(ValueError, match=message):
        course.left_pad(prompts)


# Eight-bit weights


@pytest.mark.parametrize("bias", [False, True])
def test_int8_weights_move_by_half_a_step_at_most(bias):
    torch.manual_seed(0)
    linear = nn.Linear(20, 9, bias=bias)
    with torch.no_grad():
        linear.weight *= torch.logspace(-3, 3, 9)[:, None]  # each row has its own factor
        linear.weight[4] = 0
    short = course.Int8Linear(linear)
    assert short.weight.dtype == torch.int8
    step = linear.weight.abs().amax(dim=1, keepdim=True) / 127
    moved = (short.weight * short.scale[:, None] - linear.weight).abs()
    assert (moved <= 0.5001 * step).all()
    assert (short.weight.abs().amax(dim=1)[linear.weight.abs().amax(dim=1) > 0] == 127).all()
    x = torch.randn(2, 3, 20)
    wanted = functional.linear(x, short.weight * short.scale[:, None], linear.bias)
    torch.testing.assert_close(short(x), wanted, rtol=1e-4, atol=1e-4)
    assert torch.equal(short(x)[..., 4], torch.zeros(2, 3) + (linear.bias[4] if bias else 0))
    assert not list(short.parameters())


def test_int8_with_bfloat16():
    torch.manual_seed(0)
    linear, x = nn.Linear(64, 32).bfloat16(), torch.randn(5, 64).bfloat16()
    out = course.Int8Linear(linear)(x)
    assert out.dtype == torch.bfloat16
    wanted = linear.float()(x.float())
    assert (out - wanted).norm() < 0.02 * wanted.norm()


@pytest.fixture(scope="module")
def learned():
    """A GPTModelFast that has learned to count: after t comes t + 1."""
    _, fast = pair()
    optimizer = torch.optim.AdamW(fast.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        rows = (torch.randint(0, 60, (16, 1), generator=generator) + torch.arange(LENGTH + 1)) % 60
        loss = course.fast_step(fast, optimizer, [(rows[:, :-1], rows[:, 1:])])
    assert loss < 0.3
    return fast.eval()


@pytest.mark.parametrize("tied", [False, True])
def test_quantizing_leaves_the_model_alone(tied):
    fast = make_tied() if tied else pair()[1]
    before, kinds = tensors(fast), [type(module) for module in fast.modules()]
    short = course.quantize_int8(fast)
    assert_same(before, fast.parameters())
    assert [type(module) for module in fast.modules()] == kinds
    assert all(p.requires_grad for p in fast.parameters())
    assert not any(isinstance(module, nn.Linear) for module in short.modules())
    assert sum(isinstance(module, course.Int8Linear) for module in short.modules()) == 4 * 2 + 1
    assert not any(p.requires_grad for p in short.parameters())
    x = ids(3, LENGTH)
    assert short(x).shape == fast(x).shape
    assert 0 < (short(x) - fast(x)).norm() < 0.05 * fast(x).norm()


@pytest.mark.parametrize("tied", [False, True])
def test_a_quantized_model_loads_its_own_state(tied):
    first, second = (course.quantize_int8(make_tied(seed) if tied else pair(seed)[1]) for seed in (0, 1))
    x = ids(2, LENGTH)
    assert not torch.equal(first(x), second(x))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(x), second(x))


def test_a_quantized_model_says_nearly_the_same(learned):
    short = course.quantize_int8(learned)
    idx = ids(20, 4)
    wanted, found = (course.generate_fast(model, idx, 20, LENGTH) for model in (learned, short))
    assert (found == wanted).float().mean() > 0.9


# Compiling


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["CXX", "headers"])
def test_compiling_is_tried_not_guessed(missing, tmp_path):
    """A compiler's name is not enough: without the compiler, or without Python's header files, nothing compiles."""
    environment = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}  # an empty one: nothing compiled before
    script = "import previous_chapters as course; print(course.can_compile('cpu'))"
    if missing == "CXX":
        environment["CXX"] = "a-compiler-that-does-not-exist"
    else:
        script = f"import sysconfig; sysconfig.get_path = lambda *_, **__: {str(tmp_path)!r}; " + script
    assert output_of(script, **environment).strip() == "False"


@pytest.fixture
def compiler():
    if not course.can_compile("cpu"):
        pytest.skip("no compiler")
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.slow
def test_compiled_steps_equal_eager_ones(compiler):
    losses = []
    for compiled in (False, True):
        _, fast = pair(n_layers=1)
        blocks = [torch.compile(block) for block in fast.trf_blocks] if compiled else None
        losses.append(run_steps(fast, [[batch] for batch in batches(4)], blocks=blocks))
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)


@pytest.mark.slow
def test_compiled_decoding_says_the_same(compiler):
    _, fast = pair(n_layers=1)
    idx = ids(2, 4)
    wanted = course.generate_fast(fast, idx, 12, LENGTH)
    compiled = course.compile_decoding(copy.deepcopy(fast))
    assert torch.equal(course.generate_fast(compiled, idx, 12, LENGTH), wanted)
    copied = copy.deepcopy(compiled)
    with torch.no_grad():
        copied.out_head.weight.neg_()  # the copy's own weights must speak
    reverse = copy.deepcopy(fast)
    with torch.no_grad():
        reverse.out_head.weight.neg_()
    assert torch.equal(course.generate_fast(copied, idx, 12, LENGTH), course.generate_fast(reverse, idx, 12, LENGTH))
    compiled.load_state_dict(reverse.state_dict())
    assert torch.equal(course.generate_fast(compiled, idx, 12, LENGTH), course.generate_fast(reverse, idx, 12, LENGTH))
