# make demo [PORT=9000]   install, build the pages, start the city
# make test | check | prove | bench | wheel | clean
# Each stamp below is a file: what is done once is not done again until what it depends on changes.
PORT ?= 8080
PYTHON ?= python3
CITY ?= wuhan
PYTEST ?=

PY := .venv/bin/python
SAY := @printf '%s\n' >&2
WEB := $(shell find dashboards/web -path '*/node_modules' -prune -o -type f -print 2>/dev/null)
ALONE := $(wildcard $(addprefix tests/,browser bench))
PROCESSES := $(wildcard $(addprefix tests/,cluster history packaging crash servers))
UNIT := $(addprefix --ignore=,$(ALONE) $(PROCESSES))

.PHONY: demo run test check prove bench wheel format clean help
.DELETE_ON_ERROR:

help:
	@sed -n '1,2s/^# //p' Makefile

.venv/.made:
	$(SAY) 'citytwin: making .venv'
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "citytwin needs Python >= 3.11; try make PYTHON=python3.12")'
	@test -x $(PY) || $(PYTHON) -m venv .venv
	@touch $@

.venv/.installed: .venv/.made pyproject.toml setup.py
	$(SAY) 'citytwin: installing'
	@$(PY) -m pip install -q --disable-pip-version-check -e . >&2
	@touch $@

.venv/.tested: .venv/.installed
	$(SAY) 'citytwin: installing what the tests need'
	@$(PY) -m pip install -q --disable-pip-version-check -e '.[test]' >&2
	@touch $@

dashboards/static/index.html: .venv/.made scripts/pages.py $(WEB)
	$(SAY) 'citytwin: building the pages'
	@$(PY) scripts/pages.py build
	@touch $@

demo: .venv/.installed dashboards/static/index.html
	@exec .venv/bin/citytwin demo --port $(PORT)

run: .venv/.installed dashboards/static/index.html
	@exec .venv/bin/citytwin run --city $(CITY) --port $(PORT)

# Everything there is, in the small counts; `make prove` is the same with the large ones. Tests that start processes and real
# servers go two files at a time, for each file has its own; those that need the machine for
# themselves one by one.
test: .venv/.tested dashboards/static/index.html
	@scripts/servers >/dev/null
	@CITYTWIN_TEST_CHROMIUM="$$(scripts/chromium)" && export CITYTWIN_TEST_CHROMIUM && \
	if [ -n "$(PYTEST)" ]; then $(PY) -m pytest -o console_output_style=count --durations=10 $(PYTEST); else \
	$(PY) -m pytest -n 2 --dist worksteal --durations=10 $(UNIT) && \
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=15 $(PROCESSES) && \
	$(PY) -m pytest -o console_output_style=count --durations=10 $(ALONE); fi
	@$(PY) scripts/pages.py check
	@$(PY) scripts/pages.py test

check: .venv/.tested
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports --no-cache
	@$(PY) -m pytest -n 2 --dist worksteal -m 'not slow' $(UNIT) $(PYTEST)
	@$(PY) scripts/pages.py check
	@$(PY) scripts/pages.py test

prove: .venv/.tested dashboards/static/index.html
	@scripts/servers >/dev/null
	@CITYTWIN_TEST_CHROMIUM="$$(scripts/chromium)" && export CITYTWIN_TEST_CHROMIUM && \
	CITYTWIN_TEST_PROVE=1 $(PY) -m pytest -o console_output_style=count --durations=10 $(PYTEST)
	@cat build/prove.json

bench: .venv/.tested
	@scripts/servers kafka >/dev/null
	@$(PY) -m tests.servers.with_kafka .venv/bin/citytwin bench --broker '{}'

wheel: .venv/.tested dashboards/static/index.html
	@$(PY) -m build --outdir dist . >&2
	@ls -l dist

format: .venv/.tested
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

clean:
	rm -rf build dist dashboards/static *.egg-info .mypy_cache .ruff_cache .pytest_cache
