"""Train on several GPUs, or on several CPU processes, with PyTorch's DistributedDataParallel (DDP).

    python ddp_script.py                                    the toy network of appendix A, one process per GPU
    python ddp_script.py --nproc 2 --device cpu             the same with two CPU processes (without a GPU: the default)
    python ddp_script.py --task gpt --text FILE --bf16      pretrain GPT-2 124M on a text
    python ddp_script.py --task gpt --text FILE --bf16 --resume         go on where a run was stopped or killed
    torchrun --nproc-per-node 8 ddp_script.py --task gpt --text FILE    the same, started by torchrun
    torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29500 ddp_script.py ...
                                                            run on each of two machines, one of which is HOST

Each process holds the whole model and works on its own share of every batch. During the backward pass DDP replaces
every gradient by its mean over all processes, so that all of them take the same step and the models stay equal (Li et
al. 2020, "PyTorch Distributed: Experiences on Accelerating Data Parallel Training").

A process that fails prints its traceback and ends all the others; Ctrl-C ends all of them. SIGTERM, which a cluster
sends before it takes a machine away, makes a pretraining run finish its step, write a checkpoint and end with status
143; torchrun passes it on and kills what still runs after 30 seconds. Several machines need the checkpoint's folder,
where the text's token ids are kept too, on a disk that all of them see. If they do not find each other, name their
network in GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME. On Windows, set USE_LIBUV=0 before you use torchrun;
`python ddp_script.py` does it by itself.
"""

import argparse
import hashlib
import itertools
import os
import re
import signal
import sys
import time
import traceback
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parent
os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(ROOT / "notebooks" / "data"))  # the tokenizer's files, for offline use
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # lets a GPU repeat a run bit for bit
if sys.platform == "win32":
    os.environ["USE_LIBUV"] = "0"  # PyTorch for Windows is built without it

import numpy as np  # noqa: E402
import tiktoken  # noqa: E402
import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402
import torch.multiprocessing as mp  # noqa: E402
from torch.nn.parallel import DistributedDataParallel  # noqa: E402
from torch.utils.data import DataLoader, DistributedSampler, Subset  # noqa: E402

from previous_chapters import (  # noqa: E402
    GPT_CONFIG_124M,
    GPTModel,
    MemmapTokenDataset,
    NeuralNetwork,
    ToyDataset,
    calc_loss_batch,
    compute_dtype,
    eval_mode,
    learning_rate_at,
    model_configs,
    save_checkpoint,
    set_learning_rate,
)

SIZES = {
    "tiny": {"emb_dim": 16, "n_layers": 2, "n_heads": 2},
    **{name.split()[0].removeprefix("gpt2-"): size for name, size in model_configs.items()},
}
STOPPED = 128 + signal.SIGTERM  # the exit status of a process that SIGTERM ended
GRACE = 5  # seconds that the other processes get when one has failed


class SettingsError(ValueError):
    """Settings that cannot work together; the message says which, and needs no traceback."""


def main(arguments=None):
    """Run the script; return the exit status."""
    options = parse(arguments)
    if "RANK" in os.environ:  # torchrun has started this process, and the others too; it ends in run_rank
        run_rank(int(os.environ.get("LOCAL_RANK", 0)), options)
    return launch(options)


