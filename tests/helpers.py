"""What several test files call: small models and batches, a step of training, and scripts in a fresh interpreter."""

import os
import subprocess
import sys
from types import ModuleType

import torch

import previous_chapters as course
from conftest import ROOT, TINY

CPU = torch.device("cpu")


def assert_close(ours, theirs, atol=1e-5):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=atol)


class Scaled(course.GPTModel):
    """A GPTModel with its logits multiplied, so that gradients are as large or as small as a test wants them."""

    factor = 1.0

    def forward(self, in_idx):
        return self.factor * super().forward(in_idx)


def fresh(seed=0, factor=1.0, lr=0.01):
    """Return a tiny model, its logits multiplied by a factor, and an optimizer for it."""
    torch.manual_seed(seed)
    model = Scaled(TINY)
    model.factor = factor
    return model, torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.1)


def batches(count, rows=2, tokens=8, seed=0):
    """Return a list of batches for the tiny model: a loader that draws no random numbers."""
    generator = torch.Generator().manual_seed(seed)
    windows = torch.randint(0, TINY["vocab_size"], (count, rows, tokens + 1), generator=generator)
    return [(window[:, :-1], window[:, 1:]) for window in windows]


def train_step(model, optimizer, inputs, targets):
    """Take a plain step of training and return the loss before it."""
    optimizer.zero_grad()
    loss = course.calc_loss_batch(inputs, targets, model, inputs.device)
    loss.backward()
    optimizer.step()
    return loss.item()


def replace_everywhere(monkeypatch, name, value):
    """Let a name of the course mean something else in every module of `chapters`, and for the tests."""
    modules = [module for module in sys.modules.values() if isinstance(module, ModuleType)
               and module.__name__.startswith(("chapters.", "previous_chapters"))]
    for module in modules:
        if hasattr(module, name):
            monkeypatch.setattr(module, name, value)


def output_of(script, *arguments, **environment):
    """Run a Python script on one core at the top of the repository, and return what it printed; it may not complain.

    Args:
        script: its source.
        arguments: for the script.
        environment: variables to set, or, with None, to remove.
    """
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    variables = {name: value for name, value in variables.items() if value is not None}
    done = subprocess.run([sys.executable, "-c", script, *map(str, arguments)], cwd=ROOT, env=variables,
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout
