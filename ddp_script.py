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
143; what runs 30 seconds later, or TORCH_ELASTIC_SHUTDOWN_TIMEOUT, is killed. Several machines need the checkpoint's
folder, where the text's token ids are kept too, on a disk that all of them see. If they do not find each other, name
their network in GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME. On Windows, start it by python, not by torchrun.
"""

import argparse
import hashlib
import logging
import os
import re
import signal
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parent
os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(ROOT / "notebooks" / "data"))  # the tokenizer's files, for offline use
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # lets a GPU repeat a run bit for bit
if "RANK" in os.environ:  # this is one of torchrun's processes
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a traceback, even while it imports

import numpy as np  # noqa: E402
import tiktoken  # noqa: E402
import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402
import torch.distributed.nn.functional  # noqa: E402  imported when there is a group, it would keep the group alive
import torch.distributed.run as torchrun  # noqa: E402
import torch.multiprocessing as mp  # noqa: E402
from torch.distributed.elastic.multiprocessing import SignalException, errors  # noqa: E402
from torch.nn.parallel import DistributedDataParallel  # noqa: E402
from torch.utils.data import DataLoader, DistributedSampler  # noqa: E402

import previous_chapters as course  # noqa: E402

SIZES = {name.split()[0].removeprefix("gpt2-"): size for name, size in course.model_configs.items()}
SIZES["tiny"] = {"emb_dim": 16, "n_layers": 2, "n_heads": 2}
WRONG_SETTINGS, STOPPED = 2, 128 + signal.SIGTERM  # exit statuses, as of argparse and of what SIGTERM ends


class SettingsError(ValueError):
    """Settings that cannot work together; the message says which, and needs no traceback."""


# -------------------- the command line --------------------


def run_script():
    """Run the script and return its exit status: be one process if torchrun has started this one, or start them all."""
    options = parse()
    return run_rank(options) if "RANK" in os.environ else launch(options)


def parse(arguments=None):
    """Return the options; what is missing or cannot be is explained and ends the script with status 2."""
    parser = argparse.ArgumentParser(description="Train with one process per GPU.",
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
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

    lowest = dict.fromkeys(("nproc", "epochs", "context", "batch_size", "accumulate", "log_every"), 1)
    for name, value in vars(options).items():
        if type(value) is int and value < lowest.get(name, 0):
            parser.error(f"--{name.replace('_', '-')} must be at least {lowest.get(name, 0)}, got {value}")
    if not 0 <= options.min_lr <= options.lr or options.lr == 0:
        parser.error(f"--lr must be above 0 and --min-lr between 0 and --lr, got {options.lr} and {options.min_lr}")
    if not 0 <= options.dropout < 1:
        parser.error(f"--dropout must be at least 0 and below 1, got {options.dropout}")
    gpus, started = torch.cuda.device_count(), int(os.environ.get("LOCAL_WORLD_SIZE", 0))  # started by torchrun
    options.nproc = options.nproc or started or (max(1, gpus) if options.device == "cuda" else 2)
    if started not in (0, options.nproc):
        parser.error(f"torchrun has started {started} processes: leave --nproc out")
    if options.device == "cuda" and gpus < options.nproc:
        parser.error(f"{options.nproc} processes need as many GPUs, this machine has {gpus}; use --device cpu")
    if options.task == "gpt":
        check_files(options, parser)
    elif foreign := [a.option_strings[0] for a in gpt._group_actions if getattr(options, a.dest) != a.default]:
        parser.error(f"{', '.join(foreign)} belongs to --task gpt")
    return options


def check_files(options, parser):
    """End the script now if the text cannot be read or a checkpoint could not be written, not after hours."""
    if not options.text.is_file():
        parser.error(f"--text {options.text}: there is no such file")
    if options.checkpoint.exists() and not options.resume:
        parser.error(f"{options.checkpoint} exists: add --resume to go on from it, or name another --checkpoint")
    try:
        options.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=options.checkpoint.parent).close()
    except OSError as error:
        parser.error(f"--checkpoint: nothing can be written to {options.checkpoint.parent}: {error.strerror}")


# -------------------- processes --------------------


def launch(options):
    """Run this same command once per process by torchrun, wait for all, and return the exit status."""
    logging.disable(logging.ERROR)  # torchrun's log repeats what the processes say
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, torch.get_num_threads() // options.nproc)))
    meeting = ["--standalone"]
    if sys.platform == "win32":  # a meeting point that needs no libuv
        os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
        meeting = ["--rdzv-backend=c10d", "--rdzv-conf=store_type=file"]
    try:
        torchrun.main([*meeting, "--local-addr=127.0.0.1", f"--nproc-per-node={options.nproc}",
                       f"--log-dir={os.devnull}", "--signals-to-handle=SIGINT,SIGTERM", "--", *sys.argv])
    except errors.ChildFailedError as error:
        statuses = {rank: failure.exitcode for rank, failure in error.failures.items()}
        if set(statuses.values()) in ({STOPPED}, {WRONG_SETTINGS}):
            return statuses.popitem()[1]
        print(f"ddp_script.py: all processes have ended; status by rank, where not 0: {statuses}", file=sys.stderr)
        return 1
    except (SignalException, KeyboardInterrupt) as error:
        return 128 + getattr(error, "sigval", signal.SIGINT)
    return 0


def run_rank(options):
    """Be one of torchrun's processes: do the task, and end the process with its status."""
    mp._prctl_pr_set_pdeathsig(signal.SIGTERM)  # sent, on Linux, when torchrun itself is killed
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    status = 1
    try:
        if options.task == "toy":
            main(rank, world_size, options.epochs, options.device, options.seed)
            status = 0
        else:
            device = ddp_setup(rank, world_size, options.device)
            status = 0 if train_gpt(options, device) else STOPPED
            dist.destroy_process_group()
    except SettingsError as error:
        status = WRONG_SETTINGS
        if os.environ.get("LOCAL_RANK", "0") == "0":  # the others find the same
            print(f"ddp_script.py: error: {error}", file=sys.stderr)
    except Exception:
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    # At once. After an error, leaving the group in good order would mean waiting for the others; and a thread of gloo
    # that comes to release its last tensor while the interpreter shuts down aborts the process.
    os._exit(status)


