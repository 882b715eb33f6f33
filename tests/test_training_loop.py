"""Warmup, decay and clipping: the schedule is PyTorch's, clipping never sleeps, and no argument is ignored."""

import math
import time

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
from tqdm import tqdm

import previous_chapters as course
from conftest import TINY
from helpers import CPU, batches, fresh, replace_everywhere

PEAK, INITIAL, LEAST = 0.01, 0.001, 0.0005
LENGTHS = [(total, warmup) for total in (1, 2, 3, 10, 135) for warmup in (0, 1, 2, 27, total - 1, total)
           if 0 <= warmup <= total]


pytestmark = pytest.mark.usefixtures("one_thread")


class Letters:
    """A tokenizer for TINY's vocabulary that remembers what it was asked."""

    def __init__(self):
        self.encoded = []

    def encode(self, text, **_):
        self.encoded.append(text)
        return [ord(letter) % TINY["vocab_size"] for letter in text]

    def decode(self, ids):
        return f"<{len(ids)} ids>"


def shuffled():
    """Return a loader that mixes six batches anew in each pass."""
    samples = [(inputs[row], targets[row]) for inputs, targets in batches(6) for row in range(2)]
    return torch.utils.data.DataLoader(samples, batch_size=2, shuffle=True)


def train(model, optimizer, loader=None, **changes):
    settings = {"train_loader": loader or batches(4), "val_loader": batches(2, seed=1), "device": CPU, "n_epochs": 3,
                "eval_freq": 5, "eval_iter": 1, "start_context": "abc", "tokenizer": Letters(), "warmup_steps": 4,
                "initial_lr": INITIAL, "min_lr": LEAST}
    torch.manual_seed(5)  # dropout
    return course.train_model(model=model, optimizer=optimizer, **{**settings, **changes})


def watch(optimizer):
    """Return two lists that receive, at each step, the learning rates and the norm of the gradients to be used."""
    rates, norms = [], []

    def look(optimizer, *_):
        rates.append([group["lr"] for group in optimizer.param_groups])
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norms.append(torch.nn.utils.get_total_norm(gradients).item())

    optimizer.register_step_pre_hook(look)
    return rates, norms


def torch_scheduler(optimizer, total, warmup, initial=INITIAL, least=LEAST):
    peak = optimizer.param_groups[0]["lr"]
    warm = LinearLR(optimizer, start_factor=initial / peak, total_iters=warmup)
    decay = CosineAnnealingLR(optimizer, T_max=max(1, total - warmup), eta_min=least)
    return SequentialLR(optimizer, [warm, decay], milestones=[warmup])


# The schedule


@pytest.mark.parametrize(("total", "warmup"), LENGTHS)
def test_the_schedule_is_torchs_step_for_step(total, warmup):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    scheduler = torch_scheduler(optimizer, total, warmup)
    for step in range(total):
        rate = course.learning_rate_at(step, total, warmup, PEAK, INITIAL, LEAST)
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9), step
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize(("total", "warmup"), LENGTHS)
def test_the_ends_of_the_schedule(total, warmup):
    rates = [course.learning_rate_at(step, total, warmup, PEAK, INITIAL, LEAST) for step in range(total)]
    assert rates[0] == (INITIAL if warmup else PEAK)
    assert rates[:warmup] == sorted(rates[:warmup]) and rates[warmup:] == sorted(rates[warmup:], reverse=True)
    if warmup < total:
        assert rates[warmup] == max(rates) == PEAK
        one_step = math.pi / (total - warmup)
        assert rates[-1] == pytest.approx(LEAST + (PEAK - LEAST) * (1 - math.cos(one_step)) / 2)
    else:
        assert max(rates) < PEAK


def test_the_defaults_are_the_books():
    assert course.learning_rate_at(0, 10, 2, PEAK) == 3e-05
    late = course.learning_rate_at(999_999, 1_000_000, 0, PEAK)
    assert late == pytest.approx(1e-6, rel=1e-3)


