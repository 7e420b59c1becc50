# make env | demo | test | test-all | lint
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PY := .venv/bin/python

.PHONY: env demo test test-all lint
env: .venv/installed

.venv/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11.4 or newer was expected" if sys.version_info < (3, 11, 4) else 0)'
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check -e ".[avatars,pretrained,data,watch,mqtt,metrics,export,openvino,server,cluster,tensorboard,tour,dev]"
	touch $@

demo: env
	$(PY) scripts/train_mnad.py

lint: env
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

# Two processes of one thread: the tests are tiny, and torch's threads only wait for each other when the machine is busy.
test test-all: export OMP_NUM_THREADS = 1

test: env lint
	$(PY) -m pytest -n 2 --dist loadfile -m "not slow" --durations=10

test-all: env lint
	$(PY) -m pytest -n 2 --dist loadfile --durations=10
