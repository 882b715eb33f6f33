"""Chapter 7 · Small tasks with one right answer each.

    data = make_examples()
    data["train"][0]    # {"kind": "plural", "instruction": "Give the plural of this noun.", "input": "river", ...}
    score(data["test"][0], "rivers")    # "right", "wrong" or "form"

With these tasks chapter 7 teaches a model to follow instructions. There are 18 kinds of them. What they are made of,
such as words, names, sentences, numbers and wordings, is cut into three parts before anything is drawn, so that no task
of the test can be answered from memory; `split_materials` shows the parts. This module is written by hand, unlike the
others here; its words are in notebooks/data/words-for-tasks.json.
"""

import json
import random
import re
from functools import cache
from itertools import chain, combinations
from pathlib import Path

__all__ = ["KINDS", "make_examples", "score", "split_materials"]

COUNTS = {"train": 50, "validation": 3, "test": 12}  # examples per kind
SHARES = {"validation": 0.1, "test": 0.22}  # of a list of words; the rest is for training
UNITS = (("kilometres", "metres", 1000), ("metres", "centimetres", 100), ("centimetres", "millimetres", 10),
         ("kilograms", "grams", 1000), ("litres", "millilitres", 1000), ("weeks", "days", 7), ("days", "hours", 24),
         ("hours", "minutes", 60), ("minutes", "seconds", 60), ("years", "months", 12))
SHORT_UNITS = {"m": "metre", "cm": "centimetre", "mm": "millimetre", "g": "gram", "ml": "millilitre", "h": "hour",
               "min": "minute", "s": "second"}
ONES = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen").split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
MONTHS = "January February March April May June July August September October November December".split()


@cache
def word_lists():
    """Return the lists of words, sentences and wordings. Read when they are needed: an import reads no file."""
    path = Path(__file__).parent.parent / "notebooks/data/words-for-tasks.json"
    return json.loads(path.read_text(encoding="utf-8"))


# What the tasks are made of, in three parts
def cut(things, split, at_least=1):
    """Return one of the three parts of a list, the same part of the same list every time.

    Args:
        things: a list.
        split: "train", "validation" or "test".
        at_least: the length of a part, however short the list.
    """
    things = list(things)
    random.Random("three parts").shuffle(things)
    validation, test = (max(at_least, round(SHARES[name] * len(things))) for name in ("validation", "test"))
    ends = {"validation": (0, validation), "test": (validation, validation + test)}
    start, end = ends.get(split, (validation + test, len(things)))
    return things[start:end]


def cut_categories(split):
    """Return {category: its words in one part}."""
    return {name: cut(members, split, at_least=3) for name, members in word_lists()["categories"].items()}


def cut_things(split, *names):
    """Return the words of some categories, or of all, in one part."""
    categories = cut_categories(split)
    return list(chain(*(categories[name] for name in names or categories)))


def cut_words(*names):
    """Return a function from a split to {name: that part of the list in the file of words}."""
    return lambda split: {name: cut(word_lists()[name], split) for name in names}


MATERIALS = {
    "passive voice": cut_words("agents", "names", "actions"),
    "past tense": cut_words("verbs"),
    "plural": cut_words("nouns"),
    "upper case": lambda split: {"adjectives": cut(word_lists()["adjectives"], split),
                                 "things": cut_things(split, "furniture", "instruments", "clothes", "buildings")},
    "sort words": lambda split: {"words": cut_things(split)},
    "sort numbers": lambda split: {"numbers": cut(range(2, 250), split)},
    "e-mail address": cut_words("mail sentences", "mail users", "names", "mail domains"),
    "date": lambda split: {"date sentences": cut(word_lists()["date sentences"], split),
                           "days": cut([(day, month) for month in MONTHS for day in range(1, 29)], split)},
    "largest number": lambda split: {"counting sentences": cut(word_lists()["counting sentences"], split),
                                     "numbers": cut(range(2, 100), split)},
    "units": lambda split: {"amounts": cut([(n, *unit) for unit in UNITS for n in range(2, 13)], split)},
    "24-hour time": lambda split: {"times": cut([(hour, 5 * step) for hour in range(24) for step in range(12)], split)},
    "number in words": lambda split: {"numbers": cut(range(13, 100), split)},
    "JSON": lambda split: {"records": {tuple(record["keys"]): cut(record["sentences"], split)
                                       for record in word_lists()["records"]},
                           "name": cut(word_lists()["names"], split), "city": cut(word_lists()["cities"], split),
                           "job": cut(word_lists()["jobs"], split), "colour": cut(word_lists()["colours"], split),
                           "item": cut_things(split, "furniture", "instruments"), "age": cut(range(18, 90), split),
                           "price": cut(range(5, 300), split)},
    "list of three": lambda split: {"categories": cut_categories(split)},
    "addition": lambda split: {"pairs": cut(combinations(range(2, 31), 2), split)},
    "subtraction": lambda split: {"pairs": cut(((a, b) for a in range(5, 41) for b in range(2, a)), split)},
    "odd one out": lambda split: {"categories": cut_categories(split)},
    "opposite": cut_words("opposites"),
}
KINDS = tuple(MATERIALS)


