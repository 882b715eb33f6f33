"""LoRA beside linear layers: definitions against hand-made references, twice, merged, stored, swapped, in four bits."""

import gguf
import numpy as np
import pytest
import torch
from torch import nn

import previous_chapters as course
from conftest import TINY

LLAMA = {**course.SMOLLM2_CONFIG_135M, "vocab_size": 70, "context_length": 40, "emb_dim": 32, "n_heads": 4,
         "n_kv_heads": 2, "n_layers": 2, "hidden_dim": 64}
pytestmark = pytest.mark.usefixtures("one_thread")
IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])


@pytest.fixture
def model():
    """A small Llama in eval mode."""
    torch.manual_seed(0)
    return course.LlamaModel(LLAMA).eval()


def trained(model, rank=2, alpha=6, seed=1, **keywords):
    """Give a model LoRA whose A and B are random, as if they were trained."""
    course.replace_linear_with_lora(model, rank, alpha, **keywords)
    torch.manual_seed(seed)
    with torch.no_grad():
        for layer in course.lora_layers(model).values():
            layer.lora.A.normal_(std=0.1)
            layer.lora.B.normal_(std=0.1)
    return model


@torch.no_grad()
def logits(model):
    return model(IDS)


def test_a_layer_is_its_matrix_and_the_scaled_product():
    torch.manual_seed(0)
    linear, x = nn.Linear(5, 3), torch.randn(4, 5)
    layer = course.LinearWithLoRA(linear, rank=2, alpha=6)
    with torch.no_grad():
        layer.lora.B.normal_()
    expected = x @ linear.weight.T + linear.bias + 6 / 2 * x @ layer.lora.A @ layer.lora.B
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer.merged_weight(), linear.weight + 3 * (layer.lora.A @ layer.lora.B).T)
    layer.on = False
    assert torch.equal(layer(x), linear(x))


def test_a_begins_like_a_linear_layer_and_b_with_zeros():
    torch.manual_seed(3)
    lora = course.LoRALayer(100, 7, rank=4, alpha=1)
    torch.manual_seed(3)
    as_linear = torch.empty(100, 4).uniform_(-0.1, 0.1)
    assert torch.equal(lora.A, as_linear) and lora.B.shape == (4, 7) and not lora.B.any()


def test_only_b_has_a_gradient_in_the_first_step(model):
    course.replace_linear_with_lora(model, rank=2, alpha=4)
    course.calc_loss_batch(IDS[:, :-1], IDS[:, 1:], model, "cpu").backward()
    layers = course.lora_layers(model).values()
    assert all(layer.lora.B.grad.any() and not layer.lora.A.grad.any() for layer in layers)
    assert all(p.grad is None for name, p in model.named_parameters() if ".lora." not in name)


def test_nothing_changes_at_the_start_and_only_a_and_b_learn(model):
    expected = logits(model)
    assert course.replace_linear_with_lora(model, rank=2, alpha=4) == 7 * LLAMA["n_layers"]
    assert torch.equal(logits(model), expected)
    assert {name.split(".")[-1] for name, p in model.named_parameters() if p.requires_grad} == {"A", "B"}
    assert model.out_head.weight is model.tok_emb.weight


def test_twice_is_harmless_and_says_so(model, capsys):
    trained(model)
    before, learns = logits(model), {name: p.requires_grad for name, p in model.named_parameters()}
    assert course.replace_linear_with_lora(model, rank=5, alpha=1) == 0
    assert capsys.readouterr().out == "nothing to replace: 14 layers have LoRA already, and the model stays as it is\n"
    assert torch.equal(logits(model), before)
    assert learns == {name: p.requires_grad for name, p in model.named_parameters()}


def test_a_second_call_adds_the_layers_that_are_missing(model):
    trained(model, layers=("W_query",))
    before = logits(model)
    assert course.replace_linear_with_lora(model, rank=1, alpha=1) == 6 * LLAMA["n_layers"]
    assert torch.equal(logits(model), before)
    assert sum(".lora." in name for name, p in model.named_parameters() if p.requires_grad) == 2 * 7 * LLAMA["n_layers"]


def test_a_classifiers_new_head_is_left_alone(model):
    classifier = course.TextClassifier(model, pad_token_id=0)
    course.replace_linear_with_lora(classifier, rank=1, alpha=1)
    assert type(classifier.out_head) is nn.Linear and not classifier.out_head.weight.requires_grad


