"""docs/shipping.md says what snapshots of functions cost."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

from local.deploy import load_template
from tests.bench.load import HOURS_A_MONTH, fixed_usd_a_month

ROOT = Path(__file__).parents[3]
DOCUMENT = " ".join((ROOT / "docs" / "shipping.md").read_text("utf-8").split())


def number(pattern: str) -> Decimal:
    found = re.search(pattern, DOCUMENT)
    assert found, pattern
    return Decimal(found[1])


def test_what_a_snapshot_costs_follows_from_the_functions_memory() -> None:
    template = load_template(ROOT / "template.yaml")
    usual = template["Globals"]["Function"]["MemorySize"]
    properties = [each["Properties"] for each in template["Resources"].values()]
    megabytes = sum(each.get("MemorySize", usual) for each in properties if "SnapStart" in each)
    assert number(r"have (\d+) GB together") == megabytes / Decimal(1024)
    month = number(r"([\d.]+) dollars a second for each GB") * megabytes / 1024 * HOURS_A_MONTH * 3600
    assert number(r"adds ([\d.]+) dollars a month") == round(month, 2)
    assert number(r"52 of them (\d+) dollars") == round(52 * month)
    assert number(r"an idle stage costs (\d+)") == round(fixed_usd_a_month())
