"""Fetch OpenAI's GPT-2 checkpoints and read them into numpy arrays.

    settings, params = download_and_load_gpt2(model_size="124M", models_dir="gpt2")

Notable:
- A file gets its final name only when it is complete and verified, so a file under that name can be trusted without
  asking the network, and nobody ever reads half a file.
- What has arrived survives a cut line, Ctrl-C and a killed process. A download goes on from there only if the server
  says that it still has the same version of the file.
- The same weights in Hugging Face's format, a file model.safetensors, are used where they lie in that folder; they need
  neither TensorFlow nor a network.
"""

import errno
import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import requests
from filelock import FileLock, Timeout
from requests.adapters import HTTPAdapter, Retry
from tqdm import tqdm

MODEL_SIZES = {"124M": 12, "355M": 24, "774M": 36, "1558M": 48}  # the number of blocks of each
BASE_URLS = ("https://openaipublic.blob.core.windows.net/gpt-2/models",
             "https://f001.backblazeb2.com/file/LLMs-from-scratch/gpt2")
MIRROR_VARIABLE = "GPT2_MIRROR"  # one or more base addresses, separated by spaces, that take the place of BASE_URLS

DATA_FILE = "model.ckpt.data-00000-of-00001"
FILES = ("checkpoint", "encoder.json", "hparams.json", DATA_FILE, "model.ckpt.index", "model.ckpt.meta", "vocab.bpe")
KNOWN_SIZES = {"124M": dict(zip(FILES, (77, 1042301, 90, 497759232, 5215, 471155, 456318), strict=True))}  # bytes
KNOWN_SHA256 = {  # the tokenizer's files, the same for every model size
    "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
}
SETTINGS = ("n_vocab", "n_ctx", "n_embd", "n_head", "n_layer")

BLOCK = 1024 * 1024  # bytes read and written at a time
TIMEOUT = (10, 30)  # seconds to wait for a connection, and for a silent server
RETRIES = Retry(total=3, backoff_factor=1, status_forcelist=[408, 429, *range(500, 600)], raise_on_status=False,
                respect_retry_after_header=False)  # some servers ask for an hour; there is a backup
INSTEAD = "put model.safetensors from Hugging Face (for 124M that of openai-community/gpt2) into models_dir"


class DownloadError(OSError):
    """A file could not be had from any address; the message says why, and what the user can do."""


class Fault(Exception):
    """An address did not give the file, and would not if it were asked again; the message says why in a few words."""


class Interruption(Fault):
    """A file stopped on its way; asked again, the address may give the rest or the whole."""


# -------------------- Checkpoints --------------------


def download_and_load_gpt2(model_size, models_dir, base_urls=None):
    """Fetch one of OpenAI's GPT-2 checkpoints, unless it is there already, and read it.

    Where models_dir/model_size or models_dir holds a file model.safetensors, that is read, and nothing is fetched.

    Args:
        model_size: "124M", "355M", "774M" or "1558M".
        models_dir: the folder for the models; the files go to models_dir/model_size.
        base_urls: one base address or a sequence of them, tried in this order; BASE/124M/hparams.json is a file. By
            default those in the environment variable GPT2_MIRROR, else OpenAI's storage and then a backup.

    Returns:
        settings: a dict with the entries n_vocab, n_ctx, n_embd, n_head, n_layer.
        params: the weights, see `load_gpt2_params_from_tf_ckpt`.

    Raises:
        ValueError: the size is unknown, or the files are not a GPT-2 checkpoint of this size.
        ImportError: TensorFlow is missing, or does not start on this machine.
        DownloadError: a file could not be had from any address.
        OSError: the folder cannot be written, or the disk is full.
    """
    if model_size not in MODEL_SIZES:
        raise ValueError(f"model_size must be one of {', '.join(MODEL_SIZES)}, got {model_size!r}")
    model_dir = Path(models_dir).absolute() / model_size
    for file in (folder / "model.safetensors" for folder in (model_dir, model_dir.parent)):
        if file.exists():
            settings, params = load_gpt2_from_safetensors(file)
            if settings["n_layer"] != MODEL_SIZES[model_size]:
                raise ValueError(f"{file} has {settings['n_layer']} blocks, GPT-2 {model_size} has "
                                 f"{MODEL_SIZES[model_size]}; put it into a folder named after its size")
            return settings, params
    import_tensorflow()  # if it cannot be had, better now than after half a gigabyte
    bases = base_urls or os.environ.get(MIRROR_VARIABLE, "").split() or BASE_URLS
    urls = [f"{base.rstrip('/')}/{model_size}" for base in ([bases] if isinstance(bases, str) else bases)]
    for name in FILES:
        size = KNOWN_SIZES.get(model_size, {}).get(name)
        try:
            download_file([f"{url}/{name}" for url in urls], model_dir / name, size=size,
                          sha256=KNOWN_SHA256.get(name))
        except DownloadError as error:
            raise DownloadError(
                f"{error}\n- Or set the environment variable {MIRROR_VARIABLE} to the address of a web server with a "
                f"folder {model_size}.\n{model_dir} needs the files {', '.join(FILES)}.") from None
    settings = read_settings(model_dir / "hparams.json")
    return settings, load_gpt2_params_from_tf_ckpt(model_dir / "model.ckpt", settings)