def test_lora_beside_the_tied_head_leaves_the_embedding_as_it_is(model):
    embedding = model.tok_emb.weight.clone()
    trained(model, layers=("out_head",))
    expected = logits(model)
    course.take_lora_off(model, merge=True)
    torch.testing.assert_close(logits(model), expected, rtol=0, atol=1e-5)
    assert torch.equal(model.tok_emb.weight, embedding) and not torch.equal(model.out_head.weight, embedding)


@pytest.mark.parametrize("cfg", [TINY, {**TINY, "n_layers": 3, "qkv_bias": True}])
@pytest.mark.parametrize("rank", [1, 5])
def test_counts_of_a_gpt_are_exact(cfg, rank):
    model = course.GPTModel(cfg)
    course.replace_linear_with_lora(model, rank, alpha=1)
    assert course.count_lora_parameters(cfg, rank) == sum(p.numel() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("cfg", [TINY, {**TINY, "drop_rate": 0.0, "n_heads": 4, "n_layers": 3}])
@pytest.mark.parametrize("rank", [1, 5])
def test_flops_of_a_gpt_are_exact(cfg, rank):
    torch.manual_seed(0)
    model = course.GPTModel(cfg)
    course.replace_linear_with_lora(model, rank, alpha=1)
    ids = torch.randint(0, cfg["vocab_size"], (2, 3, cfg["context_length"]))
    measured = course.measured_flops(lambda: course.calc_loss_batch(*ids, model, "cpu").backward())
    assert course.count_lora_flops(cfg, rank, 3, cfg["context_length"]) == measured


@pytest.mark.parametrize("cfg", [
    {**TINY, "vocab_size": 3000}, {**TINY, "context_length": 128, "drop_rate": 0.0, "emb_dim": 32, "n_heads": 8},
    {**TINY, "emb_dim": 96, "n_layers": 4}])
@pytest.mark.parametrize("batch_size", [1, 6])
def test_the_peak_is_within_a_tenth_of_the_prediction(cfg, batch_size):
    with course.LiveMemory() as memory:
        model = course.GPTModel(cfg)
        course.replace_linear_with_lora(model, 2, 4)
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], foreach=False)
        inputs, targets = torch.randint(0, cfg["vocab_size"], (2, batch_size, cfg["context_length"]))
        for _ in range(2):
            course.training_step(model, optimizer, inputs, targets)
    estimate = course.estimate_lora_memory(cfg, 2, batch_size, cfg["context_length"])
    assert estimate["peak"] == pytest.approx(memory.peak, rel=0.1)


@pytest.mark.parametrize("wrapper", [course.LinearWithLoRA, course.LinearWithDoRA])
def test_merged_is_the_same(model, wrapper):
    trained(model, wrapper=wrapper)
    expected = logits(model)
    assert course.take_lora_off(model, merge=True) == 14
    assert not course.lora_layers(model)
    torch.testing.assert_close(logits(model), expected, rtol=0, atol=1e-5)


def test_a_bias_is_merged_along():
    torch.manual_seed(0)
    model = trained(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)))
    x = torch.randn(3, 4)
    expected = model(x)
    course.take_lora_off(model, merge=True)
    torch.testing.assert_close(model(x), expected)


def test_taken_off_the_model_is_as_it_was(model):
    expected = logits(model)
    trained(model)
    assert (logits(model) - expected).abs().max() > 0.01
    course.take_lora_off(model)
    assert torch.equal(logits(model), expected)


def test_switched_off_for_a_while(model):
    expected = logits(model)
    changed = logits(trained(model))
    with course.without_lora(model) as same:
        assert same is model and torch.equal(logits(model), expected)
    assert torch.equal(logits(model), changed)
    with pytest.raises(RuntimeError, match="broken off"), course.without_lora(model):
        raise RuntimeError("broken off")
    assert torch.equal(logits(model), changed)


def test_two_adapters_are_stored_and_swapped(model, tmp_path):
    expected = {"none": logits(model)}
    for name, rank, layers in (("one", 2, None), ("other", 3, ("W_query", "down"))):
        trained(model, rank, seed=rank, layers=layers)
        expected[name] = logits(model)
        course.save_lora(model, tmp_path / name)
        course.take_lora_off(model)
    for name in ("one", "other", "one"):
        course.load_lora(model, tmp_path / name)
        assert torch.equal(logits(model), expected[name])
        assert all(p.requires_grad == (".lora." in at) for at, p in model.named_parameters())
    course.take_lora_off(model)
    assert torch.equal(logits(model), expected["none"])


