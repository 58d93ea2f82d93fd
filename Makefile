# Two commands; each does all its own set-up.
#   make quickstart   train a small Qwen2.5-VL on real MP4 files and report three levels
#   make test         run the default tests
#
# Both install under constraints.txt, the newest versions with which all tests passed; CONSTRAINTS= goes without.
# For those who change mmrl (docs/versions.md):
#   make check         format, lint, types, tests
#   make test-newest   the default tests with the newest versions that pyproject.toml allows; every warning is an error
#   make test-oldest   the default tests with the lowest direct versions that pyproject.toml allows

PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt

.PHONY: quickstart test test-newest test-oldest check clean

quickstart:
	$(call environment,$(VENV),--constraints '$(CONSTRAINTS)')
	$(VENV)/bin/mmrl quickstart

test:
	$(call environment,$(VENV),dev eval --constraints '$(CONSTRAINTS)')
	$(VENV)/bin/python -m pytest

check:
	$(call environment,$(VENV),dev eval --constraints '$(CONSTRAINTS)')
	$(VENV)/bin/python tools/check.py

test-newest:
	$(call environment,.venv-newest,dev eval --newest)
	.venv-newest/bin/python -m pytest -W error

test-oldest:
	$(call environment,.venv-oldest,dev eval --oldest)
	.venv-oldest/bin/python -m pytest

clean:
	rm -rf $(VENV) .venv-newest .venv-oldest runs

# $(call environment,FOLDER,ARGUMENTS): an environment with mmrl in it, or one sentence on why this machine has none
define environment
@$(PYTHON) -c '' 2>/dev/null || { echo "PYTHON=$(PYTHON) does not start; install Python 3.11 or newer," \
	"or name one: make PYTHON=/path/to/python3.12 $@" >&2; exit 1; }
@$(PYTHON) tools/environment.py $(1) $(if $(filter file,$(origin PYTHON)),,--asked)
@$(1)/bin/python tools/install.py $(2)
endef
