"""The values that the course's classes and functions give, computed anew, each by its stated tolerance."""

import pytest
import tiktoken
import torch
from torch import nn
from torch.utils.data import DataLoader

import previous_chapters as course

WORDS = ["closer", "every", "effort", "forward", "inches", "moves", "pizza", "toward", "you"]


def close(ours, wanted, decimals=4):
    """Assert that a tensor, rounded to the book's decimals, is what the book prints."""
    ours = torch.as_tensor(ours).detach()
    torch.testing.assert_close(ours.double(), torch.tensor(wanted).double(), rtol=0, atol=0.51 * 10.0**-decimals)


@pytest.fixture(scope="module")
def bpe():
    return tiktoken.get_encoding("gpt2")


@pytest.fixture(scope="module")
def vocab(story):
    return {token: number for number, token in enumerate(sorted(set(course.split_into_tokens(story))))}


@pytest.fixture(scope="module")
def vocab_with_specials(vocab):
    return {token: number for number, token in enumerate([*vocab, "<|endoftext|>", "<|unk|>"])}


# Chapter 2


def test_story(story, golden):
    assert len(story) == golden["2.01"]
    assert story[:99] == golden["2.02"]


def test_regular_expression_tokens(story, golden):
    assert course.split_into_tokens("Hello, world. Is this-- a test?") == golden["2.03"]
    assert len(course.split_into_tokens(story)) == golden["2.04"]


def test_vocabulary(vocab, golden):
    entries = [list(entry) for entry in vocab.items()]
    assert len(vocab) == golden["2.05"]
    assert entries[:3] + entries[49:51] == golden["2.06"]


def test_simple_tokenizer_v1(vocab, golden):
    tokenizer = course.SimpleTokenizerV1(vocab)
    text = '"It\'s the last he painted, you know," Mrs. Gisburn said with pardonable pride.'
    assert tokenizer.encode(text) == golden["2.07"]
    with pytest.raises(KeyError) as error:
        tokenizer.encode("Hello, do you like tea?")
    assert f"KeyError: {error.value}" == golden["2.08"]


def test_simple_tokenizer_v2(vocab_with_specials, golden):
    assert len(vocab_with_specials) == golden["2.09"]
    assert [list(entry) for entry in vocab_with_specials.items()][-5:] == golden["2.10"]
    tokenizer = course.SimpleTokenizerV2(vocab_with_specials)
    ids = tokenizer.encode("Hello, do you like tea? <|endoftext|> In the sunlit terraces of the palace.")
    assert ids == golden["2.11"]
    assert tokenizer.decode(ids) == golden["2.12"]


def test_byte_pair_encoding(bpe, story, golden):
    text = "Hello, do you like tea? <|endoftext|> In the sunlit terraces of someunknownPlace."
    assert bpe.encode(text, allowed_special={"<|endoftext|>"}) == golden["2.13"]
    assert [bpe.n_vocab, bpe.eot_token] == golden["2.14"]
    assert bpe.encode("Akwirw ier") == golden["2.15"]
    assert len(bpe.encode(story)) == golden["2.16"]


def test_inputs_and_targets(bpe, story, golden):
    dataset = course.GPTDatasetV1(story, bpe, max_length=4, stride=1)
    assert [row.tolist() for row in dataset[50]] == golden["2.17"]
    x, y = (row.tolist() for row in dataset[50])
    assert [[bpe.decode(x[: i + 1]), bpe.decode([y[i]])] for i in range(4)] == golden["2.18"]


def first_batch(story, **settings):
    return next(iter(course.create_dataloader_v1(story, shuffle=False, **settings)))


def test_batches(story, golden):
    batches = iter(course.create_dataloader_v1(story, batch_size=1, max_length=4, stride=1, shuffle=False))
    assert [[part[0].tolist() for part in next(batches)] for _ in range(2)] == golden["2.19"]
    inputs, targets = first_batch(story, batch_size=8, max_length=4, stride=4)
    assert inputs.tolist() == golden["2.20"]
    assert targets.tolist() == golden["2.21"]
    assert first_batch(story, batch_size=4, max_length=2, stride=2)[0].tolist() == golden["2.22"]
    assert first_batch(story, batch_size=4, max_length=8, stride=2)[0].tolist() == golden["2.23"]


