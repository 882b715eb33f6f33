"""Chapter 7's tasks: the split without leaks, the same data everywhere, one right answer each, the score."""

import hashlib
import json
import re
from collections import Counter
from datetime import datetime
from itertools import combinations, permutations

import pytest

from chapters import instruction_data
from chapters.instruction_data import COUNTS, KINDS, make_examples, score, split_materials

DATA = make_examples()
SPLITS = ("train", "validation", "test")
EVERY = [example for split in SPLITS for example in DATA[split]]
GOLDEN = "85bff1a4fb7c722375951fa7454cabef1605bc9ec879eeb9dfa610e922926df0"


def of_kind(kind, split):
    return [example for example in DATA[split] if example["kind"] == kind]


def phrasing_items(example, phrasings):
    """Return the items that the wordings which fit an instruction leave in it, or below it; none if no wording fits."""
    items = []
    for phrasing in phrasings:
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+)", re.escape(phrasing))
        if (match := re.fullmatch(pattern, example["instruction"])) and bool(example["input"]) == (
                "{item}" not in phrasing and "{a}" not in phrasing):
            found = match.groupdict()
            items.append(found["a"] + " " + found["b"] if "a" in found else found.get("item", example["input"]))
    return items


def item_of(example, split):
    return phrasing_items(example, split_materials(example["kind"], split)["phrasings"])[0]


def hide(text, *parts):
    """Return the text with a mark in the place of each part."""
    for part in parts:
        text = text.replace(str(part), "…", 1)
    return text


def date_pieces(item, output):
    day, month = sorted(re.findall(r"\w+", output)[:2])
    return [(day, month), hide(item, output)]


def mail_pieces(item, output):
    user, domain = output.split("@")
    return [*user.split("."), "at " + domain.split(".")[0], hide(item, output)]


def json_pieces(item, output):
    facts = json.loads(output)
    return [*facts.items(), (tuple(facts), hide(item, *facts.values()))]


PIECES = {  # what the task of an item and its output is made of
    "passive voice": lambda item, output: set(re.findall(r"\w+", item.lower())) - {"the"},
    "upper case": lambda item, output: set(item.split()) - {"the"},
    "sort words": lambda item, output: item.split(", "),
    "sort numbers": lambda item, output: item.split(", "),
    "odd one out": lambda item, output: item.split(", "),
    "list of three": lambda item, output: re.split(", | and ", item),
    "largest number": lambda item, output: [re.sub(r"\d+", "…", item), *re.findall(r"\d+", item)],
    "e-mail address": mail_pieces,
    "date": date_pieces,
    "JSON": json_pieces,
    "addition": lambda item, output: [frozenset(item.split())],
}


def pieces(example, split):
    item = item_of(example, split)
    return set(PIECES.get(example["kind"], lambda item, output: [item])(item, example["output"]))


def leaves(parts):
    """Return all strings, numbers and tuples in lists of lists, and in the values of dictionaries."""
    if isinstance(parts, (list, dict)):
        return {leaf for part in (parts.values() if isinstance(parts, dict) else parts) for leaf in leaves(part)}
    return {parts}


# The data
def test_the_same_data_everywhere():
    text = json.dumps(DATA, ensure_ascii=False, sort_keys=True)
    assert hashlib.sha256(text.encode()).hexdigest() == GOLDEN


def test_every_kind_has_its_number_of_examples_in_each_split():
    assert len(KINDS) == len(set(KINDS)) == 18 and COUNTS == {"train": 50, "validation": 3, "test": 12}
    for split in SPLITS:
        assert Counter(example["kind"] for example in DATA[split]) == dict.fromkeys(KINDS, COUNTS[split])
        assert [example["kind"] for example in DATA[split][:len(KINDS)]] != list(KINDS)  # shuffled


def test_an_example_is_four_texts():
    for example in EVERY:
        assert list(example) == ["kind", "instruction", "input", "output"]
        assert all(isinstance(text, str) and text == text.strip() for text in example.values())
        assert example["instruction"] and example["output"] and not re.search("[{}]", example["instruction"])


def test_no_task_comes_twice():
    for kind in KINDS:
        items = [item_of(example, split) for split in SPLITS for example in of_kind(kind, split)]
        assert len(items) == len(set(items)) == sum(COUNTS.values()), kind


