"""Our GPTModel is GPT-2: random weights of Hugging Face's, through either loader, give the same numbers and text."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import gpt_download
import previous_chapters as course
from conftest import ROOT
from openai_layout import Server, random_checkpoint, write_checkpoint
from previous_chapters import assign, load_weights_into_gpt, model_configs

os.environ["HF_HUB_OFFLINE"] = "1"
from transformers import GPT2Config, GPT2LMHeadModel  # noqa: E402  (it reads the environment)

SIZES = dict(zip(gpt_download.MODEL_SIZES, model_configs.values(), strict=True))
FULL = {"vocab_size": 50257, "context_length": 1024, **SIZES["124M"]}


def reduced(size):
    """Return the configuration of a model with all its heads and blocks, but heads of 4 numbers and few tokens."""
    cfg = SIZES[size]
    return {**cfg, "vocab_size": 97, "context_length": 64, "emb_dim": 4 * cfg["n_heads"]}


def make_theirs(cfg, seed):
    """Return a GPT2LMHeadModel whose every number is random, biases and norms included.

    Its positions are strong beside its tokens: else the tied head makes it say its last token for ever.
    """
    theirs = GPT2LMHeadModel(GPT2Config(vocab_size=cfg["vocab_size"], n_positions=cfg["context_length"],
                                        n_embd=cfg["emb_dim"], n_head=cfg["n_heads"], n_layer=cfg["n_layers"],
                                        bos_token_id=None, eos_token_id=None)).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in theirs.named_parameters():
        if "wpe" in name:
            mean, spread = 0, 2
        elif parameter.ndim == 2 and "wte" not in name:
            mean, spread = 0, 1 / cfg["emb_dim"] ** 0.5
        else:
            mean, spread = float("ln_" in name and "weight" in name), 0.1
        torch.nn.init.normal_(parameter, mean, spread, generator=generator)
    return theirs


def make_ours(cfg):
    return course.GPTModel({**cfg, "drop_rate": 0.1, "qkv_bias": True}).eval()


def through_tensorflow(theirs, cfg, size, folder):
    """Write their weights in OpenAI's layout, serve and download that, and return (settings, params)."""
    arrays = {}
    for name, parameter in theirs.transformer.state_dict().items():
        *path, kind = name.removeprefix("h.").split(".")
        if name.startswith("h."):
            path[0] = f"h{path[0]}"
        if path[-1] not in ("wte", "wpe"):
            path.append("b" if kind == "bias" else "g" if "ln_" in name else "w")
        array = parameter.numpy()
        arrays["/".join(["model", *path])] = array[None] if path[-1] == "w" else array
    settings = {"n_vocab": cfg["vocab_size"], "n_ctx": cfg["context_length"], "n_embd": cfg["emb_dim"],
                "n_head": cfg["n_heads"], "n_layer": cfg["n_layers"]}
    write_checkpoint(folder / "theirs" / size, arrays, settings)
    with Server(folder=folder / "theirs") as server:
        return gpt_download.download_and_load_gpt2(size, folder / "ours", base_urls=server.url)


def through_safetensors(theirs, cfg, size, folder):
    """Save their weights as transformers does, and return (settings, params)."""
    theirs.save_pretrained(folder / "safetensors")
    return gpt_download.load_gpt2_from_safetensors(folder / "safetensors")


def assert_same_model(theirs, settings, params, cfg):
    """Load the parameters into our model: settings, logits, loss and greedy text are theirs."""
    assert settings == {"n_vocab": cfg["vocab_size"], "n_ctx": cfg["context_length"], "n_embd": cfg["emb_dim"],
                        "n_head": cfg["n_heads"], "n_layer": cfg["n_layers"]}
    ours = make_ours(cfg)
    load_weights_into_gpt(ours, params)
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, cfg["vocab_size"], (2, 33), generator=generator)
    with torch.no_grad():
        reference = theirs(ids, labels=ids)
        torch.testing.assert_close(ours(ids), reference.logits, rtol=0, atol=1e-4)
        loss = course.calc_loss_batch(ids[:, :-1], ids[:, 1:], ours, torch.device("cpu"))
        assert reference.logits.std() > 0.1  # there is something to compare
        assert abs(loss - reference.loss) < 1e-5
        text = theirs.generate(ids[:1, :8], attention_mask=torch.ones(1, 8), max_new_tokens=50, do_sample=False,
                               pad_token_id=0)
    generated = course.generate_text_simple(ours, ids[:1, :8], 50, cfg["context_length"])
    assert generated.shape == (1, 58) and torch.equal(generated, text)
    assert len(generated[0, 8:].unique()) > 10  # a text that could differ


@pytest.mark.parametrize("through", [through_tensorflow, through_safetensors])
@pytest.mark.parametrize("size", ["124M", *(pytest.param(size, marks=pytest.mark.slow) for size in list(SIZES)[1:])])
def test_each_size_at_reduced_width(size, through, tmp_path, monkeypatch):
    monkeypatch.setattr(gpt_download, "KNOWN_SIZES", {})  # those of 124M are those of its full width
    cfg = reduced(size)
    theirs = make_theirs(cfg, seed=cfg["n_heads"])
    assert_same_model(theirs, *through(theirs, cfg, size, tmp_path), cfg)


@pytest.fixture(scope="module")
def full():
    """Their 124M with random weights, and a folder for its files, which is gone after the tests: it fills 1.5 GB."""
    with tempfile.TemporaryDirectory() as folder:
        yield SimpleNamespace(theirs=make_theirs(FULL, seed=0), folder=Path(folder))


@pytest.mark.slow
@pytest.mark.parametrize("through", [through_tensorflow, through_safetensors])
def test_the_full_124m(full, through):
    """With the known sizes of OpenAI's files, which ours have to the byte."""
    assert_same_model(full.theirs, *through(full.theirs, FULL, "124M", full.folder), FULL)


PEAK = """
import os, sys
import gpt_download, previous_chapters as course
from previous_chapters import load_weights_into_gpt

def peak():
    status = open("/proc/self/status", encoding="utf-8").read()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])

if sys.argv[1] == "tensorflow":
    gpt_download.import_tensorflow()
    load = lambda: gpt_download.download_and_load_gpt2("124M", sys.argv[2], base_urls="http://nowhere.invalid")
else:
    import safetensors.torch
    load = lambda: gpt_download.load_gpt2_from_safetensors(sys.argv[2])
before = peak()
settings, params = load()
model = course.GPTModel({**course.GPT_CONFIG_124M, "qkv_bias": True})
load_weights_into_gpt(model, params)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process alone is read from Linux")
@pytest.mark.parametrize("kind, folder", [("tensorflow", "ours"), ("safetensors", "safetensors")])
def test_the_peak_of_memory(full, kind, folder):
    """At most 1.5 GB beyond the checkpoint, for its arrays and a model with an output head of its own.

    Not by getrusage: that peak is inherited from the process which runs the tests.
    """
    if not (full.folder / folder).exists():
        through = through_tensorflow if kind == "tensorflow" else through_safetensors
        through(full.theirs, FULL, "124M", full.folder)
    done = subprocess.run([sys.executable, "-c", PEAK, kind, str(full.folder / folder)], cwd=ROOT, text=True,
                          stdout=subprocess.PIPE, timeout=300, check=True)
    used, checkpoint, model = int(done.stdout), 497759232, 4 * 163_037_184
    assert max(checkpoint, model) < used < checkpoint + 1.5e9


# -------------------- Writing a checkpoint --------------------


def test_what_is_written_is_read(tiny, tmp_path):
    params, _ = tiny
    settings = {"n_vocab": 11, "n_ctx": 7, "n_embd": 4, "n_head": 2, "n_layer": 2}
    path = tmp_path / "folder" / "of" / "model.ckpt"
    gpt_download.save_gpt2_params_to_tf_ckpt(path, settings, params)
    assert gpt_download.read_settings(path.with_name("hparams.json")) == settings
    again = gpt_download.load_gpt2_params_from_tf_ckpt(path, settings)
    for name in gpt_download.expected_shapes(settings):
        (place, key), (wanted, _) = gpt_download.place_of(name, again), gpt_download.place_of(name, params)
        np.testing.assert_array_equal(place[key], wanted[key])
    assert list(again) == ["blocks", "b", "g", "wpe", "wte"]


@pytest.mark.parametrize("change, message", [
    ({"n_layer": 3}, "2 blocks, the settings say n_layer = 3"),
    ({"n_vocab": 12}, r"model/wte is \(11, 4\), the settings call for \(12, 4\)"),
    ({"n_ctx": 0}, "positive number for n_ctx"),
])
def test_what_cannot_be_written(tiny, tmp_path, change, message):
    params, _ = tiny
    settings = {"n_vocab": 11, "n_ctx": 7, "n_embd": 4, "n_head": 2, "n_layer": 2} | change
    with pytest.raises(ValueError, match=message):
        gpt_download.save_gpt2_params_to_tf_ckpt(tmp_path / "new" / "model.ckpt", settings, params)
    assert not (tmp_path / "new").exists()


# -------------------- The loader --------------------


@pytest.fixture
def tiny(tmp_path):
    """A random checkpoint as (params, configuration of the model that fits it)."""
    settings = random_checkpoint(tmp_path)
    params = gpt_download.load_gpt2_params_from_tf_ckpt(tmp_path / "model.ckpt", settings)
    return params, {"vocab_size": 11, "context_length": 7, "emb_dim": 4, "n_heads": 2, "n_layers": 2}


def test_nothing_of_the_initialisation_is_left(tiny):
    params, cfg = tiny
    ours = make_ours(cfg)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.fill_(torch.nan)
    load_weights_into_gpt(ours, params)
    assert all(parameter.isfinite().all() for parameter in ours.parameters())
    assert torch.equal(ours.out_head.weight, ours.tok_emb.weight)


def test_a_parameter_without_weights_is_noticed(tiny):
    params, cfg = tiny
    ours = make_ours(cfg)
    ours.extra = torch.nn.Linear(2, 2)
    with pytest.raises(AssertionError):
        load_weights_into_gpt(ours, params)


def test_the_model_owns_its_numbers(tiny):
    params, cfg = tiny
    ours = make_ours(cfg)
    before = [(parameter, parameter.data_ptr()) for parameter in ours.parameters()]
    load_weights_into_gpt(ours, params)
    for parameter, (old, address) in zip(ours.parameters(), before, strict=True):
        assert parameter is old and parameter.data_ptr() == address  # an optimizer made before stays valid
    params["wte"][:] = 0
    assert ours.tok_emb.weight.all()
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in ours.parameters())


@pytest.mark.parametrize("change, message", [
    ({"vocab_size": 12}, r"tok_emb.weight has the shape \(12, 4\) in the model and \(11, 4\)"),
    ({"context_length": 8}, r"pos_emb.weight has the shape \(8, 4\) in the model and \(7, 4\)"),
    ({"emb_dim": 6}, r"tok_emb.weight .*\(11, 6\).*\(11, 4\)"),
    ({"n_layers": 3}, "the model has 3 blocks, the checkpoint 2"),
])
def test_sizes_that_differ(tiny, change, message):
    params, cfg = tiny
    ours = make_ours({**cfg, **change})
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        load_weights_into_gpt(ours, params)
    assert all(torch.equal(value, before[name]) for name, value in ours.state_dict().items())  # not half loaded


def test_a_model_without_bias(tiny):
    params, cfg = tiny
    ours = course.GPTModel({**cfg, "drop_rate": 0.0, "qkv_bias": False})
    with pytest.raises(ValueError, match="use qkv_bias=True"):
        load_weights_into_gpt(ours, params)


def test_assign_names_the_parameter():
    left = torch.nn.Parameter(torch.zeros(2, 3))
    assert assign(left, np.ones((3, 2), dtype=np.float32).T, "it") is left
    assert left.sum() == 6
    with pytest.raises(ValueError, match=r"the parameter has the shape \(2, 3\)"):
        assign(left, np.ones((3, 2), dtype=np.float32))
    with pytest.raises(ValueError, match=r"it has the shape \(2, 3\) in the model and \(3, 2\) in the checkpoint"):
        assign(left, np.ones((3, 2), dtype=np.float32), "it")


def test_model_configs():
    """Parameters of each size, the output head counted once, as OpenAI's files have them."""
    counts = []
    for cfg in model_configs.values():
        settings = {"n_vocab": 50257, "n_ctx": 1024, "n_embd": cfg["emb_dim"], "n_head": 0, "n_layer": cfg["n_layers"]}
        assert cfg["emb_dim"] == 64 * cfg["n_heads"]
        counts.append(sum(int(np.prod(shape)) for shape in gpt_download.expected_shapes(settings).values()))
    assert counts == [124_439_808, 354_823_168, 774_030_080, 1_557_611_200]
    assert list(model_configs) == ["gpt2-small (124M)", "gpt2-medium (355M)", "gpt2-large (774M)", "gpt2-xl (1558M)"]
    assert 4 * counts[0] == gpt_download.KNOWN_SIZES["124M"][gpt_download.DATA_FILE]