def test_embeddings(story, golden):
    torch.manual_seed(123)
    layer = nn.Embedding(6, 3)
    close(layer.weight, golden["2.24"])
    close(layer(torch.tensor([2, 3, 5, 1])), golden["2.25"])
    inputs, _ = first_batch(story, batch_size=8, max_length=4, stride=4)
    tokens, positions = nn.Embedding(50257, 256)(inputs), nn.Embedding(4, 256)(torch.arange(4))
    assert [list(t.shape) for t in (inputs, tokens, positions, tokens + positions)] == golden["2.26"]


# Chapter 3


@pytest.fixture(scope="module")
def inputs(golden):
    return torch.tensor(golden["3.00"])


@pytest.fixture(scope="module")
def batch(inputs):
    return torch.stack((inputs, inputs))


def test_self_attention_v1(inputs, golden):
    torch.manual_seed(123)
    attention = course.SelfAttention_v1(3, 2)
    queries, keys = inputs @ attention.W_query, inputs @ attention.W_key
    scores = queries[1] @ keys.T
    weights = torch.softmax(scores / 2**0.5, dim=-1)
    close(queries[1], golden["3.08"])
    close(scores[1], golden["3.09"])
    close(scores, golden["3.10"])
    close(weights, golden["3.11"])
    close(weights @ (inputs @ attention.W_value), golden["3.12"])
    close(attention(inputs), golden["3.13"])


def test_self_attention_v2_and_masking(inputs, golden):
    torch.manual_seed(789)
    attention = course.SelfAttention_v2(3, 2)
    close(attention(inputs), golden["3.14"])
    scores = attention.W_query(inputs) @ attention.W_key(inputs).T / 2**0.5
    weights = torch.softmax(scores, dim=-1)
    close(weights, golden["3.15"])
    lower = torch.tril(weights)
    close(lower / lower.sum(dim=-1, keepdim=True), golden["3.16"])
    close(torch.softmax(scores.masked_fill(course.causal_mask(6), -torch.inf), dim=-1), golden["3.16"])


def test_causal_and_multi_head_attention(batch, golden):
    assert list(course.CausalAttention(3, 2, 6, 0.0)(batch).shape) == golden["3.18"]
    torch.manual_seed(123)
    out = course.MultiHeadAttentionWrapper(3, 2, 6, 0.0, num_heads=2)(batch)
    close(out, [golden["3.19"]] * 2)
    torch.manual_seed(123)
    out = course.MultiHeadAttention(3, 2, 6, 0.0, num_heads=2)(batch)
    close(out, [golden["3.21"]] * 2)


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_parameters_of_gpt2_attention(golden):
    assert count(course.MultiHeadAttention(768, 768, 1024, 0.0, num_heads=12)) == golden["3.22"]


# Chapter 4


@pytest.fixture(scope="module")
def two_texts(bpe):
    return torch.tensor([bpe.encode(text) for text in ["Every effort moves you", "Every day holds a"]])


@pytest.fixture(scope="module")
def fresh_model():
    """The model of seed 123 together with its first output, which has dropout in it."""
    torch.manual_seed(123)
    model = course.GPTModel(course.GPT_CONFIG_124M)
    return model, torch.get_rng_state()


def ends(logits):
    """Return the first three and the last three logits of the first token of each text."""
    return torch.cat((logits[:, 0, :3], logits[:, 0, -3:]), dim=-1)


def test_placeholder_model(two_texts, golden):
    assert two_texts.tolist() == golden["4.01"]
    torch.manual_seed(123)
    logits = course.DummyGPTModel(course.GPT_CONFIG_124M)(two_texts)
    assert list(logits.shape) == golden["4.02"]["shape"]
    close(ends(logits), [golden["4.02"]["text1"], golden["4.02"]["text2"]])


def test_layer_norm(golden):
    torch.manual_seed(123)
    x = torch.randn(2, 5)
    out = nn.Sequential(nn.Linear(5, 6), nn.ReLU())(x)
    close(out, golden["4.03"])
    close(torch.stack((out.mean(dim=-1), out.var(dim=-1))), golden["4.04"])
    normalised = (out - out.mean(dim=-1, keepdim=True)) / out.std(dim=-1, keepdim=True)
    close(normalised, golden["4.05"])
    # The class divides by n instead of n - 1, and has a small eps: same shape of the numbers, another scale.
    close(course.LayerNorm(6)(out) * (5 / 6) ** 0.5, golden["4.05"], decimals=3)


def test_shapes_of_the_parts(golden):
    assert list(course.FeedForward(course.GPT_CONFIG_124M)(torch.rand(2, 3, 768)).shape) == golden["4.06"]
    assert list(course.TransformerBlock(course.GPT_CONFIG_124M)(torch.rand(2, 4, 768)).shape) == golden["4.09"]


