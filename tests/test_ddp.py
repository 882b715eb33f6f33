"""`ddp_script.py` run as its users run it: by python, by torchrun, killed, stopped, failing, and resumed."""

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import tiktoken
import torch
import torch.distributed as dist

import ddp_script
import previous_chapters as course
from conftest import ROOT

SCRIPT = str(ROOT / "ddp_script.py")
PYTHON = (sys.executable,)
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
GPT = ["--task", "gpt", "--device", "cpu", "--size", "tiny", "--context", "16", "--batch-size", "2", "--log-every", "1",
       "--epochs", "3", "--lr", "0.002"]
# Three processes: the sum of two numbers is the same in any order, that of three is not, to the last bit.
RANKS, STEPS = "3", 36


def start(*arguments, by=PYTHON, script=SCRIPT, environment=ENVIRONMENT):
    """Start the script in a process group of its own, so that a test can signal it as a terminal does."""
    return subprocess.Popen([*by, str(script), *map(str, arguments)], cwd=ROOT, env=environment, text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            start_new_session=True)


def run(*arguments, status=0, **keywords):
    """Run the script to its end, expect this exit status, and return what it printed and what it complained about."""
    process = start(*arguments, **keywords)
    try:
        printed, complaints = process.communicate(timeout=120)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == status, complaints
    return printed, complaints


def read_until(process, line_start):
    """Read the script's lines up to the first one that starts like this."""
    for line in process.stdout:
        if line.startswith(line_start):
            return
    pytest.fail(f"{line_start!r} was never printed: {process.stderr.read()}")


def running(argument):
    """Return the processes of this machine that were started with an argument, such as a checkpoint of this test."""
    return [one for one in psutil.process_iter(["status", "cmdline"])
            if one.info["status"] != psutil.STATUS_ZOMBIE and str(argument) in (one.info["cmdline"] or [])]


def assert_nothing_is_left(argument, seconds=1):
    """Fail if a process that was started with an argument still runs after some seconds."""
    _, alive = psutil.wait_procs(running(argument), seconds)
    for process in alive:
        process.kill()
    assert alive == []


@pytest.fixture(scope="module")
def gpt(story, tmp_path_factory):
    """Settings for pretraining on the beginning of the story, 74 examples."""
    path = tmp_path_factory.mktemp("text") / "beginning.txt"
    path.write_text(story[:5400], encoding="utf-8")
    return [*GPT, "--text", path]


@pytest.fixture
def alone():
    """Let the test's own process be the only one of a group, on one thread, as the script's processes here."""
    handler, threads = signal.getsignal(signal.SIGTERM), torch.get_num_threads()
    torch.set_num_threads(1)
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()
    torch.set_num_threads(threads)
    signal.signal(signal.SIGTERM, handler)


def train_alone(*arguments):
    """Pretrain in this process; needs the fixture `alone`."""
    assert ddp_script.train_gpt(ddp_script.parse([*map(str, arguments)]), torch.device("cpu"))


@pytest.fixture(scope="module")
def whole(gpt, tmp_path_factory):
    """A run of three processes that nothing disturbs: (what it printed, its last checkpoint)."""
    path = tmp_path_factory.mktemp("whole") / "c.pth"
    return run(*gpt, "--nproc", RANKS, "--eval-every", 5, "--checkpoint", path)[0], path


def losses(printed):
    """Return {step: training loss}."""
    return {int(step): float(loss) for step, loss in re.findall(r"^step (\d+) .* loss ([\d.]+) .*/s$", printed, re.M)}


def rates(printed):
    """Return {step: learning rate}, as printed."""
    return dict(re.findall(r"^step (\d+) .* rate (\S+) ", printed, re.M))


def wanted_rates(steps, total_steps, warmup_steps, peak_lr, low=1e-6):
    """Return the course's {step: learning rate}; the script counts steps from 1."""
    return {str(step): f"{course.learning_rate_at(step - 1, total_steps, warmup_steps, peak_lr, low, low):.2e}"
            for step in steps}


def evaluations(printed):
    return [float(loss) for loss in re.findall("validation loss (.*)", printed)]


