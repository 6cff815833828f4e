# ftwiz with nothing but make and Python 3.11 or newer. The first command makes .venv and installs into it, once;
# from then on everything here works offline. Nothing outside this folder is changed.
#
#   ARGS="…"            handed to the command: make demo ARGS=--json, make quick ARGS="-k recipe"
#   PYTHON=python3.12   the Python that .venv is made with; default: the first below that is new enough
#   JOBS=4              tests at a time; 0 runs them in one process, for a debugger
#   PIP_ARGS="…"        handed to pip, for example to choose another build of PyTorch

VENV := .venv
JOBS := 2
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHONS = $(if $(PYTHON),"$(PYTHON)",python3 python3.13 python3.12 python3.11)

.DEFAULT_GOAL := help
.PHONY: help demo test quick lint install
.DELETE_ON_ERROR:

help:
	@printf '%s\n' \
		'make demo      make a small video dataset, fine-tune on it, and say what pretraining bought (a minute or two)' \
		'make test      everything that can be checked without a GPU: lint, types, all tests' \
		'make quick     the tests that take seconds, not minutes' \
		'make lint      ruff and mypy alone' \
		'make install   .venv with ftwiz in it; the others do this by themselves' \
		'' \
		'ARGS="…" goes to the command, PYTHON=… chooses the Python, PIP_ARGS="…" goes to pip.'

demo: $(STAMP)
	@$(BIN)/ftwiz demo $(ARGS)

test: lint
	@echo 'All tests that need no GPU. Some train small models: a few minutes.' >&2
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

quick: $(STAMP)
	@$(BIN)/python -m ruff check --quiet .
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m 'not slow' $(ARGS)

lint: $(STAMP)
	@$(BIN)/python -m ruff check --quiet .
	@$(BIN)/python -m ruff format --check --quiet .
	@$(BIN)/python -m mypy --no-error-summary

install: $(STAMP)
	@echo 'ftwiz is installed: $(BIN)/ftwiz' >&2

# The stamp is written last, so an installation that failed or was stopped is done again.
$(STAMP): pyproject.toml constraints.txt
	@if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		found=; \
		for python in $(PYTHONS); do \
			if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
				found="$$python"; break; \
			fi; \
		done; \
		if [ -z "$$found" ]; then \
			echo 'ftwiz needs Python 3.11 or newer; none of these is: $(PYTHONS). Say where one is: make PYTHON=/path/to/python3' >&2; \
			exit 1; \
		fi; \
		echo "Making $(VENV) with $$("$$found" --version)." >&2; \
		"$$found" -m venv --clear $(VENV) || exit 1; \
	fi
	@echo 'Installing into $(VENV). PyTorch alone is hundreds of megabytes: some minutes, this once.' >&2
	@$(BIN)/python -m pip install -qq --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[test]' || { \
		echo 'The installation did not finish, for the reason above. The same command tries again.' >&2; \
		exit 1; \
	}
	@touch $(STAMP)
