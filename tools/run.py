"""Execute the chapters headless, from top to bottom, and show which notebook and section is running.

    python tools/run.py                           run all chapters, keep the executed copies in build/
    python tools/run.py notebooks/ch02*.ipynb     run some
    python tools/run.py --save                    write the outputs into the notebooks themselves (for authors)

A failing cell stops the run with the notebook, the section, the cell and the error, and exit status 1. At the end come
the last lines that the cells tagged `headline` printed.
"""

import argparse
import asyncio
import os
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
CELL_TIMEOUT = 3600  # seconds; the longest cell trains for several minutes
FAILURES = (CellExecutionError, CellTimeoutError, DeadKernelError)


class WatchedClient(NotebookClient):
    """A notebook client that shows the last line a running cell has printed."""

    bar = None

    def process_message(self, msg, cell, cell_index):
        """Hand a stream message's last line to the progress bar, then store the message as usual."""
        if msg["msg_type"] == "stream" and msg["content"]["text"].strip():
            self.bar.set_postfix_str(msg["content"]["text"].strip().splitlines()[-1][:70])
        return super().process_message(msg, cell, cell_index)


def normalise(notebook):
    """Remove what differs from run to run or from machine to machine, so that a diff shows only what changed."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata = {key: value for key, value in cell.metadata.items() if key == "tags" and value}
    return notebook


def write(notebook, path):
    """Write a notebook in its normal form, with UNIX line ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nbformat.writes(normalise(notebook)) + "\n", encoding="utf-8", newline="\n")


def sections(notebook):
    """Return, for every cell, the heading it stands under."""
    current, found = "", []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            current = (re.findall(r"^#+ (.+)$", cell.source, flags=re.MULTILINE) or [current])[-1]
        found.append(current)
    return found


async def tick(bar):
    """Redraw the bar every second, so that the elapsed time moves while one cell runs for minutes."""
    while True:
        await asyncio.sleep(1)
        bar.refresh()


async def execute(path, start):
    """Run one notebook in a fresh kernel and return it with its outputs.

    An error carries the notebook as far as it came, and the index of the cell that failed.
    """
    notebook = nbformat.read(path, as_version=4)
    headings, shown, running = sections(notebook), set(), 0
    client = WatchedClient(notebook, timeout=CELL_TIMEOUT, kernel_name="python3", record_timing=False,
                           coalesce_streams=True, resources={"metadata": {"path": str(path.parent)}},
                           extra_arguments=["--log-level=ERROR"])
    code_cells = sum(cell.cell_type == "code" for cell in notebook.cells)
    form = "{desc} {bar:24} {n_fmt}/{total_fmt} cells  {elapsed}{postfix}"
    with tqdm(total=code_cells, desc=path.stem, bar_format=form, disable=None) as bar:
        # TQDM_DISABLE is meant for the kernels; here `disable=None` decides by whether there is a terminal.
        client.bar = bar

        def announce(cell, cell_index):
            nonlocal running
            running = cell_index
            if headings[cell_index] not in shown:
                shown.add(headings[cell_index])
                minutes, seconds = divmod(int(time.monotonic() - start), 60)
                tqdm.write(f"{minutes:3d}:{seconds:02d}  {path.stem}  {headings[cell_index]}", file=sys.stdout)
                sys.stdout.flush()

        client.on_cell_start = announce
        client.on_cell_complete = lambda cell, cell_index: bar.update(cell.cell_type == "code")
        ticking = asyncio.create_task(tick(bar))
        try:
            await client.async_execute()
        except FAILURES as error:
            error.notebook, error.cell_index = notebook, running
            raise
        finally:
            ticking.cancel()
    return notebook


def describe_failure(path, error):
    """Return the lines that tell which cell failed, and how."""
    cells, failed = error.notebook.cells, error.cell_index
    number = sum(cell.cell_type == "code" for cell in cells[: failed + 1])
    if isinstance(error, CellExecutionError):
        what = f"{error.ename}: {error.evalue}"
    elif isinstance(error, CellTimeoutError):
        what = f"it ran for more than {CELL_TIMEOUT} seconds"
    else:
        what = f"the kernel died ({error})"
    return (f"\n{path.name}, section {sections(error.notebook)[failed]!r}, code cell {number} failed:\n\n"
            f"{cells[failed].source}\n\n{what}")


def headlines(notebook):
    """Return the last line that each cell tagged `headline` printed."""
    cells = [cell for cell in notebook.cells if "headline" in cell.metadata.get("tags", [])]
    texts = ["".join(output.text for output in cell.outputs if output.output_type == "stream") for cell in cells]
    return [text.splitlines()[-1] for text in texts if text.strip()]


def main(arguments=None):
    """Run the notebooks; return the exit status."""
    parser = argparse.ArgumentParser(description="Execute the chapters from top to bottom.")
    parser.add_argument("notebooks", nargs="*", type=Path, help="which (default: all in notebooks/)")
    parser.add_argument("--save", action="store_true", help="write the outputs into the notebooks themselves")
    parser.add_argument("--build", type=Path, default=ROOT / "build", help="where the executed copies go")
    options = parser.parse_args(arguments)
    paths = options.notebooks or sorted((ROOT / "notebooks").glob("ch*.ipynb"))
    os.environ.setdefault("TQDM_DISABLE", "1")  # the kernels inherit it: no bars in stored outputs
    start, closing = time.monotonic(), []
    for path in map(Path.resolve, paths):
        try:
            notebook = asyncio.run(execute(path, start))
        except FAILURES as error:
            write(error.notebook, options.build / path.name)
            print(describe_failure(path, error), file=sys.stderr)
            return 1
        write(notebook, path if options.save else options.build / path.name)
        closing.extend(headlines(notebook))
    minutes, seconds = divmod(int(time.monotonic() - start), 60)
    print(f"\n{len(paths)} notebooks ran from top to bottom in {minutes} min {seconds} s.\n")
    print("\n".join(closing))
    return 0


if __name__ == "__main__":
    sys.exit(main())
