"""Pictures of how a language model becomes a classifier: the batch, what each place has seen, the new head.

They are drawn by the means of figures.py, in its colours: a token is grey, the one at which the verdict is read is
black, padding is blank, ham yellow, spam indigo. How good the verdicts are is drawn by `verdict_pictures.py`; its
functions can be called here as well.
"""

import torch

import figures
from figures import CHOSEN, DARK, EDGE, INK, SLATE, SMALL, TOKEN, readable, text_width, tint
from mechanisms import ROW, enough_digits, frame, grid, number
from verdict_pictures import by_size, calibration, cell, confusion, intervals, thresholds, write

__all__ = ["by_size", "calibration", "confusion", "intervals", "new_head", "padded_batch", "pooled", "seen_by",
           "thresholds"]
PALE = tint(TOKEN, 0.3)
GHOST = {"linestyle": (0, (2, 2)), "edgecolor": "#999999"}  # of what is not used


def new_head(model, trained_blocks, kept_blocks, alt, head=None, trained_norm=None, classes=("ham", "spam")):
    """Draw a model whose output head is replaced: what is frozen, what is trained, what is not used, and how large.

    Frozen parts are pale, trained ones filled. What comes before the first trained part gives the same for a message
    in every epoch, so that it can be computed once.

    Args:
        model: a model of language with tok_emb, trf_blocks and final_norm.
        trained_blocks: how many blocks are trained, the last of those that are used.
        kept_blocks: how many blocks are used, the first ones; None for all.
        alt: what one sees.
        head: the new head, whose parameters are counted; by default a linear layer with a bias.
        trained_norm: whether the final norm is trained; by default, if a block is.
        classes: what the new head's outputs stand for.
    """
    vocabulary, width = model.tok_emb.weight.shape
    blocks = [_parameters(block) for block in model.trf_blocks]
    used = len(blocks) if kept_blocks is None else kept_blocks
    frozen, norm = used - trained_blocks, bool(trained_blocks) if trained_norm is None else trained_norm
    new = (width + 1) * len(classes) if head is None else _parameters(head)
    parts = [("embedding", f"{vocabulary:,} × {width:,}", _parameters(model.tok_emb), False, 1)]  # from below
    for first, last, trained in ((0, frozen, False), (frozen, used, True), (used, len(blocks), None)):
        if first < last:
            name = f"block {last}" if last == first + 1 else f"blocks {first + 1} to {last}"
            parts.append((name, "", sum(blocks[first:last]), trained, last - first))
    parts += [("final norm", "", _parameters(model.final_norm), norm, 1),
              ("new head", f"{width:,} → {len(classes)}", new, True, 1)]
    figures.show(_model(parts, f"{width:,} → {vocabulary:,}", classes), alt)


def _parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def _model(parts, old, classes, slice_height=0.085, gap=0.17, wide=1.9):
    """Draw the parts of a model, (name, shape, parameters, trained or None if unused, slices) each, from below."""
    left, middle, last = 2.75, 2.75 + wide / 2, [part[3] for part in parts].index(True)
    heights = [max(0.32, part[-1] * slice_height) for part in parts]
    gaps = [0.56 if place == last else gap for place in range(len(parts))]  # below each part
    y = 0.62 + sum(heights) + sum(gaps)
    figure, axis = figures.sheet(8.2, y + 0.28)
    write(axis, middle, y + 0.15, "tokens of a message")
    for place, ((name, shape, count, trained, slices), height) in enumerate(zip(parts, heights, strict=True)):
        border, skipped, end = y - gaps[place] / 2, trained is None, y
        y -= gaps[place] + height
        if not skipped and (place == 0 or parts[place - 1][3] is not None):
            figures.arrow(axis, (middle, end - 0.01), (middle, y + height + 0.01), head=8)
        if skipped:  # the vectors go around it
            axis.plot([middle, middle, left - 0.15, left - 0.15, middle, middle], [
                end, end - 0.085, end - 0.085, y - 0.06, y - 0.06, y - 0.08], color="black", linewidth=1)
            figures.arrow(axis, (middle, y - 0.06), (middle, y - gap + 0.01), head=8)
        _part(axis, (left, y, wide, height), trained, slices, name if slices == 1 else "")
        write(axis, left + wide + 0.12, y + height / 2, name if slices > 1 else shape, ha="left")
        write(axis, 7.3, y + height / 2, f"{count:,}", ha="right")
        write(axis, 8.15, y + height / 2, {True: "trained", False: "frozen", None: "not used"}[trained], ha="right",
              weight="bold" if trained else "normal", color="black" if trained else INK[SLATE])
        if place == last:
            _border(axis, border, [sum(part[2] for part in parts if part[3] is kind) for kind in (True, False)], left,
                    wide)
    figures.arrow(axis, (middle, y - 0.01), (middle, y - 0.24), head=8)
    write(axis, middle, y - 0.4, " or ".join(classes) + "?", weight="bold")
    write(axis, 7.3, y - 0.14, "parameters", ha="right", color=INK[SLATE])
    _part(axis, (0.05, y, 2.1, heights[-1]), None, 1, f"old head, {old}")
    write(axis, 1.1, y - 0.14, "taken off")
    figures.arrow(axis, (left - 0.05, y + heights[-1] / 2), (2.2, y + heights[-1] / 2), head=8)
    return figure


