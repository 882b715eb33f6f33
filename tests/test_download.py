"""The download against all that goes wrong: afterwards the right bytes are there, or a clear error and no file."""

import errno
import gzip
import hashlib
import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import gpt_download
from conftest import ROOT
from gpt_download import BLOCK, FILES, DownloadError, download_and_load_gpt2, download_file
from openai_layout import STATE, Answer, Server, random_checkpoint

BODY = random.Random(0).randbytes(4 * BLOCK + 12_345)
OTHER = random.Random(1).randbytes(len(BODY))
HALF = 2 * BLOCK  # where lines are cut; a part of a block would be lost
SHA256 = hashlib.sha256(BODY).hexdigest()
UNKNOWN = {"size": None, "sha256": None}


def ask_no_proxy(monkeypatch):
    """Forget what this machine says about proxies, in either case of letters; the servers here are reached directly."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Wait for nothing, and ask neither a proxy of this machine nor a name server."""
    monkeypatch.setattr(gpt_download, "RETRIES", gpt_download.RETRIES.new(backoff_factor=0))
    monkeypatch.setattr(gpt_download, "TIMEOUT", (5, 1))
    ask_no_proxy(monkeypatch)
    monkeypatch.delenv(gpt_download.MIRROR_VARIABLE, raising=False)
    look_up = socket.getaddrinfo

    def look_up_here(host, *arguments, **options):
        if host.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up_here)


@pytest.fixture
def serve():
    """Return a function that starts a server which gives the answers to requests for /file, and stops it in the end."""
    servers = []

    def start(*answers):
        servers.append(Server({"/file": list(answers)}).__enter__())
        return servers[-1]

    yield start
    for server in servers:
        server.__exit__()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "models" / "file"


def files(target):
    return sorted(path.name for path in target.parent.iterdir()) if target.parent.exists() else []


def succeeds(target, url, backup_url=None, **expected):
    """Download BODY: it arrives, and nothing else stays behind."""
    download_file(url, target, backup_url, **({"size": len(BODY), "sha256": SHA256} | expected))
    assert target.read_bytes() == BODY
    assert files(target) == ["file"]


def fails(target, url, backup_url=None, **expected):
    """Try to download BODY: nothing appears under its name. Return the message of the DownloadError."""
    with pytest.raises(DownloadError) as caught:
        download_file(url, target, backup_url, **({"size": len(BODY), "sha256": SHA256} | expected))
    assert set(files(target)) <= {"file.part", "file.part.json"}
    message = str(caught.value)
    assert "Could not download file" in message and url in message and str(target) in message
    return message


