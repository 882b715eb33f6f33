"""The pictures of following instructions show the examples that they were given, and what is counted in them."""

from random import Random

import pytest
import torch
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle
from matplotlib.text import Text

import figures
import instruction_pictures as pictures
from test_classification_pictures import wilson

START, END = "<|im_start|>", "<|im_end|>"
TEXT = [START, "user", "\n", "Make", " it", " plural", ":", " leaf", END, "\n", START, "assistant", "\n", "The",
        " plural", " of", " leaf", " is", " leaves", ".", END]
TOKENS, TARGETS = TEXT[:-1], TEXT[1:]
LEARNED = [place >= 12 for place in range(len(TARGETS))]
PAD = 50256
IDS = [[818, 262, 3280, 25, 383], [1212, 318, 257], [38, 12]]
PADDED = [row + [PAD] * (6 - len(row)) for row in IDS]
SHIFTED = [row[1:] + [PAD] for row in PADDED]
KEPT = [[value if i <= row.index(PAD) else -100 for i, value in enumerate(row)] for row in SHIFTED]
STEPS = [("ids of three examples", IDS, "each of its own length"),
         ("padded", PADDED, "the end of the text,\nuntil all rows are as long"),
         ("targets", SHIFTED, "one place on:\nwhat comes next"),
         ("targets, filler ignored", KEPT, "−100 for filler;\nthe first end is learned")]


def lengths(count=48, seed=0):
    draw = Random(seed)
    return [min(180, 22 + int(draw.expovariate(1 / 28))) for _ in range(count)]


def batches(found):
    return [found[i : i + 8] for i in range(0, len(found), 8)]


AS_THEY_COME, POOLS = lengths(), sorted(lengths()[:24]) + sorted(lengths()[24:])
ORDERS = [("as they come", batches(AS_THEY_COME)), ("sorted within pools of 24", batches(POOLS)),
          ("sorted", batches(sorted(AS_THEY_COME)))]
KINDS = ["opposite", "plural", "past tense", "rhyme", "capital city", "sum of two numbers", "larger number",
         "spell backwards", "count the letters", "first letter", "sort the words", "correct the spelling",
         "make polite", "true or false", "odd one out", "translate a word", "name the colour", "complete the proverb"]


def scored(before, after, total):
    return total, [(right, *wilson(right, total)) for right in (before, after)]


def kinds():
    draw, rows = Random(1), []
    for place, kind in enumerate(KINDS):
        after = round((0.98 - 0.05 * place) * 40)
        rows.append((kind, *scored(max(0, after - draw.choice([-2, 0, 3, 9, 16, 25])), after, 40)))
    return [*rows, ("all kinds", *scored(*(sum(row[2][i][0] for row in rows) for i in (0, 1)), 40 * len(KINDS)))]


ALPACA = [("Below is an instruction that describes a task. Write a response that appropriately completes the request."
           "\n\n### Instruction:\n", "template"), ("Make it plural.", "request"), ("\n\n### Input:\n", "template"),
          ("a leaf on the tree", "request"), ("\n\n### Response:\n", "template"),
          ("leaves on the trees<|endoftext|>", "answer")]
CHAT = [("<|im_start|>user\n", "template"), ("Make it plural.\n\na leaf on the tree", "request"),
        ("<|im_end|>\n<|im_start|>assistant\n", "template"), ("leaves on the trees<|im_end|>", "answer")]
PICTURES = {
    "learned_tokens": lambda: pictures.learned_tokens(TOKENS, TARGETS, LEARNED, "alt"),
    "learned_tokens of all": lambda: pictures.learned_tokens(TOKENS, TARGETS, [True] * len(TOKENS), "alt"),
    "learned_tokens in one line": lambda: pictures.learned_tokens(
        ["Q", ":", " 2", "+", "2", "\n", "4"], [":", " 2", "+", "2", "\n", "4", "<end>"], [False] * 5 + [True] * 2,
        "alt"),
    "collated": lambda: pictures.collated(STEPS, "alt"),
    "collated in three steps": lambda: pictures.collated(
        [(title, [row[:4] for row in rows], note) for title, rows, note in STEPS[1:]], "alt"),
    "batch_shapes": lambda: pictures.batch_shapes(ORDERS, "alt"),
    "by_kind": lambda: pictures.by_kind(kinds(), "alt"),
    "by_kind with all on top": lambda: pictures.by_kind(kinds()[-1:] + kinds()[:4], "alt", ("as it came", "trained")),
    "forms": lambda: pictures.forms([("Alpaca: 52 tokens", ALPACA), ("chat template: 31 tokens", CHAT)], "alt"),
}