def read_settings(path):
    """Read an hparams.json and return it as a dict; what it lacks is a ValueError."""
    try:
        settings = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); delete it and download it again") from error
    check_settings(settings, path)
    return settings


def check_settings(settings, source):
    """Raise a ValueError that names what is wrong, unless every setting is there as a positive int."""
    wrong = [name for name in SETTINGS if not isinstance(settings, dict) or type(settings.get(name)) is not int
             or settings[name] < 1]
    if wrong:
        raise ValueError(f"{source} must give a positive number for {', '.join(wrong)}")


def load_gpt2_params_from_tf_ckpt(ckpt_path, settings):
    """Read a TensorFlow checkpoint with OpenAI's names into nested dicts.

    Args:
        ckpt_path: the path that its files have in common, such as gpt2/124M/model.ckpt.
        settings: the contents of its hparams.json.

    Returns:
        A dict of float32 arrays: "wte" (n_vocab, n_embd), "wpe" (n_ctx, n_embd), "g" and "b" (n_embd,) of the last
        layer norm, and "blocks", a list with a dict per block: "attn" has "c_attn" and "c_proj", "mlp" has "c_fc" and
        "c_proj", each with "w" (n_in, n_out) and "b" (n_out,); "ln_1" and "ln_2" have "g" and "b" (n_embd,).

    Raises:
        ValueError: the file cannot be read, or its shapes are not those that the settings call for.
        ImportError: TensorFlow is missing.
    """
    check_settings(settings, "settings")
    tf = import_tensorflow()
    try:
        reader = tf.train.load_checkpoint(str(ckpt_path))
        check_shapes(reader.get_variable_to_shape_map(), settings, ckpt_path)
        arrays = {name: reader.get_tensor(name) for name in expected_shapes(settings)}
    except (tf.errors.OpError, IndexError) as error:  # IndexError: the data end too early
        raise ValueError(f"{ckpt_path} cannot be read as a checkpoint; delete its files and download them again "
                         f"({error})") from error
    return nest(arrays, settings)


