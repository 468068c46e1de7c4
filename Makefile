# The two commands: `make run` and `make test`. Each sets itself up; see README.md.

CONFIGURATION ?= release
SEED ?= 1
BUILD = .build/$(CONFIGURATION)

.PHONY: run test soak build setup format format-check consumer readme check-arm clean

## Build, then watch strategies answer what one greedy try gets wrong (SEED=… draws other problems).
run: build
	@$(BUILD)/martlet demo --seed $(SEED)

## Build and run every test: kernels against their reference, model, engine, plugins, CLI.
test: setup
	scripts/check-sampling.sh 1e8
	swift build -c $(CONFIGURATION) --build-tests
	swift test -c $(CONFIGURATION) --skip-build

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

## Cross-compile the kernels for AArch64 and check them under emulation (needs qemu-user and a cross libc).
check-arm:
	scripts/check-arm.sh

clean:
	rm -rf .build
