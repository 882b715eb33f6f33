"""Pictures of how something works, with vectors and matrices: look-up, dot product, attention, mask, heads.

Each shows an operation with its numbers, few enough to check by hand, in the colours of `figures.py`. The numbers are
those of the notebook's own tensors; the functions compute only what stands on the picture.
"""

import torch
from matplotlib.patches import Rectangle

from figures import (
    INK,
    KEY,
    QUERY,
    SLATE,
    SMALL,
    TOKEN,
    VALUE,
    arrow,
    readable,
    sheet,
    show,
    text_width,
    tint,
)

PLAIN = tint(TOKEN, 0.3)
CELL, ROW = 0.48, 0.3  # width and height of a cell with two decimals, in inches
LIGHT, DARK = 0.2, 0.62  # the tints of a first and a second head


def number(value, digits=2):
    """Return a number as text for a cell: a true minus sign, -inf as −∞, and nothing for NaN."""
    if value != value:
        return ""
    if value in (float("inf"), float("-inf")):
        return "∞" if value > 0 else "−∞"
    return f"{value:.{digits}f}".replace("-", "−")


def grid(axis, x, y, matrix, fill=PLAIN, digits=2, cell=CELL, title=None, rows=None, columns=None,
         fills=None, ink=None):
    """Draw a matrix as cells with their numbers, the upper left corner at (x, y); NaN is a blank cell.

    Args:
        fill: the colour of all cells, or `fills`, one colour per cell.
        title: what stands above, below it the labels of the `columns`; `rows` stand to the left.
        ink: the colour of title and row labels.

    Returns:
        (x, y) of the lower right corner.
    """
    matrix = torch.as_tensor(matrix).detach()
    for row, values in enumerate(matrix.tolist()):
        for column, value in enumerate(values):
            colour = fills[row][column] if fills else fill
            blank = value != value
            axis.add_patch(Rectangle((x + column * cell, y + row * ROW), cell, ROW, linewidth=0.8, edgecolor="#999999",
                                     facecolor="white" if blank else colour, linestyle=":" if blank else "-",
                                     zorder=1 if blank else 1.5))
            axis.text(x + (column + 0.5) * cell, y + (row + 0.5) * ROW, number(value, digits), ha="center",
                      va="center_baseline", fontsize=SMALL, color=readable(colour))
    height, width = matrix.shape[0] * ROW, matrix.shape[1] * cell
    for row, name in enumerate(rows or []):
        axis.text(x - 0.07, y + (row + 0.5) * ROW, name, ha="right", va="center_baseline", fontsize=SMALL)
    for column, name in enumerate(columns or []):
        axis.text(x + (column + 0.5) * cell, y - 0.05, name, ha="center", va="bottom", fontsize=SMALL)
    if title:
        axis.text(x + width / 2, y - (0.26 if columns else 0.09), title, ha="center", va="baseline", fontsize=SMALL,
                  weight="bold", color=ink or "black")
    return x + width, y + height


def frame(axis, x, y, width, height, colour="black"):
    """Outline cells that the picture speaks of."""
    axis.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=colour, linewidth=2.2, zorder=3))


def sign(axis, x, y, text, size=SMALL + 4):
    """Write an operator between two matrices."""
    axis.text(x, y, text, ha="center", va="center", fontsize=size)


def step(axis, x, y, to_x, text):
    """Draw an arrow to the right with the name of the operation above it."""
    arrow(axis, (x, y), (to_x, y))
    axis.text((x + to_x) / 2, y - 0.06, text, ha="center", va="bottom", fontsize=SMALL, linespacing=1.2)


def vector(axis, start, end, colour, width=2.0, head=11, zorder=3):
    """Draw a vector as an arrow, in the axis's own coordinates."""
    axis.annotate("", end, start, zorder=zorder,
                  arrowprops={"arrowstyle": "-|>", "color": colour, "shrinkA": 0, "shrinkB": 0, "linewidth": width,
                              "mutation_scale": head})


