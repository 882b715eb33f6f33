"""Every check accepts right answers in several forms, meets plausible wrong ones with a fitting hint, and waits.

The attempts are a learner's. Their classes are a second copy of previous_chapters, since in a chapter a class is the
notebook's own and not the one that the checks import.
"""

import importlib.util
import math
import re
from collections import Counter
from functools import partial
from importlib.metadata import PackageNotFoundError, distributions, version
from itertools import groupby, pairwise

import nbformat
import numpy as np
import pytest
import tiktoken
import torch

import exercises
import previous_chapters as course
from conftest import ROOT
from exercises import TINY
from extract import notebook_paths

BPE = tiktoken.get_encoding("gpt2")
pytestmark = pytest.mark.usefixtures("one_thread")


def second_copy_of(module):
    """Return a module executed once more, with classes that are equal to the first one's in name only."""
    spec = importlib.util.spec_from_file_location("learner", module.__file__)
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    return copy


learner = second_copy_of(course)


# 1.1


def choices(chances, invert=lambda mean: 1 / mean):
    return invert(math.prod(chance ** (1 / len(chances)) for chance in chances))


def choices_by_logarithms(chances):
    return np.exp(-np.mean(np.log(chances)))


def choices_at_the_end(chances):
    return 1 / math.prod(chances) ** (1 / len(chances))


def choices_without_an_end(chances):
    product = math.prod(chances)
    return product ** (-1 / len(chances)) if product else math.inf


# 1.2


def gap_fillers(tokens, left, right):
    places = range(1, len(tokens) - 1)
    return Counter(tokens[i] for i in places if tokens[i - 1] == left and tokens[i + 1] == right)


def gap_fillers_in_a_dict(tokens, left, right):
    counts = dict.fromkeys(tokens, 0)
    for before, middle, after in zip(tokens, tokens[1:], tokens[2:], strict=False):
        counts[middle] += (before, after) == (left, right)
    return counts


def gap_fillers_by_a_pattern(tokens, left, right):
    return Counter(re.findall(f"{left} (.) {right}", " ".join(tokens)))  # loses a gap that shares a side with another


# 1.3


def training_days(weights, tokens, cards, per_second, used):
    return 6 * weights * tokens / (cards * per_second * used * 24 * 3600)


def change_days(change):
    return lambda weights, tokens, cards, per_second, used: (
        change(training_days(weights, tokens, cards, per_second, used), cards, used))


# 2.1


def spell_out(text):
    ids = BPE.encode(text)
    return ids, [BPE.decode([token]) for token in ids], BPE.decode(ids)


def spell_out_by_bytes(text):
    ids = torch.tensor(BPE.encode(text))
    pieces = tuple(BPE.decode_single_token_bytes(token).decode("utf-8", errors="replace") for token in ids.tolist())
    return [ids, pieces, BPE.decode_bytes(ids.tolist()).decode("utf-8")]


def spell(pieces=None, together=None):
    """Return a wrong `spell_out`: the pieces or the whole are those that a function of (ids, text) gives."""

    def attempt(text):
        ids, right_pieces, whole = spell_out(text)
        return ids, pieces(ids, text) if pieces else right_pieces, together(ids, text) if together else whole

    return attempt


# 3.1

NAMES = ("W_query", "W_key", "W_value")


def copy_weights(source, target, change=lambda weight: weight.T, names=NAMES):
    for name in names:
        setattr(target, name, torch.nn.Parameter(change(getattr(source, name).weight)))
    return target


def copy_in_place(source_v2, target_v1):
    with torch.no_grad():
        for name, parameter in target_v1.named_parameters():
            parameter.copy_(source_v2.get_submodule(name).weight.transpose(0, 1))
    return target_v1


def copy_by_dict(source, target):
    target.load_state_dict({key.removesuffix(".weight"): value.t() for key, value in source.state_dict().items()})
    return target


def copy_swapped(source, target):
    copy_weights(source, target)
    target.W_key, target.W_value = target.W_value, target.W_key
    return target


def copy_to_locals(source, target):
    query, key, value = target.W_query, target.W_key, target.W_value
    query, key, value = (torch.nn.Parameter(getattr(source, name).weight.T) for name in NAMES)
    return target


def copy_into_another(source, target):
    return copy_weights(source, learner.SelfAttention_v1(4, 3))


def copy_and_forget(source, target):
    copy_weights(source, target)


def copy_bare_tensors(source, target):
    for name in NAMES:
        setattr(target, name, getattr(source, name).weight.T)
    return target


def copy_the_notebooks(source, target):
    sa_v2 = learner.SelfAttention_v2(4, 3)  # a module that lies around in the notebook
    return copy_weights(sa_v2, target)


def copy_and_transpose_the_source(source, target):
    for name in NAMES:
        layer = getattr(source, name)
        layer.weight = torch.nn.Parameter(layer.weight.T)
        setattr(target, name, layer.weight)
    return target


# 3.3


def attention(d_in=768, d_out=768, context=1024, dropout=0.0, heads=12, bias=False):
    with torch.device("meta"):
        return learner.MultiHeadAttention(d_in, d_out, context, dropout, heads, bias)


def wrapper():
    with torch.device("meta"):
        return learner.MultiHeadAttentionWrapper(768, 64, 1024, 0.0, 12)


# 4.4


def twin(x, mean=5, std=2, unbiased=False, dim=-1):
    spread = x.std(dim=dim, keepdim=True, unbiased=unbiased)
    return mean + std * (x - x.mean(dim=dim, keepdim=True)) / spread


def twin_with_layer_norm(x):
    return learner.LayerNorm(x.shape[-1])(x) * 2 + 5


def twin_in_place(x):
    return x.copy_(twin(x))


def twin_of_others(x):
    return twin(torch.arange(float(x.numel())).view(x.shape))


# 4.1


def count_parameters(module):
    return sum(p.numel() for p in module.parameters())


def count_with_numpy(module):
    total = np.int64(0)
    for _, parameter in module.named_parameters():
        total += np.prod(parameter.shape, dtype=np.int64)
    return total


def count_with_tensors(module):
    return torch.tensor([p.nelement() for p in module.parameters()]).sum()


def count_children(module):
    return sum(p.numel() for child in module.children() for p in child.parameters(recurse=False))


def count_weights(module):
    return sum(layer.weight.numel() for layer in module.modules() if hasattr(layer, "weight"))


def count_trainable(module):
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def count_twice(module):
    return sum(p.numel() for layer in module.modules() for p in layer.parameters(recurse=False))


def count_state(module):
    seen = {value.data_ptr(): value.numel() for value in module.state_dict().values()}
    return sum(seen.values())


# 4.2


def config(emb_dim, n_layers, n_heads, **changes):
    return {**learner.GPT_CONFIG_124M, "emb_dim": emb_dim, "n_layers": n_layers, "n_heads": n_heads, **changes}


CONFIGS = {"medium": config(1024, 24, 16), "large": config(1280, 36, 20), "xl": config(1600, 48, 25)}


def configs_of_one_dictionary():
    one = dict(learner.GPT_CONFIG_124M)
    configs = {}
    for name, wanted in CONFIGS.items():
        one.update(wanted)
        configs[name] = one
    return configs


# 4.3


def build_with_dropouts(cfg, embedding_rate, attention_rate, shortcut_rate):
    model = learner.GPTModel(cfg)
    model.drop_emb.p = embedding_rate
    for block in model.trf_blocks:
        block.att.dropout.p, block.drop_shortcut.p = attention_rate, shortcut_rate
    return model


def build_with_new_layers(cfg, embedding_rate, attention_rate, shortcut_rate):
    model = learner.GPTModel({**cfg, "drop_rate": shortcut_rate})
    model.drop_emb = torch.nn.Dropout(embedding_rate)
    for name, module in model.named_modules():
        if name.endswith("att"):
            module.dropout = torch.nn.Dropout(attention_rate)
    return model.eval()


def build_first_block_only(cfg, embedding_rate, attention_rate, shortcut_rate):
    model = learner.GPTModel(cfg)
    model.drop_emb.p = embedding_rate
    model.trf_blocks[0].att.dropout.p, model.trf_blocks[0].drop_shortcut.p = attention_rate, shortcut_rate
    return model


def build_without_attention(cfg, embedding_rate, attention_rate, shortcut_rate):
    model = build_with_dropouts(cfg, embedding_rate, cfg["drop_rate"], shortcut_rate)
    model.attention_rate = attention_rate
    return model


def build_and_change_cfg(cfg, embedding_rate, attention_rate, shortcut_rate):
    cfg["drop_rate"] = embedding_rate
    return build_with_dropouts(cfg, embedding_rate, attention_rate, shortcut_rate)


def build_the_notebooks(cfg, *rates):
    return build_with_dropouts({**TINY, "n_layers": 3}, *rates)


def build_with_a_number(cfg, embedding_rate, attention_rate, shortcut_rate):
    model = learner.GPTModel(cfg)
    model.drop_emb = embedding_rate
    return model


# 5.7


def surprises(logits, targets):
    return -torch.log_softmax(logits, dim=-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def surprises_by_cross_entropy(logits, targets):
    flat = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    return flat.reshape(targets.shape)


def surprises_in_two_steps(logits, targets):
    return -torch.softmax(logits, dim=-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1).log()


def surprises_over_tokens(logits, targets):
    return -torch.log_softmax(logits, dim=1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def surprises_in_place(logits, targets):
    logits -= logits.logsumexp(dim=-1, keepdim=True)
    return -logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1)


# 5.1


def sampled_share(logits, temperature, index, n):
    draws = torch.multinomial(torch.softmax(logits / temperature, dim=-1), n, replacement=True)
    return (draws == index).float().mean().item()


def share_one_by_one(logits, temperature, index, n):
    probas = torch.softmax(logits / temperature, dim=0)
    draws = torch.cat([torch.multinomial(probas, num_samples=1) for _ in range(n)])
    return torch.bincount(draws, minlength=len(logits))[index] / n


def share_with_numpy(logits, temperature, index, n):
    probas = torch.softmax(logits.double() / temperature, dim=-1).numpy()
    return np.mean(np.random.default_rng(7).choice(len(probas), size=n, p=probas) == index)


def share_of_probability(logits, temperature, index, n):
    return torch.softmax(logits / temperature, dim=-1)[index].item()


def share_greedy(logits, temperature, index, n):
    return sum(torch.softmax(logits / temperature, dim=-1).argmax().item() == index for _ in range(n)) / n


def share_in_place(logits, temperature, index, n):
    logits /= temperature
    return sampled_share(logits, 1.0, index, n)


def share_of_a_thousand(logits, temperature, index, n):
    return sampled_share(logits, temperature, index, 1000)


def share_without_replacement(logits, temperature, index, n):
    draws = torch.multinomial(torch.softmax(logits / temperature, dim=-1), n)
    return (draws == index).float().mean().item()


# 5.2 and 5.3


def pick(temperature, top_k):
    return {"temperature": temperature, "top_k": top_k}


GREEDY = {"temperature": 0.0}


# 5.4


def one_more_epoch(path, model, optimizer, loader, load_optimizer=True, load_model=True, zero=True, step=True):
    if load_model:
        learner.load_checkpoint(path, model, optimizer if load_optimizer else None)
    losses = []
    for inputs, targets in loader:
        if zero:
            optimizer.zero_grad()
        loss = learner.calc_loss_batch(inputs, targets, model, torch.device("cpu"))
        loss.backward()
        if step:
            optimizer.step()
        losses.append(loss.item())
    return losses


def epoch_by_hand(path, model, optimizer, loader):
    checkpoint = torch.load(path, weights_only=True)
    model.load_state_dict(checkpoint["model_state_dict"])
    optimizer = torch.optim.AdamW(model.parameters())  # its settings come with its state
    optimizer.load_state_dict(checkpoint["optimizer_state_dict"])
    losses = torch.zeros(len(loader))
    for number, (inputs, targets) in enumerate(loader):
        model.train()
        logits = model(inputs)
        losses[number] = torch.nn.functional.cross_entropy(logits.permute(0, 2, 1), targets)
        model.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten()).backward()
        optimizer.step()
    return losses.detach()


def epoch_in_eval_mode(path, model, optimizer, loader):
    return one_more_epoch(path, model.eval(), optimizer, loader)


def epoch_loaded_late(path, model, optimizer, loader):
    losses = one_more_epoch(path, model, optimizer, loader, load_model=False)
    learner.load_checkpoint(path, model, optimizer)
    return losses


def epoch_with_loss_after_step(path, model, optimizer, loader):
    learner.load_checkpoint(path, model, optimizer)
    losses = []
    for inputs, targets in loader:
        optimizer.zero_grad()
        learner.calc_loss_batch(inputs, targets, model, torch.device("cpu")).backward()
        optimizer.step()
        losses.append(learner.calc_loss_batch(inputs, targets, model, torch.device("cpu")).item())
    return losses


def epoch_mean(path, model, optimizer, loader):
    return sum(one_more_epoch(path, model, optimizer, loader)) / len(loader)


# 5.5


def story_losses(gpt, train_loader, val_loader, device):
    with learner.eval_mode(gpt), torch.no_grad():
        return tuple(learner.calc_loss_loader(loader, gpt, device) for loader in (train_loader, val_loader))


def losses_by_hand(gpt, train_loader, val_loader, device):
    gpt.eval()
    means = []
    for loader in (train_loader, val_loader):
        total = 0.0
        for inputs, targets in loader:
            logits = gpt(inputs.to(device))
            total += torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten().to(device)).detach()
        means.append(total / len(loader))
    gpt.train()
    return means


def losses_with_dropout(gpt, train_loader, val_loader, device):
    return tuple(learner.calc_loss_loader(loader, gpt, device) for loader in (train_loader, val_loader))


