"""Chapter 6: data, splits, padding, what is trained, the cache, the head, the interval, files, and bad input."""

import copy
import gzip
import hashlib
import json
import math
import random
import re
from types import SimpleNamespace

import pandas as pd
import pytest
import tiktoken
import torch
from torch.utils.data import DataLoader, TensorDataset

import classifiers
import gpt_download
import previous_chapters as course
from conftest import ROOT, TINY
from helpers import CPU, assert_close, replace_everywhere
from notebooks import figures
from openai_layout import random_checkpoint
from previous_chapters import POOLINGS, CachedClassifier, SpamDataset, TextClassifier

pytestmark = pytest.mark.usefixtures("one_thread")
DATA = ROOT / "notebooks" / "data"
GPT = {**TINY, "context_length": 256, "n_layers": 3, "drop_rate": 0.0, "qkv_bias": True}
LLAMA = {"vocab_size": 60, "context_length": 256, "emb_dim": 48, "n_heads": 6, "n_kv_heads": 2, "n_layers": 3,
         "hidden_dim": 100, "rope_base": 1000.0, "norm_eps": 1e-5}
GOLDEN_PARTS = ["be3ab846627c3aa6", "2306157bd85fcaf7", "a4c2f23e58362b7e"]
GOLDEN_SENTENCES = "4d6d810431a88c3fc36488cca4f67599cba4c7cba47c9de61d6e941a915749c9"


class Letters:
    """A tokenizer of 58 tokens, one a letter; number 0 and number 59 are left for padding, and ~ has no token."""

    def encode_ordinary(self, text):
        return [1 + ord(letter) % 58 for letter in text if letter != "~"]


LETTERS = Letters()


@pytest.fixture(params=["gpt", "llama"])
def shape(request):
    """An architecture: `model(seed, **changes)` makes a random model of three blocks, `pad` is its padding token."""
    kind, cfg, pad = {"gpt": (course.GPTModel, GPT, 59), "llama": (course.LlamaModel, LLAMA, 0)}[request.param]

    def model(seed=0, **changes):
        torch.manual_seed(seed)
        made = kind({**cfg, **changes}).eval()
        torch.nn.init.normal_(made.tok_emb.weight)
        return made

    def classifier(seed=0, **settings):
        made = model(seed)
        return TextClassifier(made, **{"pad_token_id": pad, **settings})

    return SimpleNamespace(name=request.param, cfg=cfg, pad=pad, model=model, classifier=classifier)


def padded(texts, pad, length):
    """Return the token ids of texts as a rectangle."""
    encoded = [LETTERS.encode_ordinary(text) for text in texts]
    return torch.tensor([ids + [pad] * (length - len(ids)) for ids in encoded])


