PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo team-demo test exhaustive replicas check docs browser pictures linters conformance clients fix pins bench generate messages bundle clean

demo: .venv/catalogues ## install everything and watch the main job on the embedded sandbox
	@$(BIN)/amo-mcp demo

team-demo: .venv/catalogues ## two replicas of a team's server here: people sign in, one approves a plan, and a replica is killed in the middle
	@$(BIN)/python -m scripts.team_demo

test: .venv/catalogues ## install everything and pass the tests
	@$(BIN)/python -m coverage erase
	@$(BIN)/python -m coverage run -m pytest -n auto -m "not alone and not exhaustive"
	@$(BIN)/python -m pytest -m alone
	@$(BIN)/python -m coverage combine --quiet
	@$(BIN)/python -m coverage report

exhaustive: .venv/catalogues ## every fault, a death at every moment, and thousands of random steps beside a colleague
	@$(BIN)/python -m pytest -n auto --dist worksteal -m exhaustive

check: .venv/catalogues ## format, lint, types, imports, dependencies
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry amo_mcp
	$(BIN)/deptry --ignore DEP002,DEP004 scripts tests

linters: .venv/catalogues tests/linters/node_modules/installed ## what other people's tools say of the files for strangers (npm)
	@$(BIN)/python -m pytest tests/linters

docs: .venv/catalogues ## build the site in build/site; a broken link ends it
	@$(BIN)/python -m scripts.site
	@$(BIN)/zensical build --clean --strict

replicas: .venv/catalogues ## kill and hold up replicas in the middle of plans (REPLICAS_KILLS, REPLICAS_SEED)
	@$(BIN)/python -m pytest tests/replicas

conformance: .venv/catalogues tests/conformance/node_modules/installed ## the protocol's conformance suite (npm)
	@$(BIN)/python -m tests.conformance

browser: .venv/catalogues tests/browser/node_modules/installed tests/clients/node_modules/installed ## the page that asks and the board, in Debian's Chromium (chromium, npm)
	@$(BIN)/python -m pytest -n auto tests/browser

pictures: .venv/catalogues tests/browser/node_modules/installed ## pictures of the board, for the README, and of the pages, to look at (chromium, npm)
	@$(BIN)/python -m tests.browser.pictures
	@$(BIN)/python -m tests.browser.page_pictures

clients: .venv/catalogues tests/clients/node_modules/installed ## clients that other people wrote, and the examples (npm)
	@$(BIN)/python -m pytest -n auto tests/clients

fix: .venv/catalogues ## apply automatic fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

pins: .venv/catalogues ## resolve the newest versions and pin them with their hashes
	scripts/pins

bench: .venv/catalogues ## measure the figures and write them into BENCHMARKS.md
	@$(BIN)/python -m scripts.bench

generate: .venv/catalogues ## write everything that is generated
	$(BIN)/python -m scripts.generate

bundle: .venv/catalogues ## build the wheel, and the bundle for desktop clients, in dist/
	@$(BIN)/python -m hatchling build --target wheel --directory dist
	@$(BIN)/python -m scripts.packages.bundle dist/amo_mcp-*.whl

messages: .venv/installed ## bring the texts of the code into the catalogues of amo_mcp/language
	$(BIN)/python -m scripts.messages

clean:
	rm -rf build .cache amo_mcp/language/*.mo tests/*/node_modules .venv .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

.venv/installed: constraints.txt pyproject.toml
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# Installing compiles the catalogues too; this is for those that were edited since.
.venv/catalogues: .venv/installed hatch_build.py $(wildcard amo_mcp/language/*.po)
	@$(BIN)/python hatch_build.py
	@touch $@

tests/%/node_modules/installed: tests/%/package.json tests/%/package-lock.json
	@command -v npm >/dev/null || { echo "npm is not installed (it comes with Node.js); make $* needs it, make test does not."; exit 1; }
	@cd tests/$* && npm ci --no-audit --no-fund --loglevel=error
	@touch $@
