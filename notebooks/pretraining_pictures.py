"""Pictures of pretraining: rows of packed documents, sweeps, schedules, Muon, and what loss costs in compute.

They are drawn by the means of figures.py. One colour for one thing:

- training loss: blue, solid; validation loss: orange, dashed, as in `processes.losses`
- AdamW: purple, solid; Muon, and what it makes of a gradient: green, dashed
- a gradient as it was: red, dashed
- model sizes: shades of blue, the larger the darker
- end-of-text token: grey, as tokens are; padding: hatched
- a packer of files: grey; counts: sky blue; our models: black; large models of others: indigo
- lowest, best, predicted: black; other seeds: a grey band

What is none of these, such as the schedules of a comparison, takes the looks in the order of OTHERS.
"""

from itertools import pairwise, product
from math import isfinite, log

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.transforms import Bbox

import figures
from figures import BLUE, CHOSEN, DARK, GREEN, GREY, INDIGO, INK, ORANGE, PURPLE, RED, SIDES, SKY, SLATE, SMALL, tint
from verdict_pictures import cell, spread, write

KNOWN = {"training": (BLUE, "-", ""), "validation": (ORANGE, "--", ""),
         "AdamW": (PURPLE, "-", "o"), "Muon": (GREEN, "--", "s")}  # colour, line style, marker
OTHERS = [(BLUE, "-", "o"), (ORANGE, "--", "s"), (RED, "-.", "^"), (SKY, ":", "D"), (SLATE, (0, (5, 1, 1, 1)), "v")]
SIZES = LinearSegmentedColormap.from_list("sizes", ["#8FC4E8", BLUE, "#00243A"])
KINDS = {"packer": (GREY, "packers", 1), "counts": (SKY, "counts", 1), "ours": (CHOSEN, "our models", 1),
         "large": (INDIGO, "large models", 0.5)}  # colour, name, and how strong the colour is
BEHIND = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # a number
FILLER = {"hatch": "////", "edgecolor": "#CFCFCF", "linewidth": 0.8}
RING = {"marker": "o", "markersize": 11, "markeredgewidth": 1.6, "fillstyle": "none", "color": CHOSEN}
LEADER = {"arrowstyle": "-", "color": SLATE, "linewidth": 0.8, "shrinkA": 1, "shrinkB": 4}  # from a text to its place


def _looks(names):
    """Return {name: (colour, line style, marker)}: what is known has its own look, the others get one in order."""
    others = {name: look for name, _, look in figures.told_apart(
        {name: None for name in names if name not in KNOWN}, OTHERS)}
    return {name: KNOWN.get(name) or others[name] for name in names}


def _shades(names):
    """Return {name: colour} of model sizes, the last the darkest."""
    return {name: to_hex(SIZES(place / max(1, len(names) - 1))) for place, name in enumerate(names)}


def _road(line, inch):
    """Return the places of a line on the page, so close that no text slips through, and half its markers' inches."""
    corners = line.get_transform().transform(np.column_stack(line.get_data()).astype(float))
    corners = corners[np.isfinite(corners).all(axis=1)]
    steps = [corners[-1:]]
    if line.get_linestyle() != "None":
        steps += [np.linspace(a, b, 2 + int(np.hypot(*(b - a)) / (0.04 * inch))) for a, b in pairwise(corners)]
    marked = line.get_marker() not in ("None", "", None)
    return np.concatenate([corners, *steps]), line.get_markersize() / 144 if marked else 0.0


