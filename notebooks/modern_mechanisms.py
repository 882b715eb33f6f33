"""Pictures of what makes a model fast and modern: a step's time, the KV cache, turned pairs, shared and trained heads.

Appendices G and H draw them, from times that were measured there and from the numbers of their own models, in the
colours of `figures.py`.
"""

import math
from dataclasses import dataclass

import torch
from matplotlib.patches import Circle, PathPatch, Polygon, Rectangle, Wedge
from matplotlib.path import Path as Outline

from figures import (
    COLOURS,
    EDGE,
    GREY,
    INK,
    KEY,
    POSITION,
    QUERY,
    SLATE,
    SMALL,
    VALUE,
    arrow,
    readable,
    sheet,
    show,
    text_width,
    tint,
    told_apart,
    visible,
)
from mechanisms import ROW, frame, grid, number, vector

WEAK, STRONG = 0.25, 0.85  # the tints of what was there before, and of what is new


def write(axis, x, y, text, ha="left", va="center_baseline", **looks):
    """Write text in the size of all these pictures; several lines stand around y, one line on it."""
    axis.text(x, y, text, ha=ha, va="center" if "\n" in text and va == "center_baseline" else va, fontsize=SMALL,
              linespacing=1.25, **looks)


# -------------------- appendix G: the time of a step, and the cache --------------------


def step_parts(rows, alt, width=7.9):
    """Draw where time goes: a bar per row, cut into parts, whose names stand above the first one.

    Args:
        rows: {label: {part: seconds}}, all on one scale; a row may lack parts of the first one, which names them all.
        alt: what one sees.
        width: in inches.

    Raises:
        ValueError: a row has a part that the first one lacks.
    """
    parts = next(iter(rows.values()))
    if lacking := {part for row in rows.values() for part in row} - set(parts):
        raise ValueError(f"the first row lacks {', '.join(sorted(lacking))}")
    colours = {part: colour for part, _, colour in told_apart(parts, [*COLOURS[:3], GREY])}
    left = max(text_width(line, SMALL) for label in rows for line in label.split("\n")) + 0.15
    top, height, gap = 0.5, 0.3, 0.13
    scale = (width - left - 0.85) / max(sum(row.values()) for row in rows.values())
    figure, axis = sheet(width, top + len(rows) * (height + gap))
    free = left
    for i, (label, row) in enumerate(rows.items()):
        y, x = top + i * (height + gap), left
        write(axis, left - 0.1, y + height / 2, label, ha="right")
        for part, seconds in row.items():
            long, colour = seconds * scale, colours[part]
            axis.add_patch(Rectangle((x, y), long, height, facecolor=colour, edgecolor="white", linewidth=0.8))
            if long > text_width(f"{seconds:.2f}", SMALL) + 0.08:
                write(axis, x + long / 2, y + height / 2, f"{seconds:.2f}", ha="center", color=readable(colour))
            if i == 0:  # names side by side, each led to its part
                wide, middle = text_width(part, SMALL, weight="bold"), x + long / 2
                free = max(free, middle - wide / 2)
                write(axis, free, 0.12, part, weight="bold", color=INK[colour])
                axis.plot([free + min(wide / 2, max(0.1, middle - free)), middle], [0.24, y], color=INK[colour],
                          linewidth=1)
                free += wide + 0.22
            x += long
        total = sum(row.values())
        write(axis, x + 0.07, y + height / 2, f"{total:.2f} s", weight="bold")
    show(figure, alt)


@dataclass
class Call:
    """One call of a model with a cache, for `cache_filling`.

    Args:
        name: what kind of call it is.
        known: tokens in the cache before it.
        computed: tokens that go through the model.
        notes: lines on what is computed, written and read.
    """

    name: str
    known: int
    computed: int
    notes: list


