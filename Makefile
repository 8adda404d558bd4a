# SPDX-License-Identifier: Apache-2.0
# The short way to everything; the build itself is meson's. CONTRIBUTING.md says what each target is for.

PATH := /usr/sbin:/usr/bin:/sbin:/bin:$(PATH)
export PATH

# Set by ./dev; "make" by itself finds out.
GUEST_BUNDLE ?= $(shell tools/fetch-guest)
# Seconds for each fuzz target.
TIME ?= 60
DESTDIR ?=

C_FILES = $(shell find src include sdk examples tests fuzz bench -name '*.[ch]' -not -path '*/node_modules/*' 2>/dev/null | sort)

.PHONY: all run test soak bench lint format fuzz install deb test-kvm clean

all:
	@tools/configure build "$(GUEST_BUNDLE)"
	@ninja --quiet -C build

run test:
	@./dev $@

soak:
	@NESTBOX_SOAK=1 ./dev test guest tests/box

bench: all
	@tools/bench

lint:
	tools/check-layers
	tools/check-banned
	clang-format --dry-run --Werror $(C_FILES)
	CC=clang tools/configure build-clang "$(GUEST_BUNDLE)"
	ninja --quiet -C build-clang all meson-test-prereq

format:
	clang-format -i $(C_FILES)

fuzz:
	CC=clang tools/configure build-fuzz "$(GUEST_BUNDLE)" -Dlibfuzzer=true
	tools/fuzz build-fuzz $(TIME)

install: all
	DESTDIR="$(DESTDIR)" meson install -C build --no-rebuild

deb:
	@tools/deb build-deb "$(GUEST_BUNDLE)"

test-kvm: all
	tools/kvm-bed $(ARGS)

clean:
	rm -rf build build-clang build-deb build-fuzz
