# The distribution's own Python where there is one: a host in the test bed runs the same.
PYTHON := $(firstword $(wildcard /usr/bin/python3) python3)
BIN := .venv/bin
COLLECTION := build/collections/ansible_collections/tandem/vpn
SOURCES := $(shell find galaxy.yml README.md LICENSE meta plugins roles files docs -type f -not -name '*.pyc' 2>/dev/null)
HOST ?= hq

export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/build/collections
export ANSIBLE_HOME := $(CURDIR)/build/ansible

.NOTPARALLEL:
.PHONY: help check demo demo-shell demo-down test interop fuzz soak lint system-packages system-packages-test venv collection dev-path clean bench bench-validate bench-apply bench-handshake bench-dataplane bench-scale

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 20

check: ## say what this machine lacks for the demo and the tests
	@$(PYTHON) -B -m tests.testbed check

demo: check system-packages venv collection ## two gateways on this machine, from nothing to a proved tunnel
	@$(BIN)/python -m tests.testbed demo

demo-shell: ## a shell on a gateway of the demo: HOST=hq or HOST=branch
	@$(PYTHON) -m tests.testbed shell demo $(HOST)

demo-down: ## remove every trace of the demo
	@$(PYTHON) -m tests.testbed down demo

test: check system-packages-test venv collection dev-path ## everything that CI runs
	@$(BIN)/pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder

interop: check system-packages-test venv dev-path ## strongSwan as the peer: the tests of docs/interop.md alone
	@$(BIN)/pytest -m interop

fuzz: venv ## a million hostile inputs, led by coverage; what they found stays in build/fuzz
	@$(BIN)/python -m tests.fuzz --inputs 1000000

soak: check system-packages-test venv dev-path ## tunnels that stay up on a kernel's ESP, for half an hour; figures go to build/soak/result.json
	@failed=0; $(BIN)/python -m tests.soak || failed=1; \
	TANDEM_WALK="0,1,0 2,0,0" $(BIN)/pytest -q -s tests/unit/ikeengine/test_colliding_exchanges.py || failed=1; \
	exit $$failed

bench: bench-validate bench-apply bench-handshake bench-dataplane bench-scale ## every benchmark; figures go to build/bench

bench-validate: venv ## both ends of 499,500 tunnels held against each other
	@$(BIN)/python bench/validate.py

bench-apply: check system-packages venv collection ## 1 and 200 tunnels applied to one host by a playbook
	@$(BIN)/python bench/apply.py

bench-handshake: check system-packages-test venv ## CPU time and memory of a responder, beside strongSwan's
	@$(BIN)/python bench/handshake.py

bench-dataplane: check system-packages-test venv ## what a userspace tunnel carries, beside strongSwan's
	@$(BIN)/python bench/dataplane.py

bench-scale: check system-packages-test venv ## a thousand peers on one daemon
	@$(BIN)/python bench/scale.py

lint: venv collection dev-path ## the linters alone
	@$(BIN)/pytest tests/lint

system-packages:
	@requirements/install-system-packages.sh requirements/system-demo.txt

system-packages-test:
	@requirements/install-system-packages.sh requirements/system-demo.txt requirements/system-test.txt

venv: .venv/made ## the virtual environment of the controller and the tests

.venv/made: requirements/dev.txt files/ikeengine/requirements.txt
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet --requirement requirements/dev.txt
	@touch $@

collection: $(COLLECTION)/MANIFEST.json ## build the collection and install it into build/collections

$(COLLECTION)/MANIFEST.json: $(SOURCES) | .venv/made
	@rm -f build/tandem-vpn-*.tar.gz
	$(BIN)/ansible-galaxy collection build --force --output-path build > /dev/null
	$(BIN)/ansible-galaxy collection install --offline --force --collections-path build/collections build/tandem-vpn-*.tar.gz > /dev/null
	@touch $@

dev-path: ## the checkout as an importable collection, for the tests
	@mkdir -p build/dev/ansible_collections/tandem
	@ln -sfn $(CURDIR) build/dev/ansible_collections/tandem/vpn

clean: ## remove what was built; a demo is taken down first
	@[ ! -d build/testbed/demo ] || $(MAKE) demo-down
	rm -rf build .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis
