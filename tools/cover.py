"""Write notebooks/course.png, the README's picture: the stored output of the notebook cell tagged `cover`.

So the picture is drawn from a trained model, like every figure of the course; `make extract` keeps it up to date.
"""

import base64
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
COVER = ROOT / "notebooks" / "course.png"


def stored_cover(folder=ROOT / "notebooks"):
    """Return the PNG bytes of the one cell that is tagged `cover`."""
    cells = [cell for path in sorted(folder.glob("*.ipynb")) for cell in nbformat.read(path, as_version=4).cells
             if "cover" in cell.metadata.get("tags", [])]
    (cell,) = cells
    (output,) = cell.outputs
    return base64.b64decode(output.data["image/png"])


if __name__ == "__main__":
    COVER.write_bytes(stored_cover())
