"""Pictures of how good the verdicts of a classifier are: counts, shares with intervals, thresholds, calibration.

They are drawn by the means of figures.py, in its colours: ham is yellow, spam indigo, each with its true class's
colour; what the picture speaks of is black. A share is written with what it is made of, "188 of 200 = 94.0%". A label
is 1 for spam and 0 for ham, a probability is that of spam, and who has a threshold calls spam what reaches it.
"""

from math import exp, log

from matplotlib.patches import Rectangle

import figures
from figures import DARK, EDGE, HAM, INK, SLATE, SMALL, SPAM, readable, text_width, tint

CLASSES = (HAM, SPAM)  # the colours of class 0 and class 1
TICKS = (0.5, 0.1, 0.9, 0.01, 0.99, 0.001, 0.999, 0.0001, 0.9999, 0.00001, 0.99999)  # of an axis of probabilities
BEYOND = 0.86  # inches for what is nearer to 0 or to 1 than the axis goes


def percent(share, digits=1):
    """Return a share as text, with so many digits, or as many as it takes to tell it from 0% and from 100%."""
    if share in (0, 1):
        return f"{100 * share:.0f}%"
    digits = next((enough for enough in range(digits, 7) if 0 < float(f"{100 * share:.{enough}f}") < 100), 7)
    return f"{100 * share:.{digits}f}%"


def near(probability):
    """Return a probability as text, with two digits if it is near to 0% or to 100%."""
    return percent(probability, 1 if 0.01 <= probability <= 0.99 else 2)


def fraction(right, total):
    """Return "right of total = share"; nothing can be said about none of none."""
    return f"{right} of {total}" + (f" = {percent(right / total)}" if total else "")


def log_odds(probability, most=16.0):
    """Return the logarithm of p ÷ (1 − p), which lays probabilities near 0 and 1 apart; at most `most`."""
    least = 1 / (1 + exp(most))
    probability = min(max(float(probability), least), 1 - least)
    return log(probability / (1 - probability))


def listed(values):
    """Return a tensor or a list as a list of plain numbers."""
    return values.tolist() if hasattr(values, "tolist") else list(values)


def write(axis, x, y, text, ha="center", size=SMALL, **keywords):
    """Write one line on a sheet, the middle of its capital letters at y, so that texts beside it stand on one line."""
    return axis.text(x, y + 0.0048 * size, text, ha=ha, va="baseline", fontsize=size, **keywords)


def cell(axis, x, y, width, height, colour, **looks):
    return axis.add_patch(Rectangle((x, y), width, height, facecolor=colour, **{
        "edgecolor": EDGE, "linewidth": 1, **looks}))


def spread(places, apart, low, high):
    """Return places, in their order, moved as little as it takes for neighbours to be `apart`, from low to high."""
    groups = []  # [middle of the places, how many of them]
    for place in sorted(places):
        groups.append([place, 1])
        while True:
            middle, count = groups[-1]
            half = (count - 1) * apart / 2
            groups[-1][0] = middle = max(low + half, min(high - half, middle))
            if len(groups) == 1 or middle - half >= groups[-2][0] + (groups[-2][1] + 1) * apart / 2 - 1e-9:
                break
            before, others = groups.pop(-2)
            groups[-1] = [(middle * count + before * others) / (count + others), count + others]
    return [middle + (i - (count - 1) / 2) * apart for middle, count in groups for i in range(count)]


# How good the verdicts are: counts.


