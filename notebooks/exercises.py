"""The checks of the exercises: `check("2.1", attempt)` prints what is right or wrong with an attempt.

An attempt that is still `...`, in whole or in part, counts as not attempted, so that a notebook runs from top to bottom
before anything is solved. A check runs the attempt on inputs that the exercise did not show. From the output it guesses
the mistake and names it; the solution it never prints.
"""

import inspect
import math
import operator
import tempfile
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import tiktoken
import torch
from torch.nn import Embedding, Linear, Sequential

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
    wanted = inspect.signature(CHECKS[number]).parameters
    if len(attempt) != len(wanted):
        return "not yet", f'this exercise is checked with check("{number}", {", ".join(wanted)})'
    if any(part is None or unfinished(part) for part in attempt):
        return "not attempted yet", ""
    try:
        with torch.random.fork_rng(devices=[]):  # the notebook's random numbers stay what they would have been
            return "right", CHECKS[number](*attempt)
    except NotAttemptedError:
        return "not attempted yet", ""
    except WrongError as error:
        return "not yet", str(error)
    except Exception as error:  # the learner's code may raise anything; the check reports it and the notebook goes on
        if "ellipsis" in str(error):  # such as "'ellipsis' object is not iterable"
            return "not attempted yet", ""
        return "not yet", f"your code raised {type(error).__name__}: {error}".partition("\n")[0]


def exercise(number):
    """Register a check under the number of its exercise."""

    def register(function):
        CHECKS[number] = function
        return function

    return register


# What the checks share.


def unfinished(value):
    """Say whether a value is `...`, or a list, tuple or dict with a `...` in it."""
    if isinstance(value, dict):
        value = list(value.values())
    return value is ... or (isinstance(value, (list, tuple)) and any(map(unfinished, value)))


def call(function, *arguments, **keywords):
    """Return what a learner's function returns, unless it is still the starter cell's or lacks its `return`."""
    if not callable(function):
        raise WrongError(f"hand over the function itself, without calling it, not {kind(function)}")
    result = function(*arguments, **keywords)
    if unfinished(result):
        raise NotAttemptedError
    if result is None:
        code = getattr(function, "__code__", None)
        if code and not code.co_names and code.co_nlocals == code.co_argcount:  # a body without any name: `...`
            raise NotAttemptedError
        raise WrongError("your function returns nothing: is its `return` missing?")
    return result


def kind(value):
    """Return the name of a value's type with its article, for messages."""
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def is_a(value, class_name):
    """Compare by name: in its chapter a class is the notebook's own, not the one of previous_chapters."""
    return any(base.__name__ == class_name for base in type(value).__mro__)


def expect(condition, hint):
    """Raise WrongError with the hint unless the condition holds."""
    if not condition:
        raise WrongError(hint)


def as_number(value, hint, whole=False):
    """Return Python's, numpy's or torch's number as a float or, if it must be whole, as an int; else it is wrong."""
    try:
        return operator.index(value) if whole else float(value)
    except (TypeError, ValueError, RuntimeError):
        raise WrongError(hint) from None


def near(found, value, tolerance=1e-4):
    """Say whether two numbers, or all of two lists, are about the same."""
    found, value = torch.as_tensor(found), torch.as_tensor(value)
    return found.shape == value.shape and bool(torch.allclose(found.double(), value.double(), rtol=0, atol=tolerance))


def explain(found, mistakes, otherwise, tolerance=1e-4):
    """Raise WrongError with the hint of the (value, hint) pair whose value was found, or with `otherwise`."""
    raise WrongError(next((hint for value, hint in mistakes if near(found, value, tolerance)), otherwise))


# Chapter 1


@exercise("1.1")
def _choices(choices):
    for chances in ([0.5, 0.5, 0.125], [0.9, 0.02, 0.4, 0.4], [0.25]):
        n, product, mean = len(chances), math.prod(chances), sum(chances) / len(chances)
        found = as_number(call(choices, list(chances)), "return one number, the perplexity")
        wanted = product ** (-1 / n)
        if not near(found, wanted, 1e-6 * wanted):
            explain(found, [(1 / wanted, "that is the mean of the probabilities; how many choices is it?"),
                            (1 / product, "the numbers are multiplied, but the root is missing"),
                            (product ** -0.5, "the square root is right for two words only"),
                            (1 / mean, "that is the mean of a sum; here the numbers are multiplied"),
                            (sum(1 / chance for chance in chances) / n, "first the mean, then the number of choices")],
                    f"for {chances} the perplexity is not {found:.4g}", 1e-6 * wanted)
    page = 3000 * [0.01, 0.04]
    underflow = "for a page of words the product is too small for a float and becomes 0: stay near 1 on the way"
    try:
        found = as_number(call(choices, page), "return one number, the perplexity")
    except (ZeroDivisionError, ValueError):
        raise WrongError(underflow) from None
    expect(0 < found < math.inf, underflow)
    expect(near(found, 50.0, 1e-3), f"a page of words with 0.01 and 0.04 in turn gives 50 choices, not {found:.4g}")
    return "so many equally likely words would make the model hesitate as much, for a short text and for a long one"


@exercise("1.2")
def _gap_fillers(gap_fillers):
    text = "b a b a c a b a d b b a d".split()
    cases = {("b", "a"): {"b": 1}, ("a", "a"): {"b": 2, "c": 1}, ("b", "b"): {"a": 1}, ("d", "a"): {}}
    for (left, right), wanted in cases.items():
        found = call(gap_fillers, list(text), left, right)
        expect(isinstance(found, dict), f"return a Counter, not {kind(found)}")
        found = {token: count for token, count in found.items() if count}
        place = f"between {left!r} and {right!r} in {' '.join(text)!r}"
        after = {b: 1 for a, b in pairwise(text) if a == left}
        before = {a: 1 for a, b in pairwise(text) if b == right}
        if found.keys() != wanted.keys():
            expect(found.keys() != after.keys(), f"{place}: the right side is not used")
            expect(found.keys() != before.keys(), f"{place}: the left side is not used")
            missed, extra = sorted(wanted.keys() - found.keys()), sorted(map(str, found.keys() - wanted.keys()))
            expect(not extra, f"{place} there is no {', '.join(extra)}")
            raise WrongError(f"{place} you miss {', '.join(missed)}")
        expect(found == wanted, f"{place} you find the right tokens, but not how often: {found}")
    return "a gap has two sides: that is how a reader who sees both fills it"


@exercise("1.3")
def _training_days(training_days):
    for weights, tokens, cards, per_second, used in [(1e8, 3e9, 3, 1e13, 0.2), (7e9, 1e12, 512, 3e14, 0.5)]:
        found = as_number(call(training_days, weights, tokens, cards, per_second, used), "return one number of days")
        wanted = 6 * weights * tokens / (cards * per_second * used) / 86400
        if not near(found, wanted, 1e-6 * wanted):
            mistakes = [(24, "that is hours"), (86400, "that is seconds"), (1 / 365, "that is years"),
                        (1 / 365.25, "that is years"), (1 / 6, "how many operations does each weight need per token?"),
                        (1 / 3, "two operations a weight give a guess; learning from it takes more"),
                        (2 / 3, "learning takes four operations a weight; the guess before it takes some, too"),
                        (cards, "the cards work at the same time"), (cards**2, "more cards need less time, not more"),
                        (used, "a card that is used in part only needs longer"),
                        (used**2, "the less of a card is used, the longer it takes")]
            explain(found / wanted, [(float(factor), hint) for factor, hint in mistakes],
                    f"for {weights:g} weights and {tokens:g} tokens {found:.4g} days is not right")
    days = float(training_days(175e9, 300e9, 1000, 312e12, 0.4))
    return f"GPT-3 would take a thousand A100 cards {days:.0f} days"


# Chapter 2


@exercise("2.1")
def _spell_out(spell_out):
    tokenizer = tiktoken.get_encoding("gpt2")
    texts = ["Akwirw ier", "Xyzzyq, plugh!", "a 🦜 smile"]
    results = [call(spell_out, text) for text in texts]
    expect(len(set(map(repr, results))) > 1, "every text gives the same result: does your function use its argument?")
    for text, result in zip(texts, results, strict=True):
        expect(isinstance(result, (tuple, list)) and len(result) == 3,
               "return three things: the ids, their texts, and the text of all together")
        ids, pieces, together = result
        expect(not any(isinstance(token, str) for token in ids), "first come the ids, then their texts")
        ids = [as_number(token, "the ids must be whole numbers", whole=True) for token in ids]
        expect(ids == tokenizer.encode(text), f"for {text!r} GPT-2's tokenizer gives other ids than {ids}")
        alone = [tokenizer.decode([token]) for token in ids]
        pieces = list(pieces)
        expect(all(isinstance(piece, str) for piece in pieces), f"an id decodes to a text, not to {kind(pieces[0])}")
        expect(pieces == alone or [piece.strip() for piece in pieces] != [piece.strip() for piece in alone],
               "a space is part of a token: leave it where it is")
        expect(pieces == alone, f"each text must be one id decoded alone; for {text!r} yours are {pieces}")
        expect(isinstance(together, str), f"all ids together decode to one text, not to {kind(together)}")
        expect(together != " ".join(pieces), "between tokens there is no space but those that they bring along")
        expect(together != "".join(pieces) or together == text, "decode all ids together; joining their texts will not "
               "do: a character of several bytes falls apart when each id is decoded alone")
        expect(together == text, f"all ids together must give {text!r} back, not {together!r}")
    return "every id has a text of its own, and together they lose nothing"


RIDDLE = {"first loader:": {"max_length": 2, "stride": 2}, "second loader:": {"max_length": 8, "stride": 2},
          "third loader:": {"max_length": 3, "stride": 7}}


def riddle_2_2():
    """Return the inputs of the three loaders whose settings exercise 2.2 asks for, {name: (4, max_length) ids}."""
    return {name: first_inputs(setting) for name, setting in RIDDLE.items()}


def first_inputs(settings):
    """Return the inputs of the first four windows of the story, in order."""
    text = (Path(course.__file__).parent / "the-verdict.txt").read_text(encoding="utf-8")
    return next(iter(course.create_dataloader_v1(text, batch_size=4, shuffle=False, **settings)))[0]


@exercise("2.2")
def _find_settings(first, second, third):
    answers = dict(zip(RIDDLE, (first, second, third), strict=True))
    for name, settings in answers.items():
        expect(isinstance(settings, dict) and settings.keys() == {"max_length", "stride"},
               f"{name} give a dict with max_length and stride, and nothing else")
        hint = f"{name} max_length and stride must be positive whole numbers"
        expect(min(as_number(value, hint, whole=True) for value in settings.values()) > 0, hint)
    expect(first != RIDDLE["second loader:"] or second != RIDDLE["first loader:"],
           "each loader has the other's settings: they are swapped")
    for name, wanted in riddle_2_2().items():
        settings, right = answers[name], RIDDLE[name]
        rows = first_inputs(settings)
        longer, later = settings["max_length"] - right["max_length"], settings["stride"] - right["stride"]
        swapped = (settings["max_length"], settings["stride"]) == (right["stride"], right["max_length"])
        expect(settings == right or not swapped, f"{name} max_length and stride are swapped")
        expect(rows.shape == wanted.shape, f"{name} your rows are {'longer' if longer > 0 else 'shorter'} than the "
                                           "wanted ones: look at max_length")
        expect(torch.equal(rows, wanted), f"{name} your rows have the right length, but the second starts too "
                                          f"{'late' if later > 0 else 'early'} in the story: look at the stride")
    return "max_length is the length of a row, stride is how far the next row has moved on"


