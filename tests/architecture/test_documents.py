"""What the documents point at exists."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from scripts.reference_pages.texts import anchor

ROOT = Path(__file__).parents[2]
PLACES = (ROOT, ROOT / "layers" / "spellcast" / "spellcast", ROOT / "tests")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text("utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_headings(document: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]*)#([^)]+)\)", document.read_text("utf-8"))
    assert [link for link in links if link[1] not in _anchors(document.parent / link[0] if link[0] else document)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_pictures_are_there(document: Path) -> None:
    sources = re.findall(r'<img [^>]*src="([^"]+)"', document.read_text("utf-8"))
    assert [source for source in sources if not (document.parent / source).exists()] == []


def test_the_readme_leads_to_every_page() -> None:
    links = re.findall(r"\]\((docs/[^)#]+\.md)", (ROOT / "README.md").read_text("utf-8"))
    assert {str(document.relative_to(ROOT)) for document in DOCUMENTS if "docs" in document.parts} == set(links)


def test_every_path_in_the_parity_table_exists() -> None:
    named = re.findall(r"`([a-z_]+(?:/[\w.]+)*(?:\.py|\.json|/))`", (ROOT / "docs" / "parity.md").read_text("utf-8"))
    assert len(named) > 60
    assert [path for path in named if not any((place / path).exists() for place in PLACES)] == []


def test_every_check_that_is_skipped_has_its_reason_twice() -> None:
    """Beside the skip, and for who reads what is protected."""
    lines = (ROOT / "audit" / "checkov.yaml").read_text("utf-8").splitlines()
    skips = [(before.strip(), line.strip()) for before, line in itertools.pairwise(lines) if "- CKV" in line]
    table = (ROOT / "docs" / "security.md").read_text("utf-8")
    assert len(skips) == 11
    for before, skip in skips:
        assert before.startswith(("#", "- CKV")), skip
        assert re.search(rf"(?<!\d){skip.rpartition('_')[2]}(?!\d)", table), skip


def _anchors(document: Path) -> set[str]:
    text = re.sub(r"^```.*?^```", "", document.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {anchor(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
