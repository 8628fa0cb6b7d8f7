# Sluice on one machine. Needs Python 3.11 or 3.12, Java 17 and make; fetches the rest. See `make help`.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.ONESHELL:
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory

# The first of these that is 3.11 or 3.12 makes the environments.
PYTHON ?= python3.11 python3 python3.12 python
SUPPORTED := import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))
CACHE := $(abspath $(or $(SLUICE_CACHE),.sluice/cache))
JOBS := $(CACHE)/environments/jobs
# This checkout goes first: a cache may be shared with another one.
RUN = PYTHONPATH="$(CURDIR)" "$(JOBS)/bin/python" -m
UV = UV_PYTHON_DOWNLOADS=never "$(CACHE)/tools/bin/uv"
COMPILE = $(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --no-emit-index-url

##@ Run
.PHONY: up
up: environment ## start everything; returns when the dashboard shows data
	@$(RUN) jobs.cli up

.PHONY: down
down: environment ## stop everything; nothing is lost
	@$(RUN) jobs.cli down

.PHONY: status
status: environment ## processes, and the progress of the jobs
	@$(RUN) jobs.cli status

.PHONY: logs
logs: environment ## last lines of every log; PROGRAM=jobs for one, FOLLOW=1 to go on
	@$(RUN) jobs.cli logs $(PROGRAM) $(if $(FOLLOW),--follow)

.PHONY: retail
retail: environment jars ## feed every row of a real shop through the system and compare with pandas
	@$(RUN) pytest tests/stack/test_retail.py --capture=no

.PHONY: bench
bench: environment jars ## freshness and throughput of Sluice and of the textbook pipeline, and what judging costs (2 hours)
	@$(RUN) bench
	@$(RUN) bench.judging
	@$(RUN) bench.together

.PHONY: bench-soak
bench-soak: environment jars ## two hours under load, to see that nothing grows without limit
	@$(RUN) bench.soak

.PHONY: bench-screen
bench-screen: environment browser ## seconds until the running system's dashboard is drawn, and until it shows an event
	@$(RUN) bench.screen

.PHONY: bench-users
bench-users: environment ## 50 users on the running system's dashboards: how fast, and what it does to freshness; USERS=, MINUTES=
	@$(RUN) bench.users $(if $(USERS),--users $(USERS)) $(if $(MINUTES),--minutes $(MINUTES))

.PHONY: screenshots
screenshots: environment browser ## pictures of the running system's dashboards, for docs/images
	@$(RUN) bench.screenshots

.PHONY: portal
portal: environment ## an example of a vendor portal with a dashboard inside, at the running system; needs npm
	@mkdir -p "$(CACHE)/portal"
	cp superset/portal/package.json superset/portal/package-lock.json "$(CACHE)/portal/"
	npm ci --silent --no-audit --no-fund --prefix "$(CACHE)/portal"
	export SLUICE_HOME="$(abspath $(or $(SLUICE_HOME),.sluice))"
	exec "$(CACHE)/environments/superset/bin/python" superset/portal/portal.py --sdk "$(CACHE)/portal"

##@ Develop
.PHONY: test
test: environment jars browser ## all tests at a small size, two at a time; ARGS="tests/unit -k up" for some
	@$(RUN) pytest $(or $(ARGS),--numprocesses 2 --no-loadscope-reorder)

.PHONY: test-long
test-long: environment jars browser ## all tests at full size: more kills, larger catch-up
	@SLUICE_TEST_SCALE=full $(RUN) pytest $(ARGS)

.PHONY: torture
torture: environment jars ## faults upon faults under traffic, every cell compared after each; HOURS=3 SEED=
	@$(RUN) tests.torture $(if $(HOURS),--hours $(HOURS)) $(if $(SEED),--seed $(SEED))

.PHONY: images
images: ## build the images of jobs and Superset, as archives too; TAG=dev IMAGES="jobs superset trino"
	@helm/images/build $(or $(TAG),dev) .sluice/images

.PHONY: test-kubernetes
test-kubernetes: environment ## the chart on a real cluster: install, hurt, upgrade, uninstall; needs `make images`
	@$(RUN) pytest tests/kubernetes --capture=no $(ARGS)

.PHONY: lint
lint: environment ## look for mistakes and bad style
	@$(RUN) ruff check .
	$(RUN) ruff format --check .

.PHONY: types
types: environment ## check types
	@$(RUN) mypy

.PHONY: format
format: environment ## format the code and mend what can be mended
	@$(RUN) ruff check --fix .
	$(RUN) ruff format .

.PHONY: docs
docs: environment ## write the pages and datasets that come from declarations
	@$(RUN) jobs.marts_page
	$(RUN) jobs.datasets

.PHONY: lock
lock: environment ## choose the newest versions that our requirements allow, with hashes
	@$(COMPILE) --upgrade --extra dev --output-file stack/locks/jobs.txt pyproject.toml
	$(COMPILE) --constraint stack/locks/jobs.txt --output-file stack/locks/runtime.txt pyproject.toml
	$(COMPILE) --upgrade --output-file stack/locks/superset.txt superset/requirements.in

.PHONY: environment
environment: ## make the Python environment (the other targets do it by themselves)
	@for python in $(PYTHON); do
		if "$$python" -c '$(SUPPORTED)' 2>/dev/null; then
			SLUICE_CACHE="$(CACHE)" PYTHONPATH="$(CURDIR)" exec "$$python" -m stack.environments jobs
		fi
	done
	echo "error: Sluice needs Python 3.11 or 3.12, and there is none in PATH. Install one" >&2
	echo "(Debian 12: apt install python3 python3-venv), or name it: make up PYTHON=/path/to/python3.11" >&2
	exit 1

.PHONY: jars
jars: environment ## fetch the jars of Spark's connectors and of the broker (the other targets do it by themselves)
	@$(RUN) stack.jars

.PHONY: browser
browser: ## install Chromium when there is none (Debian and Ubuntu)
	@stack/install-browser

.PHONY: clean
clean: ## remove what can be made again; the data in .sluice stay
	@rm -rf "$(CACHE)" .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -not -path './.sluice/*' -prune -exec rm -rf {} +

.PHONY: help
help: ## this list
	@awk 'BEGIN { FS = ":.*## " }
		/^##@/ { printf "\n%s\n", substr($$0, 5) }
		/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