def parse(arguments):
    """Return the options; what is missing or cannot be is explained and ends the script with status 2."""
    form = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description="Train with one process per GPU.", formatter_class=form)
    parser.add_argument("--task", choices=["toy", "gpt"], default="toy", help="appendix A's network, or pretraining")
    parser.add_argument("--nproc", type=int, help="processes (default: one per GPU; two without a GPU)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--epochs", type=int, default=3, help="how often to go through the data")
    parser.add_argument("--seed", type=int, default=123, help="for weights, dropout and the order of the data")

    gpt = parser.add_argument_group("pretraining (--task gpt)")
    gpt.add_argument("--text", type=Path, default=ROOT / "the-verdict.txt", help="the text to learn, in UTF-8")
    gpt.add_argument("--size", choices=SIZES, default="small", help="of the model; small is GPT-2 124M")
    gpt.add_argument("--context", type=int, default=256, help="tokens per example")
    gpt.add_argument("--batch-size", type=int, default=2, help="examples per process in one forward pass")
    gpt.add_argument("--accumulate", type=int, default=1, help="forward passes per optimizer step")
    gpt.add_argument("--lr", type=float, default=4e-4, help="highest learning rate of AdamW, at the end of the warmup")
    gpt.add_argument("--warmup-steps", type=int, help="steps in which the rate rises (default: a tenth of all)")
    gpt.add_argument("--min-lr", type=float, default=1e-6, help="learning rate at the start of the warmup and the end")
    gpt.add_argument("--dropout", type=float, default=0.1, help="share of numbers set to zero in training")
    gpt.add_argument("--bf16", action="store_true", help="compute in bfloat16 (autocast), where that is faster")
    gpt.add_argument("--log-every", type=int, default=10, help="steps from one line of progress to the next")
    gpt.add_argument("--eval-every", type=int, default=50, help="steps from one evaluation to the next; 0: only last")
    gpt.add_argument("--eval-batches", type=int, default=50, help="batches per process in an evaluation; 0: all")
    gpt.add_argument("--checkpoint", type=Path, default=ROOT / "build" / "ddp" / "checkpoint.pth",
                     help="where to save, beside the token ids; on several machines, a file that all of them see")
    gpt.add_argument("--checkpoint-every", type=int, default=100, help="steps from one save to the next; 0: only last")
    gpt.add_argument("--resume", action="store_true", help="go on from the checkpoint, if there is one")
    options = parser.parse_args(arguments)

    for name in ("nproc", "epochs", "context", "batch_size", "accumulate", "log_every"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1, got {value}")
    for name in ("eval_every", "eval_batches", "checkpoint_every", "warmup_steps"):
        value = getattr(options, name)
        if value is not None and value < 0:
            parser.error(f"--{name.replace('_', '-')} must be at least 0, got {value}")
    if not options.lr > 0:
        parser.error(f"--lr must be above 0, got {options.lr}")
    if not 0 <= options.min_lr <= options.lr:
        parser.error(f"--min-lr must be between 0 and --lr {options.lr}, got {options.min_lr}")
    if not 0 <= options.dropout < 1:
        parser.error(f"--dropout must be at least 0 and below 1, got {options.dropout}")
    if "RANK" in os.environ and options.nproc is not None:
        parser.error("torchrun decides how many processes there are: leave --nproc out")
    gpus = torch.cuda.device_count()
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", options.nproc or 1))
    if options.device == "cuda" and gpus < processes:
        parser.error(f"{processes} processes need as many GPUs, this machine has {gpus}; use --device cpu")
    if options.task == "gpt":
        check_files(options, parser)
    else:
        for action in gpt._group_actions:
            if getattr(options, action.dest) != action.default:
                parser.error(f"{action.option_strings[0]} belongs to --task gpt")
    options.nproc = options.nproc or (gpus if options.device == "cuda" else 2)
    return options


def check_files(options, parser):
    """End the script now if the text cannot be read or a checkpoint could not be written, not after hours."""
    folder = options.checkpoint.parent
    if not options.text.is_file():
        parser.error(f"--text {options.text}: there is no such file")
    if options.checkpoint.exists() and not options.resume:
        parser.error(f"{options.checkpoint} exists: add --resume to go on from it, or name another --checkpoint")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--checkpoint: the folder {folder} cannot be made: {error.strerror}")
    if not os.access(folder, os.W_OK):
        parser.error(f"--checkpoint: nothing can be written to {folder}")


# -------------------- processes --------------------


def launch(options):
    """Start one process per rank on this machine, wait for all, and return the exit status."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False,  # port 0: any that is free
                          use_libuv=sys.platform != "win32")
    threads = max(1, torch.get_num_threads() // options.nproc)
    context = mp.start_processes(run_rank, (options, store.port, threads), options.nproc, join=False)
    signal.signal(signal.SIGTERM, lambda *_: end(context.processes))
    try:
        while not context.join(grace_period=GRACE):
            pass
    except mp.ProcessExitedException as failure:
        status = failure.exit_code if failure.exit_code > 0 else 128 - failure.exit_code
        if status != STOPPED:
            print(f"ddp_script.py: rank {failure.error_index} ended with status {status}; all processes have ended.",
                  file=sys.stderr)
        return status
    except KeyboardInterrupt:
        print("ddp_script.py: interrupted; all processes have ended.", file=sys.stderr)
        return 128 + signal.SIGINT
    finally:
        end(context.processes, kill=True)
    return 0


def end(processes, kill=False):
    """Send SIGTERM to the processes that still run; or kill them, and wait until they are gone."""
    for process in processes:
        if process.is_alive():
            process.kill() if kill else process.terminate()
    if kill:
        for process in processes:
            process.join()


def run_rank(local_rank, options, port=None, threads=None):
    """Be one of the processes: join the group, do the task, leave the group, and end the process.

    Args:
        local_rank: the number of this process on this machine, which is also the number of its GPU.
        options: what `parse` returned.
        port: where the launching process keeps the group's meeting point; None takes torchrun's.
        threads: CPU threads for this process; None leaves them as they are.

    The exit status is 0, or 1 after an error, or `STOPPED` if the run was stopped by SIGTERM.
    """
    device = torch.device(options.device, local_rank) if options.device == "cuda" else torch.device("cpu")
    # CPU tensors travel by gloo, which every platform has, GPU tensors by NVIDIA's NCCL, which Windows lacks.
    backend = "cpu:gloo,cuda:nccl" if options.device == "cuda" and dist.is_nccl_available() else "gloo"
    try:
        if options.device == "cuda":
            torch.cuda.set_device(device)
            torch.use_deterministic_algorithms(True, warn_only=True)
        if port is None:
            dist.init_process_group(backend)
        else:
            torch.set_num_threads(threads)
            store = dist.TCPStore("127.0.0.1", port, is_master=False, use_libuv=sys.platform != "win32")
            dist.init_process_group(backend, store=store, rank=local_rank, world_size=options.nproc)
        say(f"{dist.get_world_size()} processes, device {device.type}, backend {backend}")
        finished = {"toy": train_toy, "gpt": train_gpt}[options.task](options, device)
        dist.destroy_process_group()
    except Exception as error:
        rank = os.environ.get("RANK", local_rank)
        what = f"{error}\n" if isinstance(error, SettingsError) else traceback.format_exc()
        print("".join(f"[rank {rank}] {line}" for line in what.splitlines(keepends=True)), file=sys.stderr, flush=True)
        os._exit(1)  # at once: leaving the group in good order would mean waiting for the others
    sys.stdout.flush()
    # At once here too. A thread of gloo may still be about to release its last tensor, for which it needs the
    # interpreter; one that finds the interpreter shutting down ends the process with "terminate called …".
    os._exit(0 if finished else STOPPED)


def say(text):
    """Print a line on rank 0 only."""
    if dist.get_rank() == 0:
        print(text, flush=True)


def from_rank_0(compute):
    """Return on all processes what a function returns on rank 0, which alone calls it; the others wait for it."""
    result = [compute() if dist.get_rank() == 0 else None]
    dist.broadcast_object_list(result)
    return result[0]


def mean_over_ranks(value, weight=1.0):
    """Return the mean of a number over all processes, weighted by how many examples stand behind each process's."""
    total = torch.tensor([float(value) * weight, weight], dtype=torch.float64)
    dist.all_reduce(total)
    return (total[0] / total[1]).item()  # not a number where no process has an example


def check_equal_on_all_ranks(model):
    """Return a short fingerprint of the parameters.

    Raises:
        RuntimeError: the processes do not all hold the same parameters, bit for bit.
    """
    digest = hashlib.sha256()
    for parameter in model.parameters():
        digest.update(parameter.detach().cpu().numpy().tobytes())
    digests = [None] * dist.get_world_size()
    dist.all_gather_object(digests, digest.hexdigest()[:16])
    if len(set(digests)) > 1:
        raise RuntimeError(f"the processes hold different parameters: {digests}")
    return digests[0]


# -------------------- the toy network of appendix A --------------------


def train_toy(options, device):
    """Train appendix A's network on its five examples; every process prints its own losses."""
    rank, world_size = dist.get_rank(), dist.get_world_size()
    train_set = ToyDataset(torch.tensor([[-1.2, 3.1], [-0.9, 2.9], [-0.5, 2.6], [2.3, -1.1], [2.7, -1.5]]),
                           torch.tensor([0, 0, 0, 1, 1]))
    test_set = ToyDataset(torch.tensor([[-0.8, 2.8], [2.6, -1.6]]), torch.tensor([0, 1]))
    sampler = DistributedSampler(train_set, shuffle=True, seed=options.seed)
    if world_size > len(train_set):
        say(f"{world_size} processes share {len(train_set)} examples: some examples are used more than once an epoch")
    batch_size = min(2, len(sampler))  # a process may have a single example
    loader = DataLoader(train_set, batch_size, sampler=sampler, drop_last=True, pin_memory=device.type == "cuda")

    torch.manual_seed(options.seed)
    network = NeuralNetwork(num_inputs=2, num_outputs=2).to(device)
    ddp = DistributedDataParallel(network, device_ids=[device.index] if device.type == "cuda" else None)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    for epoch in range(options.epochs):
        sampler.set_epoch(epoch)  # another order in every epoch; each process takes its part of it
        for features, labels in loader:
            loss = torch.nn.functional.cross_entropy(ddp(features.to(device)), labels.to(device))
            optimizer.zero_grad()
            loss.backward()  # here the gradients are averaged
            optimizer.step()
            print(f"[rank {rank}] Epoch: {epoch + 1:03d}/{options.epochs:03d} | Batch size {len(labels):03d} | "
                  f"Train loss: {loss.item():.2f}\n", end="", flush=True)  # one piece: the screen is shared

    for name, dataset in [("training", train_set), ("test", test_set)]:
        say(f"{name} accuracy of all processes together: {accuracy_over_ranks(network, dataset, device):.2f}")
    say(f"all processes hold the same parameters: {check_equal_on_all_ranks(network)}")
    return True


def accuracy_over_ranks(network, dataset, device):
    """Return the share of examples that are classified rightly; each process judges its part, none counts twice."""
    mine = range(dist.get_rank(), len(dataset), dist.get_world_size())
    with eval_mode(network), torch.no_grad():
        right = sum((network(dataset[i][0].to(device)).argmax() == dataset[i][1].to(device)).item() for i in mine)
    return mean_over_ranks(right / max(1, len(mine)), weight=len(mine))


# -------------------- pretraining --------------------


def train_gpt(options, device):
    """Pretrain a GPTModel on a text; return False if SIGTERM stopped the run, after a checkpoint was written."""
    sigterms = []
    signal.signal(signal.SIGTERM, lambda *_: sigterms.append(True))  # looked at between steps
    cfg = {**GPT_CONFIG_124M, **SIZES[options.size], "context_length": options.context, "drop_rate": options.dropout}
    train_set, val_set, text_hash = read_text(options)
    per_step = options.batch_size * options.accumulate * dist.get_world_size()
    if len(train_set) < per_step:
        raise SettingsError(f"the text gives {len(train_set)} training examples of {options.context} tokens, one step "
                            f"takes {per_step}: use a longer text, fewer processes, or smaller batches")

    torch.manual_seed(options.seed)  # the same weights on every process …
    model = GPTModel(cfg).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr, weight_decay=0.1)
    torch.manual_seed(options.seed + dist.get_rank())  # … but dropout of its own
    progress = {"step": 0, "epoch": 0, "examples": 0}  # epochs completed, and examples of the one that has begun
    run = {"model": cfg, "text": text_hash, "seed": options.seed}  # what has to be the same to go on with a run
    if options.resume:
        load_progress(options.checkpoint, model, optimizer, progress, run, device)
    check_agreement({**progress, **run})
    ddp = DistributedDataParallel(model, device_ids=[device.index] if device.type == "cuda" else None,
                                  forward_sync_buffers=False, gradient_as_bucket_view=True)
    settle_buckets(ddp, device)
    if progress["epoch"] >= options.epochs:
        say(f"nothing left to do: {progress['epoch']} of {options.epochs} epochs are done")

    bf16 = options.bf16 and from_rank_0(lambda: compute_dtype(device)) == torch.bfloat16  # a measurement
    if options.bf16 and not bf16:
        say("bfloat16 is not faster on this machine: computing in float32")
    schedule = *count_steps(progress, len(train_set), per_step, options), options.lr, options.min_lr, options.min_lr
    start, timed_steps = time.perf_counter(), 0
    for group in remaining_groups(train_set, progress, per_step, options):
        lr = learning_rate_at(progress["step"] - 1, *schedule)  # it counts from 0
        set_learning_rate(optimizer, lr, [options.lr])
        loss = train_step(ddp, optimizer, group, bf16, device)
        timed_steps += 1
        if is_due(progress["step"], options.log_every):
            loss = mean_over_ranks(loss)
            speed = timed_steps * per_step * options.context / (time.perf_counter() - start)
            epochs = progress["epoch"] + progress["examples"] / len(train_set)
            say(f"step {progress['step']}  epoch {epochs:.2f}/{options.epochs}  rate {lr:.2e}  loss {loss:.6f}  "
                f"{speed:,.0f} tokens/s")
        last = progress["epoch"] == options.epochs
        evaluates, saves = (last or is_due(progress["step"], every)
                            for every in (options.eval_every, options.checkpoint_every))
        if saves:
            save_progress(options.checkpoint, model, optimizer, progress, run, device)
        val_loss = evaluate(model, val_set, options, device, bf16, sigterms) if evaluates else None
        stop = mean_over_ranks(len(sigterms)) > 0  # they must agree: one that stops alone leaves the others waiting
        if evaluates and not stop:
            say(f"step {progress['step']}  validation loss {val_loss:.6f}")
        if stop and not last:
            if not saves:
                save_progress(options.checkpoint, model, optimizer, progress, run, device)
            say(f"stopped by SIGTERM after step {progress['step']}; add --resume to go on")
            return False
        if evaluates or saves:
            start, timed_steps = time.perf_counter(), 0  # the speed is that of training alone
    say(f"all processes hold the same parameters: {check_equal_on_all_ranks(model)}")
    return True


