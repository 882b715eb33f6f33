"""Pictures of training: gradients on their way back, steps downhill, clipping, and what a step costs.

They are drawn by the means of figures.py, in its colours: a loss is vermilion, and so is its gradient, which is dashed;
what was chosen or done is black. In pictures of memory the weights are blue, the optimizer's state is orange, the
gradients are vermilion, and the activations green.
"""

import re
from itertools import product

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox

import figures
from figures import BLUE, DARK, EDGE, GREEN, INK, LOSS, ORANGE, PURPLE, RED, SKY, SLATE, SMALL, TOKEN, tint
from mechanisms import ROW, grid, number, vector

FLOPS = {"attention": PURPLE, "projections": tint(PURPLE, 0.5), "scores and\nmixtures of values": PURPLE,
         "feed forward": SKY, "head": SLATE}  # none of those of memory
MEMORY = {"weights": BLUE, "optimizer": ORANGE, "gradients": RED, "activations": GREEN}
DASHES = (0, (4, 2))  # of gradients


def written(value, digits=4):
    """Return a number as text: a true minus sign, and no zeros at the end."""
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "0") else text.replace("-", "−")


def signed(value, digits=4):
    """Return a number as text, in brackets if it is negative, so that it can stand behind a sign."""
    text = written(value, digits)
    return f"({text})" if text.startswith("−") else text


def _write(axis, x, y, text, ha="center", va="center", **keywords):
    return axis.text(x, y, text, ha=ha, va=va, fontsize=SMALL, linespacing=1.2, **keywords)


