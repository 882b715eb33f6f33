"""Figures of the course, drawn from the tensors and token ids that a notebook has at hand.

Every function displays one figure and takes `alt`, a sentence that says what one sees: it is stored with the picture
for readers who cannot see it, and as the cell's text output. Colours are Okabe and Ito's, which colour-blind readers
can tell apart; lines differ in style as well. No text is smaller than 10 points on the page, and every text has a
contrast of at least 4.5 to what is behind it.

One colour for one thing, in every notebook:

- token, and its vector: grey, with black text
- query, and what comes of it, scores and attention weights: blue
- key: orange
- value, and the context vector that is made of values: green
- position: purple
- probability of a next token: sky blue
- loss, and the targets that it compares with: red; gradient: red, too, since it is the loss's, and dashed
- several heads: the first in a light tint, the next in darker ones
- masked, and a target that is not learned: a blank cell; filler that makes the rows of a batch equally long: hatched
- template: grey, as tokens are; the request in it: blue; the answer: red, since it is the target
- ham: yellow, with a dark edge; spam: indigo, the only colour that is not Okabe and Ito's
- chosen, new, spoken of: black

What is none of these, such as the lines of a comparison, takes the colours in the order of COLOURS.

Pictures of how something works are in `mechanisms.py` (vectors, matrices, attention), `text_mechanisms.py` (tokens),
`modern_mechanisms.py` (speed, the cache, rotary positions, what heads do), `processes.py` (what happens step by step)
`training_pictures.py` (gradients, steps downhill, what training costs), `classification_pictures.py` (from a model of
language to a classifier), `verdict_pictures.py` (how good verdicts are), `instruction_pictures.py` (following
instructions), `adapter_pictures.py` (LoRA), `tokenizer_pictures.py` (a text, its copies and its vocabulary) and
`pretraining_pictures.py` (a run and how models grow better); those that respond to the reader are in `interactive.py`.
"""

import io
from dataclasses import dataclass
from functools import cache
from itertools import pairwise, product

import numpy as np
from IPython.display import display
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.transforms import Bbox

BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#BBBBBB"
SKY, SLATE, DARK, YELLOW, INDIGO = "#56B4E9", "#767676", "#333333", "#F0E442", "#44318D"
QUERY, KEY, VALUE, TOKEN, POSITION, LOSS, CHANCE, CHOSEN = BLUE, ORANGE, GREEN, GREY, PURPLE, RED, SKY, DARK
HAM, SPAM = YELLOW, INDIGO
INK = {BLUE: "#005A8C", ORANGE: "#7A5200", GREEN: "#00664A", RED: "#A34700", PURPLE: "#8C3566", GREY: "#444444",
       SKY: "#1B6390", SLATE: "#444444", DARK: DARK, YELLOW: "#665C00",
       INDIGO: INDIGO}  # each colour, dark enough for text
