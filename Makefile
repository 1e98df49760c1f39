# What there is to make. Everything runs in .venv, which is made on demand: Python 3.11 or later, pip and venv suffice.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# What is imported is kept compiled, whatever the environment says: else each worker compiles for 8 s, each agent for 0.25 s.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help venv demo test compute test-slow bench measure chaos proof mutants fuzz package sign audit docs lint clean

help: ## show this
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

demo: $(STAMP) ## run a real group on this machine, kill its leader, show what happens
	$(BIN)/python -m tests.lab.demo $(ARGS)

# Two things at a time. In front: whatever waits for processes or clocks, three modules at a time, for they idle for most of it; each has
# ports, directories and network namespaces of its own. Behind them: what only computes, as idle tasks. The kernel gives those nothing but
# the time that nobody else asks for, so they make no test in front miss the times that it is held to.
COMPUTE := tests/core tests/proof tests/simulation
COMPUTED := .pytest_cache/computed.txt

test: $(STAMP) ## everything that must hold before a change goes in
	@mkdir -p $(dir $(COMPUTED)); chrt --idle 0 $(MAKE) --no-print-directory compute >$(COMPUTED) 2>&1 & \
	computing=$$!; trap 'kill $$computing 2>/dev/null' EXIT; trap 'exit 130' INT TERM; \
	$(BIN)/python -m pytest $(COMPUTE:%=--ignore=%) --numprocesses 3 --dist loadfile --no-loadscope-reorder; waited=$$?; \
	wait $$computing; computed=$$?; cat $(COMPUTED); exit $$((waited | computed))

compute: $(STAMP) lint
	$(BIN)/python -m pytest $(COMPUTE) -o cache_dir=.pytest_cache/compute --timeout 1800 --numprocesses 2

test-slow: $(STAMP) ## the tests that take longer
	$(BIN)/python -m pytest -m slow

bench: $(STAMP) ## measure failovers with real etcd and real nodeos; ARGS="-n 30 --faults nodeos-killed"
	$(BIN)/python -m tests.lab.bench $(ARGS)

measure: $(STAMP) ## measure one thing: NAME=adopt, alarms, cost, datagrams, gate-speed, margins, scale, scrape, soak, startup or switchovers; ARGS="--help"
	$(BIN)/python -m tests.lab.measure $(NAME) $(ARGS)

chaos: $(STAMP) ## break a real group at random, 300 times; ARGS="--faults 50 --replay SEED"
	$(BIN)/python -m tests.lab.chaos $(ARGS)

proof: $(STAMP) ## search the protocol for two producers at once, deep; ARGS="--worlds N --agents 2 --faults 3 --seed 7"
	$(BIN)/python -m tests.proof $(ARGS)

mutants: $(STAMP) ## make small mistakes outside the core, and tell which no test finds; ARGS="--minutes 30 --only agent/gate"
	$(BIN)/python -m pip install --quiet mutmut==3.8.1
	$(BIN)/python -m tests.mutants $(ARGS)

fuzz: $(STAMP) ## feed broken input to every parser, for some minutes
	FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-3000} $(BIN)/python -m pytest tests/fuzz --timeout 1800

package: $(STAMP) ## build a wheel, an sdist, a .deb (with debhelper), checksums and an SBOM (CycloneDX) into dist/
	$(BIN)/python -m pip install --quiet build click-man cyclonedx-bom uv
	rm -rf dist && $(BIN)/python -m build --outdir dist .
	$(BIN)/uv export --frozen --no-dev --no-emit-project --quiet --output-file dist/requirements.txt
	mkdir dist/man && $(BIN)/python -c "$$MAN_PAGES" dist/*.whl
	@if command -v dh >/dev/null; then deploy/debian/build.sh dist/nodeos_failover-*.whl dist/requirements.txt dist/man dist; \
	else echo "no .deb is built: debhelper is missing (apt-get install debhelper); all else is in dist/"; fi
	$(BIN)/python -m cyclonedx_py requirements --output-reproducible --output-file dist/sbom.cdx.json dist/requirements.txt
	cd dist && sha256sum $$(ls | grep -E '\.(whl|tar\.gz|deb)$$') sbom.cdx.json >SHA256SUMS

sign: ## sign dist/SHA256SUMS with your key; ARGS="--local-user RELEASE-KEY"
	gpg --armor --detach-sign --yes $(ARGS) dist/SHA256SUMS

audit: $(STAMP) ## look the locked dependencies up in the database of known holes (needs the internet)
	$(BIN)/python -m pip install --quiet pip-audit uv
	$(BIN)/uv export --frozen --no-dev --no-emit-project --quiet | $(BIN)/pip-audit --require-hashes --disable-pip -r /dev/stdin

docs: $(STAMP) ## write the tables of settings, metrics and alerts into their pages
	$(BIN)/python -m tests.lab.docs --update

lint: $(STAMP) ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

venv: $(STAMP) ## make .venv with all that is needed

define MAN_PAGES
import sys
from agent.cli.main import main
from click_man.core import write_man_pages
write_man_pages("nodeos-failover", main, version=sys.argv[1].split("-")[1], target_dir="dist/man")
endef
export MAN_PAGES

# pip reads dependency groups only from 25.1 on, so the group is read here: pyproject.toml stays the one place.
define READ_GROUP
import tomllib
with open("pyproject.toml", "rb") as file:
    print("\n".join(tomllib.load(file)["dependency-groups"]["dev"]))
endef
export READ_GROUP

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed: make PYTHON=python3.11 …" if sys.version_info < (3, 11) else 0)'
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -c "$$READ_GROUP" > $(VENV)/dev.txt
	$(BIN)/python -m pip install --quiet --editable ".[apprise]" --requirement $(VENV)/dev.txt
	touch $@

clean: ## remove what was made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
