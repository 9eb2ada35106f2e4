PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check conformance clients fix pins bench docs clean

demo: .venv/installed ## install everything and watch the main job on the embedded sandbox
	@$(BIN)/amo-mcp demo

test: .venv/installed ## install everything and pass the tests
	@$(BIN)/python -m coverage erase
	@$(BIN)/python -m coverage run -m pytest -n auto -m "not alone and not exhaustive"
	@$(BIN)/python -m pytest -n auto --dist worksteal -m exhaustive
	@$(BIN)/python -m pytest -m alone
	@$(BIN)/python -m coverage combine --quiet
	@$(BIN)/python -m coverage report

check: .venv/installed ## format, lint, types, imports, dependencies, generated documents
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry amo_mcp

conformance: .venv/installed tests/conformance/node_modules/installed ## the protocol's conformance suite (npm)
	@$(BIN)/python -m tests.conformance

clients: .venv/installed tests/clients/node_modules/installed ## clients that other people wrote (npm)
	@$(BIN)/python -m pytest -n auto tests/clients

fix: .venv/installed ## what can be mended by a tool
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

pins: .venv/installed ## resolve the newest versions and pin them with their hashes
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --quiet --output-file constraints.txt

bench: .venv/installed ## the figures of BENCHMARKS.md: FILE=figures.json writes them as JSON too
	@$(BIN)/python -m tests.bench $(if $(FILE),--json $(FILE))

docs: .venv/installed ## write the README's tool table, the tools' listing and their snapshots anew
	$(BIN)/python -m tests.surface

clean:
	rm -rf tests/*/node_modules .venv .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

.venv/installed: constraints.txt pyproject.toml
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

tests/%/node_modules/installed: tests/%/package.json tests/%/package-lock.json
	@command -v npm >/dev/null || { echo "npm is not installed (it comes with Node.js); make $* needs it, make test does not."; exit 1; }
	@cd tests/$* && npm ci --no-audit --no-fund --loglevel=error
	@touch $@
