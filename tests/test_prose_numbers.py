"""A number of three or more digits in the prose of a notebook stands in the output or the code of one of its cells.

What a cell prints is compared whenever the notebook runs, so prose that quotes it cannot become false unnoticed. The
cell may give more digits, or another unit: 10.79 quotes 10.7940, 163 million 163,009,536, and 98.8 per cent 0.98814.
What else may stand there is said beside the rule that allows it; what no rule allows is in EXCEPTIONS.
"""

import math
import re
from fractions import Fraction

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from conftest import ROOT
from extract import notebook_paths
from previous_chapters import GPT_CONFIG_124M, SMOLLM2_CONFIG_135M
from test_further_reading import citations
from test_notebooks import text_of

# Appendix B prints nothing: it tells what others have published, and each of its entries is the source of its figures.
NOTEBOOKS = [path for path in notebook_paths(ROOT / "notebooks") if path.stem != "appendix-B-further-reading"]

EXCEPTIONS = {("appendix-F3-training-memory", "0.044715"): "the constant of GELU, in the code of section 4.3"}

MANY = 3  # digits, without zeros in front
FORMATTED = r"(?:\d{1,3}(?:,\d{3})+|\d+(?:_\d+)*)(?:\.\d+)?(?:e[+-]?\d+)?"
IN_CELLS = re.compile(rf"(?<![\w.]){FORMATTED}")
SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"
IN_PROSE = re.compile(rf"(?<![\w.,])(?<!\w-)(?P<digits>{FORMATTED})(?![\d_]|[.,]\d)"
                      rf"(?: · 10(?P<power>[{SUPERSCRIPTS}]+))?(?P<unit>M\b| ?%| per cent\b| \w+)?")
UNITS = {"thousand": 10**3, "million": 10**6, "M": 10**6, "MB": 10**6, "billion": 10**9, "GB": 10**9,
         "trillion": 10**12, "MiB": 2**20, "GiB": 2**30, "%": Fraction(1, 100), "per cent": Fraction(1, 100)}
NO_NUMBERS = re.compile(r"\]\([^)]*\)|<https?:[^>]*>|\d+(?:\.\d+){2,}")  # addresses; sections and versions, as 3.4.2
YEAR = re.compile(r"(?:(?:\b(?i:in|of|from|by|since|until|after)|[A-Z][\w’-]*,?|al\.,?) |[(;] ?)"
                  r"(?:18\d|19\d|20[0-3])\d\b")
ENDS = re.compile(r"(?<!\bal)[.?!:][)*\"”]*\s+(?=[\"“(*`]*[A-Z])|\n\n|\n(?=[-|>])")  # of a sentence, an item or a row
SUM = re.compile(rf"(?<![\w.,√])((?:√?\(|√?½|√?{FORMATTED})(?:[ ()·+−/√½]|{FORMATTED})*) = ({FORMATTED})(?! ?[·/+−(])")

# What a notebook may say of the two models without building them: the configurations hold it, and tests compare them
# with the models. And what is known of mathematics.
SIZES = {Fraction(size) for config in (GPT_CONFIG_124M, SMOLLM2_CONFIG_135M) for size in config.values()}
CONSTANTS = {Fraction(constant) for constant in (math.e, math.pi, math.log(2))}


def numbers_in(texts):
    return {Fraction(re.sub("[,_]", "", number)) for text in texts for number in IN_CELLS.findall(text)}


def sums(text):
    """Return [(a sum as written, whether it is right), …] for what a text works out, such as 8 · 8 · 256 = 16,384."""
    found = []
    for written in SUM.finditer(text):
        left, right = written.groups()
        if re.search(r"[·+−/√]", left):
            left = re.sub(r"√(½|[\d.,]+|\([^()]*\))", r"(\1)**0.5", left).replace("½", "0.5").replace(",", "")
            value = eval(left.translate(str.maketrans("·−", "*-")), {})  # digits, brackets and + - * / only
            found.append((written[0], abs(value - float(right.replace(",", ""))) <= 0.51 * float(worth(right))))
    return found


def worth(digits):
    """Return what a one in the last place of a number is worth."""
    return Fraction(1, 10 ** len(re.sub("e.*", "", digits).partition(".")[2]))


def has_a_source(sentence):
    """Say whether a sentence names who published its figures: a paper of appendix B, or the book."""
    return bool(citations(sentence)) or re.search(r"\b[Tt]he (?:book|paper)\b", sentence) is not None


def quoted_numbers(sentence):
    """Yield (number as written, its value, what its last place is worth, what its unit multiplies with)."""
    for number in IN_PROSE.finditer(sentence):
        digits = number["digits"].replace(",", "").replace("_", "")
        if len(re.sub(r"\D|e.*", "", digits).lstrip("0")) >= MANY:
            factor = Fraction(UNITS.get((number["unit"] or "").strip(), 1))
            if number["power"]:
                factor *= Fraction(10) ** int(number["power"].translate(str.maketrans(SUPERSCRIPTS, "0123456789-")))
            yield number["digits"], Fraction(digits), worth(digits), factor


