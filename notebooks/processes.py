"""Pictures of what happens step by step: to a text, to a token's vector, to a loss, to the odds of the next word.

They are drawn by the means of figures.py, in its colours, and name each operation on its arrow. A token is grey, a
probability sky blue, what was chosen black, a target and its loss vermilion, a position purple.
"""

from collections import Counter
from dataclasses import dataclass
from math import cos, exp, log, pi, sin

from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle

try:
    from . import figures  # as notebooks.processes, in a program of the course
except ImportError:
    import figures  # as processes, in a notebook

TEXT = 10  # points
LINE, FRAME = "#444444", "#777777"  # lines and arrows, and around boxes
TOKEN, CHANCE, CHOSEN, LOSS, POSITION = figures.TOKEN, figures.CHANCE, figures.CHOSEN, figures.LOSS, figures.POSITION


def _width(text, weight="normal"):
    """Return the width of a text in inches."""
    return figures.text_width(text.replace("$", r"\$"), TEXT, weight=weight)


def _write(axis, x, y, text, ha="center", va=None, **keywords):
    """Write text at a place; texts of one line stand on one line, whatever their letters."""
    if va is None and "\n" not in text and not keywords.get("rotation"):
        va, y = "baseline", y - 0.05  # half of a capital letter
    va = va or "center"
    axis.text(x, y, text.replace("$", r"\$"), ha=ha, va=va, fontsize=TEXT, linespacing=1.2, **keywords)


def _box(axis, x, y, width, height, text="", colour=LINE, strong=False):
    """Draw a rounded box in a pale shade of a colour, or in the colour itself, with a text that stands out."""
    patch = axis.add_patch(FancyBboxPatch(
        (x, y), width, height, boxstyle="round,pad=0,rounding_size=0.06", linewidth=1.2, zorder=3,
        edgecolor=LINE if strong else colour, facecolor=colour + ("" if strong else "22")))
    _write(axis, x + width / 2, y + height / 2, text, zorder=4, color=figures.readable(colour) if strong else "black")
    return patch


def _arrow(axis, start, end, colour=LINE, width=1.3, curve=0.0, boxes=(None, None)):
    """Draw an arrow, on a bow if `curve` is not 0, from the edge of one of two boxes to that of the other, if given."""
    axis.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12, color=colour, linewidth=width,
                                   patchA=boxes[0], patchB=boxes[1], shrinkA=4 if boxes[0] else 0,
                                   shrinkB=4 if boxes[0] else 0, connectionstyle=f"arc3,rad={curve}", zorder=2))


def _path(axis, points, colour=LINE, width=1.3, head=True):
    """Draw a line through points, with a head at its end."""
    xs, ys = zip(*points, strict=True)
    axis.plot(xs, ys, color=colour, linewidth=width, solid_joinstyle="miter", zorder=2)
    if head:
        (x, y), (to_x, to_y) = points[-2], points[-1]
        _arrow(axis, (to_x - 0.01 * (to_x - x), to_y - 0.01 * (to_y - y)), (to_x, to_y), colour, width)


def _number(p, digits=3):
    """Write a probability; one that is too small for the digits as "< 0.001"."""
    least = 10.0**-digits
    return f"{p:.{digits}f}" if p >= least / 2 else f"< {least:.{digits}f}" if p > 0 else "0"


@dataclass
class Frame:
    """One turn of `next_token_loop`.

    Args:
        text: the tokens so far.
        probabilities: {possible next token: its probability}.
        chosen: the token that was chosen among them.
        total: if the probabilities are counts divided by their total, that total: the counts are written as well.
    """

    text: list
    probabilities: dict
    chosen: object
    total: int | None = None


