"""Resource accounting: what is predicted is measured, optimizers agree with PyTorch's, data and resuming are exact."""

import copy
import json

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

import previous_chapters as course
from chapters import appendix_F2_learning as optimizers
from conftest import TINY
from helpers import CPU, output_of, train_step

GPT2_SIZES = [{**course.GPT_CONFIG_124M, **sizes} for sizes in course.model_configs.values()]
CONFIGS = {  # name: (configuration, tokens); each has its peak at another moment, or another proportion of parts
    "many words": ({**course.GPT_CONFIG_124M, "vocab_size": 5000, "context_length": 48, "emb_dim": 32, "n_layers": 2,
                    "n_heads": 2}, 48),
    "long, no dropout": ({**course.GPT_CONFIG_124M, "vocab_size": 50, "context_length": 160, "emb_dim": 16,
                          "n_layers": 3, "n_heads": 8, "drop_rate": 0.0, "qkv_bias": True}, 160),
    "wide": ({**course.GPT_CONFIG_124M, "vocab_size": 500, "context_length": 64, "emb_dim": 128, "n_layers": 3,
              "n_heads": 4}, 32),
}
every_config = pytest.mark.parametrize("name", CONFIGS)


def batch_of(cfg, batch_size, num_tokens, device=CPU):
    torch.manual_seed(0)
    return torch.randint(0, cfg["vocab_size"], (2, batch_size, num_tokens), device=device)


# Parameters and FLOPs.


@pytest.mark.parametrize("cfg", GPT2_SIZES, ids=list(course.model_configs))
@pytest.mark.parametrize("qkv_bias", [False, True])
def test_parameters_are_exact(cfg, qkv_bias):
    cfg = {**cfg, "qkv_bias": qkv_bias}
    with torch.device("meta"):
        model = course.GPTModel(cfg)
    assert course.count_parameters(cfg) == sum(p.numel() for p in model.parameters())
    parts = course.parameters_by_part(cfg)
    assert parts["head"] == model.out_head.weight.numel()
    assert parts["attention"] == sum(p.numel() for block in model.trf_blocks for p in block.att.parameters())
    assert parts["feed forward"] == sum(p.numel() for block in model.trf_blocks for p in block.ff.parameters())


@every_config
@pytest.mark.parametrize("batch_size", [1, 3])
def test_flops_agree_with_pytorchs_counter(name, batch_size):
    cfg, num_tokens = CONFIGS[name]
    model = course.GPTModel(cfg)
    inputs, targets = batch_of(cfg, batch_size, num_tokens)
    with FlopCounterMode(display=False) as forward:
        model(inputs)
    with FlopCounterMode(display=False) as training:
        course.calc_loss_batch(inputs, targets, model, CPU).backward()
    assert course.count_flops(cfg, batch_size, num_tokens, training=False) == pytest.approx(
        forward.get_total_flops(), rel=0.01)
    assert course.count_flops(cfg, batch_size, num_tokens) == pytest.approx(training.get_total_flops(), rel=0.01)


def test_flops_of_gpt2_are_six_per_parameter_and_token_and_attention():
    cfg = GPT2_SIZES[0]
    weights = course.count_parameters(cfg) - course.parameters_by_part(cfg)["embeddings"]
    attention = 12 * cfg["n_layers"] * cfg["emb_dim"] * 1024
    assert course.count_flops(cfg, 2, 1024) / 2048 == pytest.approx(6 * weights + attention, rel=0.001)


@pytest.mark.parametrize(("batch_size", "num_tokens"), [(0, 8), (1, 0), (1, 1025)])
@pytest.mark.parametrize("count", [course.count_flops, course.estimate_memory])
def test_impossible_batches_are_refused(count, batch_size, num_tokens):
    with pytest.raises(ValueError, match="1024"):
        count(course.GPT_CONFIG_124M, batch_size, num_tokens)


