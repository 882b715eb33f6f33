"""Appendix I's tokenizer: merges and ids against `tokenizers` and tiktoken, any text, files, bad input, growth."""

import json
import random
import re

import pytest
import regex
import tiktoken
import tokenizers
import torch

import bench_tokenizer
import previous_chapters as course
from bench_tokenizer import byte_level, random_texts, reference_merges
from conftest import ROOT, TINY
from previous_chapters import GPT2_SPLIT, BPETokenizer, grow_vocabulary, merge_pair, train_bpe

pytestmark = pytest.mark.usefixtures("one_thread")
LLAMA = {"vocab_size": 60, "context_length": 256, "emb_dim": 48, "n_heads": 6, "n_kv_heads": 2, "n_layers": 2,
         "hidden_dim": 100, "rope_base": 1000.0, "norm_eps": 1e-5}


@pytest.fixture(scope="module")
def corpus():
    """All addresses as they come, in one text."""
    return "\n".join(course.read_addresses(ROOT / "notebooks" / "data" / "addresses.txt.xz")["text"])


@pytest.fixture(scope="module")
def merges(corpus):
    """4,096 - 256 merges of all addresses."""
    return train_bpe(corpus, 4096)


@pytest.fixture(scope="module")
def tokenizer():
    """4,096 tokens, by the stored merges, and one special token."""
    return BPETokenizer(json.loads(bench_tokenizer.FILE.read_text(encoding="utf-8"))["merges"])


@pytest.fixture(scope="module")
def peer(tokenizer):
    """tiktoken's encoding with the same tokens."""
    return tiktoken.Encoding("addresses", pat_str=GPT2_SPLIT, special_tokens=tokenizer.special_tokens,
                             mergeable_ranks={token: i for i, token in enumerate(tokenizer.tokens[:4096])})


@pytest.mark.slow
def test_the_merges_of_all_addresses_are_the_references(corpus, merges):
    assert merges == reference_merges(corpus, 4096)
    assert len(merges) == 4096 - 256


def test_the_merges_of_random_texts_are_the_references():
    texts = list(random_texts())
    assert len(texts) == 200
    for text, size in texts:
        reference = reference_merges(text, size)
        assert train_bpe(text, 256 + len(reference)) == reference, repr(text)


def plain_merges(text, vocab_size):
    """Return the merges by counting everything anew each time, and in how many rounds there was a tie."""
    words, merges, ties = [list(word.encode()) for word in regex.findall(GPT2_SPLIT, text)], [], 0
    while len(merges) < vocab_size - 256:
        counts = {}
        for ids in words:
            for pair in zip(ids, ids[1:], strict=False):
                counts[pair] = counts.get(pair, 0) + 1
        if not counts:
            break
        most = max(counts.values())
        equal = sorted(pair for pair, count in counts.items() if count == most)
        ties += len(equal) > 1
        words = [merge_pair(ids, equal[0], 256 + len(merges)) for ids in words]
        merges.append(equal[0])
    return merges, ties


def test_counts_that_are_updated_are_those_that_are_counted(story):
    expected, ties = plain_merges(story[:6000], 256 + 300)
    assert train_bpe(story[:6000], 256 + 300) == expected
    assert ties > 150  # the rule for ties decides often
    rng = random.Random(2)
    for _ in range(60):
        text = "".join(rng.choices("aab ", k=rng.randint(1, 60)))
        assert train_bpe(text, 400) == plain_merges(text, 400)[0]  # until nothing is left to merge


@pytest.mark.slow
def test_the_stored_merges_are_what_the_tool_writes():
    stored = json.loads(bench_tokenizer.FILE.read_text(encoding="utf-8"))
    table = course.prepare_addresses(ROOT / "notebooks" / "data" / "addresses.txt.xz")
    text = "\n".join(table.loc[table["part"] == "training", "text"])
    assert [tuple(pair) for pair in stored["merges"]] == reference_merges(text, 4096)
    assert [text for text, _ in stored["random"]] == [text for text, _ in random_texts()]
    assert all(set(row[1:2]) <= {"ours", "tiktoken", "tokenizers", "tiktoken, 2 threads", "tokenizers, 2 threads"}
               for row in stored["speed"])


@pytest.mark.slow
def test_a_smaller_vocabulary_is_the_beginning_of_a_larger_one(corpus, merges):
    assert train_bpe(corpus, 600) == merges[:344]
    assert train_bpe("", 300) == [] and train_bpe("ab", 300) == [(97, 98)]
    with pytest.raises(ValueError, match="at least 256.*255"):
        train_bpe("ab", 255)


@pytest.mark.parametrize(("ids", "expected"), [
    ([1, 1, 1, 2], [9, 1, 2]), ([1, 1, 1, 1], [9, 9]), ([2, 1, 1], [2, 9]), ([], []), ([1], [1]),
    ([1, 2, 1], [1, 2, 1])])
def test_pairs_merge_from_the_left(ids, expected):
    before = list(ids)
    assert merge_pair(ids, (1, 1), 9) == expected
    assert ids == before


def test_words_are_cut_as_the_library_cuts_them(corpus):
    cutter = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    for text in (corpus[:200_000], "We've  met\n\n in 1790's  – ça va?\t ½ ٣x 人人 🙂🙂 e\u0301 "):
        ends = [end for _, (_, end) in cutter.pre_tokenize_str(text)]
        assert ends == [found.end() for found in regex.finditer(GPT2_SPLIT, text)]


