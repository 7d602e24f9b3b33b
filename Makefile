# What one can do here. `make` lists the targets; `make demo` and `make test` do all their set-up themselves, in .venv
# and target/, and need no more than Rust, a C compiler, CPython 3.11 or newer (for `make test` with its own tests, the
# package `test`) and the network.

PYTHON ?=# the interpreter to build for; if none is given, the one that VENV was made from, at first python3
VENV ?= .venv# made anew when PYTHON is another interpreter than the one it was made from
NIGHTLY ?= nightly# the toolchain that brings the sanitizers
STRESS ?= 50# how many times longer the stress tests run than in `make test`

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules
.PHONY: help demo test test-rust test-models test-python packages lint bench stress kill-matrix sanitize sanitize-thread sanitize-address docs wheel clean FORCE

TARGET := $(or $(CARGO_TARGET_DIR),target)
VENV_PYTHON := $(VENV)/bin/python
export PYO3_PYTHON := $(abspath $(VENV_PYTHON))
PIP := $(VENV_PYTHON) -m pip install --quiet --disable-pip-version-check --constraint requirements-dev.txt

# The extension is a library inside Python: its crate has no Rust tests, and does not link without an interpreter.
RUST_TESTED := --workspace --exclude oneloom-python
# Models are built optimised, but not with what makes the released library small and slow to build.
MODELS_PROFILE := CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=0
model_crates = $(addprefix -p ,$(sort $(foreach file,$(wildcard crates/*/tests/$(1)_*.rs),$(word 2,$(subst /, ,$(file))))))

help: ## List the targets
	@echo 'make TARGET [PYTHON=python3.13]'
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

demo: $(VENV)/.extension ## Build in release and run the main job: one page of output
	@$(VENV_PYTHON) examples/demo.py

test: test-rust test-models test-python ## Build what the tests need, then run every test

test-rust: ## The Rust crates' unit, integration and documentation tests
	cargo test --locked --no-fail-fast $(RUST_TESTED)

test-models: ## The loom models (every interleaving) and the shuttle runs (random ones, seeds printed)
	$(call run_models,loom)
	$(call run_models,shuttle)

# $(1): loom or shuttle; both are a cfg, a prefix of test files, and a build of their own. One model at a time: each run of
# a model must be repeatable, and what the process keeps (the clock, the verdicts) is not part of the model.
define run_models
	@test -n "$(call model_crates,$(1))" || { echo 'error: there are no $(1) models (crates/*/tests/$(1)_*.rs)' >&2; exit 1; }
	$(MODELS_PROFILE) RUST_TEST_THREADS=1 RUSTFLAGS='--cfg $(1)' cargo test --locked --no-fail-fast --release --target-dir $(TARGET)/$(1) \
		$(call model_crates,$(1)) --test '$(1)_*'
endef

test-python: $(VENV)/.test-tools $(VENV)/.extension ## The Python tests, with the examples and the documentation's code
	$(VENV_PYTHON) -m pytest $(PYTEST_ARGS)

packages: $(VENV)/.test-tools $(VENV)/.extension ## Well-known packages' own tests, with oneloom and without (network, minutes)
	$(VENV_PYTHON) tests/packages.py $(PACKAGES)
	$(VENV_PYTHON) tests/servers.py

lint: $(VENV)/.test-tools $(VENV)/.extension ## Format, clippy, tidy check and type stubs; nothing is changed
	cargo fmt --all --check
	cargo fmt --manifest-path benches/rust/Cargo.toml --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --manifest-path benches/rust/Cargo.toml --target-dir $(TARGET)/benches --all-targets -- -D warnings
	$(VENV_PYTHON) .ci/tidy.py
	$(VENV_PYTHON) -m mypy.stubtest --mypy-config-file pyproject.toml oneloom

docs: $(VENV)/.docs-tools $(VENV)/.extension ## Rust documentation in target/doc, pages and Python reference in site/; warnings denied, the pages' code is run
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps
	$(VENV_PYTHON) -m sphinx --quiet --fail-on-warning --keep-going --fresh-env docs site
	$(VENV_PYTHON) .ci/tidy.py
	$(VENV_PYTHON) -m pytest tests/test_docs.py

bench: $(VENV)/.bench-tools $(VENV)/.extension ## Measure beside the peers; a row below its goal fails
	$(VENV_PYTHON) benches/run.py $(BENCH_ARGS)

stress: $(VENV)/.test-tools $(VENV)/.extension ## The tests that look for rare interleavings, STRESS times longer
	ONELOOM_STRESS=$(STRESS) cargo test --locked --release $(RUST_TESTED)
	ONELOOM_STRESS=$(STRESS) $(VENV_PYTHON) -m pytest -m stress

# Eight times longer than usual: two thousand random instants, and a hundred at each step.
kill-matrix: ## Kill a process at every step, a hundred times at least, and write down in docs/kill-matrix.md what others saw
	rm -f $(TARGET)/kills
	ONELOOM_STRESS=8 ONELOOM_KILL_MATRIX=$(abspath $(TARGET))/kills cargo test --locked -p oneloom-shm --test '*'
	python3 .ci/kill_matrix.py $(TARGET)/kills

sanitize: sanitize-thread sanitize-address ## ThreadSanitizer and AddressSanitizer over the Rust tests (nightly Rust)

# $(1): the sanitizer, $(2): more flags. The standard library is built with the sanitizer, too: ThreadSanitizer would call
# what it synchronises a race. So no race has to be suppressed.
define run_sanitizer
	@.ci/nightly '$(NIGHTLY)'
	RUSTFLAGS='-Zsanitizer=$(1) $(2)' ASAN_OPTIONS=allow_addr2line=1 LSAN_OPTIONS=suppressions=$(CURDIR)/.ci/leaks.txt \
		cargo +$(NIGHTLY) test --locked --no-fail-fast $(RUST_TESTED) --lib --tests -Zbuild-std \
		--target $$(rustc -vV | sed -n 's/^host: //p') --target-dir $(TARGET)/sanitize-$(1)
endef

sanitize-thread: # ThreadSanitizer does not model fences: the cfg makes each of them a read-modify-write.
	$(call run_sanitizer,thread,--cfg oneloom_tsan)

sanitize-address: # addr2line comes with the C compiler and gives the names that .ci/leaks.txt is about.
	$(call run_sanitizer,address,)

wheel: $(VENV)/.build-tools ## One wheel for each CPython found (3.11 or newer), and the source archive, in dist/
	$(VENV)/bin/maturin sdist --out dist
	$(VENV)/bin/maturin build --release --locked --strip --out dist $$(.ci/pythons | sed 's/^[^ ]* /--interpreter /')
	@ls -1 dist

clean: ## Remove what was built, the environments included
	cargo clean --target-dir $(TARGET)
	rm -rf .venv* dist site python/oneloom/_native.*.so

# Set-up. Each step leaves a file in the environment and is done again when what it depends on is newer.
$(VENV)/.interpreter: FORCE
	@.ci/venv '$(PYTHON)' '$(VENV)'

$(VENV)/.build-tools: $(VENV)/.interpreter requirements-dev.txt
	$(PIP) maturin
	@touch $@

$(VENV)/.test-tools: $(VENV)/.build-tools
	$(PIP) pytest pytest-timeout pytest-xdist mypy uvloop janus culsans numpy tqdm cloudpickle
	@touch $@

$(VENV)/.docs-tools: $(VENV)/.test-tools
	$(PIP) sphinx myst-parser furo
	@touch $@

$(VENV)/.bench-tools: $(VENV)/.test-tools
	$(PIP) matplotlib faster-fifo loky pebble mpire joblib numpy
	@touch $@

# The folders stand beside their files so that a removed file is noticed.
EXTENSION_SOURCES := Cargo.toml Cargo.lock pyproject.toml $(wildcard crates/*/Cargo.toml) $(shell find crates/*/src)
$(VENV)/.extension: $(VENV)/.build-tools $(EXTENSION_SOURCES)
	VIRTUAL_ENV='$(abspath $(VENV))' $(VENV)/bin/maturin develop --release --locked --quiet \
		--target-dir $(TARGET)/extension-$(notdir $(VENV))
	@touch $@