def check_agreement(state):
    """Raise SettingsError if the processes would start from different places, as with a disk of its own per machine."""
    states = [None] * dist.get_world_size()
    dist.all_gather_object(states, state)
    if any(other != state for other in states):
        raise SettingsError("the processes have different checkpoints; on several machines, it must be on a disk that "
                            "all of them see")


def settle_buckets(ddp, device):
    """Let DDP regroup the gradients, which it does once, after its first backward pass.

    The groups decide in which order numbers are added. So without this, the first step after resuming would differ in
    the last bits from the same step of a run that was never stopped.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):  # dropout stays as it was
        ddp(torch.zeros(1, 1, dtype=torch.int64, device=device)).sum().backward()
    ddp.zero_grad()


def is_due(step, every):
    """Say whether something that happens every so many steps happens now; 0 means never."""
    return every > 0 and step % every == 0


def read_text(options):
    """Return (training examples, validation examples, the text's fingerprint); the last tenth is for validation."""
    path, fingerprint = from_rank_0(lambda: encode_once(options.text, options.checkpoint.parent))
    try:
        ids = MemmapTokenDataset(path, options.context)  # holds nothing in memory: every example is read when it is due
    except FileNotFoundError:
        raise SettingsError(f"{path} is missing here; it must be on a disk that all machines see") from None
    except ValueError as error:
        raise SettingsError(f"{options.text}: {error}") from None
    split, length = int(0.9 * ids.num_ids), options.context
    training, validation = range(0, split - length, length), range(split, len(ids), length)
    if not validation:
        raise SettingsError(f"{options.text}: the last tenth has {ids.num_ids - split} tokens, an example {length}")
    return Subset(ids, training), Subset(ids, validation), fingerprint


def encode_once(text, folder):
    """Return (a file of the text's token ids in the folder, the text's fingerprint).

    The file is named after the fingerprint, and not before it is complete: one that is there is taken as it is.
    """
    digest = hashlib.sha256()
    for piece in read_pieces(text):
        digest.update(piece.encode())
    path = folder / f"{text.name}.{digest.hexdigest()[:16]}.ids"
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")  # another run may be writing the same
    if not path.exists():
        tokenizer = tiktoken.get_encoding("gpt2")
        try:
            with open(partial, "wb") as file:
                for piece in read_pieces(text):
                    np.array(tokenizer.encode(piece, allowed_special={"<|endoftext|>"}), dtype=np.uint16).tofile(file)
                os.fsync(file.fileno())
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    return path, digest.hexdigest()


def read_pieces(path, size=1 << 20):
    """Yield a text in pieces of about so many characters, which give the same token ids as the whole text.

    A piece ends before a space or a newline that follows something else. No match of GPT-2's pattern reaches across
    such a place, and none looks back. After the whitespace it would not do: two newlines are one token at the end of a
    text, but two before a word.
    """
    rest = ""
    with open(path, encoding="utf-8") as file:
        while block := file.read(size):
            rest += block
            if piece := re.match(r".*\S(?=[ \n])", rest, re.DOTALL):  # the longest
                yield piece[0]
                rest = rest[piece.end():]
    yield rest


def count_steps(progress, num_examples, per_step, options):
    """Return (steps of the whole run, those already taken included, and how many of them are the warmup)."""
    this_epoch, each_epoch = ((num_examples - done) // per_step for done in (progress["examples"], 0))
    total_steps = progress["step"] + max(0, this_epoch + each_epoch * (options.epochs - progress["epoch"] - 1))
    warmup_steps = total_steps // 10 if options.warmup_steps is None else options.warmup_steps
    if warmup_steps > total_steps:
        raise SettingsError(f"--warmup-steps {warmup_steps}: this run has {total_steps} steps")
    return total_steps, warmup_steps


def remaining_groups(train_set, progress, per_step, options):
    """Yield what each remaining optimizer step learns from, a list of (inputs, targets), and keep count in `progress`.

    All processes walk through the same shuffled order and take every n-th example. So a step sees the same examples
    for any number of processes, and a run can go on inside an epoch. Examples that do not fill the last step of an
    epoch are left out. (Going on with another number n of processes, up to n - 1 examples may come twice.)
    """
    sampler = DistributedSampler(train_set, shuffle=True, seed=options.seed, drop_last=True)
    while progress["epoch"] < options.epochs:
        if len(train_set) - progress["examples"] < per_step:  # on resuming with larger steps
            progress.update(epoch=progress["epoch"] + 1, examples=0)
            continue
        sampler.set_epoch(progress["epoch"])
        order = list(sampler)[progress["examples"] // sampler.num_replicas:]
        # A generator of its own: the loader draws a number when it starts, which must not come from dropout's.
        batches = iter(DataLoader(train_set, options.batch_size, sampler=order, drop_last=True,
                                  generator=torch.Generator(), pin_memory=options.device == "cuda"))
        for left in reversed(range((len(train_set) - progress["examples"]) // per_step)):
            progress["step"] += 1
            progress["examples"] += per_step
            if left == 0:
                progress.update(epoch=progress["epoch"] + 1, examples=0)
            yield list(itertools.islice(batches, options.accumulate))


def train_step(ddp, optimizer, group, bf16, device):
    """Take one optimizer step on a group of batches and return its mean loss, a tensor, for this process's share."""
    total = 0.0
    optimizer.zero_grad()
    for number, (inputs, targets) in enumerate(group, start=1):
        # Gradients add up here; only the last pass sends their sum through the network.
        with nullcontext() if number == len(group) else ddp.no_sync():
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                loss = calc_loss_batch(inputs, targets, ddp, device) / len(group)
            loss.backward()
        total += loss.detach()
    torch.nn.utils.clip_grad_norm_(ddp.parameters(), max_norm=1.0)  # of their mean over all processes
    optimizer.step()
    return total


def evaluate(model, val_set, options, device, bf16, sigterms):
    """Return the mean loss over the first validation batches; each process computes its part, until SIGTERM."""
    mine = range(dist.get_rank(), len(val_set), dist.get_world_size())
    if options.eval_batches > 0:
        mine = mine[: options.eval_batches * options.batch_size]
    total, examples = 0.0, 0
    with eval_mode(model), torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for inputs, targets in DataLoader(val_set, options.batch_size, sampler=mine, generator=torch.Generator()):
            if sigterms:
                break
            total += calc_loss_batch(inputs, targets, model, device).item() * len(inputs)
            examples += len(inputs)
    return mean_over_ranks(total / max(1, examples), weight=examples)


def save_progress(path, model, optimizer, progress, run, device):
    """Write a checkpoint from which every process can go on; `previous_chapters.load_checkpoint` reads it as well.

    Args:
        path: the file; it is replaced only when the new one is complete.
        model, optimizer: the same on all processes, so that rank 0 alone writes them.
        progress: steps, epochs, and examples of the present epoch, so far.
        run: what has to be the same when the run goes on.
        device: whose random state is saved beside the CPU's; each process has its own.
    """
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    states = [None] * dist.get_world_size()
    dist.all_gather_object(states, state)
    if dist.get_rank() == 0:
        data = {**progress, "run": run, "rng_states": states}
        save_checkpoint(path, model, optimizer, progress["step"], SimpleNamespace(state_dict=lambda: data))
    dist.barrier()  # nobody goes on, or ends, before the file is complete


def load_progress(path, model, optimizer, progress, run, device):
    """Go back to where a checkpoint was written; without one, say so and start from the beginning.

    Batch size, learning rate and precision may change; what is in `run` may not.

    Raises:
        SettingsError: the checkpoint belongs to another run, or to another program.
    """
    if not path.exists():
        say(f"{path} does not exist: starting from the beginning")
        return
    # Not by `load_checkpoint`: `run` is compared first, and the file is mapped, so that eight processes need not hold
    # eight copies. (Windows would not let a mapped file be replaced.)
    checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=sys.platform != "win32")
    data = checkpoint.get("data_state_dict") or {}
    if "run" not in data:
        raise SettingsError(f"{path} is not a checkpoint of this script")
    for name, value in run.items():
        if data["run"][name] != value:
            raise SettingsError(f"{path} has another {name}: {data['run'][name]}, this run has {value}")
    model.load_state_dict(checkpoint["model_state_dict"])
    optimizer.load_state_dict(checkpoint["optimizer_state_dict"])
    progress.update({name: data[name] for name in progress})
    say(f"going on after step {progress['step']}")
    states = data["rng_states"]
    if len(states) != dist.get_world_size() or (device.type == "cuda") != ("cuda" in states[0]):
        say(f"the checkpoint comes from {len(states)} processes or another device: dropout will differ from now on")
        return
    torch.set_rng_state(states[dist.get_rank()]["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[dist.get_rank()]["cuda"], device)


if __name__ == "__main__":
    sys.exit(main())
