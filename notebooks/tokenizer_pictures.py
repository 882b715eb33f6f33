"""Pictures of a text and its tokenizer: addresses by year, estimated similarity, a text cut, vocabularies by size.

They are drawn by the means of figures.py, in its colours: a token is a grey box.
"""

import math
from statistics import mean

import figures
from figures import COLOURS, DARK, EDGE, GREY, INK, MARKERS, SMALL, TOKEN, readable, tint

PARTS = {"training": (GREY, "o"), "validation": (COLOURS[0], "s"), "test": (COLOURS[1], "^")}


def by_year(table, alt):
    """Draw the length of each address over the years: training, validation and test, the latter two with their names.

    Args:
        table: (pandas) with the columns year, speaker, text and part.
        alt: what one sees.
    """
    figure, (axis,) = figures.canvas(7.4, 3.4)
    top = 1.16 * (table["text"].str.len() / 1000).max()
    for part, (colour, marker) in PARTS.items():
        rows = table[table["part"] == part]
        axis.scatter(rows["year"], rows["text"].str.len() / 1000, s=22, color=colour, marker=marker, zorder=3,
                     edgecolor=EDGE, linewidth=0.5)
        groups = {"validation": rows.groupby("speaker", sort=False), "test": [("test", rows)], "training": []}[part]
        for name, own in groups:
            first, last = own["year"].min(), own["year"].max()
            axis.axvspan(first - 0.8, last + 0.8, color=tint(colour, 0.2), linewidth=0, zorder=0)
            axis.text((first + last) / 2, 0.95 * top, name.split()[-1], ha="center", fontsize=SMALL, color=INK[colour])
    first = table["year"].min()
    axis.text(first, 0.84 * top, "validation: who is named", fontsize=SMALL, color=INK[COLOURS[0]])
    axis.text(first, 0.75 * top, "training: all others", fontsize=SMALL, color=INK[GREY])
    axis.set_ylim(top=top)
    axis.set_ylim(bottom=0)
    axis.set_xlabel("year", fontsize=SMALL)
    axis.set_ylabel("thousand characters", fontsize=SMALL)
    figures.show(figure, alt)


def agreement(exact, estimated, count, limit, alt):
    """Draw estimated against exact similarities, the band of two standard errors, and the limit of what is a copy.

    Args:
        exact, estimated: of each pair, between 0 and 1.
        count: how many numbers a signature has.
        limit: from which on a pair is called a copy.
        alt: what one sees.
    """
    figure, (axis,) = figures.canvas(4.6, 4.2)
    grid = [i / 200 for i in range(201)]
    errors = [2 * math.sqrt(s * (1 - s) / count) for s in grid]
    axis.fill_between(grid, [s - e for s, e in zip(grid, errors, strict=True)],
                      [s + e for s, e in zip(grid, errors, strict=True)], color=tint(GREY, 0.45), linewidth=0)
    axis.plot([0, 1], [0, 1], color=EDGE, linewidth=1)
    axis.scatter(exact, estimated, s=14, color=COLOURS[0], alpha=0.7, linewidth=0, zorder=3)
    axis.axvline(limit, color=DARK, linestyle="--", linewidth=1.2)
    axis.annotate(f"copies from {limit} on", (limit, 0.97), (5, 0), textcoords="offset points", fontsize=SMALL,
                  va="top")
    axis.annotate("two standard errors", (0.62, 0.52), fontsize=SMALL, color=INK[GREY])
    axis.set(xlim=(-0.02, 1.03), ylim=(-0.02, 1.03))
    axis.set_xlabel("exact Jaccard similarity", fontsize=SMALL)
    axis.set_ylabel(f"share of {count} numbers that agree", fontsize=SMALL)
    figures.show(figure, alt)


