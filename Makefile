# `make run` and `make test` need Python 3.11 or newer and nothing else; see README.md.

.DEFAULT_GOAL := help
.PHONY: help run test test-compose e2e check bench chaos format env clean

help: ## show this list
	@grep -E '^[a-z0-9-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | sort

run: env ## run the whole system on this machine, until Ctrl-C
	@exec .venv/bin/python -m stockroom_local run

test: check ## everything that must pass
	.venv/bin/pytest --durations=15

e2e: env ## the journeys against a system that runs: `make e2e COMMAND_URL=… QUERY_URL=…` (one may serve both)
	.venv/bin/pytest tests-e2e --command-url="$(COMMAND_URL)" --query-url="$(QUERY_URL)"

test-compose: env ## the system in containers: journeys, scaling, kills, rolling replacement (needs a Docker engine)
	.venv/bin/pytest tests-e2e/compose --compose -v -rP --durations=15

check: env ## format, lint, types, import rules
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: env ## measure Stockroom beside its peers, on this machine: `make bench ROW=relay ROUNDS=1 SCALE=0.1 GROWTH=1000000`
	@PYTHONPATH=tests-e2e exec .venv/bin/python -m benchmarks --row "$(ROW)" --rounds $(or $(ROUNDS),3) \
		--scale $(or $(SCALE),1) --growth $(or $(GROWTH),100000) --apis $(or $(APIS),1) $(if $(RENEW),--renew)

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
