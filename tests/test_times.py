"""`tools/times.py`: what `make check` and `make test` say about their times."""

from types import SimpleNamespace

import times


def test_times_are_added_up_by_file(monkeypatch):
    monkeypatch.setattr(times, "spent", type(times.spent)())
    for name, seconds in [("ch02.ipynb::Cell 0", 59.0), ("ch02.ipynb::Cell 1", 2.6), ("test_a.py::test[::]", 0.2)]:
        times.pytest_runtest_logreport(SimpleNamespace(nodeid=name, duration=seconds))
    lines = []
    times.pytest_terminal_summary(SimpleNamespace(section=lines.append, write_line=lines.append))
    assert lines == ["time per file", "  1 min  2 s  ch02.ipynb", "  0 min  0 s  test_a.py"]
