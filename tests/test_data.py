"""The prepared texts of chapter 6: what the files hold, and what the tools that made them do with small examples."""

import email
import gzip
import json
import re
from collections import Counter

import pytest

import messages
import sentences
from conftest import ROOT

DATA = ROOT / "notebooks" / "data"


@pytest.fixture(scope="module")
def mails():
    """The rows of messages.jsonl.gz."""
    with gzip.open(DATA / "messages.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@pytest.fixture(scope="module")
def spoken():
    """The rows of sentences.txt.gz."""
    with gzip.open(DATA / "sentences.txt.gz", "rt", encoding="utf-8") as file:
        return [line.rstrip("\n").split("\t") for line in file]


def text_of(raw):
    """Return what the tool makes of an e-mail given as bytes or as a string."""
    return messages.text_of(email.message_from_bytes(raw.encode("utf-8") if isinstance(raw, str) else raw))


def test_the_files_are_small_and_carry_no_time():
    for name, most in (("messages.jsonl.gz", 1_500_000), ("sentences.txt.gz", 400_000)):
        data = (DATA / name).read_bytes()
        assert len(data) <= most
        assert data[4:8] == bytes(4)  # gzip's time of writing


def test_each_message_has_its_columns(mails):
    assert {tuple(row) for row in mails} == {("label", "group", "thread", "similar", "family", "text")}
    assert {(row["label"], row["group"]) for row in mails} == {
        ("ham", "easy-ham-1"), ("ham", "easy-ham-2"), ("ham", "hard-ham-1"), ("spam", "spam-1"), ("spam", "spam-2")}
    labels = Counter(row["label"] for row in mails)
    assert labels["spam"] > 1300 and labels["ham"] > 3000
    assert all(messages.SHORTEST < len(row["text"]) <= messages.LONGEST for row in mails)


def test_no_message_is_there_twice(mails):
    assert len({" ".join(re.findall(r"\w+", row["text"].lower())) for row in mails}) == len(mails)


def test_addresses_links_and_long_numbers_are_masked(mails):
    text = "\n".join(row["text"] for row in mails)
    assert "@" not in text and not re.search(r"https?://|\bwww\.", text)
    assert not re.search(r"\(?\d{3}\)?[ -]\d{3}-\d{4}|\d{7}", text)
    assert min(text.count(mask) for mask in ("<address>", "<link>", "<number>")) > 500
    assert not re.search(r"\n\n\n|  ", text)
    assert not messages.EXPLICIT.search(text)


def test_what_the_collection_added_is_gone(mails):
    text = "\n".join(row["text"] for row in mails)
    added = r"listinfo|List maintainer:|email is sponsored by|Yahoo! Groups Sponsor|Start SpamAssassin results"
    assert not re.search(added, text)
    lists = re.compile(r"(re: *)?\[(ilug|razor-users|satalk|sadev|spambayes)\]", re.IGNORECASE)
    assert not any(lists.match(row["text"]) for row in mails)


def test_a_family_holds_threads_and_similar_texts_together(mails):
    for column in ("thread", "similar"):
        home = {}
        assert all(home.setdefault(row[column], row["family"]) == row["family"] for row in mails)
    sizes = Counter(row["family"] for row in mails)
    assert len(sizes) > 2000 and max(sizes.values()) < 100
    found = {label: len({row["family"] for row in mails if row["label"] == label}) for label in ("ham", "spam")}
    assert min(found.values()) > 800


def test_beginnings_that_are_the_same_are_in_one_family(mails):
    home = {}
    for row in mails:
        words = " ".join(re.findall(r"[a-z]+", row["text"][:200].lower()))
        assert home.setdefault(words, row["family"]) == row["family"], row["text"][:200]


def test_the_sentences_are_sentences(spoken):
    assert 5000 <= len(spoken) <= sentences.MOST and {len(row) for row in spoken} == {3}
    assert len({" ".join(re.findall(r"\w+", row[2].lower())) for row in spoken}) == len(spoken)
    for year, _, sentence in spoken:
        assert 1790 <= int(year) <= 2021 and sentences.clean(sentence), sentence
        assert not re.search(r"applause|laughter\]", sentence, re.IGNORECASE)
    speakers = Counter(row[1] for row in spoken)
    assert len(speakers) > 40 and max(speakers.values()) <= 150


def test_the_plain_part_is_preferred_to_html():
    raw = ("Subject: Two\nMIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=B\n\n"
           "--B\nContent-Type: text/html\n\n<p>Page</p>\n--B\nContent-Type: text/plain\n\nPlain\n--B--\n")
    assert text_of(raw) == "Two\n\nPlain"
    assert text_of(raw.replace("Plain", " ")) == "Two\n\nPage"


def test_encodings_are_undone():
    assert text_of("Subject: =?iso-8859-1?Q?Caf=E9?=\nContent-Type: text/plain; charset=utf-8\n"
                   "Content-Transfer-Encoding: base64\n\naMOpbGxv\n") == "Café\n\nhéllo"
    assert text_of("Subject: s\nContent-Transfer-Encoding: quoted-printable\n\none=\n two=21\n") == "s\n\none two!"
    assert text_of(b"Subject: s\nContent-Type: text/plain; charset=no-such\n\ncaf\xe9\n") == "s\n\ncafé"
    assert text_of(b"Subject: caf\xe9\n\nbody\n") == "café\n\nbody"
    assert text_of("From: a\n\nNo subject here\n") == "No subject here"


def test_html_becomes_what_one_sees():
    raw = ("Subject: s\nContent-Type: text/html\n\n<html><head><title>no</title><style>p {}</style></head><body>"
           "<script>no()</script><p>Via<!-- x -->gra &amp;\n more</p><br>Now</body></html>")
    assert text_of(raw) == "s\n\nViagra & more\n\nNow"
    assert text_of(raw.replace("text/html", "text/plain")) == "s\n\nViagra & more\n\nNow"


@pytest.mark.parametrize("given, kept", [
    ("[list] Re: RE: Hi", "Re: Hi"), ("Fwd: [a] Hi", "Hi"), ("Re[2]: Hi", "Re: Hi"), ("Hi [there]", "Hi [there]")])
def test_subjects_lose_what_lists_put_there(given, kept):
    assert messages.plain_subject(given) == kept


@pytest.mark.parametrize("given, kept", [
    ("Write to a.b@c.org, mailto:x@y.de!", "Write to <address>!"),
    ("Write to a.b@c.org; call", "Write to <address>; call"),
    ("see http://a.b/c?d=e and www.x.com/y", "see <link> and <link>"), ("at amazon.com", "at <link>"),
    ("call 1-800-555-0199 now", "call <number> now"), ("call (212) 555 0199", "call <number>"),
    ("from 192.168.10.7:", "from <number>:"), ("$10,000,000 on 2002-08-22", "$10,000,000 on 2002-08-22"),
    ("Phone-817-555-0199", "Phone-<number>"), ("10/23/2002 14:05", "10/23/2002 14:05"), ("...5918899", "...<number>"),
    ("+> From: Ann Other <a@b.c> Date", "+> From: <address> Date"), ("zzzz, look", "<name>, look")])
def test_masks(given, kept):
    assert messages.masked(given) == kept


def test_footers_signatures_and_introductions_go():
    raw = ("Subject: [ILUG] Re: disks\n\nOn Mon, 2 Sep 2002, Ann Other wrote:\n> Which one?\n\nThe small one.\n\n"
           "-- \nTim Example\n12 Some Road\n\n_______________________________________________\n"
           "Some-list mailing list\nSome-list@example.org\nhttp://example.org/mailman/listinfo/some-list\n")
    assert text_of(raw) == "Re: disks\n\n> Which one?\n\nThe small one."
    assert messages.without_introductions(["From: A B [a@b.c]", "He said: yes"]) == ["He said: yes"]


def test_a_name_alone_is_a_signature():
    message = email.message_from_string("From: Ann Other <a@b.c>\nSubject: s\n\nGood.\n\n- Ann Other\n")
    assert messages.sender_of(message) == "ann other"
    assert messages.text_of(message, {"ann other"}) == "s\n\nGood."


def test_a_long_text_is_cut_after_a_word():
    assert messages.text_of(email.message_from_string("Subject: s\n\naaaa bbbb cccc"), longest=14) == "s\n\naaaa bbbb"


def test_similar_texts_are_found():
    one = "We offer you the very best rates on all of your loans today, so call now"
    sets = [messages.shingles(text) for text in (one, one + " 123 abc", "Something that has nothing to do with it")]
    assert list(messages.alike(sets)) == [(0, 1)]


def test_families_are_connected():
    families = messages.Families(5)
    families.join(3, 4)
    messages.join_by_key(families, [{"a"}, {"b"}, {"c"}, {"a", "c"}, set()])
    assert families.numbers() == [0, 1, 0, 0, 0]


def test_messages_are_selected_and_numbered():
    def mail(subject, body, more=""):
        return email.message_from_string(f"Message-ID: <{subject[-1]}@x>\n{more}Subject: {subject}\n\n{body}\n")

    long = "The quick brown fox jumps over the lazy dog and is off to see the wizard of the wood"
    said = []
    rows = messages.select([
        ("easy-ham-1", mail("Fox a", long)), ("easy-ham-1", mail("Re: Bear b", "What do you think of that one?",
                                                                 "In-Reply-To: <a@x>\n")),
        ("spam-1", mail("Fox c", long + " indeed")), ("spam-1", mail("Fox a", long)), ("spam-2", mail("Hi d", "x")),
        ("spam-2", mail("Rich e", "You are to be the one who is rich, and we are not"))], said.append)
    assert [(row["label"], row["family"]) for row in rows] == [("ham", 0), ("ham", 0), ("spam", 0), ("spam", 1)]
    assert [row["thread"] for row in rows] == [0, 0, 1, 2] and [row["similar"] for row in rows] == [0, 1, 0, 2]
    assert len(said) == 2


def test_sentences_are_cut_and_chosen():
    text = "(Applause.) Mr. Fox of the U. S. left. He said “no”!  And I did, too. Was it I? We"
    assert list(sentences.split_sentences(" ".join(text.split()[1:]))) == [
        "Mr. Fox of the U. S. left.", "He said “no”!", "And I did, too.", "Was it I?", "We"]
    assert sentences.sentences_of("[Laughter] It’s the duty of all of us to go on. THE STATE OF THE NATION AS IT IS. "
                                  "Short one. (1) The first of the many points that we make here.") == [
        "It's the duty of all of us to go on."]


def test_speakers_take_turns():
    first = " ".join(f"This is the very long sentence that has the number {n}." for n in "one two three four".split())
    second = "And here is the only sentence of the other speaker."
    rows = sentences.select([(1800, "A", first), (1801, "B", second)], most=3, say=lambda text: None)
    assert [row[:2] for row in rows] == [(1800, "A"), (1800, "A"), (1801, "B")]


@pytest.mark.parametrize("tool, rows", [(messages, [{"text": "é"}]), (sentences, [(1, "A", "b")])])
def test_the_same_rows_give_the_same_bytes(tool, rows, tmp_path):
    tool.write(rows, tmp_path / "one.gz")
    tool.write(rows, tmp_path / "two.gz")
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()