def ddp_setup(rank, world_size, device_type=None):
    """Join the group of `world_size` processes as number `rank`, and return the device of this process.

    The device type is "cpu" or "cuda"; None takes GPUs if there are enough.
    """
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")  # where the processes meet; torchrun has set both
    os.environ.setdefault("MASTER_PORT", str(20000 + os.getppid() % 10000))  # the same for all children of a process
    device = torch.device(device_type or ("cuda" if torch.cuda.device_count() >= world_size else "cpu"))
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", rank)))
        torch.cuda.set_device(device)
        torch.use_deterministic_algorithms(True, warn_only=True)
    # CPU tensors travel by gloo, which every platform has, GPU tensors by NVIDIA's NCCL, which Windows lacks.
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" and dist.is_nccl_available() else "gloo"
    dist.init_process_group(backend, rank=rank, world_size=world_size)
    say(f"{world_size} processes, device {device.type}, backend {backend}")
    return device


def say(text):
    """Print a line on rank 0 only."""
    if dist.get_rank() == 0:
        print(f"{text}\n", end="", flush=True)  # one piece: the processes share the screen


def gather(value):
    """Return the list of the values of all processes, on all of them."""
    values = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def sum_over_ranks(*numbers):
    """Return the sum over all processes of each of the numbers."""
    total = torch.tensor(numbers, dtype=torch.float64)
    dist.all_reduce(total)
    return total.tolist()


def check_equal_on_all_ranks(model):
    """Say a short fingerprint of the parameters; RuntimeError if the processes do not hold the same, bit for bit."""
    digest = hashlib.sha256()
    for parameter in model.parameters():
        digest.update(parameter.detach().cpu().numpy().tobytes())
    digests = gather(digest.hexdigest()[:16])
    if len(set(digests)) > 1:
        raise RuntimeError(f"the processes hold different parameters: {digests}")
    say(f"all processes hold the same parameters: {digests[0]}")


