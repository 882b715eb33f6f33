"""Check that the course still does what it prints; the same on Linux, macOS and Windows.

    python tools/check.py          for a change in progress: style, extraction, quick tests, chapters 1 to 4; minutes
    python tools/check.py --all    everything: all tests, and the stored outputs of every notebook

`make check` and `make test` set up what this needs and call it. It stops at the first part that fails, and says at the
end how long each part took; pytest says it for every file.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from times import clock

ROOT = Path(__file__).resolve().parent.parent
PYTEST = ["-m", "pytest", "-p", "tools.times"]
NBVAL = [*PYTEST, "--nbval", "--nbval-current-env", "--nbval-cell-timeout=1800"]
# Progress bars carry timings, so they stay off. The stored outputs are those of a machine without OpenAI's weights: no
# address to fetch them from, none kept.
# What torch.compile keeps on disk for one kind of processor can end a process on another: a folder for each that is
# imitated (by ATEN_CPU_CAPABILITY and ONEDNN_MAX_CPU_ISA).
COMPILED = {"TORCHINDUCTOR_CACHE_DIR": str(ROOT / "build" / f"compiled-{os.getenv('ATEN_CPU_CAPABILITY', 'native')}")}
NOTEBOOKS_SEE = {"TQDM_DISABLE": "1", "GPT2_MIRROR": "none", "GPT2_MODELS_DIR": str(ROOT / "build" / "none")}


def parts(everything):
    """Return {name of a part: arguments for Python}."""
    quick = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "notebooks").glob("ch0[1-4]-*.ipynb"))
    return {"style": ["-m", "ruff", "check", "."],
            "extraction": ["tools/extract.py", "--check"],
            "tests": [*PYTEST, "tests"] if everything else [*PYTEST, "-m", "not slow", "tests"],
            "notebooks": [*NBVAL, "notebooks"] if everything else [*NBVAL, *quick]}


def main(arguments=None):
    """Run the parts one after the other; return the exit status of the first that fails, or 0."""
    parser = argparse.ArgumentParser(description="Check that the course still does what it prints.")
    parser.add_argument("--all", action="store_true", help="all tests and all notebooks")
    options = parser.parse_args(arguments)
    spent = {}
    for name, part in parts(options.all).items():
        print(f"\n{name}", flush=True)
        began = time.monotonic()
        environment = {**os.environ, **COMPILED, **(NOTEBOOKS_SEE if name == "notebooks" else {})}
        status = subprocess.run([sys.executable, *part], cwd=ROOT, env=environment).returncode
        spent[name] = time.monotonic() - began
        if status != 0:
            print(f"\ncheck: {name} failed after {clock(spent[name]).strip()}", file=sys.stderr)
            return status
    spent["whole"] = sum(spent.values())
    print("\n" + "\n".join(f"{clock(seconds)}  {name}" for name, seconds in spent.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
