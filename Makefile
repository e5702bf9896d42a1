# Everything a person types. "make help" lists it.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
INSTALL := $(RUN) -m pip install --disable-pip-version-check
# The versions that the tests passed with; "make lock" takes newer ones
LOCK := constraints.txt
# Another index for torch, for example https://download.pytorch.org/whl/cpu (small, no CUDA)
TORCH_INDEX ?=
# What computes: cuda where there is an NVIDIA GPU, else cpu (OpenVINO, without torch)
BACKEND ?= $(if $(wildcard /proc/driver/nvidia/gpus/*),cuda,$(shell \
	nvidia-smi -L > /dev/null 2>&1 && echo cuda || echo cpu))
# How many processes share the tests of "make test": many tests wait for services, so more than processors
TEST_PROCESSES ?= 3
# Folder with your own DICOM files for "make demo"
STUDY ?=

CUDA_PACKAGES := cuda-bindings cuda-pathfinder cuda-toolkit nvidia-cublas nvidia-cuda-cupti \
	nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile nvidia-curand \
	nvidia-cusolver nvidia-cusparse nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink \
	nvidia-nvshmem-cu13 nvidia-nvtx triton

TEST_PACKAGES := orthanc orthanc-dicomweb orthanc-python orthanc-gdcm dcmtk dicom3tools \
	pixelmed-apps default-jre-headless redis-server postgresql chromium npm poppler-utils openssl \
	systemd

# Tests start hundreds of processes of their own: none is to compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo demo-weights up test test-all test-latest test-programs chaos lab bench screenshots lint \
	docs site sbom format lock clean

help: ## list what can be made
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 12
	@echo "Variables:  PYTHON=python3.12  TORCH_INDEX=URL  STUDY=FOLDER (demo)  BACKEND=cpu|cuda"

demo: $(VENV)/.demo-$(BACKEND)-installed ## send sample studies (or STUDY=FOLDER) through the whole system
	$(RUN) -m deploy.demo.run $(if $(STUDY),--study "$(STUDY)")

up: $(VENV)/.demo-$(BACKEND)-installed ## run everything in the foreground, for a real scanner to send to
	$(RUN) -m deploy.up

test: $(VENV)/.dev-installed test-programs ## run the tests, with real services where they are installed
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

test-all: test chaos ## every test, the long forms too
	OMP_NUM_THREADS=1 $(RUN) -m pytest -m long --timeout 3600 --ignore tests/chaos

test-latest: test-programs ## run the tests with the newest versions of all libraries, in .venv-latest
	@test -x .venv-latest/bin/python || $(PYTHON) -m venv .venv-latest
	.venv-latest/bin/python -m pip install --disable-pip-version-check --upgrade \
		--upgrade-strategy eager --editable '.[dev]'
	OMP_NUM_THREADS=1 .venv-latest/bin/python -m pytest -n $(TEST_PROCESSES) --dist loadfile \
		--no-loadscope-reorder

# A region of hosts has networks and a broker of its own.
chaos test-all: TEST_PACKAGES += iproute2 rabbitmq-server
chaos: $(VENV)/.dev-installed test-programs ## the long form of the tests that kill and starve
	MAMMOCLIP_CHAOS=long OMP_NUM_THREADS=1 $(RUN) -m pytest -s -m "long or not long" tests/chaos

# tiny-pacs has libraries of its own, which are no dependencies of this project.
.venv-lab/bin/tiny-pacs: | $(RUN)
	@test -x .venv-lab/bin/python || $(PYTHON) -m venv .venv-lab
	.venv-lab/bin/python -m pip install --disable-pip-version-check 'tiny-pacs==0.4.1' \
		'tiny-pacs-dicomweb==0.1.0' 'waitress==3.0.2'

lab: $(VENV)/.dev-installed test-programs .venv-lab/bin/tiny-pacs ## try every way in and out with real peers and doubles; two tables
	PYTHONPATH=.:tests OMP_NUM_THREADS=1 $(RUN) -m lab

bench: $(VENV)/.dev-installed ## run every benchmark and print one table
	$(RUN) benchmarks

# Weights that know plain phantoms first, in .weights-plain; the harder ones go on from them.
demo-weights: $(VENV)/.dev-installed ## train the demonstration weights anew on phantoms; hours
	$(INSTALL) --constraint $(LOCK) --editable '.[demo-weights]'
	$(RUN) -m training.examples.demonstration.make_weights --family plain --folder .weights-plain
	$(RUN) -m training.examples.demonstration.make_weights --family varied \
		--image-weights .weights-plain/demonstration_bundle --folder .weights

screenshots: $(VENV)/.dev-installed test-programs ## take the pictures of docs/objects.md and console.md anew, in real browsers
	MAMMOCLIP_SCREENSHOTS=$(CURDIR)/docs/images $(RUN) -m pytest tests/acceptance/test_viewers.py \
		tests/acceptance/test_legible_viewers.py
	MAMMOCLIP_SCREENSHOTS=$(CURDIR)/docs/console $(RUN) -m pytest \
		tests/unit/dicom_node/console/test_console_in_a_browser.py

lint: $(VENV)/.dev-installed ## style, format, types, import contracts
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports

docs: $(VENV)/.dev-installed ## write the generated parts of docs
	$(RUN) tests/architecture_document.py
	$(RUN) tests/command_pages.py
	PYTHONPATH=.:tests $(RUN) tests/conformance_tables.py
	PYTHONPATH=.:tests $(RUN) -m lab.table

site: $(VENV)/.dev-installed ## make the pages of docs a site, in build/site
	$(RUN) -m sphinx --fail-on-warning --quiet --doctree-dir build/doctrees docs build/site

sbom: ## write what an installation holds as a software bill of materials, to build/sbom.json
	@test -x .venv-sbom/bin/cyclonedx-py || $(PYTHON) -m venv .venv-sbom
	.venv-sbom/bin/python -m pip install --disable-pip-version-check --quiet 'cyclonedx-bom>=7'
	mkdir -p build
	.venv-sbom/bin/cyclonedx-py requirements --output-file build/sbom.json constraints.txt

format: $(VENV)/.dev-installed ## write the format that lint asks for
	$(RUN) -m ruff check --fix-only .
	$(RUN) -m ruff format .

# torch names the CUDA packages that it needs, each build of it others: they are not locked.
lock: | $(RUN) ## write constraints.txt anew, with the newest versions of all libraries
	$(INSTALL) 'uv>=0.9'
	$(VENV)/bin/uv pip compile --upgrade --universal --all-extras --python-version 3.11 \
		--custom-compile-command "make lock" --output-file $(LOCK) pyproject.toml \
		$(addprefix --no-emit-package ,$(CUDA_PACKAGES))

clean: ## remove the environment, runs and caches; never the data of "make up"
	rm -rf $(VENV) .venv-latest .venv-lab .venv-sbom .demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	rm -rf build *.egg-info

$(RUN):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "python3 -m venv does not work here; on Debian: apt-get install python3-venv"; exit 1; }

$(VENV)/.torch-installed: | $(RUN)
ifneq ($(TORCH_INDEX),)
	$(INSTALL) --index-url "$(TORCH_INDEX)" $$(grep -oE '^torch(vision)?==[0-9.]+' $(LOCK))
endif
	@touch $@

$(VENV)/.demo-cpu-installed: pyproject.toml $(LOCK) | $(RUN)
	@echo "Installing into $(VENV) for the CPU, without torch (BACKEND=cuda for an NVIDIA GPU)"
	$(INSTALL) --constraint $(LOCK) --editable '.[demo,cpu]'
	@touch $@

$(VENV)/.demo-cuda-installed: pyproject.toml $(LOCK) | $(VENV)/.torch-installed
	@echo "Installing into $(VENV) with torch: 3 GB with CUDA (BACKEND=cpu does without, README)"
	$(INSTALL) --constraint $(LOCK) --editable '.[demo,cuda]'
	@touch $@

$(VENV)/.dev-installed: pyproject.toml $(LOCK) | $(VENV)/.torch-installed
	$(INSTALL) --constraint $(LOCK) --editable '.[dev]'
	@touch $@ $(VENV)/.demo-cpu-installed $(VENV)/.demo-cuda-installed

# Installing needs root and a Debian-like system; without them the tests say what they miss.
test-programs:
	@command -v dpkg-query > /dev/null || { \
		echo "Not a Debian-like system: tests that need Orthanc, dcmtk, dicom3tools, PixelMed or"; \
		echo "PostgreSQL run only where these programs are found."; exit 0; }; \
	missing=""; for package in $(TEST_PACKAGES); do \
		if [ $$package = npm ] && command -v npm > /dev/null; then continue; fi; \
		dpkg-query -W -f='$${Status}' $$package 2> /dev/null | grep -q 'ok installed' \
			|| missing="$$missing $$package"; \
	done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" -ne 0 ]; then \
		echo "Not installed:$$missing"; \
		echo "Tests that need them are not run. To run them, as root: apt-get install$$missing"; \
		exit 0; \
	fi; \
	echo "Installing for the tests:$$missing"; \
	export DEBIAN_FRONTEND=noninteractive; \
	apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing
