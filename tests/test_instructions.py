"""Chapter 7: the form of a request, batches and what is learned in them, answers, the count, and the saved model."""

import math
import subprocess
import sys
import zipfile
from functools import partial

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

import chat as chat_program
import previous_chapters as course
from conftest import ROOT, TINY
from helpers import CPU, assert_close
from previous_chapters import InstructionDataset, LengthBatchSampler, custom_collate_fn, generate_answers

pytestmark = pytest.mark.usefixtures("one_thread")
LLAMA = {"vocab_size": 60, "context_length": 64, "emb_dim": 48, "n_heads": 6, "n_kv_heads": 2, "n_layers": 2,
         "hidden_dim": 100, "rope_base": 1000.0, "norm_eps": 1e-5}
GPT = {**TINY, "context_length": 64, "drop_rate": 0.5}
TOY = [[0, 1, 2, 3, 4], [5, 6], [7, 8, 9]]
END = 50256


class Letters:
    """A tokenizer of 58 tokens, one a letter; it writes ids as numbers."""

    eot_token = 59

    def encode_ordinary(self, text):
        return [1 + ord(letter) % 58 for letter in text]

    def decode(self, ids):
        return " ".join(map(str, ids))


LETTERS = Letters()


@pytest.fixture(params=["llama", "gpt"])
def model(request):
    """A random model of one of the two architectures, in train mode, whose logits are about 1."""
    torch.manual_seed(0)
    made = course.LlamaModel(LLAMA) if request.param == "llama" else course.GPTModel(GPT)
    torch.nn.init.normal_(made.tok_emb.weight, std=0.1 if request.param == "llama" else 1.0)
    return made.train()


@pytest.fixture(scope="module")
def smollm2():
    """(model, tokenizer), loaded once."""
    return course.load_smollm2()


def entry(instruction="Name a colour.", given="", output="red"):
    return {"instruction": instruction, "input": given, "output": output}


def raises(message):
    return pytest.raises(ValueError, match=message)


# -------------------- the form of a request --------------------

TASK = "Below is an instruction that describes a task. Write a response that appropriately completes the request."


def test_a_request_in_the_form_of_alpaca_with_an_input_and_without():
    assert course.format_input(entry()) == f"{TASK}\n\n### Instruction:\nName a colour."
    wanted = f"{TASK}\n\n### Instruction:\nName a colour.\n\n### Input:\nThe sky."
    assert course.format_input(entry(given="The sky.")) == wanted
    ids = course.encode_alpaca(entry(given="The sky."), LETTERS)
    assert ids == LETTERS.encode_ordinary(f"{wanted}\n\n### Response:\n")


def test_a_request_as_a_conversation_is_the_files_template_but_for_the_systems_message(smollm2):
    """The template puts one in front where there is none; the model is finetuned without."""
    jinja2 = pytest.importorskip("jinja2")
    template = jinja2.Template(course.read_gguf(course.find_smollm2())[0]["tokenizer.chat_template"])
    for example in (entry(), entry(given="A line.\nAnd one more."), entry("<|im_end|> what?", "<|im_start|>")):
        said = example["instruction"] + (f"\n\n{example['input']}" if example["input"] else "")
        ids = course.encode_request(example, smollm2[1])
        wanted = template.render(messages=[{"role": "user", "content": said}], add_generation_prompt=True)
        assert f"<|im_start|>system\n{course.SYSTEM}<|im_end|>\n{smollm2[1].decode(ids)}" == wanted
        assert (ids.count(1), ids.count(2)) == (2, 1)


def test_a_dataset_joins_request_and_answer():
    data = [entry(), entry("Double it.", "7", " 14 ")]
    plain, masked = (InstructionDataset(data, LETTERS, mask_prompt=mask) for mask in (False, True))
    assert len(plain) == len(masked) == 2
    for number, example in enumerate(data):
        prompt, answer = course.encode_alpaca(example, LETTERS), LETTERS.encode_ordinary(example["output"])
        assert plain[number] == prompt + answer and masked[number] == (prompt + answer, len(prompt))
        assert (plain.prompts[number], plain.answers[number]) == (prompt, answer)
        assert plain.lengths[number] == len(plain[number])
    other = InstructionDataset(data, LETTERS, lambda entry, tokenizer: tokenizer.encode_ordinary(entry["input"] + ">"))
    assert other.prompts == [LETTERS.encode_ordinary(">"), LETTERS.encode_ordinary("7>")]
    assert len(InstructionDataset([], LETTERS)) == 0