def equation(parts, operators, alt, rows=None, marked=None, digits=2, cell=CELL):
    """Draw matrices with operators between them, such as A @ B = C, and outline what makes one row of the result.

    Args:
        parts: (title, matrix, colour) triples; a cell's background is a tint of the colour.
        operators: the text between each two of them.
        alt: what one sees.
        rows: the labels of the rows, one list per part or None.
        marked: per part the rows that are outlined together, (first, last), or None.
        digits, cell: decimals, one for all parts or one per part, and the width of a cell in inches.
    """
    rows = rows or [None] * len(parts)
    digits = digits if isinstance(digits, list) else [digits] * len(parts)
    lefts = [max((text_width(name, SMALL) for name in names or []), default=-0.08) + 0.1 for names in rows]
    widths = [max(matrix.shape[1] * cell, text_width(title, SMALL, weight="bold")) for title, matrix, _ in parts]
    tallest = max(matrix.shape[0] for _, matrix, _ in parts) * ROW
    figure, axis = sheet(sum(lefts) + sum(widths) + 0.34 * len(operators) + 0.05, tallest + 0.3)
    x = 0.02
    for i, (title, matrix, colour) in enumerate(parts):
        height, width = matrix.shape[0] * ROW, matrix.shape[1] * cell
        y = 0.26 + (tallest - height) / 2
        if i:
            sign(axis, x + 0.17, 0.26 + tallest / 2, operators[i - 1])
            x += 0.34
        x += lefts[i]
        left = x + (widths[i] - width) / 2
        grid(axis, left, y, matrix, fill=tint(colour, 0.3), digits=digits[i], cell=cell, title=title, rows=rows[i])
        if marked and marked[i]:
            first, last = marked[i]
            frame(axis, left, y + first * ROW, width, (last - first + 1) * ROW)
        x += widths[i]
    show(figure, alt)


def product(left, right, row, column, names, alt):
    """Draw a product of two matrices, the right one above the result: a row meets a column, and the sum is written out.

    Args:
        left, right: (n, k) and (k, m) matrices of whole numbers.
        row, column: which entry of the result the picture speaks of.
        names: of the two and of their product.
        alt: what one sees.
    """
    result, (rows, inner), columns, cell = left @ right, left.shape, right.shape[1], 0.56
    left_x = 0.12 + text_width(f"row {row}", SMALL)
    result_x, result_y = left_x + inner * cell + 0.45, 0.5 + inner * ROW + 0.4
    terms_x = result_x + columns * cell + 0.9
    figure, axis = sheet(terms_x + 3 * cell + 1.1, result_y + max(rows, 2) * ROW + 0.3)
    looks = [[tint(QUERY, 0.35) if r == row else PLAIN] * inner for r in range(rows)]
    grid(axis, left_x, result_y, left, fills=looks, digits=0, cell=cell, title=names[0],
         rows=[f"row {r}" if r == row else "" for r in range(rows)])
    looks = [[tint(KEY, 0.35) if c == column else PLAIN for c in range(columns)]] * inner
    grid(axis, result_x, 0.5, right, fills=looks, digits=0, cell=cell, title=names[1],
         columns=[f"col. {c}" if c == column else "" for c in range(columns)])
    end, bottom = grid(axis, result_x, result_y, result, digits=0, cell=cell)
    axis.text(result_x + columns * cell / 2, bottom + 0.09, names[2], ha="center", va="top", fontsize=SMALL,
              weight="bold")
    x, y = result_x + column * cell, result_y + row * ROW
    arrow(axis, (left_x + inner * cell + 0.04, y + ROW / 2), (result_x - 0.03, y + ROW / 2))
    arrow(axis, (x + cell / 2, 0.5 + inner * ROW + 0.04), (x + cell / 2, result_y - 0.03))
    frame(axis, x, y, cell, ROW)
    top = 0.5
    axis.text(terms_x, top - 0.09, f"row {row} · column {column}", ha="left", va="baseline", fontsize=SMALL,
              weight="bold")
    for place, (one, other) in enumerate(zip(left[row].tolist(), right[:, column].tolist(), strict=True)):
        level = top + place * ROW
        for spot, value, colour in [(0, one, QUERY), (1.5, other, KEY)]:
            grid(axis, terms_x + spot * cell, level, [[value]], fill=tint(colour, 0.35), digits=0, cell=cell)
        sign(axis, terms_x + 1.25 * cell, level + ROW / 2, "×", size=SMALL + 1)
        axis.text(terms_x + 2.75 * cell, level + ROW / 2, "=", ha="center", va="center_baseline", fontsize=SMALL)
        axis.text(terms_x + 3.7 * cell, level + ROW / 2, number(one * other, 0), ha="right", va="center_baseline",
                  fontsize=SMALL)
    level = top + inner * ROW
    axis.plot([terms_x + 3 * cell, terms_x + 3.8 * cell], [level + 0.02] * 2, color="black", linewidth=1)
    axis.text(terms_x, y + ROW / 2, "add them up", ha="left", va="center_baseline", fontsize=SMALL)
    grid(axis, terms_x + 3 * cell - 0.08, y, result[row, column][None, None], digits=0, cell=cell)
    frame(axis, terms_x + 3 * cell - 0.08, y, cell, ROW)
    arrow(axis, (terms_x + 3.36 * cell, level + 0.06), (terms_x + 3.36 * cell, y - 0.04))
    show(figure, alt)


