# Everything here starts from a clean clone: python3 and make are all it needs.
# Each target installs what it uses into .venv first, and only when that is out of date.

PYTHON ?= python3
PYTHON_OLDEST ?= python3.10
# Where to look for torch besides the default index, such as an index of CPU builds.
TORCH_INDEX_URL ?=
# Passed on to the program that a target runs: make test ARGS="-k entropy"
ARGS ?=
# The data set of make demo: make demo DATASET=usps
DATASET ?=

# Real data, for the demo, the slow tests and the benchmarks.
ifndef SKMIXAE_DATA
ifneq ($(wildcard ../shared/data/.),)
export SKMIXAE_DATA := $(abspath ../shared/data)
endif
endif

VENV := .venv
VENV_OLDEST := .venv-oldest
VENV_PEERS := .venv-peers
READY := $(VENV)/.ready
READY_OLDEST := $(VENV_OLDEST)/.ready
READY_PEERS := $(VENV_PEERS)/.ready
PEERS := benchmarks/quality/requirements-peers.txt
EXTRAS_OLDEST := plot,safetensors,rich,test
EXTRAS := $(EXTRAS_OLDEST),benchmark,docs,lint
PIP_FLAGS := -qq --no-input --disable-pip-version-check
# pytest in an environment, with one thread: two processes with two threads each on two
# cores wait for one another.
pytest = OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(1)/bin/python -m pytest
# Test processes.
WORKERS ?= 2
SPREAD := -n $(WORKERS) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help demo peers bench test test-slow test-oldest lint format types docs doctest clean

help: ## print this list
	@echo "skmixae: make TARGET, where TARGET is one of"
	@sed -n 's/^\([a-z-]*\):[^#]*## /  \1 /p' Makefile | awk \
		'{ name = $$1; $$1 = ""; printf "  %-13s%s\n", name, $$0 }'
	@echo "Settings: PYTHON=python3, PYTHON_OLDEST=python3.10, TORCH_INDEX_URL=,"
	@echo "          SKMIXAE_DATA=folder, DATASET=name, ARGS='more arguments', WORKERS=2"

demo: $(READY) ## cluster real data and show what was found (DATASET=name)
	@$(VENV)/bin/python -m benchmarks.demo $(if $(DATASET),--dataset $(DATASET)) $(ARGS)

peers: $(READY_PEERS) ## set up ClustPy, which benchmarks compare with
	@echo "ClustPy is in $(VENV_PEERS); python -m benchmarks.quality finds it there."

test: $(READY) ## run the tests, without the slow ones
	@echo "Running the tests in $(WORKERS) processes."
	@$(call pytest,$(VENV)) tests $(SPREAD) $(ARGS)

test-slow: $(READY) ## run the slow tests only
	@echo "Running the slow tests in $(WORKERS) processes; this takes minutes."
	@$(call pytest,$(VENV)) tests -m slow $(SPREAD) $(ARGS)

test-oldest: $(READY_OLDEST) ## run the tests with the oldest promised versions
	@echo "Running the tests with the versions of constraints-oldest.txt."
	@$(call pytest,$(VENV_OLDEST)) tests $(SPREAD) $(ARGS)

bench: $(READY) ## time what is done often (ARGS=--benchmark-compare: beside last time)
	@$(call pytest,$(VENV)) benchmarks/regression --benchmark-autosave -q \
		--benchmark-columns=median,iqr,rounds --benchmark-sort=fullname $(ARGS)

lint: $(READY) ## check style and spelling
	@$(VENV)/bin/python -m ruff check .
	@$(VENV)/bin/python -m ruff format --check .
	@$(VENV)/bin/python -m codespell_lib $(wildcard skmixae tests benchmarks docs *.md)

format: $(READY) ## mend what lint can mend by itself
	@$(VENV)/bin/python -m ruff check --fix .
	@$(VENV)/bin/python -m ruff format .

types: $(READY) ## check the type annotations of the package
	@$(VENV)/bin/python -m mypy

docs: $(READY) ## build the documentation into docs/_build/html
	@cd docs && OMP_NUM_THREADS=1 MPLBACKEND=Agg ../$(VENV)/bin/python -m sphinx \
		-W --keep-going -q -j auto -b html . _build/html $(ARGS)
	@echo "The documentation is in docs/_build/html/index.html."

doctest: $(READY) ## run the examples in the package's docstrings
	@$(call pytest,$(VENV)) --doctest-modules skmixae $(ARGS)

clean: ## remove everything that make created, the environments too
	rm -rf $(VENV) $(VENV_OLDEST) $(VENV_PEERS) build dist
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf docs/_build docs/auto_examples docs/generated docs/sg_execution_times.rst
	find skmixae tests benchmarks -name __pycache__ -type d -exec rm -rf {} + 2>/dev/null || true

$(READY): pyproject.toml constraints.txt
	$(call install,$(PYTHON),$(VENV),constraints.txt,$(EXTRAS))

$(READY_OLDEST): pyproject.toml constraints-oldest.txt
	$(call install,$(PYTHON_OLDEST),$(VENV_OLDEST),constraints-oldest.txt,$(EXTRAS_OLDEST))

# In an environment of its own: ClustPy needs torchvision, which would replace the torch
# that is installed already.
$(READY_PEERS): $(PEERS) constraints.txt
	$(call environment,$(PYTHON),$(VENV_PEERS),constraints.txt,torch)
	@$(VENV_PEERS)/bin/python -m pip install $(PIP_FLAGS) -c constraints.txt \
		$(if $(TORCH_INDEX_URL),--extra-index-url $(TORCH_INDEX_URL)) -r $(PEERS)
	@touch $@

# environment(python, folder, constraints, packages): create one with torch in it.
# torch goes first and by the exact version in the constraints: a range would bring the
# newest build, on Linux one with gigabytes of CUDA libraries.
define environment
	@$(1) -c '' >/dev/null 2>&1 || { \
		echo "$(1) was not found or does not run: install Python 3.10 or newer, or" \
		"name yours with PYTHON= (PYTHON_OLDEST= for test-oldest)." >&2; exit 1; }
	@$(1) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "skmixae needs Python 3.10 or newer, and $(1) is" \
		"$$($(1) --version 2>&1): name another with PYTHON=." >&2; exit 1; }
	@$(2)/bin/python -m pip --version >/dev/null 2>&1 || { \
		echo "Creating the environment $(2) with $$($(1) --version)."; \
		$(1) -m venv --clear $(2) || $(1) -m virtualenv --clear $(2) || { \
		echo "$(1) cannot create an environment with pip in it: install its venv" \
		"module (python3-venv on Debian and Ubuntu) or virtualenv." >&2; exit 1; }; }
	@echo "Installing torch into $(2), then what else goes there." \
		"This takes a few minutes the first time."
	@$(2)/bin/python -m pip install $(PIP_FLAGS) -c $(3) \
		$(if $(TORCH_INDEX_URL),--extra-index-url $(TORCH_INDEX_URL)) \
		$(4)
endef

# install(python, folder, constraints, extras): set up one environment for the package.
# hatchling comes with torch so that the package is built with a pinned version too, not
# in a build environment that fetches its own.
define install
	$(call environment,$(1),$(2),$(3),torch hatchling)
	@$(2)/bin/python -m pip install $(PIP_FLAGS) -c $(3) --no-build-isolation -e ".[$(4)]"
	@touch $(2)/.ready
endef