@pytest.mark.parametrize("field", ["instruction", "input", "output"])
def test_an_example_that_lacks_a_field_is_named(field):
    broken = {name: text for name, text in entry().items() if name != field}
    there = ", ".join(map(repr, broken))
    with raises(f"example 2 has no '{field}', it has {there}"):
        InstructionDataset([entry(), entry(), broken], LETTERS)


def test_an_example_without_an_answer_is_named():
    with raises("example 1 has an empty output"):
        InstructionDataset([entry(), entry(output=" \n")], LETTERS)


# -------------------- a batch --------------------


def test_the_batch_on_paper():
    inputs, targets = custom_collate_fn(TOY)
    assert inputs.tolist() == [[0, 1, 2, 3, 4], [5, 6, END, END, END], [7, 8, 9, END, END]]
    assert targets.tolist() == [[1, 2, 3, 4, END], [6, END, -100, -100, -100], [8, 9, END, -100, -100]]
    assert inputs.dtype == targets.dtype == torch.int64 and inputs.device == CPU
    assert TOY == [[0, 1, 2, 3, 4], [5, 6], [7, 8, 9]]  # nobody has appended to them


def test_another_end_token_and_another_number_for_what_is_ignored():
    inputs, targets = custom_collate_fn([[4, 59], [3]], pad_token_id=59, ignore_index=-1)
    assert inputs.tolist() == [[4, 59], [3, 59]]
    assert targets.tolist() == [[59, 59], [59, -1]]  # an end token inside a text is learned like any other


@pytest.mark.parametrize("most", [1, 2, 4, 5, 9])
def test_rows_are_cut(most):
    inputs, targets = custom_collate_fn(TOY)
    cut = custom_collate_fn(TOY, allowed_max_length=most)
    assert [part.tolist() for part in cut] == [inputs[:, :most].tolist(), targets[:, :most].tolist()]


def test_a_requests_last_token_predicts_the_answers_first():
    inputs, targets = custom_collate_fn([(TOY[0], 3), (TOY[1], 1), (TOY[2], 0)])
    assert inputs.tolist() == custom_collate_fn(TOY)[0].tolist()
    assert targets.tolist() == [[-100, -100, 3, 4, END], [6, END, -100, -100, -100], [8, 9, END, -100, -100]]
    _, targets = custom_collate_fn([(TOY[0], 5), TOY[1]])  # an empty answer, and an item that is no pair
    assert targets.tolist() == [[-100] * 4 + [END], [6, END, -100, -100, -100]]


@pytest.mark.parametrize("batch", [[], [[]], [[1], []], [([], 0), ([2], 1)]])
def test_a_batch_that_is_none(batch):
    with raises("a batch needs at least one example, and each at least one token"):
        custom_collate_fn(batch)


@pytest.mark.parametrize("most", [0, 1, 2])
def test_nothing_is_left_to_be_learned(most):
    items = [(TOY[0], 4), (TOY[0], 5)]
    with raises(f"nothing of this batch is left to be learned, with allowed_max_length {most}$"):
        custom_collate_fn(items, allowed_max_length=most)
    assert (custom_collate_fn(items, allowed_max_length=4)[1] != -100).sum() == 1


def test_the_loss_of_two_places_a_third_and_one_that_is_left_out():
    logits = torch.tensor([[-1.0, 1.0], [-0.5, 1.5], [-0.5, 1.5]])
    losses = [cross_entropy(logits[:2], torch.tensor([0, 1])), cross_entropy(logits, torch.tensor([0, 1, 1])),
              cross_entropy(logits, torch.tensor([0, 1, -100]))]
    assert [round(loss.item(), 4) for loss in losses] == [1.1269, 0.7936, 1.1269]


