# `make demo` and `make test` create the virtual environment first, and again when pyproject.toml or constraints.txt changed.
# Options: VENV=folder, EXTRAS=cpu,dev, PYTHON=python3.13 (the default is the first supported one on PATH),
# WHISPER=folder of the Whisper weights
PYTHON ?=
VENV   ?= .venv
BIN    := $(VENV)/bin
EXTRAS ?= cpu,dev
ROUNDS ?= 10
WHISPER ?= $(or $(SPEECHPREP_WHISPER),$(HOME)/.cache/speechprep/whisper)
comma  := ,
STAMP  := $(VENV)/.installed-$(shell cat pyproject.toml constraints.txt | sha256sum | cut -c1-12)-$(subst $(comma),-,$(EXTRAS))

# An interpreter that was removed, or an installation that was interrupted: the stamp does not count.
ifneq ($(shell test ! -e $(VENV)/.incomplete && $(BIN)/python -c "print('starts')" 2>/dev/null),starts)
.PHONY: $(STAMP)
endif

.PHONY: help demo test test-long test-all test-gpu reference whisper whisper-weights whisper-tests lint types docs bench bench-all bench-models setup constraints clean

help:            ## this list
	@grep -E '^[a-z-]+: .*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:.*## */\t/' | expand -t 16

demo: $(STAMP)   ## real speech to training shards, in under a minute: look at demo-out/report.html
	$(BIN)/speechprep demo --out demo-out

test: $(STAMP)   ## all tests, fast ones first
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow and not long"
	$(BIN)/python -m pytest -n auto --dist loadfile -m "slow and not long"

test-long: $(STAMP) ## tests marked `long`, then the property tests ROUNDS times with new random examples
	$(BIN)/python -m pytest -n auto -m long --timeout 3600 || test $$? -eq 5  # 5: no test has the marker
	@for round in $$(seq $(ROUNDS)); do echo "== round $$round of $(ROUNDS)"; $(BIN)/python -m pytest -n auto -m "hypothesis and not reference" || exit 1; done

test-all:        ## with every extra installed (9 GB): the comparisons with torch, transformers, whisperx as well
	$(MAKE) --no-print-directory reference VENV=.venv-all EXTRAS=all

reference: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist loadfile -m "reference and not long"

test-gpu:        ## the tests of models, backends and k-means that need a GPU, under 2 minutes
	$(BIN)/python -m pytest -m gpu

whisper:         ## fetch real Whisper weights (0.7 GB in WHISPER), and run the tests that need them
	$(MAKE) --no-print-directory whisper-weights whisper-tests VENV=.venv-all EXTRAS=all

whisper-weights: $(STAMP)
	$(BIN)/python -W ignore scripts/fetch_whisper.py "$(WHISPER)"

whisper-tests: $(STAMP)
	SPEECHPREP_WHISPER="$(WHISPER)" $(BIN)/python -m pytest -m whisper

lint: $(STAMP)   ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)  ## types
	$(BIN)/mypy speechprep

docs: $(STAMP)   ## README and docs/ as a static site in site/; a broken link is an error
	$(BIN)/python scripts/code_map.py --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "open site/index.html, or with search: $(BIN)/python -m http.server --directory site"

bench: $(STAMP)  ## the benchmarks of what needs no model: ratios, or speed with the work's size
	@for name in align chain ingest interleave kmeans pack startup subword trust units; do echo "== $$name"; $(BIN)/python benchmarks/$$name.py || exit 1; done

bench-all:       ## with every extra installed: those beside torch, transformers, whisperx, datasets as well
	$(MAKE) --no-print-directory bench-models VENV=.venv-all EXTRAS=all

bench-models: $(STAMP)
	@for name in alignment clap extractors loader long_audio recognition training vad; do echo "== $$name"; $(BIN)/python benchmarks/$$name.py || exit 1; done

setup: $(STAMP)  ## only the environment

$(STAMP): pyproject.toml constraints.txt
	@scripts/environment.sh "$(VENV)" "$(EXTRAS)" $(PYTHON)
	@rm -f $(VENV)/.installed-*; touch $@

constraints: setup ## constraints.txt for changed requirements; UPGRADE=--upgrade renews every version
	@command -v uv >/dev/null || { echo "make: uv is not on PATH. Install it first: pip install uv"; exit 1; }
	uv pip compile pyproject.toml --extra all --extra cpu --python-version 3.11 --quiet --no-header --no-annotate --no-emit-index-url --no-emit-find-links $(UPGRADE) -o constraints.txt
	@{ echo "# The pinned set: every extra installs together with it on Python 3.11 (pip install -c constraints.txt -e '.[cpu]')."; \
	  echo "# Renew: make constraints"; grep -v '^#' constraints.txt | LC_ALL=C sort; } > constraints.tmp && mv constraints.tmp constraints.txt

clean:           ## remove the environment, the demo's output and the site
	rm -rf $(VENV) demo-out site
