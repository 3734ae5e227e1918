# Sets up, runs, tests and checks Docstore, locally and in CI; `make help` lists the targets.
#
# Everything is installed into one virtual environment, VENV. Three files in it mark what is installed: the runtime, the
# test tools, and what tests on clusters need. Their names contain PYTHON, and they depend on the lock files and
# pyproject.toml. So a second run installs nothing, and a change of any of these creates a clean environment.
#
# pip installs the pinned versions by hash. Nothing is compiled: all but four packages must be wheels, and those four
# (plain Python, for tests only) are built by the pinned setuptools. `pip install -e .` was rejected, because it installs
# the newest versions of that day.

PYTHON ?= python3
VENV ?= .venv
UV ?= uv
ARGS ?=
CYCLES ?= 1000
STATES ?= 300
ROUNDS ?= 20
SEED ?=
SEEDS ?= 100
SECONDS ?= 60
EXAMPLES ?= 1000
# Tests start Python a thousand times: it keeps its compiled modules.
unexport PYTHONDONTWRITEBYTECODE

SOURCE_ONLY := forbiddenfruit,sniffpy
CLUSTER_SOURCE_ONLY := python-etcd,ydiff
RUNTIME := $(VENV)/.runtime-$(subst /,_,$(PYTHON))
TOOLS := $(VENV)/.tools-$(subst /,_,$(PYTHON))
CLUSTER := $(VENV)/.cluster-$(subst /,_,$(PYTHON))

.DELETE_ON_ERROR:
.PHONY: check serve install test fuzz fuzz-parsers crash power test-cluster test-postgres-cluster test-ceph-cluster disks listed attempts bounds guide pictures lint types format bench bench-wire bench-large bench-command bench-many bench-page bench-cache bench-local bench-postgres bench-object-store bench-instructions bench-peers bench-quick bench-slow-disk lock clean help

help: ## List these targets (the default)
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile | expand -t 20

check: lint types test ## Check format, lint rules and types, and run all tests

serve: $(RUNTIME) ## Run the server; options with ARGS='--port 9000'
	@$(VENV)/bin/docstore serve $(ARGS)

install: $(RUNTIME) ## Install the runtime and the command .venv/bin/docstore

# The tests of one file run in one process, because they share a server or a browser.
test: $(TOOLS) ## Run all tests, or some: ARGS='tests/test_keys.py -k path'
	@$(VENV)/bin/pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

fuzz: $(TOOLS) ## Run the tests with random examples at length: 1000 instead of 30; EXAMPLES=10000
	@DOCSTORE_EXAMPLES=$(EXAMPLES) $(VENV)/bin/pytest -n auto --maxprocesses 4 -m hypothesis \
		-o faulthandler_timeout=3600 $(ARGS)

fuzz-parsers: $(TOOLS) ## Fuzz the parsers of tokens, cookies, links and Forwarded, guided by coverage; SECONDS=3600
	@$(VENV)/bin/python -m tests.fuzz_parsers --seconds $(SECONDS) $(ARGS)

test-cluster: test-postgres-cluster test-ceph-cluster ## Test on clusters that are started for it, and kill their nodes

test-postgres-cluster: $(CLUSTER) ## Test the PostgreSQL engine on three nodes (needs root on Debian); SECONDS=600
	@DOCSTORE_CLUSTER_S=$(SECONDS) tests/cluster/isolated.sh 'etcd-server iproute2' \
		$(VENV)/bin/python -m tests.cluster.run $(ARGS)

test-ceph-cluster: $(TOOLS) ## Test the S3 engine on Ceph (needs root on Debian); SECONDS=600
	@DOCSTORE_CLUSTER_S=$(SECONDS) tests/cluster/isolated.sh \
		'ceph-common ceph-mgr ceph-mon ceph-osd curl iproute2 openssl radosgw' \
		tests/cluster/test_s3.sh $(VENV)/bin/pytest $(ARGS)

