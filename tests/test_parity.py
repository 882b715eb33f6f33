"""Our classes against PyTorch's own, and the properties that no shape can show: causality above all."""

import copy
import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional

import previous_chapters as course
from conftest import TINY
from helpers import assert_close


@pytest.mark.parametrize("shift", [0.0, 100.0])
def test_layer_norm(shift):
    torch.manual_seed(0)
    ours, theirs = course.LayerNorm(48), nn.LayerNorm(48)
    scale, offset = torch.rand(48), torch.rand(48)
    for layer, names in [(ours, ("scale", "shift")), (theirs, ("weight", "bias"))]:
        for name, value in zip(names, (scale, offset), strict=True):
            getattr(layer, name).data.copy_(value)
    x = 3 * torch.randn(4, 7, 48) + shift
    assert_close(ours(x), theirs(x), atol=1e-4 if shift else 1e-5)
    assert_close(ours(torch.full((1, 48), 5.0)), offset.unsqueeze(0))  # all equal: eps keeps it finite


def test_gelu_is_the_tanh_form():
    x = torch.linspace(-8, 8, 1001)
    assert_close(course.GELU()(x), functional.gelu(x, approximate="tanh"), atol=1e-6)
    assert (course.GELU()(x) - functional.gelu(x)).abs().max() > 1e-4


@pytest.mark.parametrize("heads", [1, 3, 12])
@pytest.mark.parametrize("qkv_bias", [False, True])
def test_multi_head_attention_equals_scaled_dot_product_attention(heads, qkv_bias):
    torch.manual_seed(0)
    attention = course.MultiHeadAttention(48, 48, 32, 0.0, heads, qkv_bias)
    x = torch.randn(2, 20, 48)
    q, k, v = (attention.split_heads(layer(x)) for layer in (attention.W_query, attention.W_key, attention.W_value))
    out = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    assert_close(attention(x), attention.out_proj(out.transpose(1, 2).reshape(2, 20, 48)))


def test_multi_head_attention_equals_the_wrapper():
    torch.manual_seed(0)
    wrapper = course.MultiHeadAttentionWrapper(10, 4, 8, 0.0, num_heads=3, qkv_bias=True)
    attention = course.MultiHeadAttention(10, 12, 8, 0.0, num_heads=3, qkv_bias=True)
    with torch.no_grad():
        for name, part in itertools.product(("W_query", "W_key", "W_value"), ("weight", "bias")):
            parts = [getattr(getattr(head, name), part) for head in wrapper.heads]
            getattr(getattr(attention, name), part).copy_(torch.cat(parts))
        attention.out_proj.weight.copy_(torch.eye(12))
        attention.out_proj.bias.zero_()
    x = torch.randn(2, 8, 10)
    assert_close(attention(x), wrapper(x), atol=1e-6)


def test_transformer_block_equals_pytorchs_encoder_layer():
    torch.manual_seed(0)
    cfg = {**TINY, "emb_dim": 48, "n_heads": 4, "qkv_bias": True}
    ours = course.TransformerBlock(cfg).eval()
    theirs = nn.TransformerEncoderLayer(48, 4, 192, activation=lambda x: functional.gelu(x, approximate="tanh"),
                                        batch_first=True, norm_first=True).eval()
    attention = ours.att
    qkv = (attention.W_query, attention.W_key, attention.W_value)
    theirs.load_state_dict({
        "self_attn.in_proj_weight": torch.cat([layer.weight for layer in qkv]),
        "self_attn.in_proj_bias": torch.cat([layer.bias for layer in qkv]),
        "self_attn.out_proj.weight": attention.out_proj.weight, "self_attn.out_proj.bias": attention.out_proj.bias,
        "linear1.weight": ours.ff.layers[0].weight, "linear1.bias": ours.ff.layers[0].bias,
        "linear2.weight": ours.ff.layers[2].weight, "linear2.bias": ours.ff.layers[2].bias,
        "norm1.weight": ours.norm1.scale, "norm1.bias": ours.norm1.shift,
        "norm2.weight": ours.norm2.scale, "norm2.bias": ours.norm2.shift,
    })
    x = torch.randn(2, 12, 48)
    assert_close(ours(x), theirs(x, src_mask=course.causal_mask(12)))