def lookup(ids, table, names, alt, digits=2):
    """Draw how token ids pick rows of a table: each id, a line to the row of that number, and the rows copied out."""
    count, (rows, width) = len(ids), table.shape
    figure, axis = sheet(6.5, rows * ROW + 0.36)
    top = 0.32
    ids_y = top + (rows - count) * ROW / 2
    spread = [ids_y + (i + 0.5) * ROW for i in range(count)]
    picked = set(ids.tolist())
    label = 0.12 + max(text_width(name, SMALL) for name in names)
    grid(axis, label, ids_y, ids[:, None], digits=0, title="ids", rows=names)
    table_x = label + CELL + 1.4
    fills = [[tint(SLATE, 0.35) if row in picked else "white"] * width for row in range(rows)]
    end, _ = grid(axis, table_x, top, table, fills=fills, digits=digits, title="table",
                  rows=[f"row {row}" for row in range(rows)])
    grid(axis, end + 1.0, ids_y, table[ids], fill=tint(SLATE, 0.35), digits=digits, title="vectors")
    for i, (place, y) in enumerate(zip(ids.tolist(), spread, strict=True)):
        row_y, style = top + (place + 0.5) * ROW, ["-", "--", "-.", ":"][i % 4]
        for start, stop in [((label + CELL + 0.04, y), (table_x - 0.55, row_y)),
                            ((end + 0.04, row_y), (end + 0.96, y))]:
            axis.annotate("", stop, start, arrowprops={"arrowstyle": "-|>", "color": "black", "shrinkA": 0,
                                                       "shrinkB": 0, "mutation_scale": 10, "linestyle": style})
    show(figure, alt)