@pytest.mark.slow
def test_the_tokens_are_tiktokens_and_the_librarys(corpus, tokenizer, peer):
    assert tokenizer.encode(corpus) == peer.encode(corpus)
    library, text = byte_level(corpus[:500_000], 1000), corpus[500_000:520_000]
    library.decoder = tokenizers.decoders.ByteLevel()
    cut = [library.decode([i]) for i in library.encode(text).ids]
    own = BPETokenizer(train_bpe(corpus[:500_000], 1000))
    assert "".join(cut) == text and abs(len(cut) - len(own.encode(text))) < 0.01 * len(cut)  # it decides ties otherwise


def strings(count, seed=7):
    """Yield strings of all kinds: any letters but the halves of UTF-16, white space, special tokens, nothing."""
    rng = random.Random(seed)
    ranges = [(0, 128), (0, 0xD800), (0xE000, 0x110000), (9, 14), (32, 127), (0x2000, 0x2070), (0x1F300, 0x1F700)]
    for _ in range(count):
        parts = ["".join(chr(rng.randrange(*rng.choice(ranges))) for _ in range(rng.randrange(9))) for _ in range(2)]
        yield rng.choice(["<|endoftext|>", "", " ", "'s"]).join(parts)


def test_decoding_undoes_encoding(tokenizer):
    count = 0
    for text in strings(10_000):
        assert tokenizer.decode(tokenizer.encode(text)) == text
        assert tokenizer.decode(tokenizer.encode(text, allowed_special="all")) == text
        count += len(text)
    assert count > 60_000


def test_special_tokens(tokenizer, peer):
    text = "a<|endoftext|><|endoftext|> b <|endoftext"
    for allowed in (set(), {"<|endoftext|>"}, "all"):
        assert tokenizer.encode(text, allowed) == peer.encode(text, allowed_special=allowed, disallowed_special=())
    assert tokenizer.encode(text, "all").count(4096) == 2 and 4096 not in tokenizer.encode(text)
    own = BPETokenizer([(97, 98)], ["<a>", "<a><b>", "."])
    assert own.n_vocab == 260 and own.encode("<a><b><a>.ab", "all") == [258, 257, 259, 256]  # the longest first
    assert own.add_special_token("<c>") == 260 and own.encode("ab<c>", {"<c>"}) == [256, 260]
    assert own.encode("ab.", {"<c>"}) == [256, 46]
    with pytest.raises(ValueError, match="no special tokens: <d>"):
        own.encode("x", {"<d>"})
    for token in ("<a>", ""):
        with pytest.raises(ValueError, match="new and not empty"):
            own.add_special_token(token)


def test_half_a_letter_and_an_unknown_id(tokenizer):
    assert tokenizer.decode([0xC3]) == "\ufffd" and tokenizer.decode([0xC3, 0xA9]) == "é"
    with pytest.raises(IndexError):
        tokenizer.decode([4097])


def test_a_file_gives_the_same_tokenizer_back(tokenizer, tmp_path):
    own = BPETokenizer(tokenizer.merges[:100], ["<é>", "<|end|>"], pattern=r"\S+|\s+")
    own.save(tmp_path / "tokenizer.json")
    again = BPETokenizer.load(tmp_path / "tokenizer.json")
    assert (again.merges, again.special_tokens, again.pattern) == (own.merges, own.special_tokens, own.pattern)
    text = "Don't, the<é> 人 <|end|>"
    assert again.encode(text, "all") == own.encode(text, "all") and again.decode(again.encode(text)) == text


@pytest.mark.parametrize("merges", [[(97, 256)], [(97, 98), (258, 1)], [(-1, 97)]])
def test_a_merge_of_what_is_not_there_yet_is_refused(merges):
    with pytest.raises(ValueError, match=re.escape(f"made of {merges[-1]}")):
        BPETokenizer(merges)


@pytest.mark.parametrize(("shape", "cfg"), [(course.GPTModel, TINY), (course.LlamaModel, LLAMA)])
def test_a_model_grows_and_says_of_old_tokens_what_it_said(shape, cfg):
    torch.manual_seed(1)
    model, rows = shape(cfg).eval(), torch.randn(3, cfg["emb_dim"])
    tied, ids = model.out_head.weight is model.tok_emb.weight, torch.tensor([[3, 5, 7]])
    with torch.no_grad():
        before = model(ids)
        assert grow_vocabulary(model, rows) == [60, 61, 62]
        after = model(ids)
        assert torch.equal(after[..., :60], before) and after.shape == (1, 3, 63)
        assert torch.equal(model.tok_emb(torch.tensor([61])), rows[1:2])
        assert model(torch.tensor([[60, 62]])).isfinite().all()
    assert tied == (model.out_head.weight is model.tok_emb.weight)
    for wrong in (rows[0], rows[:, 1:]):
        with pytest.raises(ValueError, match="new tokens"):
            grow_vocabulary(model, wrong)


def test_the_dataset_of_chapter_2_takes_it(tokenizer, story):
    ids = tokenizer.encode(story, allowed_special={"<|endoftext|>"})
    inputs, targets = course.GPTDatasetV1(story, tokenizer, 16, 16)[0]
    assert inputs.tolist() == ids[:16] and targets.tolist() == ids[1:17]
