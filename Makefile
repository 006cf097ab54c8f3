# `make run` and `make test` need Python 3.11 or newer and nothing else; see README.md.

.DEFAULT_GOAL := help
.PHONY: help run test check bench chaos format env clean

help: ## show this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | sort

run: env ## run the whole system on this machine, until Ctrl-C
	@exec .venv/bin/python -m stockroom_local run

test: check ## everything that must pass
	.venv/bin/pytest --durations=15

check: env ## format, lint, types, import rules
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: env ## measure Stockroom beside its peers, on this machine (about three minutes)
	.venv/bin/python tests-e2e/benchmarks/bench.py

chaos: env ## break the whole system under load: `make chaos SECONDS=300 SEED=7`
	@PYTHONPATH=tests-e2e exec .venv/bin/python -m chaos --seconds $(or $(SECONDS),300) --seed "$(SEED)"

format: env ## write the code as the formatter wants it
	.venv/bin/ruff check --fix-only .
	.venv/bin/ruff format .

env: ## make .venv as uv.lock says
	@sh deploy/local/bootstrap

clean: ## delete the environment, caches and all data of `make run`
	@if [ -d .local ] && [ -x .venv/bin/python ]; then .venv/bin/python -m stockroom_local discard; fi
	rm -rf .venv .local .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