def cache_filling(tokens, calls, alt, column=0.66):
    """Draw a cache of keys and values that fills up call by call, and below it the scores that each call computes.

    Args:
        tokens: the text of each column of the cache; those that no call has reached yet stay empty.
        calls: a list of `Call`, the first of which computes the whole prompt.
        alt: what one sees.
        column: the width of a token, in inches.
    """
    left, cell, gap = 1.75, 0.26, 0.32
    notes_x = left + len(tokens) * column + 0.2
    widest = max(text_width(line, SMALL) for call in calls for line in call.notes)
    heights = [(2 + call.computed) * cell + 0.06 for call in calls]
    figure, axis = sheet(notes_x + widest + 0.05, 0.36 + sum(heights) + gap * (len(calls) - 1) + 0.08)
    most = max(call.known + call.computed for call in calls)
    for i, token in enumerate(tokens):
        write(axis, left + (i + 0.5) * column, 0.2, visible(token) if i < most else "", ha="center", va="baseline")
    y = 0.36
    for call, height in zip(calls, heights, strict=True):
        end = call.known + call.computed
        write(axis, 0.02, y + cell, call.name, weight="bold")
        for row, (name, colour) in enumerate([("keys", KEY), ("values", VALUE)]):
            write(axis, left - 0.08, y + (row + 0.5) * cell, name, ha="right", color=INK[colour])
            for i in range(len(tokens)):
                shade = tint(colour, STRONG if i >= call.known else WEAK) if i < end else None
                _cell(axis, left + i * column, y + row * cell, column, cell, shade)
                if shade:
                    write(axis, left + (i + 0.5) * column, y + (row + 0.5) * cell, "new" if i >= call.known else "read",
                          ha="center", color=readable(shade))
        axis.add_patch(Rectangle((left - 0.03, y - 0.03), len(tokens) * column + 0.06, 2 * cell + 0.06, fill=False,
                                 edgecolor="black", linewidth=1.4))
        for row in range(call.computed):
            top = y + (2 + row) * cell + 0.06
            token = visible(tokens[call.known + row])
            write(axis, left - 0.08, top + cell / 2, f"scores of {token}", ha="right", color=INK[QUERY])
            for i in range(call.known + row + 1):
                _cell(axis, left + i * column, top, column, cell, tint(QUERY, 0.5))
        write(axis, notes_x, y + height / 2, "\n".join(call.notes), va="center")
        y += height + gap
    show(figure, alt)


def _cell(axis, x, y, width, height, colour):
    """Draw one cell, an empty one dotted."""
    axis.add_patch(Rectangle((x, y), width, height, facecolor=colour or "white", edgecolor="#999999", linewidth=0.8,
                             linestyle="-" if colour else ":", zorder=1.5 if colour else 1))


# -------------------- appendix H: rotary positions --------------------


def same_distance(query, key, turn, places, alt, radius=0.74):
    """Draw a query and a key as arrows, turned by their places: the angle between them depends on the distance only.

    Args:
        query, key: (2,) arrows of length 1 at place 0.
        turn: a function of an arrow and a place that returns the turned arrow.
        places: (place of the query, place of the key) pairs, one circle each.
        alt: what one sees.
        radius: of a circle in inches.
    """
    wide, top = 2 * radius + 0.48, 0.72
    figure, axis = sheet(len(places) * wide, top + 2 * radius + 0.9)
    a, b = turn(query, 1).tolist()
    per_place = math.degrees(math.atan2(b, a) - math.atan2(*query.flip(0).tolist()))
    write(axis, len(places) * wide / 2, top + 2 * radius + 0.76, f"dotted: at place 0; each place turns an arrow by "
          f"{per_place:.2f}°; the score is the cosine of the grey angle", ha="center")
    for i, (place_q, place_k) in enumerate(places):
        x, y = (i + 0.5) * wide, top + radius
        ends = {"q": turn(query, place_q), "k": turn(key, place_k)}
        write(axis, x, 0.11, f"query at {place_q}", ha="center", weight="bold", color=INK[QUERY])
        write(axis, x, 0.3, f"key at {place_k}", ha="center", weight="bold", color=INK[KEY])
        axis.add_patch(Circle((x, y), radius, fill=False, edgecolor=GREY))
        # y grows downwards here
        angles = [math.degrees(math.atan2(-float(end[1]), float(end[0]))) for end in ends.values()]
        first, last = sorted(angles)
        if last - first > 180:
            first, last = last, first + 360
        axis.add_patch(Wedge((x, y), 0.48 * radius, first, last, facecolor=tint(SLATE, 0.35), edgecolor="none"))
        spread = max(0, 16 - (last - first)) / 2  # degrees by which the names of arrows that nearly meet move apart
        for (name, end), start, colour, angle in zip(ends.items(), (query, key), (QUERY, KEY), angles, strict=True):
            at = [(x + radius * float(a), y - radius * float(b)) for a, b in (start, end)]
            axis.plot([x, at[0][0]], [y, at[0][1]], color=colour, linestyle=":", linewidth=1.5)
            vector(axis, (x, y), at[1], colour, 2.2, 12)
            side = math.radians(angle + (-spread if (angle - first) % 360 == 0 else spread))
            write(axis, x + (radius + 0.13) * math.cos(side), y + (radius + 0.13) * math.sin(side), name, ha="center",
                  va="center", weight="bold", color=INK[colour])
        write(axis, x, y + radius + 0.26, f"{place_q - place_k} apart: {last - first:.0f}°", ha="center")
        write(axis, x, y + radius + 0.45, f"score {number(float(ends['q'] @ ends['k']), 4)}", ha="center")
    show(figure, alt)


