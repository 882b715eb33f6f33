"""The entries of appendix B, read from its own text, for the notebook's figure and for the test of the list.

An entry is two lines, the second one a sentence on why to read it:

- **Attention Is All You Need** · Ashish Vaswani et al. · 2017 · [arXiv:1706.03762](https://arxiv.org/abs/1706.03762)\\
  The transformer in the original.

The year may name an earlier preprint: `2019 (preprint 2017)`. The identifier is one of four: an arXiv number or a DOI
with its link, an ISBN, or the address of a document.
"""

import re
from dataclasses import dataclass

import nbformat

ENTRY = re.compile(
    r"- \*\*(?P<title>\S[^*]*\S)\*\*"
    r" · (?P<authors>[^·\d]*\S)"
    r" · (?P<year>[12]\d{3})(?: \(preprint (?P<preprint>[12]\d{3})\))?"
    r" · (?:\[arXiv:(?P<arxiv>\d{4}\.\d{4,5})\]\(https://arxiv\.org/abs/(?P=arxiv)\)"
    r"|\[doi:(?P<doi>10\.\d{4,}/\S+)\]\(https://doi\.org/(?P=doi)\)"
    r"|ISBN (?P<ISBN>97[89]-[\d-]{13})"
    r"|<(?P<address>https?://\S+\.\S+)>)\\\n"
    r"  (?P<reason>[A-Z`][^\n]*\.)"
)
IDENTIFIERS = {"arxiv": "arXiv:{}", "doi": "doi:{}", "ISBN": "ISBN {}", "address": "{}"}


@dataclass
class Entry:
    """One entry: `year` is that of publication, `preprint` the year of an earlier preprint or None."""

    section: str
    title: str
    authors: str
    year: int
    preprint: int | None
    identifier: str
    reason: str

    @property
    def first_author(self):
        """The first author's last name, as a chapter cites it."""
        return re.split(r" et al\.|,| and ", self.authors)[0].split()[-1]


def read_entries(path):
    """Return the entries of a notebook's markdown cells, in order.

    Raises:
        ValueError: a bullet, or a line below one, is not an entry in the form above; the message quotes it.
    """
    cells = nbformat.read(path, as_version=4).cells
    return [entry for cell in cells if cell.cell_type == "markdown" for entry in parse(cell.source)]


def parse(markdown):
    """Return the entries of one markdown text, which starts with the heading of its section if it holds any."""
    heading = re.match(r"## (B\.\d+ · .+)", markdown)
    bullets = re.split(r"\n(?=[ \t]*[-*+] )", markdown)[1:]
    if bullets and not heading:
        raise ValueError(f"entries stand under a heading like '## B.1 · …', this text has none: {markdown[:60]!r}")
    entries = []
    for bullet in bullets:
        match = ENTRY.fullmatch(bullet.strip("\n"))
        if not match:
            raise ValueError(f"not a complete entry: {bullet!r}")
        found = match.groupdict()
        (identifier,) = [form.format(found[kind]) for kind, form in IDENTIFIERS.items() if found[kind]]
        entries.append(Entry(heading[1], found["title"], found["authors"], int(found["year"]),
                             found["preprint"] and int(found["preprint"]), identifier, found["reason"]))
    return entries
