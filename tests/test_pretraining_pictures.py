"""The pictures of pretraining show the numbers that they were given, and what follows from them."""

import itertools
import math

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

import figures
import pretraining_pictures as pictures

RATES = [0.0003, 0.001, 0.003, 0.01, 0.03]
SWEEP = {"AdamW": dict(zip(RATES, [5.61, 5.02, 4.83, 5.12, math.nan], strict=True)),
         "Muon": dict(zip(RATES, [5.42, 4.91, 4.72, 4.66, 4.98], strict=True))}
SEEDS = [4.83, 4.86, 4.81]
STEPS = 200
SCHEDULES = {"constant": [3e-3] * STEPS,
             "cosine": [4e-3 * min(i / 20, (1 + math.cos(math.pi * i / STEPS)) / 2) for i in range(1, STEPS + 1)],
             "linear to zero": [2e-3 * min(i / 20, 1.05 * (1 - i / STEPS)) for i in range(1, STEPS + 1)],
             "flat, then down": [3e-3 * min(i / 20, 1, 5 * (1 - i / STEPS)) for i in range(1, STEPS + 1)]}
ENDS = {"constant": 4.71, "cosine": 4.55, "linear to zero": 4.52, "flat, then down": 4.54}
XS = [i / 200 for i in range(1, 201)]


def after(x, rounds):
    """Return what a singular value becomes in some rounds of Muon's polynomial."""
    for _ in range(rounds):
        x = 3.4445 * x - 4.7750 * x**3 + 2.0315 * x**5
    return x


BEFORE = [2 * math.exp(-i / 9) for i in range(64)]
READ = list(range(0, 2_000_001, 100_000))
RUNS = {"the same text again and again": {
            "tokens": READ, "training": [8.3 * math.exp(-i / 22) for i in range(21)],
            "validation": [8.3 - 0.55 * i + 0.03 * i**2 for i in range(21)]},
        "new text at every step": {
            "tokens": READ, "training": [4.2 + 4.1 * math.exp(-i / 5) for i in range(21)],
            "validation": [4.3 + 4.0 * math.exp(-i / 5) for i in range(21)]}}
BITS = [("gzip", 2.71, "packer"), ("xz", 2.31, "packer"), ("pairs of words", 2.05, "counts"),
        ("2M parameters", 1.62, "ours"), ("16M parameters", 1.41, "ours"), ("GPT-2, 124M", 1.02, "large"),
        ("SmolLM2, 135M", 0.94, "large")]
LAYOUT = {"0.2M": 2e5, "0.5M": 5e5, "1M": 1e6, "2M": 2e6, "5M": 5e6, "12M": 1.2e7}


def law(size, tokens):
    return 2.2 + 150 / size**0.34 + 90 / tokens**0.28


COMPUTE = {name: [(6 * size * tokens, law(size, tokens)) for tokens in (2e5, 5e5, 1e6, 2e6, 5e6, 1e7)]
           for name, size in LAYOUT.items()}
TOKENS = [1e5 * 10 ** (i / 20) for i in range(46)]
LAW = {name: (TOKENS, [law(size, count) for count in TOKENS]) for name, size in LAYOUT.items()}
FITTED = {name: [(count, law(size, count) + 0.03 * math.sin(7 * i)) for i, count in enumerate((2e5, 5e5, 1e6, 4e6))]
          for name, size in list(LAYOUT.items())[:-1]}
MEASURED = [(1e6, 4.71), (4e6, 4.06), (1.6e7, 3.69)]
PICTURES = {
    "packing": lambda: pictures.packing([5, 2, 9], 8, "alt"),
    "packing of five": lambda: pictures.packing([5, 1, 9, 3, 12], 12, "alt"),
    "packing without padding": lambda: pictures.packing([3, 1, 1], 4, "alt"),
    "sweep": lambda: pictures.sweep(SWEEP, "alt"),
    "sweep with seeds": lambda: pictures.sweep(SWEEP, "alt", seeds=SEEDS),
    "sweep of others": lambda: pictures.sweep(
        {f"width {64 * i}": {rate: 4.2 + 1.5 / i + 0.6 * abs(math.log10(i * rate / 0.012)) for rate in RATES}
         for i in range(1, 6)}, "alt", seeds=[5.0, 5.05]),
    "schedules": lambda: pictures.schedules(SCHEDULES, ENDS, "alt"),
    "orthogonal": lambda: pictures.orthogonal(
        {n: (XS, [after(x, n) for x in XS]) for n in (0, 1, 3, 5)}, BEFORE,
        [2 * after(value / 4, 5) for value in BEFORE], "alt"),
    "two_runs": lambda: pictures.two_runs(RUNS, "alt"),
    "bits": lambda: pictures.bits(BITS, "alt", mark=(1.5, "what it must beat")),
    "bits without a mark": lambda: pictures.bits(BITS[:4], "alt"),
    "compute": lambda: pictures.compute(COMPUTE, (69.0, 0.088), "alt"),
    "prediction": lambda: pictures.prediction(FITTED, LAW, (1.6e7, 3.65, 3.57, 3.74), MEASURED, "alt"),
}