def random_ids(count, pad, length=12, seed=0):
    """Return texts of random lengths, from 1 to `length` tokens, and their labels."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 59, (count, length), generator=generator)
    lengths = torch.randint(1, length + 1, (count, 1), generator=generator)
    labels = torch.randint(0, 2, (count,), generator=generator)
    return ids.where(torch.arange(length) < lengths, pad), labels


def raises(*parts):
    """Expect a ValueError whose message has all the parts in this order."""
    return pytest.raises(ValueError, match=".*".join(re.escape(str(part)) for part in parts))


def write_csv(path, rows):
    """Write a table of (label, text)."""
    pd.DataFrame(rows, columns=["Label", "Text"]).to_csv(path, index=False)
    return path


def train(network, inputs, labels, steps=6, batch=4, lr=1e-3):
    """Take some steps of AdamW and return the loss before each."""
    network.train()
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=lr, weight_decay=0.1)
    losses = []
    for step in range(steps):
        rows = (torch.arange(batch) + step * batch) % len(inputs)
        loss = course.calc_loss_batch_classifier(inputs[rows], labels[rows], network, CPU)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


# From a file to a verdict


def spam_and_ham(count):
    """Return rows (label, text) that a model can tell apart: spam is full of dollars."""
    generator = random.Random(0)
    words = ["meet", "lunch", "report", "tomorrow", "list", "patch"]
    rows = []
    for number in range(count):
        text = [generator.choice(words) for _ in range(generator.randint(1, 4))]
        rows.append((number % 2, " ".join(text + ["$$$", "WIN"] * (number % 2))))
    return rows


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_from_a_file_to_a_verdict(shape, pooling, tmp_path, capsys):
    rows = spam_and_ham(40)
    dataset = SpamDataset(write_csv(tmp_path / "mail.csv", rows), LETTERS, pad_token_id=shape.pad)
    assert dataset.token_ids.shape == (40, max(len(text) for _, text in rows)) and dataset.max_length > 20
    classifier = shape.classifier(trained_blocks=1, pooling=pooling)
    cached = CachedClassifier(classifier, dataset.token_ids)
    capsys.readouterr()
    parts = [TensorDataset(part, dataset.labels[part]) for part in torch.arange(40).split([32, 8])]
    torch.manual_seed(0)
    train_loader, val_loader = DataLoader(parts[0], batch_size=5, shuffle=True), DataLoader(parts[1], batch_size=5)
    optimizer = torch.optim.AdamW([p for p in cached.parameters() if p.requires_grad], lr=5e-3)
    losses, val_losses, accuracies, val_accuracies, seen = course.train_classifier_simple(
        cached, train_loader, val_loader, optimizer, CPU, num_epochs=8, eval_freq=10, eval_iter=2)
    assert len(losses) == len(val_losses) == 6 and len(accuracies) == len(val_accuracies) == 8  # 7 batches an epoch
    assert seen == 8 * 32 and losses[-1] < 0.3 * losses[0]
    assert val_accuracies[-1] == course.calc_accuracy_loader(val_loader, cached, CPU, 2) >= 0.75
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 + 8 and lines[0] == f"Ep 1 (Step 000000): Train loss {losses[0]:.3f}, Val loss " \
                                              f"{val_losses[0]:.3f}"
    assert lines[-1] == f"Training accuracy: {accuracies[-1]:.1%} | Validation accuracy: {val_accuracies[-1]:.1%}"
    assert cached.training

    loader = DataLoader(dataset, batch_size=7)  # the same texts, through all the blocks
    assert course.calc_accuracy_loader(loader, classifier, CPU) >= 0.95
    course.save_classifier(classifier, tmp_path / "filter.pt")
    loaded = course.load_classifier(tmp_path / "filter.pt", shape.model())
    assert not loaded.training
    assert (loaded.pooling, loaded.pad_token_id, loaded.trained_blocks) == (pooling, shape.pad, 1)
    with course.eval_mode(classifier):
        assert torch.equal(loaded(dataset.token_ids), classifier(dataset.token_ids))
        answers = classifier(dataset.token_ids).argmax(dim=-1).tolist()
    for label, (_, text) in zip(answers, rows, strict=True):
        for length in (None, dataset.max_length, 200):
            said = course.classify_review(text, loaded, LETTERS, CPU, length, shape.pad)
            assert said == ("not spam", "spam")[label]


def test_the_width_of_gpt2(tmp_path):
    tokenizer = tiktoken.get_encoding("gpt2")
    cfg = {**course.GPT_CONFIG_124M, "n_layers": 2, "drop_rate": 0.0, "qkv_bias": True}
    rows = [(1, "WIN $1000 now <|endoftext|> call"), (0, "Lunch?"), (1, "WIN a prize"), (0, "The patch is in CVS.")]
    dataset = SpamDataset(write_csv(tmp_path / "mail.csv", rows), tokenizer)
    assert (dataset.token_ids[0] != 50256).all() and (dataset.token_ids[1] == 50256).any()
    torch.manual_seed(0)
    classifier = TextClassifier(course.GPTModel(cfg))
    assert classifier(dataset.token_ids).shape == (4, 2)
    trained = sum(p.numel() for p in classifier.parameters() if p.requires_grad)
    assert trained == 7_087_872 + 2 * 768 + 2 * 768 + 2  # a block, the final norm, the head
    cached = CachedClassifier(classifier, dataset.token_ids)
    train(cached, torch.arange(4), dataset.labels, steps=3, lr=1e-4)
    course.save_classifier(classifier, tmp_path / "filter.pt")
    with course.eval_mode(classifier):
        answers = classifier(dataset.token_ids).argmax(dim=-1).tolist()
    torch.manual_seed(0)
    loaded = course.load_classifier(tmp_path / "filter.pt", course.GPTModel(cfg))
    for label, (_, text) in zip(answers, rows, strict=True):
        assert course.classify_review(text, loaded, tokenizer, CPU) == ("not spam", "spam")[label]


def test_load_gpt2(monkeypatch, tmp_path):
    settings = random_checkpoint(tmp_path / "124M")
    monkeypatch.setattr(gpt_download, "MODEL_SIZES", {"124M": settings})
    small = {"vocab_size": 11, "context_length": 1024, "emb_dim": 4, "n_heads": 2, "n_layers": 2, "drop_rate": 0.1,
             "qkv_bias": False}
    replace_everywhere(monkeypatch, "GPT_CONFIG_124M", small)
    replace_everywhere(monkeypatch, "download_and_load_gpt2", lambda model_size, models_dir: (
        settings, gpt_download.load_gpt2_params_from_tf_ckpt(tmp_path / model_size / "model.ckpt", settings)))
    model, tokenizer = course.load_gpt2(tmp_path)
    assert not model.training and tokenizer.eot_token == 50256
    assert model.pos_emb.num_embeddings == 7 and model.trf_blocks[0].att.W_query.bias is not None
    assert all(module.p == 0 for module in model.modules() if isinstance(module, torch.nn.Dropout))


# The dataset


def test_texts_come_as_they_are(tmp_path):
    rows = [(0, "NA"), (1, "null"), (0, "1e5"), (1, 'a "quoted", text'), (0, "two\nlines"), (1, " é ")]
    dataset = SpamDataset(write_csv(tmp_path / "mail.csv", rows), LETTERS, pad_token_id=0)
    for number, (label, text) in enumerate(rows):
        ids, found = dataset[number]
        assert found == label and ids[ids != 0].tolist() == LETTERS.encode_ordinary(text)
    assert len(dataset) == 6 and dataset.max_length == len('a "quoted", text') == dataset.token_ids.shape[1]
    assert dataset.token_ids.dtype == dataset.labels.dtype == torch.int64


@pytest.mark.parametrize("length", [1, 3, 50])
def test_texts_are_cut_and_filled_up(length, tmp_path):
    dataset = SpamDataset(write_csv(tmp_path / "mail.csv", [(0, "abcde"), (1, "f")]), LETTERS, length, 59)
    assert dataset.token_ids.shape == (2, length) == (2, dataset.max_length)
    assert torch.equal(dataset.token_ids, padded(["abcde"[:length], "f"], 59, length))


def test_a_special_token_in_a_text_is_text(tmp_path):
    path = write_csv(tmp_path / "mail.csv", [(0, "a<|endoftext|>b")])
    dataset = SpamDataset(path, tiktoken.get_encoding("gpt2"))
    assert (dataset.token_ids != 50256).all()


# Padding and pooling


@pytest.mark.parametrize("pooling", POOLINGS)
def test_padding_changes_no_score(shape, pooling):
    classifier = shape.classifier(pooling=pooling)
    for text in ("a", "Lunch at four?", "WIN money now! " * 3):
        length = len(text)
        alone = classifier(padded([text], shape.pad, length))
        for places in (length + 1, 64, 256):
            assert_close(classifier(padded([text], shape.pad, places)), alone)
        others = ["x" * 256, "short", "y" * 100]
        for row in range(4):
            batch = [*others[:row], text, *others[row:]]
            assert_close(classifier(padded(batch, shape.pad, 256))[row], alone[0])


def test_the_last_place_would_change_with_the_padding(shape):
    classifier = shape.classifier()
    scores = [classifier.out_head(classifier.model(padded(["Lunch?"], shape.pad, places)))[0, -1] for places in (6, 64)]
    assert (scores[0] - scores[1]).abs().max() > 1e-2


def test_a_mean_over_all_places_would_change_with_the_padding(shape):
    classifier = shape.classifier()
    scores = [classifier.out_head(classifier.model(padded(["Lunch?"], shape.pad, places)).mean(dim=1))
              for places in (6, 64)]
    assert (scores[0] - scores[1]).abs().max() > 1e-2


def test_pool_tokens_by_hand():
    vectors = torch.arange(12.0).view(2, 3, 2)
    ids = torch.tensor([[5, 7, 0], [4, 4, 4]])
    wanted = {"first": [[0, 1], [6, 7]], "last": [[2, 3], [10, 11]], "mean": [[1, 2], [8, 9]]}
    for pooling, rows in wanted.items():
        assert torch.equal(course.pool_tokens(vectors, ids, 0, pooling), torch.tensor(rows).float())
    assert torch.equal(course.pool_tokens(vectors, ids, 0), course.pool_tokens(vectors, ids, 0, "last"))


def test_the_first_token_is_a_function_of_its_id(shape):
    classifier = shape.classifier(pooling="first")
    ids, _ = random_ids(30, shape.pad)
    assert_close(classifier(ids), classifier(ids[:, :1]))


# What is trained


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("blocks", [0, 1, 2])
def test_only_what_should_be_trained_changes(shape, blocks, pooling):
    classifier = shape.classifier(trained_blocks=blocks, pooling=pooling)
    ids, labels = random_ids(16, shape.pad)
    before = copy.deepcopy(classifier.state_dict())
    train(classifier, ids, labels)
    trained = {name for name, p in classifier.named_parameters() if p.requires_grad}
    starts = ["out_head.", *["model.final_norm."][:blocks], *(f"model.trf_blocks.{2 - i}." for i in range(blocks))]
    for name, value in classifier.state_dict().items():
        expected = name.startswith(tuple(starts))
        assert expected == (name in trained) and torch.equal(value, before[name]) != expected, name
    assert all(p.grad is None for p in classifier.parameters() if not p.requires_grad)


def test_the_head_has_a_score_for_each_class(shape):
    classifier = shape.classifier(num_classes=5)
    assert classifier(random_ids(4, shape.pad)[0]).shape == (4, 5)
    assert isinstance(classifier.model.out_head, torch.nn.Identity)
    with torch.device("meta"):
        assert shape.classifier().out_head.weight.is_meta


def forward_by_hand(model, shape, ids, blocks):
    """Return the last token's vector after so many blocks and the final norm, for texts without padding."""
    num_tokens = ids.shape[1]
    x = model.tok_emb(ids)
    if shape.name == "gpt":
        x, arguments = x + model.pos_emb.weight[:num_tokens], ()
    else:
        mask = torch.ones(num_tokens, num_tokens, dtype=torch.bool).tril()
        arguments = ((model.cos[:num_tokens], model.sin[:num_tokens]), mask, None, 0)
    for block in list(model.trf_blocks)[:blocks]:
        x = block(x, *arguments)
    return model.final_norm(x)[:, -1]


