# How Docstore is set up, run, tested and checked, the same at the desk and in CI; `make help` lists it.
#
# Everything lives in one virtual environment, VENV. Two files in it mark what is installed: the runtime, then the
# tools of the tests. They carry the name of the PYTHON they were made with and depend on the locks and pyproject.toml,
# so a second run installs nothing, and a change of any of these makes the environment anew, with no leftovers in it.
#
# pip installs what the locks pin, by hash. Nothing is compiled: all but two entries must come as wheels, and those two
# (plain Python, for the tests only) are built by the setuptools that is in the lock. Bare `pip install -e .` was
# rejected: it takes whatever is newest that day.

PYTHON ?= python3
VENV ?= .venv
UV ?= uv
ARGS ?=
CYCLES ?= 1000
STATES ?= 300
ROUNDS ?= 20
SEED ?=
SEEDS ?= 100

SOURCE_ONLY := forbiddenfruit,sniffpy
RUNTIME := $(VENV)/.runtime-$(subst /,_,$(PYTHON))
TOOLS := $(VENV)/.tools-$(subst /,_,$(PYTHON))

.DELETE_ON_ERROR:
.PHONY: check serve install test crash power disks listed bounds guide pictures lint types format bench bench-wire bench-large bench-many bench-cache lock clean help

check: lint types test ## All that CI asks: format, lint, types, tests (the default)

serve: $(RUNTIME) ## Run the server; more options through ARGS='--port 9000'
	@$(VENV)/bin/docstore serve $(ARGS)

install: $(RUNTIME) ## Make .venv with the runtime and the command .venv/bin/docstore

# A file of tests stays in one process: what its tests share, a server or a browser, is started once.
test: $(TOOLS) ## Run all tests, or some: ARGS='tests/test_keys.py -k path'
	@$(VENV)/bin/pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

crash: $(TOOLS) ## Kill servers under load a thousand times and check what is left; CYCLES=100, SEED=7
	@DOCSTORE_CRASH_CYCLES=$(CYCLES) DOCSTORE_CRASH_SEED=$(SEED) $(VENV)/bin/pytest -n auto --maxprocesses 4 -rP \
		tests/crash/test_kill.py tests/crash/test_linear.py tests/crash/test_together.py $(ARGS)

power: $(TOOLS) ## Cut the power after every step of the engines on disk; STATES=0 for all, ROUNDS=100, SEED=7
	@DOCSTORE_POWER_STATES=$(STATES) DOCSTORE_POWER_ROUNDS=$(ROUNDS) DOCSTORE_POWER_SEED=$(SEED) $(VENV)/bin/pytest \
		-n auto --maxprocesses 4 -rP -o faulthandler_timeout=3600 tests/power $(ARGS)

disks: $(TOOLS) ## Fill small disks at random and empty them; SEEDS=100
	@DOCSTORE_DISKS=$(SEEDS) $(VENV)/bin/pytest -n auto --maxprocesses 4 tests/engines/test_full_disks.py $(ARGS)

listed: $(TOOLS) ## List a million keys with the command, in the memory of one page
	@DOCSTORE_LISTED=1000000 $(VENV)/bin/pytest tests/cli/test_process.py -k listing $(ARGS)

bounds: $(TOOLS) ## Test quotas at length: the whole contract on each engine, and long runs against the model
	@DOCSTORE_BOUNDS_LONG=1 $(VENV)/bin/pytest -n auto --maxprocesses 4 tests/engines/shared tests/engines/sqlite \
		tests/server/test_quota_served.py $(ARGS)

guide: $(TOOLS) ## Write the help of each command into docs/commands.md
	@$(VENV)/bin/python -m tests.cli.guide

pictures: $(TOOLS) ## Draw docs/pictures/ anew, with the Chromium on the PATH
	@$(VENV)/bin/python -m tests.web.pictures

lint: $(TOOLS) ## Check the format and the lint rules
	@$(VENV)/bin/ruff format --check --quiet --diff . && $(VENV)/bin/ruff check .

types: $(TOOLS) ## Check the types, strictly
	@$(VENV)/bin/mypy

format: $(TOOLS) ## Format the code and mend what lint can mend
	@$(VENV)/bin/ruff check --fix . ; $(VENV)/bin/ruff format .

bench: $(RUNTIME) ## Measure what a request costs in process
	@$(VENV)/bin/python benchmarks/handle.py

bench-wire: $(RUNTIME) ## Compare the wire with uvicorn's own protocol
	@$(VENV)/bin/python benchmarks/wire.py $(ARGS)

bench-large: $(RUNTIME) ## Documents up and down with the server's peak memory; ARGS='--sizes 20GiB'
	@$(VENV)/bin/python benchmarks/large.py $(ARGS)

bench-many: $(RUNTIME) ## Compare a store of ten million documents with one of ten thousand
	@$(VENV)/bin/python benchmarks/many.py $(ARGS)

bench-cache: $(RUNTIME) ## Measure what a quota costs, and eviction from ten thousand and from a million documents
	@$(VENV)/bin/python benchmarks/cache.py $(ARGS)

lock: ## Resolve the locks again (needs uv); newer versions with ARGS=--upgrade
	@$(call resolve,requirements/serve.txt,--group build)
	@$(call resolve,requirements/dev.txt,--group build --group dev --constraint requirements/serve.txt)

clean: ## Remove the environment and all caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

help: ## List these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile | expand -t 12

$(RUNTIME): requirements/serve.txt pyproject.toml
	$(usable)
	@echo "making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(if $(wildcard $(VENV)/pyvenv.cfg),--clear) $(VENV)
	@$(call pip,requirements/serve.txt,--only-binary :all: --require-hashes -r requirements/serve.txt)
	@$(call pip,docstore,--no-deps -e .)
	@touch $@

$(TOOLS): $(RUNTIME) requirements/dev.txt
	@echo "adding the tools of the tests to $(VENV)"
	@$(call pip,requirements/dev.txt,--only-binary :all: --no-binary $(SOURCE_ONLY) --require-hashes -r requirements/dev.txt)
	@touch $@

# Stops before anything is made, in one line, when PYTHON can't do it.
usable = $(if $(call runs,import sys; sys.exit(sys.version_info < (3, 11))),,$(error Docstore needs Python 3.11 or newer, \
$(PYTHON) is not; name another with PYTHON=python3.12))$(if $(call runs,import ensurepip; import venv),,$(error \
$(PYTHON) has no venv module; on Debian it is in the package python3-venv))
runs = $(shell $(PYTHON) -c '$(1)' >/dev/null 2>&1 </dev/null && echo yes)

# Installs $(1) with the options $(2). What pip has to say goes into a log; its last error becomes the one line here.
pip = $(VENV)/bin/python -m pip install --no-input --quiet --no-build-isolation --use-pep517 $(2) \
	>$(VENV)/pip.log 2>&1 </dev/null || { \
	echo "pip can't install $(1): $$(sed -n 's/^ERROR: //p' $(VENV)/pip.log | tail -n 1) (all of it is in $(VENV)/pip.log)" >&2; \
	exit 1; }

# Writes the lock $(1) with the options $(2): for every system and Python, with hashes, and no address of any host.
resolve = $(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url \
	--no-emit-find-links --custom-compile-command 'make lock' --output-file $(1) $(2) $(ARGS) pyproject.toml