@pytest.mark.parametrize(("number", "use_shortcut"), [("4.07", False), ("4.08", True)])
def test_gradients(golden, number, use_shortcut):
    torch.manual_seed(123)
    network = course.ExampleDeepNeuralNetwork([3, 3, 3, 3, 3, 1], use_shortcut)
    nn.MSELoss()(network(torch.tensor([[1.0, 0.0, -1.0]])), torch.tensor([[0.0]])).backward()
    gradients = [layer[0].weight.grad.abs().mean().item() for layer in network.layers]
    assert [f"{value:.4g}" for value in gradients] == [f"{value:.4g}" for value in golden[number]]
    assert gradients == pytest.approx(golden[number], rel=5.1e-5)


def test_gpt_model_logits(fresh_model, two_texts, golden):
    model, rng_state = fresh_model
    torch.set_rng_state(rng_state)
    logits = model.train()(two_texts)
    assert list(logits.shape) == golden["4.10"]["shape"]
    close(ends(logits), [golden["4.10"]["text1"], golden["4.10"]["text2"]])


def test_gpt_model_size(fresh_model, golden):
    model, _ = fresh_model
    total = count(model)
    assert [total, total - count(model.out_head), round(total * 4 / 2**20, 2)] == golden["4.11"]
    block = model.trf_blocks[0]
    assert [count(block.ff), count(block.att)] == golden["4.12"]


def test_gpt2_xl_size(golden):
    with torch.device("meta"):
        model = course.GPTModel({**course.GPT_CONFIG_124M, "emb_dim": 1600, "n_layers": 48, "n_heads": 25})
    total = count(model)
    assert [total, total - count(model.out_head), round(total * 4 / 2**20, 2)] == golden["4.13"]


@pytest.mark.slow
def test_first_words(fresh_model, bpe, golden):
    model, _ = fresh_model
    out = course.generate_text_simple(model, torch.tensor([bpe.encode("Hello, I am")]), 6, 1024)
    assert out[0].tolist() == golden["4.14"]
    assert bpe.decode(out[0].tolist()) == golden["4.15"]


# Chapter 5


@pytest.fixture(scope="module")
def loaders(story):
    """Return (training loader, validation loader) as chapter 5 makes them."""
    torch.manual_seed(123)
    split = int(0.9 * len(story))
    return (
        course.create_dataloader_v1(story[:split], batch_size=2, max_length=256, stride=256),
        course.create_dataloader_v1(story[split:], batch_size=2, max_length=256, stride=256, shuffle=False,
                                    drop_last=False),
    )


@pytest.fixture(scope="module")
def untrained():
    torch.manual_seed(123)
    return course.GPTModel({**course.GPT_CONFIG_124M, "context_length": 256}).eval()


@pytest.mark.slow
def test_untrained_text(untrained, bpe, golden):
    idx = course.text_to_token_ids("Every effort moves you", bpe)
    assert course.token_ids_to_text(course.generate_text_simple(untrained, idx, 10, 256), bpe) == golden["5.01"]


@torch.no_grad()
def test_cross_entropy(untrained, golden):
    inputs = torch.tensor([[16833, 3626, 6100], [40, 1107, 588]])
    targets = torch.tensor([[3626, 6100, 345], [1107, 588, 11311]])
    probas = torch.softmax(untrained(inputs), dim=-1)
    assert probas.argmax(dim=-1).tolist() == golden["5.02"]
    picked = probas.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    assert picked[0].tolist() == pytest.approx(golden["5.03"], rel=1e-4)
    assert picked[1].tolist() == pytest.approx(golden["5.04"], rel=1e-4)
    loss = course.calc_loss_batch(inputs, targets, untrained, torch.device("cpu"))
    loss_value, perplexity = golden["5.05"]
    close(loss, loss_value)
    assert torch.exp(loss).item() == pytest.approx(perplexity, abs=0.3)  # a loss off by 5e-6 moves it by 0.25


def test_loaders(loaders, story, bpe, golden):
    assert [len(story), len(bpe.encode(story))] == golden["5.06"]
    assert [len(loader) for loader in loaders] == golden["5.07"]


@pytest.mark.slow
@torch.no_grad()
def test_initial_losses(untrained, loaders, golden):
    losses = [course.calc_loss_loader(loader, untrained, torch.device("cpu")) for loader in loaders]
    close(losses, golden["5.08"], decimals=5)


class NineWords(nn.Module):
    """A stand-in for a model: its scores are the same after any text."""

    def __init__(self, logits):
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, idx):
        return self.logits.expand(*idx.shape, -1)  # -> (batch, num_tokens, 9)


