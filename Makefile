# For people who do not know CMake presets yet; the commands behind are in tools/dev.

.DEFAULT_GOAL := help
.PHONY: help setup test slow demo release format lint

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup:  ## install what is missing to build and test (Debian 12)
	@tools/setup

test: setup  ## everything a change must pass
	@tools/test

slow: setup  ## the slow suites, TSan, an hour of fuzzing
	@tools/test slow

demo: setup  ## replicate a live database, kill it, restore it, prove it equal
	@test -x tools/demo || { echo "make demo: tools/demo is not there" >&2; exit 1; }
	@tools/demo

release: setup  ## build what users run: build/release/src/cli/runnel
	@tools/dev build release runnel

format: setup  ## format all sources
	@tools/dev format

lint: setup  ## format check, layers, and the rules a compiler does not know
	@tools/dev lint
