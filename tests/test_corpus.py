"""Appendix I's text: the file, the cleaning, copies against datasketch and against comparing all pairs, the split."""

import lzma
import random
import re
from collections import Counter, defaultdict
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from datasketch import MinHash, MinHashLSH

import addresses as tool
import previous_chapters as course
from conftest import ROOT
from previous_chapters import CLEANING, candidate_pairs, clean_address, jaccard, minhash, near_copies, shingles

FILE = ROOT / "notebooks" / "data" / "addresses.txt.xz"


@pytest.fixture(scope="module")
def table():
    """The addresses as they come."""
    return course.read_addresses(FILE)


@pytest.fixture(scope="module")
def passages(table):
    """The cleaned passages, copies included."""
    return course.passage_table(table.assign(text=table["text"].map(clean_address)))


@pytest.fixture(scope="module")
def prepared():
    """What the notebook trains on."""
    return course.prepare_addresses(FILE)


def test_the_file_is_what_the_tool_writes(table, tmp_path):
    rows = list(table.itertuples(index=False, name=None))
    assert len(rows) == 233 and table["text"].str.len().sum() == 10_759_831
    assert FILE.stat().st_size < 2_600_000
    tool.write(rows[:9], tmp_path / "again.xz")
    assert course.read_addresses(tmp_path / "again.xz").equals(table[:9])
    assert lzma.decompress(FILE.read_bytes()).decode() == tool.lines_of(rows)
    assert (table["year"].diff().dropna() >= 0).all()


@pytest.mark.parametrize("text", ["one\ttwo", "one\ntwo", "one\rtwo"])
def test_a_text_that_could_not_be_read_again_is_refused(text):
    with pytest.raises(ValueError, match="1790"):
        tool.lines_of([(1790, "Somebody", text)])


@pytest.mark.parametrize(("given", "wanted"), [
    ("He said &quot;no&quot; &mdash;twice.", 'He said "no" --twice.'),
    ("We’re “here” – now—or never", 'We\'re "here" - now--or never'),
    ("Thank you. [Applause] Sit down.", "Thank you. Sit down."),
    ("the Vice President-[laughter]-the Senate", "the Vice President-the Senate"),
    ("and we have—(applause)—we have", "and we have--we have"),
    ("Well. (Applause.) Go.", "Well. Go."),
    ("gold. [Laughter] Audience members. U.S.A.! U.S.A.! The President. My point", "gold. My point"),
    ("proper - 68,735.00 - 69,865.00 - 70,393.75 Public works", "proper Public works"),
    ("in 1910, 1911, 1912 and 1913", "in 1910, 1911, 1912 and 1913"),
    ("by peace.We will. The U.S.A. won", "by peace. We will. The U.S.A. won"),
    ("tile@@ sum of ____ each\x02", "tile sum of each"),
    ("two  spaces ", "two spaces")])
def test_cleaning(given, wanted):
    assert clean_address(given) == wanted
    assert clean_address(wanted) == wanted


@pytest.mark.slow
def test_every_rule_is_needed_and_none_takes_much(table):
    texts = table["text"].tolist()
    for name, (pattern, replacement) in CLEANING.items():
        changed = [re.sub(pattern, replacement, text) for text in texts]
        assert changed != texts, name
        assert abs(sum(map(len, texts)) - sum(map(len, changed))) < 5000, name
        texts = changed
    cleaned = [clean_address(text) for text in table["text"]]
    assert [text.strip() for text in texts] == cleaned
    assert [clean_address(text) for text in cleaned] == cleaned  # once is enough


def test_passages_hold_the_whole_text_and_end_with_a_sentence(table, passages):
    whole = [clean_address(text) for text in table["text"]]
    joined = [" ".join(rows["text"]) for _, rows in passages.groupby(["year", "speaker"], sort=False)]
    assert [text.replace(" ", "") for text in joined] == [text.replace(" ", "") for text in whole]
    lengths = passages["text"].str.len()
    assert (lengths >= 999).mean() > 0.97 and lengths.max() < 4000
    assert course.split_passages("A b. C d? E.", least=5) == ["A b.", "C d?", "E."]  # with the space behind it
    assert course.split_passages("A b. C d? E.", least=6) == ["A b. C d?", "E."]
    assert course.split_passages("No end") == ["No end"]


def test_shingles_and_their_similarity():
    first, second = (shingles(f"the state of {word} union is strong", 3) for word in ("our", "the"))
    assert (len(first), len(second), len(first & second)) == (5, 5, 2)
    assert jaccard(first, second) == 0.25
    assert shingles("Peace, PLENTY!", 5) == shingles("peace plenty", 5)
    assert len(shingles("one", 5)) == 1


