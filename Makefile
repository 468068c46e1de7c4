# The two commands: `make run` and `make test`. Each sets itself up; see README.md. `make install` is in
# docs/install.md.

CONFIGURATION ?= release
SEED ?= 1
# Of `make endurance`.
RUNS ?= 10000
BUILD = .build/$(CONFIGURATION)

# Where `make install` puts things: docs/install.md.
PREFIX ?= /usr/local
DESTDIR ?=
LIBDIR ?= $(PREFIX)/lib
SWIFT_RUNTIME ?= copy

.PHONY: run test soak endurance build setup format format-check consumer readme check-arm clean
.PHONY: install uninstall install-check

## Build, then watch strategies answer what one greedy try gets wrong (SEED=… draws other problems).
run: build
	@$(BUILD)/martlet demo --seed $(SEED)

## Build and run every test: kernels against their reference, model, engine, plugins, CLI.
test: setup
	scripts/check-sampling.sh 1e8
	swift build -c $(CONFIGURATION) --build-tests
	swift test -c $(CONFIGURATION) --skip-build

## Runs that end in every way there is, RUNS of them: what they leave behind and whether a budget was exceeded.
endurance: setup
	swift build -c $(CONFIGURATION) --product Endurance
	nice $(BUILD)/Endurance --runs $(RUNS) --seed $(SEED)

## What takes longer: sampling against its definition over ten thousand million logits.
soak: setup
	scripts/check-sampling.sh 1e10

build: setup
	swift build -c $(CONFIGURATION)

setup:
	@scripts/setup.sh

## Rewrite the Swift sources in the house format / fail if any differs from it.
format:
	swift format --in-place --recursive --parallel Package.swift Sources Tests
format-check:
	swift format lint --strict --recursive --parallel Package.swift Sources Tests

## A package that depends on the `Martlet` product from outside, and the README's examples.
consumer: setup
	scripts/readme-examples.sh

## Install below PREFIX (staged below DESTDIR), remove it again / try all that in a folder of its own.
install: build
	@CONFIGURATION='$(CONFIGURATION)' PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' LIBDIR='$(LIBDIR)' \
	  SWIFT_RUNTIME='$(SWIFT_RUNTIME)' scripts/install.sh
uninstall:
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' scripts/uninstall.sh
install-check: build
	@CONFIGURATION='$(CONFIGURATION)' scripts/check-install.sh

## Cross-compile the kernels for AArch64 and check them under emulation (needs qemu-user and a cross libc).
check-arm:
	scripts/check-arm.sh

clean:
	rm -rf .build