def test_another_seed_draws_other_data_of_the_same_materials():
    other = make_examples(1)
    assert other == make_examples(1) != DATA
    for split in SPLITS:
        for kind in KINDS:
            drawn = [example for example in other[split] if example["kind"] == kind]
            assert len(drawn) == COUNTS[split]
            assert all(phrasing_items(example, split_materials(kind, split)["phrasings"]) for example in drawn)
            assert sum(example in of_kind(kind, split) for example in drawn) < COUNTS[split], kind


# The split
@pytest.mark.parametrize("kind", KINDS)
def test_no_wording_of_one_split_fits_an_instruction_of_another(kind):
    wordings = {split: split_materials(kind, split)["phrasings"] for split in SPLITS}
    assert len(wordings["train"]) >= 8 and len(wordings["validation"]) >= 2 and len(wordings["test"]) >= 3
    for split in SPLITS:
        counts = Counter()
        for example in of_kind(kind, split):
            assert phrasing_items(example, wordings[split]), example
            assert not any(phrasing_items(example, wordings[other]) for other in SPLITS if other != split), example
            counts.update(wording for wording in wordings[split] if phrasing_items(example, [wording]))
        assert set(counts) == set(wordings[split])
        # as often as each other, up to one
        assert max(counts.values()) - min(counts.values()) <= 1, counts