def _border(axis, y, sums, left, wide):
    """Draw the line between what is computed once and what changes in training, with the sums of parameters."""
    axis.plot([0.02, 8.15], [y, y], color=DARK, linestyle="--", linewidth=1.2, zorder=4)
    for level, text, name, total in ((y - 0.14, "↑ computed in every epoch", "trained, in all", sums[0]),
                                     (y + 0.16, "↓ computed once for every message", "frozen, in all", sums[1])):
        write(axis, 0.05, level, text, ha="left", weight="bold")
        write(axis, left + wide + 0.12, level, name, ha="left", weight="bold")
        write(axis, 7.3, level, f"{total:,}", ha="right", weight="bold")


def _part(axis, place, trained, slices, name):
    """Draw one part of a model, cut into slices: filled if it is trained, pale if frozen, an outline if not used."""
    x, y, width, height = place
    fill = {True: DARK, False: PALE, None: "white"}[trained]
    looks = GHOST if trained is None else {"edgecolor": "white" if trained else "#888888"}
    for i in range(slices):
        cell(axis, x, y + i * height / slices, width, height / slices, fill, **{"linewidth": 0.8, **looks})
    write(axis, x + width / 2, y + height / 2, name, color=readable(fill))


# A batch of messages, and what each place in it has seen.


def padded_batch(rows, max_length, pad, alt, least=0.5):
    """Draw messages of their own lengths, cut after max_length, and the rectangle that padding makes of them.

    What is cut is an outline; the last real token of each message, at which the verdict is read, is black.

    Args:
        rows: the tokens of each message, as texts.
        max_length: how many tokens of a message are kept at most.
        pad: the text of the padding.
        alt: what one sees.
        least: the width of the narrowest column, in inches.
    """
    longest, kept = max(map(len, rows)), min(max_length, max(map(len, rows)))
    texts = [figures.visible(token) for row in rows for token in row] + [pad]
    column = max(least, *(text_width(text, SMALL) + 0.12 for text in texts))
    left, row_height, top = 0.98, 0.36, 0.3 if longest > kept else 0.05
    middle = top + len(rows) * row_height
    below = middle + 0.78
    figure, axis = figures.sheet(max(left + longest * column, left + kept * column + 1.6) + 0.05,
                                 below + len(rows) * row_height + 0.1)
    for place, row in enumerate(rows):
        y, last = top + place * row_height, min(len(row), max_length) - 1
        write(axis, left - 0.12, y + 0.17, f"{len(row)} tokens" if len(row) > 1 else "1 token", ha="right")
        write(axis, left - 0.12, y + below - top + 0.17, f"{last + 1} + {kept - last - 1} = {kept}", ha="right")
        for i, token in enumerate(row):
            _token(axis, left + i * column, y, column, figures.visible(token), "cut" if i > last else "")
        for i in range(kept):
            _token(axis, left + i * column, y + below - top, column, figures.visible(row[i]) if i <= last else pad,
                   "pad" if i > last else "read" if i == last else "")
    edge = left + kept * column
    if longest > kept:
        axis.plot([edge, edge], [0.06, middle + 0.05], color=DARK, linestyle="--", linewidth=1.6)
        write(axis, edge - 0.1, 0.14, f"at most {max_length} tokens", ha="right")
        write(axis, edge + 0.1, 0.14, "cut off", ha="left")
    figures.arrow(axis, (left + kept * column / 2, middle + 0.12), (left + kept * column / 2, below - 0.14))
    write(axis, left + kept * column / 2 + 0.15, (middle + below) / 2 - 0.02,
          f"{f'cut after {max_length}, ' if longest > kept else ''}fill with {pad}", ha="left")
    frame(axis, left - 0.03, below - 0.04, kept * column + 0.06, len(rows) * row_height + 0.06)
    write(axis, edge + 0.15, below + 0.17, f"a batch: {len(rows)} × {kept}", ha="left")
    _token(axis, edge + 0.13, below + row_height, 0.36, "", "read")
    write(axis, edge + 0.55, below + row_height + 0.17, "read here", ha="left")
    figures.show(figure, alt)