def split_materials(kind, split):
    """Return what the tasks of one kind are made of in one split.

    No word, sentence, number, pair or wording stands in the lists of two splits. Numbers make the items alone or, where
    a single one says little, together: 7 + 15 and 3 hours are items, and 7 and 3 may stand in other splits.

    Args:
        kind: one of KINDS.
        split: "train", "validation" or "test".

    Returns:
        {"phrasings": [the wordings of the instruction, ...], and more lists, of words, sentences or numbers}

    Raises:
        ValueError: there is no such kind or split.
    """
    check_known("kind", kind, KINDS)
    check_known("split", split, COUNTS)
    return {"phrasings": word_lists()["phrasings"][kind][split], **MATERIALS[kind](split)}


def check_known(what, name, names):
    """Raise a ValueError unless a name is one of the names."""
    if name not in names:
        raise ValueError(f"no {what} {name!r}; there are {', '.join(names)}")


# One function per kind draws the blanks of the instruction and the answer
def draw_passive(rng, parts):
    """Return "Anna wrote the report." and "The report was written by Anna."."""
    past, participle, objects = rng.choice(parts["actions"])
    agent, thing = rng.choice(parts["agents"] + parts["names"]), rng.choice(objects)
    be = "were" if thing.endswith("s") else "was"
    return {"item": sentence(f"{agent} {past} {thing}.")}, sentence(f"{thing} {be} {participle} by {agent}.")


def sentence(text):
    """Return the text with a capital at its beginning."""
    return text[0].upper() + text[1:]


def draw_pair(name):
    """Return a function that draws a word and its answer from a list of pairs."""
    def draw(rng, parts):
        word, answer, *_ = rng.choice(parts[name])
        return {"item": word}, answer
    return draw


def draw_upper_case(rng, parts):
    """Return "the green sofa" and "THE GREEN SOFA"."""
    text = f"the {rng.choice(parts['adjectives'])} {rng.choice(parts['things'])}"
    return {"item": text}, text.upper()


def draw_sorting(name):
    """Return a function that draws three or four words or numbers, not in order, and gives them in order."""
    def draw(rng, parts):
        things = rng.sample(parts[name], rng.choice([3, 4]))
        while things == sorted(things):
            rng.shuffle(things)
        return {"item": ", ".join(map(str, things))}, ", ".join(map(str, sorted(things)))
    return draw


def draw_mail(rng, parts):
    """Return a sentence with an e-mail address, and the address. No address can be anybody's: see RFC 2606."""
    first, second = rng.sample(parts["names"], 2)
    user = rng.choice([first, f"{first}.{second}", rng.choice(parts["mail users"])]).lower()
    address = f"{user}@{rng.choice(parts['mail domains'])}.example{rng.choice(['', '.org', '.com'])}"
    return {"item": rng.choice(parts["mail sentences"]).format(address)}, address


def draw_date(rng, parts):
    """Return a sentence with a date, and the date: 14 March 2024 or March 14, 2024."""
    (day, month), year = rng.choice(parts["days"]), rng.randrange(1950, 2026)
    date = rng.choice([f"{day} {month} {year}", f"{month} {day}, {year}"])
    return {"item": rng.choice(parts["date sentences"]).format(date)}, date


def draw_largest(rng, parts):
    """Return a sentence with three different numbers, and the largest."""
    numbers = rng.sample(parts["numbers"], 3)
    return {"item": rng.choice(parts["counting sentences"]).format(*numbers)}, str(max(numbers))


def draw_units(rng, parts):
    """Return "3 hours", the unit asked for, and "180 minutes"."""
    number, big, small, factor = rng.choice(parts["amounts"])
    return {"item": f"{number} {big}", "unit": small}, f"{number * factor} {small}"


def draw_time(rng, parts):
    """Return "3:45 pm" and "15:45"."""
    hour, minute = rng.choice(parts["times"])
    half = "pm" if hour >= 12 else "am"
    return {"item": f"{(hour + 11) % 12 + 1}:{minute:02} {half}"}, f"{hour:02}:{minute:02}"


