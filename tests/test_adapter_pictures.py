"""The pictures of LoRA show the numbers that they were given, and results that follow from them."""

import pytest
import torch
from matplotlib.text import Text
from torch import nn

import adapter_pictures as pictures
import figures
import previous_chapters as course


def layer(rank=1, alpha=2, in_dim=4, out_dim=3):
    """Return a small layer with LoRA whose numbers have one decimal."""
    torch.manual_seed(rank)
    layer = course.LinearWithLoRA(nn.Linear(in_dim, out_dim, bias=False), rank, alpha)
    with torch.no_grad():
        for part in (layer.linear.weight, layer.lora.A, layer.lora.B):
            part.copy_(torch.randint(-9, 10, part.shape) / 10)
    return layer


LEVELS = torch.tensor([0, 15, *range(3, 13), *range(5, 11), *range(6, 10), 7, 7, 8, 8, 8, 7, 6, 9, 7, 8])
PICTURES = {
    "beside": lambda: pictures.beside(layer(), "alt", row=1),
    "beside of rank 2": lambda: pictures.beside(layer(2, 1), "alt", column=2),
    "packed_block": lambda: pictures.packed_block(LEVELS * 0.012 - 0.1, 0.012, -0.1, "alt"),
}


@pytest.fixture
def draw(monkeypatch):
    """Return a function that draws a picture and returns all that is written in it."""
    shown = []
    monkeypatch.setattr(figures, "show", lambda figure, alt: shown.append(figure))

    def draw(name):
        PICTURES[name]()
        return [text.get_text() for text in shown[-1].findobj(Text) if text.get_text()]

    return draw


@pytest.mark.parametrize(("name", "rank", "row", "column"), [("beside", 1, 1, 0), ("beside of rank 2", 2, 0, 2)])
def test_the_number_that_is_worked_out_is_right(draw, name, rank, row, column):
    texts = draw(name)
    sample = layer(rank, 3 - rank)
    (sentence,) = [text for text in texts if text.startswith("outlined:")]
    terms, result = sentence.removeprefix("outlined:").replace("−", "-").replace("·", "*").split("=")
    assert eval(terms) == pytest.approx(sample.merged_weight()[column, row].item(), abs=1e-6)
    assert float(result) == pytest.approx(eval(terms), abs=0.005)
    assert {f"4 × {rank}, trained", f"{rank} × 3, trained", "4 × 3, frozen"} <= set(texts)


def test_a_block_has_a_dot_for_each_weight(monkeypatch):
    shown = []
    monkeypatch.setattr(figures, "show", lambda figure, alt: shown.append(figure))
    PICTURES["packed_block"]()
    dots = [line for line in shown[0].axes[0].lines if line.get_marker() == "o"]
    assert len(dots) == len(LEVELS) == 32
    places = sorted({round(line.get_xdata()[0], 4) for line in dots})
    assert len(places) == len(set(LEVELS.tolist()))
    written = [text.get_text() for text in shown[0].findobj(Text)]
    assert {"−0.100", "0.080"} <= set(written)