def final(path):
    """Return all numbers of a checkpoint: the model's and the optimizer's tensors by name, steps and epochs."""
    checkpoint = torch.load(path, weights_only=True)
    states = checkpoint["optimizer_state_dict"]["state"]
    return {**checkpoint["model_state_dict"], **{(i, name): value for i in states for name, value in states[i].items()},
            "step": torch.tensor(checkpoint["step"]),
            **{name: torch.tensor(checkpoint["data_state_dict"][name]) for name in ("epoch", "examples")}}


def assert_same_bits(one, other):
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


# A script that starts ranks by forking, so that torch is imported once and not anew for each of them.
FORKING = """
import os, random, sys, time
import torch, torch._dynamo
import torch.multiprocessing as mp
import ddp_script

def rank(number, options):
    os.environ.update(RANK=str(number), WORLD_SIZE=str(options.nproc), LOCAL_RANK=str(number))
    ddp_script.run_rank(options)

def fork_ranks(options):
    return mp.start_processes(rank, (options,), options.nproc, join=False, start_method="fork")

def finish(ranks):
    while not ranks.join():
        pass

torch.set_num_threads(1)
options = ddp_script.parse(sys.argv[1:])
"""


# A rank that says so when Python shuts its interpreter down.
WATCHING = """
import atexit, sys
import ddp_script

atexit.register(print, "the interpreter shuts down")
sys.exit(ddp_script.run_script())
"""


# -------------------- the toy network --------------------


@pytest.mark.slow
def test_the_toy_by_python_and_by_torchrun():
    default = {name: value for name, value in ENVIRONMENT.items() if name != "OMP_NUM_THREADS"}
    printed, complaints = run(environment=default)
    assert complaints == ""
    lines = [line for line in printed.splitlines() if line.startswith("[rank")]
    for rank in (0, 1):
        mine = [line.split(" | Train loss: ")[0] for line in lines if line.startswith(f"[rank {rank}]")]
        assert mine == [f"[rank {rank}] Epoch: 00{epoch}/003 | Batch size 002" for epoch in (1, 2, 3)]
    assert "training accuracy of all processes together: 1.00\ntest accuracy of all processes together: 1.00" in printed
    by_torchrun, _ = run("--device", "cpu", by=(*TORCHRUN, "2"))
    assert sorted(by_torchrun.splitlines()) == sorted(printed.splitlines())


# The book's last lines; then main in processes that end as Python does, where a thread of gloo left over would abort.
BOOK = """
import os, sys
import torch.multiprocessing as mp
from ddp_script import main

if __name__ == "__main__":
    mp.spawn(main, args=(2, 3), nprocs=2)
    for _ in range(5):
        children = []
        for rank in (0, 1):
            if (child := os.fork()) == 0:
                main(rank, 2, 1, "cpu")
                sys.exit()
            children.append(child)
        print("ended with", [os.waitpid(child, 0)[1] for child in children], flush=True)
"""


@pytest.mark.slow
def test_main_by_mp_spawn(tmp_path):
    (tmp_path / "book.py").write_text(BOOK)
    printed, _ = run(script=tmp_path / "book.py")
    assert len(re.findall(r"^\[rank [01]\] Epoch: 00[123]/003 ", printed, re.M)) == 6
    assert "test accuracy of all processes together: 1.00" in printed
    assert printed.count("ended with [0, 0]") == 5


def test_setup_and_dataset(monkeypatch):
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    monkeypatch.delenv("MASTER_PORT", raising=False)
    assert ddp_script.ddp_setup(0, 1, "cpu") == torch.device("cpu")
    try:
        assert (dist.get_rank(), dist.get_world_size(), dist.get_backend()) == (0, 1, "gloo")
        train_loader, test_loader = ddp_script.prepare_dataset()
        assert isinstance(train_loader.sampler, torch.utils.data.DistributedSampler)
        assert [len(labels) for _, labels in train_loader] == [2, 2]
        assert [(features.shape, labels.tolist()) for features, labels in test_loader] == [((2, 2), [0, 1])]
    finally:
        dist.destroy_process_group()
        del os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]


