"""Build the website: every notebook as its stored outputs show it, the README as the front page, an API reference.

    python website/build_site.py            into build/html, which opens from disk and needs no network
    python website/build_site.py --fresh    anew, also what has not changed

`make html` sets up what this needs and calls it. The pages are laid out in build/website, the README as index.md, so
that links between README and notebooks are the same there as in the repository; then Sphinx builds them, and a warning
is an error. No notebook is executed.
"""

import argparse
import ast
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import extract  # noqa: E402

PAGES, TREES, SITE = ROOT / "build" / "website", ROOT / "build" / "website-trees", ROOT / "build" / "html"
# What is read from front to back; all other notebooks are appendices, in the order of their names.
COURSE = ("ch01", "ch02", "ch03", "ch04", "ch05", "appendix-H", "ch06", "ch07", "appendix-E")


def reading_order(paths):
    """Return (the notebooks of the course in reading order, the other notebooks by name)."""
    course = [path for start in COURSE for path in sorted(paths) if path.name.startswith(f"{start}-")]
    return course, sorted(set(paths) - set(course))


def contents(caption, pages):
    """Return a hidden table of contents in Markdown: a part of the sidebar."""
    return "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```", ""])


def front_page(readme, notebooks):
    """Return the Markdown of the front page: the README, and the tables of contents that make the sidebar."""
    course, others = reading_order(notebooks)
    return "\n".join([
        readme,
        contents("The course", [f"notebooks/{path.stem}" for path in course]),
        contents("Appendices", [f"notebooks/{path.stem}" for path in others]),
        contents("Reference", ["api/index", *(["benchmarks/README"] if (ROOT / "benchmarks").exists() else [])]),
    ])


def first_sentence(node):
    """Return the first sentence of a definition's docstring, or what a constant is."""
    if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {ast.Dict: "A dict.", ast.Constant: "A constant."}.get(type(node.value), "A list.")
    words = ast.get_docstring(node) or ""
    return re.split(r"(?<=[.:])\s(?=[A-Z])", " ".join(words.split("\n\n")[0].split()), maxsplit=1)[0].rstrip(":")


def definitions(lesson):
    """Return [(name, its syntax tree, its source, its section, the section's heading), ...] of a notebook."""
    return [(name, node, ast.get_source_segment(definition.source, node), definition.section, definition.heading)
            for definition in lesson.definitions for node in ast.parse(definition.source).body
            for name in names_of(node)]


def names_of(node):
    """Return the names that a statement of a finished cell defines."""
    return [target.id for target in node.targets] if isinstance(node, ast.Assign) else [node.name]


def directive(name, node, source):
    """Return what makes autodoc describe a definition; of a constant, the lines that define it."""
    kind = {ast.ClassDef: "autoclass", ast.FunctionDef: "autofunction"}.get(type(node), "autodata")
    lines = [f".. {kind}:: {name}"]
    if kind == "autodata":
        lines += ["   :no-value:", "", "   .. code-block:: python", "", textwrap.indent(source, 6 * " ")]
    return "\n".join([*lines, ""])


def underlined(text, line):
    return f"{text}\n{line * len(text)}\n"


def api_page(lesson):
    """Return the page of a module: its definitions under the headings of the sections that teach them."""
    module, chapter = f"{extract.PACKAGE}.{lesson.module}", lesson.title.split(" · ")[0]
    parts = [underlined(f"{chapter} · Definitions", "="), f".. py:module:: {module}\n",
             f"What :doc:`/notebooks/{lesson.path.stem}` defines, to be imported from ``{module}``.\n"]
    section = None
    for name, node, source, number, heading in definitions(lesson):
        if number != section:
            parts.append(underlined(heading, "-"))
            section = number
        parts.append(directive(f"{module}.{name}", node, source))
    return "\n".join(parts)


def api_index(lessons):
    """Return the page that lists all definitions, chapter by chapter, with the section that teaches each."""
    parts = [underlined("What the course defines", "="),
             f"Every name can be imported from ``{extract.FRONT_DOOR}``; written-out forms whose names hide PyTorch's "
             f"own only from their module in ``{extract.PACKAGE}``. The last column is the section that teaches it. "
             ":ref:`By letter <genindex>` they stand in the index.\n",
             ".. toctree::\n   :hidden:\n", *(f"   {lesson.module}" for lesson in lessons), ""]
    for lesson in lessons:
        parts += [underlined(lesson.title, "-"), ".. list-table::\n   :class: definitions\n   :widths: 26 60 14\n"]
        for name, node, _, number, _ in definitions(lesson):
            words = escaped(first_sentence(node))
            parts.append(f"   * - :py:obj:`~{extract.PACKAGE}.{lesson.module}.{name}`\n     - {words}\n"
                         f"     - :ref:`{number} <section-{number}>`")
        parts.append("")
    return "\n".join(parts)


def escaped(text):
    """Return a docstring's text with what reStructuredText would take for markup, but not its code, escaped."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(piece if piece.startswith("`") else re.sub(r"([*|\\]|_(?=\W|$))", r"\\\1", piece)
                   for piece in pieces)


def lay_out(pages=PAGES):
    """Write what Sphinx reads; a file that stays the same keeps its time, so that its page is not built again."""
    notebooks = extract.notebook_paths(ROOT / "notebooks")
    lessons = [lesson for lesson in map(extract.read, notebooks) if lesson.definitions]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    texts = {"index.md": front_page(readme, notebooks), "api/index.rst": api_index(lessons),
             **{f"api/{lesson.module}.rst": api_page(lesson) for lesson in lessons}}
    wanted = {name: text.encode() for name, text in texts.items()}
    for path in [ROOT / "LICENSE", *notebooks, *(ROOT / "notebooks").glob("*.png"), *(ROOT / "benchmarks").glob("*")]:
        wanted[path.relative_to(ROOT).as_posix()] = path.read_bytes()
    for path in pages.rglob("*"):
        if path.is_file() and path.relative_to(pages).as_posix() not in wanted:
            path.unlink()
    for name, content in wanted.items():
        path = pages / name
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def main(arguments=None):
    """Build the website; return the exit status."""
    parser = argparse.ArgumentParser(description="Build the website into build/html.")
    parser.add_argument("--fresh", action="store_true", help="build everything anew")
    options = parser.parse_args(arguments)
    if options.fresh:
        for folder in (PAGES, TREES, SITE):
            shutil.rmtree(folder, ignore_errors=True)
    lay_out()
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q", "-j", "auto",
               "-c", str(ROOT / "website"), "-d", str(TREES), str(PAGES), str(SITE)]
    status = subprocess.run(command, cwd=ROOT).returncode
    if status != 0:
        shutil.rmtree(TREES, ignore_errors=True)  # Sphinx would not repeat the warnings of a page that stays the same
        return status
    print(f"the website is in {SITE.relative_to(ROOT).as_posix()}: open index.html there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
