"""The pictures that respond: what they hand to a page, and, in headless Chromium, what the page makes of it.

The numbers that a picture shows after a move are compared with what the course's own functions compute.
"""

import base64
import json
import math
import re
from collections import Counter

import nbformat
import pytest
import torch

import figures
import interactive
import pictures
import previous_chapters as course
import run
from conftest import ROOT
from extract import notebook_paths

WORDS = ["closer", "every", "effort", "forward", "inches", "moves", "pizza", "toward", "you"]
LOGITS = torch.tensor([4.51, 0.89, -1.90, 6.75, 1.63, -1.62, -1.89, 6.28, 1.79])
SIX = "Your journey starts with one step".split()
INPUTS = torch.tensor([[0.43, 0.15, 0.89], [0.55, 0.87, 0.66], [0.57, 0.85, 0.64],
                       [0.22, 0.58, 0.33], [0.77, 0.25, 0.10], [0.05, 0.80, 0.55]])
TOKENS = ["I", " H", "AD", " always", " thought", " Jack", " G", "is", "burn", " rather", " a", " cheap"]
IDS = [40, 367, 2885, 1464, 1807, 3619, 402, 271, 10899, 2138, 257, 7026]
MERGES = [(("o", "t"), 4), (("h", "o"), 3)], [(("h", "ot"), 3), (("e", "r"), 2)], [(("e", "r"), 2), (("ot", "t"), 1)]
QUERY, KEY, ANGLES = [[1.0, 0.0]] * 4, [[0.6, 0.8]] * 4, [1.0, 0.1, 0.01, 0.001]
PEAKS = [0.02, 0.05, 0.1, 0.5, 1.0]
FOLLOWERS = {"I": {"had": 0.5, "was": 0.25, "saw": 0.25}, "had": {"a": 1.0}, "was": {"a": 1.0}, "saw": {"I": 1.0},
             "a": {"cat": 0.75, "dog": 0.25}, "cat": {"I": 1.0}, "dog": {"I": 1.0}}
ALT = "This sentence says what the still picture shows, it's <short> & plain."


def even_heads(length):
    """Return two heads: one looks at all words alike, one at the previous word."""
    even = torch.tril(torch.ones(length, length)) / torch.arange(1, length + 1)[:, None]
    previous = torch.diag(torch.ones(length - 1), -1)
    previous[0, 0] = 1
    return {"even": even, "previous word": previous}


def follow(text):
    return FOLLOWERS[text[-1]]


CALLS = {
    "sampling": lambda **more: interactive.sampling(WORDS, LOGITS, ALT, **more),
    "attention": lambda **more: interactive.attention(SIX, INPUTS, INPUTS, INPUTS, ALT, **more),
    "heads": lambda **more: interactive.heads(SIX, even_heads(6), ALT, **more),
    "windows": lambda **more: interactive.windows(TOKENS, IDS, ALT, **more),
    "merges": lambda **more: interactive.merges(MERGES, [14, 10, 7, 5], ["hot", " hotter"], ALT, done=1, **more),
    "rope": lambda **more: interactive.rope(QUERY, KEY, ANGLES, ALT, **more),
    "schedule": lambda **more: interactive.schedule(PEAKS, 0.05, ALT, **more),
    "loop": lambda **more: interactive.loop(["I"], interactive.walk(["I"], follow, steps=3), ALT, **more),
}
every_kind = pytest.mark.parametrize("kind", CALLS)


@pytest.fixture
def bundle(monkeypatch):
    """A function that calls one of `CALLS`, or a function of its own, and returns what would be displayed."""
    def call(kind, function=None, **more):
        shown = []
        monkeypatch.setattr(interactive, "display", lambda data, raw, metadata: shown.append((data, metadata)))
        (function or CALLS[kind])(**more)
        (output,) = shown
        return output
    return call


@every_kind
def test_a_bundle_of_three(kind, bundle):
    data, metadata = bundle(kind)
    assert set(data) == {"text/html", "image/png", "text/plain"}
    assert data["text/plain"] == metadata["image/png"]["alt"] == ALT
    assert data["image/png"].startswith(b"\x89PNG")
    page = data["text/html"]
    assert 'alt="This sentence says what the still picture shows, it&#x27;s &lt;short&gt; &amp; plain."' in page
    assert set(re.findall(r"https?://[^\"]+", page)) == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml"}
    assert page.count("</script>") == 1
    assert len(interactive.script(kind)) < 25_000 and len(data["image/png"]) < 90_000
    assert bundle(kind)[0]["text/html"] == page


