"""What nbval cannot say about the notebooks: they were run cleanly, they are tidy, and they print the book's values."""

import json
import re
from pathlib import Path

import nbformat
import pytest

import cover
import exercises
from conftest import ROOT
from extract import notebook_paths
from run import normalise

NOTEBOOKS = notebook_paths(ROOT / "notebooks")
SOLUTIONS = "appendix-C-exercise-solutions"
TAGS = {"extract", "module-only", "headline", "cover-course", "cover-heads", "raises-exception", "nbval-ignore-output"}
NUMBER = r"-?\d+\.?\d*(?:e[+-]?\d+)?"


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell):
    return set(cell.metadata.get("tags", []))


def text_of(cell):
    """Return what a code cell printed or raised, as text."""
    parts = []
    for output in cell.outputs:
        if output.output_type == "stream":
            parts.append(output.text)
        elif output.output_type == "error":
            parts.append(f"{output.ename}: {output.evalue}")
        else:
            parts.append(output.data.get("text/plain", ""))
    return "\n".join(parts)


def tracebacks(cell):
    return "\n".join("\n".join(output.get("traceback", [])) for output in cell.outputs)


every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_are_notebooks():
    assert {"ch02-text-data", "ch03-attention", "ch04-gpt-model",
            "ch05-pretraining"} <= {path.stem for path in NOTEBOOKS}


@every_notebook
def test_one_clean_run_from_top_to_bottom(path):
    cells = code_cells(read(path))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        for output in cell.outputs:
            assert output.get("name") != "stderr", cell.source
            assert output.output_type != "error" or "raises-exception" in tags(cell), cell.source


