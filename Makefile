PYTHON ?= python3
MUTANTS_AT_ONCE ?= 2
FORM ?= long
export CHROMIUM
BIN := .venv/bin
LOCAL := .local/venv/bin
AUDIT := .local/audit/venv/bin
# What pip finds missing in its sources is no news; errors are still told.
PIP := -m pip install -qq --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup up down clean run test chaos check audit audit-packages coverage mutants bench bench-cold generated \
        screenshots console-times sam-local release-check api-key python chromium deploy deployable

help:
	@echo "make run     set up, start the embedded cloud, cast the demo spell, stop everything again"
	@echo "make up      start the embedded cloud and deploy to it; again after an edit: deploy what changed"
	@echo "make down    stop it (its spells and casts are kept, and casts that run go on at the next make up)"
	@echo "make clean   stop it and forget what it kept"
	@echo "make test    every suite"
	@echo "make chaos   the long form of the suite that breaks things: SEED=4711 repeats a run, ONLY=soak runs a part"
	@echo "make check   linters, types, import rules, template and state machines"
	@echo "make audit   scanners of the template, the code and what is committed, and a list of what is shipped (SBOM)"
	@echo "make audit-packages known faults of what is shipped; asks a public database"
	@echo "make coverage every line of the domain is run by its unit tests"
	@echo "make mutants are edits of the domain noticed by its tests? MODULES=\"money casts\" asks of these only"
	@echo "make bench   what a cast costs and takes, into docs/performance.md; PEERS=1 runs other engines, too (minutes)"
	@echo "make bench-cold how long each function takes to start under Lambda's runtime client"
	@echo "make sam-local the functions in containers, by SAM's local runner, against an embedded cloud (docs/sam-local.md)"
	@echo "make release-check can this commit be released? builds it twice; licences and SBOM in .local/release"
	@echo "make screenshots the pictures of the console in docs/images; needs chromium, as make test does"
	@echo "make console-times how long the console takes to be on the screen, and a message to be on it"
	@echo "make api-key an API key for an account of a deployed stack: STACK=spellcast-dev ACCOUNT=alice; DO=list,"
	@echo "             DO='rotate KEYID' and DO='revoke KEYID' do more with the account's keys"
	@echo "make deploy  to AWS, as the caller's credentials and region say: STAGE=dev, staging or prod (docs/shipping.md)"
	@echo "make generated what is written from the code: the client's models and routes, docs/cli.md, docs/reference"
	@echo "make setup   the environment of tests and checks (.venv), and the command line in it (.venv/bin/spellcast)"
	@echo "PYTHON=python3.13 chooses the interpreter; SPELLCAST_PORT=5000 the ports 5000 and 5001."

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	{ echo "Python 3.11 or newer is needed; if it has another name than $(PYTHON): make PYTHON=python3.13 ..." >&2; exit 1; }

chromium:
	@$(if $(CHROMIUM),test -x "$(CHROMIUM)",command -v chromium >/dev/null) || \
	{ echo "The console's tests need Chromium: apt-get install chromium, or make CHROMIUM=/path/to/it ..." >&2; exit 1; }

# An environment is made again when its lock changes: the stamp is the lock that it was made from.
define environment
	@cmp -s $(1) $(2)/lock || { echo "Setting up $(2) ..."; rm -rf $(2) && $(PYTHON) -m venv $(2) && \
	$(2)/bin/python $(PIP) -r $(1) && cp $(1) $(2)/lock; }
endef

.PHONY: .venv .local/venv .local/mutants/venv .local/providers/venv .local/schemathesis/venv .local/runtime/venv \
        .local/audit/venv .local/bench/venv
.venv: python
	$(call environment,requirements-dev.txt,.venv)

.local/venv: python
	$(call environment,local/requirements.txt,.local/venv)

.local/providers/venv: python
	$(call environment,tests/providers/requirements.txt,.local/providers/venv)

.local/schemathesis/venv: python
	$(call environment,tests/schemathesis/requirements.txt,.local/schemathesis/venv)

.local/runtime/venv: python
	$(call environment,tests/runtime/requirements.txt,.local/runtime/venv)

.local/mutants/venv: python
	$(call environment,tests/mutation/requirements.txt,.local/mutants/venv)

.local/bench/venv: python
	$(call environment,tests/bench/requirements.txt,.local/bench/venv)

.local/audit/venv: python
	$(call environment,audit/requirements.txt,.local/audit/venv)

node_modules: package-lock.json
	@npm ci --silent --no-audit --no-fund && touch node_modules

setup: .venv
	@test -x $(BIN)/spellcast || $(BIN)/python $(PIP) --no-deps --editable .

up: .local/venv
	@$(LOCAL)/python -m local up

down: .local/venv
	@$(LOCAL)/python -m local down

clean: .local/venv
	@$(LOCAL)/python -m local clean

run: .local/venv
	@$(LOCAL)/python -m local run

test: .venv .local/venv .local/providers/venv .local/schemathesis/venv .local/runtime/venv node_modules chromium
	@$(BIN)/python -m pytest
	@.local/providers/venv/bin/python -m pytest tests/providers/peers

# A whole run writes the table of docs/reliability.md: it is what the tests noted.
chaos: .venv .local/venv .local/schemathesis/venv
	@$(if $(ONLY),,rm -rf .local/chaos/$(FORM))
	@SPELLCAST_CHAOS=$(FORM) SPELLCAST_SEED=$(SEED) $(BIN)/python -m pytest tests/chaos $(ONLY:%=-k %)
	@$(if $(ONLY),,$(BIN)/python -m tests.chaos.report $(FORM))

