"""The pictures of a classifier show the numbers that they were given, and results that follow from them."""

from math import exp
from random import Random

import torch
from torch import nn

import classification_pictures as pictures

COUNTS, NEVER = [[194, 6], [12, 188]], [[200, 0], [200, 0]]
def wilson(right, total, z=1.96):
    middle, half = (right + z * z / 2) / (total + z * z), z * (right * (total - right) / total + z * z / 4) ** 0.5
    return middle - half / (total + z * z), middle + half / (total + z * z)


def scored(name, right, total=400):
    return (name, right, total, *wilson(right, total))


ROWS = ["without training", scored("asked in words", 236), scored("mean vector, nearest", 322), "trained",
        scored("counted words", 371), scored("new head alone", 382), scored("head and two blocks", 390)]
SIZES = [25, 50, 100, 200, 400, 800]
WORDS = [(right / 400, *wilson(right, 400)) for right in (248, 283, 318, 341, 356, 371)]
HEAD = [(right / 400, *wilson(right, 400)) for right in (306, 339, 358, 371, 378, 382)]
TUNED = [(right / 400, *wilson(right, 400)) for right in (271, 330, 364, 379, 386, 390)]
SERIES = {"counted words": WORDS, "new head alone": HEAD, "head and\ntwo blocks": TUNED}


def scores(sharp=1.0, seed=0):
    """Return probabilities of spam for 200 messages of ham and 200 of spam, and their labels."""
    draw = Random(seed)
    odds = [sharp * draw.gauss(mean, 2.2) for mean in (-4.4, 4.0) for _ in range(200)]
    return [1 / (1 + exp(-value)) for value in odds], [0] * 200 + [1] * 200


class Tower(nn.Module):
    """The parts of a model of language that a picture counts, with few numbers."""

    def __init__(self, blocks=30, vocabulary=4915, width=16):
        super().__init__()
        self.tok_emb, self.final_norm = nn.Embedding(vocabulary, width), nn.LayerNorm(width, bias=False)
        self.trf_blocks = nn.ModuleList(nn.Linear(width, 4 * width) for _ in range(blocks))


SAID, LABELS = scores()
MESSAGES = [["Win", " a", " free", " phone"], ["Lunch", " at", " one", "?"], ["See", " you"],
            ["You", " won", "!", " Call", " now", " to", " claim"]]
VECTORS = torch.tensor([[0.31, -0.52, 1.24], [0.82, 0.14, -0.43], [-0.64, 0.93, 0.57], [1.13, -0.21, 0.38]])
PICTURES = {
    "confusion": lambda: pictures.confusion(COUNTS, ["ham", "spam"], "alt"),
    "confusion of one verdict": lambda: pictures.confusion(NEVER, ["ham", "spam"], "alt"),
    "intervals": lambda: pictures.intervals(ROWS, "alt", mark="new head alone"),
    "intervals far above guessing": lambda: pictures.intervals([row for row in ROWS[4:] if row != "trained"], "alt"),
    "by_size": lambda: pictures.by_size(SIZES, SERIES, "alt"),
    "by_size in two panels": lambda: pictures.by_size(SIZES, {"the same kind of mail": SERIES, "other mail": {
        name: [(a - 0.06, b - 0.06, c - 0.06) for a, b, c in points] for name, points in SERIES.items()}}, "alt"),
    "thresholds": lambda: pictures.thresholds(SAID, LABELS, [0.1, 0.5, 0.99], "alt"),
    "thresholds of one": lambda: pictures.thresholds(scores(2.5)[0], LABELS, [0.5], "alt"),
    "thresholds near each other": lambda: pictures.thresholds(SAID, LABELS, [0.45, 0.5, 0.6], "alt"),
    "thresholds never reached": lambda: pictures.thresholds([0.2] * 20, [0] * 10 + [1] * 10, [0.5], "alt"),
    "calibration": lambda: pictures.calibration({"as trained": scores(2.0)[0], "divided by T = 1.8": scores(1.1)[0]},
                                                LABELS, "alt", wilson),
    "calibration of one": lambda: pictures.calibration(scores(2.5)[0], LABELS, "alt", wilson),
    "padded_batch": lambda: pictures.padded_batch(MESSAGES, 5, "pad", "alt"),
    "padded_batch with nothing cut": lambda: pictures.padded_batch(MESSAGES[:3], 6, "pad", "alt"),
    "seen_by": lambda: pictures.seen_by(MESSAGES[0], 2, "alt"),
    "new_head": lambda: pictures.new_head(Tower(), 2, None, "alt"),
    "new_head alone": lambda: pictures.new_head(Tower(), 0, None, "alt"),
    "new_head on fewer blocks": lambda: pictures.new_head(Tower(), 1, 20, "alt", head=nn.Linear(16, 2, bias=False)),
    "pooled": lambda: pictures.pooled(MESSAGES[0], VECTORS, 1, "alt"),
}