def import_tensorflow():
    """Import TensorFlow without what it says about the machine on stderr.

    Raises:
        ImportError: TensorFlow is missing, or does not start on this machine; the message ends with its last words.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise ImportError(f"OpenAI's files are TensorFlow's: run `pip install tensorflow`, or {INSTEAD}")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "tensorflow" not in sys.modules:  # first in a process of its own, for on a processor too old for it, it aborts
        trial = subprocess.run([sys.executable, "-c", "import tensorflow"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace")
        if trial.returncode != 0:
            last_words = "\n".join(trial.stderr.strip().splitlines()[-5:])
            raise ImportError(f"TensorFlow does not start on this machine; {INSTEAD}. Its last words:\n{last_words}")
    with no_stderr():  # while it starts, its C++ part heeds no log level
        import tensorflow as tf
    return tf


@contextmanager
def no_stderr():
    """Discard what is written to the file descriptor of stderr, by C++ code as well, inside a `with` block."""
    sys.stderr.flush()
    saved = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def expected_shapes(settings):
    """Return {name: shape} of the variables of a checkpoint; the "w" have an extra dimension of 1 in front."""
    n_embd = settings["n_embd"]
    shapes = {"model/wte": (settings["n_vocab"], n_embd), "model/wpe": (settings["n_ctx"], n_embd),
              "model/ln_f/g": (n_embd,), "model/ln_f/b": (n_embd,)}
    layers = {"attn/c_attn": (n_embd, 3 * n_embd), "attn/c_proj": (n_embd, n_embd),
              "mlp/c_fc": (n_embd, 4 * n_embd), "mlp/c_proj": (4 * n_embd, n_embd)}
    for block in (f"model/h{i}" for i in range(settings["n_layer"])):
        for layer, (n_in, n_out) in layers.items():
            shapes |= {f"{block}/{layer}/w": (1, n_in, n_out), f"{block}/{layer}/b": (n_out,)}
        for norm in ("ln_1", "ln_2"):
            shapes |= {f"{block}/{norm}/g": (n_embd,), f"{block}/{norm}/b": (n_embd,)}
    return shapes


def check_shapes(shapes, settings, source):
    """Raise a ValueError that names the variable, unless the shapes are those that the settings call for."""
    blocks = 1 + max((int(found[1]) for found in map(re.compile(r"model/h(\d+)/").match, shapes) if found), default=-1)
    if blocks != settings["n_layer"]:
        raise ValueError(f"{source} has {blocks} blocks, its settings say n_layer = {settings['n_layer']}")
    for name, shape in expected_shapes(settings).items():
        if name not in shapes:
            raise ValueError(f"{source} has no variable {name}, so it is not a GPT-2 checkpoint")
        if tuple(shapes[name]) != shape:
            raise ValueError(f"{name} in {source} has the shape {tuple(shapes[name])}, its settings call for {shape}")


def nest(arrays, settings):
    """Turn {"model/h0/attn/c_attn/w": array, ...} into the nested dicts of `load_gpt2_params_from_tf_ckpt`."""
    params = {"blocks": [{} for _ in range(settings["n_layer"])]}
    for name, array in sorted(arrays.items()):
        place, key = place_of(name, params)
        place[key] = array[0] if array.ndim == 3 else array  # (1, n_in, n_out) -> (n_in, n_out)
    return params


def place_of(name, params):
    """Return the dict in nested parameters that holds a variable, made if need be, and its key there."""
    *path, key = name.removeprefix("model/").removeprefix("ln_f/").split("/")
    place = params
    if path:
        place = params["blocks"][int(path[0].removeprefix("h"))]
    for part in path[1:]:
        place = place.setdefault(part, {})
    return place, key


def save_gpt2_params_to_tf_ckpt(ckpt_path, settings, params):
    """Write weights as a TensorFlow checkpoint with OpenAI's names, with its hparams.json beside it.

    Args:
        ckpt_path: the path that its files will have in common; its folder is made if need be.
        settings, params: as `download_and_load_gpt2` returns them.

    Raises:
        ValueError: the shapes are not those that the settings call for.
        ImportError: TensorFlow is missing.
    """
    check_settings(settings, "settings")
    if len(params["blocks"]) != settings["n_layer"]:
        raise ValueError(f"there are {len(params['blocks'])} blocks, the settings say n_layer = {settings['n_layer']}")
    arrays = {}
    for name, shape in expected_shapes(settings).items():
        place, key = place_of(name, params)
        if key not in place or place[key].shape != shape[-place[key].ndim:]:
            found = place[key].shape if key in place else "missing"
            raise ValueError(f"{name} is {found}, the settings call for {shape}")
        arrays[name] = place[key].reshape(shape)  # (n_in, n_out) -> (1, n_in, n_out)
    ckpt_path = Path(ckpt_path)
    save_variables(ckpt_path, arrays)
    ckpt_path.with_name("hparams.json").write_text(json.dumps(settings), encoding="utf-8")


def save_variables(ckpt_path, arrays):
    """Write {name: array} as the data and the index of a TensorFlow checkpoint, in a folder that is made if need be."""
    tf = import_tensorflow()
    ckpt_path.parent.mkdir(parents=True, exist_ok=True)
    with no_stderr():  # making the first tensor, TensorFlow looks for a GPU and talks about it
        tf.raw_ops.SaveV2(prefix=str(ckpt_path), tensor_names=sorted(arrays), shape_and_slices=[""] * len(arrays),
                          tensors=[arrays[name] for name in sorted(arrays)])


# -------------------- The same weights in Hugging Face's format --------------------


def load_gpt2_from_safetensors(path):
    """Read GPT-2's weights from a safetensors file with Hugging Face's names; needs no TensorFlow.

    Args:
        path: a file, or a folder that holds model.safetensors. A config.json beside it gives the number of heads;
            without one there is a head for every 64 numbers of a token, as in all of OpenAI's models.

    Returns:
        (settings, params) as `download_and_load_gpt2` returns them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not safetensors, or not a GPT-2.
        ImportError: the package safetensors is missing.
    """
    if importlib.util.find_spec("safetensors") is None:
        raise ImportError(f"{path} is read by the package safetensors: run `pip install safetensors`")
    import torch
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if path.is_dir():
        path = path / "model.safetensors"
    try:
        with safe_open(path, framework="pt") as file:
            names = {openai_name(name): name for name in file.keys()}  # noqa: SIM118  (it cannot be iterated over)
            names.pop(None, None)
            shapes = {name: tuple(file.get_slice(theirs).get_shape()) for name, theirs in names.items()}
            shapes = {name: (1, *shape) if name.endswith("/w") else shape for name, shape in shapes.items()}
            settings = settings_of(shapes, path)
            check_shapes(shapes, settings, path)
            # A copy of its own: the file may change or go away while the arrays live.
            arrays = {name: file.get_tensor(names[name]).to(torch.float32, copy=True).numpy()
                      for name in expected_shapes(settings)}
    except SafetensorError as error:
        raise ValueError(f"{path} cannot be read as safetensors ({error})") from error
    return settings, nest(arrays, settings)


def openai_name(name):
    """Translate Hugging Face's name of a weight into OpenAI's, or return None for what is no weight of its own.

    "transformer.h.0.attn.c_attn.weight" and "h.0.attn.c_attn.weight" are both "model/h0/attn/c_attn/w". Not in the
    table of chapter 5, and so None, are causal masks; its row of lm_head.weight says that the head is wte once more.
    """
    from previous_chapters import WEIGHT_NAMES  # only here: a download needs no torch

    _, block, rest = re.fullmatch(r"(transformer\.)?(?:h\.(\d+)\.)?(.*)", name).groups()
    name = rest if block is None else f"h.#.{rest}"
    found = {row["hf"]: row["openai"] for row in WEIGHT_NAMES}.get(name, "-")
    return None if found == "-" else f"model/{found.replace('#', block or '')}"


def settings_of(shapes, path):
    """Return the settings that the shapes of a checkpoint show, with the number of heads from config.json."""
    if not {"model/wte", "model/wpe"} <= shapes.keys():
        raise ValueError(f"{path} has no wte.weight and wpe.weight, so it is not a GPT-2 in Hugging Face's format")
    (n_vocab, n_embd), n_ctx = shapes["model/wte"], shapes["model/wpe"][0]
    config = path.with_name("config.json")
    try:
        n_head = json.loads(config.read_text(encoding="utf-8"))["n_head"] if config.exists() else n_embd // 64
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{config} is not the JSON of a GPT-2 with an entry n_head") from error
    if type(n_head) is not int or n_head < 1 or n_embd % n_head:
        raise ValueError(f"{n_embd} numbers per token cannot be cut into {n_head} heads; put the right config.json "
                         f"beside {path}")
    n_layer = len({name.split("/")[1] for name in shapes if name.startswith("model/h")})
    return {"n_vocab": n_vocab, "n_ctx": n_ctx, "n_embd": n_embd, "n_head": n_head, "n_layer": n_layer}


# -------------------- Downloads --------------------


def download_file(url, destination, backup_url=None, size=None, sha256=None):
    """Download a file, unless it is there already.

    Args:
        url: its address, or a sequence of addresses, tried in this order.
        destination: the path to save it as; its folder is made if need be.
        backup_url: one more address, tried when the others fail.
        size: the number of bytes that the file must have, if known.
        sha256: the hex digest that it must have, if known.

    Raises:
        DownloadError: the file could not be had from any address.
        OSError: the destination cannot be written, or the disk is full.
    """
    urls, destination, faults = [url] if isinstance(url, str) else list(url), Path(destination).absolute(), []
    try:
        if is_complete(destination, size, sha256):
            return
        destination.parent.mkdir(parents=True, exist_ok=True)
        with alone(destination), requests.Session() as session:
            if is_complete(destination, size, sha256):  # another process was faster
                return
            put_aside(destination)
            for prefix in ("http://", "https://"):
                session.mount(prefix, HTTPAdapter(max_retries=RETRIES))
            download = Download(session, destination, size, sha256)
            for address in urls + ([backup_url] if backup_url else []):
                try:
                    return download.fetch(address)
                except Fault as fault:
                    faults.append(f"- {address}: {fault}")
    except OSError as error:
        error.add_note(f"{destination} cannot be written. Make room on the disk, or move away what is in its place, or "
                       "choose another folder; then run this again, what has arrived is kept.")
        raise
    raise DownloadError("\n".join([
        f"Could not download {destination.name}.", *faults, "What you can do:",
        "- Check the network and run this again; what has arrived is kept. Behind a proxy, set HTTPS_PROXY; where the "
        "network has a certificate of its own, set REQUESTS_CA_BUNDLE to its file.",
        f"- Or put the file there by hand, as {destination}"]))


@contextmanager
def alone(destination):
    """Let one process at a time fetch a file: the others wait, and then find it complete."""
    lock = FileLock(f"{destination}.lock")
    try:
        lock.acquire(timeout=0.1)
    except Timeout:
        print(f"waiting for another process that downloads {destination.name}")
        lock.acquire()
    except OSError:
        pass  # some network drives have no locks; a folder that cannot be written shows in a moment
    try:
        yield
    finally:
        with suppress(OSError):  # Windows does not remove an open file; releasing the lock does it there
            os.unlink(lock.lock_file)
        lock.release()


def is_complete(path, size, sha256):
    """Whether the right file is there. A file gets its name when it is verified, so mostly to be there is enough."""
    return path.is_file() and mismatch(path, size, sha256) is None


def mismatch(path, size, sha256):
    """Say in a few words why a file is not the right one, or return None."""
    actual = path.stat().st_size
    if actual == 0 or actual != (size or actual):
        return f"it has {actual:,} bytes" + (f" instead of {size:,}" if size else "")
    if sha256 is not None:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != sha256:
            return f"its SHA-256 is {digest} instead of {sha256}"
    return None


def put_aside(path):
    """Give a wrong file another name; it may be someone's work, so it is not deleted."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists():
        aside = path.with_name(path.name + ".bad")
        os.replace(path, aside)
        print(f"{path} was not the right file, it is now {aside.name}")