def test_mfu():
    assert course.mfu(10, 2, 20) == 0.25
    h100, a100 = (course.PEAK_FLOPS_PER_SECOND[name] for name in ("H100", "A100"))
    assert (a100["bf16"], a100["fp32"], h100["bf16"], h100["fp32"]) == (312e12, 19.5e12, 989.4e12, 66.9e12)
    days = 6 * 70e9 * 15e12 / (0.5 * 1024 * h100["bf16"]) / 86400
    assert round(days) == 144
    for wrong in [(-1, 1, 1), (1, 0, 1), (1, 1, 0)]:
        with pytest.raises(ValueError, match="above 0"):
            course.mfu(*wrong)


# The number format.


@pytest.fixture
def fresh_choice():
    """Let `compute_dtype` forget what it found, before the test and after it."""
    course.compute_dtype.cache_clear()
    yield
    course.compute_dtype.cache_clear()


def pretend(monkeypatch, float32, bfloat16):
    """Let products of the two formats take so many seconds; return the list of formats that were timed."""
    asked = []

    def seconds(dtype):
        asked.append(dtype)
        return {torch.float32: float32, torch.bfloat16: bfloat16}[dtype]

    monkeypatch.setitem(course.compute_dtype.__wrapped__.__globals__, "product_seconds", seconds)
    return asked


@pytest.mark.parametrize(("float32", "bfloat16", "expected"), [
    (8.0, 1.0, torch.bfloat16), (1.3, 1.0, torch.bfloat16), (1.2, 1.0, torch.float32), (1.0, 1.0, torch.float32),
    (1.0, 80.0, torch.float32),
])
def test_the_format_follows_the_measurement(monkeypatch, fresh_choice, float32, bfloat16, expected):
    pretend(monkeypatch, float32, bfloat16)
    assert course.compute_dtype("cpu") == expected


def test_the_format_is_measured_once_for_a_device_and_its_name(monkeypatch, fresh_choice):
    asked = pretend(monkeypatch, 2.0, 1.0)
    answers = {course.compute_dtype(device) for device in ["cpu", CPU, "cpu:0", torch.device("cpu", 0), CPU]}
    assert answers == {torch.bfloat16} and sorted(map(str, asked)) == ["torch.bfloat16", "torch.float32"]


def test_the_format_of_other_devices_is_not_measured(monkeypatch, fresh_choice):
    asked = pretend(monkeypatch, 2.0, 1.0)
    assert course.compute_dtype("mps") == course.compute_dtype(torch.device("mps")) == torch.float32
    with pytest.raises(RuntimeError, match="abacus"):
        course.compute_dtype("abacus")
    assert asked == []


