# Porthole: build, test, and a whole stack to try it on. `make help` says what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# A Rust that was installed a moment ago is not in the shell's PATH yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

# A private libvirtd needs root (namespaces, mounts); cargo and npm are better off without.
SUDO := $(if $(filter 0,$(shell id -u)),,sudo -E)
ifneq ($(SUDO),)
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER := $(SUDO)
endif

# What `make` installs from Debian where it is missing, and what it is for.
PACKAGES_build := build-essential pkg-config libvirt-dev python3
PACKAGES_guests := libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 iproute2
PACKAGES_tests := busybox-static jq strace valgrind python3-venv libxml2-utils libvirt-doc
# Where Node is there already, from wherever, Debian's is not wanted.
PACKAGES_pages := $(if $(shell command -v npm),,nodejs npm)
# What the relays are compared with. Where systemd runs, Debian starts these two at once: `systemctl disable --now`.
PACKAGES_peers := haproxy nginx-light libnginx-mod-stream python3-venv
# A few hundred megabytes that only those who test or measure the pages need.
PACKAGES_browser := chromium chromium-driver

# Where `make up` and `make demo` are reached, if not at localhost:6080. Only as said to make: some shells have a
# variable HOST in the environment.
said = $(if $(filter command,$(firstword $(origin $(1)))),$($(1)))
option = $(if $(call said,$(1)),$(2) '$(call said,$(1))')
REACH = $(call option,LISTEN,--listen) $(call option,HOST,--host) $(call option,PORT,--port)

.PHONY: help machine root deps browser build web guest schemathesis peers lint licences test unit bench up down status demo

help: ## this list
	@echo 'usage: make TARGET'
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 16
	@echo 'up and demo take: LISTEN=0.0.0.0 HOST=name (for other machines), PORT=6080'
	@echo 'target/debug/porthole completion bash|zsh|fish prints completion for the command porthole'

# What cannot be installed by the way is said before anything takes time.
machine:
	@tests/machine.sh

root:
	@SUDO='$(SUDO)' tests/machine.sh root

deps: machine ## install what is missing from Debian, and no more
	@SUDO='$(SUDO)' tests/packages.sh \
	    'to build' '$(PACKAGES_build)' 'for guests' '$(PACKAGES_guests)' \
	    'for tests' '$(PACKAGES_tests)' 'for the pages' '$(PACKAGES_pages)'

browser: deps
	@SUDO='$(SUDO)' tests/packages.sh 'to test the pages' '$(PACKAGES_browser)'

build: deps web ## build everything (installs what is missing from Debian, as the targets below do)
	cargo build --workspace --locked

web: deps ## build the pages (edge/web/dist)
	@cd edge/web; if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then \
	    echo 'fetching what the pages are built with (npm)'; \
	    npm ci --no-audit --no-fund --no-progress --loglevel=error || { echo 'npm cannot fetch it: is there a network?' >&2; exit 1; }; \
	fi; npm run --silent build

guest: deps ## build the Linux guest; KERNEL=FILE takes another kernel than Debian's
	@SUDO='$(SUDO)' KERNEL='$(call said,KERNEL)' tests/guest/linux/build.sh target/guest/linux

# What holds the API's description against the agent, in a folder of its own.
SCHEMATHESIS := target/porthole-tests/schemathesis
schemathesis: deps
	@if [ ! $(SCHEMATHESIS)/done -nt tests/schemathesis.txt ]; then \
	    echo 'fetching what tests the API with (PyPI)'; rm -rf $(SCHEMATHESIS); \
	    python3 -m venv $(SCHEMATHESIS) && \
	    $(SCHEMATHESIS)/bin/pip install --quiet --disable-pip-version-check -r tests/schemathesis.txt || \
	        { echo 'PyPI cannot be reached, or has no such release: is there a network?' >&2; exit 1; }; \
	    touch $(SCHEMATHESIS)/done; \
	fi

# What agents are compared with, in a folder of its own.
PEERS := target/porthole-tests/peers
peers: deps
	@SUDO='$(SUDO)' tests/packages.sh 'to compare with' '$(PACKAGES_peers)'
	@if [ ! -x $(PEERS)/bin/websockify ]; then \
	    echo 'fetching what agents are compared with (PyPI)'; rm -rf $(PEERS); \
	    python3 -m venv $(PEERS) && \
	    $(PEERS)/bin/pip install --quiet --disable-pip-version-check websockify==0.13.0 || \
	        { echo 'PyPI cannot be reached, or has no such release: is there a network?' >&2; exit 1; }; \
	fi

lint: deps web ## formatting, clippy, types of the pages, licences of the dependencies
	cd edge/web && npm run --silent check
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
test: root build lint ## everything: build, lint, all tests (root, about 20 minutes on two cores from nothing)
	@$(MAKE) --no-print-directory unit

unit: root build guest browser schemathesis ## all tests, without lint
	if cargo nextest --version >/dev/null 2>&1; then \
	    cargo nextest run --workspace --locked --no-fail-fast; \
	else \
	    cargo test --workspace --locked --all-targets --no-fail-fast -- --test-threads=2; \
	fi
	cargo test --workspace --locked --doc --quiet
	cd edge/web && npm test --silent

# Release builds, as they are shipped. ARGS names what to measure, if not all of it: `target/release/bench --help`.
bench: root deps web guest browser peers ## measure (release builds); ARGS='--json --rounds 20'
	@cargo build --release --workspace --locked
	@cargo bench --quiet --locked -p porthole-agent --bench tokens --bench ports --no-run
	@cargo bench --quiet --locked -p porthole-domain --bench merge
	@taskset --cpu-list 0 cargo bench --quiet --locked -p porthole-agent --bench tokens --bench ports
	@$(SUDO) target/release/bench $(ARGS)

.PHONY: bench-serial
bench-serial: root deps ## measure serial ports alone: bytes, echo, memory (release builds)
	@cargo build --release --workspace --locked
	@$(SUDO) cargo bench --quiet --locked -p porthole-agent --bench serial

# All of the stack. It does without the Linux guest, if that cannot be had: its build then says why.
.PHONY: stack
stack: root build
	@$(MAKE) --no-print-directory -s guest || echo 'Going on without it.' >&2

up: stack ## a private libvirtd, two guests, agent and edge, in the background; run/stack.json says where
	@$(SUDO) target/debug/stack up $(REACH)

down: ## end all that `make up` started
	@if [ -x target/debug/stack ]; then $(SUDO) target/debug/stack down; fi

status: ## what runs
	@if [ -x target/debug/stack ]; then target/debug/stack status; else echo 'nothing runs: `make up`'; fi

demo: stack ## as up, in the foreground: prints a console's URL and what to try; Ctrl-C ends everything
	@$(SUDO) target/debug/stack demo $(REACH)
