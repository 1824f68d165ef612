# Every command needs only Rust (https://rustup.rs); `make test` and `make demo` install the rest.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/cdc/target

.DEFAULT_GOAL := help
.PHONY: help test demo build fmt bench test-heavy

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: compiler ## Install what the tests need, then check and test everything
	cargo xtask services
	cargo xtask ci

demo: compiler ## Replicate a live shop to three places while cdc gets killed
	cargo xtask services
	cargo xtask demo

build: compiler ## Build the release binary
	cargo build --release --package cdc

fmt: ## Format the sources
	cargo fmt --all

bench: compiler ## Measure against PostgreSQL's own tools and Debezium, growth and an idle pipeline under load
	cargo xtask services
	cargo xtask bench stream
	cargo xtask bench snapshot --readers 1,2,4
	cargo xtask bench latency
	cargo xtask bench kafka
	cargo xtask bench growth --large
	cargo xtask bench idle

test-heavy: compiler ## Run what is too large or too long for make test, then kill cdc 500 times
	cargo xtask services
	cargo xtask heavy

.PHONY: compiler
compiler:
	@command -v cargo >/dev/null || { echo "Rust is missing: install it from https://rustup.rs" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "a C compiler is missing: apt-get install build-essential" >&2; exit 1; }