# -------------------- the toy network of appendix A --------------------


def prepare_dataset(seed=123):
    """Return the loaders of appendix A's examples: for training, where each process gets its share, and for testing."""
    features = torch.tensor([[-1.2, 3.1], [-0.9, 2.9], [-0.5, 2.6], [2.3, -1.1], [2.7, -1.5]])
    train_set = course.ToyDataset(features, torch.tensor([0, 0, 0, 1, 1]))
    test_set = course.ToyDataset(torch.tensor([[-0.8, 2.8], [2.6, -1.6]]), torch.tensor([0, 1]))
    if dist.get_world_size() > len(train_set):
        say(f"{dist.get_world_size()} processes share {len(train_set)} examples: some examples are used more than once "
            "an epoch")
    sampler = DistributedSampler(train_set, shuffle=True, seed=seed)
    batch_size = min(2, len(sampler))  # a process may have a single example
    return DataLoader(train_set, batch_size, sampler=sampler, drop_last=True), DataLoader(test_set, batch_size=2)


def main(rank, world_size, num_epochs, device_type=None, seed=123):
    """Train appendix A's network in one process of the group, from joining to leaving it; it prints its own losses."""
    device = ddp_setup(rank, world_size, device_type)
    train_loader, test_loader = prepare_dataset(seed)
    torch.manual_seed(seed)
    network = course.NeuralNetwork(num_inputs=2, num_outputs=2).to(device)
    ddp = DistributedDataParallel(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    for epoch in range(num_epochs):
        train_loader.sampler.set_epoch(epoch)  # another order in every epoch; each process takes its part of it
        for features, labels in train_loader:
            loss = torch.nn.functional.cross_entropy(ddp(features.to(device)), labels.to(device))
            optimizer.zero_grad()
            loss.backward()  # here the gradients are averaged
            optimizer.step()
            print(f"[rank {rank}] Epoch: {epoch + 1:03d}/{num_epochs:03d} | Batch size {len(labels):03d} | "
                  f"Train loss: {loss.item():.2f}\n", end="", flush=True)

    network.eval()
    for name, loader in [("training", train_loader), ("test", test_loader)]:
        mine = slice(rank, None, world_size)  # every example counts once
        with torch.no_grad():
            classes = network(loader.dataset.features[mine].to(device)).argmax(dim=1).cpu()
        right = sum(gather((classes == loader.dataset.labels[mine]).tolist()), [])
        say(f"{name} accuracy of all processes together: {sum(right) / len(right):.2f}")
    check_equal_on_all_ranks(network)
    del ddp  # before the group: as its last user it would wait, with the interpreter locked, for gloo's threads
    dist.destroy_process_group()


# -------------------- pretraining --------------------


def train_gpt(options, device):
    """Pretrain a GPTModel on a text; return False if SIGTERM stopped the run, after a checkpoint was written."""
    rank, world_size, sigterms = dist.get_rank(), dist.get_world_size(), []
    signal.signal(signal.SIGTERM, lambda *_: sigterms.append(True))  # looked at between steps
    cfg = {**course.GPT_CONFIG_124M, **SIZES[options.size]}
    cfg.update(context_length=options.context, drop_rate=options.dropout)
    ids, training, validation, text_hash = read_text(options)
    per_step = options.batch_size * options.accumulate * world_size
    if len(training) < per_step:
        raise SettingsError(f"the text gives {len(training)} training examples of {options.context} tokens, one step "
                            f"takes {per_step}: use a longer text, fewer processes, or smaller batches")

    torch.manual_seed(options.seed)  # the same weights on every process
    model = course.GPTModel(cfg).to(device)
    ddp = DistributedDataParallel(model, forward_sync_buffers=False, gradient_as_bucket_view=True)
    # DDP groups the gradients anew after its first backward pass, and the groups decide in which order numbers are
    # added. Without this pass, the first step after resuming would differ from the same step of a run never stopped.
    ddp(torch.zeros(1, 1, dtype=torch.int64, device=device)).sum().backward()
    ddp.zero_grad()
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr, weight_decay=0.1)
    progress = {"step": 0, "epoch": 0, "examples": 0}  # epochs completed, and examples of the one that has begun
    run = {"model": cfg, "text": text_hash, "seed": options.seed}  # what has to be the same to go on with a run
    if options.resume:
        load_progress(options.checkpoint, model, optimizer, progress, run)
    if any(other != progress for other in gather(progress)):
        raise SettingsError("the processes have different checkpoints; on several machines, it must be on a disk that "
                            "all of them see")
    if progress["epoch"] >= options.epochs:
        say(f"nothing left to do: {progress['epoch']} of {options.epochs} epochs are done")

    dtype = course.compute_dtype(device) if options.bf16 and rank == 0 else torch.float32  # a measurement
    bf16 = gather(dtype)[0] == torch.bfloat16
    if options.bf16 and not bf16:
        say("bfloat16 is not faster on this machine: computing in float32")
    schedule = *count_steps(progress, len(training), per_step, options), options.lr, options.min_lr, options.min_lr
    start, timed_steps = time.perf_counter(), 0
    for starts in remaining_steps(training, progress, per_step, options):
        step = progress["step"]
        lr = course.learning_rate_at(step - 1, *schedule)  # it counts from 0
        course.set_learning_rate(optimizer, lr, [options.lr])
        torch.manual_seed(options.seed + step * world_size + rank)  # dropout of its own
        group = [ids.windows(starts[i:i + options.batch_size]) for i in range(0, len(starts), options.batch_size)]
        loss = train_step(ddp, optimizer, group, bf16, device)
        timed_steps += 1
        last = progress["epoch"] == options.epochs
        logs, evaluates, saves = (every > 0 and step % every == 0 for every in
                                  (options.log_every, options.eval_every, options.checkpoint_every))
        if logs:
            mean_loss = sum_over_ranks(loss.item())[0] / world_size
            speed = timed_steps * per_step * options.context / (time.perf_counter() - start)
            epochs = progress["epoch"] + progress["examples"] / len(training)
            say(f"step {step}  epoch {epochs:.2f}/{options.epochs}  rate {lr:.2e}  loss {mean_loss:.6f}  "
                f"{speed:,.0f} tokens/s")
        if saves or last:
            save_progress(options.checkpoint, model, optimizer, progress, run)
        val_loss = evaluate(model, ids, validation, options, device, bf16, sigterms) if evaluates or last else None
        stop = sum_over_ranks(len(sigterms)) != [0]  # they must agree: one that stops alone leaves the others waiting
        if stop and not last:
            if not saves:
                save_progress(options.checkpoint, model, optimizer, progress, run)
            say(f"stopped by SIGTERM after step {step}; add --resume to go on")
            return False
        if val_loss is not None and not stop:
            say(f"step {step}  validation loss {val_loss:.6f}")
        if evaluates or saves:
            start, timed_steps = time.perf_counter(), 0  # the speed is that of training alone
    check_equal_on_all_ranks(model)
    return True