def next_token_loop(frames, model, operations, alt, seen=None, name=str, bars=10):
    """Draw turns of the loop in which a model writes: text, model, bars of probability, choice; the choice is appended.

    The bars of all turns, and of all such pictures, have one scale: a full bar is 1. A number behind a bar has three
    digits, or six where the highest probability is below 0.01; that of the others is what the printed ones leave of 1.

    Args:
        frames: a list of `Frame`; the text of each is that of the one before with the chosen token at its end.
        model: what the model is, one or two lines.
        operations: what it reads, what makes probabilities of its output, and how a token is chosen among them.
        alt: what one sees.
        seen: how many of the last tokens the model looks at; None for all.
        name: a function of a token that returns its text.
        bars: how many of the most probable tokens get a bar of their own.

    Raises:
        ValueError: a text does not go on with the token that was chosen before.
    """
    for before, after in zip(frames, frames[1:], strict=False):
        if list(after.text) != [*before.text, before.chosen]:
            raise ValueError(f"the text of a frame must be that of the frame before and {before.chosen!r}")
    column, gap, bar_height = 2.78, 0.42, 0.185
    width, height = len(frames) * (column + gap), 2.42 + (bars + 1) * bar_height
    figure, axis = figures.surface(width, height)
    for number, frame in enumerate(frames):
        left = number * (column + gap)
        _write(axis, left, height - 0.1, f"turn {number + 1}", ha="left", weight="bold")
        newest = _draw_text(axis, left, height - 0.72, column, [figures.visible(name(token)) for token in frame.text],
                            seen, new=number > 0)
        if number:
            _path(axis, [(left - gap + 0.14, 0.17), (left - 0.2, 0.17), (left - 0.2, height - 0.28),
                         (newest, height - 0.28), (newest, height - 0.42)], CHOSEN, 2)
            _write(axis, left - 0.2, height / 2 - 0.2, "append", rotation=90, zorder=5,
                   bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})
        top, middle = height - 1.12, left + column / 2
        _box(axis, left + 0.35, top - 0.44, column - 0.7, 0.44, model)
        bottom = _draw_chances(axis, left, top - 0.74, column, bar_height, frame, name, bars)
        spans = [(height - 0.82, top + 0.02, LINE), (top - 0.46, top - 0.7, LINE), (bottom - 0.02, 0.34, CHOSEN)]
        for (start, end, colour), operation in zip(spans, operations, strict=True):
            _arrow(axis, (middle, start), (middle, end), colour, 2 if colour == CHOSEN else 1.3)
            _write(axis, middle + 0.12, max((start + end) / 2 - 0.01, end + 0.12), operation, ha="left")
        text = figures.visible(name(frame.chosen))
        wide = max(0.5, _width(text) + 0.2)
        _box(axis, left + (column - wide) / 2, 0.02, wide, 0.3, text, CHOSEN, strong=True)
        last = frame is frames[-1]
        _path(axis, [(middle + wide / 2 + 0.02, 0.17), (left + column + (0.3 if last else 0.14), 0.17)], CHOSEN, 2,
              head=last)
    _write(axis, width - 0.02, 0.2, "…", ha="left")
    figures.show(figure, alt)


def _draw_text(axis, left, y, column, texts, seen, new):
    """Draw the last tokens that fit into a column, mark those that the model sees, return the middle of the last."""
    widths = [max(0.26, _width(text) + 0.13) for text in texts]
    first = 0
    while sum(widths[first:]) + 0.04 * (len(texts) - first) + (0.24 if first else 0) > column:
        first += 1
    x = left
    if first:
        _write(axis, x, y + 0.14, "…", ha="left")
        x += 0.24
    from_here = left if seen is None else x
    for place in range(first, len(texts)):
        last = place == len(texts) - 1
        if seen is not None and place == max(first, len(texts) - seen):
            from_here = x
        _box(axis, x, y, widths[place], 0.29, texts[place], CHOSEN if new and last else TOKEN, strong=new and last)
        x += widths[place] + 0.04
    x -= 0.04
    axis.plot([from_here, x], [y - 0.06] * 2, color=LINE, linewidth=2.2, solid_capstyle="butt")
    middle = left + column / 2
    if not from_here <= middle <= x:  # lead what it sees to the arrow
        axis.plot([(from_here + x) / 2, (from_here + x) / 2, middle], [y - 0.06, y - 0.1, y - 0.1], color=LINE,
                  linewidth=1.3)
    return x - widths[-1] / 2