EDGE = "#555555"  # around pale colours
COLOURS = [BLUE, ORANGE, GREEN, RED, PURPLE]
STYLES = ["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1))]
HATCHES = ["", "//", "..", "xx", "\\\\"]
MARKERS = ["o", "s", "^", "D"]
SIDES = [(0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)]  # above, below, right, left, corners
SMALL, NORMAL = 10, 10  # font sizes in points
PIXELS_PER_INCH = 96  # on the page; the stored picture has twice as many, for sharp text


@dataclass
class Row:
    """One row of boxes for `token_rows`.

    Args:
        label: what stands to the left of the row.
        tokens: one text per box, or (text, width) for a box that is several columns wide.
        start: the column of the first box.
        colour: the boxes' colour.
        marked: positions in `tokens` that are drawn filled, in black where the others are grey.
    """

    label: str
    tokens: list
    start: int = 0
    colour: str = SLATE
    marked: tuple = ()


def picture(figure):
    """Return a figure as the bytes of a PNG, and its width on the page in pixels."""
    buffer = io.BytesIO()
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.savefig(buffer, format="png", dpi=2 * PIXELS_PER_INCH, bbox_inches="tight", pad_inches=0.05,
                   facecolor="white", metadata={"Software": None})
    return buffer.getvalue(), round(figure.get_tightbbox(renderer).width * PIXELS_PER_INCH)


def show(figure, alt):
    """Display a figure as a PNG with its alternative text."""
    png, width = picture(figure)
    metadata = {"image/png": {"alt": alt, "width": width}}
    display({"image/png": png, "text/plain": alt}, raw=True, metadata=metadata)


def canvas(width, height, columns=1, **keywords):
    """Return a figure of `width` x `height` inches and its axes, in the course's style."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False, **keywords)[0]
    for axis in axes:
        axis.tick_params(labelsize=SMALL)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def contrast(first, second):
    """Return the contrast of two colours as the web's guidelines define it: 1 for equal ones, 21 for black on white."""
    lights = []
    for colour in (first, second):
        parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
        lights.append(0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def readable(background):
    """Return the colour for text on a background, black or white: one of them has a contrast of at least 4.5."""
    return max(["black", "white"], key=lambda colour: contrast(colour, background))


def tint(colour, strength):
    """Return a colour mixed with white: strength 0 is white, 1 the colour itself."""
    return to_hex([1 - strength * (1 - part) for part in to_rgb(colour)])


def box(axis, x, y, width, height, text, colour, filled=False, size=NORMAL):
    """Draw one rounded box with text in its middle."""
    axis.add_patch(FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.06", linewidth=1.2,
                                  edgecolor=colour, facecolor=colour if filled else tint(colour, 0.1), clip_on=False))
    axis.text(x + width / 2, y + height / 2, text, ha="center", va="center" if "\n" in text else "center_baseline",
              fontsize=size, color=readable(colour) if filled else "black", linespacing=1.35)


def arrow(axis, start, end, head=10):
    """Draw an arrow from one point to another."""
    axis.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "black", "shrinkA": 0, "shrinkB": 0,
                                              "mutation_scale": head})


def blank(axis, width, height):
    """Turn an axis into a drawing surface with one unit per inch."""
    axis.set(xlim=(-0.02, width + 0.02), ylim=(-0.02, height + 0.02), aspect="equal")  # room for the outer lines
    axis.axis("off")


def surface(width, height):
    """Return a figure and an axis to draw on: one unit is an inch, and y grows upwards from the lower edge."""
    figure, (axis,) = canvas(width, height)
    blank(axis, width, height)
    return figure, axis


