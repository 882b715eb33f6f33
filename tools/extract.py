"""Write chapters/ and previous_chapters.py from the notebooks: every definition has one home, where it is taught.

Cells tagged `extract` hold finished functions, classes and constants. Each notebook that has such cells becomes a
module of the package `chapters`, named like it: chapters/ch03_attention.py holds what ch03-attention.ipynb defines,
section by section. It imports what it needs, also from the modules of notebooks that are read before it, never after.
previous_chapters.py defines nothing: it imports all those names, chapter by chapter, so that it reads as a table of
contents. Only the names of cells tagged `module-only` as well, which hide names of PyTorch, are left out there. The
modules in BY_HAND come from no notebook: they stay as they are, and the names in their `__all__` are listed like the
others.

    python tools/extract.py           write them
    python tools/extract.py --check   exit with 1, and show the differences, if they are not what the notebooks give
"""

import argparse
import ast
import builtins
import difflib
import re
import symtable
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
PACKAGE, FRONT_DOOR = "chapters", "previous_chapters"
OURS = (PACKAGE, "gpt_download")  # what stands last among a module's imports
# Appendix H turns chapter 4's model into a modern one, on which chapters 6 and 7 build. What is not named comes last.
READING_ORDER = ("ch01", "ch02", "ch03", "ch04", "ch05", "appendix-A", "appendix-D", "appendix-F", "appendix-G",
                 "appendix-H", "ch06", "ch07", "appendix-E", "appendix-I")
BY_HAND = {"instruction_data": "ch07"}  # modules of chapters/ that no notebook defines, and the lesson they belong to
WIDTH = 120


class ExtractError(Exception):
    """A notebook that cannot be extracted; the message names the notebook and what is wrong."""


@dataclass
class Definition:
    """One extracted cell, or one name of a module by hand: its source, the names it binds, and where it stands."""

    source: str
    names: list[str]
    notebook: str  # or module by hand
    section: str  # such as 3.4.2
    heading: str  # such as 3.4.2 · A class for it
    module_only: bool

    @property
    def place(self):
        """Return where the definition stands, in words."""
        return f"{self.notebook}, section {self.section}" if self.section else self.notebook


@dataclass
class Lesson:
    """What extraction takes from one notebook, or from a module by hand."""

    path: Path
    title: str = ""
    summary: str = ""  # its first paragraph
    definitions: list[Definition] = field(default_factory=list)
    imports: list[tuple[str, str, str]] = field(default_factory=list)  # (bound name, import statement, place)

    @property
    def module(self):
        """Return the name of its module inside the package."""
        return re.sub(r"\W", "_", self.path.stem)

    @property
    def by_hand(self):
        """Whether the module is written by hand, and the lesson no notebook."""
        return self.path.suffix == ".py"


def position(path):
    """Return where a notebook stands in reading order, to sort by; a module by hand stands before its notebook."""
    name = BY_HAND.get(path.stem, path.name)
    places = [number for number, start in enumerate(READING_ORDER) if name.startswith(start)]
    return (places or [len(READING_ORDER)])[0], name


def notebook_paths(folder):
    """Return the notebooks of a folder in reading order."""
    return sorted(Path(folder).glob("*.ipynb"), key=position)


def lesson_paths(folder):
    """Return the notebooks of a folder, and the modules by hand beside it, in reading order."""
    by_hand = [Path(folder).parent / PACKAGE / f"{name}.py" for name in BY_HAND]
    return sorted([*notebook_paths(folder), *filter(Path.exists, by_hand)], key=position)


def without_magics(source):
    """Blank out IPython's `!command` and `%magic` lines, which Python cannot parse."""
    return re.sub(r"^\s*[!%].*$", "", source, flags=re.MULTILINE)


def bound_names(source, where):
    """Return the names that a finished cell defines; anything but a definition or a constant is an error."""
    names = []
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.append(node.name)
        elif isinstance(node, ast.Assign) and all(isinstance(target, ast.Name) for target in node.targets):
            names.extend(target.id for target in node.targets)
        else:
            raise ExtractError(f"{where}: a cell tagged `extract` holds only functions, classes and constants, "
                               f"but line {node.lineno} is: {ast.unparse(node)}")
    return names


def imports_of(source):
    """Return [(bound name, import statement), ...] for a cell's top-level imports, but not for those of our modules."""
    found = []
    for node in ast.parse(without_magics(source)).body:
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in (PACKAGE, FRONT_DOOR):
            continue  # a name of the course is looked up where it is defined
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                statement = ast.unparse(type(node)(**{**vars(node), "names": [alias]}))
                found.append(((alias.asname or alias.name).split(".")[0], statement))
    return found