def confusion(counts, classes, alt, size=(2.0, 0.86), gap=0.3):
    """Draw the four counts of a classifier, and what recall, precision and accuracy are made of.

    Args:
        counts: counts[i][j] messages of class i were called class j.
        classes: the names of the two classes; the second is the one that is looked for, such as spam.
        alt: what one sees.
        size: width and height of a cell, in inches.
        gap: between cells.
    """
    (a, b), (c, d) = counts = [[int(count) for count in row] for row in listed(counts)]
    (wide, high), left, top = size, max(text_width(f"is {name}", SMALL, weight="bold") for name in classes) + 0.2, 0.3
    edge, bottom = left + 2 * wide + gap, top + 2 * high + gap
    lines = [(f"recall of {name}", f"{counts[i][0]} + {counts[i][1]} = {sum(counts[i])} are {name}",
              fraction(counts[i][i], sum(counts[i]))) for i, name in enumerate(classes)]
    lines += [(f"precision of {name}", f"{counts[0][j]} + {counts[1][j]} = {counts[0][j] + counts[1][j]} called {name}",
               fraction(counts[j][j], counts[0][j] + counts[1][j])) for j, name in enumerate(classes)]
    lines += [("accuracy", f"{a} + {d} = {a + d} right", fraction(a + d, a + b + c + d))]
    figure, axis = figures.sheet(edge + 0.45 + max(text_width(line, SMALL, weight="bold") for part in lines
                                                   for line in part), bottom + 1.05)
    for i, name in enumerate(classes):
        y, x = top + i * (high + gap), left + i * (wide + gap)
        write(axis, left - 0.12, y + high / 2, f"is {name}", ha="right", weight="bold")
        write(axis, x + wide / 2, 0.13, f"called {name}", weight="bold")
        for j, kind in enumerate(["right" if i == 0 else f"missed {name}", "false alarms" if i == 0 else "right"]):
            _count(axis, left + j * (wide + gap), y, size, counts[i][j], kind, CLASSES[i], i == j)
        _margin(axis, edge + 0.05, y + high / 2, (0.28, 0), lines[i], "left")
        _margin(axis, x + wide / 2, bottom + 0.05, (0, 0.22), lines[2 + i], "center")
        write(axis, left + wide + gap / 2, y + high / 2, "+", size=13)
        write(axis, x + wide / 2, top + high + gap / 2, "+", size=13)
    write(axis, left + wide + gap / 2, top + high + gap / 2, "+", size=13, weight="bold")
    _margin(axis, edge + 0.05, bottom + 0.05, (0.28, 0.22), lines[4], "left")
    figures.show(figure, alt)


def _count(axis, x, y, size, count, kind, colour, right):
    """Draw one cell with its count, filled if the verdict is right."""
    fill = colour if right else tint(colour, 0.12)
    cell(axis, x, y, *size, fill, linewidth=1.2, edgecolor=INK[colour], linestyle="-" if right else (0, (4, 2)))
    write(axis, x + size[0] / 2, y + size[1] / 2 - 0.12, f"{count}", size=16, weight="bold", color=readable(fill))
    write(axis, x + size[0] / 2, y + size[1] / 2 + 0.2, kind, color=readable(fill))


def _margin(axis, x, y, way, lines, ha):
    """Draw an arrow out of the cells, and at its end a name, a sum, and a share."""
    figures.arrow(axis, (x, y), (x + way[0], y + way[1]))
    name, total, share = lines
    x, y = x + way[0] + (0.07 if ha == "left" else 0), y + (way[1] + 0.3 if way[1] else 0) + 0.04
    for shift, text, weight in [(-0.2, name, "bold"), (0, total, "normal"), (0.2, share, "normal")]:
        write(axis, x, y + shift, text, ha=ha, weight=weight)


# How sure one can be of a share.


