"""The pictures of a classifier show the numbers that they were given, and results that follow from them."""

from math import exp
from random import Random

import pytest
import torch
from matplotlib.collections import PathCollection
from matplotlib.text import Text
from torch import nn

import classification_pictures as pictures
import verdict_pictures

COUNTS, NEVER = [[194, 6], [12, 188]], [[200, 0], [200, 0]]
def wilson(right, total, z=1.96):
    middle, half = (right + z * z / 2) / (total + z * z), z * (right * (total - right) / total + z * z / 4) ** 0.5
    return middle - half / (total + z * z), middle + half / (total + z * z)


def scored(name, right, total=400):
    return (name, right, total, *wilson(right, total))


ROWS = ["without training", scored("asked in words", 236), scored("mean vector, nearest", 322), "trained",
        scored("counted words", 371), scored("new head alone", 382), scored("head and two blocks", 390)]
SIZES = [25, 50, 100, 200, 400, 800]
WORDS = [(right / 400, *wilson(right, 400)) for right in (248, 283, 318, 341, 356, 371)]
HEAD = [(right / 400, *wilson(right, 400)) for right in (306, 339, 358, 371, 378, 382)]
TUNED = [(right / 400, *wilson(right, 400)) for right in (271, 330, 364, 379, 386, 390)]
SERIES = {"counted words": WORDS, "new head alone": HEAD, "head and\ntwo blocks": TUNED}


def scores(sharp=1.0, seed=0):
    """Return probabilities of spam for 200 messages of ham and 200 of spam, and their labels."""
    draw = Random(seed)
    odds = [sharp * draw.gauss(mean, 2.2) for mean in (-4.4, 4.0) for _ in range(200)]
    return [1 / (1 + exp(-value)) for value in odds], [0] * 200 + [1] * 200


class Tower(nn.Module):
    """The parts of a model of language that a picture counts, with few numbers."""

    def __init__(self, blocks=30, vocabulary=4915, width=16):
        super().__init__()
        self.tok_emb, self.final_norm = nn.Embedding(vocabulary, width), nn.LayerNorm(width, bias=False)
        self.trf_blocks = nn.ModuleList(nn.Linear(width, 4 * width) for _ in range(blocks))


SAID, LABELS = scores()
MESSAGES = [["Win", " a", " free", " phone"], ["Lunch", " at", " one", "?"], ["See", " you"],
            ["You", " won", "!", " Call", " now", " to", " claim"]]
VECTORS = torch.tensor([[0.31, -0.52, 1.24], [0.82, 0.14, -0.43], [-0.64, 0.93, 0.57], [1.13, -0.21, 0.38]])
PICTURES = {
    "confusion": lambda: pictures.confusion(COUNTS, ["ham", "spam"], "alt"),
    "confusion of one verdict": lambda: pictures.confusion(NEVER, ["ham", "spam"], "alt"),
    "intervals": lambda: pictures.intervals(ROWS, "alt", mark="new head alone"),
    "intervals far above guessing": lambda: pictures.intervals([row for row in ROWS[4:] if row != "trained"], "alt"),
    "intervals of one name twice": lambda: pictures.intervals(
        ["mail", scored("new head", 382), "sentences", scored("new head", 236)], "alt"),
    "by_size": lambda: pictures.by_size(SIZES, SERIES, "alt"),
    "by_size in two panels": lambda: pictures.by_size(SIZES, {"the same kind of mail": SERIES, "other mail": {
        name: [(a - 0.06, b - 0.06, c - 0.06) for a, b, c in points] for name, points in SERIES.items()}}, "alt"),
    "thresholds": lambda: pictures.thresholds(SAID, LABELS, [0.1, 0.5, 0.99], "alt"),
    "thresholds of one": lambda: pictures.thresholds(scores(2.5)[0], LABELS, [0.5], "alt"),
    "thresholds near each other": lambda: pictures.thresholds(SAID, LABELS, [0.45, 0.5, 0.6], "alt"),
    "thresholds never reached": lambda: pictures.thresholds([0.2] * 20, [0] * 10 + [1] * 10, [0.5], "alt"),
    "calibration": lambda: pictures.calibration({"as trained": scores(2.0)[0], "divided by T = 1.8": scores(1.1)[0]},
                                                LABELS, "alt", wilson),
    "calibration of one": lambda: pictures.calibration(scores(2.5)[0], LABELS, "alt", wilson),
    "padded_batch": lambda: pictures.padded_batch(MESSAGES, 5, "pad", "alt"),
    "padded_batch with nothing cut": lambda: pictures.padded_batch(MESSAGES[:3], 6, "pad", "alt"),
    "seen_by": lambda: pictures.seen_by(MESSAGES[0], 2, "alt"),
    "new_head": lambda: pictures.new_head(Tower(), 2, None, "alt"),
    "new_head alone": lambda: pictures.new_head(Tower(), 0, None, "alt"),
    "new_head on fewer blocks": lambda: pictures.new_head(Tower(), 1, 20, "alt", head=nn.Linear(16, 2, bias=False)),
    "pooled": lambda: pictures.pooled(MESSAGES[0], VECTORS, 1, "alt"),
}