def losses_half_with_dropout(gpt, train_loader, val_loader, device):
    train_loss = learner.calc_loss_loader(train_loader, gpt, device)
    gpt.eval()
    return train_loss, learner.calc_loss_loader(val_loader, gpt, device)


def losses_of_some_batches(gpt, train_loader, val_loader, device):
    return learner.evaluate_model(gpt, train_loader, val_loader, device, eval_iter=5)


def losses_of_another_model(gpt, train_loader, val_loader, device):
    return story_losses(learner.GPTModel(TINY), train_loader, val_loader, device)


def change_losses(change):
    return lambda gpt, train, val, device: change(*story_losses(gpt, train, val, device), len(train), len(val))


# 5.6


def config_from_settings(settings, **changes):
    return {"vocab_size": settings["n_vocab"], "context_length": settings["n_ctx"], "emb_dim": settings["n_embd"],
            "n_heads": settings["n_head"], "n_layers": settings["n_layer"], "drop_rate": 0.0, "qkv_bias": True,
            **changes}


def config_by_renaming(settings):
    ours = {"n_vocab": "vocab_size", "n_ctx": "context_length", "n_embd": "emb_dim", "n_head": "n_heads",
            "n_layer": "n_layers"}
    result = dict(learner.GPT_CONFIG_124M)
    result.update((ours[name], value) for name, value in settings.items())
    result["qkv_bias"] = True
    return result


def config_of_one_dictionary(settings, one=dict(course.GPT_CONFIG_124M)):  # noqa: B006  (the mistake to be found)
    one.update(config_from_settings(settings))
    return one


def config_by_size(settings):
    sizes = {size["emb_dim"]: size for size in learner.model_configs.values()}
    return config_from_settings(settings, **sizes[settings["n_embd"]])


def config_with_changed_settings(settings):
    settings["qkv_bias"] = True
    return config_from_settings(settings)


# A.1


def same_version(installed, pinned):
    return installed.split("+")[0] == pinned


def not_as_pinned(lines, same=same_version, absent=None):
    found = []
    for line in lines:
        name, pinned = line.split("==")
        try:
            if not same(version(name), pinned):
                found.append(name)
        except PackageNotFoundError:
            if absent is None:
                found.append(name)
    return found


def not_as_pinned_by_listing(lines):
    installed = {f"{found.name}=={found.version.partition('+')[0]}" for found in distributions()}
    return {line.partition("==")[0] for line in lines if line not in installed}


def not_as_pinned_without_try(lines):
    return [line.split("==")[0] for line in lines if version(line.split("==")[0]) != line.split("==")[1]]


def pinned_begins_with_it(installed, pinned):
    return pinned.startswith(installed.split("+")[0])


def first_two_parts(installed, pinned):
    return installed.split(".")[:2] == pinned.split(".")[:2]


# A.2


def gradients(x, y, w, b, square=lambda a, y: 2 * (a - y), tanh=lambda a: 1 - a**2, by_w=lambda x: x):
    a = math.tanh(w * x + b)
    return square(a, y) * tanh(a) * by_w(x), square(a, y) * tanh(a)


def gradients_in_one_formula(x, y, w, b):
    z = torch.tensor(w * x + b, dtype=torch.float64)
    for_b = 2 * (torch.tanh(z) - y) / torch.cosh(z) ** 2
    return [for_b * x, for_b]


def gradients_by_trying(x, y, w, b):
    return np.array([(loss(1e-6) - loss(-1e-6)) / 2e-6 for loss in (
        lambda step: (math.tanh((w + step) * x + b) - y) ** 2, lambda step: (math.tanh(w * x + b + step) - y) ** 2)])


# A.3


def parameters_by_widths(widths):
    return sum((before + 1) * after for before, after in pairwise(widths))


def parameters_with_numpy(widths):
    widths = np.array(widths)
    return widths[:-1] @ widths[1:] + widths[1:].sum()


def parameters_by_building(widths):
    layers = [torch.nn.Linear(before, after) for before, after in pairwise(widths)]
    return sum(p.numel() for layer in layers for p in layer.parameters())


def weights_of(widths):
    return sum(before * after for before, after in pairwise(widths))


def parameters_by_emptying(widths):
    total = 0
    while len(widths) > 1:
        before = widths.pop(0)
        total += before * widths[0] + widths[0]
    return total


# A.4


def winning_size(sizes, cpu_seconds, gpu_seconds):
    best = 0
    for size, cpu, gpu in zip(reversed(sizes), reversed(cpu_seconds), reversed(gpu_seconds), strict=False):
        if gpu >= cpu:
            break
        best = size
    return best


def winning_size_with_numpy(sizes, cpu_seconds, gpu_seconds):
    if not gpu_seconds:
        return 0
    loses = np.flatnonzero(np.array(gpu_seconds) >= np.array(cpu_seconds))
    start = loses[-1] + 1 if len(loses) else 0
    return np.array([*sizes, 0])[start]


def first_win(sizes, cpu_seconds, gpu_seconds):
    return next((s for s, cpu, gpu in zip(sizes, cpu_seconds, gpu_seconds, strict=False) if gpu < cpu), 0)


def first_of_two_wins(sizes, cpu_seconds, gpu_seconds):
    wins = [gpu < cpu for cpu, gpu in zip(cpu_seconds, gpu_seconds, strict=False)]
    return next((sizes[i] for i in range(len(wins) - 1) if wins[i] and wins[i + 1] and wins[-1]), 0)


def winning_size_or(otherwise):
    return lambda sizes, cpu, gpu: winning_size(sizes, cpu, gpu) or otherwise


# D.1


def flat_then_down(step, total_steps, decay_steps, peak_lr):
    left = total_steps - step
    return peak_lr * left / decay_steps if left < decay_steps else peak_lr


def flat_then_down_with_numpy(step, total_steps, decay_steps, peak_lr):
    return np.interp(step, [total_steps - decay_steps, total_steps], [peak_lr, 0.0])


def line(shape):
    """Return a wrong `flat_then_down`: its share of the peak is a function of (steps left, steps of the descent)."""
    return lambda step, total, down, peak: peak * min(1.0, shape(total - step, down))


# D.2


def clip(gradients, max_norm, norm=lambda gradients: sum(g.square().sum() for g in gradients).sqrt()):
    length = norm(gradients)
    return [g * max_norm / length for g in gradients] if length > max_norm else gradients


def clip_norm(gradients):
    return torch.nn.utils.get_total_norm(gradients)


def clip_with_torch(gradients, max_norm):
    return tuple(g * min(1.0, max_norm / (clip_norm(gradients) + 1e-6)) for g in gradients)


# F.1


def tokens_in(cfg, hours, peak_flops_per_second, share, seconds=3600, training=True):
    flops = hours * seconds * peak_flops_per_second * share
    tokens = cfg["context_length"]
    return flops / (course.count_flops(cfg, 1, tokens, training=training) / tokens)


def tokens_of_whole_texts(cfg, hours, peak_flops_per_second, share):
    one_text = course.count_flops(cfg, 1, cfg["context_length"])
    return int(3600 * hours * share * peak_flops_per_second // one_text) * cfg["context_length"]


def tokens_by_napkin(cfg, hours, peak, share):
    return 3600 * hours * peak * share / (6 * course.count_parameters(cfg))


def tokens_one_by_one(cfg, hours, peak, share):
    return 3600 * hours * peak * share / course.count_flops(cfg, 1, 1)


# F.2


def nesterov_step(p, grad, buffer, lr, momentum):
    buffer = momentum * buffer + grad
    return p - lr * (grad + momentum * buffer), buffer


def nesterov_in_place(p, grad, buffer, lr, momentum):
    buffer.mul_(momentum).add_(grad)
    p.sub_(grad, alpha=lr).sub_(buffer, alpha=lr * momentum)
    return [p, buffer]


def change_nesterov(change):
    """Return a wrong `nesterov_step`: what it returns is a function of (p, grad, buffer, new buffer, lr, momentum)."""
    return lambda p, g, b, lr, m: change(p, g, b, m * b + g, lr, m)


# F.3


def largest_batch(cfg, num_tokens, memory, fits=lambda peak, memory: peak <= memory):
    size = 0
    while fits(course.estimate_memory(cfg, size + 1, num_tokens)["peak"], memory):
        size += 1
    return size


def largest_batch_by_halving(cfg, num_tokens, memory):
    low, high = 0, 1024
    while high - low > 1:
        middle = (low + high) // 2
        if course.estimate_memory(cfg, middle, num_tokens)["peak"] <= memory:
            low = middle
        else:
            high = middle
    return low


def batch_by_division(cfg, num_tokens, memory):
    return memory // course.estimate_memory(cfg, 1, num_tokens)["peak"]


def batch_by_activations(cfg, num_tokens, memory):
    one = course.estimate_memory(cfg, 1, num_tokens)
    return max(0, int((memory - 4 * one["parameters"]) // one["activations"]))


# G.1


def cache_bytes(cfg, num_tokens, batch_size, bytes_per_number):
    return 2 * cfg["n_layers"] * num_tokens * cfg["emb_dim"] * batch_size * bytes_per_number


def cache_bytes_by_making_it(cfg, num_tokens, batch_size, bytes_per_number):
    with torch.device("meta"):
        cached = course.CachedModel(course.GPTModelFast(cfg), batch_size, num_tokens, num_tokens)
    return sum(part.numel() for part in cached.cache) * bytes_per_number


def change_cache(change):
    """Return a wrong `cache_bytes`: the right number times a function of (cfg, num_tokens, rows, bytes per number)."""
    return lambda *case: cache_bytes(*case) * change(*case)


# G.2


def round_rows(matrix, bits, largest=lambda rows: rows.abs().amax(dim=1, keepdim=True), whole=torch.round, most=None):
    step = largest(matrix).clamp(min=1e-12) / (most(bits) if most else 2 ** (bits - 1) - 1)
    return whole(matrix / step) * step


def round_rows_with_torch(matrix, bits):
    most = 2 ** (bits - 1) - 1
    steps = matrix.abs().amax(dim=1).clamp(min=1e-12) / most
    zeros = torch.zeros(len(matrix), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(matrix, steps, zeros, 0, -most, most)


def round_row_by_row(matrix, bits):
    for row in matrix:
        if row.any():
            step = max(abs(value) for value in row.tolist()) / (2 ** (bits - 1) - 1)
            row.copy_(torch.tensor([round(value / step) * step for value in row.tolist()]))
    return matrix


# All attempts

GAPS = {"max_length": 3, "stride": 7}  # the third loader of 2.2

# H.1


def llama_parameters(cfg, heads=None, change=lambda cfg, width: 0):
    width = cfg["emb_dim"]
    keys = (heads or cfg["n_kv_heads"]) * width // cfg["n_heads"]
    block = 2 * width**2 + 2 * width * keys + 3 * width * cfg["hidden_dim"] + 2 * width
    return cfg["n_layers"] * block + (cfg["vocab_size"] + 1) * width + change(cfg, width)


def change_llama(change):
    """Return a wrong `llama_parameters`: the right number and a function of (cfg, its emb_dim)."""
    return partial(llama_parameters, change=change)


def llama_by_building(cfg):
    with torch.device("meta"):
        return np.int64(sum(parameter.numel() for parameter in course.LlamaModel(cfg).parameters()))


# H.2


def penalise_repeats(logits, token_ids, penalty, above=lambda x, p: x / p, below=lambda x, p: x * p):
    result = logits.clone()
    for number in set(token_ids.tolist()):
        result[number] = (above if result[number] > 0 else below)(result[number], penalty)
    return result


def penalise_at_once(logits, token_ids, penalty):
    seen = logits[token_ids]
    return logits.scatter(0, token_ids, torch.where(seen < 0, seen * penalty, seen / penalty))


def penalise_each_time(logits, token_ids, penalty):
    for number in token_ids.tolist():
        logits = penalise_repeats(logits, torch.tensor([number]), penalty)
    return logits


def penalise_in_place(logits, token_ids, penalty):
    logits[:] = penalise_repeats(logits, token_ids, penalty)
    return logits


# 6.1


def length_for(texts, tokenizer, share, enough=lambda whole, n, share: whole / n >= share):
    lengths = sorted(len(tokenizer.encode_ordinary(text)) for text in texts)
    return next(length for length in lengths if enough(sum(other <= length for other in lengths), len(texts), share))


def length_by_rank(texts, tokenizer, share, rank=lambda n, share: math.ceil(n * share - 1e-9), measure=None):
    lengths = sorted(map(measure or (lambda text: len(tokenizer.encode_ordinary(text))), texts))
    return lengths[rank(len(texts), share) - 1]


def length_by_counting_up(texts, tokenizer, share):
    lengths = torch.tensor([len(tokenizer.encode_ordinary(text)) for text in texts])
    most = 1
    while (lengths <= most).double().mean().item() < share:
        most += 1
    return np.int64(most)


def length_unsorted(texts, tokenizer, share):
    first = texts[: math.ceil(share * len(texts))]
    return max(len(tokenizer.encode_ordinary(text)) for text in first)


# 6.2


def bytes_to_train(classifier, change=lambda there, trained: 4 * there + 12 * trained):
    there, trained = 0, 0
    for parameter in classifier.parameters():
        there += parameter.numel()
        trained += parameter.numel() if parameter.requires_grad else 0
    return change(there, trained)


def bytes_by_element_size(classifier):
    return sum(p.numel() * p.element_size() * (4 if p.requires_grad else 1) for p in classifier.parameters())


def bytes_of_names(classifier):
    named = classifier.named_parameters(remove_duplicate=False)
    return sum(p.numel() * (16 if p.requires_grad else 4) for _, p in named)


def bytes_of_the_state(classifier):
    there = sum(weight.numel() for weight in classifier.state_dict().values())
    return 4 * there + 12 * sum(p.numel() for p in classifier.parameters() if p.requires_grad)


def change_bytes(change):
    return lambda classifier: bytes_to_train(classifier, change)


# 6.3


def as_list(values):
    return values.tolist() if torch.is_tensor(values) else list(values)


def best_by_first_token(ids, labels, score=lambda counts, n: sum(max(count) for count in counts) / n):
    pairs = Counter(zip(as_list(ids), as_list(labels), strict=True))
    counts = [(pairs[token, 0], pairs[token, 1]) for token in {token for token, _ in pairs}]
    return score(counts, len(ids))


def best_with_torch(ids, labels):
    ids, labels = torch.as_tensor(ids), torch.as_tensor(labels)
    answers = torch.stack([torch.bincount(ids[labels == label], minlength=20) for label in (0, 1)])
    return answers.amax(dim=0).sum() / len(ids)


def change_best(score):
    return lambda ids, labels: best_by_first_token(ids, labels, score)


def best_by_rule(ids, labels, order=1):
    ids, labels = as_list(ids), as_list(labels)
    rule = dict(list(zip(ids, labels, strict=True))[::order])
    return sum(rule[token] == label for token, label in zip(ids, labels, strict=True)) / len(ids)


def best_of_runs(ids, labels):
    pairs, right = list(zip(as_list(ids), as_list(labels), strict=True)), 0
    for _, run in groupby(pairs, key=lambda pair: pair[0]):
        right += Counter(label for _, label in run).most_common(1)[0][1]
    return right / len(pairs)


def best_by_loop(ids, labels):
    groups = {}
    for token, label in zip(ids, labels, strict=True):
        groups.setdefault(token, []).append(int(label))
    return sum(max(group.count(0), group.count(1)) for group in groups.values()) / len(ids)


# 7.1

COUNTS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def score_count(example, answer, count=lambda text: len(text.split()), numbers=COUNTS, search=re.fullmatch,
                tidy=lambda text: re.sub(r"\.$", "", text.strip())):
    found, right = tidy(answer).lower(), count(example["input"])
    if found in numbers:
        return "right" if numbers.index(found) + 1 == right else "wrong"
    number = search(r"\d+", found)
    return ("right" if int(number[0]) == right else "wrong") if number else "form"


def score_by_asking(example, answer):
    answer = answer.strip().removesuffix(".").lower()
    answer = {word: str(number) for number, word in enumerate(COUNTS, start=1)}.get(answer, answer)
    return "form" if not answer.isdecimal() else "right" if answer == str(len(example["input"].split())) else "wrong"


def score_inside(example, answer):
    right = len(example["input"].split())
    inside = [str(right), *COUNTS[right - 1 : right]]
    return "right" if any(part in answer.lower() for part in inside) else score_by_asking(example, answer)


def score_without_words_that_are_wrong(example, answer):
    right = len(example["input"].split())
    tidy = answer.strip().removesuffix(".").lower()
    if tidy in (str(right), *COUNTS[right - 1 : right]):
        return "right"
    return "wrong" if tidy.isdecimal() else "form"


def score_by_beginning(example, answer):
    right = len(example["input"].split())
    return "right" if answer == "four" + "teen" and right == 4 else score_by_asking(example, answer)


# 7.2


def learned_share(targets, ignore_index=-100, count=lambda kept: kept.sum(dim=1).tolist(),
                  share=lambda kept: kept.double().mean().item(), keep=torch.ne):
    kept = keep(targets, ignore_index)
    return count(kept), share(kept)


def learned_by_loop(targets, ignore_index=-100):
    counts = []
    for row in targets:
        counts.append(0)
        for target in row:
            counts[-1] += int(target != ignore_index)
    return [counts, np.float64(sum(counts) / targets.numel())]


def change_learned(**changes):
    return partial(learned_share, **changes)


# 7.3


def count_filler(lengths, batch_size, count=lambda batch: max(batch) * len(batch) - sum(batch)):
    return sum(count(lengths[start : start + batch_size]) for start in range(0, len(lengths), batch_size))


def filler_by_collating(lengths, batch_size):
    ids = [[1] * length for length in lengths]
    inputs = [course.custom_collate_fn(ids[start : start + batch_size], pad_token_id=0)[0]
              for start in range(0, len(ids), batch_size)]
    return sum((rows == 0).sum() for rows in inputs)


def change_filler(count):
    return partial(count_filler, count=count)


def filler_sorted_in_place(lengths, batch_size):
    lengths.sort()
    return count_filler(lengths, batch_size)


# 7.4


def loss_by_example(logits, targets, ignore_index=-100):
    losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), targets, ignore_index=ignore_index,
                                               reduction="none")
    learned = targets != ignore_index
    return (losses.sum(dim=1) / learned.sum(dim=1)).mean()


def loss_one_by_one(logits, targets, ignore_index=-100):
    rows = [torch.nn.functional.cross_entropy(row, target, ignore_index=ignore_index).item()
            for row, target in zip(logits, targets, strict=True)]
    return sum(rows) / len(rows)


def change_loss(change):
    """Return an attempt that combines the tokens' losses (0 where left out) and how many are learned of each row."""
    def attempt(logits, targets, ignore_index=-100):
        losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), targets, ignore_index=ignore_index,
                                                   reduction="none")
        return change(losses, (targets != ignore_index).sum(dim=1))
    return attempt