def _draw_chances(axis, left, top, column, bar_height, frame, name, bars):
    """Draw the highest probabilities as bars, one below the other, and the sum of all others; return the lower end."""
    ranked = sorted(frame.probabilities.items(), key=lambda entry: -entry[1])
    rows = [(figures.visible(name(token)), p, CHOSEN if token == frame.chosen else CHANCE) for token, p in
            ranked[:bars]]
    if ranked[bars:]:
        hidden = any(token == frame.chosen for token, _ in ranked[bars:])
        others = f"{len(ranked) - bars:,} other" + ("s" if len(ranked) - bars > 1 else "")
        rows.append((others, sum(p for _, p in ranked[bars:]), CHOSEN if hidden else TOKEN))
    digits = 3 if ranked[0][1] >= 0.01 else 6
    named = sum(round(p, digits) for _, p in ranked[:bars])
    start, full = left + 1.06, column - 1.06 - 0.72
    for number, (label, p, colour) in enumerate(rows):
        y = top - (number + 0.5) * bar_height
        if colour == CHOSEN:  # to be seen where the bar is too short
            axis.add_patch(Rectangle((left, y - bar_height / 2), column - 0.1, bar_height, facecolor=CHOSEN + "44",
                                     zorder=1))
        while _width(label) > 1.02:
            label = label.rstrip("…")[:-1] + "…"
        _write(axis, start - 0.07, y, label, ha="right")
        axis.add_patch(Rectangle((start, y - 0.38 * bar_height), full * p, 0.76 * bar_height, facecolor=colour,
                                 edgecolor=LINE, linewidth=0.8, zorder=3))
        text = _number(p if number < bars else max(0.0, 1 - named), digits)
        if frame.total:
            text = f"{round(p * frame.total)}/{frame.total} = {_number(p, digits)}"
        _write(axis, start + full * p + 0.05, y, text, ha="left", weight="bold" if colour == CHOSEN else "normal")
    bottom = top - len(rows) * bar_height
    axis.plot([start, start], [top, bottom], color=LINE, linewidth=1)
    return bottom


def stream(notes, repeats, alt, shapes=None, whole=True, note=""):
    """Draw a GPT as a stream that runs upwards: each branch reads a copy of it, and what it finds is added.

    Args:
        notes: {part: a line in its box} for token embedding, position embedding, layer norm, attention, feed forward
            and output head; those of the parts that are drawn are needed.
        repeats: how many blocks there are.
        alt: what one sees.
        shapes: {place: shape} for the arrows: stream, layer norm, attention, feed forward.
        whole: draw embeddings, last norm and head as well, and not only a block.
        note: a line in the upper right corner of the whole, or below a block.
    """
    shapes = {place: " × ".join(map(str, shape)) for place, shape in (shapes or {}).items()}
    x, width, low, block = 1.2, 7.55, (1.95 if whole else 0.6), 3.2
    top = low + block
    height = top + (2.05 if whole else 0.6)
    figure, axis = figures.surface(width, height)
    axis.plot([x, x], [low - 0.6, top + 0.1] if whole else [0.3, top + 0.25], color=TOKEN, linewidth=10,
              solid_capstyle="butt", zorder=1)
    axis.add_patch(FancyBboxPatch((0.05, low), width - 0.1, block, boxstyle="round,pad=0,rounding_size=0.1",
                                  linewidth=1.3, linestyle="--", edgecolor=LINE, facecolor="none"))
    _write(axis, width - 0.2, low + block / 2, f"× {repeats}\nblocks", ha="right", weight="bold")
    _write(axis, x - 0.16, low + block / 2 - 0.05, shapes.get("stream", ""), ha="right")
    for y, name in [(low + 0.3, "attention"), (low + 1.8, "feed forward")]:
        _branch(axis, x, y, name, notes, shapes)
    if whole:
        _ends(axis, x, low, top, height, notes)
        _write(axis, width - 0.05, top + 1.25, note, ha="right", style="italic")
    else:
        _write(axis, x - 0.15, 0.13, "from the embeddings, or from the block below", ha="left")
        _write(axis, width - 0.05, 0.13, note, ha="right")
        axis.add_patch(Polygon([(x - 0.15, top + 0.25), (x + 0.15, top + 0.25), (x, top + 0.5)], facecolor=TOKEN))
        _write(axis, x + 0.3, top + 0.3, "to the next block, or to the last layer norm", ha="left")
    figures.show(figure, alt)


