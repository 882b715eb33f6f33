"""Measure how fast the course's code is, against its peers and against what the machine can do, all in one run.

    python tools/bench.py                        all tables for this machine, about half an hour on two CPU cores
    python tools/bench.py train                  one of them: train, generate, start
    python tools/bench.py train --rows plain tied --repeats 1        some rows of it, quickly
    python tools/bench.py train --device cuda --tokens 1024 --batch 16          the ladder on a GPU
    python tools/bench.py train --device cuda --tokens 1024 --batch 16 --accumulate 8 --rows tied

Each row runs in a process of its own, several times, in turns with all the others; the table shows medians. Absolute
times differ from machine to machine and from hour to hour, so compare ratios. A JSON line per row goes into
build/bench.jsonl, for training with the seconds of a step by kind of operation. The peer in generation is transformers,
from tests/requirements.txt. Rows that compute in bfloat16 belong to the tables only where that is faster than float32,
see `what_pays`.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
SHORT = {"torch.float32": "fp32", "torch.bfloat16": "bf16"}
GENERATED = 100  # tokens per measurement; the plain loop gets a tenth, its favourable beginning

ONLY_GPU = {"tf32", "padded"}  # rungs that a CPU does not know

# Every rung of the ladder is the one before with some more settings.
LADDER = {
    "plain": {},
    "tf32": {"tf32": True},
    "autocast": {"autocast": True},
    "fused AdamW": {"fused": True},
    "kernels": {"fast": True},
    "padded": {"pad": 64},  # for the tiles in which a GPU multiplies; a CPU does not care
    "kept": {"keep": True},
    "lean": {"lean": True},
    "compiled": {"compiled": True},
    "tied": {"tied": True},
}
MEANING = {
    "plain": "chapter 5's code: fp32, GPTModel, AdamW",
    "tf32": "+ TF32 products (GPU)",
    "autocast": "+ bf16 autocast",
    "fused AdamW": "+ AdamW in one kernel",
    "kernels": "+ LayerNorm, GELU, QKV, attention of PyTorch",
    "padded": "+ vocabulary padded to a multiple of 64",
    "kept": "+ memory of freed tensors kept (CPU)",
    "lean": "+ loss without a table of all logits",
    "compiled": "+ torch.compile",
    "tied": "+ embedding and output head tied, as in GPT-2",
    "plain, kept": "plain, with freed memory kept",
    "plain, dropout": "plain, dropout 0.1",
    "tied, dropout": "all of the ladder, dropout 0.1",
}


def dtype_of(options):
    """Return the number format in which products pay on the device."""
    import previous_chapters as course

    return course.compute_dtype(options.device)


def rungs_of(options):
    """Return the rungs that pay on the device, the lowest first; `what_pays` decides, as for `train_model_fast`."""
    import torch

    import previous_chapters as course

    dtype, compiling = course.what_pays(torch.device(options.device))
    taken = {"autocast": dtype == torch.bfloat16, "compiled": compiling,
             **dict.fromkeys(ONLY_GPU, options.device.startswith("cuda"))}
    return [rung for rung in LADDER if taken.get(rung, True)]


def settings_of(row, rungs):
    """Return the settings of a row of the training table: those of its rung and of all the rungs below it."""
    name, _, extra = row.partition(", ")
    settings = {}
    for rung in rungs:
        settings.update(LADDER[rung])
        if rung == name:
            break
    else:
        settings.update(LADDER[name])  # a rung that does not pay here, asked for by name: on top of all others
    settings.update({"": {}, "kept": {"keep": True}, "dropout": {"dropout": 0.1}}[extra])
    return settings


# -------------------- one row, in a process of its own --------------------


def finish(device):
    """Wait until a GPU has done what it was asked to do."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize()


def timed(function, device, repeats):
    """Return the seconds of each of several calls, after a call that warms up."""
    seconds = []
    for number in range(repeats + 1):
        began = time.perf_counter()
        function()
        finish(device)
        if number > 0:
            seconds.append(time.perf_counter() - began)
    return seconds