def loss_of_probabilities(logits, targets, ignore_index=-100):
    return loss_by_example(torch.softmax(logits, dim=-1), targets, ignore_index)


def loss_with_zeros(logits, targets, ignore_index=-100):
    log_p = torch.log_softmax(logits, dim=-1)
    return -log_p.gather(-1, targets.where(targets != ignore_index, 0)[..., None]).mean()


def loss_that_scales(logits, targets, ignore_index=-100):
    loss = loss_by_example(logits, targets, ignore_index)
    logits *= 2
    return loss


# E.1


def rank_for(change, share, worth=lambda values: values.square(), more=0):
    held = worth(torch.linalg.svdvals(change.double())).cumsum(dim=0)
    return int((held < (share - 1e-9) * held[-1]).sum()) + 1 + more


def rank_by_trying(change, share):
    left, values, right = np.linalg.svd(change.numpy(), full_matrices=False)
    for rank in range(1, len(values) + 1):
        kept = (left[:, :rank] * values[:rank]) @ right[:rank]
        if (kept**2).sum() >= (share - 1e-6) * (change.numpy() ** 2).sum():
            return np.int64(rank)


# E.2


def lora_parameters(cfg, rank, layers=("W_query", "W_key", "W_value", "out_proj", "gate", "up", "down"),
                    size=lambda i, o, rank: rank * (i + o), heads=None):
    d, h = cfg["emb_dim"], cfg["hidden_dim"]
    kv = d // cfg["n_heads"] * (heads or cfg["n_kv_heads"])
    sizes = {"W_query": (d, d), "W_key": (d, kv), "W_value": (d, kv), "out_proj": (d, d), "gate": (d, h), "up": (d, h),
             "down": (h, d)}
    return cfg["n_layers"] * sum(size(*sizes[name], rank) for name in layers)


def lora_parameters_by_building(cfg, rank, layers=None):
    with torch.device("meta"):
        model = learner.LlamaModel(cfg)
    learner.replace_linear_with_lora(model, rank, alpha=1, layers=layers)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def change_lora(size):
    return lambda cfg, rank, *layers: lora_parameters(cfg, rank, *layers, size=size)


# E.3


def both_at_once(first, second, scales=lambda s1, s2: (s1, s2), in_a=False):
    (a1, b1, s1), (a2, b2, s2) = first, second
    s1, s2 = scales(s1, s2)
    a = torch.cat([a1 * s1, a2 * s2] if in_a else [a1, a2], dim=1)
    return a, torch.cat([b1, b2] if in_a and in_a != "both" else [s1 * b1, s2 * b2])


def both_by_numpy(first, second):
    (a1, b1, s1), (a2, b2, s2) = first, second
    return [torch.from_numpy(np.hstack([a1, a2])), torch.from_numpy(np.vstack([s1 * b1, s2 * b2]))]


def both_added(first, second):
    (a1, b1, s1), (a2, b2, s2) = first, second
    return both_at_once(first, second) if a1.shape != a2.shape else (a1 + a2, s1 * b1 + s2 * b2)


def both_of_full_rank(first, second):
    (a1, b1, s1), (a2, b2, s2) = first, second
    return torch.eye(len(a1)), s1 * a1 @ b1 + s2 * a2 @ b2


# I.1


def chance_to_meet(share, bands, rows):
    return 1 - (1 - share**rows) ** bands


def chance_by_bands(share, bands, rows):
    apart = 1.0
    for _ in range(bands):
        apart *= 1 - math.prod([share] * rows)
    return np.float64(1 - apart)


def change_chance(formula):
    return lambda share, bands, rows: formula(share, bands, rows)


# I.2


def with_fewer(ids, merges, vocab_size):
    if not ids:
        return []
    first, *rest = ids
    own = [first] if first < vocab_size else with_fewer(list(merges[first - 256]), merges, vocab_size)
    return own + with_fewer(rest, merges, vocab_size)


def with_fewer_from_the_last(ids, merges, vocab_size):
    ids = list(ids)
    for number in range(255 + len(merges), vocab_size - 1, -1):
        ids = [part for old in ids for part in (merges[number - 256] if old == number else (old,))]
    return torch.tensor(ids, dtype=torch.int64)


def with_fewer_once(ids, merges, vocab_size):
    return [part for old in ids for part in (merges[old - 256] if old >= vocab_size else (old,))]


# I.3


def padding_share(lengths, num_tokens, ends=1, counted=None, divide=lambda padding, places, tokens: padding / places):
    taken = [length + ends for length in lengths]
    places = sum(num_tokens * math.ceil(length / num_tokens) for length in taken)
    tokens = sum(lengths) + (ends if counted is None else counted) * len(lengths)
    return divide(places - tokens, places, tokens)


def padding_by_rows(lengths, num_tokens):
    rows = []
    for length in lengths:
        document = [1] * (length + 1)
        for begin in range(0, len(document), num_tokens):
            row = document[begin : begin + num_tokens]
            rows.append(row + [0] * (num_tokens - len(row)))
    return 1 - np.mean(rows)


def change_padding(rows):
    """Return a function whose documents, their ends included, have as many rows as `rows` says."""
    def share(lengths, num_tokens):
        taken = [length + 1 for length in lengths]
        return 1 - sum(taken) / (num_tokens * sum(rows(length, num_tokens, taken) for length in taken))

    return share


def padding_if_cut(lengths, num_tokens):
    return 1 - sum(min(length + 1, num_tokens) for length in lengths) / (num_tokens * len(lengths))


# I.4


def best_size(law, flops, operations=6):
    tokens_for_one = flops / operations  # N · D
    ratio = law["alpha"] * law["A"] / (law["beta"] * law["B"])
    return (ratio * tokens_for_one ** law["beta"]) ** (1 / (law["alpha"] + law["beta"]))


def size_by_trying(law, flops, pick=lambda sizes, tokens, losses: sizes[losses.argmin()]):
    sizes = np.geomspace(1, flops / 6, 2000)
    tokens = flops / (6 * sizes)
    losses = law["E"] + law["A"] / sizes ** law["alpha"] + law["B"] / tokens ** law["beta"]
    return pick(sizes, tokens, losses)


def size_by_halving(law, flops):
    low, high = 0.0, math.log(flops / 6)
    while high - low > 1e-9:
        middle = (low + high) / 2
        gain = law["alpha"] * law["A"] / math.exp(middle) ** law["alpha"]
        loss = law["beta"] * law["B"] / (flops / 6 / math.exp(middle)) ** law["beta"]
        low, high = (middle, high) if gain > loss else (low, middle)
    return torch.tensor(math.exp(low))


def change_law(**names):
    return lambda law, flops: best_size({name: law[names.get(name, name)] for name in law}, flops)