def closed_port():
    """Return the address of a port where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/file"


def test_a_good_server(serve, target):
    server = serve(Answer(BODY))
    succeeds(target, server.url + "/file")
    assert server.ranges() == [None]
    succeeds(target, server.url + "/file")  # nothing to fetch
    assert len(server.seen) == 1


# -------------------- No connection --------------------


def test_connection_refused(target):
    assert "Connection refused\n" in fails(target, closed_port())


def test_a_name_that_no_one_knows(target):
    assert "Name or service not known\n" in fails(target, "http://nowhere.invalid/file")


def test_what_the_caller_was_handling_is_not_the_reason(target):
    try:
        raise KeyError("something else")
    except KeyError:
        assert "ConnectionError: [Errno" in fails(target, closed_port())


def test_an_address_that_is_none(target):
    assert "No scheme supplied" in fails(target, "school/gpt2/file")
    assert "No connection adapters" in fails(target, "ftp://school/file")


def test_a_proxy_that_is_down(target, serve, monkeypatch):
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("http_proxy", closed_port())
    message = fails(target, serve(Answer(BODY)).url + "/file")
    assert "ProxyError" in message and "HTTPS_PROXY" in message


def test_a_server_that_does_not_speak_tls(target, serve):
    url = serve(Answer(BODY)).url.replace("http:", "https:") + "/file"
    message = fails(target, url)
    assert "SSLError" in message and "REQUESTS_CA_BUNDLE" in message


def test_a_server_that_does_not_speak_http(target):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def babble():
            while True:
                connection, _ = listener.accept()
                connection.recv(1000)
                connection.sendall(b"220 smtp.school.example ready\r\n")
                connection.close()

        threading.Thread(target=babble, daemon=True).start()
        assert "ConnectionError" in fails(target, f"http://127.0.0.1:{listener.getsockname()[1]}/file")


# -------------------- HTTP errors, retries and the backup --------------------


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_refusal_is_final(target, serve, status):
    server = serve(Answer(status=status), Answer(BODY))
    assert f"HTTP status {status}" in fails(target, server.url + "/file")
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_weakness_passes(target, serve, status):
    server = serve(Answer(status=status), Answer(status=status), Answer(BODY))
    succeeds(target, server.url + "/file")
    assert len(server.seen) == 3


def test_a_broken_server_leads_to_the_backup(target, serve):
    broken, backup = serve(Answer(status=500)), serve(Answer(BODY))
    succeeds(target, broken.url + "/file", backup.url + "/file")
    assert (len(broken.seen), len(backup.seen)) == (4, 1)


def test_pauses_grow_and_end(target, serve, monkeypatch):
    pauses = []
    monkeypatch.undo()  # the real pauses, but not slept
    ask_no_proxy(monkeypatch)
    monkeypatch.setattr(time, "sleep", pauses.append)
    download = threading.Thread(target=lambda: pauses.append(fails(target, closed_port())))
    download.start()
    download.join(20)
    *pauses, message = pauses
    assert pauses == [2, 4] and "Connection refused" in message  # the first new try comes at once


def test_a_server_cannot_make_us_wait_for_an_hour(target, serve):
    server = serve(Answer(status=503, headers={"Retry-After": "3600"}), Answer(BODY))
    succeeds(target, server.url + "/file")


def test_two_failures_are_one_error(target, serve):
    first, backup = serve(Answer(status=500)), serve(Answer(status=403))
    message = fails(target, first.url + "/file", backup.url + "/file")
    assert f"{first.url}/file: HTTP status 500 Internal Server Error\n" in message
    assert f"{backup.url}/file: HTTP status 403 Forbidden\n" in message
    assert "Check the network" in message and f"by hand, as {target}" in message


# -------------------- Lines that break --------------------


def test_a_stall(target, serve):
    server = serve(Answer(BODY, cut=HALF, hang=30), Answer(BODY))
    succeeds(target, server.url + "/file")
    assert server.ranges() == [None, f"bytes={HALF}-"]


@pytest.mark.slow
def test_silence_from_the_start(target, serve):
    server = serve(Answer(BODY, cut=0, hang=30))
    assert "timed out" in fails(target, server.url + "/file")
    assert len(server.seen) == 4


def test_a_cut_line_is_resumed(target, serve):
    server = serve(Answer(BODY, cut=HALF), Answer(BODY))
    succeeds(target, server.url + "/file")
    assert server.ranges() == [None, f"bytes={HALF}-"]


def test_a_line_may_break_often_as_long_as_it_moves(target, serve, monkeypatch):
    monkeypatch.setattr(gpt_download, "RETRIES", gpt_download.RETRIES.new(total=1))
    server = serve(*(Answer(BODY, cut=n * BLOCK) for n in (1, 2, 3, 4)), Answer(BODY))
    succeeds(target, server.url + "/file")
    assert server.ranges() == [None] + [f"bytes={n * BLOCK}-" for n in (1, 2, 3, 4)]


def test_a_line_that_always_breaks_at_the_same_place(target, serve):
    server = serve(Answer(BODY, cut=HALF))
    message = fails(target, server.url + "/file")
    assert "IncompleteRead" in message and len(server.seen) == 4
    assert (target.parent / "file.part").read_bytes() == BODY[:HALF]  # for the next time
    server.answers["/file"] = [Answer(BODY)]
    succeeds(target, server.url + "/file")


def test_a_restart_is_no_progress(target, serve):
    """Without ranges each try begins anew: to come as far as before must not count as having moved."""
    server = serve(Answer(BODY, cut=HALF, ranges=False))
    fails(target, server.url + "/file")
    assert len(server.seen) == 4


def test_the_backup_does_not_go_on_with_bytes_from_elsewhere(target, serve):
    first, backup = serve(Answer(OTHER, cut=HALF)), serve(Answer(BODY))
    succeeds(target, first.url + "/file", backup.url + "/file", **UNKNOWN)
    assert backup.ranges() == [None]


def test_a_part_of_a_file_of_another_size(target, serve):
    """A part that was fetched before the right size was known is no beginning of the right file."""
    server = serve(Answer(OTHER + b"more", cut=HALF))
    fails(target, server.url + "/file", **UNKNOWN)
    server.answers["/file"] = [Answer(BODY)]
    server.seen.clear()
    succeeds(target, server.url + "/file", sha256=None)
    assert server.ranges() == [None]


# -------------------- Files that change between two tries --------------------


def test_a_changed_file_is_fetched_from_the_start(target, serve):
    server = serve(Answer(OTHER, cut=HALF), Answer(BODY, etag='"2"'))
    succeeds(target, server.url + "/file", **UNKNOWN)
    assert server.ranges() == [None, f"bytes={HALF}-", None]


def test_a_changed_size_is_a_changed_file(target, serve):
    server = serve(Answer(OTHER + b"more", cut=HALF), Answer(BODY))
    succeeds(target, server.url + "/file", **UNKNOWN)
    assert server.ranges() == [None, f"bytes={HALF}-", None]


@pytest.mark.parametrize("etag", [None, 'W/"1"'], ids=["none", "weak"])
def test_without_a_version_nothing_is_resumed(target, serve, etag):
    server = serve(Answer(OTHER, etag=etag, cut=HALF), Answer(BODY, etag=etag))
    succeeds(target, server.url + "/file", **UNKNOWN)
    assert server.ranges() == [None, None]


@pytest.mark.parametrize("header", ["Last-Modified", "X-Bz-File-Id"])
@pytest.mark.parametrize("changed", [False, True])
def test_other_versions_than_etags(target, serve, header, changed):
    answers = [Answer(OTHER if changed else BODY, etag=None, headers={header: "a"}, cut=HALF),
               Answer(BODY, etag=None, headers={header: "b" if changed else "a"})]
    server = serve(*answers)
    succeeds(target, server.url + "/file", **UNKNOWN)
    assert server.ranges() == [None, f"bytes={HALF}-"] + ([None] if changed else [])


def test_a_change_that_nothing_shows_but_the_hash(target, serve):
    server = serve(Answer(OTHER, cut=HALF), Answer(BODY))
    succeeds(target, server.url + "/file")
    assert server.ranges() == [None, f"bytes={HALF}-", None]


# -------------------- Servers with ideas of their own --------------------


def test_no_range_support(target, serve):
    server = serve(Answer(BODY, cut=HALF, ranges=False), Answer(BODY, ranges=False))
    succeeds(target, server.url + "/file")
    assert server.ranges() == [None, f"bytes={HALF}-"]


def test_a_range_that_the_server_cannot_satisfy(target, serve):
    server = serve(Answer(BODY, cut=HALF), Answer(status=416), Answer(BODY))
    succeeds(target, server.url + "/file")
    assert server.ranges() == [None, f"bytes={HALF}-", None]


def test_a_range_of_the_compressed_file(target, serve):
    zipped = Answer(BODY, headers={"Content-Encoding": "gzip"})
    server = serve(Answer(BODY, cut=HALF), zipped, Answer(BODY))
    succeeds(target, server.url + "/file")
    assert server.ranges() == [None, f"bytes={HALF}-", None]


def test_another_range_than_the_one_asked_for(target, serve):
    wrong = Answer(BODY, headers={"Content-Range": f"bytes 5-{len(BODY) - 1}/{len(BODY)}"})
    server = serve(Answer(BODY, cut=HALF), wrong, Answer(BODY))
    succeeds(target, server.url + "/file", **UNKNOWN)
    assert server.ranges() == [None, f"bytes={HALF}-", None]


def test_a_range_that_nobody_asked_for(target, serve):
    assert "HTTP status 206" in fails(target, serve(Answer(BODY, status=206)).url + "/file", **UNKNOWN)


def test_a_redirect(target, serve):
    storage = serve(Answer(BODY, cut=HALF), Answer(BODY))
    front = serve(Answer(status=302, headers={"Location": storage.url + "/file"}))
    succeeds(target, front.url + "/file")
    assert storage.ranges() == [None, f"bytes={HALF}-"]


def test_a_redirect_without_end(target, serve):
    server = serve(Answer(status=302, headers={"Location": "/file"}))
    assert "TooManyRedirects" in fails(target, server.url + "/file")
    assert len(server.seen) < 50  # it is not tried again


@pytest.mark.parametrize("expected", [UNKNOWN, {}], ids=["size unknown", "size known"])
def test_a_server_that_compresses_whatever_is_asked(target, serve, expected):
    zipped = gzip.compress(BODY)
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/octet-stream"}
    server = serve(Answer(zipped, headers=headers, cut=HALF), Answer(zipped, headers=headers))
    succeeds(target, server.url + "/file", **expected)
    assert server.ranges() == [None, None]
    assert server.seen[0][1]["Accept-Encoding"] == "identity"


def test_a_login_page_instead_of_the_file(target, serve):
    page = Answer(b"<html>Welcome to our network", headers={"Content-Type": "text/html; charset=utf-8"})
    assert "login page" in fails(target, serve(page).url + "/file", **UNKNOWN)
    succeeds(target, serve(page).url + "/file", serve(Answer(BODY)).url + "/file")


# -------------------- Wrong lengths and wrong bytes --------------------


@pytest.mark.parametrize("body", [BODY[:-1], BODY + b"!", b"", BODY[:100]], ids=["short", "long", "empty", "stub"])
def test_a_wrong_length(target, serve, body):
    server = serve(Answer(body))
    assert "instead of 4,206,649" in fails(target, server.url + "/file", sha256=None)
    assert (len(server.seen), files(target)) == (1, [])


def test_more_declared_than_sent(target, serve):
    server = serve(Answer(BODY, headers={"Content-Length": str(len(BODY) + 1)}))
    fails(target, server.url + "/file", **UNKNOWN)


def test_less_declared_than_sent(target, serve):
    server = serve(Answer(BODY, headers={"Content-Length": str(len(BODY) - 1)}))
    assert "4,206,648 bytes instead of 4,206,649" in fails(target, server.url + "/file", sha256=None)


def test_no_length_and_a_cut(target, serve):
    """Only the known size can tell that something is missing."""
    no_length = {"Content-Length": None}
    server = serve(Answer(BODY, headers=no_length, cut=HALF), Answer(BODY, headers=no_length))
    succeeds(target, server.url + "/file", sha256=None)
    assert len(server.seen) == 2


def test_no_length_and_too_much(target, serve):
    server = serve(Answer(BODY + OTHER, headers={"Content-Length": None}))
    fails(target, server.url + "/file", sha256=None)
    assert files(target) == []


def test_no_length_and_no_end(target, serve):
    """It must stop by itself, long before the disk is full or the server silent."""
    server = serve(Answer(BODY + OTHER, headers={"Content-Length": None}, hang=30))
    fails(target, server.url + "/file", sha256=None)
    assert (len(server.seen), files(target)) == (1, [])  # a silence would have been tried again


def test_no_length_from_anyone(target, serve):
    server = serve(Answer(BODY, headers={"Content-Length": None}))
    assert "does not say how long" in fails(target, server.url + "/file", **UNKNOWN)


def test_an_empty_file_is_no_file(target, serve):
    assert "0 bytes" in fails(target, serve(Answer(b"")).url + "/file", **UNKNOWN)


def test_wrong_bytes(target, serve):
    bad, good = serve(Answer(OTHER)), serve(Answer(BODY))
    message = fails(target, bad.url + "/file")
    assert hashlib.sha256(OTHER).hexdigest() in message and SHA256 in message
    assert (len(bad.seen), files(target)) == (1, [])  # nothing to go on from, either
    succeeds(target, bad.url + "/file", good.url + "/file")


# -------------------- Processes that end too early, and two at once --------------------

DOWNLOAD = "import sys, gpt_download; gpt_download.download_file(sys.argv[1], sys.argv[2])"


def test_a_killed_process(target, serve):
    server = serve(Answer(BODY, cut=HALF, hang=60), Answer(BODY))
    command = [sys.executable, "-c", DOWNLOAD, server.url + "/file", str(target)]
    process = subprocess.Popen(command, cwd=ROOT)
    part = target.parent / "file.part"
    deadline = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size == HALF) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not target.exists() and part.read_bytes() == BODY[:HALF]
    succeeds(target, server.url + "/file")
    assert server.ranges() == [None, f"bytes={HALF}-"]


def test_killed_between_the_last_byte_and_the_renaming(target, serve, monkeypatch):
    server = serve(Answer(BODY))
    with monkeypatch.context() as patch:
        patch.setattr(gpt_download.os, "replace", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            download_file(server.url + "/file", target)
    assert not target.exists()
    succeeds(target, server.url + "/file")
    assert len(server.seen) == 1


@pytest.mark.parametrize("note", [b"", b'{"url": "http'])
def test_killed_while_it_made_its_note(target, serve, note):
    target.parent.mkdir()
    (target.parent / "file.part").write_bytes(OTHER[:HALF])
    (target.parent / "file.part.json").write_bytes(note)
    succeeds(target, serve(Answer(BODY)).url + "/file", **UNKNOWN)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="Windows sends no signals to threads")
def test_ctrl_c(target, serve):
    def press():
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    server = serve(Answer(BODY, cut=HALF, hang=0.5, then=press), Answer(BODY))
    with pytest.raises(KeyboardInterrupt):
        download_file(server.url + "/file", target)
    assert files(target) == ["file.part", "file.part.json"]
    succeeds(target, server.url + "/file")
    assert server.ranges() == [None, f"bytes={HALF}-"]


def test_two_processes_at_once(target, serve, capsys):
    server = serve(Answer(BODY, cut=HALF, hang=0.6), Answer(BODY))
    threads = [threading.Thread(target=download_file, args=(server.url + "/file", target)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert target.read_bytes() == BODY and files(target) == ["file"]
    assert server.ranges() == [None, f"bytes={HALF}-"]
    assert capsys.readouterr().out.count("waiting for another process") == 2


def test_a_drive_without_locks(target, serve, monkeypatch):
    def acquire(*_, **__):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(gpt_download.FileLock, "acquire", acquire)
    succeeds(target, serve(Answer(BODY)).url + "/file")


# -------------------- Disks and folders --------------------


def opening(monkeypatch, error_number, after=0):
    """Let files that are opened for writing fail after some bytes."""
    class Failing(io.FileIO):
        def write(self, data):
            if self.tell() + len(data) > after:
                raise OSError(error_number, os.strerror(error_number))
            return super().write(data)

    def open_failing(path, mode):
        return Failing(path, mode) if "a" in mode else open(path, mode)

    monkeypatch.setattr(gpt_download, "open", open_failing, raising=False)


def test_a_full_disk(target, serve, monkeypatch):
    server = serve(Answer(BODY))
    with monkeypatch.context() as patch:
        opening(patch, errno.ENOSPC, after=HALF)
        with pytest.raises(OSError, match="No space left on device\n.* Make room on the disk") as caught:
            download_file(server.url + "/file", target)
    assert caught.value.errno == errno.ENOSPC and not isinstance(caught.value, DownloadError)
    assert files(target) == ["file.part", "file.part.json"]
    succeeds(target, server.url + "/file")  # there is room now
    assert server.ranges() == [None, f"bytes={HALF}-"]


def test_a_folder_that_cannot_be_written(target, serve, monkeypatch):
    opening(monkeypatch, errno.EROFS)
    with pytest.raises(OSError, match="Read-only.*\n.*file cannot be written.*choose another folder"):
        download_file(serve(Answer(BODY)).url + "/file", target)
    assert not target.exists()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is forbidden to the administrator")
def test_a_folder_without_permission(target, serve):
    target.parent.mkdir(mode=0o500)
    with pytest.raises(PermissionError, match="cannot be written.*choose another folder"):
        download_file(serve(Answer(BODY)).url + "/file", target)


@pytest.mark.parametrize("depth", [1, 2])
def test_a_file_where_a_folder_should_be(tmp_path, serve, depth):
    (tmp_path / "models").write_text("my notes on models")
    target = tmp_path.joinpath("models", *["124M"] * (depth - 1), "file")
    with pytest.raises(OSError, match="(File exists|Not a directory).*models.*\n.*move away what is in") as caught:
        download_file(serve(Answer(BODY)).url + "/file", target)
    assert caught.value.errno in (errno.EEXIST, errno.ENOTDIR)
    assert (tmp_path / "models").read_text() == "my notes on models"


def test_a_folder_where_a_file_should_be(target, serve):
    target.mkdir(parents=True)
    with pytest.raises(IsADirectoryError, match="Is a directory: .*file.*\n.*move away what is in its place"):
        download_file(serve(Answer(BODY)).url + "/file", target)


@pytest.mark.parametrize("wrong", [OTHER, BODY[:HALF], b""], ids=["other bytes", "half", "empty"])
def test_a_wrong_file_under_the_good_name(target, serve, wrong, capsys):
    target.parent.mkdir()
    target.write_bytes(wrong)
    download_file(serve(Answer(BODY)).url + "/file", target, size=len(BODY), sha256=SHA256)
    assert target.read_bytes() == BODY
    assert (target.parent / "file.bad").read_bytes() == wrong  # it may be someone's work
    assert "file.bad" in capsys.readouterr().out


def test_progress_bars(target, serve):
    """With bars switched on they are on stdout, with size, rate and time left; a second try goes on from the middle."""
    url = serve(Answer(BODY, cut=HALF), Answer(BODY)).url + "/file"
    environment = {key: value for key, value in os.environ.items() if key != "TQDM_DISABLE"}
    done = subprocess.run([sys.executable, "-c", DOWNLOAD, url, str(target)], cwd=ROOT, env=environment,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == ""
    last = done.stdout.replace("\r", "\n").strip().splitlines()[-1]
    assert last.startswith("file: 100%") and "4.21M/4.21M" in last and "B/s" in last and "<" in last
    assert "50%" in done.stdout


# -------------------- Whole checkpoints --------------------


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """A folder with two small checkpoints, as a mirror has them."""
    folder = tmp_path_factory.mktemp("mirror")
    random_checkpoint(folder / "355M")
    return folder


@pytest.fixture
def mirror(origin):
    with Server(folder=origin) as server:
        yield server


def test_seven_files_and_then_no_network(mirror, tmp_path):
    settings, params = download_and_load_gpt2("355M", tmp_path, base_urls=mirror.url)
    assert settings == {"n_vocab": 11, "n_ctx": 7, "n_embd": 4, "n_head": 2, "n_layer": 2}
    assert [path for path, _ in mirror.seen] == [f"/355M/{name}" for name in FILES]
    assert sorted(path.name for path in (tmp_path / "355M").iterdir()) == sorted(FILES)
    again = download_and_load_gpt2(model_size="355M", models_dir=str(tmp_path), base_urls=closed_port())
    assert again[0] == settings and len(mirror.seen) == 7
    np.testing.assert_array_equal(params["wte"], again[1]["wte"])


def test_the_form_of_the_parameters(mirror, tmp_path):
    _, params = download_and_load_gpt2("355M", tmp_path, base_urls=mirror.url)
    assert set(params) == {"blocks", "b", "g", "wpe", "wte"} and len(params["blocks"]) == 2
    assert (params["wte"].shape, params["wpe"].shape, params["g"].shape) == ((11, 4), (7, 4), (4,))
    for block in params["blocks"]:
        shapes = {(part, layer): block[part][layer]["w"].shape for part in ("attn", "mlp") for layer in block[part]}
        assert shapes == {("attn", "c_attn"): (4, 12), ("attn", "c_proj"): (4, 4),
                          ("mlp", "c_fc"): (4, 16), ("mlp", "c_proj"): (16, 4)}
        assert block["attn"]["c_attn"]["b"].shape == (12,)
        assert set(block) == {"attn", "mlp", "ln_1", "ln_2"} and set(block["ln_1"]) == {"g", "b"}


def test_the_environment_names_the_mirror(mirror, tmp_path, monkeypatch):
    monkeypatch.setenv("GPT2_MIRROR", f" {closed_port()}  {mirror.url}/ ")
    download_and_load_gpt2("355M", tmp_path)
    assert len(mirror.seen) == 7


@pytest.mark.parametrize("as_argument", [str, lambda url: (closed_port(), url)], ids=["one", "several"])
def test_an_argument_beats_the_environment(mirror, tmp_path, monkeypatch, as_argument):
    monkeypatch.setenv("GPT2_MIRROR", closed_port())
    download_and_load_gpt2("355M", tmp_path, base_urls=as_argument(mirror.url))
    assert len(mirror.seen) == 7


def test_the_error_says_where_and_which(tmp_path):
    with pytest.raises(DownloadError) as caught:
        download_and_load_gpt2("124M", tmp_path, base_urls=[closed_port(), "http://nowhere.invalid"])
    message = str(caught.value)
    assert all(name in message for name in FILES) and str(tmp_path / "124M") in message
    assert "GPT2_MIRROR" in message and "nowhere.invalid" in message and "Connection refused" in message
    assert caught.value.__suppress_context__  # one error, not a chain


def test_the_known_sizes(mirror, origin, tmp_path):
    """What calls itself 124M must have the sizes of OpenAI's files."""
    with Server(folder=tmp_path) as server:
        (tmp_path / "124M").symlink_to(origin / "355M")
        with pytest.raises(DownloadError, match="(?s)hparams.json.*80 bytes instead of 90"):
            download_and_load_gpt2("124M", tmp_path / "here", base_urls=server.url)
    assert sorted(path.name for path in (tmp_path / "here" / "124M").iterdir()) == ["checkpoint", "encoder.json"]
    assert gpt_download.KNOWN_SIZES["124M"]["checkpoint"] == len(STATE)


