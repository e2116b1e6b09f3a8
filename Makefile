# Everything below builds .venv by itself. PYTHON chooses the interpreter, AUDIO the folder that `make demo` listens to.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP = $(BIN)/python .ci/install.py
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
AIRFLOW := .cache/airflow
AUDIT := .cache/audit
DEMO_OUT ?= demo-out
SITE := site

QUICK := not slow and not airflow and not flink
PYTEST = $(BIN)/python -m pytest --durations=25

define MAKE_VENV
	$(PYTHON) -c "import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 13) else f'Python 3.10 to 3.13 is needed, this is {v[0]}.{v[1]}: make PYTHON=python3.12 …')"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
endef

.PHONY: demo test test-slow test-all test-airflow test-flink test-long lint format types check docs bench requirements audit dist clean

demo: $(INSTALLED)
	$(BIN)/audio-vae demo --output $(DEMO_OUT) $(if $(AUDIO),--audio "$(AUDIO)")

# A few minutes: every module of both packages, and what a user does with them.
test: $(INSTALLED_DEV)
	$(PYTEST) -n 2 --dist worksteal -m "$(QUICK)"

# The rest: trains for long, starts clusters of processes, kills at many moments.
test-slow: $(INSTALLED_DEV)
	$(PYTEST) -n 2 --dist worksteal -m slow

test-all: test test-slow

test-long: $(INSTALLED_DEV)
	AUDIO_VAE_LONG=1 $(PYTEST) -n 2 tests/runs/test_crash_safety.py tests/audio/test_damaged_audio.py tests/beam/test_determinism.py tests/plan/test_planning.py

# The DAG of deploy/airflow, run by Airflow in an environment of its own.
test-airflow: $(INSTALLED_DEV) $(AIRFLOW)/.installed
	$(PYTEST) -m airflow tests/airflow

# A real Flink cluster on this machine; Java 11 or 17 and Maven must be there. It is fetched once, into .cache/flink.
test-flink: $(INSTALLED_DEV)
	PYTHONPATH=. $(BIN)/python tests/helpers/flink_fetch.py .cache/flink
	$(PYTEST) -m flink tests/beam/test_flink.py

lint: $(INSTALLED_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(INSTALLED_DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(INSTALLED_DEV)
	$(BIN)/mypy
	$(BIN)/mypy deploy/airflow/dags

check: lint types test

# All of the documentation as pages, links checked; the reference is read from the docstrings.
docs: $(INSTALLED_DEV)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir $(SITE)

# Pins every version for Python 3.10 to 3.13, and the content of every file that may be installed; needs uv.
# All extras but torch, whose packages alone are as large as all others together.
EXTRAS := app completion dataflow dev docs formats gcs http notebook onnx pipeline s3
COMPILE := uv pip compile --universal --python-version 3.10 --custom-compile-command "make requirements"
requirements:
	$(COMPILE) setup.py $(EXTRAS:%=--extra %) --upgrade -o requirements.txt
	$(COMPILE) setup.py $(EXTRAS:%=--extra %) --generate-hashes --no-annotate -c requirements.txt -o requirements-hashed.txt
	echo "apache-airflow>=3.3,<4" | $(COMPILE) - --upgrade --generate-hashes -o deploy/airflow/requirements.txt

bench: $(INSTALLED_DEV)
	for script in preprocess_speed preprocess_memory rerun_speed year_of_nights profile_preprocess preprocess_cost train_input_speed train_memory inversion stereo; do \
		$(BIN)/python benchmarks/$$script.py || exit 1; done

# Every package of requirements-hashed.txt among known holes; fails on one that a newer version mends.
audit: $(AUDIT)/.installed
	$(AUDIT)/bin/python .ci/audit.py $(AUDIT)/bin/pip-audit requirements-hashed.txt

# What a release is: sdist and wheel, which another environment can install, and the list of all that they may stand on.
dist: $(AUDIT)/.installed
	rm -rf dist build
	$(AUDIT)/bin/python -m build --outdir dist . > /dev/null
	$(AUDIT)/bin/twine check --strict dist/*.whl dist/*.tar.gz
	$(AUDIT)/bin/cyclonedx-py requirements requirements.txt --of JSON --output-reproducible -o dist/sbom.cdx.json
	$(PYTHON) -m venv --clear .cache/wheel
	.cache/wheel/bin/python -m pip install --quiet --disable-pip-version-check -c requirements.txt dist/*.whl
	cd / && "$(CURDIR)/.cache/wheel/bin/audio-vae" --version

clean:
	rm -rf $(VENV) .cache build dist *.egg-info $(DEMO_OUT) $(SITE)

# The package and what it needs at run time, at the versions of requirements.txt.
$(INSTALLED): requirements.txt setup.py
	$(MAKE_VENV)
	$(PIP) -c requirements.txt -e ".[pipeline]"
	touch $@

# All that tests and checks need besides: of each file the content that requirements-hashed.txt names, or nothing. The file lists
# what each needs as well, so pip looks for no more (it takes an extra of a package that is listed for an unlisted one).
$(INSTALLED_DEV): requirements-hashed.txt setup.py
	$(MAKE_VENV)
	$(PIP) --no-deps --require-hashes -r requirements-hashed.txt
	$(PIP) --no-deps --no-build-isolation -e .
	touch $(INSTALLED) $@

$(AUDIT)/.installed:
	test -x $(AUDIT)/bin/python || $(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check "build>=1.2" "cyclonedx-bom>=7" "pip-audit>=2.10" "twine>=6"
	touch $@

$(AIRFLOW)/.installed: deploy/airflow/requirements.txt
	test -x $(AIRFLOW)/bin/python || $(PYTHON) -m venv $(AIRFLOW)
	$(AIRFLOW)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r deploy/airflow/requirements.txt
	touch $@