def draw_number_in_words(rng, parts):
    """Return "47" and "forty-seven"."""
    number = rng.choice(parts["numbers"])
    return {"item": str(number)}, in_words(number)


def in_words(number):
    """Return a number from 0 to 99 in words."""
    if number < 20:
        return ONES[number]
    return TENS[number // 10 - 2] + (f"-{ONES[number % 10]}" if number % 10 else "")


def draw_json(rng, parts):
    """Return "Anna lives in Oslo.", the keys, and the two facts in JSON."""
    keys, sentences = rng.choice(list(parts["records"].items()))
    facts = {key: rng.choice(parts[key]) for key in keys}
    text = rng.choice(sentences).format(*facts.values())
    return {"item": text, "keys": " and ".join(f'"{key}"' for key in keys)}, json.dumps(facts)


def draw_list(rng, parts):
    """Return "lion, bear and zebra" and a line with a dash for each."""
    first, second, third = rng.sample(rng.choice(list(parts["categories"].values())), 3)
    return {"item": f"{first}, {second} and {third}"}, f"- {first}\n- {second}\n- {third}"


def draw_addition(rng, parts):
    """Return two numbers, in either order, and their sum."""
    a, b = rng.sample(rng.choice(parts["pairs"]), 2)
    return {"a": a, "b": b}, str(a + b)


def draw_subtraction(rng, parts):
    """Return two numbers, the larger one first, and their difference."""
    a, b = rng.choice(parts["pairs"])
    return {"a": a, "b": b}, str(a - b)


def draw_odd_one_out(rng, parts):
    """Return three words of one category and one of another, and that one."""
    many, one = rng.sample(list(parts["categories"].values()), 2)
    odd = rng.choice(one)
    four = [*rng.sample(many, 3), odd]
    rng.shuffle(four)
    return {"item": ", ".join(four)}, odd


DRAW = {"passive voice": draw_passive, "past tense": draw_pair("verbs"), "plural": draw_pair("nouns"),
        "upper case": draw_upper_case, "sort words": draw_sorting("words"), "sort numbers": draw_sorting("numbers"),
        "e-mail address": draw_mail, "date": draw_date, "largest number": draw_largest, "units": draw_units,
        "24-hour time": draw_time, "number in words": draw_number_in_words, "JSON": draw_json,
        "list of three": draw_list, "addition": draw_addition, "subtraction": draw_subtraction,
        "odd one out": draw_odd_one_out, "opposite": draw_pair("opposites")}


def make_kind(kind, split, seed):
    """Return the examples of one kind in one split; every wording comes equally often, no task comes twice."""
    rng, parts, examples, drawn = random.Random(f"{seed} {kind} {split}"), split_materials(kind, split), [], []
    phrasings = rng.sample(parts["phrasings"], len(parts["phrasings"]))
    while len(examples) < COUNTS[split]:
        blanks, output = DRAW[kind](rng, parts)
        if blanks in drawn:
            continue
        drawn.append(blanks)
        phrasing = phrasings[len(examples) % len(phrasings)]
        inside = "{item}" in phrasing or "{a}" in phrasing  # else the item stands below the instruction
        examples.append({"kind": kind, "instruction": phrasing.format(**blanks),
                         "input": "" if inside else blanks["item"], "output": output})
    return examples


def make_examples(seed=0):
    """Draw the data: 50 examples of each kind for training, 3 for validation, 12 for the test.

    Args:
        seed: of the drawing; the materials of the three splits do not depend on it.

    Returns:
        {"train": examples, "validation": examples, "test": examples}, each shuffled; an example is a dictionary of
        strings with the keys kind, instruction, input (may be empty) and output.
    """
    data = {split: [example for kind in KINDS for example in make_kind(kind, split, seed)] for split in COUNTS}
    for split, examples in data.items():
        random.Random(f"{seed} {split}").shuffle(examples)
    return data


# Scoring: True for right, False for wrong, None for not in the form that was asked
def score(example, answer):
    """Say whether an answer is right, wrong, or not in the form that the task asks for.

    Other spacing, a final full stop and quotation marks never matter, and capitals only where the task is about them.

    Args:
        example: a dictionary with the keys kind and output.
        answer: the text that a model wrote.

    Returns:
        "right", "wrong", or "form": nothing at all, a sentence where a word was asked, words around the answer, ...

    Raises:
        ValueError: the example is of an unknown kind.
    """
    check_known("kind", example["kind"], KINDS)
    check = CHECK.get(example["kind"], check_word)
    return {True: "right", False: "wrong", None: "form"}[check(example["output"], tidy(answer))]


def tidy(answer):
    """Return an answer without quotation marks around it, a full stop behind it, or spaces that say nothing."""
    answer = re.sub(r"[^\S\n]+", " ", answer).strip()
    return re.sub(r"\.$", "", answer.strip("\"'`“”‘’ \n")).strip("\"'`“”‘’ \n")


def check_word(output, answer):
    """Compare single words."""
    return answer.lower() == output if re.fullmatch(r"[A-Za-z]+(-[A-Za-z]+)*", answer) else None


def check_opposite(output, answer):
    """Compare single words; some words have more than one opposite."""
    others = [other for _, first, *more in word_lists()["opposites"] if first == output for other in more]
    return answer.lower() in others or check_word(output, answer)


def check_sentence(output, answer):
    """Compare single sentences."""
    if len(answer.split()) < 3 or re.search(r"[.:!?\n]", answer):
        return None
    return answer.lower() == tidy(output).lower()


def check_upper_case(output, answer):
    """Compare texts with their capitals; words around them are more words than were given."""
    return answer == output if 0 < len(answer.split()) <= len(output.split()) else None


def check_order(output, answer):
    """Compare words or numbers, with commas between them or, if all are there, without."""
    found = re.split(r"\s*[,\n]\s*", answer.lower())
    if len(found) == 1 and len(answer.split()) == len(output.split()):
        found = answer.lower().split()
    shape = r"\d+" if output[0].isdigit() else r"[a-z]+"
    if len(found) == 1 or not all(re.fullmatch(shape, each) for each in found):
        return None
    return found == output.split(", ")


def check_mail(output, answer):
    """Compare e-mail addresses."""
    return answer.lower() == output if re.fullmatch(r"[\w.-]+@[\w.-]+", answer) else None


def check_date(output, answer):
    """Compare dates: 14 March 2024 is March 14, 2024."""
    found, wanted = as_date(answer), as_date(output)
    return found and found == wanted


def as_date(text):
    """Return (day, month, year) of a date in words, in lower case, or None."""
    match = re.fullmatch(r"(?P<day>\d+) (?P<month>[a-z]+),? (?P<year>\d{4})", text.lower()) or \
        re.fullmatch(r"(?P<month>[a-z]+) (?P<day>\d+),? (?P<year>\d{4})", text.lower())
    return match and (int(match["day"]), match["month"], match["year"])


def check_number(output, answer):
    """Compare whole numbers."""
    return int(answer.replace(",", "")) == int(output) if re.fullmatch(r"\d+(,\d{3})*", answer) else None


def check_units(output, answer):
    """Compare numbers; the unit may be left out, or written in short or as in America, but not be another."""
    match, (number, unit) = re.fullmatch(r"(\d+(?:,\d{3})*) ?([a-z]*)", answer.lower()), output.split()
    if match is None:
        return None
    named = re.sub("(met|lit)er", r"\1re", match[2])
    return match[1].replace(",", "") == number and SHORT_UNITS.get(named, named).rstrip("s") in ("", unit.rstrip("s"))


def check_time(output, answer):
    """Compare times; a nought at the beginning may be left out."""
    return answer.zfill(5) == output if re.fullmatch(r"\d\d?:\d\d", answer) else None


def check_number_in_words(output, answer):
    """Compare the words of numbers, with a hyphen between them or without."""
    words = re.split(r"[-\s]+", answer.lower())
    return words == output.split("-") if all(word in [*ONES, *TENS] for word in words) else None


def check_json(output, answer):
    """Compare JSON objects; a number may be written as a string."""
    try:
        found = json.loads(answer)
    except json.JSONDecodeError:
        return None
    if not isinstance(found, dict):
        return None
    return as_text(found) == as_text(json.loads(output))


def as_text(facts):
    """Return the facts with values as text in lower case."""
    return {key: str(value).lower() for key, value in facts.items()}


def check_list(output, answer):
    """Compare three lines that begin with a dash."""
    lines = [line.strip() for line in answer.lower().splitlines() if line.strip()]
    if len(lines) != 3 or not all(line.startswith("-") for line in lines):
        return None
    return [tidy(line[1:]) for line in lines] == [line[2:] for line in output.splitlines()]


CHECK = {"passive voice": check_sentence, "upper case": check_upper_case, "sort words": check_order,
         "sort numbers": check_order, "e-mail address": check_mail, "date": check_date,
         "largest number": check_number, "units": check_units, "24-hour time": check_time,
         "number in words": check_number_in_words, "JSON": check_json, "list of three": check_list,
         "addition": check_number, "subtraction": check_number, "opposite": check_opposite}
