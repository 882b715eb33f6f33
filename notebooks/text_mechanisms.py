"""Pictures of how text becomes tokens and windows: merges learned and applied, inputs and their targets.

The colours are those of `figures.py`: tokens grey, what a model has to predict red.
"""

from figures import DARK, INK, LOSS, SLATE, SMALL, arrow, box, sheet, show, tint, visible


def merges_learned(rows, examples, alt, letter=0.23, row_height=0.35):
    """Draw merges in the order in which they are learned, each with its count and that of the pair it beat.

    Args:
        rows: one (pair, count, next pair, its count, parts of the examples) per merge; the parts are those after it.
        examples: the words whose parts are shown.
        alt: what one sees.
        letter, row_height: the width of a letter of the examples, and the height of a row, in inches.
    """
    bar_x, bar, examples_x = 2.1, 1.1, 5.0
    starts = [examples_x]
    for word in examples:
        starts.append(starts[-1] + len(word) * letter + 0.3)
    figure, axis = sheet(starts[-1] - 0.25, 0.3 + len(rows) * row_height)
    for x, text in [(0.05, "merge"), (bar_x, "how often, and the second pair"), *zip(starts, examples, strict=False)]:
        axis.text(x, 0.2, text, ha="left", va="baseline", fontsize=SMALL, weight="bold")
    for number, (pair, count, other, less, parts_of_examples) in enumerate(rows):
        y = 0.3 + number * row_height
        middle, height = y + row_height / 2, row_height - 0.09
        axis.text(0.3, middle, str(number + 1), ha="right", va="center_baseline", fontsize=SMALL)
        for x, width, text, sign in [(0.42, 0.36, pair[0], "+"), (0.98, 0.36, pair[1], "→"),
                                     (1.56, 0.42, "".join(pair), "")]:
            box(axis, x, y + 0.04, width, height, text, SLATE if sign else DARK, filled=not sign)
            axis.text(x + width + 0.1, middle, sign, ha="center", va="center_baseline", fontsize=SMALL)
        length = bar * count / rows[0][1]
        axis.barh(middle, length, 0.2, left=bar_x, color=SLATE)
        axis.text(bar_x + length + 0.06, middle, f"{count};  {other[0]} + {other[1]}: {less}", ha="left",
                  va="center_baseline", fontsize=SMALL)
        for x, parts in zip(starts, parts_of_examples, strict=False):
            for part in parts:
                width = len(part) * letter
                new = part == "".join(pair)
                box(axis, x + 0.015, y + 0.04, width - 0.03, height, part, DARK if new else SLATE, filled=new)
                x += width
    show(figure, alt)


def merge_choices(steps, candidates, alt, column=1.02):
    """Draw how a piece of text is cut: of all pairs of neighbours that are in the table, the smallest id is merged.

    Args:
        steps: the parts before the first merge, after it, and so on; the text of each part.
        candidates: per step the id of what each two neighbours would merge into, or None if the table lacks it.
        alt: what one sees.
        column: the width of a letter, in inches.
    """
    height, gap = 0.32, 0.62
    figure, axis = sheet(0.85 + column * sum(map(len, steps[0])), len(steps) * (height + gap))
    for number, (parts, ids) in enumerate(zip(steps, candidates, strict=True)):
        y, x = 0.02 + number * (height + gap), 0.8
        axis.text(0.02, y + height / 2, f"merge {number}" if number else "letters", ha="left", va="center_baseline",
                  fontsize=SMALL)
        known = [value for value in ids if value is not None]
        for i, part in enumerate(parts):
            width = len(part) * column
            new = number and part not in steps[number - 1]
            box(axis, x + 0.03, y, width - 0.06, height, part, DARK if new else SLATE, filled=bool(new), size=SMALL + 1)
            x += width
            if i == len(ids):
                continue
            best = known and ids[i] == min(known)
            axis.plot([x - 0.32, x - 0.32, x + 0.32, x + 0.32], [y + height + at for at in (0.03, 0.09, 0.09, 0.03)],
                      color=DARK if best else "#999999", linewidth=2 if best else 0.9)
            label = f"{part}{parts[i + 1]} {ids[i]}" if ids[i] is not None else f"{part}{parts[i + 1]}: none"
            axis.text(x, y + height + 0.14, label, ha="center", va="top", fontsize=SMALL,
                      weight="bold" if best else "normal", color=DARK if best else INK[SLATE])
            if best:
                arrow(axis, (x, y + height + 0.36), (x, y + height + gap - 0.03))
                axis.text(x + 0.08, y + height + 0.45, "smallest id: learned first", ha="left", va="center",
                          fontsize=SMALL, color=DARK)
        if not known:
            axis.text(0.83, y + height + 0.48, "no two neighbours are in GPT-2's table: done", ha="left", va="center",
                      fontsize=SMALL)
    show(figure, alt)


def windows(tokens, ids, max_length, stride, alt, column=0.71):
    """Draw all windows of a text with their targets, words with ids below, and name the tokens that are left over.

    Args:
        tokens, ids: the texts and the ids of the tokens.
        max_length, stride: the length of a window, and how many tokens the next one moves on.
        alt: what one sees.
        column: the width of a token, in inches.
    """
    labels = [f"{visible(token)}\n{number}" for token, number in zip(tokens, ids, strict=True)]
    starts = range(0, len(ids) - max_length, stride)
    used = starts[-1] + max_length + 1
    left, height, line, top = 0.78, 0.42, 0.56, 0.3
    figure, axis = sheet(left + len(ids) * column + 0.05, top + line + 0.02 + len(starts) * (2 * line + 0.1))
    axis.text(0.02, 0.15, f"length {max_length}, stride {stride} (from the start of one input to the next)", ha="left",
              va="center", fontsize=SMALL, weight="bold")

    def row(name, y, first, last, colour, dashed=()):
        axis.text(0.02, y + height / 2, name, ha="left", va="center", fontsize=SMALL)
        for place in range(first, last):
            box(axis, left + place * column + 0.03, y, column - 0.06, height, labels[place], colour, size=SMALL)
            if place in dashed:
                axis.patches[-1].set(linestyle=(0, (3, 2)), facecolor="white")

    row("the text", top + 0.02, 0, len(ids), SLATE, dashed=range(used, len(ids)))
    if used < len(ids):
        axis.text(left + len(ids) * column, top + 0.06 + height, "left over: too few for one more window", ha="right",
                  va="top", fontsize=SMALL)
    for number, start in enumerate(starts):
        y = top + line + 0.22 + number * (2 * line + 0.1)
        axis.axhline(y - 0.09, color="#CCCCCC", linewidth=0.8)
        row(f"input {number}", y, start, start + max_length, SLATE)
        row(f"target {number}", y + line, start + 1, start + max_length + 1, LOSS)
        for place in range(start, start + max_length):
            x = left + (place + 0.72) * column
            axis.annotate("", (x + 0.42 * column, y + line - 0.01), (x, y + height + 0.01), zorder=4, arrowprops={
                "arrowstyle": "-|>", "color": tint(LOSS, 0.9), "shrinkA": 0, "shrinkB": 0, "mutation_scale": 9})
    show(figure, alt)
