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

LIMITS = {"matmul fp32": 1e11, "matmul bf16": 1e12, "read": 5e9}


def run(*arguments, status=0):
    done = subprocess.run([sys.executable, ROOT / "tools" / "bench.py", *arguments], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    return done


def test_each_rung_has_all_of_the_one_below():
    rungs = [bench.settings_of(rung) for rung in bench.LADDER]
    assert rungs[0] == {}
    for lower, upper in zip(rungs[:-1], rungs[1:], strict=True):
        assert lower.items() < upper.items()
    assert bench.settings_of("plain, dropout") == {"dropout": 0.1}
    assert bench.settings_of("plain, kept") == {"keep": True}
    assert bench.settings_of("tied, dropout") == {**rungs[-1], "dropout": 0.1}


def test_ratios_are_those_to_the_first_row(capsys):
    def result(speed, peak):
        return {"tokens_per_second": speed, "peak_bytes": peak, "resident_bytes": 1, "losses": [1.0]}

    options = SimpleNamespace(batch=2, tokens=256, accumulate=1, device="cpu")
    results = {"plain": [result(90, 4e9), result(100, 4e9), result(500, 4e9)], "tied": [result(400, 2e9)]}
    lines = bench.print_training(results, LIMITS, options)
    assert [line["ratio"] for line in lines] == [1, 4]  # the median is 100
    assert [line["memory_ratio"] for line in lines] == [1, 0.5]
    cfg = {**course.GPT_CONFIG_124M, "context_length": 256}
    assert lines[1]["mfu"] == pytest.approx(400 * course.count_flops(cfg, 2, 256) / 512 / 1e12)
    assert "4.00" in capsys.readouterr().out


def test_generation_is_compared_at_the_same_precision_and_prompt(capsys):
    def result(speed, size):
        return [{"tokens_per_second": speed, "bytes_per_token": size, "tokens": [1]}]

    results = {"plain, fp32, 4": result(10, 5e8), "transformers, fp32, 4": result(20, 5e8),
               "transformers, bf16, 4": result(25, 2.5e8), "fast, bf16, 4": result(50, 2.5e8),
               "compiled, int8, 4": result(75, 1.25e8), "fast, bf16, 512": result(50, 2.5e8)}
    lines = dict(zip(results, bench.print_generation(results, LIMITS, SimpleNamespace(device="cpu")), strict=True))
    assert lines["fast, bf16, 4"]["ratio_plain"] == 5 and lines["fast, bf16, 4"]["ratio_transformers"] == 2
    assert lines["compiled, int8, 4"]["ratio_transformers"] == 3  # its peer is bf16: transformers has no int8 here
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


def test_peak_counts_what_lives_and_what_comes_and_goes():
    kept = [torch.zeros(1_000_000), torch.zeros(500_000)]

    def work():
        first = torch.zeros(3_000_000)
        del first
        torch.zeros(2_000_000)

    peak = bench.peak_bytes(work, [*kept, kept[0].view(1000, 1000)], torch.device("cpu"))  # a view counts once
    assert 4 * 4_500_000 <= peak < 4 * 4_600_000


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
