# make demo   the main job on a shipped cell
# make test   the tests; LONG=1 takes the longest, too
# make check  linters, types and import rules
# make bench  measurements; ONLY=name runs one
# make setup  the environment and nothing else

VENV := .venv
PY := $(VENV)/bin/python
SHORT := $(if $(LONG),, and not long)
UV_VERSION := 0.13.9
export HF_HUB_OFFLINE := 1

.PHONY: demo test check bench setup lock
demo: setup
	$(VENV)/bin/rlaas run peg_insertion $(ARGS)

# What must answer in time has the machine to itself; and as that may stand still for a moment, what fails of it is tried
# once more. 5: none of those asked for is of that kind.
test: setup
	@status=0; \
	OMP_NUM_THREADS=1 $(PY) -m pytest -m "not realtime$(SHORT)" -n 2 --dist loadscope $(ARGS) || [ $$? = 5 ] || status=1; \
	told=0; $(PY) -m pytest -m "realtime$(SHORT)" $(ARGS) || told=$$?; \
	if [ $$told = 1 ]; then \
	  echo "once more, what failed in real time"; \
	  told=0; $(PY) -m pytest -m "realtime$(SHORT)" --last-failed $(ARGS) || told=$$?; \
	fi; \
	[ $$told = 0 ] || [ $$told = 5 ] || status=1; \
	exit $$status

check: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright
	$(PY) -m pytest tests/test_architecture.py

bench: setup
	$(PY) -m bench $(ONLY)

setup: $(VENV)/.ready

# From nothing each time: the ROS wheels carry metadata that a second sync takes for strangers and removes.
$(VENV)/.ready: requirements.lock pyproject.toml robot_rlaas/env/lerobot_plugin/distribution/pyproject.toml
	@set -e; python=; \
	for p in python3.12 "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.12.*/bin/python "$$(uv python find 3.12 2>/dev/null)"; do \
	  if "$$p" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null; then python="$$p"; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "No Python 3.12 in PATH, pyenv or uv. Get one: 'pyenv install 3.12' or 'uv python install 3.12'."; exit 1; \
	fi; \
	echo "setting up $(VENV) with $$python"; \
	"$$python" -m venv --clear $(VENV); \
	$(PY) -m pip install -q uv==$(UV_VERSION); \
	$(VENV)/bin/uv pip sync -q --python $(PY) requirements.lock; \
	$(VENV)/bin/uv pip install -q --python $(PY) --no-deps --no-build-isolation -e . \
	  -e robot_rlaas/env/lerobot_plugin/distribution; \
	touch $@

lock:
	$(VENV)/bin/uv pip compile -q pyproject.toml --extra train --extra ros --extra view --extra teleop --extra warp --extra track --extra seal --extra dev --python-version 3.12 \
	  --generate-hashes --no-emit-index-url --no-header -o requirements.lock
