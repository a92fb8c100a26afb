"""docs/reference/settings.md: parameters, outputs and environment variables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

from samtranslator.yaml_helper import yaml_parse

from local.environment import OF_SERVICES
from local.environment import VARIABLES as CLOUD
from scripts.generate_cli_docs import VARIABLES as CLIENT
from scripts.reference_pages.records import annotated
from scripts.reference_pages.shapes import Schema
from scripts.reference_pages.texts import NOTE, cell, code
from spellcast.adapters.registry import BUILT_IN, DELIVERY_MODES
from spellcast.settings import Settings

TEMPLATE = Path(__file__).resolve().parents[2] / "template.yaml"
TESTS = {
    "SPELLCAST_CHAOS": "`long` runs the long form of the suite that breaks things, as `make chaos` does.",
    "SPELLCAST_SEED": "The number by which that form repeats a run.",
}

_SETTINGS = f"""\
# Settings

{NOTE}

An account's own settings are [`PUT /v1/accounts/me/settings`](api.md#settingsbody); every size and bound is in
[limits](../limits.md), the secrets of providers in [providers](../providers.md).

## Parameters of the template

In `parameter_overrides` of `samconfig.toml`; `make deploy` gives `Revision`, the one that has no default.

| parameter | default | is |
|---|---|---|
"""

_OUTPUTS = """
## Outputs of the template

| output | is |
|---|---|
"""

_FUNCTIONS = """
## Variables of the functions

The template sets them; `settings.py` reads them.

| variable | comes from | is |
|---|---|---|
"""

_CLOUD = """
## Variables of the embedded cloud

Of `make up`, `make run` and `spellcast local up`.

| variable | default | is |
|---|---|---|
"""


def page() -> str:
    """The template's parameters and outputs, and every environment variable."""
    template = yaml_parse(TEMPLATE.read_text("utf-8"))
    parts = [_SETTINGS]
    for name, parameter in template["Parameters"].items():
        default = code(str(parameter["Default"]).strip()) if "Default" in parameter else "none"
        values = parameter.get("AllowedValues")
        choices = f" One of {', '.join(f'`{value}`' for value in values)}." if values else ""
        parts.append(f"| `{name}` | {default} | {cell(parameter['Description'])}{choices} |\n")
    parts.append(_OUTPUTS)
    parts += [f"| `{name}` | {cell(output['Description'])} |\n" for name, output in template["Outputs"].items()]
    parts.append(_FUNCTIONS)
    parts += _variables(template)
    parts.append(_CLOUD)
    parts += [f"| `{each.name}` | {code(each.default)} | {cell(each.meaning)} |\n" for each in CLOUD]
    services = ", ".join(f"`{service.upper()}`" for service in DELIVERY_MODES if service not in BUILT_IN)
    parts.append(
        f"\nOf a provider, where `<SERVICE>` is one of {services} or `ORIGINAL`:\n\n| variable | is |\n|---|---|\n"
    )
    parts += [f"| `SPELLCAST_<SERVICE>_{name}` | {cell(about)} |\n" for name, about in OF_SERVICES.items()]
    parts.append("\n## Variables of the command line\n\n| variable | is |\n|---|---|\n")
    parts += [f"| `{name}` | {cell(about)} |\n" for name, about in CLIENT.items()]
    parts.append("| `_SPELLCAST_COMPLETE` | set by the shell that asks for a completion |\n")
    parts.append("\n## Variables of the tests\n\n| variable | is |\n|---|---|\n")
    parts += [f"| `{name}` | {cell(about)} |\n" for name, about in TESTS.items()]
    return "".join(parts)


def _variables(template: Schema) -> Iterator[str]:
    set_to = template["Globals"]["Function"]["Environment"]["Variables"]
    said = get_type_hints(Settings, include_extras=True)
    for field in fields(Settings):
        name = f"SPELLCAST_{field.name.upper()}"
        named = re.findall(r"'Ref': '(\w+)'", str(set_to[name]))
        parameters = [f"`{each}`" for each in named if each in template["Parameters"]]
        yield f"| `{name}` | {', '.join(parameters) or 'the template'} | {cell(annotated(said[field.name])[1])} |\n"