@pytest.mark.parametrize("name", ["encoder.json", "vocab.bpe"])
def test_the_tokenizers_files_are_verified(mirror, origin, tmp_path, name):
    right = (origin / "355M" / name).read_bytes()
    mirror.answers[f"/355M/{name}"] = [Answer(right[:-1] + b"!")]
    with pytest.raises(DownloadError, match=f"(?s){name}.*SHA-256"):
        download_and_load_gpt2("355M", tmp_path, base_urls=mirror.url)
    assert not [path for path in (tmp_path / "355M").iterdir() if path.name.startswith(name)]


@pytest.mark.parametrize("size", ["125M", "124m", "1.5B", "", None, 124])
def test_unknown_sizes(tmp_path, size):
    with pytest.raises(ValueError, match="124M, 355M, 774M, 1558M"):
        download_and_load_gpt2(size, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text, message", [
    ("<html>", "not JSON"), ("", "0 bytes"), ("\xff\xfe", "not JSON"),
    ("[]", "n_vocab, n_ctx, n_embd, n_head, n_layer"),
    ('{"n_vocab": 11, "n_ctx": 7, "n_embd": 4, "n_head": 2}', "n_layer"),
    ('{"n_vocab": "11", "n_ctx": 0, "n_embd": 4, "n_head": 2, "n_layer": 2}', "n_vocab, n_ctx"),
])
def test_bad_hparams(mirror, tmp_path, text, message):
    mirror.answers["/355M/hparams.json"] = [Answer(text.encode("latin-1"))]
    with pytest.raises((ValueError, DownloadError), match=f"(?s)hparams.json.*{message}"):
        download_and_load_gpt2("355M", tmp_path, base_urls=mirror.url)