@pytest.mark.parametrize(("arguments", "message"), [
    ((0, 0, 0, PEAK), "total_steps must be at least 1, got 0"),
    ((-1, 10, 2, PEAK), "step must be between 0 and 9, got -1"),
    ((10, 10, 2, PEAK), "step must be between 0 and 9, got 10"),
    ((0, 10, -1, PEAK), "warmup_steps must be a whole number from 0 to total_steps=10, got -1"),
    ((0, 10, 11, PEAK), "warmup_steps must be a whole number from 0 to total_steps=10, got 11"),
    ((0, 10, 0.2, PEAK), "warmup_steps must be a whole number from 0 to total_steps=10, got 0.2"),
    ((0, 10, 2, PEAK, 0.02), "initial_lr must be between 0 and the peak rate 0.01, got 0.02"),
    ((0, 10, 2, PEAK, -0.1), "initial_lr must be between 0"),
    ((0, 10, 2, PEAK, math.nan), "initial_lr must be between 0"),
    ((0, 10, 2, PEAK, INITIAL, 0.02), "min_lr must be between 0 and the peak rate 0.01, got 0.02"),
    ((0, 10, 2, -PEAK), "initial_lr must be between 0 and the peak rate -0.01"),
])
def test_an_impossible_schedule_says_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        course.learning_rate_at(*arguments)


def test_a_rate_that_is_not_in_use_may_be_anything():
    assert course.learning_rate_at(0, 10, 0, 1e-5, initial_lr=1) == 1e-5
    assert course.learning_rate_at(9, 10, 10, 1e-5, initial_lr=0, min_lr=1) < 1e-5


def test_a_warmup_computed_as_a_share_may_be_a_float():
    assert course.learning_rate_at(1, 10, 0.2 * 10, PEAK, 0.0) == PEAK / 2


# The highest gradient


def test_the_highest_gradient_is_found_whatever_its_sign_and_place():
    layers = torch.nn.ModuleList([torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)])
    assert course.find_highest_gradient(layers) is None
    layers[0].weight.grad = torch.tensor([[0.5, -0.1], [0.2, 0.0]])  # the other parameters have none
    assert course.find_highest_gradient(layers) == 0.5
    layers[1].bias.grad = torch.tensor([0.25, -3.0])
    assert course.find_highest_gradient(layers) == 3.0
    layers[1].weight.grad = torch.tensor([[0.0, 0.0], [math.nan, 0.0]])
    assert course.find_highest_gradient(layers).isnan()


# The training function


def test_a_run_is_a_plain_loop_with_torchs_schedulers_bit_for_bit():
    loader = batches(4)
    model, optimizer = fresh(factor=20)
    norms = []
    _, _, _, rates = train(model, optimizer, loader, grad_norms=norms)

    plain, plain_optimizer = fresh(factor=20)
    scheduler = torch_scheduler(plain_optimizer, 12, 4)
    plain_rates, plain_norms = [], []
    torch.manual_seed(5)
    plain.train()
    for _ in range(3):
        for inputs, targets in loader:
            plain_optimizer.zero_grad()
            torch.nn.functional.cross_entropy(plain(inputs).flatten(0, 1), targets.flatten()).backward()
            plain_norms.append(torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0).item())
            plain_rates.append(scheduler.get_last_lr()[0])
            plain_optimizer.step()
            scheduler.step()
    assert norms == plain_norms
    assert rates == pytest.approx(plain_rates, rel=1e-12)
    for (name, ours), (_, theirs) in zip(model.named_parameters(), plain.named_parameters(), strict=True):
        assert torch.equal(ours, theirs), name


@pytest.mark.parametrize("warmup", [0, 1, 4, 11, 12])
def test_the_optimizer_gets_the_rate_of_the_schedule_at_every_step(warmup):
    model, optimizer = fresh()
    rates, _ = watch(optimizer)
    _, _, _, tracked = train(model, optimizer, warmup_steps=warmup)
    wanted = [course.learning_rate_at(step, 12, warmup, PEAK, INITIAL, LEAST) for step in range(12)]
    assert [rate for (rate,) in rates] == tracked == wanted


def test_gradients_are_clipped_on_every_step_during_warmup_too():
    model, optimizer = fresh(factor=1000)
    _, seen = watch(optimizer)
    norms = []
    train(model, optimizer, warmup_steps=6, grad_norms=norms)
    assert len(seen) == len(norms) == 12 and min(norms) > 2
    assert seen == pytest.approx([1.0] * 12, abs=1e-4)


def test_short_gradients_are_left_alone():
    model, optimizer = fresh(factor=0.01)
    _, seen = watch(optimizer)
    norms = []
    train(model, optimizer, grad_norms=norms)
    assert max(norms) < 1
    assert seen == pytest.approx(norms, rel=1e-6)


def test_one_norm_counts_for_all_parameters():
    """Clipped one by one, parameters would change their share of the gradient."""
    model, optimizer = fresh(factor=1000)
    before, after = [], []
    handle = torch.nn.utils.clip_grad_norm_

    def clip(parameters, max_norm):
        parameters = list(parameters)
        before.append([p.grad.norm().item() for p in parameters])
        total = handle(parameters, max_norm)
        after.append([p.grad.norm().item() for p in parameters])
        return total

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.utils, "clip_grad_norm_", clip)
        train(model, optimizer)
    assert len(before) == 12
    for one, other in zip(before, after, strict=True):
        total = math.hypot(*one)
        assert other == pytest.approx([norm / total for norm in one], rel=1e-3, abs=1e-9)


@pytest.mark.parametrize(("eval_freq", "evaluations"), [(1, 12), (5, 3), (6, 2), (100, 1)])
def test_the_lists_have_an_entry_per_evaluation_and_a_rate_per_step(capsys, eval_freq, evaluations):
    model, optimizer = fresh()
    norms = []
    train_losses, val_losses, tokens_seen, rates = train(model, optimizer, eval_freq=eval_freq, grad_norms=norms)
    assert len(train_losses) == len(val_losses) == evaluations
    assert tokens_seen == [16 * (step + 1) for step in range(0, 12, eval_freq)]
    assert len(rates) == len(norms) == 12
    lines = [line for line in capsys.readouterr().out.splitlines() if "Step" in line]
    assert lines == [f"Ep {step // 4 + 1} (Step {step:06d}): Train loss {a:.3f}, Val loss {b:.3f}"
                     for step, a, b in zip(range(0, 12, eval_freq), train_losses, val_losses, strict=True)]


def test_it_learns():
    model, optimizer = fresh()
    train_losses, _, _, _ = train(model, optimizer, n_epochs=10, eval_freq=39, eval_iter=4)
    assert train_losses[-1] < 0.75 * train_losses[0]
    assert model.training


def test_a_model_in_eval_mode_is_put_into_train_mode():
    norms = {True: [], False: []}
    for mode in norms:
        model, optimizer = fresh()
        train(model.train(mode), optimizer, grad_norms=norms[mode])
    assert norms[True] == norms[False]  # the same dropout


def test_no_argument_is_ignored(monkeypatch, capsys):
    calls, evaluations = [], []
    original_loss, original_evaluation = course.calc_loss_batch, course.evaluate_model

    def loss(inputs, targets, model, device):
        calls.append((model, device))
        return original_loss(inputs, targets, model, device)

    def evaluation(*arguments):
        evaluations.append(arguments)
        return original_evaluation(*arguments)

    replace_everywhere(monkeypatch, "calc_loss_batch", loss)
    replace_everywhere(monkeypatch, "evaluate_model", evaluation)
    model, optimizer = fresh()
    tokenizer, train_loader, val_loader, device = Letters(), batches(4), batches(2, seed=1), torch.device("cpu", 0)
    course.train_model(model, train_loader, val_loader, optimizer, device, 2, 3, 2, "hello", tokenizer, 0)
    assert all(a is model and b is device for a, b in calls)
    assert evaluations == [(model, train_loader, val_loader, device, 2)] * 3  # at steps 0, 3 and 6 of 8
    assert tokenizer.encoded == ["hello"] * 3  # once before any training, then a sample per epoch
    assert capsys.readouterr().out.count("<55 ids>") == 2


def test_how_many_batches_an_evaluation_takes_does_not_change_the_training():
    """As the notebook says: the book evaluates over one batch, we over five, and both train the same model."""
    loader, runs = shuffled(), []
    for eval_iter in (1, 5):
        model, optimizer = fresh()
        norms = []
        losses = train(model, optimizer, loader, eval_iter=eval_iter, grad_norms=norms)[0]
        runs.append((norms, losses))
    assert runs[0][0] == runs[1][0] and runs[0][1] != runs[1][1]


