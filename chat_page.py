"""Talk to SmolLM2-135M-Instruct in a web page on this computer: chat.py with a browser.

    python chat_page.py                       then open the address that it prints
    python chat_page.py --temperature 0.7     answers that differ from time to time
    python chat_page.py --port 8000           another port; `--help` lists the other options

Each tab of a browser has a conversation of its own; they share the model, which answers one after the other. The page
is for this computer alone: no other can open it, it asks for nothing from elsewhere, and it tells nobody that it runs.
"""

import argparse
import html
import os
import re
import sys
import time
from collections import defaultdict

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # Gradio reads it when it is imported
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"  # it asks its own page whether it is there
try:
    import gradio as gr
except ModuleNotFoundError as error:
    sys.exit(f"chat_page.py: {error.name} is missing: run `pip install -r chat-page.txt`, or `make chat-page`")
import torch

from chat import load, parse
from previous_chapters import Chat

HOST = "127.0.0.1"
# Whatever a message may hold, the browser fetches from this address only.
POLICY = ("default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
          "img-src 'self' data: blob:; font-src 'self' data:")
STYLE = """
.gradio-container { width: 100%; max-width: 860px !important; margin: auto; }
#head { align-items: center; flex-wrap: nowrap; }
#head h1 { margin: 0; }
#messages .placeholder { padding: 0 24px; text-align: center; }
#note p { margin: 0; color: var(--error-text-color); }
"""
PLACEHOLDER = "SmolLM2 has 135 million parameters and runs on this computer. Ask it: What is the capital of France?"
MATH = [{"left": r"\(", "right": r"\)", "display": False}, {"left": r"\[", "right": r"\]", "display": True}]


class OnlyFromHere:
    """Tell the browser, with every answer of an application, to ask nobody else for anything."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def send_with_policy(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
            await send(message)

        await self.app(scope, receive, send_with_policy)


class Visitor:
    """What the program keeps for one tab, until it is closed: a conversation's cache can take hundreds of megabytes.

    Attributes:
        chat: its conversation, None before the first message. A new conversation is a new object, so that an answer
            that is still being written cannot get into it.
        stopped: whether the answer that is being written shall end.
    """

    chat = None
    stopped = False


def sentence(text):
    """Return what the note says, with a capital and a full stop; it is hidden where there is nothing to say."""
    text = text and f"<p role='alert'>{html.escape(text[0].upper() + text[1:])}.</p>"
    return gr.HTML(text, visible=bool(text))


def shown(role, text):
    """Return a message for the page, which takes Markdown: a question as typed; an answer without images and HTML."""
    if role == "user":
        text = re.sub(r"[!-/:-@\[-`{-~]", lambda found: f"&#{ord(found[0])};", text.expandtabs(4))
        text = re.sub("(?m)(?<= ) |^ ", "&nbsp;", text)
    else:
        code_or_forbidden = r"(?s)(```.*?(?:```|\Z)|`[^`\n]*`)|<|!(?=\[)"
        text = re.sub(code_or_forbidden, lambda found: found[1] or f"&#{ord(found[0])};", text)
    return {"role": role, "content": text}


def conversation(chat):
    """Return the messages of a conversation for the page."""
    return [shown(message["role"], message["content"]) for message in chat.messages if message["role"] != "system"]


def build(model, tokenizer, options, visitors):
    """Return the page; `visitors` is a dict from Gradio's name of a tab to a `Visitor`, and makes those it lacks."""

    def answer(text, system, request: gr.Request):
        """Yield the page while the answer to a message grows."""
        visitor = visitors[request.session_hash]
        if not text.strip():
            yield {note: sentence("write a message first")}
            return
        try:
            visitor.chat = visitor.chat or Chat(model, tokenizer, system or options.system, options.temperature)
        except ValueError as error:
            yield {note: sentence(str(error))}
            return
        chat, said, problem = visitor.chat, "", ""
        visitor.stopped = False
        before = [*conversation(chat), shown("user", text)]
        yield {messages: before, box: gr.Textbox("", submit_btn=False, stop_btn="Stop"), note: sentence("")}
        stream = chat.stream(text, options.max_tokens)
        try:
            for piece in stream:
                said += piece
                yield {messages: [*before, shown("assistant", said)]}
                if visitor.stopped or visitor.chat is not chat:
                    break
        except ValueError as error:
            problem = str(error)
        finally:
            stream.close()  # the conversation keeps what was written
        idle = {"submit_btn": "Send", "stop_btn": False}
        if not said.strip() and visitor.chat is chat:
            idle["value"] = text
            problem = problem or "there is no answer"
        yield {messages: conversation(visitor.chat), box: gr.Textbox(**idle), note: sentence(problem)}

    def stop(request: gr.Request):
        visitors[request.session_hash].stopped = True

    def leave(request: gr.Request):
        visitors.pop(request.session_hash, Visitor()).stopped = True

    def begin(system, request: gr.Request):
        """Begin a new conversation; an answer that is being written ends."""
        visitor = visitors[request.session_hash]
        try:
            visitor.chat = Chat(model, tokenizer, system or options.system, options.temperature)
        except ValueError as error:
            return {messages: conversation(visitor.chat) if visitor.chat else [], note: sentence(str(error))}
        return {messages: [], note: sentence("")}

    with gr.Blocks(title="SmolLM2", fill_height=True) as page:
        with gr.Row(elem_id="head"):
            gr.Markdown("# SmolLM2")
            new = gr.Button("New conversation", size="md", scale=0, min_width=180)
        messages = gr.Chatbot(elem_id="messages", show_label=False, scale=1, min_height=240, buttons=[],
                              latex_delimiters=MATH, placeholder=PLACEHOLDER)
        note = gr.HTML(elem_id="note", visible=False, padding=False)
        box = gr.Textbox(label="Message", placeholder="Message", show_label=False, submit_btn="Send", autofocus=True,
                         max_lines=8)
        with gr.Accordion("What the model is told about itself", open=False):
            system = gr.Textbox(options.system, show_label=False, label="System text", lines=2, max_lines=8,
                                info="The next new conversation begins with it.")
        box.submit(answer, [box, system], [messages, box, note], concurrency_limit=1, show_progress="minimal",
                   show_progress_on=messages)
        box.stop(stop, queue=False, show_progress="hidden")
        gr.on([new.click, messages.clear], begin, system, [messages, note], queue=False, show_progress="hidden")
        page.unload(leave)
    return page