@pytest.mark.parametrize(("in_hardware", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_gpu_is_asked_for_its_formats(monkeypatch, fresh_choice, in_hardware, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation
                        or in_hardware)
    asked = pretend(monkeypatch, 1.0, 1.0)
    assert course.compute_dtype("cuda") == course.compute_dtype(torch.device("cuda", 1)) == expected
    assert asked == []


def test_the_measured_product_leaves_the_threads_alone_and_takes_longer_when_larger():
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        small, large = (course.product_seconds(torch.float32, size) for size in (64, 512))
        assert torch.get_num_threads() == 3
        with pytest.raises(RuntimeError):  # no product of truth values
            course.product_seconds(torch.bool)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    assert 0 < 10 * small < large  # 512 times as many FLOPs


CHOOSE = """
import time
import torch
import previous_chapters as course

torch.ones(8, 8) @ torch.ones(8, 8)
start = time.process_time()
print(course.compute_dtype("cpu"), time.process_time() - start)
"""


def test_an_ordinary_processor_computes_in_float32():
    """Without instructions for bfloat16, whatever processor this is, and in a moment."""
    found, seconds = output_of(CHOOSE, ONEDNN_MAX_CPU_ISA="AVX2", ATEN_CPU_CAPABILITY="avx2").split()
    assert found == "torch.float32" and float(seconds) < 1.0


# Memory.


@every_config
@pytest.mark.parametrize("drop_rate", [0.0, 0.1])
def test_saved_activations_are_exact(name, drop_rate):
    cfg, num_tokens = CONFIGS[name]
    cfg = {**cfg, "drop_rate": drop_rate}
    model = course.GPTModel(cfg)
    own = {t.untyped_storage().data_ptr() for t in [*model.parameters(), *model.buffers()]}
    kept = {}

    def keep(tensor):
        if tensor.untyped_storage().data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    inputs, targets = (ids.clone() for ids in batch_of(cfg, 2, num_tokens))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = course.calc_loss_batch(inputs, targets, model, CPU)
    assert loss.requires_grad
    measured = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    assert measured == sum(course.saved_by_model(cfg, 2, num_tokens).values())
    assert course.estimate_memory(cfg, 2, num_tokens)["activations"] == measured


def peak_of_training(cfg, batch_size, num_tokens, optimizer, dtype=torch.float32):
    torch.manual_seed(0)
    with course.LiveMemory() as memory:
        model = course.GPTModel(cfg).to(dtype)
        step = optimizer(model.parameters(), lr=1e-3)
        inputs, targets = batch_of(cfg, batch_size, num_tokens)
        for _ in range(2):  # in the second the optimizer has its state
            train_step(model, step, inputs, targets)
    return memory.peak


@every_config
@pytest.mark.parametrize("batch_size", [1, 6])
@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, optimizers.AdamW], ids=["PyTorch's", "ours"])
def test_the_peak_is_within_10_percent(name, batch_size, optimizer):
    cfg, num_tokens = CONFIGS[name]
    measured = peak_of_training(cfg, batch_size, num_tokens, optimizer)
    assert course.estimate_memory(cfg, batch_size, num_tokens)["peak"] == pytest.approx(measured, rel=0.1)


@pytest.mark.parametrize(("name", "optimizer"), [
    ("sgd", optimizers.SGD), ("momentum", optimizers.Momentum), ("adagrad", optimizers.AdaGrad),
    ("rmsprop", optimizers.RMSProp), ("adam", optimizers.Adam), ("adamw", optimizers.AdamW),
])
def test_the_peak_of_each_optimizer(name, optimizer):
    cfg, num_tokens = CONFIGS["wide"]
    estimate = course.estimate_memory(cfg, 1, num_tokens, optimizer=name)
    assert estimate["peak"] == pytest.approx(peak_of_training(cfg, 1, num_tokens, optimizer), rel=0.1)
    model = course.GPTModel(cfg)
    step = optimizer(model.parameters())
    train_step(model, step, *batch_of(cfg, 1, num_tokens))
    states = [value for state in step.state.values() for value in state.values() if torch.is_tensor(value)]
    assert estimate["optimizer"] == sum(value.nbytes for value in states)


def test_the_peak_in_bf16():
    cfg, num_tokens = CONFIGS["many words"]
    measured = peak_of_training(cfg, 4, num_tokens, optimizers.AdamW, torch.bfloat16)
    estimate = course.estimate_memory(cfg, 4, num_tokens, dtype=torch.bfloat16)
    assert estimate["peak"] == pytest.approx(measured, rel=0.1)


def test_the_measured_peak_is_the_allocators(tmp_path):
    """PyTorch's profiler sees every allocation on a CPU, also those inside an operation."""
    cfg, num_tokens = CONFIGS["many words"]
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        peak = peak_of_training(cfg, 2, num_tokens, optimizers.AdamW)
    profiler.export_chrome_trace(str(tmp_path / "trace.json"))
    events = json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))["traceEvents"]
    allocated = [event["args"]["Total Allocated"] for event in events if event.get("name") == "[memory]"]
    assert peak == pytest.approx(max(allocated), rel=0.01)


def test_the_cases_have_their_peaks_at_different_moments():
    moments = {course.estimate_memory(*CONFIGS[name][:1], batch, CONFIGS[name][1])["peak_at"]
               for name in CONFIGS for batch in (1, 6)}
    assert {"backward of the loss", "optimizer step"} <= moments and len(moments) >= 3


