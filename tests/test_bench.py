"""`tools/bench.py`: its ladder, its arithmetic, and the lines it writes. No test asserts a time."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
import transformers

import bench
import previous_chapters as course
from conftest import ROOT
from helpers import replace_everywhere

LIMITS = {"matmul fp32": 1e11, "matmul bf16": 1e12, "read": 5e9}


def run(*arguments, status=0):
    done = subprocess.run([sys.executable, ROOT / "tools" / "bench.py", *arguments], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    return done


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def dtype(request, monkeypatch):
    """Let products pay in a number format, whatever this machine can do."""
    replace_everywhere(monkeypatch, "compute_dtype", lambda device: request.param)
    return request.param


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_each_rung_has_all_of_the_one_below(dtype, device):
    rungs = bench.rungs_of(SimpleNamespace(device=device))
    settings = [bench.settings_of(rung, rungs) for rung in rungs]
    assert settings[0] == {}
    for lower, upper in zip(settings[:-1], settings[1:], strict=True):
        assert lower.items() < upper.items()
    assert ("autocast" in settings[-1]) == ("compiled" in settings[-1]) == (dtype == torch.bfloat16)
    assert ("tf32" in settings[-1]) == ("pad" in settings[-1]) == (device == "cuda:0")
    assert bench.settings_of("plain, dropout", rungs) == {"dropout": 0.1}
    assert bench.settings_of("plain, kept", rungs) == {"keep": True}
    assert bench.settings_of("tied, dropout", rungs) == {**settings[-1], "dropout": 0.1}


def test_the_benchmark_asks_the_loops_own_function(monkeypatch):
    for compiling in (False, True):
        replace_everywhere(monkeypatch, "what_pays", lambda device, c=compiling: (torch.bfloat16, c))
        rungs = bench.rungs_of(SimpleNamespace(device="cpu"))
        assert "autocast" in rungs and ("compiled" in rungs) == compiling


def test_a_rung_that_does_not_pay_can_be_asked_for():
    assert bench.settings_of("compiled", ["plain", "fused AdamW"]) == {"fused": True, "compiled": True}


def test_short_numbers_are_measured_only_where_they_pay(dtype, monkeypatch):
    rows = bench.rows_of("generate", SimpleNamespace(device="cpu"))
    assert any("bf16" in row for row in rows) == (dtype == torch.bfloat16)
    assert "compiled, int8, 4" in rows and "transformers, fp32, 512" in rows
    seen = []

    def timed(work, *_):
        left = (getattr(work, "__defaults__", None) or [torch.zeros(1)])[0]  # of the product
        seen.append(left.dtype)
        return [1.0]

    monkeypatch.setattr(bench, "timed", timed)
    limits = bench.measure_limits(SimpleNamespace(device="cpu"))
    assert set(limits) == {"matmul fp32", "read"} | ({"matmul bf16"} if dtype == torch.bfloat16 else set())
    assert set(seen) == {torch.float32, dtype}


def test_ratios_are_those_to_the_first_row(dtype, capsys):
    def result(speed, peak):
        return {"tokens_per_second": speed, "peak_bytes": peak, "losses": [1.0], "seconds": {"products": 1.0}}

    options = SimpleNamespace(batch=2, tokens=256, accumulate=1, device="cpu")
    results = {"plain": [result(90, 4e9), result(100, 4e9), result(500, 4e9)], "tied": [result(400, 2e9)]}
    lines = bench.print_training(results, LIMITS, options)
    assert [line["ratio"] for line in lines] == [1, 4]  # the median is 100
    assert [line["memory_ratio"] for line in lines] == [1, 0.5]
    cfg = {**course.GPT_CONFIG_124M, "context_length": 256}
    peak = {torch.float32: 1e11, torch.bfloat16: 1e12}[dtype]
    assert lines[1]["mfu"] == pytest.approx(400 * course.count_flops(cfg, 2, 256) / 512 / peak)
    assert "4.00" in capsys.readouterr().out


def test_generation_is_compared_at_the_same_precision_and_prompt(dtype, capsys):
    def result(speed, size):
        return [{"tokens_per_second": speed, "bytes_per_token": size, "tokens": [1]}]

    results = {"plain, fp32, 4": result(10, 5e8), "transformers, fp32, 4": result(20, 5e8),
               "transformers, bf16, 4": result(25, 2.5e8), "fast, bf16, 4": result(50, 2.5e8),
               "compiled, int8, 4": result(75, 1.25e8), "fast, bf16, 512": result(50, 2.5e8)}
    lines = dict(zip(results, bench.print_generation(results, LIMITS, SimpleNamespace(device="cpu")), strict=True))
    assert lines["fast, bf16, 4"]["ratio_plain"] == 5 and lines["fast, bf16, 4"]["ratio_transformers"] == 2
    # transformers has no int8 here: the peer computes in the numbers that int8 weights are turned into
    assert lines["compiled, int8, 4"]["ratio_transformers"] == (3 if dtype == torch.bfloat16 else 75 / 20)
    assert lines["fast, bf16, 512"]["ratio_plain"] is None  # nobody had that prompt
    assert lines["fast, bf16, 4"]["share_of_limit"] == pytest.approx(50 * 2.5e8 / 5e9)


def test_the_peer_has_the_same_weights():
    config = transformers.GPT2Config(vocab_size=100, n_positions=32, n_embd=24, n_layer=2, n_head=3)
    torch.manual_seed(0)
    peer = transformers.GPT2LMHeadModel(config).eval()
    cfg = {"vocab_size": 100, "context_length": 32, "emb_dim": 24, "n_layers": 2, "n_heads": 3, "drop_rate": 0.0,
           "qkv_bias": True}
    model = course.GPTModelFast(cfg).eval()
    model.load_state_dict(bench.weights_of_peer(peer))
    ids = torch.randint(100, (2, 32))
    with torch.no_grad():
        assert torch.allclose(model(ids), peer(ids).logits, atol=1e-5)


def test_each_operation_of_a_step_counts_once_and_for_its_kind():
    """The label of the optimizer's range was the longest in a picture; what it calls is not counted elsewhere."""
    model = torch.nn.Linear(256, 256)
    optimizer = torch.optim.AdamW(model.parameters())
    with torch.profiler.profile() as profile:
        model(torch.ones(64, 256)).square().sum().backward()
        optimizer.step()
    seconds = bench.time_by_kind(profile)
    assert list(seconds) == ["products", "optimizer", "copies, zeros", "all other"]
    assert all(value > 0 for value in seconds.values())
    assert sum(seconds.values()) == pytest.approx(sum(e.self_cpu_time_total for e in profile.key_averages()) / 1e6)


def test_peak_counts_what_lives_and_what_comes_and_goes():
    kept = [torch.zeros(1_000_000), torch.zeros(500_000)]

    def work():
        first = torch.zeros(3_000_000)
        del first
        torch.zeros(2_000_000)

    peak = bench.peak_bytes(work, [*kept, kept[0].view(1000, 1000)], torch.device("cpu"))  # a view counts once
    assert 4 * 4_500_000 <= peak < 4 * 4_600_000


@pytest.mark.slow
def test_a_table_prints_and_writes_a_line(tmp_path):
    done = run("start", "--repeats", "1", "--json", tmp_path / "lines" / "bench.jsonl")
    assert "import of previous_chapters" in done.stdout and "limits measured" in done.stdout
    (line,) = (tmp_path / "lines" / "bench.jsonl").read_text().splitlines()
    line = json.loads(line)
    assert line["table"] == "start" and line["seconds"] > 0 and line["limits"]["read"] > 0


def test_rows_that_do_not_exist():
    done = run("train", "--rows", "plain", "faster", status=2)
    assert "no such rows: faster; there are: plain" in done.stderr
    assert "--rows needs a single table" in run("--rows", "plain", status=2).stderr
