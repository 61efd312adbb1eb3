# Two commands do everything: `make demo` and `make test`. Both set up the environment first, and only when it changed.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
EXTRAS ?= cpu,dev
comma  := ,
STAMP  := $(VENV)/.installed-$(shell cat pyproject.toml constraints.txt | sha256sum | cut -c1-12)-$(subst $(comma),-,$(EXTRAS))

.PHONY: demo test test-all reference lint types bench bench-all bench-models setup constraints clean help

help:            ## this list
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 16

demo: $(STAMP)   ## real speech to training shards, in under a minute: look at demo-out/report.html
	$(BIN)/speechprep demo --out demo-out

test: $(STAMP)   ## all tests, fast ones first
	$(BIN)/python -m pytest -n auto -m "not slow"
	$(BIN)/python -m pytest -m slow

test-all:        ## with every extra installed (8 GB): the comparisons with torch, transformers, whisperx as well
	$(MAKE) --no-print-directory reference VENV=.venv-all EXTRAS=all

reference: $(STAMP)
	$(BIN)/python -m pytest -m reference

lint: $(STAMP)   ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)  ## types
	$(BIN)/mypy speechprep

bench: $(STAMP)  ## the benchmarks of what needs no model: ratios, or speed with the work's size
	@for name in align chain ingest interleave kmeans pack subword trust units; do echo "== $$name"; $(BIN)/python benchmarks/$$name.py || exit 1; done

bench-all:       ## with every extra installed: those beside torch, transformers, whisperx, datasets as well
	$(MAKE) --no-print-directory bench-models VENV=.venv-all EXTRAS=all

bench-models: $(STAMP)
	@for name in alignment clap extractors loader long_audio recognition training vad; do echo "== $$name"; $(BIN)/python benchmarks/$$name.py || exit 1; done

setup: $(STAMP)  ## only the environment

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) --version >/dev/null 2>&1 || { echo "needs Python 3.11 or newer; name it: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "the venv module is missing: apt install python3.11-venv"; exit 1; }
	@if command -v uv >/dev/null; then uv pip install -q --python $(BIN)/python -c constraints.txt -e '.[$(EXTRAS)]'; \
	 else $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'; fi
	@rm -f $(VENV)/.installed-*; touch $@

constraints: setup ## renew constraints.txt from the newest releases that fit together
	uv pip compile pyproject.toml --extra all --python-version 3.11 --no-header --no-annotate --no-emit-index-url -o constraints.txt

clean:           ## remove the environment and the demo's output
	rm -rf $(VENV) demo-out