def test_shares_of_a_confusion_are_those_of_its_counts(draw):
    _, texts = draw("confusion")
    assert {"194", "6", "12", "188", "missed spam", "false alarms"} <= set(texts)
    assert {f"194 of 200 = {194 / 2:.1f}%", f"188 of 200 = {188 / 2:.1f}%", f"194 of 206 = {19400 / 206:.1f}%",
            f"188 of 194 = {18800 / 194:.1f}%", f"382 of 400 = {382 / 4:.1f}%"} <= set(texts)
    assert {"194 + 6 = 200 are ham", "6 + 188 = 194 called spam", "194 + 188 = 382 right"} <= set(texts)


def test_of_no_verdict_at_all_there_is_no_share(draw):
    assert {"0 + 0 = 0 called spam", "0 of 0", "0 of 200 = 0%", "200 of 200 = 100%"} <= set(
        draw("confusion of one verdict")[1])
    assert {"0 of 0", "10 of 10 = 100%", "0 of 10 = 0%"} <= set(draw("thresholds never reached")[1])


@pytest.mark.parametrize("kind", [list, torch.tensor])
def test_a_threshold_has_the_counts_of_both_classes(draw, kind):
    figure, texts = draw(lambda: pictures.thresholds(kind(SAID), kind(LABELS), kind([0.25, 0.75]), "alt"))
    for threshold in (0.25, 0.75):
        called = [label for p, label in zip(SAID, LABELS, strict=True) if p >= threshold]
        caught, alarms = sum(called), len(called) - sum(called)
        for right, total in ((alarms, 200), (200 - caught, 200), (caught, len(called)), (caught, 200)):
            assert f"{right} of {total} = {100 * right / total:.1f}%" in texts
    dots = [part for part in figure.axes[0].collections if isinstance(part, PathCollection)]
    assert [len(part.get_offsets()) for part in dots] == [200, 200]
    lines = sorted({line.get_xdata()[0] for line in figure.axes[0].lines if line.get_linestyle() == "-"})
    behind = [[sum(x > line for x, _ in part.get_offsets()) for part in dots] for line in lines]
    assert behind == [[sum(p >= threshold for p in part) for part in (SAID[:200], SAID[200:])]
                      for threshold in (0.25, 0.75)]


def test_probabilities_of_nought_and_one_are_beside_the_axis(draw):
    _, texts = draw(lambda: pictures.thresholds([0.0, 1e-9, 0.5, 1.0], [0, 0, 1, 1], [0.5], "alt"))
    assert {"< 0.001%", "> 99.999%", "0 of 2 = 0%", "2 of 2 = 100%"} <= set(texts)
    with pytest.raises(ValueError, match=r"between 0.001% and 99.999%, got \[0.9999999\]"):
        pictures.thresholds(SAID, LABELS, [0.9999999], "alt")


def test_calibration_counts_the_messages_of_each_bin(draw):
    _, texts = draw("calibration of one")
    said = scores(2.5)[0]
    for low, high in ((0, 0.01), (0.01, 0.1), (0.5, 0.9), (0.9, 0.99), (0.99, 2)):
        inside = [(p, label) for p, label in zip(said, LABELS, strict=True) if low <= p < high]
        assert {f"{len(inside)}", f"{sum(label for _, label in inside)}"} <= set(texts)
    inside = [(p, label) for p, label in zip(said, LABELS, strict=True) if 0.9 <= p < 0.99]
    mean, share = sum(p for p, _ in inside) / len(inside), sum(label for _, label in inside) / len(inside)
    assert wilson(share * len(inside), len(inside))[1] < mean  # the interval misses what was said
    assert f"said {100 * mean:.1f}%,\nwas {100 * share:.1f}%" in texts and "no interval misses" not in str(texts)
    assert "no interval misses\nthe dashed line" in draw("calibration")[1]


