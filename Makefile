# make run    the site, on this machine: http://localhost:8000 (make run PORT=8080 for another port)
# make test   everything the tests need, then linters and tests
# make lint   the linters alone
# make audit  asks the internet for known holes in every package that is pinned
# make bench  speed and size of everything, in one table (make bench CELLS=folder TRAINING=folder)
# make soak   what takes long: 10,000 bad files, 200 faults (make soak FILES=1000 ROUNDS=20)
# make messages  gathers what is to be translated, and compiles what is
# make install, make install-all   only install: what the site needs; what training and tests need

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
UV := $(BIN)/python -m uv pip install --quiet --python $(BIN)/python --cache-dir .venv/uv
# The first of these that is new enough makes the virtual environment.
PYTHONS := $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11
POSTGRESQL := $(wildcard /usr/lib/postgresql/*/bin/initdb)
FAKETIME := $(wildcard /usr/lib/*/faketime/libfaketime.so.1)

.PHONY: run test tests lint audit bench soak messages install install-all venv servers

run: .venv/serve.stamp
	@$(BIN)/python manage.py start

# The linters run beside the tests: alone they would keep one core busy for a minute.
test: .venv/dev.stamp servers
	@$(MAKE) --no-print-directory --jobs 2 tests lint

tests:
	$(BIN)/python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder

lint: .venv/dev.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive *.py diagnosis malariaweb ml
	$(BIN)/mypy

# In a place of its own: what it brings along is none of the site's. Strict: an answer for each.
audit: | $(BIN)/python
	@$(BIN)/python -m venv .venv/audit
	@.venv/audit/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-audit.txt
	.venv/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement requirements-dev.txt

bench: .venv/dev.stamp servers
	$(BIN)/python -m benchmarks $(CELLS) $(if $(TRAINING),--training $(TRAINING))

soak: .venv/dev.stamp servers
	$(BIN)/python -m tests.soak $(if $(FILES),--files $(FILES)) $(if $(ROUNDS),--rounds $(ROUNDS))

CATALOGUES := --locale fr --locale pt
GATHER := makemessages $(CATALOGUES) --add-location file --no-obsolete --no-wrap \
    --ignore .venv --ignore var --ignore runs --ignore tests --ignore benchmarks --ignore vendor

messages:
	$(BIN)/python manage.py $(GATHER) --domain django
	$(BIN)/python manage.py $(GATHER) --domain djangojs
	$(BIN)/python manage.py compilemessages $(CATALOGUES) --ignore .venv --ignore var

install: .venv/serve.stamp

install-all: .venv/dev.stamp

.venv/serve.stamp: requirements-serve.txt | $(BIN)/python
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(MAKE) --no-print-directory venv
	@echo "Installing what the site needs (once; a minute or two) ..."
	@$(PIP) -r requirements-serve.txt
	@touch $@

# By uv, in a third of pip's time: these are 6 GB. By pip, which knows more proxies and mirrors,
# where that fails. Most of these modules are never loaded: each is compiled when it is.
.venv/dev.stamp: requirements-dev.txt requirements.txt .venv/serve.stamp
	@echo "Installing what training and tests need (once; some minutes, 6 GB) ..."
	@{ $(PIP) "$$(grep '^uv==' requirements-dev.txt)" && $(UV) -r requirements-dev.txt; } 2>/dev/null \
	    || $(PIP) --no-compile -r requirements-dev.txt
	@rm -rf .venv/uv
	@touch $@

$(BIN)/python:
	@$(MAKE) --no-print-directory venv

# Also in place of one whose making was interrupted, which has no pip.
venv:
	@for python in $(PYTHONS); do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        if ! $$python -c 'import ensurepip, venv' 2>/dev/null; then \
	            echo "Python's venv module is missing: on Debian or Ubuntu, apt install python3-venv."; \
	            exit 1; \
	        fi; \
	        exec $$python -m venv --clear .venv; \
	    fi; \
	done; \
	echo "Python 3.11 or newer is needed: install it, or name it with PYTHON=/path/to/python."; \
	exit 1

# On Debian as root; elsewhere tests whose server is missing are skipped and say so.
servers:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    packages=""; \
	    command -v redis-server >/dev/null || packages="$$packages redis-server"; \
	    command -v chromium-headless-shell >/dev/null || command -v chromium >/dev/null \
	        || packages="$$packages chromium-headless-shell"; \
	    command -v msgfmt >/dev/null || packages="$$packages gettext"; \
	    [ -n "$(POSTGRESQL)" ] || packages="$$packages postgresql"; \
	    [ -n "$(FAKETIME)" ] || packages="$$packages libfaketime"; \
	    if [ -n "$$packages" ]; then \
	        echo "Installing$$packages ..."; \
	        apt-get update -qq; \
	        DEBIAN_FRONTEND=noninteractive \
	            apt-get install -qq --no-install-recommends $$packages >/dev/null; \
	    fi; \
	fi