class Download:
    """A file on its way: NAME.part is what has arrived, NAME.part.json tells the version that it is a part of.

    Args:
        session: the requests.Session that asks for it.
        destination, size, sha256: see `download_file`.
    """

    def __init__(self, session, destination, size, sha256):
        self.session, self.destination, self.size, self.sha256 = session, destination, size, sha256
        self.part = destination.with_name(destination.name + ".part")
        self.note = destination.with_name(destination.name + ".part.json")

    def fetch(self, url):
        """Get the file from an address and give it its name, or raise a Fault.

        The session tries again where no answer comes, and we go on where one breaks off. A try that brings the file on
        by a block does not count: a bad line may break often, as long as it moves.
        """
        retries, furthest = RETRIES, self.arrived()
        while True:
            try:
                self.fetch_once(url)
                os.replace(self.part, self.destination)
                return self.note.unlink(missing_ok=True)
            except Interruption:
                if self.arrived() >= furthest + BLOCK:
                    retries, furthest = RETRIES, self.arrived()
                elif retries.total == 0:
                    raise
            retries = retries.increment()
            retries.sleep()

    def fetch_once(self, url):
        """Complete the part from an address and verify it, or raise a Fault."""
        origin, size = self.origin(url), self.size
        if origin is None or self.arrived() < origin["size"]:  # else the last process ended just before the renaming
            headers = {"Accept-Encoding": "identity"}  # else the sizes would be those of the compressed file
            if origin:
                headers["Range"] = f"bytes={self.arrived()}-"
            try:
                response = self.session.get(url, headers=headers, stream=True, timeout=TIMEOUT)
            except requests.RequestException as error:
                raise Fault(f"{type(error).__name__}: {root_cause(error)}") from error
            with response:
                size = self.accept(response, url, origin)
                self.receive(response, size)
        if size and self.arrived() < size:
            raise Interruption(f"the connection ended after {self.arrived():,} of {size:,} bytes")
        problem = mismatch(self.part, size, self.sha256)
        if problem:
            self.discard()
            # What was pieced together may be of two versions: try the whole.
            raise (Interruption if origin else Fault)(f"this is not the right file: {problem}")

    def arrived(self):
        """Return how many bytes of the file are here."""
        return self.part.stat().st_size if self.part.exists() else 0

    def origin(self, url):
        """Return the note on the part, a dict, or None if the file at this address cannot go on from there."""
        try:
            origin = json.loads(self.note.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        fits = origin["url"] == url and self.size in (None, origin["size"]) and 0 < self.arrived() <= origin["size"]
        return origin if fits else None

    def discard(self):
        """Forget what has arrived."""
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def accept(self, response, url, origin):
        """Prepare the part for the body of a response, or raise a Fault if that is not what was asked for.

        Returns:
            The size of the whole file, None if neither we nor the server know it.
        """
        status, headers = response.status_code, response.headers
        encoded = "Content-Encoding" in headers
        if origin and status in (206, 416):
            rest = f"bytes {self.arrived()}-{origin['size'] - 1}/{origin['size']}"
            if headers.get("Content-Range") == rest and version_of(headers) == origin["version"] and not encoded:
                return origin["size"]
            self.discard()
            raise Interruption("the file changed at the server")
        if status != 200:
            raise Fault(f"HTTP status {status} {response.reason}")
        if headers.get("Content-Type", "").startswith("text/html"):
            raise Fault("a web page came instead of the file, perhaps the login page of a network")
        length = headers.get("Content-Length", "")
        declared = int(length) if length.isdecimal() and not encoded else None
        if None not in (self.size, declared) and self.size != declared:
            raise Fault(f"the file at the server has {declared:,} bytes instead of {self.size:,}")
        if not (self.size or self.sha256 or length or "Transfer-Encoding" in headers):
            raise Fault("the server does not say how long the file is, so half of it could pass for all")
        self.discard()
        if declared and version_of(headers):  # else the download can never go on from a part of it
            note = {"url": url, "version": version_of(headers), "size": declared}
            self.note.write_text(json.dumps(note), encoding="utf-8")
        return self.size or declared

    def receive(self, response, size):
        """Append the body of a response to the part, with a progress bar up to the size of the whole file."""
        with (open(self.part, "ab") as file,
              tqdm(total=size, initial=file.tell(), desc=self.destination.name, unit="B", unit_scale=True,
                   file=sys.stdout) as bar):
            try:
                for block in response.iter_content(BLOCK):
                    file.write(block)
                    bar.update(len(block))
                    if size and file.tell() > size:
                        break  # too much already, and it may never end
            except requests.RequestException as error:
                raise Interruption(f"{type(error).__name__}: {root_cause(error)}") from error
            file.flush()
            os.fsync(file.fileno())  # the data must be on the disk before the name is


def version_of(headers):
    """Return what tells one version of a file from another, or None; X-Bz-File-Id is Backblaze's."""
    values = [headers.get(name, "") for name in ("ETag", "Last-Modified", "X-Bz-File-Id")]
    return next((value for value in values if value and not value.startswith("W/")), None)  # W/: nearly the same bytes


def root_cause(error):
    """Return the exception inside an exception of requests that says the most in the fewest words."""
    inner = [error.__cause__, getattr(error, "reason", None), *error.args]
    deeper = next((each for each in inner if isinstance(each, Exception)), None)
    return root_cause(deeper) if deeper else error