def dot_products(query, others, alt, name="word", colour=TOKEN, size=2.3):
    """Draw dot products of two numbers as arrows: the shadow of the other vector on the query's line, the arithmetic.

    Args:
        query: (2,) the query.
        others: (n, 2), what it is compared with, one per panel.
        alt: what one sees.
        name, colour: of the others.
        size: the width of a panel in inches.
    """
    corners = torch.cat([query[None], others, torch.zeros(1, 2), others @ query[:, None] / (query @ query) * query])
    low, high = corners.amin(dim=0).tolist(), corners.amax(dim=0).tolist()
    scale = (size - 0.8) / (high[0] - low[0])
    height = scale * (high[1] - low[1]) + 0.5
    figure, axis = sheet(len(others) * (size + 0.14), height + 0.62)
    for i, other in enumerate(others):
        left, score = i * (size + 0.14) + 0.02, (query @ other).item()

        def at(point, left=left):
            return left + 0.4 + scale * (point[0].item() - low[0]), 0.28 + height - 0.2 - scale * (
                point[1].item() - low[1])

        zero, shadow = torch.zeros(2), score / (query @ query) * query
        axis.text(left + size / 2, 0.2, ["they disagree", "at a right angle", "they agree"][(score > 0) + (score >= 0)],
                  ha="center", va="baseline", fontsize=SMALL, weight="bold")
        axis.add_patch(Rectangle((left, 0.28), size, height, linewidth=0.6, edgecolor="#999999", facecolor="white",
                                 zorder=0))
        axis.plot(*zip(at(-1.1 * query), at(1.12 * query), strict=True), color="#999999", linewidth=0.8, zorder=1,
                  clip_path=(Rectangle((left, 0.28), size, height, transform=axis.transData)))
        axis.plot(*zip(at(zero), at(shadow), strict=True), color=tint(colour, 0.6), linewidth=10,
                  zorder=1, solid_capstyle="butt")
        axis.plot(*zip(at(other), at(shadow), strict=True), color=INK[colour], linewidth=1.2, linestyle=":", zorder=2)
        for text, end, line, ink in [("query", query, QUERY, INK[QUERY]),
                                     (name, other, colour if colour != TOKEN else SLATE, INK[colour])]:
            vector(axis, at(zero), at(end), line, 2.4)
            x, y = at(end)
            axis.text(x, y - 0.1, text, ha="center", va="bottom", fontsize=SMALL, color=ink, weight="bold")
        if score:
            x, y = at(shadow / 2)
            axis.text(x + 0.14, y + 0.1, "shadow", ha="left", va="top", fontsize=SMALL, color=INK[colour])
        terms = " + ".join(f"{number(a, 0)} · {f'({number(b, 0)})' if b < 0 else number(b, 0)}"
                           for a, b in zip(query.tolist(), other.tolist(), strict=True))
        axis.text(left + size / 2, height + 0.46, f"{terms} = {number(score, 0)}", ha="center", va="center",
                  fontsize=SMALL + 1)
    show(figure, alt)


def labels_beside(axis, x, targets, top, bottom, gap=0.21):
    """Write labels below each other at x, each with a thin line to its place: `targets` has (text, place, colour)."""
    targets = sorted(targets, key=lambda target: target[1][1])
    heights = [target[1][1] for target in targets]
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + gap)
    excess = max(0.0, heights[-1] - bottom)
    heights[-1] -= excess
    for i in range(len(heights) - 2, -1, -1):
        heights[i] = min(heights[i], heights[i + 1] - gap)
    for (text, place, colour), y in zip(targets, heights, strict=True):
        axis.plot([place[0], x - 0.04], [place[1], max(y, top)], color="#999999", linewidth=0.7, zorder=1)
        axis.text(x, max(y, top), text, ha="left", va="center", fontsize=SMALL, color=colour)


