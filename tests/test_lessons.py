"""The tables at the top of the notebooks: lessons that fit an hour, and minutes that the cells suggest."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import lessons

every_taught_notebook = pytest.mark.parametrize("path", lessons.taught(), ids=lambda path: path.stem)


@every_taught_notebook
def test_lessons_fit_an_hour_and_hold_each_section_once(path):
    """The minutes are rounded to five, and may be five beside the estimate: one more picture makes no table false."""
    for sections, stated, estimated in lessons.lessons(nbformat.read(path, as_version=4)):
        assert stated % 5 == 0 and abs(stated - estimated) <= 5, (sections, stated, estimated)
        assert stated <= lessons.HOUR >= estimated, (sections, stated, estimated)


@every_taught_notebook
def test_each_lesson_says_what_one_can_do_afterwards(path):
    notebook = nbformat.read(path, as_version=4)
    abilities = [ability for *_, ability in lessons.table_rows(notebook)]
    assert len(abilities) == notebook.cells[0].source.count("\n| ") - 1 > 0, "a row that is none: | lesson | …"
    assert len(set(abilities)) == len(abilities)
    for ability in abilities:
        assert len(ability.split()) > 5 and not ability.startswith(("understand", "know", "learn")), ability


def notebook(*rows):
    """Return a notebook of three sections, the second with two parts, and a table with these rows."""
    table = "".join(f"| {row} |\n" for row in ["lesson | sections | minutes | …", "--- | --- | --- | ---", *rows])
    return new_notebook(cells=[
        new_markdown_cell(f"# A title\n\n{table}"),
        new_markdown_cell("## 9.1 · One\n\n" + "word " * 130 + "\n\n### A heading of no number\n\nPart of 9.1."),
        new_code_cell("print(1)"),
        new_markdown_cell("## 9.2 · Two\n\n### 9.2.1 · A part\n\n**This is long.** It takes about six minutes."),
        new_code_cell("\n\n".join(["x = 1"] * 25)),
        new_markdown_cell("The end of the part.\n\n### 9.2.2 · Another\n\nAn exercise."),
        new_code_cell('from exercises import check\n\ncheck("9.1", answer)'),
        new_markdown_cell("## 9.3 · Three"),
    ])


def test_the_estimate_counts_words_lines_exercises_and_waits():
    found = lessons.section_minutes(notebook())
    assert list(found) == ["9.1", "9.2", "9.2.1", "9.2.2", "9.3"]
    assert found["9.1"] == pytest.approx((2 + 4 + 130 + 5 + 3) / 130 + 1, abs=0.05)
    assert (found["9.2"], found["9.3"]) == (0, 0)
    assert found["9.2.1"] == pytest.approx(13 / 130 + 6 + 2.5, abs=0.05)
    assert found["9.2.2"] == pytest.approx(2 / 130 + 1 + 8)


def test_a_section_takes_its_parts_along():
    listed = lessons.lessons(notebook("1 | 9.1 to 9.2 | 20 | write", "2 | 9.3 | 5 | read"))
    assert [(sections, stated) for sections, stated, _ in listed] == [
        (["9.1", "9.2", "9.2.1", "9.2.2"], 20), (["9.3"], 5)]
    assert lessons.lessons(notebook("1 | 9.1 to 9.2.1 | 20 | write", "2 | 9.2.2 to 9.3 | 5 | read"))


@pytest.mark.parametrize("rows", [
    [],
    ["1 | 9.1 to 9.2 | 20 | write"],  # 9.3 is missing
    ["1 | 9.1 | 20 | write", "2 | 9.3 | 5 | read"],  # 9.2 is
    ["1 | 9.1 to 9.2 | 20 | write", "2 | 9.2.2 to 9.3 | 5 | read"],  # twice
    ["1 | 9.1 to 9.4 | 20 | write"],
    ["2 | 9.1 to 9.3 | 20 | write"],
])
def test_a_section_in_no_lesson_or_in_two_is_found(rows):
    with pytest.raises(ValueError, match="lesson"):
        lessons.lessons(notebook(*rows))