def turned_pairs(vectors, degrees, alt, radius=0.7):
    """Draw how rotary positions change a vector: each pair of numbers is an arrow, turned at a speed of its own.

    Args:
        vectors: (places, 2 · pairs), the same vector at places 0, 1, 2, …
        degrees: (pairs,) by how much each pair turns from one place to the next.
        alt: what one sees.
        radius: of the circle, for the longest pair, in inches.
    """
    turned = vectors.detach().unflatten(-1, (-1, 2))  # (places, pairs, 2)
    pairs = turned[0]
    last, wide, left, cell = len(turned) - 1, 2 * radius + 0.42, 0.72, 0.52
    circles = 0.36 + ROW + 0.48
    bottom = circles + 2 * radius + 0.36
    figure, axis = sheet(left + len(pairs) * wide, bottom + ROW + 0.34)
    scale = radius / pairs.norm(dim=-1).max().item()
    for y, place in [(0.36, 0), (bottom, last)]:
        write(axis, 0.02, y + ROW / 2, f"at place {place}", color=INK[POSITION], weight="bold")
    for i in range(len(pairs)):
        x, y = left + (i + 0.5) * wide, circles + radius
        write(axis, x, 0.13, f"pair {i}: {float(degrees[i]):.3g}° a place", ha="center", weight="bold")
        grid(axis, x - cell, 0.36, turned[:1, i], fill=tint(QUERY, 0.2), cell=cell)
        grid(axis, x - cell, bottom, turned[last:, i], fill=tint(QUERY, 0.62), cell=cell)
        arrow(axis, (x, 0.36 + ROW + 0.03), (x, circles - 0.27))
        arrow(axis, (x, circles + 2 * radius + 0.18), (x, bottom - 0.03))
        axis.add_patch(Circle((x, y), scale * pairs[i].norm().item(), fill=False, edgecolor=GREY))
        tips = [(scale * a, scale * b) for a, b in turned[:, i].tolist()]
        for place, (a, b) in enumerate(tips):
            vector(axis, (x, y), (x + a, y - b), tint(QUERY, 0.3 + 0.7 * place / last), 2, 11)
        for name, (a, b) in _named_tips(tips):
            away = 1 + (0.11 + text_width(name, SMALL, weight="bold") / 2) / math.hypot(a, b)
            write(axis, x + away * a, y - away * b, name, ha="center", va="center", color=INK[POSITION], weight="bold")
    (a, b), angle = pairs[0].tolist(), float(degrees[0]) * last
    write(axis, left + 0.5 * wide - cell, bottom + ROW + 0.16,
          f"pair 0: {number(turned[last, 0, 0].item())} = "
          f"{number(a)} · cos {angle:.0f}° − {number(b)} · sin {angle:.0f}°, "
          f"{number(turned[last, 0, 1].item())} = {number(a)} · sin {angle:.0f}° + {number(b)} · cos {angle:.0f}°")
    show(figure, alt)