def read_by_hand(path):
    """Return the Lesson of one module by hand: the first line of its docstring, and the names in its `__all__`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [ast.literal_eval(node.value) for node in tree.body
             if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"]
    if not names:
        raise ExtractError(f"{path.name} has no list __all__ of the names that it gives to the course")
    return Lesson(path, title=ast.get_docstring(tree).splitlines()[0].rstrip("."),
                  definitions=[Definition("", names[0], path.name, "", "", module_only=False)])


def read(path):
    """Return the Lesson of one notebook."""
    lesson, section, heading = Lesson(path), "", ""
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            if not lesson.title and (opening := re.match(r"# (.+)\n+(.*)", cell.source)):
                lesson.title, lesson.summary = opening.groups()
            for section, words in re.findall(r"^##+ ([0-9A-Z]+(?:\.\d+)+)(?: ·)? *(.*)$", cell.source, re.MULTILINE):
                heading = f"{section} · {words}".rstrip(" ·")
        elif cell.cell_type == "code":
            tags = cell.metadata.get("tags", [])
            place = f"{path.name}, section {section}"
            lesson.imports.extend((name, line, place) for name, line in imports_of(cell.source))
            if "extract" in tags:
                names = bound_names(cell.source, place)
                lesson.definitions.append(Definition(cell.source.strip(), names, path.name, section, heading,
                                                     "module-only" in tags))
    return lesson


def global_names(source):
    """Return the names that a module reads from its global scope or from the builtins."""

    def walk(table):
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (symbol.is_global() or table.get_type() == "module"):
                yield symbol.get_name()
        for child in table.get_children():
            yield from walk(child)

    return set(walk(symtable.symtable(source, "module", "exec")))


def homes_of(lessons):
    """Return {defined name: (number of its lesson, its definition)}; two definitions of one name are an error."""
    home = {}
    for number, lesson in enumerate(lessons):
        for definition in lesson.definitions:
            for name in definition.names:
                if name in home:
                    raise ExtractError(f"{name} is defined in {home[name][1].place} and again in {definition.place}; "
                                       "a variant needs a name of its own")
                home[name] = number, definition
    return home


def imports_by_name(lessons):
    """Return {bound name: {import statement: the first place where it stands}} for all notebooks together."""
    imports = {}
    for lesson in lessons:
        for name, statement, place in lesson.imports:
            imports.setdefault(name, {}).setdefault(statement, place)
    return imports


def check_single_meaning(name, statements, home):
    """Raise an ExtractError that names both places if a name is imported from two, or imported and also defined.

    Args:
        name: the name.
        statements: {import statement that binds it: the first place where it stands}.
        home: what `homes_of` returned.
    """
    (line, place), *others = statements.items()
    if name in home:
        raise ExtractError(f"{name} is defined in {home[name][1].place} and imported by `{line}` in {place}")
    for other, other_place in others:
        # `import os` and `import os.path` mean the same os; all other statements that differ bind different things.
        if any(re.fullmatch(rf"import {name}(\.\w+)*", each) is None for each in (line, other)):
            raise ExtractError(f"{name} is imported by `{line}` in {place} and by `{other}` in {other_place}; "
                               "import it from one place, or give one of them another name")


def import_block(statements):
    """Return import statements as the style check wants them: the standard library, packages, our own modules."""
    plain, froms = set(), {}
    for statement in statements:
        words = statement.split(maxsplit=3)
        if words[0] == "import":
            plain.add(statement)
        else:
            froms.setdefault(words[1], set()).add(words[3])
    lines = [*sorted(plain), *(from_line(module, froms[module]) for module in sorted(froms))]
    groups = {"standard": [], "packages": [], "ours": []}
    for line in lines:
        top = line.split()[1].split(".")[0]
        kind = "standard" if top in sys.stdlib_module_names else "ours" if top in OURS else "packages"
        groups[kind].append(line)
    return "\n\n".join("\n".join(group) for group in groups.values() if group)


def from_line(module, names):
    """Return one `from` import: constants, then classes, then functions, on one line if they fit."""
    names = sorted(names, key=lambda name: (not name.isupper(), name[0].islower(), name))
    line = f"from {module} import {', '.join(names)}"
    return line if len(line) <= WIDTH else f"from {module} import (\n" + "".join(f"    {n},\n" for n in names) + ")"


def module_text(number, lessons, home, imports):
    """Return the text of a lesson's module.

    Args:
        number: of the lesson.
        lessons: all of them, in reading order.
        home, imports: what `homes_of` and `imports_by_name` returned.
    """
    lesson, parts, heading = lessons[number], [], None
    for definition in lesson.definitions:
        mark = f"# {definition.heading}\n" if definition.heading != heading else ""
        heading = definition.heading
        parts.append(f"{mark}{definition.source}\n")
    body = "\n\n".join(parts)

    statements = []
    own = {name for definition in lesson.definitions for name in definition.names}
    for name in sorted(global_names(body) - own - set(dir(builtins)) - {"__file__", "__name__"}):
        if name in imports:
            check_single_meaning(name, imports[name], home)
            statements.extend(imports[name])
        elif name not in home:
            raise ExtractError(f"the extracted cells of {lesson.path.name} use {name}, which no notebook defines or "
                               "imports")
        elif home[name][0] > number:
            raise ExtractError(f"the extracted cells of {lesson.path.name} use {name}, which is defined later, in "
                               f"{home[name][1].place}")
        else:
            statements.append(f"from {PACKAGE}.{lessons[home[name][0]].module} import {name}")
    for name in own & imports.keys():
        check_single_meaning(name, imports[name], home)

    origin = (f"Generated by tools/extract.py: change a definition in notebooks/{lesson.path.name}, then run "
              "`make extract`.")
    paragraphs = [textwrap.fill(text, WIDTH) for text in (lesson.summary.replace("**", ""), origin) if text]
    docstring = "\n\n".join([f'"""{lesson.title}.', *paragraphs]) + '\n"""'
    head = "\n\n".join(part for part in (docstring, import_block(statements)) if part)
    blank_lines = 2 if re.match("def |class |@", lesson.definitions[0].source) else 1  # as the style check wants them
    return f"{head}\n{blank_lines * chr(10)}{body}"


PACKAGE_DOCSTRING = f'"""The finished definitions of the course, a module per notebook; {FRONT_DOOR} lists them."""\n'
FRONT_DOOR_DOCSTRING = f'''"""What the course defines, chapter by chapter, each name with the section that teaches it.

    from {FRONT_DOOR} import GPTModel, generate

