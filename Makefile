# make setup   the environment, .venv                          make test         lint and tests
# make demo    synthetic people, training, AP, a picture       make docs-check   run what docs say

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
PYTHON ?=
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --no-input

CSRC := $(wildcard csrc/*.cpp csrc/*/*)

# The architecture of the GPU that is found, else 9.0.
GPU_ARCHITECTURE := nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | grep . || echo 9.0

DEMO_CONFIG := configs/synthetic/hrvmamba_nano_96x72.py
DEMO_DATA := data/synthetic_people
DEMO_DIR := work_dirs/demo

# Prints the Python to use (PYTHON, else the first on the PATH that is supported), or says what is
# needed and fails. Each one is run: the name alone may be a pyenv shim with nothing behind it.
define FIND_PYTHON
found=''
try() {
    version=$$("$$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) || version='does not run'
    case "$$version" in
        3.10.*|3.11.*)
            if "$$1" -c 'import ensurepip, venv' 2>/dev/null; then printf '%s\n' "$$1"; exit 0; fi
            version="$$version, without the venv module (on Debian: python3-venv)" ;;
    esac
    found="$$found
    $$1: $$version"
}
if [ -n "$$PYTHON" ]; then try "$$PYTHON"; else for name in python3.11 python3.10 python3; do try "$$name"; done; fi
cat >&2 <<END
The pose stack needs Python 3.10 or 3.11. Found:$$found
Name one that you have:
    make setup PYTHON=/path/to/python3.11
END
exit 1
endef
export FIND_PYTHON
export PYTHON

.PHONY: help
help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(if $(PYTHON),check-python) $(STAMP)  ## Make .venv with the pinned packages (PYTHON=... names the interpreter)
	@echo "Ready: $(VENV), $$($(BIN)/python --version)"

# A PYTHON that is named is checked even where there is nothing to install.
.PHONY: check-python
check-python:
	@python=$$(sh -c "$$FIND_PYTHON") || exit 1; \
	minor='import sys; print("%d.%d" % sys.version_info[:2])'; \
	wanted=$$("$$python" -c "$$minor"); made=$$($(BIN)/python -c "$$minor" 2>/dev/null) || made=$$wanted; \
	if [ "$$made" != "$$wanted" ]; then \
	    echo "$(VENV) holds Python $$made. To make it anew with $$wanted:" >&2; \
	    echo "    rm -r $(VENV) && make setup PYTHON=$$python" >&2; \
	    exit 1; \
	fi

# The stamp is written last: an interrupted installation goes on where it stopped.
$(STAMP): requirements.txt requirements-no-deps.txt setup.py pyproject.toml $(CSRC)
	@rm -f $@
	@if ! $(BIN)/python -c 'import pip' 2>/dev/null; then \
	    python=$$(sh -c "$$FIND_PYTHON") || exit 1; \
	    echo "Making $(VENV) with $$("$$python" --version)"; \
	    "$$python" -m venv --clear $(VENV); \
	fi
	@echo "Installing the pinned packages (the first time, about 3 GB are downloaded)"
	@$(PIP_INSTALL) -r requirements.txt
	@$(PIP_INSTALL) --no-deps -r requirements-no-deps.txt
	@export TORCH_CUDA_ARCH_LIST="$${TORCH_CUDA_ARCH_LIST:-$$($(GPU_ARCHITECTURE))}"; \
	$(PIP_INSTALL) --verbose --no-deps --no-build-isolation -e . >$(VENV)/build.log 2>&1 \
	    || { cat $(VENV)/build.log; exit 1; }
	@sed -n 's/^ *\(hrvmamba: .*\)/\1/p' $(VENV)/build.log  # what setup.py decided about the kernels
	@touch $@

.PHONY: test
test: setup lint  ## Lint, then run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

.PHONY: lint
lint: $(STAMP)  ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $(CSRC)

.PHONY: format
format: $(STAMP)  ## Mend style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CSRC)

.PHONY: demo
demo: setup  ## Draw synthetic people, train on them, test, draw the predictions
	$(BIN)/python tools/make_synthetic_coco.py $(DEMO_DATA) --num-train 2000 --num-val 200 --cast simple
	PYTHON=$(BIN)/python tools/dist_train.sh $(DEMO_CONFIG) 2 --work-dir $(DEMO_DIR)
	$(BIN)/python tools/test.py $(DEMO_CONFIG) "$$(cat $(DEMO_DIR)/last_checkpoint)" --work-dir $(DEMO_DIR)
	$(BIN)/python tools/draw_predictions.py $(DEMO_DATA)/annotations/person_keypoints_val.json $(DEMO_DATA)/val \
	    $(DEMO_DIR)/coco.keypoints.json $(DEMO_DIR)/predictions.png
	@echo "Predicted skeletons beside the truth: $(DEMO_DIR)/predictions.png"

.PHONY: docs-check
docs-check: setup  ## Run the commands of README.md and docs/
	$(BIN)/python tools/check_docs.py

.PHONY: clean
clean:  ## Remove what was built (not .venv, data or runs)
	rm -rf build dist hrvmamba.egg-info .pytest_cache .ruff_cache
	find hrvmamba tests tools configs -name __pycache__ -prune -exec rm -rf {} +
