# `make demo` and `make test` need Python 3.11 or newer, git and make; they fetch the rest into .venv.

VENV := .venv
PY := $(VENV)/bin/python
# Integration tests wait more than they compute: two cores carry six workers.
WORKERS ?= 6
ARGS ?=

# Ansible refuses to start without a UTF-8 locale.
export LC_ALL := C.UTF-8
export PYTHON
# Otherwise each of the many processes of the tests would compile the collection anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test tests unit integration live qemu lint ruff ansible-lint changelog-lint reuse workflow-lint typing docs-lint docs \
	sanity build galaxy matrix lock changelog format bench clean beside-sanity

# The checks share one copy of the collection; only ansible-test has one of its own.
ifndef BESIDE
.NOTPARALLEL:
endif

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.ready-tests ## A tour on an embedded Proxmox VE
	@$(PY) -m tests.demo $(ARGS)

test: export CLOUDBRIDGE_TEST_EXAMPLES ?= gate
test: SANITY_ARGS := --ends
test: $(VENV)/.ready-quality ## Everything that has to pass before a change goes in
	@$(MAKE) --no-print-directory --keep-going --jobs=2 --output-sync=target BESIDE=sanity SANITY_ARGS=$(SANITY_ARGS) sanity beside-sanity

beside-sanity: # Much of what takes long has one thread.
	@$(MAKE) --no-print-directory --keep-going --output-sync=none BESIDE= lint typing docs-lint docs build galaxy tests

tests: $(VENV)/.ready-tests qemu ## Unit and integration tests
	$(PY) -m pytest -n $(WORKERS) --dist loadgroup tests/unit tests/integration tests/live $(ARGS)

unit: $(VENV)/.ready-tests ## Unit tests; ARGS="-k snapshot" picks some
	$(PY) -m pytest tests/unit $(ARGS)

integration: $(VENV)/.ready-tests qemu ## Integration tests against the embedded Proxmox VE
	$(PY) -m pytest -n $(WORKERS) --dist loadgroup tests/integration tests/live $(ARGS)

live: $(VENV)/.ready-tests ## The acceptance suite on the Proxmox VE that PROXMOX_* names; see CONTRIBUTING.md
	CLOUDBRIDGE_LIVE=1 $(PY) -m pytest tests/live $(ARGS)

qemu: $(VENV)/.ready-venv # A VNC server for the tests of consoles, where it may be installed; they skip without it
	@$(PY) -m tests.tooling.qemu

lint: ruff ansible-lint changelog-lint reuse workflow-lint ## ruff, ansible-lint, changelog fragments, licences, workflows

ruff: $(VENV)/.ready-quality
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

ansible-lint: $(VENV)/.ready-quality
	$(PY) -m tests.tooling.working_copy ansible-lint

changelog-lint: $(VENV)/.ready-quality
	$(PY) -m tests.tooling.working_copy antsibull-changelog lint

reuse: $(VENV)/.ready-quality
	$(PY) -m tests.tooling.working_copy reuse lint --lines

workflow-lint: $(VENV)/.ready-quality
	$(VENV)/bin/actionlint

typing: $(VENV)/.ready-quality ## mypy --strict
	$(PY) -m tests.tooling.working_copy mypy

docs-lint: $(VENV)/.ready-quality ## Documentation of plugins and roles
	$(PY) -m tests.tooling.working_copy antsibull-docs lint-collection-docs --plugin-docs \
		--validate-collection-refs self .

docs: $(VENV)/.ready-quality ## Guides and pages of modules as one site, in .cache/site/html
	$(PY) -m tests.tooling.site

sanity: $(VENV)/.ready-quality ## ansible-test sanity on every Python found; ARGS="--test pylint" picks one
	$(PY) -m tests.tooling.ansible_test sanity $(SANITY_ARGS) $(ARGS)

build: $(VENV)/.ready-quality ## The collection as Galaxy would publish it, in dist/
	@rm -rf dist
	$(PY) -m tests.tooling.working_copy ansible-galaxy collection build --force --output-path $(CURDIR)/dist .

galaxy: $(VENV)/.ready-quality build ## What Galaxy's importer says to it
	$(PY) -m nox -s galaxy

matrix: $(VENV)/.ready-quality ## The tests on every supported ansible-core
	$(PY) -m nox $(ARGS)

lock: $(VENV)/.ready-quality ## Take the newest versions that tests/requirements*.txt allow
	$(PY) -m nox -s lock

changelog: $(VENV)/.ready-quality ## Make a release's CHANGELOG.md of the fragments
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" antsibull-changelog release

format: $(VENV)/.ready-quality ## Format the Python files, and write what follows from the modules
	$(PY) -m tests.tooling.module_files
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: $(VENV)/.ready-tests ## Figures beside the peers of PyPI, in 20 minutes; ARGS="--quick", ARGS="--pick bridge"
	$(PY) -m benchmarks $(ARGS)

clean: ## Remove everything that the targets above made
	rm -rf $(VENV) .cache .nox .ansible .hypothesis collections dist tests/output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.ready-venv:
	@$(PY) -c '' 2>/dev/null || { \
		python=$$(sh tests/tooling/find_python.sh) && \
		echo "Creating $(VENV) with $$python" && \
		"$$python" -m venv --clear $(VENV); }
	@touch $@

$(VENV)/.ready-tests: meta/ee-requirements.txt requirements.txt tests/requirements.txt tests/constraints.txt | $(VENV)/.ready-venv
	@echo "Installing tests/requirements.txt"
	@$(PY) -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt -c tests/constraints.txt
	@touch $@

$(VENV)/.ready-quality: tests/requirements-quality.txt $(VENV)/.ready-tests
	@echo "Installing tests/requirements-quality.txt"
	@$(PY) -m pip install --quiet --disable-pip-version-check -r tests/requirements-quality.txt -c tests/constraints.txt
	@touch $@
