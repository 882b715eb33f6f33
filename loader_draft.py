"""Draft of the loader of section 5.5; its definitions move into the notebook."""

import numpy as np
import torch

model_configs = {
    "gpt2-small (124M)": {"emb_dim": 768, "n_layers": 12, "n_heads": 12},
    "gpt2-medium (355M)": {"emb_dim": 1024, "n_layers": 24, "n_heads": 16},
    "gpt2-large (774M)": {"emb_dim": 1280, "n_layers": 36, "n_heads": 20},
    "gpt2-xl (1558M)": {"emb_dim": 1600, "n_layers": 48, "n_heads": 25},
}


def assign(left, right, name):
    """Copy an array into a parameter, in place.

    Args:
        left: a parameter.
        right: a numpy array of the same shape; its numbers are copied once, from wherever they lie.
        name: what to call the parameter in an error.

    Raises:
        ValueError: the shapes differ.
    """
    if left.shape != right.shape:
        raise ValueError(f"{name} has the shape {tuple(left.shape)} in the model and {right.shape} in the checkpoint")
    with torch.no_grad():
        left.copy_(torch.from_numpy(right))


def match_linear(layer, params, name):
    """Return a linear layer's parameters with their arrays as (parameter, array, name)."""
    # OpenAI's (n_in, n_out) is transposed: nn.Linear keeps (n_out, n_in)
    return [(layer.weight, params["w"].T, f"{name}.weight"), (layer.bias, params["b"], f"{name}.bias")]


def match_norm(norm, params, name):
    """Return a layer norm's parameters with their arrays as (parameter, array, name)."""
    return [(norm.scale, params["g"], f"{name}.scale"), (norm.shift, params["b"], f"{name}.shift")]


def match_attention(att, params, name):
    """Return the parameters of a `MultiHeadAttention` with their arrays as (parameter, array, name)."""
    pairs = match_linear(att.out_proj, params["c_proj"], f"{name}.out_proj")
    weights, biases = (np.split(params["c_attn"][kind], 3, axis=-1) for kind in ("w", "b"))  # views: nothing is copied
    for part, w, b in zip(("W_query", "W_key", "W_value"), weights, biases, strict=True):
        pairs += match_linear(getattr(att, part), {"w": w, "b": b}, f"{name}.{part}")
    return pairs


def match_weights(gpt, params):
    """Return every parameter of a `GPTModel` with its array, as a list of (parameter, array, name)."""
    pairs = [(gpt.tok_emb.weight, params["wte"], "tok_emb.weight"),
             (gpt.pos_emb.weight, params["wpe"], "pos_emb.weight"),
             (gpt.out_head.weight, params["wte"], "out_head.weight")]  # GPT-2's output head is its token embedding
    pairs += match_norm(gpt.final_norm, params, "final_norm")
    for i, (block, arrays) in enumerate(zip(gpt.trf_blocks, params["blocks"], strict=True)):
        name = f"trf_blocks.{i}"
        pairs += match_attention(block.att, arrays["attn"], f"{name}.att")
        pairs += match_linear(block.ff.layers[0], arrays["mlp"]["c_fc"], f"{name}.ff.layers.0")
        pairs += match_linear(block.ff.layers[2], arrays["mlp"]["c_proj"], f"{name}.ff.layers.2")
        pairs += match_norm(block.norm1, arrays["ln_1"], f"{name}.norm1")
        pairs += match_norm(block.norm2, arrays["ln_2"], f"{name}.norm2")
    return pairs


def load_weights_into_gpt(gpt, params):
    """Give a model the weights of one of OpenAI's checkpoints, in place.

    Args:
        gpt: a `GPTModel` of the checkpoint's sizes, built with qkv_bias=True. No shape tells the number of heads, so
            that one is for the caller to get right.
        params: the nested dicts that `download_and_load_gpt2` returns.

    Raises:
        ValueError: a size differs; the message names it.
    """
    if len(gpt.trf_blocks) != len(params["blocks"]):
        raise ValueError(f"the model has {len(gpt.trf_blocks)} blocks, the checkpoint {len(params['blocks'])}")
    if any(block.att.W_query.bias is None for block in gpt.trf_blocks):
        raise ValueError("the model has no bias for queries, keys and values, the checkpoint does: use qkv_bias=True")
    pairs = match_weights(gpt, params)
    assert {id(parameter) for parameter, _, _ in pairs} == {id(parameter) for parameter in gpt.parameters()}
    for parameter, array, name in pairs:
        assign(parameter, array, name)
