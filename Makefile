# What people type. `make` alone lists it.

PYTHON ?= python3
SUBMISSION ?= .
GRADE_OPTIONS ?=
CORPUS ?=
SEEDS ?= 200
PY := .venv/bin/python
# Each file on one core, since its tests share what is expensive to make. Races against cheats want a quiet machine:
# `make attacks` runs them.
LONG ?=
SELFTEST := grader/selftest -n auto --dist loadfile --no-loadscope-reorder --ignore grader/selftest/test_timing.py \
  $(if $(LONG),$(if $(filter only,$(LONG)),--only-long),--without-long)
# uv does not read pip's settings; pass on where they say that wheels lie.
export UV_FIND_LINKS ?= $(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null || echo $(PIP_FIND_LINKS))
ifeq ($(strip $(UV_FIND_LINKS)),)
unexport UV_FIND_LINKS
endif

.DEFAULT_GOAL := help
.PHONY: help setup test grade data stubs fixtures bench kill-matrix diagnosis seeds tolerances golden pictures attacks mutants oracles lint

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s%s\n", $$1, $$2 }' Makefile

setup: .venv/.ready ## make the environment in .venv (with uv if there is one, else with venv and pip)

# pip compiles what it installs; uv has to be told. Workers write no bytecode, so each would compile PyTorch anew.
.venv/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or later is needed; $(PYTHON) is $$($(PYTHON) -V). Name another one: make setup PYTHON=python3.12"; exit 1; }
	@if command -v uv >/dev/null 2>&1; then uv venv --quiet --allow-existing --python $(PYTHON) .venv; \
	else $(PYTHON) -m venv .venv; fi
	@$(PYTHON) -c 'import tomllib; t = tomllib.load(open("pyproject.toml", "rb")); \
	  print(*t["project"]["dependencies"], *t["dependency-groups"]["dev"], sep="\n")' > .venv/requirements.txt
	@{ if command -v uv >/dev/null 2>&1; then uv pip install --compile-bytecode --python .venv -r .venv/requirements.txt; \
	else $(PY) -m pip install --disable-pip-version-check -r .venv/requirements.txt; fi; } || { \
	  echo "The packages cannot be installed for $$($(PYTHON) -V) on this machine ($$(uname -sm)): see above which. If it is" \
	    "torch, there is no build of it for them (Intel Macs have none since torch 2.2, a new Python has none in its" \
	    "first months): name another Python, as in make setup PYTHON=python3.12, or use another machine."; exit 1; }
	@touch $@

# Students have no grader/selftest/; what is left then is their own code.
test: setup ## run the tests against the code in this folder, and the kit's own tests (LONG=1: those that take longest, too; LONG=only: only those)
	$(PY) -m pytest tests
	@if [ -d grader/selftest ]; then echo $(PY) -m pytest $(SELFTEST); $(PY) -m pytest $(SELFTEST); fi

grade: setup ## grade the code in SUBMISSION (default: this folder)
	@$(PY) -m grader "$(SUBMISSION)" $(GRADE_OPTIONS)

data: setup ## download TinyStories and the OpenWebText sample into data/ (CORPUS=tinystories: only that)
	@$(PY) -m grader data $(CORPUS)

stubs: setup ## staff: write cs336_basics/ and adapters.py from the reference
	$(PY) -m grader.kit.stubs

fixtures: setup ## staff: write what is generated below tests/fixtures/ anew
	$(PY) -m grader.fixtures all

kill-matrix: setup ## staff: which tests kill which known bug, and does each get its name
	$(PY) -m grader.selftest.kill_matrix

diagnosis: setup ## staff: is every bug named, also two at once and in the bank of wrong code, and none falsely?
	$(PY) -m grader.selftest.diagnosis
	$(PY) -m grader.selftest.diagnosis --bank

seeds: setup ## staff: is every known bug caught whatever the seed draws, or by luck? (SEEDS=200: hours; in CI a few seeds)
	$(PY) -m grader.selftest.seeds --seeds $(SEEDS)

tolerances: setup ## staff: do tolerances lie clear of honest code and of every known bug
	$(PY) -m grader explain tolerances

golden: setup ## staff: write the golden reports and a first evening anew; then read the diff, which is what is said differently
	$(PY) -m grader.selftest.golden --write
	$(PY) -m grader.selftest.test_first_evening

pictures: setup ## staff: make the pictures in README anew, from a real grade and a real training (needs Chromium)
	$(PY) -m grader.selftest.pictures --write

mutants: setup ## staff: change the reference bit by bit: which changes does no test notice? (half an hour)
	$(PY) -m pip install --quiet mutmut
	OMP_NUM_THREADS=1 $(PY) -m grader.selftest.mutants

# Without them, what compares with them is skipped. uv comes with the environment, and leaves alone what is installed.
oracles: setup ## staff: compare the architecture lab with other people's implementations, which are installed if they can be
	$(PY) -m uv pip install --quiet --python .venv --group oracles || echo "They cannot be installed here; see above."
	$(PY) -m pytest grader/selftest/test_architecture_oracles*.py -q -rs

attacks: setup ## staff: hostile submissions, and what each level of isolation does about them
	$(PY) -m grader.selftest.attacks
	$(PY) -m pytest grader/selftest/test_timing.py

bench: setup ## staff: speed and memory, as ratios taken in one run
	$(PY) -m benchmarks
	$(PY) -m pytest benchmarks -q --benchmark-group-by=func

lint: setup ## staff: formatting, lint and types
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy grader cs336_basics adapters.py benchmarks
