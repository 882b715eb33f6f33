"""Pictures of how a language model learns to follow instructions: the example, the batch, what got better.

They are drawn by the means of figures.py, in its colours: a token that is read is grey, a target red, a target that is
not learned a blank cell, filler hatched, the request blue; what the picture speaks of is black.
"""

from itertools import groupby

import figures
from classification_pictures import PALE
from figures import BLUE, DARK, EDGE, INK, LOSS, SLATE, SMALL, TOKEN, text_width, tint
from mechanisms import frame
from verdict_pictures import cell, listed, percent, spread, write

WIDE = 8.3  # inches of a page
MASKED = {"linestyle": ":", "edgecolor": "#999999"}  # a target that is not learned
FILLER = {"hatch": "////", "edgecolor": "#CFCFCF", "linewidth": 0.8}
TARGET = tint(LOSS, 0.3)
ALL = "all kinds"  # the name of the row that sums up the others


def visible(token):
    """Return a token's text with its spaces and line breaks made visible."""
    return token.replace(" ", "·").replace("\n", "⏎")


def learned_tokens(tokens, targets, learned, alt, line_height=1.42):
    """Draw one training example: each token that is read, below it what is to follow it, if that is learned.

    Args:
        tokens: the texts of the tokens that are read.
        targets: what is to be predicted at each place.
        learned: whether each target is learned; the label of the others is −100.
        alt: what one sees.
        line_height: in inches, with two rows of boxes and the braces.
    """
    learned = [bool(kept) for kept in listed(learned)]
    below = [visible(target) if kept else "−100" for target, kept in zip(targets, learned, strict=True)]
    columns = [max(0.34, text_width(visible(token), SMALL), text_width(text, SMALL)) + 0.14
               for token, text in zip(tokens, below, strict=True)]
    left, height, lines = 0.62, 0.3, wrapped(columns, WIDE - 0.62)
    figure, axis = figures.sheet(WIDE, len(lines) * line_height - 0.08)
    spans = []  # (first place, kept, x from, x to, y) of each run of targets in each line
    for number, places in enumerate(lines):
        y, x = number * line_height + 0.03, left
        write(axis, left - 0.1, y + height / 2, "read", ha="right")
        write(axis, left - 0.1, y + height / 2 + 0.56, "target", ha="right")
        for i in places:
            _box(axis, x, y, columns[i], visible(tokens[i]), PALE)
            figures.arrow(axis, (x + columns[i] / 2, y + height + 0.02), (x + columns[i] / 2, y + 0.54), head=7)
            if learned[i]:
                _box(axis, x, y + 0.56, columns[i], below[i], TARGET, edgecolor=INK[LOSS])
            else:
                _box(axis, x, y + 0.56, columns[i], below[i], "white", INK[SLATE], **MASKED)
            if not spans or spans[-1][1] != learned[i] or i == places[0]:
                spans.append([i, learned[i], x, x, y + 0.92])
            x += columns[i]
            spans[-1][3] = x
    _braces(axis, spans, learned)
    figures.show(figure, alt)


