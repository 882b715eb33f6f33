"""Generating: greedy and drawn, one prompt and many, with an end token, at the context limit, and the model's mode."""

import pytest
import torch
from torch import nn

import previous_chapters as course
from conftest import TINY

LENGTH = TINY["context_length"]

pytestmark = pytest.mark.usefixtures("one_thread")


class Scripted(nn.Module):
    """A stand-in for a model: after token t comes token `follows[t]`, with certainty."""

    def __init__(self, follows):
        super().__init__()
        self.follows = torch.tensor(follows)

    def forward(self, idx):
        return 10.0 * nn.functional.one_hot(self.follows[idx], len(self.follows)).float()


def prompts(rows=3, length=4):
    torch.manual_seed(1)
    return torch.randint(0, TINY["vocab_size"], (rows, length))


def test_greedy_takes_the_most_probable_token(tiny_model):
    idx = prompts()
    out = course.generate_text_simple(tiny_model, idx, 5, LENGTH)
    for length in range(4, 9):
        assert torch.equal(out[:, length], tiny_model(out[:, :length])[:, -1].argmax(dim=-1))
    assert torch.equal(out[:, :4], idx)


@pytest.fixture
def tiny_model(tiny_model):
    return tiny_model.eval()


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.0}, {"top_k": 1}, {"top_k": 1, "temperature": 5.0},
                                      {"top_k": 60}])
def test_settings_that_are_greedy(tiny_model, settings):
    idx = prompts()
    assert torch.equal(course.generate(tiny_model, idx, 6, LENGTH, **settings),
                       course.generate_text_simple(tiny_model, idx, 6, LENGTH))


@pytest.mark.parametrize("function", [course.generate, course.generate_text_simple])
def test_a_batch_gives_each_row_what_it_gets_alone(tiny_model, function):
    idx = prompts()
    together = function(tiny_model, idx, 20, LENGTH)  # beyond the context length
    assert together.shape == (3, 24)
    for row in range(3):
        assert torch.equal(function(tiny_model, idx[row : row + 1], 20, LENGTH), together[row : row + 1])


def test_only_the_last_tokens_are_seen(tiny_model):
    idx = prompts(length=LENGTH + 5)
    out = course.generate(tiny_model, idx, 1, LENGTH)
    assert torch.equal(out[:, -1], course.generate(tiny_model, idx[:, 5:], 1, LENGTH)[:, -1])


def test_top_k_draws_only_from_each_rows_own_best(tiny_model):
    idx = prompts()
    allowed = tiny_model(idx)[:, -1].topk(3).indices
    torch.manual_seed(0)
    drawn = torch.stack([course.generate(tiny_model, idx, 1, LENGTH, temperature=3.0, top_k=3)[:, -1]
                         for _ in range(100)])
    for row in range(3):
        assert set(drawn[:, row].tolist()) == set(allowed[row].tolist())


def test_draws_follow_the_probabilities(tiny_model):
    idx = prompts(rows=1)
    wanted = torch.softmax(tiny_model(idx)[0, -1] / 0.5, dim=-1)
    torch.manual_seed(0)
    out = course.generate(tiny_model, idx.expand(20_000, -1), 1, LENGTH, temperature=0.5)
    shares = torch.bincount(out[:, -1], minlength=60) / 20_000
    assert (shares - wanted).abs().max() < 5 * (0.25 / 20_000) ** 0.5


def test_a_finished_row_stays_finished_while_others_go_on():
    model = Scripted([1, 2, 9, 4, 5, 6, 7, 9, 3, 3])  # 0 1 2 end; 3 4 5 6 7 end; after the end token would come 3
    out = course.generate(model, torch.tensor([[0], [3]]), 10, 100, eos_id=9)
    assert out.tolist() == [[0, 1, 2, 9, 9, 9], [3, 4, 5, 6, 7, 9]]