def test_the_breakdown():
    cfg = GPT2_SIZES[0]
    estimate = course.estimate_memory(cfg, 4, 1024)
    assert estimate["parameters"] == estimate["gradients"] == 4 * course.count_parameters(cfg)
    assert estimate["optimizer"] == 2 * estimate["parameters"]
    assert estimate["peak"] == max(estimate["moments"].values()) == estimate["moments"][estimate["peak_at"]]
    half = course.estimate_memory(cfg, 4, 1024, dtype=torch.bfloat16)
    assert 2 * half["parameters"] == estimate["parameters"]
    assert half["activations"] == pytest.approx(estimate["activations"] / 2, rel=0.001)
    assert course.estimate_memory(cfg, 4, 1024, device="cuda")["activations"] < estimate["activations"]
    with pytest.raises(ValueError, match="adamw"):
        course.estimate_memory(cfg, 4, 1024, optimizer="lion")


def test_live_memory_counts_storages_while_they_live():
    before = torch.zeros(1000)
    with course.LiveMemory() as memory:
        before.add_(1)
        before.view(10, 100)  # neither is new
        assert memory.live == 0
        a = torch.zeros(1000)
        b = a.view(10, 100)
        assert memory.live == 4000
        c = a + 1
        del a, c
        assert (memory.live, memory.peak) == (4000, 8000)
        del b
    assert (memory.live, memory.peak) == (0, 8000)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("batch_size", [2, 8])
@pytest.mark.parametrize("change", [{}, {"drop_rate": 0.0}, {"emb_dim": 1024, "n_heads": 16, "n_layers": 6}],
                         ids=["124M", "no dropout", "wide"])
def test_the_peak_on_a_gpu(batch_size, change):
    cfg, device = {**course.GPT_CONFIG_124M, "context_length": 512, **change}, torch.device("cuda")
    torch.ones(64, 64, device=device) @ torch.ones(64, 64, device=device)  # lets the library take its workspace
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    model = course.GPTModel(cfg).to(device)
    optimizer = optimizers.AdamW(model.parameters())
    for _ in range(2):
        train_step(model, optimizer, *batch_of(cfg, batch_size, 512, device))
    measured = torch.cuda.max_memory_allocated() - before
    assert course.estimate_memory(cfg, batch_size, 512, device="cuda")["peak"] == pytest.approx(measured, rel=0.1)


# Optimizers.


PAIRS = [
    (optimizers.SGD, torch.optim.SGD, {"lr": 0.05}),
    (optimizers.Momentum, torch.optim.SGD, {"lr": 0.01, "momentum": 0.9}),
    (optimizers.AdaGrad, torch.optim.Adagrad, {"lr": 0.01}),
    (optimizers.RMSProp, torch.optim.RMSprop, {"lr": 0.001, "alpha": 0.95}),
    (optimizers.Adam, torch.optim.Adam, {"lr": 0.001, "betas": (0.8, 0.99)}),
    (optimizers.AdamW, torch.optim.AdamW, {"lr": 0.001, "betas": (0.8, 0.99)}),
]
every_pair = pytest.mark.parametrize(("ours", "theirs", "settings"), PAIRS, ids=[pair[0].__name__ for pair in PAIRS])


def fifty_steps(kind, settings):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 20), torch.nn.Tanh(), torch.nn.Linear(20, 1))
    x = torch.randn(64, 3)
    y = x.prod(dim=1, keepdim=True)
    optimizer = kind(model.parameters(), **settings)
    for _ in range(50):
        optimizer.zero_grad()
        (model(x) - y).square().mean().backward()
        optimizer.step()
    return list(model.parameters()), optimizer