def read_text(options):
    """Return (token ids on disk, where in them the training and the validation examples begin, text's fingerprint)."""
    encoded = encode_once(options.text, options.checkpoint.parent) if dist.get_rank() == 0 else None
    path, fingerprint = gather(encoded)[0]  # the other processes wait here
    if not path.exists():
        raise SettingsError(f"{path} is missing here; it must be on a disk that all machines see")
    num_ids, length = path.stat().st_size // 2, options.context
    split = int(0.9 * num_ids)  # the last tenth is for validation
    training, validation = range(0, split - length, length), range(split, num_ids - length, length)
    if not validation:
        raise SettingsError(f"{options.text}: the last tenth has {num_ids - split} tokens, an example {length}")
    return course.MemmapTokenDataset(path, length), training, validation, fingerprint


def encode_once(text, folder):
    """Return (the file of the text's token ids in the folder, made unless it is there, the text's fingerprint)."""
    with open(text, "rb") as file:
        fingerprint = hashlib.file_digest(file, "sha256").hexdigest()
    path = folder / f"{text.name}.{fingerprint[:16]}.ids"
    if not path.exists():
        tokenizer = tiktoken.get_encoding("gpt2")
        with tempfile.TemporaryDirectory(dir=folder) as unfinished:
            with open(Path(unfinished) / "ids", "wb") as file:
                for piece in read_pieces(text):
                    ids = tokenizer.encode_to_numpy(piece, allowed_special={"<|endoftext|>"})
                    ids.astype(np.uint16).tofile(file)
                os.fsync(file.fileno())
            os.replace(file.name, path)  # it gets its name when it is complete
    return path, fingerprint


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


