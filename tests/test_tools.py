"""The tools: extraction notices drift and refuses what it cannot extract; the runner reports progress and failures."""

import ast
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import check
import extract
import run
from conftest import ROOT


def notebook(path, *cells):
    """Write a notebook of (kind, source, *tags) cells."""
    made = new_notebook()
    for kind, source, *tags in cells:
        cell = new_markdown_cell(source) if kind == "md" else new_code_cell(source)
        cell.metadata["tags"] = list(tags)
        made.cells.append(cell)
    run.write(made, path)
    return path


@pytest.fixture
def course_folder(tmp_path):
    notebook(tmp_path / "ch02-a.ipynb",
             ("md", "# Chapter 2 · Sizes\n\nWhat a **size** is.\n\n## 2.1 · First"),
             ("code", "!echo magic\nimport os\nimport math\nfrom pathlib import Path, PurePath\nimport torch"),
             ("code", "def area(radius):\n    return math.pi * radius**2", "extract"),
             ("md", "### 2.1.1 Deeper"),
             ("code", "SIZE = 3", "extract"))
    notebook(tmp_path / "appendix-A.ipynb",
             ("md", "# Appendix A · More\n\nDiscs.\n\n## A.1 · More"),
             ("code", "from previous_chapters import area\nfrom chapters.ch02_a import SIZE\nfrom pathlib import Path"),
             ("code", "class Disc:\n    home = Path('.')\n\n    def area(self):\n        return area(SIZE)", "extract"),
             ("code", "class Module:\n    pass", "extract", "module-only"))
    return tmp_path


def test_the_modules_are_what_the_notebooks_give():
    assert extract.present_files(ROOT) == extract.extract(ROOT / "notebooks"), "run `make extract`"


def test_modules_are_short_and_the_front_door_defines_nothing():
    for path, text in extract.present_files(ROOT).items():
        assert len(text.splitlines()) <= 600, path
    front_door = ast.parse((ROOT / "previous_chapters.py").read_text(encoding="utf-8")).body
    assert {type(node) for node in front_door[1:]} == {ast.ImportFrom}  # after the docstring


def test_a_notebook_becomes_a_module_and_the_front_door_lists_them(course_folder):
    files = extract.extract(course_folder)
    assert list(files) == ["chapters/__init__.py", "chapters/ch02_a.py", "chapters/appendix_A.py",
                           "previous_chapters.py"]
    assert files["chapters/ch02_a.py"].endswith('''"""

import math


# 2.1 · First
def area(radius):
    return math.pi * radius**2


# 2.1.1 · Deeper
SIZE = 3
''')
    assert files["chapters/ch02_a.py"].startswith('"""Chapter 2 · Sizes.\n\nWhat a size is.\n')
    assert """
from pathlib import Path

from chapters.ch02_a import SIZE, area


# A.1 · More
class Disc:
""" in files["chapters/appendix_A.py"]
    assert files["previous_chapters.py"].endswith("""
# Chapter 2 · Sizes (notebooks/ch02-a.ipynb)
from chapters.ch02_a import (
    area,  # 2.1 · First
    SIZE,  # 2.1.1 · Deeper
)

# Appendix A · More (notebooks/appendix-A.ipynb)
from chapters.appendix_A import (
    Disc,  # A.1 · More
)
""")


def test_what_was_extracted_runs(course_folder, tmp_path):
    assert extract.main(["--notebooks", str(course_folder), "--output", str(tmp_path)]) == 0
    script = "from previous_chapters import Disc; from chapters.appendix_A import Module; print(Disc().area())"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert float(done.stdout) == pytest.approx(28.2743, abs=1e-4), done.stderr