def journey(words, word, query, keys, values, weights, alt, learned=False, note=""):
    """Draw the way of one query: a score with every key, weights by the softmax, values times weights, their sum.

    Args:
        words: the words, one per row.
        word: which of them asks.
        query: (d,) its query.
        keys, values: (number of words, d) and (number of words, d of the values).
        weights: (number of words,) attention weights of this query.
        alt: what one sees.
        learned: query, key and value are three vectors with three colours; otherwise all are the word's own vector.
        note: what the softmax gets besides the scores, such as "÷ √2".
    """
    query, keys, values, weights = (tensor.detach() for tensor in (query, keys, values, weights))
    scores, context = keys @ query, weights @ values
    count, depth, thickness = len(words), values.shape[1], 0.44
    key_colour, value_colour = (KEY, VALUE) if learned else (TOKEN, TOKEN)
    left, top = 0.72, 1.02
    keys_end = left + keys.shape[1] * thickness
    score_x, weight_x = keys_end + 0.62, keys_end + 2.42
    values_x = weight_x + 1.62
    panel, panel_top = 2.35, top + (count + 1) * ROW + 0.92
    figure, axis = sheet(values_x + depth * thickness + 0.1, panel_top + panel + 0.05)
    middle = top + count * ROW / 2

    grid(axis, left, 0.28, query[None], fill=tint(QUERY, 0.35), cell=thickness, title=f"query of “{word}”",
         ink=INK[QUERY])
    terms = " + ".join(f"{number(a)} · {number(b)}" for a, b in zip(query.tolist(), keys[0].tolist(), strict=True))
    axis.text(score_x, 0.28 + ROW / 2, f"first score:  {terms} = {number(scores[0].item())}", ha="left",
              va="center_baseline", fontsize=SMALL)
    grid(axis, left, top, keys, fill=tint(key_colour, 0.3), cell=thickness, rows=words,
         title="keys" if learned else "the words", ink=INK[key_colour] if learned else None)
    step(axis, keys_end + 0.05, middle, score_x - 0.06, "· query")
    for x, name, numbers in [(score_x, "scores", scores), (weight_x, "weights", weights)]:
        axis.text(x + 0.5, top - 0.06, name, ha="center", va="bottom", fontsize=SMALL, weight="bold", color=INK[QUERY])
        longest = max(scores if name == "scores" else weights).item()
        for row, value in enumerate(numbers.tolist()):
            y = top + row * ROW
            axis.add_patch(Rectangle((x, y + 0.05), 0.62 * max(value, 0) / longest, ROW - 0.1, color=QUERY))
            axis.text(x + 0.66 * max(value, 0) / longest + 0.03, y + ROW / 2, number(value), ha="left",
                      va="center_baseline", fontsize=SMALL)
    step(axis, score_x + 1.08, middle, weight_x - 0.06, f"{note}\nsoftmax" if note else "softmax")
    axis.text(weight_x + 0.5, top + count * ROW + 0.08, f"sum {weights.sum().item():.2f}", ha="center", va="top",
              fontsize=SMALL)
    axis.text(values_x - 0.36, middle, "×", ha="center", va="center", fontsize=SMALL + 5)
    grid(axis, values_x, top, values, fill=tint(value_colour, 0.3), cell=thickness,
         title="values" if learned else "the words", ink=INK[value_colour] if learned else None)
    below = top + count * ROW + 0.34
    first, last = ((number(weights[i].item()), number(values[i, 0].item())) for i in (0, -1))
    axis.text(values_x - 0.08, below + ROW / 2, f"add up, first number:  {first[0]} · {first[1]} + … + {last[0]} · "
              f"{last[1]} = {number(context[0].item())}", ha="right", va="center_baseline", fontsize=SMALL)
    grid(axis, values_x, below, context[None], fill=tint(VALUE, 0.62), cell=thickness)
    axis.text(values_x + depth * thickness, below + ROW + 0.05, "context vector", ha="right", va="top", fontsize=SMALL,
              weight="bold", color=INK[VALUE])
    _added_up(axis, words, values, weights, context, value_colour, panel_top, panel, figure.get_figwidth())
    show(figure, alt)