@pytest.mark.slow
def test_a_rank_ends_without_shutting_the_interpreter_down(tmp_path):
    """A thread of gloo that wakes up in an interpreter which shuts down aborts the process, once in ten runs."""
    (tmp_path / "watching.py").write_text(WATCHING)
    printed, complaints = run(by=(*TORCHRUN, "1"), script=tmp_path / "watching.py")
    assert printed.splitlines()[-1].startswith("all processes hold the same parameters")  # nothing after it
    assert "terminate called" not in complaints


@pytest.mark.slow
def test_more_processes_than_examples(tmp_path):
    script = tmp_path / "six.py"
    script.write_text(FORKING + "finish(fork_ranks(options))", encoding="utf-8")
    printed, _ = run("--nproc", 6, "--device", "cpu", "--epochs", 1, script=script)
    assert "6 processes share 5 examples: some examples are used more than once an epoch" in printed
    assert len(re.findall("Batch size 001", printed)) == 6
    accuracy = float(re.search("training accuracy .*: (.*)", printed)[1])
    assert accuracy in (0, 0.2, 0.4, 0.6, 0.8, 1)  # of five examples, not of six shares


# -------------------- pretraining --------------------


@pytest.mark.slow
def test_two_processes_learn_as_one_with_twice_the_batch(gpt, alone, tmp_path, capsys):
    settings = [*gpt, "--epochs", 2, "--dropout", 0, "--eval-every", 5]
    printed = {"two processes": run(*settings, "--nproc", 2, "--checkpoint", tmp_path / "two.pth")[0]}
    train_alone(*settings, "--batch-size", 4, "--checkpoint", tmp_path / "one.pth")
    printed["one process"] = capsys.readouterr().out
    train_alone(*settings, "--accumulate", 2, "--checkpoint", tmp_path / "accumulated.pth")
    printed["one process, two passes"] = capsys.readouterr().out

    assert "all processes hold the same parameters" in printed["two processes"]
    wanted = losses(printed["one process"])
    assert len(wanted) == 36
    assert wanted[20] < wanted[1] - 0.1  # it learns, so the comparison means something
    for other in printed.values():
        assert losses(other) == pytest.approx(wanted, abs=1e-5)
        assert evaluations(other) == pytest.approx(evaluations(printed["one process"]), abs=1e-5)
    one, two = (torch.load(tmp_path / name, weights_only=True)["model_state_dict"] for name in ("one.pth", "two.pth"))
    torch.testing.assert_close(one, two, atol=1e-4, rtol=0)


KILLING = FORKING + """
chance, step, screen = random.Random(123), 0, os.dup(1)
for attempt in range(10):
    step += chance.randint(2, 3)  # at least one checkpoint further than the last time
    reader, writer = os.pipe()
    os.dup2(writer, 1)
    os.close(writer)
    ranks = fork_ranks(options)
    os.dup2(screen, 1)  # the ranks alone hold the pipe now: if they end by themselves, so do the lines
    with open(reader, encoding="utf-8") as lines:
        if not any(line.startswith(f"step {step} ") for line in lines):
            sys.exit(f"attempt {attempt} ended before step {step}")
    time.sleep(chance.uniform(0, 0.1))
    for process in ranks.processes:
        process.kill()
    for process in ranks.processes:
        process.join()
    print(f"killed with {[process.exitcode for process in ranks.processes]}", flush=True)
print("saved at step", torch.load(options.checkpoint, weights_only=True)["step"], flush=True)
finish(fork_ranks(options))
"""


@pytest.mark.slow
def test_ten_kills_leave_no_trace(gpt, whole, tmp_path):
    script = tmp_path / "killing.py"
    script.write_text(KILLING, encoding="utf-8")
    printed, _ = run(*gpt, "--nproc", RANKS, "--eval-every", 5, "--checkpoint-every", 2, "--checkpoint",
                     tmp_path / "c.pth", "--resume", script=script)
    assert printed.count("killed with [-9, -9, -9]") == 10
    saved = int(re.search(r"saved at step (\d+)", printed)[1])
    assert 20 <= saved < STEPS
    assert losses(printed) == {step: loss for step, loss in losses(whole[0]).items() if step > saved}
    assert_same_bits(final(tmp_path / "c.pth"), final(whole[1]))