def _name(axis, place, text, taken, renderer):
    """Write a text inside the axes, as near to a point as it covers none of `taken`; return the box that it takes."""
    inch, (x, y) = axis.figure.dpi, axis.transData.transform(place)
    frame = axis.get_window_extent(renderer)
    probe = _write(axis, *place, text)
    half = np.array(probe.get_window_extent(renderer).size) / 2
    probe.remove()
    for reach, (across, up) in product([0.1, 0.28, 0.46, 0.64, 0.82], [
            (1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (-1, -1), (1, 1), (-1, 1), (0.5, -1), (-0.5, -1)]):
        sideways = min(reach, 0.1) if up else reach
        middle = np.array([x + across * (half[0] + sideways * inch), y + up * (half[1] + reach * inch)])
        here = Bbox([middle - half - 3, middle + half + 3])
        line = np.linspace((x, y), middle, 30)
        others = [other for other in taken if not other.contains(x, y)]
        crossed = reach > 0.1 and any(other.contains(*spot) for other in others for spot in line)
        if ((here.min > frame.min).all() and (here.max < frame.max).all() and not crossed
                and not any(map(here.overlaps, taken))):
            break
    axis.annotate(text, place, axis.transData.inverted().transform(middle), fontsize=SMALL, ha="center", va="center",
                  arrowprops={"arrowstyle": "-", "color": EDGE, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 4}
                  if reach > 0.1 else None)
    return here


# The graph of a computation, forwards and backwards.

BOX, HIGH, GAP, BETWEEN = 1.05, 0.64, 0.93, 0.62  # of a box: width and height; between boxes: across and down


def grad_graph(result, names, alt, back=False, rules=None):
    """Draw the operations that autograd recorded on the way to a tensor, from its `grad_fn`, inputs on the left.

    Args:
        result: a tensor with a `grad_fn`; the graph behind it must be small.
        names: {name: tensor} of inputs and results. Those of one number are drawn with their values.
        alt: what one sees.
        back: draw as well, in red, the gradients on their way back, and in each box its own slope.
        rules: {operation: the formula of its slope}, to stand above the boxes of a graph without branches.
    """
    boxes, links = {}, []  # place: (function, its inputs' places); (start, end, name of the value, gradient)
    free = {}  # column: the first free row
    passed = _gradients(result) if back else {}

    def place(function, column, row):
        """Put an operation at a place, its first input to the left of it, and other leaves below it."""
        boxes[column, row] = function
        free[column] = max(free.get(column, 0), row + 1)
        for order, (before, _) in enumerate(function.next_functions):
            leaf = before is None or hasattr(before, "variable")
            if order == 0:
                spot = column - 1, row
            elif leaf:
                spot = column, free[column]
            else:
                spot = column - 1, max(free.values())
            if leaf:
                boxes[spot] = _leaf(function, before, names)
                free[spot[0]] = max(free.get(spot[0], 0), spot[1] + 1)
            else:
                place(before, *spot)
            value = "" if leaf else next((_named(name, tensor.item()) for name, tensor in names.items()
                                          if tensor.grad_fn is before and tensor.numel() == 1), "")
            links.append((spot, (column, row), value, passed.get((function, order))))

    place(result.grad_fn, 0, 0)
    first, rows = min(column for column, _ in boxes), max(row for _, row in boxes) + 1
    top = 0.3 if rules else 0.1
    figure, axis = figures.sheet((1 - first) * (BOX + GAP) + 0.25 * back, rows * (HIGH + BETWEEN) - BETWEEN + top + 0.1)
    corner = {(column, row): (0.02 + (column - first) * (BOX + GAP), top + row * (HIGH + BETWEEN))
              for column, row in boxes}
    for spot, thing in boxes.items():
        _node(axis, *corner[spot], thing, [grad for _, end, _, grad in links if end == spot], passed)
    for start, end, value, gradient in links:
        _link(axis, corner[start], corner[end], value, None if gradient is None else gradient[0], back)
    for spot, thing in boxes.items():
        if not isinstance(thing, tuple) and _operation(thing) in (rules or {}):
            _write(axis, corner[spot][0] + BOX / 2, 0.12, f"slope {rules[_operation(thing)]}", color=INK[RED])
    x, y = corner[0, 0]
    name = next((name for name, tensor in names.items() if tensor is result), "result")
    vector(axis, (x + BOX + 0.03, y + HIGH / 2 - 0.1 * back), (x + BOX + 0.4, y + HIGH / 2 - 0.1 * back), "black", 1.3)
    value = f"\n{written(result.item())}" if result.numel() == 1 else ""
    _write(axis, x + BOX + 0.45, y + HIGH / 2 - 0.1 * back, name + value, ha="left")
    if back:
        level = y + HIGH / 2 + 0.12
        vector(axis, (x + BOX + 0.4, level), (x + BOX + 0.03, level), RED, 1.8, style=DASHES)
        _write(axis, x + BOX + 0.22, y + HIGH / 2 + 0.3, "1", color=INK[RED], weight="bold")
    figures.show(figure, alt)


def _named(name, value):
    """Return "name = value", in two lines where one is too long for the gap between two boxes."""
    short = figures.text_width(f"{name} = {written(value)}", SMALL) < GAP
    return f"{name}{' ' if short else chr(10)}= {written(value)}"


def _leaf(function, node, names):
    """Return (name, value or None, whether it gets a gradient) of an input that no operation made."""
    if node is not None:
        name, tensor = next((name, tensor) for name, tensor in names.items() if tensor is node.variable)
        return name, tensor, True
    kept = [getattr(function, key) for key in dir(function) if key.startswith("_saved_")]
    kept = [tensor.data_ptr() for tensor in kept if isinstance(tensor, torch.Tensor)]
    for name, tensor in names.items():
        if not tensor.requires_grad and tensor.data_ptr() in kept:
            return name, tensor, False
    return "no gradient", None, False


def _gradients(result):
    """Return {(operation, which of its inputs): (gradient that it passes there, its own slope)} for single numbers."""
    passed, hooks, nodes = {}, [], [result.grad_fn]

    def watch(node):
        def keep(inputs, outputs):
            for order, gradient in enumerate(inputs):
                if gradient is not None and gradient.numel() == 1 and outputs[0].numel() == 1:
                    passed[node, order] = gradient.item(), (gradient / outputs[0]).item()

        return node.register_hook(keep)

    for node in nodes:
        hooks.append(watch(node))
        nodes += [before for before, _ in node.next_functions if before is not None and not hasattr(before, "variable")]
    leaves = [before.variable for node in nodes for before, _ in node.next_functions if hasattr(before, "variable")]
    torch.autograd.grad(result, leaves, retain_graph=True)
    for hook in hooks:
        hook.remove()
    return passed


def _operation(function):
    return re.sub(r"Backward\d*$", "", function.name())


def _node(axis, x, y, thing, gradients, passed):
    """Draw the box of an operation, or that of a leaf."""
    if isinstance(thing, tuple):
        name, value, learns = thing
        text = name if value is None or value.numel() != 1 else f"{name} = {written(value.item())}"
        figures.box(axis, x, y, BOX, HIGH, text if learns or value is None else f"{text}\nfixed",
                    DARK if learns else TOKEN, size=SMALL)
        return
    name, *words = re.split(r"(?<=[a-z])(?=[A-Z])", _operation(thing))
    for word in words:
        fits = figures.text_width(f"{name} {word}".split("\n")[-1], SMALL) < BOX - 0.08
        name += f" {word}" if fits else f"\n{word}"
    slopes = {written(gradient[1], 5) for gradient in gradients if gradient is not None}
    figures.box(axis, x, y, BOX, HIGH, "", SLATE)
    lines = name.count("\n") + 1
    if len(slopes) == 1:
        _write(axis, x + BOX / 2, y + (HIGH + 0.17 * lines) / 2, f"× {slopes.pop()}", color=INK[RED], weight="bold")
        _write(axis, x + BOX / 2, y + HIGH / 2 - 0.1, name)
    else:
        _write(axis, x + BOX / 2, y + HIGH / 2, name)


def _link(axis, start, end, value, gradient, back):
    """Draw what goes from one box to the next: the value forwards, and the gradient backwards."""
    (x, y), (to_x, to_y) = start, end
    shift = 0.11 if back else 0
    if x == to_x:  # from below
        middle, high, low = x + BOX / 2, to_y + HIGH + 0.03, y - 0.03
        vector(axis, (middle - shift, low), (middle - shift, high), "black", 1.3)
        if gradient is not None:
            vector(axis, (middle + shift, high), (middle + shift, low), RED, 1.8, style=DASHES)
            _write(axis, middle + shift + 0.1, (high + low) / 2, written(gradient, 5), ha="left", color=INK[RED],
                   weight="bold")
        return
    level, right = y + HIGH / 2, x + BOX
    if y == to_y:
        vector(axis, (right + 0.03, level - shift), (to_x - 0.03, level - shift), "black", 1.3)
        if gradient is not None:
            vector(axis, (to_x - 0.03, level + shift), (right + 0.03, level + shift), RED, 1.8, style=DASHES)
            _write(axis, (right + to_x) / 2, level + shift + 0.19, written(gradient, 5), color=INK[RED], weight="bold")
        _write(axis, (right + to_x) / 2, level - shift - 0.06, value, va="bottom")
    else:  # from another branch
        axis.plot([right + 0.03, to_x + BOX / 2], [level, level], color="black", linewidth=1.3)
        vector(axis, (to_x + BOX / 2, level), (to_x + BOX / 2, to_y + HIGH + 0.03), "black", 1.3)
        _write(axis, right + 0.1, level - 0.05, value, ha="left", va="bottom")
        if gradient is not None:
            turn, low = to_x + BOX / 2 + 0.2, level + 0.2
            axis.plot([turn, turn], [to_y + HIGH + 0.03, low], color=RED, linewidth=1.8, linestyle=DASHES)
            vector(axis, (turn, low), (right + 0.03, low), RED, 1.8, style=DASHES)
            _write(axis, right + 0.1, low + 0.06, written(gradient, 5), ha="left", va="top", color=INK[RED],
                   weight="bold")


# Steps downhill.


def downhill(loss, start, rate, name, around, alt, size=(6.4, 3.6)):
    """Draw one step of gradient descent on the curve of a loss: the tangent, the step, what it promises, what it gives.

    Args:
        loss: a function of a tensor, element by element.
        start: where the parameter is.
        rate: the learning rate.
        name: of the parameter.
        around: (lowest, highest) value of the parameter on the picture.
        alt: what one sees.
        size: in inches.
    """
    at = torch.tensor(float(start), requires_grad=True)
    here = loss(at)
    (slope,) = torch.autograd.grad(here, at)
    here, slope = here.item(), slope.item()
    after = start - rate * slope
    promised, given = here + slope * (after - start), loss(torch.tensor(after)).item()
    ws = torch.linspace(*around, 200)
    figure, (axis,) = figures.canvas(*size)
    axis.plot(ws, loss(ws).detach(), color=LOSS, linewidth=2.4)
    ends = [start - 0.5 * (after - start), after]
    axis.plot(ends, [here + slope * (w - start) for w in ends], color=RED, linestyle=DASHES, linewidth=1.8)
    wide, top = around[1] - around[0], loss(ws).max().item()
    floor = min(0.0, promised) - 0.27 * top
    axis.set(xlim=around, ylim=(floor - 0.09 * top, 1.04 * top))
    for w, value in [(start, here), (after, max(promised, given))]:
        axis.plot([w, w], [floor, value], color=EDGE, linestyle=":", linewidth=1.2, zorder=1)
    vector(axis, (start, floor), (after, floor), DARK, 2.4, head=15)
    axis.scatter([start, after], [here, given], s=55, color=DARK, zorder=5)
    axis.scatter([after], [promised], s=55, facecolor="white", edgecolor=INK[RED], linewidth=1.6, zorder=5)
    ha = "left" if after > start else "right"  # the way goes on to that side
    for x, y, text, colour in [
        (start, here + 0.13 * top, f"here: {name} = {written(start)}, loss {here:.4f}", "black"),
        (after, given + 0.13 * top, f"after the step:\n{name} = {written(after)}, loss {given:.4f}", "black"),
        (after, promised - 0.1 * top, f"the tangent had promised {promised:.4f}", INK[RED]),
        (after, floor, f"step = −rate · slope\n= −{written(rate)} · {signed(slope, 5)} = {written(-rate * slope)}",
         "black"),
    ]:
        _write(axis, x + (0.03 if ha == "left" else -0.03) * wide, y, text, ha=ha, color=colour)
    side = (-0.02 if ha == "left" else 0.02) * wide  # beside the end of the tangent, below the curve
    _write(axis, ends[0] + side, here + slope * (ends[0] - start) - 0.03 * top, f"slope\n{written(slope, 5)}",
           ha="right" if ha == "left" else "left", color=INK[RED])
    axis.set_yticks([tick for tick in axis.get_yticks() if 0 <= tick <= top])
    axis.set_xlabel(name, fontsize=SMALL)
    axis.set_ylabel("loss", fontsize=SMALL)
    figures.show(figure, alt)


def paths(loss, walks, alt, across, up, notes=None, goal=(0, 0), per_row=3, width=8.7, marks=True,
          names=("first weight", "second weight")):
    """Draw paths through a valley, one panel each: contours of the loss, darker where it is higher, and the steps.

    Args:
        loss: a function of two tensors, the weights.
        walks: {title: (steps + 1, 2) places}, the start included; what leaves the picture is cut off.
        alt: what one sees.
        across, up: (lowest, highest) value of the two weights; both axes have one scale.
        notes: {title: what stands below}.
        goal: the lowest place.
        per_row, width: panels in a row, and inches of the picture.
        marks: draw a dot at each place.
        names: of the weights.
    """
    rows = -(-len(walks) // per_row)
    columns = min(per_row, len(walks))
    height = (width - 0.6) / columns * (up[1] - up[0]) / (across[1] - across[0]) + (0.55 if notes else 0.4)
    figure = figures.Figure(figsize=(width, rows * height + 0.25), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    xs, ys = torch.linspace(*across, 161), torch.linspace(*up, 161)
    heights = loss(*torch.meshgrid(xs, ys, indexing="xy"))
    levels = torch.linspace(0, heights.max().item(), 13).tolist()
    colours = ListedColormap([tint(LOSS, 0.03 + 0.03 * level) for level in range(12)])
    for place, (title, walk) in enumerate(walks.items()):
        axis = axes[place // per_row, place % per_row]
        walk = torch.as_tensor(walk).double()
        axis.contourf(xs, ys, heights, levels, cmap=colours)
        axis.contour(xs, ys, heights, levels[1:], colors=[tint(LOSS, 0.55)], linewidths=0.6)
        axis.plot(*walk.T, color=DARK, linewidth=1, zorder=3)
        if marks:
            axis.scatter(*walk.T, s=7, color=DARK, zorder=3)
        axis.scatter(*walk[0], s=52, facecolor="white", edgecolor=DARK, linewidth=1.6, zorder=4)
        axis.scatter(*goal, s=85, marker="*", color=GREEN, edgecolor="black", linewidth=0.7, zorder=5)
        axis.set(xlim=across, ylim=up, aspect="equal")
        axis.tick_params(labelsize=SMALL)
        axis.set_title(title, fontsize=SMALL, weight="bold")
        lines = [names[0]] if place // per_row == rows - 1 else []
        axis.set_xlabel("\n".join([*lines, *([notes[title]] if notes else [])]), fontsize=SMALL)
        axis.label_outer(remove_inner_ticks=False)
        if place % per_row == 0:
            axis.set_ylabel(names[1], fontsize=SMALL)
    figure.draw_without_rendering()
    renderer, first = FigureCanvasAgg(figure).get_renderer(), axes[0, 0]
    road = torch.as_tensor(next(iter(walks.values()))).double()[:, None]
    shares = torch.linspace(0, 1, 2 + 3000 // len(road))
    road = torch.cat([road[:-1] + share * (road[1:] - road[:-1]) for share in shares], dim=1)
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in first.transData.transform(road.flatten(0, 1))]
    taken += [Bbox.from_bounds(*(first.transData.transform(goal) - 6), 12, 12)]
    for label, place in [("start", walks[next(iter(walks))][0].tolist()), ("goal", goal)]:
        taken.append(_name(first, place, label, taken, renderer))
    figures.show(figure, alt)


def joint_norm(gradients, limit, together, alone, alt):
    """Draw how two gradients are clipped together: both times one factor, so that the direction stays; alone it turns.

    Args:
        gradients: the two gradients, one number each, positive.
        limit: the longest that may be.
        together, alone: (2,) what becomes of them, clipped by their joint norm and one by one.
        alt: what one sees.
    """
    first, second = (float(value) for value in gradients)
    norm = (first**2 + second**2) ** 0.5
    scale, zoom = 2.5 / second, 2.0 / limit
    figure, axis = figures.sheet(8.4, 3.35)
    left, right, floor = 0.4, 5.0, 3.0

    def at(origin, factor, x, y):
        return origin + factor * x, floor - factor * y

    def legs(origin, factor, x, y, labels):
        for start, end, label, place, ha in [((0, 0), (x, 0), labels[0], (x / 2, 0), "center"),
                                             ((x, 0), (x, y), labels[1], (x, y / 2), "left")]:
            vector(axis, at(origin, factor, *start), at(origin, factor, *end), RED, 1.8, style=DASHES)
            across, down = at(origin, factor, *place)
            _write(axis, across + (0.1 if ha == "left" else 0), down + (0.2 if ha == "center" else 0), label, ha=ha,
                   color=INK[RED])
        vector(axis, at(origin, factor, 0, 0), at(origin, factor, x, y), DARK, 2.6, head=16, zorder=4)

    _write(axis, 0.05, 0.12, f"before: length √({written(first)}² + {written(second)}²) = {written(norm)}", ha="left",
           weight="bold")
    legs(left, scale, first, second, [f"first gradient: {written(first)}", f"second:\n{written(second)}"])
    vector(axis, (3.3, 1.15), (4.2, 1.15), "black", 1.6)
    _write(axis, 3.75, 1.0, f"all ÷ {written(norm / limit)}")
    _write(axis, right - 0.3, 0.12, f"clipped to length {written(limit)}", ha="left", weight="bold")
    x, y = (float(value) for value in together)
    turn = np.linspace(0, np.pi / 2)
    axis.plot(*at(right, zoom * limit, np.cos(turn), np.sin(turn)), color=SLATE, linewidth=1)
    axis.plot(*zip(at(right, zoom, 0, 0), at(right, zoom, 1.25 * x, 1.25 * y), strict=True), color=DARK, linewidth=0.9,
              linestyle=":")
    legs(right, zoom, x, y, [written(x), written(y)])
    half = at(right, zoom, x / 2, y / 2)
    _write(axis, half[0] - 0.12, half[1] - 0.2, f"together: length {written(limit)},\nthe same direction", ha="right")
    a, b = (float(value) for value in alone)
    end = at(right, zoom, a, b)
    vector(axis, at(right, zoom, 0, 0), end, SLATE, 2.0, head=14)
    long = written((a**2 + b**2) ** 0.5, 2)
    _write(axis, end[0] + 0.08, end[1], f"each alone: {written(a)}, {written(b)},\nlength {long},\nanother direction",
           ha="left")
    side = at(right, zoom, limit, 0)
    _write(axis, side[0] + 0.08, side[1] - 0.12, f"circle of\nlength {written(limit)}", ha="left")
    figures.show(figure, alt)


def averaged(gradients, average, alt):
    """Draw the gradients of two processes and their mean, which both get; the sum of the first entry is written out.

    Args:
        gradients: two matrices.
        average: their mean, as the processes have it.
        alt: what one sees.
    """
    (rows, columns), cell, digits = average.shape, 0.66, 2  # with one digit the mean would not follow
    height, width = rows * ROW, columns * cell
    figure, axis = figures.sheet(2 * width + 2.3, 2 * height + 1.15)
    mean_x, middle = width + 1.4, (2 * height + 1.15) / 2
    for rank, gradient in enumerate(gradients):
        y = 0.3 + rank * (height + 0.5)
        grid(axis, 0.05, y, gradient, fill=tint(RED, 0.2), digits=digits, cell=cell, title=f"gradients of rank {rank}",
             ink=INK[RED])
        figures.arrow(axis, (0.05 + width + 0.08, y + height / 2), (mean_x - 0.1, middle + (0.12 if rank else -0.12)))
        axis.add_patch(Rectangle((0.05, y), cell, ROW, fill=False, edgecolor="black", linewidth=2, zorder=3))
    _write(axis, width + 0.7, middle, "add, ÷ 2")
    top = middle - height / 2
    end, bottom = grid(axis, mean_x, top, average, fill=tint(RED, 0.5), digits=digits, cell=cell,
                       title="mean, in both", ink=INK[RED])
    axis.add_patch(Rectangle((mean_x, top), cell, ROW, fill=False, edgecolor="black", linewidth=2, zorder=3))
    a, b = (gradient[0, 0].item() for gradient in gradients)
    first, second, mean = (number(value, digits) for value in (a, b, average[0, 0].item()))
    _write(axis, mean_x, bottom + 0.22, f"({first} + {f'({second})' if b < 0 else second}) ÷ 2 = {mean}", ha="left")
    figures.show(figure, alt)


# What a step costs.


def roofline(peaks, bandwidth, operations, alt, size=(7.6, 4.2)):
    """Draw what a machine can do, the lower of a flat and a sloping roof, and where operations stand below it.

    Args:
        peaks: {number format: most FLOP per second}, one flat roof each.
        bandwidth: bytes per second between memory and processor, the slope.
        operations: {name: (FLOPs per byte, FLOP per second)}, one point each.
        alt: what one sees.
        size: in inches.
    """
    figure, (axis,) = figures.canvas(*size)
    low = min(intensity for intensity, _ in operations.values()) / 4
    high = 8 * max([*(intensity for intensity, _ in operations.values()), max(peaks.values()) / bandwidth])
    bottom = min(low * bandwidth, min(speed for _, speed in operations.values())) / 3
    top = 3 * 1.75 ** len(peaks) * max(peaks.values())
    axis.set(xscale="log", yscale="log", xlim=(low, high), ylim=(bottom, top))
    corners = {name: peak / bandwidth for name, peak in sorted(peaks.items(), key=lambda one: one[1])}
    corner, *_, last = [*corners.values()] * 2  # between the two it depends on the number format
    for start, end, strength, title in [(low, corner, 0.18, "the processor waits for memory"),
                                        (corner, last, 0.09, ""),
                                        (last, high, 0, "memory waits for the processor")]:
        axis.axvspan(start, end, color=tint(SLATE, strength), linewidth=0, zorder=0)
        _write(axis, (start * end) ** 0.5, top / 1.6, title, va="top", color=DARK, weight="bold")
    ends = []
    for name, peak, colour, style in figures.told_apart(peaks, figures.COLOURS, figures.STYLES):
        ridge = peak / bandwidth
        axis.plot([ridge, high], [peak, peak], color=colour, linestyle=style, linewidth=2)
        ends.append((peak, f"{name}: {peak / 1e9:,.0f} GFLOP/s", INK[colour]))
    ridge = max(peaks.values()) / bandwidth
    axis.plot([low, ridge], [low * bandwidth, max(peaks.values())], color=DARK, linewidth=2)
    for place in corners.values():
        axis.plot([place, place], [bottom, place * bandwidth], color=EDGE, linestyle=":", linewidth=1.2)
    for _, (intensity, speed), marker in figures.told_apart(operations, "osD^vP*Xd"):
        axis.scatter(intensity, speed, marker=marker, s=46, color="white", edgecolor="black", zorder=4)
    axis.set_xlabel("FLOPs per byte moved", fontsize=SMALL)
    axis.set_ylabel("FLOP per second", fontsize=SMALL)
    figure.draw_without_rendering()
    renderer = FigureCanvasAgg(figure).get_renderer()
    inches = 1 / figure.dpi
    taken = []
    level = -np.inf
    for peak, text, ink in sorted(ends):
        x, y = axis.transData.transform((high, peak)) * inches
        level = max(y + 0.11, level + 0.2)
        place = axis.transData.inverted().transform(((x - 0.05) / inches, level / inches))
        label = _write(axis, *place, text, ha="right", color=ink)
        taken.append(label.get_window_extent(renderer))
    a, b = (axis.transData.transform((x, x * bandwidth)) for x in (low, corner))
    turn = np.degrees(np.arctan2(*(b - a)[::-1]))
    text, along = f"memory: {bandwidth / 1e9:,.0f} GB/s", (b - a) / np.hypot(*(b - a))
    long = figures.text_width(text, SMALL) / inches / 2
    spots = [axis.transData.transform(point) for point in operations.values()]
    middles = [a + share * (b - a) + np.array([-0.09, 0.13]) / inches for share in np.linspace(0.2, 0.8, 25)]
    middle = max(middles, key=lambda middle: min(  # far from all points
        0.5 * long, *(np.hypot(*(middle + share * along - spot)) for spot in spots for share in (-long, 0, long))))
    _write(axis, *axis.transData.inverted().transform(middle), text, rotation=turn, rotation_mode="anchor")
    taken += [Bbox.from_bounds(*(middle + share * long * along - 7), 14, 14) for share in np.linspace(-1, 1, 30)]
    ends = [[(low, low * bandwidth), (ridge, max(peaks.values()))],
            *([(place, bottom), (place, top)] for place in corners.values()),
            *([(corner, peak), (high, peak)] for peak in peaks.values())]
    walls = [axis.transData.transform(both) for both in ends]
    for start, end in walls:
        taken += [Bbox.from_bounds(*(start + share * (end - start) - 2), 4, 4) for share in np.linspace(0, 1, 150)]
    taken += [Bbox.from_bounds(*(spot - 5), 10, 10) for spot in spots]
    names = [f"corner of {name}:\n{place:,.1f} FLOPs per byte" for name, place in corners.items()]
    for place, text, ha in [(last, names[-1], "left"), *([(corner, names[0], "right")] if len(names) > 1 else [])]:
        x, y = axis.transData.transform((place, bottom))
        shift = 0.06 if ha == "left" else -0.06
        spot = axis.transData.inverted().transform((x + shift / inches, y + 0.22 / inches))
        taken += [_write(axis, *spot, text, ha=ha).get_window_extent(renderer)]
    for name, point in sorted(operations.items(), key=lambda one: -one[1][0]):  # there is least room at the right
        taken.append(_name(axis, point, name, taken, renderer))
    figures.show(figure, alt)


def memory_over_time(parts, phases, alt, predicted=None, size=(8.2, 3.6)):
    """Draw the memory during one training step as layers on top of each other, each named inside it or beside it.

    Args:
        parts: {"weights", "optimizer", "gradients" or "activations": bytes after each operation}, from below.
        phases: {name: number of operations}, in their order; they must add up to the length of each part.
        alt: what one sees.
        predicted: the peak that a formula gives, in bytes.
        size: in inches.

    Raises:
        ValueError: the phases do not have as many operations as the parts.
    """
    layers = {name: np.asarray(values, dtype=float) / 1e6 for name, values in parts.items()}
    count = len(next(iter(layers.values())))
    if sum(phases.values()) != count:
        raise ValueError(f"the phases have {sum(phases.values())} operations, the parts {count}")
    figure, (axis,) = figures.canvas(*size)
    below, steps = np.zeros(count), np.arange(count + 1)
    total = sum(layers.values())
    top = 1.3 * max(total.max(), (predicted or 0) / 1e6)
    for name, values in layers.items():
        above = below + values
        axis.fill_between(steps, np.append(below, below[-1]), np.append(above, above[-1]), step="post",
                          facecolor=tint(MEMORY[name], 0.55), edgecolor=INK[MEMORY[name]], linewidth=0.8)
        _name_layer(axis, name, below, above, top, size, np.cumsum(list(phases.values())))
        below = above
    at = 0
    for name, length in phases.items():
        _write(axis, at + length / 2, 0.92 * top, name, va="baseline", weight="bold")
        at += length
        if at < count:
            axis.axvline(at, color=EDGE, linestyle=":", linewidth=1.2)
    if predicted is not None:
        axis.plot([0, count], [predicted / 1e6] * 2, color="black", linestyle="--", linewidth=1.2)
        _write(axis, 0.01 * count, predicted / 1e6 + 0.015 * top, f"predicted peak: {predicted / 1e6:.1f} MB",
               ha="left", va="bottom")
    axis.set(xlim=(0, count), ylim=(0, top))
    axis.set_xlabel("operations done", fontsize=SMALL)
    axis.set_ylabel("MB", fontsize=SMALL)
    figures.show(figure, alt)


def _name_layer(axis, name, below, above, top, size, borders):
    """Write the name of a layer where it is thickest, within one phase; to the right of it if it is too thin."""
    wide = int(len(below) * (figures.text_width(name, SMALL) + 0.15) / (size[0] - 0.8))
    high = 0.2 * top / (size[1] - 0.7)
    starts = [i for i in range(len(below) - wide) if not any(i <= border < i + wide for border in borders)]
    room, start = max((above[i : i + wide].min() - below[i : i + wide].max(), i) for i in starts)
    if room < high:
        _write(axis, 1.01 * len(below), (above[-1] + below[-1]) / 2, name, ha="left")
        return
    middle = (above[start : start + wide].min() + below[start : start + wide].max()) / 2
    _write(axis, start + wide / 2, middle, name, color="black")