@pytest.mark.parametrize(("source", "message"), [
    ("def area(radius):\n    return 1", "area is defined in ch02-a.ipynb, section 2.1 and again in ch03-b.ipynb"),
    ("print('hello')", "holds only functions, classes and constants"),
    ("import os", "holds only functions, classes and constants"),
    ("def f():\n    return numpy.zeros(3)", "ch03-b.ipynb use numpy, which no notebook defines or imports"),
    ("def f():\n    return Disc()", "ch03-b.ipynb use Disc, which is defined later, in appendix-A.ipynb, section A.1"),
])
def test_what_cannot_be_extracted(course_folder, source, message):
    notebook(course_folder / "ch03-b.ipynb", ("md", "## 3.1"), ("code", source, "extract"))
    with pytest.raises(extract.ExtractError, match=message):
        extract.extract(course_folder)


def test_chapters_6_and_7_build_on_appendix_h(tmp_path):
    names = ["appendix-E-x", "appendix-H-x", "ch06-x", "ch01-x", "appendix-A-x", "appendix-C-x", "ch07-x"]
    for name in names:
        notebook(tmp_path / f"{name}.ipynb")
    order = [path.stem.removesuffix("-x") for path in extract.notebook_paths(tmp_path)]
    assert order == ["ch01", "appendix-A", "appendix-H", "ch06", "ch07", "appendix-E", "appendix-C"]


def test_check_notices_drift(course_folder, tmp_path, capsys):
    arguments = ["--notebooks", str(course_folder), "--output", str(tmp_path)]
    module = tmp_path / "chapters" / "ch02_a.py"
    assert extract.main([*arguments, "--check"]) == 1
    assert extract.main(arguments) == 0
    assert extract.main([*arguments, "--check"]) == 0
    module.write_text(module.read_text(encoding="utf-8").replace("SIZE = 3", "SIZE = 4"), encoding="utf-8")
    (tmp_path / "chapters" / "ch09_gone.py").write_text("x = 1\n", encoding="utf-8")
    capsys.readouterr()
    assert extract.main([*arguments, "--check"]) == 1
    shown = capsys.readouterr()
    assert "-SIZE = 4" in shown.out and "-x = 1" in shown.out
    assert "chapters/ch02_a.py, chapters/ch09_gone.py; run `make extract`" in shown.err
    assert extract.main(arguments) == 0 and extract.main([*arguments, "--check"]) == 0


def run_tool(*arguments):
    return subprocess.run([sys.executable, ROOT / "tools" / "run.py", *map(str, arguments)], capture_output=True,
                          text=True, timeout=300)


def test_a_run_shows_sections_and_ends_with_the_headlines(tmp_path):
    path = notebook(tmp_path / "ch09-fine.ipynb",
                    ("md", "# Title\n\n## 9.1 · One"), ("code", "x = 2"),
                    ("md", "## 9.2 · Two"), ("code", "print('first line')\nprint('the sum is', x + x)", "headline"),
                    ("code", "1 / 0", "raises-exception"))
    before = path.read_bytes()
    done = run_tool("--build", tmp_path / "build", path)
    assert done.returncode == 0, done.stderr
    assert "ch09-fine  9.1 · One" in done.stdout and "ch09-fine  9.2 · Two" in done.stdout
    assert done.stdout.rstrip().endswith("the sum is 4") and "first line" not in done.stdout
    assert path.read_bytes() == before
    copy = nbformat.read(tmp_path / "build" / path.name, as_version=4)
    assert [cell.get("execution_count") for cell in copy.cells] == [None, 1, None, 2, 3]


def test_a_failing_cell_stops_the_run(tmp_path):
    path = notebook(tmp_path / "ch08-bad.ipynb",
                    ("md", "## 8.1 · Good"), ("code", "values = [1]"),
                    ("md", "## 8.2 · Bad"), ("code", "1 / 0", "raises-exception"), ("code", "print(values[7])"),
                    ("code", "print('never')"))
    later = notebook(tmp_path / "ch09-later.ipynb", ("code", "print('later')", "headline"))
    done = run_tool("--build", tmp_path / "build", path, later)
    assert done.returncode == 1
    assert "ch08-bad.ipynb, section '8.2 · Bad', code cell 3 failed" in done.stderr
    assert "print(values[7])" in done.stderr and "IndexError: list index out of range" in done.stderr
    assert "never" not in done.stdout and "later" not in done.stdout
    assert (tmp_path / "build" / path.name).exists()


