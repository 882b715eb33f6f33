"""What a reader of the book types runs against our modules: every name, with the arguments in the book's order.

The calls are our own. Where the book reads a global variable, ours takes an argument.
"""

import inspect
from functools import partial

import matplotlib
import numpy as np
import pytest
import tiktoken
import torch
from torch.utils.data import DataLoader

import ddp_script
import gpt_download
import previous_chapters as course
from conftest import TINY

matplotlib.use("Agg")
CPU = torch.device("cpu")
TEXT = "One two three, four five six. Seven eight nine; ten eleven twelve! "

SIGNATURES = {
    # chapter 2
    "SimpleTokenizerV1": "vocab",
    "SimpleTokenizerV2": "vocab",
    "GPTDatasetV1": "txt, tokenizer, max_length, stride",
    "create_dataloader_v1": "txt, batch_size=4, max_length=256, stride=128, shuffle=True, drop_last=True, "
                            "num_workers=0",
    # chapter 3
    "softmax_naive": "x",
    "SelfAttention_v1": "d_in, d_out",
    "SelfAttention_v2": "d_in, d_out, qkv_bias=False",
    "CausalAttention": "d_in, d_out, context_length, dropout, qkv_bias=False",
    "MultiHeadAttentionWrapper": "d_in, d_out, context_length, dropout, num_heads, qkv_bias=False",
    "MultiHeadAttention": "d_in, d_out, context_length, dropout, num_heads, qkv_bias=False",
    # chapter 4
    "DummyGPTModel": "cfg",
    "DummyTransformerBlock": "cfg",
    "DummyLayerNorm": "normalized_shape, eps=1e-05",
    "LayerNorm": "emb_dim",
    "GELU": "",
    "FeedForward": "cfg",
    "ExampleDeepNeuralNetwork": "layer_sizes, use_shortcut",
    "print_gradients": "model, x",
    "TransformerBlock": "cfg",
    "GPTModel": "cfg",
    "generate_text_simple": "model, idx, max_new_tokens, context_size",
    # chapter 5
    "text_to_token_ids": "text, tokenizer",
    "token_ids_to_text": "token_ids, tokenizer",
    "calc_loss_batch": "input_batch, target_batch, model, device",
    "calc_loss_loader": "data_loader, model, device, num_batches=None",
    "evaluate_model": "model, train_loader, val_loader, device, eval_iter",
    "generate_and_print_sample": "model, tokenizer, device, start_context",
    "train_model_simple": "model, train_loader, val_loader, optimizer, device, num_epochs, eval_freq, eval_iter, "
                          "start_context, tokenizer",
    "plot_losses": "epochs_seen, tokens_seen, train_losses, val_losses",
    "print_sampled_tokens": "probas",
    "softmax_with_temperature": "logits, temperature",
    "generate": "model, idx, max_new_tokens, context_size, temperature=0.0, top_k=None, eos_id=None",
    "assign": "left, right",
    "load_weights_into_gpt": "gpt, params",
    # chapter 7
    "format_input": "entry",
    "InstructionDataset": "data, tokenizer",
    "custom_collate_fn": "batch, pad_token_id=50256, ignore_index=-100, allowed_max_length=None, device='cpu'",
    # appendices A and D
    "NeuralNetwork": "num_inputs, num_outputs",
    "ToyDataset": "X, y",
    "compute_accuracy": "model, dataloader, device",
    "find_highest_gradient": "model",
    "train_model": "model, train_loader, val_loader, optimizer, device, n_epochs, eval_freq, eval_iter, start_context, "
                   "tokenizer, warmup_steps, initial_lr=3e-05, min_lr=1e-06",
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_the_first_parameters_are_the_books(name):
    """A default may be added, and parameters with defaults may follow."""
    wanted = [part.partition("=")[::2] for part in SIGNATURES[name].split(", ") if part]
    parameters = [parameter for parameter in inspect.signature(getattr(course, name)).parameters.values()
                  if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    assert [parameter.name for parameter in parameters[: len(wanted)]] == [word for word, _ in wanted]
    for parameter, (_, default) in zip(parameters, wanted, strict=False):
        assert default in ("", repr(parameter.default))
    assert all(parameter.default is not parameter.empty for parameter in parameters[len(wanted):])


@pytest.fixture
def tokenizer():
    return tiktoken.get_encoding("gpt2")


@pytest.fixture
def gpt():
    torch.manual_seed(0)
    return course.GPTModel({**TINY, "vocab_size": 50257})


def loader(**settings):
    return course.create_dataloader_v1(TEXT * 4, batch_size=2, max_length=8, stride=8, **settings)


def test_chapter_2(tokenizer):
    words = {word: number for number, word in enumerate(sorted({"One", "two", ",", "<|unk|>", "<|endoftext|>"}))}
    first, second = course.SimpleTokenizerV1(words), course.SimpleTokenizerV2(words)
    assert first.decode(first.encode("One, two")) == "One, two"
    assert second.decode(second.encode("One, three")) == "One, <|unk|>"
    assert (first.str_to_int["two"], first.int_to_str[words["two"]]) == (words["two"], "two")
    dataset = course.GPTDatasetV1(TEXT, tokenizer, 4, 2)
    inputs, targets = dataset[0]
    assert len(dataset) > 5 and torch.equal(inputs[1:], targets[:-1])
    assert torch.equal(torch.stack(list(dataset.input_ids))[0], inputs) and len(dataset.target_ids) == len(dataset)
    inputs, targets = next(iter(loader(shuffle=False)))
    assert inputs.shape == targets.shape == (2, 8)


def test_chapter_3():
    x = torch.rand(2, 5, 3)
    assert torch.allclose(course.softmax_naive(x[0, 0]), torch.softmax(x[0, 0], dim=-1))
    first, second = course.SelfAttention_v1(3, 2), course.SelfAttention_v2(3, 2)
    first.W_query.data, first.W_key.data, first.W_value.data = (
        layer.weight.data.T for layer in (second.W_query, second.W_key, second.W_value))
    assert torch.allclose(first(x[0]), second(x[0]))
    causal = course.CausalAttention(3, 2, 5, 0.0)
    assert causal(x).shape == (2, 5, 2) and causal.mask.shape == (5, 5) and causal.dropout.p == 0.0
    wrapper = course.MultiHeadAttentionWrapper(3, 2, 5, 0.0, num_heads=2)
    assert wrapper(x).shape == (2, 5, 4) and len(wrapper.heads) == 2
    heads = course.MultiHeadAttention(3, 4, 5, 0.0, num_heads=2)
    assert heads(x).shape == (2, 5, 4) and (heads.d_out, heads.num_heads, heads.head_dim) == (4, 2, 2)
    assert first.W_query.shape == (3, 2) and causal.d_out == 2


def test_chapter_4(capsys):
    ids = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
    assert course.DummyGPTModel(TINY)(ids).shape == (2, 4, TINY["vocab_size"])
    x = torch.randn(2, 4, TINY["emb_dim"])
    assert torch.equal(course.DummyTransformerBlock(TINY)(x), x)
    assert torch.equal(course.DummyLayerNorm(TINY["emb_dim"])(x), x)
    normed = course.LayerNorm(emb_dim=TINY["emb_dim"])(x)
    assert torch.allclose(normed.mean(dim=-1), torch.zeros(2, 4), atol=1e-5)
    assert course.GELU()(x).shape == course.FeedForward(TINY)(x).shape == course.TransformerBlock(TINY)(x).shape
    for use_shortcut in (False, True):
        torch.manual_seed(123)
        model = course.ExampleDeepNeuralNetwork([3, 3, 3, 3, 3, 1], use_shortcut=use_shortcut)
        course.print_gradients(model, torch.tensor([[1.0, 0.0, -1.0]]))
    assert capsys.readouterr().out.count("layers.4.0.weight") == 2
    model = course.GPTModel(TINY)
    model.eval()
    assert len(model.trf_blocks) == TINY["n_layers"] and model.tok_emb.weight.shape == model.out_head.weight.shape
    out = course.generate_text_simple(model=model, idx=ids, max_new_tokens=3, context_size=TINY["context_length"])
    assert out.shape == (2, 7) and torch.equal(out[:, :4], ids)


def test_chapter_5(gpt, tokenizer, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("matplotlib.pyplot.show", lambda *_: None)
    monkeypatch.chdir(tmp_path)  # where a reader's plot may be saved
    idx = course.text_to_token_ids("One two", tokenizer)
    assert idx.shape[0] == 1 and course.token_ids_to_text(idx, tokenizer) == "One two"
    train_loader = loader()
    inputs, targets = next(iter(train_loader))
    assert course.calc_loss_batch(inputs, targets, gpt, CPU).item() > 5
    assert course.calc_loss_loader(train_loader, gpt, CPU, num_batches=1) > 5
    optimizer = torch.optim.AdamW(gpt.parameters(), lr=0.0004, weight_decay=0.1)
    train_losses, val_losses, tokens_seen = course.train_model_simple(
        gpt, train_loader, train_loader, optimizer, CPU, num_epochs=1, eval_freq=2, eval_iter=1,
        start_context="One two", tokenizer=tokenizer)
    assert len(train_losses) == len(val_losses) == len(tokens_seen) > 0 and "Ep 1" in capsys.readouterr().out
    course.plot_losses(torch.linspace(0, 1, len(train_losses)), tokens_seen, train_losses, val_losses)
    assert len(course.evaluate_model(gpt, train_loader, train_loader, CPU, 1)) == 2
    course.generate_and_print_sample(gpt, tokenizer, CPU, "One two")
    logits = torch.tensor([4.0, 1.0, -2.0])
    assert torch.allclose(course.softmax_with_temperature(logits, 2.0), torch.softmax(logits / 2, dim=0))
    course.print_sampled_tokens(torch.softmax(logits, dim=0))
    ids = course.generate(model=gpt, idx=idx, max_new_tokens=3, context_size=TINY["context_length"], top_k=25,
                          temperature=1.4)
    assert ids.shape == (1, idx.shape[1] + 3)

    torch.save({"model_state_dict": gpt.state_dict(), "optimizer_state_dict": optimizer.state_dict()}, "book.pth")
    other = course.GPTModel({**TINY, "vocab_size": 50257})
    course.load_checkpoint("book.pth", other, torch.optim.AdamW(other.parameters(), lr=1e-3))
    assert all(map(torch.equal, gpt.parameters(), other.parameters()))


def test_chapter_5_weights():
    left = torch.nn.Parameter(torch.zeros(2, 3))
    right = np.arange(6.0, dtype=np.float32).reshape(2, 3)
    loaded = course.assign(left, right)
    assert isinstance(loaded, torch.nn.Parameter) and torch.equal(loaded, torch.tensor(right))
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3, 2\)"):
        course.assign(left, right.T)
    names = list(course.model_configs)
    assert names == ["gpt2-small (124M)", "gpt2-medium (355M)", "gpt2-large (774M)", "gpt2-xl (1558M)"]
    parameters = list(inspect.signature(gpt_download.download_and_load_gpt2).parameters)
    assert parameters[:2] == ["model_size", "models_dir"]


def test_chapter_7(gpt, tokenizer, capsys):
    data = [{"instruction": f"Write the number {number}.", "input": "in words" if number % 2 else "", "output": word}
            for number, word in enumerate(["nought", "one", "two", "three", "four"])]
    request = course.format_input(data[1])
    assert request.endswith("\n\n### Instruction:\nWrite the number 1.\n\n### Input:\nin words")
    dataset = course.InstructionDataset(data, tokenizer)
    assert len(dataset) == 5
    assert tokenizer.decode(dataset[1]) == f"{request}\n\n### Response:\n{data[1]['output']}"
    collate = partial(course.custom_collate_fn, device=CPU, allowed_max_length=1024)
    torch.manual_seed(123)
    train_loader = DataLoader(dataset, batch_size=2, collate_fn=collate, shuffle=True, drop_last=True, num_workers=0)
    for inputs, targets in train_loader:
        assert inputs.shape == targets.shape and torch.equal(inputs[:, 1:][targets[:, :-1] != -100],
                                                             targets[:, :-1][targets[:, :-1] != -100])
        assert (targets == 50256).sum() == 2  # the end of each text
    longer = course.GPTModel({**TINY, "vocab_size": 50257, "context_length": 128})
    optimizer = torch.optim.AdamW(longer.parameters(), lr=0.00005, weight_decay=0.1)
    train_losses, val_losses, tokens_seen = course.train_model_simple(
        longer, train_loader, train_loader, optimizer, CPU, num_epochs=1, eval_freq=5, eval_iter=5,
        start_context=course.format_input(data[0]), tokenizer=tokenizer)
    assert len(train_losses) == len(val_losses) == 1 and "Ep 1" in capsys.readouterr().out
    ids = course.generate(model=longer, idx=course.text_to_token_ids(request, tokenizer), max_new_tokens=4,
                          context_size=128, eos_id=50256)
    assert course.token_ids_to_text(ids, tokenizer).startswith(request)


def test_appendix_a():
    model = course.NeuralNetwork(2, 2)
    dataset = course.ToyDataset(torch.tensor([[-1.0, 3.0], [2.0, -1.0]]), torch.tensor([0, 1]))
    assert len(dataset) == 2 and dataset[1][1] == 1 and dataset.features.shape == (2, 2)
    data = DataLoader(dataset=dataset, batch_size=2, shuffle=False, num_workers=0)
    accuracies = [course.compute_accuracy(model, data), course.compute_accuracy(model, data, CPU)]
    assert accuracies[0] == accuracies[1] in (0.0, 0.5, 1.0)
    for name, wanted in [("ddp_setup", ["rank", "world_size"]), ("prepare_dataset", []),
                         ("main", ["rank", "world_size", "num_epochs"])]:
        assert list(inspect.signature(getattr(ddp_script, name)).parameters)[: len(wanted)] == wanted


def test_appendix_d(gpt, tokenizer):
    inputs, targets = next(iter(loader()))
    course.calc_loss_batch(inputs, targets, gpt, CPU).backward()
    assert course.find_highest_gradient(gpt) > 0
    optimizer = torch.optim.AdamW(gpt.parameters(), weight_decay=0.1)
    lists = course.train_model(gpt, loader(), loader(), optimizer, CPU, n_epochs=2, eval_freq=5, eval_iter=1,
                               start_context="One two", tokenizer=tokenizer, warmup_steps=2, initial_lr=1e-5,
                               min_lr=1e-5)
    assert len(lists) == 4 and len(lists[3]) == 2 * len(loader())
