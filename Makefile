# The commands of lockstep. `make` alone lists them.
#
#   PG            the major version of PostgreSQL to build for (default: this Debian's own); fetched if Debian does not have it
#   PG_CONFIG     the same by its pg_config, for a PostgreSQL of yours
#   DATABASE_URL  demo only: a server that has the extension's files already
#   ONLY          bench only: the part to run, e.g. ONLY=cache_column
#   TEST          test only: the tests whose name contains it
#   ONCE          demo only: 1 ends it where it would stay for you to try the Slack app
#   SECONDS       fuzz only: how long
#   VERSIONS      matrix, release, deb and dist: the major versions of PostgreSQL, e.g. VERSIONS="15 16"

SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:

# RUSTFLAGS would override the linker flag that keeps the extension's schema in the library.
unexport RUSTFLAGS CARGO_ENCODED_RUSTFLAGS

# Both are evaluated at each use: setup may just have installed pg_config.
PG_CONFIG ?= $(shell .ci/pg_config $(PG))
PG_MAJOR = $(shell $(PG_CONFIG) --version 2>/dev/null | sed -E 's/^[^0-9]*([0-9]+).*/\1/')
FEATURES = $(if $(filter-out 15,$(PG_MAJOR)),--no-default-features --features pg$(PG_MAJOR))
PGRX_ARGS = --pg-config "$(PG_CONFIG)" $(FEATURES)
EXTENSIONS = lockstep lockstep_slack
# Each version except the default is built in its own folder, so that switching versions rebuilds nothing.
PGRX_TARGET = target$(if $(filter-out $(shell .ci/pg_config),$(PG_CONFIG)),/pg$(PG_MAJOR))
# Builds the extensions' files: the profile's arguments, and the output directory. cargo-pgrx always colors its output.
packaged = rm -rf "$(2)$$($(PG_CONFIG) --pkglibdir)" "$(2)$$($(PG_CONFIG) --sharedir)" && set -o pipefail && \
  { for extension in $(EXTENSIONS); do CARGO_TARGET_DIR="$(CURDIR)/$(PGRX_TARGET)" \
      cargo pgrx package --package $$extension $(PGRX_ARGS) $(1) --out-dir $(2) 2>&1 || exit 1; done; } | \
  if [ -t 1 ]; then cat; else sed --unbuffered 's/\x1b\[[0-9;]*m//g'; fi && \
  .ci/update-scripts "$(2)$$($(PG_CONFIG) --sharedir)/extension"
export LOCKSTEP_PG_CONFIG = $(PG_CONFIG)

# Runs a command in a process group of its own, so that a signal to make ends all of it, and then stops what servers
# it left and waits for them.
guarded = set -m; trap 'kill -- -$$! 2>/dev/null; wait; tests/sweep' EXIT; $(1) & set +m; wait $$!

.PHONY: help setup build sidecar demo test test-citus test-patroni matrix bench fuzz reference docs check install package release deb dist clean

help: ## list the commands
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: ## install what is missing: Debian packages, cargo-pgrx, its configuration
	@PG_CONFIG="$(PG_CONFIG)" .ci/setup

# It takes a third of the time of the release.
build: setup ## build the extensions for tests and demo, under target/quick
	@$(call packaged,--profile quick,target/quick)

package: setup ## build the extensions' files under target/package
	@$(call packaged,,target/package)

# With the demo in one build, as their common dependencies would be built twice otherwise, with other features.
sidecar: ## build the sidecar under target/debug
	@cargo build --quiet --package lockstep-sidecar --package lockstep-tests --bin lockstep-sidecar --bin demo

demo: $(if $(DATABASE_URL),,build) sidecar ## show it work on 100,000 projects (DATABASE_URL=... for a server of yours)
	@$(call guarded,target/debug/demo)

test: build sidecar ## run every test against a private PostgreSQL
	@PG_CONFIG="$(PG_CONFIG)" .ci/setup tests
	@$(call guarded,{ cargo test --package lockstep-sidecar --package lockstep-webhook --features "lockstep-sidecar/otlp lockstep-sidecar/sentry" --lib $(if $(TEST),-- $(TEST)) && \
	  cargo test --package lockstep-tests --test suite $(if $(TEST),-- $(TEST)); })

test-citus: ## run the tests of a server with Citus (PG_CONFIG=/path/to/its/pg_config)
	@$(MAKE) --no-print-directory test TEST=citus:: PG_CONFIG="$(PG_CONFIG)"