def test_one_prompt_stops_with_its_end_token():
    model = Scripted([1, 2, 9, 4, 5, 6, 7, 9, 3, 3])
    assert course.generate(model, torch.tensor([[0]]), 10, 100, eos_id=9).tolist() == [[0, 1, 2, 9]]
    assert course.generate(model, torch.tensor([[2]]), 10, 100, eos_id=9).tolist() == [[2, 9]]


def test_without_an_end_token_nothing_stops():
    model = Scripted([1, 2, 9, 4, 5, 6, 7, 9, 3, 3])
    assert course.generate(model, torch.tensor([[0]]), 5, 100).tolist() == [[0, 1, 2, 9, 3, 4]]


def test_an_end_token_in_the_prompt_is_no_end():
    model = Scripted([1, 2, 9, 4, 5, 6, 7, 9, 3, 3])
    assert course.generate(model, torch.tensor([[9]]), 2, 100, eos_id=9).tolist() == [[9, 3, 4]]


def generate_with_end(model, idx, count, size):
    return course.generate(model, idx, count, size, eos_id=0)


@pytest.mark.parametrize("function", [course.generate, course.generate_text_simple, generate_with_end])
def test_the_model_gets_its_mode_back(tiny_model, function):
    tiny_model.train()
    tiny_model.trf_blocks[1].eval()  # a part that somebody has frozen
    before = {name: module.training for name, module in tiny_model.named_modules()}
    idx = prompts()
    first = function(tiny_model, idx, 3, LENGTH)
    assert {name: module.training for name, module in tiny_model.named_modules()} == before
    assert torch.equal(function(tiny_model, idx, 3, LENGTH), first)  # dropout was off, or it would differ
    tiny_model.eval()
    function(tiny_model, idx, 3, LENGTH)
    assert not any(module.training for module in tiny_model.modules())


def test_the_mode_comes_back_after_an_error(tiny_model):
    tiny_model.train()
    with pytest.raises(ValueError):
        course.generate(tiny_model, torch.empty((1, 0), dtype=torch.int64), 1, LENGTH)
    with pytest.raises(IndexError):
        course.generate_text_simple(tiny_model, torch.tensor([[999]]), 1, LENGTH)
    assert all(module.training for module in tiny_model.modules())


def test_evaluation_leaves_mode_and_gradients_alone(tiny_model):
    tiny_model.train()
    batches = [(prompts(), prompts())]
    losses = [course.evaluate_model(tiny_model, batches, batches, torch.device("cpu"), 1) for _ in range(2)]
    assert losses[0] == losses[1] and tiny_model.training
    assert all(p.grad is None for p in tiny_model.parameters())


def test_what_a_row_means_does_not_depend_on_its_neighbours():
    model = Scripted([1, 2, 9, 4, 5, 6, 7, 9, 3, 3])  # 0 1 2 end; 3 4 5 6 7 end; 8 3 4 5 6 7 end
    starts = [0, 3, 8, 9, 2, 7]
    alone = [course.generate(model, torch.tensor([[start]]), 6, 100, eos_id=9)[0, 1:] for start in starts]
    assert [row.tolist() for row in alone] == [[1, 2, 9], [4, 5, 6, 7, 9], [3, 4, 5, 6, 7, 9], [3, 4, 5, 6, 7, 9], [9],
                                               [9]]
    for others in [[0, 2], [0, 3, 8, 9], [2, 7], [7, 3, 0], starts]:
        together = course.generate(model, torch.tensor(others)[:, None], 6, 100, eos_id=9)[:, 1:]
        for start, row in zip(others, together, strict=True):
            wanted = alone[starts.index(start)]
            assert torch.equal(row[: len(wanted)], wanted) and (row[len(wanted) :] == 9).all()
            assert torch.equal(course.until_end(row, 9), wanted[:-1])
    assert course.until_end(torch.tensor([5, 7, 9, 9]), 9).tolist() == [5, 7]
    assert course.until_end(torch.tensor([5, 7]), 9).tolist() == [5, 7]