BAD = [
    ("sampling", {"temperature": 0}, "temperature must be from 0.1 to 2.0, got 0"),
    ("sampling", {"top_k": 10}, "top_k must be from 1 to 9, got 10"),
    ("sampling", {"top_p": 1.5}, "top_p must be from 0 to 1, got 1.5"),
    ("attention", {"word": 6}, "word must be from 0 to 5, got 6"),
    ("windows", {"length": 9}, "length must be from 1 to 8, got 9"),
    ("windows", {"stride": 0}, "stride must be from 1 to 8, got 0"),
    ("rope", {"place": 61}, "place or distance is beyond its largest value"),
    ("schedule", {"shape": "round"}, "shape must be one of constant, half cosine, straight line, flat, then down"),
    ("schedule", {"peak": 0.3}, "the peak 0.3 is none of the peaks"),
    ("loop", {"stage": 10}, "stage must be from 0 to 9, got 10"),
]


@pytest.mark.parametrize(("kind", "more", "message"), BAD)
def test_what_cannot_be_shown_at_first_is_refused(kind, more, message, bundle):
    with pytest.raises(ValueError, match=re.escape(message)):
        bundle(kind, **more)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: interactive.sampling(WORDS, LOGITS, ALT, tail=[[3, 0.0]]), "the tail must be less probable"),
    (lambda: interactive.grouped(LOGITS, 9), "the logits of a tail must fall"),
    (lambda: interactive.sampling(WORDS, LOGITS[:2], ALT), "9 words need as many logits, got 2"),
    (lambda: interactive.sampling(WORDS, LOGITS / 0 * 0, ALT), "a number of the picture is nan"),
    (lambda: interactive.attention(SIX, INPUTS, INPUTS[:5], INPUTS, ALT), "6 words need as many keys, got 5"),
    (lambda: interactive.attention(SIX, INPUTS[:, :2], INPUTS, INPUTS, ALT), "must have one width, at most 4"),
    (lambda: interactive.heads(SIX, {"short": torch.eye(5)}, ALT), "head 'short' must have 6 rows"),
    (lambda: interactive.heads(SIX, {"empty": torch.zeros(6, 6)}, ALT), "must add up to 1, those of head 'empty' do"),
    (lambda: interactive.windows(TOKENS, IDS[:3], ALT), "12 tokens need as many ids, got 3"),
    (lambda: interactive.windows(TOKENS[:4], IDS[:4], ALT), "there must be from 9 to 16 tokens, got 4"),
    (lambda: interactive.merges(MERGES, [1], ["hot"], ALT), "3 steps need 4 totals, got 1"),
    (lambda: interactive.rope(QUERY[:3], KEY, ANGLES, ALT), "query must have 4 arrows of two numbers"),
    (lambda: interactive.rope([[2.0, 0.0]] * 4, KEY, ANGLES, ALT), "an arrow of query is longer than 1"),
    (lambda: interactive.loop([], interactive.walk(["I"], follow), ALT), "the text at first must have a token"),
    (lambda: interactive.loop(["I"], {}, ALT), "there is no way to go on"),
    (lambda: interactive.walk(["I"], lambda text: {"had": 0.5}), "the probabilities must add up to 1"),
])
def test_values_that_do_not_fit_are_refused(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_a_rounding_difference_does_not_change_a_fragment(bundle):
    page = bundle("attention")[0]["text/html"]
    near = INPUTS + 1e-6
    again = bundle("attention", lambda: interactive.attention(SIX, near, near, near, ALT))[0]["text/html"]
    assert again == page


def test_one_thing_has_one_colour():
    script = interactive.SCRIPT.read_text(encoding="utf-8")
    colours = dict(re.findall(r'\b([A-Z]+) = "(#[0-9A-F]{6}|#[0-9a-f]{6})"', script))
    assert len(colours) == 9
    assert colours == {name: getattr(figures, name) for name in colours}


@pytest.mark.parametrize("path", notebook_paths(ROOT / "notebooks"), ids=lambda path: path.stem)
def test_notebooks_have_the_present_script(path):
    for _, kind, script in pictures.stored(nbformat.read(path, as_version=4)):
        assert script == interactive.script(kind), "run `make extract`"


def test_the_comparison_of_notebooks_leaves_out_script_and_still_picture_only(bundle):
    page = bundle("windows")[0]["text/html"]
    for regex, replace in re.findall("^regex: (.*)$\n^replace: (.*)$",
                                     (ROOT / "tools" / "nbval.cfg").read_text(encoding="ascii"), flags=re.MULTILINE):
        page = re.sub(regex, replace, page)
    assert re.fullmatch(r"<div class=\"llm-picture\" data-kind=\"windows\" data-values='\{[^']+\}'>\n"
                        r'<img alt="[^"]+" width="\d+" src="data:image/png;base64,">\n<p>[^<]+</p>\n</div>\n'
                        "<script></script>", page)
    assert '"ids":[40,367,2885' in page


def test_a_new_script_gets_into_stored_outputs(bundle, tmp_path, monkeypatch):
    path = tmp_path / "a.ipynb"
    data, metadata = bundle("rope")
    data["image/png"] = base64.b64encode(data["image/png"]).decode()
    cell = nbformat.v4.new_code_cell("interactive.rope(...)", outputs=[nbformat.v4.new_output(
        "display_data", data=data, metadata=metadata)])
    run.write(nbformat.v4.new_notebook(cells=[cell, nbformat.v4.new_markdown_cell("text")]), path)
    before = path.read_bytes()
    pictures.main(tmp_path)
    assert path.read_bytes() == before
    longer = tmp_path / "interactive.js"
    longer.write_text(interactive.SCRIPT.read_text(encoding="utf-8").replace("// kind: start\n", r"// kind: start"
                                                                             "\n// \\1 new\n"), encoding="utf-8")
    monkeypatch.setattr(interactive, "SCRIPT", longer)
    pictures.main(tmp_path)
    ((_, kind, script),) = pictures.stored(nbformat.read(path, as_version=4))
    assert kind == "rope" and script == interactive.script("rope") and "\\1 new" in script


# From here on in headless Chromium.

STATE = """root => [...root.querySelectorAll("input, button")].map(node => [node.type,
  node.ariaLabel ?? node.textContent, node.getAttribute("aria-valuetext") ?? node.checked ?? null])"""
# Every text: its size in pixels, and the contrast between its colour and the first background behind it.
TEXTS = """root => {
  const light = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  for (const node of root.querySelectorAll(".card *")) {
    if (![...node.childNodes].some(child => child.nodeType === 3 && child.data.trim())) continue;
    const style = getComputedStyle(node);
    let behind = node;
    while (/, 0\\)$|transparent/.test(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement;
    const ink = node.namespaceURI.endsWith("svg") ? style.fill : style.color;
    const [dark, bright] = [ink, getComputedStyle(behind).backgroundColor].map(light).sort((a, b) => a - b);
    found.push([node.textContent.trim(), parseFloat(style.fontSize), (bright + 0.05) / (dark + 0.05)]);
  }
  return found;
}"""
# What reaches beyond the card, or is cut off.
OUTSIDE = """root => {
  const card = root.querySelector(".card").getBoundingClientRect();
  return [...root.querySelectorAll(".card *")].filter(node => {
    const box = node.getBoundingClientRect();
    return box.width && (box.right > card.right + 1 || box.left < card.left - 1 || box.bottom > card.bottom + 1);
  }).map(node => `${node.tagName} ${node.textContent}`);
}"""


class Picture:
    """One picture on a page: its shadow root, its controls by name, and the line that says what came of a move."""

    def __init__(self, visit, place=0):
        self.visit, self.page = visit, visit.page
        self.node = self.page.locator(".llm-picture").nth(place)

    def look(self, script):
        return self.node.evaluate(f"node => ({script})(node.shadowRoot)")

    def says(self):
        return self.node.locator(".says").text_content()

    def slider(self, name):
        return self.node.get_by_role("slider", name=name, exact=True)

    def move(self, name, value):
        """Move a slider from its start until it shows a value; return what the picture says then."""
        found = self.slider(name).evaluate("""(input, value) => {
            for (let at = 0; at <= +input.max; at++) {
                input.value = at;
                input.dispatchEvent(new Event("input"));
                if (input.getAttribute("aria-valuetext") === value) return true;
            }
        }""", value)
        assert found, f"{name} never shows {value}"
        return self.says()

    def choose(self, name):
        self.node.get_by_role("radio", name=name, exact=True).check(force=True)
        return self.says()

    def press(self, name):
        self.node.get_by_role("button", name=name).click()
        return self.says()

    def numbers(self):
        """Return the numbers that stand behind the bars."""
        return [float(text) for text in self.node.locator(".line > .number").all_text_contents()
                if re.fullmatch(r"[\d.]+", text)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of pages: one with each kind of picture, and `twice`, which has all of them two times."""
    place, original, fragments = tmp_path_factory.mktemp("pages"), interactive.display, {}
    try:
        for kind, call in CALLS.items():
            interactive.display = lambda data, raw, metadata, kind=kind: fragments.update({kind: data["text/html"]})
            call()
    finally:
        interactive.display = original
    fragments["twice"] = "\n".join([*fragments.values(), *fragments.values()])
    theme = "* { font-size: 9px; color: #888 } input { display: none }"  # must not get in
    for name, fragment in fragments.items():
        page = (f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title><style>{theme}</style>'
                f'<body style="margin: 8px">{fragment}</body></html>')
        (place / f"{name}.html").write_text(page, encoding="utf-8")
    return place


@pytest.fixture
def picture(browser, folder):
    """A function that opens the page of a kind and returns its picture; at the end no page has had an error."""
    visits = []

    def open_page(kind, place=0, **settings):
        visits.append(browser((folder / f"{kind}.html").as_uri(), **settings))
        return Picture(visits[-1], place)

    yield open_page
    for visit in visits:
        assert visit.errors == []
        assert [url for url in visit.requests if not url.startswith(("file:", "data:"))] == []
        assert len([url for url in visit.requests if url.startswith("file:")]) == 1
        visit.page.context.close()


@pytest.mark.slow
@every_kind
def test_the_keyboard_alone_reaches_and_moves_everything(kind, picture):
    shown = picture(kind)
    names = {name for _, name, _ in shown.look(STATE)}
    wanted = {name for kind_of, name, _ in shown.look(STATE) if kind_of == "range"}
    reached, moved = set(), set()
    for _ in range(len(names) + 1):
        shown.page.keyboard.press("Tab")
        if not shown.look("root => root.activeElement !== null"):
            break
        kind_of, name = shown.look('root => [root.activeElement.type, root.activeElement.ariaLabel '
                                   '?? root.activeElement.textContent]')
        mark = 'root => getComputedStyle(root.activeElement.closest(".pick")?.lastChild ?? root.activeElement)'
        assert shown.look(f"{mark}.outlineStyle") == "solid" and shown.look(f"{mark}.outlineWidth") == "3px"
        reached.add(name)
        before, was = shown.says(), shown.look(STATE)
        key = {"range": "ArrowRight", "radio": "ArrowRight", "button": "Enter"}[kind_of]
        shown.page.keyboard.press(key)
        if shown.look(STATE) == was and kind_of == "range":
            shown.page.keyboard.press("ArrowLeft")  # it stood at its end
        if kind_of != "button":
            assert shown.look(STATE) != was, name
            assert shown.says() != before and re.search(r"\d", shown.says()), name
        moved.add(name)
    assert wanted <= moved
    buttons = {name for kind_of, name, _ in shown.look(STATE) if kind_of == "button"}
    assert buttons <= reached


@pytest.mark.slow
def test_sampling_cuts_and_scales_as_the_course_does(picture):
    shown = picture("sampling")
    ordered, order = LOGITS.sort(descending=True)
    for temperature, top_k, top_p in [(0.5, None, 1.0), (2.0, 3, 1.0), (2.0, None, 0.85), (1.5, 4, 0.9), (1.0, 1, 0.0)]:
        shown.move("temperature", f"{temperature:.1f}")
        shown.move("top-k", str(top_k) if top_k else "9 (all)")
        said = shown.move("top-p", f"{top_p:.2f}")
        kept = ordered if top_k is None else ordered.masked_fill(ordered < ordered[top_k - 1], -torch.inf)
        limited = course.keep_likely(ordered, temperature, top_p or 1e-9)
        expected = course.softmax_with_temperature(torch.where(limited.isfinite(), kept, -torch.inf), temperature)
        expected = expected[expected > 0]
        assert f"{len(expected)} word{'s' * (len(expected) > 1)} left of 9" in said
        assert f"“forward”, has {expected[0]:.2f}" in said
        assert f"among {torch.special.entr(expected).sum().exp():.1f} equally likely" in said
        assert shown.numbers() == pytest.approx(expected.tolist(), abs=1e-4)
    shown.press("Draw 100 words")
    assert shown.node.locator("[role=status]").nth(1).text_content() == "100 × forward"


@pytest.mark.slow
def test_sampling_among_tokens_without_a_name(picture, browser, folder, bundle):
    torch.manual_seed(1)
    logits = (2 * torch.randn(3000)).sort(descending=True).values
    tail = interactive.grouped(logits[9:], after=9)
    page = bundle("sampling", lambda: interactive.sampling(WORDS, logits[:9], ALT, tail))[0]["text/html"]
    assert len(tail) < 60
    (folder / "many.html").write_text(f'<!doctype html><meta charset="utf-8">{page}', encoding="utf-8")
    shown = picture("many")
    exact = torch.softmax(logits, dim=0)
    assert shown.numbers() == pytest.approx([*exact[:9].tolist(), exact[9:].sum().item()], abs=2e-3)
    for top_p in (0.5, 0.9):
        said = shown.move("top-p", f"{top_p:.2f}")
        count = course.keep_likely(logits, 1.0, top_p).isfinite().sum().item()
        left = int(re.search(r"([\d,]+) tokens left of 3,000", said)[1].replace(",", ""))
        assert left == pytest.approx(count, rel=0.03)


@pytest.mark.slow
def test_attention_weighs_as_the_softmax_does(picture):
    shown = picture("attention")
    for word in (4, 0):
        said = shown.choose(SIX[word])
        weights = torch.softmax(INPUTS @ INPUTS[word], dim=0)
        numbers = torch.tensor(shown.numbers()).view(6, 2)  # score and weight
        assert torch.allclose(numbers[:, 0], INPUTS @ INPUTS[word], atol=1e-4)
        assert torch.allclose(numbers[:, 1], weights, atol=1e-4)
        assert f", {weights.max():.2f}: score" in said and f", {weights.min():.2f}. Dashed" in said
        context = [float(text) for text in shown.node.locator("p .vector .chip").all_text_contents()]
        assert context == pytest.approx((weights @ INPUTS).tolist(), abs=1e-4)
    for number in (1, 2, 3):
        said = shown.move(f"query, number {number}", "0.00")
    assert said.startswith("Your query gives most weight")
    assert shown.numbers()[1::2] == pytest.approx([1 / 6] * 6, abs=1e-4)


@pytest.mark.slow
def test_heads_say_where_a_word_looks(picture):
    shown = picture("heads")
    assert "“step” (word 6 of 6) looks at “Your” 0.17" in shown.says()
    assert "3 of 6) looks at “Your” 0.33, “journey” 0.33, “starts” (itself) 0.33" in shown.choose("starts")
    assert "3 of 6) looks at “journey” 1.00. Even weights would be 0.33" in shown.choose("previous word")
    widths = shown.look('root => [...root.querySelectorAll("path")].map(node => +node.getAttribute("stroke-width"))')
    assert max(widths) == 12
    assert shown.choose("Your").endswith("nothing stands before it.")


@pytest.mark.slow
def test_windows_are_those_of_the_dataset(picture):
    class Tokenizer:
        def encode(self, text, **_):
            return IDS

    shown = picture("windows")
    for length, stride in [(1, 1), (4, 1), (3, 5), (8, 8)]:
        shown.move("length", str(length))
        said = shown.move("stride", str(stride))
        dataset = course.GPTDatasetV1("", Tokenizer(), length, stride)
        assert f"{len(dataset)} window{'s' * (len(dataset) > 1)}, {len(dataset) * length} target" in said
        used = {number for row in (*dataset.input_ids.tolist(), *dataset.target_ids.tolist()) for number in row}
        assert [int(number) for number in re.findall(r"\((\d+)\)", said)] == [i for i in IDS if i not in used]
        last = len(dataset) - 1
        shown.move("look at window", str(last))
        exercises = shown.node.locator(".says + div > div").all_text_contents()
        names = dict(zip(IDS, map(figures.visible, TOKENS), strict=True))
        inputs, targets = (row.tolist() for row in dataset[last])
        assert exercises == ["".join(names[i] for i in inputs[: end + 1]) + " → " + names[targets[end]]
                             for end in range(length)]


@pytest.mark.slow
def test_merges_cut_the_sample(picture):
    shown = picture("merges")
    cuts = {"0": "h|o|t|·|h|o|t|t|e|r", "1": "h|ot|·|h|ot|t|e|r", "2": "hot|·|hot|t|e|r", "3": "hot|·|hot|t|er"}
    for done, cut in cuts.items():
        said = shown.move("merges learned", done)
        assert "|".join(shown.node.locator("p.note + div .chip").all_text_contents()) == cut
        assert f"{cut.count('|') + 1} tokens for 10 characters" in said
    assert "7 tokens, 50% of what it was" in shown.press("◀ Undo")
    assert shown.numbers() == [2, 1]
    assert shown.node.get_by_role("button", name="Merge").is_enabled() and "“er”" in shown.press("Merge ▶")
    assert shown.node.get_by_role("button", name="Merge").is_disabled()


@pytest.mark.slow
def test_rope_scores_depend_on_the_distance_only(picture):
    def score(place, distance):
        cos, sin = course.compute_rope(8, 200, base=10_000.0)
        rows = [torch.tensor(arrows).view(1, 1, 1, 8) for arrows in (QUERY, KEY)]
        q, k = (course.apply_rope(row, cos[at : at + 1], sin[at : at + 1])
                for row, at in zip(rows, (place + distance, place), strict=True))
        return (q * k).sum().item()

    shown = picture("rope")
    shown.page.keyboard.press("Tab")
    shown.page.keyboard.press("ArrowRight")
    assert "The last move did not change the score." in shown.says()
    shown.page.keyboard.press("Tab")
    shown.page.keyboard.press("ArrowRight")
    assert f"Before the last move it was {score(6, 2):.3f}." in shown.says()
    for place, distance in [(5, 7), (60, 7), (0, 40), (33, 40)]:
        shown.move("place of the key", str(place))
        said = shown.move("distance of the query from it", str(distance))
        assert float(re.search(r"= (-?\d+\.\d+)", said)[1]) == pytest.approx(score(place, distance), abs=2e-3)
        assert score(place, distance) == pytest.approx(score(0, distance), abs=1e-4)


@pytest.mark.slow
def test_schedules_are_the_courses(picture):
    shown = picture("schedule")

    def distance(rates):
        mean, variance = 10.0, 0.0
        for rate in rates:
            mean, variance = (1 - rate) * mean, (1 - rate) ** 2 * variance + rate**2
        return math.sqrt(mean**2 + variance)

    for peak, warmup, floor in [(0.1, 0, 0.0), (1.0, 20, 0.5), (0.02, 100, 0.0)]:
        shown.move("peak rate", str(peak).rstrip("0").rstrip("."))
        shown.move("steps of warmup", str(warmup))
        shown.move("floor, share of peak", f"{floor:.2f}")
        said = shown.move("look at step", "50")
        rates = [course.learning_rate_at(step, 100, warmup, peak, 0.05 * peak, floor * peak) for step in range(100)]
        found = {name: float(re.search(rf"{name} ([\d.]+\d)", said)[1])
                 for name in ("rate", "First rate", "last", "At the end")}
        assert found == pytest.approx({"rate": rates[50], "First rate": rates[0], "last": rates[-1],
                                       "At the end": distance(rates)}, rel=0.01, abs=5e-4)
    said = shown.choose("flat, then down")
    shown.move("steps of warmup", "0")
    shown.move("peak rate", "0.5")
    said = shown.move("look at step", "85")
    assert "Step 85: rate 0.25" in said
    said = shown.choose("constant")
    assert f"At the end {distance([0.5] * 100):.3f}: farther than the best constant rate, 0.05" in said


@pytest.mark.slow
def test_the_loop_appends_what_was_drawn(picture):
    shown = picture("loop")
    values = json.loads(shown.node.get_attribute("data-values"))
    for way, steps in values["ways"].items():
        shown.choose(way)
        assert "1 word of text go" in shown.move("stage", "0 of 9")
        said = shown.press("Next")
        assert "The model gives 3 words a probability. “had” leads with 0.500" in said
        assert shown.numbers() == [0.5, 0.25, 0.25]
        said = shown.press("Next")
        (word, share), dice = steps[0]["drawn"], steps[0]["dice"]
        assert f"“{word}”" in said
        if dice is None:
            assert word == "had"
        else:
            assert steps[0]["from"] <= dice <= steps[0]["to"]
            assert steps[0]["to"] - steps[0]["from"] == pytest.approx(share)
            assert f"The dice shows {dice:.3f}" in said
        shown.press("Next")
        chips = shown.node.locator(".row + div > .chip").all_text_contents()
        assert chips == ["I", word, " ? "]
        text = ["I"]
        for step in steps:
            assert step["top"][0][1] == max(FOLLOWERS[text[-1]].values())
            text.append(step["drawn"][0])
        assert f"{len(text)} words of text" in shown.move("stage", "9 of 9")


def test_words_are_drawn_as_often_as_they_are_probable():
    ways = interactive.walk(["I"], follow, seeds=range(400), steps=1)
    counts = Counter(steps[0]["drawn"][0] for name, steps in ways.items() if name.startswith("draw"))
    assert counts["had"] == pytest.approx(200, abs=40) and counts["was"] == pytest.approx(100, abs=40)


@pytest.mark.slow
def test_a_word_moves_only_where_movement_is_welcome(picture):
    running = "root => root.getAnimations().filter(move => !(move instanceof CSSTransition)).length"
    for reduced, moves in ((False, 1), (True, 0)):
        shown = picture("loop", reduced_motion="reduce" if reduced else "no-preference")
        shown.press("Next")
        assert shown.look(running) == moves
        assert shown.look('root => getComputedStyle(root.querySelector("button")).transitionDuration') == "0s"


@pytest.mark.slow
def test_two_copies_on_one_page_do_not_disturb_each_other(picture):
    first = picture("twice")
    for place, kind in enumerate(CALLS):
        one, other = (Picture(first.visit, number) for number in (place, place + len(CALLS)))
        assert one.says() == other.says() and one.look(STATE) == other.look(STATE)
        control = one.node.get_by_role("radio" if kind == "heads" else "slider").first
        control.focus()
        one.page.keyboard.press("ArrowRight")
        assert one.look(STATE) != other.look(STATE) and one.says() != other.says(), kind
    assert first.page.locator(".llm-picture .card").count() == 2 * len(CALLS)


@pytest.mark.slow
@every_kind
@pytest.mark.parametrize("width", [400, 1280])
def test_texts_are_large_and_dark_enough_and_nothing_sticks_out(kind, width, picture):
    shown = picture(kind, width=width, dark=True)
    for name in [None, *(name for kind_of, name, _ in shown.look(STATE) if kind_of == "range")]:
        for end in ("Home", "End") if name else ("",):
            if name:
                shown.slider(name).focus()
                shown.page.keyboard.press(end)
            for text, size, contrast in shown.look(TEXTS):
                assert size >= 13.3 and contrast >= 4.5, (text, size, contrast)
            assert shown.look(OUTSIDE) == [], (name, end)
            assert shown.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.slow
def test_without_scripts_the_still_pictures_stand_there(browser, folder):
    visit = browser((folder / "twice.html").as_uri(), java_script_enabled=False)
    images = visit.page.get_by_role("img", name=ALT)
    assert images.count() == visit.page.get_by_text(interactive.HINT).count() == 2 * len(CALLS)
    assert all(images.nth(place).bounding_box()["width"] > 200 for place in range(len(CALLS)))