# Chapter 3


@exercise("3.1")
def _copy_weights(copy_weights):
    torch.manual_seed(0)
    source, target = course.SelfAttention_v2(4, 3), course.SelfAttention_v1(4, 3)
    names = ["W_query", "W_key", "W_value"]
    wanted = {name: getattr(source, name).weight.detach().T.clone() for name in names}
    before = {name: getattr(target, name).detach().clone() for name in names}
    result = call(copy_weights, source, target)
    expect(result is target, "return the SelfAttention_v1 that you were given, with its weights replaced")
    for name, weight in wanted.items():
        found = getattr(target, name).detach()
        shapes = f"{name} must keep its shape {tuple(weight.shape)}, it has {tuple(found.shape)}"
        expect(torch.equal(getattr(source, name).weight.T, weight), f"{name} of source_v2 must stay what it is")
        expect(found.shape != weight.T.shape, f"{shapes}: nn.Linear stores its weight transposed")
        expect(found.shape == weight.shape, f"{shapes}: are its numbers those of source_v2?")
        expect(not torch.equal(found, before[name]), f"{name} of target_v1 is what it was before")
        others = [other for other in names if other != name and torch.equal(found, wanted[other])]
        expect(not others, f"{name} holds the numbers of {others and others[0]}")
        expect(not torch.equal(found, weight.T.reshape(weight.shape)), f"{name} has the right shape and the right "
               "numbers in the wrong places: changing the shape is not transposing")
        expect(torch.equal(found, weight), f"{name} has other numbers than that of source_v2")
    inputs = torch.rand(5, 4)
    expect(torch.allclose(source(inputs), target(inputs), atol=1e-6), "the two modules still give different outputs")
    return "same weights, same outputs: the two classes differ only in how they store them"


@exercise("3.2")
def _wrapper_width(d_out_wanted):
    d_out = as_number(d_out_wanted, f"d_out must be a whole number, not {kind(d_out_wanted)}", whole=True)
    expect(d_out > 0, "d_out is a number of numbers: it must be positive")
    with torch.device("meta"):  # shapes only, whatever the number
        module = course.MultiHeadAttentionWrapper(3, d_out, 6, 0.0, num_heads=2)
        width = module(torch.rand(2, 6, 3)).shape[-1]
    expect(width == 2, f"two heads next to each other, each {d_out} wide, give {width} numbers per word: too many")
    return "the wrapper's output is num_heads * d_out wide"


@exercise("3.3")
def _gpt2_attention(gpt2_attention):
    module = gpt2_attention
    expect(not isinstance(module, type), "that is the class; build a module from it, with its sizes in parentheses")
    expect(is_a(module, "MultiHeadAttention"), f"build a MultiHeadAttention, not {kind(module)}")
    d_in, d_out, bias = module.W_query.in_features, module.W_query.out_features, module.W_query.bias
    expect((d_in, d_out) == (768, 768), f"in this module {d_in} numbers go in and {d_out} come out")
    expect(module.num_heads == 12, f"GPT-2's smallest model has 12 heads, this module has {module.num_heads}")
    expect(len(module.mask) == 1024, f"the context length must be 1024, the mask is for {len(module.mask)}")
    expect(bias is None, "queries, keys and values have a bias here: leave qkv_bias off")
    expect(module.dropout.p == 0, f"dropout must be 0.0, it is {module.dropout.p}")
    inputs = torch.rand(1, 4, 768, device=module.W_query.weight.device)
    expect(module(inputs).shape == inputs.shape, "the output must have the shape of the input")
    parameters = sum(p.numel() for p in module.parameters())
    return f"{parameters:,} parameters, the attention module of the smallest GPT-2"


# Chapter 4


@exercise("4.4")
def _twin(twin):
    torch.manual_seed(0)
    x = 3 * torch.randn(2, 6, 16) + torch.randn(2, 6, 1)
    before, norm = x.clone(), course.LayerNorm(16)
    result = call(twin, x)
    expect(isinstance(result, torch.Tensor), f"return a tensor, not {kind(result)}")
    expect(torch.equal(x, before), "your function changes the tensor that it was given: make a new one")
    expect(result.shape == x.shape, f"the shape must stay {tuple(x.shape)}, it became {tuple(result.shape)}")
    result = result.detach()
    same = (norm(result) - norm(x)).abs().max().item() < 1e-3
    mean, std = result.mean(dim=-1), result.std(dim=-1, unbiased=False)
    if not (mean - 5).abs().max() < 1e-3:
        hint = " (all of them together have it)" if abs(result.mean() - 5) < 1e-3 else ""
        raise WrongError(f"the first row's mean is {mean[0, 0]:.3f}, not 5{hint}")
    expect(not (result.std(dim=-1) - 2).abs().max() < 1e-3,
           f"the first row's standard deviation is {std[0, 0]:.3f}: that is 2 only if one divides by n - 1")
    expect((std - 2).abs().max() < 1e-3, f"the first row's standard deviation is {std[0, 0]:.3f}, not 2")
    expect(same or (norm(result) + norm(x)).abs().max() > 1e-3, "LayerNorm's output has the opposite sign now")
    expect(same, "mean and standard deviation are right, but LayerNorm's output is another: use the numbers of x")
    return "two different vectors, one output: layer norm forgets each token's own mean and standard deviation"


@exercise("4.1")
def _count_parameters(count_parameters):
    def count(module):
        found = call(count_parameters, module)
        return as_number(found, f"return a whole number (an int), not {kind(found)}", whole=True)

    two_layers = Sequential(Linear(3, 4), Sequential(Embedding(7, 5)))
    frozen = Sequential(Linear(3, 4), Linear(4, 2)).requires_grad_(False)
    tied = Sequential(Embedding(4, 3), Linear(3, 4, bias=False))
    tied[1].weight = tied[0].weight
    expect(len({count(module) for module in (two_layers, frozen, tied)}) > 1,
           f"your function gives {count(tied)} for every module: does it use its argument?")
    if count(two_layers) != 12 + 4 + 35:
        explain(count(two_layers), [
            (3, "that is the number of tensors; each of them holds many parameters"),
            (12 + 35, "are the biases counted?"),
            (12 + 4, "layers inside of layers have parameters too"),
            (4 + 4 + 7, "the length of a tensor is its first dimension only"),
            (4 * (12 + 4 + 35), "that is the number of bytes"),
        ], f"a Linear(3, 4) and an Embedding(7, 5) do not have {count(two_layers)} parameters: count them on paper")
    expect(count(frozen) == 16 + 10, "parameters that need no gradient are parameters too")
    expect(count(tied) == 12, "a tensor that two layers share counts once")
    expect(count(torch.nn.BatchNorm1d(3)) == 6, "buffers are no parameters: they are not learned")
    with torch.device("meta"):
        block = course.TransformerBlock(course.GPT_CONFIG_124M)
    feed_forward, attention = count(block.ff), count(block.att)
    expect((feed_forward, attention) == (4_722_432, 2_360_064), f"one block gives {feed_forward:,} and {attention:,}")
    return f"feed forward {feed_forward:,}, attention {attention:,}: twice as many sit in the feed forward"


@exercise("4.2")
def _larger_models(configs):
    expect(isinstance(configs, dict), f"give a dict of configurations, not {kind(configs)}")
    smallest, counts = course.GPT_CONFIG_124M, []
    for name, (emb_dim, n_layers, n_heads) in {"medium": (1024, 24, 16), "large": (1280, 36, 20),
                                               "xl": (1600, 48, 25)}.items():
        expect(name in configs, f"the configuration {name!r} is missing")
        config = configs[name]
        expect(isinstance(config, dict), f"{name} must be a dict, not {kind(config)}")
        expect(sum(config is other for other in configs.values()) == 1,
               f"{name} is one dictionary under several names, so the last change counts for all: make copies")
        missing = smallest.keys() - config.keys()
        expect(not missing, f"{name} lacks {', '.join(sorted(missing))}: start from a copy of GPT_CONFIG_124M")
        expect((config["n_layers"], config["n_heads"]) != (n_heads, n_layers),
               f"{name}: n_layers and n_heads are swapped; blocks are layers")
        wanted = {**smallest, "emb_dim": emb_dim, "n_layers": n_layers, "n_heads": n_heads,
                  "drop_rate": config["drop_rate"]}  # a matter of taste
        for key, value in wanted.items():
            stale = " (still that of the smallest model)" if config[key] == smallest[key] else ""
            expect(config[key] == value, f"{name}: {key} must not be {config[key]!r}{stale}; look it up again")
        with torch.device("meta"):  # shapes only: the largest would need 6 GB
            counts.append(sum(p.numel() for p in course.GPTModel(config).parameters()))
    return f"{', '.join(f'{count:,}' for count in counts)} parameters, and only the configuration differs"


@exercise("4.3")
def _separate_dropouts(build):
    cfg, rates = dict(TINY), {"embedding": 0.15, "attention": 0.25, "shortcut": 0.35}
    model = call(build, cfg, *rates.values())
    expect(cfg == TINY, "your function changes the configuration that it was given: change a copy")
    expect(is_a(model, "GPTModel"), f"return a GPTModel, not {kind(model)}")
    sizes = (model.tok_emb.num_embeddings, len(model.trf_blocks))
    expect(sizes == (TINY["vocab_size"], TINY["n_layers"]), "the model has other sizes than cfg says")
    places = [("embedding", "", model.drop_emb.p)]
    for number, block in enumerate(model.trf_blocks):
        places += [("attention", f" of block {number}", block.att.dropout.p),
                   ("shortcut", f" of block {number}", block.drop_shortcut.p)]
    for name, where, found in places:
        meant_for = [other for other, rate in rates.items() if rate == found]
        expect(found != TINY["drop_rate"], f"the {name} dropout{where} still has the drop_rate of cfg")
        expect(meant_for in ([], [name]), f"the {name} dropout{where} has the {meant_for and meant_for[0]} rate")
        expect(found == rates[name], f"the {name} dropout{where} is {found}, a rate that your function was not given")
    return "three places, three rates"


# Chapter 5


@exercise("5.7")
def _surprises(surprises):
    torch.manual_seed(0)
    for scale in (2.0, 400.0):
        logits, targets = scale * torch.randn(2, 5, 7), torch.randint(0, 7, (2, 5))
        given = logits.clone()
        found = call(surprises, given, targets)
        expect(isinstance(found, torch.Tensor), f"return a tensor, not {kind(found)}")
        expect(torch.equal(given, logits), "your function changes the logits that it was given")
        expect(found.numel() != 1, "that is one number; a surprise for each target is wanted, without the average")
        expect(found.shape == (2, 5), f"the shape must be that of the targets, (2, 5), yours is {tuple(found.shape)}")
        expect(bool(found.isfinite().all()), "a surprise is infinite or not a number: some p has become 0 before its "
                                             "log was taken; take both steps at once")
        wanted = -torch.log_softmax(logits, dim=-1).gather(-1, targets[..., None])[..., 0]
        across = -torch.log_softmax(logits, dim=1).gather(-1, targets[..., None])[..., 0]
        if not near(found, wanted, 1e-3):
            explain(found, [
                (-wanted, "these are the log probabilities: mind the sign"),
                (torch.exp(-wanted), "these are the probabilities: the log is missing"),
                (wanted / math.log(2), "these are bits; nats are wanted, the natural logarithm"),
                (-logits.gather(-1, targets[..., None])[..., 0], "these are logits with a minus: no softmax was taken"),
                (across, "your softmax runs over the tokens of a text; it must run over the vocabulary"),
            ], "these are not the surprises at the targets", 1e-3)
    return "and their mean is the cross entropy"


