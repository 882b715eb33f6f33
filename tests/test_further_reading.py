"""Appendix B: entries are complete, identifiers well-formed and unique, and what the notebooks cite is on the list."""

import re

import nbformat
import pytest

from conftest import ROOT
from extract import notebook_paths

# - **Title** · Authors · 2019 (preprint 2017) · identifier\
#   One sentence on what to learn from it.
ENTRY = re.compile(r"- \*\*(?P<title>[^*]+)\*\* · (?P<authors>[^·]+) · (?P<years>\d{4}(?: \(preprint \d{4}\))?)"
                   r" · (?P<identifier>\S.+)\\\n  (?P<reason>\S.+\.)")
IDENTIFIER = re.compile(r"\[arXiv:(?P<arxiv>\d{4}\.\d{4,5})\]\(https://arxiv\.org/abs/(?P=arxiv)\)"
                        r"|\[doi:(?P<doi>10\.\d{4,}/\S+)\]\(https://doi\.org/(?P=doi)\)"
                        r"|ISBN 97[89]-[\d-]{13}|<https?://\S+\.\S+>")
NAME = r"[A-Z][\w'’-]*[^\W\d_]"
CITATIONS = [re.compile(rf"({NAME})(?: et al\.,?| and {NAME},?) \(?((?:19|20)\d\d)[a-z]?\b"),
             re.compile(rf"[(;] ?({NAME}),? ((?:19|20)\d\d)[a-z]?\b"),
             re.compile(rf"\b(?<!-)({NAME}) \(((?:19|20)\d\d)[a-z]?\)")]


def text_of(path):
    return "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)


TEXT = text_of(ROOT / "notebooks" / "appendix-B-further-reading.ipynb")
ENTRIES = list(ENTRY.finditer(TEXT))
LISTED = {(author.split()[-1], year) for entry in ENTRIES for year in re.findall(r"\d{4}", entry["years"])
          for author in re.split(r", | and | et al\.", entry["authors"]) if author}


def citations(text):
    """Return the (author, year) pairs that a text cites; of two authors, perhaps both."""
    return {match for pattern in CITATIONS for match in pattern.findall(text)}


def test_every_bullet_is_an_entry():
    assert len(ENTRIES) == len(re.findall(r"^- ", TEXT, flags=re.MULTILINE)) > 100


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["title"])
def test_the_identifier_is_well_formed_and_has_the_year(entry):
    identifier = IDENTIFIER.fullmatch(entry["identifier"])
    assert identifier
    if identifier["arxiv"]:
        assert f"20{identifier['arxiv'][:2]}" == entry["years"].rstrip(")")[-4:]


@pytest.mark.parametrize("field", ["title", "identifier", "reason"])
def test_nothing_is_listed_twice(field):
    assert len({entry[field].lower() for entry in ENTRIES}) == len(ENTRIES)


@pytest.mark.parametrize("path", notebook_paths(ROOT / "notebooks"), ids=lambda path: path.stem)
def test_what_a_notebook_cites_is_on_the_list(path):
    assert citations(text_of(path)) - LISTED == set()


def test_citations_are_found():
    text = ("In Vaswani et al. (2017), as (Ba et al. 2016; Shannon, 1951) say. Loshchilov and Hutter, 2019, Li (2020), "
            "(Touvron et al. 2023b, table 2). GPT-2 (2019) is a model. In 2018, and by 1908, nothing is cited.")
    assert citations(text) == {("Vaswani", "2017"), ("Ba", "2016"), ("Shannon", "1951"),
                               ("Loshchilov", "2019"), ("Li", "2020"), ("Touvron", "2023")}
