"""Importing the classes reads no data file and asks no network; the tokenizer works without one."""

import os
import subprocess
import sys

from conftest import ROOT

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


def run(script, **environment):
    done = subprocess.run([sys.executable, "-c", WATCH + script], cwd=ROOT, env={**os.environ, **environment},
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_reads_no_file_and_no_network():
    out = run("""
import os
import previous_chapters
root = os.getcwd()
print([name for name in opened if os.path.abspath(name).startswith(root)
       and ".venv" not in name and not name.endswith((".py", ".pyc"))])
print("matplotlib" in sys.modules)
""")
    assert out.split() == ["[]", "False"]


def test_tiktoken_works_offline():
    out = run("""
import tiktoken
print(tiktoken.get_encoding("gpt2").encode("Akwirw ier"))
""", TIKTOKEN_CACHE_DIR=str(ROOT / "notebooks" / "data"))
    assert out.strip() == "[33901, 86, 343, 86, 220, 959]"
