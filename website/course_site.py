"""What Sphinx does not know about this course.

- `jupyter_anchor`: headings have JupyterLab's anchors.
- A figure's alternative text, which a notebook stores beside the picture, reaches the page.
- "section 3.4", "F.9", "chapter 2" and "appendix H" in the text become links, and so do definitions: from a finished
  cell to its entry in the reference, from there to the section that teaches it, from an exercise to its solution.
- The code of the setup cell that starts every notebook, and of the cell that draws the chapter's first picture, is
  folded.
- Formulas are drawn here, as SVG, with MathML beside them for screen readers: no script, no fonts, no network.
"""

import ast
import hashlib
import json
import re
from binascii import a2b_base64
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import ziamath
from docutils import nodes
from latex2mathml.converter import convert
from sphinx import addnodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.nodes import make_refnode

import build_site

LESSONS = [build_site.extract.read(path) for path in build_site.extract.notebook_paths(build_site.ROOT / "notebooks")]
MODULES = {f"notebooks/{lesson.path.stem}": f"{build_site.extract.PACKAGE}.{lesson.module}" for lesson in LESSONS}
# The full name of a definition: the number of the section that teaches it.
SECTIONS = {f"{MODULES[f'notebooks/{lesson.path.stem}']}.{name}": definition.section
            for lesson in LESSONS for definition in lesson.definitions for name in definition.names}
SETUP = '"google.colab" in sys.modules and not Path("course")'  # in the cell that starts every notebook
WIDE = 560  # pixels: a picture that is wider scrolls on a phone, rather than shrink until nobody can read it
SOLUTIONS = "notebooks/appendix-C-exercise-solutions"
NUMBER = r"(?:\d|[A-I])\.\d+(?:\.\d+)*"
# A section's number after the word, or one that starts with a letter without it (an exercise's stands in brackets or
# after its word); the numbers behind "and", "or", "to" and commas; and chapters and appendices.
MENTION = re.compile(
    rf"(?i:\b(?P<word>sections?|exercises?|chapters?|appendix|appendices)\s+)(?P<list>(?:{NUMBER}|\d|[A-I]\d?)\b"
    rf"(?:(?:,| and| or| to| and to|, and)\s(?:{NUMBER}|\d|[A-I]\d?)\b)*)"
    rf"|(?<![\w.(])(?P<bare>[A-I]\.\d+)\b")


def jupyter_anchor(title):
    """Return the anchor that JupyterLab gives a heading."""
    return title.replace(" ", "-")


def read_notebook(app, docname, source):
    """Fold the code that a reader need not see, and remember the alternative texts of the figures."""
    app.env.temp_data["alternative_texts"] = {}
    if app.env.doc2path(docname).suffix != ".ipynb":
        return
    notebook, opening = json.loads(source[0]), True
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        opening = opening and not (cell["cell_type"] == "markdown" and re.search("^## ", text, re.MULTILINE))
        if cell["cell_type"] == "code" and SETUP in text:
            fold(cell, "Setup")
        elif cell["cell_type"] == "code" and opening and re.search(r"^figures\.\w+\(", text, re.MULTILINE):
            fold(cell, "How this picture is drawn")
        for output in cell.get("outputs", []):
            for kind, metadata in output.get("metadata", {}).items():
                if isinstance(metadata, dict) and "alt" in metadata:
                    content = "".join(output["data"][kind])
                    name = hashlib.sha256(a2b_base64(content)).hexdigest()  # under which MyST-NB stores the picture
                    app.env.temp_data["alternative_texts"][name] = metadata["alt"]
    source[0] = json.dumps(notebook)


def fold(cell, prompt):
    """Fold the code of a cell."""
    cell["metadata"].setdefault("tags", []).append("hide-input")
    cell["metadata"]["mystnb"] = {"code_prompt_show": prompt, "code_prompt_hide": prompt}


