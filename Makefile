# make demo   set up and infill a real file with the shipped model
# make serve  install what serving needs, and serve the shipped model to editors on this machine;
#             make serve PORT=8026 on another port
# make vsix   build the VS Code extension (needs npm)
# make test   set up and run the tests;  make test-all  the slow ones too
# make test-clients  editors, OpenAI's and Ollama's clients, lm-eval, a browser, Triton's server, as far
#             as registries give them; llama.vim must be brought (docs/serving.md, "Tested with")
# make check  ruff and mypy

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
PORT := 8025

.PHONY: serve vsix demo test test-all test-clients check clean

demo: $(VENV)/.run
	@echo '$$ codegen25 complete examples/inventory.py --at 15:1 --verbose'
	@$(RUN)/codegen25 complete examples/inventory.py --at 15:1 --verbose
	@echo; echo '$$ codegen25 complete examples/inventory.py --at 15:1 --diff'
	@$(RUN)/codegen25 complete examples/inventory.py --at 15:1 --diff

serve: $(VENV)/.serve
	@$(RUN)/codegen25 serve --port $(PORT)

vsix:
	@cd editors/vscode && npm ci --ignore-scripts --silent && npm run --silent package >/dev/null
	@ls editors/vscode/*.vsix

test: $(VENV)/.dev
	$(RUN)/pytest

test-all: $(VENV)/.dev
	$(RUN)/pytest -m ''

test-clients: $(VENV)/.dev
	@sh scripts/clients.sh $(VENV)
	$(RUN)/pytest -m clients tests/clients -rs

check: $(VENV)/.dev
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy

$(VENV)/.run: pyproject.toml constraints.txt scripts/venv.sh
	@sh scripts/venv.sh $(VENV) $(PYTHON)
	@echo 'installing codegen25 (the first time takes a minute or two)'
	@$(RUN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@$(RUN)/python -m codegen25.sample.native
	@touch $@

$(VENV)/.serve: $(VENV)/.run
	@$(RUN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[serve,lsp]'
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@$(RUN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build src/*.egg-info