def test_the_batches_come_in_the_order_of_chapter_5(monkeypatch):
    """As the notebook says: with the same seed and eval_freq, `train_model_simple` sees the same batches."""
    original, seen, orders = course.calc_loss_batch, [], []

    def loss(inputs, targets, model, device):
        if torch.is_grad_enabled():
            seen.append(inputs.tolist())
        return original(inputs, targets, model, device)

    replace_everywhere(monkeypatch, "calc_loss_batch", loss)
    loader = shuffled()
    for function, extra in [(course.train_model_simple, []), (course.train_model, [3])]:
        model, optimizer = fresh()
        function(model, loader, loader, optimizer, CPU, 2, 5, 1, "abc", Letters(), *extra)
        orders.append(list(seen))
        seen.clear()
    assert orders[0] == orders[1] and len(orders[0]) == 2 * len(loader)
    assert orders[0][: len(loader)] != orders[0][len(loader):]


def test_a_second_call_starts_from_the_same_peak():
    model, optimizer = fresh()
    first = train(model, optimizer)[3]
    assert optimizer.param_groups[0]["lr"] == PEAK
    assert train(model, optimizer)[3] == first


def test_an_interrupted_call_gives_the_peak_back():
    model, optimizer = fresh()
    broken = [*batches(2), (torch.tensor([[TINY["vocab_size"]]]), torch.tensor([[0]]))]  # an id too large
    with pytest.raises(IndexError):
        train(model, optimizer, broken)
    assert optimizer.param_groups[0]["lr"] == PEAK


def test_groups_of_parameters_keep_their_ratio():
    model, _ = fresh()
    head = list(model.out_head.parameters())
    rest = [p for p in model.parameters() if p is not head[0]]
    optimizer = torch.optim.AdamW([{"params": rest, "lr": PEAK / 10}, {"params": head, "lr": PEAK}])
    rates, _ = watch(optimizer)
    tracked = train(model, optimizer)[3]
    assert max(tracked) == PEAK
    assert [rate for _, rate in rates] == tracked
    assert [rate for rate, _ in rates] == pytest.approx([rate / 10 for rate in tracked])
    assert [group["lr"] for group in optimizer.param_groups] == [PEAK / 10, PEAK]


def test_the_rate_of_a_step_is_the_highest_groups_and_the_others_follow():
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(3)]
    peaks = [0.1, 0.4, 0.2]
    optimizer = torch.optim.SGD([{"params": [weight], "lr": peak} for weight, peak in zip(weights, peaks, strict=True)])
    course.set_learning_rate(optimizer, 0.02, peaks)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.005, 0.02, 0.01])
    course.set_learning_rate(optimizer, 0.4, peaks)  # counted from the peaks, not from the last rates
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(peaks)


@pytest.mark.parametrize(("changes", "message"), [
    ({"n_epochs": 0}, "total_steps must be at least 1"),
    ({"warmup_steps": 13}, "from 0 to total_steps=12, got 13"),
    ({"warmup_steps": -1}, "got -1"),
    ({"initial_lr": 0.1}, "initial_lr must be"),
    ({"min_lr": 0.1}, "min_lr must be"),
])
def test_an_impossible_schedule_is_refused_before_anything_is_trained(changes, message, capsys):
    model, optimizer = fresh()
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(ValueError, match=message):
        train(model, optimizer, **changes)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert optimizer.param_groups[0]["lr"] == PEAK and capsys.readouterr().out == ""


def test_a_start_context_without_tokens_is_refused_before_anything_is_trained(capsys):
    model, optimizer = fresh()
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(ValueError, match="start_context must have at least one token, got ''"):
        train(model, optimizer, start_context="")
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert optimizer.param_groups[0]["lr"] == PEAK and capsys.readouterr().out == ""


def test_the_speed_is_that_of_training_without_evaluations_and_samples(monkeypatch):
    """A clock that only the test moves: a step takes 2 seconds, whatever else 1,000."""
    now, shown, original_loss = [0.0], [], course.calc_loss_batch

    def loss(*arguments):
        now[0] += 2 if torch.is_grad_enabled() else 0
        return original_loss(*arguments)

    def evaluation(*_):
        now[0] += 1000
        return 0.0, 0.0

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    replace_everywhere(monkeypatch, "calc_loss_batch", loss)
    replace_everywhere(monkeypatch, "evaluate_model", evaluation)
    replace_everywhere(monkeypatch, "generate_and_print_sample", evaluation)
    monkeypatch.setattr(tqdm, "set_postfix_str", lambda _, text: shown.append(text))
    model, optimizer = fresh()
    train(model, optimizer)
    assert [text.split(", ")[1] for text in shown] == ["8 tokens/s"] * 12  # 16 tokens in 2 seconds
