"""Lessons that fit an hour: how long the sections of a notebook take, and what the table at its top says about it.

The minutes are estimated from the cells, by one rule for all notebooks; a test says which table has become false.

    python tools/lessons.py    print the estimate beside the minutes of each table
"""

import re
from pathlib import Path

import nbformat

from extract import notebook_paths

ROOT = Path(__file__).resolve().parent.parent
UNTAUGHT = ("appendix-B-further-reading", "appendix-C-exercise-solutions")  # one looks things up in them

# What a learner needs who reads everything, runs everything and does the exercises. A story is read at 200 words a
# minute and more; a technical text, whose numbers want to be compared, at 130. A cell is read, run and looked at.
WORDS = 130  # of prose a minute
LINES = 10  # of code a minute, but a minute for each cell at least
EXERCISE = 8  # minutes for each, beside its two cells
HOUR = 60

# `## 3.4 · Learned weights …` and `### 3.4.2 · A class for it` begin a section; a heading without a number does not.
HEADING = re.compile(r"^#{2,3} ((?:\d+|[A-Z])(?:\.\d+)+) .*\n?", flags=re.MULTILINE)
WAIT = re.compile(r"\bIt takes about (\w+) minutes?\b")
NUMERALS = "one two three four five six seven eight nine ten".split()
ROW = re.compile(r"^\| (\d+) \| (\S+)(?: to (\S+))? \| (\d+) \| (.+) \|$", flags=re.MULTILINE)


def words_in(text):
    """Return how many words a text has; signs that stand alone, as in a table, are none."""
    return sum(bool(re.search(r"\w", word)) for word in text.split())


def minutes_of_prose(text):
    """Return how long a text takes to read; if it says how long the next cell runs, with the wait for it."""
    waits = (NUMERALS.index(number) + 1 if number in NUMERALS else int(number) for number in WAIT.findall(text))
    return words_in(text) / WORDS + sum(waits)


def minutes_of_code(source):
    """Return how long a cell takes to read, run and look at; if it checks an exercise, with the time to solve that."""
    lines = sum(bool(line.strip()) for line in source.splitlines())
    return max(1, lines / LINES) + EXERCISE * len(re.findall(r'^check\("', source, flags=re.MULTILINE))


def section_minutes(notebook):
    """Return {section: minutes}, in order; what stands before the first section is a part of it."""
    found, section = {None: 0}, None
    for cell in notebook.cells:
        if cell.cell_type == "code":
            found[section] += minutes_of_code(cell.source)
            continue
        text, *parts = HEADING.split(cell.source)  # then number, text, number, text …
        found[section] += minutes_of_prose(text)
        for section, text in zip(parts[::2], parts[1::2], strict=True):
            found[section] = minutes_of_prose(text)
    before = found.pop(None)
    found[next(iter(found))] += before
    return found


def table_rows(notebook):
    """Return the lessons in the notebook's first cell: (number, first section, last section, minutes, ability)."""
    return [(int(number), first, last or first, int(minutes), ability)
            for number, first, last, minutes, ability in ROW.findall(notebook.cells[0].source)]


def lessons(notebook):
    """Return what the table of a notebook says and the cells suggest: a list of (sections, stated, estimated minutes).

    Raises ValueError if the lessons do not hold each section once, in order.
    """
    minutes = section_minutes(notebook)
    left, listed = list(minutes), []
    for n, (number, first, last, stated, _) in enumerate(table_rows(notebook), start=1):
        if number != n or left[:1] != [first] or last not in left:
            raise ValueError(f"lesson {number}, {first} to {last}: it should begin with {left[:1]}")
        end = left.index(last) + 1
        while end < len(left) and left[end].startswith(f"{last}."):  # 3.4 ends where its last part 3.4.2 does
            end += 1
        listed.append((left[:end], stated, sum(minutes[section] for section in left[:end])))
        left = left[end:]
    if left:
        raise ValueError(f"in no lesson: {left}")
    return listed


def taught(folder=ROOT / "notebooks"):
    """Return the paths of the notebooks that are divided into lessons."""
    return [path for path in notebook_paths(folder) if path.stem not in UNTAUGHT]


if __name__ == "__main__":
    for path in taught():
        print(path.stem)
        for sections, stated, estimated in lessons(nbformat.read(path, as_version=4)):
            print(f"  {sections[0]:>6} to {sections[-1]:6}  stated {stated:2}  estimated {estimated:4.1f}")
