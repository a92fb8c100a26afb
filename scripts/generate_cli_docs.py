"""Writes docs/cli.md from the commands' own help: `make generated`. A test compares what it writes with what is there.

What is not of one command stands below.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from spellcast_client.cli.cloud import PROJECT
from spellcast_client.cli.main import cli
from spellcast_client.cli.session import MEANINGS, TRACEBACK
from spellcast_client.profiles import API_KEY, URL

PAGE = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
_WIDTH = 100
VARIABLES = {
    URL: "where the API is",
    API_KEY: "the key. A key of a profile goes to no other address than the profile's",
    PROJECT: "the clone that `local up` starts; otherwise the folder one is in, or one above it",
    TRACEBACK: "whether a defect of `spellcast` is shown with its traceback, to be reported",
}

_BEFORE = """\
# The command line

<!-- Written by scripts/generate_cli_docs.py from the commands' help: `make generated` writes it anew. -->

`spellcast` composes, casts, watches and explains. `pip install .` in a clone of the project installs it, with the
Python client that it is made of (`spellcast_client`); `make setup` puts it into `.venv/bin`.

```sh
spellcast local up                                      # or: spellcast login --url https://…
spellcast tools list
spellcast spells push cat.yaml
spellcast cast "A cat in oil" --input inputText="a cat" --watch
```

## Which API, and whose key

In this order: the profile that `--profile` names; the environment; the profile that is current.

| variable | is |
|---|---|
"""

_AFTER = """
`login` tries a key before it keeps it, in `spellcast/config.json` of the platform's folder for configurations
(`~/.config` on Linux), which only its owner can read. No command shows a key.

## For programs

With `--json` a command answers one JSON document on standard output, as the API wrote it. What is live (`tail`, and
`--watch`) answers one message a line, `{type, payload, at}`; of a cast that is watched the first and the last are a
`castSnapshot`, the whole cast. A refusal, and what is wrong with the command itself, is
`{"error": {code, message, details?, requestId?}}` on standard error.

| exit code | means |
|---|---|
"""

_FILES = """
## Spells as files

A spell is a YAML or JSON file of what `POST /v1/spells` takes. YAML is read by the rules of its version 1.2: `no`, `on`
and `2026-01-31` are texts. `spellcast spells schema` prints the JSON Schema; an editor that knows it completes and
checks:

```yaml
# yaml-language-server: $schema=./spell.schema.json
name: A cat in oil
steps:
  - id: words
    toolIdentifier: string-primitive
    parameterMappings:
      operation: {type: static, value: concat}
      appendText: {type: static, value: ", oil on canvas"}
  - id: draw
    toolIdentifier: comfyui-text-to-image
    parameterMappings:
      input_prompt: {type: nodeOutput, nodeId: words, outputKey: text}
exposedInputs:
  - {nodeId: words, paramKey: inputText}
```

`spells lint` names every fault as `file:line:column: path: message`. It asks the API, which knows the tools; without
one, or with `--offline`, it looks at the shape only. Nothing is saved by it.

## From Python

```python
from spellcast_client import Client, SpellcastError
from spellcast_client.models import CastBody

with Client("https://api.example", api_key) as client:
    try:
        cast = client.cast_spell(CastBody(spell="A cat in oil", inputs={"inputText": "a cat"}))
        for message in client.watch(cast.cast_id):
            print(message.type, message.payload.get("status"))
        print(client.get_cast(cast.cast_id).cost_usd)
    except SpellcastError as error:
        print(error.code, error.message, error.faults, error.request_id)
```

`Client`, and `AsyncClient` for who awaits, have a method for every route of the API, with typed bodies and answers. A
GET, and what has an `Idempotency-Key` (which casts, resumes and retries get from the client), is repeated where an
answer is lost. `watch` and `listen` connect again after a drop, and tell what was missed.

## Completion

```sh
spellcast completion bash >> ~/.bashrc
spellcast completion zsh >> ~/.zshrc
spellcast completion fish > ~/.config/fish/completions/spellcast.fish
```

## Commands
"""


def page() -> str:
    """The whole page."""
    codes = "".join(f"| {code.value} | {meaning} |\n" for code, meaning in MEANINGS.items())
    variables = "".join(f"| `{name}` | {meaning} |\n" for name, meaning in VARIABLES.items())
    return _BEFORE + variables + _AFTER + codes + _FILES + "".join(_described(cli, "spellcast"))


def _described(command: click.Command, name: str) -> Iterator[str]:
    context = click.Context(command, info_name=name, terminal_width=_WIDTH, max_content_width=_WIDTH)
    context.help_option_names = ["-h", "--help"]
    yield f"\n### {name}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for inner in sorted(command.commands):
            yield from _described(command.commands[inner], f"{name} {inner}")


def main() -> int:
    """Writes the page."""
    PAGE.write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