@pytest.mark.parametrize("kept", [0, 1, 2, 3, None])
def test_kept_blocks(shape, kept):
    model = shape.model()
    ids = torch.randint(1, 59, (3, 9), generator=torch.Generator().manual_seed(1))
    vectors = forward_by_hand(model, shape, ids, kept)
    classifier = TextClassifier(model, 2, shape.pad, trained_blocks=0, kept_blocks=kept)
    assert len(classifier.model.trf_blocks) == (3 if kept is None else kept)
    assert_close(classifier(ids), classifier.out_head(vectors))
    if kept in (0, 1):
        assert (vectors - forward_by_hand(shape.model(), shape, ids, 3)).abs().max() > 1e-2
    assert_close(CachedClassifier(classifier, ids)(torch.arange(3)), classifier(ids))


# The cache


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("blocks", [0, 1, 2])
def test_cached_training_is_the_same_training(shape, blocks, pooling):
    ids, labels = random_ids(20, shape.pad)
    slow, fast = (shape.classifier(trained_blocks=blocks, pooling=pooling) for _ in range(2))
    cached = CachedClassifier(fast, ids)
    assert all(p.requires_grad for p in cached.parameters()) or blocks == 0
    slow_losses = train(slow, ids, labels)
    fast_losses = train(cached, torch.arange(20), labels)
    assert len(set(slow_losses)) == 6
    assert_close(torch.tensor(fast_losses), torch.tensor(slow_losses))
    for name, value in slow.state_dict().items():
        assert_close(fast.state_dict()[name], value, atol=1e-4)
    with course.eval_mode(slow), course.eval_mode(cached):
        assert_close(cached(torch.arange(20)), slow(ids))


@pytest.mark.parametrize("kept", [2, 3])
def test_cached_training_of_a_shortened_model(shape, kept):
    ids, labels = random_ids(20, shape.pad)
    slow, fast = (shape.classifier(kept_blocks=kept, pooling="mean") for _ in range(2))
    assert_close(torch.tensor(train(CachedClassifier(fast, ids), torch.arange(20), labels)),
                 torch.tensor(train(slow, ids, labels)))


