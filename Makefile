# Everything happens in .venv and target/, with the release profile, so that nothing is built twice.
VENV := .venv
BIN := $(VENV)/bin
BUILT := $(VENV)/.built
TOOLS := $(VENV)/.tools
DIGITS := examples/web/digits.bin
RUST := $(shell find crates -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock

# What maturin tells PyO3's build script: told otherwise, cargo would build PyO3 again each time clippy follows a build.
LIKE_MATURIN = PYO3_BUILD_EXTENSION_MODULE=1 PYO3_PYTHON=$(CURDIR)/$(BIN)/python \
	PYO3_CONFIG_FILE=$$(ls -t $(CURDIR)/target/maturin/pyo3-config-*.txt | head -n 1) \
	PYO3_ENVIRONMENT_SIGNATURE=$$($(BIN)/python -c 'import sys; print("cpython-%d.%d-64bit" % sys.version_info[:2])')

SIMULATED := crates/phynexus-cuda/tests/simulator/simulate.sh

.DEFAULT_GOAL := help
.PHONY: help develop demo test test-gpu lint rust-test fmt docs web bench bench-gpu bench-peers clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

develop: $(BUILT) ## build the engine and install the package with its tools into .venv

demo: $(BUILT) ## train a model on handwritten digits; results in runs/digits
	@$(BIN)/neurenix train digits

test: lint rust-test $(BUILT) $(DIGITS) ## everything: lint, types, Rust tests, Python tests, all examples, tests in a browser
	@scripts/build_web.sh --if-possible
	$(BIN)/pytest -q

test-gpu: export NEURENIX_SOFTWARE_GPU = 0
test-gpu: $(BUILT) ## every operation, gradient and optimizer on the GPUs of this machine, against the CPU
	$(BIN)/neurenix info
	cargo test --release -p phynexus --test kernels --quiet
	$(BIN)/pytest -q tests/devices/test_parity.py tests/devices/test_options.py

lint: $(BUILT) ## formatting, clippy, ruff, mypy, the rules of ARCHITECTURE.md
	cargo fmt --check
	$(LIKE_MATURIN) cargo clippy --release --workspace --all-targets --quiet -- -D warnings
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy --strict
	$(BIN)/stubtest neurenix._phynexus --concise --ignore-disjoint-bases --mypy-config-file pyproject.toml --allowlist scripts/stubtest.txt
	$(BIN)/python scripts/check_architecture.py

rust-test: export NEURENIX_SOFTWARE_GPU = 1
rust-test: $(BUILT)
	cargo test --release --workspace --exclude phynexus-python --quiet
	NEURENIX_SOFTWARE_GPU=0 NEURENIX_BLAS=0 $(SIMULATED) cargo test --release -p phynexus --test kernels --quiet
	NEURENIX_SOFTWARE_GPU=0 NEURENIX_BLAS=1 $(SIMULATED) cargo test --release -p phynexus --test kernels --quiet products
	NEURENIX_SOFTWARE_GPU=0 $(SIMULATED) $(BIN)/pytest -q tests/devices/test_cuda.py

fmt: $(BUILT) ## format Rust and Python
	cargo fmt
	$(BIN)/ruff check --fix --quiet
	$(BIN)/ruff format --quiet

docs: $(BUILT) ## rewrite docs/api from the docstrings, and web/optimizers.json from the optimizers
	$(BIN)/python scripts/api_pages.py
	$(BIN)/python scripts/export_optimizers.py

web: $(DIGITS) ## build the package for browsers into web/dist, and the data of the page in examples/web
	@scripts/build_web.sh

$(DIGITS): scripts/export_digits.py $(BUILT)
	@$(BIN)/python $<

bench: $(BUILT) ## time Neurenix beside the peers that are installed; writes benches/results
	$(BIN)/python benches/run.py

bench-gpu: $(BUILT) ## time products, steps and reductions on the GPUs of this machine
	@$(BIN)/python benches/gpu.py

bench-peers: ## install the peers (torch, jax, scikit-learn) that `make bench` compares with, about 6 GB
	@benches/setup.sh

clean: ## remove .venv, target, runs and caches
	rm -rf $(VENV) target runs benches/results web/dist $(DIGITS) .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -f python/neurenix/_phynexus*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(TOOLS): pyproject.toml
	@python=$$(scripts/find_python.sh) && echo "Setting up $(VENV)" && { [ -x $(BIN)/python ] || $$python -m venv $(VENV); }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(sed -n 's/^requires = \["\(maturin==[0-9.]*\)"\]/\1/p' pyproject.toml)"
	@touch $@

$(BUILT): $(TOOLS) $(RUST)
	@scripts/check_rust.sh
	@echo "Building the engine (some minutes the first time)"
	@PIP_QUIET=1 VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop --release --quiet --extras train,dev
	@touch $@
