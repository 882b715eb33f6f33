"""The drawing functions draw all that they are given, or say that they cannot."""

import itertools

import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from matplotlib.text import Text

import adapter_pictures
import classification_pictures
import figures
import instruction_pictures
import mechanisms
import modern_mechanisms
import pretraining_pictures
import processes
import test_adapter_pictures
import test_classification_pictures
import test_instruction_pictures
import test_pretraining_pictures
import test_processes
import test_tokenizer_pictures
import test_training_pictures
import text_mechanisms
import tokenizer_pictures
import training_pictures
import verdict_pictures
from chapters.ch03_attention import causal_mask
from conftest import ROOT

MODULES = (figures, mechanisms, text_mechanisms, modern_mechanisms, processes, training_pictures,
           classification_pictures, verdict_pictures, instruction_pictures, adapter_pictures, tokenizer_pictures,
           pretraining_pictures)
LINE = ([0, 1], [2, 3])
DRAWINGS = {
    "curves": lambda names: figures.curves([0, 1], {name: [2, 3] for name in names}, "x", "y", "alt"),
    "panels": lambda names: figures.panels([{"lines": {name: LINE for name in names}, "xlabel": "x", "ylabel": "y"}],
                                           "alt"),
    "bars": lambda names: figures.bars(["label"], {name: [1] for name in names}, "y", "alt"),
    "stacked_bars": lambda names: figures.stacked_bars(["label"], {name: [1] for name in names}, "y", "alt"),
    "roofs": lambda names: training_pictures.roofline({name: 1e12 for name in names}, 1e10, {"copy": (1, 1e9)}, "alt"),
    "roofline": lambda names: training_pictures.roofline(
        {"fp32": 1e12}, 1e10, {name: (4**place, 1e9) for place, name in enumerate(names)}, "alt"),
    "points": lambda names: figures.points(torch.zeros(len(names), 2), names, names, "x", "y", "alt"),
    "regions": lambda names: figures.regions(
        torch.arange(3), torch.arange(3), torch.linspace(0, 1, 9).view(3, 3),
        {name: torch.full((1, 2), 0.2 * place) for place, name in enumerate(names)}, "x", "y", "alt"),
    "by_size of names": lambda names: verdict_pictures.by_size(
        [1, 2], {name: [(0.7, 0.6, 0.8)] * 2 for name in names}, "alt"),
    "depths": lambda names: processes.depths({"title": {name: [1, 2] for name in names}}, "x", "y", "alt"),
}
MOST = {"points": 4, "regions": 4, "roofline": 9}


@pytest.mark.parametrize("kind", DRAWINGS)
def test_nothing_is_left_out_of_a_figure(kind, monkeypatch):
    """A sixth line, for which there was no colour, was not drawn, and nothing said so."""
    shown = []
    monkeypatch.setattr(figures, "show", lambda figure, alt: shown.append(figure))
    names = [f"group{number}" for number in range(MOST.get(kind, 5) + 1)]
    DRAWINGS[kind](names[:-1])
    (figure,) = shown
    legends = [axis.get_legend() for axis in figure.axes] + figure.legends
    named = [text.get_text() for legend in legends if legend for text in legend.get_texts()]
    lines = [line for axis in figure.axes for text in axis.texts for line in text.get_text().splitlines()]
    named += [line.partition(":")[0] for line in lines]
    assert set(names[:-1]) <= set(named)
    with pytest.raises(ValueError, match=f"can tell {len(names) - 1} groups apart, got {len(names)}: group0, group1, "):
        DRAWINGS[kind](names)


def test_distances_between_points_are_true(monkeypatch):
    """An inch to the right was less than an inch up, and a caption asked for the nearest point."""
    shown = []
    monkeypatch.setattr(figures, "show", lambda figure, alt: shown.append(figure))
    figures.points(torch.tensor([[-9.0, 0.0], [9.0, 1.0]]), ["a", "b"], ["x", "x"], "x", "y", "alt")
    assert shown[0].axes[0].get_aspect() == 1


