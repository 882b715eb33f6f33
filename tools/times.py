"""A pytest plugin that ends the report with the time each file took: python -m pytest -p tools.times tests"""

from collections import Counter

spent = Counter()  # {file: seconds}, in the order of their first test


def clock(seconds):
    """Return seconds as minutes and seconds, in words."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes:3d} min {seconds:2d} s"


def pytest_runtest_logreport(report):
    """Add the time of a test's setup, call or teardown to its file's; for nbval a cell is a test."""
    spent[report.nodeid.split("::")[0]] += report.duration


def pytest_terminal_summary(terminalreporter):
    """Print the times, above pytest's closing line."""
    terminalreporter.section("time per file")
    for name, seconds in spent.items():
        terminalreporter.write_line(f"{clock(seconds)}  {name}")
