"""The checks of the exercises: `check("2.1", attempt)` prints what is right or wrong with an attempt.

An attempt that is still `...`, or a function that still returns None, counts as not attempted, so that a notebook runs
from top to bottom before anything is solved. The checks try an attempt on inputs that the exercise did not show.
"""

import math
import tempfile
from importlib.metadata import version
from pathlib import Path

import tiktoken
import torch
from torch.nn import functional

import previous_chapters as course

CHECKS = {}
TINY = {"vocab_size": 60, "context_length": 12, "emb_dim": 16, "n_heads": 2, "n_layers": 2, "drop_rate": 0.1,
        "qkv_bias": False}


class NotAttemptedError(Exception):
    """The attempt still holds the starter cell's `...`."""


class WrongError(Exception):
    """The attempt ran, and the message says what is wrong with its result."""


def check(number, *attempt):
    """Print one line that says whether an attempt at an exercise is right, and if not, what to look at."""
    status, message = judge(number, *attempt)
    print(f"{number}: {status}{message and ': ' + message}")


def judge(number, *attempt):
    """Return (status, message) of an attempt; the status is "right", "not yet" or "not attempted yet".

    Raises:
        ValueError: there is no exercise of that number.
    """
    if number not in CHECKS:
        raise ValueError(f"there is no exercise {number!r}; there are {', '.join(CHECKS)}")
    if any(part is None or part is ... for part in attempt):
        return "not attempted yet", ""
    try:
        return "right", CHECKS[number](*attempt)
    except NotAttemptedError:
        return "not attempted yet", ""
    except WrongError as error:
        return "not yet", str(error)
    except Exception as error:  # the learner's code may raise anything; the check reports it and the notebook goes on
        return "not yet", f"your code raised {type(error).__name__}: {error}"


def exercise(number):
    """Register a check under the number of its exercise."""

    def register(function):
        CHECKS[number] = function
        return function

    return register


def call(function, *arguments, **keywords):
    """Call a learner's function; a result of None or `...` means that it is still the starter cell's."""
    if not callable(function):
        raise WrongError(f"expected a function, got {function!r}")
    result = function(*arguments, **keywords)
    if result is None or result is ...:
        raise NotAttemptedError
    return result


def expect(condition, hint):
    """Raise WrongError with the hint unless the condition holds."""
    if not condition:
        raise WrongError(hint)


@exercise("2.1")
def _spell_out(spell_out):
    tokenizer = tiktoken.get_encoding("gpt2")
    for text in ["Akwirw ier", "Xyzzyq, plugh!"]:
        result = call(spell_out, text)
        expect(isinstance(result, tuple) and len(result) == 3, "return three things: the ids, their texts, the whole")
        ids, pieces, whole = result
        expect(list(ids) == tokenizer.encode(text), f"for {text!r} the tokenizer gives other ids than {ids}")
        expect(list(pieces) == [tokenizer.decode([token]) for token in ids],
               f"each text must be one id decoded alone, not {pieces}")
        expect(whole == text, f"decoding all ids together must give {text!r} back, not {whole!r}")
    return "every id has a text of its own, and together they lose nothing"


def riddle_2_2():
    """Return the inputs of the two loaders whose settings exercise 2.2 asks for, {name: (4, max_length) token ids}."""
    settings = {"first loader:": {"max_length": 2, "stride": 2}, "second loader:": {"max_length": 8, "stride": 2}}
    return {name: first_inputs(setting) for name, setting in settings.items()}


def first_inputs(settings):
    """Return the inputs of the first four windows of the story, in order."""
    text = (Path(course.__file__).parent / "the-verdict.txt").read_text(encoding="utf-8")
    return next(iter(course.create_dataloader_v1(text, batch_size=4, shuffle=False, **settings)))[0]


@exercise("2.2")
def _find_settings(first, second):
    for (name, wanted), settings in zip(riddle_2_2().items(), (first, second), strict=True):
        expect(isinstance(settings, dict), f"{name} the settings must be a dict, not {settings!r}")
        if any(value is ... for value in settings.values()):
            raise NotAttemptedError
        inputs = first_inputs(settings)
        expect(inputs.shape[1] == wanted.shape[1],
               f"{name} your rows have {inputs.shape[1]} ids, the wanted ones {wanted.shape[1]}")
        expect(torch.equal(inputs, wanted), f"{name} your rows have the right length, but the second starts at the "
                                            "wrong token: look at the stride")
    return "max_length is the length of a row, stride is how far the next row has moved on"


@exercise("3.1")
def _copy_weights(copy_weights):
    torch.manual_seed(0)
    source, target = course.SelfAttention_v2(3, 2), course.SelfAttention_v1(3, 2)
    inputs = torch.rand(5, 3)
    result = call(copy_weights, source, target)
    expect(result is target, "return the SelfAttention_v1 that you were given, with its weights replaced")
    expect(target.W_query.shape == (3, 2), f"W_query must keep its shape (3, 2), it has {tuple(target.W_query.shape)}: "
                                           "nn.Linear stores its weight transposed")
    expect(torch.allclose(source(inputs), target(inputs), atol=1e-6), "the two modules still give different outputs")
    return "same weights, same outputs: the two classes differ only in how they store them"


@exercise("3.2")
def _wrapper_width(d_out):
    expect(isinstance(d_out, int) and d_out > 0, f"d_out must be a positive whole number, not {d_out!r}")
    module = course.MultiHeadAttentionWrapper(3, d_out, 6, 0.0, num_heads=2)
    shape = tuple(module(torch.rand(2, 6, 3)).shape)
    expect(shape == (2, 6, 2), f"with d_out={d_out} two heads give {shape}, wanted (2, 6, 2)")
    return "the wrapper's output is num_heads * d_out wide"


@exercise("3.3")
def _gpt2_attention(module):
    expect(isinstance(module, course.MultiHeadAttention), f"expected a MultiHeadAttention, got {type(module).__name__}")
    parameters = sum(p.numel() for p in module.parameters())
    expect(parameters == 2_360_064, f"the module has {parameters:,} parameters, wanted 2,360,064")
    expect(module.num_heads == 12, f"GPT-2's smallest model has 12 heads, this module has {module.num_heads}")
    expect(module.mask.shape[0] == 1024, f"the context length must be 1024, the mask is for {module.mask.shape[0]}")
    return "this is the attention module of the smallest GPT-2"


@exercise("4.1")
def _count_parameters(count_parameters):
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Embedding(7, 5))
    expect(call(count_parameters, module) == 51, f"Linear(3, 4) and Embedding(7, 5) have 12 + 4 + 35 = 51 parameters, "
                                                 f"not {count_parameters(module)}")
    with torch.device("meta"):
        block = course.TransformerBlock(course.GPT_CONFIG_124M)
    feed_forward, attention = count_parameters(block.ff), count_parameters(block.att)
    expect((feed_forward, attention) == (4_722_432, 2_360_064), f"one block gives {feed_forward:,} and {attention:,}")
    return f"feed forward {feed_forward:,}, attention {attention:,}: twice as many sit in the feed forward"


