# make search   .venv if need be, install, a first search: the demo set's fan, a few minutes
# make test     the same set-up, all tests; TESTS=tests/ledger runs some
# make lint     ruff and mypy --strict
# make bench    the benchmark table of the README
# make node     what a machine of a cluster needs (cluster.yaml runs it): .venv without the tools of development
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
STAMP  := $(VENV)/.installed

.PHONY: search test lint bench node clean
search: $(STAMP)
	$(VENV)/bin/python -m asd_ray.search fan

test: $(STAMP)
	$(VENV)/bin/python -m pytest $(TESTS)

lint: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: $(STAMP)
	$(VENV)/bin/python -m benchmarks

# torch comes first and by its exact version: a range would fetch the newest build and gigabytes of CUDA with it.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet -c constraints.txt torch
	$(VENV)/bin/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

node: $(VENV)/.node

$(VENV)/.node: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet -c constraints.txt torch
	$(VENV)/bin/python -m pip install --quiet -c constraints.txt -e .
	touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