def wrapped(widths, room):
    """Return the places of each line: as many as there is room for, and the lines of nearly one length."""
    lines = -(-sum(widths) // room)
    while True:
        limit, found, used = sum(widths) / lines, [[]], 0.0
        for place, width in enumerate(widths):
            if found[-1] and (used + width > room or used + width / 2 > limit):
                found.append([])
                used = 0.0
            found[-1].append(place)
            used += width
        if len(found) <= lines:
            return found
        lines += 1


def _box(axis, x, y, width, text, colour, ink="black", **looks):
    cell(axis, x + 0.02, y, width - 0.04, 0.3, colour, **looks)
    write(axis, x + width / 2, y + 0.15, text, color=ink)


def _braces(axis, spans, learned):
    """Draw a line under each run of targets, open where it goes on in another line, and name the first of each kind."""
    names = {False: "prompt: read, not learned", True: "answer: learned, to the end token"}
    if all(learned):
        names[True] = "all of it is learned, the prompt as well"
    firsts = {kept: learned.index(kept) for kept in set(learned)}
    runs = {}  # the run that each place belongs to
    for run, (_, places) in enumerate(groupby(range(len(learned)), lambda i: learned[i])):
        runs |= dict.fromkeys(places, run)
    for kept, first in firsts.items():
        parts = [span for span in spans if runs[span[0]] == runs[first]]
        _, _, x, end, y = max(parts, key=lambda span: span[3] - span[2])
        write(axis, x + 0.04, y + 0.2, names[kept], ha="left", weight="bold", color=INK[LOSS if kept else SLATE])
    for number, (place, kept, x, end, y) in enumerate(spans):
        opens = place == 0 or runs[place - 1] != runs[place]
        closes = number == len(spans) - 1 or runs[spans[number + 1][0]] != runs[place]
        xs = [x + 0.03] * 2 * opens + [x + 0.03, end - 0.03] + [end - 0.03] * closes
        ys = [y, y + 0.07][: 2 * opens] + [y + 0.07] * 2 + [y] * closes
        axis.plot(xs, ys, color=LOSS if kept else SLATE, linewidth=1.6)


# A batch of examples.


def collated(steps, alt, pad=50256, ignore=-100, gap=0.5):
    """Draw how examples of several lengths become a batch, one grid of numbers a step, with arrows between.

    A grid that begins with the second numbers of the one before is taken for targets. Of the filler, the first in a
    row is the end of the text: it is outlined, the others are hatched.

    Args:
        steps: (title, rows of ids, note) each.
        alt: what one sees.
        pad: the id that fills rows up, and ends each text.
        ignore: the label of a place that is not learned.
        gap: between two grids, in inches.
    """
    grids = [[listed(row) for row in rows] for _, rows, _ in steps]
    size = 0.12 + max(text_width(_number(value), SMALL, weight="bold") for rows in grids for row in rows
                      for value in row), 0.3
    notes = [note.split("\n") for _, _, note in steps]
    widths = [max(map(len, rows)) * size[0] for rows in grids]
    rooms = [max(width, *(text_width(text, SMALL, weight="bold") for text in (title, *note)))
             for (title, _, _), width, note in zip(steps, widths, notes, strict=True)]
    per_row = len(steps) if sum(rooms) + gap * (len(steps) - 1) <= WIDE + 0.4 else 2
    lefts = [0.05 + sum(max(rooms[j::per_row]) + gap for j in range(i % per_row)) for i in range(len(steps))]
    lows = [0.34 + len(rows) * size[1] + 0.1 + 0.2 * len(note) for rows, note in zip(grids, notes, strict=True)]
    tall, lines = max(lows) + 0.42, -(-len(steps) // per_row)
    figure, axis = figures.sheet(max(left + room for left, room in zip(lefts, rooms, strict=True)) + 0.05,
                                 lines * tall + 0.1)
    shifted, found, before = False, set(), None
    for number, ((title, _, _), rows) in enumerate(zip(steps, grids, strict=True)):
        shifted = shifted or bool(number) and _moved(rows, grids[number - 1])
        x, y = lefts[number], number // per_row * tall
        found |= _ids(axis, x, y, (title, rows, notes[number]), size, (pad, ignore), shifted)
        beside = max(text_width(text, SMALL) for text in notes[number]) + 0.4 < widths[number]
        low = y + (0.34 + len(rows) * size[1] + 0.06 if beside else lows[number])
        place = x, y, widths[number], low
        if number:
            _onward(axis, before, place, len(rows))
        before = place
    _explained(axis, lines * tall - 0.25, size, (pad, ignore), found)
    figures.show(figure, alt)


def _number(value):
    return f"{value}".replace("-", "−")


def _moved(rows, before):
    """Return whether rows begin with the second numbers of the rows before."""
    return all(row != old and row[: len(old) - 1] == old[1 : 1 + len(row)]
               for row, old in zip(rows, before, strict=True))


def _ids(axis, x, y, step, size, special, shifted):
    """Draw one grid of ids with its title above and its note below, and return which special kinds of ids it has."""
    (title, rows, note), (wide, high), (pad, ignore), found = step, size, special, set()
    write(axis, x, y + 0.14, title, ha="left", weight="bold", color=INK[LOSS] if shifted else "black")
    y += 0.34
    for place, row in enumerate(rows):
        end = row.index(pad) if pad in row else len(row)
        for i, value in enumerate(row):
            kind = "ignored" if value == ignore else "end" if i == end else "filler" if value == pad else ""
            _id(axis, x + i * wide, y + place * high, size, value, kind, TARGET if shifted else PALE)
            found.add(kind)
    for line, text in enumerate(note):
        write(axis, x, y + len(rows) * high + 0.18 + 0.2 * line, text, ha="left")
    return found


def _id(axis, x, y, size, value, kind, fill):
    """Draw one id: outlined if it ends a text, hatched if it is filler, a blank cell if it is not learned."""
    (wide, high), plain = size, kind in ("", "end")
    looks = {"filler": FILLER, "ignored": MASKED}.get(kind, {})
    cell(axis, x, y, wide, high, fill if plain else "white", **looks)
    write(axis, x + wide / 2, y + high / 2, _number(value), color="black" if plain else INK[SLATE],
          weight="bold" if kind == "end" else "normal")
    if kind == "end":
        frame(axis, x + 0.015, y + 0.015, wide - 0.03, high - 0.03, DARK)


def _onward(axis, before, after, rows):
    """Draw an arrow from one grid, (left, top, width, where to leave), to the next, which may be in a new line."""
    (x, y, wide, low), (to_x, to_y, to_wide, _) = before, after
    level = y + 0.34 + rows * 0.15
    if to_y == y:
        return figures.arrow(axis, (x + wide + 0.08, level), (to_x - 0.08, level))
    start, end, turn = x + wide - 0.2, to_x + to_wide / 2, to_y - 0.2
    axis.plot([start, start, end, end], [low, turn, turn, to_y + 0.2], color="black", linewidth=1)
    return figures.arrow(axis, (end, turn), (end, to_y + 0.3))


def _explained(axis, y, size, special, found):
    """Say what the looks of the special cells mean, of those that were found."""
    (wide, high), (pad, ignore), x = size, special, 0.05
    for kind, text in (("end", "end of the text"), ("filler", "filler"), ("ignored", "not learned")):
        if kind in found:
            _id(axis, x, y, size, ignore if kind == "ignored" else pad, kind, PALE)
            write(axis, x + wide + 0.1, y + high / 2, text, ha="left")
            x += wide + 0.45 + text_width(text, SMALL)


def batch_shapes(orders, alt, row_height=0.085, gap=0.12):
    """Draw batches as rectangles, each as wide as its longest example; what its other rows lack is filler, hatched.

    Args:
        orders: (name, batches) each, a batch being the lengths of its examples.
        alt: what one sees.
        row_height: of an example, in inches.
        gap: between two batches, in inches.
    """
    orders = [(name, [listed(batch) for batch in batches]) for name, batches in orders]
    left, top = 0.1 + max(text_width(text, SMALL) for text in ("most tokens", f"{len(orders[0][1][0])} examples")), 0.34
    most = max(sum(map(max, batches)) for _, batches in orders)
    inch = (WIDE - left - gap * max(len(batches) for _, batches in orders)) / most  # of one token
    heights = [top + max(map(len, batches)) * row_height + 0.48 for _, batches in orders]
    figure, axis = figures.sheet(WIDE, sum(heights) - 0.2)
    y = 0.0
    for (name, batches), height in zip(orders, heights, strict=True):
        x, low = left, y + height - 0.34
        _share_of_filler(axis, x, y + 0.16, name, batches)
        write(axis, left - 0.1, y + top + len(batches[0]) * row_height / 2, f"{len(batches[0])} examples", ha="right")
        write(axis, left - 0.1, low, "most tokens", ha="right")
        for batch in batches:
            _shape(axis, x, y + top, batch, inch, row_height)
            write(axis, x + max(batch) * inch / 2, low, f"{max(batch)}")
            x += max(max(batch) * inch + gap, text_width(f"{max(batch)}", SMALL) + 0.06)
        y += height
    figures.show(figure, alt)


def _share_of_filler(axis, x, y, name, batches):
    """Write the name of an order, and how much of its batches is filler."""
    places = sum(len(batch) * max(batch) for batch in batches)
    filler = places - sum(map(sum, batches))
    write(axis, x, y, name, ha="left", weight="bold")
    x += text_width(name, SMALL, weight="bold") + 0.25
    cell(axis, x, y - 0.08, 0.32, 0.16, "white", **FILLER)
    write(axis, x + 0.4, y, f"{percent(filler / places)} filler", ha="left", weight="bold")
    x += text_width(f"{percent(filler / places)} filler", SMALL, weight="bold") + 0.48
    write(axis, x, y, f"{filler:,} of {places:,} places", ha="left")


def _shape(axis, x, y, batch, inch, high):
    """Draw one batch: its examples as bars, and hatched what fills them up to the longest."""
    cell(axis, x, y, max(batch) * inch, len(batch) * high, "white", **FILLER | {"linewidth": 0})
    for place, length in enumerate(batch):
        cell(axis, x, y + place * high, length * inch, high, tint(TOKEN, 0.8), linewidth=0.5, edgecolor="white")
    cell(axis, x, y, max(batch) * inch, len(batch) * high, "none", edgecolor=EDGE)


# What got better.


def by_kind(rows, alt, names=("before", "after"), row_height=0.27):
    """Draw the shares of examples that are right, one line per kind, as dots joined by a line, before and after.

    The last dot of each line has its interval, as a bar. The row called "all kinds" is bold.

    Args:
        rows: (kind, total, [(right, low, high), ...]) each, one triple per name, the last two as shares.
        alt: what one sees.
        names: of the dots.
        row_height: in inches.
    """
    texts = [" → ".join(f"{right}" for right, _, _ in points) + f" of {total}" for _, total, points in rows]
    left = max(text_width(kind, SMALL, weight="bold") for kind, _, _ in rows) + 0.22
    right, top = WIDE - max(text_width(text, SMALL, weight="bold") for text in texts) - 0.24, 0.42
    floor = top + len(rows) * row_height + 0.03
    figure, axis = figures.sheet(WIDE, floor + 0.5)

    def at(share):
        return left + (right - left) * share

    for tick in range(0, 101, 20):
        axis.plot([at(tick / 100)] * 2, [top - 0.03, floor], color=tint(SLATE, 0.3), linewidth=0.8, zorder=0)
        write(axis, at(tick / 100), floor + 0.14, f"{tick}%")
    axis.plot([at(0), at(1)], [floor, floor], color=EDGE, linewidth=1)
    write(axis, at(0.5), floor + 0.38, f"test examples that are right; the grey bar is the interval of “{names[-1]}”")
    fills = ["white"] * (len(names) - 1) + [DARK]
    sizes = [50 + 34 * (len(names) - 1 - i) for i in range(len(names))]  # an earlier dot is seen around a later one
    for place, ((kind, total, points), text) in enumerate(zip(rows, texts, strict=True)):
        y, bold = top + (place + 0.5) * row_height, {"weight": "bold" if kind == ALL else "normal"}
        xs = [at(count / total) for count, _, _ in points]
        write(axis, left - 0.12, y, kind, ha="right", **bold)
        write(axis, WIDE - 0.04, y, text, ha="right", **bold)
        axis.plot([at(points[-1][1]), at(points[-1][2])], [y, y], color=tint(SLATE, 0.45), linewidth=7,
                  solid_capstyle="butt", zorder=1)
        axis.plot(xs, [y] * len(xs), color=DARK, linewidth=1.2, zorder=2)
        axis.scatter(xs, [y] * len(xs), s=sizes, color=fills, edgecolor=[DARK] * (len(xs) - 1) + ["white"],
                     linewidth=1.2, zorder=4)
        for border in (y - row_height / 2, y + row_height / 2) if kind == ALL else ():
            if top < border < floor - 0.05:
                axis.plot([0.02, WIDE - 0.04], [border] * 2, color=EDGE, linewidth=0.8)
        if place == 0:
            _head(axis, xs, names, y - 0.09, (left, right))
    figures.show(figure, alt)


def _head(axis, xs, names, y, ends):
    """Write the names of the dots above those of the first row."""
    order = sorted(range(len(xs)), key=lambda i: xs[i])
    apart = max(text_width(name, SMALL) for name in names) + 0.12
    for i, x in zip(order, spread([xs[i] for i in order], apart, *ends), strict=True):
        write(axis, x, 0.12, names[i])
        axis.plot([x, xs[i]], [0.22, y], color=EDGE, linewidth=0.8)


# The same example in two forms.

ROLES = {"template": TOKEN, "request": BLUE, "answer": LOSS}


def forms(prompt_forms, alt, line=0.2, gap=0.3):
    """Draw an example in several forms, side by side: the template's text grey, the request's blue, the answer's red.

    Args:
        prompt_forms: (name, [(text, role), ...]) each, a role being "template", "request" or "answer".
        alt: what one sees.
        line: the height of a line, in inches.
        gap: between two forms, in inches.
    """
    letter = 0.602 * SMALL / 72  # the width of all letters of DejaVu Sans Mono
    margin = max(text_width(role, SMALL, weight="bold") for role in ROLES) + 0.14
    wide = (WIDE - gap * (len(prompt_forms) - 1)) / len(prompt_forms) - margin
    laid = [pieces(parts, int((wide - 0.1) / letter)) for _, parts in prompt_forms]
    lines = max(found[-1][0] for found in laid) + 1
    figure, axis = figures.sheet(WIDE, 0.4 + lines * line + 0.1)
    for number, ((name, _), found) in enumerate(zip(prompt_forms, laid, strict=True)):
        x = number * (margin + wide + gap) + margin
        write(axis, x, 0.14, name, ha="left", weight="bold")
        starts = {}
        for row, column, text, role in found:
            colour, y = ROLES[role], 0.4 + row * line
            starts.setdefault(role, y + line / 2)
            cell(axis, x + column * letter, y, len(text) * letter, line, tint(colour, 0.3), linewidth=0)
            write(axis, x + column * letter, y + line / 2, text, ha="left", family="monospace")
        places = spread(list(starts.values()), line, 0.5, 0.4 + lines * line)
        for role, y in zip(sorted(starts, key=starts.get), places, strict=True):
            write(axis, x - 0.1, y, role, ha="right", weight="bold", color=INK[ROLES[role]])
    figures.show(figure, alt)


def pieces(parts, most):
    """Return [(line, column, text, role), ...] of texts in lines of at most so many letters, cut between words."""
    letters = [(letter, role) for text, role in parts for letter in text]
    found, row = [], 0
    while letters:
        end = next((i + 1 for i, (letter, _) in enumerate(letters[:most]) if letter == "\n"), None)
        if end is None:
            end = len(letters)
            if end > most:
                end = next((i + 1 for i in range(most - 1, 0, -1) if letters[i][0] == " "), most)
        column = 0
        for role, group in groupby(letters[:end], key=lambda pair: pair[1]):
            text = "".join(letter for letter, _ in group).replace("\n", "⏎")
            found.append((row, column, text, role))
            column += len(text)
        letters, row = letters[end:], row + 1
    return found