def test_losses_equal_pytorchs(tiny_model):
    torch.manual_seed(0)
    inputs, targets = torch.randint(0, 60, (2, 3, 8))
    tiny_model.eval()
    ours = course.calc_loss_batch(inputs, targets, tiny_model, torch.device("cpu"))
    picked = torch.log_softmax(tiny_model(inputs), dim=-1).gather(-1, targets.unsqueeze(-1))
    assert_close(ours, -picked.mean(), atol=1e-6)
    loader = [(inputs, targets), (targets, inputs)]
    mean = (ours + course.calc_loss_batch(targets, inputs, tiny_model, torch.device("cpu"))) / 2
    assert course.calc_loss_loader(loader, tiny_model, torch.device("cpu")) == pytest.approx(mean.item())
    assert course.calc_loss_loader(loader, tiny_model, torch.device("cpu"), 1) == pytest.approx(ours.item())
    assert course.calc_loss_loader(loader, tiny_model, torch.device("cpu"), 99) == pytest.approx(mean.item())


@pytest.mark.parametrize("module", [
    course.CausalAttention(8, 6, 10, 0.0),
    course.MultiHeadAttentionWrapper(8, 3, 10, 0.0, num_heads=2),
    course.MultiHeadAttention(8, 6, 10, 0.0, num_heads=3),
    course.TransformerBlock({**TINY, "emb_dim": 8, "drop_rate": 0.0}),
], ids=lambda module: type(module).__name__)
def test_a_later_token_changes_no_earlier_output(module):
    torch.manual_seed(0)
    x = torch.randn(2, 10, 8)
    for position in range(10):
        changed = x.clone()
        changed[:, position] = torch.randn(2, 8)  # not x + 1: a layer norm would not notice
        differs = (module(x) != module(changed)).any(dim=-1).any(dim=0)
        assert not differs[:position].any()
        assert differs[position:].all()


def test_the_model_is_causal(tiny_model):
    tiny_model.eval()
    ids = torch.arange(12).unsqueeze(0)
    for position in range(12):
        changed = ids.clone()
        changed[0, position] = 59
        differs = (tiny_model(ids) != tiny_model(changed)).any(dim=-1)[0]
        assert not differs[:position].any() and differs[position]


def test_simple_attention_sees_every_token():
    torch.manual_seed(0)
    for attention in (course.SelfAttention_v1(4, 3), course.SelfAttention_v2(4, 3)):
        x = torch.randn(5, 4)
        changed = x.clone()
        changed[-1] += 1
        assert (attention(x) != attention(changed)).any(dim=-1).all()


# The mask is no parameter, is not saved, and checkpoints that carry it load.


def test_the_mask_is_not_saved(tiny_model):
    assert not [name for name in tiny_model.state_dict() if "mask" in name]
    assert not [name for name, _ in tiny_model.named_parameters() if "mask" in name]
    assert {str(name) for name, _ in tiny_model.named_buffers()} == {f"trf_blocks.{i}.att.mask" for i in range(2)}


@pytest.mark.parametrize("make_mask", [
    lambda: torch.triu(torch.ones(12, 12), diagonal=1), lambda: course.causal_mask(12), lambda: torch.zeros(1024, 1024),
], ids=["float", "bool", "another size"])
def test_checkpoints_with_masks_load(tiny_model, make_mask):
    state = tiny_model.state_dict()
    carrying = {**state, **{f"trf_blocks.{i}.att.mask": make_mask() for i in range(2)}}
    torch.manual_seed(9)
    other = course.GPTModel(TINY)
    other.load_state_dict(carrying)  # strict
    assert all(torch.equal(value, state[name]) for name, value in other.state_dict().items())
    assert torch.equal(other.trf_blocks[0].att.mask, course.causal_mask(12))
    assert len(carrying) == len(state) + 2  # the caller's dict is left alone


def test_loading_is_strict_about_everything_else(tiny_model):
    state = tiny_model.state_dict()
    with pytest.raises(RuntimeError, match="surprise"):
        tiny_model.load_state_dict({**state, "surprise": torch.zeros(1)})
    with pytest.raises(RuntimeError, match="out_head"):
        tiny_model.load_state_dict({name: value for name, value in state.items() if "out_head" not in name})


def test_models_can_be_copied(tiny_model):
    ids = torch.arange(5).unsqueeze(0)
    assert torch.equal(copy.deepcopy(tiny_model).eval()(ids), tiny_model.eval()(ids))


def test_an_embedding_is_a_one_hot_product():
    layer = nn.Embedding(6, 3)
    ids = torch.tensor([2, 3, 5, 1])
    assert torch.equal(functional.one_hot(ids, 6).float() @ layer.weight, layer(ids))
