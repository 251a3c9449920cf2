# Everything runs in .venv, which the first target that needs it creates. Examples:
#   make reproduce-tables                                              the mini corpus: no download, no GPU
#   make data FETCH=1 STUDY=meld MELD_ROOT=/data/MELD                  downloads MELD first
#   make reproduce-tables STUDY=meld MELD_ROOT=/data/MELD LAUNCHER=slurm
#   make test ARGS="-k checkpoints"

PYTHON   ?= python3
MELD_ROOT ?=
LAUNCHER ?= local
EXPERIMENT ?= bert_grid
BENCH    ?= text_training
FROM     ?=
FETCH    ?=
ACCEPT   ?= false
ARGS     ?=

# What `make data FETCH=1` downloads goes where MELD_ROOT says, or into data/MELD; FETCH=text leaves the clips out.
ifneq ($(FETCH),)
$(if $(filter-out 1 text,$(FETCH)),$(error FETCH=$(FETCH): expected 1 for all of MELD, or text for its CSV files))
STUDY ?= $(if $(filter text,$(FETCH)),meld_minilm,meld)
$(if $(filter mini,$(STUDY)),$(error FETCH=$(FETCH) gets MELD, which STUDY=mini does not read: give another STUDY))
MELD_ROOT := $(or $(MELD_ROOT),data/MELD)
endif
STUDY    ?= mini

# MELD_ROOT may contain spaces and quotes: it is quoted here for Hydra, and by "$$CORPUS_ROOT" for the shell.
export CORPUS_ROOT := corpus.root='$(subst ',\',$(MELD_ROOT))'
export FETCH_TO := to='$(subst ',\',$(MELD_ROOT))'
ROOT := $(if $(MELD_ROOT),"$$CORPUS_ROOT")
PY   := .venv/bin/python
MELD := $(PY) -m meld_lightning
VENV_PACKAGE := $(notdir $(PYTHON))-venv

.PHONY: help setup test lint docs data reproduce-tables sweep demo dashboards bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-18s %s\n", $$1, $$2}' Makefile

setup: .venv/installed ## install the tested versions (constraints.txt) into .venv: about 8 GB

test: .venv/installed ## run the quick tests; ARGS="-m slow" runs the slow ones
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: .venv/installed ## run ruff and mypy
	$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy

docs: .venv/installed ## build the site of docs/ into site/, without a network
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict $(ARGS)

data: .venv/installed ## check the study's corpus, decode its clips, get its checkpoints, write the corpus report; FETCH=1 gets MELD first
	$(if $(FETCH),$(MELD) fetch "$$FETCH_TO" clips=$(if $(filter text,$(FETCH)),false,true) accept=$(ACCEPT))
	$(MELD) prepare study=$(STUDY) $(ROOT) $(ARGS)

reproduce-tables: .venv/installed ## run what the study's tables still need, then render them into experiments/STUDY
	$(MELD) reproduce study=$(STUDY) hydra/launcher=$(LAUNCHER) $(ROOT) $(ARGS)

# The ARGS of a sweep are those of train; prepare gets the ones that both take.
PREPARE_ARGS = $(filter corpus% paths.% media.% checkpoints% target=%,$(ARGS))

sweep: .venv/installed ## run the paper's grid: EXPERIMENT=bert_grid or roberta_grid; LAUNCHER=slurm on a cluster
	$(MELD) prepare study=$(STUDY) $(ROOT) $(PREPARE_ARGS)
	$(MELD) train experiment=$(EXPERIMENT) study=$(STUDY) hydra/launcher=$(LAUNCHER) $(ROOT) $(ARGS)

demo: .venv/installed ## open a page on this machine that answers about a clip: FROM=FOLDER of a run, a fusion or an export
	$(MELD) demo from="$(FROM)" $(ARGS)

dashboards: .venv/installed ## make a W&B view and report of each sweep run with ARGS=logger=wandb; without a W&B key, as JSON
	$(MELD) dashboards study=$(STUDY) $(ROOT) $(ARGS)

bench: .venv/installed ## compare with other ways: BENCH=all (one table), text_training, decoding, clip_scoring, speech_inference, weight_search or interval_coverage
	$(PY) benchmarks/$(BENCH).py $(ARGS)

clean: ## remove what tools leave behind; runs/, cache/, experiments/ and .venv/ stay
	rm -rf .mypy_cache .pytest_cache .ruff_cache build dist multirun outputs site
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +

# Two makes may ask for .venv at once: one installs, the other waits and finds it done.
# .venv/installing says that an install was cut short: packages may be half there, so that one starts afresh.
.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: Python 3.11 or newer is needed, $(PYTHON) is not: install one, then add PYTHON=python3.11"; exit 1; }
	@if command -v flock >/dev/null; then exec 9<Makefile; \
	  flock -n 9 || { echo "Another make is installing into .venv: waiting for it ..."; flock 9; }; fi; \
	if [ -e $@ ] && ! [ pyproject.toml -nt $@ ] && ! [ constraints.txt -nt $@ ]; then exit 0; fi; \
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing Debian's $(VENV_PACKAGE) ..."; export DEBIAN_FRONTEND=noninteractive; \
	    apt-get -qq update && apt-get -qq install -y $(VENV_PACKAGE) >/dev/null || exit 1; \
	  else echo "make: $(PYTHON) has no venv module; on Debian run: sudo apt-get install $(VENV_PACKAGE)"; exit 1; fi; \
	if [ -e .venv/installing ]; then echo "The last install was cut short: removing .venv"; rm -rf .venv; fi; \
	echo "Installing the tested versions into .venv (about 8 GB; a minute or more) ..."; \
	mkdir -p .venv && touch .venv/installing && $(PYTHON) -m venv .venv && \
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[mini,conformal,demo,slurm,wandb,tensorboard,bench,dev]' && \
	rm .venv/installing && touch $@