def _token(axis, x, y, width, text, kind=""):
    """Draw a token in its column: black where the verdict is read, an outline if it is cut off, blank for padding."""
    fill = {"read": CHOSEN, "": PALE}.get(kind, "white")
    looks = GHOST if kind == "cut" else {"linestyle": ":"} if kind == "pad" else {}
    cell(axis, x + 0.02, y, width - 0.04, 0.34, fill, **{"linewidth": 1, "edgecolor": EDGE, **looks})
    write(axis, x + width / 2, y + 0.17, text, color=INK[SLATE] if kind in ("cut", "pad") else readable(fill))


def seen_by(tokens, pads, alt, pad="pad", row_height=0.36):
    """Draw for each place of a padded message what it has seen: itself and the places before it, never those behind.

    Args:
        tokens: the texts of the message.
        pads: how many places of padding follow.
        alt: what one sees.
        pad: the text of the padding.
        row_height: in inches.
    """
    texts, count = [*map(figures.visible, tokens), *[pad] * pads], len(tokens)
    column = max(0.5, *(text_width(text, SMALL) + 0.14 for text in texts))
    left, top, beside = column + 0.25, 0.62, 0.12
    right = left + len(texts) * column
    figure, axis = figures.sheet(right + 2.86, top + len(texts) * row_height + 0.1)
    write(axis, left + len(texts) * column / 2, 0.12, "has seen")
    write(axis, left - column / 2 - 0.12, top - row_height + 0.15, "place")
    for i, text in enumerate(texts):
        kind = "read" if i == count - 1 else "pad" if i >= count else ""
        y = top + i * row_height
        _token(axis, left + i * column, top - row_height - 0.02, column, text, "pad" if i >= count else "")
        _token(axis, left - column - 0.12, y, column, text, kind)
        for j in range(len(texts)):
            looks = {"linewidth": 0.8, "edgecolor": "#999999"}
            fill = "white" if j > i else DARK if i == count - 1 else tint(TOKEN, 0.8)
            if j > i or j >= count:
                looks |= {"linestyle": ":"}
            if count <= j <= i:
                looks |= {"hatch": "////"}
                fill = "white"
            cell(axis, left + j * column, y, column, row_height, fill, **looks)
        after = f" + {i + 1 - count} of padding" if i >= count else ", and nothing else: read here"
        seen = f"{min(i + 1, count)} of {count}{after if i >= count - 1 else ''}"
        write(axis, right + beside, y + row_height / 2, seen, ha="left",
              weight="bold" if i == count - 1 else "normal")
    figures.show(figure, alt)


def pooled(tokens, vectors, chosen, alt, digits=2):
    """Draw two ways from the vectors of a message to one: the mean of all, and the last one; a mean is worked out.

    Args:
        tokens: the texts of the message.
        vectors: (tokens, few numbers).
        chosen: the column whose mean is worked out.
        alt: what one sees.
        digits: of the mean.
    """
    vectors = torch.as_tensor(vectors).detach().double().round(decimals=6)
    mean, shown = vectors.mean(dim=0), enough_digits(lambda part: part.mean(dim=0), [vectors], digits)
    shown, mean = max(shown, digits), mean + 1e-9 * mean.sign()  # 0.085 becomes 0.09, as on paper
    cell_wide, left = 0.2 + text_width(number(-8.88, shown), SMALL), 0.15 + max(
        text_width(figures.visible(token), SMALL) for token in tokens)
    top, high, wide = 0.32, len(tokens) * ROW, cell_wide * vectors.shape[1]
    x, level = left + wide + 1.5, top + (len(tokens) - 0.5) * ROW
    figure, axis = figures.sheet(x + wide + 0.05, top + high + 0.6)
    fills = [[tint(TOKEN, 0.3)] * vectors.shape[1] for _ in tokens]
    fills[-1] = [CHOSEN] * vectors.shape[1]
    grid(axis, left, top, vectors, fills=fills, digits=shown, cell=cell_wide, rows=[*map(figures.visible, tokens)],
         title="vectors of the tokens")
    grid(axis, x, top + ROW / 2, mean[None], digits=digits, cell=cell_wide, title="mean of all", fill=PALE)
    grid(axis, x, level - ROW / 2, vectors[-1:], fill=CHOSEN, digits=shown, cell=cell_wide, title="last alone")
    for y, text in ((top + ROW, f"add, ÷ {len(tokens)}"), (level, "take the last")):
        figures.arrow(axis, (left + wide + 0.1, y), (x - 0.1, y))
        write(axis, left + wide + 0.72, y - 0.13, text)
    frame(axis, left + chosen * cell_wide, top, cell_wide, high)
    frame(axis, x + chosen * cell_wide, top + ROW / 2, cell_wide, ROW)
    terms = [number(value, shown) for value in vectors[:, chosen].tolist()]
    total = " + ".join(f"({text})" if text.startswith("−") and i else text for i, text in enumerate(terms))
    write(axis, left, top + high + 0.4, f"({total}) ÷ {len(tokens)} = {number(mean[chosen].item(), digits)}", ha="left")
    figures.show(figure, alt)