def intervals(rows, alt, mark=None, width=8.3, guess=50):
    """Draw shares of right answers as points on one axis, each with its interval as a bar and with its numbers.

    Args:
        rows: (name, right, total, low, high) each, the last two as shares; or a text, the heading of what follows.
        alt: what one sees.
        mark: the name of the row that is spoken of.
        width: of the picture, in inches.
        guess: what guessing gets, in percent, or None.
    """
    shares = [row for row in rows if not isinstance(row, str)]
    low = max(0, 5 * int(20 * min(row[3] for row in shares) - 0.2))
    columns = [max(text_width(_beside(row)[i], SMALL, weight="bold") for row in shares) + 0.14 for i in range(3)]
    left = max(text_width(row if isinstance(row, str) else row[0], SMALL, weight="bold") for row in rows) + 0.22
    right, row_height, top = width - sum(columns) - 0.14, 0.29, 0.32
    figure, axis = figures.sheet(width, top + len(rows) * row_height + 0.34)
    floor = top + len(rows) * row_height + 0.04

    def at(share):
        return left + (right - left) * (100 * share - low) / (100 - low)

    _scale(axis, at, low, floor, top, guess)
    for x, text in zip((right + columns[0], right + sum(columns[:2]), right + sum(columns)),
                       ("right", "share", "95% interval"), strict=True):
        write(axis, x + 0.14, 0.14, text, ha="right", color=INK[SLATE])
    for place, row in enumerate(rows):
        y = top + (place + 0.5) * row_height
        if isinstance(row, str):
            write(axis, 0.02, y + 0.03, row, ha="left", weight="bold")
            continue
        name, marked = row[0], row[0] == mark
        looks = {"weight": "bold" if marked else "normal"}
        write(axis, left - 0.12, y, name, ha="right", **looks)
        axis.plot([at(row[3]), at(row[4])], [y, y], color=DARK if marked else SLATE, linewidth=4 if marked else 2.5,
                  solid_capstyle="butt")
        axis.scatter(at(row[1] / row[2]), y, s=60 if marked else 38, color=DARK if marked else "white",
                     edgecolor=DARK, linewidth=1.4, zorder=4)
        for i, text in enumerate(_beside(row)):
            write(axis, right + sum(columns[: i + 1]) + 0.14, y, text, ha="right", **looks)
    figures.show(figure, alt)


def _beside(row):
    """Return the three texts at the right of a row."""
    _, right, total, low, high = row
    return f"{right} of {total}", percent(right / total), f"({100 * low:.1f} to {100 * high:.1f})"


