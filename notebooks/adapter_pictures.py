"""Pictures of LoRA: two thin matrices beside a frozen one, and what four bits leave of a weight.

They are drawn by the means of figures.py. As in `classification_pictures.py`, what is frozen is pale and what is
trained is filled; what comes of both is grey.
"""

import figures
from classification_pictures import PALE
from figures import BLUE, DARK, EDGE, RED, SMALL, TOKEN, text_width, tint
from mechanisms import CELL, ROW, enough_digits, frame, grid, number, sign
from verdict_pictures import write


def beside(layer, alt, row=0, column=0):
    """Draw a layer with LoRA: the frozen matrix, the two trained ones beside it, and the one that they merge into.

    Args:
        layer: a layer with `linear`, a frozen linear layer of few numbers, and `lora`, with A, B and `scale`. Matrices
            are drawn as x @ W has them, inputs from above, outputs from the left.
        alt: what one sees.
        row, column: the number that is worked out below.
    """
    scale, a, b, weight = (part if isinstance(part, float) else part.detach() for part in (
        float(layer.lora.scale), layer.lora.A, layer.lora.B, layer.linear.weight.T))
    digits = enough_digits(lambda w, a, b: w + scale * a @ b, [weight, a, b])
    parts = [("W", "frozen", weight, PALE, digits), ("A", "trained", a, DARK, digits),
             ("B", "trained", b, DARK, digits), ("merged", "one matrix", weight + scale * a @ b, tint(TOKEN, 0.6), 2)]
    operators = ["+", "·", "="]
    factor = f"{scale:g} ·"
    cells = [max(CELL, text_width(number(-1.5, places), SMALL) + 0.1) for *_, places in parts]
    captions = [f"{matrix.shape[0]} × {matrix.shape[1]}, {state}" for _, state, matrix, *_ in parts]
    widths = [max(matrix.shape[1] * wide, text_width(caption, SMALL))
              for (_, _, matrix, _, _), wide, caption in zip(parts, cells, captions, strict=True)]
    tallest, gap, before_a = len(weight) * ROW, 0.36, text_width(factor, SMALL + 4) + 0.1
    figure, axis = figures.sheet(sum(widths) + 3 * gap + before_a + 0.1, tallest + 1.05)
    x, top = 0.05, 0.28
    for place, ((name, _, matrix, fill, places), wide, width, caption) in enumerate(
            zip(parts, cells, widths, captions, strict=True)):
        middle = top + tallest / 2
        if place:
            sign(axis, x + gap / 2, middle, operators[place - 1])
            x += gap
        if name == "A":
            sign(axis, x + before_a / 2, middle, factor)
            x += before_a
        left, y = x + (width - matrix.shape[1] * wide) / 2, middle - matrix.shape[0] * ROW / 2
        grid(axis, left, y, matrix, fill=fill, digits=places, cell=wide, title=name)
        write(axis, x + width / 2, top + tallest + 0.18, caption)
        rows, columns = {"A": ((row, 1), (0, matrix.shape[1])), "B": ((0, matrix.shape[0]), (column, 1))}.get(
            name, ((row, 1), (column, 1)))
        frame(axis, left + columns[0] * wide, y + rows[0] * ROW, columns[1] * wide, rows[1] * ROW, RED)
        x += width
    terms = " + ".join(f"{_signed(one, digits)} · {_signed(other, digits)}"
                       for one, other in zip(a[row].tolist(), b[:, column].tolist(), strict=True))
    terms = f"({terms})" if a.shape[1] > 1 else terms
    write(axis, figure.get_figwidth() / 2, top + tallest + 0.55,
          f"outlined:  {number(weight[row, column].item(), digits)} + {scale:g} · {terms} = "
          f"{number(parts[-1][2][row, column].item())}")
    figures.show(figure, alt)


def _signed(value, digits):
    """Return a number as text, in brackets if it is negative."""
    text = number(value, digits)
    return f"({text})" if text.startswith("−") else text


def packed_block(weights, step, lowest, alt, width=8.2):
    """Draw the weights of one block on the sixteen levels that four bits can tell apart.

    Args:
        weights: (32,), each one of lowest + step · 0, 1, … 15.
        step, lowest: the block's two numbers.
        alt: what one sees.
        width: of the picture, in inches.
    """
    levels = [round((value - lowest) / step) for value in weights.tolist()]
    most = max(levels.count(level) for level in set(levels))
    left, right, floor = 0.5, width - 0.5, 0.35 + 0.2 * most
    figure, axis = figures.sheet(width, floor + 0.95)
    write(axis, width / 2, 0.12, f"{len(levels)} weights, each on one of 16 levels", weight="bold")
    axis.plot([left - 0.2, right + 0.2], [floor, floor], color=EDGE, linewidth=1)
    for level in range(16):
        x = left + (right - left) * level / 15
        axis.plot([x, x], [floor, floor + 0.06], color=EDGE, linewidth=1)
        write(axis, x, floor + 0.2, str(level))
        for place in range(levels.count(level)):
            axis.plot(x, floor - 0.12 - 0.2 * place, marker="o", markersize=8, color=BLUE, markeredgecolor="white")
    for level in (0, 5, 10, 15):
        write(axis, left + (right - left) * level / 15, floor + 0.45, number(lowest + step * level, 3))
    write(axis, width / 2, floor + 0.78,
          f"weight = {number(lowest, 4)} + {number(step, 4)} · level: 4 bits each, and two numbers of 16 bits for all")
    figures.show(figure, alt)
