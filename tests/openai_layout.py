"""What the tests of the download and of the loader share: checkpoints in OpenAI's layout, and a scripted web server."""

import contextlib
import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

import gpt_download
from conftest import ROOT

TOKENIZER = {"encoder.json": "6c7ea1a7e38e3a7f062df639a5b80947f075ffe6",
             "vocab.bpe": "6d1cbeee0f20b3d9449abfede4726ed8212e3aee"}
STATE = 'model_checkpoint_path: "model.ckpt"\nall_model_checkpoint_paths: "model.ckpt"\n'


def write_checkpoint(folder, arrays, settings):
    """Write the seven files of a model as OpenAI laid them out, byte sizes included.

    Args:
        folder: where to; made if need be.
        arrays: {OpenAI's name: array}, such as "model/h0/attn/c_attn/w" with the shape (1, n_embd, 3 * n_embd).
        settings: the contents of hparams.json.
    """
    gpt_download.save_variables(folder / "model.ckpt", arrays)
    (folder / "checkpoint").write_text(STATE)
    (folder / "hparams.json").write_text(json.dumps(settings, indent=2) + "\n")
    (folder / "model.ckpt.meta").write_bytes(b"\0" * 471155)  # the graph, which nobody here reads
    for name, hashed in TOKENIZER.items():
        shutil.copy(ROOT / "notebooks" / "data" / hashed, folder / name)


def random_checkpoint(folder, **changes):
    """Write a checkpoint of a few hundred random numbers, and return its settings.

    Args:
        folder: see `write_checkpoint`.
        changes: settings that hparams.json gives differently from the shapes.
    """
    settings = {"n_vocab": 11, "n_ctx": 7, "n_embd": 4, "n_head": 2, "n_layer": 2}
    rng = np.random.default_rng(0)
    shapes = gpt_download.expected_shapes(settings)
    arrays = {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}
    write_checkpoint(folder, arrays, {**settings, **changes})
    return settings


class Answer:
    """A web server's answer to one GET, good by default; the arguments make it go wrong.

    Args:
        body: the bytes of the file.
        status: an error status, sent without the file.
        etag, headers: the version of the file; more headers, where None takes one away.
        cut: bytes after which the connection breaks.
        hang: seconds of silence before the connection breaks, at `cut`.
        ranges: honour Range requests.
        then: called just before the answer ends.
    """

    def __init__(self, body=b"", status=None, etag='"1"', headers=None, cut=None, hang=0, ranges=True,
                 then=lambda: None):
        self.body, self.status, self.etag, self.headers = body, status, etag, headers or {}
        self.cut, self.hang, self.ranges, self.then = cut, hang, ranges, then

    def start_of(self, request):
        """Return the offset that a request asks for, 0 unless it is to be honoured."""
        asked = request.headers.get("Range")
        return int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.ranges else 0

    def send(self, request, closing):
        """Answer a request; `closing` is an event that ends a silence early."""
        start = self.start_of(request)
        status = self.status or (416 if start >= len(self.body) > 0 else 206 if start else 200)
        body = b"" if status >= 300 else self.body[start:]
        headers = {"Content-Length": str(len(body)), "ETag": self.etag, "Connection": "close"}
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{len(self.body) - 1}/{len(self.body)}"
        request.send_response(status)
        for name, value in (headers | self.headers).items():
            if value is not None:
                request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body if self.cut is None else body[: max(0, self.cut - start)])
        request.wfile.flush()
        if self.hang:
            closing.wait(self.hang)
        self.then()


class Server:
    """A web server on 127.0.0.1, running inside a `with` block.

    Attributes:
        answers: {path: list of Answer}, given in this order, the last again and again; what is not there is a 404.
        folder: a folder whose files are served, in whole, where there are no answers.
        seen: the requests so far, as (path, headers).
        url: the base address, without a slash at its end.
    """

    def __init__(self, answers=None, folder=None):
        self.answers, self.folder, self.seen, self.closing = answers or {}, folder, [], threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.seen.append((self.path, self.headers))
                with contextlib.suppress(OSError):  # the client went away
                    outer.next_answer(self.path).send(self, outer.closing)

            def log_message(self, *_):
                pass

        self.httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.httpd.server_port}"

    def next_answer(self, path):
        """Return the Answer to the next request for a path."""
        answers = self.answers.get(path)
        if answers:
            return answers.pop(0) if len(answers) > 1 else answers[0]
        file = self.folder and self.folder / path.removeprefix("/")
        return Answer(file.read_bytes()) if file and file.is_file() else Answer(status=404)

    def ranges(self):
        """Return the Range header of each request so far, None where there was none."""
        return [headers.get("Range") for _, headers in self.seen]

    def __enter__(self):
        threading.Thread(target=self.httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.httpd.shutdown()
        self.httpd.server_close()