def random_items(count, seed=0, longest=20):
    """Return items whose requests and answers have random lengths."""
    generator = torch.Generator().manual_seed(seed)
    items = []
    for _ in range(count):
        request, answer = torch.randint(1, longest // 2, (2,), generator=generator).tolist()
        items.append((torch.randint(1, 59, (request + answer,), generator=generator).tolist(), request))
    return items


def test_an_example_loses_in_a_batch_what_it_loses_alone(model):
    model.eval()
    items = random_items(7)
    collate = partial(custom_collate_fn, pad_token_id=59)
    with torch.no_grad():
        inputs, targets = collate(items)
        logits = model(inputs)
        assert (inputs == 59).any()
        alone = [course.calc_loss_batch(*collate([item]), model, CPU).item() for item in items]
        together = course.calc_loss_batch(inputs, targets, model, CPU).item()
    for row, target, loss in zip(logits, targets, alone, strict=True):
        assert cross_entropy(row, target).item() == pytest.approx(loss, abs=1e-5)
    learned = (targets != -100).sum(dim=1).tolist()
    assert learned == [len(ids) - request + 1 for ids, request in items]  # the answer and its end
    by_token = sum(count * loss for count, loss in zip(learned, alone, strict=True)) / sum(learned)
    assert together == pytest.approx(by_token, abs=1e-5)
    assert abs(together - sum(alone) / len(alone)) > 1e-3  # the mean over the examples is another number


def test_the_loss_of_an_answer_is_the_one_by_hand(model):
    model.eval().double()
    ids, request = [5, 9, 33, 2, 17, 40], 4
    with torch.no_grad():
        log_p = torch.log_softmax(model(torch.tensor([ids]))[0], dim=-1)
        loss = course.calc_loss_batch(*custom_collate_fn([(ids, request)], pad_token_id=59), model, CPU).item()
    by_hand = -(log_p[3, 17] + log_p[4, 40] + log_p[5, 59]).item() / 3
    assert loss == pytest.approx(by_hand, abs=1e-9)


def test_a_masked_request_moves_no_weight_by_its_own_prediction(model):
    """The gradient of a batch is that of the answers' losses alone."""
    model.eval()
    items = random_items(3, seed=1)
    course.calc_loss_batch(*custom_collate_fn(items, pad_token_id=59), model, CPU).backward()
    found = model.trf_blocks[0].att.W_key.weight.grad.clone()
    model.zero_grad()
    losses = []
    for ids, request in items:
        log_p = torch.log_softmax(model(torch.tensor([ids]))[0], dim=-1)
        losses += [-log_p[place, token] for place, token in enumerate([*ids[1:], 59]) if place >= request - 1]
    torch.stack(losses).mean().backward()
    assert_close(found, model.trf_blocks[0].att.W_key.weight.grad, atol=1e-6)


# -------------------- batches by length --------------------

LENGTHS = torch.randint(5, 100, (103,), generator=torch.Generator().manual_seed(0)).tolist()


def filler(batches, lengths=LENGTHS):
    return sum(max(lengths[n] for n in batch) - lengths[m] for batch in batches for m in batch)


@pytest.mark.parametrize(("size", "pool"), [(8, 1), (8, 4), (16, 3), (103, 1), (200, 8), (1, 5)])
def test_every_example_comes_once_an_epoch(size, pool):
    sampler = LengthBatchSampler(LENGTHS, size, pool)
    for _ in range(2):
        batches = list(sampler)
        assert sorted(number for batch in batches for number in batch) == list(range(103))
        assert len(batches) == len(sampler) == math.ceil(103 / size)
        sizes = sorted(map(len, batches), reverse=True)
        assert sizes == [size] * (103 // size) + [103 % size] * (103 % size > 0)


def test_pools_leave_less_filler_and_a_pool_of_all_leaves_hardly_any():
    torch.manual_seed(0)
    plain, pools, all_sorted = (filler(list(LengthBatchSampler(LENGTHS, 8, pool))) for pool in (1, 4, 13))
    assert pools < plain / 2 and all_sorted < pools / 2
    in_order = sorted(range(103), key=LENGTHS.__getitem__)
    assert all_sorted == filler([in_order[at : at + 8] for at in range(0, 103, 8)])


def test_pools_of_one_batch_are_a_plain_shuffle():
    torch.manual_seed(3)
    order = torch.randperm(103).tolist()
    torch.manual_seed(3)
    batches = list(LengthBatchSampler(LENGTHS, 8, batches_per_pool=1))
    assert {frozenset(batch) for batch in batches} == {frozenset(order[at : at + 8]) for at in range(0, 103, 8)}


def test_the_order_follows_the_seed_and_differs_between_epochs():
    sampler = LengthBatchSampler(LENGTHS, 8)
    torch.manual_seed(5)
    epochs = [list(sampler), list(sampler)]
    torch.manual_seed(5)
    assert [list(sampler), list(sampler)] == epochs and epochs[0] != epochs[1]
    firsts = []
    for seed in range(30):
        torch.manual_seed(seed)
        firsts.append(min(LENGTHS[n] for n in next(iter(sampler))))
    assert len(set(firsts)) > 10  # neither the short nor the long ones always come first


def test_a_loader_takes_the_sampler():
    dataset = InstructionDataset([entry(output="o" * n) for n in range(1, 12)], LETTERS, mask_prompt=True)
    sampler = LengthBatchSampler(dataset.lengths, 4)
    loader = DataLoader(dataset, batch_sampler=sampler, collate_fn=partial(custom_collate_fn, pad_token_id=59))
    learned = [(targets != -100).sum(dim=1).tolist() for _, targets in loader]
    assert sorted(sum(learned, [])) == list(range(2, 13)) and len(loader) == 3


@pytest.mark.parametrize("case", [([], 4, 8), ([3, 1], 0, 8), ([3, 1], 4, 0), ([3, 1], -2, 8)])
def test_a_sampler_that_is_none(case):
    lengths, size, pool = case
    with raises(f"examples, batch_size and batches_per_pool must be at least 1, got {len(lengths)}, {size} and {pool}"):
        LengthBatchSampler(*case)


# -------------------- answers --------------------

PROMPTS = [ids for ids, _ in random_items(11, seed=2)] + [[7], [7, 8], [9]]


def answers_alone(model, prompts, count=9, end_id=59):
    """Return the answers by the plain way: `generate`, one prompt after the other, without a cache."""
    answers = []
    for prompt in prompts:
        row = course.generate(model, torch.tensor([prompt]), count, 64, eos_id=end_id)[0, len(prompt):]
        answers.append(LETTERS.decode(course.until_end(row, end_id).tolist()))
    return answers


@pytest.mark.parametrize("batch_size", [1, 4, 36])
def test_answers_together_are_those_one_by_one_and_in_the_order_of_the_prompts(model, batch_size):
    wanted = answers_alone(model, PROMPTS)
    assert len(set(wanted)) > 8
    kept = [list(prompt) for prompt in PROMPTS]
    assert generate_answers(model, PROMPTS, LETTERS, 59, 9, batch_size) == wanted
    assert kept == PROMPTS and model.training


def test_an_answer_ends_before_its_end_token_and_at_the_longest(model):
    ids = list(map(int, answers_alone(model, [PROMPTS[0]], count=9)[0].split()))
    assert len(ids) == 9
    end = ids[4]
    wanted = " ".join(map(str, ids[: ids.index(end)]))
    assert generate_answers(model, [PROMPTS[0]], LETTERS, end, 9) == [wanted]
    for count in (0, 1, 5):
        assert generate_answers(model, [PROMPTS[0]], LETTERS, 59, count) == [" ".join(map(str, ids[:count]))]


def test_no_prompts_and_an_empty_one(model):
    assert generate_answers(model, [], LETTERS, 59) == []
    with raises("prompt 2 is empty"):
        generate_answers(model, [[1], [2], [], []], LETTERS, 59)


def test_an_answer_that_does_not_fit(model):
    assert generate_answers(model, [[1] * 60], LETTERS, 59, 5)[0].count(" ") == 4  # the last token is never read
    with raises("65 tokens"):
        generate_answers(model, [[1] * 60], LETTERS, 59, 10)


# -------------------- the count --------------------


def test_the_table_counts_by_kind_in_the_order_of_the_kinds():
    examples = course.make_examples(seed=0)["test"]
    answers = [example["output"] for example in examples]
    table = course.score_table(examples, answers)
    assert list(table.index) == list(course.KINDS) and list(table.columns) == ["right", "wrong", "form"]
    assert table["right"].tolist() == [12] * len(course.KINDS) and table[["wrong", "form"]].to_numpy().sum() == 0
    for number, example in enumerate(examples):
        if example["kind"] == "addition":
            answers[number] = str(int(example["output"]) + 1)
        elif example["kind"] == "JSON":
            answers[number] = ""
    table = course.score_table(examples[::-1], answers[::-1])
    assert (table.loc["addition"].tolist(), table.loc["JSON"].tolist()) == ([0, 12, 0], [0, 0, 12])
    assert table.sum().tolist() == [12 * (len(course.KINDS) - 2), 12, 12]


def test_the_table_holds_the_kinds_that_occur():
    examples = [{"kind": "units", "output": "180 minutes"}, {"kind": "plural", "output": "leaves"}]
    table = course.score_table(examples, ["three", "leafs"])
    assert list(table.index) == ["plural", "units"]
    assert table.to_numpy().tolist() == [[0, 1, 0], [0, 0, 1]]
    with pytest.raises(ValueError, match="zip"):
        course.score_table(examples, ["one answer"])


# -------------------- the saved model, and the chat with it --------------------

SAVED = {**LLAMA, "vocab_size": 49152, "emb_dim": 12, "n_heads": 2, "n_kv_heads": 1, "hidden_dim": 20,
         "context_length": 512}  # SmolLM2's vocabulary, since its tokenizer comes with it


@pytest.fixture(scope="module")
def finetuned():
    torch.manual_seed(0)
    return course.LlamaModel(SAVED)


@pytest.fixture
def saved(finetuned, tmp_path):
    course.save_finetuned(finetuned, tmp_path / "model.pt")
    return tmp_path / "model.pt"


def test_a_saved_model_is_the_same_after_loading(finetuned, saved):
    model, tokenizer = course.load_finetuned(saved)
    assert model.cfg == SAVED and not model.training
    ids = torch.randint(0, 49152, (2, 30))
    with torch.no_grad():
        assert torch.equal(model(ids), finetuned.eval()(ids))
    assert model.out_head.weight is model.tok_emb.weight
    assert tokenizer.decode(tokenizer.encode_ordinary("Hi there")) == "Hi there"
    size = sum(parameter.numel() for parameter in finetuned.parameters()) * 4
    assert size < saved.stat().st_size < 1.02 * size  # the embedding, with two names, is there once
    assert [path.name for path in saved.parent.iterdir()] == ["model.pt"]


def test_a_save_that_breaks_off_leaves_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()
    torch.manual_seed(1)
    other = course.LlamaModel(SAVED)

    def half(checkpoint, file):
        file.write(before[:1000])
        raise OSError("no space left on device")

    monkeypatch.setattr("torch.save", half)
    with pytest.raises(OSError, match="no space left"):
        course.save_finetuned(other, saved)
    assert saved.read_bytes() == before and [path.name for path in saved.parent.iterdir()] == ["model.pt"]


def broken(path, damage, whole):
    """Write a file that is no saved model, and return its path."""
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "a half":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "garbage":
        path.write_bytes(bytes(range(256)) * 50)
    elif damage == "a text":
        path.write_text("Rain fell all night.\n" * 20, encoding="utf-8")
    elif damage == "SmolLM2's own":
        return course.find_smollm2()
    elif damage == "a folder":
        path.mkdir()
    elif damage == "another archive":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("notes.txt", "Rain fell all night.")
    else:
        torch.manual_seed(0)
        gpt = course.GPTModel(GPT)
        torch.save({"a checkpoint": {"model_state_dict": gpt.state_dict()}, "a number": 7, "weights alone": {
            "weights": gpt.state_dict()}, "another architecture": {"cfg": GPT, "weights": gpt.state_dict()},
            "another size": {"cfg": LLAMA, "weights": course.LlamaModel({**LLAMA, "n_layers": 1}).state_dict()},
            "a whole object": {"cfg": GPT, "weights": gpt}}[damage], path)
    return path


@pytest.mark.parametrize("damage", [
    "empty", "a half", "garbage", "a text", "SmolLM2's own", "a folder", "another archive", "a checkpoint", "a number",
    "weights alone", "another architecture", "another size", "a whole object"])
def test_a_file_that_is_no_saved_model(saved, tmp_path, damage):
    path = broken(tmp_path / "other.pt", damage, saved.read_bytes())
    with raises("(other.pt|gguf) is not a file of save_finetuned"):
        course.load_finetuned(path)


def test_a_file_that_is_missing_and_a_tokenizer_that_is(saved, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="nowhere.pt"):
        course.load_finetuned(tmp_path / "nowhere.pt")
    monkeypatch.setenv("SMOLLM2_GGUF", str(tmp_path / "nowhere.gguf"))
    with pytest.raises(FileNotFoundError, match="nowhere.gguf: run `pip install"):
        course.load_finetuned(saved)


def test_a_conversation_without_a_systems_message(finetuned, smollm2):
    chat = course.Chat(finetuned.eval(), smollm2[1], system=None)
    assert chat.messages == []
    said = chat.reply("Name a colour.", 5)
    assert [message["role"] for message in chat.messages] == ["user", "assistant"]
    prompt = torch.tensor([course.encode_request(entry(), smollm2[1])])  # as in training
    out = course.generate(finetuned, prompt, 5, 512, eos_id=2)
    assert said == smollm2[1].decode(course.until_end(out[0, prompt.shape[1]:], 2).tolist())
    chat.reset()
    assert chat.messages == []
    chat.reset("You are a poet.")
    assert chat.messages == [{"role": "system", "content": "You are a poet."}]
    chat.reply("Hi", 3)
    chat.reset()
    assert chat.messages == [{"role": "system", "content": "You are a poet."}]


def test_the_page_of_a_conversation_with_a_systems_message_and_without(finetuned, smollm2):
    pytest.importorskip("gradio", reason="Gradio is not installed")
    import chat_page

    for system in (None, "Be brief."):
        chat = course.Chat(finetuned.eval(), smollm2[1], system=system)
        assert chat_page.conversation(chat) == []
        said = chat.reply("What is 2 + 3?", 5)
        question, answer = chat_page.conversation(chat)
        assert question == chat_page.shown("user", "What is 2 + 3?") and answer == chat_page.shown("assistant", said)


def heard_by(monkeypatch, arguments, lines):
    """Run chat.py with the lines as its input; return the conversation, and the system's messages of its beginnings."""
    lines, kept = iter(lines), []

    class Kept(course.Chat):
        def reset(self, system=None):
            super().reset(system)
            kept.append([message["content"] for message in self.messages])

    monkeypatch.setattr("builtins.input", lambda _: next(lines))
    monkeypatch.setattr(chat_program, "Chat", Kept)
    assert chat_program.main(arguments) == 0
    return kept


def test_the_program_with_a_finetuned_model(saved, monkeypatch, capsys):
    lines = ["hello", "/reset", "/system Be brief.", "/reset", "/quit"]
    beginnings = heard_by(monkeypatch, ["--model", str(saved), "--max-tokens", "3"], lines)
    assert beginnings == [[], [], ["Be brief."], ["Be brief."]]
    assert capsys.readouterr().out.count("(a new conversation)") == 3
    arguments = ["--model", str(saved), "--system", "You are a poet."]
    assert heard_by(monkeypatch, arguments, ["/quit"]) == [["You are a poet."]]


def test_the_system_of_the_models(saved, finetuned, smollm2, monkeypatch):
    monkeypatch.setattr(chat_program, "load_smollm2", lambda path: smollm2)
    for arguments, wanted in (([], course.SYSTEM), (["--model", "a.gguf"], course.SYSTEM), (["--system", "A"], "A"),
                              (["--model", str(saved)], None), (["--model", str(saved), "--system", "A"], "A")):
        options = chat_program.parse(arguments)
        assert chat_program.load(options)[0].cfg in (SAVED, smollm2[0].cfg)
        assert options.system == wanted


@pytest.mark.parametrize("damage", ["empty", "a text", "a folder", "another archive", "another size", None])
def test_the_program_says_in_one_line_that_a_file_is_no_model(saved, tmp_path, damage, capsys):
    path = broken(tmp_path / "other.pt", damage, saved.read_bytes()) if damage else tmp_path / "other.pt"
    assert chat_program.main(["--model", str(path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("chat.py: ") and said.count("\n") == 1 and "other.pt" in said


@pytest.mark.slow
def test_the_program_from_end_to_end(saved):
    done = subprocess.run([sys.executable, "chat.py", "--model", str(saved), "--max-tokens", "4"], cwd=ROOT, text=True,
                          capture_output=True, input="Name a colour.\n", encoding="utf-8", timeout=120)
    assert done.returncode == 0 and done.stderr == "" and done.stdout.count("> ") == 2


@pytest.mark.parametrize("target", ["chat", "chat-page"])
def test_make_hands_the_model_on(target, tmp_path):
    shown = [subprocess.run(["make", "-n", target, *variable], cwd=ROOT, capture_output=True, text=True).stdout
             for variable in ([], ["MODEL=x y.pt"])]
    program = target.replace("-", "_") + ".py"
    assert [line.partition(program)[2].strip() for text in shown for line in text.splitlines() if program in line] == [
        "", '--model "x y.pt"']
