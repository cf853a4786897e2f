# All set-up happens in .venv, from the locks in requirements/. Nothing else on the machine is changed.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test bench lock clean

EXAMPLE := examples/summaries
UV := uv==0.13.9

# The first Python on PATH that is new enough and can make a virtual environment; PYTHON=… picks another.
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python; do \
	"$$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1 \
	&& echo "$$name" && break; done)

PIP := .venv/bin/python -m pip --disable-pip-version-check --quiet --quiet
LOCK := env -u UV_FIND_LINKS UV_PYTHON_DOWNLOADS=never .venv/bin/uv pip compile pyproject.toml --no-config --quiet --upgrade --universal \
	--python-version 3.10 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header

help:
	@echo 'make run     set up .venv and run the example workflow'
	@echo 'make test    set up .venv and run every check: ruff, mypy, pytest'
	@echo 'make bench   measure speed, memory and disk beside peers; writes benchmarks/RESULTS.md (some 15 minutes)'
	@echo 'make lock    resolve requirements/*.txt anew from pyproject.toml'
	@echo 'make clean   remove .venv, caches and what the examples wrote'

run: .venv/run.ok
	@PATH="$(CURDIR)/.venv/bin:$$PATH" penstock run $(EXAMPLE)
	@echo
	@sed -n 's/.*"accept_rate": *\([0-9.]*\).*/accept rate: \1/p' $(EXAMPLE)/logs/route_summary.json
	@if [ $(EXAMPLE)/applied/summaries.md -nt $(EXAMPLE)/logs/route_summary.json ]; \
		then echo 'applied:     $(EXAMPLE)/applied/summaries.md'; \
		else echo 'applied:     nothing, since the rate is not above 0.9'; fi

test: .venv/test.ok
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	PATH="$(CURDIR)/.venv/bin:$$PATH" .venv/bin/python -m pytest -n 2

bench: .venv/test.ok
	PATH="$(CURDIR)/.venv/bin:$$PATH" .venv/bin/python -m benchmarks

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo 'No Python 3.10 or later that can make a virtual environment was found on PATH.' >&2; \
		echo 'Debian, Ubuntu: apt install python3 python3-venv. Elsewhere: make PYTHON=/path/to/python3 run' >&2; exit 1; }
	@echo 'Setting up .venv (once) …'
	@"$(PYTHON)" -m venv --clear .venv || { rm -rf .venv; \
		echo '"$(PYTHON)" -m venv failed. Another one: make PYTHON=/path/to/python3 run' >&2; exit 1; }

.venv/run.ok: requirements/run.txt pyproject.toml Makefile | .venv/bin/python
	@$(PIP) install --require-hashes -r requirements/run.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/test.ok: requirements/dev.txt .venv/run.ok
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

# A folder of local wheels would put its own hashes into the locks, so uv is not shown one.
lock: | .venv/bin/python
	@$(PIP) install '$(UV)'
	@$(LOCK) --group build -o requirements/run.txt
	@$(LOCK) --group build --group dev -c requirements/run.txt -o requirements/dev.txt

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis src/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	cd $(EXAMPLE) && rm -rf .penstock .cache logs applied fixtures with-openai data/inputs.jsonl
	cd examples/tickets && rm -rf .penstock logs replies fixtures
	cd examples/critic && rm -rf .penstock texts fixtures
	cd examples/router && rm -rf .penstock logs replies fixtures