@pytest.mark.parametrize("kind", KINDS)
def test_no_piece_of_a_task_occurs_in_two_splits(kind):
    found = {split: set().union(*(pieces(example, split) for example in of_kind(kind, split))) for split in SPLITS}
    assert all(len(found[split]) > COUNTS[split] // 2 for split in SPLITS)
    for one, other in combinations(SPLITS, 2):
        assert not found[one] & found[other]


@pytest.mark.parametrize("kind", KINDS)
def test_the_materials_of_two_splits_have_nothing_in_common(kind):
    parts = {split: split_materials(kind, split) for split in SPLITS}
    if kind == "opposite":  # what follows the first two words are other answers that count as right
        for each in parts.values():
            each["opposites"] = [pair[:2] for pair in each["opposites"]]
    for one, other in combinations(SPLITS, 2):
        assert parts[one].keys() == parts[other].keys()
        for name in parts[one]:
            assert leaves(parts[one][name]) and not leaves(parts[one][name]) & leaves(parts[other][name]), name


def test_every_wording_belongs_to_one_kind():
    wordings = Counter(wording for kind in KINDS for split in SPLITS
                       for wording in split_materials(kind, split)["phrasings"])
    assert max(wordings.values()) == 1 and len(wordings) >= 13 * len(KINDS)


# One right answer
def test_every_stored_answer_is_right_and_no_input_is():
    for seed in range(10):
        for split, examples in make_examples(seed).items():
            for example in examples:
                assert score(example, example["output"]) == "right", example
                assert score(example, example["input"]) != "right", example
                assert score(example, item_of(example, split)) != "right", example


@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_to_another_task_is_wrong(kind):
    pairs = [(one, other) for split in SPLITS for one, other in permutations(of_kind(kind, split), 2)
             if one["output"] != other["output"]]
    assert len(pairs) > 1000
    for one, other in pairs:
        assert score(one, other["output"]) == "wrong", (one, other)


def test_sorting_and_the_largest_number_have_no_ties():
    for kind in ("sort words", "sort numbers"):
        for example in of_kind(kind, "train") + of_kind(kind, "test"):
            things = example["input"].split(", ")
            keys = [int(thing) if kind == "sort numbers" else thing.lower() for thing in things]
            assert len(set(keys)) == len(keys) and keys != sorted(keys)
            assert example["output"] == ", ".join(str(key) for key in sorted(keys))
    for example in of_kind("largest number", "train") + of_kind("largest number", "test"):
        numbers = list(map(int, re.findall(r"\d+", example["input"])))
        assert len(set(numbers)) == 3 and example["output"] == str(max(numbers))


def test_the_odd_one_is_the_only_one_of_another_category():
    category = {word: name for name, words in instruction_data.word_lists()["categories"].items() for word in words}
    assert len(category) == sum(map(len, instruction_data.word_lists()["categories"].values()))  # no word in two
    places = Counter()
    for split in SPLITS:
        for example in of_kind("odd one out", split):
            four = example["input"].split(", ")
            others = {category[word] for word in four if word != example["output"]}
            assert len(four) == len(set(four)) == 4 and len(others) == 1 and category[example["output"]] not in others
            places[four.index(example["output"])] += 1
    assert min(places.values()) >= 8  # of 65: the place says nothing


def test_numbers_times_and_units_are_right():
    factors = {("kilometres", "metres"): 1000, ("metres", "centimetres"): 100, ("centimetres", "millimetres"): 10,
               ("kilograms", "grams"): 1000, ("litres", "millilitres"): 1000, ("weeks", "days"): 7,
               ("days", "hours"): 24, ("hours", "minutes"): 60, ("minutes", "seconds"): 60, ("years", "months"): 12}
    for split in SPLITS:
        for example in DATA[split]:
            item, answer = item_of(example, split), example["output"]
            if example["kind"] == "addition":
                assert sum(map(int, item.split())) == int(answer)
            elif example["kind"] == "subtraction":
                smaller, larger = sorted(map(int, item.split()))
                assert larger - smaller == int(answer) > 0
            elif example["kind"] == "units":
                (number, big), (result, small) = item.split(), answer.split()
                assert int(number) * factors[big, small] == int(result) and f" {small}" in example["instruction"]
            elif example["kind"] == "24-hour time":
                assert datetime.strptime(item, "%I:%M %p").strftime("%H:%M") == answer
    assert [instruction_data.in_words(number) for number in (0, 13, 20, 47, 90, 99)] == [
        "zero", "thirteen", "twenty", "forty-seven", "ninety", "ninety-nine"]


def test_the_lists_of_words_are_in_order():
    lists = instruction_data.word_lists()
    for name in ("agents", "names", "cities", "jobs", "colours", "adjectives", "mail users", "mail domains"):
        assert len(set(lists[name])) == len(lists[name]), name
    for name in ("nouns", "verbs"):
        assert all(one != other for one, other in lists[name])  # "sheep" and "cut" would be right as they stand
        assert len({one for one, _ in lists[name]}) == len(lists[name])
    objects = [thing for _, _, things in lists["actions"] for thing in things]
    assert len(set(objects)) == len(objects) and not any(re.search("(ss|us)$", thing) for thing in objects)
    opposites = Counter(word for first, second, *_ in lists["opposites"] for word in (first, second))
    assert max(opposites.values()) == 1


# The score
CASES = [  # kind, output, right answers, wrong ones, and ones that are not in the form asked for
    ("passive voice", "The door was closed by Anna.",
     ["the door was closed by Anna", "  The  door was closed by anna. ", '"The door was closed by Anna."'],
     ["The door were closed by Anna.", "Anna closed the door.", "The door was closed by Ann.", "The door was closed."],
     ["Sure! The door was closed by Anna.", "Passive: The door was closed by Anna.", "closed",
      "The door was closed by Anna. It is in the passive voice."]),
    ("past tense", "went", ["Went", " went. ", '"went"', "“went”"], ["goed", "gone", "wents"],
     ["The past tense is went.", "went, gone", "I went", "1"]),
    ("plural", "mice", ["Mice", "mice.\n"], ["mouses", "mouse"], ["The plural is mice.", "the mice", "mouse → mice"]),
    ("opposite", "small", ["Small", "little", "'small'."], ["big", "short", "smal"],
     ["The opposite is small.", "small or little", "not big"]),
    ("odd one out", "chair", ["Chair.", "`chair`"], ["cat", "chairs"], ["The chair", "Chair, it is no animal", "1"]),
    ("upper case", "THE GREEN SOFA", ["THE  GREEN SOFA.", '"THE GREEN SOFA"'],
     ["The Green Sofa", "the green sofa", "GREEN SOFA", "THE GREEN SOFa", "THEGREENSOFA"],
     ["Here it is: THE GREEN SOFA", "THE GREEN SOFA IN CAPITALS"]),
    ("sort words", "fig, moss, pear, sofa", ["Fig,moss , pear, sofa.", "fig moss pear sofa", "fig\nmoss\npear\nsofa"],
     ["fig, pear, moss, sofa", "fig, moss, pear", "fig, moss, pear, sofa, tuba", "fig, fig, pear, sofa"],
     ["Here they are: fig, moss, pear, sofa", "fig", "The words are fig, moss, pear, sofa", "1, 2, 3, 4"]),
    ("sort numbers", "7, 19, 142", ["7,19,142", "7 19 142", " 7, 19, 142."], ["7, 142, 19", "7, 19", "7, 19, 143"],
     ["The order is 7, 19, 142", "seven, nineteen", "7", "7 < 19 < 142"]),
    ("e-mail address", "anna@mill.example.org", ["Anna@mill.example.org", "anna@mill.example.org."],
     ["ana@mill.example.org", "anna@mill.example", "anna@mill.example.com"],
     ["The address is anna@mill.example.org.", "anna", "anna at mill", "anna@mill.example.org today"]),
    ("date", "14 March 2024", ["14 march 2024.", "March 14, 2024", "March 14 2024"],
     ["15 March 2024", "14 May 2024", "14 March 2023"], ["14 March", "On 14 March 2024", "2024-03-14", "March"]),
    ("largest number", "45", ["45.", " 45"], ["44", "54", "450"],
     ["45 hens", "The largest number is 45.", "forty-five"]),
    ("units", "3000 metres", ["3000", "3,000 metres.", "3000 m", "3000metres", "3000 Meters", "3000 metre"],
     ["300 metres", "3000 kilometres", "3000 litres", "3000 millimetres", "30000"],
     ["3 kilometres are 3000 metres.", "metres", "3 km = 3000 m"]),
    ("24-hour time", "09:05", ["9:05", "09:05."], ["21:05", "09:50", "9:06"], ["9:05 am", "It is 09:05.", "9", "905"]),
    ("number in words", "forty-seven", ["Forty-seven.", "forty seven", "forty - seven"], ["forty-six", "forty"],
     ["47", "The number is forty-seven.", "47 is forty-seven", "fourty-seven"]),
    ("JSON", '{"name": "Anna", "age": 31}',
     ['{"name":"Anna","age":31}', '{"age": 31,\n "name": "anna"}', '{"name": "Anna", "age": "31"}'],
     ['{"name": "Anna"}', '{"name": "Anna", "age": 32}', '{"Name": "Anna", "age": 31}', "{}",
      '{"name": "Anna", "age": 31, "city": "Oslo"}', '{"name": ["Anna"], "age": 31}'],
     ["Anna is 31.", '{"name": "Anna", "age": 31', "{'name': 'Anna', 'age': 31}", '["Anna", 31]', "31", "null",
      'Here it is: {"name": "Anna", "age": 31}', '```json\n{"name": "Anna", "age": 31}\n```']),
    ("list of three", "- lion\n- bear\n- zebra", ["-lion\n- bear\n-  Zebra", "- lion\n\n- bear\n- zebra\n"],
     ["- bear\n- lion\n- zebra", "- lion\n- bear\n- zebras", "- lion\n- bear\n- and zebra"],
     ["lion, bear, zebra", "- lion - bear - zebra", "- lion\n- bear", "Here you are:\n- lion\n- bear\n- zebra",
      "lion\nbear\nzebra", "1. lion\n2. bear\n3. zebra"]),
    ("addition", "35", ["35.", " 35"], ["36", "53", "3"], ["20 + 15 = 35", "The sum is 35.", "thirty-five", "3.5"]),
    ("subtraction", "4", ["4.", "04"], ["5", "14", "24"], ["20 - 16 = 4", "The answer is 4.", "-", "four"]),
]


def test_every_kind_has_cases():
    assert sorted(case[0] for case in CASES) == sorted(KINDS)


@pytest.mark.parametrize(("kind", "output", "right", "wrong", "form"), CASES, ids=[case[0] for case in CASES])
def test_what_is_right_what_is_wrong_and_what_is_not_in_form(kind, output, right, wrong, form):
    example = {"kind": kind, "instruction": "", "input": "", "output": output}
    for wanted, answers in (("right", [output, *right]), ("wrong", wrong), ("form", [*form, "", " ", "\n", ".", '""'])):
        assert [(answer, score(example, answer)) for answer in answers] == [(answer, wanted) for answer in answers]


def test_an_answer_with_words_before_it_is_not_in_form():
    for example in EVERY:
        for opening in ("Sure! ", "The answer is: ", "Here is the answer:\n", "Of course! Here you go:\n\n"):
            assert score(example, opening + example["output"]) == "form", (example, opening)


def test_spaces_quotes_a_full_stop_and_most_capitals_do_not_matter():
    for example in EVERY:
        assert score(example, f"  {example['output']}\n\n") == "right"
        assert score(example, f"{example['output'].rstrip('.')}.") == "right"
        assert score(example, f'"{example["output"]}"') == "right"
        if example["kind"] != "upper case":
            assert score(example, example["output"].upper()) == ("wrong" if example["kind"] == "JSON" else "right")


# Bad input
@pytest.mark.parametrize(("call", "message"), [
    (lambda: score({"kind": "poem", "output": ""}, "x"), "no kind 'poem'; there are passive voice, past tense"),
    (lambda: split_materials("poem", "test"), "no kind 'poem'"),
    (lambda: split_materials("plural", "dev"), "no split 'dev'; there are train, validation, test"),
])
def test_unknown_kinds_and_splits_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