def test_each_heatmap_may_have_row_labels_of_its_own(monkeypatch):
    """Positions were labelled with the tokens of the matrix beside them."""
    shown = []
    monkeypatch.setattr(figures, "show", lambda figure, alt: shown.append(figure))
    for rows in (["a", "b"], [["a", "b"], ["0", "1"]], None):
        figures.heatmaps([torch.eye(2), torch.eye(2)], "alt", rows=rows)
    labels = [[[text.get_text() for text in axis.get_yticklabels()] for axis in figure.axes] for figure in shown]
    assert labels == [[["a", "b"]] * 2, [["a", "b"], ["0", "1"]], [["0", "1"]] * 2]


# What is drawn can be read.

LONG = torch.tensor([[0.4321, -0.1567], [0.5543, 0.8765], [-0.5712, 0.8567]])  # more digits than are printed
TWO, THREE = torch.tensor([[0.43, -0.15], [0.55, 0.87], [-0.57, 0.85]]), torch.eye(3)
FOUR = torch.arange(12.0).view(3, 4)
PARTS = ["token embedding", "position embedding", "layer norm", "attention", "feed forward", "output head"]
WORDS = ["Your", "journey", "starts"]
STEPS = [["A", "k", "i", "r"], ["A", "k", "ir"], ["Ak", "ir"]]
STEP = {"now": {"products": 2.0, "optimizer": 1.4, "copies, zeros": 0.02, "all other": 0.02},
        "goal,\nproducts": {"products": 0.5}}
CALLS = [modern_mechanisms.Call("prefill", 0, 2, ["2 of 2 tokens", "2 × 3"]),
         modern_mechanisms.Call("decode", 2, 1, ["1 of 3 tokens"])]
SENTENCE = "The queen gave the king a book because she liked him, and the queen gave the".split()
PAIR = FOUR.view(3, 2, 2).transpose(0, 1)


def turned(arrow, place):
    angle = torch.tensor(0.5 * place)
    return torch.stack([arrow[0] * angle.cos() - arrow[1] * angle.sin(),
                        arrow[0] * angle.sin() + arrow[1] * angle.cos()])


def behaviours():
    """Three, of which head i of layer 10 · i is the best for the i-th, with 0.9, and no other above 0.2."""
    made = []
    for i, (name, place, to) in enumerate([("before", 14, 13), ("copy", 15, 4), ("meant", 8, 1)]):
        scores, weights = 0.2 * torch.rand(30, 9, generator=torch.Generator().manual_seed(i)), torch.zeros(16)
        scores[10 * i, i], weights[to] = 0.9, 0.7
        made.append(modern_mechanisms.Behaviour(name, scores, weights, place, below=i == 2))
    return made