def test_the_file_holds_the_adapter_alone(model, tmp_path):
    trained(model, rank=1)
    course.save_lora(model, tmp_path / "full")
    course.save_lora(model, tmp_path / "half", torch.float16)
    saved = {name: torch.load(tmp_path / name, weights_only=True) for name in ("full", "half")}
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    for name, size in (("full", 4), ("half", 2)):
        assert sum(values.nbytes for values in saved[name]["trained"].values()) == size * count
    expected = logits(model)
    course.load_lora(model, tmp_path / "half")
    torch.testing.assert_close(logits(model), expected, rtol=0, atol=1e-2)


def test_a_new_head_is_stored_along(model, tmp_path):
    classifier = course.TextClassifier(model, pad_token_id=0, trained_blocks=1)
    trained(classifier)
    classifier.out_head.requires_grad_(True)
    expected = logits(classifier)
    course.save_lora(classifier, tmp_path / "file")
    torch.manual_seed(0)
    fresh = course.TextClassifier(course.LlamaModel(LLAMA).eval(), pad_token_id=0, trained_blocks=1)
    assert not torch.equal(logits(fresh), expected)
    course.load_lora(fresh, tmp_path / "file")
    assert torch.equal(logits(fresh), expected)


def test_dora_at_the_start_is_the_layer_itself():
    torch.manual_seed(0)
    linear, x = nn.Linear(5, 3), torch.randn(4, 5)
    layer = course.LinearWithDoRA(linear, rank=2, alpha=4)
    torch.testing.assert_close(layer(x), linear(x))
    torch.testing.assert_close(layer.lora.length, linear.weight.norm(dim=1))


def test_dora_gives_each_row_its_length():
    torch.manual_seed(0)
    linear, x = nn.Linear(5, 3), torch.randn(4, 5)
    layer = course.LinearWithDoRA(linear, rank=2, alpha=4)
    with torch.no_grad():
        layer.lora.B.normal_()
        layer.lora.length.copy_(torch.tensor([1.0, 2.0, 3.0]))
    turned = linear.weight + 2 * (layer.lora.A @ layer.lora.B).T
    weight = torch.tensor([[1.0], [2.0], [3.0]]) * turned / turned.norm(dim=1, keepdim=True)
    torch.testing.assert_close(layer(x), x @ weight.T + linear.bias)
    torch.testing.assert_close(layer.merged_weight(), weight)
    layer.on = False
    assert torch.equal(layer(x), linear(x))


def test_dora_is_stored_with_its_lengths(model, tmp_path):
    trained(model, wrapper=course.LinearWithDoRA)
    expected = logits(model)
    course.save_lora(model, tmp_path / "file")
    course.load_lora(model, tmp_path / "file", wrapper=course.LinearWithDoRA)
    torch.testing.assert_close(logits(model), expected)
    with pytest.raises(ValueError, match="length"):
        course.load_lora(model, tmp_path / "file")


@pytest.fixture
def packed():
    """Random bytes of a matrix of 3 rows and 64 columns in the format Q4_1, with sensible steps."""
    weights = np.random.default_rng(0).normal(size=(3, 64)).astype(np.float32)
    return torch.from_numpy(gguf.quants.quantize(weights, gguf.GGMLQuantizationType.Q4_1))


def test_packed_weights_are_those_of_the_library(packed):
    expected = gguf.quants.dequantize(packed.numpy(), gguf.GGMLQuantizationType.Q4_1)
    assert np.array_equal(course.unpack_q4_1(packed).numpy(), expected)


def test_one_block_by_hand():
    numbers = torch.arange(32) % 16
    header = torch.tensor([0.5, -2.0], dtype=torch.float16).view(torch.uint8)
    block = torch.cat((header, (numbers[:16] + 16 * numbers[16:].flip(0)).to(torch.uint8)))[None]
    expected = torch.cat((numbers[:16], numbers[16:].flip(0))) * 0.5 - 2.0
    assert torch.equal(course.unpack_q4_1(block)[0], expected)


def test_a_packed_layer_is_its_unpacked_weights_and_so_is_its_gradient(packed):
    layer, weight = course.LinearQ4(packed), course.unpack_q4_1(packed)
    x = torch.randn(2, 5, 64, requires_grad=True)
    other = x.detach().clone().requires_grad_()
    assert (layer.in_features, layer.out_features) == (64, 3) and not list(layer.parameters())
    torch.testing.assert_close(layer(x), other @ weight.T)
    layer(x).square().sum().backward()
    (other @ weight.T).square().sum().backward()
    torch.testing.assert_close(x.grad, other.grad)


def test_a_packed_layer_keeps_no_unpacked_weight(packed):
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        course.LinearQ4(packed)(torch.randn(5, 64, requires_grad=True))
    assert [tensor.dtype for tensor in kept] == [torch.uint8]


