"""The website: it builds without a warning, its links lead somewhere, and a browser shows it from disk as it should."""

import importlib.util
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

import nbformat
import pytest

import build_site
import exercises
from build_site import SITE
from conftest import ROOT
from extract import notebook_paths, read

NOTEBOOKS = notebook_paths(ROOT / "notebooks")
LESSONS = [lesson for lesson in map(read, NOTEBOOKS) if lesson.definitions]

# Every text of a page as (colour, background, example), each pair of colours once. Pictures are not looked at.
COLOURS = """() => {
    const pairs = new Map();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || !element.checkVisibility({opacityProperty: true}) ||
            element.closest("svg, script, style, noscript, .visually-hidden")) continue;
        let place = element, background = null;
        while (place && !background) {
            const colour = parse(getComputedStyle(place).backgroundColor);
            if (colour.length < 4 || colour[3] === 1) background = colour;
            place = place.parentElement;
        }
        const colour = getComputedStyle(element).color;
        pairs.set(colour + background, [parse(colour), background || [255, 255, 255], walker.currentNode.data.trim()]);
    }
    return [...pairs.values()];
}"""


class Page(HTMLParser):
    """A page of the site: its ids, its links, its pictures, its text."""

    def __init__(self, path):
        super().__init__()
        self.name = path.relative_to(SITE).as_posix()
        self.html = path.read_text(encoding="utf-8")
        self.ids, self.links, self.loaded, self.pictures = [], [], [], []
        self.feed(self.html)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])
        if tag == "img":
            self.pictures.append(attributes)
        if tag in ("img", "script", "iframe", "source", "video", "audio") and "src" in attributes:
            self.loaded.append(attributes["src"])
        if tag == "link" and attributes.get("rel") not in ("index", "search", "next", "prev", "author", "canonical"):
            self.loaded.append(attributes["href"])

    def target(self, link):
        """Return (name of the file, anchor) of a link inside the site, or None."""
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            return None
        path = PurePosixPath(self.name).parent.joinpath(unquote(parts.path)) if parts.path else PurePosixPath(self.name)
        name = (SITE / path).resolve().relative_to(SITE.resolve()).as_posix()
        return name, unquote(parts.fragment)