@exercise("5.1")
def _sampled_share(sampled_share):
    logits = torch.tensor([1.0, 3.0, 0.5, -2.0, 2.0, 0.0, 1.6])
    given, n = logits.clone(), 10_007  # a prime: counts among a rounder number of draws give other shares
    for temperature, position in [(2.0, 4), (0.5, 0), (5.0, 3)]:
        probas = torch.softmax(logits / temperature, dim=-1)
        torch.manual_seed(1)
        share = as_number(call(sampled_share, given, temperature, position, n), "return one number, the share")
        expect(torch.equal(given, logits), "your function changes the logits that it was given: the next call gets "
                                           "others")
        expect(0 <= share <= 1, f"a share lies between 0 and 1, yours is {share:.4f}: divide the count by the draws")
        error = (probas[position] * (1 - probas[position]) / n).item() ** 0.5  # the standard deviation of such a share
        if not near(share, probas[position], 5 * error):
            explain(share, [
                (torch.softmax(logits, dim=-1)[position], "that is the share at temperature 1: do you use yours?"),
                (torch.softmax(logits * temperature, dim=-1)[position],
                 "a higher temperature must make the shares more alike, yours does the opposite"),
                (1 - probas[position], "that is the share of all the other indices"),
                (0.0, "this index never comes up: do you draw, or always take the best one?"),
                *((p, f"that is about the share of index {i}, not of {position}") for i, p in enumerate(probas)),
            ], f"index {position} does not have this share at temperature {temperature}", 3 * error)
        expect(near(share * n, round(share * n), 0.01), "this is no count divided by n: draw n times, and count; the "
                                                        "probability itself is not asked for")
    return "the shares of many draws settle at the probabilities"


@exercise("5.2")
def _two_tasks(facts, ideas):
    logits = torch.tensor([4.51, 0.89, -1.90, 6.75, 1.63, -1.62, -1.89, 6.28, 1.79])
    in_play = []
    for name, settings in [("facts", facts), ("ideas", ideas)]:
        expect(isinstance(settings, dict) and settings.keys() == {"temperature", "top_k"},
               f"{name}: give a dict with temperature and top_k")
        temperature = as_number(settings["temperature"], f"{name}: the temperature must be a number")
        top_k = len(logits) if settings["top_k"] is None else settings["top_k"]  # None keeps all, as in `generate`
        top_k = as_number(top_k, f"{name}: top_k must be a whole number, not {kind(top_k)}", whole=True)
        expect(temperature >= 0, f"{name}: a negative temperature would prefer the worst words")
        expect(1 <= top_k <= len(logits), f"{name}: there are {len(logits)} words, top_k cannot be {top_k}")
        kept = torch.topk(logits, top_k).values
        probabilities = torch.softmax(kept / temperature, dim=-1) if temperature else (kept == kept.max()).float()
        in_play.append((torch.exp(torch.special.entr(probabilities).sum()).item(), top_k))
    (for_facts, _), (for_ideas, kept_for_ideas) = in_play
    expect(for_facts <= 5 or for_ideas >= 1.2, "facts are to be sure and ideas to vary: are the two swapped?")
    expect(for_facts < 1.2, f"facts: {for_facts:.1f} words are in play, too many; lower one of the two numbers")
    expect(kept_for_ideas > 5, f"ideas: top_k keeps {kept_for_ideas} words, so there can never be more in play")
    expect(for_ideas > 5, f"ideas: only {for_ideas:.1f} words are in play; the temperature is too low")
    return f"{for_facts:.1f} words in play for facts, {for_ideas:.1f} for ideas"


@exercise("5.3")
def _deterministic(deterministic):
    expect(isinstance(deterministic, (list, tuple)) and all(isinstance(settings, dict) for settings in deterministic),
           "give a list of dicts of settings")
    expect(len(deterministic) >= 2, "give at least two different settings")
    expect(all(deterministic.count(settings) == 1 for settings in deterministic), "two of your settings are the same")
    torch.manual_seed(0)
    logits = torch.rand(50, 50) / 2
    best = torch.randperm(50)
    logits[torch.arange(50), best], logits[torch.arange(50), best - 1] = 1.0, 1.0 - 1e-6  # the second is almost as good
    model, prompt = Embedding.from_pretrained(logits), torch.tensor([[1, 2, 3]])  # token in, scores of the next out
    greedy = course.generate_text_simple(model, prompt, 20, 8)
    for settings in deterministic:
        if settings.get("top_k"):
            hint = f"{settings} leaves {settings['top_k']} words to draw from"
        else:
            hint = f"{settings} makes some words rare, but not impossible"
        for seed in range(5):
            torch.manual_seed(seed)
            result = course.generate(model, prompt, 20, 8, **settings)
            expect(result.shape == greedy.shape, f"{settings} ends the text early: all of the greedy text is wanted")
            expect(torch.equal(result, greedy), f"{hint}: with seed {seed} the text was another one")
    expect(any(settings.get("temperature", 0) > 0 for settings in deterministic),
           "all your settings have temperature 0; there is another way, with a temperature above it")
    return "with one candidate left there is nothing to draw"


@exercise("5.4")
def _one_more_epoch(one_more_epoch):
    torch.manual_seed(0)
    batches = [(rows[:, :-1], rows[:, 1:]) for rows in torch.randint(0, TINY["vocab_size"], (4, 2, 9))]
    modes = []

    def fresh():
        torch.manual_seed(1)
        model = course.GPTModel({**TINY, "drop_rate": 0.0})
        return model, torch.optim.AdamW(model.parameters(), lr=1e-2)

    def train(model, optimizer, forget_gradients=True, step=True):
        losses = []
        for inputs, targets in batches:
            if forget_gradients:
                optimizer.zero_grad()
            loss = course.calc_loss_batch(inputs, targets, model, "cpu")
            loss.backward()
            if step:
                optimizer.step()
            losses.append(loss.item())
        return losses

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pth"

        def resumed(with_optimizer=True):
            model, optimizer = fresh()
            course.load_checkpoint(path, model, optimizer if with_optimizer else None)
            return model, optimizer

        trained, optimizer = fresh()
        untrained = train(trained, optimizer)
        course.save_checkpoint(path, trained, optimizer, step=len(batches))
        wanted = train(trained, optimizer)
        mistakes = [(train(*resumed(with_optimizer=False)), "the optimizer starts anew: was its state loaded?"),
                    (train(*resumed(), forget_gradients=False), "the gradients of earlier batches pile up"),
                    (train(*resumed(), step=False), "the weights never change: nothing is learned from a batch")]
        model, optimizer = fresh()
        model.register_forward_pre_hook(lambda module, _: modes.append(module.training))
        losses = call(one_more_epoch, path, model, optimizer, batches)
    hint = "return a list of losses, one number per batch"
    expect(hasattr(losses, "__len__") and not isinstance(losses, (str, dict)), f"{hint}, not {kind(losses)}")
    losses = [as_number(loss, hint) for loss in losses]
    expect(len(losses) == len(batches), f"{hint}: {len(losses)} for {len(batches)} batches are not that")
    expect(not near(losses[0], untrained[0]), "the first loss is that of the fresh model: was the checkpoint loaded "
                                              "into it, before the training?")
    expect(all(modes), "the model was in eval mode, so dropout would be off in training")
    expect(near(losses[0], wanted[0]), "the first loss is not that of the first batch after the pause")
    if not near(losses, wanted):
        explain(losses, mistakes, "the first loss is right, later ones are not: look at what happens between batches")
    return "the pause left no trace in the losses"


@exercise("5.5")
def _story_losses(story_losses):
    torch.manual_seed(0)
    model, device, modes = course.GPTModel({**TINY, "drop_rate": 0.5}), torch.device("cpu"), []
    rows = torch.randint(0, TINY["vocab_size"], (20, 2, 9))
    batches = [(row[:, :-1], row[:, 1:]) for row in rows]
    train_loader, val_loader = batches[:13], batches[13:]
    wanted = course.evaluate_model(model, train_loader, val_loader, device, eval_iter=None)
    model.register_forward_pre_hook(lambda module, _: modes.append(module.training))
    result = call(story_losses, model, train_loader, val_loader, device)
    hint = "return two numbers, the training and the validation loss"
    expect(hasattr(result, "__len__") and len(result) == 2 and not isinstance(result, (str, dict)), hint)
    losses = [as_number(loss, hint) for loss in result]
    expect(modes, "the losses are not those of the model that your function was given")
    expect(not any(modes), "the model was in train mode: dropout was on")
    if not near(losses, wanted):
        sums = [wanted[0] * len(train_loader), wanted[1] * len(val_loader)]
        calls = f"the model was called {len(modes)} times for {len(batches)} batches"
        explain(losses, [(wanted[::-1], "first the training loss, then the validation loss"),
                         (sums, "those are the sums over the batches: divide by their number"),
                         (torch.tensor(wanted).exp(), "those are perplexities: the losses themselves are wanted")],
                f"not all batches are used: {calls}" if len(modes) < len(batches) else
                "the model ran as it should, but these are not the mean losses of the two loaders")
    return "all batches, no dropout"


@exercise("5.6")
def _config_from_settings(config_from_settings):
    names = {"vocab_size": "n_vocab", "context_length": "n_ctx", "emb_dim": "n_embd", "n_heads": "n_head",
             "n_layers": "n_layer"}
    configs = []
    for numbers in [(300, 20, 48, 6, 2), (70, 31, 36, 3, 5)]:
        settings = dict(zip(names.values(), numbers, strict=True))
        given = dict(settings)
        config = call(config_from_settings, given)
        expect(given == settings, "your function changes the settings that it was given: make a new dict")
        expect(isinstance(config, dict), f"return a dict, not {kind(config)}")
        expect(not any(config is other for other in configs), "every call returns the same dictionary, so the last one "
                                                              "counts for all: make a new one")
        configs.append(config)
        missing = [name for name in course.GPT_CONFIG_124M if name not in config]
        expect(not missing, f"GPTModel also needs {', '.join(missing)}: it knows no other names")
        for name, theirs in names.items():
            source = [other for other, value in settings.items() if value == config[name]]
            expect(not source or source == [theirs], f"{name} holds the settings' {source and source[0]}")
            expect(source, f"{name} is {config[name]!r}, whatever the settings say")
        expect(config["qkv_bias"], "OpenAI's checkpoints have biases for queries, keys and values: switch "
                                   "qkv_bias on")
        model = course.GPTModel(config)
        model(torch.zeros(1, settings["n_ctx"], dtype=torch.int64))
    return "five numbers of a checkpoint are all that the model has to know"


# Appendix A


@exercise("A.1")
def _not_as_pinned(not_as_pinned):
    installed = {name: version(name) for name in ("numpy", "tiktoken", "tqdm")}
    fine = [f"{name}=={number}" for name, number in installed.items()]

    def names_for(lines):
        result = call(not_as_pinned, list(lines))
        expect(isinstance(result, (list, tuple, set)), f"return a list of names, not {kind(result)}")
        expect(not any("==" in str(name) for name in result), "return the names alone, without the versions")
        return sorted(result)

    expect(names_for(fine) != sorted(installed), "these are the packages that are as pinned: wanted are the others")
    expect(names_for(fine) == [], f"{', '.join(fine)} are all installed as the lines say")
    expect(names_for([*fine, "no-such-package==1.0"]) == ["no-such-package"], "no-such-package is absent")
    built = version("torch").partition("+")[0]
    expect(names_for([f"torch=={built}"]) == [], f"torch is installed as {version('torch')}, which counts as {built}")
    tqdm = installed["tqdm"]
    for pinned, hint in [("0.0.1", "a newer version is another version too"),
                         (f"{tqdm.rpartition('.')[0]}.999", "every part of a version counts, also the last"),
                         (tqdm[:-1], "a version is not the same because it begins alike"),
                         (f"{tqdm}.1", "an older version is another version too")]:
        lines = [fine[0], f"tqdm=={pinned}", f"tiktoken=={installed['tiktoken']}"]
        expect(names_for(lines) == ["tqdm"], f"tqdm is installed as {tqdm}, not as {pinned}: {hint}")
    return "absent packages and other versions are found, and nothing else"