# Saving takes long, and nobody ends it.
SLOW = """
import sys, time
import ddp_script

def save_slowly(*arguments):
    time.sleep(3)
    save(*arguments)

save, ddp_script.course.save_checkpoint = ddp_script.course.save_checkpoint, save_slowly
sys.exit(ddp_script.run_script())
"""


@pytest.mark.slow
def test_sigterm_saves_and_stops_and_torchrun_goes_on(gpt, whole, tmp_path):
    settings = [*gpt, "--checkpoint-every", 0, "--eval-every", 5, "--checkpoint", tmp_path / "c.pth"]
    script = tmp_path / "slow.py"
    script.write_text(SLOW, encoding="utf-8")
    process = start(*settings, "--nproc", RANKS, script=script, by=("nohup", *PYTHON))
    read_until(process, "step 3 ")
    process.send_signal(signal.SIGHUP)  # as when its terminal is closed: nohup means to outlive that
    read_until(process, "step 5 ")
    process.send_signal(signal.SIGTERM)
    printed, complaints = process.communicate(timeout=60)
    assert (process.returncode, complaints) == (143, "")
    step = int(re.search(r"stopped by SIGTERM after step (\d+); add --resume to go on", printed)[1])
    assert 5 <= torch.load(tmp_path / "c.pth", weights_only=True)["step"] == step < STEPS
    assert_nothing_is_left(tmp_path / "c.pth")
    printed, _ = run(*settings, "--resume", by=(*TORCHRUN, RANKS))
    assert f"going on after step {step}" in printed
    assert_same_bits(final(tmp_path / "c.pth"), final(whole[1]))