def test_a_line_looks_the_same_in_all_panels(draw):
    figure, _ = draw(lambda: pictures.by_size(SIZES, {"mail": SERIES, "words": {"new head alone": HEAD}}, "alt"))
    looks = [{line.get_label(): (line.get_color(), line.get_marker()) for line in axis.lines} for axis in figure.axes]
    assert looks[0]["new head alone"] == looks[1]["new head alone"] != looks[0]["counted words"]


def test_intervals_stand_beside_their_points(draw):
    figure, texts = draw("intervals")
    low, high = wilson(382, 400)
    assert {"382 of 400", "95.5%", f"({100 * low:.1f} to {100 * high:.1f})", "trained", "new head alone", "guessing"
            } <= set(texts)
    assert "guessing" not in draw("intervals far above guessing")[1]
    assert "guessing" not in draw(lambda: pictures.intervals(ROWS, "alt", guess=None))[1]
    assert {"382 of 400", "236 of 400"} <= set(draw("intervals of one name twice")[1])
    marked = [text.get_text() for text in figure.findobj(Text) if text.get_weight() == "bold" and text.get_text()]
    assert set(marked) == {"without training", "trained", "new head alone", "382 of 400", "95.5%", "(93.0 to 97.1)"}


def test_all_lines_are_named_in_all_panels_at_their_sizes(draw):
    figure, texts = draw("by_size in two panels")
    assert all(texts.count(name) == 2 for name in SERIES) and {"the same kind of mail", "other mail"} <= set(texts)
    for axis in figure.axes:
        assert [label.get_text() for label in axis.get_xticklabels()] == [f"{size}" for size in SIZES]
        assert axis.get_ylim() == figure.axes[0].get_ylim()
    assert [line.get_ydata()[-1] for line in figure.axes[0].lines[:3]] == pytest.approx([92.75, 95.5, 97.5])


def test_places_are_spread_no_more_than_it_takes():
    assert verdict_pictures.spread([1, 5, 1.5], 1, 0, 9) == pytest.approx([0.75, 1.75, 5])
    assert verdict_pictures.spread([0, 0.2, 9], 1, 0, 9) == pytest.approx([0, 1, 9])
    assert verdict_pictures.spread([9, 9], 1, 0, 9) == pytest.approx([8, 9])


@pytest.mark.parametrize("share, text", [(0.94, "94.0%"), (0, "0%"), (1, "100%"), (0.9999, "99.99%"), (4e-5, "0.004%")])
def test_a_share_is_not_rounded_to_all_or_none(share, text):
    assert verdict_pictures.percent(share) == text


def test_the_parts_of_a_model_are_counted(draw):
    _, texts = draw("new_head")
    block = 16 * 64 + 64
    assert {f"{4915 * 16:,}", f"{28 * block:,}", f"{2 * block:,}", f"{16 * 2 + 2}", "blocks 1 to 28", "blocks 29 to 30",
            f"{2 * block + 16 + 34:,}", f"{4915 * 16 + 28 * block:,}", "old head, 16 → 4,915", "16 → 2"} <= set(texts)
    assert texts.count("trained") == 3 and texts.count("frozen") == 2
    assert draw("new_head alone")[1].count("trained") == 1
    _, texts = draw("new_head on fewer blocks")
    assert {"blocks 1 to 19", "block 20", "blocks 21 to 30", "not used", "32", f"{block + 16 + 32:,}"} <= set(texts)


def test_each_row_of_a_batch_is_as_long_as_the_others(draw):
    _, texts = draw("padded_batch")
    assert texts.count("pad") == 1 + 1 + 3 and {"4 + 1 = 5", "2 + 3 = 5", "5 + 0 = 5", "a batch: 4 × 5"} <= set(texts)
    assert texts.count("·to") == 1 and texts.count("·now") == 2  # what is cut stands outside, once
    figure, _ = draw("padded_batch")
    read = {text.get_text() for text in figure.findobj(Text) if text.get_color() == "white" and text.get_text()}
    assert read == {"·phone", "?", "·you", "·now"}


def test_only_the_last_token_has_seen_all_and_nothing_else(draw):
    _, texts = draw("seen_by")
    assert {"1 of 4", "3 of 4", "4 of 4, and nothing else: read here", "4 of 4 + 2 of padding"} <= set(texts)


def test_the_mean_follows_from_the_printed_vectors(draw):
    _, texts = draw("pooled")
    assert "(−0.52 + 0.14 + 0.93 + (−0.21)) ÷ 4 = 0.09" in texts and {"0.41", "0.44"} <= set(texts)