def test_a_dying_kernel_stops_the_run(tmp_path):
    path = notebook(tmp_path / "ch08-dies.ipynb", ("md", "## 8.1 · End"), ("code", "x = 1"),
                    ("code", "import os\nos._exit(1)"))
    done = run_tool("--build", tmp_path / "build", path)
    assert done.returncode == 1
    assert "ch08-dies.ipynb, section '8.1 · End', code cell 2 failed" in done.stderr
    assert "kernel died" in done.stderr


@pytest.mark.slow
def test_saved_outputs_are_stable(tmp_path):
    path = notebook(tmp_path / "ch09-stable.ipynb", ("md", "## 9.1"),
                    ("code", "for i in range(3):\n    print(i, flush=True)"))
    assert run_tool("--save", path).returncode == 0
    first = path.read_bytes()
    assert run_tool("--save", path).returncode == 0
    assert path.read_bytes() == first
    (output,) = nbformat.read(path, as_version=4).cells[1].outputs
    assert output.text == "0\n1\n2\n"


@pytest.mark.parametrize(("first", "second"), [
    (["from math import sqrt\nfrom numpy import sqrt"], []),  # in one cell
    (["from math import sqrt", "from numpy import sqrt"], []),
    (["from math import sqrt"], ["from numpy import sqrt"]),
    (["import math as sqrt"], ["from math import sqrt"]),
])
def test_one_name_from_two_places_cannot_be_extracted(tmp_path, first, second):
    notebook(tmp_path / "ch02-a.ipynb", ("md", "## 2.1"), *[("code", cell) for cell in first],
             ("code", "def root(x):\n    return sqrt(x)", "extract"))
    notebook(tmp_path / "ch03-b.ipynb", ("md", "## 3.4"), *[("code", cell) for cell in second],
             ("code", "SIZE = 3", "extract"))
    places = ["ch02-a.ipynb, section 2.1", "ch03-b.ipynb, section 3.4" if second else "ch02-a.ipynb, section 2.1"]
    with pytest.raises(extract.ExtractError) as error:
        extract.extract(tmp_path)
    imports = "\n".join([*first, *second]).splitlines()
    for line, place in zip(imports, places, strict=True):
        assert f"`{line}` in {place}" in str(error.value)
    notebook(tmp_path / "ch02-a.ipynb", ("md", "## 2.1"), *[("code", cell) for cell in first],
             ("code", "def root(x):\n    return x**0.5", "extract"))
    extract.extract(tmp_path)  # what no finished cell uses may be shown from two places


def test_modules_of_one_package_are_no_conflict(tmp_path):
    notebook(tmp_path / "ch02-a.ipynb", ("code", "import os\nimport os.path"), ("code", "import os"),
             ("code", "def here():\n    return os.path.abspath('.')", "extract"))
    assert "\nimport os\nimport os.path\n" in extract.extract(tmp_path)["chapters/ch02_a.py"]


@pytest.mark.parametrize(("source", "message"), [
    ("def area(x):\n    return x", "area is defined in ch02-a.ipynb, section 2.1 and again in ch03-b.ipynb, "
                                   "section 3.1"),
    ("ONE = 1\nONE = 2", "ONE is defined in ch03-b.ipynb, section 3.1 and again in ch03-b.ipynb, section 3.1"),
    ("def math(x):\n    return x", "math is defined in ch03-b.ipynb, section 3.1 and imported by `import math` in "
                                  "ch02-a.ipynb, section 2.1"),
])
def test_two_definitions_of_one_name_cannot_be_extracted(course_folder, source, message):
    notebook(course_folder / "ch03-b.ipynb", ("md", "## 3.1"), ("code", source, "extract"))
    with pytest.raises(extract.ExtractError, match=re.escape(message)):
        extract.extract(course_folder)