def _named_tips(tips, apart=0.2):
    """Return [(name, tip), ...] for the tips of an arrow at places 0, 1, 2, …, one where the first and last meet."""
    if math.dist(tips[0], tips[-1]) < apart:
        return [(f"0–{len(tips) - 1}", tips[0])]
    if math.dist(tips[0], tips[1]) < apart:
        return [("0", tips[0]), (f"{len(tips) - 1}", tips[-1])]
    return [(str(place), tip) for place, tip in enumerate(tips)]


# -------------------- appendix H: heads --------------------


def shared_heads(n_heads, kv_heads, head_dim, alt, cell=0.37):
    """Draw who shares keys and values with whom, a panel per number of heads of keys, and what a token's cache holds.

    Args:
        n_heads: heads of queries.
        kv_heads: {title: heads of keys and values}, each of which divides n_heads.
        head_dim: numbers per head.
        alt: what one sees.
        cell: the width of a head, in inches.
    """
    left, gap, high = 0.68, 0.4, 0.3
    wide = n_heads * cell
    rows = {"queries": (0.4, QUERY), "keys": (1.36, KEY), "values": (1.36 + high + 0.1, VALUE)}
    bottom = rows["values"][0] + high
    figure, axis = sheet(left + len(kv_heads) * wide + (len(kv_heads) - 1) * gap + 0.1, bottom + 0.84)
    for name, (y, colour) in rows.items():
        write(axis, left - 0.14, y + high / 2, name, ha="right", weight="bold", color=INK[colour])
    for panel, (title, count) in enumerate(kv_heads.items()):
        start, group = left + panel * (wide + gap), n_heads // count
        strengths = [0.2 + 0.25 * (shared % 3) if group > 1 else 0.2 for shared in range(count)]
        write(axis, start + wide / 2, 0.14, title, ha="center", weight="bold")
        for head in range(n_heads):
            x, owner = start + (head + 0.5) * cell, start + (head // group + 0.5) * group * cell
            axis.plot([x, owner], [0.4 + high, rows["keys"][0]], color=EDGE, linewidth=1.2, zorder=0)
            _head(axis, x, 0.4, cell, high, str(head), tint(QUERY, strengths[head // group]))
        for shared in range(count):
            x = start + (shared + 0.5) * group * cell
            for name in ("keys", "values"):
                y, colour = rows[name]
                _head(axis, x, y, cell, high, str(shared), tint(colour, strengths[shared]))
        top = rows["keys"][0] - 0.07
        axis.add_patch(Rectangle((start - 0.04, top), wide + 0.08, bottom + 0.07 - top, fill=False, edgecolor="black",
                                 linewidth=1.4))
        write(axis, start, bottom + 0.24, "the frame is the cache; per token and layer:")
        write(axis, start, bottom + 0.46, f"2 · {count} · {head_dim} = {2 * count * head_dim:,} numbers", weight="bold")
        write(axis, start, bottom + 0.68, "(keys and values · heads · numbers per head)")
    show(figure, alt)


def _head(axis, x, y, width, height, text, colour):
    """Draw one head, its middle at x."""
    axis.add_patch(Rectangle((x - width / 2 + 0.03, y), width - 0.06, height, facecolor=colour, edgecolor=EDGE,
                             linewidth=1))
    write(axis, x, y + height / 2, text, ha="center", color=readable(colour))


@dataclass
class Behaviour:
    """One thing that heads do, for `heads_map`.

    Args:
        name: what it is.
        scores: (layers, heads), how much each head does it, from 0 to 1.
        weights: (number of tokens,) of the best head, from the token at `place`, as an example.
        place: of a token of the sentence.
        below: the example's arcs hang below the sentence, where they cross no others.
    """

    name: str
    scores: torch.Tensor
    weights: torch.Tensor
    place: int
    below: bool = False


def heads_map(tokens, behaviours, alt, cell=0.26, named=0.3):
    """Draw what the best head for each behaviour does in a sentence, and a map of all heads by what they do most.

    Args:
        tokens: the texts of the sentence's tokens.
        behaviours: up to five of `Behaviour`; a head has the colour of the one with its highest score, the stronger,
            the higher the score.
        alt: what one sees.
        cell: the width of a cell of the map, in inches.
        named: from this score on it is written into the cell.
    """
    scores = torch.stack([behaviour.scores for behaviour in behaviours]).clamp(min=0)  # (behaviours, layers, heads)
    (best, which), colours = scores.max(dim=0), [colour for *_, colour in told_apart(
        {behaviour.name: None for behaviour in behaviours}, COLOURS)]
    layers, heads = best.shape
    left, sentence = 0.62, 1.55
    width = left + layers * cell
    widths = [text_width(token.strip(), SMALL + 1) for token in tokens]
    space = (width - 0.1 - sum(widths)) / (len(tokens) - 1)
    middles = [0.05 + sum(widths[:i]) + i * space + widths[i] / 2 for i in range(len(tokens))]
    top = sentence + 1.65
    figure, axis = sheet(width + 0.05, top + heads * cell + 0.05)
    for token, x in zip(tokens, middles, strict=True):
        axis.text(x, sentence + 0.06, token.strip(), ha="center", va="baseline", fontsize=SMALL + 1)
    for behaviour, colour in zip(behaviours, colours, strict=True):
        layer, head = divmod(behaviour.scores.argmax().item(), heads)
        _arcs(axis, behaviour, middles, sentence, colour, f"layer {layer}, head {head}")
    write(axis, width / 2, top - 0.62, "above: from the token that looks to where it looks; a number is a weight in "
          "this sentence", ha="center")
    write(axis, width / 2, top - 0.38, f"below: all {layers * heads} heads, coloured by their highest test score; from "
          f"{named:.2f} on it is written in", ha="center", weight="bold")
    for layer in range(layers):
        write(axis, left + (layer + 0.5) * cell, top - 0.12, str(layer), ha="center")
        for head in range(heads):
            x, y, score = left + layer * cell, top + head * cell, best[layer, head].item()
            colour = tint(colours[which[layer, head]], score)
            axis.add_patch(Rectangle((x, y), cell, cell, facecolor=colour, edgecolor="#DDDDDD", linewidth=0.5))
            if score >= named:
                write(axis, x + cell / 2, y + cell / 2, f"{score:.2f}".lstrip("0"), ha="center",
                      color=readable(colour))
    for head in range(heads):
        write(axis, left - 0.07, top + (head + 0.5) * cell, f"head {head}", ha="right")
    for behaviour in behaviours:
        layer, head = divmod(behaviour.scores.argmax().item(), heads)
        frame(axis, left + layer * cell, top + head * cell, cell, cell)
    write(axis, left - 0.07, top - 0.12, "layer", ha="right")
    show(figure, alt)


def _arcs(axis, behaviour, middles, floor, colour, where):
    """Draw where one token looks, arcs as thick as the weights, and name the head beside or within the thickest one."""
    target, x = behaviour.weights.argmax().item(), middles[behaviour.place]
    start, up = (floor + 0.16, -1) if behaviour.below else (floor - 0.13, 1)
    for other, weight in enumerate(behaviour.weights.tolist()[: behaviour.place]):
        if weight >= 0.1:
            to = middles[other]
            top = start - up * (0.17 + 0.2 * (x - to))  # the curve rises to three quarters of it
            axis.add_patch(PathPatch(Outline([(x, start), (x, top), (to, top), (to, start)], [1, 4, 4, 4]), fill=False,
                                     edgecolor=colour, linewidth=8 * weight, capstyle="butt"))
            axis.add_patch(Polygon([(to - 0.08, start), (to + 0.08, start), (to, start + 0.1 * up)], color=colour))
            if other != target:
                write(axis, to + 0.13, start - 0.07 * up, f"{weight:.2f}", color=INK[colour])
    name = f"{behaviour.name} ({where}): {behaviour.weights[target]:.2f}"
    looks = {"color": INK[colour], "weight": "bold"}
    if behaviour.place - target == 1:
        write(axis, middles[target] - 0.12, start - 0.12 * up, name, ha="right", **looks)
    elif behaviour.below:
        write(axis, x + 0.15, start + 0.25, name, **looks)
    else:
        middle = (x + middles[target]) / 2
        write(axis, middle, start - 0.1 * (x - middles[target]), name.replace(" (", "\n("), ha="center", **looks)