def _branch(axis, x, y, name, notes, shapes):
    """Draw one branch of the stream: copy, layer norm, attention or feed forward, and the sum."""
    norm, part, middle, up = x + 1.1, x + 3.65, y + 0.25, y + 1.05
    _arrow(axis, (x, middle), (norm - 0.02, middle))
    _write(axis, x + 0.6, middle + 0.06, "copy", va="bottom")
    _box(axis, norm, y, 1.55, 0.5, f"layer norm\n{notes['layer norm']}", FRAME)
    _arrow(axis, (norm + 1.57, middle), (part - 0.02, middle))
    _write(axis, (norm + 1.55 + part) / 2, middle + 0.06, shapes.get("layer norm", ""), va="bottom")
    _box(axis, part, y, 1.9, 0.5, f"{name}\n{notes[name]}", FRAME)
    if name == "attention":  # its three colours
        for place, colour in enumerate([figures.BLUE, figures.ORANGE, figures.GREEN]):
            axis.add_patch(Rectangle((part + 1.4 + 0.14 * place, y + 0.31), 0.1, 0.1, facecolor=colour, zorder=4))
        _write(axis, part + 1.9, y - 0.13, "queries, keys, values", ha="right", style="italic")
    _path(axis, [(part + 0.95, y + 0.5), (part + 0.95, up), (x + 0.16, up)])
    _write(axis, part + 0.87, up - 0.06, shapes.get(name, ""), ha="right", va="top")
    _write(axis, x + 0.6, up + 0.06, "add", va="bottom")
    what = {"attention": "what the tokens tell each other", "feed forward": "what each token makes of it"}[name]
    _write(axis, norm + 1.6, up + 0.06, what, va="bottom", style="italic")
    _plus(axis, x, up)


def _plus(axis, x, y):
    axis.add_patch(Circle((x, y), 0.14, facecolor="white", edgecolor=LINE, linewidth=1.3, zorder=3))
    axis.plot([x - 0.08, x + 0.08, x, x, x], [y, y, y, y - 0.08, y + 0.08], color=LINE, linewidth=1.6, zorder=4)


def _ends(axis, x, low, top, height, notes):
    """Draw what is below and above the blocks."""
    plus, places = low - 0.6, x + 2.75
    _box(axis, x - 0.95, 0.47, 1.9, 0.5, f"token embedding\n{notes['token embedding']}", FRAME)
    _box(axis, places - 0.95, 0.47, 1.9, 0.5, f"position embedding\n{notes['position embedding']}", POSITION)
    for middle, text in [(x, "ids of the tokens"), (places, "places 0, 1, 2, …")]:
        _write(axis, middle, 0.1, text)
        _arrow(axis, (middle, 0.2), (middle, 0.45))
    _arrow(axis, (x, 0.99), (x, plus - 0.14))
    _path(axis, [(places, 0.97), (places, plus), (x + 0.16, plus)])
    _write(axis, x + 0.6, plus + 0.06, "add", va="bottom")
    _plus(axis, x, plus)
    _write(axis, x + 0.2, low - 0.2, "a vector for each token", ha="left", style="italic")
    axis.add_patch(Polygon([(x - 0.15, top + 0.08), (x + 0.15, top + 0.08), (x, top + 0.25)], facecolor=TOKEN))
    _box(axis, x - 0.775, top + 0.25, 1.55, 0.5, f"layer norm\n{notes['layer norm']}", FRAME)
    _arrow(axis, (x, top + 0.77), (x, top + 0.98))
    _box(axis, x - 0.95, top + 1.0, 1.9, 0.5, f"output head\n{notes['output head']}", FRAME)
    _arrow(axis, (x, top + 1.52), (x, height - 0.23))
    _write(axis, x - 0.95, height - 0.1, "one score per vocabulary entry, for each token", ha="left")


def depths(panels, xlabel, ylabel, alt, size=(3.9, 3.0)):
    """Draw how a size grows or shrinks from layer to layer, a panel per network, on one logarithmic scale.

    Args:
        panels: {title: {name: sizes after 0, 1, 2, … layers}}; a name stands at the end of its line.
        xlabel, ylabel: of the axes.
        alt: what one sees.
        size: of a panel in inches.
    """
    figure, axes = figures.canvas(size[0] * len(panels), size[1], len(panels), sharey=True)
    for axis, (title, lines) in zip(axes, panels.items(), strict=True):
        axis.set_title(title, fontsize=TEXT, weight="bold")
        labels = {}
        for name, sizes, style in figures.told_apart(lines, figures.STYLES):
            axis.plot(range(len(sizes)), sizes, color=LINE, linestyle=style, linewidth=2)
            same = next((end for end in labels if 0.4 < end / sizes[-1] < 2.5), sizes[-1])
            labels.setdefault(same, []).append(name)
        for end, names in labels.items():
            axis.text(len(sizes) - 1 + 0.2, end, "\n".join(names), fontsize=TEXT, va="center")
        axis.set(yscale="log", xlim=(0, len(sizes) - 1), xticks=range(0, len(sizes), 3))
        axis.tick_params(labelsize=TEXT, labelleft=True)
        axis.set_xlabel(xlabel, fontsize=TEXT)
    axes[0].set_ylabel(ylabel, fontsize=TEXT)
    figures.show(figure, alt)