def draw(model, calls=1, rows=1, **settings):
    """Return how often `generate` draws each of the nine words as the next one."""
    torch.manual_seed(123)
    idx = torch.zeros(rows, 1, dtype=torch.int64)
    drawn = torch.cat([course.generate(model, idx, 1, 1, **settings)[:, -1] for _ in range(calls)])
    return torch.bincount(drawn, minlength=len(WORDS))


def test_temperature_and_top_k(golden):
    model, n = NineWords(golden["5.11"]), 10_000
    counts = draw(model, calls=1000, temperature=1.0)
    assert counts[[WORDS.index(word) for word in ("closer", "forward", "inches", "toward")]].tolist() == golden["5.12"]
    assert counts.sum() == sum(golden["5.12"])
    free, best = draw(model, rows=n, temperature=5.0) / n, draw(model, rows=n, temperature=1.0, top_k=3) / n
    places = sorted(golden["5.14"][1])
    assert best.nonzero().flatten().tolist() == places
    shares = torch.cat((free[[WORDS.index("pizza")]], best[places]))
    probas = torch.tensor([golden["5.13"], *golden["5.15"]])
    assert ((shares - probas).abs() < 4 * (probas * (1 - probas) / n).sqrt()).all()


# -------------------- appendix A --------------------

X_TRAIN = torch.tensor([[-1.2, 3.1], [-0.9, 2.9], [-0.5, 2.6], [2.3, -1.1], [2.7, -1.5]])
Y_TRAIN = torch.tensor([0, 0, 0, 1, 1])
X_TEST, Y_TEST = torch.tensor([[-0.8, 2.8], [2.6, -1.6]]), torch.tensor([0, 1])


def test_neural_network(golden):
    torch.manual_seed(123)
    network = course.NeuralNetwork(50, 3)
    assert sum(p.numel() for p in network.parameters()) == golden["A.03"]
    assert sum(p.numel() for p in course.NeuralNetwork(2, 2).parameters()) == golden["A.10"]
    row = network.layers[0].weight[0]
    close(torch.cat((row[:3], row[-3:])), golden["A.04"])
    torch.manual_seed(123)
    with torch.no_grad():
        logits = network(torch.rand(1, 50))
    close(torch.cat((logits, torch.softmax(logits, dim=1))), golden["A.05"])


def test_the_toy_network_learns(golden):
    loader = DataLoader(course.ToyDataset(X_TRAIN, Y_TRAIN), batch_size=2, shuffle=True, drop_last=True)
    torch.manual_seed(123)
    network = course.NeuralNetwork(2, 2)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    losses = []
    for _ in range(3):
        for features, labels in loader:
            loss = torch.nn.functional.cross_entropy(network(features), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    close(torch.tensor(losses), golden["A.06"], decimals=2)
    with torch.no_grad():
        logits = network(X_TRAIN)
    close(logits, golden["A.07"])
    close(torch.softmax(logits, dim=1), golden["A.08"])
    loaders = [DataLoader(course.ToyDataset(X, y), batch_size=2) for X, y in [(X_TRAIN, Y_TRAIN), (X_TEST, Y_TEST)]]
    assert [course.compute_accuracy(network, loader) for loader in loaders] == golden["A.09"]


def test_accuracy_counts_examples_not_batches():
    """A last batch of one must not weigh as much as one of two."""
    class Always0(torch.nn.Module):
        def forward(self, x):
            return torch.tensor([[1.0, 0.0]]).expand(len(x), 2)

    loader = DataLoader(course.ToyDataset(torch.rand(5, 2), torch.tensor([0, 0, 0, 0, 1])), batch_size=2)
    assert course.compute_accuracy(Always0(), loader) == 0.8


def test_accuracy_takes_each_batch_to_the_device_of_the_model():
    """The book's call has a third argument. "meta" stands for a GPU here: its tensors have a place and no numbers."""
    seen = []

    class Remember(torch.nn.Module):
        def forward(self, x):
            seen.append(x.device.type)
            return torch.zeros(len(x), 2)

    loader = DataLoader(course.ToyDataset(torch.rand(3, 2), torch.tensor([0, 0, 1])), batch_size=2)
    assert course.compute_accuracy(Remember(), loader, torch.device("cpu")) == pytest.approx(2 / 3)
    with pytest.raises((RuntimeError, NotImplementedError)):  # the labels are on the device too, the zeros are not
        course.compute_accuracy(Remember(), loader, "meta")
    assert seen == ["cpu", "cpu", "meta"]