@every_pair
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_an_optimizer_equals_pytorchs(ours, theirs, settings, weight_decay):
    settings = {**settings, "weight_decay": weight_decay}
    (p, optimizer), (q, reference) = fifty_steps(ours, settings), fifty_steps(theirs, settings)
    for a, b in zip(p, q, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0)
        for name, value in optimizer.state[a].items():
            torch.testing.assert_close(torch.as_tensor(value).float(), reference.state[b][name], atol=1e-6, rtol=0)


def test_decoupled_weight_decay_is_another_thing():
    (p, _), (q, _) = (fifty_steps(kind, {"lr": 0.001, "weight_decay": 0.1})
                      for kind in (optimizers.Adam, optimizers.AdamW))
    assert any((a - b).abs().max() > 1e-4 for a, b in zip(p, q, strict=True))


@every_pair
def test_an_optimizers_state_is_saved_and_loaded(ours, theirs, settings):
    p, optimizer = fifty_steps(ours, settings)
    copies = [parameter.detach().clone().requires_grad_() for parameter in p]
    other = ours(copies, lr=123.0)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))  # loading shares tensors, as in PyTorch
    for parameters, step in [(p, optimizer), (copies, other)]:
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        step.step()
    assert all(torch.equal(a, b) for a, b in zip(p, copies, strict=True))


@every_pair
def test_parameters_without_a_gradient_stay_and_groups_have_their_own_settings(ours, theirs, settings):
    idle, slow, fast = (torch.ones(3, requires_grad=True) for _ in range(3))
    optimizer = ours([{"params": [idle, slow]}, {"params": [fast], "lr": 0.5}], lr=0.001)
    slow.grad, fast.grad = torch.ones(3), torch.ones(3)
    assert optimizer.step(lambda: 7.0) == 7.0
    assert torch.equal(idle, torch.ones(3)) and (1 - slow).abs().max() < (1 - fast).abs().min()


@pytest.mark.parametrize("settings", [{"lr": -1.0}, {"weight_decay": -0.1}, {"eps": -1e-8}, {"betas": (0.9, 1.0)}])
def test_wrong_settings_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        optimizers.AdamW([torch.ones(1, requires_grad=True)], **settings)
    with pytest.raises(ValueError, match="momentum"):
        optimizers.Momentum([torch.ones(1, requires_grad=True)], momentum=1.0)


# Data.


@pytest.fixture
def counting(tmp_path):
    """A file of the ids 0, 1, 2, …, 999."""
    path = tmp_path / "ids.bin"
    np.arange(1000, dtype=np.uint16).tofile(path)
    return path


def test_windows_and_targets(counting):
    data = course.MemmapTokenDataset(counting, num_tokens=8, seed=1)
    assert len(data) == 992
    inputs, targets = data[991]  # the last one
    assert inputs.tolist() == list(range(991, 999)) and targets.tolist() == list(range(992, 1000))
    assert inputs.dtype == torch.int64
    with pytest.raises(IndexError):
        data[992]
    starts = torch.cat([data.random_batch(50)[0][:, 0] for _ in range(400)])
    assert starts.min() == 0 and starts.max() == 991, "every window can be drawn, the first and the last too"
    inputs, targets = data.random_batch(5)
    assert inputs.shape == targets.shape == (5, 8) and torch.equal(inputs + 1, targets)


def test_the_shortest_file_and_other_types(tmp_path):
    path = tmp_path / "ids.bin"
    np.array([70_000, 1, 2], dtype=np.uint32).tofile(path)
    data = course.MemmapTokenDataset(path, num_tokens=2, dtype=np.uint32)
    assert len(data) == 1 and [part.tolist() for part in data.random_batch(1)] == [[[70_000, 1]], [[1, 2]]]


def test_wrong_files_are_refused(tmp_path, counting):
    with pytest.raises(FileNotFoundError):
        course.MemmapTokenDataset(tmp_path / "none.bin", num_tokens=8)
    with pytest.raises(ValueError, match="need 1001"):
        course.MemmapTokenDataset(counting, num_tokens=1000)
    with pytest.raises(ValueError, match="at least 1"):
        course.MemmapTokenDataset(counting, num_tokens=0)
    counting.write_bytes(b"odd")
    with pytest.raises(ValueError, match="3 bytes"):
        course.MemmapTokenDataset(counting, num_tokens=1)