SAMPLES = {
    **{name: lambda draw=draw: draw(["one", "two", "three"]) for name, draw in DRAWINGS.items()},
    "flow": lambda: figures.flow([("title", "some\ndetail")] * 3, "alt", operations=["cut", "look up\n2.7"]),
    "flow in two rows": lambda: figures.flow([("a long title", "a longer detail")] * 7, "alt", operations=["cut"] * 6),
    "token_rows": lambda: figures.token_rows([figures.Row("row", ["a", "b", ("c", 2)], marked=(1,)),
                                              figures.Row("next", ["d"], start=1, colour=figures.GREEN)], "alt"),
    "heatmaps": lambda: figures.heatmaps([TWO, THREE], "alt", titles=["a", "b"], rows=WORDS),
    "linked points": lambda: figures.points(TWO, WORDS, ["a", "b", "a"], "x", "y", "alt", links=[(0, 1)]),
    "named lines": lambda: figures.panels([{"lines": {"up": LINE, "down": ([0, 1], [3, 2])}, "xlabel": "x",
                                            "ylabel": "y", "beside": True}], "alt"),
    "named ends": lambda: figures.panels([{"lines": {"up": LINE, "also up": LINE}, "xlabel": "x", "ylabel": "y",
                                           "beside": "ends"}], "alt"),
    "equation": lambda: mechanisms.equation([("a", TWO.T, figures.QUERY), ("b", THREE, figures.KEY)], ["@"], "alt",
                                            rows=[["x", "y"], None], marked=[(0, 0), None], digits=[2, 0]),
    "product": lambda: mechanisms.product(FOUR.T, FOUR, 0, 1, ["a", "b", "a @ b"], "alt"),
    "lookup": lambda: mechanisms.lookup(torch.tensor([2, 0]), THREE, WORDS[:2], "alt"),
    "dot_products": lambda: mechanisms.dot_products(
        torch.tensor([2.0, 1.0]), torch.tensor([[1.0, 2.0], [-2.0, 1.0]]), "alt"),
    "journey": lambda: mechanisms.journey(WORDS, "journey", TWO[1], TWO, TWO, torch.tensor([0.2, 0.5, 0.3]), "alt"),
    "journey with three roles": lambda: mechanisms.journey(
        WORDS, "journey", TWO[1], TWO, TWO, torch.tensor([0.2, 0.5, 0.3]), "alt", learned=True),
    "added_up": lambda: mechanisms.added_up(WORDS, TWO.abs(), torch.tensor([0.2, 0.5, 0.3]), "alt"),
    "equation worked out": lambda: mechanisms.equation(
        [("a", LONG, figures.TOKEN), ("b", LONG.flip(0), figures.POSITION), ("c", LONG + LONG.flip(0), figures.SLATE)],
        ["+", "="], "alt", columns=[["x", "y"], None, None], marked=[(1, 1)] * 3, worked=True),
    "roles": lambda: mechanisms.roles("journey", torch.ones(3), dict.fromkeys(["query", "key", "value"], TWO), "alt"),
    "mask_steps": lambda: mechanisms.mask_steps(WORDS, THREE - 0.2, causal_mask(3), 2**0.5, "alt"),
    "cut_into_heads": lambda: mechanisms.cut_into_heads(FOUR, PAIR, FOUR.view(2, 3, 2), "alt"),
    "heads_to_output": lambda: mechanisms.heads_to_output(
        WORDS, torch.stack([THREE, THREE]), PAIR / -20, (-torch.eye(4) / 7, torch.ones(4) / 3), "alt"),
    "merges_learned": lambda: text_mechanisms.merges_learned(
        [(("h", "e"), 400, ("t", "h"), 300, [["t", "he"]]), (("t", "he"), 200, ("a", "n"), 100, [["the"]])], ["the"],
        "alt"),
    "merge_choices": lambda: text_mechanisms.merge_choices(STEPS, [[33901, None, 343], [33901, None], [None]], "alt"),
    "windows": lambda: text_mechanisms.windows(list("abcdefg"), list(range(10, 17)), 2, 2, "alt"),
    "step_parts": lambda: modern_mechanisms.step_parts(STEP, "alt"),
    "cache_filling": lambda: modern_mechanisms.cache_filling(["Every", " effort", " moves", ""], CALLS, "alt"),
    "same_distance": lambda: modern_mechanisms.same_distance(torch.tensor([1.0, 0.0]), torch.tensor([0.6, 0.8]), turned,
                                                             [(1, 0), (4, 3), (104, 103), (4, 0)], "alt"),
    "turned_pairs": lambda: modern_mechanisms.turned_pairs(
        torch.stack([turned(torch.tensor([0.8, 0.6]), place * fast) for place in range(4) for fast in (1, 0.2, 0.01)]
                    ).view(4, 6), torch.tensor([28.6, 5.7, 0.3]), "alt"),
    "shared_heads": lambda: modern_mechanisms.shared_heads(9, {"its own": 9, "shared": 3}, 64, "alt"),
    "heads_map": lambda: modern_mechanisms.heads_map(SENTENCE, behaviours(), "alt"),
    **test_processes.PICTURES,
    **test_training_pictures.PICTURES,
    **test_classification_pictures.PICTURES,
    **test_adapter_pictures.PICTURES,
    **test_instruction_pictures.PICTURES,
    **test_tokenizer_pictures.PICTURES,
    **test_pretraining_pictures.PICTURES,
}


