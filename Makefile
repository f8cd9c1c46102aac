# Porthole: build, test, and a whole stack to try it on. `make help` says what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# A private libvirtd needs root (namespaces, mounts); cargo itself is better off without.
SUDO := $(if $(filter 0,$(shell id -u)),,sudo -E)
ifneq ($(SUDO),)
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER := $(SUDO)
endif

# What the build (C compiler, libvirt's headers), the tests and the stack need from Debian.
PACKAGES := build-essential pkg-config libvirt-dev \
            libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 \
            iproute2 busybox-static jq python3

.PHONY: help deps build guest lint licences test unit up down status demo

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

deps: ## install what is missing from Debian
	@missing=(); for package in $(PACKAGES); do \
	    dpkg-query -W -f='$${Status}' "$$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$$package"); \
	done; \
	if [ "$${#missing[@]}" -eq 0 ]; then exit 0; fi; \
	echo "installing: $${missing[*]}"; \
	command -v apt-get >/dev/null || { echo 'this is no Debian: install them by hand' >&2; exit 1; }; \
	$(SUDO) apt-get update -qq; \
	DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends "$${missing[@]}" >/dev/null

build: deps ## build everything
	cargo build --workspace --locked

lint: deps ## formatting, clippy, licences of the dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items --locked --quiet
	@$(MAKE) --no-print-directory licences

# cargo-deny is the full check; without it at least no dependency may have a licence outside the list.
licences:
	@if command -v cargo-deny >/dev/null; then \
	    cargo deny --locked check licenses bans sources; \
	else \
	    python3 tests/licences.py deny.toml; \
	fi

# The integration tests drive the built binaries, so these are built first. `.config/nextest.toml` limits how many
# private libvirtds run at once; plain `cargo test` is told so by its number of threads.
test: build lint ## everything: deps, build, lint, all tests
	@$(MAKE) --no-print-directory unit

unit: build ## all tests, without lint
	if cargo nextest --version >/dev/null 2>&1; then \
	    cargo nextest run --workspace --locked --no-fail-fast; \
	else \
	    cargo test --workspace --locked --all-targets --no-fail-fast -- --test-threads=2; \
	fi
	cargo test --workspace --locked --doc --quiet

up: build ## a private libvirtd, guests, agent and edge; run/stack.json says where
	@$(SUDO) target/debug/stack up

down: ## end all that `make up` started
	@if [ -x target/debug/stack ]; then $(SUDO) target/debug/stack down; fi

status: ## what runs
	@$(SUDO) target/debug/stack status

demo: build ## as up, prints a console's URL, ends with Ctrl-C
	@$(SUDO) target/debug/stack demo
