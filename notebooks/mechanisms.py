"""Pictures of how something works, with vectors and matrices: look-up, dot product, attention, mask, heads.

Each shows an operation with its numbers, few enough to check by hand, in the colours of `figures.py`. The numbers are
those of the notebook's own tensors; the functions compute only what stands on the picture. Where they print a result,
they print what it is made of with as many decimals as it takes to get that result from the printed numbers.
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
    canvas,
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


def enough_digits(compute, inputs, digits=2, result=None, most=5):
    """Return with how many digits `inputs` must be printed, at least 1, for a result to follow from what is printed.

    Args:
        compute: a function of the inputs.
        inputs: tensors.
        digits: of the result, one tensor, on the picture.
        result: by default that of the exact inputs.
        most: the most digits that a picture has room for.
    """
    inputs = [torch.as_tensor(part).detach().double() for part in inputs]
    wanted = printed(compute(*inputs) if result is None else result, digits)
    return next((enough for enough in range(1, most)
                 if printed(compute(*(part.round(decimals=enough) for part in inputs)), digits) == wanted), most)


def printed(values, digits):
    """Return the numbers of a tensor as they are printed."""
    return [number(value, digits) for value in torch.as_tensor(values).detach().double().flatten().tolist()]


def products(first, second, digits=2, other=None):
    """Return a sum of products as text, with brackets around a negative second number; `other`: its digits."""
    texts = zip(printed(first, digits), printed(second, digits if other is None else other), strict=True)
    return " + ".join(f"{a} · {f'({b})' if b.startswith('−') else b}" for a, b in texts)


def cell_width(matrix, digits, least=CELL):
    """Return how wide a cell must be for the numbers of a matrix."""
    return max(least, *(text_width(text, SMALL) + 0.08 for text in printed(matrix, digits)))


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


def vector(axis, start, end, colour, width=2.0, head=11, zorder=3, style="-"):
    """Draw a vector as an arrow, in the axis's own coordinates, also where it leaves the axis."""
    axis.annotate("", end, start, zorder=zorder, annotation_clip=False, arrowprops={
        "arrowstyle": "-|>", "color": colour, "linewidth": width, "linestyle": style, "shrinkA": 0, "shrinkB": 0,
        "mutation_scale": head})


