# `make run` and `make test` are all a fresh machine needs; the others assume the same environment.
VENV  ?= .venv
BIN   := $(VENV)/bin
READY := $(VENV)/.ready
ARGS  ?=
# Processes that test: on two cores three, for a third of the tests' time is waiting for servers, Ray and browsers.
WORKERS ?= 3

# The first interpreter that runs and is new enough; PYTHON=... chooses another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1 && echo $$p && break; done)

.PHONY: run test browser check check-long audit bench serve sweep docs lock clean

run: $(READY)
	$(BIN)/python run.py $(ARGS)

# Compiled once, not again by each of the hundred processes that the tests start, wherever this is switched off.
test check check-long: export PYTHONDONTWRITEBYTECODE =

test: $(READY) browser
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(ARGS)

# Pages are tested in a real browser. Where there is none, Debian's is installed, if this user may do that; if not, the
# tests say what is missing.
browser:
	@command -v chromedriver >/dev/null || test -n "$$CHROMEDRIVER" || test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null \
		|| { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium chromium-driver; } >/dev/null

check: $(READY) browser
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

# The same, with a thousand random examples for each law that hypothesis tests, other ones each time.
check-long: $(READY) browser
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --hypothesis-profile=long $(ARGS)

bench: $(READY)
	$(BIN)/python -m benchmarks $(ARGS)

audit: $(READY)
	$(BIN)/python -m forecast.audit $(ARGS)

sweep: $(READY)
	$(BIN)/python run.py -m tuner=random $(ARGS)

serve: $(READY)
	$(BIN)/python serve.py $(ARGS)

# The tables of docs/configuration.md and docs/results.md, from conf/, the annotations and what benchmarks printed.
docs: $(READY)
	$(BIN)/python docs/generate.py

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed; none was found. Name one: make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(READY)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache

# Newest versions the bounds in pyproject.toml allow, without index addresses; a local build tag such as +cpu is cut.
# Make it with the oldest Python at hand (make lock PYTHON=...): some packages want a later 3.11 than Debian 12 has.
lock:
	$(PYTHON) -m venv $(VENV).lock
	$(VENV).lock/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	{ echo "# Exact versions that set-up uses (pip install -c constraints.txt); renewed by: make lock"; \
	  $(VENV).lock/bin/python -m pip freeze --exclude-editable | sed 's/+[a-z0-9.]*$$//'; } > constraints.txt
	rm -rf $(VENV).lock