def unprinted(notebook, names=()):
    """Return [(number, its sentence), …] for all that the prose quotes and neither a cell nor a rule holds.

    Args:
        notebook: with its outputs.
        names: headings of the course with numbers in them, which prose may repeat.
    """
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    held = numbers_in(re.sub(r"(?m)(^|\s)#.*$", "", cell.source) for cell in code) | numbers_in(map(text_of, code))
    held |= SIZES | CONSTANTS
    missing = []
    for text in [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]:
        for name in names:
            text = text.replace(name, "")
        for sentence in ENDS.split(text):
            if has_a_source(sentence):
                continue
            right = numbers_in(written for written, is_right in sums(sentence) if is_right)
            for written, value, place, factor in quoted_numbers(YEAR.sub("", NO_NUMBERS.sub("", sentence))):
                if value in right or re.fullmatch("10+", str(value)):  # a yardstick: 57 of 100, the log10 of 1,000
                    continue
                if not any(abs(number / scale - value) <= place / 2 for number in held for scale in {1, factor}):
                    missing.append((written, sentence.strip()))
    return missing


def prose_of(notebook):
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


READ = {path.stem: nbformat.read(path, as_version=4) for path in NOTEBOOKS}
NAMES = [name for notebook in READ.values() for name in re.findall(r"(?m)^### (\D.*\d{3}.*)$", prose_of(notebook))]


@pytest.mark.parametrize("stem", READ)
def test_every_number_in_prose_is_printed(stem):
    missing = unprinted(READ[stem], NAMES)
    assert [place for place in missing if (stem, place[0]) not in EXCEPTIONS] == []


def test_no_exception_is_left_over():
    assert {(stem, number) for stem in READ for number, _ in unprinted(READ[stem], NAMES)} == set(EXCEPTIONS)
    assert len(EXCEPTIONS) <= 10


@pytest.mark.parametrize("stem", READ)
def test_what_the_prose_works_out_is_right(stem):
    assert [written for written, is_right in sums(prose_of(READ[stem])) if not is_right] == []


def missing_from(prose, printed="", code=""):
    """Return which numbers of a text are held by no cell, for a notebook with one cell of code."""
    cell = new_code_cell(code, outputs=[new_output("stream", text=printed)])
    return [number for number, _ in unprinted(new_notebook(cells=[new_markdown_cell(prose), cell]))]


@pytest.mark.parametrize(("prose", "printed"), [
    ("The loss is 10.79.", "10.7940"), ("It is 10.794 now", "tensor(10.7940)"), ("3,376 contexts", "3376 contexts"),
    ("163 million weights", "163,009,536"), ("a model of 163M", "163009536"), ("498 MB", "497,759,232"),
    ("98.8 per cent", "0.98814"), ("98.8% of it", "98.8%"), ("3.15 · 10²³ of them", "3.15e+23"),
    ("3.15e+23", "3.15e+23"),
    ("It moves to −0.875.", "-0.8750"), ("see 599 of them", "599.4"), ("12.3 GB", "12,345,678,901")])
def test_a_printed_number_is_found(prose, printed):
    assert missing_from(prose, printed) == []
    assert missing_from(prose, code=f"assert value == {printed}") == []
    assert len(missing_from(prose, "1 2 3")) == 1


@pytest.mark.parametrize(("prose", "printed", "missing"), [
    ("The loss is 10.79.", "10.70", ["10.79"]), ("The loss is 10.79, not 6.134.", "10.7940", ["6.134"]),
    ("The loss is 10.79.", "1079", ["10.79"]), ("163 million weights", "164,009,536", ["163"]),
    ("a table of 3,376 rows", "3377 376", ["3,376"]), ("It was 1,987 tokens.", "198", ["1,987"]),
    ("98.8 per cent", "0.9871", ["98.8"]), ("498 MB", "497,259,232 bytes", ["498"]), ("0.0945", "0.945", ["0.0945"]),
    ("We took 1950 steps.", "1.95", ["1950"]), ("8 · 8 · 256 = 16,385 tokens", "8 256", ["16,385"])])
def test_a_number_that_no_cell_prints_is_found(prose, printed, missing):
    assert missing_from(prose, printed) == missing


def test_a_number_in_a_comment_is_not_printed():
    assert missing_from("The loss is 10.79.", code="loss = 5  # it was 10.79") == ["10.79"]


@pytest.mark.parametrize("prose", [
    "It is from 1908, and GPT-2 (2019) is not; In 2018, the paper of Ba et al. (2016) was.", "as 3.4.2 and 2.13.0 say",
    "[a link](https://arxiv.org/abs/1706.03762)", "57 of 100 draws, of 1,000", "Take e ≈ 2.718, or ln 2, 0.693.",
    "with GPT-2's 768 numbers, or SmolLM2's 576", "By hand: 8 · 8 · 256 = 16,384, 2/144 = 0.0139, √½ = 0.7071.",
    "Llama 2 took 184,320 hours (Touvron et al. 2023, table 2).", "12 of 50",
    "GPT-3 and H100 and SmolLM2-135M and `x_1234`"])
def test_what_needs_no_cell(prose):
    assert missing_from(prose) == []


def test_a_source_is_named_in_the_same_sentence():
    text = "Llama 2 took 184,320 hours (Touvron et al. 2023). It cost 552,960 dollars."
    assert missing_from(text) == ["552,960"]


@pytest.mark.parametrize(("text", "right"), [
    ("2 · 16 + 2 · 8 + 3 · 24 + 2 · 4 = 128", [True]), ("(1 + 0.7071) / 2 = 0.8536", [True]),
    ("2 · (3 − 3000) = 5994", [False]), ("√(1/3) = 0.58", [True]), ("√(1/16) = 1/4", []),
    ("50 · 30 + 30 = 1,530 and 2 · 3 = 7", [True, False]), ("x = 3, with d = 64, and y · 2 = 5", [])])
def test_sums_are_worked_out_again(text, right):
    assert [is_right for _, is_right in sums(text)] == right
