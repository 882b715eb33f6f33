"""The pictures of processes show what they are given, to one scale, in letters that can be read."""

from math import log

import pytest
import torch
from matplotlib.patches import Rectangle
from matplotlib.text import Text

import figures
import processes

WORDS = {"forward": 0.6, "toward": 0.3, "pizza": 0.1}
FRAMES = [processes.Frame(["every"], {"effort": 0.75, **{f"word{i}": 0.025 for i in range(10)}}, "effort"),
          processes.Frame(["every", "effort"], {f"word{i}": 1 / 20 for i in range(20)}, "word19")]
NOTES = dict.fromkeys(["token embedding", "position embedding", "layer norm", "attention", "feed forward",
                       "output head"], "38,597,376 parameters")
LOGITS = torch.tensor([[1.0, 2.0, 0.5, 0.0], [0.0, 0.0, 0.0, 0.0]])
PICTURES = {
    "next_token_loop": lambda: processes.next_token_loop(FRAMES, "model", ["all", "softmax", "draw"], "alt", seen=1),
    "stream": lambda: processes.stream(NOTES, 12, "alt"),
    "block": lambda: processes.stream(NOTES, 12, "alt", {"stream": (2, 4, 768), "attention": (2, 4, 768)}, whole=False),
    "depths": lambda: processes.depths({"plain": {"a": [1, 2, 4], "b": [1, 0.1, 0.01]}}, "layers", "size", "alt"),
    "normalising": lambda: processes.normalising(torch.tensor([0.0, 0.0, 3.0]), 1.0, 1.4142, "alt"),
    "cross_entropy_steps": lambda: processes.cross_entropy_steps(["every", "I"], LOGITS, torch.tensor([1, 3]),
                                                                 ["effort", "like"], "alt"),
    "surprise": lambda: processes.surprise(50257, 10.794, "alt"),
    "circle": lambda: processes.circle([("batch", "2 × 256"), ("loss", "10.97"), ("step", "")], ["a", "b", "c"],
                                       "turn 1", "alt"),
    "losses": lambda: processes.losses([1, 2, 3], [3, 2, 1], [3, 2.5, 2.8], "epochs", "alt"),
    "choosing": lambda: processes.choosing([processes.Odds("now", WORDS), processes.Odds("cut", WORDS, cut=["pizza"])],
                                           ["cut"], "alt"),
}


@pytest.fixture
def draw(monkeypatch):
    """Return a function that draws a picture and returns its one or more axes."""
    shown = []
    monkeypatch.setattr(figures, "show", lambda figure, alt: shown.append(figure))

    def draw(picture):
        picture()
        return shown[-1].axes

    return draw


def texts(axes):
    return [text.get_text() for axis in axes for text in axis.findobj(Text)]


def widths(axes, colour):
    return [patch.get_width() for axis in axes for patch in axis.findobj(Rectangle)
            if patch.get_facecolor() == processes_colour(colour)]


def processes_colour(colour):
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)) + (1.0,)


@pytest.mark.parametrize("name", PICTURES)
def test_letters_are_large_and_black(name, draw):
    for axis in draw(PICTURES[name]):
        for text in axis.findobj(Text):
            if text.get_text():
                assert text.get_fontsize() >= 10, text
                assert text.get_color() in ("black", figures.readable(processes.CHOSEN)), text


def test_bars_are_to_one_scale_and_nothing_is_lost(draw):
    axes = draw(PICTURES["next_token_loop"])
    chance, others, chosen = (widths(axes, colour) for colour in (processes.CHANCE, processes.TOKEN, processes.CHOSEN))
    full = chosen[0] / 0.75
    assert len(chance) == 9 + 10 and len(others) == 1 and len(chosen) == 2
    assert chance == pytest.approx([0.025 * full] * 9 + [0.05 * full] * 10)
    assert others + chosen[1:] == pytest.approx([0.025 * full, 0.5 * full])  # word19 is one of the others
    assert {"1 other", "10 others", "0.750", "0.500"} <= set(texts(axes))


def test_counts_are_written_as_fractions(draw):
    frame = processes.Frame(["I"], {"had": 0.75, "was": 0.25}, "had", total=4)
    assert {"3/4 = 0.750", "1/4 = 0.250"} <= set(texts(draw(
        lambda: processes.next_token_loop([frame], "counts", ["all", "÷ total", "draw"], "alt"))))


def test_what_the_others_have_is_what_the_printed_numbers_leave_of_1(draw):
    chances = {f"word{i}": 0.0604 for i in range(10)} | {f"rare{i}": 0.0396 for i in range(10)}
    frame = processes.Frame(["I"], chances, "word0")
    shown = texts(draw(lambda: processes.next_token_loop([frame], "model", ["all", "softmax", "draw"], "alt")))
    assert shown.count("0.060") == 10 and "0.400" in shown


def test_a_frame_goes_on_from_the_one_before():
    frames = [FRAMES[0], processes.Frame(["every", "pizza"], {"you": 1.0}, "you")]
    with pytest.raises(ValueError, match="must be that of the frame before and 'effort'"):
        processes.next_token_loop(frames, "model", ["all", "softmax", "draw"], "alt")


def test_surprises_and_their_mean(draw):
    shown = texts(draw(PICTURES["cross_entropy_steps"]))
    surprises = torch.nn.functional.cross_entropy(LOGITS, torch.tensor([1, 3]), reduction="none").tolist()
    assert {f"{surprise:.3f}" for surprise in surprises} <= set(shown)
    assert f"mean of all: the loss now, {sum(surprises) / 2:.2f}" in shown
    assert f"guessing would have {log(4):.2f}" in shown


def test_what_is_cut_is_struck_out(draw):
    axes = draw(PICTURES["choosing"])
    assert [patch.get_hatch() for patch in axes[0].findobj(Rectangle) if patch.get_hatch()] == ["////"]
    assert texts(axes).count("cut") == 3  # the arrow, the stage, the word
    with pytest.raises(ValueError, match="the same words"):
        processes.choosing([processes.Odds("now", WORDS), processes.Odds("then", {"you": 1.0})], ["cut"], "alt")


def test_the_lowest_validation_loss_is_marked(draw):
    assert "lowest validation loss: 2.50" in texts(draw(PICTURES["losses"]))