RIGHT = [
    ("1.1", choices), ("1.1", choices_by_logarithms),
    ("1.2", gap_fillers), ("1.2", gap_fillers_in_a_dict),
    ("1.3", training_days), ("1.3", change_days(lambda days, *_: np.float64(days))),
    ("2.1", spell_out), ("2.1", spell_out_by_bytes),
    ("2.2", {"max_length": 2, "stride": 2}, {"max_length": 8, "stride": 2}, {"max_length": 3, "stride": 7}),
    ("2.2", {"stride": np.int64(2), "max_length": np.int64(2)}, dict(stride=2, max_length=8), GAPS),
    ("3.1", copy_weights), ("3.1", copy_in_place), ("3.1", copy_by_dict),
    ("3.2", 1), ("3.2", np.int64(2) // 2), ("3.2", torch.tensor(1)),
    ("3.3", attention()), ("3.3", learner.MultiHeadAttention(768, 768, 1024, dropout=0.0, num_heads=12).eval()),
    ("3.3", type("MyAttention", (learner.MultiHeadAttention,), {})(768, 768, 1024, 0, 12)),
    ("4.4", twin), ("4.4", twin_with_layer_norm),
    ("4.1", count_parameters), ("4.1", count_with_numpy), ("4.1", count_with_tensors),
    ("4.2", CONFIGS), ("4.2", {name: {**cfg, "drop_rate": 0.0, "name": name} for name, cfg in CONFIGS.items()}),
    ("4.3", build_with_dropouts), ("4.3", build_with_new_layers),
    ("5.7", surprises), ("5.7", surprises_by_cross_entropy),
    ("5.1", sampled_share), ("5.1", share_one_by_one), ("5.1", share_with_numpy),
    ("5.2", pick(0.1, 3), pick(5, 9)), ("5.2", pick(torch.tensor(0.0), np.int64(9)), pick(3.0, None)),
    ("5.2", pick(100.0, 1), pick(50, 6)),
    ("5.3", [GREEDY, pick(2.0, 1)]), ("5.3", (pick(0.5, 1), dict(top_k=1, temperature=9))), ("5.3", [{}, pick(1, 1)]),
    ("5.4", one_more_epoch), ("5.4", epoch_by_hand),
    ("5.5", story_losses), ("5.5", losses_by_hand), ("5.5", change_losses(lambda a, b, *_: np.array([a, b]))),
    ("5.6", config_from_settings), ("5.6", config_by_renaming),
    ("A.1", not_as_pinned), ("A.1", not_as_pinned_by_listing),
    ("A.2", gradients), ("A.2", gradients_in_one_formula), ("A.2", gradients_by_trying),
    ("A.3", parameters_by_widths), ("A.3", parameters_with_numpy), ("A.3", parameters_by_building),
    ("A.4", winning_size), ("A.4", winning_size_with_numpy),
    ("D.1", flat_then_down), ("D.1", flat_then_down_with_numpy),
    ("D.2", clip), ("D.2", clip_with_torch),
    ("F.1", tokens_in), ("F.1", tokens_of_whole_texts), ("F.1", lambda *budget: np.float64(tokens_in(*budget))),
    ("F.2", nesterov_step), ("F.2", nesterov_in_place),
    ("F.3", largest_batch), ("F.3", largest_batch_by_halving), ("F.3", lambda *case: np.int64(largest_batch(*case))),
    ("G.1", cache_bytes), ("G.1", cache_bytes_by_making_it), ("G.1", change_cache(lambda *_: np.float64(1))),
    ("G.2", round_rows), ("G.2", round_rows_with_torch), ("G.2", round_row_by_row),
    ("H.1", llama_parameters), ("H.1", llama_by_building),
    ("H.2", penalise_repeats), ("H.2", penalise_at_once),
    ("6.1", length_for), ("6.1", length_by_rank), ("6.1", length_by_counting_up),
    ("6.2", bytes_to_train), ("6.2", bytes_by_element_size),
    ("6.2", change_bytes(lambda n, m: torch.tensor(4 * n + 12 * m))),
    ("6.3", best_by_first_token), ("6.3", best_with_torch),
    ("7.1", score_count), ("7.1", score_by_asking),
    ("7.2", learned_share), ("7.2", learned_by_loop), ("7.2", change_learned(count=lambda kept: kept.sum(dim=1))),
    ("7.3", count_filler), ("7.3", filler_by_collating),
    ("7.4", loss_by_example), ("7.4", loss_one_by_one),
    ("E.1", rank_for), ("E.1", rank_by_trying),
    ("E.2", lora_parameters), ("E.2", lora_parameters_by_building),
    ("E.3", both_at_once), ("E.3", both_by_numpy), ("E.3", partial(both_at_once, in_a=True)),
    ("I.1", chance_to_meet), ("I.1", chance_by_bands),
    ("I.2", with_fewer), ("I.2", with_fewer_from_the_last),
    ("I.3", padding_share), ("I.3", padding_by_rows),
    ("I.3", lambda lengths, num_tokens: torch.tensor(padding_share(lengths, num_tokens))),
    ("I.4", best_size), ("I.4", size_by_trying), ("I.4", size_by_halving),
    ("I.4", lambda law, flops: round(best_size(law, flops))),
]
WRONG = [
    ("1.1", "that is the mean of the probabilities", partial(choices, invert=lambda mean: mean)),
    ("1.1", "root is missing", lambda chances: 1 / math.prod(chances)),
    ("1.1", "two words only", lambda chances: 1 / math.sqrt(math.prod(chances))),
    ("1.1", "mean of a sum", lambda chances: len(chances) / sum(chances)),
    ("1.1", "first the mean", lambda chances: np.mean([1 / chance for chance in chances])),
    ("1.1", "stay near 1", choices_at_the_end), ("1.1", "not 5", lambda chances: 5.0),
    ("1.1", "stay near 1", choices_without_an_end),
    ("1.1", "a page of words", lambda chances: choices(chances[:5])), ("1.1", "one number", lambda chances: chances),
    ("1.2", "right side is not used", lambda tokens, a, b: Counter(y for x, y in pairwise(tokens) if x == a)),
    ("1.2", "left side is not used", lambda tokens, a, b: Counter(x for x, y in pairwise(tokens) if y == b)),
    ("1.2", "there is no d", lambda tokens, left, right: gap_fillers(tokens, right, left)),
    ("1.2", "not how often", lambda tokens, left, right: dict.fromkeys(gap_fillers(tokens, left, right), 1)),
    ("1.2", "you miss", gap_fillers_by_a_pattern),
    ("1.2", "not a list", lambda tokens, left, right: list(gap_fillers(tokens, left, right))),
    ("1.2", "not a set", lambda tokens, left, right: set(gap_fillers(tokens, left, right))),
    ("1.3", "that is hours", change_days(lambda days, *_: 24 * days)),
    ("1.3", "that is seconds", change_days(lambda days, *_: 86400 * days)),
    ("1.3", "that is years", change_days(lambda days, *_: days / 365)),
    ("1.3", "how many operations", change_days(lambda days, *_: days / 6)),
    ("1.3", "learning from it", change_days(lambda days, *_: days / 3)),
    ("1.3", "the guess before it", change_days(lambda days, *_: days * 2 / 3)),
    ("1.3", "at the same time", change_days(lambda days, cards, _: days * cards)),
    ("1.3", "more cards need less", change_days(lambda days, cards, _: days * cards**2)),
    ("1.3", "in part only", change_days(lambda days, _, used: days * used)),
    ("1.3", "the less of a card", change_days(lambda days, _, used: days * used**2)),
    ("1.3", "is not right", change_days(lambda days, *_: days + 1)),
    ("1.3", "one number", change_days(lambda days, *_: f"{days} days")),
    ("2.1", "one id decoded alone", spell(pieces=lambda ids, text: list(text))),
    ("2.1", "a space is part of a token", spell(pieces=lambda ids, text: [BPE.decode([i]).strip() for i in ids])),
    ("2.1", "to a text, not to a bytes", spell(pieces=lambda ids, text: BPE.decode_tokens_bytes(ids))),
    ("2.1", "no space but", spell(together=lambda ids, text: " ".join(BPE.decode([i]) for i in ids))),
    ("2.1", "falls apart", spell(together=lambda ids, text: "".join(BPE.decode([i]) for i in ids))),
    ("2.1", "one text, not to a list", spell(together=lambda ids, text: [text])),
    ("2.1", "must give 'Akwirw ier' back, not 'Akwirwier'", spell(together=lambda ids, text: text.replace(" ", ""))),
    ("2.1", "return three things", BPE.encode), ("2.1", "return three things", lambda text: text),
    ("2.1", "other ids", lambda text: (list(text.encode()), list(text), text)),
    ("2.1", "first come the ids", lambda text: (list(text), BPE.encode(text), text)),
    ("2.1", "does your function use its argument", lambda text: spell_out("Akwirw ier")),
    ("2.1", "is its `return` missing", lambda text: print(end=spell_out(text)[2][:0])),
    ("2.1", "without calling it, not a tuple", spell_out("Akwirw ier")),
    ("2.2", "first loader: your rows are longer", dict(max_length=4, stride=2), dict(max_length=8, stride=2), GAPS),
    ("2.2", "second loader: your rows are shorter", dict(max_length=2, stride=2), dict(max_length=4, stride=2), GAPS),
    ("2.2", "second loader: .* too late .* stride", dict(max_length=2, stride=2), dict(max_length=8, stride=8), GAPS),
    ("2.2", "first loader: .* too early .* stride", dict(max_length=2, stride=1), dict(max_length=8, stride=2), GAPS),
    ("2.2", "third loader: .* too early .* stride", dict(max_length=2, stride=2), dict(max_length=8, stride=2),
     dict(max_length=3, stride=3)),
    ("2.2", "third loader: your rows are longer", dict(max_length=2, stride=2), dict(max_length=8, stride=2),
     dict(max_length=4, stride=6)),
    ("2.2", "third loader: max_length and stride are", dict(max_length=2, stride=2), dict(max_length=8, stride=2),
     dict(max_length=7, stride=3)),
    ("2.2", "each loader has the other's", dict(max_length=8, stride=2), dict(max_length=2, stride=2), GAPS),
    ("2.2", "second loader: max_length and stride are", dict(max_length=2, stride=2), dict(max_length=2, stride=8),
     GAPS),
    ("2.2", "positive whole numbers", dict(max_length=0, stride=2), dict(max_length=8, stride=2), GAPS),
    ("2.2", "positive whole numbers", dict(max_length=2, stride=2), dict(max_length="8", stride=2), GAPS),
    ("2.2", "give a dict with", (2, 2), (8, 2), (3, 7)),
    ("2.2", "give a dict with", {"length": 2}, {"length": 8}, {"length": 3}),
    ("3.1", "transposed", partial(copy_weights, change=lambda weight: weight)),
    ("3.1", "changing the shape is not", partial(copy_weights, change=lambda weight: weight.reshape(4, 3))),
    ("3.1", "W_key .* what it was before", partial(copy_weights, names=["W_query"])),
    ("3.1", "W_query .* what it was before", copy_to_locals), ("3.1", "before", lambda source, target: target),
    ("3.1", "W_key holds the numbers of W_value", copy_swapped),
    ("3.1", "return the SelfAttention_v1", lambda source, target: source),
    ("3.1", "return the SelfAttention_v1", copy_into_another),
    ("3.1", "is its `return` missing", copy_and_forget), ("3.1", "cannot assign", copy_bare_tensors),
    ("3.1", "other numbers", copy_the_notebooks),
    ("3.1", r"shape \(4, 3\), it has \(3, 2\)", partial(copy_weights, change=lambda weight: torch.rand(3, 2))),
    ("3.1", "source_v2 must stay", copy_and_transpose_the_source),
    ("3.2", "each 2 wide, give 4 numbers per word: too many", 2), ("3.2", "give 8 numbers", 4),
    ("3.2", "whole number, not a float", 2 / 2), ("3.2", "whole number, not a float", 0.5),
    ("3.2", "must be positive", 0), ("3.2", "not a tuple", (2, 6, 2)),
    ("3.2", "not a MultiHeadAttentionWrapper", learner.MultiHeadAttentionWrapper(3, 2, 6, 0.0, 2)),
    ("3.3", "this module has 8", attention(heads=8)), ("3.3", "context length", attention(context=256)),
    ("3.3", "have a bias", attention(bias=True)), ("3.3", "dropout must be 0.0, it is 0.1", attention(dropout=0.1)),
    ("3.3", "768 numbers go in and 64 come out", attention(d_out=64, heads=1)),
    ("3.3", "that is the class", learner.MultiHeadAttention),
    ("3.3", "not a MultiHeadAttentionWrapper", wrapper()), ("3.3", "not an int", 2_360_064),
    ("4.4", "n - 1", partial(twin, unbiased=True)), ("4.4", "mean is 0.000, not 5", partial(twin, mean=0)),
    ("4.4", "all of them together", partial(twin, dim=(0, 1, 2))), ("4.4", "is 4.000, not 2", partial(twin, std=4)),
    ("4.4", "opposite sign", partial(twin, std=-2)), ("4.4", "output is another", twin_of_others),
    ("4.4", "make a new one", twin_in_place), ("4.4", "return a tensor, not a list", lambda x: twin(x).tolist()),
    ("4.4", "shape must stay", lambda x: twin(x)[0]), ("4.4", "mean is .*, not 5", lambda x: x),
    ("4.1", "number of tensors", lambda module: len(list(module.parameters()))),
    ("4.1", "are the biases counted", count_weights), ("4.1", "layers inside of layers", count_children),
    ("4.1", "first dimension", lambda module: sum(len(p) for p in module.parameters())),
    ("4.1", "number of bytes", lambda module: sum(p.nbytes for p in module.parameters())),
    ("4.1", "no gradient", count_trainable), ("4.1", "two layers share", count_twice),
    ("4.1", "buffers", count_state), ("4.1", "4722432 for every module", lambda module: 4_722_432),
    ("4.1", "not a float", lambda module: float(count_parameters(module))),
    ("4.1", "not a Sequential", lambda module: module), ("4.1", "not a str", lambda m: f"{count_parameters(m):,}"),
    ("4.1", "count them on paper", lambda module: count_parameters(module) + 1),
    ("4.1", "raised IndexError", lambda module: sum(p.shape[0] * p.shape[1] for p in module.parameters())),
    ("4.2", "xl: n_layers must not be 36;", {**CONFIGS, "xl": config(1600, 36, 25)}),
    ("4.2", "large: n_heads must not be 12 .still", {**CONFIGS, "large": config(1280, 36, 12)}),
    ("4.2", "medium: n_layers and n_heads are swapped", {**CONFIGS, "medium": config(1024, 16, 24)}),
    ("4.2", "'xl' is missing", {"medium": CONFIGS["medium"], "large": CONFIGS["large"]}),
    ("4.2", "medium lacks context_length, drop_rate", {**CONFIGS, "medium": {"emb_dim": 1024, "n_layers": 24}}),
    ("4.2", "medium is one dictionary under several names", configs_of_one_dictionary()),
    ("4.2", "context_length must not be 256", {name: {**c, "context_length": 256} for name, c in CONFIGS.items()}),
    ("4.2", "qkv_bias must not be True", {name: {**c, "qkv_bias": True} for name, c in CONFIGS.items()}),
    ("4.2", "must be a dict, not a tuple", {name: (1024, 24, 16) for name in CONFIGS}),
    ("4.2", "a dict of configurations, not a list", list(CONFIGS.values())),
    ("4.3", "the attention dropout of block 0 has the shortcut rate",
     lambda cfg, a, b, c: build_with_dropouts(cfg, a, c, b)),
    ("4.3", "attention dropout of block 0 has the embedding",
     lambda cfg, a, *_: learner.GPTModel({**cfg, "drop_rate": a})),
    ("4.3", "embedding dropout still has", lambda cfg, *_: learner.GPTModel(cfg)),
    ("4.3", "attention dropout of block 0 still has", build_without_attention),
    ("4.3", "attention dropout of block 1 still has", build_first_block_only),
    ("4.3", "embedding dropout is 0.7, a rate", lambda cfg, a, b, c: build_with_dropouts(cfg, 0.7, b, c)),
    ("4.3", "change a copy", build_and_change_cfg), ("4.3", "other sizes", build_the_notebooks),
    ("4.3", "return a GPTModel, not a dict", lambda cfg, *_: cfg), ("4.3", "cannot assign", build_with_a_number),
    ("4.3", "raised TypeError", lambda cfg: build_with_dropouts(cfg, 0.1, 0.1, 0.1)),
    ("5.7", "mind the sign", lambda logits, targets: -surprises(logits, targets)),
    ("5.7", "the log is missing", lambda logits, targets: torch.exp(-surprises(logits, targets))),
    ("5.7", "bits", lambda logits, targets: surprises(logits, targets) / math.log(2)),
    ("5.7", "without the average", lambda logits, targets: surprises(logits, targets).mean()),
    ("5.7", "some p has become 0", surprises_in_two_steps), ("5.7", "over the vocabulary", surprises_over_tokens),
    ("5.7", "no softmax", lambda logits, targets: -logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1)),
    ("5.7", "changes the logits", surprises_in_place), ("5.7", "a tensor, not a list", lambda *_: [1.0, 2.0]),
    ("5.7", "must be that of the targets", lambda logits, targets: surprises(logits, targets).flatten()),
    ("5.7", "not the surprises", lambda logits, targets: surprises(logits, targets) + 1),
    ("5.1", "do you use yours", lambda logits, temperature, index, n: sampled_share(logits, 1.0, index, n)),
    ("5.1", "does the opposite", lambda logits, t, index, n: sampled_share(logits, 1 / t, index, n)),
    ("5.1", "no count divided by n", share_of_probability), ("5.1", "no count divided by n", share_of_a_thousand),
    ("5.1", "all the other", lambda *arguments: 1 - sampled_share(*arguments)),
    ("5.1", "between 0 and 1", lambda *arguments: 10_007 * sampled_share(*arguments)),
    ("5.1", "share of index 6, not of 4", lambda logits, t, index, n: sampled_share(logits, t, 6, n)),
    ("5.1", "always take the best", share_greedy), ("5.1", "changes the logits", share_in_place),
    ("5.1", "without replacement", share_without_replacement),
    ("5.1", "return one number", lambda logits, t, index, n: torch.softmax(logits / t, dim=-1)),
    ("5.1", "return one number", lambda logits, t, index, n: [sampled_share(logits, t, index, n)]),
    ("5.2", "facts: 2.5 words are in play, too many", pick(1.0, 9), pick(5, 9)),
    ("5.2", "facts: .* too many", pick(2.0, 3), pick(5, 9)),
    ("5.2", "ideas: top_k keeps 3 words", pick(0.1, 9), pick(5, 3)),
    ("5.2", "ideas: only 2.5 words .* temperature is too low", pick(0.1, 9), pick(1.0, 9)),
    ("5.2", "swapped", pick(5, 9), pick(0.1, 9)), ("5.2", "top_k cannot be 50", pick(0.1, 50), pick(5, 50)),
    ("5.2", "prefer the worst", pick(-1.0, 9), pick(5, 9)), ("5.2", "not a float", pick(0.1, 2.5), pick(5, 9)),
    ("5.2", "temperature must be a number", pick("low", 1), pick("high", 9)),
    ("5.2", "facts: give a dict", 0.1, 5), ("5.2", "facts: give a dict", {"temperature": 0.0}, pick(5, 9)),
    ("5.3", "leaves 40 words to draw from", [GREEDY, pick(5.0, 40)]),
    ("5.3", "leaves 2 words to draw from", [GREEDY, pick(0.01, 2)]),
    ("5.3", "rare, but not impossible", [GREEDY, {"temperature": 0.01}]),
    ("5.3", "rare, but not impossible", [{"temperature": 1e-6}, GREEDY]),
    ("5.3", "another way", [GREEDY, {"top_k": 5}]), ("5.3", "another way", [{}, pick(0.0, 1)]),
    ("5.3", "at least two", [pick(1.0, 1)]), ("5.3", "the same", [GREEDY, {"temperature": 0}]),
    ("5.3", "list of dicts", {"temperature": 0.0, "top_k": 1}), ("5.3", "list of dicts", [0.0, 1.0]),
    ("5.3", "raised TypeError", [GREEDY, {"temp": 1.0}]),
    ("5.4", "was the checkpoint loaded", partial(one_more_epoch, load_model=False)),
    ("5.4", "was the checkpoint loaded", epoch_loaded_late),
    ("5.4", "was its state loaded", partial(one_more_epoch, load_optimizer=False)),
    ("5.4", "gradients of earlier batches", partial(one_more_epoch, zero=False)),
    ("5.4", "never change", partial(one_more_epoch, step=False)), ("5.4", "eval mode", epoch_in_eval_mode),
    ("5.4", "first loss is not that of the first batch", epoch_with_loss_after_step),
    ("5.4", "later ones are not", lambda path, m, o, loader: one_more_epoch(path, m, o, [*loader[:2], *loader[:2]])),
    ("5.4", "one number per batch, not a float", epoch_mean),
    ("5.4", "1 for 4 batches", lambda path, m, o, loader: one_more_epoch(path, m, o, loader)[:1]),
    ("5.4", "8 for 4 batches", lambda path, m, o, loader: one_more_epoch(path, m, o, loader * 2)),
    ("5.4", "one number per batch", lambda path, model, optimizer, loader: loader),
    ("5.5", "dropout was on", losses_with_dropout), ("5.5", "dropout was on", losses_half_with_dropout),
    ("5.5", "not all batches .* called 10 times for 20", losses_of_some_batches),
    ("5.5", "first the training loss", change_losses(lambda a, b, *_: (b, a))),
    ("5.5", "sums", change_losses(lambda a, b, m, n: (a * m, b * n))),
    ("5.5", "perplexities", change_losses(lambda a, b, *_: (np.exp(a), np.exp(b)))),
    ("5.5", "not those of the model", losses_of_another_model), ("5.5", "not those of", lambda *_: (3.75, 3.56)),
    ("5.5", "two numbers", change_losses(lambda a, b, *_: (a + b) / 2)),
    ("5.5", "not the mean losses", change_losses(lambda a, b, *_: (a, a))),
    ("5.6", "switch qkv_bias on", lambda settings: config_from_settings(settings, qkv_bias=False)),
    ("5.6", "context_length is 1024, whatever", lambda settings: config_from_settings(settings, context_length=1024)),
    ("5.6", "n_heads holds the settings' n_layer",
     lambda s: config_from_settings(s, n_heads=s["n_layer"], n_layers=s["n_head"])),
    ("5.6", "also needs vocab_size, context_length", lambda settings: {"emb_dim": settings["n_embd"]}),
    ("5.6", "it knows no other names", lambda settings: settings), ("5.6", "raised KeyError", config_by_size),
    ("5.6", "needs drop_rate:", lambda s: {k: v for k, v in config_from_settings(s).items() if k != "drop_rate"}),
    ("5.6", "make a new dict", config_with_changed_settings), ("5.6", "make a new one", config_of_one_dictionary),
    ("5.6", "vocab_size is 50257, whatever", lambda _: dict(course.GPT_CONFIG_124M)),
    ("5.6", "not a GPTModel", lambda settings: learner.GPTModel(config_from_settings(settings))),
    ("A.1", "no-such-package is absent", partial(not_as_pinned, absent="ignored")),
    ("A.1", "raised PackageNotFoundError", not_as_pinned_without_try),
    ("A.1", "installed as .*, not as", lambda lines: not_as_pinned(lines, same=lambda installed, pinned: True)),
    ("A.1", "every part .* counts", partial(not_as_pinned, same=first_two_parts)),
    ("A.1", "because it begins alike", partial(not_as_pinned, same=str.startswith)),
    ("A.1", "torch is installed as", partial(not_as_pinned, same=str.__eq__)),
    ("A.1", "newer version .* too", partial(not_as_pinned, same=lambda installed, pinned: installed >= pinned)),
    ("A.1", "older version .* too", partial(not_as_pinned, same=pinned_begins_with_it)),
    ("A.1", "wanted are the others", lambda lines: [name for name in ("numpy", "tiktoken", "tqdm")]),
    ("A.1", "all installed", lambda lines: ["torch"]),
    ("A.1", "without the versions", lambda lines: [line for line in lines if not_as_pinned([line])] or list(lines)),
    ("A.1", "list of names, not an int", lambda lines: len(not_as_pinned(lines))),
    ("A.1", "is its `return` missing", lambda lines: print(end="")),
    ("A.2", "swapped", lambda *numbers: gradients(*numbers)[::-1]),
    ("A.2", "multiplied on its way", partial(gradients, by_w=lambda x: 1)),
    ("A.2", "missing, the tanh", partial(gradients, tanh=lambda a: 1)),
    ("A.2", "missing, the square", partial(gradients, square=lambda a, y: 1)),
    ("A.2", "a factor is missing", partial(gradients, square=lambda a, y: a - y)),
    ("A.2", "signs are turned", partial(gradients, square=lambda a, y: 2 * (y - a))),
    ("A.2", "slope of the sigmoid", partial(gradients, tanh=lambda a: a * (1 - a))),
    ("A.2", "not the slope of the square", partial(gradients, square=lambda a, y: 2 * (a - y) ** 2)),
    ("A.2", "autograd finds other numbers", partial(gradients, tanh=lambda a: 1 + a**2)),
    ("A.2", "return two numbers", lambda *numbers: gradients(*numbers)[0]),
    ("A.3", "where are the biases", weights_of),
    ("A.3", "the input has no biases", lambda widths: weights_of(widths) + sum(widths)),
    ("A.3", "that it gives, not that it gets", lambda widths: weights_of(widths) + sum(widths[:-1])),
    ("A.3", "more than one bias", lambda widths: weights_of(widths) + len(widths) - 1),
    ("A.3", "last layer is missing", lambda widths: parameters_by_widths(widths[:-1])),
    ("A.3", "go layer by layer", lambda widths: 777), ("A.3", "where are the biases", math.prod),
    ("A.3", "changes the list", parameters_by_emptying), ("A.3", "one whole number", lambda widths: widths),
    ("A.4", "not its place", lambda *lists: lists[0].index(winning_size(*lists))),
    ("A.4", "once by luck", first_win),
    ("A.4", "not only at the next", first_of_two_wins),
    ("A.4", "where both need the same", lambda s, c, g: winning_size(s, [x + 1e-9 for x in c], g)),
    ("A.4", "who needs less time", lambda sizes, cpu, gpu: first_win(sizes, gpu, cpu)),
    ("A.4", "the smallest of the sizes", lambda sizes, cpu, gpu: max(sizes)),
    ("A.4", "from the first size on", lambda s, c, g: 0 if g and g[2] < c[2] else winning_size(s, c, g)),
    ("A.4", "never wins", winning_size_or(1024)), ("A.4", "is its `return` missing", winning_size_or(None)),
    ("A.4", "one of the sizes, or 0", lambda *lists: f"from {winning_size(*lists)} on"),
    ("A.4", "loses at the largest", lambda s, c, g: winning_size(s, c, g) or (8 if g and g[0] < c[0] else 0)),
    ("A.4", "without a GPU", lambda s, c, g: winning_size(s, c, g) if g else max(s)),
    ("A.4", "raised IndexError", lambda s, c, g: winning_size(s, c, g) if g[0] else 0),
    ("D.1", "never falls", lambda step, total, down, peak: peak),
    ("D.1", "is wasted", line(lambda left, down: (left - 1) / max(down - 1, 1) if down else 1)),
    ("D.1", "the last step is one", line(lambda left, down: (left - 1) / max(down, 1))),
    ("D.1", "the step after the last", line(lambda left, down: (left + 1) / (down + 1))),
    ("D.1", "the last steps only", lambda step, total, down, peak: peak * (total - step) / total),
    ("D.1", "where is the descent", line(lambda left, down: left <= down)),
    ("D.1", "your rates are", line(lambda left, down: 0.5)),
    ("D.1", "raised ZeroDivisionError", line(lambda left, down: left / down)),
    ("D.1", "one number", lambda step, total, down, peak: [peak]),
    ("D.2", "nothing was shortened", lambda gradients, max_norm: gradients),
    ("D.2", "by its own norm", lambda gradients, max_norm: [clip([g], max_norm)[0] for g in gradients]),
    ("D.2", "cut off by itself", lambda gradients, max_norm: [g.clamp(-max_norm, max_norm) for g in gradients]),
    ("D.2", "this has the norm 1", lambda gradients, max_norm: clip(gradients, 1.0)),
    ("D.2", "where is the root", partial(clip, norm=lambda gradients: sum(g.square().sum() for g in gradients))),
    ("D.2", "the sum of the entries", partial(clip, norm=lambda gradients: sum(g.sum() for g in gradients))),
    ("D.2", "squares have no sign", lambda gradients, max_norm: clip([g.clamp(min=0) for g in gradients], max_norm)),
    ("D.2", "left alone", lambda gradients, max_norm: [g * max_norm / clip_norm(gradients) for g in gradients]),
    ("D.2", "divided by zero", lambda gradients, max_norm: [
        g / clip_norm(gradients) * min(clip_norm(gradients), max_norm) for g in gradients]),
    ("D.2", "a list of tensors", lambda gradients, max_norm: torch.cat([g.flatten() for g in gradients])),
    ("D.2", "yours have the norm", lambda gradients, max_norm: clip(gradients, 3.0)),
    ("F.1", "the time is in hours", partial(tokens_in, seconds=1)),
    ("F.1", "goes backward as well", partial(tokens_in, training=False)),
    ("F.1", "where is the share", lambda cfg, hours, peak, share: tokens_in(cfg, hours, peak, 1)),
    ("F.1", "must mean fewer tokens", lambda cfg, hours, peak, share: tokens_in(cfg, hours, peak, 1 / share)),
    ("F.1", "those are texts", lambda cfg, *budget: tokens_in(cfg, *budget) / cfg["context_length"]),
    ("F.1", "divided among its tokens", lambda cfg, *budget: tokens_in(cfg, *budget) * cfg["context_length"]),
    ("F.1", "that is the napkin", tokens_by_napkin), ("F.1", "read full contexts", tokens_one_by_one),
    ("F.1", "those are the FLOPs", lambda cfg, hours, peak, share: 3600 * hours * peak * share),
    ("F.1", "go step by step", lambda cfg, hours, peak, share: tokens_in(cfg, hours, peak, share / 60)),
    ("F.1", "some tokens", lambda *budget: 0), ("F.1", "return one number", lambda *budget: [tokens_in(*budget)]),
    ("F.2", "does not look ahead", change_nesterov(lambda p, g, b, new, lr, m: (p - lr * new, new))),
    ("F.2", "does not look ahead", change_nesterov(lambda p, g, b, new, lr, m: (p - lr * (g + m * b), new))),
    ("F.2", "uphill", change_nesterov(lambda p, g, b, new, lr, m: (p + lr * (g + m * new), new))),
    ("F.2", "learning rate is missing", change_nesterov(lambda p, g, b, new, lr, m: (p - g - m * new, new))),
    ("F.2", "that is SGD", change_nesterov(lambda p, g, b, new, lr, m: (p - lr * g, new))),
    ("F.2", "only a part", change_nesterov(lambda p, g, b, new, lr, m: (p - lr * (g + new), new))),
    ("F.2", "gradient itself", change_nesterov(lambda p, g, b, new, lr, m: (p - lr * m * new, new))),
    ("F.2", "has not moved", change_nesterov(lambda p, g, b, new, lr, m: (p, new))),
    ("F.2", "look at the direction", change_nesterov(lambda p, g, b, new, lr, m: (p - lr * 2 * new, new))),
    ("F.2", "from before", change_nesterov(lambda p, g, b, new, lr, m: (p - lr * (g + m * new), b))),
    ("F.2", "goes further", change_nesterov(lambda p, g, b, new, lr, m: (p - lr * (g + m * new), g + m * new))),
    ("F.2", "no average", lambda p, g, b, lr, m: nesterov_step(p, (1 - m) * g, b, lr, m)),
    ("F.2", "forgets a part", lambda p, g, b, lr, m: nesterov_step(p, g, b / m, lr, m)),
    ("F.2", "swapped", lambda *step: nesterov_step(*step)[::-1]),
    ("F.2", "return two tensors", lambda *step: nesterov_step(*step)[0]),
    ("F.3", "parameters are there once", batch_by_division), ("F.3", "are too many", batch_by_activations),
    ("F.3", "are too many", lambda *case: largest_batch(*case) + 1),
    ("F.3", "are too few", lambda *case: max(largest_batch(*case) - 1, 0)),
    ("F.3", "not even one text fits", lambda *case: max(largest_batch(*case), 1)),
    ("F.3", "still fits", partial(largest_batch, fits=lambda peak, memory: peak < memory)),
    ("F.3", "fewer than 0", lambda *case: -1), ("F.3", "whole number", lambda *case: float(largest_batch(*case))),
    ("G.1", "leaves both", change_cache(lambda *_: 1 / 2)),
    ("G.1", "never asked again", change_cache(lambda *_: 3 / 2)),
    ("G.1", "each block", change_cache(lambda cfg, *_: 1 / cfg["n_layers"])),
    ("G.1", "share the width", change_cache(lambda cfg, *_: cfg["n_heads"])),
    ("G.1", "one head of each", change_cache(lambda cfg, *_: 1 / cfg["n_heads"])),
    ("G.1", "how many bytes", change_cache(lambda cfg, tokens, rows, size: 1 / size)),
    ("G.1", "bits", change_cache(lambda *_: 8)), ("G.1", "each row", change_cache(lambda cfg, t, rows, size: 1 / rows)),
    ("G.1", "one token leaves", change_cache(lambda cfg, tokens, rows, size: 1 / tokens)),
    ("G.1", "table of tokens", change_cache(lambda cfg, tokens, rows, size: tokens)),
    ("G.1", "could hold", change_cache(lambda cfg, tokens, rows, size: cfg["context_length"] / tokens)),
    ("G.1", "not one number", change_cache(lambda cfg, *_: 1 / cfg["emb_dim"])),
    ("G.1", "it is not", change_cache(lambda *_: 1.1)),
    ("G.1", "return one number", lambda *case: [cache_bytes(*case)]),
    ("G.2", "nothing was rounded", lambda matrix, bits: matrix),
    ("G.2", "those are the whole numbers", lambda matrix, bits: torch.round(
        matrix / matrix.abs().amax(dim=1, keepdim=True) * (2 ** (bits - 1) - 1))),
    ("G.2", "cut off", partial(round_rows, whole=torch.trunc)),
    ("G.2", "rounded down", partial(round_rows, whole=torch.floor)),
    ("G.2", "share one factor", partial(round_rows, largest=lambda rows: rows.abs().max())),
    ("G.2", "each column", partial(round_rows, largest=lambda rows: rows.abs().amax(dim=0))),
    ("G.2", "not 128", partial(round_rows, most=lambda bits: 2 ** (bits - 1))),
    ("G.2", "the sign", partial(round_rows, most=lambda bits: 2**bits - 1)),
    ("G.2", "With 4 to 7", partial(round_rows, most=lambda bits: bits)),
    ("G.2", "a negative one", lambda matrix, bits: torch.round(
        matrix / (step := matrix.amax(dim=1, keepdim=True) / (2 ** (bits - 1) - 1))) * step),
    ("G.2", "without a factor", lambda matrix, bits: torch.round(matrix)),
    ("G.2", "decimals", lambda matrix, bits: torch.round(matrix, decimals=bits)),
    ("G.2", "half a step is the most", lambda matrix, bits: round_rows(matrix, bits - 1)),
    ("G.2", "multiples of their row", lambda matrix, bits: round_rows(matrix, bits) + 0.01 * matrix.sign()
     * matrix.abs().amax(dim=1, keepdim=True) / 2**bits * (matrix < round_rows(matrix, bits))),
    ("G.2", "divided by zero", lambda matrix, bits: torch.round(
        matrix / (step := matrix.abs().amax(dim=1, keepdim=True) / (2 ** (bits - 1) - 1))) * step),
    ("G.2", "a tensor of floats", lambda matrix, bits: round_rows(matrix, bits).tolist()),
    ("H.1", "counts once", change_llama(lambda cfg, width: cfg["vocab_size"] * width)),
    ("H.1", "where is the embedding", change_llama(lambda cfg, width: -cfg["vocab_size"] * width)),
    ("H.1", "fewer heads", lambda cfg: llama_parameters(cfg, heads=cfg["n_heads"])),
    ("H.1", "more than one head", lambda cfg: llama_parameters(cfg, heads=1)),
    ("H.1", "output matrix", change_llama(lambda cfg, width: -cfg["n_layers"] * width**2)),
    ("H.1", "the gate", change_llama(lambda cfg, width: -cfg["n_layers"] * width * cfg["hidden_dim"])),
    ("H.1", "after the last block", change_llama(lambda cfg, width: -width)),
    ("H.1", "two norms", change_llama(lambda cfg, width: -width * cfg["n_layers"])),
    ("H.1", "norms have parameters", change_llama(lambda cfg, width: -width * (2 * cfg["n_layers"] + 1))),
    ("H.1", "no shift", change_llama(lambda cfg, width: width * (2 * cfg["n_layers"] + 1))),
    ("H.1", "angles", change_llama(lambda cfg, width: width * cfg["context_length"])),
    ("H.1", "how many blocks", lambda cfg: llama_parameters({**cfg, "n_layers": 1})),
    ("H.1", "is not what the model has", change_llama(lambda cfg, width: 1)),
    ("H.1", "whole number", lambda cfg: float(llama_parameters(cfg))),
    ("H.2", "nothing has changed", lambda logits, ids, penalty: logits),
    ("H.2", "divided, makes", partial(penalise_repeats, below=lambda x, p: x / p)),
    ("H.2", "multiplied, makes", partial(penalise_repeats, above=lambda x, p: x * p)),
    ("H.2", "got likelier", lambda logits, ids, penalty: penalise_repeats(logits, ids, 1 / penalty)),
    ("H.2", "subtracted", partial(penalise_repeats, above=lambda x, p: x - p, below=lambda x, p: x - p)),
    ("H.2", "forbids", partial(penalise_repeats, above=lambda x, p: -torch.inf, below=lambda x, p: -torch.inf)),
    ("H.2", "did not occur", lambda logits, ids, penalty: penalise_repeats(logits, torch.arange(12), penalty)),
    ("H.2", "the others", lambda logits, ids, penalty: penalise_repeats(
        logits, torch.tensor(sorted(set(range(12)) - set(ids.tolist()))), penalty)),
    ("H.2", "punished once", penalise_each_time), ("H.2", "work on a copy", penalise_in_place),
    ("H.2", "those that stay", partial(penalise_repeats, below=lambda x, p: x)),
    ("H.2", "a tensor of", lambda *case: penalise_repeats(*case).tolist()),
    ("6.1", "enough for all", lambda texts, tokenizer, share: length_for(texts, tokenizer, 1.0)),
    ("6.1", "characters", partial(length_by_rank, measure=len)),
    ("6.1", "those are words", partial(length_by_rank, measure=lambda text: len(text.split()))),
    ("6.1", "share of the longest", lambda texts, tokenizer, share: round(length_for(texts, tokenizer, 1.0) * share)),
    ("6.1", "order makes no difference", length_unsorted),
    ("6.1", "is not cut", lambda *case: length_for(*case) + 1),
    ("6.1", "too few", partial(length_by_rank, rank=lambda n, share: max(1, int(n * share)))),
    ("6.1", "a smaller number would do", partial(length_for, enough=lambda whole, n, share: whole / n > share + 0.2)),
    ("6.1", "a smaller number would do", lambda *case: length_for(*case) + 2),
    ("6.1", "but for rounding", partial(length_by_rank, rank=lambda n, share: math.ceil(n * share))),
    ("6.1", "whole number", lambda *case: float(length_for(*case))),
    ("6.1", "encode_ordinary", lambda texts, tokenizer, share: max(len(tokenizer.encode(text)) for text in texts)),
    ("6.2", "how many bytes", change_bytes(lambda n, m: n + 3 * m)),
    ("6.2", "bits", change_bytes(lambda n, m: 8 * (4 * n + 12 * m))),
    ("6.2", "four bytes a number", change_bytes(lambda n, m: 2 * n + 6 * m)),
    ("6.2", "optimizer knows nothing", change_bytes(lambda n, m: 16 * n)),
    ("6.2", "frozen has no gradient$", change_bytes(lambda n, m: 8 * n + 8 * m)),
    ("6.2", "lie in memory as well", change_bytes(lambda n, m: 16 * m)),
    ("6.2", "weights themselves", change_bytes(lambda n, m: 12 * m)),
    ("6.2", "before training", change_bytes(lambda n, m: 4 * n)),
    ("6.2", "two more numbers", change_bytes(lambda n, m: 4 * n + 4 * m)),
    ("6.2", "gradient, too", change_bytes(lambda n, m: 4 * n + 8 * m)),
    ("6.2", "counted twice", change_bytes(lambda n, m: 4 * n + 16 * m)),
    ("6.2", "state alone", change_bytes(lambda n, m: 8 * m)),
    ("6.2", "with two names", bytes_of_names), ("6.2", "with two names", bytes_of_the_state),
    ("6.2", "is not right", change_bytes(lambda n, m: 4 * n + 12 * m + 3)),
    ("6.2", "whole number", change_bytes(lambda n, m: [4 * n, 12 * m])),
    ("6.3", "those are texts", change_best(lambda counts, n: sum(map(max, counts)))),
    ("6.3", "in percent", change_best(lambda counts, n: 100 * sum(map(max, counts)) / n)),
    ("6.3", "gets wrong", change_best(lambda counts, n: sum(map(min, counts)) / n)),
    ("6.3", "one answer for all", change_best(lambda counts, n: max(map(sum, zip(*counts, strict=True))) / n)),
    ("6.3", "mean over the tokens", change_best(
        lambda counts, n: sum(max(count) / sum(count) for count in counts) / len(counts))),
    ("6.3", "is not lost", change_best(lambda counts, n: sum(max(count) for count in counts if not min(count)) / n)),
    ("6.3", "with a tie", change_best(
        lambda counts, n: sum(max(count) for count in counts if min(count) < max(count)) / n)),
    ("6.3", "different tokens", change_best(lambda counts, n: len(counts) / n)),
    ("6.3", "always answers 1", change_best(lambda counts, n: sum(ones for _, ones in counts) / n)),
    ("6.3", "last label", best_by_rule), ("6.3", "first label", partial(best_by_rule, order=-1)),
    ("6.3", "come again later", best_of_runs), ("6.3", "turn them into ints", best_by_loop),
    ("6.3", "is not the best", change_best(lambda counts, n: 0.99)),
    ("6.3", "a share", change_best(lambda counts, n: {"share": 1})),
    ("7.1", "those are letters", partial(score_count, count=len)),
    ("7.1", "one word more than gaps", partial(score_count, count=lambda text: text.count(" "))),
    ("7.1", "two spaces in a row", partial(score_count, count=lambda text: len(text.split(" ")))),
    ("7.1", "two spaces in a row", partial(score_count, count=lambda text: text.count(" ") + 1)),
    ("7.1", "apostrophe", partial(score_count, count=lambda text: len(re.findall(r"\w+", text)))),
    ("7.1", "not 5 words", partial(score_count, count=lambda text: len(text.split()) + 1)),
    ("7.1", "return \"right\", \"wrong\" or \"form\", not True", lambda example, answer: True),
    ("7.1", "no number from 0 to 89", lambda example, answer: "form"),
    ("7.1", "both right", lambda example, answer: "right"),
    ("7.1", "another number is wrong, but", lambda *case: {"wrong": "form"}.get(score_by_asking(*case), "right")),
    ("7.1", "may be written out:?", partial(score_count, numbers=[])),
    ("7.1", "up to twelve", partial(score_count, numbers=COUNTS[:10])),
    ("7.1", "written out as well", score_without_words_that_are_wrong),
    ("7.1", "new lines around", partial(score_count, tidy=lambda text: text.removesuffix("."))),
    ("7.1", "final full stop does not", partial(score_count, tidy=str.strip)),
    ("7.1", "capital letters", partial(score_count, tidy=lambda text: re.sub("[A-Z]", "#", text.strip(" .\n")))),
    ("7.1", "both at once", partial(score_count, tidy=lambda text: text.removesuffix(".").strip())),
    ("7.1", "no answer at all", lambda example, answer: score_by_asking(example, answer) if answer else "wrong"),
    ("7.1", "stop alone", lambda example, answer: score_by_asking(example, answer) if answer != "." else "wrong"),
    ("7.1", "more than a number", partial(score_count, search=re.match)),
    ("7.1", "more than a number", partial(score_count, search=re.search)),
    ("7.1", "4 and 84 are both right", score_inside),
    ("7.1", "word that is no number", lambda *case: "wrong" if case[1] == "many" else score_by_asking(*case)),
    ("7.1", "fourteen only begins", score_by_beginning),
    ("7.2", "left out$", change_learned(keep=torch.eq)),
    ("7.2", "columns' numbers", change_learned(count=lambda kept: kept.sum(dim=0))),
    ("7.2", "may have the number 0", change_learned(keep=lambda targets, _: targets > 0)),
    ("7.2", "an answer's end", change_learned(keep=lambda targets, ignored: (targets != ignored) & (targets != 50256))),
    ("7.2", "row with the number 0", change_learned(count=lambda kept: [n for n in kept.sum(dim=1).tolist() if n])),
    ("7.2", "another number than", change_learned(keep=lambda targets, _: targets != -100)),
    ("7.2", "shares of the rows", change_learned(count=lambda kept: kept.double().mean(dim=1))),
    ("7.2", "first learned token", change_learned(count=lambda kept: kept.sum(dim=1) - 1)),
    ("7.2", "your list has 3 numbers", change_learned(count=lambda kept: [1, 2, 3])),
    ("7.2", "are learned$", change_learned(count=lambda kept: kept.sum(dim=1) + 1)),
    ("7.2", "return two things", lambda targets, ignore_index=-100: (targets != ignore_index).double().mean()),
    ("7.2", "return two things", lambda targets, ignore_index=-100: [1, 2, 3]),
    ("7.2", "first the list", lambda *case: learned_share(*case)[::-1]),
    ("7.2", "second value is one number", change_learned(share=lambda kept: kept.double().mean(dim=1))),
    ("7.2", "in percent", change_learned(share=lambda kept: 100 * kept.double().mean())),
    ("7.2", "share that is left out", change_learned(share=lambda kept: 1 - kept.double().mean())),
    ("7.2", "how many are learned", change_learned(share=torch.sum)),
    ("7.2", "compares learned places", change_learned(share=lambda kept: kept.sum() / (~kept).sum())),
    ("7.2", "mean number per row", change_learned(share=lambda kept: kept.sum() / len(kept))),
    ("7.2", "once too often", change_learned(share=lambda kept: kept.double().mean() / len(kept))),
    ("7.2", "places of one row", change_learned(share=lambda kept: kept.sum() / kept.shape[1])),
    ("7.2", "has places, too", change_learned(share=lambda kept: kept[kept.any(dim=1)].double().mean())),
    ("7.2", "places is not 0.5", change_learned(share=lambda kept: 0.5)),
    ("7.3", "not sorted", lambda lengths, size: count_filler(sorted(lengths), size)),
    ("7.3", "have changed", filler_sorted_in_place),
    ("7.3", "of its own examples", lambda lengths, size: len(lengths) * max(lengths) - sum(lengths)),
    ("7.3", "also if it is smaller", lambda lengths, size: count_filler(lengths[: len(lengths) // size * size], size)),
    ("7.3", "hold no filler", lambda lengths, size: change_filler(
        lambda batch: max(batch) * size - sum(batch))(lengths, size)),
    ("7.3", "those are all places", change_filler(lambda batch: max(batch) * len(batch))),
    ("7.3", "those are the tokens", change_filler(sum)),
    ("7.3", "end token", change_filler(lambda batch: sum(max(batch) + 1 - length for length in batch))),
    ("7.3", "not only the shortest", change_filler(lambda batch: max(batch) - min(batch))),
    ("7.3", "how many batches there are", lambda lengths, size: count_filler(lengths, math.ceil(len(lengths) / size))),
    ("7.3", "first batch alone", lambda lengths, size: count_filler(lengths[:size], size)),
    ("7.3", "the other way round", change_filler(lambda batch: sum(batch) - max(batch) * len(batch))),
    ("7.3", "is too many", lambda *case: count_filler(*case) + 2),
    ("7.3", "is too few", lambda *case: count_filler(*case) - 1),
    ("7.3", "whole number of places", lambda *case: count_filler(*case) / 3),
    ("7.4", "mean over the tokens", change_loss(lambda losses, counts: losses.sum() / counts.sum())),
    ("7.4", "neither in the sum", change_loss(lambda losses, counts: losses.mean())),
    ("7.4", "examples' sums", change_loss(lambda losses, counts: losses.sum(dim=1).mean())),
    ("7.4", "wanted is their mean", change_loss(lambda losses, counts: (losses.sum(dim=1) / counts).sum())),
    ("7.4", "sum over all tokens", change_loss(lambda losses, counts: losses.sum())),
    ("7.4", "where is the minus", change_loss(lambda losses, counts: -(losses.sum(dim=1) / counts).mean())),
    ("7.4", "perplexity", change_loss(lambda losses, counts: (losses.sum(dim=1) / counts).mean().exp())),
    ("7.4", "those are bits", change_loss(lambda losses, counts: (losses.sum(dim=1) / counts).mean() / math.log(2))),
    ("7.4", "softmax once too often", loss_of_probabilities), ("7.4", "not even as a token 0", loss_with_zeros),
    ("7.4", "another number than", lambda logits, targets, ignore_index=-100: loss_by_example(logits, targets)),
    ("7.4", "median", change_loss(lambda losses, counts: (losses.sum(dim=1) / counts).median())),
    ("7.4", "first example", change_loss(lambda losses, counts: losses[0].sum() / counts[0])),
    ("7.4", "last example", change_loss(lambda losses, counts: losses[-1].sum() / counts[-1])),
    ("7.4", "not a number", change_loss(lambda losses, counts: math.nan)),
    ("7.4", "is not the mean", change_loss(lambda losses, counts: 0.1)),
    ("7.4", "one number", change_loss(lambda losses, counts: losses.sum(dim=1) / counts)),
    ("7.4", "have changed", loss_that_scales),
    ("E.1", "less than the share", partial(rank_for, more=-1)),
    ("E.1", "not the values themselves", partial(rank_for, worth=lambda values: values)),
    ("E.1", "squared twice", partial(rank_for, worth=lambda values: values**4)),
    ("E.1", "smaller rank", lambda change, share: int(torch.linalg.matrix_rank(change))),
    ("E.1", "largest singular values come first", partial(rank_for, worth=lambda values: values.flip(0).square())),
    ("E.1", "highest rank", lambda change, share: min(change.shape)),
    ("E.1", "one less would do", partial(rank_for, more=1)),
    ("E.1", "not the smallest rank", lambda change, share: 40),
    ("E.1", "whole number", lambda change, share: change),
    ("E.2", "how many blocks", lambda cfg, *rest: lora_parameters({**cfg, "n_layers": 1}, *rest)),
    ("E.2", "rank columns", change_lora(lambda i, o, rank: i + o)),
    ("E.2", "not twice in both", change_lora(lambda i, o, rank: rank**2 * (i + o))),
    ("E.2", "what is frozen", change_lora(lambda i, o, rank: i * o)),
    ("E.2", "fewer heads", lambda cfg, *rest: lora_parameters(cfg, *rest, heads=cfg["n_heads"])),
    ("E.2", "A alone", change_lora(lambda i, o, rank: rank * i)),
    ("E.2", "B alone", change_lora(lambda i, o, rank: rank * o)),
    ("E.2", "given names", lambda cfg, rank, layers=None: lora_parameters(cfg, rank)),
    ("E.2", "output head", lambda cfg, rank, *layers: lora_parameters(cfg, rank, *layers) + rank * (
        cfg["emb_dim"] + cfg["vocab_size"])),
    ("E.2", "not what LoRA adds", lambda cfg, rank, *layers: lora_parameters(cfg, rank, *layers) + 1),
    ("E.2", "whole number", lambda cfg, rank, *layers: float(lora_parameters(cfg, rank, *layers))),
    ("E.3", "where are the scales", partial(both_at_once, scales=lambda s1, s2: (1, 1))),
    ("E.3", "counts twice", partial(both_at_once, in_a="both")),
    ("E.3", "scale of its own", partial(both_at_once, scales=lambda s1, s2: (s1, s1))),
    ("E.3", "exchanged", partial(both_at_once, scales=lambda s1, s2: (s2, s1))),
    ("E.3", "second adapter", partial(both_at_once, scales=lambda s1, s2: (s1, 0))),
    ("E.3", "first adapter", partial(both_at_once, scales=lambda s1, s2: (0, s2))),
    ("E.3", "also multiply", both_added), ("E.3", "the rank is 6", both_of_full_rank),
    ("E.3", "as many rows of B", lambda first, second: (torch.cat([first[0], second[0]], dim=1), first[1])),
    ("E.3", "a row for each input", lambda first, second: (first[1], first[0])),
    ("E.3", "two matrices", lambda first, second: first[0]),
    ("E.3", "two matrices", lambda first, second: (first[0][0], first[1])),
    ("E.3", "not the sum", lambda first, second: tuple(2 * part for part in both_at_once(first, second))),
    ("I.1", "several", change_chance(lambda s, b, r: s**r)),
    ("I.1", "do not meet", change_chance(lambda s, b, r: (1 - s**r) ** b)),
    ("I.1", "exceeds 1", change_chance(lambda s, b, r: b * s**r)),
    ("I.1", "in all bands", change_chance(lambda s, b, r: s ** (r * b))),
    ("I.1", "all rows must agree", change_chance(lambda s, b, r: 1 - (1 - s) ** b)),
    ("I.1", "any row agrees", change_chance(lambda s, b, r: 1 - (1 - s) ** (b * r))),
    ("I.1", "rows agrees; all", change_chance(lambda s, b, r: 1 - (1 - s) ** r)),
    ("I.1", "changed places", change_chance(lambda s, b, r: 1 - (1 - s**b) ** r)),
    ("I.1", "one band differs", change_chance(lambda s, b, r: 1 - s**r)),
    ("I.1", "percent", change_chance(lambda s, b, r: 100 * chance_to_meet(s, b, r))),
    ("I.1", "is not the probability", change_chance(lambda s, b, r: 0.9)),
    ("I.1", "return one number", change_chance(lambda *case: [chance_to_meet(*case)])),
    ("I.2", "still the same", lambda ids, merges, size: ids),
    ("I.2", "taken apart once", with_fewer_once),
    ("I.2", "those are bytes", lambda ids, merges, size: with_fewer(ids, merges, 256)),
    ("I.2", "one token too many", lambda ids, merges, size: with_fewer(ids, merges, size + 1)),
    ("I.2", "one token too few", lambda ids, merges, size: with_fewer(ids, merges, max(256, size - 1))),
    ("I.2", "wrong order", lambda ids, merges, size: with_fewer(ids, [pair[::-1] for pair in merges], size)),
    ("I.2", "text is lost", lambda ids, merges, size: [number for number in ids if number < size]),
    ("I.2", "is left", lambda ids, merges, size: [*with_fewer(ids, merges, size), size]),
    ("I.2", "another text", lambda ids, merges, size: with_fewer(ids, merges, size)[::-1]),
    ("I.2", "whole numbers", lambda ids, merges, size: list(map(str, with_fewer(ids, merges, size)))),
    ("I.2", "a list of ids", lambda ids, merges, size: len(ids)),
    ("I.3", "also has its end token", partial(padding_share, ends=0)),
    ("I.3", "no padding", partial(padding_share, counted=0)),
    ("I.3", "places in the rows", partial(padding_share, ends=0, counted=1)),
    ("I.3", "one end token, not two", partial(padding_share, ends=2)),
    ("I.3", "divides by the tokens", partial(padding_share, divide=lambda padding, places, tokens: padding / tokens)),
    ("I.3", "divides by the tokens", lambda lengths, n: padding_share(
        lengths, n, divide=lambda padding, *_: padding / sum(lengths))),
    ("I.3", "share of the tokens", partial(padding_share, divide=lambda padding, places, tokens: tokens / places)),
    ("I.3", "cut to one row", padding_if_cut),
    ("I.3", "several rows, not one", change_padding(lambda length, n, taken: 1)),
    ("I.3", "one row too many", change_padding(lambda length, n, taken: length // n + 1)),
    ("I.3", "fills it in part", change_padding(lambda length, n, taken: length // n)),
    ("I.3", "as many as the longest", change_padding(lambda length, n, taken: math.ceil(max(taken) / n))),
    ("I.3", "mean of the documents", lambda lengths, n: np.mean([padding_share([length], n) for length in lengths])),
    ("I.3", "packed end to end", lambda lengths, n: padding_share([sum(lengths) + len(lengths) - 1], n)),
    ("I.3", "percent", partial(padding_share, divide=lambda padding, places, tokens: 100 * padding / places)),
    ("I.3", "how many places", partial(padding_share, divide=lambda padding, *_: padding)),
    ("I.3", "is not the share", lambda lengths, n: 0.9),
    ("I.3", "return one number", lambda lengths, n: [padding_share(lengths, n)]),
    ("I.4", "number of tokens", lambda law, flops: flops / 6 / best_size(law, flops)),
    ("I.4", "number of tokens", partial(size_by_trying, pick=lambda sizes, tokens, losses: tokens[losses.argmin()])),
    ("I.4", "how many operations", partial(best_size, operations=1)),
    ("I.4", "alpha and beta", change_law(alpha="beta", beta="alpha")),
    ("I.4", "alpha and beta", lambda law, flops: (law["alpha"] * law["A"] / (law["beta"] * law["B"])) ** (
        1 / (law["alpha"] + law["beta"])) * (flops / 6) ** (law["alpha"] / (law["alpha"] + law["beta"]))),
    ("I.4", "A and B", change_law(A="B", B="A")),
    ("I.4", "equally large", lambda law, flops: best_size({**law, "A": law["A"] * law["beta"] / law["alpha"]}, flops)),
    ("I.4", "rule of thumb", lambda law, flops: (flops / 120) ** 0.5),
    ("I.4", "as many tokens as", lambda law, flops: (flops / 6) ** 0.5),
    ("I.4", "smallest loss; at how many", partial(size_by_trying, pick=lambda sizes, tokens, losses: losses.min())),
    ("I.4", "stays the same", lambda law, flops: best_size(law, 6)), ("I.4", "stays the same", lambda *case: 70e9),
    ("I.4", "next to no text", partial(size_by_trying, pick=lambda sizes, *_: sizes[-1])),
    ("I.4", "so small a model", lambda law, flops: math.log(flops)),
    ("I.4", "a smaller model has less", lambda law, flops: 1.1 * best_size(law, flops)),
    ("I.4", "a larger model has less", lambda law, flops: 0.9 * best_size(law, flops)),
    ("I.4", "is no number of parameters", lambda law, flops: -best_size(law, flops)),
    ("I.4", "is no number of parameters", lambda law, flops: math.nan),
    ("I.4", "return one number", partial(size_by_trying, pick=lambda sizes, tokens, losses: sizes)),
]
PARTIAL = [  # a `...` is left somewhere
    ("2.1", lambda text: (BPE.encode(text), ..., ...)), ("2.1", lambda text: [token for token in ...]),
    ("4.4", lambda x: ...), ("4.2", {**CONFIGS, "xl": ...}), ("4.2", {**CONFIGS, "xl": config(1600, ..., 25)}),
    ("2.2", {"max_length": 2, "stride": 2}, {"max_length": 8, "stride": 2}, {"max_length": 3, "stride": ...}),
    ("1.2", lambda tokens, left, right: [token for token in ...]), ("1.3", lambda *numbers: 6 * ...),
    ("4.3", lambda cfg, *rates: learner.GPTModel(...)), ("5.1", lambda logits, t, index, n: logits / ...),
    ("5.2", pick(0.1, 9), pick(..., 9)), ("5.3", [GREEDY, ...]), ("5.3", [GREEDY, pick(1.0, ...)]),
    ("5.4", lambda path, model, optimizer, loader: [..., ...]), ("5.5", lambda gpt, train, val, device: (0.0, ...)),
    ("5.6", lambda settings: config_from_settings(settings, qkv_bias=...)), ("A.2", lambda x, y, w, b: (..., ...)),
    ("A.4", lambda sizes, cpu_seconds, gpu_seconds: [size for size in ...]),
    ("D.1", lambda step, total_steps, decay_steps, peak_lr: peak_lr * ...),
    ("D.2", lambda gradients, max_norm: [gradient * ... for gradient in gradients]),
    ("F.1", lambda cfg, hours, peak, share: hours * ...), ("F.2", lambda p, grad, buffer, lr, momentum: (p, ...)),
    ("G.1", lambda cfg, tokens, rows, size: cfg["n_layers"] * ...), ("G.2", lambda matrix, bits: matrix / ...),
    ("H.1", lambda cfg: cfg["n_layers"] * ...), ("H.2", lambda logits, ids, penalty: logits / ...),
    ("6.1", lambda texts, tokenizer, share: len(texts) * ...), ("6.2", lambda classifier: 4 * ...),
    ("6.3", lambda ids, labels: [token for token in ...]),
    ("7.1", lambda example, answer: "right" if answer in ... else "form"), ("7.2", lambda targets: ([0], ...)),
    ("7.3", lambda lengths, batch_size: len(lengths) * ...), ("7.4", lambda logits, targets: logits.sum() / ...),
    ("E.1", lambda change, share: change * ...), ("E.2", lambda cfg, rank, layers=None: rank * ...),
    ("E.3", lambda first, second: (first[0], ...)),
    ("I.1", lambda share, bands, rows: share ** ...), ("I.2", lambda ids, merges, size: [number for number in ...]),
    ("I.3", lambda lengths, num_tokens: sum(lengths) / ...), ("I.4", lambda law, flops: law["alpha"] * ...),
]
SOLUTIONS = {  # what no message may contain
    "1.1": r"\*\*|log|\bn-th", "1.2": r"\[i", "1.3": r"\b6\b|864|\*",
    "2.1": r"\w*code\(", "2.2": r"\d", "3.1": r"\.T\b|\.mT|\.t\(|transpose\(", "3.2": r"\b1\b",
    "3.3": r"2,?360,?064|MultiHeadAttention\(", "4.4": r"keepdim|unbiased|correction|LayerNorm\(",
    "4.1": r"\b51\b|\b26\b|2,?360,?064|numel|nelement",
    "4.2": r"406,?212|838,?220|1,?637,?792|\b(1024|1280|1600)\b", "4.3": r"\.p\b|Dropout\(",
    "5.7": r"log_softmax|gather|cross_entropy",
    "5.1": r"multinomial|softmax|probabilit(y|ies) (is|are) ", "5.2": r"top_k\W+1\b|temperature\W+0\b",
    "5.3": r"'?top_k'?\W+1\b", "5.4": r"load_|zero_grad|\.step|\d\.\d", "5.5": r"eval\(|eval_mode|no_grad|\d\.\d",
    "5.6": r"settings\[",
    "A.1": r"version\(|\bexcept\b",
    "A.2": r"2 ?[·*]|1 ?[-−]|cosh",
    "A.3": r"\b(35|40|46|53|752|2,?123|2,?213)\b",
    "A.4": r"revers|last|before",
    "D.1": r"\bmin\(|left /|total_steps -",
    "D.2": r"sqrt|\*\* ?2|clip_grad|norm\(",
    "F.1": r"count_flops|\* ?3600|3600 ?\*",
    "F.2": r"[-+*] ?(lr|grad|buffer|momentum)",
    "F.3": r"estimate_memory|while",
    "G.1": r"n_layers|\b2 ?[·*]",
    "G.2": r"amax|clamp|\*\*|round\(|- ?1\b",
    "H.1": r"\b[23] ?[·*]|134,?515",
    "H.2": r"where\(|< ?0|> ?0|scatter",
    "6.1": r"ceil|sort|/ ?len|1e-|>=",
    "6.2": r"\b(4|12|16) ?[·*]|numel|twelve",
    "6.3": r"Counter|max\(|bincount|unique|setdefault",
    "7.1": r"split\(|strip|lower\(|fullmatch|isd",
    "7.2": r"sum\(|numel|!=",
    "7.3": r"max\(|sum\(|range\(",
    "7.4": r"cross_entropy|reduction|gather|sum\(",
    "E.1": r"cumsum|svdvals|<|>=",
    "E.2": r"n_kv_heads|\+|sum\(",
    "E.3": r"cat\(|hstack|dim=|\* ?b",
    "I.1": r"\*\*|1 ?[-−]|\bpower\b",
    "I.2": r"merges\[|- ?256|while|recurs",
    "I.3": r"ceil|//|\+ ?1\b|1 ?[-−]|sum\(",
    "I.4": r"\*\*|6 ?[·*]|/ ?6\b|argmin|alpha ?[·*]|derivative|slope",
}


def starters():
    """Return {number: what the starter cells of the chapters hand to the check}."""
    found = {}
    for path in notebook_paths(ROOT / "notebooks"):
        cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        for starter, cell in zip(cells, cells[1:], strict=False):
            if starter.source.startswith("# exercise "):
                namespace = {}
                exec(starter.source, namespace)
                number, names = re.search(r'^check\("(.+?)", (.+)\)$', cell.source, flags=re.MULTILINE).groups()
                found[number] = [namespace[name] for name in names.split(", ")]
    return found


STARTERS = starters()


def attempts(pairs):
    """Give every attempt at an exercise a readable id: its number and its place among those at that exercise."""
    seen, params = Counter(), []
    for number, *rest in pairs:
        seen[number] += 1
        params.append(pytest.param(number, *rest, id=f"{number}-{seen[number]}"))
    return params


def test_every_exercise_is_tried_often_enough():
    right, wrong = Counter(number for number, *_ in RIGHT), Counter(number for number, *_ in WRONG)
    assert list(STARTERS) == list(SOLUTIONS) == list(exercises.CHECKS)
    for number in exercises.CHECKS:
        assert right[number] >= 2, f"{number} has {right[number]} right answers"
        assert wrong[number] >= 3, f"{number} has {wrong[number]} wrong answers"
        hints = {hint for exercise, hint, *_ in WRONG if exercise == number}
        assert len(hints) >= 3, f"{number}: {hints}"


@pytest.mark.parametrize("number", STARTERS)
def test_a_starter_is_not_attempted(number, capsys):
    exercises.check(number, *STARTERS[number])
    assert capsys.readouterr().out == f"{number}: not attempted yet\n"


@pytest.mark.parametrize(("number", "attempt"), attempts((number, attempt) for number, *attempt in PARTIAL))
def test_a_partial_answer_is_not_attempted(number, attempt):
    assert exercises.judge(number, *attempt) == ("not attempted yet", "")


@pytest.mark.parametrize(("number", "attempt"), attempts((number, attempt) for number, *attempt in RIGHT))
def test_a_right_answer(number, attempt):
    status, message = exercises.judge(number, *attempt)
    assert status == "right", message
    assert message


@pytest.mark.parametrize(("number", "hint", "attempt"), attempts((n, hint, attempt) for n, hint, *attempt in WRONG))
def test_a_wrong_answer_gets_a_hint(number, hint, attempt):
    status, message = exercises.judge(number, *attempt)
    assert status == "not yet"
    assert re.search(hint, message), message
    assert not re.search(SOLUTIONS[number], message), f"gives the solution away: {message}"
    assert "\n" not in message and len(message) < 240
    assert hint.startswith(("raised", "cannot assign", "without replacement")) or "your code raised" not in message


def test_code_that_fails_is_reported():
    failure = "your code raised ZeroDivisionError: division by zero"
    assert exercises.judge("2.1", lambda text: 1 / 0) == ("not yet", failure)


def test_a_check_with_the_wrong_number_of_answers():
    expected = 'this exercise is checked with check("2.2", first, second, third)'
    assert exercises.judge("2.2", {"max_length": 2, "stride": 2}) == ("not yet", expected)


def test_an_unknown_exercise():
    with pytest.raises(ValueError, match="no exercise '9.9'.*2.1, 2.2"):
        exercises.check("9.9", 1)


@pytest.mark.parametrize("number", ["3.1", "5.1", "5.4"])
def test_a_check_leaves_the_random_numbers_alone(number):
    attempt = next(attempt for exercise, *attempt in RIGHT if exercise == number)
    torch.manual_seed(123)
    expected = torch.rand(3)
    torch.manual_seed(123)
    exercises.judge(number, *attempt)
    assert torch.equal(torch.rand(3), expected)


def test_no_attempt_has_changed_what_the_checks_share():
    fresh = second_copy_of(exercises)
    assert (exercises.TINY, exercises.RIDDLE) == (fresh.TINY, fresh.RIDDLE)
    assert course.GPT_CONFIG_124M == second_copy_of(course).GPT_CONFIG_124M