def lines_of(axis):
    """Return {name: (xs, ys)} of the lines that have a name."""
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axis.lines
            if not line.get_label().startswith("_")}


def rings(axis):
    """Return the places of the rings."""
    size = pictures.RING["markersize"]
    return [tuple(*line.get_xydata().tolist()) for line in axis.lines if line.get_markersize() == size]


def covered(figure):
    """Return [(text, text or line), ...] of what is written in the axes and lies on another text or on a line."""
    figure.draw_without_rendering()
    renderer, found = FigureCanvasAgg(figure).get_renderer(), []
    for axis in figure.axes:
        written = [(text.get_text(), Text.get_window_extent(text, renderer)) for text in axis.texts if text.get_text()]
        found += [(one, other) for (one, here), (other, there) in itertools.combinations(written, 2)
                  if here.overlaps(there)]
        inside = axis.get_window_extent(renderer)
        roads = [pictures._road(line, figure.dpi)[0] for line in axis.lines]
        found += [(text, "a line") for text, here in written if inside.containsx(here.x0) and inside.containsx(here.x1)
                  for road in roads if any(here.contains(*spot) for spot in road)]
    return found


@pytest.mark.parametrize("name", [name for name in PICTURES if not name.startswith(("packing", "bits", "schedules"))])
def test_no_text_lies_on_a_line_or_on_another_text(draw, name):
    figure, _ = draw(name)
    assert covered(figure) == []


@pytest.mark.parametrize("name, apart, packed", [
    ("packing", "4 rows of 8, 13 of 32 cells are padding", "3 rows of 8, 5 of 24 cells are padding"),
    ("packing of five", "6 rows of 12, 37 of 72 cells are padding", "3 rows of 12, 1 of 36 cells is padding"),
    ("packing without padding", "3 rows of 4, 4 of 12 cells are padding", "2 rows of 4, 0 of 8 cells are padding")])
def test_the_padding_is_counted(draw, name, apart, packed):
    figure, texts = draw(name)
    assert {apart, packed} <= set(texts)
    hatched = [patch for patch in figure.axes[0].patches if patch.get_hatch()]
    assert len(hatched) == 1 + sum(int(text.split(", ")[1].split()[0]) for text in (apart, packed))  # and the key's


def test_each_document_has_its_tokens_and_an_end_of_text_token_twice(draw):
    _, texts = draw("packing")
    assert [texts.count(text) for text in ("A", "B", "C", "end")] == [10, 4, 18, 6]
    assert {"A: 5 tokens", "B: 2 tokens", "C: 9 tokens"} <= set(texts)
    assert "B: 1 token" in draw("packing of five")[1]


def test_the_best_rate_of_each_optimizer_is_marked(draw):
    figure, texts = draw("sweep")
    assert rings(figure.axes[0]) == [(0.003, 4.83), (0.01, 4.66)]
    assert {"4.83", "4.66", "AdamW", "Muon"} <= set(texts) and "other seeds" not in texts
    drawn = lines_of(figure.axes[0])
    assert drawn["AdamW"] == (RATES[:4], [5.61, 5.02, 4.83, 5.12])  # the last loss is no number
    assert drawn["Muon"] == (RATES, list(SWEEP["Muon"].values()))


def test_the_band_holds_all_seeds(draw):
    figure, texts = draw("sweep with seeds")
    (band,) = figure.axes[0].patches
    assert "other seeds" in texts
    assert [band.get_y(), band.get_y() + band.get_height()] == pytest.approx([min(SEEDS), max(SEEDS)])