crash: $(TOOLS) ## Kill servers under load a thousand times and check what they leave; CYCLES=100, SEED=7
	@DOCSTORE_CRASH_CYCLES=$(CYCLES) DOCSTORE_CRASH_SEED=$(SEED) $(VENV)/bin/pytest -n auto --maxprocesses 4 -rP \
		tests/crash/test_kill.py tests/crash/test_linear.py tests/crash/test_together.py $(ARGS)

power: $(TOOLS) ## Simulate power loss after each step of the engines on disk; STATES=0 for all, ROUNDS=100, SEED=7
	@DOCSTORE_POWER_STATES=$(STATES) DOCSTORE_POWER_ROUNDS=$(ROUNDS) DOCSTORE_POWER_SEED=$(SEED) $(VENV)/bin/pytest \
		-n auto --maxprocesses 4 -rP -o faulthandler_timeout=3600 tests/power $(ARGS)

disks: $(TOOLS) ## Fill small disks at random and empty them; SEEDS=100
	@DOCSTORE_DISKS=$(SEEDS) $(VENV)/bin/pytest -n auto --maxprocesses 4 tests/engines/test_full_disks.py $(ARGS)

listed: $(TOOLS) ## List a million keys with the command, in the memory of one page
	@DOCSTORE_LISTED=1000000 $(VENV)/bin/pytest tests/cli/test_process.py -k listing $(ARGS)

attempts: $(TOOLS) ## Try to log in a million times with wrong tokens and cookies, in bounded memory
	@DOCSTORE_ATTEMPTS=1000000 $(VENV)/bin/pytest -o faulthandler_timeout=3600 \
		tests/server/security/test_failed_logins.py $(ARGS)

bounds: $(TOOLS) ## Test quotas at length: the whole contract on each engine, and long runs against the model
	@DOCSTORE_BOUNDS_LONG=1 $(VENV)/bin/pytest -n auto --maxprocesses 4 tests/engines/shared tests/engines/sqlite \
		tests/server/test_quota_served.py $(ARGS)

guide: $(TOOLS) ## Write the help of each command into docs/commands.md
	@$(VENV)/bin/python -m tests.cli.guide

pictures: $(TOOLS) ## Draw docs/pictures/ with the Chromium on the PATH
	@$(VENV)/bin/python -m tests.web.pictures

lint: $(TOOLS) ## Check formatting and lint rules
	@$(VENV)/bin/ruff format --check --quiet --diff . && $(VENV)/bin/ruff check .

types: $(TOOLS) ## Check the types, strictly
	@$(VENV)/bin/mypy

format: $(TOOLS) ## Format the code and fix what ruff can fix
	@$(VENV)/bin/ruff check --fix . ; $(VENV)/bin/ruff format .

bench: $(RUNTIME) ## Measure the cost of a request in process
	@$(VENV)/bin/python benchmarks/handle.py

bench-wire: $(RUNTIME) ## Compare Docstore's HTTP protocol with uvicorn's
	@$(VENV)/bin/python benchmarks/wire.py $(ARGS)

bench-large: $(RUNTIME) ## Upload and download large documents and measure peak memory; ARGS='--sizes 20GiB'
	@$(VENV)/bin/python benchmarks/large.py $(ARGS)

bench-command: $(RUNTIME) ## Compare the command with curl: its start, many small files, a large one
	@$(VENV)/bin/python benchmarks/command.py $(ARGS)

bench-many: $(RUNTIME) ## Compare a store of ten million documents with one of ten thousand
	@$(VENV)/bin/python benchmarks/many.py $(ARGS)

bench-object-store: $(TOOLS) ## Compare Docstore with the object store behind it; ARGS=s3://bucket?endpoint=URL
	@$(VENV)/bin/python benchmarks/object_store.py $(ARGS)

bench-peers: $(RUNTIME) ## Compare Docstore with nginx, webdis and etcd and write benchmarks/RESULTS.md (root on Debian installs them)
	@$(VENV)/bin/python -m benchmarks.peers $(ARGS)

bench-quick: $(RUNTIME) ## Compare a few requests with the peers that are installed, in a minute (needs wrk)
	@$(VENV)/bin/python -m benchmarks.peers --quick $(ARGS)

