"""Keeps a spell document of the original's, so that it can be cast here as every other spell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from spellcast.application.find_spells import FindSpells
from spellcast.application.find_tools import FindTools
from spellcast.application.lint_spell import LintSpell
from spellcast.domain import documents, identifiers, originals
from spellcast.domain.documents import Document
from spellcast.domain.errors import SpellNotExecutable, SpellNotFound, WriteConflict
from spellcast.domain.spells import Spell, SpellVersion, Visibility
from spellcast.ports.clock import Clock
from spellcast.ports.store import SpellStore


class Draft(NamedTuple):
    """What is kept of a document, once its shape has been checked."""

    name: str
    visibility: Visibility
    content: Document


@dataclass(frozen=True, slots=True)
class AdoptSpell:
    """The account's copy of a spell is found again by the document's id; a changed document is its next version.

    `read_draft` checks the shape of a spell's body, and raises InvalidInput with every fault.
    """

    spells: SpellStore
    find_spells: FindSpells
    find_tools: FindTools
    lint_spell: LintSpell
    clock: Clock
    read_draft: Callable[[Document], Draft]

    def __call__(self, account_id: str, document: Document) -> tuple[Spell, SpellVersion]:
        """The stored spell. Raises SpellNotExecutable and InvalidInput before anything is written.

        A document of this system, by `spellId` and `version`, is the version that it names.
        """
        known = self._known(account_id, document)
        if known is not None:
            self._check_steps(account_id, known[1].name, originals.steps_of(known[1].content))
            return known
        self._check_steps(account_id, str(document.get("name")), originals.steps_of(document))
        draft = self.read_draft(originals.spell_body(document))
        if originals.owner_of(document) not in (None, account_id):
            # Whoever casts another's spell does not publish it.
            draft = draft._replace(visibility="private")
        self.lint_spell(account_id, draft.content)
        source = originals.spell_id_of(document) or documents.canonical([draft.name, draft.content])
        slug = originals.id_text(document.get("slug")) or draft.name
        return self._kept(account_id, identifiers.spell_id_for(account_id, source), slug, draft)

    def _known(self, account_id: str, document: Document) -> tuple[Spell, SpellVersion] | None:
        spell_id, number = document.get("spellId"), document.get("version")
        if not isinstance(spell_id, str) or not identifiers.is_id(spell_id):
            return None
        try:
            spell = self.find_spells.get(account_id, spell_id)
            return spell, self.find_spells.version(spell, number if isinstance(number, int) else None)
        except SpellNotFound:
            return None

    def _check_steps(self, account_id: str, name: str, steps: list[Document]) -> None:
        originals.check_steps(name, steps)
        identifiers_used = {str(originals.tool_identifier(step)) for step in steps}
        # A longer one is no key of the table.
        short = [item for item in identifiers_used if len(item) <= originals.MAX_ID_CHARACTERS]
        tools = self.find_tools.known(account_id, short)
        for index, step in enumerate(steps):
            identifier = str(originals.tool_identifier(step))
            if identifier not in tools:
                raise SpellNotExecutable(
                    f"Tool with name or ID '{identifier}' not found in registry "
                    f'for step {originals.step_name(step, index)} of spell "{name}".'
                )

    def _kept(self, account_id: str, spell_id: str, slug: str, draft: Draft) -> tuple[Spell, SpellVersion]:
        while True:
            spell = self.spells.get_spell(spell_id)
            if spell is None:
                created = self._create(account_id, spell_id, identifiers.slug_base(slug), draft)
                if created is not None:
                    return created
                continue
            version = self.find_spells.version(spell)
            if _is_of(draft, spell, version):
                return spell, version
            now = self.clock.now()
            changed = spell.changed(name=draft.name, visibility=draft.visibility, now=now)
            newer = _version_of(changed, draft)
            try:
                self.spells.save_spell(changed, newer)
            except WriteConflict:
                # Somebody else adopts it too: what they wrote may be this very version.
                continue
            return changed, newer

    def _create(self, account_id: str, spell_id: str, slug: str, draft: Draft) -> tuple[Spell, SpellVersion] | None:
        """The new spell, or None where somebody else was faster."""
        number = 1
        while self.spells.get_version(spell_id, number) is not None:
            number += 1  # It was deleted here: versions that a cast may name are not written again.
        now = self.clock.now()
        for choice in (slug, f"{slug}-{spell_id[:8]}", f"{slug}-{spell_id}-{number}"):
            spell = Spell(
                spell_id=spell_id,
                account_id=account_id,
                slug=choice,
                name=draft.name,
                visibility=draft.visibility,
                version=number,
                created_at=now,
                updated_at=now,
            )
            version = _version_of(spell, draft)
            try:
                self.spells.create_spell(spell, version)
            except WriteConflict:
                continue
            return spell, version
        return None


def _is_of(draft: Draft, spell: Spell, version: SpellVersion) -> bool:
    kept = (version.name, spell.visibility, documents.canonical(version.content))
    return kept == (draft.name, draft.visibility, documents.canonical(draft.content))


def _version_of(spell: Spell, draft: Draft) -> SpellVersion:
    return SpellVersion(
        spell_id=spell.spell_id,
        version=spell.version,
        name=draft.name,
        content=draft.content,
        created_at=spell.updated_at,
    )
