# Gantry: `make run` and `make test` do all set-up by themselves. `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# apt needs root; who is not root is asked for the password by sudo, once.
APT := $(if $(filter 0,$(shell id -u)),,sudo )apt-get
APT_INSTALL := DEBIAN_FRONTEND=noninteractive $(APT) install -y --no-install-recommends

# The smallest set with which everything that is built in works.
BUILD_PACKAGES := build-essential pkg-config libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
RUN_PACKAGES := gstreamer1.0-plugins-base gstreamer1.0-plugins-good
# Tests also decode recordings (H.264), make pictures of their own, pull the plug of a network camera, run a NATS server, and
# bring real clients, a browser among them.
TEST_PACKAGES := chromium curl nats-server gstreamer1.0-libav gstreamer1.0-tools procps python3-gi gir1.2-gst-rtsp-server-1.0

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
CLIENTS := tests/clients
# Where .config/nextest.toml has it written.
TEST_REPORT := target/nextest/default/junit.xml

.PHONY: help
help: ## Show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# $(call packages,NAMES): installs those that are missing, and says so.
define packages
	missing=; for name in $(1); do \
	  dpkg-query -W -f '$${db:Status-Status}\n' "$$name" 2>/dev/null | grep -qx installed || missing="$$missing $$name"; \
	done; \
	if [ -n "$$missing" ]; then \
	  echo "installing Debian packages:$$missing"; \
	  $(APT) update -qq; $(APT_INSTALL) $$missing >/dev/null; \
	fi
endef

.PHONY: packages
packages:
	@command -v $(CARGO) >/dev/null || { echo "There is no cargo: install the Rust toolchain first (see README.md)." >&2; exit 1; }
	@$(call packages,$(BUILD_PACKAGES) $(RUN_PACKAGES))

.PHONY: build
build: packages ## Build the gateway and all plugins (release)
	@echo "building the gateway and its plugins$(if $(wildcard $(TARGET)/release/gantry),, (the first time takes a few minutes))"
	@$(CARGO) build --release --locked
	@$(CC) -Wall -Wextra -Werror -std=c11 -O2 -fPIC -shared -I runtime/abi/include \
	  -o $(TARGET)/release/libgantry_example_c.so plugins/example-c/plugin.c

.PHONY: run
run: build ## Build, and run the gateway (CAMERA=URI for another camera than the demo)
	@echo "starting: $(TARGET)/release/gantry run --config config/gantry.toml$(if $(CAMERA), --camera '$(CAMERA)') (Ctrl-C ends it)"
	@exec $(TARGET)/release/gantry run --config config/gantry.toml $(if $(CAMERA),--camera '$(CAMERA)')

.PHONY: test-setup
test-setup: packages $(CLIENTS)/.venv/installed $(CLIENTS)/node_modules/installed
	@$(call packages,$(TEST_PACKAGES))
	@command -v cargo-nextest >/dev/null || { echo "installing cargo-nextest"; $(CARGO) install --quiet --locked cargo-nextest; }

$(CLIENTS)/.venv/installed: $(CLIENTS)/requirements.txt
	@python3 -c 'import venv, ensurepip' 2>/dev/null || { $(call packages,python3 python3-venv); }
	@echo "installing the Python test clients"
	@python3 -m venv $(CLIENTS)/.venv
	@$(CLIENTS)/.venv/bin/pip install --quiet --disable-pip-version-check -r $(CLIENTS)/requirements.txt
	@touch $@

$(CLIENTS)/node_modules/installed: $(CLIENTS)/package.json
	@command -v node >/dev/null && command -v npm >/dev/null || { $(call packages,nodejs npm); }
	@echo "installing the Node test clients"
	@cd $(CLIENTS) && npm install --no-audit --no-fund --no-package-lock --loglevel=error >/dev/null
	@touch $@

.PHONY: test
test: test-setup ## Run every test
	@$(CARGO) build --workspace --all-targets --locked
	@$(CARGO) test --workspace --doc --locked --quiet
# Nobody sees what a test that passes prints, thus not that it has skipped itself: that is said, and then the summary again.
	@log=$$(mktemp); trap 'rm -f "$$log" "$$log.skips"' EXIT; rm -f $(TEST_REPORT); status=0; \
	$(CARGO) nextest run --workspace --locked $(if $(MAKE_TERMOUT),--color $(or $(CARGO_TERM_COLOR),always)) 2>&1 | tee "$$log" || status=$$?; \
	if grep -o 'SKIPPED: [^<]*' $(TEST_REPORT) 2>/dev/null | sort | uniq -c >"$$log.skips"; then \
	  printf '\nTests that passed without having tested what they should:\n'; cat "$$log.skips"; \
	  grep -A 1000 'Summary \[' "$$log" || true; \
	fi; \
	exit $$status

.PHONY: lint
lint: packages ## clippy, with warnings as errors
	@$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

.PHONY: fmt
fmt: ## Format the sources
	@$(CARGO) fmt --all

.PHONY: header
header: ## Regenerate the C header from runtime/abi
	@UPDATE_HEADER=1 $(CARGO) test --quiet -p gantry-abi --test header

.PHONY: bench
bench: build ## Measure beside the peers (about twenty minutes)
	@tests/bench/run.sh