def test_results_follow_from_the_numbers_that_are_printed():
    """Six weights of a row printed as 0.28, 0.25, 0.25 and 0.23 were said to add up to 1.00."""
    row = torch.tensor([0.2764, 0.2458, 0.2456, 0.2322])
    digits = mechanisms.enough_digits(torch.sum, [row])
    assert digits == 3 and f"{sum(float(text) for text in mechanisms.printed(row, digits)):.2f}" == "1.00"
    first, second = LONG[0], LONG[1]
    digits = mechanisms.enough_digits(torch.dot, [first, second])
    terms = mechanisms.products(first, second, digits).replace("·", "*").replace("−", "-")
    assert f"{eval(terms):.2f}" == f"{first @ second:.2f}"
    assert mechanisms.enough_digits(torch.sum, [torch.tensor([0.5, 0.25])]) == 2


def texts_of(figure):
    """Return [(text object, its box on the page), ...] of all that is written in a figure."""
    figure.draw_without_rendering()
    renderer = FigureCanvasAgg(figure).get_renderer()
    written = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return [(text, text.get_window_extent(renderer)) for text in written]


@pytest.fixture(scope="module", params=SAMPLES)
def drawn(request):
    """One figure of every function."""
    shown = []
    with pytest.MonkeyPatch.context() as patch:
        for module in (figures, mechanisms, text_mechanisms, modern_mechanisms):  # processes calls figures.show
            patch.setattr(module, "show", lambda figure, alt: shown.append(figure))
        SAMPLES[request.param]()
    return shown[0]


def test_every_function_has_a_sample():
    drawing = {name for module in MODULES for name, thing in vars(module).items()
               if getattr(thing, "__module__", None) == module.__name__ and "alt" in getattr(
                   getattr(thing, "__code__", None), "co_varnames", ())}
    kinds = {name.split(" ")[0] for name in SAMPLES} - {"linked", "roofs", "block", "named"}
    assert kinds == drawing - {"show"}


def test_no_text_is_below_ten_points(drawn):
    assert min(text.get_fontsize() for text, _ in texts_of(drawn)) >= 10


def test_no_text_lies_on_another(drawn):
    ours = [text for axis in drawn.axes for text in axis.texts]  # what matplotlib places is its affair
    written = [(text, place) for text, place in texts_of(drawn) if text in ours]
    for (first, one), (second, other) in itertools.combinations(written, 2):
        apart = (one.x1 <= other.x0 + 1 or other.x1 <= one.x0 + 1 or one.y1 <= other.y0 + 2 or other.y1 <= one.y0 + 2)
        assert apart, (first.get_text(), second.get_text())


def test_the_colours_of_text_stand_out(drawn):
    """White is chosen only where it suits what is behind it; every other colour must stand out from white."""
    for text, _ in texts_of(drawn):
        if text.get_color() != "white":
            assert figures.contrast(text.get_color(), "white") >= 4.5, text.get_text()


@pytest.mark.parametrize("colour", figures.INK)
def test_each_colour_has_an_ink_and_a_readable_filling(colour):
    for strength in (0, 0.1, 0.2):
        assert figures.contrast(figures.INK[colour], figures.tint(colour, strength)) >= 4.5
    for strength in (0.1, 0.3, 0.35, 0.6, 1):
        background = figures.tint(colour, strength)
        assert figures.contrast(figures.readable(background), background) >= 4.5