def test_a_cell_that_takes_too_long_stops_the_run(tmp_path, monkeypatch, capsys):
    """With stored outputs, as the notebooks of the course have them: every cell has an execution count already."""
    path = notebook(tmp_path / "ch08-slow.ipynb", ("md", "## 8.1 · Quick"), ("code", "x = 1"),
                    ("md", "## 8.2 · Slow"), ("code", "import time\ntime.sleep(120)"), ("code", "x = 2"))
    stored = nbformat.read(path, as_version=4)
    for count, number in enumerate((1, 3, 4), start=1):
        stored.cells[number].execution_count = count
    run.write(stored, path)
    monkeypatch.setattr(run, "CELL_TIMEOUT", 5)
    assert run.main(["--build", str(tmp_path / "build"), str(path)]) == 1
    complaint = capsys.readouterr().err
    assert "ch08-slow.ipynb, section '8.2 · Slow', code cell 2 failed" in complaint
    assert "time.sleep(120)\n\nit ran for more than 5 seconds" in complaint
    assert (tmp_path / "build" / path.name).exists()


@pytest.mark.parametrize("failing", [None, "tests"])
def test_a_check_stops_at_the_first_part_that_fails(monkeypatch, capsys, failing):
    """And the notebooks see what their stored outputs were made with."""
    ran = []

    def pretend(command, cwd, env):
        ran.append((command[-1], env.get("GPT2_MIRROR")))
        return subprocess.CompletedProcess(command, returncode=3 if command[-1] == failing else 0)

    monkeypatch.delenv("GPT2_MIRROR", raising=False)
    monkeypatch.setattr(subprocess, "run", pretend)
    assert check.main(["--all"]) == (3 if failing else 0)
    assert ran == [(".", None), ("--check", None), ("tests", None), *([] if failing else [("notebooks", "none")])]
    shown = capsys.readouterr()
    assert ("check: tests failed" in shown.err) == bool(failing) and ("whole" in shown.out) != bool(failing)