def _beside(axis, notes):
    """Write texts inside the axes, near to what they speak of, where they cover nothing and are far from other lines.

    Args:
        axis: with its final limits and with all its lines.
        notes: (text, colour, line, places) each: the colour of the text, the line that it belongs to, and the places
            beside which it may stand; None for all along the line.
    """
    axis.figure.draw_without_rendering()  # now the places on the page are known
    renderer, inch = FigureCanvasAgg(axis.figure).get_renderer(), axis.figure.dpi
    inside = axis.get_window_extent(renderer).padded(-0.02 * inch)
    roads = {line: _road(line, inch) for line in axis.get_lines()}
    taken = [text.get_window_extent(renderer) for text in axis.texts if text.get_text()]
    rooms = []  # per note: its text, colour, whether it has one place, and [(how good, box, spot beside it), ...]
    for text, colour, own, places in notes:
        probe = axis.text(*axis.viewLim.p0, text, fontsize=SMALL)
        half = np.array(probe.get_window_extent(renderer).size) / 2
        probe.remove()
        spots = roads[own][0] if places is None else axis.transData.transform(places)
        ways = list(product(spots[:: 1 + len(spots) // 60], enumerate(SIDES), (0.07, 0.15, 0.3, 0.5)))
        middles = np.array([spot + (half + reach * inch) * side for spot, (_, side), reach in ways])
        gaps = {line: np.hypot(*np.maximum(np.abs(road - middles[:, None]) - half, 0).transpose(2, 0, 1)).min(axis=1)
                / inch - wide for line, (road, wide) in roads.items()}
        foreign = np.min([gap for line, gap in gaps.items() if line is not own] or [gaps[own] + 1], axis=0)
        if places is None:  # nearer to its line than to others, and where these are far from the line
            others = [road for line, (road, _) in roads.items() if line is not own]
            others = np.concatenate([np.full((1, 2), -1e4), *others])
            apart = [np.hypot(*(others - spot).T).min() / inch for spot, *_ in ways]
            good = np.minimum(foreign - gaps[own], 0.3) + np.minimum(apart, 0.3) - 1.5 * gaps[own]
        else:
            good = np.minimum(foreign, 0.15) - [1.5 * reach + 0.01 * place for _, (place, _), reach in ways]
        good -= 10 * (np.minimum(foreign, gaps[own]) < 0.035)  # it would cover a line
        boxes = [Bbox([middle - half - 2, middle + half + 2]) for middle in middles]
        good -= [50 * ((here.min < inside.min).any() or (here.max > inside.max).any()) for here in boxes]
        single = places is not None and len(places) == 1
        rooms.append((text, colour, single, list(zip(good, boxes, (spot for spot, *_ in ways), strict=True))))
    back = axis.transData.inverted().transform
    for text, colour, single, free in sorted(rooms, key=lambda room: sum(way[0] > -5 for way in room[3])):
        _, here, spot = max(free, key=lambda way: way[0] - 100 * any(map(way[1].overlaps, taken)))
        taken.append(here)
        axis.text(*back((here.min + here.max) / 2), text, ha="center", va="center", fontsize=SMALL, color=colour)
        edge = np.clip(spot, here.min + 2, here.max - 2)
        if single and np.hypot(*(edge - spot)) > 0.2 * inch:
            axis.annotate("", back(spot), back(edge), arrowprops=LEADER)


def packing(lengths, num_tokens, alt):
    """Draw documents as cells, first each in rows of its own, filled up with padding, then packed end to end.

    Args:
        lengths: of up to five documents, in tokens; an end-of-text token in front of each is added.
        num_tokens: the cells of a row.
        alt: what one sees.
    """
    wide, high, gap = 0.4, 0.3, 0.36
    every, alone, names = [], [], []  # a cell is (text, colour)
    for place, (_, length, colour) in enumerate(figures.told_apart(dict(enumerate(lengths)), figures.COLOURS)):
        document = [("end", figures.TOKEN)] + [("ABCDE"[place], tint(colour, 0.4))] * length
        every += document
        alone += _rows(document, num_tokens)
        names += [f"{'ABCDE'[place]}: {length} token{'s' * (length != 1)}"]
        names += [""] * (len(alone) - len(names))  # of its other rows
    packed = _rows(every, num_tokens)
    parts = [("each document in rows of its own", alone, names), ("packed end to end", packed, [""] * len(packed))]
    left = 0.14 + max(figures.text_width(name, SMALL) for name in names)
    titles = [(title, _padding(rows, num_tokens)) for title, rows, _ in parts]
    ends = [left + 0.12 + figures.text_width(title, SMALL, weight="bold") for title, _ in titles]  # of the titles
    width = 0.05 + max([left + num_tokens * wide, *(end + figures.text_width(text, SMALL)
                                                    for end, (_, text) in zip(ends, titles, strict=True))])
    figure, axis = figures.sheet(width, (len(alone) + len(packed)) * high + 3 * gap + 0.3)
    y = 0.0
    for (_, rows, labels), (title, text), end in zip(parts, titles, ends, strict=True):
        write(axis, left, y + 0.18, title, ha="left", weight="bold")
        write(axis, end, y + 0.18, text, ha="left")
        y += gap
        for row, name in zip(rows, labels, strict=True):
            write(axis, left - 0.1, y + high / 2, name, ha="right")
            for column in range(num_tokens):
                text, fill = row[column] if column < len(row) else ("", "white")
                cell(axis, left + column * wide, y, wide, high, fill, **({"zorder": 2} if text else FILLER))
                write(axis, left + (column + 0.5) * wide, y + high / 2, text, color=figures.readable(fill), zorder=3)
            y += high
        y += gap / 3
    x, y = left, y + 0.14
    for text, fill, looks in [("end-of-text token", figures.TOKEN, {}), ("padding", "white", FILLER)]:
        cell(axis, x, y, wide / 2, 0.2, fill, **looks)
        write(axis, x + wide / 2 + 0.07, y + 0.1, text, ha="left")
        x += wide / 2 + figures.text_width(text, SMALL) + 0.3
    figures.show(figure, alt)


def _rows(cells, num_tokens):
    return [cells[start : start + num_tokens] for start in range(0, len(cells), num_tokens)]


def _padding(rows, num_tokens):
    """Return what rows need, in words."""
    total = len(rows) * num_tokens
    filler = total - sum(map(len, rows))
    return (f"{len(rows)} row{'s' * (len(rows) != 1)} of {num_tokens}, "
            f"{filler} of {total} cells {'is' if filler == 1 else 'are'} padding")


def sweep(lines, alt, seeds=None):
    """Draw loss over learning rate, one line per name, each with a ring and the loss at its best point.

    Args:
        lines: {name: {learning rate: loss}}; a loss that is no finite number is left out.
        alt: what one sees.
        seeds: losses of the same settings with other seeds, drawn as a band from the lowest to the highest.
    """
    figure, (axis,) = figures.canvas(6.8, 3.8)
    axis.set(xscale="log", xlabel="learning rate", ylabel="loss")
    notes, looks = [], _looks(lines)
    rates = sorted({rate for losses in lines.values() for rate in losses})
    for name, losses in lines.items():
        colour, style, marker = looks[name]
        points = sorted((rate, loss) for rate, loss in losses.items() if isfinite(loss))
        (line,) = axis.plot(*zip(*points, strict=True), color=colour, linestyle=style, marker=marker, label=name)
        best = min(points, key=lambda point: point[1])
        axis.plot(*best, **RING)
        notes += [(f"{best[1]:.2f}", INK[colour], line, [best]), (name, INK[colour], line, None)]
    axis.margins(x=0.08, y=0.2)
    if seeds:
        ends = [axis.axhline(loss, color=GREY, linewidth=0.8, zorder=0) for loss in (min(seeds), max(seeds))]
        axis.axhspan(min(seeds), max(seeds), color=tint(GREY, 0.6), linewidth=0, zorder=0)
        places = list(product(np.geomspace(rates[0], rates[-1], 30), (min(seeds), max(seeds))))
        notes.append(("other seeds", INK[GREY], ends[0], places))
    written = rates[:1]  # those that are far enough from the one before
    for rate in rates:
        written += [rate] if log(rate / written[-1]) > 0.13 * log(rates[-1] / rates[0]) else []
    axis.set_xticks(rates, [f"{rate:g}" if rate in written else "" for rate in rates])
    axis.set_xticks([], minor=True)
    if len(lines) > 3:  # there would be no room beside them
        figures.name_ends(axis)
        notes = [note for note in notes if note[0] not in lines]
    _beside(axis, notes)
    figures.show(figure, alt)


def schedules(rates, losses, alt):
    """Draw learning rates over the steps, as shares of their peaks, and beside them the losses at the end.

    Args:
        rates: {name: the rate at each step}.
        losses: {name: loss at the end}, with the same names.
        alt: what one sees.
    """
    figure, (left, right) = figures.canvas(8.3, 3.2, 2, width_ratios=[1.35, 1])
    looks, notes = _looks(rates), []
    for name, values in rates.items():
        colour, style, _ = looks[name]
        (line,) = left.plot(range(1, len(values) + 1), [value / max(values) for value in values], color=colour,
                            linestyle=style, linewidth=2, label=name)
        notes.append((name, INK[colour], line, None))
    left.set_ylim(-0.03, 1.22)
    left.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25%", "50%", "75%", "100%"])
    left.set(xlabel="step", ylabel="learning rate, share of its peak")
    for place, name in enumerate(rates):
        colour, _, marker = looks[name]
        right.plot(losses[name], place, color=colour, marker=marker, markersize=9, linestyle="None")
        right.annotate(f"{losses[name]:.2f}", (losses[name], place), (9, 0), textcoords="offset points",
                       va="center_baseline", fontsize=SMALL, bbox=BEHIND)
        right.axhline(place, color=tint(GREY, 0.5), linewidth=0.8, zorder=0)
    right.set_yticks(range(len(rates)), rates)
    for tick, name in zip(right.get_yticklabels(), rates, strict=True):
        tick.set_color(INK[looks[name][0]])
    right.set_ylim(len(rates) - 0.4, -0.6)
    right.margins(x=0.3)
    right.xaxis.get_major_locator().set_params(nbins=5)
    right.tick_params(axis="y", length=0)
    right.set_xlabel("loss at the end")
    _beside(left, notes)
    figures.show(figure, alt)


def orthogonal(rounds, before, after, alt):
    """Draw what rounds of Muon's polynomial make of a singular value, and those of a gradient before and after.

    Args:
        rounds: {number of rounds: (xs, ys)}: what singular values xs, above 0 and at most 1, become.
        before, after: the singular values of a gradient; both are drawn as multiples of the largest of `before`.
        alt: what one sees.
    """
    figure, (left, right) = figures.canvas(8.3, 3.5, 2)
    left.axhspan(0.7, 1.2, color=tint(GREY, 0.35), linewidth=0, zorder=0)
    notes, most = [], max(rounds)
    for place, (count, (xs, ys)) in enumerate(sorted(rounds.items())):
        colour = tint(GREEN, 0.35 + 0.65 * count / most) if count else RED
        (line,) = left.plot(xs, ys, color=colour, linestyle=["--", ":", "-.", "-"][place % 4], linewidth=2)
        notes.append((f"{count} round{'s' * (count != 1)}", INK[GREEN if count else RED], line, None))
    left.set(xlim=(0, 1.02), ylim=(0, 1.12 * max(1.2, *(max(ys) for _, ys in rounds.values()))))
    left.annotate("0.7 to 1.2", (1.01, 1.2), (-2, 3), textcoords="offset points", ha="right", color=INK[GREY])
    left.set(xlabel="singular value before", ylabel="singular value after")
    largest, named = max(before), []
    for name, values, colour, style in [("gradient", before, RED, "--"), (f"after {most} rounds", after, GREEN, "-")]:
        (line,) = right.plot(range(1, len(values) + 1), [value / largest for value in values], color=colour,
                             linestyle=style, linewidth=2)
        named.append((name, INK[colour], line, None))
    right.set_yscale("log")
    right.margins(y=0.16)
    right.set(xlabel="place in order of size", ylabel="singular value")
    _beside(left, notes)
    _beside(right, named)
    figures.show(figure, alt)


def two_runs(runs, alt):
    """Draw training and validation loss over the tokens read, a panel for each run, with the lowest validation loss.

    Args:
        runs: {title: {"tokens": numbers, "training": losses, "validation": losses}}.
        alt: what one sees.
    """
    figure, axes = figures.canvas(8.3, 3.4, len(runs), sharey=True)
    named = []
    for axis, (title, run) in zip(axes, runs.items(), strict=True):
        tokens, notes = [count / 1000 for count in run["tokens"]], []
        for name in ("training", "validation"):
            colour, style, _ = KNOWN[name]
            (line,) = axis.plot(tokens, run[name], color=colour, linestyle=style, linewidth=2, label=name)
            notes.append((name, INK[colour], line, None))
        best = min(zip(tokens, run["validation"], strict=True), key=lambda point: point[1])
        axis.plot(*best, **RING)
        named.append((axis, [*notes, (f"lowest: {best[1]:.2f}", "black", line, [best])]))
        axis.set_title(title, fontsize=SMALL, weight="bold")
        axis.margins(x=0.05, y=0.1)
        axis.xaxis.get_major_locator().set_params(nbins=5)
        axis.xaxis.set_major_formatter("{x:,.10g}")
        axis.set_xlabel("thousand tokens read")
    axes[0].set_ylabel("loss")
    for axis, notes in named:  # now that the panels have their common scale
        _beside(axis, notes)
    figures.show(figure, alt)


def bits(rows, alt, mark=None):
    """Draw bits per byte as horizontal bars, each with its number, in the colour of its kind.

    Args:
        rows: (name, bits per byte, kind) each, from above; the kind is "packer", "counts", "ours" or "large".
        alt: what one sees.
        mark: (value, label) of a thin vertical line.
    """
    figure, (axis,) = figures.canvas(7.4, 0.75 + 0.3 * len(rows))
    most = max([value for _, value, _ in rows] + ([mark[0]] if mark else []))
    for place, (_, value, own) in enumerate(rows):
        colour, title, strength = KINDS[own]
        axis.barh(place, value, 0.68, color=tint(colour, strength))
        axis.annotate(f"{value:.2f}", (value, place), (4, 0), textcoords="offset points", va="center_baseline",
                      fontsize=SMALL, bbox=BEHIND)
        if place == 0 or rows[place - 1][2] != own:
            axis.text(1.38 * most, place, title, ha="right", va="center_baseline", color=INK[colour], weight="bold")
    if mark:
        axis.axvline(mark[0], color="white", linewidth=3)  # so that it can be seen on a black bar
        axis.axvline(mark[0], color=DARK, linewidth=1)
        axis.text(mark[0], 1.02, mark[1], transform=axis.get_xaxis_transform(), ha="center")
    axis.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axis.tick_params(axis="y", length=0)
    axis.set(ylim=(len(rows) - 0.5, -0.6), xlim=(0, 1.38 * most))
    axis.set_xticks([tick for tick in axis.get_xticks() if tick <= 1.02 * most])
    axis.spines["bottom"].set_bounds(0, most)
    axis.set_xlabel("bits per byte", loc="left")
    figures.show(figure, alt)


def compute(runs, envelope, alt):
    """Draw loss over FLOPs, both logarithmic, a line of dots per model size, and the power law along their lower edge.

    Args:
        runs: {size: [(FLOPs, loss), ...]}, the smallest size first.
        envelope: (a, b) of the law loss = a · FLOPs^-b.
        alt: what one sees.
    """
    figure, (axis,) = figures.canvas(7.4, 4.4)
    axis.set(xscale="log", yscale="log", xlabel="C, FLOPs of training", ylabel="loss")
    notes = []
    for name, colour in _shades(runs).items():
        points = sorted(runs[name])
        (line,) = axis.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=5, label=name)
        notes.append((name, INK[BLUE], line, points[-1:]))
    a, b = envelope
    flops = [count for points in runs.values() for count, _ in points]
    counts = np.geomspace(min(flops) / 1.5, 2.5 * max(flops), 30)
    (line,) = axis.plot(counts, a * counts**-b, color=DARK, linestyle="--", linewidth=1.4)
    notes.append((f"loss = {a:,.1f} · C$^{{−{b:.3f}}}$", DARK, line, None))
    axis.margins(x=0.06, y=0.07)
    low, high = axis.get_ylim()
    ticks = [tick for tick in (1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9, 10) if low <= tick <= high]
    axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_yticks([], minor=True)
    _beside(axis, notes)
    figures.show(figure, alt)


def prediction(runs, law, predicted, measured, alt):
    """Draw loss over tokens for small models, the law that was fitted to them, and what it predicts for a larger one.

    Args:
        runs: {size: [(tokens, loss), ...]}, the runs that the law was fitted to.
        law: {size: (tokens, losses)}, smooth lines, the smallest size first; the last is the predicted one.
        predicted: (tokens, loss, lowest, highest), a star with its interval.
        measured: [(tokens, loss), ...] of the predicted size.
        alt: what one sees.
    """
    figure, (axis,) = figures.canvas(7.4, 4.4)
    axis.set(xscale="log", xlabel="million tokens read", ylabel="loss")
    ends, shades = [], _shades(law)
    for name, (tokens, losses) in law.items():
        axis.plot(tokens, losses, color=shades[name], linestyle="-" if name in runs else "--", label=name)
        ends.append((losses[-1], tokens[-1], name))
        if name in runs:
            axis.plot(*zip(*runs[name], strict=True), color=shades[name], marker="o", markersize=5, linestyle="None")
    at, loss, low, high = predicted
    axis.plot([at, at], [low, high], color=CHOSEN, linewidth=1.6, marker="_", markersize=9)
    (star,) = axis.plot(at, loss, color=CHOSEN, marker="*", markersize=16, linestyle="None", zorder=4)
    (circles,) = axis.plot(*zip(*measured, strict=True), color=shades[name], marker="o", markersize=6, linestyle="None",
                           markerfacecolor="white", markeredgewidth=1.4, zorder=5)  # so small that the star is seen
    _, there = min(measured, key=lambda point: abs(log(point[0] / at)))
    notes = [(f"predicted: {loss:.2f}\n({low:.2f} to {high:.2f})\nmeasured: {there:.2f}", CHOSEN, star, [(at, loss)]),
             ("measured", INK[BLUE], circles, measured)]
    axis.margins(x=0.04, y=0.1)
    low, high = axis.get_ylim()
    axis.set_ylim(low - 0.2 * (high - low), high)  # room for three lines of text
    levels = spread([loss for loss, _, _ in ends], 0.07 * (high - low), low, high)
    for level, (loss, tokens, name) in zip(levels, sorted(ends), strict=True):
        axis.annotate("", (tokens, loss), (1.03, level), textcoords=("axes fraction", "data"), arrowprops=LEADER)
        axis.text(1.04, level, name, transform=axis.get_yaxis_transform(), va="center", color=INK[BLUE])
    first, last = axis.get_xlim()
    ticks = [digit * 10**power for power in range(2, 16) for digit in ((1, 2, 5) if last / first < 1000 else (1,))]
    ticks = [tick for tick in ticks if first <= tick <= last]
    axis.set_xticks(ticks, [f"{tick / 1e6:,g}" for tick in ticks])
    axis.set_xticks([], minor=True)
    _beside(axis, notes)
    figures.show(figure, alt)
