"""What Sphinx does not know about this course.

- Headings have JupyterLab's anchors (`jupyter_anchor`).
- A figure's alternative text, which a notebook stores beside the picture, reaches the page.
- A finished cell links to its entry in the reference, and the entry to the section that teaches it; an exercise links
  to its solution, and back. What else the text names becomes a link by mentions.py.
- The code of the setup cell that starts every notebook is folded, and so is that of a chapter's first picture.
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

import build_site
import mentions
from mentions import mention

LESSONS = [build_site.extract.read(path) for path in build_site.extract.notebook_paths(build_site.ROOT / "notebooks")]
MODULES = {f"notebooks/{lesson.path.stem}": f"{build_site.extract.PACKAGE}.{lesson.module}" for lesson in LESSONS}
# The full name of a definition: the number of the section that teaches it.
SECTIONS = {f"{build_site.extract.PACKAGE}.{lesson.module}.{name}": definition.section
            for lesson in LESSONS for definition in lesson.definitions for name in definition.names}
SETUP = '"google.colab" in sys.modules and not Path("course")'  # in the cell that starts every notebook
DRAWS = re.compile(r"^(figures|interactive|processes|\w+_pictures|\w*mechanisms)\.\w+\(", re.MULTILINE)
SOLUTIONS = "notebooks/appendix-C-exercise-solutions"


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
        elif cell["cell_type"] == "code" and opening and DRAWS.search(text):
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
    frame_pictures(document, app.env.temp_data.get("alternative_texts", {}))
    if app.env.docname.startswith("api/"):
        for dash in [text for text in document.findall(nodes.Text) if text == " -- "]:  # Sphinx's own
            dash.parent.replace(dash, nodes.Text(" – "))
        return
    if app.env.docname.startswith("notebooks/"):
        label_sections(app.env, document)
        label_exercises(app.env, document)
        for cell in list(document.findall(nodes.container)):
            if "tag_extract" in cell["classes"]:
                link_definitions(app.env, cell)
            elif "cell" in cell["classes"] and app.env.docname != SOLUTIONS:
                link_solution(cell)
    mentions.mark(document)


def frame_pictures(document, alternative_texts):
    """Give pictures their alternative text, and a frame that can be white in the dark and scroll on a phone."""
    for image in list(document.findall(nodes.image)):
        image["alt"] = alternative_texts.get(PurePosixPath(image["uri"]).stem, image.get("alt", ""))
        if isinstance(image.parent, nodes.paragraph):
            image["classes"].append("picture")
        else:
            image.replace_self([nodes.raw("", '<div class="picture">', format="html"), image.deepcopy(),
                                nodes.raw("", "</div>", format="html")])


def label_sections(env, document):
    """Give each numbered section the label section-NUMBER, and each solution solution-NUMBER and a link back."""
    for section in list(document.findall(nodes.section)):
        title = section[0].astext()
        if found := re.match(rf"({mentions.NUMBER})(?: |$)", title):
            mentions.add_label(env, f"section-{found[1]}", section["ids"][0], title)
        elif env.docname == SOLUTIONS and (found := re.match(rf"Exercise ({mentions.NUMBER}) ", title)):
            mentions.add_label(env, f"solution-{found[1]}", section["ids"][0], title)
            section.insert(1, note(mention(f"exercise-{found[1]}", "Where it is asked")))


def label_exercises(env, document):
    """Give each paragraph that asks an exercise an anchor, and the label exercise-NUMBER."""
    for words in document.findall(nodes.strong):
        if found := re.match(rf"Your turn \(({mentions.NUMBER})\)", words.astext()):
            anchor = f"exercise-{found[1].lower().replace('.', '-')}"
            words.parent["ids"].append(anchor)
            mentions.add_label(env, f"exercise-{found[1]}", anchor, f"Exercise {found[1]}")


def note(*content):
    """Return a small line beside a cell or a heading."""
    return nodes.paragraph("", "", *content, classes=["beside-the-cell"])


def link_definitions(env, cell):
    """Link a finished cell to the entries of its definitions in the reference."""
    source = next(cell.findall(nodes.literal_block)).astext()
    content = [nodes.Text("In the reference: ")]
    for name in [name for node in ast.parse(source).body for name in build_site.names_of(node)]:
        content += [nodes.Text(", ")] * (len(content) > 1)
        content.append(addnodes.pending_xref(
            "", nodes.literal(name, name), refdomain="py", reftype="obj", reftarget=f"{MODULES[env.docname]}.{name}",
            refexplicit=True, refwarn=True, refdoc=env.docname))
    cell.parent.insert(cell.parent.index(cell) + 1, note(*content))


def link_solution(cell):
    """Link the check of an exercise, which says on the page that nobody attempted it, to the solution."""
    block = next(cell.findall(nodes.literal_block), None)
    found = block and re.search(r'^check\("(.+?)"', block.astext(), re.MULTILINE)
    if found:
        link = mention(f"solution-{found[1]}", "Its solution, in appendix C")
        cell.parent.insert(cell.parent.index(cell) + 1, note(link))


def escape_docstring(app, what, name, thing, options, lines):
    """Escape what reStructuredText would take for markup; napoleon comes after this."""
    if what == "data":
        lines[:] = []  # a dict has no docstring of its own, only that of all dicts
        return
    lines[:] = build_site.escaped("\n".join(lines)).replace(" -> ", " → ").split("\n")


def say_where_it_is_taught(app, what, name, thing, options, lines):
    """Add the section that teaches a definition; napoleon has been there before, with its dashes."""
    lines[:] = [re.sub(r"\*(.+?)\* -- ", r"\1: ", line.replace("** -- ", "** – ")) for line in lines]
    if name in SECTIONS:
        lines += ["", f":Taught in: :ref:`section-{SECTIONS[name].lower()}`"]


def drawn(formula, **settings):
    """Return a formula as SVG in the colour of the text, on the line of the text, and MathML that is only heard."""
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
    app.add_post_transform(mentions.LinkMentions)
    app.connect("autodoc-process-docstring", escape_docstring, priority=400)
    app.connect("autodoc-process-docstring", say_where_it_is_taught, priority=600)
    app.add_html_math_renderer("drawn", (visit_formula, None), (visit_displayed_formula, None))
    # After a change in this folder every page is read anew.
    code = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    version = int(hashlib.sha256(code).hexdigest()[:8], 16)
    return {"env_version": version, "parallel_read_safe": True, "parallel_write_safe": True}