bench-instructions: $(RUNTIME) ## Count the instructions of a request, beside the last release's (needs valgrind); ARGS="304 PUT"
	@$(VENV)/bin/python benchmarks/instructions.py $(ARGS)

bench-slow-disk: $(RUNTIME) ## Measure whether reads wait for writes while each flush to the disk takes 50 ms
	@$(VENV)/bin/python benchmarks/slow_disk.py $(ARGS)

bench-page: $(TOOLS) ## Measure the page in Chromium: first paints, pages, rows drawn; ARGS='--keys 1000,10000000'
	@$(VENV)/bin/python -m benchmarks.page $(ARGS)

bench-cache: $(RUNTIME) ## Measure the cost of a quota, and eviction from ten thousand and a million documents
	@$(VENV)/bin/python benchmarks/cache.py $(ARGS)

bench-local: $(RUNTIME) ## Measure small durable writes in process, compared with diskcache where it is installed
	@$(VENV)/bin/python benchmarks/local.py $(ARGS)

lock: ## Resolve the lock files again (needs uv); ARGS=--upgrade takes newer versions
	@$(call resolve,requirements/serve.txt,--all-extras --group build)
	@$(call resolve,requirements/dev.txt,--all-extras --group build --group dev --constraint requirements/serve.txt)
	@$(call resolve,requirements/cluster.txt,--group cluster --constraint requirements/dev.txt)

bench-postgres: $(TOOLS) ## Measure PostgreSQL, that of a wheel or another: ARGS='--url postgresql://...'
	@$(VENV)/bin/python -m benchmarks.postgres $(ARGS)

clean: ## Remove the environment and all caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(RUNTIME): requirements/serve.txt pyproject.toml
	$(usable)
	@echo "creating the virtual environment $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(if $(wildcard $(VENV)/pyvenv.cfg),--clear) $(VENV)
	@echo "downloading and installing the libraries of Docstore into $(VENV), which may take a minute"
	@$(call pip,requirements/serve.txt,--only-binary :all: --require-hashes -r requirements/serve.txt)
	@$(call pip,docstore,--no-deps -e .)
	@touch $@

$(TOOLS): $(RUNTIME) requirements/dev.txt
	@echo "downloading and installing the test tools into $(VENV), which may take some minutes"
	@$(call pip,requirements/dev.txt,--only-binary :all: --no-binary $(SOURCE_ONLY) --require-hashes -r requirements/dev.txt)
	@touch $@

$(CLUSTER): $(TOOLS) requirements/cluster.txt
	@echo "installing the manager of clusters into $(VENV)"
	@$(call pip,requirements/cluster.txt,--only-binary :all: --no-binary $(CLUSTER_SOURCE_ONLY) --require-hashes -r requirements/cluster.txt)
	@touch $@

# Stop with one line, before anything is created, if PYTHON is not usable.
usable = $(if $(call runs,import sys; sys.exit(sys.version_info < (3, 11))),,$(error Docstore needs Python 3.11 or newer, \
$(PYTHON) is not; name another with PYTHON=python3.12))$(if $(call runs,import ensurepip; import venv),,$(error \
$(PYTHON) has no venv module; on Debian it is in the package python3-venv))
runs = $(shell $(PYTHON) -c '$(1)' >/dev/null 2>&1 </dev/null && echo yes)

# Install $(1) with the options $(2). The output of pip goes into a log; its last error is printed as one line.
pip = $(VENV)/bin/python -m pip install --no-input --quiet --no-build-isolation --use-pep517 $(2) \
	>$(VENV)/pip.log 2>&1 </dev/null || { \
	echo "pip can't install $(1): $$(sed -n 's/^ERROR: //p' $(VENV)/pip.log | tail -n 1) (the log is $(VENV)/pip.log)" >&2; \
	exit 1; }

# Write the lock file $(1) with the options $(2): for every system and Python, with hashes, without URLs of an index.
resolve = $(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url \
	--no-emit-find-links --custom-compile-command 'make lock' --output-file $(1) $(2) $(ARGS) pyproject.toml