@pytest.mark.slow
def test_a_checkpoint_opens_in_the_course(whole):
    saved = torch.load(whole[1], weights_only=True)
    model = course.GPTModel(saved["data_state_dict"]["run"]["model"])
    optimizer = torch.optim.AdamW(model.parameters())
    with torch.random.fork_rng():
        assert course.load_checkpoint(whole[1], model, optimizer) == STEPS
        assert torch.equal(torch.get_rng_state(), saved["rng_state"])
    assert torch.equal(model.out_head.weight, final(whole[1])["out_head.weight"])
    assert optimizer.state[model.out_head.weight]["step"] == STEPS


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_processes_and_learning_rate(gpt, alone, whole, tmp_path, capsys):
    path = tmp_path / "c.pth"
    shutil.copy(whole[1], path)
    assert rates(whole[0]) == wanted_rates(range(1, STEPS + 1), STEPS, STEPS // 10, 0.002)
    train_alone(*gpt, "--epochs", 4, "--lr", 0.001, "--checkpoint", path, "--resume")
    printed = capsys.readouterr().out
    assert f"going on after step {STEPS}" in printed
    assert min(losses(printed)) == STEPS + 1
    total = STEPS + 37  # 74 examples by a process alone, two per step
    assert rates(printed) == wanted_rates(range(STEPS + 1, total + 1), total, total // 10, 0.001)
    last = torch.load(path, weights_only=True)["optimizer_state_dict"]["param_groups"][0]["lr"]
    assert last == course.learning_rate_at(total - 1, total, total // 10, 0.001)


def test_the_rate_rises_and_falls(gpt, alone, tmp_path, capsys):
    settings = [*gpt, "--epochs", 1, "--batch-size", 6, "--warmup-steps", 4, "--min-lr", 1e-4]
    train_alone(*settings, "--checkpoint", tmp_path / "c.pth")
    printed = rates(capsys.readouterr().out)
    assert printed == wanted_rates(range(1, 13), 12, 4, 0.002, low=1e-4)
    assert (printed["1"], printed["5"]) == ("1.00e-04", "2.00e-03")
    with pytest.raises(ddp_script.SettingsError, match="--warmup-steps 13: this run has 12 steps"):
        train_alone(*settings, "--warmup-steps", 13, "--checkpoint", tmp_path / "d.pth")


@pytest.mark.parametrize("passes", [1, 2])
def test_gradients_are_clipped_to_a_norm_of_one(alone, passes):
    torch.manual_seed(123)
    model = torch.nn.Sequential(torch.nn.Embedding(8, 4), torch.nn.Linear(4, 8))
    with torch.no_grad():
        model[1].weight.mul_(100)
    before = [parameter.clone() for parameter in model.parameters()]
    batch = torch.arange(8)[None], torch.arange(8).flip(0)[None]
    sgd = torch.optim.SGD(model.parameters(), lr=1.0)
    ddp_script.train_step(ddp_script.DistributedDataParallel(model), sgd, [batch] * passes, False, torch.device("cpu"))
    moves = [parameter - old for parameter, old in zip(model.parameters(), before, strict=True)]
    assert torch.nn.utils.get_total_norm(moves).item() == pytest.approx(1, abs=1e-4)


def test_a_run_goes_on_with_steps_larger_than_the_rest_of_the_epoch(alone):
    options = ddp_script.parse(GPT)
    progress = {"step": 4, "epoch": 0, "examples": 16}
    steps = list(ddp_script.remaining_steps(range(0, 180, 10), progress, 8, options))
    assert [len(set(starts)) for starts in steps] == [8, 8] * 2
    assert progress == {"step": 8, "epoch": 3, "examples": 0}


def test_a_run_goes_on_with_another_number_of_processes_where_it_was(alone, monkeypatch):
    """Every example of an epoch comes once, also if two processes began it and three finish it."""
    def steps(world_size, progress, stop):
        monkeypatch.setattr(dist, "get_world_size", lambda: world_size)
        for rank in range(world_size):
            monkeypatch.setattr(dist, "get_rank", lambda rank=rank: rank)
            yield from list(ddp_script.remaining_steps(range(30), dict(progress), 6, options))[:stop]

    options = ddp_script.parse([*GPT, "--epochs", "1"])
    begun = sum(steps(2, {"step": 0, "epoch": 0, "examples": 0}, 2), [])
    rest = sum(steps(3, {"step": 2, "epoch": 0, "examples": 12}, None), [])
    assert sorted(begun + rest) == list(range(30))


@pytest.mark.slow
def test_nothing_is_left_to_do(gpt, alone, whole, capsys):
    train_alone(*gpt, "--checkpoint", whole[1], "--resume")
    printed = capsys.readouterr().out
    assert losses(printed) == {}
    assert "nothing left to do: 3 of 3 epochs are done" in printed


@pytest.mark.parametrize("data", [None, SimpleNamespace(state_dict=lambda: {"num_ids": 1})])
def test_a_checkpoint_of_another_program_is_refused(gpt, alone, tmp_path, data):
    model = torch.nn.Linear(1, 1)
    course.save_checkpoint(tmp_path / "c.pth", model, torch.optim.AdamW(model.parameters()), data=data)
    with pytest.raises(ddp_script.SettingsError, match="c.pth is not a checkpoint of this script"):
        train_alone(*gpt, "--checkpoint", tmp_path / "c.pth", "--resume")


@pytest.mark.slow
@pytest.mark.parametrize(("change", "message"), [
    (["--seed", "7"], "has another seed: 123, this run has 7"),
    (["--size", "small"], "has another model"),
    (["--text", str(ROOT / "README.md")], "has another text"),
])
def test_a_checkpoint_of_another_run_is_refused(gpt, alone, whole, change, message):
    with pytest.raises(ddp_script.SettingsError, match=message):
        train_alone(*gpt, "--checkpoint", whole[1], "--resume", *change)


def test_resuming_without_a_checkpoint_starts(gpt, alone, tmp_path, capsys):
    train_alone(*gpt, "--epochs", 1, "--checkpoint", tmp_path / "folder" / "c.pth", "--resume")
    assert "c.pth does not exist: starting from the beginning" in capsys.readouterr().out
    assert (tmp_path / "folder" / "c.pth").exists()


@pytest.mark.slow
def test_bfloat16_learns_about_the_same(gpt, alone, whole, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(course, "compute_dtype", lambda device: torch.bfloat16)
    train_alone(*gpt, "--epochs", 1, "--batch-size", 6, "--dropout", 0, "--checkpoint", tmp_path / "32.pth")
    exact = losses(capsys.readouterr().out)
    train_alone(*gpt, "--epochs", 1, "--batch-size", 6, "--dropout", 0, "--bf16", "--checkpoint", tmp_path / "16.pth")
    rounded = losses(capsys.readouterr().out)
    assert rounded != exact
    assert rounded == pytest.approx(exact, abs=0.02)
    assert final(tmp_path / "16.pth")["out_head.weight"].dtype == torch.float32


# -------------------- what goes wrong --------------------

FAILING = """
import os, signal, sys
import ddp_script

def fail(*arguments):
    if ddp_script.dist.get_rank() == 1:
        WHAT
    return train_step(*arguments)

train_step, ddp_script.train_step = ddp_script.train_step, fail
sys.exit(ddp_script.run_script())
"""


@pytest.mark.slow
@pytest.mark.parametrize(("what", "status", "complaint"), [
    ('raise RuntimeError("out of luck")', 1, "[rank1]: RuntimeError: out of luck\n"),
    ("os.kill(os.getpid(), signal.SIGKILL)", -9, ""),
])
def test_a_failing_rank_ends_all(gpt, tmp_path, what, status, complaint):
    script = tmp_path / "failing.py"
    script.write_text(FAILING.replace("WHAT", what), encoding="utf-8")
    process = start(*gpt, "--nproc", 2, "--checkpoint", tmp_path / "c.pth", script=script)
    read_until(process, "2 processes")
    begin = time.monotonic()
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 1
    assert time.monotonic() - begin < 30
    assert complaints.count("[rank1]: Traceback (most recent call last):\n") == (status > 0)
    assert complaint in complaints
    assert f"1: {status}" in complaints.splitlines()[-1]
    assert_nothing_is_left(tmp_path / "c.pth")


@pytest.mark.slow
@pytest.mark.parametrize("importing", [True, False])
def test_ctrl_c_leaves_nothing_behind(gpt, tmp_path, importing):
    process = start(*gpt, "--nproc", 2, "--epochs", 99, "--checkpoint", tmp_path / "c.pth")
    if importing:
        while len(running(tmp_path / "c.pth")) < 3:
            time.sleep(0.05)
        time.sleep(0.5)
    else:
        read_until(process, "step 2 ")
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the whole group
    _, complaints = process.communicate(timeout=30)
    assert (process.returncode, complaints) == (130, "")
    assert_nothing_is_left(tmp_path / "c.pth")


@pytest.mark.slow
def test_a_killed_launcher_leaves_a_checkpoint_behind_and_nothing_else(gpt, tmp_path):
    process = start(*gpt, "--nproc", 2, "--epochs", 99, "--checkpoint", tmp_path / "c.pth")
    read_until(process, "step 2 ")
    process.kill()
    printed, complaints = process.communicate(timeout=30)
    step = int(re.search(r"stopped by SIGTERM after step (\d+)", printed)[1])
    assert torch.load(tmp_path / "c.pth", weights_only=True)["step"] == step
    assert complaints == ""
    assert_nothing_is_left(tmp_path / "c.pth", seconds=10)


# PyTorch for Windows lacks libuv, and its rank 0 opens the store without it.
WINDOWS = """
import sys
from types import SimpleNamespace
import torch.distributed.elastic.rendezvous.c10d_rendezvous_backend as backend
import torch.distributed.elastic.rendezvous.dynamic_rendezvous as dynamic
import torch.distributed.elastic.rendezvous.static_tcp_rendezvous as static
import torch.distributed.rendezvous as rendezvous
import ddp_script

class WithoutLibuv(ddp_script.dist.TCPStore):
    def __init__(self, *arguments, is_master=False, use_libuv=True, **keywords):
        assert not (is_master and use_libuv), "use_libuv was requested but PyTorch was built without libuv support"
        super().__init__(*arguments, is_master=is_master, use_libuv=False, **keywords)

for module in (backend, dynamic, static, rendezvous):
    module.TCPStore = WithoutLibuv
ddp_script.dist.TCPStore = WithoutLibuv
ddp_script.sys = SimpleNamespace(**{**vars(sys), "platform": "win32"})
sys.exit(ddp_script.run_script())
"""


@pytest.mark.slow
def test_the_processes_meet_without_libuv(tmp_path):
    (tmp_path / "windows.py").write_text(WINDOWS)
    printed, complaints = run(script=tmp_path / "windows.py", environment={**ENVIRONMENT, "USE_LIBUV": "0"})
    assert "all processes hold the same parameters" in printed
    assert complaints == ""


@pytest.fixture(params=["story", "whitespace"])
def text(request, story):
    if request.param == "story":
        return story
    parts = [" ", " ", "\n", "\n\n", "\t", "\xa0", "\x1c", "a", "word", "it's", "12", "!", "é", "<|endoftext|>"]
    return "".join(random.Random(123).choices(parts, k=5000)) + "\n \n"


@pytest.mark.parametrize("size", [1, 7, 100, 1000])
def test_the_pieces_of_a_text_have_its_token_ids(text, size, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(text, encoding="utf-8")
    tokenizer = tiktoken.get_encoding("gpt2")
    pieces = list(ddp_script.read_pieces(path, size))
    assert "".join(pieces) == text
    assert len(pieces) > len(text) / max(size, 10) / 3
    assert max(map(len, pieces)) < size + 200
    ids = [token for piece in pieces for token in tokenizer.encode(piece, allowed_special="all")]
    assert ids == tokenizer.encode(text, allowed_special="all")


def test_a_text_is_encoded_once(story, tmp_path, monkeypatch):
    text, folder = tmp_path / "text.txt", tmp_path / "cache"
    text.write_text(story, encoding="utf-8")
    folder.mkdir()
    path, _ = ddp_script.encode_once(text, folder)
    ids = np.fromfile(path, dtype=np.uint16).tolist()
    assert ids == tiktoken.get_encoding("gpt2").encode(story)

    class Failing:
        def encode_to_numpy(self, piece, allowed_special):
            raise KeyboardInterrupt

    monkeypatch.setattr(ddp_script.tiktoken, "get_encoding", lambda name: Failing())
    assert ddp_script.encode_once(text, folder)[0] == path  # not encoded again
    text.write_text(story[1:], encoding="utf-8")
    with pytest.raises(KeyboardInterrupt):
        ddp_script.encode_once(text, folder)
    assert list(folder.iterdir()) == [path]  # no half of another
    assert np.fromfile(path, dtype=np.uint16).tolist() == ids


def test_the_last_tenth_is_for_validation(gpt, alone, tmp_path):
    options = ddp_script.parse([*map(str, gpt), "--checkpoint", str(tmp_path / "c.pth")])
    ids = tiktoken.get_encoding("gpt2").encode(options.text.read_text(encoding="utf-8"))
    split = int(0.9 * len(ids))
    on_disk, training, validation, _ = ddp_script.read_text(options)
    for starts, part in [(training, ids[:split]), (validation, ids[split:])]:
        count = (len(part) - 1) // 16
        inputs, targets = (part.flatten().tolist() for part in on_disk.windows(starts))
        assert (inputs, targets) == (part[: count * 16], part[1 : count * 16 + 1])


def test_settings_that_the_text_does_not_allow(gpt, alone, tmp_path):
    text = tmp_path / "short.txt"
    text.write_text("It was not much of a story. " * 60, encoding="utf-8")
    with pytest.raises(ddp_script.SettingsError, match="gives 26 training examples of 16 tokens, one step takes 30"):
        train_alone(*gpt, "--text", text, "--batch-size", 30, "--checkpoint", tmp_path / "c.pth")
    with pytest.raises(ddp_script.SettingsError, match="short.txt: the last tenth has 4. tokens, an example 200"):
        train_alone(*gpt, "--text", text, "--context", 200, "--checkpoint", tmp_path / "c.pth")


@pytest.mark.slow
def test_wrong_settings_need_one_line(gpt, tmp_path):
    _, complaints = run(*gpt, "--nproc", 2, "--batch-size", 500, "--checkpoint", tmp_path / "c.pth", status=2)
    assert complaints == ("ddp_script.py: error: the text gives 74 training examples of 16 tokens, one step takes "
                          "1000: use a longer text, fewer processes, or smaller batches\n")


@pytest.mark.parametrize(("arguments", "message"), [
    (["--nproc", "0"], "--nproc must be at least 1, got 0"),
    (["--lr", "0", "--min-lr", "0"], "--lr must be above 0 and --min-lr between 0 and --lr, got 0.0 and 0.0"),
    (["--lr", "1e-7"], "--lr must be above 0 and --min-lr between 0 and --lr, got 1e-07 and 1e-06"),
    (["--warmup-steps", "-1"], "--warmup-steps must be at least 0, got -1"),
    (["--dropout", "1"], "--dropout must be at least 0 and below 1, got 1.0"),
    (["--task", "gpt", "--text", "nothing.txt"], "--text nothing.txt: there is no such file"),
    (["--task", "gpt", "--checkpoint", SCRIPT], "exists: add --resume to go on from it, or name another --checkpoint"),
    (["--task", "gpt", "--checkpoint", str(ROOT / "README.md" / "c.pth")], "nothing can be written to"),
    (["--device", "cuda", "--nproc", "1000"], "1000 processes need as many GPUs"),
    (["--epochs", "2", "--bf16"], "--bf16 belongs to --task gpt"),
])
def test_options_that_cannot_be(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        ddp_script.parse(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_torchrun_decides_on_the_processes(monkeypatch, capsys):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert ddp_script.parse(["--device", "cpu"]).nproc == 3
    with pytest.raises(SystemExit):
        ddp_script.parse(["--device", "cpu", "--nproc", "2"])
    assert "leave --nproc out" in capsys.readouterr().err


def test_bfloat16_is_not_used_where_it_is_slower(gpt, alone, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(course, "compute_dtype", lambda device: torch.float32)
    printed = []
    for number, extra in enumerate(([], ["--bf16"])):
        train_alone(*gpt, "--epochs", 1, "--batch-size", 6, *extra, "--checkpoint", tmp_path / f"{number}.pth")
        printed.append(capsys.readouterr().out)
    assert losses(printed[0]) == losses(printed[1])
    assert "bfloat16" not in printed[0]
    assert printed[1].count("bfloat16 is not faster on this machine: computing in float32\n") == 1


@pytest.mark.parametrize(("extra", "wanted"), [(["--eval-batches", 2], 2), (["--eval-batches", 0], 4), ([], 4)])
def test_an_evaluation_takes_so_many_batches(gpt, alone, tmp_path, monkeypatch, extra, wanted):
    calls = []

    def counted(inputs, targets, model, device):
        calls.append(torch.is_grad_enabled())
        return calc_loss_batch(inputs, targets, model, device)

    calc_loss_batch = course.calc_loss_batch
    monkeypatch.setattr(course, "calc_loss_batch", counted)
    train_alone(*gpt, "--epochs", 1, "--eval-every", 0, *extra, "--checkpoint", tmp_path / "c.pth")
    assert calls.count(False) == wanted


def test_sigterm_is_noticed_during_evaluation(gpt, alone, tmp_path, monkeypatch, capsys):
    def stopped(inputs, targets, model, device):
        if not torch.is_grad_enabled():
            evaluated.append(1)
            signal.raise_signal(signal.SIGTERM)
        return calc_loss_batch(inputs, targets, model, device)

    evaluated, calc_loss_batch = [], course.calc_loss_batch
    monkeypatch.setattr(course, "calc_loss_batch", stopped)
    options = ddp_script.parse([*map(str, [*gpt, "--eval-every", 5, "--checkpoint", tmp_path / "c.pth"])])
    assert not ddp_script.train_gpt(options, torch.device("cpu"))
    assert len(evaluated) == 1
    printed = capsys.readouterr().out
    assert "stopped by SIGTERM after step 5; add --resume to go on" in printed and "validation loss" not in printed
    assert torch.load(tmp_path / "c.pth", weights_only=True)["step"] == 5
