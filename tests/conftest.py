"""What the tests share as fixtures: the story, the golden values, and a tiny model; see also helpers.py."""

import json
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
os.environ["TIKTOKEN_CACHE_DIR"] = str(ROOT / "notebooks" / "data")
os.environ["TQDM_DISABLE"] = "1"  # tqdm reads it when it is imported, and torch imports tqdm

import torch  # noqa: E402
from matplotlib.text import Text  # noqa: E402

import browser as chromium  # noqa: E402
import figures  # noqa: E402
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


@pytest.fixture(scope="module")
def browser():
    """A function that visits a web page in headless Chromium; see browser.py."""
    with chromium.start() as visit:  # for one module: Playwright's event loop would be in the way of others'
        yield visit


@pytest.fixture(scope="module")
def one_thread():
    """Keep models this small on one core: sharing the work takes longer than doing it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def draw(monkeypatch, request):
    """Return a function that draws one of a module's PICTURES, or what it is given, with all that is written in it."""
    shown = []
    monkeypatch.setattr(figures, "show", lambda figure, alt: shown.append(figure))

    def draw(name):
        request.module.PICTURES[name]() if isinstance(name, str) else name()
        return shown[-1], [text.get_text() for text in shown[-1].findobj(Text) if text.get_text()]

    return draw