@exercise("A.2")
def _chain_rule(gradients):
    for x, y, w, b in [(1.5, 0.0, 0.4, -0.2), (-0.7, 1.0, 0.9, 0.3), (2.0, -0.5, -0.6, 0.8)]:
        result = call(gradients, x, y, w, b)
        hint = "return two numbers: the derivative for w, and the one for b"
        expect(hasattr(result, "__len__") and not isinstance(result, dict) and len(result) == 2, hint)
        found = [as_number(value, hint) for value in result]
        leaves = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (w, b)]
        right = [grad.item() for grad in torch.autograd.grad((torch.tanh(leaves[0] * x + leaves[1]) - y) ** 2, leaves)]
        a = math.tanh(w * x + b)
        error, slope = 2 * (a - y), 1 - a * a
        mistakes = [
            (right[::-1], "the two derivatives are swapped: the first belongs to w"),
            ([right[1], right[1]], "a change of w is multiplied on its way to z; by what?"),
            ([error * x, error], "one station is missing, the tanh"),
            ([slope * x, slope], "one station is missing, the square"),
            ([right[0] / 2, right[1] / 2], "look at the slope of the square again: a factor is missing"),
            ([-right[0], -right[1]], "the signs are turned around: which of a and y is subtracted?"),
            ([error * a * (1 - a) * x, error * a * (1 - a)], "that is the slope of the sigmoid, this model has a tanh"),
            ([error * error * slope * x / 2, error * error * slope / 2], "that is not the slope of the square"),
        ]
        if not near(found, right, 1e-5):
            explain(found, mistakes, f"for x={x}, y={y}, w={w}, b={b} autograd finds other numbers than yours, "
                                     f"{found[0]:.4f} and {found[1]:.4f}")
    return "the chain rule by hand, and autograd agrees"


@exercise("A.3")
def _parameters_by_widths(parameters_by_widths):
    for widths in ([7, 5], [4, 3, 6, 2], [50, 30, 20, 3]):
        given = list(widths)
        found = as_number(call(parameters_by_widths, given), "return one whole number", whole=True)
        expect(given == widths, "your function changes the list of widths")
        layers = [Linear(*pair, device="meta") for pair in zip(widths, widths[1:], strict=False)]
        weights, biases = (sum(getattr(layer, name).numel() for layer in layers) for name in ("weight", "bias"))
        mistakes = [
            (weights, "these are the weights; where are the biases?"),
            (weights + sum(widths), "the input has no biases: it is only numbers"),
            (weights + sum(widths[:-1]), "a layer has a bias for each number that it gives, not that it gets"),
            (weights + len(layers), "a layer has more than one bias"),
            (sum(p.numel() for layer in layers[:-1] for p in layer.parameters()), "the last layer is missing"),
        ]
        if found != weights + biases:
            explain(found, mistakes, f"{found} for {widths}: PyTorch counts something else; go layer by layer", 0.5)
    return "the same as PyTorch's count"


@exercise("A.4")
def _winning_size(winning_size):
    sizes, cpu = [8, 16, 32, 64, 128, 256], [1.0, 2.0, 4.0, 30.0, 200.0, 900.0]

    def size_for(gpu):
        size = call(winning_size, list(sizes), list(cpu), list(gpu))
        return as_number(size, "return one of the sizes, or 0", whole=True)

    found = size_for([5.0, 5.0, 5.0, 6.0, 7.0, 20.0])
    expect(found != 3, "return the size, not its place in the list")
    expect(found != 8, "here the CPU is faster at the first size: who needs less time?")
    expect(found != 256, "wanted is the smallest of the sizes, not the largest")
    for right, gpu, hint in [
        (64, [5.0, 5.0, 5.0, 6.0, 7.0, 20.0], "find the place from which on the GPU needs less time"),
        (64, [0.5, 5.0, 5.0, 6.0, 7.0, 20.0], "it must win at all larger sizes as well: once by luck does not count"),
        (128, [0.5, 0.5, 5.0, 35.0, 7.0, 20.0], "it must win at all larger sizes as well, not only at the next"),
        (64, [5.0, 5.0, 4.0, 6.0, 7.0, 20.0], "where both need the same time, the GPU does not win"),
        (8, [0.5, 1.0, 3.0, 6.0, 7.0, 20.0], "a GPU that always wins does so from the first size on"),
        (0, [5.0, 5.0, 5.0, 40.0, 300.0, 1000.0], "a GPU that never wins has no such size"),
        (0, [0.5, 1.0, 3.0, 6.0, 7.0, 1000.0], "a GPU that loses at the largest size has no such size"),
        (0, [], "without a GPU there is no such size"),
    ]:
        expect(size_for(gpu) == right, f"CPU {cpu}, GPU {gpu}: {hint}")
    return "the size from which on the GPU wins, or 0"


# Appendix D


@exercise("D.1")
def _flat_then_down(flat_then_down):
    for total, down, peak in [(10, 4, 0.8), (7, 7, 0.3), (5, 2, 1.0), (6, 0, 0.5)]:
        found = [as_number(call(flat_then_down, step, total, down, peak), "return one number, the rate of the step")
                 for step in range(total)]

        def line(shape, total=total, down=down, peak=peak):
            return [peak * max(0.0, min(1.0, shape(total - step, down))) for step in range(total)]

        mistakes = [
            ([peak] * total, "the rate never falls"),
            (line(lambda left, down: (left - 1) / max(down - 1, 1) if down else 1.0),
             "the last step has the rate 0 and is wasted: as in the cosine, 0 belongs to the step after the end"),
            (line(lambda left, down: (left - 1) / max(down, 1)), "count the steps that are left: the last step is one"),
            (line(lambda left, down: (left + 1) / (down + 1)), "at the step after the last the line must be at 0"),
            (line(lambda left, _, total=total: left / total), "the descent takes the last steps only, not all of them"),
            (line(lambda left, down: left <= down), "flat there, but where is the descent?"),
        ]
        if not near(found, line(lambda left, down: left / down if down else 1.0), 1e-9):
            explain(found, mistakes, f"for total_steps={total}, decay_steps={down} and peak_lr={peak} your rates are "
                                     f"{[round(rate, 4) for rate in found]}", 1e-9)
    return "flat, then a straight line that would reach 0 one step after the end"


@exercise("D.2")
def _clip(clip):
    long = [torch.tensor([[3.0, 0.0], [0.0, 4.0]]), torch.tensor([12.0])]  # norm 13

    def clipped(gradients, max_norm):
        given = [gradient.clone() for gradient in gradients]
        result = call(clip, given, max_norm)
        hint = "return a list of tensors, with the shapes of the gradients"
        expect(isinstance(result, (list, tuple)) and len(result) == len(gradients), hint)
        expect(all(isinstance(new, torch.Tensor) and new.shape == old.shape
                   for new, old in zip(result, gradients, strict=True)), hint)
        return torch.cat([gradient.flatten() for gradient in result])

    flat = torch.cat([gradient.flatten() for gradient in long])
    found = clipped(long, 2.0)
    mistakes = [
        (flat, "nothing was shortened: the norm of all together is 13"),
        (torch.cat([gradient.flatten() * 2 / gradient.norm() for gradient in long]),
         "each tensor was clipped by its own norm; wanted is one norm of all"),
        (flat.clamp(-2, 2), "each number was cut off by itself: that turns the arrow"),
        (flat / 13, "this has the norm 1; wanted is max_norm"),
        (flat * 2 / 169, "where is the root? The norm is 13, its square is 169"),
        (flat * 2 / flat.sum(), "the norm is not the sum of the entries"),
    ]
    if not near(found, flat * 2 / 13):
        explain(found, mistakes, f"for gradients of norm 13 and max_norm 2 yours have the norm {found.norm():.4f}")
    negative = clipped([-long[0], long[1]], 2.0)
    expect(near(negative[:4], -found[:4]), "with some negative entries the norm is still 13: squares have no sign")
    expect(near(clipped(long, 20.0), flat), "a gradient that is short enough is left alone")
    zero = clipped([torch.zeros(2), torch.zeros(1)], 1.0)
    expect(near(zero, torch.zeros(3)), "gradients of nothing but zeros stay zeros; is something divided by zero?")
    return "one norm over all, and short gradients stay as they are"


# Appendix F


@exercise("F.1")
def _tokens_in(tokens_in):
    long = {**TINY, "context_length": 2048, "emb_dim": 64, "n_heads": 4}
    for cfg, hours, peak, share in [(course.GPT_CONFIG_124M, 3, 1e12, 0.4), (long, 0.5, 2e11, 0.25)]:
        found = as_number(call(tokens_in, dict(cfg), hours, peak, share), "return one number")
        tokens, budget = cfg["context_length"], hours * 3600 * peak * share
        right = budget / course.count_flops(cfg, 1, tokens) * tokens
        mistakes = [
            (right / 3600, "the peak is FLOPs per second, and the time is in hours"),
            (right / share, "nobody gets the whole peak: where is the share?"),
            (right / share**2, "a smaller share of the peak must mean fewer tokens"),
            (3 * right, "that many tokens can be read, but training goes backward as well"),
            (right / tokens, "those are texts: how many tokens has each?"),
            (right * tokens, "the FLOPs of a whole text are divided among its tokens"),
            (budget / (6 * course.count_parameters(cfg)), "that is the napkin, without the scores of attention"),
            (budget / course.count_flops(cfg, 1, 1), "in a longer text each token costs more: read full contexts"),
            (budget, "those are the FLOPs that the time allows: how many tokens can be had for them?"),
        ]
        expect(found > 0, "in any time at least some tokens can be read")
        if abs(found / right - 1) > 0.001:
            explain(math.log(found), [(math.log(value), hint) for value, hint in mistakes],
                    f"for {hours} hours at {share} of {peak:.0e} FLOP/s {found:.3g} tokens are not right; go step by "
                    "step: seconds, FLOPs, FLOPs of one token", tolerance=0.001)
    return "time and peak give FLOPs, and the FLOPs of a token say how many tokens"