def measure_limits(options):
    """Return the machine's limits, the best of several tries: matmul in FLOP/s, and reading memory in bytes/s."""
    import torch

    device = torch.device(options.device)
    size = 8192 if device.type == "cuda" else 2048
    limits = {}
    for dtype in {torch.float32, dtype_of(options)}:
        a, b = torch.randn(2, size, size, device=device).to(dtype)
        seconds = timed(lambda a=a, b=b: a @ b, device, 10)
        limits[f"matmul {SHORT[str(dtype)]}"] = 2 * size**3 / min(seconds)
    data = torch.randn(500 * 2**20 // 4, device=device)
    limits["read"] = data.nbytes / min(timed(data.sum, device, 20))
    return limits


def time_by_kind(profile):
    """Return the seconds of a training step that `torch.profiler` has watched, by kinds of operations.

    The kinds are products of matrices, the optimizer with all that it calls, copies and zeros, and all other.
    """
    own = {event.key: (event.self_cpu_time_total + event.self_device_time_total) / 1e6
           for event in profile.key_averages()}  # without what an operation calls
    products, copies = (sum(value for name, value in own.items() if re.search(pattern, name))
                        for pattern in (r"mm_?$|linear", r"(copy|fill|zero)_$"))
    optimizer = sum(event.cpu_time_total + event.device_time_total for event in profile.key_averages()
                    if event.key.startswith("Optimizer.step")) / 1e6
    return {"products": products, "optimizer": optimizer, "copies, zeros": copies,
            "all other": max(0.0, sum(own.values()) - products - optimizer - copies)}


def measure_training(row, options):
    """Return tokens/s, the seconds of a step by kind, peak memory in bytes and the first losses of one rung."""
    import torch

    import previous_chapters as course

    settings = settings_of(row, rungs_of(options))
    if settings.get("keep"):
        course.keep_freed_memory()
    device, dtype = torch.device(options.device), torch.bfloat16 if settings.get("autocast") else torch.float32
    torch.set_float32_matmul_precision("high" if settings.get("tf32") else "highest")
    cfg = {**course.GPT_CONFIG_124M, "context_length": options.tokens, "drop_rate": settings.get("dropout", 0.0)}
    torch.manual_seed(123)
    ids = torch.randint(cfg["vocab_size"], (options.accumulate, options.batch, options.tokens + 1), device=device)
    batches = [(part[:, :-1].contiguous(), part[:, 1:].contiguous()) for part in ids]
    if settings.get("fast"):
        model = course.GPTModelFast(cfg, settings.get("tied", False), settings.get("pad", 1))
    else:
        model = course.GPTModel(cfg)
    model = model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-4, weight_decay=0.1, fused=settings.get("fused", False))
    blocks = [torch.compile(block) for block in model.trf_blocks] if settings.get("compiled") else None

    def step():
        if settings.get("lean"):
            return course.fast_step(model, optimizer, batches, dtype, blocks=blocks)
        total = 0.0
        for inputs, targets in batches:
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                loss = course.calc_loss_batch(inputs, targets, model, device) / len(batches)
            loss.backward()
            total += loss.detach()
        optimizer.step()
        optimizer.zero_grad()
        return total

    losses = []
    seconds = timed(lambda: losses.append(step().item()), device, options.steps)
    kept = [*model.parameters(), *(value for state in optimizer.state.values() for value in state.values())]
    with torch.profiler.profile() as profile:
        step()
    kinds = time_by_kind(profile)
    scale = statistics.median(seconds) / sum(kinds.values())  # to the steps that nobody watched
    return {
        "tokens_per_second": ids[:, :, 1:].numel() / statistics.median(seconds),
        "seconds": {kind: scale * value for kind, value in kinds.items()},
        "peak_bytes": peak_bytes(step, kept, device),
        "losses": losses[:4],
    }