test-patroni: ## run the tests of failovers, with Patroni and etcd, which it installs
	@PG_CONFIG="$(PG_CONFIG)" .ci/setup tests patroni
	@LOCKSTEP_PATRONI=1 $(MAKE) --no-print-directory test TEST=patroni:: PG_CONFIG="$(PG_CONFIG)"

matrix: ## run every test against PostgreSQL 15, 16, 17 and 18 (VERSIONS="16 18" for some)
	@$(call guarded,.ci/matrix $(or $(VERSIONS),15 16 17 18))

bench: package ## measure (ONLY=part for one part)
	@cargo build --quiet --release --package lockstep-sidecar
	@$(call guarded,LOCKSTEP_PACKAGE="$(CURDIR)/target/package" cargo run --quiet --release --package lockstep-tests --bin bench -- $(ONLY))

# A stable compiler has the instrumentation as well, if it is asked for by its own name.
FUZZ_FLAGS = -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table --cfg fuzzing
FUZZ_SECONDS = $(or $(SECONDS),60)

fuzz: ## send anything to the Slack app's request path, and read anything as GitLab's payload (SECONDS=60 each)
	@mkdir -p target/fuzz/request target/fuzz/webhook
	@RUSTFLAGS="$(FUZZ_FLAGS)" CARGO_TARGET_DIR=target/fuzz cargo build --quiet --release --manifest-path sidecar/fuzz/Cargo.toml \
	  --target $$(rustc -vV | sed -n 's/^host: //p')
	@cd target/fuzz && fuzz() { ./$$(rustc -vV | sed -n 's/^host: //p')/release/$$1 $$1 ../../$$2 \
	  -max_total_time=$(FUZZ_SECONDS) -max_len=8192 -print_final_stats=1; } && fuzz request sidecar/fuzz/seeds && fuzz webhook tests/webhooks

reference: build sidecar ## write the generated pages of docs/reference, and the output of the examples in README and docs, anew
	@$(call guarded,LOCKSTEP_WRITE_DOCS=1 cargo test --quiet --package lockstep-tests --test suite -- docs::)

docs: ## build the documentation as a book, under target/book
	@.ci/book

check: setup ## rustfmt, clippy, PostgreSQL 13 and 14, who switches roles, which rooms import each other, words, lock file of fuzz, doc links, licences and sources of dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --package lockstep-sidecar --all-targets --features otlp,sentry -- -D warnings
	@.ci/rights
	@.ci/rooms
	@.ci/words
	@.ci/compile 13 14
	cargo update --workspace --locked --quiet --manifest-path sidecar/fuzz/Cargo.toml
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --quiet
	@.ci/deny

# install(1) replaces files where copying would overwrite them in place, under servers that have the library loaded.
install: package ## install into the PostgreSQL of PG_CONFIG=...
	@library=$$($(PG_CONFIG) --pkglibdir) && extension=$$($(PG_CONFIG) --sharedir)/extension && \
	sudo=$$([ -w "$$library" ] && [ -w "$$extension" ] || echo sudo) && \
	$$sudo install -m 755 "target/package$$library"/lockstep*.so "$$library" && \
	$$sudo install -m 644 "target/package$$extension"/lockstep* "$$extension" && \
	echo "installed in $$library and $$extension"

# Releases load on every Linux with the glibc of Debian 11 or a later one.
RELEASES = $(or $(VERSIONS),$(PG_MAJOR))
SERVERS = $(foreach version,$(RELEASES),$(version):$$(.ci/pg_config $(version)))
LINKER = CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER="$(CURDIR)/.ci/linker"

release: setup ## build what is released, for this Debian's PostgreSQL or for VERSIONS="15 16 17 18"
	@.ci/linker prepare
	@for version in $(RELEASES); do $(LINKER) $(MAKE) --no-print-directory package PG=$$version || exit 1; done
	@$(LINKER) cargo build --quiet --release --package lockstep-sidecar --features otlp,sentry

deb: release ## build Debian packages under target/deb (VERSIONS as for release)
	@dpkg-query --show debhelper lintian >/dev/null 2>&1 || $$([ "$$(id -u)" = 0 ] || echo sudo) \
	  env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends debhelper lintian >/dev/null
	@deploy/debian/build $(SERVERS)

dist: deb ## gather a release under target/dist: sources, PGXN, tarballs, packages, SBOM, checksums
	@deploy/dist $(SERVERS)

clean: ## remove everything that was built, and stop what was left running
	@tests/sweep
	cargo clean --quiet
