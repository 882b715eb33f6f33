"""What the tests share: the repository, the story, the golden values, and one trained model."""

import contextlib
import io
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent
os.environ["TIKTOKEN_CACHE_DIR"] = str(ROOT / "notebooks" / "data")
os.environ["TQDM_DISABLE"] = "1"  # tqdm reads it when it is imported, and torch imports tqdm

import torch  # noqa: E402

import previous_chapters as course  # noqa: E402
from exercises import TINY  # noqa: E402


@pytest.fixture(scope="session")
def story():
    """The text of the story."""
    return (ROOT / "the-verdict.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def golden():
    """The values that the course must reproduce, {id: value}."""
    entries = json.loads((ROOT / "tests" / "golden.json").read_text(encoding="utf-8"))
    return {entry["id"]: entry["value"] for entry in entries}


@pytest.fixture
def tiny_model():
    """A GPTModel that is small enough for every test to have its own, in train mode."""
    torch.manual_seed(0)
    return course.GPTModel(TINY)


@pytest.fixture(scope="session")
def loaders(story):
    """Return (training loader, validation loader) as chapter 5 makes them."""
    torch.manual_seed(123)
    split = int(0.9 * len(story))
    return (
        course.create_dataloader_v1(story[:split], batch_size=2, max_length=256, stride=256),
        course.create_dataloader_v1(story[split:], batch_size=2, max_length=256, stride=256, shuffle=False,
                                    drop_last=False),
    )


@pytest.fixture(scope="session")
def trained(loaders):
    """The 124M model after the ten epochs of chapter 5 (several minutes), with its losses and what it printed."""
    train_loader, val_loader = loaders
    torch.manual_seed(123)
    model = course.GPTModel({**course.GPT_CONFIG_124M, "context_length": 256})
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-4, weight_decay=0.1)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        train_losses, val_losses, tokens_seen = course.train_model_simple(
            model, train_loader, val_loader, optimizer, torch.device("cpu"), num_epochs=10, eval_freq=5, eval_iter=5,
            start_context="Every effort moves you",
        )
    return SimpleNamespace(model=model, train_losses=train_losses, val_losses=val_losses, tokens_seen=tokens_seen,
                           printed=printed.getvalue())


@pytest.fixture(scope="module")
def one_thread():
    """Keep models this small on one core: sharing the work takes longer than doing it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