def test_a_quick_check_takes_chapters_1_to_4():
    quick = check.parts(everything=False)
    assert [path[:14] for path in quick["notebooks"][-4:]] == [f"notebooks/ch0{number}" for number in range(1, 5)]
    assert "not slow" in quick["tests"] and "not slow" not in check.parts(everything=True)["tests"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no make")
@pytest.mark.parametrize(("version", "fits"), [("3.10", False), ("3.11", True), ("3.13", True), ("3.14", False)])
def test_make_refuses_a_python_that_does_not_work_in_one_sentence(tmp_path, version, fits):
    shutil.copy(ROOT / "Makefile", tmp_path)
    for file in ("requirements.txt", "weights.txt"):
        (tmp_path / file).touch()
    python = tmp_path / "python"
    pretend = f"import sys; sys.version_info = tuple(map(int, '{version}.0'.split('.'))); exec(sys.argv[1])"
    # It answers what version it is, and ends when it should make the environment.
    python.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exec "{sys.executable}" -c "{pretend}" "$2"\nexit 7\n')
    python.chmod(0o755)
    done = subprocess.run(["make", f"PYTHON={python}", ".venv/.course"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert lines == ([] if fits else [f"Python 3.11, 3.12 or 3.13 is needed (TensorFlow has no newer one), {python} is "
                                      f"{version}"])
    assert ("-m venv" in done.stdout) == fits


def test_what_our_code_imports_is_named_and_pinned():
    """The peers that the tools compare with, and what reads the weights without TensorFlow, are the tests' packages."""
    lists = ("requirements.txt", "chat-page.txt", "tests/requirements.txt", "website/requirements.txt")
    pinned = {name: version for file in lists
              for name, version in re.findall(r"^([\w-]+)==(.+)$", (ROOT / file).read_text(encoding="utf-8"), re.M)}
    files = [path for folder in (".", "tools", "notebooks", "chapters", "website")
             for path in (ROOT / folder).glob("*.py")]
    ours = {"chapters", "notebooks", *(path.stem for path in files)}
    imported = {module.split(".")[0].lower() for path in files
                for module in re.findall(r"^\s*(?:import|from) (\w[\w.]*)(?: import|$| as)",
                                         path.read_text(encoding="utf-8"), re.M)}
    assert imported - {name.lower() for name in sys.stdlib_module_names} - ours <= pinned.keys()
    for package, version in pinned.items():
        assert metadata.version(package).split("+")[0] == version  # +cpu or +cu128 says for which processor


@pytest.fixture
def by_hand(tmp_path):
    """A course whose chapter 7 uses a module by hand, as two folders beside each other."""
    for folder in ("notebooks", "chapters"):
        (tmp_path / folder).mkdir()
    module = tmp_path / "chapters" / "instruction_data.py"
    module.write_text('"""Chapter 7 · Tasks.\n\nMore."""\n\n__all__ = ["KINDS", "tasks"]\n\nKINDS = 3\n\n\n'
                      'def tasks():\n    return KINDS * hidden()\n\n\ndef hidden():\n    return 2\n', encoding="utf-8")
    notebook(tmp_path / "notebooks" / "ch06-a.ipynb", ("md", "# Chapter 6 · Before\n\n## 6.1 · First"),
             ("code", "SIZE = 3", "extract"))
    notebook(tmp_path / "notebooks" / "ch07-a.ipynb", ("md", "# Chapter 7 · Use\n\n## 7.1 · First"),
             ("code", "from chapters.instruction_data import tasks"),
             ("code", "def twice():\n    return 2 * tasks()", "extract"))
    return module


def test_a_module_by_hand_is_listed_imported_and_left_alone(by_hand, tmp_path, capsys):
    before = by_hand.read_bytes()
    arguments = ["--notebooks", str(tmp_path / "notebooks"), "--output", str(tmp_path)]
    assert extract.main([*arguments, "--check"]) == 1
    assert "instruction_data.py" not in capsys.readouterr().err
    assert extract.main(arguments) == 0 and extract.main([*arguments, "--check"]) == 0
    assert by_hand.read_bytes() == before
    assert (tmp_path / "previous_chapters.py").read_text(encoding="utf-8").endswith("""
# Chapter 6 · Before (notebooks/ch06-a.ipynb)
from chapters.ch06_a import (
    SIZE,  # 6.1 · First
)

# Chapter 7 · Tasks (chapters/instruction_data.py, by hand)
from chapters.instruction_data import (
    KINDS,
    tasks,
)

# Chapter 7 · Use (notebooks/ch07-a.ipynb)
from chapters.ch07_a import (
    twice,  # 7.1 · First
)
""")
    assert "\nfrom chapters.instruction_data import tasks\n" in (tmp_path / "chapters/ch07_a.py").read_text("utf-8")
    script = "import previous_chapters; print(previous_chapters.twice(), previous_chapters.KINDS)"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "12 3\n", done.stderr


@pytest.mark.parametrize(("name", "source", "message"), [
    ("ch07-b", "def tasks():\n    return 1", "tasks is defined in instruction_data.py and again in ch07-b.ipynb"),
    ("ch06-b", "def early():\n    return tasks()", "ch06-b.ipynb use tasks, which is defined later, in instruct"),
    ("ch07-b", "def f():\n    return hidden()", "ch07-b.ipynb use hidden, which no notebook defines or imports"),
])
def test_what_a_module_by_hand_defines_has_one_home(by_hand, tmp_path, name, source, message):
    notebook(tmp_path / "notebooks" / f"{name}.ipynb", ("md", "## 7.1"), ("code", source, "extract"))
    with pytest.raises(extract.ExtractError, match=message):
        extract.extract(tmp_path / "notebooks")


def test_a_module_by_hand_says_which_names_it_gives(by_hand, tmp_path):
    by_hand.write_text('"""Chapter 7 · Tasks."""\n\nKINDS = 3\n', encoding="utf-8")
    with pytest.raises(extract.ExtractError, match="instruction_data.py has no list __all__"):
        extract.extract(tmp_path / "notebooks")