def test_it_works_in_a_loader(counting):
    data = course.MemmapTokenDataset(counting, num_tokens=8)
    batches = list(DataLoader(data, batch_size=100, shuffle=True))
    assert sorted(torch.cat([inputs[:, 0] for inputs, _ in batches]).tolist()) == list(range(992))
    assert all(torch.equal(inputs + 1, targets) for inputs, targets in batches)


def test_the_order_is_its_own_and_can_be_resumed(counting):
    data = course.MemmapTokenDataset(counting, num_tokens=8, seed=1)
    data.random_batch(4)
    place = data.state_dict()
    expected = [data.random_batch(4)[0] for _ in range(3)]
    other = course.MemmapTokenDataset(counting, num_tokens=8, seed=2)
    other.load_state_dict(place)
    torch.manual_seed(5)  # the global source has no part in it
    assert all(torch.equal(other.random_batch(4)[0], batch) for batch in expected)
    assert not torch.equal(course.MemmapTokenDataset(counting, num_tokens=8, seed=2).random_batch(4)[0], expected[0])
    with pytest.raises(ValueError, match="num_tokens 8"):
        course.MemmapTokenDataset(counting, num_tokens=9).load_state_dict(place)


SAMPLE = """
import json, sys
import psutil
import previous_chapters as course

process = psutil.Process()
before = process.memory_info().rss
data = course.MemmapTokenDataset(sys.argv[1], num_tokens=1024)
most, total = before, 0
for _ in range(1000):
    inputs, _ = data.random_batch(8)
    total += int(inputs.sum())
    most = max(most, process.memory_info().rss)
try:
    with open("/proc/self/status") as file:  # the true peak, also inside a batch, where the system tells
        peak = [int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM")][0]
except OSError:
    peak = most
print(json.dumps({"beyond": max(peak, most) - before, "total": total}))
"""


def test_a_gigabyte_is_sampled_in_less_than_100_megabytes(tmp_path):
    path = tmp_path / "large.bin"
    with open(path, "wb") as file:
        file.truncate(2 * 500_000_000)  # half a billion ids in two bytes each; nothing is written
    found = json.loads(output_of(SAMPLE, path))
    assert found["total"] == 0
    assert 0 <= found["beyond"] < 100e6


# Resuming.


@pytest.mark.parametrize("optimizer", [optimizers.AdamW, torch.optim.AdamW, optimizers.Momentum])
def test_a_resumed_run_equals_one_that_never_stopped(tmp_path, optimizer):
    ids = tmp_path / "small.bin"
    (np.arange(1000) * 7 % TINY["vocab_size"]).astype(np.uint16).tofile(ids)

    def start(seed):
        torch.manual_seed(seed)
        model = course.GPTModel({**TINY, "drop_rate": 0.1})
        return model, optimizer(model.parameters(), lr=1e-3), course.MemmapTokenDataset(ids, num_tokens=8, seed=seed)

    def go_on(model, step, data, steps):
        model.train()
        losses, batches = [], []
        for _ in range(steps):
            batches.append(data.random_batch(4))
            losses.append(train_step(model, step, *batches[-1]))
        return losses, [inputs.tolist() for inputs, _ in batches]

    whole, step, data = start(1)
    whole_losses, whole_batches = go_on(whole, step, data, 10)

    model, step, data = start(1)
    go_on(model, step, data, 4)
    course.save_checkpoint(tmp_path / "run.pt", model, step, step=4, data=data)
    model, step, data = start(2)
    taken = course.load_checkpoint(tmp_path / "run.pt", model, step, data)
    losses, batches = go_on(model, step, data, 10 - taken)
    assert losses == whole_losses[4:] and batches == whole_batches[4:]
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), whole.parameters(), strict=True))
    assert list(tmp_path.glob("*.partial")) == []
