"""Pictures that respond: the reader moves something and sees, in shapes and in numbers, what comes of it.

Every function displays one picture from values that the notebook has at hand, and takes `alt`, a sentence that says
what the still picture shows. The output is one bundle of three: an HTML fragment, which carries the numbers and the
part of interactive.js that draws this kind, and so works without a kernel and without the network; a PNG, the still
picture, drawn like every figure of the course; and the alternative text. Where scripts are taken out of a page, as in a
notebook that JupyterLab does not trust yet, the fragment shows the still picture.

Numbers are rounded to fixed digits before they are handed on, so that the fragment is the same on every processor and
nbval can compare it; tools/nbval.cfg leaves out the PNG and the script in it.
"""

import base64
import html
import itertools
import json
import math
import random
import re
from pathlib import Path

from IPython.display import display
from matplotlib.patches import Circle, PathPatch, Rectangle
from matplotlib.path import Path as Outline

import figures
from figures import CHANCE, DARK, EDGE, KEY, LOSS, QUERY, TOKEN

SCRIPT = Path(__file__).with_name("interactive.js")
HINT = "Run the cell, and this picture responds to you."
TEXT = 10  # points


def script(kind):
    """Return the part of interactive.js that one kind of picture needs: the kit, its function, and what starts it."""
    kit, *parts = re.split(r"^// kind: (\w+)\n", SCRIPT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    kinds = dict(zip(parts[::2], parts[1::2], strict=True))
    return kit + kinds[kind] + kinds["start"]


def show(kind, data, figure, alt):
    """Display a picture of a kind with its data; `figure` is the still picture."""
    png, width = figures.picture(figure)
    values = html.escape(json.dumps(data, ensure_ascii=False, separators=(",", ":")), quote=False).replace("'", "&#39;")
    fragment = (
        f"<div class=\"llm-picture\" data-kind=\"{kind}\" data-values='{values}'>\n"
        f'<img alt="{html.escape(alt)}" width="{width}" src="data:image/png;base64,'
        f'{base64.b64encode(png).decode()}">\n<p>{HINT}</p>\n</div>\n'
        f"<script>\n{script(kind)}</script>"
    )
    display({"text/html": fragment, "image/png": png, "text/plain": alt}, raw=True,
            metadata={"image/png": {"alt": alt, "width": width}})


def sampling(words, logits, alt, tail=(), temperature=1.0, top_k=None, top_p=1.0, hottest=2.0):
    """Show one distribution under temperature, top-k and top-p.

    Both rules look at the probabilities after the temperature, as `generate` and `keep_likely` do; what is left is
    scaled up to 1.

    Args:
        words, logits: the texts of the tokens, and a logit for each.
        alt: what the still picture shows.
        tail: tokens without a text, all of them less probable, as `grouped` gives them.
        temperature, top_k, top_p: at first; top_k None keeps all.
        hottest: the largest temperature.
    """
    logits = _numbers(logits, 2)
    tail = [[int(count), logit] for count, logit in _numbers(list(tail), 2)]
    total = len(words) + sum(count for count, _ in tail)
    _require(len(words) == len(logits) > 0, f"{len(words)} words need as many logits, got {len(logits)}")
    _require(all(logit <= min(logits) for _, logit in tail), "the tail must be less probable than the words")
    _require(0.1 <= temperature <= hottest, f"temperature must be from 0.1 to {hottest}, got {temperature}")
    _require(top_k is None or 1 <= top_k <= total, f"top_k must be from 1 to {total}, got {top_k}")
    _require(0 <= top_p <= 1, f"top_p must be from 0 to 1, got {top_p}")
    order = sorted(range(len(words)), key=lambda i: -logits[i])
    words, logits = [words[i] for i in order], [logits[i] for i in order]
    data = {"words": [figures.visible(word) for word in words], "logits": logits, "tail": tail, "hottest": hottest,
            "start": {"temperature": temperature, "top_k": top_k, "top_p": top_p}}

    counts, values = [1] * len(words) + [count for count, _ in tail], logits + [logit for _, logit in tail]
    powers = [count * math.exp((value - values[0]) / temperature) for count, value in zip(counts, values, strict=True)]
    kept, share, rank = [], 0.0, 0
    for count, power in zip(counts, powers, strict=True):
        each = power / sum(powers) / count
        allowed = count if top_p == 1 else max(0 if rank else 1, math.ceil((top_p - share) / each - 1e-9))
        kept.append(each * max(0, min(count, (top_k or total) - rank, allowed)))
        share, rank = share + count * each, rank + count
    final = [part / sum(kept) for part in kept]
    labels, heights = list(data["words"]), final[: len(words)]
    if tail:
        labels, heights = [*labels, f"{sum(count for count, _ in tail):,} others"], [*heights, sum(final[len(words):])]
    colours = [CHANCE] * len(words) + [TOKEN]
    title = f"temperature {temperature:g}, top-k {top_k or 'all'}, top-p {top_p:g}"
    notes = [f"{height:.4f}" if height else "cut" for height in heights]
    show("sampling", data, _bars(labels, heights, notes, colours, title), alt)


def grouped(logits, after):
    """Return [[how many, logit], ...] for falling logits, in groups that grow with their place, for `sampling`.

    A group has the logit of its average power, so that its weight at temperature 1 is exact.

    Args:
        logits: of the tokens without a text, the highest first.
        after: how many tokens come before them.
    """
    logits = _numbers(logits, 4)
    _require(logits == sorted(logits, reverse=True), "the logits of a tail must fall")
    groups, start = [], 0
    while start < len(logits):
        group = logits[start : start + max(1, (after + start) // 8)]
        mean = group[0] + math.log(sum(math.exp(value - group[0]) for value in group) / len(group))
        groups.append([len(group), round(mean, 2)])
        start += len(group)
    return groups


def attention(words, queries, keys, values, alt, word=1, scale=1.0):
    """Show the attention weights of one query, and what happens to them as the query changes.

    Args:
        words: one text per token.
        queries, keys, values: one vector per word; the same thing three times where there are no learned weights.
        alt: what the still picture shows.
        word: which one asks at first.
        scale: what scores are multiplied by, such as 1 / √d.
    """
    data = {"words": list(words), "queries": _numbers(queries, 4), "keys": _numbers(keys, 4),
            "values": _numbers(values, 4), "scale": round(float(scale), 6), "word": word}
    for name in ("queries", "keys", "values"):
        _require(len(data[name]) == len(words), f"{len(words)} words need as many {name}, got {len(data[name])}")
    widths = {len(vector) for name in ("queries", "keys") for vector in data[name]}
    _require(len(widths) == 1 and max(widths) <= 4, f"queries and keys must have one width, at most 4, got {widths}")
    _require(0 <= word < len(words), f"word must be from 0 to {len(words) - 1}, got {word}")
    scores = [scale * sum(a * b for a, b in zip(data["queries"][word], key, strict=True)) for key in data["keys"]]
    powers = [math.exp(score - max(scores)) for score in scores]
    weights = [power / sum(powers) for power in powers]
    notes = [f"{weight:.2f}  (score {score:.2f})" for weight, score in zip(weights, scores, strict=True)]
    show("attention", data, _bars(words, weights, notes, QUERY, f"weights of {words[word]}"), alt)


def heads(tokens, heads, alt, head=0, word=-1, parts=()):
    """Show where the heads of a trained model look, word by word, as arcs as thick as the weight.

    Args:
        tokens: the texts of a sentence's tokens.
        heads: {name: (tokens, tokens) attention weights}, row i those of token i; what is right of the diagonal is
            not used.
        alt: what the still picture shows.
        head, word: shown at first.
        parts: (first, last, text) for brackets below the tokens of the still picture.
    """
    length = len(tokens)
    word %= length
    rounded = {}
    for name, matrix in heads.items():
        rows = _numbers(matrix, 2)
        _require(len(rows) == length and all(len(row) in (length, i + 1) for i, row in enumerate(rows)),
                 f"head {name!r} must have {length} rows of weights on {length} tokens")
        rounded[name] = [row[: i + 1] for i, row in enumerate(rows)]
        _require(all(abs(sum(row) - 1) < 0.01 * length for row in rounded[name]),
                 f"the weights of a word must add up to 1, those of head {name!r} do not")
    _require(rounded, "there are no heads")
    data = {"tokens": [figures.visible(token) for token in tokens], "heads": rounded, "head": head, "word": word}

    name = list(rounded)[head]
    figure, axis = figures.surface(0.62 * length, 2.1)
    for first, last, text in parts:
        start, end = 0.62 * first + 0.08, 0.62 * last + 0.54
        axis.plot([start, start, end, end], [-0.02, -0.08, -0.08, -0.02], color=DARK, clip_on=False)
        axis.text((start + end) / 2, -0.14, text, ha="center", va="top", fontsize=TEXT)
    for other, weight in enumerate(rounded[name][word]):
        top = 0.5 + 1.6 * (word - other + 0.4) / (word + 0.4)  # a curve rises to three quarters of it
        x, y = 0.62 * word + 0.31, 0.62 * other + 0.31
        curve = [(x, 0.5), (x, top), (y - (0.2 if x == y else 0), top), (y - (0.2 if x == y else 0), 0.5)]
        if weight >= 0.01:
            axis.add_patch(PathPatch(Outline(curve, [1, 4, 4, 4]), fill=False, edgecolor=QUERY,
                                     linewidth=0.8 + 8 * weight))
            axis.text(y, 0.02, f"{weight:.2f}", ha="center", va="bottom", fontsize=TEXT)
    for i, token in enumerate(data["tokens"]):
        axis.text(0.62 * i + 0.31, 0.35, token.strip("·"), ha="center", va="center", fontsize=TEXT,
                  weight="bold" if i == word else None)
    axis.text(0, 2.1, name, va="top", fontsize=TEXT)
    show("heads", data, figure, alt)


def windows(tokens, ids, alt, length=4, stride=4):
    """Show the windows over a text with their targets, as length and stride change, and what is left over.

    Args:
        tokens, ids: of the text; at most 16, so that they can be seen.
        alt: what the still picture shows.
        length, stride: at first, from 1 to 8.
    """
    n = len(tokens)
    _require(len(ids) == n, f"{n} tokens need as many ids, got {len(ids)}")
    _require(9 <= n <= 16, f"there must be from 9 to 16 tokens, got {n}")
    for name, value in (("length", length), ("stride", stride)):
        _require(value in range(1, 9), f"{name} must be from 1 to 8, got {value}")
    data = {"tokens": [figures.visible(token) for token in tokens], "ids": [int(number) for number in ids],
            "length": length, "stride": stride}
    starts = range(0, n - length, stride)
    cell, left = max(figures.text_width(token, TEXT) for token in data["tokens"]) + 0.12, 0.9
    height = 0.66 + 0.5 * len(starts)
    figure, (axis,) = figures.canvas(left + n * cell, height)
    figures.blank(axis, left + n * cell, height)
    rows = [(height - 0.1, "tokens", data["tokens"]), (height - 0.34, "ids", data["ids"])]
    for row, start in enumerate(starts):
        for part, first, colour in (("input", start, TOKEN), ("target", start + 1, LOSS)):
            y = height - 0.71 - 0.5 * row - (0.21 if part == "target" else 0)
            rows.append((y, f"{part} {row}", []))
            axis.add_patch(Rectangle((left + first * cell + 0.03, y - 0.08), length * cell - 0.06, 0.16,
                                     facecolor=colour, edgecolor=EDGE))
    for y, name, texts in rows:
        axis.text(0, y - 0.05, name, va="baseline", fontsize=TEXT)
        for i, text in enumerate(texts):
            axis.text(left + (i + 0.5) * cell, y - 0.05, text, ha="center", va="baseline", fontsize=TEXT)
    show("windows", data, figure, alt)


def merges(steps, totals, sample, alt, done=3):
    """Show byte pair encoding merge by merge: the pairs that compete, and how a text is cut by those learned so far.

    Args:
        steps: for each merge the most frequent pairs before it, as `Counter.most_common` gives them:
            [((left, right), count), ...]; the first is merged.
        totals: the number of tokens of the whole text before each merge, and after the last.
        sample: a list of words, the beginning of the text.
        alt: what the still picture shows.
        done: how many merges are done at first.
    """
    _require(len(totals) == len(steps) + 1, f"{len(steps)} steps need {len(steps) + 1} totals, got {len(totals)}")
    _require(0 <= done <= len(steps), f"done must be from 0 to {len(steps)}, got {done}")
    _require(all(pairs for pairs in steps), "every step needs a pair to merge")
    data = {"steps": [[[*map(figures.visible, pair), count] for pair, count in pairs] for pairs in steps],
            "totals": [int(total) for total in totals], "sample": [figures.visible(word) for word in sample],
            "done": done}
    pairs = data["steps"][min(done, len(steps) - 1)]
    labels = [f"{left} + {right}" for left, right, _ in pairs]
    counts = [count for *_, count in pairs]
    learned = ", ".join("".join(step[0][:2]) for step in data["steps"][:done])
    title = f"merged so far: {learned or 'nothing'}; next comes the black pair"
    show("merges", data, _bars(labels, counts, [f"{count:,}" for count in counts], [DARK] + [TOKEN] * (len(pairs) - 1),
                               title), alt)


def rope(query, key, per_place, alt, places=60, distances=40, place=5, distance=2):
    """Show pairs of numbers turned by their position: the score depends on the distance only.

    Args:
        query, key: an arrow, (pairs, 2) numbers each, of length 1 at most.
        per_place: by how many radians each pair turns from one place to the next.
        alt: what the still picture shows.
        places, distances: the largest place of the key, and the largest distance of the query from it.
        place, distance: at first.
    """
    data = {"query": _numbers(query, 3), "key": _numbers(key, 3), "per_place": _numbers(per_place, 6),
            "places": places, "distances": distances, "place": place, "distance": distance}
    pairs = len(data["per_place"])
    for name in ("query", "key"):
        _require(len(data[name]) == pairs and all(len(arrow) == 2 for arrow in data[name]),
                 f"{name} must have {pairs} arrows of two numbers")
        _require(all(math.hypot(*arrow) <= 1.001 for arrow in data[name]), f"an arrow of {name} is longer than 1")
    _require(0 <= place <= places and 0 <= distance <= distances, "place or distance is beyond its largest value")
    figure, axes = figures.canvas(1.7 * pairs, 2.6, pairs)
    figure.suptitle(f"query (blue) at place {place + distance}, key (orange) at place {place}; dotted: both at place 0",
                    fontsize=TEXT)
    for i, axis in enumerate(axes):
        axis.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal")
        axis.axis("off")
        axis.add_patch(Circle((0, 0), 1, fill=False, edgecolor=TOKEN))
        for arrow, at, colour in ((data["key"][i], place, KEY), (data["query"][i], place + distance, QUERY)):
            turned = _turn(arrow, at * data["per_place"][i])
            axis.plot([0, arrow[0]], [0, arrow[1]], color=colour, linestyle=":", linewidth=1.5)
            axis.annotate("", turned, (0, 0), arrowprops={"arrowstyle": "-|>", "color": colour, "shrinkA": 0,
                                                          "shrinkB": 0, "linewidth": 2, "mutation_scale": 12})
        axis.set_title(f"pair {i}: {math.degrees(data['per_place'][i]):.3g}° a place", fontsize=TEXT)
        turned = _turn(data["query"][i], (place + distance) * data["per_place"][i])
        other = _turn(data["key"][i], place * data["per_place"][i])
        axis.text(0, -1.15, f"score {turned[0] * other[0] + turned[1] * other[1]:.2f}", ha="center", va="top",
                  fontsize=TEXT)
    show("rope", data, figure, alt)


def _turn(arrow, angle):
    """Return an arrow turned by an angle in radians."""
    (x, y), c, s = arrow, math.cos(angle), math.sin(angle)
    return x * c - y * s, x * s + y * c


def schedule(peaks, rival, alt, total=100, initial=0.05, distance=10.0, shape="half cosine", peak=0.5, warmup=10,
             floor=0.0, step=5):
    """Show a learning-rate schedule, and how close it brings one weight with the loss w²/2 and noisy gradients.

    Args:
        peaks: the rates to choose from.
        rival: the best constant rate, to compare with.
        alt: what the still picture shows.
        total: how many steps.
        initial: the first rate of a warmup, as a share of the peak.
        distance: how far from the goal the weight starts.
        shape: "constant", "half cosine", "straight line" or "flat, then down", at first.
        peak, warmup, floor, step: at first; the floor as a share of the peak.
    """
    shapes = ("constant", "half cosine", "straight line", "flat, then down")
    _require(shape in shapes, f"shape must be one of {', '.join(shapes)}, got {shape}")
    peaks = _numbers(peaks, 4)
    _require(peak in peaks, f"the peak {peak} is none of the peaks")
    _require(0 <= warmup <= total and 0 <= step < total, f"warmup and step must be among the {total} steps")
    _require(0 <= floor <= 1 and 0 <= initial <= 1, "floor and initial are shares of the peak, from 0 to 1")
    data = {"total": total, "peaks": peaks, "initial": initial, "distance": distance, "rival": rival,
            "start": {"shape": shape, "peak": peak, "warmup": warmup, "floor": floor, "step": step}}

    def rate(at):
        progress = (at - warmup) / max(1, total - warmup)
        how = {"constant": 1.0, "half cosine": (1 + math.cos(math.pi * progress)) / 2, "straight line": 1 - progress,
               "flat, then down": min(1.0, (1 - progress) / 0.3)}[shape]
        return peak * (initial + (1 - initial) * at / warmup if at < warmup else floor + (1 - floor) * how)

    figure, (axis,) = figures.canvas(5.6, 2.6)
    axis.plot(range(total), [rate(at) for at in range(total)], color=QUERY)
    axis.set_xlabel("step", fontsize=TEXT)
    axis.set_ylabel("learning rate", fontsize=TEXT)
    axis.tick_params(labelsize=TEXT)
    show("schedule", data, figure, alt)


def loop(start, ways, alt, stage=2):
    """Show the next-token loop stage by stage: text, model, bars, draw, and the word moves to the end of the text.

    Args:
        start: a list of tokens, the text at first.
        ways: {name: steps}, the ways to go on, as `walk` gives them.
        alt: what the still picture shows, which is the first way.
        stage: at first; there are three per token.
    """
    _require(len(start) > 0, "the text at first must have a token")
    _require(ways and all(ways.values()), "there is no way to go on")
    longest = max(len(steps) for steps in ways.values())
    _require(0 <= stage <= 3 * longest, f"stage must be from 0 to {3 * longest}, got {stage}")
    data = {"start": [figures.visible(token) for token in start], "ways": ways, "way": 0, "stage": stage}
    steps = next(iter(ways.values()))
    at = min(stage // 3, len(steps) - 1)
    labels, shares = zip(*steps[at]["top"], strict=True)
    drawn = steps[at]["drawn"][0]
    colours = [DARK if label == drawn else CHANCE for label in labels]
    if more := steps[at]["count"] - len(labels):
        labels, shares = (*labels, f"{more:,} others"), (*shares, steps[at]["others"])
        colours.append(TOKEN if drawn in labels else DARK)
    text = "".join([*data["start"], *(step["drawn"][0] for step in steps[:at])]).replace("·", " ")
    show("loop", data, _bars(labels, shares, [f"{share:.3f}" for share in shares], colours,
                             f"what follows “{text}” (black: the dice chose it)"), alt)


def walk(start, predict, seeds=(1, 2), steps=8, shown=10):
    """Go through the next-token loop in several ways, for `loop`: one per seed, and always the most probable token.

    Args:
        start: a list of tokens, the text at first.
        predict: a function of a list of tokens that returns {next token: probability}.
        seeds: of the dice.
        steps: how many tokens are drawn.
        shown: how many of the most probable tokens are named.

    Returns:
        {name of the way: steps}; each step is a dict with `top`, the most probable tokens with their probabilities;
        `count`, how many are possible; `others`, what those that are not named have together; `dice`, a number between
        0 and 1, or None; `drawn`, the token and its probability; `from` and `to`, between which the dice had to fall.
    """
    dice = {f"draw, dice {number}": random.Random(seed) for number, seed in enumerate(seeds, 1)}
    ways = {}
    for name, rolled in [*dice.items(), ("take the most probable", None)]:
        text, ways[name] = list(start), []
        for _ in range(steps):
            token, step = _draw(predict(text), rolled, shown)
            ways[name].append(step)
            text.append(token)
    return ways


def _draw(probabilities, dice, shown):
    """Return the token that the dice choose, or without dice the most probable one, and the step, as in `walk`."""
    ranked = sorted(((token, float(p)) for token, p in probabilities.items() if p > 0), key=lambda entry: -entry[1])
    _require(ranked and abs(sum(p for _, p in ranked) - 1) < 1e-3, "the probabilities must add up to 1")
    ends = list(itertools.accumulate(p for _, p in ranked))
    number = None if dice is None else dice.random()
    at = 0 if dice is None else next((i for i, end in enumerate(ends) if number < end), len(ranked) - 1)
    token, p = ranked[at]
    return token, {"top": [[figures.visible(word), round(q, 4)] for word, q in ranked[:shown]], "count": len(ranked),
                   "others": round(max(0.0, 1 - sum(q for _, q in ranked[:shown])), 4),
                   "dice": None if dice is None else round(number, 4), "drawn": [figures.visible(token), round(p, 4)],
                   "from": round(ends[at] - p, 4), "to": round(ends[at], 4)}


def _require(holds, message):
    """Raise a ValueError with the message unless something holds."""
    if not holds:
        raise ValueError(message)


def _numbers(values, digits):
    """Return nested lists of rounded floats from numbers, lists or tensors."""
    if hasattr(values, "tolist"):
        values = values.detach().float().cpu().tolist() if hasattr(values, "detach") else values.tolist()
    if isinstance(values, (list, tuple)):
        return [_numbers(value, digits) for value in values]
    _require(math.isfinite(values), f"a number of the picture is {values}")
    return round(float(values), digits) + 0.0  # no minus zero


def _bars(labels, values, notes, colours, title):
    """Return a figure of bars that lie below each other, with a note behind each."""
    figure, (axis,) = figures.canvas(5.6, 0.28 * len(labels) + 0.5)
    places = range(len(labels))
    axis.barh(places, values, 0.74, color=colours, edgecolor=EDGE)
    for place, value, note in zip(places, values, notes, strict=True):
        axis.text(value + 0.01 * max(values), place, note, va="center", fontsize=TEXT)
    axis.set_yticks(places, labels, fontsize=TEXT)
    axis.set(xlim=(0, 1.3 * max(values)), xticks=[])
    axis.invert_yaxis()
    axis.spines["bottom"].set_visible(False)
    axis.set_title(title, fontsize=TEXT, loc="left")
    return figure