def _added_up(axis, words, values, weights, context, colour, top, size, width):
    """Draw the values as arrows, and beside them the same arrows times their weights, put tip to tail."""
    low = torch.cat([values, torch.zeros(1, values.shape[1])])[:, :2].amin(dim=0)
    high = torch.cat([values, torch.zeros(1, values.shape[1])])[:, :2].amax(dim=0)
    scale = min((size - 0.35) / (high - low)[1].item(), (width / 2 - 1.35) / max((high - low)[0].item(), 1e-6))
    strong = INK[colour]
    which = "first two numbers of each word" if values.shape[1] > 2 else "the values as arrows"
    for x, title in [(0.1, which), (width / 2 + 0.1, "each × its weight, tip to tail")]:
        axis.text(x, top, title, ha="left", va="bottom", fontsize=SMALL, weight="bold")
    bottom = top + size - 0.08

    def at(origin, point):
        return origin + scale * (point[0] - low[0]).item(), bottom - scale * (point[1] - low[1]).item()

    zero, total = torch.zeros(2), torch.zeros(2)
    wide = scale * (high - low)[0].item()
    for panel in (0, 1):
        origin, targets = 0.15 + panel * width / 2, []
        for end in [(high[0], zero[1]), (zero[0], high[1])]:  # the axes of the plane
            axis.plot(*zip(at(origin, zero), at(origin, end), strict=True), color="#999999", linewidth=0.8, zorder=0)
        for word, value, weight in zip(words, values[:, :2], weights, strict=True):
            if panel == 0:
                vector(axis, at(origin, zero), at(origin, value), strong, 1.6)
                targets.append((word, at(origin, value), "black"))
            else:
                vector(axis, at(origin, total), at(origin, total + weight * value), strong, 1.8, zorder=4)
                targets.append((f"{number(weight.item())} × {word}", at(origin, total + weight * value / 2), "black"))
                total = total + weight * value
        vector(axis, at(origin, zero), at(origin, context[:2]), tint(VALUE, 0.55), 7, head=24, zorder=2)
        targets.append(("context vector", at(origin, context[:2] * (1 if panel == 0 else 0.35)), INK[VALUE]))
        labels_beside(axis, origin + wide + 0.28, targets, top + 0.12, bottom)


def roles(word, vector_of_word, matrices, alt):
    """Draw one vector times three matrices: a query, a key and a value, each in its colour."""
    size = len(vector_of_word)
    looks = {"query": (QUERY, "what the word asks:\ncompared with all keys"),
             "key": (KEY, "how it is found:\ncompared with all queries"),
             "value": (VALUE, "what it gives:\naveraged by the weights")}
    height = size * ROW + 0.62
    figure, axis = sheet(7.5, len(matrices) * height)
    middle = len(matrices) * height / 2
    end, _ = grid(axis, 0.05, middle - ROW / 2, vector_of_word[None], title=f"vector of “{word}”")
    for i, (name, matrix) in enumerate(matrices.items()):
        colour, meaning = looks[name]
        y = i * height + 0.3
        row = y + (size - 1) * ROW / 2
        arrow(axis, (end + 0.06, middle), (end + 0.78, row + ROW / 2))
        sign(axis, end + 0.95, row + ROW / 2, "@")
        right, _ = grid(axis, end + 1.15, y, matrix, fill=tint(colour, 0.3), title=f"W_{name}", ink=INK[colour])
        sign(axis, right + 0.2, row + ROW / 2, "=")
        result = vector_of_word @ matrix
        last, _ = grid(axis, right + 0.4, row, result[None], fill=tint(colour, 0.62), title=name, ink=INK[colour])
        axis.text(last + 0.15, row + ROW / 2, meaning, ha="left", va="center", fontsize=SMALL, linespacing=1.3)
        terms = " + ".join(f"{number(a)} · {number(b)}"
                           for a, b in zip(vector_of_word.tolist(), matrix[:, 0].tolist(), strict=True))
        axis.text(right + 0.4, y + size * ROW + 0.03, f"{terms} = {number(result[0].item())}", ha="left", va="center",
                  fontsize=SMALL, color=INK[colour])
        frame(axis, end + 1.15, y, CELL, size * ROW, INK[colour])
        frame(axis, right + 0.4, row, CELL, ROW, INK[colour])
    show(figure, alt)


