"""Write the README's pictures: a notebook cell tagged `cover-heads` has, as its stored output, notebooks/heads.png.

So they are drawn from trained models, like every figure of the course; `make extract` keeps them up to date.
"""

import base64
from pathlib import Path

import nbformat

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"


def stored_covers(folder=FOLDER):
    """Return {path: PNG bytes} of all tagged cells; each has one output, and a name that no other cell has."""
    covers = {}
    for notebook in sorted(folder.glob("*.ipynb")):
        for cell in nbformat.read(notebook, as_version=4).cells:
            for tag in cell.metadata.get("tags", []):
                if tag.startswith("cover-"):
                    path, (output,) = folder / f"{tag.removeprefix('cover-')}.png", cell.outputs
                    if path in covers:
                        raise ValueError(f"two cells have the tag {tag}")
                    covers[path] = base64.b64decode(output.data["image/png"])
    return covers


if __name__ == "__main__":
    for path, png in stored_covers().items():
        path.write_bytes(png)
