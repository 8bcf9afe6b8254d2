# make install  make .venv and install asd_ray with all pinned packages
# make search   install if needed, then search the demo set's fan: a few minutes
# make test     install if needed, then run all tests; TESTS=tests/ledger runs some
# make lint     ruff and mypy --strict
# make notebooks  run the notebooks and store their outputs
# make bench    measure the benchmark table of docs/speed.md
# make docs     build the site of docs/ into build/site; broken links are errors
# make node     install on a machine of a cluster, without the development tools; cluster.yaml runs this
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
STAMP  := $(VENV)/.installed

.PHONY: search install test lint notebooks bench docs node clean
search: $(STAMP)
	$(VENV)/bin/python -m asd_ray.search fan

install: $(STAMP)

test: $(STAMP)
	$(VENV)/bin/python -m pytest $(TESTS)

lint: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

notebooks: $(STAMP)
	$(VENV)/bin/python notebooks/execute.py

bench: $(STAMP)
	$(VENV)/bin/python -m benchmarks

# The theme prints a notice about another program, which the variable turns off.
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

# torch is installed first, at its pinned version. An open version range could fetch another build with gigabytes of CUDA.
# hear21passt (tests/detectors/encoders) comes without its dependencies: timm and torchvision are not used.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet -c constraints.txt torch
	$(VENV)/bin/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	$(VENV)/bin/python -m pip install --quiet -c constraints.txt --no-deps hear21passt
	touch $@

node: $(VENV)/.node

$(VENV)/.node: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet -c constraints.txt torch
	$(VENV)/bin/python -m pip install --quiet -c constraints.txt -e .
	touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