def mask_steps(words, scores, mask, scale, alt):
    """Draw the causal mask at work: scores, −∞ on the future, and the softmax's rows, which add up to 1."""
    scores = scores.detach()
    masked = scores.masked_fill(mask, -torch.inf)
    weights = torch.softmax(masked / scale, dim=-1)
    count, cell = len(words), 0.43
    left, gap, top = 0.1 + max(text_width(word, SMALL) for word in words), 0.8, 0.3
    width = count * cell
    figure, axis = sheet(left + 3 * width + 2 * gap + 0.6, top + count * ROW + 0.3)
    shades = [[tint(QUERY, 0.12 if not hidden else 0.0) for hidden in row] for row in mask.tolist()]
    grid(axis, left, top, scores, fill=tint(QUERY, 0.12), cell=cell, rows=words, title="scores", ink=INK[QUERY])
    x = left + width + gap
    grid(axis, x, top, masked, fills=shades, cell=cell, title="future hidden", ink=INK[QUERY])
    fills = [[tint(QUERY, 0.05 + 0.9 * value) for value in row] for row in weights.tolist()]
    step(axis, left + width + 0.06, top + count * ROW / 2, x - 0.06, "−∞ on\nthe future")
    x += width + gap
    step(axis, x - gap + 0.06, top + count * ROW / 2, x - 0.06, f"÷ √{scale**2:.0f}\nsoftmax")
    end, bottom = grid(axis, x, top, weights.masked_fill(mask, torch.nan), fills=fills, cell=cell, title="weights",
                       ink=INK[QUERY])
    axis.text(end + 0.37, top - 0.06, "sum", ha="center", va="bottom", fontsize=SMALL)
    for row, total in enumerate(weights.sum(dim=-1).tolist()):
        axis.text(end + 0.37, top + (row + 0.5) * ROW, number(total), ha="center", va="center_baseline", fontsize=SMALL)
    for row in range(count):
        axis.text(end + 0.1, top + (row + 0.5) * ROW, "→", ha="center", va="center_baseline", fontsize=SMALL)
    axis.text(left, bottom + 0.06, "row: the word that looks; column: the word looked at, in the same order", ha="left",
              va="top", fontsize=SMALL)
    show(figure, alt)


def cut_into_heads(matrix, right, wrong, alt):
    """Draw how `view` and `transpose` cut a matrix into two heads, and below it what `view` alone would do.

    Args:
        matrix: (number of tokens, width), all its numbers different.
        right, wrong: (2, number of tokens, width of a head), the two results.
        alt: what one sees.
    """
    (tokens, width), head_dim, cell = matrix.shape, right.shape[-1], 0.38
    home = {value: (row, column) for row, values in enumerate(matrix.tolist()) for column, value in enumerate(values)}

    def fills(part):
        return [[tint(QUERY, DARK if home[v][1] >= head_dim else LIGHT) for v in row] for row in part.tolist()]

    def block(x, y, part, **labels):
        return grid(axis, x, y, part, fills=fills(part), digits=0, cell=cell, **labels)

    height = tokens * ROW
    figure, axis = sheet(7.1, 4 * height + 1.7)
    names = [f"token {row}" for row in range(tokens)]
    heads_x = 5.6
    for top, result in [(0.3, right), (2 * height + 1.32, wrong)]:
        middle = top + height + 0.16
        start = middle - height / 2
        end, _ = block(0.68, start, matrix, rows=names, title=f"{tokens} × {width}")
        for head in (0, 1):
            y = top + head * (height + 0.32)
            owners = ["token " + " and ".join(str(i) for i in sorted({home[v][0] for v in row}))
                      for row in result[head].tolist()]
            block(heads_x, y, result[head], title=f"head {head}")
            for row, owner in enumerate(owners):
                axis.text(heads_x + head_dim * cell + 0.08, y + (row + 0.5) * ROW, owner, ha="left",
                          va="center_baseline", fontsize=SMALL)
        if result is right:
            step(axis, end + 0.08, middle, end + 0.72, "view:\ncut rows")
            x = end + 0.8
            for head in (0, 1):
                part = matrix[:, head * head_dim : (head + 1) * head_dim]
                last, _ = block(x + head * (head_dim * cell + 0.12), start, part)
            axis.text((x + last) / 2, start - 0.06, f"{tokens} × 2 × {head_dim}", ha="center", va="bottom",
                      fontsize=SMALL, weight="bold")
            step(axis, last + 0.08, middle, heads_x - 0.1, "transpose:\nheads first")
        else:
            step(axis, end + 0.08, middle, heads_x - 0.1,
                 f"view to 2 × {tokens} × {head_dim} at once: numbers in the\norder of memory, "
                 "first half and second half")
    axis.text(0.02, 0.1, "right", fontsize=SMALL + 1, weight="bold", va="center")
    axis.plot([0, 7.1], [2 * height + 0.82] * 2, color="#999999", linewidth=0.8)
    axis.text(0.02, 2 * height + 1.02, "wrong, with the same shapes", fontsize=SMALL + 1, weight="bold", va="center")
    show(figure, alt)