def test_lora_stands_beside_a_packed_layer_and_merges(packed):
    model = trained(nn.Sequential(course.LinearQ4(packed)))
    x = torch.randn(5, 64)
    expected = model(x)
    course.take_lora_off(model, merge=True)
    assert type(model[0]) is nn.Linear
    torch.testing.assert_close(model(x), expected)


def test_smollm2s_packed_layers_are_its_weights():
    _, tensors = course.read_gguf(course.find_smollm2())
    model, _ = course.load_smollm2()
    plain = {name: p for name, p in model.named_parameters() if name.startswith("trf_blocks") and p.ndim == 2}
    assert course.pack_linear_layers(model, tensors) == len(plain) == 210
    for name, weight in plain.items():
        assert torch.equal(model.get_submodule(name.removesuffix(".weight")).weight, weight)


def test_another_format_than_q4_1_is_refused():
    tensor = gguf.gguf_reader.ReaderTensor("blk.0.attn_q.weight", gguf.GGMLQuantizationType.Q8_0, None, 0, 0, 0, None,
                                           None)
    with pytest.raises(ValueError, match="has the format Q8_0 in the file, expected Q4_1"):
        course.pack_linear_layers(nn.Module(), {tensor.name: tensor})


@pytest.mark.parametrize(("attempt", "message"), [
    (lambda model: course.LoRALayer(4, 4, 0, 1), "rank must be at least 1, got 0"),
    (lambda model: course.LinearWithLoRA(nn.Embedding(3, 4), 1, 1), "beside an nn.Linear, got Embedding"),
    (lambda model: course.LinearWithLoRA(trained(model).trf_blocks[0].ff.up, 1, 1), "got LinearWithLoRA"),
    (lambda model: course.replace_linear_with_lora(nn.ReLU(), 1, 1), "no linear layers"),
    (lambda model: course.replace_linear_with_lora(model, 1, 1, layers=("W_quary",)), "W_quary"),
    (lambda model: course.replace_linear_with_lora(model, 0, 1), "rank must be at least 1"),
    (lambda model: course.save_lora(model, "unwritten"), "no LoRA to save"),
    (lambda model: course.low_rank(torch.eye(3), -1), "at least 0, got -1"),
])
def test_what_makes_no_sense_is_refused(model, attempt, message):
    with pytest.raises(ValueError, match=message):
        attempt(model)


def test_a_refused_rank_leaves_the_model_as_it_was(model):
    before = {name: (p, p.requires_grad) for name, p in model.named_parameters()}
    with pytest.raises(ValueError, match="rank"):
        course.replace_linear_with_lora(model, rank=0, alpha=1)
    now = {name: (p, p.requires_grad) for name, p in model.named_parameters()}
    assert before.keys() == now.keys() and all(before[name][0] is now[name][0] for name in now)
    assert all(learns for _, learns in now.values())


def test_files_that_do_not_fit_are_refused(model, tmp_path):
    trained(model, rank=2)
    course.save_lora(model, tmp_path / "narrow")
    wide = course.LlamaModel({**LLAMA, "emb_dim": 64, "hidden_dim": 32})
    with pytest.raises(ValueError, match=r"has the shape \(32, 2\) in .*narrow, this model needs \(64, 2\)"):
        course.load_lora(wide, tmp_path / "narrow")
    with pytest.raises(ValueError, match="where this model has no linear layer"):
        course.load_lora(course.LlamaModel({**LLAMA, "n_layers": 1}), tmp_path / "narrow")
    (tmp_path / "text").write_text("no adapter", encoding="utf-8")
    torch.save({"weights": 1}, tmp_path / "other")
    for name in ("text", "other"):
        with pytest.raises(ValueError, match="not a file of save_lora"):
            course.load_lora(model, tmp_path / name)
    with pytest.raises(FileNotFoundError):
        course.load_lora(model, tmp_path / "nowhere")
    assert len(course.lora_layers(model)) == 14  # as before


def test_the_best_approximation_of_a_rank():
    torch.manual_seed(0)
    matrix = torch.randn(6, 4, dtype=torch.float64)
    errors = [(matrix - course.low_rank(matrix, rank)).square().sum().item() for rank in range(5)]
    values = torch.linalg.svdvals(matrix).square()
    assert errors == pytest.approx([values[rank:].sum().item() for rank in range(5)], abs=1e-12)
    assert torch.linalg.matrix_rank(course.low_rank(matrix, 2)) == 2