@every_notebook
def test_the_file_is_in_its_normal_form(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert path.read_text(encoding="utf-8") == nbformat.writes(normalise(read(path))) + "\n"


@every_notebook
def test_tags_are_known(path):
    for cell in read(path).cells:
        assert tags(cell) <= TAGS, cell.source


@every_notebook
def test_cells_are_short(path):
    for cell in code_cells(read(path)):
        assert "extract" in tags(cell) or len(cell.source.splitlines()) <= 25, cell.source


@every_notebook
def test_no_passage_stands_there_twice(path):
    long = [cell.source for cell in read(path).cells if len(cell.source) > 150]
    assert len(set(long)) == len(long), [source for source in long if long.count(source) > 1]


@every_notebook
def test_95_of_100_printing_cells_are_compared(path):
    printing = [cell for cell in code_cells(read(path)) if cell.outputs]
    ignored = [cell for cell in printing if "nbval-ignore-output" in tags(cell)]
    assert len(ignored) <= 0.05 * len(printing), f"{len(ignored)} of {len(printing)}"


@every_notebook
def test_nothing_remote_and_no_paths_of_a_machine(path):
    for cell in read(path).cells:
        assert not re.search(r"!\[[^\]]*\]\(https?:|<img[^>]+src=.https?:", cell.source), cell.source
        text = cell.source + (text_of(cell) + tracebacks(cell) if cell.cell_type == "code" else "")
        assert not re.search(r"/home/|/root/|/tmp/|/Users/|[A-Z]:\\|site-packages", text), text
        assert str(ROOT) not in text


@every_notebook
def test_figures_have_alternative_texts(path):
    for cell in code_cells(read(path)):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                alt = output.metadata["image/png"]["alt"]
                assert len(alt) > 30 and output.data["text/plain"] == alt, cell.source


def test_setup_cells_are_the_same_and_short():
    setups = {cells[0].source for cells in map(code_cells, map(read, NOTEBOOKS)) if cells}
    assert len(setups) == 1
    assert len(setups.pop().splitlines()) <= 10


def test_every_exercise_is_asked_once_and_not_yet_solved():
    asked = {}
    for path in NOTEBOOKS:
        cells = code_cells(read(path)) if path.stem != SOLUTIONS else []
        for starter, cell in zip(cells, cells[1:], strict=False):
            for number in re.findall(r'^check\("(.+?)"', cell.source, flags=re.MULTILINE):
                assert number not in asked
                asked[number] = cell
                assert f"exercise {number}" in starter.source and "..." in starter.source
                assert text_of(cell).strip() == f"{number}: not attempted yet"
    assert list(asked) == list(exercises.CHECKS)


def test_the_solutions_pass_every_check_once_and_in_order():
    notebook = read(ROOT / "notebooks" / f"{SOLUTIONS}.ipynb")
    passed = []
    for cell in code_cells(notebook):
        for number in re.findall(r'\bcheck\("(.+?)"', cell.source):
            assert re.fullmatch(rf"{re.escape(number)}: right: .+", text_of(cell).strip()), text_of(cell)
            passed.append(number)
    assert passed == list(exercises.CHECKS)
    text = "\n".join(cell.source for cell in notebook.cells)
    assert re.findall(r"^### Exercise (\S+) · ", text, flags=re.MULTILINE) == passed


def test_the_readmes_pictures_are_the_stored_ones():
    covers = cover.stored_covers()
    shown = re.findall(r"^!\[.{60,}\]\((\S+)\)$", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sorted(ROOT / path for path in shown) == sorted(covers)
    for path, png in covers.items():
        assert path.read_bytes() == png, "run `make extract`"


def test_no_definition_is_written_twice():
    """A name that a notebook defines in a finished cell is defined in no other notebook at all."""
    homes = {}
    for path in NOTEBOOKS:
        for cell in code_cells(read(path)):
            for name in re.findall(r"^(?:def|class) (\w+)", cell.source, flags=re.MULTILINE):
                homes.setdefault(name, set()).add((path.stem, "extract" in tags(cell)))
    for name, places in homes.items():
        assert len(places) == 1 or not any(finished for _, finished in places), (name, places)


# The book's values stand in the cells that print or assert them, and nbval compares those.


def runs_of_numbers(value):
    """Split a golden value into the lists of numbers that must be printed in one go."""
    if isinstance(value, dict):
        return [run for part in value.values() for run in runs_of_numbers(part)]
    if not isinstance(value, list):
        return [[value]]
    if value and isinstance(value[0], list):
        return [run for part in value for run in runs_of_numbers(part)]
    return [value]


def strings_of(value, quoted=False):
    """Return the texts of a golden value as they are printed: one plainly, those of a list quoted, pairs as tuples."""
    if isinstance(value, str):
        return [repr(value) if quoted else value]
    if not isinstance(value, list):
        return []
    if len(value) == 2 and isinstance(value[0], str) and not isinstance(value[1], str):
        return [repr(tuple(value))]
    return [text for part in value for text in strings_of(part, quoted=True)]


def tolerance(entry):
    """Return (absolute, relative) tolerance of a golden entry's kind."""
    digits = re.search(r"(\d+) (significant )?(decimals|digits)", entry["kind"])
    if digits and digits[2]:
        return 0.0, 0.51 * 10.0 ** (1 - int(digits[1]))
    return (0.51 * 10.0 ** -int(digits[1]), 0.0) if digits else (1e-9, 0.0)


def end_of(run, numbers, start, absolute, relative):
    """Return the place behind the first occurrence of a run of numbers from a place on, or None."""
    for end in range(start + len(run), len(numbers) + 1):
        found = numbers[end - len(run) : end]
        if all(abs(number - value) <= max(absolute, relative * abs(value))
               for number, value in zip(found, run, strict=True)):
            return end
    return None


def holds(text, entry):
    """Say whether a text has all the strings, or all the runs of numbers, of a golden entry in their order."""
    strings, place = strings_of(entry["value"]), 0
    if strings:
        for string in strings:
            if (found := text.find(string, place)) < 0:
                return False
            place = found + len(string)
        return True
    numbers = [float(number) for number in re.findall(NUMBER, text)]
    for run in runs_of_numbers(entry["value"]):
        place = end_of(run, numbers, place, *tolerance(entry))
        if place is None:
            return False
    return True


def text_at(entry):
    """Return what the cells of a golden entry print, or, where they assert the value, their source."""
    chapter = entry["id"].split(".")[0]
    (path,) = [path for path in NOTEBOOKS if path.stem.startswith((f"ch0{chapter}-", f"appendix-{chapter}-"))]
    cells = {cell.id: cell for cell in code_cells(read(path))}
    if "written" in entry:
        return "\n".join(cells[name].source for name in entry["written"])
    for name in entry["printed"]:
        assert "nbval-ignore-output" not in tags(cells[name]), "nobody compares what this cell prints"
    return "\n".join(text_of(cells[name]) for name in entry["printed"])


def variants(value):
    """Return copies of a golden value, each with one number or text in it changed."""
    if isinstance(value, dict):
        return [{**value, key: part} for key in value for part in variants(value[key])]
    if isinstance(value, list):
        return [[*value[:i], part, *value[i + 1 :]] for i in range(len(value)) for part in variants(value[i])]
    return [f"{value}~"] if isinstance(value, str) else [value + 1, 1.01 * value + 0.01]


GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("entry", GOLDEN, ids=lambda entry: entry["id"])
def test_the_cell_has_the_value_and_would_not_have_another(entry):
    text = text_at(entry)
    assert holds(text, entry), text
    for value in variants(entry["value"]):
        assert not holds(text, {**entry, "value": value}), value


def test_appendix_a_lists_every_pinned_package():
    """Its cell is compared in `make test` only, after half an hour; a package that was added must not wait for that."""
    cells = code_cells(read(ROOT / "notebooks" / "appendix-A-pytorch.ipynb"))
    listed = next(text_of(cell) for cell in cells if cell.source.startswith("for line in requirements:"))
    pinned = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert listed.splitlines() == [f"{line.split('==')[0]:11} as pinned" for line in pinned]