def test_who_trains_the_cached_classifier_trains_the_classifier(shape):
    ids, labels = random_ids(20, shape.pad)
    classifier = shape.classifier()
    before = classifier(ids).detach()
    train(CachedClassifier(classifier, ids), torch.arange(20), labels)
    assert (classifier(ids) - before).abs().max() > 1e-3


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_cached_vectors(shape, batch_size):
    model, (ids, _) = shape.model(), random_ids(7, shape.pad)
    model.out_head = torch.nn.Identity()
    model.train()
    vectors, pooled = course.cache_vectors(model, ids, shape.pad, block=3, batch_size=batch_size)
    assert model.training and not vectors.requires_grad
    assert_close(model.final_norm(vectors), model(ids))
    assert tuple(pooled) == POOLINGS and all(rows.shape == (7, 4, shape.cfg["emb_dim"]) for rows in pooled.values())
    for pooling, rows in pooled.items():
        assert_close(rows[:, 3], course.pool_tokens(model(ids), ids, shape.pad, pooling))
    embedded = model.tok_emb(ids) + (model.pos_emb.weight[: ids.shape[1]] if shape.name == "gpt" else 0)
    assert_close(pooled["first"][:, 0], model.final_norm(embedded)[:, 0])
    for block in range(3):
        inputs, _ = course.cache_vectors(model, ids, shape.pad, block=block)
        assert_close(inputs, course.block_inputs(model, ids)[0][block])
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_no_hook_stays_behind_an_error(shape):
    model = shape.model()
    with raises("257 tokens"):
        course.block_inputs(model, torch.ones(1, 257, dtype=torch.int64))
    assert not any(module._forward_pre_hooks for module in model.modules())


# Loss and accuracy


class Table(torch.nn.Module):
    """A model that looks its logits up."""

    def __init__(self, logits):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.tensor(logits))

    def forward(self, rows):
        assert not self.training
        return self.logits[rows]


def test_loss_and_accuracy_weigh_each_text_alike():
    model = Table([[0.2, 1.4], [3.0, 0.0], [0.0, 1.0]]).train()
    data = TensorDataset(torch.tensor([0, 1, 2]), torch.tensor([1, 0, 0]))
    by_hand = [math.log(1 + math.exp(-1.2)), math.log(1 + math.exp(-3.0)), math.log(1 + math.exp(1.0))]
    for size in (1, 2, 3):  # with 2, the last batch is smaller
        loader = DataLoader(data, batch_size=size)
        assert course.calc_loss_loader_classifier(loader, model, CPU) == pytest.approx(sum(by_hand) / 3, abs=1e-6)
        assert course.calc_accuracy_loader(loader, model, CPU) == pytest.approx(2 / 3)
        assert model.training
    loader = DataLoader(data, batch_size=1)
    assert course.calc_loss_loader_classifier(loader, model, CPU, 2) == pytest.approx(sum(by_hand[:2]) / 2, abs=1e-6)
    assert course.calc_accuracy_loader(loader, model, CPU, 2) == 1.0
    assert course.calc_accuracy_loader(loader, model, CPU, 100) == pytest.approx(2 / 3)
    for function in (course.calc_loss_loader_classifier, course.calc_accuracy_loader):
        assert math.isnan(function(loader, model, CPU, 0)) and math.isnan(function([], model, CPU))


def test_the_loss_of_a_batch_has_a_gradient():
    model = Table([[0.2, 1.4], [3.0, 0.0]]).eval()
    loss = course.calc_loss_batch_classifier(torch.tensor([0]), torch.tensor([1]), model, CPU)
    loss.backward()
    p = 1 / (1 + math.exp(-1.2))
    assert loss.item() == pytest.approx(-math.log(p), abs=1e-6)
    assert_close(model.logits.grad, torch.tensor([[1 - p, p - 1], [0, 0]]))


@pytest.mark.parametrize("seen", [1600, [400, 800, 1600], torch.tensor([0.0, 1600.0])])
@pytest.mark.parametrize("label", ["loss", "accuracy"])
def test_plot_values(monkeypatch, seen, label):
    drawn = []
    monkeypatch.setattr(figures, "curves", lambda x, ys, **settings: drawn.append((x, ys, settings)))
    course.plot_values(torch.tensor([0.0, 2.0, 4.0]), seen, [0.7, 0.4, 0.1], (0.8, 0.6, 0.5), label)
    (x, ys, settings), = drawn
    assert x == [0, 2, 4] and ys == {"training": [0.7, 0.4, 0.1], "validation": [0.8, 0.6, 0.5]}
    assert "1,600 texts" in settings["xlabel"] and settings["ylabel"] == label
    assert "0.7 to 0.1" in settings["alt"] and "0.8 to 0.5" in settings["alt"]


# The head with the lowest loss


def problem(num_classes, count=150, width=6):
    """Return vectors with overlapping classes, and labels."""
    generator = torch.Generator().manual_seed(num_classes)
    labels = torch.randint(0, num_classes, (count,), generator=generator)
    centres = torch.randn(num_classes, width, generator=generator)
    return centres[labels] + 1.5 * torch.randn(count, width, generator=generator), labels


def penalised_loss(head, vectors, labels, penalty):
    """Return what `fit_head` minimises."""
    logits = head(vectors.double())
    return torch.nn.functional.cross_entropy(logits, labels) + penalty / 2 * head.weight.square().sum()