@pytest.mark.parametrize("column", ["ours", "openai", "hf", "fused"])
def test_the_table_of_names(column):
    """Each column has all the weights of the model it belongs to, and no other name."""
    cfg = {"vocab_size": 11, "context_length": 7, "emb_dim": 4, "n_heads": 2, "n_layers": 2}
    settings = {"n_vocab": 11, "n_ctx": 7, "n_embd": 4, "n_head": 2, "n_layer": 2}
    ours = [name for name, _ in make_ours(cfg).named_parameters()]
    fast = course.GPTModelFast({**cfg, "drop_rate": 0.0, "qkv_bias": True})
    wanted = {
        "ours": ours,
        "openai": [name.removeprefix("model/") for name in gpt_download.expected_shapes(settings)],
        "hf": [name.removeprefix("transformer.") for name in make_theirs(cfg, seed=0).state_dict()],
        "fused": [name for name, _ in fast.named_parameters()],
    }[column]
    names = course.weight_names(column, n_layers=2)
    assert sorted(names) == sorted(wanted)
    assert sorted(sum(names.values(), [])) == sorted(set(ours) - ({"out_head.weight"} if column == "openai" else set()))


# -------------------- Safetensors --------------------


@pytest.fixture(scope="module")
def state():
    """The weights of a small GPT-2 with two heads of 64 numbers, without a prefix, as in OpenAI's upload."""
    cfg = {"vocab_size": 11, "context_length": 7, "emb_dim": 128, "n_heads": 2, "n_layers": 2}
    return {name: tensor.clone() for name, tensor in make_theirs(cfg, seed=3).transformer.state_dict().items()}