@pytest.fixture(scope="module")
def pages():
    """The pages of the website, {name: Page}, freshly built."""
    for package in ("sphinx", "myst_nb", "furo", "ziamath"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed; see website/requirements.txt")
    command = [sys.executable, "website/build_site.py", "--fresh"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return {page.name: page for page in map(Page, sorted(SITE.rglob("*.html")))}


def name_of(path):
    """Return the name of a notebook's page."""
    return f"notebooks/{path.stem}.html"


def headings(path):
    """Return the headings of a notebook as a reader sees them."""
    source = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")
    return [re.sub(r"[`*]", "", title) for title in re.findall(r"^#+ (.+)$", source, re.MULTILINE)]


def test_links_between_notebooks_have_jupyterlabs_anchors():
    """JupyterLab's anchor of a heading is its text with a dash for each space; the website gives it the same one."""
    for path in NOTEBOOKS:
        for cell in nbformat.read(path, as_version=4).cells:
            for name, anchor in re.findall(r"\]\(([\w-]+\.ipynb)?(?:#([^)\s]+))?\)", cell.source):
                goal = path.parent / name if name else path
                assert goal in NOTEBOOKS, (path.name, name)
                assert not anchor or unquote(anchor) in [title.replace(" ", "-") for title in headings(goal)], anchor


def test_the_reading_order_has_every_notebook_once():
    course, others = build_site.reading_order(NOTEBOOKS)
    assert sorted(course + others) == sorted(NOTEBOOKS)
    assert [path.stem[:4] for path in course[:5]] == ["ch01", "ch02", "ch03", "ch04", "ch05"]


@pytest.mark.parametrize(("docstring", "escaped"), [
    ("`a * b` and c * d", r"`a * b` and c \* d"), ("<|unk|> in W_", r"<\|unk\|> in W\_"), ("plain_name", "plain_name")])
def test_what_a_docstring_says_is_no_markup(docstring, escaped):
    assert build_site.escaped(docstring) == escaped


@pytest.mark.parametrize(("text", "found"), [
    ("see section 3.4.2.", {"section 3.4.2": "section-3.4.2"}),
    ("Chapters 3 and 4 build", {"3": "chapter-3", "4": "chapter-4"}),
    ("sections H.2 to H.4, and F.9", {"H.2": "section-H.2", "H.4": "section-H.4", "F.9": "section-F.9"}),
    ("appendix F3 (F.9 to F.12)", {"appendix F3": "appendix-F3", "F.12": "section-F.12"}),
    ("G.9.1 to G.10.", {"G.9.1": "section-G.9.1", "G.10": "section-G.10"}),
    ("in exercise 4.2; in chapter 4, 4.2", {"exercise 4.2": "exercise-4.2", "chapter 4": "chapter-4"}),
    ("(Brown et al. 2020, appendix D), version 2.13.0, a section 0 long, GPT-2, (A.1)", {})])
def test_what_a_text_names_becomes_a_link(text, found):
    mentions = pytest.importorskip("mentions", reason="Sphinx is not installed; see website/requirements.txt")
    assert {text[start:end]: label for start, end, label in mentions.places(text)} == found


@pytest.mark.slow
def test_every_notebook_is_a_page_and_leads_to_the_next(pages):
    order = [name_of(path) for part in build_site.reading_order(NOTEBOOKS) for path in part]
    for name, following in zip(["index.html", *order], [*order, "api/index.html"], strict=True):
        link = re.search(r'<link rel="next"[^>]* href="([^"]+)"', pages[name].html)
        assert pages[name].target(link[1])[0] == following


@pytest.mark.slow
def test_every_link_leads_somewhere(pages):
    dead = [(page.name, link) for page in pages.values() for link in page.links if (target := page.target(link))
            and not ((SITE / target[0]).is_file() and (not target[1] or target[0] not in pages or
                                                       target[1] in pages[target[0]].ids))]
    assert dead == []


@pytest.mark.slow
def test_pages_load_nothing_from_elsewhere(pages):
    assert [(page.name, source) for page in pages.values() for source in page.loaded
            if not source.startswith("data:") and not (page.target(source) and (SITE / page.target(source)[0]).exists())
            ] == []


@pytest.mark.slow
def test_ids_are_unique(pages):
    for page in pages.values():
        assert len(set(page.ids)) == len(page.ids), (page.name, [name for name in page.ids if page.ids.count(name) > 1])


@pytest.mark.slow
def test_every_heading_has_jupyterlabs_anchor(pages):
    for path in NOTEBOOKS:
        for title in set(headings(path)):
            assert title.replace(" ", "-") in pages[name_of(path)].ids


@pytest.mark.slow
def test_every_picture_has_its_alternative_text_and_width(pages):
    for page in pages.values():
        assert all(picture.get("alt") for picture in page.pictures), page.name
    for path in NOTEBOOKS:
        stored = [output.metadata["image/png"] for cell in nbformat.read(path, as_version=4).cells
                  for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
        shown = [(picture["alt"], picture.get("width")) for picture in pages[name_of(path)].pictures]
        assert shown == [(picture["alt"], str(picture["width"])) for picture in stored], path.name


@pytest.mark.slow
def test_an_html_output_is_on_the_page_as_it_is(pages):
    for path in NOTEBOOKS:
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", []):
                if "text/html" in output.get("data", {}):
                    assert output.data["text/html"].strip() in pages[name_of(path)].html, path.name


@pytest.mark.slow
def test_a_definition_and_the_section_that_teaches_it_link_to_each_other(pages):
    for lesson in LESSONS:
        page, taught = pages[f"api/{lesson.module}.html"], pages[name_of(lesson.path)]
        there = {page.target(link) for link in page.links}
        back = {taught.target(link) for link in taught.links}
        anchors = {title.split()[0]: title.replace(" ", "-") for title in headings(lesson.path)}
        for definition in lesson.definitions:
            # The section has two ids, JupyterLab's and Sphinx's own, which links on the site use.
            place = re.search(f'<section id="([^"]+)">\\s*<span id="{re.escape(anchors[definition.section])}"',
                              taught.html)
            assert (taught.name, place[1]) in there
            for name in definition.names:
                assert (page.name, f"chapters.{lesson.module}.{name}") in back


@pytest.mark.slow
def test_exercises_and_solutions_link_to_each_other(pages):
    solutions = pages["notebooks/appendix-C-exercise-solutions.html"]
    asked = {(page.name, name) for page in pages.values() for name in page.ids
             if re.fullmatch(r"exercise-\w+-\d+", name)}
    solved = {(solutions.name, name) for name in re.findall(r'<section id="(exercise-[^"]+)"', solutions.html)}
    assert len(asked) == len(solved) == len(exercises.CHECKS)
    assert asked <= {solutions.target(link) for link in solutions.links}
    assert solved <= {page.target(link) for page in pages.values() for link in page.links if page is not solutions}


def luminance(colour):
    """Return the relative luminance that WCAG defines, of (red, green, blue) from 0 to 255."""
    linear = [part / 255 / 12.92 if part / 255 <= 0.04045 else ((part / 255 + 0.055) / 1.055) ** 2.4
              for part in colour[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """Return the contrast of two colours, from 1 to 21."""
    darker, lighter = sorted([luminance(one), luminance(other)])
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (400, True)], ids=["wide and light", "narrow and dark"])
def test_a_browser_shows_every_page_from_disk(pages, browser, width, dark):
    visit = browser((SITE / "index.html").as_uri(), width=width, dark=dark)
    wrong = []
    for name in pages:
        visit.page.goto((SITE / name).as_uri())
        if visit.page.evaluate("""[document.documentElement, document.querySelector(".content")]
                                  .some(place => place.scrollWidth > place.clientWidth)"""):
            wrong.append((name, "scrolls sideways"))
        wrong += [(name, "is missing", source) for source in visit.page.evaluate(
            "Array.from(document.images).filter(picture => !picture.naturalWidth).map(picture => picture.src)")]
        wrong += [(name, "is hard to read", text, round(contrast(colour, background), 2))
                  for colour, background, text in visit.page.evaluate(COLOURS) if contrast(colour, background) < 4.5]
    assert wrong == []
    assert visit.errors == [] and visit.leaving == []


@pytest.mark.slow
def test_pictures_can_be_read_on_a_phone(pages, browser):
    """Their text has 10 points, here as well: what finds no room scrolls in a frame."""
    visit, seen = browser((SITE / "index.html").as_uri(), width=400), 0
    for path in NOTEBOOKS:
        visit.page.goto((SITE / name_of(path)).as_uri())
        for width, shown, room, overflow in visit.page.evaluate("""[...document.querySelectorAll("div.picture")].map(
                frame => [frame.querySelector("img"), frame]).map(([img, frame]) => [+img.getAttribute("width"),
                    img.clientWidth, frame.clientWidth, getComputedStyle(frame).overflowX])"""):
            assert shown >= width - 1, (path.name, width, shown)
            assert shown <= room <= 400 or overflow == "auto", (path.name, width, room)
            seen += 1
    assert seen > 0


@pytest.mark.slow
def test_the_tab_key_leads_only_to_what_is_visible_on_a_phone(pages, browser):
    page = browser((SITE / "notebooks/ch03-attention.html").as_uri(), width=400, reduced_motion="reduce").page
    page.add_style_tag(content="* { transition: none !important }")
    links = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        name, left, right = page.evaluate("""(box => [document.activeElement.textContent.trim(), box.left, box.right])(
                                             document.activeElement.getBoundingClientRect())""")
        assert 0 <= left < right <= 400, name
        links.add(name)
    assert {"Skip to content", "Chapter 1 · What is a large language model?"} <= links


@pytest.mark.slow
def test_on_paper_there_is_no_navigation_and_pictures_that_respond_stand_still(pages, browser):
    visit = browser((SITE / "index.html").as_uri(), width=680, dark=True)  # the width of A4 between its margins
    for name in ("index.html", "api/index.html", "notebooks/ch02-text-data.html", "notebooks/ch03-attention.html"):
        visit.page.emulate_media(media="screen")
        visit.page.goto((SITE / name).as_uri())
        for theme in ("auto", "dark"):
            visit.page.emulate_media(media="print")
            visit.page.evaluate("theme => { document.body.dataset.theme = theme; }", theme)
            for part in (".skip-to-content", ".sidebar-drawer", ".toc-drawer", ".mobile-header", ".related-pages",
                         ".content-icon-container", ".llm-picture .card"):
                assert not any(place.is_visible() for place in visit.page.locator(part).all()), (name, part)
            assert all(picture.is_visible() for picture in visit.page.locator("img").all()), name
            assert visit.page.evaluate("""[...document.querySelectorAll("pre, .picture")].filter(
                place => place.scrollWidth > place.clientWidth).map(place => place.textContent)""") == [], name
            assert [(text, colour, background) for colour, background, text in visit.page.evaluate(COLOURS)
                    if contrast(colour, background) < 4.5] == [], (name, theme)


@pytest.mark.slow
def test_without_scripts_the_still_pictures_stand_on_the_page(pages, browser):
    visit = browser((SITE / "index.html").as_uri(), width=400, java_script_enabled=False)
    for name in ("notebooks/ch02-text-data.html", "notebooks/ch03-attention.html"):
        visit.page.goto((SITE / name).as_uri())
        stills = visit.page.locator(".llm-picture > img")
        assert stills.count() == 2
        for still in stills.all():
            box = still.bounding_box()
            assert still.is_visible() and len(still.get_attribute("alt")) > 40 and box["x"] + box["width"] <= 400


@pytest.mark.slow
def test_the_search_finds_a_section_from_disk(pages, browser):
    visit = browser(f"{(SITE / 'search.html').as_uri()}?q=softmax")
    results = visit.page.locator("#search-results li a")
    for found in ("Attention", "softmax_naive"):  # results come one by one
        results.filter(has_text=found).first.wait_for()
    results.first.click()
    visit.page.wait_for_load_state()
    assert visit.page.url.split("?")[0].startswith(SITE.as_uri()) and "search.html" not in visit.page.url
    assert visit.errors == [] and visit.leaving == []


@pytest.mark.slow
def test_light_and_dark_can_be_chosen(pages, browser):
    visit = browser((SITE / "index.html").as_uri())
    themes = set()
    for _ in range(3):
        visit.page.locator(".theme-toggle-content button").click()
        themes.add(visit.page.locator("body").get_attribute("data-theme"))
    assert themes == {"light", "dark", "auto"}