@pytest.mark.parametrize("penalty", [1.0, 0.01, 1e-4])
@pytest.mark.parametrize("num_classes", [2, 3])
def test_fit_head_is_logistic_regression(num_classes, penalty):
    linear_model = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not installed")
    vectors, labels = problem(num_classes)
    head = course.fit_head(vectors, labels, penalty, num_classes)
    # With two classes scikit-learn has one vector of weights, ours are that vector's halves with opposite signs, so
    # that the sum of their squares is half of its. It adds the losses up where we take their mean.
    strength = (2 if num_classes == 2 else 1) / (penalty * len(labels))
    theirs = linear_model.LogisticRegression(C=strength, tol=1e-10, max_iter=10_000)
    theirs.fit(vectors.numpy(), labels.numpy())
    weight, bias = torch.tensor(theirs.coef_), torch.tensor(theirs.intercept_)
    if num_classes == 2:
        weight, bias = torch.cat((-weight, weight)) / 2, torch.cat((-bias, bias)) / 2
    assert_close(head.weight.detach().double(), weight.double(), atol=1e-3)
    assert_close((head.bias - head.bias.mean()).detach().double(), (bias - bias.mean()).double(), atol=1e-3)
    other = copy.deepcopy(head).double()
    with torch.no_grad():
        other.weight.copy_(weight)
        other.bias.copy_(bias)
    ours, reference = (penalised_loss(one.double(), vectors, labels, penalty).item() for one in (head, other))
    assert ours == pytest.approx(reference, abs=1e-6)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_the_gradient_is_zero_at_the_best_head(num_classes):
    vectors, labels = problem(num_classes)
    head = course.fit_head(vectors, labels, 0.01, num_classes).double()
    loss = penalised_loss(head, vectors, labels, 0.01)
    gradients = torch.autograd.grad(loss, list(head.parameters()))
    assert max(gradient.abs().max() for gradient in gradients) < 1e-5
    for seed in range(5):
        torch.manual_seed(seed)
        moved = copy.deepcopy(head)
        with torch.no_grad():
            for parameter in moved.parameters():
                parameter.add_(0.01 * torch.randn_like(parameter))
        assert penalised_loss(moved, vectors, labels, 0.01) > loss


def test_fit_head_of_bags_that_can_be_separated():
    texts = ["win money now", "win a prize", "lunch at noon", "see you at lunch"]
    vocabulary = sorted(set().union(*map(course.words_of, texts)))
    bags, labels = course.bags_of_words(texts, vocabulary), torch.tensor([1, 1, 0, 0])
    head = course.fit_head(bags, labels)
    assert course.share_right(head, bags, labels) == (4, 4) and course.share_right(head, bags, 1 - labels) == (0, 4)
    assert head.weight.dtype == torch.float32 and head.weight.abs().max() < 10
    strict = course.fit_head(bags, labels, penalty=10.0)
    assert strict.weight.abs().max() < 0.1 * head.weight.abs().max()
    assert torch.equal(course.fit_head(bags, labels).weight, head.weight)


def test_fit_head_inside_no_grad_and_with_one_class_only():
    vectors, _ = problem(2)
    with torch.no_grad():
        head = course.fit_head(vectors, torch.ones(len(vectors), dtype=torch.int64))
    assert course.share_right(head, vectors, torch.ones(len(vectors)))[0] == len(vectors)


# The interval


@pytest.mark.parametrize(("right", "total", "low", "high"), [
    (0, 10, 0.0, 3.8416 / 13.8416), (10, 10, 10 / 13.8416, 1.0),  # 3.8416 is the square of 1.96
    (19, 20, 0.763864, 0.991119), (1, 2, 0.094529, 0.905471), (380, 400, 0.924036, 0.967403)])
def test_wilson_by_hand(right, total, low, high):
    assert course.wilson_interval(right, total) == pytest.approx((low, high), abs=1e-6)
    for p in (low, high):  # 1.96 standard deviations away from what was seen
        assert (p - right / total) ** 2 == pytest.approx(3.8416 * p * (1 - p) / total, abs=1e-6)