def normalising(values, mean, deviation, alt, width=8.4, note=""):
    """Draw the numbers of one token on three number lines: as they are, less their mean, over their deviation.

    Args:
        values: the numbers, a 1-dimensional tensor.
        mean, deviation: theirs.
        alt: what one sees.
        width: in inches.
        note: how the deviation was computed.
    """
    values = [float(value) for value in values]
    mean, deviation = float(mean), float(deviation)
    stages = [values, [v - mean for v in values], [(v - mean) / deviation for v in values]]
    low, high = min(map(min, stages)), max(map(max, stages))
    left, right, heights = 1.95, width - 0.3, [2.75, 1.6, 0.45]
    figure, axis = figures.surface(width, 3.1)

    def at(value):
        return left + (value - low) / (high - low) * (right - left)

    axis.plot([at(0), at(0)], [0.22, 3.0], color=FRAME, linewidth=1, linestyle="--", zorder=0)
    _write(axis, at(0), 0.08, "0")
    second = next(d for d in range(2, 9) if all(  # enough digits for the numbers below to follow from the printed ones
        f"{round(v, d) / round(deviation, d):.2f}" == f"{v / deviation:.2f}" for v in stages[1]))
    first = next(d for d in range(second, 9) if all(
        f"{round(v, d) - round(mean, d):.{second}f}" == f"{v - mean:.{second}f}" for v in values))
    size = f"deviation {deviation:.{second}f}"
    sizes = [f"{size}{note}", f"mean 0, {size}", "mean 0, deviation 1"]
    for y, stage, name, size in zip(heights, stages, ["as they came", "shifted", "scaled"], sizes, strict=True):
        axis.plot([left - 0.15, right + 0.15], [y, y], color=LINE, linewidth=1)
        _write(axis, 0, y, name, ha="left", weight="bold")
        digits = {heights[0]: first, heights[1]: second}.get(y, 2)
        below = _dots(axis, [at(value) for value in stage], y, [
            f"{value:.{digits}f}".replace("-", "−") if value else "0" for value in stage])
        last = y == heights[-1]
        _write(axis, left - 0.15 if last else right + 0.15, y + (0.21 if below and not last else -0.21), size,
               ha="left" if last else "right", style="italic")
    for number, operation in enumerate([f"− mean\n{mean:.{first}f}", f"÷ deviation\n{deviation:.{second}f}"]):
        y, below = heights[number], heights[number + 1]
        _arrow(axis, (0.3, y - 0.2), (0.3, below + 0.2))
        _write(axis, 0.42, (y + below) / 2, operation, ha="left")
        for value, result in zip(stages[number], stages[number + 1], strict=True):
            axis.plot([at(value), at(result)], [y, below], color=figures.tint(figures.BLUE, 0.4), zorder=1)
    figures.show(figure, alt)


def _dots(axis, places, y, labels):
    """Draw dots on a line and their labels, above and below in turn, one label for those that lie close together.

    Returns:
        whether the last label is below.
    """
    groups = []
    for place, label in sorted(zip(places, labels, strict=True)):
        if groups and place - groups[-1][0][-1] < 0.12:
            groups[-1][0].append(place)
            groups[-1][1].append(label)
        else:
            groups.append(([place], [label]))
    for number, (near, texts) in enumerate(groups):
        counts = Counter(texts)
        text = ", ".join(label if count == 1 else f"{label} ×{count}" for label, count in counts.items())
        _write(axis, sum(near) / len(near), y + (-0.21 if number % 2 else 0.21), text, zorder=5,
               bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8})
        for place, count in Counter(near).items():
            axis.scatter(place, y, s=40 + 25 * (count - 1), color=figures.BLUE, edgecolor="white", zorder=6)
    return len(groups) % 2 == 0