def remaining_steps(training, progress, per_step, options):
    """Yield for each remaining optimizer step where this process's examples begin, and keep count in `progress`.

    All processes walk through the same shuffled order and take every n-th example. So a step sees the same examples
    for any number of processes, and a run can go on inside an epoch. Examples that do not fill the last step of an
    epoch are left out.
    """
    for epoch in range(progress["epoch"], options.epochs):
        order = torch.randperm(len(training), generator=torch.Generator().manual_seed(options.seed + epoch))
        for first in range(progress["examples"], len(training) - per_step + 1, per_step):
            end = first + per_step
            progress.update(step=progress["step"] + 1, examples=end)
            if end + per_step > len(training):
                progress.update(epoch=epoch + 1, examples=0)
            yield [training[i] for i in order[first + dist.get_rank():end:dist.get_world_size()]]
        progress.update(epoch=epoch + 1, examples=0)  # on resuming, larger steps may leave nothing of this epoch


def train_step(ddp, optimizer, group, bf16, device):
    """Take one optimizer step on a group of batches and return its mean loss, a tensor, for this process's share."""
    total = 0.0
    optimizer.zero_grad()
    for number, (inputs, targets) in enumerate(group, start=1):
        # Gradients add up here; only the last pass sends their sum through the network.
        with nullcontext() if number == len(group) else ddp.no_sync():
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                loss = course.calc_loss_batch(inputs, targets, ddp, device) / len(group)
            loss.backward()
        total += loss.detach()
    torch.nn.utils.clip_grad_norm_(ddp.parameters(), max_norm=1.0)  # of their mean over all processes
    optimizer.step()
    return total


def evaluate(model, ids, validation, options, device, bf16, sigterms):
    """Return the mean loss over the first validation batches; each process computes its part, until SIGTERM."""
    mine = validation[dist.get_rank()::dist.get_world_size()][:options.eval_batches * options.batch_size or None]
    total, examples = 0.0, 0
    with course.eval_mode(model), torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for first in range(0, len(mine), options.batch_size):
            if sigterms:
                break
            inputs, targets = ids.windows(mine[first:first + options.batch_size])
            total += course.calc_loss_batch(inputs, targets, model, device).item() * len(inputs)
            examples += len(inputs)
    total, examples = sum_over_ranks(total, examples)
    return total / max(1, examples)


def save_progress(path, model, optimizer, progress, run):
    """Write a checkpoint from which every process can go on; `previous_chapters.load_checkpoint` reads it as well."""
    if dist.get_rank() == 0:  # model and optimizer are the same everywhere
        data = SimpleNamespace(state_dict=lambda: {**progress, "run": run})
        course.save_checkpoint(path, model, optimizer, progress["step"], data)
    dist.barrier()  # nobody goes on, or ends, before the file is complete


def load_progress(path, model, optimizer, progress, run):
    """Go back to where a checkpoint was written, if there is one; SettingsError if it has another `run`."""
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


if __name__ == "__main__":
    sys.exit(run_script())
