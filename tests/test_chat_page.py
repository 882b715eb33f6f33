"""chat_page.py in a browser: answers that grow, stop, a new conversation, several visitors; all from this computer."""

import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from conftest import ROOT

pytestmark = pytest.mark.slow
pytest.importorskip("gradio", reason="Gradio is not installed")

FRANCE, PARIS = "What is the capital of France?", "The capital of France is Paris."
STORY = "Tell me a long story about a dragon."


@pytest.fixture(scope="module")
def address():
    """The address of the program's page; afterwards it ends by Ctrl-C, without a complaint."""
    environment = {**os.environ, "HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}  # a dead one
    program = subprocess.Popen([sys.executable, "chat_page.py", "--max-tokens", "24"], cwd=ROOT, env=environment,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = program.stdout.readline()
    if not line:
        pytest.fail(program.communicate()[1])
    yield line.split()[3]
    program.send_signal(signal.SIGINT)
    assert (program.communicate(timeout=30)[1], program.returncode) == ("", 0)


class Conversation:
    """A visitor of the page, and what they do there."""

    def __init__(self, visit):
        self.visit, self.page = visit, visit.page
        self.box = self.page.get_by_placeholder("Message")
        self.send, self.stop, self.new = (self.page.get_by_role("button", name=name, exact=True)
                                          for name in ("Send", "Stop", "New conversation"))
        self.note = self.page.get_by_role("alert")
        self.answers = self.page.locator("#messages .bot .prose")
        self.box.wait_for()

    def say(self, text):
        self.box.fill(text)
        self.box.press("Enter")

    def ask(self, text):
        """Return the last answer on the page after the answer to a message."""
        self.say(text)
        self.stop.wait_for()
        self.send.wait_for()
        return self.answers.last.inner_text()


@pytest.fixture(scope="module")
def visit(browser, address):
    """A visit of the page, on which nothing fails, and which asks no other machine for anything."""
    visit = browser(address)
    yield visit
    assert (visit.errors, visit.leaving) == ([], []) and len(visit.requests) > 50


@pytest.fixture
def visitor(visit):
    """A new visitor: a page that is loaded again has a new conversation."""
    visit.page.reload()
    return Conversation(visit)


def test_what_is_shown():
    import chat_page

    code = "```html\n<p>![a](b)</p>\n```"
    text = f"a < b, `x < y`, <b>![c](http://192.0.2.1/)\n{code}\n<i>\n```\n<u>"
    assert chat_page.shown("assistant", text)["content"] == (
        f"a &#60; b, `x < y`, &#60;b>&#33;[c](http://192.0.2.1/)\n{code}\n&#60;i>\n```\n<u>")
    assert chat_page.shown("user", "1. *a*\n  b  c")["content"] == (
        "1&#46; &#42;a&#42;\n&nbsp;&nbsp;b &nbsp;c")


def test_a_port_that_is_taken_and_a_missing_gradio(monkeypatch, capsys):
    import chat_page

    monkeypatch.setattr(chat_page, "load", lambda _: (None, None))
    monkeypatch.setattr(chat_page, "Chat", lambda *_: None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert chat_page.main(["--port", str(port)]) == 1
    assert capsys.readouterr().err == f"chat_page.py: port {port} is not free; name another by --port\n"
    with pytest.raises(SystemExit):
        chat_page.main(["--port", "70000"])
    assert "--port must be from 1 to 65535, got 70000" in capsys.readouterr().err
    script = "import sys; sys.modules['gradio'] = None; import chat_page"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    missing = "chat_page.py: gradio is missing: run `pip install -r chat-page.txt`, or `make chat-page`\n"
    assert (done.returncode, done.stderr) == (1, missing)


def test_an_answer_grows_and_the_conversation_goes_on(visitor):
    visitor.say(STORY)
    visitor.answers.first.wait_for()
    lengths = []
    while visitor.stop.is_visible():
        lengths.append(len(visitor.answers.last.inner_text()))
        visitor.page.wait_for_timeout(50)
    assert lengths == sorted(lengths) and len(set(lengths)) > 3
    visitor.send.wait_for()
    story = visitor.answers.first.inner_text()
    assert visitor.ask("Hi") != story == visitor.answers.first.inner_text()
    assert visitor.answers.count() == 2 and visitor.box.input_value() == ""
    assert visitor.page.locator("#messages .user .prose").all_inner_texts() == [STORY, "Hi"]


def test_stop_and_a_message_that_waits_in_its_box_while_another_is_answered(visitor):
    visitor.say(STORY)
    visitor.answers.first.wait_for()
    visitor.say(FRANCE)
    visitor.stop.click()
    visitor.send.wait_for()
    story = visitor.answers.first.inner_text()
    visitor.page.wait_for_timeout(500)
    assert visitor.answers.count() == 1 and visitor.answers.first.inner_text() == story
    assert visitor.box.input_value() == FRANCE
    visitor.box.press("Enter")
    visitor.stop.wait_for()
    visitor.send.wait_for()
    assert visitor.answers.count() == 2


def test_a_new_conversation_also_during_an_answer(visitor):
    visitor.say(STORY)
    visitor.answers.first.wait_for()
    visitor.new.click()
    visitor.send.wait_for()
    assert visitor.answers.count() == 0
    assert visitor.ask(FRANCE) == PARIS  # which it would not say after the beginning of a story
    visitor.page.get_by_label("Clear").click()  # the chat's own button
    visitor.answers.first.wait_for(state="detached")
    assert visitor.ask(FRANCE) == PARIS


def test_the_system_text(visitor):
    itself = visitor.ask("Hi")
    visitor.page.get_by_role("button", name="What the model is told about itself").click()
    system = visitor.page.get_by_label("System text")
    system.fill("You are a pirate.")
    visitor.new.click()
    visitor.answers.first.wait_for(state="detached")
    assert visitor.ask("Hi") != itself
    system.fill(" ")
    visitor.page.get_by_label("Clear").click()
    visitor.note.wait_for()
    assert visitor.note.inner_text() == "The message of the system is empty."
    assert visitor.answers.count() == 1


def test_what_cannot_be_answered_is_said_in_one_sentence(visitor):
    visitor.say("  ")
    visitor.note.wait_for()
    assert visitor.note.inner_text() == "Write a message first."
    visitor.say("word " * 9000)
    full = re.compile(r"^The conversation has 9\d\d\d tokens, the model takes 8192: begin a new one\.$")
    visitor.note.filter(has_text=full).wait_for()
    visitor.send.wait_for()
    assert visitor.box.input_value() == "word " * 9000 and visitor.answers.count() == 0
    assert visitor.ask(FRANCE) == PARIS
    assert not visitor.note.is_visible()


def test_two_visitors_at_once(visitor, browser, address):
    other = Conversation(browser(address, width=400, dark=True))
    visitor.say(STORY)
    visitor.stop.wait_for()
    assert other.ask(FRANCE) == PARIS
    visitor.send.wait_for()
    assert visitor.answers.count() == 1 and "Paris" not in visitor.answers.first.inner_text()
    assert (other.visit.errors, other.visit.leaving) == ([], [])


def test_what_a_message_says_stays_text(visitor):
    text = "*a* <b>b</b> `c`\n    ![d](http://192.0.2.1/d.png) &amp; http://192.0.2.1/ \\[e\\]"
    visitor.say(text)
    visitor.stop.click()
    visitor.send.wait_for()
    assert visitor.page.locator("#messages .user .prose").inner_text().replace("\N{NO-BREAK SPACE}", " ") == text


def test_messages_of_one_visitor_are_answered_one_after_the_other(address):
    """Sent at once, past the page."""
    client = pytest.importorskip("gradio_client").Client(address, analytics_enabled=False, verbose=False)
    jobs = [client.submit(text, "Be brief.", api_name="/answer") for text in (FRANCE, "Name one more city there.")]
    final = sorted((job.result(timeout=60)[0] for job in jobs), key=len)
    client.close()
    assert [len(messages) for messages in final] == [2, 4] and final[1][:2] == final[0]
