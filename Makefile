# make demo   the complete pipeline on a small scale, on real motion capture; result: work_dirs/demo/index.html
# make test   the test suite; make test-fast the part that takes less than 3 minutes
# Both create .venv first (make install only does that).

VENV := .venv
PY := $(VENV)/bin/python
REQUIREMENTS := build mminstall runtime synthesis inference app deployment converters distributed tests
REQUIREMENT_FILES := $(REQUIREMENTS:%=requirements/%.txt) requirements/constraints.txt
STAMP := $(VENV)/.installed
PIP_INSTALL := -m pip install --disable-pip-version-check -c requirements/constraints.txt

# make install TORCH=cpu|cuda: which build of PyTorch; by default CUDA's where there is an NVIDIA GPU.
TORCH := $(if $(shell command -v nvidia-smi),cuda,cpu)
GIGABYTES := $(if $(filter cuda,$(TORCH)),8.5,4.9)
CPU_TORCH := $(shell sed -n 's/^torch==.*/&/p' requirements/constraints.txt) --index-url https://download.pytorch.org/whl/cpu

.PHONY: install demo volume docs docs-links interop release-check test test-fast coverage test-runtime lint types system-libraries clean

install: system-libraries $(STAMP)

$(PY):
	@tools/find_python.sh -m venv $(VENV)

$(STAMP): $(PY) $(REQUIREMENT_FILES) setup.cfg setup.py
	$(if $(filter cpu cuda,$(TORCH)),,$(error TORCH=$(TORCH): expected cpu or cuda))
	@echo "Installing MVIPER with torch for $(TORCH) into $(VENV): some minutes, $(GIGABYTES) GB. TORCH=cpu takes 4.9, TORCH=cuda 8.5 GB."
	@$(if $(filter cpu,$(TORCH)),$(PY) $(PIP_INSTALL) --no-deps $(CPU_TORCH))
	@$(PY) $(PIP_INSTALL) $(REQUIREMENTS:%=-r requirements/%.txt)
	@$(PY) $(PIP_INSTALL) --quiet --no-build-isolation --no-deps -e .
	@touch $@

# Blender's module links against X11 and OpenGL even when it runs headless, OpenCV against GLib.
system-libraries:
	@tools/install_system_libraries.sh

# A rerun resumes: existing sequences are skipped, and a finished training is not repeated.
DEMO := work_dirs/demo
demo: install
	$(PY) tools/generate.py configs/demo/data.py --out data/demo --workers 2 --splits val test
	$(PY) tools/retarget.py configs/demo/motions.py --splits train --out data/demo_motions
	$(PY) tools/train.py configs/demo/frame_landmarks.py --work-dir $(DEMO)/frame_landmarks --resume
	$(PY) tools/train.py configs/demo/mviper_landmarks.py --work-dir $(DEMO)/mviper_landmarks --resume
	$(PY) tools/test.py configs/demo/frame_landmarks.py $(DEMO)/frame_landmarks
	$(PY) tools/test.py configs/demo/mviper_landmarks.py $(DEMO)/mviper_landmarks
	$(PY) tools/report.py --data data/demo --frame configs/demo/frame_landmarks.py $(DEMO)/frame_landmarks \
	    --video configs/demo/mviper_landmarks.py $(DEMO)/mviper_landmarks --out $(DEMO)
	@echo "Open $(DEMO)/index.html"

# Large data for `tools/tables.py --setting volume` and `tools/benchmark.py model` (docs/scale.md): the path-traced test
# set, 120 sequences in simulated clothes, three renders of each, 150 in painted clothes, and features of all.
# Each command uses one process; with --workers N it uses more.
VOLUME := $(or $(MVIPER_DATA),data)
volume: install
	$(PY) tools/generate.py configs/volume/test.py --splits test --out $(VOLUME)/test
	$(PY) tools/generate.py configs/volume/simulations.py --splits train val --limit 120 --out $(VOLUME)/simulations
	$(PY) tools/generate.py configs/volume/raster.py --splits train val --out $(VOLUME)/raster
	$(PY) tools/generate.py configs/volume/painted.py --splits train val --limit 150 --out $(VOLUME)/painted
	$(PY) tools/extract_features.py configs/frame_blazepose.py
	$(PY) tools/extract_features.py configs/hmr_blazepose.py
	$(PY) tools/extract_features.py configs/frame_blazepose.py --on configs/test_sets/volume_features.py