def flow(steps, alt, operations=None, widest=8.4, gap=0.32, text=SMALL, loop=None):
    """Draw steps as boxes joined by arrows, left to right, in two rows if one would be too wide for a page.

    Args:
        steps: (title, detail) pairs; the detail is a live value, such as a shape, and may have several lines.
        alt: what one sees.
        operations: what happens on each arrow, one text less than there are steps.
        widest, gap: of a row, and between two boxes, in inches.
        text: the size of the text in points.
        loop: what stands on an arrow from the last box back to the first, or (text, box) for another one; in one row.
    """
    line = 1.3 * text / 72
    widths = [max(text_width(title, text, weight="bold"), text_width(detail, text)) + 0.2 for title, detail in steps]
    gaps = [0.0, *(max(gap, text_width(name, text) + 0.14) for name in operations or [""] * (len(steps) - 1))]
    per_row = len(steps) if sum(widths) + sum(gaps) <= widest else -(-len(steps) // 2)
    height = (1 + max(detail.count("\n") + 1 for _, detail in steps)) * line + 0.3
    starts = range(0, len(steps), per_row)
    width = max(sum(widths[i : i + per_row]) + sum(gaps[i + 1 : i + per_row]) for i in starts)
    figure, axis = sheet(width, len(starts) * height + (len(starts) - 1) * 0.34 + (0.4 if loop else 0))
    before = 0.0  # the middle of the box before
    for number, (title, detail) in enumerate(steps):
        row, column = divmod(number, per_row)
        first = row * per_row
        x, y = sum(widths[first:number]) + sum(gaps[first + 1 : number + 1]), row * (height + 0.34)
        middle = x + widths[number] / 2
        box(axis, x, y, widths[number], height, "", SLATE)
        axis.text(middle, y + 0.08, title, ha="center", va="top", fontsize=text, weight="bold")
        axis.text(middle, y + (height + line + 0.08) / 2, detail, ha="center", va="center", fontsize=text,
                  linespacing=1.25)
        if column:
            arrow(axis, (x - gaps[number] + 0.03, y + height / 2), (x - 0.03, y + height / 2))
            axis.text(x - gaps[number] / 2, y + height / 2 - 0.06, operations[number - 1] if operations else "",
                      ha="center", va="bottom", fontsize=text)
        elif row:
            axis.plot([before, before, middle, middle], [y - 0.34, y - 0.19, y - 0.19, y - 0.1], color="black",
                      linewidth=1)
            name = operations[number - 1].replace("\n", " ") if operations else ""
            axis.text((before + middle) / 2, y - 0.18, name, ha="center", va="center", fontsize=text,
                      bbox={"facecolor": "white", "edgecolor": "white", "pad": 1})
            arrow(axis, (middle, y - 0.14), (middle, y - 0.02))
        before = middle
    if loop:
        name, target = (loop, 0) if isinstance(loop, str) else loop
        back = sum(widths[:target]) + sum(gaps[: target + 1]) + widths[target] / 2
        axis.plot([before, before, back, back], [height + 0.03, height + 0.26, height + 0.26, height + 0.15],
                  color="black", linewidth=1)
        arrow(axis, (back, height + 0.2), (back, height + 0.03))
        axis.text((before + back) / 2, height + 0.26, name, ha="center", va="center", fontsize=text,
                  bbox={"facecolor": "white", "edgecolor": "white", "pad": 1})
    show(figure, alt)


@cache
def text_width(text, size, **looks):
    """Return how wide a text is, in inches."""
    figure = Figure()
    renderer = FigureCanvasAgg(figure).get_renderer()
    return figure.text(0, 0, text, fontsize=size, **looks).get_window_extent(renderer).width / figure.dpi


def sheet(width, height):
    """Return a figure and an axis to draw on: one unit is an inch, and y grows downwards from the upper edge."""
    figure = Figure(figsize=(width, height))
    axis = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axis.axis("off")
    return figure, axis


def token_rows(rows, alt, column_width=0.62, label_width=1.5, row_height=0.42, text=SMALL, handed_on=False):
    """Draw rows of token boxes on one grid of columns, so that what stands above what can be compared.

    Args:
        rows: a list of `Row`.
        alt: what one sees.
        column_width, label_width, row_height: in inches.
        text: the size of the text in points.
        handed_on: lead an arrow from each marked token to the row below.
    """
    spans = [[token if isinstance(token, tuple) else (token, 1) for token in row.tokens] for row in rows]
    columns = max(row.start + sum(span for _, span in cells) for row, cells in zip(rows, spans, strict=True))
    width, height = label_width + columns * column_width, len(rows) * row_height
    figure, axis = surface(width, height)
    for number, (row, cells) in enumerate(zip(rows, spans, strict=True)):
        y, column = height - (number + 1) * row_height, row.start
        axis.text(0, y + row_height / 2, row.label, ha="left", va="center_baseline", fontsize=text)
        for position, (token, span) in enumerate(cells):
            marked = position in row.marked
            box(axis, label_width + column * column_width + 0.02, y + (row_height - 0.34) / 2,
                span * column_width - 0.04, 0.34, token, DARK if marked and row.colour == SLATE else row.colour, marked,
                text)
            if marked and handed_on and number < len(rows) - 1:
                middle = label_width + (column + span / 2) * column_width
                arrow(axis, (middle, y + (row_height - 0.34) / 2), (middle, y - (row_height - 0.34) / 2))
            column += span
    show(figure, alt)


def heatmaps(matrices, alt, titles=None, rows=None, columns=None, digits=2, cell=0.5, colour_map="Blues", ylabel=None,
             xlabel=None, limits=None, text=SMALL, lines=False):
    """Draw matrices side by side as coloured cells; NaN is a blank cell, and `digits=None` leaves the numbers out.

    Args:
        matrices: 2-dimensional tensors, (rows, columns) each.
        alt: what one sees.
        titles: the titles of the pictures.
        rows: the labels of the rows, one list for all pictures or one list per picture.
        columns: the labels of the columns.
        limits: (lowest, highest) value of the colour scale; by default each picture's own.
        text: the size of the labels in points.
        lines: draw a line around each cell, the blank ones too, so that cells can be counted.
    """
    titles = titles or [None] * len(matrices)
    if not rows or isinstance(rows[0], str):
        rows = [rows] * len(matrices)
    width = sum(matrix.shape[1] for matrix in matrices) * cell + 0.9 * len(matrices)
    figure, axes = canvas(width, max(matrix.shape[0] for matrix in matrices) * cell + 0.7, len(matrices),
                          width_ratios=[matrix.shape[1] for matrix in matrices])
    for axis, matrix, title, names in zip(axes, matrices, titles, rows, strict=True):
        values = matrix.detach().float().cpu().numpy()
        low, high = limits or (np.nanmin(values), np.nanmax(values))
        image = axis.imshow(values, cmap=colour_map, vmin=low, vmax=high, aspect="equal")
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
        axis.set_title(title, fontsize=text + 1)
        axis.set_xticks(range(values.shape[1]), columns or [str(i) for i in range(values.shape[1])], fontsize=text,
                        rotation=45 if columns else 0, ha="right" if columns else "center", rotation_mode="anchor")
        axis.set_yticks(range(values.shape[0]), names or [str(i) for i in range(values.shape[0])], fontsize=text)
        axis.set_xlabel(xlabel, fontsize=text)
        if lines:
            axis.pcolormesh(np.arange(values.shape[1] + 1) - 0.5, np.arange(values.shape[0] + 1) - 0.5, values * 0,
                            facecolor="none", edgecolor=GREY, linewidth=0.8)
        if digits is not None:
            _write_values(axis, image, values, digits)
    axes[0].set_ylabel(ylabel, fontsize=text)
    show(figure, alt)


def _write_values(axis, image, values, digits):
    """Write each number into its cell, in white where the cell is dark, and nothing where it is NaN."""
    for row, numbers in enumerate(values):
        for column, value in enumerate(numbers):
            if not np.isnan(value):
                axis.text(column, row, f"{value:.{digits}f}", ha="center", va="center", fontsize=SMALL,
                          color=readable(image.cmap(image.norm(value))))


def curves(x, ys, xlabel, ylabel, alt, size=(3.6, 2.5), logx=False, logy=False, marks=False, from_zero=False):
    """Draw one line per entry of `ys`, {name: values}, over the common `x`; `from_zero`: the y-axis begins at 0."""
    figure, (axis,) = canvas(*size)
    _lines(axis, {name: (x, values) for name, values in ys.items()}, xlabel, ylabel, logx, logy, marks)
    if from_zero:
        axis.set_ylim(bottom=0)
    show(figure, alt)


def panels(charts, alt, size=(3.1, 2.4)):
    """Draw line charts side by side, for what belongs together but has no scale in common.

    Args:
        charts: one dict per chart with `lines`, {name: (x values, y values)}, `xlabel` and `ylabel`, and if wanted
            `logx`, `logy` and `marks`, as in `curves`, and `beside`: names stand beside the lines, not in a legend, or
            at their ends if it is "ends", for lines that part only there. Besides: `title`; `events`, {x: what happened
            there}; `dots`, (x values, y values) that are marked in black; `wide`, the name of a line that is drawn
            broad and pale, so that another may lie on it; `stops`: a cross at the end of each line; `lowest`: a ring
            around the lowest point of all.
        alt: what one sees.
        size: width and height of one chart, in inches.
    """
    figure, axes = canvas(size[0] * len(charts), size[1], len(charts))
    for axis, chart in zip(axes, charts, strict=True):
        plain = ("lines", "xlabel", "ylabel", "logx", "logy", "marks")
        _lines(axis, **{name: chart[name] for name in plain if name in chart}, legend="beside" not in chart)
        _mark(axis, **{name: value for name, value in chart.items() if name not in (*plain, "beside")})
    for axis, chart in zip(axes, charts, strict=True):  # now that the lines have their places on the page
        if chart.get("beside") == "ends":
            name_ends(axis)
        elif chart.get("beside"):
            axis.margins(x=0.06, y=0.14)
            name_lines(axis)
    show(figure, alt)


def _mark(axis, title=None, events=None, dots=None, wide=None, stops=False, lowest=False):
    """Mark what is worth a look in a line chart, see `panels`."""
    axis.set_title(title, fontsize=SMALL, weight="bold")
    lines = axis.get_lines()
    for line in lines:
        if line.get_label() == wide:
            line.set(linewidth=6, alpha=0.35, solid_capstyle="butt")
        if stops:
            axis.plot(*line.get_xydata()[-1], marker="x", markersize=8, markeredgewidth=1.6, color=line.get_color())
    for x, text in (events or {}).items():
        axis.axvline(x, color=EDGE, linestyle=":", linewidth=1.2, zorder=0)
        axis.annotate(text, (x, 1), (0, 3), xycoords=("data", "axes fraction"), textcoords="offset points",
                      ha="center", fontsize=SMALL)
    if dots:
        axis.scatter(*dots, s=12, color=CHOSEN, zorder=4)
    if lowest:
        x, y = min((tuple(point) for line in lines for point in line.get_xydata()), key=lambda point: point[1])
        names = [line.get_label() for line in lines if any(
            place == x and value < 1.003 * y for place, value in line.get_xydata())]
        axis.plot(x, y, marker="o", markersize=11, markeredgewidth=1.6, fillstyle="none", color=CHOSEN)
        axis.annotate(f"lowest: {', '.join(names)}", (x, y), (0, -9), textcoords="offset points", ha="center", va="top",
                      fontsize=SMALL)
        axis.set_ylim(axis.get_ylim()[0] - 0.13 * (axis.get_ylim()[1] - y))


def _lines(axis, lines, xlabel, ylabel, logx=False, logy=False, marks=False, legend=True):
    """Draw one line per entry of `lines`, {name: (x values, y values)}."""
    for name, (x, y), colour, style in told_apart(lines, COLOURS, STYLES):
        axis.plot([float(value) for value in x], [float(value) for value in y], color=colour, linestyle=style,
                  label=name, marker="o" if marks else None, markersize=3.5)
    axis.set_xscale("log" if logx else "linear")
    axis.set_yscale("log" if logy else "linear")
    if logy and max(axis.get_ylim()) < 100 * min(axis.get_ylim()):
        ticks = [digit * 10.0**power for power in range(-9, 9) for digit in (1, 2, 5)]
        low, high = axis.get_ylim()
        ticks = [tick for tick in ticks if low <= tick <= high]
        axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])  # 0.2, not 2 × 10⁻¹
        axis.set_yticks([], minor=True)
    places = sorted({float(value) for x, _ in lines.values() for value in x})
    if logx and len(places) <= 5:
        axis.set_xticks(places, [f"{place:g}" for place in places])  # the default labels would overlap
        axis.set_xticks([], minor=True)
    if not logx and all(isinstance(value, int) for x, _ in lines.values() for value in x):
        axis.xaxis.get_major_locator().set_params(integer=True)  # half a word is no word
    _label(axis, xlabel, ylabel, legend=legend and len(lines) > 1)