check: .venv node_modules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	PYTHONPATH=layers/spellcast:client:. $(BIN)/lint-imports
	for stage in dev staging prod; do \
	$(BIN)/cfn-lint template.yaml --parameters Stage=$$stage Tracing=Active Revision=0123456789 || exit; done
	npx --no-install asl-validator --json-path statemachine/cast_spell.asl.json --json-path statemachine/poll_job.asl.json
	SAM_CLI_TELEMETRY=0 $(BIN)/sam validate --lint

# The scan notes where known findings have moved to (3); that is no news, and its notes are not kept.
audit: .local/audit/venv
	$(AUDIT)/checkov --config-file audit/checkov.yaml
	$(AUDIT)/bandit --quiet --recursive layers functions scripts client
	@cp audit/secrets.json .local/audit/secrets.json
	@$(AUDIT)/detect-secrets-hook --baseline .local/audit/secrets.json $$(git ls-files) || test $$? -eq 3
	$(AUDIT)/cyclonedx-py requirements --outfile .local/audit/sbom.json layers/spellcast/requirements.txt

# Not in `audit`: it needs the database, and a package that it cannot ask about must not count as a sound one.
audit-packages: .local/audit/venv
	$(AUDIT)/pip-audit --strict --no-deps --disable-pip --progress-spinner off --requirement layers/spellcast/requirements.txt

coverage: .venv
	@$(BIN)/python -m pytest tests/unit/domain --cov=spellcast.domain --cov-report=term-missing:skip-covered --cov-fail-under=100

# mutmut takes a module's path for its name, so it works where `src` is the layer. Verdicts of an earlier run are not
# kept: they would stand although tests have changed.
mutants: .local/mutants/venv
	@cd .local/mutants && rm -rf mutants && ln -sfn ../../layers/spellcast src && ln -sfn ../../tests tests && \
	ln -sfn ../../tests/mutation/pyproject.toml pyproject.toml && \
	{ venv/bin/mutmut run --max-children $(MUTANTS_AT_ONCE) $(MODULES:%='spellcast.domain.%.*') >run.log 2>&1 || { tail -n 40 run.log; exit 1; }; } && \
	venv/bin/mutmut results --all true | venv/bin/python tests/mutation/score.py

# The description is that of the code, so nothing needs to run.
generated: .venv
	@PYTHONPATH=layers/spellcast $(BIN)/python scripts/generate_client.py
	@PYTHONPATH=client $(BIN)/python scripts/generate_cli_docs.py
	@PYTHONPATH=layers/spellcast:client:. $(BIN)/python scripts/generate_reference.py

api-key: .venv
	@test -n "$(STACK)" -a -n "$(ACCOUNT)" || { echo "usage: make api-key STACK=spellcast-dev ACCOUNT=alice" >&2; exit 2; }
	@PYTHONPATH=layers/spellcast $(BIN)/python scripts/api_keys.py --stack "$(STACK)" --account "$(ACCOUNT)" $(or $(DO),issue)

# Before anything is set up: a deployment that is refused should be so at once.
deployable:
	@case "$(STAGE)" in dev|staging|prod) ;; \
	*) echo "usage: make deploy STAGE=dev, staging or prod" >&2; exit 2;; esac
	@case "$(SHIFT)" in ''|guarded|at-once) ;; \
	*) echo "usage: make deploy STAGE=$(STAGE) SHIFT=at-once, or none" >&2; exit 2;; esac
	@test "$(STAGE)" != prod || test -z "$$(git status --porcelain)" || \
	{ echo "prod is deployed from what is committed, and this tree has changes (git status)." >&2; exit 1; }

# Those of samconfig.toml, which sam would take no notice of beside one that is given here.
define PARAMETERS
import sys, tomllib; print(*tomllib.load(open("samconfig.toml", "rb"))[sys.argv[1]]["deploy"]["parameters"]["parameter_overrides"])
endef

deploy: deployable .venv
	@SAM_CLI_TELEMETRY=0 $(BIN)/sam build --config-env $(STAGE)
	@SAM_CLI_TELEMETRY=0 $(BIN)/sam deploy --config-env $(STAGE) --parameter-overrides \
	"$$($(BIN)/python -c '$(PARAMETERS)' $(STAGE)) Shift=$(or $(SHIFT),guarded) Revision=$$(date +%s)$$(git rev-parse --short=12 HEAD)"

screenshots: .venv .local/venv chromium
	@$(BIN)/python -m tests.browser.screenshots

console-times: .venv .local/venv chromium
	@PYTHONPATH=layers/spellcast $(BIN)/python -m tests.browser.times

# The peers' environments are made by the benchmark, which names those that cannot be.
bench: .venv .local/venv .local/bench/venv
	@PYTHONPATH=layers/spellcast $(BIN)/python -m tests.bench $(PEERS:%=--peers)

bench-cold: .venv .local/venv .local/runtime/venv
	@PYTHONPATH=layers/spellcast $(BIN)/python -m tests.bench.cold

sam-local: .venv .local/venv
	@PYTHON="$(PYTHON)" ONLY="$(ONLY)" PYTHONPATH=layers/spellcast exec $(BIN)/python -m tests.sam_local

release-check: .venv audit
	@$(BIN)/python scripts/check_release.py
	@cp .local/audit/sbom.json .local/release/sbom.json
