"""The training loop and its checkpoints: going on as if nothing had happened, and never losing a good file."""

import re
import subprocess
import sys
import time

import pytest
import torch
from tqdm import tqdm

import previous_chapters as course
from conftest import ROOT, TINY
from helpers import CPU, fresh, output_of, replace_everywhere, train_step

CONFIG = {**course.GPT_CONFIG_124M, "context_length": 16, "emb_dim": 8, "n_heads": 2, "n_layers": 1}

pytestmark = pytest.mark.usefixtures("one_thread")


def train(model, optimizer, steps):
    """Train on drawn batches, with dropout, so that everything random is in play."""
    model.train()
    return [train_step(model, optimizer, *torch.randint(0, TINY["vocab_size"], (2, 3, 8))) for _ in range(steps)]


@pytest.mark.parametrize("give_tokenizer", [True, False])
def test_the_log_is_what_is_returned(capsys, story, give_tokenizer):
    """And the tokenizer is by default the one of the dataset."""
    loader = course.create_dataloader_v1(story[:2000], batch_size=2, max_length=16, stride=16)
    torch.manual_seed(0)
    model = course.GPTModel(CONFIG)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    extra = [loader.dataset.tokenizer] if give_tokenizer else []
    train_losses, val_losses, tokens_seen = course.train_model_simple(
        model, loader, loader, optimizer, CPU, 2, 5, 1, "I HAD", *extra)
    printed = capsys.readouterr().out
    log = re.findall(r"^Ep (\d+) \(Step (\d{6})\): Train loss (\d+\.\d{3}), Val loss (\d+\.\d{3})$", printed, re.M)
    steps = range(0, 2 * len(loader), 5)
    assert [(int(epoch), int(step)) for epoch, step, _, _ in log] == [(step // len(loader) + 1, step) for step in steps]
    assert [float(loss) for _, _, loss, _ in log] == pytest.approx(train_losses, abs=6e-4)
    assert [float(loss) for _, _, _, loss in log] == pytest.approx(val_losses, abs=6e-4)
    samples = [line for line in printed.splitlines() if line.startswith("I HAD")]
    assert len(samples) == 2 and printed.splitlines()[-1] == samples[-1]  # one after each epoch
    assert tokens_seen == [32 * (step + 1) for step in steps]
    assert train_losses[-1] < train_losses[0]


def test_evaluation_uses_the_batches_it_is_told(story, capsys):
    """`eval_iter` counts batches: a function that ignored it would give the same losses for 1 and for all."""
    loader = course.create_dataloader_v1(story[:2000], batch_size=2, max_length=16, stride=16, shuffle=False)
    torch.manual_seed(0)
    model = course.GPTModel(CONFIG)
    losses = {n: course.evaluate_model(model, loader, loader, CPU, n) for n in (1, 3, 1000)}
    assert len({loss[0] for loss in losses.values()}) == 3
    assert losses[1000][0] == pytest.approx(losses[1000][1])


@pytest.mark.slow
@pytest.mark.parametrize("call", ["train_model_simple(*arguments)",
                                  "train_model(*arguments, loader.dataset.tokenizer, 2)"])
def test_training_shows_a_bar_with_loss_and_speed(call):
    """With a bar switched on, it is on stdout and holds what a waiting person wants to know."""
    printed = output_of(f"""
import torch, previous_chapters as course
text = open("the-verdict.txt", encoding="utf-8").read()[:1500]
loader = course.create_dataloader_v1(text, batch_size=2, max_length=16, stride=16)
model = course.GPTModel({CONFIG!r})
optimizer = torch.optim.AdamW(model.parameters())
arguments = model, loader, loader, optimizer, torch.device("cpu"), 1, 5, 1, "I HAD"
course.{call}
""", TQDM_DISABLE=None)
    assert "batch" in printed and "tokens/s" in printed and "loss" in printed


def test_a_batch_counts_by_its_examples(story):
    """Five texts in batches of four and one have the mean loss of the five, whatever the batches."""
    torch.manual_seed(0)
    model = course.GPTModel(TINY).eval()
    data = torch.utils.data.TensorDataset(*torch.randint(0, TINY["vocab_size"], (2, 5, 8)))
    losses = [course.calc_loss_loader(torch.utils.data.DataLoader(data, batch_size=size), model, CPU)
              for size in (5, 4, 1)]
    assert losses == pytest.approx([losses[0]] * 3, abs=1e-6)
    assert course.calc_loss_loader(torch.utils.data.DataLoader(data, batch_size=4), model, CPU, 1) != losses[0]


def test_plot_losses_draws_both_curves(monkeypatch):
    from notebooks import processes

    drawn = []
    monkeypatch.setattr(processes, "losses", lambda *arguments: drawn.append(arguments))
    course.plot_losses([0, 1, 2], [10, 20, 30], [3.0, 2.0, 1.0], torch.tensor([3.0, 2.5, 2.4]))
    course.plot_losses([0, 1, 2], [10, 20, 30], [3.0, 2.0, 1.0], [3.0, 2.5, 2.6])
    for (epochs, training, validation, xlabel, alt), middle in zip(drawn, (2.5, 2.5), strict=True):
        assert epochs == [0, 1, 2] and training == [3.0, 2.0, 1.0] and float(validation[1]) == middle
        assert xlabel == "epochs (30 tokens seen in all)"
        assert alt.startswith("The training loss starts at 3.0, the validation loss at 3.0; in the end the validation ")
    assert [alt.count("A dot marks the lowest") for *_, alt in drawn] == [0, 1]


def test_training_goes_on_to_the_last_digit(tmp_path):
    model, optimizer = fresh()
    train(model, optimizer, 3)
    course.save_checkpoint(tmp_path / "c.pth", model, optimizer, step=3)
    wanted = train(model, optimizer, 3)
    model, optimizer = fresh(seed=99)
    assert course.load_checkpoint(tmp_path / "c.pth", model, optimizer) == 3
    assert train(model, optimizer, 3) == wanted


class Place:
    """A place in the data, as far as a checkpoint cares."""

    def __init__(self, epoch):
        self.epoch = epoch

    def state_dict(self):
        return {"epoch": self.epoch}

    def load_state_dict(self, state):
        self.epoch = state["epoch"]


def test_the_place_in_the_data_is_kept(tmp_path):
    model, optimizer = fresh()
    course.save_checkpoint(tmp_path / "c.pth", model, optimizer, data=Place(3))
    place = Place(0)
    course.load_checkpoint(tmp_path / "c.pth", model, optimizer, place)
    assert place.epoch == 3
    course.save_checkpoint(tmp_path / "c.pth", model, optimizer)
    with pytest.raises(ValueError, match="without the place in the data"):
        course.load_checkpoint(tmp_path / "c.pth", model, optimizer, place)


def test_a_forgotten_optimizer_would_be_noticed(tmp_path):
    model, optimizer = fresh()
    train(model, optimizer, 3)
    course.save_checkpoint(tmp_path / "c.pth", model, optimizer)
    wanted = train(model, optimizer, 3)
    model, optimizer = fresh(seed=99)
    course.load_checkpoint(tmp_path / "c.pth", model, optimizer)
    assert train(model, torch.optim.AdamW(model.parameters(), lr=1e-2), 3) != wanted


def test_loading_weights_alone_leaves_the_random_state(tmp_path):
    model, optimizer = fresh()
    course.save_checkpoint(tmp_path / "c.pth", model, optimizer)
    model, optimizer = fresh(seed=7)
    before = torch.get_rng_state()
    course.load_checkpoint(tmp_path / "c.pth", model)
    assert torch.equal(before, torch.get_rng_state())
    course.load_checkpoint(tmp_path / "c.pth", model, optimizer)
    assert not torch.equal(before, torch.get_rng_state())


def test_a_file_with_weights_and_optimizer_alone_is_enough(tmp_path):
    """As the book saves them: no step, no random state."""
    model, optimizer = fresh()
    train(model, optimizer, 3)
    torch.save({"model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict()},
               tmp_path / "book.pth")
    torch.manual_seed(5)
    wanted = train(model, optimizer, 3)
    model, optimizer = fresh(seed=99)
    torch.manual_seed(5)
    assert course.load_checkpoint(tmp_path / "book.pth", model, optimizer) == 0
    assert train(model, optimizer, 3) == wanted


def test_a_failed_save_keeps_the_good_checkpoint(tmp_path, monkeypatch):
    model, optimizer = fresh()
    path = tmp_path / "c.pth"
    course.save_checkpoint(path, model, optimizer, step=1)
    good = path.read_bytes()

    def full_disk(checkpoint, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        course.save_checkpoint(path, model, optimizer, step=2)
    assert path.read_bytes() == good
    assert [file.name for file in tmp_path.iterdir()] == ["c.pth"]


@pytest.mark.slow
def test_a_killed_save_keeps_the_good_checkpoint(tmp_path):
    """Kill a process that saves again and again: whatever it was doing, the file under the name loads."""
    path = tmp_path / "c.pth"
    script = f"""
import torch, previous_chapters as course
model = course.GPTModel({CONFIG!r})
optimizer = torch.optim.AdamW(model.parameters())
for step in range(100_000):
    course.save_checkpoint({str(path)!r}, model, optimizer, step)
"""
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    for _ in range(600):
        if path.exists():
            break
        time.sleep(0.1)
    time.sleep(0.3)
    process.kill()
    process.wait()
    model = course.GPTModel(CONFIG)
    assert course.load_checkpoint(path, model, torch.optim.AdamW(model.parameters())) >= 0


def test_what_does_not_load_says_why(tmp_path):
    model, optimizer = fresh()
    with pytest.raises(FileNotFoundError, match="nothing.pth"):
        course.load_checkpoint(tmp_path / "nothing.pth", model)
    course.save_checkpoint(tmp_path / "c.pth", model, optimizer)
    with pytest.raises(RuntimeError, match="tok_emb.weight"):
        course.load_checkpoint(tmp_path / "c.pth", course.GPTModel({**TINY, "vocab_size": 61}))


def test_a_checkpoint_is_as_large_as_its_contents(tmp_path):
    model = course.GPTModel({**TINY, "context_length": 1024})  # masks of 1 MiB each, were they saved
    optimizer = torch.optim.AdamW(model.parameters())
    course.save_checkpoint(tmp_path / "c.pth", model, optimizer)
    weights = 4 * sum(p.numel() for p in model.parameters())
    assert (tmp_path / "c.pth").stat().st_size < weights + 100_000


def test_an_empty_start_context_stops_before_the_first_step(story):
    loader = course.create_dataloader_v1(story[:1000], batch_size=2, max_length=16, stride=16)
    model, optimizer = fresh()
    before = [parameter.clone() for parameter in model.parameters()]
    with pytest.raises(ValueError, match="start_context must have at least one token, got ''"):
        course.train_model_simple(model, loader, loader, optimizer, CPU, 1, 5, 1, "")
    assert all(map(torch.equal, before, model.parameters()))


def test_the_bars_speed_is_that_of_training_alone(story, monkeypatch):
    """On a clock of our own a step takes a second, an evaluation a minute and a sample an hour."""
    clock, shown = [0.0], []

    def taking(seconds, function):
        def timed(*arguments, **keywords):
            clock[0] += seconds
            return function(*arguments, **keywords)
        return timed

    for name, seconds in [("calc_loss_batch", 1), ("evaluate_model", 60), ("generate_and_print_sample", 3600)]:
        replace_everywhere(monkeypatch, name, taking(seconds, getattr(course, name)))
    replace_everywhere(monkeypatch, "calc_loss_loader", lambda *_, **__: 1.0)  # else its steps would be timed as well
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(tqdm, "set_postfix_str", lambda bar, text: shown.append(text))
    loader = course.create_dataloader_v1(story[:1000], batch_size=2, max_length=16, stride=16)
    model = course.GPTModel(CONFIG)
    optimizer = torch.optim.AdamW(model.parameters())
    course.train_model_simple(model, loader, loader, optimizer, CPU, 2, 2, 1, "I HAD")
    assert len(shown) == 2 * len(loader)
    assert {text.split(", ")[1] for text in shown} == {"32 tokens/s"}