@exercise("4.2")
def _larger_models(configs):
    expect(isinstance(configs, dict), f"expected a dict of configurations, got {type(configs).__name__}")
    if any(config is ... for config in configs.values()):
        raise NotAttemptedError
    wanted = {"medium": 406_212_608, "large": 838_220_800, "xl": 1_637_792_000}
    for name, parameters in wanted.items():
        expect(name in configs, f"the configuration {name!r} is missing")
        with torch.device("meta"):  # shapes only: the largest would need 6 GB
            model = course.GPTModel(configs[name])
        found = sum(p.numel() for p in model.parameters())
        expect(found == parameters, f"{name} has {found:,} parameters, wanted {parameters:,}")
        heads = model.trf_blocks[0].att.num_heads
        expect(configs[name]["emb_dim"] // heads == 64, f"every GPT-2 head is 64 wide; {name} has {heads} heads")
    return "one class, four models: only the configuration differs"


@exercise("4.3")
def _separate_dropouts(build):
    model = call(build, TINY, 0.1, 0.2, 0.3)
    expect(isinstance(model, course.GPTModel), f"return a GPTModel, not a {type(model).__name__}")
    expect(model.drop_emb.p == 0.1, f"the embedding dropout is {model.drop_emb.p}, wanted 0.1")
    for number, block in enumerate(model.trf_blocks):
        attention, shortcut = block.att.dropout.p, block.drop_shortcut.p
        expect(attention == 0.2, f"block {number}: the attention dropout is {attention}, wanted 0.2")
        expect(shortcut == 0.3, f"block {number}: the shortcut dropout is {shortcut}, wanted 0.3")
    return "three places, three rates"


@exercise("5.1")
def _sampled_share(sampled_share):
    logits = torch.tensor([1.0, 3.0, 0.5, -2.0])
    for temperature in (0.5, 1.0, 5.0):
        exact = torch.softmax(logits / temperature, dim=-1)[2].item()
        torch.manual_seed(1)
        share = float(call(sampled_share, logits, temperature, 2, 20_000))
        error = (exact * (1 - exact) / 20_000) ** 0.5  # standard deviation of a share of 20,000 draws
        expect(abs(share - exact) < 5 * error, f"at temperature {temperature} position 2 has probability {exact:.4f}, "
                                               f"your share of 20,000 draws is {share:.4f}")
        expect(share != exact, "count draws; do not return the probability itself")
    return "the shares of many draws settle at the probabilities"


@exercise("5.2")
def _two_tasks(facts, ideas):
    logits = torch.tensor([4.51, 0.89, -1.90, 6.75, 1.63, -1.62, -1.89, 6.28, 1.79])
    counts = []
    for name, settings in [("facts", facts), ("ideas", ideas)]:
        expect(isinstance(settings, dict) and settings.keys() == {"temperature", "top_k"},
               f"{name} must be a dict with temperature and top_k, not {settings!r}")
        if any(value is ... for value in settings.values()):
            raise NotAttemptedError
        temperature, top_k = settings["temperature"], settings["top_k"]
        expect(temperature >= 0 and 1 <= top_k <= len(logits), f"{name}: temperature must be at least 0 and top_k "
                                                               f"between 1 and {len(logits)}, not {settings}")
        kept = torch.topk(logits, top_k).values
        probabilities = torch.softmax(kept / temperature, dim=-1) if temperature else (kept == kept.max()).float()
        counts.append(torch.exp(torch.special.entr(probabilities).sum()).item())  # words that are really in play
    expect(counts[0] < 1.2, f"facts: {counts[0]:.1f} words are still in play, wanted about one")
    expect(counts[1] > 5, f"ideas: only {counts[1]:.1f} words are in play, wanted more than five")
    return f"{counts[0]:.1f} words in play for facts, {counts[1]:.1f} for ideas"


@exercise("5.3")
def _deterministic(settings_list):
    expect(isinstance(settings_list, list), f"expected a list of dicts, got {settings_list!r}")
    if any(settings is ... for settings in settings_list):
        raise NotAttemptedError
    expect(len(settings_list) >= 2, "give at least two different settings")
    torch.manual_seed(0)
    model, prompt = course.GPTModel(TINY), torch.tensor([[1, 2, 3]])
    greedy = course.generate_text_simple(model, prompt, 20, TINY["context_length"])
    for settings in settings_list:
        for seed in range(5):
            torch.manual_seed(seed)
            result = course.generate(model, prompt, 20, TINY["context_length"], **settings)
            expect(torch.equal(result, greedy), f"{settings} gave another text than the greedy one at seed {seed}")
    expect(any(settings.get("temperature", 0) > 0 for settings in settings_list),
           "all your settings have temperature 0; there is another way, with a temperature above it")
    return "with one candidate left there is nothing to draw"


@exercise("5.4")
def _one_more_epoch(one_more_epoch):
    torch.manual_seed(0)
    batches = [(rows[:, :-1], rows[:, 1:]) for rows in torch.randint(0, TINY["vocab_size"], (4, 2, 9))]

    def fresh():
        model = course.GPTModel({**TINY, "drop_rate": 0.0})
        return model, torch.optim.AdamW(model.parameters(), lr=1e-2)

    def train(model, optimizer):
        losses = []
        for inputs, targets in batches:
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pth"
        model, optimizer = fresh()
        train(model, optimizer)
        course.save_checkpoint(path, model, optimizer, step=len(batches))
        wanted = train(model, optimizer)
        losses = call(one_more_epoch, path, *fresh(), batches)
    expect(len(losses) == len(wanted), f"return one loss per batch: {len(wanted)} were expected, got {len(losses)}")
    expect(abs(losses[0] - wanted[0]) < 1e-5, f"the first loss is {losses[0]:.4f}, without a pause it would be "
                                              f"{wanted[0]:.4f}: was the model loaded?")
    expect(max(abs(a - b) for a, b in zip(losses, wanted, strict=True)) < 1e-4,
           "the first loss is right, later ones are not: was the optimizer loaded, and its state kept?")
    return "the pause left no trace in the losses"


@exercise("5.5")
def _story_losses(story_losses):
    torch.manual_seed(0)
    model = course.GPTModel({**TINY, "drop_rate": 0.5}).train()
    rows = torch.randint(0, TINY["vocab_size"], (6, 2, 9))
    loader = [(row[:, :-1], row[:, 1:]) for row in rows]
    device = torch.device("cpu")
    result = call(story_losses, model, loader[:4], loader[4:], device)
    expect(isinstance(result, (tuple, list)) and len(result) == 2, f"return two numbers, not {result!r}")
    wanted = course.evaluate_model(model, loader[:4], loader[4:], device, eval_iter=None)
    for name, loss, right in zip(("training", "validation"), result, wanted, strict=True):
        expect(abs(float(loss) - right) < 1e-5, f"the {name} loss is {float(loss):.4f}, wanted {right:.4f}: is dropout "
                                                "off, and are all batches used?")
    return "all batches, no dropout"


@exercise("5.6")
def _config_from_settings(config_from_settings):
    for size in course.model_configs.values():
        settings = {"n_vocab": 300, "n_ctx": 20, "n_embd": size["emb_dim"], "n_head": size["n_heads"],
                    "n_layer": size["n_layers"]}
        config = call(config_from_settings, settings)
        with torch.device("meta"):  # shapes only: the largest would need 6 GB
            model = course.GPTModel(config)
        wanted = {"vocab_size": 300, "context_length": 20, **size, "qkv_bias": True}
        for name, value in wanted.items():
            expect(config[name] == value, f"for {settings} the entry {name!r} is {config[name]!r}, wanted {value!r}")
        expect(model.trf_blocks[0].att.W_query.bias is not None, "OpenAI's checkpoints have biases: qkv_bias=True")
    return "five numbers of a checkpoint are all that the model has to know"


@exercise("A.1")
def _not_as_pinned(not_as_pinned):
    installed = {name: version(name) for name in ("numpy", "tiktoken", "tqdm")}
    fine = [f"{name}=={number}" for name, number in installed.items()]
    expect(list(call(not_as_pinned, fine)) == [], f"{fine} are all installed as the lines say, "
                                                  f"you returned {not_as_pinned(fine)}")
    absent = list(not_as_pinned([*fine, "no-such-package==1.0"]))
    expect(absent == ["no-such-package"], f"no-such-package is absent, you returned {absent}")
    patched = ".".join([*installed["tqdm"].split(".")[:-1], "999"])
    other = list(not_as_pinned([fine[0], f"tqdm=={patched}"]))
    expect(other == ["tqdm"], f"tqdm is {installed['tqdm']} and the line says {patched}, you returned {other}")
    return "absent packages and other versions are found, and nothing else"


@exercise("A.2")
def _chain_rule(gradients):
    for x, y, w, b in [(1.5, 0.0, 0.4, -0.2), (-0.7, 1.0, 0.9, 0.3), (2.0, -0.5, -0.6, 0.8)]:
        result = call(gradients, x, y, w, b)
        expect(isinstance(result, (tuple, list)) and len(result) == 2, f"return two numbers, not {result!r}")
        for_w, for_b = map(float, result)
        a = math.tanh(w * x + b)
        right = 2 * (a - y) * (1 - a * a)
        hints = {
            (right, right * x): "the two derivatives are swapped: the first belongs to w",
            (right, right): "a change of w reaches z multiplied by x",
            (right * x / 2, right / 2): "the square's slope has a factor that is missing",
            (2 * (a - y) * x, 2 * (a - y)): "the slope of tanh is missing",
            (-right * x, -right): "the signs are turned around: the error is a minus y",
        }
        for wrong, hint in hints.items():
            expect(max(abs(for_w - wrong[0]), abs(for_b - wrong[1])) > 1e-6, hint)
        expect(max(abs(for_w - right * x), abs(for_b - right)) < 1e-5,
               f"x={x}, y={y}, w={w}, b={b}: autograd finds other numbers than {for_w:.4f} and {for_b:.4f}")
    return "the chain rule by hand, and autograd agrees"


@exercise("A.3")
def _count_by_widths(count_parameters):
    for widths in ([7, 5], [4, 3, 6, 2], [50, 30, 20, 3]):
        result = call(count_parameters, widths)
        layers = [torch.nn.Linear(*pair, device="meta") for pair in zip(widths, widths[1:], strict=False)]
        weights, biases = (sum(getattr(layer, name).numel() for layer in layers) for name in ("weight", "bias"))
        expect(result != weights, f"for {widths} you count the weights; where are the biases?")
        expect(result != weights + sum(widths), f"for {widths}: the input layer has no biases, it is only numbers")
        expect(result == weights + biases, f"for {widths} you count {result}, PyTorch does not: go through the layers "
                                           "one by one")
    return "the same as PyTorch's count"


@exercise("A.4")
def _winning_size(winning_size):
    sizes, cpu = [8, 32, 128, 512], [1.0, 2.0, 30.0, 900.0]
    result = call(winning_size, sizes, cpu, [5.0, 5.0, 6.0, 20.0])
    expect(result != 2, "return the size, not its place in the list")
    expect(result == 128, f"CPU {cpu}, GPU [5.0, 5.0, 6.0, 20.0]: you returned {result} of the sizes {sizes}")
    lucky = winning_size(sizes, cpu, [0.5, 5.0, 6.0, 20.0])
    expect(lucky != 8, "the GPU must win at this size and at all larger ones; once by luck does not count")
    expect(lucky == 128, f"CPU {cpu}, GPU [0.5, 5.0, 6.0, 20.0]: you returned {lucky}")
    expect(winning_size(sizes, cpu, [0.5, 1.0, 6.0, 20.0]) == 8, "a GPU that always wins does so from the first size")
    expect(winning_size(sizes, cpu, [5.0, 5.0, 40.0, 1000.0]) == 0, "a GPU that never wins has no winning size")
    expect(winning_size(sizes, cpu, [0.5, 1.0, 6.0, 1000.0]) == 0, "a GPU that loses at the end has no winning size")
    expect(winning_size(sizes, cpu, []) == 0, "without a GPU there is no winning size")
    return "the size from which on the GPU wins, or 0"
