"""The pictures of a text and its tokenizer show the numbers that they were given."""

import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.patches import FancyBboxPatch

import tokenizer_pictures as pictures

SPEECHES = [(1800, "A One", 5000, "training"), (1801, "A One", 8000, "training"), (1912, "D Three", 60_000, "training"),
            (1860, "B C Two", 30_000, "validation"), (1861, "B C Two", 44_000, "validation"),
            (2010, "E Four", 40_000, "test"), (2014, "E Four", 41_000, "test")]
TABLE = pd.DataFrame([(year, name, "x" * size, part) for year, name, size, part in SPEECHES],
                     columns=["year", "speaker", "text", "part"])
CUTS = {"256": list(" tonight"), "4,096": [" to", "night"], "GPT-2": [" tonight"]}
SIZES = [256, 512, 1024]
SERIES = {"training": [1.0, 1.7, 2.2], "test": [1.0, 1.6, 1.9], "the story": [1.0, 1.55, 1.8]}
STARTS = {"random": [0.4, 0.9, 0.5], "mean of its pieces": [0.1, -0.2, 0.4]}
PICTURES = {
    "by_year": lambda: pictures.by_year(TABLE, "alt"),
    "agreement": lambda: pictures.agreement([0.1, 0.3, 0.9], [0.14, 0.28, 0.95], 128, 0.25, "alt"),
    "cuts": lambda: pictures.cuts(CUTS, "alt"),
    "bytes_by_size": lambda: pictures.bytes_by_size(SIZES, SERIES, 512, "alt"),
    "starts": lambda: pictures.starts(STARTS, "alt"),
}


def dots(figure):
    """Return the places of the dots of each series."""
    parts = figure.axes[0].collections
    return [part.get_offsets().tolist() for part in parts if isinstance(part, PathCollection)]


def test_each_address_is_a_dot_of_its_part(draw):
    figure, texts = draw("by_year")
    assert dots(figure) == [[[year, size / 1000] for year, _, size, own in SPEECHES if own == part]
                            for part in ("training", "validation", "test")]
    assert {"Two", "test"} <= set(texts) and "One" not in texts


def test_estimates_stand_above_what_they_estimate(draw):
    figure, texts = draw("agreement")
    assert dots(figure) == [[[0.1, 0.14], [0.3, 0.28], [0.9, 0.95]]]
    assert "copies from 0.25 on" in texts
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    assert max(y for x, y in band if x == 0.5) == pytest.approx(0.5 + 2 * (0.25 / 128) ** 0.5)


def test_the_same_letters_stand_below_each_other(draw):
    figure, texts = draw("cuts")
    assert {"8 tokens", "2 tokens", "1 tokens"} & set(texts) == {"8 tokens", "2 tokens"} and "1 token" in texts
    boxes = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in figure.axes[0].patches
             if isinstance(patch, FancyBboxPatch)]
    letters, halves, whole = boxes[:8], boxes[8:10], boxes[10:]
    assert [halves[0], halves[1]] == [pytest.approx((letters[0][0], letters[2][1])),
                                      pytest.approx((letters[3][0], letters[7][1]))]
    assert whole == [pytest.approx((letters[0][0], letters[7][1]))]


def test_the_lines_hold_the_bytes_per_token(draw):
    figure, texts = draw("bytes_by_size")
    lines = {line.get_label(): list(line.get_ydata()) for line in figure.axes[0].lines}
    assert {name: lines[name] for name in SERIES} == SERIES
    assert {"256", "512", "1,024", *SERIES} <= set(texts)


def test_the_mean_of_each_start_is_written_beside_its_dots(draw):
    figure, texts = draw("starts")
    assert {"+0.60", "+0.10", *STARTS} <= set(texts)
    assert [[x for x, _ in part] for part in dots(figure)] == list(STARTS.values())