def heads_to_output(words, weights, values, output, alt):
    """Draw two heads from their weights to the output: weights @ values, side by side, and the output projection.

    Args:
        words: the words, one per row.
        weights: (2, number of words, number of words), 0 in the future.
        values: (2, number of words, width of a head).
        output: (number of words, 2 * width of a head), after the output projection.
        alt: what one sees.
    """
    weights, values, output = weights.detach(), values.detach(), output.detach()
    contexts, (_, tokens, head_dim), cell = weights @ values, values.shape, 0.48
    height, left = tokens * ROW, 0.1 + max(text_width(word, SMALL) for word in words)
    future = torch.triu(torch.ones(tokens, tokens, dtype=torch.bool), diagonal=1)
    values_x = left + tokens * cell + 0.34
    contexts_x = values_x + head_dim * cell + 0.34
    joined_x = contexts_x + head_dim * cell + 0.9
    figure, axis = sheet(joined_x + 2 * head_dim * cell + 0.3, 2 * height + 0.85)
    for head, strength in enumerate([LIGHT, DARK]):
        y = 0.3 + head * (height + 0.5)
        fills = [[tint(QUERY, strength)] * tokens] * tokens
        grid(axis, left, y, weights[head].masked_fill(future, torch.nan), fills=fills, cell=cell, rows=words,
             title=f"weights, head {head}", ink=INK[QUERY])
        sign(axis, values_x - 0.17, y + height / 2, "@")
        grid(axis, values_x, y, values[head], fill=tint(VALUE, strength), cell=cell, title="values", ink=INK[VALUE])
        sign(axis, contexts_x - 0.17, y + height / 2, "=")
        end, _ = grid(axis, contexts_x, y, contexts[head], fill=tint(VALUE, strength), cell=cell, title="contexts",
                      ink=INK[VALUE])
        arrow(axis, (end + 0.06, y + height / 2), (joined_x - 0.06, 0.3 + height / 2 + 0.05 * (2 * head - 1)))
    axis.text(end + 0.42, 0.3 + height / 2 - 0.12, "side by\nside", ha="center", va="bottom", fontsize=SMALL)
    joined = torch.cat(list(contexts), dim=-1)
    fills = [[tint(VALUE, LIGHT)] * head_dim + [tint(VALUE, DARK)] * head_dim] * tokens
    grid(axis, joined_x, 0.3, joined, fills=fills, cell=cell, title=f"{tokens} × {2 * head_dim}", ink=INK[VALUE])
    x, y = joined_x + head_dim * cell, 0.3 + height
    arrow(axis, (x, y + 0.04), (x, y + 0.28))
    axis.text(x + 0.1, y + 0.15, "out_proj", ha="left", va="center", fontsize=SMALL)
    grid(axis, joined_x, y + 0.5, output, cell=cell, fill=PLAIN)
    axis.text(x, y + 0.46, "output", ha="center", va="bottom", fontsize=SMALL, weight="bold")
    show(figure, alt)