def peak_bytes(function, kept, device):
    """Return the most bytes of tensors at once in a call: those that live all the time, and what the call allocates."""
    import torch

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        function()
        return torch.cuda.max_memory_allocated()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        function()
    live = peak = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            live += event.nbytes()
            peak = max(peak, live)
    storages = [tensor.untyped_storage() for tensor in kept]
    return peak + sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def weights_of_peer(peer):
    """Return the state of a GPTModel with the weights of transformers' GPT2LMHeadModel."""
    import previous_chapters as course

    found = {name.removeprefix("transformer."): tensor for name, tensor in peer.state_dict().items()}
    state = {}
    for theirs, ours in course.weight_names("hf", peer.config.n_layer).items():
        tensor = found[theirs]
        if ".c_" in theirs and theirs.endswith("weight"):
            tensor = tensor.T  # their linear layers keep a matrix as (in, out)
        state.update(zip(ours, tensor.chunk(len(ours)), strict=True))
    return state


def measure_generation(row, options):
    """Return tokens/s of one way to generate, the bytes of weights it reads per token, and the tokens."""
    import torch
    import transformers

    import previous_chapters as course

    way, numbers, prompt_length = row.split(", ")
    device = torch.device(options.device)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "int8": dtype_of(options)}[numbers]
    torch.manual_seed(123)
    peer = transformers.GPT2LMHeadModel(transformers.GPT2Config()).eval()
    cfg = {**course.GPT_CONFIG_124M, "drop_rate": 0.0, "qkv_bias": True}
    prompt = torch.randint(cfg["vocab_size"], (1, int(prompt_length)), device=device)
    count = GENERATED // 10 if way == "plain" else GENERATED
    fast = course.GPTModelFast(cfg)
    fast.load_state_dict(weights_of_peer(peer))
    if way == "plain":
        model = course.GPTModel(cfg)
        model.load_state_dict(fast.plain_state_dict())
        model = model.to(device, dtype)
        run = lambda: course.generate(model, prompt, count, 1024)  # noqa: E731
    elif way == "transformers":
        peer = peer.to(device, dtype)
        run = lambda: peer.generate(prompt, max_new_tokens=count, min_new_tokens=count, do_sample=False,  # noqa: E731
                                    use_cache=True, pad_token_id=0)
    else:
        fast = fast.to(device, dtype)
        if numbers == "int8":
            fast = course.quantize_int8(fast)
        if way == "compiled":
            course.compile_decoding(fast)
        run = lambda: course.generate_fast(fast, prompt, count, 1024)  # noqa: E731
    seconds = timed(run, device, 3)
    weights = sum(parameter.numel() for parameter in peer.parameters()) - peer.transformer.wpe.weight.numel()
    return {
        "tokens_per_second": count / statistics.median(seconds),
        "bytes_per_token": weights * {"fp32": 4, "bf16": 2, "int8": 1}[numbers],
        "tokens": run()[0, int(prompt_length):].tolist()[:10],
        **({"growth": growth(fast, device)} if way in ("fast", "compiled") and prompt_length == "4" else {}),
    }


def growth(model, device):
    """Return how much longer a token takes at position 500 than at position 10, as a share."""
    import torch

    import previous_chapters as course

    seconds = []

    class Timed(course.CachedModel):
        def forward(self, in_idx):
            began = time.perf_counter()
            logits = super().forward(in_idx)
            finish(device)
            seconds.append(time.perf_counter() - began)
            return logits

    with torch.inference_mode():
        prompt = torch.zeros(1, 4, dtype=torch.int64, device=device)
        course.generate(Timed(model, 1, 4, 1024), prompt, 520, 1024)
    early, late = (statistics.median(seconds[position - 8 : position + 16]) for position in (10, 500))
    return late / early - 1