def cuts(rows, alt, letter=0.105, height=0.34):
    """Draw one text, cut into tokens in several ways: a row of boxes for each, the same letters below each other.

    Args:
        rows: {name: the tokens as texts}; each row's tokens make the same text.
        alt: what one sees.
        letter, height: the width of a letter and the height of a row, in inches.
    """
    left = 0.1 + max(figures.text_width(name, SMALL) for name in rows)
    longest = max(sum(map(len, tokens)) for tokens in rows.values())
    counts = {name: f"{len(tokens)} token{'s' * (len(tokens) > 1)}" for name, tokens in rows.items()}
    right = 0.1 + max(figures.text_width(text, SMALL) for text in counts.values())
    figure, axis = figures.sheet(left + longest * letter + right, len(rows) * (height + 0.06))
    for place, (name, tokens) in enumerate(rows.items()):
        y, x = place * (height + 0.06) + 0.03, left
        axis.text(left - 0.08, y + height / 2, name, ha="right", va="center", fontsize=SMALL)
        for i, token in enumerate(tokens):
            fill = tint(TOKEN, 0.3 if i % 2 else 0.7)
            axis.add_patch(figures.FancyBboxPatch((x + 0.007, y), len(token) * letter - 0.014, height, linewidth=0.8,
                                                  boxstyle="round,pad=0,rounding_size=0.04", edgecolor=EDGE,
                                                  facecolor=fill))
            for j, sign in enumerate(figures.visible(token)):
                axis.text(x + (j + 0.5) * letter, y + height / 2, sign, ha="center", va="center_baseline",
                          fontsize=SMALL, family="monospace", color=readable(fill))
            x += len(token) * letter
        axis.text(x + 0.08, y + height / 2, counts[name], ha="left", va="center", fontsize=SMALL)
    figures.show(figure, alt)


def bytes_by_size(sizes, series, chosen, alt):
    """Draw bytes per token against the size of the vocabulary, with a mark at the chosen one.

    Args:
        sizes: powers of two.
        series: {name: bytes per token, one for each size}.
        chosen: one of the sizes.
        alt: what one sees.
    """
    figure, (axis,) = figures.canvas(6.4, 3.4)
    for name, values, colour, style, marker in figures.told_apart(series, COLOURS, figures.STYLES, MARKERS):
        axis.plot(sizes, values, color=colour, linestyle=style, marker=marker, markersize=4, label=name)
    axis.set_xscale("log", base=2)
    axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axis.axvline(chosen, color=DARK, linestyle=":", linewidth=1.2, zorder=0)
    axis.set_ylim(bottom=0)
    axis.set_xlabel("size of the vocabulary", fontsize=SMALL)
    axis.set_ylabel("bytes per token", fontsize=SMALL)
    figures.name_ends(axis)
    figures.show(figure, alt)


def starts(differences, alt):
    """Draw how much larger a loss is, for several starts: a dot for each passage and a line at the mean.

    Args:
        differences: {name: numbers}.
        alt: what one sees.
    """
    figure, (axis,) = figures.canvas(6.4, 0.6 + 0.55 * len(differences))
    for place, values in enumerate(differences.values()):
        shifts = [0.09 * ((i * 7) % 5 - 2) for i in range(len(values))]  # apart, so that none hides another
        axis.scatter(values, [place + shift for shift in shifts], s=16, color=COLOURS[0], alpha=0.6, linewidth=0)
        axis.plot([mean(values)] * 2, [place - 0.32, place + 0.32], color=DARK, linewidth=2.5)
        axis.annotate(f"{mean(values):+.2f}", (1.02, place), xycoords=("axes fraction", "data"), va="center",
                      fontsize=SMALL, weight="bold")
    axis.axvline(0, color=EDGE, linewidth=1, zorder=0)
    axis.set_yticks(range(len(differences)), differences)
    axis.set_ylim(len(differences) - 0.5, -0.5)
    axis.set_xlabel("loss behind the new token, minus that behind its old pieces", fontsize=SMALL)
    figures.show(figure, alt)
