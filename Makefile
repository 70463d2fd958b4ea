# Thin: each target calls one documented command. What they promise is in docs/contract.md.
.DEFAULT_GOAL := help
.PHONY: help venv up down test lint sim bench bench-store bench-api bench-sched bench-pods lock

SEEDS ?= 0:300
BIN := .venv/bin

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 22

venv: ## .venv with the locked dependencies and this package (as root also missing system packages)
	@tools/bootstrap

up: ## a server and a node on this machine, and a sample that answers over its Service
	@tools/bootstrap --run $(if $(findstring fake,$(ARGS)),,--with containerd)
	@$(BIN)/kmini up $(ARGS)

down: ## stop what `make up` started; PURGE=1 removes its data too
	@$(BIN)/kmini down $(if $(filter 1,$(PURGE)),--purge) $(ARGS)

test: ## the whole test suite, from nothing
	@tools/bootstrap --with etcdctl --with kubectl --with containerd
	$(BIN)/python -m pytest $(ARGS)

lint: venv ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports

sim: venv ## the deterministic simulator over SEEDS=a:b (b excluded)
	$(BIN)/python -m raftstore.sim run $(SEEDS) $(ARGS)

bench: bench-store bench-api bench-sched bench-pods ## all benchmarks

bench-store: ## the store beside Debian's etcd, in one run
	@tools/bootstrap --with etcd --with h2load
	$(BIN)/python -m kmini.bench store $(ARGS)

bench-api: ## the API beside a bare hello of the same stack and Debian's etcd, in one run
	@tools/bootstrap --with etcd --with h2load --with wrk
	$(BIN)/python -m kmini.bench api $(ARGS)

bench-sched: venv ## the scheduler alone and through the API, and a cluster with nothing to do
	$(BIN)/python -m kmini.bench sched $(ARGS)

bench-pods: ## pods on a node with real containers, beside the bare calls of the CRI
	@tools/bootstrap --with containerd
	$(BIN)/python -m kmini.bench pods $(ARGS)

lock: ## write requirements.lock anew from pyproject.toml (pip-tools)
	@tools/lock
