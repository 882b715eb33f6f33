"""Bad input: each error names the value and what is allowed."""

import math
import re

import pytest
import torch

import previous_chapters as course
from conftest import TINY
from helpers import CPU


def raises(*parts):
    """Expect a ValueError whose message has all the parts in this order."""
    return pytest.raises(ValueError, match=".*".join(re.escape(str(part)) for part in parts))


def test_text_shorter_than_a_window():
    with raises("4 tokens", "max_length=4", "5"):
        course.create_dataloader_v1("Every effort moves you", batch_size=1, max_length=4, stride=1)
    inputs, targets = next(iter(course.create_dataloader_v1("Every effort moves you", 1, max_length=3, stride=1)))
    assert inputs.shape == targets.shape == (1, 3)  # one window just fits


def test_empty_text():
    with raises("0 tokens", "max_length=256"):
        course.create_dataloader_v1("")


@pytest.mark.parametrize("value", [0, -3])
@pytest.mark.parametrize("name", ["max_length", "stride", "batch_size"])
def test_loader_numbers_below_one(name, value):
    settings = {"max_length": 2, "stride": 1, "batch_size": 1} | {name: value}
    with raises(name, "at least 1", value):
        course.create_dataloader_v1("Every effort moves you", **settings)


def test_a_loader_without_batches():
    with raises("2 windows", "batch_size=3"):
        course.create_dataloader_v1("Every effort moves you", 3, max_length=2, stride=1)
    assert len(course.create_dataloader_v1("Every effort moves you", 3, max_length=2, stride=1, drop_last=False)) == 1


def test_too_many_tokens(tiny_model):
    tiny_model(torch.zeros(1, 12, dtype=torch.int64))
    with raises("13 tokens", "12"):
        tiny_model(torch.zeros(1, 13, dtype=torch.int64))


@pytest.mark.parametrize("attention_class", [course.CausalAttention, course.MultiHeadAttentionWrapper,
                                             course.MultiHeadAttention])
def test_too_many_tokens_for_attention(attention_class):
    attention = attention_class(4, 4, 6, 0.0, *([] if attention_class is course.CausalAttention else [2]))
    with raises("7 tokens", "6"):
        attention(torch.zeros(1, 7, 4))


@pytest.mark.parametrize("heads", [0, 3, 7])
def test_heads_that_do_not_divide(heads):
    with raises("d_out=10", f"num_heads={heads}"):
        course.MultiHeadAttention(10, 10, 6, 0.0, num_heads=heads)
    with raises("divisible"):
        course.GPTModel({**TINY, "n_heads": 3})


def test_negative_temperature(tiny_model):
    with raises("0 or above", "-0.5"):
        course.generate(tiny_model, torch.tensor([[1]]), 1, 12, temperature=-0.5)


@pytest.mark.parametrize("top_k", [0, -1, 61])
def test_top_k_out_of_range(tiny_model, top_k):
    with raises("between 1 and", 60, top_k):
        course.generate(tiny_model, torch.tensor([[1]]), 1, 12, top_k=top_k)
    course.generate(tiny_model, torch.tensor([[1]]), 1, 12, top_k=60, temperature=1.0)


@pytest.mark.parametrize("function", [course.generate, course.generate_text_simple])
def test_empty_prompt(tiny_model, function):
    with raises("at least one token", "(1, 0)"):
        function(tiny_model, torch.empty((1, 0), dtype=torch.int64), 1, 12)
    with raises("(batch, num_tokens)", "(3,)"):
        function(tiny_model, torch.tensor([1, 2, 3]), 1, 12)
    with raises("context_size", 0):
        function(tiny_model, torch.tensor([[1]]), 1, 0)


def test_a_context_size_beyond_the_models(tiny_model):
    with raises("13 tokens", "12"):
        course.generate(tiny_model, torch.zeros(1, 13, dtype=torch.int64), 1, 100)


def test_empty_prompt_text():
    import tiktoken

    ids = course.text_to_token_ids("", tiktoken.get_encoding("gpt2"))
    assert ids.shape == (1, 0) and ids.dtype == torch.int64


@pytest.mark.parametrize("num_batches", [None, 0, 5])
def test_an_empty_loader_has_no_mean(tiny_model, num_batches):
    assert math.isnan(course.calc_loss_loader([], tiny_model, CPU, num_batches))


def test_zero_batches_have_no_mean(tiny_model):
    batch = torch.zeros(1, 4, dtype=torch.int64)
    assert math.isnan(course.calc_loss_loader([(batch, batch)], tiny_model, CPU, 0))


def test_examples_without_labels():
    with pytest.raises(ValueError, match="got 3 examples and 2 labels"):
        course.ToyDataset(torch.rand(3, 2), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="the loader gives no examples"):
        course.compute_accuracy(course.NeuralNetwork(2, 2), [])
