"""The drawing functions draw all that they are given, or say that they cannot."""

import pytest
import torch

import figures
import processes

LINE = ([0, 1], [2, 3])
DRAWINGS = {
    "curves": lambda names: figures.curves([0, 1], {name: [2, 3] for name in names}, "x", "y", "alt"),
    "panels": lambda names: figures.panels([{"lines": {name: LINE for name in names}, "xlabel": "x", "ylabel": "y"}],
                                           "alt"),
    "bars": lambda names: figures.bars(["label"], {name: [1] for name in names}, "y", "alt"),
    "stacked_bars": lambda names: figures.stacked_bars(["label"], {name: [1] for name in names}, "y", "alt"),
    "roofs": lambda names: figures.roofline({name: 1e12 for name in names}, 1e10, {"copy": (1, 1e9)}, "alt"),
    "roofline": lambda names: figures.roofline({"fp32": 1e12}, 1e10, {name: (1, 1e9) for name in names}, "alt"),
    "histograms": lambda names: figures.histograms({name: torch.zeros(3) for name in names}, "x", "alt"),
    "points": lambda names: figures.points(torch.zeros(len(names), 2), names, names, "x", "y", "alt"),
    "regions": lambda names: figures.regions(torch.arange(3), torch.arange(3), torch.rand(3, 3),
                                             {name: torch.zeros(1, 2) for name in names}, "x", "y", "alt"),
    "depths": lambda names: processes.depths({"title": {name: [1, 2] for name in names}}, "x", "y", "alt"),
    "arrows": lambda names: figures.arrows({name: (0, 1) for name in names}, "x", "y", "alt"),
}
MOST = {"points": 4, "regions": 4, "roofline": 9}


@pytest.mark.parametrize("kind", DRAWINGS)
def test_nothing_is_left_out_of_a_figure(kind, monkeypatch):
    """A sixth line, for which there was no colour, was not drawn, and nothing said so."""
    shown = []
    monkeypatch.setattr(figures, "show", lambda figure, alt: shown.append(figure))
    names = [f"group{number}" for number in range(MOST.get(kind, 5) + 1)]
    DRAWINGS[kind](names[:-1])
    (figure,) = shown
    legends = [axis.get_legend() for axis in figure.axes] + figure.legends
    named = [text.get_text() for legend in legends if legend for text in legend.get_texts()]
    named += [line for axis in figure.axes for text in axis.texts for line in text.get_text().splitlines()]
    assert set(names[:-1]) <= set(named)
    with pytest.raises(ValueError, match=f"can tell {len(names) - 1} groups apart, got {len(names)}: group0, group1, "):
        DRAWINGS[kind](names)


def test_distances_between_points_are_true(monkeypatch):
    """An inch to the right was less than an inch up, and a caption asked for the nearest point."""
    shown = []
    monkeypatch.setattr(figures, "show", lambda figure, alt: shown.append(figure))
    figures.points(torch.tensor([[-9.0, 0.0], [9.0, 1.0]]), ["a", "b"], ["x", "x"], "x", "y", "alt")
    assert shown[0].axes[0].get_aspect() == 1


def test_each_heatmap_may_have_row_labels_of_its_own(monkeypatch):
    """Positions were labelled with the tokens of the matrix beside them."""
    shown = []
    monkeypatch.setattr(figures, "show", lambda figure, alt: shown.append(figure))
    for rows in (["a", "b"], [["a", "b"], ["0", "1"]], None):
        figures.heatmaps([torch.eye(2), torch.eye(2)], "alt", rows=rows)
    labels = [[[text.get_text() for text in axis.get_yticklabels()] for axis in figure.axes] for figure in shown]
    assert labels == [[["a", "b"]] * 2, [["a", "b"], ["0", "1"]], [["0", "1"]] * 2]