@pytest.mark.parametrize("total", [1, 7, 40, 424])
def test_wilson_as_in_scipy(total):
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    for right in {0, 1, total // 3, total - 1, total}:
        for level in (0.8, 0.95, 0.99):
            theirs = stats.binomtest(right, total).proportion_ci(level, method="wilson")
            ours = course.wilson_interval(right, total, z=stats.norm.ppf(0.5 + level / 2))
            assert ours == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@pytest.mark.parametrize("p", [0.5, 0.9, 0.95])
def test_wilson_holds_the_true_share_as_often_as_it_says(p):
    total, caught = 400, 0.0
    for right in range(total + 1):
        low, high = course.wilson_interval(right, total)
        log_chance = (math.lgamma(total + 1) - math.lgamma(right + 1) - math.lgamma(total - right + 1)
                      + right * math.log(p) + (total - right) * math.log(1 - p))
        caught += math.exp(log_chance) * (low <= p <= high)
    assert caught == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("total", [1, 20, 1000])
def test_wilson_stays_between_0_and_1(total):
    for right in range(0, total + 1, max(1, total // 20)):
        low, high = course.wilson_interval(right, total)
        assert 0 <= low <= right / total <= high <= 1 and low < high
        mirrored = course.wilson_interval(total - right, total)
        assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-12)


@pytest.mark.parametrize(("right", "total"), [(-1, 10), (11, 10), (0, 0), (0, -1)])
def test_no_share(right, total):
    with raises(f"{right} of {total}"):
        course.wilson_interval(right, total)


# Splits


@pytest.fixture(scope="module")
def mail():
    """The course's mail as chapter 6 reads it."""
    table = pd.read_json(DATA / "messages.jsonl.gz", lines=True).rename(columns={"text": "Text", "family": "Family"})
    return table.assign(Label=table["label"].map({"ham": 0, "spam": 1}))


def toy_table(families=40):
    """Return a table with families of 1 to 4 rows, each row with a number."""
    numbers = [family for family in range(families) for _ in range(1 + family % 4)]
    return pd.DataFrame({"Family": numbers, "Label": [family % 3 == 0 for family in numbers],
                         "Row": range(len(numbers))}).astype(int)


@pytest.mark.parametrize("family", [None, "Family"])
def test_parts_are_disjoint_and_complete(family):
    table = toy_table()
    parts = course.random_split(table, 0.6, 0.15, family)
    rows = [part["Row"].tolist() for part in parts]
    assert sorted(sum(rows, [])) == table["Row"].tolist() and all(rows)
    assert all(part.index.tolist() == list(range(len(part))) and list(part) == list(table) for part in parts)
    assert any(row != sorted(row) for row in rows)
    unit = [len(part) if family is None else part["Family"].nunique() for part in parts]
    assert unit == ([60, 15, 25] if family is None else [24, 6, 10])
    again = course.random_split(table, 0.6, 0.15, family)
    assert all(one.equals(other) for one, other in zip(parts, again, strict=True))


def test_no_family_on_two_sides():
    sides = [set(part["Family"]) for part in course.random_split(toy_table(), 0.6, 0.15, "Family")]
    assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]
    without = [set(part["Family"]) for part in course.random_split(toy_table(), 0.6, 0.15)]
    assert without[0] & without[2]


@pytest.mark.parametrize(("train_frac", "validation_frac"), [
    (0, 0.1), (0.6, 0), (-0.1, 0.2), (0.7, 0.3), (0.9, 0.2), (1.0, 0.1), (math.nan, 0.1)])
def test_shares_that_leave_nothing(train_frac, validation_frac):
    with raises("above 0", "below 1", train_frac, validation_frac):
        course.random_split(toy_table(), train_frac, validation_frac)


def test_a_balanced_table_has_all_of_the_rarest():
    table = pd.DataFrame({"Label": [0] * 9 + [1] * 4 + [2] * 6, "Row": range(19)})
    balanced = course.create_balanced_dataset(table)
    assert balanced["Label"].value_counts().to_dict() == {0: 4, 1: 4, 2: 4}
    assert sorted(balanced[balanced["Label"] == 1]["Row"]) == [9, 10, 11, 12] and balanced["Row"].is_unique
    assert (table["Label"][balanced["Row"]].to_numpy() == balanced["Label"].to_numpy()).all()
    assert course.create_balanced_dataset(table).equals(balanced)
    assert balanced.index.tolist() == list(range(12))


def sha256(texts):
    """Return the hash of texts in their order."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def test_the_parts_of_the_mail(mail):
    parts = course.fair_parts(mail)
    assert [len(part) for part in parts] == [1016, 254, 424]
    sides = [set(part["Family"]) for part in parts]
    assert [len(side) for side in sides] == [1016, 254, 424] and len(set.union(*sides)) == 1694
    assert pd.concat(parts)["Label"].mean() == 0.5 and all(0.45 < part["Label"].mean() < 0.55 for part in parts)
    assert [sha256(part["Text"])[:16] for part in parts] == GOLDEN_PARTS


def test_words_and_bags():
    assert course.words_of("Win $100 now! It's NOW") == {"win", "$", "100", "now", "!", "it", "s"}
    bags = course.bags_of_words(["now now", "$ 7", ""], ["$", "7", "now", "win"])
    assert bags.tolist() == [[0, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]]


# Swapped words


@pytest.fixture(scope="module")
def sentences():
    """The sentences of the course."""
    with gzip.open(DATA / "sentences.txt.gz", "rt", encoding="utf-8") as file:
        return [line.rstrip("\n").split("\t")[2] for line in file]


def test_exactly_two_neighbours_of_small_letters_are_swapped(sentences):
    generator = random.Random(0)
    for sentence in sentences[:500]:
        before, swapped = sentence.split(), course.swap_neighbours(sentence, generator)
        if swapped is None:
            continue
        after = swapped.split()
        places = [i for i, (one, other) in enumerate(zip(before, after, strict=True)) if one != other]
        assert len(places) == 2 and places[1] == places[0] + 1
        assert [after[i] for i in places] == [before[i] for i in reversed(places)]
        assert all(before[i].isalpha() and before[i].islower() for i in places)
        assert course.words_of(swapped) == course.words_of(sentence)


@pytest.mark.parametrize("sentence", ["", "Hello", "the the the", "We, The People", "he said, and I 2 o'clock",
                                      "a B c"])
def test_nothing_to_swap(sentence):
    assert course.swap_neighbours(sentence, random.Random(0)) is None


def test_every_place_is_drawn():
    drawn = {course.swap_neighbours("We saw the old man, and left", random.Random(seed)) for seed in range(30)}
    assert drawn == {"We the saw old man, and left", "We saw old the man, and left", "We saw the old man, left and"}


def test_swapped_sentences(sentences):
    table = course.swapped_sentences(DATA / "sentences.txt.gz")
    assert list(table) == ["Label", "Text"] and len(table) > 2 * 0.9 * len(sentences)
    assert table["Label"].tolist() == [0, 1] * (len(table) // 2)
    originals, changed = table["Text"][::2].tolist(), table["Text"][1::2].tolist()
    assert set(originals) <= set(sentences) and len(set(originals)) == len(originals) and originals != sentences
    assert all(one != other and sorted(one.split()) == sorted(other.split())
               for one, other in zip(originals, changed, strict=True))
    assert course.swapped_sentences(DATA / "sentences.txt.gz").equals(table)
    assert sha256(table["Text"]) == GOLDEN_SENTENCES


# Keeping


@pytest.mark.parametrize("settings", [
    {"trained_blocks": 0}, {"trained_blocks": 2, "pooling": "mean"}, {"num_classes": 4, "kept_blocks": 2},
    {"trained_blocks": 0, "kept_blocks": 0, "pooling": "first"}])
def test_a_saved_classifier_comes_back(shape, settings, tmp_path):
    classifier = shape.classifier(**settings)
    ids, labels = random_ids(16, shape.pad)
    train(classifier, ids, labels)
    path = tmp_path / "filter.pt"
    course.save_classifier(classifier, path)
    model = shape.model()
    loaded = course.load_classifier(path, model)
    assert loaded.model is model
    with course.eval_mode(classifier):
        assert torch.equal(loaded(ids), classifier(ids))
    trained = sum(p.numel() for p in classifier.parameters() if p.requires_grad)
    assert path.stat().st_size < 4 * trained + 20_000
    assert {name for name, p in loaded.named_parameters() if p.requires_grad} \
        == {name for name, p in classifier.named_parameters() if p.requires_grad}
    assert [file.name for file in tmp_path.iterdir()] == ["filter.pt"]


def test_a_head_alone_is_kilobytes(shape, tmp_path):
    course.save_classifier(shape.classifier(trained_blocks=0), tmp_path / "filter.pt")
    assert (tmp_path / "filter.pt").stat().st_size < 5000


def test_a_classifier_of_which_everything_was_trained_comes_back(shape, tmp_path):
    classifier = shape.classifier(trained_blocks=3).requires_grad_(True)
    ids, labels = random_ids(16, shape.pad)
    train(classifier, ids, labels)
    course.save_classifier(classifier, tmp_path / "filter.pt")
    loaded = course.load_classifier(tmp_path / "filter.pt", shape.model())
    with course.eval_mode(classifier):
        assert torch.equal(loaded(ids), classifier(ids))


# Bad input


@pytest.mark.parametrize(("rows", "parts"), [
    ([(0, "a"), ("spam", "b")], ["row 1", "'spam'", "0 or 1"]), ([(2, "a")], ["row 0", "'2'"]),
    ([(1.0, "a")], ["row 0", "'1.0'"]), ([(0, "a"), (1, "")], ["row 1", "empty"]), ([(0, " \n ")], ["row 0", "empty"])])
def test_bad_rows(rows, parts, tmp_path):
    path = write_csv(tmp_path / "mail.csv", rows)
    with raises(parts[0], "mail.csv", *parts[1:]):
        SpamDataset(path, LETTERS)


@pytest.mark.parametrize("column", ["Label", "Text"])
def test_a_file_without_a_column(column, tmp_path):
    path = tmp_path / "mail.csv"
    pd.DataFrame({"Label": [0], "Text": ["a"]}).rename(columns={column: "other"}).to_csv(path, index=False)
    with raises("mail.csv", repr(column), "'other'"):
        SpamDataset(path, LETTERS)


@pytest.mark.parametrize("length", [0, -3])
def test_no_length(length, tmp_path):
    with raises("max_length", "at least 1", length):
        SpamDataset(write_csv(tmp_path / "mail.csv", [(0, "a")]), LETTERS, length)


@pytest.mark.parametrize("length", [None, 4])
def test_a_file_without_rows(length, tmp_path):
    with raises("mail.csv", "no rows"):
        SpamDataset(write_csv(tmp_path / "mail.csv", []), LETTERS, length)


def test_a_text_without_tokens(tmp_path):
    with raises("row 1", "mail.csv", "no token"):
        SpamDataset(write_csv(tmp_path / "mail.csv", [(0, "a"), (1, "~")]), LETTERS)


def test_rows_that_are_no_text(shape):
    classifier, pad = shape.classifier(), shape.pad
    for row, ids in [(0, [[pad, pad], [3, pad]]), (1, [[3, pad], [pad, pad]]), (1, [[3, 4], [pad, 4]]),
                     (0, [[3, pad, 4]])]:
        for pooling in POOLINGS:
            classifier.pooling = pooling
            with raises(f"row {row}", "at least one token"):
                classifier(torch.tensor(ids))
        with raises(f"row {row}", "at least one token"):
            course.cache_vectors(classifier.model, torch.tensor(ids), pad, 0)


def test_an_unknown_pooling(shape):
    with raises("first, last, mean", "'max'"):
        shape.classifier(pooling="max")(torch.ones(1, 3, dtype=torch.int64))
    with raises("first, last, mean", "'max'"):
        course.pool_tokens(torch.zeros(1, 2, 3), torch.ones(1, 2), 0, "max")


@pytest.mark.parametrize(("trained", "kept", "parts"), [
    (4, None, ["4 trained of 3"]), (2, 1, ["2 trained of 1 kept", 3]), (0, 4, ["of 4 kept", 3]),
    (-1, 2, ["-1 trained"]), (0, -1, ["of -1 kept"])])
def test_blocks_that_are_not_there(shape, trained, kept, parts):
    model = shape.model()
    with raises(*parts):
        TextClassifier(model, 2, shape.pad, trained_blocks=trained, kept_blocks=kept)
    assert not isinstance(model.out_head, torch.nn.Identity) and len(model.trf_blocks) == 3  # nothing has changed


@pytest.mark.parametrize("text", ["", "  \n\t"])
def test_an_empty_message(shape, text):
    with raises("the text is empty"):
        course.classify_review(text, shape.classifier(), LETTERS, CPU, 8, shape.pad)


@pytest.mark.parametrize("length", [None, 8])
def test_a_message_without_tokens(shape, length):
    with raises("'~~'"):
        course.classify_review("~~", shape.classifier(), LETTERS, CPU, length, shape.pad)


@pytest.mark.parametrize("length", [0, -2])
def test_no_length_for_a_message(shape, length):
    with raises("max_length", "at least 1", length):
        course.classify_review("Lunch?", shape.classifier(), LETTERS, CPU, length, shape.pad)


def test_a_message_that_is_too_long(shape):
    classifier, text = shape.classifier(), 257 * "a"
    with raises("257 tokens", "256"):
        course.classify_review(text, classifier, LETTERS, CPU, None, shape.pad)
    with raises("300 tokens", "256"):
        course.classify_review("a", classifier, LETTERS, CPU, 300, shape.pad)
    said = course.classify_review(text, classifier, LETTERS, CPU, 256, shape.pad)
    assert said == course.classify_review(text[:-1], classifier, LETTERS, CPU, None, shape.pad)


def test_a_verdict_leaves_the_classifier_as_it_was(shape):
    classifier = shape.classifier().train()
    course.classify_review("Lunch?", classifier, LETTERS, CPU, 8, shape.pad)
    assert classifier.training and all(p.grad is None for p in classifier.parameters())


@pytest.mark.parametrize("content", [
    {"model_state_dict": {}}, [1, 2], torch.zeros(3), {"settings": {}, "trained": {}, "x": 1}])
def test_a_file_of_something_else(shape, content, tmp_path):
    torch.save(content, tmp_path / "other.pt")
    with raises("other.pt", "save_classifier"):
        course.load_classifier(tmp_path / "other.pt", shape.model())


@pytest.mark.parametrize("content", [b"hello", b"", b"PK\x03\x04 cut off"])
def test_a_file_that_torch_did_not_write(shape, content, tmp_path):
    (tmp_path / "other.pt").write_bytes(content)
    with raises("other.pt", "save_classifier"):
        course.load_classifier(tmp_path / "other.pt", shape.model())


def test_a_missing_file(shape, tmp_path):
    with pytest.raises(FileNotFoundError, match="filter.pt"):
        course.load_classifier(tmp_path / "filter.pt", shape.model())


def test_a_file_for_another_width(shape, tmp_path):
    path, width = tmp_path / "filter.pt", shape.cfg["emb_dim"]
    course.save_classifier(shape.classifier(), path)
    with raises("final_norm.scale", (width,), "filter.pt", (2 * width,)):
        course.load_classifier(path, shape.model(emb_dim=2 * width))
    with raises("1 trained of 3 kept blocks", 2):
        course.load_classifier(path, shape.model(n_layers=2))


def test_a_file_for_the_other_architecture(tmp_path):
    path = tmp_path / "filter.pt"
    course.save_classifier(TextClassifier(course.GPTModel({**GPT, "emb_dim": 48}), 2, 0), path)
    with raises("final_norm.shift", (48,), "None"):
        course.load_classifier(path, course.LlamaModel(LLAMA))


@pytest.mark.parametrize(("penalty", "count", "parts"), [
    (0, 4, ["penalty 0", "above 0"]), (-1.0, 4, ["penalty -1.0"]), (0.01, 3, ["4 vectors", "not 3"])])
def test_a_head_that_cannot_be_fitted(penalty, count, parts):
    with raises(*parts):
        course.fit_head(torch.randn(4, 3), torch.zeros(count, dtype=torch.int64), penalty)


# What was measured beforehand


@pytest.mark.skipif(not classifiers.FILE.exists(), reason="notebooks/data/classifiers.json has not been measured yet")
def test_the_measured_classifiers():
    measured = json.loads(classifiers.FILE.read_text(encoding="utf-8"))
    assert measured["columns"] == ["task", "method", "examples", "right", "total"]
    rows = measured["rows"]
    assert len({tuple(row[:3]) for row in rows}) == len(rows)
    totals = {"spam": 424, "swapped": 400}
    for task, method, examples, right, total in rows:
        assert total == totals[task] and 0 <= right <= total and isinstance(right, int), (task, method)
        assert examples in classifiers.SIZES
    methods = {task: {method for each, method, *_ in rows if each == task} for task in totals}
    expected = {"all words", "head, last token", "head, mean", "last block, last token", "last two blocks, last token",
                "last block, mean", "last two blocks, mean", "all, last token"}
    assert methods == {"spam": expected | {"words of 64 tokens", "head, mean, 128 tokens"},
                       "swapped": expected | {"pairs of words"}}
    for task in totals:
        by_method = {method: [row[2] for row in rows if row[:2] == [task, method]] for method in methods[task]}
        for method, examples in by_method.items():
            many = method.startswith(("all words", "words of", "pairs of", "head,")) and "128" not in method
            assert examples == (list(classifiers.SIZES) if many else [classifiers.TRAINED_ON[task]]), (task, method)
    bags = {row[2]: row[3] for row in rows if row[:2] == ["swapped", "all words"]}
    assert set(bags.values()) == {200}  # both versions of a sentence are one bag


@pytest.mark.skipif(not classifiers.FILE.exists(), reason="notebooks/data/classifiers.json has not been measured yet")
def test_pairs_know_the_order_that_words_lose():
    assert course.pairs_of("the old Man, the sea") == {("the", "old"), ("old", "man"), ("man", "the"), ("the", "sea")}
    known, labels = ["go left now", "left go now"] * 4, torch.tensor([0, 1] * 4)
    for words, right in ((course.words_of, 4), (course.pairs_of, 8)):
        assert course.words_right(known, labels, known, labels, words).sum() == right


@pytest.mark.parametrize("count", [50, 100])
def test_the_quickest_rows_come_out_again(count):
    tables = classifiers.texts_of("spam")
    texts = {name: table["Text"].tolist() for name, table in tables.items()}
    labels = {name: torch.tensor(table["Label"].tolist()) for name, table in tables.items()}
    rows = json.loads(classifiers.FILE.read_text(encoding="utf-8"))["rows"]
    right = course.words_right(texts["train"][:count], labels["train"][:count], texts["test"], labels["test"])
    assert ["spam", "all words", count, right.sum().item(), len(right)] in rows


def test_the_texts_of_the_two_tasks():
    for task, sizes in {"spam": (1000, 424), "swapped": (1000, 400)}.items():
        tables = classifiers.texts_of(task)
        assert (len(tables["train"]), len(tables["test"])) == sizes
        assert not set(tables["train"]["Text"]) & set(tables["test"]["Text"])


# SmolLM2


@pytest.mark.slow
def test_smollm2_padding_and_the_first_token():
    model, tokenizer = course.load_smollm2()
    pad = tokenizer.eot_token
    ids = tokenizer.encode_ordinary("Meeting moved\n\nWe meet at four, not at three.")
    alone, long = (torch.tensor([ids + [pad] * (n - len(ids))]) for n in (len(ids), 64))
    torch.manual_seed(0)
    classifier = TextClassifier(model, 2, pad, trained_blocks=0)
    with torch.no_grad():
        for pooling in POOLINGS:
            classifier.pooling = pooling
            assert_close(classifier(long), classifier(alone))
        last = classifier.out_head(classifier.model(long))[0, -1]
        classifier.pooling = "last"
        assert (last - classifier(alone)[0]).abs().max() > 0.1
        classifier.pooling = "first"
        assert_close(classifier(alone), classifier(alone[:, :1]))