def main(arguments=None):
    """Show the page until Ctrl-C; return the exit status."""
    parser = argparse.ArgumentParser(description="Talk to SmolLM2 in a web page on this computer.")
    parser.add_argument("--port", type=int, help="of the address (default: the first free one from 7860 on)")
    options = parse(arguments, parser)
    if options.port is not None and not 1 <= options.port <= 65535:
        parser.error(f"--port must be from 1 to 65535, got {options.port}")
    try:
        model, tokenizer = load(options)
        Chat(model, tokenizer, options.system)
    except (FileNotFoundError, ValueError) as error:
        print(f"chat_page.py: {error}", file=sys.stderr)
        return 1
    torch.manual_seed(options.seed)
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    theme.set(block_info_text_color="*neutral_500", input_placeholder_color="*neutral_500",
              input_placeholder_color_dark="*neutral_400")
    visitors = defaultdict(Visitor)
    page = build(model, tokenizer, options, visitors)
    try:
        page.launch(server_name=HOST, server_port=options.port, share=False, ssr_mode=False, run_history=False,
                    footer_links=[], app_kwargs={"middleware": [(OnlyFromHere, (), {})]}, css=STYLE, theme=theme,
                    quiet=True, prevent_thread_lock=True)
    except OSError:
        wanted = "no port from 7860 on is" if options.port is None else f"port {options.port} is not"
        print(f"chat_page.py: {wanted} free; name another by --port", file=sys.stderr)
        return 1
    print(f"SmolLM2 is at {page.local_url} (Ctrl-C ends it)", flush=True)
    try:
        while True:
            time.sleep(0.5)
    except KeyboardInterrupt:
        print()
    for visitor in list(visitors.values()):
        visitor.stopped = True
    time.sleep(0.5)  # answers end; the server would wait for them for seconds
    page.close(verbose=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