@exercise("F.2")
def _nesterov_step(nesterov_step):
    torch.manual_seed(0)
    for lr, momentum in [(0.1, 0.9), (0.3, 0.5)]:
        p, grad, buffer = torch.randn(3, 4)
        weight = torch.nn.Parameter(p.clone())
        optimizer = torch.optim.SGD([weight], lr=lr, momentum=momentum, nesterov=True)
        optimizer.state[weight]["momentum_buffer"] = buffer.clone()
        weight.grad = grad.clone()
        optimizer.step()
        wanted, new = weight.detach(), optimizer.state[weight]["momentum_buffer"]
        result = call(nesterov_step, p.clone(), grad.clone(), buffer.clone(), lr, momentum)
        expect(isinstance(result, (tuple, list)) and len(result) == 2 and all(map(torch.is_tensor, result)),
               "return two tensors, the parameter and the buffer")
        found, kept = (part.detach() for part in result)
        expect(not (near(found, new) and near(kept, wanted)), "the two are swapped: the parameter comes first")
        if not near(kept, new):
            explain(kept, [(buffer, "the buffer is still the one from before"),
                           (grad + momentum * new, "the buffer is not the direction of the step, which goes further"),
                           (momentum * buffer + (1 - momentum) * grad, "the buffer is a sum of gradients, no average"),
                           (buffer + grad, "the buffer forgets a part of itself at each step")],
                    "the buffer is not that of momentum")
        if not near(found, wanted):
            explain(found, [(p, "the parameter has not moved"),
                            (p - lr * new, "that is momentum as above: it does not look ahead"),
                            (2 * p - wanted, "the step goes uphill"),
                            (p - (grad + momentum * new), "how long is the step? The learning rate is missing"),
                            (p - lr * grad, "that is SGD: the buffer has no part in the step"),
                            (p - lr * (grad + new), "only a part of the buffer looks ahead"),
                            (p - lr * momentum * new, "the gradient itself is missing in the step")],
                    "the buffer is right, the parameter is not: look at the direction of the step")
    return "the gradient, and where the buffer will carry it: PyTorch takes the same step"


