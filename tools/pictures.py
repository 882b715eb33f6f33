"""Give the pictures that respond, as the notebooks store them, the script that notebooks/interactive.js has now.

Every such output carries its script, and the longest notebook runs for minutes: a change of the script alone needs no
new run. `make extract` does it; tests/test_interactive.py fails where a notebook has another script.
"""

import re
import sys
from pathlib import Path

import nbformat

from run import write

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "notebooks"))

import interactive  # noqa: E402

PICTURE = re.compile(r'(<div class="llm-picture" data-kind="(\w+)".*<script>\n)(.*)(</script>)', flags=re.DOTALL)


def stored(notebook):
    """Return [(output data, kind, script), ...] of the pictures that respond in a notebook."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            match = PICTURE.fullmatch(output.get("data", {}).get("text/html", ""))
            if match:
                found.append((output.data, match[2], match[3]))
    return found


def main(folder=ROOT / "notebooks"):
    """Write the present scripts into the notebooks of a folder."""
    for path in sorted(folder.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        old = [(data, kind) for data, kind, script in stored(notebook) if script != interactive.script(kind)]
        for data, kind in old:
            present = interactive.script(kind)
            data["text/html"] = PICTURE.sub(lambda match, present=present: match[1] + present + match[4],
                                            data["text/html"])
        if old:
            write(notebook, path)
            print(f"{path.name}: {len(old)} pictures have a new script")


if __name__ == "__main__":
    main()