def test_contrast_is_that_of_the_guidelines():
    assert figures.contrast("black", "white") == pytest.approx(21)
    assert figures.contrast("#767676", "white") == pytest.approx(4.54, abs=0.01)  # the guidelines' own example


def test_a_masked_cell_is_blank(monkeypatch):
    shown = []
    for module in (figures, mechanisms):
        monkeypatch.setattr(module, "show", lambda figure, alt: shown.append(figure))
    hidden = torch.tensor([[0.25, torch.nan]])
    figures.heatmaps([hidden], "alt", columns=["a", "b"])
    mechanisms.equation([("a", hidden, figures.QUERY)], [], "alt")
    for figure in shown:
        texts = [text.get_text() for text, _ in texts_of(figure)]
        assert "0.25" in texts and not any("nan" in text for text in texts)


def drawn_by(monkeypatch, picture):
    shown = []
    monkeypatch.setattr(modern_mechanisms, "show", lambda figure, alt: shown.append(figure))
    SAMPLES[picture]()
    (axis,) = shown[0].axes
    return axis, [text.get_text() for text in axis.texts]


def test_the_parts_of_a_step_are_as_long_as_they_take(monkeypatch):
    axis, texts = drawn_by(monkeypatch, "step_parts")
    widths = [patch.get_width() for patch in axis.patches]
    assert [width / widths[-1] for width in widths] == pytest.approx([4, 2.8, 0.04, 0.04, 1])
    assert "3.44 s" in texts and "2.00" in texts and "0.02" not in texts  # too narrow for its number


def test_a_part_that_the_first_row_lacks_is_refused():
    with pytest.raises(ValueError, match="the first row lacks new"):
        modern_mechanisms.step_parts({"now": {"old": 1.0}, "then": {"new": 1.0}}, "alt")


def test_the_cache_keeps_what_was_new_before(monkeypatch):
    _, texts = drawn_by(monkeypatch, "cache_filling")
    assert texts.count("new") == 2 * (2 + 1) and texts.count("read") == 2 * 2  # keys and values


def test_a_turned_pair_keeps_its_angle_to_another_at_the_same_distance(monkeypatch):
    _, texts = drawn_by(monkeypatch, "same_distance")
    assert texts.count("1 apart: 24°") == 3 and texts.count("4 apart: 61°") == 1
    _, texts = drawn_by(monkeypatch, "turned_pairs")
    assert texts.count("0–3") == 1 and texts.count("2") == 1 and texts.count("3") == 2  # fast, slower, slowest


def test_three_heads_meet_in_one(monkeypatch):
    axis, texts = drawn_by(monkeypatch, "shared_heads")
    ends = [line.get_xdata()[1] for line in axis.lines]
    assert len(set(ends[:9])) == 9 and [len(set(ends[9 + i : 12 + i])) for i in (0, 3, 6)] == [1, 1, 1]
    assert "2 · 9 · 64 = 1,152 numbers" in texts and "2 · 3 · 64 = 384 numbers" in texts


def test_a_head_has_the_colour_of_what_it_does_most(monkeypatch):
    axis, texts = drawn_by(monkeypatch, "heads_map")
    cells = [patch for patch in axis.patches if isinstance(patch, Rectangle) and patch.get_fill()]
    assert len(cells) == 270 and texts.count(".90") == 3
    for i, colour in enumerate(figures.COLOURS[:3]):
        assert cells[9 * 10 * i + i].get_facecolor()[:3] == pytest.approx(to_rgb(figures.tint(colour, 0.9)), abs=0.005)


@pytest.mark.slow
def test_the_word_vectors_are_those_of_the_model():
    from word_vectors import word_vectors

    stored, made = torch.load(ROOT / "notebooks" / "data" / "word-vectors.pt"), word_vectors()
    assert stored["words"] == made["words"] and stored["groups"] == made["groups"]
    assert torch.equal(stored["vectors"], made["vectors"])