def cross_entropy_steps(texts, logits, targets, names, alt):
    """Draw how logits become a loss: softmax, the target's entry, its surprise −log p, and the mean of all surprises.

    Args:
        texts: what the model has read at each prediction.
        logits: (predictions, vocab_size).
        targets: (predictions,) ids of the tokens that should have come.
        names: the texts of the targets.
        alt: what one sees.
    """
    entries, rows = logits.shape[1], range(len(targets))
    chances = logits.softmax(dim=-1)
    surprises = -chances[rows, targets].log()
    step, bottom = 0.34, 0.86
    top = bottom + step * len(targets)
    figure, axis = figures.surface(9.3, top + 0.95)
    x_scores, x_chances, x_bars, scale = 2.65, 4.75, 6.9, 2.25 / 13
    for x, text in [(0.7, "the model\nhas read"), (1.95, "should\ncome"), (x_scores + 0.6, f"{entries:,}\nscores"),
                    (x_chances + 0.7, f"{entries:,}\nprobabilities"), (x_bars + 0.85, "surprise\n−log p")]:
        _write(axis, x, top + 0.72, text, weight="bold")
    for start, end, operation in [(x_scores + 1.2, x_chances, "softmax"), (x_chances + 1.4, x_bars, "−log\n(natural)")]:
        _arrow(axis, (start + 0.06, top + 0.3), (end - 0.06, top + 0.3))
        _write(axis, (start + end) / 2, top + 0.36, operation, va="bottom")
    for x, width in [(x_scores, 1.2), (x_chances, 1.4)]:
        _write(axis, x + width / 2, bottom - 0.15, "pick the target's")
    for row, text, name, target in zip(rows, texts, names, targets.tolist(), strict=True):
        y = top - (row + 0.5) * step
        _write(axis, 1.4, y, text, ha="right")
        _write(axis, 1.55, y, name, ha="left", weight="bold")
        _strip(axis, x_scores, y, 1.2, f"{float(logits[row, target]):.2f}".replace("-", "−"))
        _strip(axis, x_chances, y, 1.4, f"{float(chances[row, target]):.8f}")
        axis.add_patch(Rectangle((x_bars, y - 0.12), float(surprises[row]) * scale, 0.24, facecolor=LOSS + "66",
                                 edgecolor=LINE, linewidth=0.8, zorder=2))
        _write(axis, x_bars + 0.06, y, f"{float(surprises[row]):.3f}", ha="left", zorder=4)
    axis.plot([x_bars, x_bars], [bottom, top], color=LINE, linewidth=1)
    for value, style, y, text in [(float(surprises.mean()), "-", 0.36, "mean of all: the loss now,"),
                                  (log(entries), ":", 0.12, "guessing would have")]:
        if style == "-" or abs(value - float(surprises.mean())) * scale > 0.04:  # not on top of the other
            axis.plot([x_bars + value * scale] * 2, [y - 0.08, top + 0.05], color=LINE, linewidth=1.6, linestyle=style,
                      zorder=3)
        _write(axis, x_bars + value * scale - 0.07, y, f"{text} {value:.2f}", ha="right")
    figures.show(figure, alt)


def _strip(axis, x, y, width, value):
    """Draw a row of a matrix with the target's entry in it."""
    wide = _width(value) + 0.12
    axis.add_patch(Rectangle((x, y - 0.12), width, 0.24, facecolor="white", edgecolor=FRAME, linewidth=0.8))
    axis.add_patch(Rectangle((x + (width - wide) / 2, y - 0.12), wide, 0.24, facecolor=LOSS + "33", edgecolor=LOSS,
                             linewidth=1.4, zorder=3))
    _write(axis, x + width / 2, y, value, zorder=4)
    for side in (0.1, width - 0.1):
        _write(axis, x + side, y, "…")