def change_page(app, document):
    """Do to a page that has just been read what the module's docstring says."""
    alternative_texts = app.env.temp_data.get("alternative_texts", {})
    for image in list(document.findall(nodes.image)):
        image["alt"] = alternative_texts.get(PurePosixPath(image["uri"]).stem, image.get("alt", ""))
        if int(image.get("width", 0)) > WIDE:
            image["classes"].append("wide")
        if isinstance(image.parent, nodes.paragraph):
            image["classes"].append("picture")
        else:
            image.replace_self(nodes.container("", image.deepcopy(), classes=["picture"], is_div=True))
    if app.env.docname.startswith("notebooks/"):
        label_sections(app.env, document)
        for cell in list(document.findall(nodes.container)):
            if "tag_extract" in cell["classes"]:
                link_definitions(app.env, cell)
            elif "cell" in cell["classes"]:
                link_solution(app.env, cell)
    if app.env.docname.startswith("api/"):
        for dash in [text for text in document.findall(nodes.Text) if text == " -- "]:
            dash.parent.replace(dash, nodes.Text(" – "))
    else:
        link_mentions(document)


def label_sections(env, document):
    """Give each numbered section the label section-NUMBER, and each solution exercise-NUMBER."""
    for section in document.findall(nodes.section):
        title = section[0].astext()
        if found := re.match(rf"(Exercise )?({NUMBER})(?: |$)", title):
            kind = "exercise" if found[1] else "section"
            if kind == "section" or env.docname == SOLUTIONS:
                name = f"{kind}-{found[2]}".lower()
                anchor = section["ids"][0]
                env.domains.standard_domain.labels[name] = env.docname, anchor, title
                env.domains.standard_domain.anonlabels[name] = env.docname, anchor


def link_definitions(env, cell):
    """Link a finished cell to the entries of its definitions in the reference."""
    source = next(cell.findall(nodes.literal_block)).astext()
    module = MODULES[env.docname]
    note = nodes.paragraph("", "In the reference: ", classes=["beside-the-cell"])
    for number, name in enumerate(name for node in ast.parse(source).body for name in build_site.names_of(node)):
        link = addnodes.pending_xref("", nodes.literal(name, name), refdomain="py", reftype="obj",
                                     reftarget=f"{module}.{name}", refexplicit=True, refwarn=True, refdoc=env.docname)
        note += [nodes.Text(", ")] * (number > 0) + [link]
    cell.parent.insert(cell.parent.index(cell) + 1, note)


def link_solution(env, cell):
    """Link the check of an exercise, which says on the page that nobody attempted it, to the solution."""
    block = next(cell.findall(nodes.literal_block), None)
    found = block and re.search(r'^check\("(.+?)"', block.astext(), re.MULTILINE)
    if found and env.docname != SOLUTIONS:
        link = mention(f"exercise-{found[1]}", f"solution of exercise {found[1]}")
        note = nodes.paragraph("", "Tried? Appendix C has the ", link, nodes.Text("."), classes=["beside-the-cell"])
        cell.parent.insert(cell.parent.index(cell) + 1, note)


class mention(nodes.inline):
    """A place in a text that names a part of the course; it becomes a link when all pages are known."""

    def __init__(self, label="", text="", **attributes):
        super().__init__("", text, label=label, **attributes)


def link_mentions(document):
    """Mark where a text names a section, an exercise, a chapter or an appendix, outside headings, links and code."""
    for text in list(document.findall(nodes.Text)):
        inside, place = [], text.parent
        while place is not None:
            inside.append(type(place))
            place = place.parent
        if not {nodes.title, nodes.reference, addnodes.pending_xref, nodes.literal, nodes.literal_block, mention,
                nodes.raw, nodes.math, nodes.math_block, addnodes.download_reference}.intersection(inside):
            pieces = list(marked(text.astext()))
            if len(pieces) > 1:
                text.parent.replace(text, pieces)