def measure_start(row, options):
    """Return the seconds that importing the module takes beyond torch and the other libraries it needs."""
    code = ("import time, torch, numpy, tiktoken, torch.utils.data, tqdm; began = time.perf_counter(); "
            "import previous_chapters; print(time.perf_counter() - began)")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return {"seconds": float(done.stdout)}


# -------------------- tables --------------------


def rows_of(table, options):
    """Return the names of a table's rows."""
    if table == "train":
        return [*rungs_of(options), "plain, kept", "plain, dropout", "tied, dropout"]
    if table == "generate":
        formats = sorted({"fp32", SHORT[str(dtype_of(options))]}, reverse=True)
        ways = [("plain", ["fp32"]), ("transformers", formats), ("fast", formats), ("compiled", [*formats, "int8"])]
        return [f"{way}, {numbers}, {prompt}" for prompt in (4, 512) for way, formats in ways for numbers in formats
                if prompt == 4 or numbers == "fp32"]
    return ["import of previous_chapters"]


def run_row(table, row, options):
    """Measure one row in a process of its own, so that no row inherits memory or compiled code, and return its dict."""
    arguments = [f"--{name}={getattr(options, name)}" for name in ("device", "batch", "tokens", "accumulate", "steps")]
    done = subprocess.run([sys.executable, __file__, table, "--row", row, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{table}, row {row!r} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def collect(table, rows, options):
    """Return {row: list of its results}, the rows in turns; the limits of the machine are a row as well."""
    results = {row: [] for row in ["limits", *rows]}
    for number in range(options.repeats):
        for row in results:
            print(f"\r{table}, round {number + 1} of {options.repeats}: {row:40}", end="", file=sys.stderr, flush=True)
            results[row].append(run_row(table, row, options))
    print("\r" + " " * 80 + "\r", end="", file=sys.stderr, flush=True)
    return results


def processor():
    """Return the name of the CPU as far as the system tells it, or else the kind of machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def median_of(results, key):
    """Return the median of one figure over the repeats of a row."""
    return statistics.median(result[key] for result in results)


def print_training(results, limits, options):
    """Print the ladder and return its rows as dicts."""
    import previous_chapters as course

    cfg = {**course.GPT_CONFIG_124M, "context_length": options.tokens}
    flops = course.count_flops(cfg, options.batch, options.tokens) / (options.batch * options.tokens)  # per token
    first = next(iter(results))
    base, base_bytes = median_of(results[first], "tokens_per_second"), median_of(results[first], "peak_bytes")
    print(f"\nTraining GPT-2 124M, {options.accumulate} × {options.batch} × {options.tokens} tokens per step, "
          f"on {options.device}: {flops / 1e6:.1f} MFLOP per token")
    numbers = SHORT[str(dtype_of(options))]
    print(f"{'':50}{'tokens/s':>10}{'× first':>9}{f'of {numbers} peak':>14}{'memory':>9}{'× first':>9}")
    lines = []
    for row, repeats in results.items():
        speed, peak = median_of(repeats, "tokens_per_second"), median_of(repeats, "peak_bytes")
        share = course.mfu(flops * speed, 1, limits[f"matmul {numbers}"])
        print(f"{MEANING[row]:50}{speed:10,.0f}{speed / base:9.2f}{share:13.1%} "
              f"{peak / 1e9:6.2f} GB{peak / base_bytes:9.2f}")
        lines.append({"tokens_per_second": speed, "ratio": speed / base, "mfu": share, "peak_bytes": peak,
                      "memory_ratio": peak / base_bytes, "losses": repeats[0]["losses"],
                      "seconds": repeats[0]["seconds"]})
    return lines


def print_generation(results, limits, options):
    """Print the table of generation and return its rows as dicts."""
    print(f"\nGenerating with GPT-2 124M, batch 1, on {options.device}; the limit is bandwidth over the weights' bytes")
    print(f"{'way, numbers, prompt':34}{'tokens/s':>10}{'× plain':>9}{'× transformers':>16}{'of limit':>10}"
          f"{'growth':>8}")
    speeds = {row: median_of(repeats, "tokens_per_second") for row, repeats in results.items()}
    lines = []
    for row, repeats in results.items():
        _, numbers, prompt = row.split(", ")
        share = speeds[row] * repeats[0]["bytes_per_token"] / limits["read"]
        line = {"tokens_per_second": speeds[row], "share_of_limit": share, "tokens": repeats[0]["tokens"]}
        computed = SHORT[str(dtype_of(options))] if numbers == "int8" else numbers
        peers = {"ratio_plain": "plain, fp32", "ratio_transformers": f"transformers, {computed}"}
        for key, peer in peers.items():
            peer = f"{peer}, {prompt}"
            line[key] = speeds[row] / speeds[peer] if peer in speeds else None
        line["growth"] = median_of(repeats, "growth") if "growth" in repeats[0] else None
        ratios = [f"{line[key]:.2f}" if line[key] else "" for key in ("ratio_plain", "ratio_transformers")]
        grown = f"{line['growth']:+.0%}" if line["growth"] is not None else ""
        print(f"{row:34}{speeds[row]:10.1f}{ratios[0]:>9}{ratios[1]:>16}{share:10.0%}{grown:>8}")
        lines.append(line)
    return lines


def print_start(results, limits, options):
    """Print how long starting takes and return the row as a dict."""
    seconds = [median_of(repeats, "seconds") for repeats in results.values()]
    print(f"\nimport of previous_chapters, torch's own import not counted: {seconds[0]:.2f} s")
    return [{"seconds": seconds[0]}]


def main():
    """Run the tables that were asked for, or one row of one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", choices=["train", "generate", "start", []], help="default: all")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--batch", type=int, default=2, help="training: examples per batch")
    parser.add_argument("--tokens", type=int, default=256, help="training: tokens per example")
    parser.add_argument("--accumulate", type=int, default=1, help="training: batches per optimizer step")
    parser.add_argument("--steps", type=int, default=7, help="training: measured steps per run of a row")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each row")
    parser.add_argument("--rows", nargs="+", help="some rows of one table, compared to the first")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench.jsonl", help="where the lines are added")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    options = parser.parse_args()
    measure = {"train": measure_training, "generate": measure_generation, "start": measure_start}
    if options.row:
        table = options.tables[0]
        result = measure_limits(options) if options.row == "limits" else measure[table](options.row, options)
        print("\n" + json.dumps(result))
        return
    if options.rows and len(options.tables) != 1:
        parser.error("--rows needs a single table")
    printers = {"train": print_training, "generate": print_generation, "start": print_start}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    for table in options.tables or measure:
        known = rows_of(table, options)
        if unknown := set(options.rows or []) - set(known) - (set(LADDER) if table == "train" else set()):
            parser.error(f"no such rows: {', '.join(sorted(unknown))}; there are: {'; '.join(known)}")
        results = collect(table, options.rows or known, options)
        limits = {key: max(result[key] for result in results["limits"]) for key in results["limits"][0]}
        del results["limits"]
        lines = printers[table](results, limits, options)
        units = {"read": "GB/s"}
        measured = (f"{key} {value / 1e9:,.0f} {units.get(key, 'GFLOP/s')}" for key, value in limits.items())
        print(f"medians of {options.repeats} rounds on {processor()}; limits measured: " + ", ".join(measured))
        with options.json.open("a", encoding="utf-8") as file:
            for row, line in zip(results, lines, strict=True):
                about = {"table": table, "row": row, "repeats": options.repeats, "device": options.device,
                         "machine": processor(), "cores": os.cpu_count()}
                if table == "train":
                    about.update(batch=options.batch, tokens=options.tokens, accumulate=options.accumulate)
                file.write(json.dumps({**about, **line, "limits": limits}) + "\n")


if __name__ == "__main__":
    main()