@pytest.mark.parametrize("change, message", [
    ({"n_embd": 6}, r"model/wte .* \(11, 4\), .* \(11, 6\)"),
    ({"n_vocab": 12}, r"model/wte .* \(11, 4\), .* \(12, 4\)"),
    ({"n_ctx": 8}, r"model/wpe .* \(7, 4\), .* \(8, 4\)"), ({"n_layer": 1}, "2 blocks, .* n_layer = 1"),
    ({"n_layer": 3}, "2 blocks, .* n_layer = 3"),
])
def test_shapes_that_do_not_match(mirror, origin, tmp_path, change, message):
    settings = json.loads((origin / "355M" / "hparams.json").read_text())
    mirror.answers["/355M/hparams.json"] = [Answer(json.dumps(settings | change).encode())]
    with pytest.raises(ValueError, match=message):
        download_and_load_gpt2("355M", tmp_path, base_urls=mirror.url)


@pytest.mark.parametrize("name, spoil", [
    (gpt_download.DATA_FILE, lambda data: data[:1000]),
    (gpt_download.DATA_FILE, lambda data: data[:1000] + b"!" * (len(data) - 1000)),
    ("model.ckpt.index", lambda data: b"not an index" * 80),
], ids=["too short", "other bytes", "no index"])
def test_checkpoints_that_cannot_be_read(mirror, origin, tmp_path, name, spoil):
    mirror.answers[f"/355M/{name}"] = [Answer(spoil((origin / "355M" / name).read_bytes()))]
    with pytest.raises(ValueError, match="model.ckpt cannot be read as a checkpoint; delete its files"):
        download_and_load_gpt2("355M", tmp_path, base_urls=mirror.url)