def marked(text):
    """Yield the pieces of a text: plain, or marked as a mention."""
    end = 0
    for found in MENTION.finditer(text):
        if found["bare"]:
            places = [(found.start(), found.end(), f"section-{found['bare']}")]
        else:
            word, places = found["word"].lower(), []
            for number in re.finditer(rf"{NUMBER}|\b\d\b|\b[A-I]\d?\b", found["list"]):
                numbered = "." in number[0]
                kind = word[:7] if word.startswith(("section", "chapter")) else word[:8]
                if numbered == kind.startswith(("section", "exercise")):
                    kind = {"appendic": "appendix"}.get(kind, kind)
                    offset = found.start("list")
                    start = found.start() if not places and not word.endswith(("s", "ces")) else offset + number.start()
                    places.append((start, offset + number.end(), f"{kind}-{number[0]}"))
        for start, stop, label in places:
            if start > end:
                yield nodes.Text(text[end:start])
            yield mention(label, text[start:stop])
            end = stop
    yield nodes.Text(text[end:])


class LinkMentions(SphinxPostTransform):
    """Turn mentions into links, where there is such a part and it is not the one that names it."""

    default_priority = 5

    def run(self):
        """See the class."""
        for node in list(self.document.findall(mention)):
            target = self.target(node["label"].lower())
            here = [section["ids"][0] for section in ancestors(node) if isinstance(section, nodes.section)]
            content = [child.deepcopy() for child in node.children]
            if target and not (target[0] == self.env.docname and (not target[1] or target[1] in here)):
                link = make_refnode(self.app.builder, self.env.docname, target[0], target[1], content)
                link["classes"].append("mention")
                content = [link]
            node.parent.replace(node, content)

    def target(self, label):
        """Return (page, anchor, ...) of a label, or None."""
        kind, number = label.split("-")
        if kind in ("section", "exercise"):
            return self.env.domains.standard_domain.labels.get(label)
        start = f"notebooks/ch0{number}-" if kind == "chapter" else f"notebooks/appendix-{number.upper()}"
        return next(((name, "") for name in sorted(self.env.found_docs) if name.startswith(start)), None)


def ancestors(node):
    """Yield what a node stands in."""
    while (node := node.parent) is not None:
        yield node


def escape_docstring(app, what, name, thing, options, lines):
    """Escape what reStructuredText would take for markup; napoleon comes after this."""
    if what == "data":
        lines[:] = []  # a dict has no docstring of its own, only that of all dicts
        return
    lines[:] = build_site.escaped("\n".join(lines)).split("\n")


def say_where_it_is_taught(app, what, name, thing, options, lines):
    """Add the section that teaches a definition; napoleon has been there before."""
    section = SECTIONS.get(name)
    if section:
        lines += ["", f":Taught in: :ref:`section-{section.lower()}`"]




def drawn(formula, **settings):
    """Return a formula as SVG in the colour of the text, its share below the line, and MathML that is only heard."""
    picture = ziamath.Latex(formula, color="currentColor", **settings).svgxml()
    picture.set("aria-hidden", "true")
    _, top, _, height = map(float, picture.get("viewBox").split())
    picture.set("style", f"vertical-align: {-(height + top):.2f}px")
    svg = ElementTree.tostring(picture, encoding="unicode")
    return f'{svg}<span class="visually-hidden">{convert(formula)}</span>'


def visit_formula(translator, node):
    """Write a formula in a line."""
    translator.body.append(f'<span class="formula">{drawn(node.astext(), size=16, inline=True)}</span>')
    raise nodes.SkipNode


def visit_displayed_formula(translator, node):
    """Write a formula on a line of its own, which scrolls in itself where it is too wide."""
    translator.body.append(f'<div class="formula">{drawn(node.astext(), size=18)}</div>')
    raise nodes.SkipNode


def setup(app):
    """Tell Sphinx about all of it."""
    ziamath.config.svg2 = False  # paths, no symbols whose ids would be on the page several times
    app.add_node(mention)
    app.connect("source-read", read_notebook)
    app.connect("doctree-read", change_page)
    app.add_post_transform(LinkMentions)
    app.connect("autodoc-process-docstring", escape_docstring, priority=400)
    app.connect("autodoc-process-docstring", say_where_it_is_taught, priority=600)
    app.add_html_math_renderer("drawn", (visit_formula, None), (visit_displayed_formula, None))
    # After a change in this file every page is read anew.
    version = int(hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8], 16)
    return {"env_version": version, "parallel_read_safe": True, "parallel_write_safe": True}
