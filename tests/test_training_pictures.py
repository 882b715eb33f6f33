"""The pictures of training show the numbers that they were given, where these come from, and all names."""

import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

import figures
import training_pictures

X, W, B, Y = torch.tensor([1.1]), *(torch.tensor([value], requires_grad=True) for value in (2.2, 0.0)), torch.ones(1)
Z = X * W + B
LOSS = torch.nn.functional.binary_cross_entropy(torch.sigmoid(Z), Y)
NAMES = {"x1": X, "w1": W, "b": B, "y": Y, "z": Z, "loss": LOSS}
PAIR = torch.ones(2, requires_grad=True)
WALKS = {"plain": torch.tensor([[2.0, 1.0], [1.0, 0.5], [0.5, 0.2]]), "lost": torch.tensor([[2.0, 1.0], [-9.0, 0.0]])}
GRADIENTS = [torch.tensor([[-10.0, 2.0]]), torch.tensor([[4.0, 1.0]])]
PARTS = {"weights": [2e6] * 90, "optimizer": [4e6] * 90, "gradients": [0.0] * 40 + [2e6] * 50,
         "activations": [1e5 * step for step in range(40)] + [0.0] * 50}
PHASES = {"forward": 40, "backward": 50}
PICTURES = {
    "grad_graph": lambda: training_pictures.grad_graph(LOSS, NAMES, "alt"),
    "grad_graph back": lambda: training_pictures.grad_graph(LOSS, NAMES, "alt", back=True),
    "grad_graph of more numbers": lambda: training_pictures.grad_graph((PAIR * 2).sum(), {"w": PAIR}, "alt", back=True),
    "grad_graph with branches": lambda: training_pictures.grad_graph(
        torch.sin(W) * torch.exp(B), {"w1": W, "b": B}, "alt", back=True),
    "downhill": lambda: training_pictures.downhill(lambda w: w**2 / 2, 3.0, 0.5, "w", (-1, 5), "alt"),
    "paths": lambda: training_pictures.paths(lambda x, y: x**2 + y**2, WALKS, "alt", (-3, 3), (-2, 2), {
        "plain": "arrives", "lost": "thrown out"}),
    "joint_norm": lambda: training_pictures.joint_norm([3.0, 4.0], 1.0, [0.6, 0.8], [1.0, 1.0], "alt"),
    "averaged": lambda: training_pictures.averaged(GRADIENTS, sum(GRADIENTS) / 2, "alt"),
    "roofline with its regions": lambda: training_pictures.roofline(
        {"fp32": 2e11, "bf16": 4e11}, 5e10, {"add": (0.08, 4e9), "head": (0.5, 1e10), "scores": (26, 1.8e11),
                                             "feed forward": (236, 1.8e11)}, "alt"),
    "memory_over_time": lambda: training_pictures.memory_over_time(PARTS, PHASES, "alt", predicted=1e7),
}


def test_gradients_are_those_of_autograd(draw):
    _, texts = draw("grad_graph back")
    by_w, by_b = (gradient.item() for gradient in torch.autograd.grad(LOSS, [W, B], retain_graph=True))
    assert {f"−{abs(by_w):.5f}", f"−{abs(by_b):.5f}", "× 1.1", "w1 = 2.2", "x1 = 1.1\nfixed", "z = 2.42"} <= set(texts)
    assert texts.count(f"−{abs(by_b):.5f}") == 3  # before Mul, before Add, at b


def test_the_graph_can_be_used_again(draw):
    draw("grad_graph back")
    assert W.grad is None and torch.autograd.grad(LOSS, W, retain_graph=True)[0] != 0


def test_numbers_are_left_out_where_there_are_several(draw):
    _, texts = draw("grad_graph of more numbers")
    assert set(texts) == {"w", "no gradient", "Mul", "Sum", "result\n4", "1"}


def test_branches_do_not_lie_on_each_other(draw):
    figure, texts = draw("grad_graph with branches")
    places = [patch.get_window_extent() for patch in figure.axes[0].patches]
    assert len(places) == 5 and {"Sin", "Exp", "Mul"} <= set(texts)
    assert not any(one.overlaps(other) for one in places for other in places if one is not other)


def test_the_step_is_rate_times_slope(draw):
    _, texts = draw("downhill")
    assert "step = −rate · slope\n= −0.5 · 3 = −1.5" in texts
    assert "the tangent had promised 0.0000" in texts and "after the step:\nw = 1.5, loss 1.1250" in texts


def test_all_panels_have_one_scale(draw):
    figure, texts = draw("paths")
    assert len({(axis.get_xlim(), axis.get_ylim(), axis.get_aspect()) for axis in figure.axes}) == 1
    assert {"start", "goal", "first weight\nthrown out"} <= set(texts)


def test_the_mean_is_written_out(draw):
    assert "(−10.00 + 4.00) ÷ 2 = −3.00" in draw("averaged")[1]


def test_names_of_operations_stay_within_the_roofline(draw):
    figure, texts = draw("roofline with its regions")
    axis = figure.axes[0]
    figure.draw_without_rendering()
    frame = axis.get_window_extent()
    for text in axis.texts:
        place = Text.get_window_extent(text, FigureCanvasAgg(figure).get_renderer())
        assert frame.x0 <= place.x0 and place.x1 <= frame.x1, text.get_text()
    assert "corner of fp32:\n4.0 FLOPs per byte" in texts and "memory: 50 GB/s" in texts


def test_layers_and_phases_are_named_and_add_up(draw):
    assert {*PARTS, *PHASES, "predicted peak: 10.0 MB"} <= set(draw("memory_over_time")[1])
    with pytest.raises(ValueError, match="the phases have 40 operations, the parts 90"):
        training_pictures.memory_over_time(PARTS, {"forward": 40}, "alt")


def test_names_beside_lines_cover_no_line(monkeypatch):
    shown = []
    monkeypatch.setattr(figures, "show", lambda figure, alt: shown.append(figure))
    xs = range(20)
    lines = {"level": (xs, [1.0] * 20), "falling": (xs, [2 - x / 10 for x in xs]), "rising": (xs, [x / 8 for x in xs])}
    figures.panels([{"lines": lines, "xlabel": "x", "ylabel": "y", "beside": True}], "alt", size=(5, 3))
    axis = shown[0].axes[0]
    assert axis.get_legend() is None and {text.get_text() for text in axis.texts} == set(lines)
    shown[0].draw_without_rendering()
    for text in axis.texts:
        place = text.get_window_extent(FigureCanvasAgg(shown[0]).get_renderer())
        for line in axis.get_lines():
            assert not line.get_path().transformed(line.get_transform()).intersects_bbox(place, filled=False)


def test_a_legend_names_lines_that_leave_no_room(monkeypatch):
    shown = []
    monkeypatch.setattr(figures, "show", lambda figure, alt: shown.append(figure))
    lines = {f"a long name, number {i}": ([0, 1], [i, i]) for i in range(5)}
    figures.panels([{"lines": lines, "xlabel": "x", "ylabel": "y", "beside": True}], "alt", size=(1.6, 1.2))
    axis = shown[0].axes[0]
    assert {text.get_text() for text in axis.get_legend().get_texts()} == set(lines) and not axis.texts


def test_a_thin_layer_has_its_name_beside_it(monkeypatch):
    shown = []
    monkeypatch.setattr(figures, "show", lambda figure, alt: shown.append(figure))
    training_pictures.memory_over_time({**PARTS, "gradients": [0.0] * 90}, PHASES, "alt")
    places = {text.get_text(): text.get_position()[0] for text in shown[0].axes[0].texts}
    assert places["gradients"] > 90 > places["weights"]