@pytest.mark.parametrize("prefix", ["", "transformer."])
@pytest.mark.parametrize("as_folder", [False, True])
def test_names_and_places(tmp_path, state, prefix, as_folder):
    mask = torch.ones(1, 1, 7, 7).tril()
    extras = {"h.0.attn.bias": mask, "h.1.attn.masked_bias": torch.tensor(-1e4)}
    named = {prefix + name: tensor for name, tensor in (state | extras).items()}
    file = tmp_path / "model.safetensors"
    save_file({**named, "lm_head.weight": state["wte.weight"].clone()}, file)
    settings, params = gpt_download.load_gpt2_from_safetensors(tmp_path if as_folder else str(file))
    assert settings == {"n_vocab": 11, "n_ctx": 7, "n_embd": 128, "n_head": 2, "n_layer": 2}
    np.testing.assert_array_equal(params["blocks"][1]["attn"]["c_attn"]["w"], state["h.1.attn.c_attn.weight"])
    np.testing.assert_array_equal(params["g"], state["ln_f.weight"])
    assert set(params["blocks"][0]["attn"]) == {"c_attn", "c_proj"}


def test_the_config_gives_the_heads(tmp_path, state):
    save_file(state, tmp_path / "model.safetensors")
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"n_head": 8}))
    assert gpt_download.load_gpt2_from_safetensors(tmp_path)[0]["n_head"] == 8
    for text in ("{", "[]", '{"heads": 8}'):
        config.write_text(text)
        with pytest.raises(ValueError, match="config.json is not the JSON of a GPT-2"):
            gpt_download.load_gpt2_from_safetensors(tmp_path)
    config.write_text(json.dumps({"n_head": 7}))
    with pytest.raises(ValueError, match="128 numbers per token cannot be cut into 7 heads"):
        gpt_download.load_gpt2_from_safetensors(tmp_path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_all_number_formats_become_float32(tmp_path, state, dtype):
    save_file({name: tensor.to(dtype) for name, tensor in state.items()}, tmp_path / "model.safetensors")
    _, params = gpt_download.load_gpt2_from_safetensors(tmp_path)
    assert params["wte"].dtype == np.float32
    np.testing.assert_allclose(params["wte"], state["wte.weight"], atol=0.02)


def test_the_arrays_outlive_the_file(tmp_path, state):
    file = tmp_path / "model.safetensors"
    save_file(state, file)
    _, params = gpt_download.load_gpt2_from_safetensors(file)
    file.write_bytes(b"\0" * file.stat().st_size)
    np.testing.assert_array_equal(params["wte"], state["wte.weight"])


def test_what_is_no_gpt2(tmp_path, state):
    file = tmp_path / "model.safetensors"
    with pytest.raises(FileNotFoundError, match="model.safetensors"):
        gpt_download.load_gpt2_from_safetensors(tmp_path)
    file.write_bytes(b"<html>not found</html>")
    with pytest.raises(ValueError, match="cannot be read as safetensors"):
        gpt_download.load_gpt2_from_safetensors(file)
    save_file({"fc.weight": torch.zeros(2, 2)}, file)
    with pytest.raises(ValueError, match="no wte.weight and wpe.weight"):
        gpt_download.load_gpt2_from_safetensors(file)
    save_file({name: tensor for name, tensor in state.items() if name != "h.1.mlp.c_fc.bias"}, file)
    with pytest.raises(ValueError, match="no variable model/h1/mlp/c_fc/b"):
        gpt_download.load_gpt2_from_safetensors(file)
    save_file({**state, "h.0.mlp.c_fc.weight": torch.zeros(512, 128)}, file)  # nn.Linear's order
    with pytest.raises(ValueError, match=r"model/h0/mlp/c_fc/w .* \(1, 512, 128\), .* \(1, 128, 512\)"):
        gpt_download.load_gpt2_from_safetensors(file)


def test_without_safetensors(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match="pip install safetensors"):
        gpt_download.load_gpt2_from_safetensors(tmp_path)


@pytest.mark.parametrize("folder", ["124M", "."])
def test_safetensors_at_hand_are_used_by_themselves(tmp_path, state, monkeypatch, folder):
    """Without TensorFlow and without a network, as on a laptop where TensorFlow does not install."""
    monkeypatch.setitem(gpt_download.MODEL_SIZES, "124M", 2)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    (tmp_path / folder).mkdir(exist_ok=True)
    save_file(state, tmp_path / folder / "model.safetensors")
    settings, params = gpt_download.download_and_load_gpt2("124M", tmp_path, base_urls="http://nowhere.invalid")
    assert settings["n_layer"] == len(params["blocks"]) == 2
    np.testing.assert_array_equal(params["wte"], state["wte.weight"])


def test_safetensors_of_another_size_are_not_used(tmp_path, state):
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="model.safetensors has 2 blocks, GPT-2 355M has 24; put it into a folder"):
        gpt_download.download_and_load_gpt2("355M", tmp_path, base_urls="http://nowhere.invalid")