def test_another_kind_of_checkpoint(origin):
    shapes = {"model/h0/lstm/w": (4, 4), "model/h1/lstm/w": (4, 4)}
    settings = {"n_vocab": 11, "n_ctx": 7, "n_embd": 4, "n_head": 2, "n_layer": 2}
    with pytest.raises(ValueError, match="no variable model/wte, so it is not a GPT-2"):
        gpt_download.check_shapes(shapes, settings, "here")


# -------------------- TensorFlow --------------------


def test_without_tensorflow(mirror, tmp_path, monkeypatch):
    """Known before the first byte is fetched."""
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ImportError, match="pip install tensorflow.*put model.safetensors"):
        download_and_load_gpt2("355M", tmp_path, base_urls=mirror.url)
    assert mirror.seen == []


@pytest.mark.slow
def test_tensorflow_is_silent_and_imported_late(origin):
    script = f"""
import sys, gpt_download
assert not {{"tensorflow", "safetensors", "torch"}} & set(sys.modules)
folder = {str(origin / "355M")!r}
settings = gpt_download.read_settings(folder + "/hparams.json")
params = gpt_download.load_gpt2_params_from_tf_ckpt(folder + "/model.ckpt", settings)
assert "tensorflow" in sys.modules and len(params["blocks"]) == 2
print("stderr works", file=sys.stderr)
"""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TF_")}
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True,
                          timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "stderr works\n")


DYING = """
import os, sys
print("so much noise", file=sys.stderr, flush=True)
os.write(2, b"F0000 The TensorFlow library was compiled to use AVX instructions, but these aren't available.\\n")
os.abort()
"""


def test_the_last_words_of_tensorflow_reach_the_user(tmp_path, monkeypatch):
    """On a processor too old for it TensorFlow aborts the process; a notebook's kernel would be gone without a word."""
    (tmp_path / "tensorflow.py").write_text(DYING)
    script = """
import gpt_download
try:
    gpt_download.import_tensorflow()
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])})
    assert (done.returncode, done.stderr) == (0, "")
    assert "TensorFlow does not start on this machine; put model.safetensors" in done.stdout
    assert done.stdout.endswith("was compiled to use AVX instructions, but these aren't available.\n")