def name_lines(axis):
    """Write the name of each line beside it, where it covers nothing and is far from the other lines.

    The axis must have its final limits, and its lines their names as labels. Where there is no room, a legend names
    them all.
    """
    lines = [line for line in axis.get_lines() if not line.get_label().startswith("_")]
    axis.figure.draw_without_rendering()
    renderer, inch = FigureCanvasAgg(axis.figure).get_renderer(), axis.figure.dpi
    inside = axis.get_window_extent(renderer).padded(-0.04 * inch)
    roads = []  # per line its places on the page, so close that no text slips through
    for line in lines:
        corners = axis.transData.transform(np.column_stack(line.get_data()).astype(float))
        roads.append(np.concatenate([np.linspace(a, b, 2 + int(np.hypot(*(b - a)) / (0.03 * inch)))
                                     for a, b in pairwise(corners)]))
    rooms = []  # per line: itself, its words, and [(how good, box), ...]
    for line, road in zip(lines, roads, strict=True):
        words = {"s": line.get_label(), "fontsize": SMALL, "ha": "center", "va": "center"}
        probe = axis.text(0, 0, **words)
        half = np.array(probe.get_window_extent(renderer).size) / 2
        probe.remove()
        free = []
        for place, side in product(road[:: 1 + len(road) // 80], SIDES):
            middle = place + (half + 0.06 * inch) * side
            gaps = [np.hypot(*np.maximum(np.abs(other - middle) - half, 0).T).min() / inch for other in roads]
            others = [gap for gap, other in zip(gaps, roads, strict=True) if other is not road]
            if min(gaps) > 0.03 and (middle - half > inside.min).all() and (middle + half < inside.max).all():
                free.append((min([0.5, *others]) - 0.05 * abs(side[0] * side[1]), Bbox([middle - half, middle + half])))
        rooms.append((line, words, free))
    taken, spots = [], []
    for line, words, free in sorted(rooms, key=lambda room: len(room[2])):  # whoever has little choice goes first
        free = [(good, place) for good, place in free if not any(place.overlaps(other) for other in taken)]
        if not free:
            axis.legend(fontsize=SMALL, frameon=False)
            return
        _, place = max(free, key=lambda room: room[0])
        taken.append(place)
        spots.append((axis.transData.inverted().transform((place.min + place.max) / 2), words, INK[line.get_color()]))
    for spot, words, ink in spots:
        axis.text(*spot, **words, color=ink)


def name_ends(axis):
    """Write the name of each line to the right of its end, which must be the right end of the axes."""
    axis.figure.draw_without_rendering()
    high, level, before = axis.get_window_extent().height / axis.figure.dpi, -1.0, 1
    ends = [(axis.transAxes.inverted().transform(axis.transData.transform(line.get_xydata()[-1]))[1], line)
            for line in axis.get_lines() if not line.get_label().startswith("_")]
    for y, line in sorted(ends, key=lambda end: end[0]):
        rows = line.get_label().count("\n") + 1
        level, before = max(y, level + 0.095 * (before + rows) / high), rows  # far enough from the name below
        axis.annotate("", line.get_xydata()[-1], (1.03, level), textcoords="axes fraction", arrowprops={
            "arrowstyle": "-", "color": GREY, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 4})
        axis.text(1.04, level, line.get_label(), transform=axis.transAxes, va="center", fontsize=SMALL,
                  color=INK[line.get_color()])


def bars(labels, groups, ylabel, alt, size=(3.6, 2.5), logy=False, xlabel=None, rotation=0, numbers=None):
    """Draw bars side by side: `groups` is {name: one value per label}; `numbers`, such as "{:.1f}", writes them on."""
    figure, (axis,) = canvas(*size)
    width = 0.8 / len(groups)
    for number, (name, values, colour, hatch) in enumerate(told_apart(groups, COLOURS, HATCHES)):
        at = [position + (number - (len(groups) - 1) / 2) * width for position in range(len(labels))]
        drawn = axis.bar(at, [float(value) for value in values], width, label=name, color=colour,
                         hatch=hatch, edgecolor="white")
        if numbers:
            axis.bar_label(drawn, fmt=numbers, fontsize=SMALL, padding=1)
    axis.set_yscale("log" if logy else "linear")
    axis.set_xticks(range(len(labels)), labels, rotation=rotation, ha="right" if rotation else "center")
    _label(axis, xlabel, ylabel, legend=len(groups) > 1)
    show(figure, alt)


def stacked_bars(labels, parts, ylabel, alt, size=(3.6, 2.5), xlabel=None, colours=None):
    """Draw one bar per label, made of parts on top of each other, named to the right of the last bar.

    Args:
        parts: {name: one value per label}.
        labels, ylabel, alt, size, xlabel: as for the other charts.
        colours: {name: colour}, for parts that have one of their own.
    """
    figure, (axis,) = canvas(*size)
    bottom = [0.0] * len(labels)
    for name, values, colour, hatch in told_apart(parts, COLOURS, HATCHES):
        heights = [float(value) for value in values]
        axis.bar(range(len(labels)), heights, 0.62, bottom=bottom, color=(colours or {}).get(name, colour),
                 hatch=hatch, edgecolor="white")
        bottom = [below + height for below, height in zip(bottom, heights, strict=True)]
    axis.set_xticks(range(len(labels)), labels)
    _label(axis, xlabel, ylabel, legend=False)
    last, line = len(labels) - 1, bottom[-1] * 0.21 / size[1]  # how high a line of text is
    names, middles, below = list(parts), [], 0.0
    for name in names:
        middles.append(below + float(parts[name][-1]) / 2)
        below += float(parts[name][-1])
    places = [middles[0]]
    for middle in middles[1:]:
        places.append(max(middle, places[-1] + 1.3 * line))
    for name, middle, place in zip(names, middles, places, strict=True):
        axis.plot([last + 0.33, last + 0.5], [middle, place], color=EDGE, linewidth=0.8, clip_on=False)
        axis.text(last + 0.54, place, name, ha="left", va="center", fontsize=SMALL)
    axis.set_xlim(-0.5, last + 0.5)
    show(figure, alt)


def points(vectors, labels, groups, xlabel, ylabel, alt, size=(3.8, 3.0), text=SMALL, links=(), legend=False):
    """Draw 2-dimensional vectors as labelled points, both axes to one scale.

    Args:
        vectors: (n, 2) tensor.
        labels, groups: the text of each point, and the name of its group, which gives the colour.
        xlabel, ylabel, alt, size, text: as for the other charts.
        links: pairs of places in `labels`: an arrow goes from the first point to the second, one with two heads if
            each goes to the other.
        legend: name the groups.
    """
    figure, (axis,) = canvas(*size)
    looks = {name: {"color": colour, "marker": marker}
             for name, _, colour, marker in told_apart(dict.fromkeys(groups), COLOURS, MARKERS)}
    for start, end in links:
        if (end, start) not in links or start < end:
            axis.annotate("", vectors[end].tolist(), vectors[start].tolist(), arrowprops={
                "arrowstyle": "<->" if (end, start) in links else "->", "color": "#888888", "shrinkA": 4, "shrinkB": 4,
                "mutation_scale": 8})
    for place, ((x, y), group) in enumerate(zip(vectors.tolist(), groups, strict=True)):
        axis.scatter(x, y, s=28, label=group if group not in groups[:place] else None, **looks[group])
    axis.axhline(0, color=GREY, linewidth=0.8, zorder=0)
    axis.axvline(0, color=GREY, linewidth=0.8, zorder=0)
    axis.margins(0.22 if len(labels) < 10 else 0.12)
    axis.set_aspect("equal")  # so that distances can be compared
    axis.tick_params(labelsize=text)
    _label(axis, xlabel, ylabel, legend=legend, text=text)
    figure.draw_without_rendering()  # now the places on the page are known
    renderer = FigureCanvasAgg(figure).get_renderer()
    lines = [vectors[start] + share * (vectors[end] - vectors[start])
             for start, end in links for share in (0.2, 0.4, 0.6, 0.8)]
    taken = [Bbox.from_bounds(*(axis.transData.transform(place.tolist()) - 5), 10, 10) for place in [*vectors, *lines]]
    for place, label in zip(vectors.tolist(), labels, strict=True):
        taken.append(_label_point(axis, place, label, taken, text, renderer))
    show(figure, alt)


def _label_point(axis, place, label, taken, size, renderer):
    """Write a label beside a point, where it covers least of what is there, and return the box it takes."""
    best = None
    for dx, dy in [(1, 1), (1, -1), (-1, 1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1)]:
        reach = 5 if dx and dy else 8
        written = axis.annotate(label, place, xytext=(reach * dx, (reach - 1) * dy), textcoords="offset points",
                                fontsize=size, ha=["center", "left", "right"][dx], va=["center", "bottom", "top"][dy])
        extent = written.get_window_extent(renderer)
        shared = [Bbox.intersection(extent, other) for other in taken]
        covered = sum(part.width * part.height for part in shared if part is not None)
        if best is None or covered < best[0]:
            if best is not None:
                best[1].remove()
            best = covered, written, extent
        else:
            written.remove()
    return best[2]


def regions(xs, ys, values, groups, xlabel, ylabel, alt, size=(4.2, 3.0), label=None, border="0.5"):
    """Draw a function of the plane as colours, with the line where it is one half, and points on it.

    Args:
        xs, ys: the coordinates at which the function is known, 1-dimensional tensors.
        values: (len(ys), len(xs)) values between 0 and 1.
        groups: {name: (number of points, 2) tensor}.
        alt: what one sees.
        label: what the colours stand for.
        border: the text on that line.
    """
    figure, (axis,) = canvas(*size)
    colours = axis.contourf(xs.numpy(), ys.numpy(), values.detach().numpy(), levels=20, cmap="PuOr", vmin=0, vmax=1)
    half = axis.contour(xs.numpy(), ys.numpy(), values.detach().numpy(), levels=[0.5], colors="black", linewidths=1.2)
    axis.clabel(half, fmt=border, fontsize=SMALL)
    bar = figure.colorbar(colours, ax=axis, ticks=[0, 0.25, 0.5, 0.75, 1])
    bar.ax.tick_params(labelsize=SMALL)
    bar.set_label(label, fontsize=SMALL)
    for name, points_of_group, marker in told_apart(groups, MARKERS):
        axis.scatter(*points_of_group.T.numpy(), marker=marker, s=32, edgecolor="black", facecolor="white")
        top = points_of_group[points_of_group[:, 1].argmax()].tolist()
        axis.annotate(name, top, xytext=(0, 8), textcoords="offset points", fontsize=SMALL, ha="center", va="bottom",
                      bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})  # the colours below may be dark
    _label(axis, xlabel, ylabel, legend=False)
    show(figure, alt)


def _label(axis, xlabel, ylabel, legend, text=SMALL):
    axis.set_xlabel(xlabel, fontsize=text)
    axis.set_ylabel(ylabel, fontsize=text)
    if legend:
        axis.legend(fontsize=text, frameon=False)


def told_apart(groups, *looks):
    """Return [(name, value, look, ...), ...] for the entries of `groups`, {name: value}, and lists of looks.

    Raises:
        ValueError: there are more groups than looks.
    """
    most = min(map(len, looks))
    if len(groups) > most:
        raise ValueError(f"this figure can tell {most} groups apart, got {len(groups)}: {', '.join(groups)}")
    return [(*group, *look) for group, *look in zip(groups.items(), *looks, strict=False)]


def visible(text):
    """Return a token's text with its spaces and line breaks made visible, for a label in a figure."""
    return text.replace(" ", "·").replace("\n", "↵")
