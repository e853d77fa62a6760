# make demo   set up once, then animate the demo
# make test   set up once, then run the tests
# make check  linters and the type checker

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= out
WORKERS ?= 2
TESTS := $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile

.PHONY: demo test test-all check bench clean
.DELETE_ON_ERROR:

demo: $(VENV)/.runtime
	@mkdir -p $(OUT)
	$(BIN)/tpc-stream animate --reference tpc_stream/assets/demo_reference.png \
		--motion tpc_stream/assets/demo_motion.mp4 --out $(OUT)/demo.mp4 --overwrite

test: $(VENV)/.dev
	$(TESTS) $(PYTEST_ARGS)

test-all: $(VENV)/.dev
	$(TESTS) -m "not gpu"

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.dev
	$(BIN)/python -m bench latency

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "tpc-stream needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12 demo"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "Python lacks venv; install it with: sudo apt-get install -y python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: $(VENV)/bin/pip pyproject.toml constraints.txt
	@$(PYTHON) -m tpc_stream.system_libraries
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