def in_order(figure):
    """Return the texts of a picture as they are read: line after line, each from the left."""
    (axis,) = figure.axes
    return [text.get_text() for text in sorted(axis.texts, key=lambda text: (round(text.get_position()[1], 2),
                                                                             text.get_position()[0]))]


def cells(figure, **looks):
    """Return the rectangles of a picture that have such looks."""
    found = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    return [patch for patch in found if all(getattr(patch, f"get_{name}")() == look for name, look in looks.items())]


def test_each_token_stands_above_its_target_if_that_is_learned(draw):
    figure, texts = draw("learned_tokens")
    lines = "\n".join(in_order(figure)).split("read\n")[1:]
    read, targets = zip(*(line.split("target\n") for line in lines), strict=True)
    assert "".join(read).split() == [pictures.visible(token) for token in TOKENS]
    names = ["prompt: read, not learned", "answer: learned, to the end token"]
    below = [text for text in "".join(targets).splitlines() if text not in ["", *names]]
    assert below == ["−100"] * 12 + [pictures.visible(target) for target in TARGETS[12:]]
    assert [texts.count(name) for name in names] == [1, 1]
    assert len(cells(figure, facecolor=to_rgba(pictures.TARGET))) == len(TARGETS) - 12
    ends = sorted({(patch.get_x(), patch.get_x() + patch.get_width()) for patch in cells(figure)})
    assert ends[0][0] > 0.6 and ends[-1][1] <= pictures.WIDE


def test_what_is_learned_without_a_mask_is_said(draw):
    _, texts = draw("learned_tokens of all")
    assert "all of it is learned, the prompt as well" in texts and "−100" not in texts
    assert not any("answer" in text or "not learned" in text for text in texts)


def test_what_follows_the_answer_is_not_called_the_prompt(draw):
    _, texts = draw(lambda: pictures.learned_tokens(
        ["Q", "A", "<end>"], ["A", "<end>", "\n"], torch.tensor([False, True, False]), "alt"))
    assert texts.count("−100") == 2 and texts.count("prompt: read, not learned") == 1


def test_lines_hold_all_places_in_order_and_are_of_nearly_one_length():
    draw = Random(2)
    for count in (1, 7, 26, 60):
        widths = [draw.uniform(0.4, 1.2) for _ in range(count)]
        lines = pictures.wrapped(widths, 7.5)
        assert sum(lines, []) == [*range(count)]
        long = [sum(widths[place] for place in line) for line in lines]
        assert max(long) <= 7.5 and max(long) - min(long) < 2.4
    assert pictures.wrapped([9.0, 1.0], 7.5) == [[0], [1]]


def test_of_the_filler_the_first_of_each_row_ends_the_text(draw):
    figure, texts = draw("collated")
    assert texts.count("−100") == 1 + 3 + 4 + 1  # and one that explains
    assert len(cells(figure, hatch=pictures.FILLER["hatch"])) == (2 + 3) + (1 + 3 + 4) + 1
    assert len(cells(figure, linewidth=2.2)) == 3 * 3 + 1  # outlined
    assert len(cells(figure, facecolor=to_rgba(pictures.TARGET))) == 2 * (5 + 3 + 2)
    titles = {text.get_text(): text.get_color() for text in figure.findobj(Text)}
    assert [titles[title] == "black" for title, _, _ in STEPS] == [True, True, False, False]


def test_what_does_not_occur_is_not_explained(draw):
    _, texts = draw(lambda: pictures.collated(STEPS[:2], "alt"))
    assert {"end of the text", "filler"} <= set(texts) and "not learned" not in texts
    _, texts = draw(lambda: pictures.collated([("ids", [[5, 2], [7, 8]], "note")], "alt", pad=2, ignore=-1))
    assert texts.count("2") == 2 and "filler" not in texts


def test_targets_may_be_one_place_shorter_and_may_be_tensors(draw):
    steps = [("padded", torch.tensor(PADDED), ""), ("targets", torch.tensor(PADDED)[:, 1:], ""), ("a copy", PADDED, "")]
    figure, _ = draw(lambda: pictures.collated(steps[:2], "alt"))
    assert len(cells(figure, facecolor=to_rgba(pictures.TARGET))) == 5 + 3 + 2
    figure, _ = draw(lambda: pictures.collated(steps[::2], "alt"))
    assert not cells(figure, facecolor=to_rgba(pictures.TARGET))


