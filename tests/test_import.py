"""Importing the classes reads no data file and asks no network; the tokenizer works without one."""

from conftest import ROOT
from helpers import output_of

WATCH = """
import sys

opened = []

def hook(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        opened.append(arguments[0])
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        raise RuntimeError(f"asked the network: {arguments}")

sys.addaudithook(hook)
"""


def test_import_reads_no_file_and_no_network():
    out = output_of(WATCH + """
import os
import previous_chapters
root = os.getcwd()
print([name for name in opened if os.path.abspath(name).startswith(root)
       and ".venv" not in name and not name.endswith((".py", ".pyc"))])
print("matplotlib" in sys.modules)
""")
    assert out.split() == ["[]", "False"]


def test_tiktoken_works_offline():
    out = output_of(WATCH + """
import tiktoken
print(tiktoken.get_encoding("gpt2").encode("Akwirw ier"))
""", TIKTOKEN_CACHE_DIR=str(ROOT / "notebooks" / "data"))
    assert out.strip() == "[33901, 86, 343, 86, 220, 959]"