@exercise("F.3")
def _largest_batch(largest_batch):
    wide = {**TINY, "context_length": 64, "emb_dim": 128, "vocab_size": 500}
    for cfg, tokens, limit in [(TINY, 12, 40), (TINY, 5, 0), (wide, 32, 9), (course.GPT_CONFIG_124M, 256, 6)]:
        def peak(size, cfg=cfg, tokens=tokens):
            return course.estimate_memory(cfg, size, tokens)["peak"] if size else 0

        for memory, right in [((peak(limit) + peak(limit + 1)) // 2, limit), (peak(limit + 1), limit + 1)]:
            found = as_number(call(largest_batch, dict(cfg), tokens, memory), "return a whole number", whole=True)
            expect(found >= 0, "a batch cannot have fewer than 0 texts")
            here = f"with {memory:,} bytes and texts of {tokens} tokens"
            expect(found == right or right > 0, f"{here} not even one text fits, and you say {found}")
            expect(found == right or found != memory // peak(1), f"{here} your {found} is memory over the peak of one "
                   "text: parameters are there once, however many texts there are")
            expect(found <= right, f"{here} {found} are too many: their peak is {peak(found):,} bytes")
            expect(found == right or memory > peak(right), f"{here} {found} are too few: a peak of just that many "
                                                           "bytes still fits")
            expect(found == right, f"{here} {found} are too few: the peak of {found} is {peak(found):,} bytes only")
    return "the largest batch whose peak fits, and 0 where none does"


# Appendix G


@exercise("G.1")
def _cache_bytes(cache_bytes):
    deep = {**TINY, "context_length": 64, "emb_dim": 24, "n_heads": 3, "n_layers": 5}
    for cfg, tokens, rows, size in [(deep, 7, 11, 4), (TINY, 5, 1, 2), (course.GPT_CONFIG_124M, 100, 2, 1)]:
        found = as_number(call(cache_bytes, dict(cfg), tokens, rows, size), "return one number, the bytes")
        layers, heads, width, context = (cfg[key] for key in ("n_layers", "n_heads", "emb_dim", "context_length"))
        right = 2 * layers * tokens * width * rows * size
        mistakes = [
            (1 / 2, "keys and values: each token leaves both"),
            (3 / 2, "the queries of old tokens are never asked again"),
            (1 / layers, "each block has a cache of its own"),
            (heads, "the heads share the width of a token; no head has all of it"),
            (1 / heads, "that is the cache of one head of each block"),
            (1 / size, "those are numbers: how many bytes are they?"),
            (8, "those are bits"),
            (1 / rows, "each row of the batch has a cache of its own"),
            (1 / tokens, "that is what one token leaves in the cache"),
            (tokens, "the cache keeps no table of tokens by tokens"),
            (context / tokens, "the tokens of the row count, not those that the context could hold"),
            (1 / width, "a key is not one number but many"),
        ]
        if not near(found / right, 1.0, 1e-6):
            explain(found / right, mistakes, f"for {layers} blocks, {heads} heads, an emb_dim of {width}, {tokens} "
                    f"tokens, {rows} rows and {size} bytes a number it is not {found:,.0f}", 1e-6)
    return "that many bytes the cache has, and the number of heads makes no difference"


@exercise("G.2")
def _round_rows(round_rows):
    hint = "return a tensor of floats in the shape of the matrix"
    for bits in [4, 8, 2]:
        torch.manual_seed(bits)
        matrix = torch.randn(5, 7) * torch.tensor([[1.0], [0.01], [30.0], [1.0], [1.0]])
        matrix[3] = -matrix[3].abs()
        most = 2 ** (bits - 1) - 1
        factor = matrix.abs().amax(dim=1, keepdim=True) / most

        def multiples(factor, matrix=matrix, whole=torch.round):
            return whole(matrix / factor) * factor

        found = call(round_rows, matrix.clone(), bits)
        expect(isinstance(found, torch.Tensor) and found.shape == matrix.shape, hint)
        moved = ((found - matrix).abs() / factor).max().item()
        mistakes = [
            (matrix, "nothing was rounded"),
            (torch.round(matrix / factor), "those are the whole numbers; wanted are the weights that they stand for"),
            (multiples(factor, whole=torch.trunc), "cut off; wanted is the nearest whole number"),
            (multiples(factor, whole=torch.floor), "rounded down; wanted is the nearest whole number"),
            (multiples(factor.max()), "all rows share one factor, and the small ones are lost"),
            (multiples(matrix.abs().amax(dim=0) / most), "each column has a factor of its own; wanted is one per row"),
            (multiples(factor * most / (most + 1)), "with 8 bits the largest whole number is 127, not 128"),
            (multiples(factor * most / (2 * most + 1)), "one of the bits is the sign"),
            (multiples(factor * most / bits), "how far can one count with so many bits? With 4 to 7"),
            (multiples(matrix.amax(dim=1, keepdim=True) / most), "the largest weight of a row may be a negative one"),
            (torch.round(matrix), "rounded without a factor"),
            (torch.round(matrix, decimals=bits), "those are decimals, not bits"),
        ]
        if not near(found / factor, multiples(factor) / factor, 1e-3):
            explain(found / factor, [(value / factor, hint) for value, hint in mistakes],
                    f"with {bits} bits not all weights are multiples of their row's factor" if moved < 0.501 else
                    f"with {bits} bits a weight moved by {moved:.2f} steps of its row; half a step is the most",
                    1e-3)
    matrix[1] = 0
    found = call(round_rows, matrix.clone(), 8)
    expect(near(found[1], torch.zeros(7)), "a row of zeros stays zeros; is something divided by zero?")
    return "no weight moves by more than half a step of its row, and zeros stay zeros"


# Appendix H


@exercise("H.1")
def _llama_parameters(llama_parameters):
    toy = {**course.SMOLLM2_CONFIG_135M, "vocab_size": 50, "emb_dim": 24, "n_heads": 6, "n_kv_heads": 2, "n_layers": 3,
           "hidden_dim": 40}
    for cfg in [toy, course.SMOLLM2_CONFIG_135M, {**toy, "n_kv_heads": 6, "n_layers": 1}]:
        with torch.device("meta"):
            right = sum(parameter.numel() for parameter in course.LlamaModel(cfg).parameters())
        found = as_number(call(llama_parameters, dict(cfg)), "return a whole number", whole=True)
        width, layers, vocabulary = cfg["emb_dim"], cfg["n_layers"], cfg["vocab_size"] * cfg["emb_dim"]
        head = width // cfg["n_heads"]
        mistakes = [
            (vocabulary, "the output head is the embedding's own tensor, which counts once"),
            (-vocabulary, "where is the embedding?"),
            (2 * layers * width * (width - head * cfg["n_kv_heads"]), "keys and values have fewer heads than queries"),
            (2 * layers * width * head * (1 - cfg["n_kv_heads"]), "keys and values have more than one head"),
            (-layers * width * width, "attention has an output matrix as well"),
            (-layers * width * cfg["hidden_dim"], "the gate is a matrix of its own"),
            (-width, "one norm stands after the last block"),
            (-layers * width, "each block has two norms"),
            (-(2 * layers + 1) * width, "the norms have parameters, too"),
            ((2 * layers + 1) * width, "RMSNorm has a scale and no shift"),
            (cfg["context_length"] * width, "positions are angles, which nobody trains"),
            ((right - vocabulary - width) * (1 - layers) // layers, "how many blocks are there?"),
        ]
        if found != right:
            explain(float(found - right), [(float(difference), hint) for difference, hint in mistakes],
                    f"with {layers} blocks of {width} numbers a token, {found:,} is not what the model has", 0.5)
    return "as many as the model has, without a model"


@exercise("H.2")
def _penalise_repeats(penalise_repeats):
    hint = "return a tensor of the logits' shape"
    for penalty in [2.0, 1.3]:
        torch.manual_seed(3)
        logits, ids = torch.randn(12), torch.tensor([3, 5, 3, 0, 11, 3, 7])
        kept = logits.clone()
        found = call(penalise_repeats, logits, ids, penalty)
        expect(isinstance(found, torch.Tensor) and found.shape == kept.shape, hint)
        occurred = torch.zeros(12, dtype=torch.bool)
        occurred[ids] = True
        times = torch.bincount(ids, minlength=12)

        def punished(factor, who=occurred, kept=kept):
            return torch.where(who, torch.where(kept > 0, kept / factor, kept * factor), kept)

        mistakes = [
            (kept, "nothing has changed"),
            (torch.where(occurred, kept / penalty, kept), "a negative logit, divided, makes its token likelier"),
            (torch.where(occurred, kept * penalty, kept), "a positive logit, multiplied, makes its token likelier"),
            (punished(1 / penalty), "these tokens got likelier"),
            (torch.where(occurred, kept - penalty, kept), "that is subtracted; this penalty is a factor"),
            (torch.where(occurred, -torch.inf, kept), "that forbids them; they are to become less probable only"),
            (punished(penalty, torch.ones(12, dtype=torch.bool)), "tokens that did not occur keep their logits"),
            (punished(penalty, ~occurred), "the others were punished"),
            (punished(penalty ** times), "a token that occurred three times is punished once"),
        ]
        if not near(found, punished(penalty)):
            explain(found.nan_to_num(neginf=-1e9), [(value.nan_to_num(neginf=-1e9), hint) for value, hint in mistakes],
                    "not all logits are right: look at those below zero, at those above, and at those that stay")
        expect(near(logits, kept), "right, but the logits that were handed over have changed as well: work on a copy")
    return "whoever occurred got less probable, once, and nobody else"


# Chapter 6


class PairTokenizer:
    """A tokenizer for checks: two characters make a token."""

    def encode_ordinary(self, text):
        return [ord(letter) for letter in text[::2]]

    def encode(self, text):
        raise WrongError("use encode_ordinary: what a message says is plain text, never a command")


@exercise("6.1")
def _length_for(length_for):
    tokenizer = PairTokenizer()
    ties = [2, 9, 4, 4, 1, 4, 7, 3, 12, 4]
    long = [3, 23, 8, 1, 19, 12, 7, 2, 22, 14, 5, 10, 17, 4, 40, 21, 9, 26, 13, 38, 6, 24, 11, 18, 15]
    cases = [(long, 0.5), (ties, 0.4), (long, 0.9), (ties, 0.95), (ties, 1.0), (long, 0.01), ([6], 0.3), (long, 0.28)]
    for lengths, share in cases:
        texts = [("a b" * length)[: 2 * length - length % 2] for length in lengths]
        n, in_order = len(lengths), sorted(lengths)
        right = next(length for length in in_order if sum(other <= length for other in lengths) / n >= share)
        found = as_number(call(length_for, list(texts), tokenizer, share), "return a whole number", whole=True)
        mistakes = [
            (in_order[-1], "that is enough for all texts; how many of them must be whole?"),
            (sorted(map(len, texts))[in_order.index(right)], "those are characters; the model reads tokens"),
            (sorted(len(text.split()) for text in texts)[in_order.index(right)], "those are words, not tokens"),
            (round(share * in_order[-1]), "that is a share of the longest text; wanted is a share of the texts"),
            (max(lengths[: in_order.index(right) + 1]), "the first texts are not the shortest: their order makes no "
                                                        "difference"),
            (right + 1, "a text that has just as many tokens as max_length is not cut"),
        ]
        if found != right:
            whole = sum(length <= found for length in lengths)
            if share == 0.28 and found == in_order[7]:
                raise WrongError("right, but for rounding: 7 of 25 texts are a share of 0.28, and in Python 0.28 * 25 "
                                 "is a little more than 7")
            explain(float(found), [(float(value), hint) for value, hint in mistakes if value != right],
                    f"with a share of {share} your {found} leaves {whole} of {n} texts whole: "
                    + ("too few" if found < right else "enough, but a smaller number would do"))
    return "so many tokens leave that share of the texts whole, and one fewer would not"


@exercise("6.2")
def _bytes_to_train(bytes_to_train):
    llama = {**course.SMOLLM2_CONFIG_135M, "vocab_size": 50, "context_length": 16, "emb_dim": 24, "n_heads": 6,
             "n_kv_heads": 2, "n_layers": 3, "hidden_dim": 40}
    classifiers = {f"{trained} trained of {cfg['n_layers']} blocks": course.TextClassifier(shape(cfg), 3, 0, trained)
                   for shape, cfg in ((course.GPTModel, TINY), (course.LlamaModel, llama)) for trained in (1, 0, 2)}
    classifiers["a GPT of which everything is trained"] = course.TextClassifier(course.GPTModel(TINY)).requires_grad_()
    classifiers["a model whose head is its embedding"] = course.LlamaModel(llama)  # all of it, and one tensor twice
    for name, classifier in classifiers.items():
        found = as_number(call(bytes_to_train, classifier), "return a whole number of bytes", whole=True)
        sizes = [(p.numel(), p.numel() * p.requires_grad) for p in classifier.parameters()]
        there, trained = map(sum, zip(*sizes, strict=True))
        twice = sum(p.numel() for _, p in classifier.named_parameters(remove_duplicate=False)) - there
        right = 4 * there + 12 * trained
        mistakes = [
            (there + 3 * trained, "those are numbers: how many bytes does each have?"),
            (8 * right, "those are bits"),
            (right // 2, "float32 has four bytes a number"),
            (16 * there, "what is frozen has no gradient, and the optimizer knows nothing of it"),
            (8 * there + 8 * trained, "what is frozen has no gradient"),
            (16 * trained, "weights that are frozen lie in memory as well"),
            (12 * trained, "where are the weights themselves?"),
            (4 * there, "that is the model before training: gradients and the optimizer's state come on top"),
            (4 * there + 4 * trained, "the gradients are there; AdamW keeps two more numbers of each trained weight"),
            (4 * there + 8 * trained, "AdamW keeps two numbers of each trained weight, and there is its gradient, too"),
            (4 * there + 16 * trained, "a trained weight is counted twice as a weight"),
            (right + 16 * twice, "one tensor with two names is there once"),
            (right + 4 * twice, "one tensor with two names is there once"),
            (8 * trained, "that is the optimizer's state alone"),
        ]
        if found != right:
            explain(float(found), [(float(value), hint) for value, hint in mistakes if value != right],
                    f"{name}: {there:,} parameters are there, {trained:,} trained; {found:,} bytes is not right", 0.5)
    return "what is there costs four bytes a weight, what is trained twelve more"


@exercise("6.3")
def _best_by_first_token(best_by_first_token):
    cases = [([7, 5, 5, 5, 9, 3, 5, 7, 7, 3, 7, 5, 5, 9, 7], [1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0]),
             ([5, 5, 5, 5, 2, 2], [1, 0, 1, 0, 0, 0]), ([4, 8, 15, 16], [0, 1, 1, 0]), ([6] * 5, [0, 1, 0, 0, 1]),
             ([1, 2, 1, 2, 0, 0, 0], [1, 1, 0, 1, 1, 1, 0])]
    for ids, labels in cases:
        n, groups = len(ids), {}
        for token, label in zip(ids, labels, strict=True):
            groups.setdefault(token, []).append(label)
        counts = [sorted((group.count(0), group.count(1))) for group in groups.values()]
        right = sum(most for _, most in counts) / n
        one_for_all = max(labels.count(0), labels.count(1)) / n
        first, last = ({token: group[place] for token, group in groups.items()} for place in (0, -1))
        by_first, by_last = (sum(rule[token] == label for token, label in zip(ids, labels, strict=True)) / n
                             for rule in (first, last))
        runs = [index for index in range(n) if index == 0 or ids[index] != ids[index - 1]]
        by_run = sum(max(part.count(0), part.count(1)) for start, end in zip(runs, [*runs[1:], n], strict=True)
                     for part in [labels[start:end]]) / n
        mistakes = [
            (sum(most for _, most in counts), "those are texts; wanted is their share of all"),
            (100 * right, "that is in percent; return a share between 0 and 1"),
            (1 - right, "that is the share of texts that it gets wrong"),
            (one_for_all, "that is one answer for all texts; each first token may have its own"),
            (sum(most / (few + most) for few, most in counts) / len(counts),
             "that is the mean over the tokens, but a token that begins many texts counts for many"),
            (sum(most for few, most in counts if not few) / n,
             "a token with both labels is not lost: its answer is right for some of its texts"),
            (sum(most for few, most in counts if few < most) / n, "with a tie, either answer is right for one half"),
            (len(counts) / n, "that is how many different tokens there are"),
            (sum(group.count(1) for group in groups.values()) / n, "that always answers 1"),
            (by_last, "a token's last label is not always its most frequent one"),
            (by_first, "a token's first label is not always its most frequent one"),
            (by_run, "the same token may come again later: all its texts belong together"),
        ]
        for name, form in (("lists", list), ("tensors", torch.tensor)):
            found = as_number(call(best_by_first_token, form(ids), form(labels)), "return one number, a share")
            if not near(found, right, 1e-6):
                if form is torch.tensor and near(found, 1.0, 1e-6):
                    raise WrongError("right for lists, but in a tensor each number is a tensor, and as keys of a dict "
                                     "two equal ones are different: turn them into ints")
                explain(found, [(value, hint) for value, hint in mistakes if not near(value, right, 1e-6)],
                        f"for the first tokens {ids} and the labels {labels} as {name} {found:.4g} is not the best "
                        "share", 1e-6)
    return "no rule that sees nothing but the first token can be right more often on these texts"


# Chapter 7


@exercise("7.1")
def _score_count(score_count):
    def verdict(text, answer):
        found = call(score_count, {"instruction": "How many words are in this sentence?", "input": text}, answer)
        expect(found in ("right", "wrong", "form"), f'return "right", "wrong" or "form", not {found!r}')
        return found

    texts = ["Rain fell all night.", "Snow!", "After  the rain\nthey went out.  ", "It doesn't matter.",
             "a b " * 6 + "c"]
    for text in texts:
        right, here = len(text.split()), f"the input {text!r} has"
        found = [number for number in range(90) if verdict(text, str(number)) == "right"]
        expect(found, f"{here} some number of words, but no number from 0 to 89 in digits is right for you")
        expect(len(found) == 1, f"{here} one number of words, but for you {found[0]} and "
                               f"{found[-1]} are both right")
        mistakes = [
            (len(text), "those are letters, not words"),
            (text.count(" "), "between two words is one gap: there is one word more than gaps"),
            (len(text.split(" ")), "two spaces in a row, or a new line, make no other number of words"),
            (len("".join(letter if letter.isalnum() else " " for letter in text).split()),
             "a word may have an apostrophe inside"),
        ]
        if found != [right]:
            explain(float(found[0]), [(float(value), hint) for value, hint in mistakes if value != right],
                    f"{here} not {found[0]} words")
    more = "what says more than a number is not in the asked form"
    both = "spaces and a full stop, both at once, do not count"
    cases = [
        (0, "9", "wrong", "another number is wrong, but not in the wrong form"),
        (0, "100", "wrong", "another number is wrong, but not in the wrong form"),
        (0, "four", "right", "the number may be written out"), (4, "13", "right", "13 has to be in digits"),
        ("a b " * 6, "twelve", "right", "the number may be written out, up to twelve"),
        (1, "one", "right", "one word is the number one"),
        (0, "eleven", "wrong", "another number is wrong, written out as well"),
        (0, "  4\n", "right", "spaces and new lines around an answer do not count"),
        (0, "4.", "right", "a final full stop does not count"),
        (0, "four.", "right", "a final full stop does not count"),
        (0, "FOUR", "right", "capital letters do not count"), (0, " Four. ", "right", both), (0, " 7. ", "wrong", both),
        (0, "", "form", "no answer at all is not in the asked form"),
        (0, ".", "form", "a full stop alone is not in the asked form"),
        (0, "4 words", "form", more), (0, "four words", "form", more), (0, "There are 4.", "form", more),
        (0, "Sure! The answer is four.", "form", more), (0, "3 or 4", "form", more), (0, "4 4", "form", more),
        (0, "many", "form", "a word that is no number is not in the asked form"),
    ]
    for text, answer, right, hint in cases:
        text = text if isinstance(text, str) else texts[text]
        found = verdict(text, answer)
        expect(found == right, f"for a sentence of {len(text.split())} words your verdict on {answer!r} is "
                               f'"{found}": {hint}')
    expect(verdict(texts[0], "fourteen") != "right", "fourteen only begins like the right number, and is none")
    return "a number in any dress is right or wrong, and anything else is not what was asked for"


@exercise("7.2")
def _learned_share(learned_share):
    hint = "return two things: a list with one number per row, and a share"
    for seed, ignored in enumerate([-100, -100, 7, -1]):
        torch.manual_seed(seed)
        targets = torch.randint(0, 9, (4, 7 + seed))
        targets[:, -1] = 50256
        targets = targets.where(targets != ignored, 8)
        for row, (start, stop) in enumerate([(3, 7 + seed), (0, 4), (0, 0), (2, 5)]):
            targets[row, :start] = targets[row, stop:] = ignored
        learned = targets != ignored
        found = call(learned_share, targets.clone(), *[ignored][: ignored != -100])
        expect(isinstance(found, (tuple, list)) and len(found) == 2, hint)
        try:
            counts = torch.tensor([float(number) for number in found[0]])
        except (TypeError, ValueError, RuntimeError):
            raise WrongError("first the list, one number per row, then the share") from None
        share = as_number(found[1], "the second value is one number, the share of the whole batch")
        right = learned.sum(dim=1)
        mistakes = [
            ((~learned).sum(dim=1), "those are the places that are left out"),
            (learned.sum(dim=0), "those are the columns' numbers; each row is one example"),
            ((targets > 0).sum(dim=1), "a token may have the number 0"),
            ((learned & (targets != 50256)).sum(dim=1), "an answer's end is learned, too: it is a token like others"),
            (right[right > 0], "a row of which nothing is learned is a row with the number 0"),
            ((targets != -100).sum(dim=1), "ignore_index may be another number than −100"),
            (right / targets.shape[1], "those are shares of the rows; wanted is how many tokens"),
            (right - 1, "the first learned token counts as well"),
        ]
        if not near(counts, right):
            row = next((row for row in range(4) if not near(counts[row : row + 1], right[row : row + 1])), 0)
            explain(counts, mistakes,
                    f"there are 4 rows, and your list has {len(counts)} numbers" if len(counts) != 4 else
                    f"in the row {targets[row].tolist()} not {counts[row]:.4g} are learned")
        all_learned, places = learned.sum().item(), targets.numel()
        shares = [
            (100 * all_learned / places, "that is in percent; return a share between 0 and 1"),
            (1 - all_learned / places, "the second value is the share that is left out"),
            (all_learned, "the second value is how many are learned in all; wanted is their share"),
            (all_learned / (places - all_learned), "the second value compares learned places with the others; wanted "
                                                   "is the share of all places"),
            (all_learned / len(targets), "the second value is the mean number per row; wanted is a share of places"),
            (all_learned / places / len(targets), "the second value was divided by the number of rows once too often"),
            (all_learned / targets.shape[1], "the second value is divided by the places of one row; there are more"),
            (all_learned / learned[right > 0].numel(), "a row of which nothing is learned has places, too"),
        ]
        if not near(share, all_learned / places, 1e-6):
            explain(share, shares, f"the rows are right, but {all_learned} of {places} places is not {share:.4g}", 1e-6)
    return "each row's learned tokens, and their share of all places, fillers and requests included"


@exercise("7.3")
def _count_filler(count_filler):
    cases = [([7, 2, 3, 9, 4, 5, 6, 1], 3), ([5, 12, 2, 4, 9, 1, 6, 10], 4), ([6, 1, 11], 8), ([4, 9, 2], 1),
             ([3, 3], 2), ([20, 1, 1, 1, 2], 2)]
    for lengths, size in cases:
        def cut(lengths, size=size):
            return [lengths[at : at + size] for at in range(0, len(lengths), size)]

        def filler(batches):
            return sum(max(batch) - length for batch in batches for length in batch)

        kept, batches = list(lengths), cut(lengths)
        right, full = filler(batches), [batch for batch in batches if len(batch) == size]
        found = as_number(call(count_filler, lengths, size), "return a whole number of places", whole=True)
        expect(lengths == kept, "the lengths that were handed over have changed: work on a copy")
        places = sum(max(batch) * len(batch) for batch in batches)
        mistakes = [
            (filler(cut(sorted(lengths))), "the batches are cut from the lengths as they stand, not sorted"),
            (filler([lengths]), "each batch is as wide as the longest of its own examples"),
            (filler(full), "the last batch counts, also if it is smaller"),
            (right + (size - len(batches[-1])) * max(batches[-1]), "the last batch may have fewer rows: those that are "
                                                                   "not there hold no filler"),
            (places, "those are all places; how many of them hold no token?"),
            (sum(lengths), "those are the tokens; wanted are the other places"),
            (right + len(lengths), "no place is added for an end token: a batch is as wide as its longest example"),
            (sum(max(batch) - min(batch) for batch in batches), "every example shorter than the longest is filled up, "
                                                                "not only the shortest"),
            (filler(cut(lengths, -(-len(lengths) // size))), "batch_size is how many examples a batch has, not how "
                                                             "many batches there are"),
            (filler(batches[:1]), "that is the first batch alone"),
            (-right, "the longest minus the length, not the other way round"),
        ]
        if found != right:
            explain(float(found), [(float(value), hint) for value, hint in mistakes if value != right],
                    f"for the lengths {lengths} in batches of {size}, {found} is too "
                    f"{'few' if found < right else 'many'}")
    return "each row is filled up to the longest of its own batch"


@exercise("7.4")
def _loss_by_example(loss_by_example):
    hint = "return one number: the mean over the examples"
    for rows, ignored in [(3, -100), (4, -100), (5, 4)]:
        torch.manual_seed(rows - 2)
        logits, targets = 2 * torch.randn(rows, 8, 6), torch.randint(0, 6, (rows, 8))
        targets = targets.where(targets != ignored, 5)
        for row, (start, stop) in enumerate([(5, 6), (0, 8), (2, 4), (7, 8), (3, 8)][:rows]):
            targets[row, :start] = targets[row, stop:] = ignored
        kept, learned = logits.clone(), targets != ignored
        found = as_number(call(loss_by_example, logits, targets, *[ignored][: ignored != -100]), hint)

        def losses(scores, targets=targets):
            log_p = torch.log_softmax(scores, dim=-1)
            return -log_p.gather(-1, targets.where(targets != -100, 0)[..., None])[..., 0]

        every, counts = losses(kept), learned.sum(dim=1)
        sums = (every * learned).sum(dim=1)
        right = (sums / counts).mean().item()
        blind = losses(kept, targets.where(learned, 0))  # what is left out counts as token 0
        again = (losses(torch.softmax(kept, dim=-1)) * learned).sum(dim=1)
        mistakes = [
            (sums.sum() / counts.sum(), "that is the mean over the tokens, in which a long answer weighs more"),
            (sums.sum() / targets.numel(), "places that are left out count neither in the sum nor in what it is "
                                           "divided by"),
            (sums.mean(), "those are the examples' sums; each example has a mean"),
            ((sums / counts).sum(), "that is the sum over the examples; wanted is their mean"),
            (sums.sum(), "that is the sum over all tokens"),
            (-right, "a loss is above zero: where is the minus?"),
            (math.exp(right), "that is a perplexity; wanted is the loss itself"),
            (right / math.log(2), "those are bits; the course's losses are in natural logarithms"),
            ((again / counts).mean(), "the logits went through a softmax once too often"),
            (blind.mean(), "what is left out must not count, not even as a token 0"),
            (every.mean(), "ignore_index may be another number than −100"),
            ((sums / counts).median(), "that is the median of the examples"),
            ((sums / counts)[0], "that is the first example alone"),
            ((sums / counts)[-1], "that is the last example alone"),
        ]
        if not near(found, right):
            expect(not math.isnan(found), "that is not a number: was something divided by zero?")
            explain(found, mistakes, f"for {counts.tolist()} learned tokens in {rows} examples {found:.4f} is "
                                     "not the mean of the examples' means")
        expect(near(logits, kept), "right, but the logits that were handed over have changed: work on a copy")
    return "a short answer weighs as much as a long one"


# Appendix E


@exercise("E.1")
def _rank_for(rank_for):
    cases = [([10.0, 6.0, 5.0, 4.0, 3.0, 2.5, 2.0, 1.5, 1.0, 0.5], (14, 12), (0.49, 0.9, 0.7, 0.999)),
             ([4.0, 4.0, 4.0], (9, 3), (0.3, 0.6, 0.9, 1.0)), ([9.0, 0.0, 0.0, 0.0, 0.0], (5, 6), (0.5, 0.9999))]
    for values, (rows, columns), shares in cases:
        torch.manual_seed(len(values))
        left, right = (torch.linalg.qr(torch.randn(size, len(values)))[0] for size in (rows, columns))
        change = (left * torch.tensor(values)) @ right.T
        for share in shares:
            def first(worth, share=share):
                kept = [sum(worth[:rank]) / sum(worth) for rank in range(len(worth) + 1)]
                return next(rank for rank, held in enumerate(kept) if held >= share - 1e-6)

            by_squares = first([value**2 for value in values])
            found = as_number(call(rank_for, change.clone(), share), "return a whole number, a rank", whole=True)
            mistakes = [
                (by_squares - 1, "that rank holds less than the share"),
                (first(values), "count the squares of the singular values, not the values themselves"),
                (first([value**4 for value in values]), "squared twice?"),
                (first([0.0] * (min(rows, columns) - len(values)) + sorted(value**2 for value in values)),
                 "the largest singular values come first"),
                (len(values), "that holds the share, but so does a smaller rank"),
                (min(rows, columns), "that is the highest rank that such a matrix can have"),
                (by_squares + 1, "one less would do"),
            ]
            if found != by_squares:
                explain(float(found), [(float(value), hint) for value, hint in mistakes if value != by_squares],
                        f"for singular values {values} and the share {share}, {found} is not the smallest rank", 0.5)
    return "so much rank holds the share, and one less does not"


@exercise("E.2")
def _llama_lora_parameters(llama_lora_parameters):
    toy = {**course.SMOLLM2_CONFIG_135M, "vocab_size": 50, "emb_dim": 24, "n_heads": 6, "n_kv_heads": 2, "n_layers": 3,
           "hidden_dim": 40}
    every = ("W_query", "W_key", "W_value", "out_proj", "gate", "up", "down")
    for cfg, rank, layers in [(toy, 1, every), (toy, 4, every), (toy, 4, ("W_query", "W_value")), (toy, 2, ("down",)),
                              ({**toy, "n_kv_heads": 6}, 3, ("W_key", "gate")), (course.SMOLLM2_CONFIG_135M, 8, every)]:
        width, hidden, blocks = cfg["emb_dim"], cfg["hidden_dim"], cfg["n_layers"]
        narrow = width // cfg["n_heads"] * cfg["n_kv_heads"]
        sizes = {"W_query": (width, width), "W_key": (width, narrow), "W_value": (width, narrow),
                 "out_proj": (width, width), "gate": (width, hidden), "up": (width, hidden), "down": (hidden, width)}
        right = blocks * rank * sum(sum(sizes[name]) for name in layers)
        arguments = () if layers == every else (layers,)
        found = as_number(call(llama_lora_parameters, dict(cfg), rank, *arguments), "return a whole number", whole=True)
        alike = {**sizes, "W_key": (width, width), "W_value": (width, width)}
        mistakes = [
            (right // blocks, "how many blocks are there?"),
            (right // rank, "each layer has rank columns in A and rank rows in B"),
            (right * rank, "the rank counts once in A and once in B, not twice in both"),
            (blocks * sum(sizes[name][0] * sizes[name][1] for name in layers), "that is what is frozen"),
            (blocks * rank * sum(sum(alike[name]) for name in layers), "keys and values have fewer heads than queries"),
            (blocks * rank * sum(sizes[name][0] for name in layers), "that is A alone"),
            (blocks * rank * sum(sizes[name][1] for name in layers), "that is B alone"),
            (blocks * rank * sum(map(sum, sizes.values())), "only the layers of the given names have LoRA"),
            (right + rank * (width + cfg["vocab_size"]), "the output head is not among the layers"),
        ]
        if found != right:
            explain(float(found), [(float(value), hint) for value, hint in mistakes if value != right],
                    f"for rank {rank} beside {', '.join(layers)}, {found:,} is not what LoRA adds", 0.5)
    return "as many as LoRA adds, without a model"


@exercise("E.3")
def _both_at_once(both_at_once):
    def draw(rank, scale, width_in, width_out):
        return torch.randn(width_in, rank), torch.randn(rank, width_out), scale

    for (rank, other_rank), (scale, other_scale) in [((2, 3), (2.0, 0.5)), ((1, 1), (1.0, 4.0)), ((3, 2), (3.0, 3.0))]:
        torch.manual_seed(rank)
        first, second = draw(rank, scale, 6, 5), draw(other_rank, other_scale, 6, 5)
        found = call(both_at_once, first, second)
        expect(isinstance(found, (tuple, list)) and len(found) == 2, "return two matrices, A and B")
        a, b = found
        expect(all(isinstance(part, torch.Tensor) and part.ndim == 2 for part in found),
               "return two matrices, A and B, as tensors")
        expect(len(a) == 6 and b.shape[1] == 5, "A has a row for each input and B a column for each output; "
               f"yours are {tuple(a.shape)} and {tuple(b.shape)}")
        expect(a.shape[1] == len(b), f"A's {a.shape[1]} columns must meet as many rows of B, yours has {len(b)}")
        (a1, b1, s1), (a2, b2, s2) = first, second
        right = s1 * a1 @ b1 + s2 * a2 @ b2
        mistakes = [
            (a1 @ b1 + a2 @ b2, "where are the scales?"),
            (s1**2 * a1 @ b1 + s2**2 * a2 @ b2, "a scale that is worked into A and into B counts twice"),
            (s1 * (a1 @ b1 + a2 @ b2), "each adapter has a scale of its own"),
            (s2 * a1 @ b1 + s1 * a2 @ b2, "the scales are exchanged"),
            (s1 * a1 @ b1, "where is the second adapter?"), (s2 * a2 @ b2, "where is the first adapter?"),
        ]
        if rank == other_rank:
            mistakes += [((a1 + a2) @ (s1 * b1 + s2 * b2), "added up, A and B also multiply each with the other's")]
        product = a @ b
        if not near(product, right, 1e-4):
            explain(product, [(value, hint) for value, hint in mistakes if not near(value, right, 1e-4)],
                    "x A B is not the sum of what the two do")
        expect(a.shape[1] == rank + other_rank, f"the changes add up, but the rank is {a.shape[1]} and not "
               f"{rank} + {other_rank}")
    return "side by side in A, one below the other in B"


# Appendix I


@exercise("I.1")
def _chance_to_meet(chance_to_meet):
    for share, bands, rows in ((0.3, 3, 2), (0.5, 2, 1), (0.3, 64, 2), (0.5, 9, 4), (0.8, 16, 8), (0, 4, 2), (1, 4, 2)):
        found = as_number(call(chance_to_meet, share, bands, rows), "return one number, a probability")
        band = share**rows
        right = 1 - (1 - band) ** bands
        mistakes = [
            (band, "that is the chance in one band; there are several"),
            ((1 - band) ** bands, "that is the probability that they do not meet in any band"),
            (bands * band, "that adds up the bands, and with many of them it exceeds 1: pairs may meet in two"),
            (band**bands, "that is the probability that they agree in all bands; one is enough"),
            (1 - (1 - share) ** bands, "in a band all rows must agree, not one"),
            (1 - (1 - share) ** (bands * rows), "that is the probability that any row agrees; in a band all must"),
            (1 - (1 - share) ** rows, "that is the probability that one of a band's rows agrees; all must"),
            (1 - (1 - share**bands) ** rows, "have bands and rows changed places?"),
            (1 - share**rows, "that is the probability that one band differs"),
            (100 * right, "that is in percent; return a number between 0 and 1"),
        ]
        if not near(found, right, 1e-6):
            explain(found, [(value, hint) for value, hint in mistakes if not near(value, right, 1e-6)],
                    f"for a share of {share}, {bands} bands and {rows} rows {found:.4g} is not the probability", 1e-6)
    return "alike pairs meet almost surely, others hardly ever, and where it turns is for bands and rows to say"


@exercise("I.2")
def _with_fewer(with_fewer):
    hot = [(111, 116), (104, 256)]
    other = [(104, 101), (116, 256), (111, 257), (258, 114), (32, 259), (256, 114), (260, 261)]
    cases = [([259, 262, 65, 257, 260], other, 259), ([257, 101], hot, 257), ([257, 101], hot, 258),
             ([257, 256, 104], hot, 256), ([], hot, 256), ([260, 259, 262], other, 258), ([261, 258, 262], other, 257)]
    for ids, merges, size in cases:
        found = call(with_fewer, list(ids), list(merges), size)
        found = found.tolist() if isinstance(found, torch.Tensor) else found
        expect(isinstance(found, (list, tuple)), f"return a list of ids, not {kind(found)}")
        found, right = list(found), _taken_apart(ids, merges, size)
        once = [part for number in ids for part in (merges[number - 256] if number >= size else (number,))]
        mistakes = [
            (list(ids), "the ids are still the same, and some are too large for the smaller vocabulary"),
            (once, "taken apart once; a part may be too new as well"),
            (_taken_apart(ids, merges, 256), "those are bytes: tokens that the smaller vocabulary has stay whole"),
            (_taken_apart(ids, merges, size + 1), "one token too many: ids count from 0, and the last one is below "
                                                  "the size"),
            (_taken_apart(ids, merges, max(256, size - 1)), "one token too few: its id is below the size, so it stays"),
            (_taken_apart(ids, [pair[::-1] for pair in merges], size), "the parts stand in the wrong order"),
            ([number for number in ids if number < size], "text is lost: a token that is too new has parts that "
                                                          "are not"),
        ]
        if found != right:
            for wrong, hint in mistakes:
                if found == wrong:
                    raise WrongError(hint)
            expect(all(isinstance(number, int) for number in found), "return a list of ids, which are whole numbers")
            expect(all(number < size for number in found), f"for a vocabulary of {size} an id of {max(found)} is left")
            raise WrongError(f"for {ids} and a vocabulary of {size}, {found} is another text or another way to cut it")
    return "what the later merges joined is apart again, and nothing else"


def _taken_apart(ids, merges, size):
    if all(number < size for number in ids):
        return list(ids)
    return _taken_apart([part for number in ids for part in (merges[number - 256] if number >= size else (number,))],
                        merges, size)


@exercise("I.3")
def _padding_share(padding_share):
    for lengths, places in (([4, 10, 33, 7, 15, 16], 8), ([5, 2, 9], 6), ([1, 1, 30], 4), ([7], 8), ([8, 3], 8),
                            ([127, 700, 20, 2000, 3, 255], 128)):
        found = as_number(call(padding_share, list(lengths), places), "return one number, a share")
        taken = [length + 1 for length in lengths]
        used = sum(taken)
        total, right = _rows_of_own(taken, places)
        cut = sum(min(length, places) for length in taken)
        longest = len(taken) * -(-max(taken) // places) * places
        without, share_without = _rows_of_own(lengths, places)
        _, share_with_two = _rows_of_own([length + 2 for length in lengths], places)
        _, share_packed = _rows_of_own([used], places)
        mistakes = [
            (share_without, "each document also has its end token, which needs a place"),
            (1 - sum(lengths) / total, "the end tokens are no padding"),
            (1 - used / without, "the end tokens need places in the rows as well"),
            (share_with_two, "each document has one end token, not two"),
            ((total - used) / used, "that divides by the tokens; which share of all places is it?"),
            ((total - used) / sum(lengths), "that divides by the tokens; which share of all places is it?"),
            (used / total, "that is the share of the tokens; the padding is the rest"),
            (1 - cut / (len(taken) * places), "long documents are cut to one row; they go on in the next"),
            (1 - used / (len(taken) * places), "a long document needs several rows, not one"),
            (1 - used / (total + places * sum(not length % places for length in taken)),
             "one row too many for a document that fills its rows exactly"),
            (1 - used / (places * sum(length // places for length in taken)),
             "the last row of a document is a whole row, also where the document fills it in part"),
            (1 - used / longest, "each document has as many rows as it needs, not as many as the longest one"),
            (sum(_rows_of_own([length], places)[1] for length in taken) / len(taken),
             "that is the mean of the documents' shares; a long document has more places than a short one"),
            (share_packed, "that is everything packed end to end; here each document has rows of its own"),
            (100 * right, "that is in percent; return a number between 0 and 1"),
            (total - used, "that is how many places are padding; which share of all places is it?"),
        ]
        if not near(found, right, 1e-6):
            explain(found, [(value, hint) for value, hint in mistakes if not near(value, right, 1e-6)],
                    f"for documents of {', '.join(map(str, lengths))} tokens in rows of {places}, {found:.4g} is not "
                    "the share of padding", 1e-6)
    return "a document wastes less than one row, however long it is; so it is short ones for which packing matters"


def _rows_of_own(taken, places):
    total = sum(-(-length // places) for length in taken) * places
    return total, 1 - sum(taken) / total


@exercise("I.4")
def _best_size(best_size):
    large = {"E": 1.69, "A": 406.4, "alpha": 0.34, "B": 410.7, "beta": 0.28}
    small = {"E": 1.5, "A": 60, "alpha": 0.3, "B": 900, "beta": 0.4}
    other = {"E": 1.8172, "A": 482.01, "alpha": 0.3478, "B": 2085.43, "beta": 0.3658}
    few, many = (_size_by(best_size, large, flops) for flops in (1e20, 5.76e23))
    expect(not near(math.log(few), math.log(many), 1e-6),
           "your size stays the same, whatever flops is; with more of them a larger model that reads more is best")
    for law, flops in ((large, 5.76e23), (large, 1e20), (small, 1e13), (small, 3e17), (other, 1e21)):
        found, right = _size_by(best_size, law, flops), _smallest_loss(law, flops)
        A, alpha, B, beta = (law[name] for name in ("A", "alpha", "B", "beta"))
        mistakes = [
            (flops / 6 / right, "that is the number of tokens; how many parameters?"),
            (_smallest_loss(law, 6 * flops), "how many operations does a parameter cost for each token?"),
            (_smallest_loss({**law, "alpha": beta, "beta": alpha}, flops), "have alpha and beta changed places?"),
            (right * (flops / 6) ** ((alpha - beta) / (alpha + beta)), "have alpha and beta changed places?"),
            (_smallest_loss({**law, "A": B, "B": A}, flops), "have A and B changed places?"),
            (_smallest_loss({**law, "A": A / alpha, "B": B / beta}, flops),
             "there both parts are equally large, which is not where their sum is smallest"),
            ((flops / 120) ** 0.5, "twenty tokens for each parameter are a rule of thumb; what does this law say?"),
            ((flops / 6) ** 0.5, "there are as many tokens as parameters; is the loss smallest there?"),
            (_loss(law, right, flops), "that is the smallest loss; at how many parameters is it?"),
        ]
        if not near(math.log(found), math.log(right), 0.03):
            otherwise = (f"{found:.3g} parameters have a loss of {_loss(law, found, flops):.4g} by the law; a "
                         f"{'smaller' if found > right else 'larger'} model has less")
            if found > 100 * right:
                otherwise = "so large a model has next to no text to read, and the loss has a part for that as well"
            if found < right / 100:
                otherwise = "so small a model gains little from so much text, and the loss has a part for that as well"
            mistakes = [(math.log(value), hint) for value, hint in mistakes if abs(math.log(value / right)) > 0.03]
            explain(math.log(found), mistakes, otherwise, 0.03)
    return "the size where one per cent more parameters gains just what one per cent fewer tokens loses"


def _size_by(best_size, law, flops):
    found = as_number(call(best_size, dict(law), flops), "return one number, of parameters")
    expect(0 < found < math.inf, f"{found:.4g} is no number of parameters")
    return found


def _loss(law, size, flops):
    return law["E"] + law["A"] / size ** law["alpha"] + law["B"] / (flops / 6 / size) ** law["beta"]


def _smallest_loss(law, flops):
    A, alpha, B, beta = (law[name] for name in ("A", "alpha", "B", "beta"))
    return (alpha * A / (beta * B)) ** (1 / (alpha + beta)) * (flops / 6) ** (beta / (alpha + beta))