The definitions stand in the modules of `{PACKAGE}`, one per notebook. Written-out forms whose names hide PyTorch's own,
such as appendix F's `AdamW`, are imported from their module only. Generated by tools/extract.py from the notebooks.
"""
'''


def front_door_text(lessons):
    """Return the text of previous_chapters.py, the imports of all names by lesson and section."""
    parts = [FRONT_DOOR_DOCSTRING]
    for lesson in lessons:
        names = [(name, definition.heading) for definition in lesson.definitions if not definition.module_only
                 for name in definition.names]
        width = max((len(name) for name, _ in names), default=0) + 1
        if names:
            lines = [f"    {name + ',':{width}}  # {heading}".rstrip(" #") for name, heading in names]
            source = f"{PACKAGE}/{lesson.path.name}, by hand" if lesson.by_hand else f"notebooks/{lesson.path.name}"
            parts.append("\n".join([f"# {lesson.title} ({source})",
                                    f"from {PACKAGE}.{lesson.module} import (", *lines, ")\n"]))
    return "\n".join(parts)


def extract(folder):
    """Return {path from the top of the repository: text} of the generated files, as a folder's notebooks give them.

    Raises:
        ExtractError: a name is defined twice, or used without being defined or imported in a notebook, or used before
            the notebook that defines it, or imported from two places, or a tagged cell holds anything but definitions.
    """
    lessons = [read_by_hand(path) if path.stem in BY_HAND else read(path) for path in lesson_paths(folder)]
    home, imports = homes_of(lessons), imports_by_name(lessons)
    files = {f"{PACKAGE}/__init__.py": PACKAGE_DOCSTRING}
    for number, lesson in enumerate(lessons):
        if lesson.definitions and not lesson.by_hand:
            files[f"{PACKAGE}/{lesson.module}.py"] = module_text(number, lessons, home, imports)
    return {**files, f"{FRONT_DOOR}.py": front_door_text(lessons)}


def present_files(root):
    """Return {path: text} of the generated files that are there, those of notebooks that are gone included."""
    modules = sorted(path for path in (root / PACKAGE).glob("*.py") if path.stem not in BY_HAND)
    paths = [*modules, root / f"{FRONT_DOOR}.py"]
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in paths if path.exists()}


def main(arguments=None):
    """Write or check the generated files; return the exit status."""
    parser = argparse.ArgumentParser(description="Write chapters/ and previous_chapters.py from the notebooks.")
    parser.add_argument("--check", action="store_true", help="compare only; exit with 1 on a difference")
    parser.add_argument("--notebooks", type=Path, default=ROOT / "notebooks", help="the folder of notebooks")
    parser.add_argument("--output", type=Path, default=ROOT, help="the folder to write to, or to check")
    options = parser.parse_args(arguments)
    try:
        wanted = extract(options.notebooks)
    except ExtractError as error:
        print(f"extract: {error}", file=sys.stderr)
        return 1
    present = present_files(options.output)
    changed = [path for path in sorted(wanted.keys() | present.keys()) if wanted.get(path) != present.get(path)]
    for path in changed:
        if options.check:
            old, new = present.get(path, "").splitlines(), wanted.get(path, "").splitlines()
            print("\n".join(difflib.unified_diff(old, new, f"{path}, as it is", f"{path}, as the notebooks give",
                                                 lineterm="")))
        elif path in wanted:
            (options.output / path).parent.mkdir(exist_ok=True)
            (options.output / path).write_text(wanted[path], encoding="utf-8", newline="\n")
        else:
            (options.output / path).unlink()
    if options.check and changed:
        print(f"extract: not what the notebooks give: {', '.join(changed)}; run `make extract`", file=sys.stderr)
    return int(options.check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