def random_sets(count=400, seed=1):
    """Return pairs of sets with similarities of all sizes."""
    rng = random.Random(seed)
    for _ in range(count):
        shared, own = rng.randint(1, 200), rng.randint(0, 200)
        members = rng.sample(range(2**32), shared + 2 * own)
        yield set(members[: shared + own]), set(members[:shared] + members[shared + own:])


def test_signatures_estimate_the_similarity_as_well_as_the_librarys_do():
    pairs = list(random_sets())
    exact = np.array([jaccard(*pair) for pair in pairs])
    own = minhash([part for pair in pairs for part in pair]).reshape(len(pairs), 2, -1)
    own = (own[:, 0] == own[:, 1]).mean(axis=1)
    library = np.array([MinHash.jaccard(*map(signature_of, pair)) for pair in pairs])
    errors = np.sqrt(exact * (1 - exact) / 128).clip(1e-3)
    for estimated in (own, library):
        assert abs(((estimated - exact) / errors).mean()) < 0.25  # no bias
        assert 0.85 < np.sqrt((((estimated - exact) / errors) ** 2).mean()) < 1.15  # and no more noise than must be


def signature_of(members):
    """Return datasketch's signature of a set of numbers."""
    signature = MinHash(num_perm=128, hashfunc=lambda number: number)
    signature.update_batch(sorted(members))
    return signature


def test_signatures_do_not_depend_on_the_order_and_refuse_an_empty_set():
    sets = [{5, 9, 3}, {9, 3, 5, 1}]
    assert np.array_equal(minhash(sets), minhash([{3, 5, 9}, {1, 3, 5, 9}]))
    assert minhash(sets, count=4).shape == (2, 4) and (minhash([{7}, {7}])[0] == minhash([{8}, {7}])[1]).all()
    with pytest.raises(ValueError, match="empty"):
        minhash([{1}, set()])


def test_who_agrees_in_a_band_meets():
    signatures = np.array([[1, 2, 3, 4], [1, 2, 9, 9], [9, 9, 3, 4], [2, 1, 4, 3], [8, 2, 3, 8]])
    assert candidate_pairs(signatures, 2) == {(0, 1), (0, 2)}
    assert candidate_pairs(signatures, 4) == set()
    assert candidate_pairs(signatures, 1) == {(0, 1), (0, 2), (0, 4), (1, 4), (2, 4)}


def all_alike(sets, least):
    """Return {(i, j): similarity} of all pairs that are alike, without MinHash: by counting what they share."""
    holders = defaultdict(list)
    for i, members in enumerate(sets):
        for member in members:
            holders[member].append(i)
    shared = Counter(pair for own in holders.values() if 1 < len(own) < 400 for pair in combinations(own, 2))
    found = {(i, j): jaccard(sets[i], sets[j]) for (i, j), count in shared.items()
             if count >= least * max(len(sets[i]), len(sets[j]))}
    return {pair: share for pair, share in found.items() if share >= least}


@pytest.mark.slow
def test_the_copies_are_those_of_comparing_all_pairs_and_of_the_library(passages):
    sets = [shingles(text) for text in passages["text"]]
    found = {(i, j): share for share, i, j in near_copies(passages["text"])}
    assert found == all_alike(sets, 0.25) and len(found) > 35
    index, met = MinHashLSH(num_perm=128, params=(64, 2)), set()
    for i, members in enumerate(sets):
        signature = signature_of(members)
        met.update((j, i) for j in index.query(signature))
        index.insert(i, signature)
    assert {(i, j) for i, j in met if jaccard(sets[i], sets[j]) >= 0.25} == set(found)


@pytest.mark.slow
def test_of_copies_the_later_goes_and_no_pair_is_left(passages, prepared):
    assert len(passages) - len(prepared) == len({j for _, _, j in near_copies(passages["text"])})
    assert near_copies(prepared["text"]) == []
    texts = ["a b c d e f g h", "x y z", "a b c d e f g h", "a b c d e f g i"]
    toy = pd.DataFrame({"text": texts}, index=[7, 8, 9, 10])
    assert course.without_copies(toy)["text"].tolist() == ["a b c d e f g h", "x y z"]


@pytest.mark.slow
def test_no_speaker_is_in_two_parts_and_the_test_is_the_future(prepared):
    assert prepared.groupby("speaker")["part"].nunique().max() == 1
    size = prepared["text"].str.len().groupby(prepared["part"]).sum()
    share = size / size.sum()
    assert 0.04 < share["test"] < 0.12 and 0.04 < share["validation"] < 0.2 and share["training"] > 0.7
    years = prepared["year"].groupby(prepared["part"] == "test")
    assert years.max()[False] < 2009 == years.min()[True]
    assert prepared.loc[prepared["part"] == "validation", "speaker"].nunique() == 5