def test_the_share_of_filler_follows_from_the_lengths(draw):
    figure, texts = draw("batch_shapes")
    for name, order in ORDERS:
        places = sum(8 * max(batch) for batch in order)
        filler = places - sum(AS_THEY_COME)
        assert {name, f"{filler:,} of {places:,} places", f"{100 * filler / places:.1f}% filler"} <= set(texts)
    bars = [patch.get_width() for patch in cells(figure, edgecolor=to_rgba("white"))]
    found = [length for _, order in ORDERS for batch in order for length in batch]
    assert [bar / bars[0] for bar in bars] == pytest.approx([length / found[0] for length in found])  # on one scale
    outlines = [patch.get_width() for patch in cells(figure, edgecolor=to_rgba(figures.EDGE))]
    assert [wide / bars[0] for wide in outlines] == pytest.approx(
        [max(batch) / found[0] for _, order in ORDERS for batch in order])


def test_batches_without_filler_have_none(draw):
    assert "0% filler" in draw(lambda: pictures.batch_shapes([("equal", [[7, 7], [9]])], "alt"))[1]


def test_dots_and_intervals_stand_at_their_shares(draw):
    rows = [("half, then all", 40, [(20, 0.35, 0.65), (40, 0.91, 1.0)]), ("none", 40, [(0, 0, 0.09), (0, 0, 0.09)]),
            ("all kinds", 80, [(20, 0.17, 0.35), (40, 0.39, 0.61)])]
    figure, texts = draw(lambda: pictures.by_kind(rows, "alt"))
    dots = [part.get_offsets()[:, 0].tolist() for part in figure.axes[0].collections]
    low, high = dots[1][0], dots[0][1]  # 0% and 100%
    shares = [[(x - low) / (high - low) for x in part] for part in dots]
    assert sum(shares, []) == pytest.approx([0.5, 1, 0, 0, 0.25, 0.5])
    bars = [line.get_xdata() for line in figure.axes[0].lines if line.get_linewidth() == 7]
    assert [(x - low) / (high - low) for ends in bars for x in ends] == pytest.approx([0.91, 1, 0, 0.09, 0.39, 0.61])
    assert {"20 → 40 of 40", "0 → 0 of 40", "20 → 40 of 80", "before", "after"} <= set(texts)
    bold = {text.get_text() for text in figure.findobj(Text) if text.get_weight() == "bold" and text.get_text()}
    assert bold == {"all kinds", "20 → 40 of 80"}


def test_kinds_stand_in_the_callers_order(draw):
    figure, _ = draw("by_kind")
    assert [text for text in in_order(figure) if text in {*KINDS, "all kinds"}] == [*KINDS, "all kinds"]
    figure, texts = draw("by_kind with all on top")
    assert [text for text in in_order(figure) if text in {*KINDS, "all kinds"}] == ["all kinds", *KINDS[:4]]
    assert {"as it came", "trained"} <= set(texts)


@pytest.mark.parametrize("most", [8, 21, 40])
def test_a_text_is_cut_into_lines_and_nothing_is_lost(most):
    pieces = pictures.pieces(ALPACA, most)
    assert "".join(text for *_, text, _ in pieces).replace("⏎", "\n") == "".join(text for text, _ in ALPACA)
    for role in pictures.ROLES:
        assert "".join(text for *_, text, kind in pieces if kind == role).replace("⏎", "\n") == "".join(
            text for text, kind in ALPACA if kind == role)
    assert max(column + len(text) for _, column, text, _ in pieces) <= most
    if most > 30:  # longer than every word
        ends = {row: text for row, _, text, _ in pieces}
        assert all(text.endswith((" ", "⏎")) for row, text in ends.items() if row < max(ends))


def test_each_role_has_its_colour_and_its_name(draw):
    figure, texts = draw("forms")
    assert all(texts.count(role) == 2 for role in pictures.ROLES)
    assert {"Alpaca: 52 tokens", "chat template: 31 tokens", "leaves on the trees<|im_end|>"} <= set(texts)
    fills = [to_rgba(figures.tint(colour, 0.3)) for colour in pictures.ROLES.values()]
    wide = [sum(patch.get_width() for patch in cells(figure, facecolor=fill)) for fill in fills]
    letters = [sum(len(text) for text, kind in ALPACA + CHAT if kind == role) for role in pictures.ROLES]
    assert [width / wide[0] for width in wide] == pytest.approx([count / letters[0] for count in letters])