def test_an_optimizer_looks_the_same_in_every_picture(draw):
    looks = []
    for lines in (SWEEP, dict(reversed(SWEEP.items())), {"another": {1e-3: 5, 3e-3: 6}, **SWEEP}):
        figure, _ = draw(lambda lines=lines: pictures.sweep(lines, "alt"))
        looks.append({line.get_label(): (line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines})
    assert all(look[name] == looks[0][name] for look in looks for name in SWEEP)
    assert len({looks[2][name] for name in ("another", *SWEEP)}) == 3


def test_a_sixth_line_is_refused(draw):
    with pytest.raises(ValueError, match="can tell 5 groups apart, got 6"):
        draw(lambda: pictures.sweep({f"width {i}": {1e-3: 5.0} for i in range(6)}, "alt"))


def test_rates_are_shares_of_their_peaks_and_losses_are_written(draw):
    figure, texts = draw("schedules")
    drawn = lines_of(figure.axes[0])
    assert list(drawn) == list(SCHEDULES) and all(max(ys) == 1 for _, ys in drawn.values())
    assert drawn["cosine"][0] == list(range(1, STEPS + 1))
    assert drawn["cosine"][1][99] == pytest.approx(SCHEDULES["cosine"][99] / max(SCHEDULES["cosine"]))
    assert {"4.71", "4.55", "4.52", "4.54"} <= set(texts)
    assert {text.get_text() for text in figure.axes[0].texts} == set(SCHEDULES)
    assert [label.get_text() for label in figure.axes[1].get_yticklabels()] == list(SCHEDULES)
    dots = [line for line in figure.axes[1].lines if line.get_linestyle() == "None"]
    assert [line.get_xdata()[0] for line in dots] == list(ENDS.values())
    assert [line.get_color() for line in dots] == [
        line.get_color() for line in figure.axes[0].lines if line.get_label() in SCHEDULES]


def test_singular_values_are_shares_of_the_largest_before(draw):
    figure, texts = draw("orthogonal")
    left, right = figure.axes
    assert {"0 rounds", "1 round", "3 rounds", "5 rounds", "gradient", "after 5 rounds"} <= set(texts)
    assert list(left.lines[0].get_ydata()) == XS and len(left.lines) == 4
    before, later = (list(line.get_ydata()) for line in right.lines)
    assert before == pytest.approx([value / BEFORE[0] for value in BEFORE]) and before[0] == 1
    assert later[0] == pytest.approx(after(0.5, 5)) and right.get_yscale() == "log"
    (band,) = left.patches
    assert [band.get_y(), band.get_y() + band.get_height()] == pytest.approx([0.7, 1.2])


def test_both_runs_have_one_scale_and_their_lowest_validation_loss(draw):
    figure, texts = draw("two_runs")
    left, right = figure.axes
    assert left.get_ylim() == right.get_ylim()
    assert rings(left) == [(900, pytest.approx(5.78))] and rings(right) == [(2000, pytest.approx(4.37, abs=0.005))]
    assert {"lowest: 5.78", "lowest: 4.37", *RUNS} <= set(texts)
    assert texts.count("training") == texts.count("validation") == 2
    assert lines_of(left)["training"] == ([count / 1000 for count in READ],
                                          RUNS["the same text again and again"]["training"])


def test_each_bar_is_as_long_as_its_number(draw):
    figure, texts = draw("bits")
    (axis,) = figure.axes
    assert [bar.get_width() for bar in axis.patches] == [value for _, value, _ in BITS]
    assert {"2.71", "0.94", "gzip", "what it must beat"} <= set(texts)
    assert [texts.count(name) for name in ("packers", "counts", "our models", "large models")] == [1] * 4
    assert len({bar.get_facecolor() for bar in axis.patches}) == 4
    assert [list(line.get_xdata()) for line in axis.lines] == [[1.5, 1.5]] * 2  # on a white one
    assert not draw("bits without a mark")[0].axes[0].lines


def test_the_envelope_is_the_law_that_is_written_beside_it(draw):
    figure, texts = draw("compute")
    (axis,) = figure.axes
    assert {name: list(zip(*points, strict=True)) for name, points in lines_of(axis).items()} == COMPUTE
    (law_line,) = [line for line in axis.lines if line.get_linestyle() == "--"]
    flops, losses = law_line.get_data()
    assert list(losses) == pytest.approx([69 * count**-0.088 for count in flops])
    assert flops[0] < min(count for points in COMPUTE.values() for count, _ in points)
    assert flops[-1] > max(count for points in COMPUTE.values() for count, _ in points)
    assert "loss = 69.0 · C$^{−0.088}$" in texts and {"4.5", "5", "6", *LAYOUT} <= set(texts)


def test_larger_models_are_darker_and_have_one_shade_in_both_pictures(draw):
    shades = [{line.get_label(): line.get_color() for line in draw(name)[0].axes[0].lines}
              for name in ("compute", "prediction")]
    assert all(shades[0][name] == shades[1][name] for name in LAYOUT)
    contrasts = [figures.contrast(shades[0][name], "white") for name in LAYOUT]
    assert contrasts == sorted(contrasts) and contrasts[0] > 1.5


def test_the_prediction_stands_beside_what_was_measured(draw):
    figure, texts = draw("prediction")
    (axis,) = figure.axes
    assert "predicted: 3.65\n(3.57 to 3.74)\nmeasured: 3.69" in texts and {*LAYOUT, "0.2", "10"} <= set(texts)
    by_marker = {marker: [line.get_xydata().tolist() for line in axis.lines if line.get_marker() == marker]
                 for marker in "*_o"}
    assert by_marker["*"] == [[[1.6e7, 3.65]]] and by_marker["_"] == [[[1.6e7, 3.57], [1.6e7, 3.74]]]
    assert by_marker["o"] == [[list(point) for point in points] for points in [*FITTED.values(), MEASURED]]
    assert lines_of(axis) == LAW and axis.get_xscale() == "log"