def equation(parts, operators, alt, rows=None, marked=None, digits=None, cell=CELL, columns=None, worked=False):
    """Draw matrices with operators between them, such as A @ B = C, and outline what makes one row of the result.

    Args:
        parts: (title, matrix, colour) triples; a cell's background is a tint of the colour.
        operators: the text between each two of them.
        alt: what one sees.
        rows: the labels of the rows, one list per part or None.
        marked: per part the rows that are outlined together, (first, last), or None.
        digits: decimals, one number per part; by default 2 for the result, and for what it is made of at least as many,
            and so many that the result follows from what is printed.
        cell: the least width of a cell in inches.
        columns: the labels of the columns, one list per part or None.
        worked: write below how the first number of the outlined row comes about.
    """
    rows, columns = rows or [None] * len(parts), columns or [None] * len(parts)
    matrices = [matrix.detach() for _, matrix, _ in parts]
    if digits is None and len(parts) < 3:
        digits = [2] * len(parts)
    elif digits is None:
        compute = torch.add if operators[0] == "+" else torch.matmul
        digits = [max(2, enough_digits(compute, matrices[:2]))] * 2 + [2]
    digits = [2 if torch.equal(matrix, matrix.round(decimals=2)) and places > 2 else places
              for matrix, places in zip(matrices, digits, strict=True)]
    cells = [max([cell_width(matrix, places, cell), *(text_width(name, SMALL) + 0.06 for name in names or [])])
             for matrix, places, names in zip(matrices, digits, columns, strict=True)]
    lefts = [max((text_width(name, SMALL) for name in names or []), default=-0.08) + 0.1 for names in rows]
    widths = [max(matrix.shape[1] * wide, text_width(title, SMALL, weight="bold"))
              for (title, matrix, _), wide in zip(parts, cells, strict=True)]
    tallest, top = max(matrix.shape[0] for matrix in matrices) * ROW, 0.43 if any(columns) else 0.26
    figure, axis = sheet(sum(lefts) + sum(widths) + 0.34 * len(operators) + 0.05, top + tallest + 0.04 + 0.3 * worked)
    x = 0.02
    for i, (title, matrix, colour) in enumerate(parts):
        height, width = matrix.shape[0] * ROW, matrix.shape[1] * cells[i]
        y = top + (tallest - height) / 2
        if i:
            sign(axis, x + 0.17, top + tallest / 2, operators[i - 1])
            x += 0.34
        x += lefts[i]
        left = x + (widths[i] - width) / 2
        grid(axis, left, y, matrix, fill=tint(colour, 0.3), digits=digits[i], cell=cells[i], title=title, rows=rows[i],
             columns=columns[i])
        if marked and marked[i]:
            first, last = marked[i]
            frame(axis, left, y + first * ROW, width, (last - first + 1) * ROW)
        x += widths[i]
    if worked:
        row, (first, second, result) = marked[0][0], matrices
        if operators[0] == "+":
            texts = printed(first[row, :1], digits[0]) + printed(second[row, :1], digits[1])
            sum_of = " + ".join([texts[0], f"({texts[1]})" if texts[1].startswith("−") else texts[1]])
        else:
            sum_of = products(first[row], second[:, 0], digits[0], digits[1])
        axis.text(figure.get_figwidth() / 2, top + tallest + 0.2, "outlined, first number:  "
                  f"{sum_of} = {number(result[row, 0].item(), digits[2])}", ha="center", va="center", fontsize=SMALL)
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