def _scale(axis, at, low, floor, top, guess):
    """Draw an axis of shares in percent, with fine lines, and a dashed one at guessing, if there is such a thing."""
    most = min(7, (at(1) - at(low / 100)) / 0.46)  # texts of 100% side by side
    apart = next((apart for apart in (1, 2, 5, 10, 20) if (100 - low) / apart <= most), 25)
    for tick in range(-(-low // apart) * apart, 101, apart):
        axis.plot([at(tick / 100)] * 2, [top, floor], color=tint(SLATE, 0.3), linewidth=0.8, zorder=0)
        write(axis, at(tick / 100), floor + 0.14, f"{tick}%")
    axis.plot([at(low / 100), at(1)], [floor, floor], color=EDGE, linewidth=1)
    if guess is not None and low <= guess:
        axis.plot([at(guess / 100)] * 2, [top - 0.05, floor], color=DARK, linestyle="--", linewidth=1.2, zorder=1)
        write(axis, at(guess / 100), 0.14, "guessing")


def by_size(sizes, series, alt, ylabel="right, %", guess=50, size=None):
    """Draw shares against the number of examples in training, on a logarithmic axis: lines, with intervals as bands.

    Args:
        sizes: the numbers of examples.
        series: {name: [(share, low, high), ...]}, one per size; or {title: such a dict}, for panels side by side.
        alt: what one sees.
        ylabel: of the vertical axis.
        guess: what guessing gets, in percent, or None.
        size: width and height of the picture, in inches.
    """
    groups = series if isinstance(next(iter(series.values())), dict) else {None: series}
    names = dict.fromkeys(name for lines in groups.values() for name in lines)
    looks = {name: look for name, _, *look in figures.told_apart(names, figures.COLOURS, figures.STYLES, "os^Dv")}
    figure, axes = figures.canvas(*(size or ((5.6, 3.2) if len(groups) == 1 else (8.4, 3.2))), len(groups), sharey=True)
    for axis, (title, lines) in zip(axes, groups.items(), strict=True):
        for name, points in lines.items():
            colour, style, marker = looks[name]  # a name looks the same in all panels
            share, low, high = ([100 * float(value) for value in column] for column in zip(*points, strict=True))
            axis.fill_between(sizes, low, high, color=colour, alpha=0.16, linewidth=0)
            axis.plot(sizes, share, color=colour, linestyle=style, marker=marker, markersize=5, label=name,
                      clip_on=False)
        axis.set(xscale="log", xlim=(0.88 * min(sizes), max(sizes)))
        axis.set_xticks(sizes, [f"{count:,}" for count in sizes])
        axis.set_xticks([], minor=True)
        axis.set_xlabel("examples in training", fontsize=SMALL)
        axis.set_title(title, fontsize=SMALL, weight="bold", loc="left")
        if guess is not None:
            axis.axhline(guess, color=DARK, linestyle="--", linewidth=1.2, zorder=1)
            axis.annotate("guessing", (1, guess), (-2, 3), xycoords=("axes fraction", "data"), ha="right",
                          textcoords="offset points", fontsize=SMALL)
    axes[0].set_ylabel(ylabel, fontsize=SMALL)
    axes[0].set_ylim(top=min(100.8, axes[0].get_ylim()[1]))
    for axis in axes:
        figures.name_ends(axis)
    figures.show(figure, alt)


# What a probability is worth.


def thresholds(probabilities, labels, thresholds, alt, width=8.2, room=1.45):
    """Draw messages as dots at their probability of spam, ham above the axis, spam below, and what thresholds do.

    The axis is one of log-odds, labelled with probabilities, which lays those near 0 and 1 apart. A message whose
    probability reaches the threshold is called spam: ham behind it is a false alarm, spam before it is missed.

    Args:
        probabilities, labels: one per message.
        thresholds: one to three probabilities.
        alt: what one sees.
        width, room: of the picture, and for the highest stack of dots, in inches.
    """
    both = [[p for p, label in zip(listed(probabilities), listed(labels), strict=True) if int(label) == kind]
            for kind in (0, 1)]
    thresholds = sorted(listed(thresholds))
    left, right = 0.75, width - 0.12
    places, at, ends = _places(both, thresholds, left, right)
    lines = [at(threshold) for threshold in thresholds]
    stacks, dot = _stacks(places, [left, *lines, right], room)
    middle = 0.4 + room + 0.22
    highest = [dot * max([0, *(count for _, count in stack)]) for stack in stacks]
    tops = middle - 0.16 - max(highest[0], 0.3) - 0.3, middle + 0.16 + max(highest[1], 0.3) + 0.3
    shift = 0.36 - tops[0]
    middle, top, bottom = middle + shift, 0.36, tops[1] + shift
    figure, axis = figures.sheet(width, bottom + 0.42 + 0.28 * len(thresholds))
    for x in lines:
        cell(axis, x, top, right - x, middle - 0.16 - top, DARK, alpha=0.07, linewidth=0, zorder=0)
        cell(axis, left, middle + 0.16, x - left, bottom - middle - 0.16, DARK, alpha=0.07, linewidth=0, zorder=0)
        axis.plot([x, x], [top - 0.06, middle - 0.16], color=DARK, linewidth=1.6, zorder=2)
        axis.plot([x, x], [middle + 0.16, bottom], color=DARK, linewidth=1.6, zorder=2)
    write(axis, lines[0] - 0.1, 0.14, "← called ham", ha="right", weight="bold")
    write(axis, lines[-1] + 0.1, 0.14, "called spam →", ha="left", weight="bold")
    for kind, (stack, side) in enumerate(zip(stacks, (-1, 1), strict=True)):
        dots = [(x, middle + side * (0.16 + dot * (i + 0.5))) for x, count in stack for i in range(count)]
        axis.scatter(*zip(*dots, strict=True) if dots else ([], []), s=(72 * 0.88 * dot) ** 2, color=CLASSES[kind],
                     edgecolor=INK[CLASSES[kind]], linewidth=0.5, zorder=3)
        write(axis, left - 0.12, middle + side * 0.5 - 0.1, ("ham", "spam")[kind], ha="right", weight="bold")
        write(axis, left - 0.12, middle + side * 0.5 + 0.1, f"{len(both[kind])}", ha="right")
    write(axis, right - 0.08, top + 0.14, "false alarms", ha="right")
    write(axis, left + 0.08, bottom - 0.14, "missed spam", ha="left")
    _odds_axis(axis, at, middle, thresholds, ends, (left, right))
    _verdicts(axis, bottom + 0.24, both, thresholds, left, width)
    figures.show(figure, alt)


def _places(both, thresholds, left, right):
    """Return where messages stand, {class: places}, a function of a probability, and the axis's ends.

    What is nearer to 0 or 1 than the axis goes stands beside it, spread evenly.

    Raises:
        ValueError: a threshold is so near to 0 or 1 that it is not on any such axis.
    """
    odds, least = [abs(log_odds(p, 36)) for p in sum(both, [])], max(abs(log_odds(p)) for p in thresholds)
    wide = [log_odds(tick) for tick in TICKS[-5::2] if log_odds(tick) > least]
    if not wide:
        raise ValueError(f"thresholds must lie between {TICKS[-2]:.3%} and {TICKS[-1]:.3%}, got {thresholds}")
    most = next((end for end in wide if sum(value > end for value in odds) <= 0.1 * len(odds)), wide[-1])
    room = BEYOND if any(value > most for value in odds) else 0
    most += 0 if room else 0.75
    low, high = left + room, right - room

    def at(p):
        return low + (high - low) * (max(-most, min(most, log_odds(p))) + most) / (2 * most)

    places = []
    for part in both:
        inside = [at(p) for p in part if abs(log_odds(p, 36)) <= most]
        for sign, start in ((-1, left), (1, high)):
            count = sum(sign * log_odds(p, 36) > most for p in part)
            inside += [start + room * (i + 0.5) / count for i in range(count)]
        places.append(inside)
    return places, at, (low, high)


def _stacks(places, edges, room):
    """Return [[(place, number of dots), ...] per class], no stack on both sides of an edge, and the size of a dot."""
    for columns in range(60, 400, 4):
        dot = (edges[-1] - edges[0]) / columns
        stacks = []
        for part in places:
            counts = {}
            for low, high in zip(edges, edges[1:], strict=False):
                pieces = max(1, int((high - low) / dot))
                for place in part:
                    if low <= place < high or place == high == edges[-1]:
                        piece = min(pieces - 1, int((place - low) / (high - low) * pieces))
                        x = low + (piece + 0.5) * (high - low) / pieces
                        counts[x] = counts.get(x, 0) + 1
            stacks.append(sorted(counts.items()))
        if max(count for stack in stacks for _, count in stack) * dot <= room:
            break
    return stacks, dot


def _odds_axis(axis, at, y, thresholds, ends, outer):
    """Write the probabilities between the dots, thresholds white on black, and no label too near to another."""
    texts = {p: f"{100 * p:.4g}%" for p in thresholds}
    wide = max(text_width(text, SMALL, weight="bold") for text in texts.values()) + 0.12
    taken = []
    for p, x in zip(thresholds, spread([at(p) for p in thresholds], wide + 0.05, *ends), strict=True):
        taken.append((x, wide / 2))
        cell(axis, x - wide / 2, y - 0.12, wide, 0.24, DARK, linewidth=0, zorder=4)
        write(axis, x, y, texts[p], color="white", weight="bold", zorder=5)
        for side in (-0.16, 0.16):
            axis.plot([at(p), x], [y + side, y + 0.6 * side], color=DARK, linewidth=1.6, zorder=2)
    for p in TICKS:
        x, text = at(p), f"{100 * p:.5g}%"
        half = text_width(text, SMALL) / 2 + 0.04
        room = all(abs(x - other) > half + reach + 0.04 for other, reach in taken)
        if room and ends[0] < x - half and x + half < ends[1]:
            taken.append((x, half))
            write(axis, x, y, text)
    for sign, inner, end in (("<", ends[0], outer[0]), (">", ends[1], outer[1])):
        if inner != end:
            last = next(p for p in TICKS if abs(at(p) - inner) < 1e-6)
            write(axis, (inner + end) / 2, y, f"{sign} {100 * last:.5g}%")
            axis.plot([inner, inner], [y - 0.16, y + 0.16], color=SLATE, linewidth=1, linestyle=":")


def _verdicts(axis, y, both, thresholds, left, width):
    """Write a table: what each threshold does."""
    ham, spam = (len(part) for part in both)
    columns = [left + (width - left) * share for share in (0.02, 0.26, 0.52, 0.78)]
    for x, name in zip(columns, ("false alarms", "missed spam", "precision", "recall"), strict=True):
        write(axis, x, y, name, ha="left", weight="bold")
    write(axis, left - 0.12, y, "from", ha="right", weight="bold")
    for row, threshold in enumerate(thresholds):
        alarms, caught = (sum(p >= threshold for p in part) for part in both)
        line = y + 0.28 * (row + 1)
        text = f"{100 * threshold:.4g}%"
        wide = text_width(text, SMALL, weight="bold") + 0.12
        cell(axis, left - 0.06 - wide, line - 0.12, wide, 0.24, DARK, linewidth=0)
        write(axis, left - 0.06 - wide / 2, line, text, color="white", weight="bold")
        shares = [(alarms, ham), (spam - caught, spam), (caught, caught + alarms), (caught, spam)]
        for x, share in zip(columns, shares, strict=True):
            write(axis, x, line, fraction(*share), ha="left")


def calibration(probabilities, labels, alt, interval, bins=(0, 0.01, 0.1, 0.5, 0.9, 0.99, 1), size=(3.9, 3.3)):
    """Draw how often it happened against how probable the model had said it was, for bins of messages.

    Both axes are ones of log-odds, so that 99% and 99.9% are apart. On the dashed line, as many happen as were said;
    in the grey parts fewer do than the model was sure of. Above, in a column for each point, is what it is made of.

    Args:
        probabilities: of spam, one per message; or {title: probabilities}, one panel each.
        labels: one per message.
        alt: what one sees.
        interval: a function of two counts, right and total, that returns the ends of the interval of the share.
        bins: the edges of the bins of probabilities; one that equals an edge belongs to the bin above it.
        size: width and height of a panel, in inches, without the columns of numbers.
    """
    groups = probabilities if isinstance(probabilities, dict) else {None: probabilities}
    found = {title: _binned(listed(values), listed(labels), bins) for title, values in groups.items()}
    inner = [abs(log_odds(said)) for part in found.values() for said, _, _ in part]
    inner += [abs(log_odds(happened / count)) for part in found.values() for _, happened, count in part
              if 0 < happened < count]
    most = max([log_odds(0.99), *inner]) + 0.4
    figure, axes = figures.canvas(size[0] * len(groups) + 0.5, size[1] + 1.1, len(groups))
    for axis, (title, part) in zip(axes, found.items(), strict=True):
        _square(axis, most)
        for said, happened, count in part:
            share, ends = happened / count, interval(happened, count)
            x, (y, low, high) = log_odds(said), (_place(value, most) for value in (share, *ends))
            axis.plot([x, x], [low, high], color=SPAM, linewidth=2.5, solid_capstyle="butt", zorder=3)
            axis.scatter(x, y, s=46, color=SPAM, edgecolor="white", linewidth=0.8, zorder=4, clip_on=False)
        if title is not None:
            axis.annotate(title, (0, 1), (0, 68), xycoords="axes fraction", textcoords="offset points", ha="left",
                          weight="bold", fontsize=SMALL)
    axes[0].set_ylabel("was spam", fontsize=SMALL)
    figure.draw_without_rendering()  # now the points have their places on the page
    for place, (axis, part) in enumerate(zip(axes, found.values(), strict=True)):
        _columns(axis, part, place == 0)
        _too_sure(axis, part, interval, most)
    figures.show(figure, alt)


def _binned(probabilities, labels, bins):
    """Return [(mean probability, spam, messages), ...] of the bins that are not empty."""
    parts = [[] for _ in bins[1:]]
    for p, label in zip(probabilities, labels, strict=True):
        parts[max(0, min(len(parts) - 1, sum(p >= edge for edge in bins) - 1))].append((p, int(label)))
    return [(sum(p for p, _ in part) / len(part), sum(label for _, label in part), len(part))
            for part in parts if part]


def _place(share, most):
    """Return the log-odds of a share; none and all have places of their own beyond the axis."""
    return max(-most - 0.8, min(most + 0.8, log_odds(share, most + 0.8)))


def _square(axis, most):
    """Draw two axes of log-odds, the diagonal, and in grey where the model is too sure."""
    ticks = [tick for tick in sorted(TICKS) if abs(log_odds(tick)) < most]
    names = [f"{100 * tick:.5g}%" for tick in ticks]
    axis.set(xlim=(-most, most), ylim=(-most - 0.8, most + 0.8))
    axis.set_xticks([log_odds(tick) for tick in ticks], names)
    axis.set_yticks([-most - 0.8, *map(log_odds, ticks), most + 0.8], ["none", *names, "all"])
    axis.set_xlabel("the model had said", fontsize=SMALL)
    axis.plot([-most, most], [-most, most], color=DARK, linestyle="--", linewidth=1.2, zorder=1)
    axis.fill_between([0, most], 0, [0, most], color=tint(SLATE, 0.18), linewidth=0, zorder=0)
    axis.fill_between([-most, 0], [-most, 0], 0, color=tint(SLATE, 0.18), linewidth=0, zorder=0)
    axis.spines[["left"]].set_bounds(-most, most)


def _columns(axis, part, first):
    """Write above each point what was said, what happened, and of how many messages."""
    inch, frame = axis.figure.dpi, axis.get_window_extent()
    left, right = frame.x0 / inch, frame.x1 / inch
    xs = [axis.transData.transform((log_odds(said), 0))[0] / inch for said, _, _ in part]
    columns = spread(xs, 0.56, left + 0.3, right + 0.1)
    heights = [56 - 14 * row for row in range(4)]  # points above the axes
    texts = [(0, "messages", "spam", "was", "said")] * first
    texts += [((middle - left) / (right - left), f"{count}", f"{happened}", percent(happened / count), near(said))
              for middle, (said, happened, count) in zip(columns, part, strict=True)]
    for share, *column in texts:
        for row, text in enumerate(column):
            axis.annotate(text, (share, 1), (0 if share else -8, heights[row]), xycoords="axes fraction",
                          textcoords="offset points", ha="center" if share else "right", fontsize=SMALL,
                          color="black" if row > 1 else INK[SLATE])


def _too_sure(axis, part, interval, most):
    """Say what was said and what happened at the point that is farthest from it, of those whose interval misses it."""
    wrong = [(abs(said - happened / count), said, happened, count) for said, happened, count in part
             if not interval(happened, count)[0] <= said <= interval(happened, count)[1]]
    if not wrong:
        axis.text(0.96, 0.07, "no interval misses\nthe dashed line", transform=axis.transAxes, ha="right", va="bottom",
                  fontsize=SMALL, linespacing=1.3)
    else:
        _, said, happened, count = max(wrong)
        x, end = log_odds(said), _place(interval(happened, count)[1 if said < 0.5 else 0], most)
        low = said < 0.5
        axis.annotate(f"said {near(said)},\nwas {percent(happened / count)}", (x, end), (
            x - 0.1 if low else x + 0.1, 0.93 if low else 0.07), textcoords=("data", "axes fraction"), fontsize=SMALL,
            linespacing=1.3, ha="left" if low else "right", va="top" if low else "bottom")
        bottom, top = axis.get_ylim()
        axis.plot([x, x], [end, bottom + (0.77 if low else 0.23) * (top - bottom)], color=EDGE, linewidth=1, zorder=2)
    left = not wrong or max(wrong)[1] >= 0.5
    axis.text(*((-most + 0.2, -0.25) if left else (most - 0.2, 0.25)), "too sure", fontsize=SMALL, color=INK[SLATE],
              ha="left" if left else "right", va="top" if left else "bottom")
