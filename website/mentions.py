"""Where a text names a section, an exercise, a chapter or an appendix, the website links to it.

"section 3.4", "sections H.2 to H.4", "F.9", "exercise 4.2", "chapters 3 and 4", "appendix H": the reader of a notebook
turns the page, the reader of the website clicks.
"""

import re

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.nodes import make_refnode

NUMBER = r"(?:\d|[A-I])\.\d+(?:\.\d+)*"  # of a section or an exercise
LETTER = r"(?:\d|[A-I]\d?)"  # of a chapter or an appendix
# The word and its numbers; or the number of a section that starts with a letter, but an exercise's stands in brackets.
# Behind a year comes the appendix of a paper.
NAMED = re.compile(
    rf"(?<!\d, )\b(?i:(?P<word>section|exercise|chapter|appendix|appendice)(?P<plural>s?))\s+"
    rf"(?P<numbers>(?:{NUMBER}|{LETTER})\b(?:(?:,| and| or| to)\s(?:{NUMBER}|{LETTER})\b)*)"
    rf"|(?<![\w.(])(?P<bare>[A-I]\.\d+(?:\.\d+)*)\b")
UNTOUCHED = (nodes.title, nodes.reference, addnodes.pending_xref, addnodes.download_reference, nodes.literal,
             nodes.literal_block, nodes.raw, nodes.math, nodes.math_block)


class mention(nodes.inline):
    """A piece of text that names a part of the course; it becomes a link when all pages are known."""

    def __init__(self, label="", text="", **attributes):
        super().__init__("", text, label=label, **attributes)


def places(text):
    """Return [(start, end, label), ...] of what a text names, with labels such as "section-3.4" or "chapter-2"."""
    found = []
    for name in NAMED.finditer(text):
        if name["bare"]:
            found.append((*name.span(), f"section-{name['bare']}"))
            continue
        word = name["word"].lower().replace("appendice", "appendix")
        for number in re.finditer(rf"{NUMBER}|\b{LETTER}\b", name["numbers"]):
            if ("." in number[0]) == (word in ("section", "exercise")):
                start, end = (name.start("numbers") + place for place in number.span())
                # The link begins with the word, but not with a plural, which belongs to several links.
                found.append((start if name["plural"] else name.start(), end, f"{word}-{number[0]}"))
            if not name["plural"]:
                break
    return found


def mark(document):
    """Mark what a page's text names, outside headings, links and code."""
    for text in list(document.findall(nodes.Text)):
        named = places(text.astext())
        if named and not any(isinstance(place, (*UNTOUCHED, mention)) for place in ancestors(text)):
            pieces, done = [], 0
            for start, end, label in named:
                pieces += [nodes.Text(text[done:start]), mention(label, text[start:end])]
                done = end
            text.parent.replace(text, [*pieces, nodes.Text(text[done:])])


def ancestors(node):
    """Yield what a node stands in."""
    while (node := node.parent) is not None:
        yield node


def add_label(env, label, anchor, title):
    """Make a place on the page that is being read known as a label."""
    env.domains.standard_domain.labels[label.lower()] = env.docname, anchor, title
    env.domains.standard_domain.anonlabels[label.lower()] = env.docname, anchor


class LinkMentions(SphinxPostTransform):
    """Turn mentions into links, where there is such a part and it is not the one that the mention stands in."""

    default_priority = 5

    def run(self):
        """See the class."""
        for node in list(self.document.findall(mention)):
            page, anchor = self.target(node["label"].lower())
            here = [section["ids"][0] for section in ancestors(node) if isinstance(section, nodes.section)]
            content = [child.deepcopy() for child in node.children]
            if page and (page != self.env.docname or (anchor and anchor not in here)):
                content = make_refnode(self.app.builder, self.env.docname, page, anchor, content)
            node.parent.replace(node, content)

    def target(self, label):
        """Return (page, anchor) of a label, ("", "") if there is no such part."""
        kind, number = label.split("-")
        if kind in ("chapter", "appendix"):
            start = f"notebooks/ch0{number}-" if kind == "chapter" else f"notebooks/appendix-{number.upper()}"
            return next((name for name in sorted(self.env.found_docs) if name.startswith(start)), ""), ""
        return self.env.domains.standard_domain.anonlabels.get(label, ("", ""))