def surprise(guessing, now, alt, size=(6.0, 3.2)):
    """Draw the curve of −log p with what guessing costs, what the model costs now, and what being sure and right does.

    Args:
        guessing: among how many tokens one would guess.
        now: the model's loss.
        alt: what one sees.
        size: in inches.
    """
    figure, (axis,) = figures.canvas(*size)
    ps = [exp(-log(guessing) * (1 - place / 300)) for place in range(301)]
    axis.plot(ps, [-log(p) for p in ps], color=LOSS, linewidth=2.2)
    marks = [(1 / guessing, f"guessing among {guessing:,}: {log(guessing):.2f}", (0.09, log(guessing) + 0.55)),
             (exp(-now), f"our model's average now: {now:.2f}", (0.09, now - 0.95)),
             (0.5, f"an even bet: {log(2):.2f}", (0.5, log(2) + 1.3)), (1, "sure and right: 0", (0.78, 0.95))]
    for p, label, place in marks:
        axis.scatter(p, -log(p), s=36, color=LINE, zorder=3)
        axis.annotate(label, (p, -log(p)), place, fontsize=TEXT, va="center",
                      arrowprops={"arrowstyle": "-", "color": LINE, "linewidth": 0.8})
    axis.set(xlim=(-0.02, 1.03), ylim=(-0.2, 12))
    axis.tick_params(labelsize=TEXT)
    axis.set_xlabel("probability p that the model gave to the right token", fontsize=TEXT)
    axis.set_ylabel("surprise, −log p (natural)", fontsize=TEXT)
    figures.show(figure, alt)


def circle(stations, operations, middle, alt, size=(7.6, 3.6)):
    """Draw stations on a circle, and on the arrows between them, the last one too, what leads from each to the next.

    Args:
        stations: (title, detail) pairs, from the top on clockwise.
        operations: what stands on the arrow behind each station.
        middle: text in the middle.
        alt: what one sees.
        size: in inches.
    """
    width, height = size
    figure, axis = figures.surface(width, height)
    across, up = width / 2 - 1.0, height / 2 - 0.35
    places = [(width / 2 + across * sin(2 * pi * n / len(stations)), height / 2 + up * cos(2 * pi * n / len(stations)))
              for n in range(len(stations))]
    boxes = []
    for (title, detail), (x, y) in zip(stations, places, strict=True):
        wide = max(_width(title, "bold"), _width(detail)) + 0.24
        high = 0.3 + 0.19 * (detail.count("\n") + 1)
        boxes.append(_box(axis, x - wide / 2, y - high / 2, wide, high, colour=FRAME))
        _write(axis, x, y + high / 2 - 0.15, title, weight="bold", zorder=4)
        _write(axis, x, y - 0.12, detail, zorder=4)
    for number, operation in enumerate(operations):
        ends = (number, (number + 1) % len(stations))
        _arrow(axis, *(places[end] for end in ends), width=2.2, curve=-0.25, boxes=[boxes[end] for end in ends])
        angle = (number + 0.5) * 2 * pi / len(stations)
        _write(axis, width / 2 + 0.56 * across * sin(angle), height / 2 + 0.58 * up * cos(angle), operation)
    _write(axis, width / 2, height / 2, middle, style="italic")
    figures.show(figure, alt)


def losses(epochs, training, validation, xlabel, alt, size=(6.4, 3.2)):
    """Draw training and validation loss, named beside their lines, the lowest validation loss and the gap at the end.

    Args:
        epochs, training, validation: sequences of one length, an entry per evaluation.
        xlabel: of the axis.
        alt: what one sees.
        size: in inches.
    """
    epochs, training, validation = ([float(value) for value in values] for values in (epochs, training, validation))
    figure, (axis,) = figures.canvas(*size)
    best = validation.index(min(validation))
    top = 1.12 * max(training + validation)
    for name, values, colour, style in [("training", training, figures.BLUE, "-"),
                                        ("validation", validation, figures.ORANGE, "--")]:
        axis.plot(epochs, values, color=colour, linestyle=style, linewidth=2)
        axis.text(epochs[-1] + 0.02 * (epochs[-1] - epochs[0]), values[-1], f"{name}\n{values[-1]:.2f}", fontsize=TEXT,
                  va="center")
    axis.scatter(epochs[best], validation[best], s=44, color=LINE, zorder=3)
    axis.annotate(f"lowest validation loss: {validation[best]:.2f}", (epochs[best], validation[best]),
                  (epochs[best], validation[best] + 0.2 * top), fontsize=TEXT, ha="center", va="center",
                  arrowprops={"arrowstyle": "-", "color": LINE, "linewidth": 0.8})
    if best < len(epochs) - 1:
        axis.axvspan(epochs[best], epochs[-1], color=TOKEN, alpha=0.25, linewidth=0, zorder=0)
        axis.text((epochs[best] + epochs[-1]) / 2, (validation[-1] + training[-1]) / 2 + 0.06 * top, "overfitting",
                  fontsize=TEXT, ha="center", va="center")
    axis.set(ylim=(0, top), xlim=(0, epochs[-1]))
    axis.tick_params(labelsize=TEXT)
    axis.set_xlabel(xlabel, fontsize=TEXT)
    axis.set_ylabel("loss", fontsize=TEXT)
    figures.show(figure, alt)


