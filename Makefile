# The commands of this repository. `make help` lists them; each says what it installs before it does.
# The first that runs and is recent enough: a name on the PATH may be a version manager's empty promise.
WANTED := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do $$p -c '$(WANTED)' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
UV := $(VENV)/uv/bin/uv

# Tests and demos start thousands of processes: where the environment forbids it, each would compile all it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo test lint manifests types contracts unit slow chain bench bench-drift bench-infra bench-judge bench-lake \
  bench-retrain cluster-up cluster-down test-cluster test-infra locks clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(VENV)/local.stamp ## what the one-machine runtime needs, into .venv
	@$(MAKE) --no-print-directory system PACKAGES=nginx

demo: $(VENV)/local.stamp ## the whole story on real data: four releases, one machine, some three minutes
	@$(MAKE) --no-print-directory system PACKAGES=nginx
	@$(BIN)/coalmine demo

test: $(VENV)/dev.stamp ## lint, types, import contracts, all tests but most of a cluster
	@$(MAKE) --no-print-directory system PACKAGES="nginx certbot chromium nodejs openssh-client postgresql prometheus shellcheck wrk"
	@$(MAKE) --no-print-directory lint types contracts unit slow chain

lint: $(VENV)/dev.stamp manifests ## the style of the code, and this repository's own manifests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

manifests: $(VENV)/dev.stamp ## coalmine lint, with a kustomize that the first run builds
	@program=$$($(BENCH) build kustomize) && $(BIN)/coalmine lint --kustomize "$${program##*: }"

types: $(VENV)/dev.stamp
	$(BIN)/mypy

contracts: $(VENV)/dev.stamp
	$(BIN)/lint-imports

unit: $(VENV)/dev.stamp ## the fast tests
	@$(BENCH) build kustomize actionlint >/dev/null # not within a test's time
	$(BIN)/python -m pytest

slow: $(VENV)/dev.stamp ## the tests that start the whole runtime
	@$(BENCH) build pebble pebble-challtestsrv >/dev/null # not within a test's time
	@$(BIN)/python -c "from coalmine.local.airflow_install import installed; installed(print)" # likewise
	$(BIN)/python -m pytest -m slow --durations=15

bench: $(VENV)/dev.stamp ## measure, and write docs/benchmarks.md
	@$(MAKE) --no-print-directory system PACKAGES="nginx wrk"
	$(BIN)/python tests/bench/run.py

bench-judge: $(VENV)/dev.stamp ## the judge on seeded streams, and write docs/judge-benchmarks.md
	$(BIN)/python tests/bench/judge/run.py

bench-lake: $(VENV)/dev.stamp ## feedback, capture and the lake's join, and write docs/lake-benchmarks.md
	$(BIN)/python tests/bench/bench_lake.py

bench-infra: $(VENV)/dev.stamp ## the Pulumi program under mocks, and write docs/infra-benchmarks.md
	$(BIN)/python tests/bench/bench_infra.py

bench-retrain: $(VENV)/dev.stamp ## what learning from single raters' thumbs wins, and write docs/retraining-benchmarks.md
	$(BIN)/python tests/bench/bench_retrain.py

bench-drift: $(VENV)/dev.stamp ## drift on each domain, and false alarms on held-out tweets; write docs/drift-benchmarks.md
	$(BIN)/python tests/bench/bench_drift.py

# A real Kubernetes on this machine, in tests/cluster. The first run builds its engines: some twenty minutes on two quiet cores.
BENCH := PYTHONPATH=tests $(BIN)/python -m cluster

cluster-up: $(VENV)/dev.stamp ## a real cluster on this machine, as root; KUBECONFIG is said at the end
	@$(BENCH) install
	@$(BENCH) up

cluster-down: $(VENV)/dev.stamp ## end it, also after a crash, and leave nothing of it
	@$(BENCH) down

chain: $(VENV)/dev.stamp ## a good and a bad release on a real cluster, where `make cluster-up` has built its engines
	@if why=$$($(BENCH) ready 2>&1); then KUBECONFIG= $(BENCH) test --chain; \
	else echo "left out, the releases on a real cluster: $$why"; fi

test-cluster: $(VENV)/dev.stamp ## the tests that need a cluster: KUBECONFIG's, else one brought up here
	@$(BENCH) test

test-infra: $(VENV)/dev.stamp ## Pulumi's real engine over the stack kind, on KUBECONFIG's cluster; without one it says so
	@$(BIN)/python tests/infra/run.py

locks: $(VENV)/dev.stamp ## resolve anew within pyproject's bounds
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --upgrade --all-extras --group dev pyproject.toml -o locks/dev.txt
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --extra local -c locks/dev.txt pyproject.toml -o locks/local.txt
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --upgrade --group airflow -o locks/airflow.txt
	cp locks/airflow.txt locks/airflow-cluster.txt # as preferences: FAB wants an older python-dateutil
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --group airflow-cluster -o locks/airflow-cluster.txt
	for part in cluster serving tracking; do $(UV) pip compile -q --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --extra $$part -c locks/dev.txt pyproject.toml -o locks/$$part.txt || exit 1; done

clean: ## remove the environment; never the state in .coalmine/
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(UV): locks/uv.txt
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(WANTED)' || \
	  { echo "no Python 3.11, 3.12 or 3.13 on the PATH: install one, or name it with make PYTHON=..."; exit 4; }
	@echo "installing uv and the packages into $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)/uv || { echo "on Debian and Ubuntu: sudo apt-get install python3-venv"; exit 4; }
	@$(VENV)/uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/uv.txt
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	@touch $(UV)

$(VENV)/local.stamp: $(UV) locks/local.txt pyproject.toml
	@test -f $(VENV)/dev.stamp || $(UV) pip sync --quiet --python $(BIN)/python --require-hashes locks/local.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

$(VENV)/dev.stamp: $(UV) locks/dev.txt pyproject.toml
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes locks/dev.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@ $(VENV)/local.stamp

# What only the system's package manager has. As root on Debian or Ubuntu it is installed; otherwise we say what to type.
.PHONY: system
system:
	@missing=""; for p in $(PACKAGES); do \
	  command -v $$p >/dev/null || test -x /usr/sbin/$$p || \
	  { test $$p = chromium && command -v google-chrome >/dev/null; } || \
	  { test $$p = nodejs && command -v node >/dev/null; } || \
	  { test $$p = openssh-client && command -v ssh-keygen >/dev/null; } || \
	  { test $$p = postgresql && { command -v pg_ctl || ls /usr/lib/postgresql/*/bin/pg_ctl; } >/dev/null 2>&1; } || \
	  missing="$$missing $$p"; done; \
	test -z "$$missing" && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing$$missing ..."; apt-get update -qq >/dev/null && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing >/dev/null; \
	else echo "missing:$$missing. Type this, then run make again:"; \
	  if command -v dnf >/dev/null; then echo "  sudo dnf install$$missing"; \
	  elif command -v brew >/dev/null; then echo "  brew install$$missing"; \
	  else echo "  sudo apt-get update && sudo apt-get install$$missing"; fi; exit 4; fi
