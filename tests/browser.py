"""A headless Chromium for the tests of web pages, and what it complains about and asks for.

    def test_a_page(browser):
        visit = browser("http://127.0.0.1:8000/", width=400, dark=True)
        visit.page.get_by_role("button", name="Send").click()  # a Playwright page
        assert visit.errors == [] and visit.leaving == []

The fixture `browser` is in conftest.py. Where no Chromium is installed, tests that use it are skipped.
"""

import os
import shutil
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
           "--disable-component-update", "--disable-sync",
           "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"]  # as if the network were cut
HERE = ("127.0.0.1", "localhost", "[::1]")


def find_chromium():
    """Return the path of Chromium or Chrome, as CHROMIUM says or from PATH; None where there is none."""
    return os.getenv("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


class Visit:
    """One visitor of a page, with cookies of their own.

    Attributes:
        page: the Playwright page.
        errors: what its console calls an error, exceptions, and requests that failed or were answered by 400 and more.
        requests: the addresses of all requests, WebSockets among them.
    """

    def __init__(self, context):
        self.page = context.new_page()
        self.errors, self.requests = [], []
        page = self.page
        page.on("console", lambda line: line.type == "error" and self.errors.append(line.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("websocket", lambda socket: self.requests.append(socket.url))
        page.on("requestfailed", self.failed)
        page.on("response", lambda answer: answer.status >= 400 and self.errors.append(f"{answer.status} {answer.url}"))

    def failed(self, request):
        if request.failure != "net::ERR_ABORTED":  # the page itself no longer wants it
            self.errors.append(f"{request.url}: {request.failure}")

    @property
    def leaving(self):
        """The requests that go to another machine."""
        return [url for url in self.requests
                if urlsplit(url).scheme not in ("file", "data", "blob") and urlsplit(url).hostname not in HERE]


@contextmanager
def start():
    """Start Chromium; yield a function of (address, width=1280, height=800, dark=False) that returns a `Visit`.

    Further keyword arguments go to Playwright's `new_context`, such as java_script_enabled=False.
    """
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    found = find_chromium()
    if found is None:
        pytest.skip("no Chromium or Chrome in PATH; set CHROMIUM to its path")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=OPTIONS)  # headless, in a new empty profile

        def visit(url, width=1280, height=800, dark=False, **settings):
            visitor = Visit(chromium.new_context(viewport={"width": width, "height": height},
                                                 color_scheme="dark" if dark else "light", **settings))
            visitor.page.set_default_timeout(20_000)
            visitor.page.goto(url)
            return visitor

        try:
            yield visit
        finally:
            chromium.close()