# Two processes, each with whole files, since most tests use one core.
PYTEST := $(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder
test: install
	$(PYTEST)

# Without tests that simulate, render, train or start processes.
test-fast: install
	$(PYTEST) -m "not slow"

# Which lines of the package the fast tests execute.
coverage: install
	$(PYTEST) -m "not slow" --cov=mviper --cov-report=term:skip-covered

# Training and testing must work with the runtime requirements alone: no bpy, mediapipe, ray or viser.
.venv-runtime/.installed: requirements/mminstall.txt requirements/runtime.txt requirements/constraints.txt
	@tools/find_python.sh -m venv .venv-runtime
	@.venv-runtime/bin/python $(PIP_INSTALL) --quiet -r requirements/build.txt -r requirements/mminstall.txt -r requirements/runtime.txt pytest
	@.venv-runtime/bin/python $(PIP_INSTALL) --quiet --no-build-isolation --no-deps -e .
	@touch $@

test-runtime: .venv-runtime/.installed
	.venv-runtime/bin/python -m pytest tests/test_runtime_only.py

# Static tools with pinned versions: about 80 MB instead of the full 8 GB.
.venv-lint/.installed: requirements/lint.txt
	@tools/find_python.sh -m venv .venv-lint
	@.venv-lint/bin/python -m pip install --disable-pip-version-check --quiet -r requirements/lint.txt
	@touch $@

lint: .venv-lint/.installed
	.venv-lint/bin/ruff check .
	.venv-lint/bin/ruff format --check .
	.venv-lint/bin/lint-imports --no-cache

# The libraries' types are read from $(VENV); nothing is imported.
types: install .venv-lint/.installed
	.venv-lint/bin/mypy --python-executable $(PY)

# The site, in docs/_build. Warnings, including dead internal links, are errors.
$(VENV)/.docs: $(STAMP) requirements/docs.txt
	@$(PY) $(PIP_INSTALL) --quiet -r requirements/docs.txt
	@touch $@

SPHINX := $(PY) -m sphinx -q -W --keep-going docs
docs: $(VENV)/.docs
	$(SPHINX) docs/_build/html -b html
	@echo "Open docs/_build/html/index.html"

# External links; needs the network.
docs-links: $(VENV)/.docs
	$(SPHINX) docs/_build/links -b linkcheck

# MMHuman3D asserts mmcv <= 1.6.1, so it gets its own environment, in which it reads files written by MVIPER.
MMH := .venv-mmhuman3d
$(MMH)/.installed:
	@tools/find_python.sh -m venv $(MMH)
	@$(MMH)/bin/python $(PIP_INSTALL) --quiet "setuptools<81" wheel "numpy<2" torch opencv-python addict pyyaml yapf Pillow packaging tqdm
	@MMCV_WITH_OPS=0 $(MMH)/bin/python $(PIP_INSTALL) --quiet --no-deps --no-build-isolation mmcv==1.6.0
	@$(MMH)/bin/python -m pip download --quiet --no-deps -d $(MMH) mmhuman3d==0.11.0
	@$(MMH)/bin/python $(PIP_INSTALL) --quiet --no-deps $(MMH)/mmhuman3d-0.11.0-py2.py3-none-any.whl
	@touch $@

interop: install $(MMH)/.installed
	$(PY) tests/interop/metrics_with_mmhuman3d.py $(MMH)/mmhuman3d-0.11.0-py2.py3-none-any.whl
	$(PY) tests/interop/head_with_mmhuman3d.py $(MMH)/mmhuman3d-0.11.0-py2.py3-none-any.whl
	$(PY) tools/generate.py configs/demo/painted.py --out data/interop --limit 1
	$(MMH)/bin/python tests/interop/read_with_mmhuman3d.py data/interop/train/*/south.npz --write data/interop/back.npz

# A minimal Debian, installed and tried as README says (root, the network and an hour).
release-check:
	tools/release_check.sh

clean:
	rm -rf $(VENV) .venv-runtime .venv-lint $(MMH) build docs/_build *.egg-info