def dot_products(query, others, alt, name="word", colour=TOKEN, size=2.7):
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
    scale = (size - 1.45) / (high[0] - low[0])
    height = scale * (high[1] - low[1]) + 0.5
    figure, axis = sheet(len(others) * (size + 0.14), height + 0.86)
    for i, other in enumerate(others):
        left, score = i * (size + 0.14) + 0.02, (query @ other).item()

        def at(point, left=left):
            return left + 0.56 + scale * (point[0].item() - low[0]), 0.28 + height - 0.2 - scale * (
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
            right = text == "query"  # out of the way of the dotted line
            axis.text(x - 0.12 * right, y - 0.08, f"{text} ({', '.join(printed(end, 0))})",
                      ha="left" if right else "center", va="bottom", fontsize=SMALL, color=ink, weight="bold")
        if score:
            x, y = at(shadow / 2)
            axis.text(x + 0.14, y + 0.1, "shadow", ha="left", va="top", fontsize=SMALL, color=INK[colour])
        axis.text(left + size / 2, height + 0.46, f"{products(query, other, 0)} = {number(score, 0)}", ha="center",
                  va="center", fontsize=SMALL + 1)
        length = query.norm().item()
        axis.text(left + size / 2, height + 0.7, f"shadow {number(score / length, 3)} × query {number(length, 3)} = "
                  f"{number(score)}", ha="center", va="center", fontsize=SMALL)
    show(figure, alt)


def bars_beside(axis, x, y, name, values, digits):
    """Draw a column of bars, each with its number, below the name of what they are."""
    axis.text(x + 0.5, y - 0.06, name, ha="center", va="bottom", fontsize=SMALL, weight="bold", color=INK[QUERY])
    for row, (value, text) in enumerate(zip(values.tolist(), printed(values, digits), strict=True)):
        length, top = 0.5 * max(value, 0) / values.max().item(), y + row * ROW
        axis.add_patch(Rectangle((x, top + 0.05), length, ROW - 0.1, color=QUERY))
        axis.text(x + length + 0.06, top + ROW / 2, text, ha="left", va="center_baseline", fontsize=SMALL)


def journey(words, word, query, keys, values, weights, alt, learned=False):
    """Draw the way of one query: a score with every key, weights by the softmax, values times weights, their sum.

    Args:
        words: the words, one per row.
        word: which of them asks.
        query: (d,) its query.
        keys, values: (number of words, d) and (number of words, d of the values).
        weights: (number of words,) attention weights of this query.
        alt: what one sees.
        learned: query, key and value are three vectors with three colours, and scores are divided by √d; otherwise all
            are the word's own vector.
    """
    query, keys, values, weights = (tensor.detach() for tensor in (query, keys, values, weights))
    count, width, divisor = len(words), keys.shape[1], keys.shape[1] ** 0.5 if learned else 1.0
    scores, context = keys @ query, weights @ values
    powers = torch.exp(scores / divisor)
    exact = torch.equal(values, values.round(decimals=2))  # how many digits each step needs, from the last to the first
    of_weights = max(2, enough_digits(lambda w, v: torch.cat([w @ (values.double() if exact else v), w.sum()[None]]),
                                      [weights, values]))
    of_sum = enough_digits(lambda total: powers / total, [powers.sum()], of_weights, weights)
    total = round(powers.sum().item(), of_sum)
    of_powers = max(enough_digits(lambda p: p / total, [powers], of_weights, weights),
                    enough_digits(torch.sum, [powers], of_sum))
    of_scores = max(2, enough_digits(lambda s: torch.exp(s / divisor), [scores], of_powers))
    of_keys = max(2, enough_digits(lambda q, k: k @ q, [query, keys], of_scores))
    of_values = 2 if exact else of_weights

    key_colour, value_colour = (KEY, VALUE) if learned else (TOKEN, TOKEN)
    left, top, key_cell, value_cell = 0.72, 1.14, cell_width(keys, of_keys, 0.44), cell_width(values, of_values, 0.44)
    keys_end = left + width * key_cell
    score_x = keys_end + 0.66
    powers_x = score_x + 1.1 + (0.72 if learned else 0.5)
    weight_x = powers_x + 0.62 + 0.64
    values_x = weight_x + 1.48
    figure, axis = sheet(values_x + values.shape[1] * value_cell + 0.1, top + (count + 2) * ROW + 0.3)
    middle = top + count * ROW / 2

    grid(axis, left, 0.28, query[None], fill=tint(QUERY, 0.35), cell=key_cell, digits=of_keys,
         title=f"query of “{word}”" if learned else f"query: “{word}” itself", ink=INK[QUERY])
    first, division = (texts[0] for texts in (printed(scores, of_scores), [f" ÷ √{width}" if learned else ""]))
    power = printed(powers, of_powers)[0]
    for line, text in enumerate([
            f"first score:  {products(query, keys[0], of_keys)} = {first}",
            f"its weight:  exp({first}{division}) = {power},   {power} ÷ {number(total, of_sum)} = "
            f"{number(weights[0].item(), of_weights)}"]):
        axis.text(score_x + 0.1, 0.24 + line * 0.24, text, ha="left", va="center_baseline", fontsize=SMALL)
    grid(axis, left, top, keys, fill=tint(key_colour, 0.3), cell=key_cell, rows=words, digits=of_keys,
         title="keys" if learned else "the words", ink=INK[key_colour] if learned else None)
    step(axis, keys_end + 0.05, middle, score_x - 0.06, "· query")
    bars_beside(axis, score_x, top, "scores", scores, of_scores)
    step(axis, score_x + 1.12, middle, powers_x - 0.06, f"÷ √{width},\nexp" if learned else "exp")
    grid(axis, powers_x, top, powers[:, None], fill=tint(QUERY, 0.12), cell=0.6, digits=of_powers)
    axis.text(powers_x + 0.3, top + count * ROW + 0.08, f"sum {number(total, of_sum)}", ha="center", va="top",
              fontsize=SMALL)
    step(axis, powers_x + 0.65, middle, weight_x - 0.06, "÷ sum")
    axis.text((powers_x + weight_x) / 2 + 0.3, top - 0.33, "softmax", ha="center", va="bottom", fontsize=SMALL)
    axis.plot([score_x + 1.12, score_x + 1.12, weight_x - 0.06, weight_x - 0.06],
              [top - 0.23, top - 0.29, top - 0.29, top - 0.23], color="#999999", linewidth=0.8)
    bars_beside(axis, weight_x, top, "weights", weights, of_weights)
    axis.text(weight_x + 0.5, top + count * ROW + 0.08, f"sum {number(weights.sum().item())}", ha="center", va="top",
              fontsize=SMALL)
    axis.text(values_x - 0.28, middle, "×", ha="center", va="center", fontsize=SMALL + 5)
    grid(axis, values_x, top, values, fill=tint(value_colour, 0.3), cell=value_cell, digits=of_values,
         title="values" if learned else "the words", ink=INK[value_colour] if learned else None)
    below = top + count * ROW + 0.34
    grid(axis, values_x, below, context[None], fill=tint(VALUE, 0.62), cell=value_cell)
    axis.text(values_x + values.shape[1] * value_cell, below + ROW + 0.05, "context vector", ha="right", va="top",
              fontsize=SMALL, weight="bold", color=INK[VALUE])
    axis.text(0.05, below + ROW / 2,
              f"added up, first number:\n{products(weights, values[:, 0], of_weights, of_values)} = "
              f"{number(context[0].item())}", ha="left", va="center", fontsize=SMALL, linespacing=1.3)
    show(figure, alt)


def added_up(words, vectors, weights, alt, size=(4.6, 4.4)):
    """Draw a weighted sum of vectors of two numbers: each arrow times its weight, put tip to tail.

    Args:
        words: one per vector.
        vectors: (number of words, 2).
        weights: (number of words,).
        alt: what one sees.
        size: in inches.
    """
    figure, (axis,) = canvas(*size)
    tips = (weights[:, None] * vectors).cumsum(dim=0)
    x, y = tips[-1].tolist()
    vector(axis, (0, 0), (x, y), tint(VALUE, 0.55), 7, head=24, zorder=2)
    axis.text(x * 0.68 - 0.03, y * 0.68, f"context vector\n({number(x)}, {number(y)})", ha="right", va="bottom",
              fontsize=SMALL, weight="bold", color=INK[VALUE])
    start = torch.zeros(2)
    for word, weight, tip in zip(words, weights, tips, strict=True):
        vector(axis, start.tolist(), tip.tolist(), "black", 1.8, zorder=4)
        (right, up), middle = (tip - start).tolist(), (start + tip) / 2
        axis.text(middle[0] + 0.02 + (right / 2 if right > up else 0), max(middle[1] - 0.01, 0.03),
                  f"{number(weight.item())} × {word}", ha="left", va="center", fontsize=SMALL)
        start = tip
    axis.set(xlim=(0, 1.5 * x), ylim=(0, 1.05 * y), aspect="equal")
    axis.set_xlabel("first number", fontsize=SMALL)
    axis.set_ylabel("second number", fontsize=SMALL)
    show(figure, alt)


def roles(word, vector_of_word, matrices, alt):
    """Draw one vector times three matrices: a query, a key and a value, each in its colour."""
    size = len(vector_of_word)
    looks = {"query": (QUERY, "what the word asks:\ncompared with all keys"),
             "key": (KEY, "how it is found:\ncompared with all queries"),
             "value": (VALUE, "what it gives:\naveraged by the weights")}
    height = size * ROW + 0.62
    figure, axis = sheet(7.5, len(matrices) * height)
    middle = len(matrices) * height / 2
    digits = max(2, *(enough_digits(lambda m: vector_of_word.double() @ m, [matrix]) for matrix in matrices.values()))
    end, _ = grid(axis, 0.05, middle - ROW / 2, vector_of_word[None], title=f"vector of “{word}”")
    for i, (name, matrix) in enumerate(matrices.items()):
        colour, meaning = looks[name]
        y = i * height + 0.3
        row = y + (size - 1) * ROW / 2
        arrow(axis, (end + 0.06, middle), (end + 0.78, row + ROW / 2))
        sign(axis, end + 0.95, row + ROW / 2, "@")
        right, _ = grid(axis, end + 1.15, y, matrix, fill=tint(colour, 0.3), title=f"W_{name}", ink=INK[colour],
                        digits=digits)
        sign(axis, right + 0.2, row + ROW / 2, "=")
        result = vector_of_word @ matrix
        last, _ = grid(axis, right + 0.4, row, result[None], fill=tint(colour, 0.62), title=name, ink=INK[colour])
        axis.text(last + 0.15, row + ROW / 2, meaning, ha="left", va="center", fontsize=SMALL, linespacing=1.3)
        terms = products(vector_of_word, matrix[:, 0], 2, digits)
        axis.text(right + 0.4, y + size * ROW + 0.03, f"{terms} = {number(result[0].item())}", ha="left", va="center",
                  fontsize=SMALL, color=INK[colour])
        frame(axis, end + 1.15, y, CELL, size * ROW, INK[colour])
        frame(axis, right + 0.4, row, CELL, ROW, INK[colour])
    show(figure, alt)


def mask_steps(words, scores, mask, scale, alt):
    """Draw the causal mask at work: scores, −∞ on the future, and the softmax's rows, which add up to 1."""
    scores = scores.detach()

    def softmax(values):
        return torch.softmax(values.masked_fill(mask, -torch.inf) / scale, dim=-1)

    masked, weights = scores.masked_fill(mask, -torch.inf), softmax(scores)
    of_weights = max(2, enough_digits(lambda w: w.sum(dim=-1), [weights]))
    of_scores = max(2, enough_digits(softmax, [scores], of_weights))
    count, cell = len(words), max(0.05 + max(text_width(word, SMALL) for word in words), cell_width(scores, of_scores))
    left, gap, top = 0.1 + max(text_width(word, SMALL) for word in words), 0.8, 0.5
    width = count * cell
    figure, axis = sheet(left + 3 * width + 2 * gap + 0.6, top + count * ROW + 0.3)
    shades = [[tint(QUERY, 0.12 if not hidden else 0.0) for hidden in row] for row in mask.tolist()]
    grid(axis, left, top, scores, fill=tint(QUERY, 0.12), cell=cell, rows=words, columns=words, title="scores",
         ink=INK[QUERY], digits=of_scores)
    x = left + width + gap
    grid(axis, x, top, masked, fills=shades, cell=cell, columns=words, title="future hidden", ink=INK[QUERY],
         digits=of_scores)
    fills = [[tint(QUERY, 0.05 + 0.9 * value) for value in row] for row in weights.tolist()]
    step(axis, left + width + 0.06, top + count * ROW / 2, x - 0.06, "−∞ on\nthe future")
    x += width + gap
    step(axis, x - gap + 0.06, top + count * ROW / 2, x - 0.06, f"÷ √{scale**2:.0f}\nsoftmax")
    end, bottom = grid(axis, x, top, weights.masked_fill(mask, torch.nan), fills=fills, cell=cell, columns=words,
                       title="weights", ink=INK[QUERY], digits=of_weights)
    axis.text(end + 0.37, top - 0.06, "sum", ha="center", va="bottom", fontsize=SMALL)
    for row, total in enumerate(weights.sum(dim=-1).tolist()):
        axis.text(end + 0.37, top + (row + 0.5) * ROW, number(total), ha="center", va="center_baseline", fontsize=SMALL)
    for row in range(count):
        axis.text(end + 0.1, top + (row + 0.5) * ROW, "→", ha="center", va="center_baseline", fontsize=SMALL)
    axis.text(left, bottom + 0.06, "row: the word that looks; column: the word looked at", ha="left", va="top",
              fontsize=SMALL)
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


def heads_to_output(words, weights, values, projection, alt):
    """Draw two heads from their weights to the output: weights @ values, side by side, and the output projection.

    Args:
        words: the words, one per row.
        weights: (2, number of words, number of words), 0 in the future.
        values: (2, number of words, width of a head).
        projection: what multiplies the contexts, (2 * width of a head, d_out), and what is added, (d_out,).
        alt: what one sees.
    """
    weights, values, matrix, bias = (tensor.detach() for tensor in (weights, values, *projection))
    contexts, (_, tokens, head_dim) = weights @ values, values.shape
    joined = torch.cat(list(contexts), dim=-1)
    output = joined @ matrix + bias
    fine = max(2, enough_digits(lambda j, m, b: j @ m + b, [joined, matrix, bias]))
    finer = max(fine, enough_digits(torch.matmul, [weights, values], fine))
    cell = cell_width(values, finer)
    height, left = tokens * ROW, 0.1 + max(text_width(word, SMALL) for word in words)
    future = torch.triu(torch.ones(tokens, tokens, dtype=torch.bool), diagonal=1)
    values_x = left + tokens * cell + 0.34
    contexts_x = values_x + head_dim * cell + 0.34
    joined_x = contexts_x + head_dim * cell + 1.0
    width, wide = 2 * head_dim * cell, matrix.shape[1] * cell
    below = 2 * height + 1.35
    figure, axis = sheet(joined_x + max(width, wide) + 0.05, below + max(matrix.shape[0] * ROW, height) + 0.1)
    for head, strength in enumerate([LIGHT, DARK]):
        y = 0.3 + head * (height + 0.5)
        fills = [[tint(QUERY, strength)] * tokens] * tokens
        grid(axis, left, y, weights[head].masked_fill(future, torch.nan), fills=fills, cell=cell, rows=words,
             title=f"weights, head {head}", ink=INK[QUERY], digits=finer)
        sign(axis, values_x - 0.17, y + height / 2, "@")
        grid(axis, values_x, y, values[head], fill=tint(VALUE, strength), cell=cell, title="values", ink=INK[VALUE],
             digits=finer)
        sign(axis, contexts_x - 0.17, y + height / 2, "=")
        end, _ = grid(axis, contexts_x, y, contexts[head], fill=tint(VALUE, strength), cell=cell, title="contexts",
                      ink=INK[VALUE], digits=fine)
    fills = [[tint(VALUE, LIGHT)] * head_dim + [tint(VALUE, DARK)] * head_dim] * tokens
    grid(axis, joined_x, 0.3, joined, fills=fills, cell=cell, title="side by side", ink=INK[VALUE], digits=fine)
    arrow(axis, (end + 0.06, 0.3 + height / 2), (joined_x - 0.06, 0.3 + height / 2))
    turn, half = 0.8 + 1.5 * height, joined_x + (head_dim + 0.5) * cell  # to its own half
    axis.plot([end + 0.06, half, half], [turn, turn, height + 0.45], color="black", linewidth=1)
    arrow(axis, (half, height + 0.46), (half, height + 0.34))
    down = half + (head_dim - 1) * cell
    arrow(axis, (down, 0.34 + height), (down, below - 0.28))
    axis.text(down - 0.08, 0.9 + 1.8 * height, "out_proj:\n@ W + b", ha="right", va="center", fontsize=SMALL)
    grid(axis, joined_x, below, output, cell=cell, fill=PLAIN, title="output")
    grid(axis, left, below, matrix, cell=cell, fill=PLAIN, digits=fine, title="W")
    grid(axis, left + wide + 0.4, below, bias[None], cell=cell, fill=PLAIN, digits=fine, title="b")
    show(figure, alt)
