# Imagen on one machine. README.md says what each part does.
#   make run     serve the site, its worker and its model server until Ctrl-C
#   make run PROFILE=emulators   the same by the cloud's path: emulators, webhooks, a worker for each operation
#   make models  add the main engines: their libraries, and those of their weights that need no yes to a licence (3 GB)
#   make test    run every test (sets up torch as well: 1.7 GB in all, more with CUDA)
#   make manifests   check what Kubernetes is told; make plan: what Terraform is; make images: build and run the images
#   make test-long   and the whole of what that takes samples of
#   make chaos   kill the cloud's services under three hundred jobs

SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Any Python from 3.8 on may do the setting up; it looks for a 3.11 or 3.12 to build with, unless PYTHON names one.
SET_UP := $(shell command -v python3 || echo python3) -m requirements.environments $(if $(PYTHON),--python $(PYTHON))
VENV := .venv/bin
MODELS := .venv-models/bin

# Threads that wait for each other by spinning take the cores from the other tests.
MODELS_TEST := OMP_WAIT_POLICY=passive $(MODELS)/python -m pytest -c triton_models/pytest.ini -p tests.no_skips triton_models

PORT ?= 8000
TRITON_HTTP_PORT ?= 8100
TRITON_GRPC_PORT ?= 8101
TRITON_METRICS_PORT ?= 8102
# With a Triton of one's own (TRITON_URL) none is installed or started here.
# PROFILE=emulators runs the cloud's path; its storage stand-in comes with the development packages.
PROFILE ?= local
CLOUD_PORT ?= 8085
RUN_PARTS := $(if $(filter emulators,$(PROFILE)),dev,site) $(if $(TRITON_URL),,models-light model-server)

.PHONY: help run test test-long test-fast lint types manifests plan images bench chaos lock models clean

help:
	@sed -n 's/^#   //p' Makefile

run:
	@$(SET_UP) $(RUN_PARTS)
	@setpriv --pdeathsig TERM $(VENV)/python -m imagen_site.local.run --profile $(PROFILE) --port $(PORT) --cloud-port $(CLOUD_PORT) \
	  --triton-http-port $(TRITON_HTTP_PORT) --triton-grpc-port $(TRITON_GRPC_PORT) --triton-metrics-port $(TRITON_METRICS_PORT)

# Three processes for two cores, since much of a test is waiting for other programs. Tests that share a server stay in
# one of them.
test:
	@$(SET_UP) dev models-full model-server test-programs
	$(VENV)/python -m pytest -n 3 --dist loadgroup
	$(MODELS_TEST)

# What a default run takes a sample of: whole.
test-long:
	@$(SET_UP) dev models-full model-server test-programs
	$(VENV)/python -m pytest -n 2 --dist loadgroup -m long
	$(MODELS_TEST) -m long

test-fast:
	@$(SET_UP) dev
	$(VENV)/python -m pytest -n 2 -m "not triton and not browser and not processes and not postgres and not emulator"

lint:
	@$(SET_UP) dev
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/lint-imports

types:
	@$(SET_UP) dev models-full
	$(VENV)/mypy
	$(VENV)/mypy --config-file triton_models/mypy.ini --python-executable $(MODELS)/python

# What is deployed, held against the schemas of what it is deployed to. No cloud and no account is asked.
DEPLOYMENT_TEST = $(VENV)/python -m pytest -q -p tests.no_skips -m deployment

manifests:
	@$(SET_UP) dev deployment deployment-programs
	$(DEPLOYMENT_TEST) -n 2 --dist loadfile tests/manifests

plan:
	@$(SET_UP) dev deployment deployment-programs
	$(DEPLOYMENT_TEST) tests/terraform

# Builds the site's images and runs them against the emulators; needs root.
images:
	@$(SET_UP) dev models-light model-server deployment deployment-programs test-programs
	$(DEPLOYMENT_TEST) tests/images

# Kills the cloud's services under three hundred jobs; CHAOS_SEED=number repeats what chance decided.
chaos:
	@$(SET_UP) dev models-dev model-server test-programs
	$(VENV)/python -m pytest -q -s -m chaos tests/flows/test_chaos.py

bench:
	@$(SET_UP) dev models-full model-server
	$(VENV)/python -m bench

# torch stays out of the locks (requirements/torch.txt says why).
UV_COMPILE := $(VENV)/uv pip compile --quiet --generate-hashes --universal --python-version 3.11 \
  --no-emit-index-url --no-emit-find-links --no-header
WITHOUT_TORCH := --override <(echo "torch ; sys_platform == 'never'")

lock:
	@$(SET_UP) dev
	$(UV_COMPILE) pyproject.toml -o requirements/site.lock
	$(UV_COMPILE) pyproject.toml --extra dev -c requirements/site.lock -o requirements/dev.lock
	for level in light dev full; do \
	  $(UV_COMPILE) --group models-$$level $(WITHOUT_TORCH) -o requirements/models-$$level.lock || exit 1; done
	$(UV_COMPILE) --group deployment -o requirements/deployment.lock
	$(UV_COMPILE) --group models-main -c requirements/models-full.lock $(WITHOUT_TORCH) -o requirements/models-main.lock

# Says what it leaves out: what nobody has pinned yet, and what asks for a yes to its licence.
models:
	@$(SET_UP) models-full model-server
	@$(MODELS)/python -m triton_models fetch --all

# The data in var/ stays: it is the user's.
clean:
	rm -rf .venv .venv-models .venv-deployment .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
