"""Appendix B: every entry is complete and unique, its numbers agree, and what the notebooks cite is on the list.

The tests do not look anything up: there is no internet where they run. They catch what a text can tell about itself.
"""

import re

import nbformat
import pytest

import reading_list
from conftest import ROOT
from extract import notebook_paths

APPENDIX = ROOT / "notebooks" / "appendix-B-further-reading.ipynb"
ENTRIES = reading_list.read_entries(APPENDIX)
GOOD = (
    "## B.1 · Chapter 1\n\n"
    "- **Layer Normalization** · Jimmy Lei Ba, Jamie Ryan Kiros and Geoffrey E. Hinton · 2016 · "
    "[arXiv:1607.06450](https://arxiv.org/abs/1607.06450)\\\n"
    "  Why to normalise each example by itself.\n"
    "- **A Book** · Ada Byron et al. · 2019 (preprint 2017) · ISBN 978-1-63343-716-6\\\n"
    "  Because it is a book."
)

NAME = r"[A-Z][\w'’-]+"
CITATIONS = [  # (first author, year) as the notebooks write them
    re.compile(rf"({NAME})(?: et al\.,?| and {NAME},?) \(?((?:19|20)\d\d)[a-z]?\b"),
    re.compile(rf"[(;] ?({NAME}),? ((?:19|20)\d\d)[a-z]?\b"),
    re.compile(rf"({NAME}) \(((?:19|20)\d\d)[a-z]?\)"),
]


def citations(text):
    """Return the (first author, year) pairs that a text cites."""
    return {(author, int(year)) for pattern in CITATIONS for author, year in pattern.findall(text)}


def years(entry):
    """Return the years under which an entry may be cited."""
    return {entry.year, entry.preprint} - {None}


def isbn_is_valid(isbn):
    """Check the last digit of an ISBN-13: with weights 1, 3, 1, 3, … the digits add up to a multiple of ten."""
    digits = [int(digit) for digit in isbn if digit.isdigit()]
    return len(digits) == 13 and sum(digit * (1, 3)[place % 2] for place, digit in enumerate(digits)) % 10 == 0


# The list.


def test_the_sections_are_numbered_and_each_has_a_few_entries():
    sections = list(dict.fromkeys(entry.section for entry in ENTRIES))
    assert [section.split(" · ")[0] for section in sections] == [f"B.{n}" for n in range(1, len(sections) + 1)]
    for wanted in [*(f"Chapter {n}" for n in range(1, 6)), "Appendix A", "Appendix D"]:
        assert any(f" · {wanted}: " in section for section in sections), wanted
    for section in sections:
        assert sum(entry.section == section for entry in ENTRIES) >= 3, section
    assert len(ENTRIES) >= 45


@pytest.mark.parametrize("field", ["title", "identifier", "reason"])
def test_nothing_is_listed_twice(field):
    values = [re.sub(r"\W+", " ", getattr(entry, field)).lower() for entry in ENTRIES]
    assert {value for value in values if values.count(value) > 1} == set()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.title)
def test_an_entry_agrees_with_itself(entry):
    assert 30 <= len(entry.reason) <= 220
    assert not re.search(r"[.!?] ", entry.reason), "the reason is one sentence"
    assert 1900 < entry.year < 2100 and (entry.preprint is None or entry.preprint < entry.year)
    if entry.identifier.startswith("arXiv:"):
        year, month = 2000 + int(entry.identifier[6:8]), int(entry.identifier[8:10])
        assert year == (entry.preprint or entry.year) and 1 <= month <= 12
        assert len(entry.identifier.split(".")[1]) == (5 if year >= 2015 else 4), "five digits from 2015 on"
    else:
        assert entry.preprint is None, "a preprint is named by its arXiv number"
    if entry.identifier.startswith("ISBN"):
        assert isbn_is_valid(entry.identifier)


@pytest.mark.parametrize("path", notebook_paths(ROOT / "notebooks"), ids=lambda path: path.stem)
def test_what_a_notebook_cites_is_on_the_list(path):
    source = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
    listed = {(entry.first_author, year) for entry in ENTRIES for year in years(entry)}
    assert citations(source) - listed == set()


# The tests of the tests.


def test_good_entries_are_read():
    first, second = reading_list.parse(GOOD)
    assert (first.section, first.title, first.year) == ("B.1 · Chapter 1", "Layer Normalization", 2016)
    assert (first.first_author, first.identifier) == ("Ba", "arXiv:1607.06450")
    assert first.reason == "Why to normalise each example by itself."
    assert (second.first_author, second.identifier, years(second)) == ("Byron", "ISBN 978-1-63343-716-6", {2017, 2019})
    assert reading_list.parse("# Appendix B\n\nA paragraph without entries.") == []


@pytest.mark.parametrize(("old", "new"), [
    ("**Layer Normalization** · ", ""),
    ("**Layer Normalization**", "Layer Normalization"),
    ("**Layer Normalization**", "****"),
    (" · Jimmy Lei Ba, Jamie Ryan Kiros and Geoffrey E. Hinton", ""),
    (" · 2016", ""),
    (" · 2016", " · 16"),
    (" · [arXiv:1607.06450](https://arxiv.org/abs/1607.06450)", ""),
    ("abs/1607.06450", "abs/1607.06451"),
    ("[arXiv:1607.06450](https://arxiv.org/abs/1607.06450)", "arXiv:1607.06450"),
    ("[arXiv:1607.06450](https://arxiv.org/abs/1607.06450)", "<https://nowhere>"),
    ("[arXiv:1607.06450](https://arxiv.org/abs/1607.06450)", "[doi:1607](https://doi.org/1607)"),
    ("978-1-63343-716-6", "1-63343-716-6"),
    ("(preprint 2017)", "(2017)"),
    ("  Why to normalise each example by itself.\n", ""),
    ("  Why to normalise each example by itself.\n", "\n"),
    ("by itself.", "by itself"),
    ("  Why", "Why"),
    ("- **A Book**", "* **A Book**"),
    ("- **A Book**", "  - **A Book**"),
    ("Because it is a book.", "Because it is a book.\n\nA line that belongs to nothing."),
    ("## B.1 · Chapter 1", "Some text"),
])
def test_incomplete_entries_are_refused(old, new):
    assert GOOD.count(old) == 1
    with pytest.raises(ValueError, match="entr"):
        reading_list.parse(GOOD.replace(old, new))


def test_citations_are_found():
    text = ("In Vaswani et al. (2017), as (Ba et al. 2016; Shannon 1951) say. Loshchilov and Hutter, 2019, Li (2020), "
            "(Touvron et al. 2023b, table 2). In 2018, and by 1908, nothing is cited.")
    assert citations(text) == {("Vaswani", 2017), ("Ba", 2016), ("Shannon", 1951), ("Loshchilov", 2019), ("Li", 2020),
                               ("Touvron", 2023)}


def test_a_wrong_digit_of_an_isbn_is_found():
    assert isbn_is_valid("978-1-63343-716-6")
    assert not isbn_is_valid("978-1-63343-716-5") and not isbn_is_valid("978-1-63334-716-6")