@dataclass
class Odds:
    """The odds of the next word at one stage, for `choosing`.

    Args:
        title: what the stage is.
        probabilities: {word: probability}, the same words at every stage; a word that was cut has 0.
        before: {word: probability} of an earlier stage, drawn as a dashed outline.
        cut: the words that are struck out.
        labels: {word: what stands behind its bar}; by default the probability.
        note: a line below the bars.
        digits: of the probabilities behind the bars.
    """

    title: str
    probabilities: dict
    before: dict | None = None
    cut: tuple = ()
    labels: dict | None = None
    note: str = ""
    digits: int = 3


def choosing(stages, operations, alt, column=2.45):
    """Draw the odds of the next word before and after it is decided what is cut and what is scaled.

    Args:
        stages: a list of `Odds`, drawn beside each other on one scale.
        operations: what stands on the arrow before each stage but the first; None for no arrow.
        alt: what one sees.
        column: the width of the bars' part of a stage in inches.

    Raises:
        ValueError: the stages do not have the same words.
    """
    words = sorted(stages[0].probabilities, key=stages[0].probabilities.get, reverse=True)
    if any(set(stage.probabilities) != set(words) for stage in stages):
        raise ValueError("all stages must have the same words")
    gaps = [0.0] + [0.18 if operation is None else 0.3 + _width(operation) for operation in operations]
    label, step, top = max(map(_width, words)) + 0.15, 0.22, 0.22 * len(words) + 0.32
    figure, axis = figures.surface(label + len(stages) * column + sum(gaps), top + 0.5)
    longest = max(_width(text) for stage in stages for text in (stage.labels or {"": "0.9999"}).values())
    scale = (column - 0.2 - longest) / max(max(stage.probabilities.values()) for stage in stages)
    x = label
    for number, stage in enumerate(stages):
        if gaps[number] and operations[number - 1] is not None:
            _arrow(axis, (x - 0.1, top / 2 + 0.1), (x + gaps[number] - 0.12, top / 2 + 0.1))
            _write(axis, x + gaps[number] / 2 - 0.12, top / 2 + 0.15, operations[number - 1], va="bottom")
        x += gaps[number]
        _write(axis, x, top + 0.2, stage.title, ha="left", weight="bold")
        for row, word in enumerate(words):
            y = top - (row + 0.5) * step
            if number == 0:
                _write(axis, x - 0.08, y, word, ha="right")
            _odds(axis, x, y, step, scale, word, stage)
        axis.plot([x, x], [0.32, top], color=LINE, linewidth=1)
        _write(axis, x, 0.12, stage.note, ha="left")
        x += column
    figures.show(figure, alt)


def _odds(axis, x, y, step, scale, word, stage):
    """Draw the bar of one word at one stage, and behind it the outline of what it was."""
    p, cut = stage.probabilities[word], word in stage.cut
    axis.add_patch(Rectangle((x, y - 0.36 * step), p * scale, 0.72 * step, facecolor="white" if cut else CHANCE,
                             edgecolor=LINE, linewidth=0.8, hatch="////" if cut and p else None, zorder=2))
    end = p * scale
    if stage.before is not None:
        axis.add_patch(Rectangle((x, y - 0.36 * step), stage.before[word] * scale, 0.72 * step, facecolor="none",
                                 edgecolor=LINE, linewidth=1.1, linestyle=(0, (2, 1.5)), zorder=3))
        end = max(end, stage.before[word] * scale)
    _write(axis, x + end + 0.06, y, (stage.labels or {}).get(word, "cut" if cut else _number(p, stage.digits)),
           ha="left")
